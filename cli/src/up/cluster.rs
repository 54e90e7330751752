//! The parts of a cluster and how they are joined. No part's logic is here.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Taint};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use wharf_image::{CompileCommand, Images, OwnRegistry};
use wharf_net::{ClusterNet, ListenerKind, Mode, PodNet, Proto, Scope};
use wharf_node::{Handlers, KeyValueData, KubeletTls, NativeImage, NodeConfig, ServiceLinks};
use wharf_server::Identity;
use wharf_server::pki::{Issued, Pki};

use crate::data::{Folder, write_private};
use crate::deploy::INGRESS_ADDRESS;
use crate::plugins::Chain;
use crate::say::Progress;
use crate::up::addons::Edge;
use crate::up::control::{Control, Options, Wiring};
use crate::up::coredns::CoreDns;
use crate::up::dialer::{KUBELET_PORT, Kubelets, OverTls, PodNetwork};
use crate::up::ingress::Controller;
use crate::up::tasks::Group;
use crate::up::{Arguments, control_plane, edge, local_images, names};
use crate::{apply, kubeconfig, plugins, process};

/// The port at which Pods find the API server on the first node.
const API_PORT: u16 = 6443;
/// How long the nodes may take to be Ready.
const READY: Duration = Duration::from_secs(30);

/// A running cluster.
pub(crate) struct Cluster {
    api: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
    kubeconfig: PathBuf,
    nodes: Vec<String>,
    images: Images,
    admin: kube::Client,
    /// Who takes requests and runs Pods; ended before the control plane.
    workloads: Group,
    control: Control,
    failures: Mutex<mpsc::Receiver<anyhow::Error>>,
    /// Addresses of the cluster that this process answers itself.
    _listeners: Vec<wharf_net::Guard>,
}

impl Cluster {
    /// Starts everything, and returns once the API answers and all nodes are Ready.
    pub(crate) async fn start(
        arguments: &Arguments,
        folder: &Folder,
        logs: &control_plane::Logs,
        stop: &CancellationToken,
        progress: &Progress,
    ) -> Result<Cluster> {
        // Whoever waits for the file waits for this cluster, not for one that was there before.
        let own = folder.join("kubeconfig");
        match std::fs::remove_file(&own) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error).with_context(|| format!("remove {}", own.display())),
            _ => {}
        }
        let api_listener = listen(arguments.api_addr, "--api-addr", "the API").await?;
        let http_listener = listen(arguments.http_addr, "--http-addr", "Ingress over HTTP").await?;
        let https_listener = listen(arguments.https_addr, "--https-addr", "Ingress over HTTPS").await?;
        let (api, http, https) = (api_listener.local_addr()?, http_listener.local_addr()?, https_listener.local_addr()?);
        folder.describe(&format!("API at https://{}", reachable(api)))?;

        let nodes = node_names(arguments.workers);
        let addresses: Vec<Ipv4Addr> = (1..=nodes.len()).map(|n| Ipv4Addr::new(10, 88, 0, u8::try_from(n).unwrap_or(u8::MAX))).collect();
        let pki = Pki::open(&folder.join("pki"), &server_names(api, &addresses)).context("certificates")?;
        let net = ClusterNet::new(PodNet::new(loopback_mode()));
        let mut listeners = Vec::new();
        let api_in_cluster = SocketAddrV4::new(addresses[0], API_PORT);
        let at = reachable(api);
        listeners.push(net.listeners.register(Proto::Tcp, api_in_cluster, Scope::Address, at, ListenerKind::Socket, "kube-apiserver")?);

        let (sender, failures) = mpsc::channel(1);
        let workloads = Group::new(sender.clone());

        let kubelets = Kubelets::default();
        let dialer: Arc<dyn wharf_server::NodeDialer> = if arguments.kubelet_over_tls {
            let identity = pki.client("kube-apiserver-kubelet-client", &["system:masters"]).context("the kubelet client's certificate")?;
            Arc::new(OverTls::new(pki.client_tls(Some(&identity)).context("the kubelet client's TLS")?, net.pod_net.clone()))
        } else {
            Arc::new(kubelets.clone())
        };
        let engine = wharf_engine::Engine::new(wharf_engine::EngineConfig::default()).context("set up the WebAssembly engine")?;
        // To the registry, all nodes of this process are the first one.
        let identity = pki.client(&format!("system:node:{}", nodes[0]), &["system:nodes"]).context("the nodes' certificate for the registry")?;
        let registry = own_registry(&format!("https://{}", reachable(api)), &identity);
        let images = open_images(folder, &engine, pki.ca_certificate(), registry, true, arguments.compile_seconds)?;
        let plugins = plugins::host(
            {
                let engine = engine.clone();
                move || Ok(engine.clone())
            },
            images.clone(),
        );
        let chain = Chain::new(plugins.clone());
        let wiring = Wiring {
            pki: pki.clone(),
            nodes: dialer,
            pods: Some(Arc::new(PodNetwork(net.clone()))),
            advertise: SocketAddr::V4(api_in_cluster),
            plugins,
            chain: Some(chain.clone()),
            edge: Edge::Process,
        };
        let control = Control::start(folder, wiring, api_listener, Options::default(), &sender).await?;
        let server = control.server().clone();
        let ours = pki.kubeconfig(kubeconfig::NAME, &format!("https://{}", reachable(api)));
        write_private(&own, ours.as_bytes())?;
        progress.step("API server, on the objects of the data folder");

        let handlers = Handlers::new();
        let (key_value, services) = (KeyValueData::at(folder.join("keyvalue.redb")), ServiceLinks::new());
        let (dns, resolver) = names::start(server.client(Identity::service_account("kube-system", "coredns")), &net, &workloads);
        let coredns: Arc<dyn NativeImage> = Arc::new(CoreDns::new(dns));
        let ingress = server.client(Identity::service_account("kube-system", "ingress-nginx"));
        let ingress = edge::ingress(ingress, &net, handlers.clone(), chain, &addresses, &workloads)?;
        let ingress: Arc<dyn NativeImage> = Arc::new(Controller::new(ingress, http_listener, https_listener, logs.of("wharf_ingress"))?);
        for (index, (name, address)) in nodes.iter().zip(&addresses).enumerate() {
            let mut config = NodeConfig::new(
                name,
                server.client(Identity::node(name)),
                engine.clone(),
                images.clone(),
                net.clone(),
                handlers.clone(),
                folder.join("nodes").join(name),
                *address,
                resolver.clone(),
            );
            (config.key_value, config.services) = (key_value.clone(), services.clone());
            config.cluster_ca = pki.ca_certificate().as_bytes().to_vec();
            config.version = wharf_server::VERSION.to_owned();
            config.native = vec![coredns.clone(), ingress.clone()];
            if index == 0 {
                config.control_plane = true;
                config.native.extend(control_plane::images(logs));
                config.static_pods = control_plane::pods(folder, api_in_cluster).context("the control plane's Pods")?;
            }
            if index == 0 && arguments.workers > 0 {
                config.taints.push(Taint { key: "node-role.kubernetes.io/control-plane".into(), effect: "NoSchedule".into(), ..Taint::default() });
            }
            let listener = listen_kubelet(&net, *address).await?;
            config.kubelet_port = listener.local_addr()?.port();
            let node = wharf_node::Node::new(config).with_context(|| format!("node {name}"))?;
            kubelets.add(name, node.kubelet());
            serve_kubelet(&node, name, *address, listener, &pki, &workloads)?;
            workloads.spawn(format!("node {name}"), {
                let token = workloads.token();
                async move { node.run(token).await }
            });
        }
        edge::proxy(server.client(Identity::new("system:kube-proxy", &[])), &net, &addresses, &workloads);

        let admin = control.admin().clone();
        let cluster =
            Cluster { api, http, https, kubeconfig: own, nodes, images, admin, workloads, control, failures: Mutex::new(failures), _listeners: listeners };
        tokio::select! {
            ready = tokio::time::timeout(READY, cluster.nodes_ready()) => {
                ready.with_context(|| format!("the nodes are not Ready after {} s; -v tells more", READY.as_secs()))??;
            }
            error = cluster.failed() => return Err(error),
            () = stop.cancelled() => bail!("stopped"),
        }
        cluster.label_control_plane().await?;
        cluster.publish_ingress().await?;
        if let Some(file) = &arguments.kubeconfig {
            kubeconfig::merge_into(file, &ours)?;
        }
        Ok(cluster)
    }

    /// A node may not give itself a role (NodeRestriction); as elsewhere, whoever sets up the cluster does.
    async fn label_control_plane(&self) -> Result<()> {
        let api: Api<Node> = Api::all(self.admin.clone());
        let role = serde_json::json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}});
        api.patch(&self.nodes[0], &PatchParams::default(), &Patch::Merge(&role)).await.context("label the control plane's node")?;
        Ok(())
    }

    /// Says to everybody who is known at which addresses Ingresses are served, which no object of Kubernetes tells.
    async fn publish_ingress(&self) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.admin.clone(), "kube-public");
        let data = serde_json::json!({"http": self.http_url(""), "https": self.https_url()});
        let map = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": INGRESS_ADDRESS}, "data": data});
        let params = PatchParams::apply("wharf").force();
        api.patch(INGRESS_ADDRESS, &params, &Patch::Apply(&map)).await.context("say where Ingresses are served")?;
        Ok(())
    }

    /// Applies manifests, whose local images are taken in first.
    pub(crate) async fn apply(&self, path: &Path, objects: Vec<Value>, progress: &Progress) -> Result<()> {
        for (reference, file) in local_images::find(path, &objects) {
            let imported = self.images.import(&file, &reference).await;
            imported.with_context(|| format!("image {reference}, which {} names", path.display()))?;
            progress.step(&format!("image      {reference} from {}", file.display()));
        }
        let mut deployments = Vec::new();
        for object in objects {
            let applied = apply::apply(&self.admin, object).await.with_context(|| format!("apply {}", path.display()))?;
            progress.step(&format!("{} {}", applied.what, if applied.created { "created" } else { "configured" }));
            if applied.object.types.as_ref().is_some_and(|t| t.kind == "Deployment") {
                deployments.push(applied.object);
            }
        }
        for deployment in deployments {
            let (namespace, name) = (deployment.metadata.namespace.unwrap_or_default(), deployment.metadata.name.unwrap_or_default());
            match tokio::time::timeout(READY, crate::up::wait::available(&self.admin, &namespace, &name)).await {
                Ok(available) => progress.step(&format!("deployment/{name} {}", available?)),
                Err(_) => progress.step(&format!("deployment/{name} is not available yet: see kubectl -n {namespace} describe pods")),
            }
        }
        Ok(())
    }

    /// Resolves when a part that should run for ever has ended.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        process::first(&mut *self.failures.lock().await).await
    }

    /// Ends everything in order: requests drained, containers ended, the store flushed.
    pub(crate) async fn stop(&self) {
        self.workloads.end().await;
        self.control.end().await;
    }

    async fn nodes_ready(&self) -> Result<()> {
        let api: Api<Node> = Api::all(self.admin.clone());
        let list = api.list(&ListParams::default()).await.context("list the nodes")?;
        let mut waiting: Vec<&String> =
            self.nodes.iter().filter(|name| !list.items.iter().any(|n| n.metadata.name.as_ref() == Some(*name) && is_ready(n))).collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let version = list.metadata.resource_version.unwrap_or_default();
        let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &version).await.context("watch the nodes")?);
        while let Some(event) = events.try_next().await.context("watch the nodes")? {
            if let WatchEvent::Added(node) | WatchEvent::Modified(node) = event
                && is_ready(&node)
            {
                waiting.retain(|name| node.metadata.name.as_ref() != Some(*name));
                if waiting.is_empty() {
                    return Ok(());
                }
            }
        }
        bail!("the watch of the nodes ended")
    }

    /// The hosts of all Ingress rules, in the order of their names.
    pub(crate) async fn ingress_hosts(&self) -> Vec<String> {
        let api: Api<Ingress> = Api::all(self.admin.clone());
        let Ok(list) = api.list(&ListParams::default()).await else { return Vec::new() };
        let rules = list.items.into_iter().filter_map(|i| i.spec).flat_map(|s| s.rules.unwrap_or_default());
        rules.filter_map(|rule| rule.host).filter(|host| !host.starts_with('*')).collect()
    }

    /// `https://127.0.0.1:6443`
    pub(crate) fn api_url(&self) -> String {
        format!("https://{}", reachable(self.api))
    }

    /// `http://HOST:8080/`; the address where `host` is empty.
    pub(crate) fn http_url(&self, host: &str) -> String {
        let at = reachable(self.http);
        if host.is_empty() { format!("http://{at}") } else { format!("http://{host}:{}/", at.port()) }
    }

    /// `https://127.0.0.1:8443`
    pub(crate) fn https_url(&self) -> String {
        format!("https://{}", reachable(self.https))
    }

    /// The admin's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The nodes' names.
    pub(crate) fn nodes(&self) -> &[String] {
        &self.nodes
    }
}

pub(crate) async fn listen(address: SocketAddr, flag: &str, what: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen at {address} for {what}; choose another address with {flag}, or port 0 for a free one"))
}

/// `control-plane`, `worker`, `worker2`, `worker3`, …
fn node_names(workers: u8) -> Vec<String> {
    let workers = (1..=workers).map(|n| if n == 1 { "worker".to_owned() } else { format!("worker{n}") });
    std::iter::once("control-plane".to_owned()).chain(workers).collect()
}

/// Names for the API server's certificate beside those it always has.
pub(crate) fn server_names(api: SocketAddr, nodes: &[Ipv4Addr]) -> Vec<String> {
    let mut names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names.push(reachable(api).ip().to_string());
    if api.ip().is_unspecified()
        && let Ok(host) = std::fs::read_to_string("/proc/sys/kernel/hostname")
    {
        names.push(host.trim().to_owned());
    }
    names
}

/// An address that can be dialled: the loopback one in place of `0.0.0.0`.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(a) if a.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, a.port())),
        SocketAddr::V6(a) if a.ip().is_unspecified() => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, a.port())),
        other => other,
    }
}

fn loopback_mode() -> Mode {
    if rustix::process::geteuid().is_root() {
        return Mode::Loopback { unprivileged_from: 0 };
    }
    Mode::loopback(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default())
}

/// The image store of this process's nodes, which trusts registries with the cluster's certificates too.
pub(crate) fn open_images(
    folder: &Folder,
    engine: &wharf_engine::Engine,
    cluster_ca: &str,
    own: OwnRegistry,
    aliases: bool,
    compile_seconds: Option<u64>,
) -> Result<Images> {
    let compile = CompileCommand::current_exe().context("find our own executable")?;
    let compatibility = wharf_image::Compatibility { p2: engine.compatibility(wharf_engine::Flavor::P2), p3: engine.compatibility(wharf_engine::Flavor::P3) };
    let mut options = wharf_image::Options::new(compile, compatibility, wharf_image::Offers::new(wharf_engine::offers()));
    if aliases {
        options.aliases = wharf_image::Aliases::tutorials();
    }
    if let Some(seconds) = compile_seconds {
        options.limits.compile_cpu = Duration::from_secs(seconds);
        options.limits.compile_wall = Duration::from_secs(seconds.saturating_mul(10));
    }
    options.transport.extra_roots.push(cluster_ca.as_bytes().to_vec());
    options.transport.own = Some(own);
    Images::open(folder.join("images"), options).context("open the image store")
}

/// The cluster's registry, as a node with this client certificate reaches it.
pub(crate) fn own_registry(url: &str, identity: &Issued) -> OwnRegistry {
    OwnRegistry {
        host: wharf_registry::HOST.to_owned(),
        url: url.trim_end_matches('/').to_owned(),
        identity: format!("{}\n{}", identity.certificate, identity.key).into_bytes(),
    }
}

/// The kubelet's port on the node's own address; a free one where another cluster of this machine has it.
async fn listen_kubelet(net: &ClusterNet, address: Ipv4Addr) -> Result<TcpListener> {
    let at = net.pod_net.kernel(SocketAddrV4::new(address, KUBELET_PORT));
    match TcpListener::bind(at).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddrV4::new(*at.ip(), 0)).await.with_context(|| format!("listen at {} for the kubelet API", at.ip())),
    }
}

/// The kubelet API on the node's own address.
fn serve_kubelet(node: &wharf_node::Node, name: &str, address: Ipv4Addr, listener: TcpListener, pki: &Pki, group: &Group) -> Result<()> {
    let issued = pki.serving(&format!("system:node:{name}"), &["system:nodes"], &[name.to_owned(), address.to_string()])?;
    let tls = KubeletTls::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes(), pki.ca_certificate().as_bytes())?;
    group.spawn(format!("kubelet API of {name}"), wharf_node::serve_kubelet(listener, tls, node.kubelet(), group.token()));
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}
