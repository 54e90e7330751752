//! The cluster that a command speaks to: by `--kubeconfig` and `--context`, else as kubectl finds it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Which cluster, and which namespace of it.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Cluster {
    /// The kubeconfig [default: $KUBECONFIG, else ~/.kube/config].
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) context: Option<String>,
    /// The namespace [default: the context's].
    #[arg(long, short, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) namespace: Option<String>,
}

/// A client, and the namespace that commands work in.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    /// `https://127.0.0.1:6443/`
    pub(crate) server: String,
}

impl Cluster {
    /// Sets up a client, and sees that the cluster answers.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let kubeconfig = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file).with_context(|| format!("read the kubeconfig {}", file.display()))?,
            None => Kubeconfig::read().context("read the kubeconfig: set KUBECONFIG to the file that `wharf up` prints, or give --kubeconfig")?,
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.context("use the kubeconfig")?;
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = None;
        let server = config.cluster_url.to_string();
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("set up the client of the API")?;
        client.apiserver_version().await.map_err(|error| match error {
            kube::Error::Api(status) => anyhow::anyhow!("the cluster at {server} answers: {}", status.message),
            error => anyhow::anyhow!("the cluster at {server} is not reached: {}", crate::say::chain(&error)),
        })?;
        Ok(Connection { client, namespace, server })
    }
}
