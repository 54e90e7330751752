//! What kube-apiserver fills into a Pod, and into the Pod template of every workload.

use std::collections::BTreeMap;

use crate::k8s_openapi::api::core::v1::{
    Container, EnvVar, EphemeralContainer, HTTPGetAction, LifecycleHandler, ObjectFieldSelector, Pod, PodSpec, PodTemplateSpec, Probe, ResourceFieldSelector,
    ResourceRequirements, Volume, VolumeMount, VolumeProjection,
};
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::kinds::amount::round_to_milli;
use crate::kinds::normal::{drop_empty, drop_false, drop_zero, fill, is_empty};

/// Fills in a Pod of its own. A few things are filled in here that stay open in a template.
pub fn pod(pod: &mut Pod) {
    let spec = pod.spec.get_or_insert_default();
    pod_spec(spec);
    fill(&mut spec.enable_service_links, true);
    let host_network = spec.host_network == Some(true);
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        container.resources.iter_mut().for_each(requests_from_limits);
        if host_network {
            for port in container.ports.iter_mut().flatten() {
                if port.host_port.unwrap_or(0) == 0 {
                    port.host_port = Some(port.container_port);
                }
            }
        }
    }
    if let Some(resources) = &mut spec.resources {
        requests_from_limits(resources);
    }
}

/// Fills in the template of a workload.
pub fn template(template: &mut PodTemplateSpec) {
    template.metadata.get_or_insert_default();
    pod_spec(template.spec.get_or_insert_default());
}

/// Fills in what a Pod and a template have in common.
pub fn pod_spec(spec: &mut PodSpec) {
    normalize(spec);
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.termination_grace_period_seconds, 30);
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    if is_empty(&spec.service_account_name) {
        spec.service_account_name = spec.service_account.take();
    }
    spec.service_account.clone_from(&spec.service_account_name);
    for volume in spec.volumes.iter_mut().flatten() {
        self::volume(volume);
    }
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        self::container(container);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        ephemeral_container(container);
    }
}

/// Optional text that is empty, switches that are off and zeroes are the same as nothing, where Kubernetes does not tell them apart.
fn normalize(spec: &mut PodSpec) {
    for text in [
        &mut spec.node_name,
        &mut spec.hostname,
        &mut spec.subdomain,
        &mut spec.service_account_name,
        &mut spec.service_account,
        &mut spec.priority_class_name,
        &mut spec.dns_policy,
        &mut spec.restart_policy,
        &mut spec.scheduler_name,
    ] {
        drop_empty(text);
    }
    for switch in [&mut spec.host_network, &mut spec.host_pid, &mut spec.host_ipc] {
        drop_false(switch);
    }
    for toleration in spec.tolerations.iter_mut().flatten() {
        for text in [&mut toleration.key, &mut toleration.operator, &mut toleration.value, &mut toleration.effect] {
            drop_empty(text);
        }
    }
}

fn container(c: &mut Container) {
    drop_empty(&mut c.image);
    drop_empty(&mut c.working_dir);
    for switch in [&mut c.stdin, &mut c.stdin_once, &mut c.tty] {
        drop_false(switch);
    }
    fill(&mut c.image_pull_policy, pull_policy(c.image.as_deref()));
    fill(&mut c.termination_message_path, "/dev/termination-log");
    fill(&mut c.termination_message_policy, "File");
    round_resources(c.resources.get_or_insert_default());
    for port in c.ports.iter_mut().flatten() {
        drop_empty(&mut port.name);
        drop_empty(&mut port.host_ip);
        drop_zero(&mut port.host_port);
        fill(&mut port.protocol, "TCP");
    }
    env(c.env.as_deref_mut().unwrap_or_default());
    volume_mounts(c.volume_mounts.as_deref_mut().unwrap_or_default());
    for probe in [&mut c.liveness_probe, &mut c.readiness_probe, &mut c.startup_probe].into_iter().flatten() {
        self::probe(probe);
    }
    if let Some(lifecycle) = &mut c.lifecycle {
        for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop].into_iter().flatten() {
            lifecycle_handler(handler);
        }
    }
}

fn ephemeral_container(c: &mut EphemeralContainer) {
    for switch in [&mut c.stdin, &mut c.stdin_once, &mut c.tty] {
        drop_false(switch);
    }
    fill(&mut c.image_pull_policy, pull_policy(c.image.as_deref()));
    fill(&mut c.termination_message_path, "/dev/termination-log");
    fill(&mut c.termination_message_policy, "File");
    c.resources.get_or_insert_default();
    env(c.env.as_deref_mut().unwrap_or_default());
    volume_mounts(c.volume_mounts.as_deref_mut().unwrap_or_default());
}

fn env(env: &mut [EnvVar]) {
    for var in env {
        drop_empty(&mut var.value);
        let Some(from) = &mut var.value_from else { continue };
        if let Some(field) = &mut from.field_ref {
            field_ref(field);
        }
        if let Some(resource) = &mut from.resource_field_ref {
            resource_field_ref(resource);
        }
        if let Some(file) = &mut from.file_key_ref {
            fill(&mut file.optional, false);
        }
    }
}

fn volume_mounts(mounts: &mut [VolumeMount]) {
    for mount in mounts {
        drop_false(&mut mount.read_only);
        drop_empty(&mut mount.sub_path);
        drop_empty(&mut mount.sub_path_expr);
    }
}

fn field_ref(field: &mut ObjectFieldSelector) {
    fill(&mut field.api_version, "v1");
}

fn resource_field_ref(resource: &mut ResourceFieldSelector) {
    resource.divisor.get_or_insert_with(|| Quantity("0".to_owned()));
}

fn probe(probe: &mut Probe) {
    drop_zero(&mut probe.initial_delay_seconds);
    for (field, value) in
        [(&mut probe.timeout_seconds, 1), (&mut probe.period_seconds, 10), (&mut probe.success_threshold, 1), (&mut probe.failure_threshold, 3)]
    {
        drop_zero(field);
        fill(field, value);
    }
    if let Some(http) = &mut probe.http_get {
        http_get(http);
    }
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn lifecycle_handler(handler: &mut LifecycleHandler) {
    if let Some(http) = &mut handler.http_get {
        http_get(http);
    }
}

fn http_get(http: &mut HTTPGetAction) {
    fill(&mut http.path, "/");
    fill(&mut http.scheme, "HTTP");
}

/// `Always` for an image whose tag is `latest`, given or understood; `IfNotPresent` for any other tag and for a digest.
pub fn pull_policy(image: Option<&str>) -> &'static str {
    let image = image.unwrap_or_default();
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let last = name.rsplit('/').next().unwrap_or_default();
    let latest = match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !last.is_empty() && digest.is_none(),
    };
    if latest { "Always" } else { "IfNotPresent" }
}

fn round_resources(resources: &mut ResourceRequirements) {
    for amounts in [&mut resources.limits, &mut resources.requests].into_iter().flatten() {
        amounts.values_mut().for_each(round_to_milli);
    }
}

fn requests_from_limits(resources: &mut ResourceRequirements) {
    let Some(limits) = &resources.limits else { return };
    if limits.is_empty() {
        return;
    }
    let requests = resources.requests.get_or_insert_with(BTreeMap::new);
    for (name, limit) in limits {
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

const FILE_MODE: i32 = 0o644;

/// Fills in one volume. Also used for the sources that a PersistentVolume shares with a Pod.
fn volume(v: &mut Volume) {
    if !has_source(v) {
        v.empty_dir.get_or_insert_default();
    }
    if let Some(empty_dir) = &mut v.empty_dir {
        drop_empty(&mut empty_dir.medium);
    }
    if let Some(secret) = &mut v.secret {
        fill(&mut secret.default_mode, FILE_MODE);
    }
    if let Some(config_map) = &mut v.config_map {
        fill(&mut config_map.default_mode, FILE_MODE);
    }
    if let Some(host_path) = &mut v.host_path {
        host_path.type_.get_or_insert_default();
    }
    if let Some(claim) = &mut v.persistent_volume_claim {
        drop_false(&mut claim.read_only);
    }
    if let Some(downward) = &mut v.downward_api {
        fill(&mut downward.default_mode, FILE_MODE);
        for item in downward.items.iter_mut().flatten() {
            item.field_ref.iter_mut().for_each(field_ref);
            item.resource_field_ref.iter_mut().for_each(resource_field_ref);
        }
    }
    if let Some(projected) = &mut v.projected {
        fill(&mut projected.default_mode, FILE_MODE);
        projected.sources.iter_mut().flatten().for_each(projection);
    }
    if let Some(iscsi) = &mut v.iscsi {
        fill(&mut iscsi.iscsi_interface, "default");
    }
    if let Some(rbd) = &mut v.rbd {
        fill(&mut rbd.pool, "rbd");
        fill(&mut rbd.user, "admin");
        fill(&mut rbd.keyring, "/etc/ceph/keyring");
    }
    if let Some(azure) = &mut v.azure_disk {
        fill(&mut azure.caching_mode, "ReadWrite");
        fill(&mut azure.kind, "Shared");
        fill(&mut azure.fs_type, "ext4");
        fill(&mut azure.read_only, false);
    }
    if let Some(scale_io) = &mut v.scale_io {
        fill(&mut scale_io.storage_mode, "ThinProvisioned");
        fill(&mut scale_io.fs_type, "xfs");
    }
    if let Some(template) = v.ephemeral.as_mut().and_then(|e| e.volume_claim_template.as_mut()) {
        fill(&mut template.spec.volume_mode, "Filesystem");
    }
    if let Some(image) = &mut v.image {
        fill(&mut image.pull_policy, pull_policy(image.reference.as_deref()));
    }
}

fn projection(source: &mut VolumeProjection) {
    if let Some(downward) = &mut source.downward_api {
        for item in downward.items.iter_mut().flatten() {
            item.field_ref.iter_mut().for_each(field_ref);
            item.resource_field_ref.iter_mut().for_each(resource_field_ref);
        }
    }
    if let Some(token) = &mut source.service_account_token {
        drop_empty(&mut token.audience);
        fill(&mut token.expiration_seconds, 3600);
    }
    if let Some(certificate) = &mut source.pod_certificate {
        fill(&mut certificate.max_expiration_seconds, 86400);
    }
}

fn has_source(v: &Volume) -> bool {
    !super::volume_sources(v).is_empty()
}
