//! (b) ConfigMaps over TLS with authorization and admission on, against puts of the same size to etcd.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::cluster::{Cluster, Common};
use crate::load::{self, Until};

/// What this benchmark is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The peer (Debian: etcd-server).
    #[arg(long, default_value = "etcd")]
    etcd: PathBuf,
    /// Operations at one connection; at 32 there are five times as many.
    #[arg(long, default_value_t = 2000)]
    operations: usize,
}

const MANY: usize = 32;

pub(crate) async fn run(common: &Common, arguments: &Arguments) -> Result<()> {
    let folder = TempDir::new()?;
    let peer = etcd(arguments, &folder).await;
    let cluster = Cluster::start(common, &folder.path().join("wharf"), &[], None).await?;
    let api = &cluster.api;
    let mut admin = api.connect().await?;
    let payload = "x".repeat(256);
    let mut rows: Vec<(String, Vec<load::Rate>)> = Vec::new();
    for round in 0..common.runs {
        let namespace = format!("bench-{round}");
        api.create(&mut admin, "/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await?;
        let path = format!("/api/v1/namespaces/{namespace}/configmaps");
        let mut keep = |what: &str, rate| match rows.iter_mut().find(|(name, _)| name == what) {
            Some((_, rates)) => rates.push(rate),
            None => rows.push((what.to_owned(), vec![rate])),
        };
        for (connections, count) in [(1, arguments.operations), (MANY, arguments.operations * 5)] {
            if let Ok((_, port)) = &peer {
                keep(&format!("etcd put, {connections}"), put(*port, connections, count, round).await?);
            }
            for operation in [Operation::Create, Operation::Get, Operation::Update, Operation::Delete] {
                let mut states = Vec::new();
                for _ in 0..connections {
                    states.push(api.connect().await?);
                }
                let (api, path, payload) = (api.clone(), path.clone(), payload.clone());
                let rate = load::run(states, Until::Count(count), move |mut connection, n| {
                    let (api, name) = (api.clone(), format!("c{connections}-{n}"));
                    let (method, path, content_type, body) = operation.request(&path, &name, &payload);
                    async move {
                        let sent = api.send(&mut connection, method, &path, content_type, body).await;
                        (connection, sent.is_ok_and(|(code, _)| (200..300).contains(&code)))
                    }
                })
                .await?;
                keep(&format!("wharf {}, {connections}", operation.name()), rate);
            }
        }
    }
    if let Err(error) = &peer {
        println!("etcd: {error:#}");
    }
    let rows: Vec<_> = rows.into_iter().map(|(what, rates)| (what, load::middle(rates))).collect();
    for (what, rate) in &rows {
        load::print(&format!("{what} connection(s)"), rate);
    }
    let of = |name: &str| rows.iter().find(|(what, _)| what == name).map(|(_, rate)| rate.per_second);
    for connections in [1, MANY] {
        if let (Some(ours), Some(theirs)) = (of(&format!("wharf create, {connections}")), of(&format!("etcd put, {connections}"))) {
            println!("ratio, wharf create / etcd put at {connections}: {:.2}", ours / theirs);
        }
    }
    println!("resident at the end: {:.1} MiB", cluster.resident()? as f64 / f64::from(1 << 20));
    cluster.stop().await
}

#[derive(Clone, Copy)]
enum Operation {
    Create,
    Get,
    Update,
    Delete,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Get => "get",
            Operation::Update => "merge patch",
            Operation::Delete => "delete",
        }
    }

    fn request(self, collection: &str, name: &str, payload: &str) -> (&'static str, String, &'static str, Bytes) {
        let one = format!("{collection}/{name}");
        match self {
            Operation::Create => {
                let object = format!(
                    r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}","labels":{{"app":"load"}}}},"data":{{"k":"{payload}","t":"0"}}}}"#
                );
                ("POST", collection.to_owned(), "application/json", object.into())
            }
            Operation::Get => ("GET", one, "application/json", Bytes::new()),
            Operation::Update => ("PATCH", one, "application/merge-patch+json", Bytes::from_static(br#"{"data":{"t":"2"}}"#)),
            Operation::Delete => ("DELETE", one, "application/json", Bytes::new()),
        }
    }
}

/// An etcd of one member, with its defaults (fsync on).
async fn etcd(arguments: &Arguments, folder: &TempDir) -> Result<(Child, u16)> {
    let free = || -> Result<u16> { Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port()) };
    let (client, peer) = (free()?, free()?);
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let child = Command::new(&arguments.etcd)
        .arg("--data-dir")
        .arg(folder.path().join("etcd"))
        .args(["--listen-client-urls", &url(client), "--advertise-client-urls", &url(client), "--listen-peer-urls", &url(peer)])
        .args(["--initial-advertise-peer-urls", &url(peer), "--initial-cluster", &format!("default={}", url(peer)), "--log-level", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("not measured (install etcd-server)")?;
    for _ in 0..200 {
        if put(client, 1, 1, 0).await.is_ok_and(|rate| rate.errors == 0) {
            return Ok((child, client));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("it did not start")
}

/// `etcdserverpb.KV/Put` over gRPC, a connection for each worker.
async fn put(port: u16, connections: usize, count: usize, round: usize) -> Result<load::Rate> {
    let mut states = Vec::new();
    for _ in 0..connections {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(tcp)).await?;
        tokio::spawn(connection);
        states.push(sender);
    }
    // What the API stores for the same object: the payload and its metadata.
    let value = "x".repeat(640);
    load::run(states, Until::Count(count), move |sender: SendRequest<Full<Bytes>>, n| {
        let message = put_request(&format!("/registry/configmaps/bench-{round}/c{connections}-{n}"), &value);
        async move {
            let mut sender = sender;
            let well = grpc(&mut sender, port, message).await.is_ok();
            (sender, well)
        }
    })
    .await
}

async fn grpc(sender: &mut SendRequest<Full<Bytes>>, port: u16, message: Bytes) -> Result<()> {
    let request = http::Request::post(format!("http://127.0.0.1:{port}/etcdserverpb.KV/Put"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(message))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let collected = answer.into_body().collect().await?;
    match collected.trailers().and_then(|t| t.get("grpc-status")).map(http::HeaderValue::as_bytes) {
        Some(b"0") => Ok(()),
        other => bail!("grpc-status {other:?}"),
    }
}

/// A length-prefixed `PutRequest { key = 1, value = 2 }`.
fn put_request(key: &str, value: &str) -> Bytes {
    let mut message = BytesMut::new();
    for (field, bytes) in [(1u8, key.as_bytes()), (2, value.as_bytes())] {
        message.put_u8(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            message.put_u8((length as u8) | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(bytes);
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(&message);
    framed.freeze()
}
