//! (e) What a plugin costs: of the world `admission` per create, of the world `ingress` per request; beside no plugin, and beside an HTTP call over
//! loopback with the same review, which is the least that a webhook costs.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use crate::cluster::{Api, Cluster, Common, Connection};
use crate::median;

/// What this benchmark is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Operations of each row.
    #[arg(long, default_value_t = 2000)]
    operations: usize,
}

const PODS: &str = "/api/v1/namespaces/default/pods?dryRun=All";
const HOST: &str = "bench.example";

pub(crate) async fn run(common: &Common, arguments: &Arguments) -> Result<()> {
    let folder = TempDir::new()?;
    for plugin in ["require-digest", "api-key"] {
        std::fs::copy(format!("examples/plugins/{plugin}/{plugin}.wasm"), folder.path().join(format!("{plugin}.wasm")))?;
    }
    std::fs::copy("examples/hello/hello.wasm", folder.path().join("bench.wasm"))?;
    std::fs::write(folder.path().join("bench.json"), manifest().to_string())?;
    let cluster = Cluster::start(common, &folder.path().join("data"), &["--apply", &folder.path().to_string_lossy()], None).await?;
    let mut admin = cluster.api.connect().await?;
    ready(&cluster.api, &mut admin).await?;

    let (mut none, mut with, mut loopback) = (Vec::new(), Vec::new(), Vec::new());
    let (mut plain, mut guarded) = (Vec::new(), Vec::new());
    for _ in 0..common.runs {
        none.push(creates(&cluster.api, &mut admin, arguments.operations, "other").await?);
        with.push(creates(&cluster.api, &mut admin, arguments.operations, "asked").await?);
        loopback.push(calls(arguments.operations).await?);
        plain.push(requests(cluster.http, HOST, arguments.operations).await?);
        guarded.push(requests(cluster.http, "guarded.example", arguments.operations).await?);
    }
    cluster.stop().await?;
    let (none, with, loopback, plain, guarded) = (median(none), median(with), median(loopback), median(plain), median(guarded));
    println!("create of a Pod, dry run, one connection         {none:>8.1} µs");
    println!("… with a plugin (mutate and validate)            {with:>8.1} µs   {:+.1} µs", with - none);
    println!("an HTTP call over loopback with the same review  {loopback:>8.1} µs");
    println!("request through an Ingress, one connection       {plain:>8.1} µs");
    println!("… with a plugin (request and response)           {guarded:>8.1} µs   {:+.1} µs", guarded - plain);
    Ok(())
}

fn manifest() -> Value {
    let ingress = |name: &str, host: &str, annotations: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "annotations": annotations}, "spec": {"rules": [{"host": host,
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "bench", "port": {"number": 80}}}}]}}]}})
    };
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bench"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "bench"}},
            "template": {"metadata": {"labels": {"app": "bench"}}, "spec": {"containers": [{"name": "c", "image": "wharf.local/bench:v1"}]}}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bench"}, "spec": {"selector": {"app": "bench"}, "ports": [{"port": 80}]}},
        ingress("bench", HOST, json!({})),
        ingress("guarded", "guarded.example", json!({"plugins.wharf.dev/ingress": "api-key"})),
        {"apiVersion": "plugins.wharf.dev/v1", "kind": "Plugin", "metadata": {"name": "require-digest"}, "spec": {"image": "wharf.local/require-digest",
            "world": "admission", "config": [{"name": "allow", "value": "busybox"}], "match": {"objectSelector": {"matchLabels": {"plugin": "asked"}},
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]}}},
        {"apiVersion": "plugins.wharf.dev/v1", "kind": "Plugin", "metadata": {"name": "api-key"}, "spec": {"image": "wharf.local/api-key", "world": "ingress",
            "config": [{"name": "keys", "value": "bench secret"}]}}]})
}

async fn ready(api: &Api, connection: &mut Connection) -> Result<()> {
    for _ in 0..600 {
        let list = api.get(connection, "/apis/plugins.wharf.dev/v1/plugins").await?;
        let is =
            |plugin: &Value| plugin["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
        if list["items"].as_array().is_some_and(|all| all.iter().all(is)) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    bail!("the plugins are not ready")
}

fn pod(label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bench", "labels": {"plugin": label}}, "spec": {"containers": [
        {"name": "c", "image": "busybox:1.36", "command": ["sleep", "3600"], "env": [{"name": "A", "value": "x".repeat(256)}]}]}})
}

/// Microseconds of a create.
async fn creates(api: &Api, connection: &mut Connection, count: usize, label: &str) -> Result<f64> {
    let body = Bytes::from(pod(label).to_string());
    let began = Instant::now();
    for _ in 0..count {
        let (code, answer) = api.send(connection, "POST", PODS, "application/json", body.clone()).await?;
        if code != 201 {
            bail!("{code} {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / count as f64)
}

/// Microseconds of a POST of a review to a server of this process that answers at once.
async fn calls(count: usize) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let at = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                let _ = request.into_body().collect().await;
                let answer = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": {"uid": "1", "allowed": true}}).to_string();
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(answer))))
            });
            tokio::spawn(async move { hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
        }
    });
    let review =
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {"uid": "1", "operation": "CREATE", "object": pod("asked")}});
    let body = Bytes::from(review.to_string());
    let mut connection = connect(at).await?;
    let began = Instant::now();
    for _ in 0..count {
        let request = http::Request::post("/").header("host", "webhook").header("content-type", "application/json").body(Full::new(body.clone()))?;
        let answer = send(&mut connection, request).await?;
        serde_json::from_slice::<Value>(&answer.1).context("the answer")?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / count as f64)
}

/// Microseconds of a request through an Ingress.
async fn requests(at: SocketAddr, host: &str, count: usize) -> Result<f64> {
    let mut connection = connect(at).await?;
    let ask = || http::Request::get("/").header("host", host).header("x-api-key", "secret").body(Full::new(Bytes::new()));
    for _ in 0..200 {
        if send(&mut connection, ask()?).await?.0 == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    for _ in 0..count {
        let (status, body) = send(&mut connection, ask()?).await?;
        if status != 200 {
            bail!("{host}: {status} {}", String::from_utf8_lossy(&body));
        }
    }
    Ok(began.elapsed().as_secs_f64() * 1e6 / count as f64)
}

async fn connect(at: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(connection: &mut SendRequest<Full<Bytes>>, request: http::Request<Full<Bytes>>) -> Result<(u16, Bytes)> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status().as_u16();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}
