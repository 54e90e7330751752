//! `wharf server`: the control plane alone, for nodes that are processes of their own (`wharf agent`).

mod join;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc;
use wharf_net::{Mode, PodNet};
use wharf_server::pki::Pki;

use crate::data::{Folder, write_private};
use crate::process::{self, Signals};
use crate::say::Progress;
use crate::up::addons::Edge;
use crate::up::cluster::{listen, open_images, own_registry, reachable, server_names};
use crate::up::control::{Control, Options, Wiring};
use crate::up::dialer::OverTls;
use crate::{kubeconfig, plugins};

/// Instances of plugins at one time.
const PLUGIN_INSTANCES: u32 = 256;

/// What `wharf server` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wharf server                                          prints the command by which nodes join
  wharf server --advertise-address 192.168.1.10         where several networks could be meant
  wharf server --kubeconfig ~/.kube/config              and make it kubectl's current context

Nodes are started with `wharf agent`, on any machine that reaches the API.")]
pub(crate) struct Arguments {
    /// Where objects and certificates are kept [default: wharf-server in the XDG data folder].
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Where the Kubernetes API listens; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:6443")]
    api_addr: SocketAddr,
    /// The IP address at which nodes and Pods reach the API [default: the one of --api-addr, or of this machine's default route].
    #[arg(long, value_name = "IP")]
    advertise_address: Option<IpAddr>,
    /// Merge the context `wharf` into this kubeconfig as well, once the API answers.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How long a node may be silent before it counts as unhealthy, in seconds; nodes say every ten that they live.
    #[arg(long, value_name = "SECONDS", default_value_t = 40, value_parser = clap::value_parser!(u64).range(15..=86_400))]
    node_monitor_grace_period: u64,
    /// Log more: -v what happens, -vv how. `RUST_LOG` says it in detail.
    #[arg(long, short, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Runs the control plane until it is told to stop.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::log(arguments.verbose, None);
    process::block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let progress = Progress::new();
    let mut signals = Signals::new()?;
    let folder = Folder::take_or_default(arguments.data_dir.as_deref(), "wharf-server", "wharf server")?;
    let listener = listen(arguments.api_addr, "--api-addr", "the API").await?;
    let api = listener.local_addr()?;
    let advertised = SocketAddr::new(advertised(arguments.advertise_address, api)?, api.port());
    folder.describe(&format!("API at https://{advertised}"))?;

    let mut names = server_names(api, &[]);
    names.push(advertised.ip().to_string());
    let pki = Pki::open(&folder.join("pki"), &names).context("certificates")?;
    let identity = pki.client("kube-apiserver-kubelet-client", &["system:masters"]).context("the kubelet client's certificate")?;
    let kubelets = OverTls::new(pki.client_tls(Some(&identity)).context("the kubelet client's TLS")?, PodNet::new(Mode::Routed));
    // Only plugins run here.
    let engine = wharf_engine::EngineConfig { max_instances: Some(PLUGIN_INSTANCES), ..wharf_engine::EngineConfig::default() };
    let engine = wharf_engine::Engine::new(engine).context("set up the WebAssembly engine")?;
    let registry = own_registry(&format!("https://{}", reachable(api)), &identity);
    let images = open_images(&folder, &engine, pki.ca_certificate(), registry, false, None)?;
    let plugins = plugins::host(move || Ok(engine.clone()), images);
    let wiring = Wiring { pki: pki.clone(), nodes: Arc::new(kubelets), pods: None, advertise: advertised, plugins, chain: None, edge: Edge::Nodes };
    let (sender, mut failures) = mpsc::channel(1);
    let options = Options { node_monitor_grace_period: Duration::from_secs(arguments.node_monitor_grace_period), ..Options::default() };
    let control = Control::start(&folder, wiring, listener, options, &sender).await?;
    let token = join::prepare(control.admin(), &folder, &pki, advertised).await?;

    let own = folder.join("kubeconfig");
    let ours = pki.kubeconfig(kubeconfig::NAME, &format!("https://{}", reachable(api)));
    write_private(&own, ours.as_bytes())?;
    if let Some(file) = &arguments.kubeconfig {
        kubeconfig::merge_into(file, &ours)?;
    }
    progress.step(&format!("API        https://{advertised}"));
    progress.line("");
    match token {
        Some(token) => {
            let hash = pki.ca_hash().map_err(anyhow::Error::msg).context("the CA's certificate")?;
            let command = format!("wharf agent --server https://{advertised} --token {token} --discovery-token-ca-cert-hash {hash}");
            progress.line("Nodes join with:");
            progress.line(&format!("  {}", progress.strong(&command)));
        }
        None => progress
            .line(&format!("No more nodes join: the token's Secret is gone. For a new token, remove {} and start again.", folder.join("token").display())),
    }
    progress.line("");
    progress.line(&format!("  {}", progress.strong(&format!("export KUBECONFIG={}", own.display()))));
    progress.line("  kubectl get nodes -w");
    progress.line("");
    progress.line("Ctrl-C stops the control plane; Pods go on, and its objects stay.");

    process::until_told(&mut signals, &progress, process::first(&mut failures), control.end()).await
}

/// The address by which others know the API.
fn advertised(wanted: Option<IpAddr>, api: SocketAddr) -> Result<IpAddr> {
    if let Some(wanted) = wanted {
        return Ok(wanted);
    }
    if !api.ip().is_unspecified() {
        return Ok(api.ip());
    }
    // Nothing is sent: the kernel only says which address it would send from.
    let route = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect("192.0.2.1:9")?;
        Ok(socket.local_addr()?.ip())
    };
    route().context("this machine has no default route that would tell its address; say with --advertise-address at which address nodes reach the API")
}
