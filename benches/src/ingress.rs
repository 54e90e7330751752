//! (a) Requests through Ingress → Service → Pod, against `wasmtime serve` with the same components.
//!
//! The components have the same work in both places. One that looks for files or writes to its output (`examples/hello` does both) would not:
//! here it has files to find and a log that is kept, there it has neither.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::cluster::{Cluster, Common};
use crate::load::{self, Rate, Until};

/// What this benchmark is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The components to serve, one after the other; by default one of WASI 0.2 and one of 0.3.
    #[arg(long = "component", default_values = ["tests/guests/http-p2/http-p2.wasm", "tests/guests/http-p3/http-p3.wasm"])]
    components: Vec<PathBuf>,
    /// The peer (`cargo install wasmtime-cli`).
    #[arg(long, default_value = "wasmtime")]
    wasmtime: PathBuf,
    /// Connections.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Cores of the server under load, as taskset names them; the load runs on the others.
    #[arg(long)]
    cores: Option<String>,
}

/// The host name that is asked for.
const HOST: &str = "bench.example";
/// Requests an instance may serve before a fresh one takes over, where instances are reused.
const REUSE: &str = "1000000";

pub(crate) async fn run(common: &Common, arguments: &Arguments) -> Result<()> {
    let mut ratios = Vec::new();
    for component in &arguments.components {
        let name = component.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for (what, reuse) in [("fresh instances", false), ("reused instances", true)] {
            let what = format!("{name}, {what}");
            let folder = TempDir::new()?;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let cluster = deploy(common, component, &folder.path().join("data"), reuse, arguments.cores.as_deref()).await?;
            let peer = wasmtime(arguments, component, reuse).await;
            for _ in 0..common.runs {
                ours.push(drive(common, arguments.connections, cluster.http).await?);
                if let Ok((_, at)) = &peer {
                    theirs.push(drive(common, arguments.connections, *at).await?);
                }
            }
            cluster.stop().await?;
            let ours = load::middle(ours);
            load::print(&format!("wharf, {what}"), &ours);
            match peer {
                Ok(_) => {
                    let theirs = load::middle(theirs);
                    load::print(&format!("wasmtime serve, {what}"), &theirs);
                    ratios.push((what, ours.per_second / theirs.per_second));
                }
                Err(error) => println!("wasmtime serve: {error:#}"),
            }
        }
    }
    for (what, ratio) in ratios {
        println!("ratio, {what}: {ratio:.2}");
    }
    Ok(())
}

/// A cluster that serves a component at [`HOST`].
pub(crate) async fn deploy(common: &Common, component: &Path, data: &Path, reuse: bool, cores: Option<&str>) -> Result<Cluster> {
    let folder = TempDir::new()?;
    std::fs::copy(component, folder.path().join("bench.wasm")).with_context(|| format!("read {}", component.display()))?;
    let annotations = if reuse { json!({"wharf.dev/requests-per-instance": REUSE}) } else { json!({}) };
    let manifest = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "bench"}},
            "template": {"metadata": {"labels": {"app": "bench"}, "annotations": annotations}, "spec": {"containers": [{"name": "c", "image": "wharf.local/bench:v1"}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bench"}, "spec": {"selector": {"app": "bench"}, "ports": [{"port": 80}]}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "bench"}, "spec": {"rules": [{"host": HOST,
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "bench", "port": {"number": 80}}}}]}}]}}]});
    std::fs::write(folder.path().join("bench.json"), manifest.to_string())?;
    let cluster = Cluster::start(common, data, &["--apply", &folder.path().to_string_lossy()], cores).await?;
    wait(cluster.http).await?;
    Ok(cluster)
}

async fn wasmtime(arguments: &Arguments, component: &Path, reuse: bool) -> Result<(Child, SocketAddr)> {
    let at: SocketAddr = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = match &arguments.cores {
        Some(cores) => {
            let mut command = Command::new("taskset");
            command.args(["-c", cores]).arg(&arguments.wasmtime);
            command
        }
        None => Command::new(&arguments.wasmtime),
    };
    command.args(["serve", "-Scli", "--addr", &at.to_string()]);
    // Its default reuses WASI 0.3 instances only.
    command.args(["--max-instance-reuse-count", if reuse { REUSE } else { "1" }]);
    let child =
        command.arg(component).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().context("not measured (cargo install wasmtime-cli)")?;
    wait(at).await?;
    Ok((child, at))
}

async fn wait(at: SocketAddr) -> Result<()> {
    for _ in 0..600 {
        if let Ok(mut connection) = Client::connect(at).await
            && connection.get(HOST).await.is_ok_and(|code| code == 200)
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("http://{HOST} at {at} does not answer with 200")
}

/// What is served to some connections that ask without a pause.
pub(crate) async fn drive(common: &Common, connections: usize, at: SocketAddr) -> Result<Rate> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(at).await?);
    }
    load::run(clients, Until::Time(Duration::from_secs(common.seconds)), move |mut client, _| async move {
        let well = client.get(HOST).await.is_ok_and(|code| code == 200);
        (client, well)
    })
    .await
}

/// A kept connection that does as little as possible, so that the load costs less than the server.
struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    async fn connect(at: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, buffer: vec![0; 16 << 10] })
    }

    async fn get(&mut self, host: &str) -> Result<u16> {
        self.stream.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await?;
        let mut held = 0;
        loop {
            let n = self.stream.read(&mut self.buffer[held..]).await?;
            if n == 0 {
                bail!("closed");
            }
            held += n;
            if let Some(code) = whole(&self.buffer[..held])? {
                return Ok(code);
            }
        }
    }
}

/// The code of an answer that is all there.
fn whole(bytes: &[u8]) -> Result<Option<u16>> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end])?;
    let code = head.get(9..12).context("no code")?.parse()?;
    let mut length = None;
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        }
    }
    let body = &bytes[end + 4..];
    let done = match length {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    };
    Ok(done.then_some(code))
}
