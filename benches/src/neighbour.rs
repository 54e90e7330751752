//! Requests through the Ingress beside a guest that spins for ever, against the same requests without it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, Common};
use crate::{ingress, load, median};

/// What this benchmark is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The component to serve.
    #[arg(long, default_value = "tests/guests/http-p2/http-p2.wasm")]
    component: PathBuf,
    /// Connections.
    #[arg(long, default_value_t = 2)]
    connections: usize,
}

const PODS: &str = "/api/v1/namespaces/default/pods";

pub(crate) async fn run(common: &Common, arguments: &Arguments) -> Result<()> {
    let folder = TempDir::new()?;
    let cluster = ingress::deploy(common, &arguments.component, &folder.path().join("data"), false, None).await?;
    let (mut alone, mut beside, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = ingress::drive(common, arguments.connections, cluster.http).await?;
    for _ in 0..common.runs {
        spin(&cluster, true).await?;
        let with = ingress::drive(common, arguments.connections, cluster.http).await?;
        spin(&cluster, false).await?;
        let after = ingress::drive(common, arguments.connections, cluster.http).await?;
        kept.push(with.per_second * 2.0 / (before.per_second + after.per_second));
        alone.push(std::mem::replace(&mut before, after));
        beside.push(with);
    }
    alone.push(before);
    cluster.stop().await?;
    load::print("alone", &load::middle(alone));
    load::print("beside a guest that spins", &load::middle(beside));
    println!("kept of the requests/s: {:.2}", median(kept));
    Ok(())
}

/// Starts the Pod that spins, or removes it; returns when that is so.
async fn spin(cluster: &Cluster, on: bool) -> Result<()> {
    let mut connection = cluster.api.connect().await?;
    if on {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "spinner"}, "spec": {"containers": [{"name": "c", "image": "busybox", "args": ["sh", "-c", "while :; do :; done"]}]}});
        cluster.api.create(&mut connection, PODS, &pod).await?;
    } else {
        cluster.api.send(&mut connection, "DELETE", &format!("{PODS}/spinner?gracePeriodSeconds=0"), "application/json", Bytes::new()).await?;
    }
    let begin = Instant::now();
    loop {
        let pod = cluster.api.get(&mut connection, &format!("{PODS}/spinner")).await?;
        if if on { pod["status"]["phase"] == "Running" } else { pod["code"] == 404 } {
            break;
        }
        if begin.elapsed() > Duration::from_secs(60) {
            bail!("the spinner {}: {pod}", if on { "does not start" } else { "does not end" });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It spins, or what it was given is at rest again.
    tokio::time::sleep(Duration::from_millis(500)).await;
    Ok(())
}
