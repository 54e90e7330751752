//! The control plane: the store, the API server on it, and those who decide.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wharf_plugin_host::PluginHost;
use wharf_server::pki::Pki;
use wharf_server::{ApiServer, Identity, NodeDialer, PodDialer};
use wharf_store::{RedbStore, Store};

use crate::data::Folder;
use crate::plugins::{self, Chain, Runner};
use crate::up::edge::forever;
use crate::up::tasks::Group;
use crate::up::{addons, registry};

pub(crate) use wharf_controllers::Options;

/// How the control plane reaches others, and others it.
pub(crate) struct Wiring {
    /// The cluster's certificates.
    pub(crate) pki: Pki,
    /// The way to the nodes' kubelet API.
    pub(crate) nodes: Arc<dyn NodeDialer>,
    /// The way to Pods, where there is one.
    pub(crate) pods: Option<Arc<dyn PodDialer>>,
    /// Where Pods find the API.
    pub(crate) advertise: SocketAddr,
    /// What runs plugins, and those of the Ingress of this process.
    pub(crate) plugins: PluginHost,
    pub(crate) chain: Option<Arc<Chain>>,
    /// Where the Ingress is.
    pub(crate) edge: addons::Edge,
}

/// A running control plane.
pub(crate) struct Control {
    server: ApiServer,
    admin: kube::Client,
    store: Arc<RedbStore>,
    /// Who decides; ended before who answers.
    deciders: Group,
    answers: Group,
}

impl Control {
    /// Starts it on the store of the folder.
    pub(crate) async fn start(
        folder: &Folder,
        wiring: Wiring,
        listener: TcpListener,
        options: Options,
        failures: &mpsc::Sender<anyhow::Error>,
    ) -> Result<Control> {
        let store = RedbStore::open(&folder.join("store").join("wharf.redb"), wharf_store::Options::default()).context("open the store")?;
        let store = Arc::new(store);
        let (answers, deciders) = (Group::new(failures.clone()), Group::new(failures.clone()));
        let Wiring { pki, nodes, pods, advertise, plugins, chain, edge } = wiring;
        let mut config = wharf_server::Config::new(store.clone(), pki.clone(), nodes, advertise);
        if let Some(pods) = pods {
            config.pod_dialer = pods;
        }
        config.plugins = Arc::new(Runner(plugins.clone()));
        let server = ApiServer::new(config).await.context("start the API server")?;
        let registry = registry::open(folder, &server)?;
        answers.spawn("image registry", {
            let token = answers.token();
            async move {
                registry.keep(token).await;
                Ok::<_, std::convert::Infallible>(())
            }
        });
        answers.spawn("API server", {
            let (server, token) = (server.clone(), answers.token());
            async move { server.serve(listener, token).await }
        });
        let clients: wharf_controllers::Clients = {
            let server = server.clone();
            Arc::new(move |account: &'static str| {
                server.client(match account {
                    wharf_controllers::SHARED_INFORMERS => Identity::new("system:kube-controller-manager", &[]),
                    account => Identity::service_account("kube-system", account),
                })
            })
        };
        let options = Options { ca_pem: pki.ca_certificate().to_owned(), signer: Some(Arc::new(Authority(pki))), ..options };
        deciders.spawn("controllers", wharf_controllers::run(clients, options, deciders.token()));
        let scheduler = server.client(Identity::scheduler());
        deciders.spawn("scheduler", wharf_scheduler::run(scheduler, wharf_scheduler::Options::default(), deciders.token()));
        let watcher = server.client(Identity::service_account("kube-system", plugins::ACCOUNT));
        deciders.spawn("plugins", forever(plugins::keep(watcher, plugins, plugins::Part::Cluster, chain, deciders.token())));
        let admin = server.client(Identity::admin());
        deciders.spawn("addons", addons::keep(admin.clone(), edge, deciders.token()));
        Ok(Control { server, admin, store, deciders, answers })
    }

    /// The API server.
    pub(crate) fn server(&self) -> &ApiServer {
        &self.server
    }

    /// The API, as the administrator.
    pub(crate) fn admin(&self) -> &kube::Client {
        &self.admin
    }

    /// Ends everything in order, the store flushed at the last.
    pub(crate) async fn end(&self) {
        self.deciders.end().await;
        self.answers.end().await;
        self.store.close().await;
    }
}

/// The cluster's CA, for the controller that signs.
#[derive(Debug)]
struct Authority(Pki);

impl wharf_controllers::Signer for Authority {
    fn sign(&self, request: &str, client: bool, server: bool, seconds: Option<i32>) -> Result<String, String> {
        self.0.sign(request, client, server, seconds)
    }
}
