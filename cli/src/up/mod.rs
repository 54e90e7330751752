//! `wharf up`: a whole cluster in this process.

pub(crate) mod addons;
pub(crate) mod cluster;
pub(crate) mod control;
pub(crate) mod control_plane;
pub(crate) mod coredns;
pub(crate) mod dialer;
pub(crate) mod edge;
pub(crate) mod ingress;
mod local_images;
pub(crate) mod names;
mod registry;
mod report;
#[cfg(test)]
mod streams_tests;
pub(crate) mod tasks;
mod wait;

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

pub(crate) use cluster::Cluster;

use crate::process::{self, Signals};
use crate::say::Progress;
use crate::{apply, data};

/// What `wharf up` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf up                                 one node, on the usual ports
  wharf up --workers 3                     nodes control-plane, worker, worker2, worker3
  wharf up --apply examples/hello          and deploy the manifests of a folder
  wharf up --kubeconfig ~/.kube/config     and make it kubectl's current context
  wharf up --api-addr 127.0.0.1:0 --http-addr 127.0.0.1:0 --https-addr 127.0.0.1:0 --data-dir /tmp/w
                                           a second cluster, on ports that are free

Stop it with Ctrl-C. Objects stay in the data folder; the next `wharf up` takes them up again.")]
pub(crate) struct Arguments {
    /// Where objects, certificates and images are kept [default: wharf in the XDG data folder].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Where the Kubernetes API listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6443")]
    api_addr: SocketAddr,
    /// Where Ingresses are served over HTTP; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http_addr: SocketAddr,
    /// Where Ingresses are served over HTTPS; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    https_addr: SocketAddr,
    /// Worker nodes beside `control-plane`, which then takes no ordinary Pods. Without it, there is one node that takes all.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=200))]
    workers: u8,
    /// Merge the context `wharf` into this kubeconfig as well, once the API answers.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Apply a manifest, or a folder of them, once the cluster runs. Repeatable.
    #[arg(long, value_name = "PATH")]
    apply: Vec<PathBuf>,
    /// Reach the nodes' kubelet API over TLS, as separate processes do, instead of by a call.
    #[arg(long, hide = true)]
    kubelet_over_tls: bool,
    /// How much processor time the compilation of one module may take, and a tenth of the time that it may take by the clock.
    #[arg(long, value_name = "SECONDS", hide = true)]
    compile_seconds: Option<u64>,
    /// Log more: -v what happens, -vv how. `RUST_LOG` says it in detail.
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What the compiling child does.
pub(crate) fn compile(flavor: wharf_image::Flavor, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let flavor = match flavor {
        wharf_image::Flavor::P2 => wharf_engine::Flavor::P2,
        wharf_image::Flavor::P3 => wharf_engine::Flavor::P3,
    };
    wharf_engine::compile(flavor, wasm).map_err(|error| error.to_string())
}

/// Runs the cluster until it is told to stop.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let logs = control_plane::Logs::new();
    process::log(arguments.verbose, Some(&logs));
    process::block_on(serve(arguments, &logs))
}

async fn serve(arguments: Arguments, logs: &control_plane::Logs) -> Result<()> {
    let progress = Progress::new();
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    // Manifests are read first: a typing error should not cost a start.
    let mut manifests = Vec::new();
    for path in &arguments.apply {
        manifests.push((path.clone(), apply::read(path)?));
    }
    let folder = data::Folder::take_or_default(arguments.data_dir.as_deref(), "wharf", "wharf up")?;
    let starting = async {
        let cluster = Cluster::start(&arguments, &folder, logs, &stop, &progress).await?;
        report::ready(&cluster, &progress);
        for (path, objects) in manifests {
            cluster.apply(&path, objects, &progress).await?;
        }
        report::next(&cluster, &progress).await;
        Ok::<Cluster, anyhow::Error>(cluster)
    };
    let cluster = tokio::select! {
        cluster = starting => cluster,
        name = signals.next() => Err(anyhow::anyhow!("stopped by {name} while starting")),
    };
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(error) => {
            stop.cancel();
            return Err(error);
        }
    };
    process::until_told(&mut signals, &progress, cluster.failed(), cluster.stop()).await
}
