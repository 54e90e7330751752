//! What kube-apiserver refuses of a Pod, and of the Pod template of every workload.

mod container;
mod env;
mod probe;
mod scheduling;
mod security;
mod volume;

use std::collections::BTreeMap;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{Pod, PodSpec, PodTemplateSpec, Volume};
use crate::kinds::checks::{each, in_range, ip, one_of};
use crate::kinds::normal::text;
use crate::meta::{dns1123_label, dns1123_subdomain, label_value, qualified_name, validate_annotations, validate_labels};

pub(crate) use container::{is_native, is_standard};
pub(crate) use scheduling::{node_selector, tolerations};
pub(crate) use volume::host_path_source;

type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

/// Refusals of a Pod of its own.
pub(crate) fn pod(pod: &Pod) -> Errors {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let at = Path::new("spec");
    let mut errors = pod_spec(spec, &at);
    for (i, c) in spec.containers.iter().enumerate() {
        let at = at.child("containers").index(i);
        let image = text(&c.image);
        if image != image.trim() {
            errors.push(Error::invalid(&at.child("image"), image, "must not have leading or trailing whitespace"));
        }
    }
    if spec.host_network == Some(true) {
        for (list, field) in [(Some(&spec.containers), "containers"), (spec.init_containers.as_ref(), "initContainers")] {
            for (i, c) in list.into_iter().flatten().enumerate() {
                for (j, port) in c.ports.iter().flatten().enumerate() {
                    if port.host_port.unwrap_or(0) != port.container_port {
                        let at = at.child(field).index(i).child("ports").index(j).child("containerPort");
                        errors.push(Error::invalid(&at, port.container_port, "must match `hostPort` when `hostNetwork` is true"));
                    }
                }
            }
        }
    }
    if text(&spec.service_account_name).is_empty() {
        for (i, volume) in spec.volumes.iter().flatten().enumerate() {
            for (j, source) in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()).enumerate() {
                if source.service_account_token.is_some() {
                    let at = at.child("volumes").index(i).child("projected.sources").index(j).child("serviceAccountToken");
                    errors.push(Error::forbidden(&at, "must not be specified when serviceAccountName is not set"));
                }
            }
        }
    }
    errors
}

/// Refusals of a template: its metadata and its spec.
pub(crate) fn template(template: &PodTemplateSpec, at: &Path) -> Errors {
    let empty = PodSpec::default();
    let mut errors = Errors::new();
    if let Some(meta) = &template.metadata {
        let at = at.child("metadata");
        errors.extend(validate_labels(meta.labels.as_ref(), &at.child("labels")));
        errors.extend(validate_annotations(meta.annotations.as_ref(), &at.child("annotations")));
    }
    let spec = template.spec.as_ref().unwrap_or(&empty);
    errors.extend(pod_spec(spec, &at.child("spec")));
    if !spec.ephemeral_containers.as_ref().is_none_or(Vec::is_empty) {
        errors.push(Error::forbidden(&at.child("spec.ephemeralContainers"), "ephemeral containers not allowed in pod template"));
    }
    errors
}

/// Refusals of what a Pod and a template have in common.
pub(crate) fn pod_spec(spec: &PodSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let list = spec.volumes.as_deref().unwrap_or_default();
    let volumes: Volumes = list.iter().map(|v| (v.name.as_str(), v)).collect();
    if spec.termination_grace_period_seconds.is_none() {
        errors.push(Error::required(&at.child("terminationGracePeriodSeconds"), ""));
    }
    errors.extend(volume::all(list, &at.child("volumes")));
    errors.extend(container::all(spec, &volumes, at));
    if let Some(resources) = &spec.resources {
        errors.extend(container::resources(resources, &at.child("resources")));
    }
    errors.extend(one_of(spec.restart_policy.as_deref(), &["Always", "OnFailure", "Never"], &at.child("restartPolicy")));
    errors.extend(one_of(spec.dns_policy.as_deref(), &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], &at.child("dnsPolicy")));
    errors.extend(validate_labels(spec.node_selector.as_ref(), &at.child("nodeSelector")));
    errors.extend(security_context(spec, &at.child("securityContext")));
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        if secret.name.is_empty() {
            errors.push(Error::required(&at.child("imagePullSecrets").index(i).child("name"), ""));
        }
    }
    if let Some(affinity) = &spec.affinity {
        errors.extend(scheduling::affinity(affinity, &at.child("affinity")));
    }
    errors.extend(dns_config(spec, &at.child("dnsConfig")));
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let at = at.child("readinessGates").index(i).child("conditionType");
        errors.extend(each(&at, &gate.condition_type, qualified_name(&gate.condition_type)));
    }
    errors.extend(scheduling::gates(spec.scheduling_gates.as_deref().unwrap_or_default(), &at.child("schedulingGates")));
    let constraints = spec.topology_spread_constraints.as_deref().unwrap_or_default();
    errors.extend(scheduling::topology_spread(constraints, &at.child("topologySpreadConstraints")));
    errors.extend(names(spec, at));
    if let Some(seconds) = spec.active_deadline_seconds {
        errors.extend(in_range(seconds, 1, i32::MAX.into(), &at.child("activeDeadlineSeconds")));
    }
    errors.extend(tolerations(spec.tolerations.as_deref().unwrap_or_default(), &at.child("tolerations")));
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let at = at.child("hostAliases").index(i);
        errors.extend(ip(&alias.ip, &at.child("ip")));
        for hostname in alias.hostnames.iter().flatten() {
            errors.extend(each(&at.child("hostnames"), hostname, dns1123_subdomain(hostname)));
        }
    }
    if let Some(policy) = &spec.preemption_policy
        && !matches!(policy.as_str(), "Never" | "PreemptLowerPriority")
    {
        errors.push(Error::not_supported(&at.child("preemptionPolicy"), policy, &["Never", "PreemptLowerPriority"]));
    }
    if let Some(os) = &spec.os {
        errors.extend(one_of(Some(&os.name), &["linux", "windows"], &at.child("os.name")));
    }
    errors
}

/// Names of hosts, accounts, classes.
fn names(spec: &PodSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (name, field, check) in [
        (&spec.service_account_name, "serviceAccountName", dns1123_subdomain as fn(&str) -> Vec<String>),
        (&spec.node_name, "nodeName", dns1123_subdomain),
        (&spec.hostname, "hostname", dns1123_label),
        (&spec.subdomain, "subdomain", dns1123_label),
        (&spec.priority_class_name, "priorityClassName", dns1123_subdomain),
        (&spec.runtime_class_name, "runtimeClassName", dns1123_subdomain),
    ] {
        let name = text(name);
        if !name.is_empty() {
            errors.extend(each(&at.child(field), name, check(name)));
        }
    }
    errors
}

fn security_context(spec: &PodSpec, at: &Path) -> Errors {
    let Some(context) = &spec.security_context else { return Errors::new() };
    let mut errors = security::pod(context, at);
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let words = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(&at.child("shareProcessNamespace"), true, words));
    }
    errors
}

fn dns_config(spec: &PodSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let none = text(&spec.dns_policy) == "None";
    let Some(config) = &spec.dns_config else {
        if none {
            errors.push(Error::required(at, "must provide `dnsConfig` when `dnsPolicy` is None"));
        }
        return errors;
    };
    let servers = config.nameservers.as_deref().unwrap_or_default();
    if none && servers.is_empty() {
        errors.push(Error::required(&at.child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None"));
    }
    if servers.len() > 3 {
        let value = crate::field::printed_json(&servers);
        errors.push(Error::invalid(&at.child("nameservers"), value, "must not have more than 3 nameservers"));
    }
    for (i, server) in servers.iter().enumerate() {
        errors.extend(ip(server, &at.child("nameservers").index(i)));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    let value = || crate::field::printed_json(&searches);
    if searches.len() > 32 {
        errors.push(Error::invalid(&at.child("searches"), value(), "must not have more than 32 search paths"));
    }
    if searches.join(" ").len() > 2048 {
        let words = "must not have more than 2048 characters (including spaces) in the search list";
        errors.push(Error::invalid(&at.child("searches"), value(), words));
    }
    for (i, search) in searches.iter().enumerate() {
        let name = if search == "." { "" } else { search.strip_suffix('.').unwrap_or(search) };
        let relaxed = name.replace('_', "-");
        if !name.is_empty() && !dns1123_subdomain(relaxed.trim_matches('-')).is_empty() {
            errors.extend(each(&at.child("searches").index(i), search, dns1123_subdomain(name)));
        }
    }
    for (i, option) in config.options.iter().flatten().enumerate() {
        if text(&option.name).is_empty() {
            errors.push(Error::required(&at.child("options").index(i), "must not be empty"));
        }
    }
    errors
}

/// Whether a taint's parts are well formed. Taints stand on nodes; their words are those of tolerations.
pub(crate) fn taint(key: &str, value: &str, effect: &str, at: &Path) -> Errors {
    let mut errors: Errors = each(&at.child("key"), key, qualified_name(key)).collect();
    let complaints = label_value(value);
    if !complaints.is_empty() {
        errors.push(Error::invalid(&at.child("value"), value, complaints.join(";")));
    }
    errors.extend(match effect {
        "" => Some(Error::required(&at.child("effect"), "")),
        effect => one_of(Some(effect), &["NoSchedule", "PreferNoSchedule", "NoExecute"], &at.child("effect")),
    });
    errors
}
