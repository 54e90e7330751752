//! A `wharf up` under measurement, and the API as its admin.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// What all benchmarks are told.
pub(crate) struct Common {
    /// The program.
    pub(crate) wharf: PathBuf,
    /// Runs of each row.
    pub(crate) runs: usize,
    /// Seconds of a timed run.
    pub(crate) seconds: u64,
}

/// How long nothing happens until memory is measured: what watches can go back to is forgotten after five minutes.
pub(crate) const REST: &str = "330";

/// A running cluster; it is killed when dropped.
pub(crate) struct Cluster {
    child: Child,
    /// Its standard output goes on.
    _lines: Lines<BufReader<ChildStdout>>,
    /// From start to the line that says the nodes are Ready.
    pub(crate) ready: Duration,
    /// Where Ingresses are served.
    pub(crate) http: SocketAddr,
    /// The API.
    pub(crate) api: Api,
    /// The admin's kubeconfig.
    pub(crate) kubeconfig: PathBuf,
}

impl Cluster {
    /// Starts one on a data folder, on free ports; `cores` goes to taskset.
    pub(crate) async fn start(common: &Common, data: &Path, arguments: &[&str], cores: Option<&str>) -> Result<Cluster> {
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["-c", cores]).arg(&common.wharf);
                command
            }
            None => Command::new(&common.wharf),
        };
        command
            .arg("up")
            .arg("--data-dir")
            .arg(data)
            .args(["--api-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0"])
            .args(arguments);
        let begin = Instant::now();
        let mut child =
            command.stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true).spawn().with_context(|| format!("start {}", common.wharf.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let (mut ready, mut http, mut kubeconfig) = (None, None, None);
        while kubeconfig.is_none() {
            let Some(line) = tokio::time::timeout(Duration::from_secs(120), lines.next_line()).await.context("the cluster did not start")?? else {
                bail!("the cluster ended")
            };
            if line.contains("(Ready)") {
                ready = Some(begin.elapsed());
            }
            if line.contains("Ingress ") {
                http = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).and_then(|at| at.parse().ok());
            }
            kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").map(PathBuf::from);
        }
        let kubeconfig = kubeconfig.context("no kubeconfig")?;
        let api = Api::from_kubeconfig(&kubeconfig)?;
        Ok(Cluster { child, _lines: lines, ready: ready.context("it was never Ready")?, http: http.context("no Ingress address")?, api, kubeconfig })
    }

    /// Resident bytes.
    pub(crate) fn resident(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Those of them that are the process' own: the pages of the program, which come and go with what it does, are not.
    pub(crate) fn own(&self) -> Result<u64> {
        self.status("RssAnon:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let pid = self.child.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
        Ok(line.split_whitespace().next().context("no number")?.parse::<u64>()? * 1024)
    }

    /// Processor time that the process has used.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let pid = self.child.id().context("it has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // What stands behind the name, which may hold anything; utime and stime are the 14th and 15th of all.
        let fields: Vec<&str> = stat.rsplit_once(')').context("no stat")?.1.split_whitespace().collect();
        let ticks = |field: usize| -> Result<u64> { Ok(fields.get(field).context("no time")?.parse()?) };
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }

    /// Kills it and waits.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.child.kill().await.context("stop the cluster")
    }
}

/// A connection to the API.
pub(crate) type Connection = SendRequest<Full<Bytes>>;

/// The API as the admin.
#[derive(Clone)]
pub(crate) struct Api {
    host: String,
    tls: Arc<rustls::ClientConfig>,
}

impl Api {
    fn from_kubeconfig(path: &Path) -> Result<Api> {
        let config: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let pem = |value: &Value| -> Result<Vec<u8>> { Ok(STANDARD.decode(value.as_str().context("kubeconfig")?)?) };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem(&cluster["certificate-authority-data"])?) {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_slice_iter(&pem(&user["client-certificate-data"])?).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem(&user["client-key-data"])?)?;
        let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions()?;
        let tls = builder.with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        let host = cluster["server"].as_str().and_then(|url| url.strip_prefix("https://")).context("kubeconfig")?;
        Ok(Api { host: host.to_owned(), tls: Arc::new(tls) })
    }

    /// A new connection, HTTP/1.1 over TLS.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let tcp = TcpStream::connect(&self.host).await?;
        tcp.set_nodelay(true)?;
        let stream = tokio_rustls::TlsConnector::from(self.tls.clone()).connect(ServerName::try_from("127.0.0.1")?, tcp).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request on a connection; the answer whole.
    pub(crate) async fn send(&self, connection: &mut Connection, method: &str, path: &str, content_type: &str, body: Bytes) -> Result<(u16, Bytes)> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("accept", "application/json")
            .header("content-type", content_type)
            .body(Full::new(body))?;
        connection.ready().await?;
        let answer = connection.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// POST of an object; it must be created.
    pub(crate) async fn create(&self, connection: &mut Connection, path: &str, object: &Value) -> Result<()> {
        match self.send(connection, "POST", path, "application/json", object.to_string().into()).await? {
            (200..=202, _) => Ok(()),
            (code, body) => bail!("POST {path}: {code} {}", String::from_utf8_lossy(&body)),
        }
    }

    /// GET as JSON.
    pub(crate) async fn get(&self, connection: &mut Connection, path: &str) -> Result<Value> {
        let (_, body) = self.send(connection, "GET", path, "application/json", Bytes::new()).await?;
        Ok(serde_json::from_slice(&body)?)
    }
}
