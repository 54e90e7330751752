//! The Node object, from the configuration, the machine and what is observed. Pure.
//!
//! Labels say `linux` and the machine's architecture, as every kubelet's do, although guests are WebAssembly: stock manifests select
//! `kubernetes.io/os: linux`, and tools look for it. What runs is told by `containerRuntimeVersion`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::Machine;
use crate::NodeConfig;

/// The label of control-plane nodes.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// `containerRuntimeVersion`.
pub const RUNTIME: &str = "wasmtime://48.0.8";
/// Less free disk than this is pressure.
const LITTLE_DISK: i64 = 100 << 20;
/// Images that the status names.
const MAX_IMAGES: usize = 50;

/// What changes while the node runs.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The node has its Pod CIDR and takes Pods.
    pub ready: bool,
    /// Pods that it takes.
    pub pods: u32,
    /// Free bytes on the node's disk.
    pub disk_free: Option<i64>,
    /// Names and sizes of its images.
    pub images: Vec<(Vec<String>, u64)>,
}

/// The object to register.
pub fn node(config: &NodeConfig, machine: &Machine, observed: &Observed, now: Timestamp) -> Node {
    let mut labels = config.labels.clone();
    for (key, value) in [
        ("kubernetes.io/hostname", config.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", machine.arch),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", machine.arch),
    ] {
        labels.insert(key.to_owned(), value.to_owned());
    }
    if config.control_plane {
        labels.insert(CONTROL_PLANE.to_owned(), String::new());
    }
    Node {
        metadata: ObjectMeta { name: Some(config.name.clone()), labels: Some(labels), ..Default::default() },
        spec: Some(NodeSpec { taints: (!config.taints.is_empty()).then(|| config.taints.clone()), ..Default::default() }),
        status: Some(status(config, machine, observed, None, now)),
    }
}

/// Its status; conditions keep the time of their last change from `last`.
pub fn status(config: &NodeConfig, machine: &Machine, observed: &Observed, last: Option<&NodeStatus>, now: Timestamp) -> NodeStatus {
    let address = |type_: &str, address: String| NodeAddress { type_: type_.to_owned(), address };
    let mut addresses = vec![address("InternalIP", config.address.to_string())];
    addresses.extend(config.external.iter().map(|ip| address("ExternalIP", ip.to_string())));
    addresses.push(address("Hostname", config.name.clone()));
    let cpu = if machine.cpu_millis % 1000 == 0 { (machine.cpu_millis / 1000).to_string() } else { format!("{}m", machine.cpu_millis) };
    let quantity = |s: String| Quantity(s);
    let capacity: BTreeMap<String, Quantity> = [
        ("cpu", cpu),
        ("memory", format!("{}Ki", machine.memory / 1024)),
        ("ephemeral-storage", format!("{}Ki", machine.disk / 1024)),
        ("pods", observed.pods.to_string()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), quantity(v)))
    .collect();
    let images = observed.images.iter().take(MAX_IMAGES);
    let images = images.map(|(names, size)| ContainerImage { names: Some(names.clone()), size_bytes: i64::try_from(*size).ok() });
    NodeStatus {
        addresses: Some(addresses),
        allocatable: Some(capacity.clone()),
        capacity: Some(capacity),
        conditions: Some(conditions(observed, last, now)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.kubelet_port) }) }),
        images: Some(images.collect()),
        node_info: Some(NodeSystemInfo {
            architecture: machine.arch.to_owned(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: RUNTIME.to_owned(),
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: config.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.machine_id.clone(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn conditions(observed: &Observed, last: Option<&NodeStatus>, now: Timestamp) -> Vec<NodeCondition> {
    let full = observed.disk_free.is_some_and(|free| free < LITTLE_DISK);
    let not_ready = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:the node has no podCIDR yet";
    let all = [
        ("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        if full {
            ("DiskPressure", true, "KubeletHasDiskPressure", "kubelet has disk pressure")
        } else {
            ("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
        },
        ("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        if observed.ready { ("Ready", true, "KubeletReady", "kubelet is posting ready status") } else { ("Ready", false, "KubeletNotReady", not_ready) },
    ];
    let one = |(kind, on, reason, message): (&str, bool, &str, &str)| {
        let status = if on { "True" } else { "False" };
        let before = last.and_then(|s| s.conditions.as_ref()).and_then(|c| c.iter().find(|c| c.type_ == kind && c.status == status));
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: before.and_then(|c| c.last_transition_time.clone()).or(Some(Time(now))),
        }
    };
    all.into_iter().map(one).collect()
}

/// Whether two statuses say the same, the time of the last heartbeat aside.
pub fn same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let still = |s: &NodeStatus| {
        let mut s = s.clone();
        for c in s.conditions.iter_mut().flatten() {
            c.last_heartbeat_time = None;
            c.last_transition_time = None;
        }
        s
    };
    still(a) == still(b)
}
