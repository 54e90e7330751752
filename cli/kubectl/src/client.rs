//! Which cluster, as whom, in which namespace: kubeconfig files, flags and the Pod's own identity become a [`Session`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster, NamedContext};

use crate::error::{Error, Result};
use crate::session::Session;

/// The flags that say where the server is and who asks. Every command that speaks to a cluster has them.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Path to the kubeconfig file; otherwise those of KUBECONFIG, otherwise ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The name of the kubeconfig context to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The name of the kubeconfig cluster to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The name of the kubeconfig user to use.
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// The namespace of this request.
    #[arg(long, short = 'n', global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The address and port of the API server.
    #[arg(long, short = 's', global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Bearer token for authentication to the API server.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// User to impersonate for the operation.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub impersonate: Option<String>,
    /// Group to impersonate for the operation; may be repeated.
    #[arg(long = "as-group", global = true, value_name = "GROUP")]
    pub impersonate_group: Vec<String>,
    /// Path to a certificate file of the certificate authority.
    #[arg(long, global = true, value_name = "FILE")]
    pub certificate_authority: Option<String>,
    /// Path to a client certificate file for TLS.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_certificate: Option<String>,
    /// Path to a client key file for TLS.
    #[arg(long, global = true, value_name = "FILE")]
    pub client_key: Option<String>,
    /// Do not check the server's certificate. This makes HTTPS connections insecure.
    #[arg(long, global = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true, value_name = "BOOL")]
    pub insecure_skip_tls_verify: Option<bool>,
    /// Server name to check the server's certificate against.
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// How long to wait for a single request; 0 means without end. A number with a unit (1s, 2m, 3h).
    #[arg(long, global = true, default_value = "0", value_name = "DURATION", hide_default_value = true)]
    pub request_timeout: String,
    /// Number for the log level verbosity; taken and not used.
    #[arg(long = "v", short = 'v', global = true, hide = true, value_name = "LEVEL")]
    pub verbosity: Option<String>,
}

impl Connection {
    /// Reads the configuration. Nothing is sent yet.
    pub async fn session(&self) -> Result<Session> {
        let timeout = match duration(&self.request_timeout) {
            Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
            None => return Err(Error::message(invalid_timeout(&self.request_timeout))),
        };
        let mut config = self.config().await?;
        // Streams may be silent for long; a single request has `timeout`.
        config.read_timeout = None;
        config.write_timeout = None;
        config.default_retry = false;
        let explicit = self.namespace.clone().filter(|namespace| !namespace.is_empty());
        let namespace = explicit.clone().unwrap_or_else(|| Some(config.default_namespace.clone()).filter(|n| !n.is_empty()).unwrap_or("default".into()));
        Session::new(config, namespace, explicit.is_some(), timeout)
    }

    async fn config(&self) -> Result<kube::Config> {
        let mut kubeconfig = self.kubeconfig()?;
        let empty = kubeconfig.contexts.is_empty() && kubeconfig.clusters.is_empty();
        if empty
            && self.server.is_none()
            && let Ok(mut config) = kube::Config::incluster()
        {
            if let Some(token) = &self.token {
                config.auth_info = AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() };
            }
            return Ok(config);
        }
        self.check_names(&kubeconfig)?;
        let context_name = self.context.clone().or_else(|| kubeconfig.current_context.clone().filter(|name| !name.is_empty()));
        let context =
            context_name.as_ref().and_then(|name| kubeconfig.contexts.iter().find(|c| &c.name == name)).and_then(|c| c.context.clone()).unwrap_or_default();
        let cluster_name = self.cluster.clone().unwrap_or_else(|| context.cluster.clone());
        let user_name = self.user.clone().or_else(|| context.user.clone()).unwrap_or_default();
        let mut cluster = kubeconfig.clusters.iter().find(|c| c.name == cluster_name).and_then(|c| c.cluster.clone()).unwrap_or_default();
        let mut user = kubeconfig.auth_infos.iter().find(|u| u.name == user_name).and_then(|u| u.auth_info.clone()).unwrap_or_default();
        self.override_cluster(&mut cluster);
        self.override_user(&mut user);
        // What the flags made of it goes in under a name of its own.
        let name = "\u{0}flags".to_owned();
        let context = Context { cluster: name.clone(), user: Some(name.clone()), ..context };
        kubeconfig.clusters = vec![NamedCluster { name: name.clone(), cluster: Some(cluster), ..NamedCluster::default() }];
        kubeconfig.auth_infos = vec![NamedAuthInfo { name: name.clone(), auth_info: Some(user), ..NamedAuthInfo::default() }];
        kubeconfig.contexts = vec![NamedContext { name: name.clone(), context: Some(context), ..NamedContext::default() }];
        kubeconfig.current_context = Some(name);
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(|error| match error {
            KubeconfigError::LoadCertificateAuthority(e) => Error::message(format!("unable to read certificate-authority: {e}")),
            KubeconfigError::ParseClusterUrl(_) => Error::message(format!("server URL {:?} is not a URL", self.server.as_deref().unwrap_or_default())),
            other => Error::message(format!("invalid configuration: {}", crate::error::innermost(&other))),
        })
    }

    /// All kubeconfig files, the first one that says something winning.
    pub fn kubeconfig(&self) -> Result<Kubeconfig> {
        let mut merged = Kubeconfig::default();
        for path in self.files() {
            if !path.exists() {
                if self.kubeconfig.is_some() {
                    return Err(Error::message(format!("stat {}: no such file or directory", path.display())));
                }
                continue;
            }
            let next = read(&path)?;
            merged = merged.merge(next).map_err(|error| Error::message(format!("error loading config file {:?}: {error}", path.display().to_string())))?;
        }
        Ok(merged)
    }

    /// The files to read, most important first.
    pub fn files(&self) -> Vec<PathBuf> {
        kubeconfig_files(self.kubeconfig.as_deref())
    }

    fn check_names(&self, kubeconfig: &Kubeconfig) -> Result<()> {
        let current = self.context.clone().or_else(|| kubeconfig.current_context.clone().filter(|name| !name.is_empty()));
        let mut wrong = Vec::new();
        if let Some(name) = &current
            && !kubeconfig.contexts.iter().any(|c| &c.name == name)
        {
            return Err(match &self.context {
                Some(_) => Error::message(format!("context {name:?} does not exist")),
                None => Error::Plain(format!("Error in configuration: context was not found for specified context: {name}")),
            });
        }
        if let Some(name) = &self.cluster
            && !kubeconfig.clusters.iter().any(|c| &c.name == name)
        {
            wrong.push(Error::message(format!("cluster {name:?} does not exist")));
        }
        if let Some(name) = &self.user
            && !kubeconfig.auth_infos.iter().any(|u| &u.name == name)
        {
            wrong.push(Error::message(format!("auth info {name:?} does not exist")));
        }
        Error::all(wrong)
    }

    fn override_cluster(&self, cluster: &mut Cluster) {
        if let Some(server) = &self.server {
            cluster.server = Some(if server.contains("://") { server.clone() } else { format!("http://{server}") });
        }
        cluster.server.get_or_insert_with(|| "http://localhost:8080".into());
        if let Some(file) = &self.certificate_authority {
            cluster.certificate_authority = Some(file.clone());
            cluster.certificate_authority_data = None;
        }
        if self.insecure_skip_tls_verify == Some(true) {
            cluster.insecure_skip_tls_verify = Some(true);
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        if self.tls_server_name.is_some() {
            cluster.tls_server_name.clone_from(&self.tls_server_name);
        }
    }

    fn override_user(&self, user: &mut AuthInfo) {
        if let Some(token) = &self.token {
            user.token = Some(token.clone().into());
            user.token_file = None;
            user.exec = None;
        }
        if let Some(file) = &self.client_certificate {
            user.client_certificate = Some(file.clone());
            user.client_certificate_data = None;
        }
        if let Some(file) = &self.client_key {
            user.client_key = Some(file.clone());
            user.client_key_data = None;
        }
        if self.impersonate.is_some() {
            user.impersonate.clone_from(&self.impersonate);
        }
        if !self.impersonate_group.is_empty() {
            user.impersonate_groups = Some(self.impersonate_group.clone());
        }
    }
}

fn read(path: &Path) -> Result<Kubeconfig> {
    Kubeconfig::read_from(path).map_err(|error| {
        let why = crate::error::innermost(&error);
        Error::message(format!("error loading config file \"{}\": {why}", path.display()))
    })
}

/// `--kubeconfig`, otherwise the files of KUBECONFIG, otherwise ~/.kube/config.
pub fn kubeconfig_files(flag: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = flag {
        return vec![path.to_owned()];
    }
    match std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty()) {
        Some(paths) => {
            let mut files = Vec::new();
            for path in std::env::split_paths(&paths).filter(|path| !path.as_os_str().is_empty()) {
                if !files.contains(&path) {
                    files.push(path);
                }
            }
            files
        }
        None => std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config")).into_iter().collect(),
    }
}

fn invalid_timeout(text: &str) -> String {
    format!(
        "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a corresponding time unit (e.g. 1s | 2m | 3h): time: invalid duration {text:?}"
    )
}

/// A duration in Go's words (`1m30s`), or a number of seconds.
pub fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let (mut rest, mut total) = (text, Duration::ZERO);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = &rest[digits..];
        let (unit, seconds) =
            [("ms", 0.001), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)].into_iter().find(|(u, _)| rest.starts_with(u))?;
        total += Duration::try_from_secs_f64(number * seconds).ok()?;
        rest = &rest[unit.len()..];
    }
    if text.is_empty() { None } else { Some(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        let cases = [
            ("5", Some(5000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("20ms", Some(20)),
            ("2h", Some(7_200_000)),
            ("x", None),
            ("1d", None),
            ("", None),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text).map(|d| d.as_millis()), millis, "{text}");
        }
    }

    #[tokio::test]
    async fn flags_win_over_the_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://a:1'}}, {name: b, cluster: {server: 'https://b:2'}}]\ncontexts: [{name: a, context: {cluster: a, user: u, namespace: there}}]\nusers: [{name: u, user: {token: t}}]\n").unwrap();
        let base = Connection { kubeconfig: Some(path), request_timeout: "0".into(), ..Connection::default() };
        let config = base.config().await.unwrap();
        assert_eq!((config.cluster_url.to_string(), config.default_namespace), ("https://a:1/".into(), "there".into()));
        let other = Connection { cluster: Some("b".into()), ..base.clone() };
        assert_eq!(other.config().await.unwrap().cluster_url.to_string(), "https://b:2/");
        let server = Connection { server: Some("localhost:9".into()), ..base.clone() };
        assert_eq!(server.config().await.unwrap().cluster_url.to_string(), "http://localhost:9/");
        for (wrong, said) in [
            (Connection { context: Some("no".into()), ..base.clone() }, "error: context \"no\" does not exist\n"),
            (Connection { cluster: Some("no".into()), ..base.clone() }, "error: cluster \"no\" does not exist\n"),
            (Connection { user: Some("no".into()), ..base.clone() }, "error: auth info \"no\" does not exist\n"),
            (Connection { kubeconfig: Some("/none".into()), ..base.clone() }, "error: stat /none: no such file or directory\n"),
        ] {
            assert_eq!(wrong.config().await.unwrap_err().told("wharf get").0, said);
        }
    }

    #[test]
    fn several_files_are_merged_and_the_first_wins() {
        let folder = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let one = read(&write("1", "current-context: a\nclusters: [{name: a, cluster: {server: 'https://one'}}]\n")).unwrap();
        let two = read(&write("2", "current-context: b\nclusters: [{name: a, cluster: {server: 'https://two'}}, {name: b, cluster: {server: 'https://b'}}]\n"))
            .unwrap();
        let merged = one.merge(two).unwrap();
        assert_eq!(merged.current_context.as_deref(), Some("a"));
        let servers: Vec<_> = merged.clusters.iter().map(|c| c.cluster.as_ref().unwrap().server.clone().unwrap()).collect();
        assert_eq!(servers, ["https://one", "https://b"]);
    }
}
