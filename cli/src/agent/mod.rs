//! `wharf agent`: a node that is a process of its own, on any machine that reaches the control plane.
//!
//! Its Pods have the addresses that the API shows (routed mode): every node is the way to its own part of the Pods' network.

mod ingress;
mod join;
mod routes;
mod serving;

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Taint;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wharf_net::{ClusterNet, Mode, PodNet};
use wharf_node::{Handlers, NativeImage, Node, NodeConfig};

use crate::data::Folder;
use crate::plugins;
use crate::process::{self, Signals};
use crate::say::Progress;
use crate::up::cluster::{open_images, own_registry};
use crate::up::control_plane::Logs;
use crate::up::coredns::CoreDns;
use crate::up::dialer::KUBELET_PORT;
use crate::up::tasks::Group;
use crate::up::{edge, names};

/// What `wharf agent` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf agent --server https://192.168.1.10:6443 --token abcdef.0123456789abcdef \\
      --discovery-token-ca-cert-hash sha256:…              as `wharf server` prints it
  wharf agent --server https://192.168.1.10:6443           later: the node has its certificate

It needs CAP_NET_ADMIN, for the routes to Pods, and CAP_NET_BIND_SERVICE where Pods listen below port 1024.")]
pub(crate) struct Arguments {
    /// The API of the control plane.
    #[arg(long, value_name = "URL")]
    server: String,
    /// The bootstrap token, needed the first time.
    #[arg(long, value_name = "TOKEN", env = "WHARF_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// `sha256:…` of the public key of the cluster's CA, needed the first time: by this the machine knows whom it joins.
    #[arg(long, value_name = "HASH")]
    discovery_token_ca_cert_hash: Option<String>,
    /// The node's name [default: this machine's].
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The node's IP address [default: the one from which it reaches the API].
    #[arg(long, value_name = "IP")]
    node_ip: Option<Ipv4Addr>,
    /// Labels to register with. Repeatable.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    node_labels: Vec<(String, String)>,
    /// Taints to register with. Repeatable.
    #[arg(long, value_name = "KEY=VALUE:EFFECT", value_parser = taint)]
    register_with_taints: Vec<Taint>,
    /// Where certificates, images, volumes and logs are kept [default: wharf-agent in the XDG data folder].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Log more: -v what happens, -vv how. `RUST_LOG` says it in detail.
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Runs the node until it is told to stop.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let logs = Logs::new();
    process::log(arguments.verbose, Some(&logs));
    process::block_on(serve(arguments, &logs))
}

async fn serve(arguments: &Arguments, logs: &Logs) -> Result<()> {
    let progress = Progress::new();
    let mut signals = Signals::new()?;
    let folder = Folder::take_or_default(arguments.data_dir.as_deref(), "wharf-agent", "wharf agent")?;
    let name = match &arguments.node_name {
        Some(name) => name.clone(),
        None => std::fs::read_to_string("/proc/sys/kernel/hostname").context("read this machine's name")?.trim().to_lowercase(),
    };
    folder.describe(&format!("node {name}"))?;
    let asked =
        join::Asked { server: &arguments.server, token: arguments.token.as_deref(), ca_hash: arguments.discovery_token_ca_cert_hash.as_deref(), node: &name };
    let joined = tokio::select! {
        joined = join::join(&folder, asked, &progress) => joined?,
        signal = signals.next() => bail!("stopped by {signal} while joining"),
    };
    let address = match arguments.node_ip {
        Some(address) => address,
        None => joined.local_address().await?,
    };

    let (sender, mut failures) = mpsc::channel(1);
    let group = Group::new(sender);
    let mut routes = routes::Routes::new().context("open a netlink socket")?;
    routes.adopt().await?;
    routes.claim_services().await?;
    let net = ClusterNet::new(PodNet::new(Mode::Routed));
    let engine = wharf_engine::Engine::new(wharf_engine::EngineConfig::default()).context("set up the WebAssembly engine")?;
    let images = open_images(&folder, &engine, &joined.ca, own_registry(arguments.server.as_str(), &joined.identity), false, None)?;
    let (dns, resolver) = names::start(joined.client.clone(), &net, &group);
    let listener = TcpListener::bind((address, KUBELET_PORT)).await;
    let listener = listener.with_context(|| format!("listen at {address}:{KUBELET_PORT} for the kubelet API"))?;

    let handlers = Handlers::new();
    let plugins = {
        let engine = engine.clone();
        plugins::host(move || Ok(engine.clone()), images.clone())
    };
    let ingress = ingress::Controller { joined: joined.clone(), net: net.clone(), handlers: handlers.clone(), plugins, log: logs.of("wharf_ingress") };
    let mut config = NodeConfig::new(&name, joined.client.clone(), engine, images, net.clone(), handlers, folder.join("node"), address, resolver);
    config.cluster_ca = joined.ca.as_bytes().to_vec();
    config.version = wharf_server::VERSION.to_owned();
    config.labels = arguments.node_labels.iter().cloned().collect();
    config.taints = arguments.register_with_taints.clone();
    config.native = vec![Arc::new(CoreDns::new(dns)) as Arc<dyn NativeImage>, Arc::new(ingress)];
    let node = Node::new(config).with_context(|| format!("node {name}"))?;
    group.spawn("routes", routes.run(joined.client.clone(), name.clone(), group.token()));
    group.spawn("kubelet API", serving::serve(joined.clone(), folder.join("pki"), name.clone(), IpAddr::V4(address), listener, node.kubelet(), group.token()));
    group.spawn("node", {
        let token = group.token();
        async move { node.run(token).await }
    });
    edge::proxy(joined.client.clone(), &net, &[address], &group);
    progress.step(&format!("node       {name} at {address}, of the cluster at {}", arguments.server));
    progress.line("Ctrl-C stops the node; its Pods stay in the API, and start again with it.");

    process::until_told(&mut signals, &progress, process::first(&mut failures), group.end()).await
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn taint(text: &str) -> Result<Taint, String> {
    let (left, effect) = text.rsplit_once(':').ok_or("not of the form KEY=VALUE:EFFECT")?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(format!("{effect:?} is not one of NoSchedule, PreferNoSchedule, NoExecute"));
    }
    let (key, value) = left.split_once('=').unwrap_or((left, ""));
    Ok(Taint { key: key.to_owned(), value: Some(value.to_owned()).filter(|v| !v.is_empty()), effect: effect.to_owned(), ..Taint::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_read_as_kubectl_writes_them() {
        let read = |text: &str| taint(text).map(|t| (t.key, t.value, t.effect));
        assert_eq!(read("gpu=yes:NoSchedule"), Ok(("gpu".into(), Some("yes".into()), "NoSchedule".into())));
        assert_eq!(read("gpu:NoExecute"), Ok(("gpu".into(), None, "NoExecute".into())));
        assert!(read("gpu").is_err() && read("gpu=yes:Never").is_err());
    }
}
