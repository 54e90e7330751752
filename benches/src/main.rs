//! Benchmarks of the whole system, each beside its peer in the same run: what counts is the ratio.
//!
//! `cargo run --profile dist -p wharf-bench -- ingress`, `api`, `start`, `idle`, `functions`, `neighbour`, `plugins`; see `benches/README.md`.

mod api;
mod cluster;
mod functions;
mod idle;
mod ingress;
mod load;
mod neighbour;
mod plugins;
mod start;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks of Wharf, each beside its peer in the same run.
#[derive(Debug, Parser)]
struct Arguments {
    /// The wharf program to measure.
    #[arg(long, default_value = "target/dist/wharf")]
    wharf: PathBuf,
    /// Runs of each row; the median is printed.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds of each run that lasts a time.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Requests through Ingress → Service → Pod, against `wasmtime serve` with the same component.
    Ingress(ingress::Arguments),
    /// Creates, gets, updates and deletes of ConfigMaps over TLS, against puts to etcd of the same size.
    Api(api::Arguments),
    /// From start to the first Ready node, and memory then.
    Start,
    /// Memory of 1,000 idle `wasi:http` Pods.
    Idle(idle::Arguments),
    /// From `wharf deploy` to the first answer, and 1,000 functions that nobody asks for.
    Functions(functions::Arguments),
    /// Requests through the Ingress beside a guest that spins for ever, against the same without it.
    Neighbour(neighbour::Arguments),
    /// What a plugin costs per create and per request, beside none and beside an HTTP call over loopback.
    Plugins(plugins::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let common = cluster::Common { wharf: arguments.wharf, runs: arguments.runs.max(1), seconds: arguments.seconds.max(1) };
    match arguments.bench {
        Bench::Ingress(arguments) => ingress::run(&common, &arguments).await,
        Bench::Api(arguments) => api::run(&common, &arguments).await,
        Bench::Start => start::run(&common).await,
        Bench::Idle(arguments) => idle::run(&common, &arguments).await,
        Bench::Functions(arguments) => functions::run(&common, &arguments).await,
        Bench::Neighbour(arguments) => neighbour::run(&common, &arguments).await,
        Bench::Plugins(arguments) => plugins::run(&common, &arguments).await,
    }
}

/// The middle of several measurements.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
