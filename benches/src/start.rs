//! (c) From start to the first Ready node, on a new data folder and on one that has objects, and memory when idle.

use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::cluster::{Cluster, Common};
use crate::median;

pub(crate) async fn run(common: &Common) -> Result<()> {
    let (mut first, mut again, mut resident) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..common.runs {
        let folder = TempDir::new()?;
        let cluster = Cluster::start(common, folder.path(), &[], None).await?;
        first.push(cluster.ready.as_secs_f64() * 1e3);
        tokio::time::sleep(Duration::from_secs(5)).await;
        resident.push(cluster.resident()? as f64 / f64::from(1 << 20));
        cluster.stop().await?;
        let cluster = Cluster::start(common, folder.path(), &[], None).await?;
        again.push(cluster.ready.as_secs_f64() * 1e3);
        cluster.stop().await?;
    }
    println!("start to Ready, new data folder:       {:>7.0} ms", median(first));
    println!("start to Ready, existing data folder:  {:>7.0} ms", median(again));
    println!("resident when idle for 5 s:            {:>7.1} MiB", median(resident));
    Ok(())
}
