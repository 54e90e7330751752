//! Functions: from `wharf deploy` to the first answer, and what 1,000 of them cost while nobody asks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::cluster::{Cluster, Common, REST};
use crate::median;

/// What this benchmark is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The component to deploy.
    #[arg(long, default_value = "examples/hello/hello.wasm")]
    component: PathBuf,
    /// How many idle functions.
    #[arg(long, default_value_t = 1000)]
    functions: usize,
    /// Of how many of them the first request is timed.
    #[arg(long, default_value_t = 200)]
    asked: usize,
    /// Seconds that nobody asks for anything before memory is measured.
    #[arg(long, default_value = REST)]
    rest: u64,
}

pub(crate) async fn run(common: &Common, arguments: &Arguments) -> Result<()> {
    let (data, folder) = (TempDir::new()?, TempDir::new()?);
    let workers = arguments.functions.div_ceil(200).to_string();
    let cluster = Cluster::start(common, data.path(), &["--workers", &workers], None).await?;
    let original = std::fs::read(&arguments.component).with_context(|| format!("read {}", arguments.component.display()))?;
    let file = folder.path().join("function.wasm");
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for run in 0..common.runs {
        std::fs::write(&file, with_section(&original, run))?;
        cold.push(deploy(common, &cluster, &file, &format!("RUN=cold-{run}")).await?);
        warm.push(deploy(common, &cluster, &file, &format!("RUN=warm-{run}")).await?);
    }
    println!("deploy to first answer, new component:      {:>7.0} ms", median(cold));
    println!("deploy to first answer, known component:    {:>7.0} ms", median(warm));
    idle(&cluster, arguments).await?;
    cluster.stop().await
}

/// `wharf deploy`, which returns when the URL has answered; milliseconds.
async fn deploy(common: &Common, cluster: &Cluster, file: &Path, env: &str) -> Result<f64> {
    let begin = Instant::now();
    let mut command = Command::new(&common.wharf);
    let output = command.arg("deploy").arg(file).args(["--name", "function", "--env", env, "--kubeconfig"]).arg(&cluster.kubeconfig).output().await?;
    let took = begin.elapsed().as_secs_f64() * 1e3;
    if output.status.success() { Ok(took) } else { bail!("wharf deploy: {}", String::from_utf8_lossy(&output.stderr)) }
}

/// The same component with something of its own in it, so that nobody has compiled it before.
fn with_section(component: &[u8], run: usize) -> Vec<u8> {
    let mut section = vec![3_u8, b'r', b'u', b'n'];
    section.extend_from_slice(format!("{run:08}-{:08}", std::process::id()).as_bytes());
    let mut bytes = component.to_vec();
    bytes.push(0);
    bytes.push(u8::try_from(section.len()).unwrap_or(0x7f));
    bytes.extend(section);
    bytes
}

async fn idle(cluster: &Cluster, arguments: &Arguments) -> Result<()> {
    let mut connection = cluster.api.connect().await?;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let first = cluster.api.get(&mut connection, &format!("{deployments}/function")).await?;
    let image = first["spec"]["template"]["spec"]["containers"][0]["image"].as_str().context("no image")?.to_owned();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let own_before = cluster.own()?;
    let begin = Instant::now();
    for n in 0..arguments.functions {
        let objects = function(&format!("f{n}"), &image);
        for (path, object) in
            [deployments, "/api/v1/namespaces/default/services", "/apis/networking.k8s.io/v1/namespaces/default/ingresses"].into_iter().zip(&objects)
        {
            cluster.api.create(&mut connection, path, object).await?;
        }
    }
    loop {
        let list = cluster.api.get(&mut connection, deployments).await?;
        let ready = list["items"].as_array().into_iter().flatten().filter(|d| d["status"]["availableReplicas"] == 1).count();
        if ready > arguments.functions {
            break;
        }
        if begin.elapsed() > Duration::from_secs(300) {
            bail!("only {ready} of {} functions became available", arguments.functions);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let took = begin.elapsed();
    tokio::time::sleep(Duration::from_secs(arguments.rest)).await;
    let (resting, own) = (cluster.cpu()?, cluster.own()?);
    let rest = Duration::from_secs(30);
    tokio::time::sleep(rest).await;
    let used = cluster.cpu()?.saturating_sub(resting);
    let mut times = Vec::new();
    let step = (arguments.functions / arguments.asked.max(1)).max(1);
    for n in (0..arguments.functions).step_by(step) {
        times.push(first_request(cluster, &format!("f{n}.localhost")).await?.as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("{} functions from first object to available: {:>5.1} s", arguments.functions, took.as_secs_f64());
    println!("each, while nobody asks:                    {:>7.1} KiB", own.saturating_sub(own_before) as f64 / 1024.0 / arguments.functions as f64);
    println!("processor time of all while nobody asks:    {:>7.2} % of a core", used.as_secs_f64() / rest.as_secs_f64() * 100.0);
    println!("first request of a function, median / p99:  {:>7.2} / {:.2} ms (connect included)", at(0.5), at(0.99));
    Ok(())
}

/// Deployment, Service and Ingress, as `wharf deploy` makes them.
fn function(name: &str, image: &str) -> [Value; 3] {
    let labels = json!({"app.kubernetes.io/name": name});
    let port = json!({"name": "http", "containerPort": 8080});
    let backend = json!({"service": {"name": name, "port": {"name": "http"}}});
    [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"enableServiceLinks": false, "containers": [{"name": "function", "image": image, "ports": [port]}]}}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name},
            "spec": {"rules": [{"host": format!("{name}.localhost"), "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}}),
    ]
}

async fn first_request(cluster: &Cluster, host: &str) -> Result<Duration> {
    let begin = Instant::now();
    let tcp = tokio::net::TcpStream::connect(cluster.http).await?;
    tcp.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(http::Request::get("/").header("host", host).body(Empty::<Bytes>::new())?).await?;
    let status = response.status();
    response.into_body().collect().await?;
    if status == 200 { Ok(begin.elapsed()) } else { bail!("{host} answers {status}") }
}
