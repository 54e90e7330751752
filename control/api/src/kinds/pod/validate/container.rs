//! Refusals of containers: names, images, ports, mounts, resources.

use std::collections::{BTreeMap, BTreeSet};

use super::{Volumes, env, probe, security};
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{Container, ContainerPort, EphemeralContainer, PodSpec, ResourceRequirements, VolumeDevice, VolumeMount};
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::kinds::amount;
use crate::kinds::checks::{NOT_NEGATIVE, descending_path, each, one_of, port};
use crate::kinds::normal::text;
use crate::meta::names::port_name;
use crate::meta::{dns1123_label, qualified_name};

/// All containers of a Pod.
pub(super) fn all(spec: &PodSpec, volumes: &Volumes, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let grace_period = spec.termination_grace_period_seconds.unwrap_or(0);
    let containers_at = at.child("containers");
    if spec.containers.is_empty() {
        errors.push(Error::required(&containers_at, ""));
    }
    let mut names = BTreeSet::new();
    for (i, c) in spec.containers.iter().enumerate() {
        let at = containers_at.index(i);
        errors.extend(container(c, volumes, &at));
        if !names.insert(c.name.as_str()) {
            errors.push(Error::duplicate(&at.child("name"), &c.name));
        }
        errors.extend(restart_rules(c, &at));
        errors.extend(probe::validate(c, grace_period, &at));
    }
    errors.extend(host_port_conflicts(&spec.containers, &containers_at));
    for (i, c) in spec.init_containers.iter().flatten().enumerate() {
        let at = at.child("initContainers").index(i);
        errors.extend(container(c, volumes, &at));
        if !c.name.is_empty() && !names.insert(c.name.as_str()) {
            errors.push(Error::duplicate(&at.child("name"), &c.name));
        }
        errors.extend(restart_rules(c, &at));
        errors.extend(init_container(c, grace_period, &at));
        errors.extend(host_port_conflicts(std::slice::from_ref(c), &at));
    }
    for (i, c) in spec.ephemeral_containers.iter().flatten().enumerate() {
        let at = at.child("ephemeralContainers").index(i);
        errors.extend(ephemeral(c, spec, volumes, &at));
        if !c.name.is_empty() && !names.insert(c.name.as_str()) {
            errors.push(Error::duplicate(&at.child("name"), &c.name));
        }
    }
    errors
}

/// A container that runs before the others, or (`restartPolicy: Always`) beside them.
fn init_container(c: &Container, grace_period: i64, at: &Path) -> Errors {
    if text(&c.restart_policy) == "Always" {
        return probe::validate(c, grace_period, at);
    }
    let mut errors = Errors::new();
    for (given, field) in [
        (c.lifecycle.is_some(), "lifecycle"),
        (c.liveness_probe.is_some(), "livenessProbe"),
        (c.readiness_probe.is_some(), "readinessProbe"),
        (c.startup_probe.is_some(), "startupProbe"),
    ] {
        if given {
            errors.push(Error::forbidden(&at.child(field), "may not be set for init containers without restartPolicy=Always"));
        }
    }
    errors
}

fn restart_rules(c: &Container, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if c.restart_policy.is_some() {
        errors.extend(one_of(c.restart_policy.as_deref(), &["Always", "OnFailure", "Never"], &at.child("restartPolicy")));
    }
    let rules = c.restart_policy_rules.as_deref().unwrap_or_default();
    if !rules.is_empty() && c.restart_policy.is_none() {
        errors.push(Error::required(&at.child("restartPolicy"), "must specify restartPolicy when restart rules are used"));
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.child("restartPolicyRules").index(i);
        if !matches!(rule.action.as_str(), "Restart" | "RestartAllContainers") {
            errors.push(Error::not_supported(&at.child("action"), &rule.action, &["Restart", "RestartAllContainers"]));
        }
        match &rule.exit_codes {
            None => errors.push(Error::required(&at.child("exitCodes"), "must be specified")),
            Some(codes) if !matches!(codes.operator.as_str(), "In" | "NotIn") => {
                errors.push(Error::not_supported(&at.child("exitCodes").child("operator"), &codes.operator, &["In", "NotIn"]));
            }
            Some(_) => {}
        }
    }
    errors
}

fn ephemeral(c: &EphemeralContainer, spec: &PodSpec, volumes: &Volumes, at: &Path) -> Errors {
    let like = Container {
        args: c.args.clone(),
        command: c.command.clone(),
        env: c.env.clone(),
        env_from: c.env_from.clone(),
        image: c.image.clone(),
        image_pull_policy: c.image_pull_policy.clone(),
        name: c.name.clone(),
        security_context: c.security_context.clone(),
        termination_message_policy: c.termination_message_policy.clone(),
        volume_devices: c.volume_devices.clone(),
        volume_mounts: c.volume_mounts.clone(),
        ..Container::default()
    };
    let mut errors = container(&like, volumes, at);
    let resources = c.resources.as_ref().is_some_and(|r| *r != ResourceRequirements::default());
    for (given, field) in [
        (c.ports.is_some(), "ports"),
        (c.liveness_probe.is_some(), "livenessProbe"),
        (c.readiness_probe.is_some(), "readinessProbe"),
        (c.startup_probe.is_some(), "startupProbe"),
        (c.lifecycle.is_some(), "lifecycle"),
        (resources, "resources"),
    ] {
        if given {
            errors.push(Error::forbidden(&at.child(field), "cannot be set for an Ephemeral Container"));
        }
    }
    let target = text(&c.target_container_name);
    if !target.is_empty() && !spec.containers.iter().chain(spec.init_containers.iter().flatten()).any(|c| c.name == target) {
        errors.push(Error::not_found(&at.child("targetContainerName"), target));
    }
    for (i, mount) in c.volume_mounts.iter().flatten().enumerate() {
        for (path, field) in [(&mount.sub_path, "subPath"), (&mount.sub_path_expr, "subPathExpr")] {
            if !text(path).is_empty() {
                errors.push(Error::forbidden(&at.child("volumeMounts").index(i).child(field), "cannot be set for an Ephemeral Container"));
            }
        }
    }
    errors
}

/// What is the same for every container.
fn container(c: &Container, volumes: &Volumes, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if c.name.is_empty() {
        errors.push(Error::required(&at.child("name"), ""));
    } else {
        errors.extend(each(&at.child("name"), &c.name, dns1123_label(&c.name)));
    }
    if text(&c.image).is_empty() {
        errors.push(Error::required(&at.child("image"), ""));
    }
    errors.extend(one_of(c.termination_message_policy.as_deref(), &["File", "FallbackToLogsOnError"], &at.child("terminationMessagePolicy")));
    errors.extend(ports(c.ports.as_deref().unwrap_or_default(), &at.child("ports")));
    errors.extend(env::env(c.env.as_deref().unwrap_or_default(), &at.child("env")));
    errors.extend(env::env_from(c.env_from.as_deref().unwrap_or_default(), &at.child("envFrom")));
    let devices = c.volume_devices.as_deref().unwrap_or_default();
    let mounts = c.volume_mounts.as_deref().unwrap_or_default();
    errors.extend(volume_mounts(mounts, devices, volumes, &at.child("volumeMounts")));
    errors.extend(volume_devices(devices, mounts, volumes, &at.child("volumeDevices")));
    errors.extend(one_of(c.image_pull_policy.as_deref(), &["Always", "IfNotPresent", "Never"], &at.child("imagePullPolicy")));
    if let Some(resources) = &c.resources {
        errors.extend(self::resources(resources, &at.child("resources")));
    }
    for (i, policy) in c.resize_policy.iter().flatten().enumerate() {
        let at = at.child("resizePolicy").index(i);
        errors.extend(one_of(Some(policy.resource_name.as_str()), &["cpu", "memory"], &at.child("resourceName")));
        errors.extend(one_of(Some(policy.restart_policy.as_str()), &["NotRequired", "RestartContainer"], &at.child("restartPolicy")));
    }
    if let Some(context) = &c.security_context {
        errors.extend(security::container(context, &at.child("securityContext")));
    }
    errors
}

fn ports(ports: &[ContainerPort], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut names = BTreeSet::new();
    for (i, p) in ports.iter().enumerate() {
        let at = at.index(i);
        let name = text(&p.name);
        if !name.is_empty() {
            let complaints = port_name(name);
            if !complaints.is_empty() {
                errors.extend(each(&at.child("name"), name, complaints));
            } else if !names.insert(name) {
                errors.push(Error::duplicate(&at.child("name"), name));
            }
        }
        if p.container_port == 0 {
            errors.push(Error::required(&at.child("containerPort"), ""));
        } else {
            errors.extend(port(p.container_port, &at.child("containerPort")));
        }
        if let Some(host_port) = p.host_port.filter(|p| *p != 0) {
            errors.extend(port(host_port, &at.child("hostPort")));
        }
        errors.extend(one_of(p.protocol.as_deref(), &["SCTP", "TCP", "UDP"], &at.child("protocol")));
    }
    errors
}

fn host_port_conflicts(containers: &[Container], at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut taken = BTreeSet::new();
    for (i, c) in containers.iter().enumerate() {
        for (j, p) in c.ports.iter().flatten().enumerate() {
            let Some(host_port) = p.host_port.filter(|p| *p != 0) else { continue };
            let key = format!("{}/{}/{host_port}", text(&p.protocol), text(&p.host_ip));
            if !taken.insert(key.clone()) {
                let at = if containers.len() == 1 && !at.to_string().ends_with("containers") { at.clone() } else { at.index(i) };
                errors.push(Error::duplicate(&at.child("ports").index(j).child("hostPort"), key));
            }
        }
    }
    errors
}

fn volume_mounts(mounts: &[VolumeMount], devices: &[VolumeDevice], volumes: &Volumes, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut paths = BTreeSet::new();
    for (i, mount) in mounts.iter().enumerate() {
        let at = at.index(i);
        if mount.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        }
        if !volumes.contains_key(mount.name.as_str()) {
            errors.push(Error::not_found(&at.child("name"), &mount.name));
        }
        if mount.mount_path.is_empty() {
            errors.push(Error::required(&at.child("mountPath"), ""));
        }
        if !paths.insert(mount.mount_path.as_str()) {
            errors.push(Error::invalid(&at.child("mountPath"), &mount.mount_path, "must be unique"));
        }
        if devices.iter().any(|d| d.name == mount.name) {
            errors.push(Error::invalid(&at.child("name"), &mount.name, "must not already exist in volumeDevices"));
        }
        if devices.iter().any(|d| d.device_path == mount.mount_path) {
            errors.push(Error::invalid(&at.child("mountPath"), &mount.mount_path, "must not already exist as a path in volumeDevices"));
        }
        let (sub_path, expression) = (text(&mount.sub_path), text(&mount.sub_path_expr));
        if !sub_path.is_empty() {
            errors.extend(descending_path(sub_path, &at.child("subPath")));
        }
        if !expression.is_empty() {
            if !sub_path.is_empty() {
                errors.push(Error::invalid(&at.child("subPathExpr"), expression, "subPathExpr and subPath are mutually exclusive"));
            }
            errors.extend(descending_path(expression, &at.child("subPathExpr")));
        }
        if let Some(propagation) = &mount.mount_propagation {
            let at = at.child("mountPropagation");
            if !matches!(propagation.as_str(), "Bidirectional" | "HostToContainer" | "None") {
                errors.push(Error::not_supported(&at, propagation, &["Bidirectional", "HostToContainer", "None"]));
            }
        }
        if let Some(recursive) = &mount.recursive_read_only {
            let at = at.child("recursiveReadOnly");
            match recursive.as_str() {
                "Disabled" => {}
                "Enabled" | "IfPossible" if mount.read_only != Some(true) => {
                    errors.push(Error::forbidden(&at, "may only be specified when readOnly is true"));
                }
                "Enabled" | "IfPossible" => {}
                other => errors.push(Error::not_supported(&at, other, &["Disabled", "Enabled", "IfPossible"])),
            }
        }
    }
    errors
}

fn volume_devices(devices: &[VolumeDevice], mounts: &[VolumeMount], volumes: &Volumes, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in devices.iter().enumerate() {
        let at = at.index(i);
        if device.name.is_empty() {
            errors.push(Error::required(&at.child("name"), ""));
        }
        match volumes.get(device.name.as_str()) {
            None => errors.push(Error::not_found(&at.child("name"), &device.name)),
            Some(v) if v.persistent_volume_claim.is_none() && v.ephemeral.is_none() => {
                let words = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.push(Error::invalid(&at.child("name"), &device.name, words));
            }
            Some(_) => {}
        }
        if !names.insert(device.name.as_str()) {
            errors.push(Error::invalid(&at.child("name"), &device.name, "must be unique"));
        }
        if device.device_path.is_empty() {
            errors.push(Error::required(&at.child("devicePath"), ""));
        } else if !paths.insert(device.device_path.as_str()) {
            errors.push(Error::invalid(&at.child("devicePath"), &device.device_path, "must be unique"));
        }
        if mounts.iter().any(|m| m.name == device.name) {
            errors.push(Error::invalid(&at.child("name"), &device.name, "must not already exist in volumeMounts"));
        }
    }
    errors
}

/// Limits and requests of a container.
pub(super) fn resources(resources: &ResourceRequirements, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let empty = BTreeMap::new();
    let limits = resources.limits.as_ref().unwrap_or(&empty);
    let requests = resources.requests.as_ref().unwrap_or(&empty);
    let (limits_at, requests_at) = (at.child("limits"), at.child("requests"));
    for (name, amount) in limits {
        errors.extend(resource(name, amount, &limits_at.key(name)));
    }
    for (name, amount) in requests {
        errors.extend(resource(name, amount, &requests_at.key(name)));
        let overcommit = is_native(name) && !name.starts_with("hugepages-");
        match limits.get(name) {
            Some(limit) if !overcommit && !amount::equal(amount, limit) => {
                errors.push(Error::invalid(&requests_at, &amount.0, format!("must be equal to {name} limit of {}", limit.0)));
            }
            Some(limit) if amount::exceeds(amount, limit) => {
                errors.push(Error::invalid(&requests_at, &amount.0, format!("must be less than or equal to {name} limit of {}", limit.0)));
            }
            None if !overcommit => errors.push(Error::required(&limits_at, "Limit must be set for non overcommitable resources")),
            _ => {}
        }
    }
    errors
}

fn resource(name: &str, amount: &Quantity, at: &Path) -> Errors {
    let mut errors: Errors = each(at, name, qualified_name(name)).collect();
    if !name.contains('/') {
        let container = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if !container && !is_standard(name) {
            errors.push(Error::invalid(at, name, "must be a standard resource type or fully qualified"));
        }
        if !container {
            errors.push(Error::invalid(at, name, "must be a standard resource for containers"));
        }
    } else if !is_native(name) && (name.starts_with("requests.") || !qualified_name(&format!("requests.{name}")).is_empty()) {
        errors.push(Error::invalid(at, name, "doesn't follow extended resource name standard"));
    }
    if amount::is_negative(amount) {
        errors.push(Error::invalid(at, &amount.0, NOT_NEGATIVE));
    }
    if !is_native(name) && !amount::is_whole(amount) {
        errors.push(Error::invalid(at, &amount.0, "must be an integer"));
    }
    errors
}

/// Whether the name is one that Kubernetes itself gives meaning to.
pub(crate) fn is_native(name: &str) -> bool {
    name.split_once('/').is_none_or(|(domain, _)| domain == "kubernetes.io" || domain.ends_with(".kubernetes.io"))
}

/// Whether an unqualified name is a resource of containers, of a quota, or of storage.
pub(crate) fn is_standard(name: &str) -> bool {
    matches!(
        name,
        "cpu"
            | "memory"
            | "ephemeral-storage"
            | "requests.cpu"
            | "requests.memory"
            | "requests.ephemeral-storage"
            | "limits.cpu"
            | "limits.memory"
            | "limits.ephemeral-storage"
            | "pods"
            | "resourcequotas"
            | "services"
            | "replicationcontrollers"
            | "secrets"
            | "configmaps"
            | "persistentvolumeclaims"
            | "storage"
            | "requests.storage"
            | "services.nodeports"
            | "services.loadbalancers"
    ) || name.starts_with("hugepages-")
        || name.starts_with("requests.hugepages-")
        || name.starts_with("limits.hugepages-")
}
