//! Making a Pod ready for its containers: admission, address, folders, volumes, `/etc` files.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec, Volume};

use super::context::{PodContext, Wired};
use super::record::{PodRecord, Verdict};
use crate::events::Kind;
use crate::network::{Names, PodNetwork};
use crate::outgoing::PodOutgoing;
use crate::volumes::{self, Filler};
use crate::world::etc::{self, ClusterDns, Resolv};

/// Why a Pod is not ready for its containers.
#[derive(Debug, Clone)]
pub(crate) enum Unprepared {
    /// It will never be: its verdict.
    Refused(Verdict),
    /// Try again.
    NotYet,
}

/// Decides on the Pod, and gives it its address: quick, and nothing to wait for.
pub(crate) fn admit(context: &PodContext, pod: &Pod, record: &mut PodRecord) -> Result<(), Unprepared> {
    let before = record.ip.is_some();
    context.node.admit(&context.uid, pod, before).map_err(|(reason, message)| Unprepared::Refused(Verdict { reason, message }))?;
    let Some(ipam) = context.node.ipam.get() else { return Err(Unprepared::NotYet) };
    let host_network = pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
    let ip = match record.ip {
        _ if host_network => Some(context.node.config.address),
        Some(ip) if ipam.claim(ip, &context.uid) => Some(ip),
        _ => ipam.allocate(&context.uid),
    };
    let Some(ip) = ip else {
        let message = format!("Failed to create pod sandbox: no free address in {}", ipam.cidr());
        context.node.recorder.pod(pod, None, Kind::Warning, "FailedCreatePodSandBox", message);
        return Err(Unprepared::NotYet);
    };
    record.ip = Some(ip);
    let config = &context.node.config;
    let cluster = ClusterDns { servers: config.cluster_dns.clone(), domain: config.cluster_domain.clone() };
    let spec = pod.spec.clone().unwrap_or_default();
    let resolv = Resolv::of(&spec, &context.namespace, &cluster, &context.node.host_resolv);
    let names = Names::new(&resolv, &etc::hosts(pod, Some(ip.into()), &config.cluster_domain), asks_host(&spec));
    let owner = format!("pod {}/{}", context.namespace, context.name);
    let network = PodNetwork::new(config.net.clone(), ip, config.address, config.resolver.clone(), names, owner);
    let outgoing = PodOutgoing::new(network.clone(), context.node.handlers().clone(), context.node.trust.clone());
    context.wired.store(Some(Arc::new(Wired { network, outgoing })));
    Ok(())
}

fn asks_host(spec: &PodSpec) -> bool {
    match spec.dns_policy.as_deref() {
        Some("Default") => true,
        Some("ClusterFirst") | None => spec.host_network == Some(true),
        _ => false,
    }
}

/// Folders, `/etc` files and volumes.
pub(crate) async fn prepare(context: &PodContext, pod: &Pod) -> Result<(), Unprepared> {
    context.node.config.services.synced().await;
    let (dir, files) = (context.dir(), etc_files(context, pod));
    let written = tokio::task::spawn_blocking(move || -> io::Result<()> {
        private_dir(&dir)?;
        private_dir(&dir.join("etc"))?;
        files.iter().try_for_each(|(name, text)| std::fs::write(dir.join("etc").join(name), text))
    });
    if let Err(error) = written.await.unwrap_or_else(|e| Err(io::Error::other(e))) {
        context.node.recorder.pod(pod, None, Kind::Warning, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {error}"));
        return Err(Unprepared::NotYet);
    }
    fill(context, pod, |_| true).await
}

/// Fills the volumes that `which` picks, or brings them up to date.
pub(crate) async fn fill(context: &PodContext, pod: &Pod, which: impl Fn(&Volume) -> bool) -> Result<(), Unprepared> {
    let facts = context.facts();
    let dir = context.dir().join("volumes");
    let filler = Filler { pod, facts: &facts, objects: &context.objects, tokens: &context.tokens, dir: &dir };
    let mut result = Ok(());
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).filter(|v| which(v)) {
        if let Err(words) = filler.fill(volume).await {
            let message = format!("MountVolume.SetUp failed for volume \"{}\" : {words}", volume.name);
            context.node.recorder.pod(pod, None, Kind::Warning, "FailedMount", message);
            result = Err(Unprepared::NotYet);
        }
    }
    result
}

/// Whether a Pod has volumes that change while it runs.
pub(crate) fn has_live_volumes(pod: &Pod) -> bool {
    pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).any(volumes::is_live)
}

fn etc_files(context: &PodContext, pod: &Pod) -> [(&'static str, String); 3] {
    let config = &context.node.config;
    let cluster = ClusterDns { servers: config.cluster_dns.clone(), domain: config.cluster_domain.clone() };
    let resolv = pod.spec.as_ref().map(|spec| Resolv::of(spec, &context.namespace, &cluster, &context.node.host_resolv)).unwrap_or_default();
    let ip = context.facts().pod_ip;
    [("hosts", etc::hosts(pod, ip, &config.cluster_domain)), ("hostname", format!("{}\n", etc::hostname(pod))), ("resolv.conf", resolv.render())]
}

/// A folder for the node alone.
pub(crate) fn private_dir(dir: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
