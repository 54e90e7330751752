//! (c) Memory of many idle `wasi:http` Pods, with their API objects, caches and the node's own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, Common, REST};

/// What this benchmark is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The component to run.
    #[arg(long, default_value = "examples/hello/hello.wasm")]
    component: PathBuf,
    /// How many Pods.
    #[arg(long, default_value_t = 1000)]
    pods: usize,
    /// Seconds that nobody asks for anything before memory is measured.
    #[arg(long, default_value = REST)]
    rest: u64,
}

pub(crate) async fn run(common: &Common, arguments: &Arguments) -> Result<()> {
    let (folder, manifests) = (TempDir::new()?, TempDir::new()?);
    std::fs::copy(&arguments.component, manifests.path().join("idle.wasm")).with_context(|| format!("read {}", arguments.component.display()))?;
    let workers = arguments.pods.div_ceil(200).to_string();
    // One Pod first: what the image itself costs is paid by it.
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "idle"}, "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "idle"}},
        "template": {"metadata": {"labels": {"app": "idle"}}, "spec": {"containers": [{"name": "c", "image": "wharf.local/idle:v1"}]}}}});
    std::fs::write(manifests.path().join("idle.json"), deployment.to_string())?;
    let cluster = Cluster::start(common, folder.path(), &["--workers", &workers, "--apply", &manifests.path().to_string_lossy()], None).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (before, own_before) = (cluster.resident()?, cluster.own()?);
    let mut connection = cluster.api.connect().await?;
    let path = "/apis/apps/v1/namespaces/default/deployments/idle";
    let scale = format!(r#"{{"spec":{{"replicas":{}}}}}"#, arguments.pods + 1);
    let begin = Instant::now();
    let (code, body) = cluster.api.send(&mut connection, "PATCH", path, "application/merge-patch+json", scale.into()).await?;
    if code != 200 {
        bail!("scale: {code} {}", String::from_utf8_lossy(&body));
    }
    loop {
        let status = cluster.api.get(&mut connection, path).await?;
        if status["status"]["availableReplicas"].as_u64() == Some(arguments.pods as u64 + 1) {
            break;
        }
        if begin.elapsed() > Duration::from_secs(300) {
            bail!("not all Pods became available: {}", status["status"]);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = begin.elapsed();
    tokio::time::sleep(Duration::from_secs(arguments.rest)).await;
    let (after, own_after) = (cluster.resident()?, cluster.own()?);
    println!("{} Pods from scale to available:        {:>7.1} s ({:.0}/s)", arguments.pods, took.as_secs_f64(), arguments.pods as f64 / took.as_secs_f64());
    println!("resident with one Pod:                   {:>7.1} MiB", before as f64 / f64::from(1 << 20));
    println!("resident with {} more, idle:           {:>7.1} MiB", arguments.pods, after as f64 / f64::from(1 << 20));
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / 1024.0 / arguments.pods as f64;
    println!("each:                                    {:>7.1} KiB", each(before, after));
    println!("each, without the program's own pages:   {:>7.1} KiB", each(own_before, own_after));
    cluster.stop().await
}
