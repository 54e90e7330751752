//! PodSecurity: the Pod Security Standards that a namespace's labels ask for (`pod-security.kubernetes.io/enforce`).

use k8s_openapi::api::core::v1::{Capabilities, Container, Namespace, Pod, PodSpec, SecurityContext};
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use super::{Admission, Operation};

const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
/// Capabilities that the baseline lets containers add.
const BASELINE_CAPABILITIES: [&str; 13] =
    ["AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"];
/// Volume sources that `restricted` allows.
const RESTRICTED_VOLUMES: [&str; 9] = ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"];

pub(super) fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>) -> Result<(), ApiError> {
    if admission.operation != Operation::Create || !admission.is("", "pods") {
        return Ok(());
    }
    let Some(pod) = object.and_then(|o| o.as_any().downcast_ref::<Pod>()) else { return Ok(()) };
    let Some((level, version)) = enforced(admission) else { return Ok(()) };
    let spec = pod.spec.clone().unwrap_or_default();
    let mut violations = baseline(&spec);
    if level == "restricted" {
        violations.extend(restricted(&spec));
    }
    if violations.is_empty() {
        return Ok(());
    }
    Err(admission.forbidden(format!("violates PodSecurity \"{level}:{version}\": {}", violations.join(", "))))
}

/// The level and version that the namespace enforces, unless everything is allowed.
fn enforced(admission: &Admission<'_>) -> Option<(String, String)> {
    let item = admission.ask.shared.cache().get(&wharf_store::key("", "namespaces", "", admission.ask.namespace()))?;
    // Most namespaces ask for nothing: that is seen without parsing.
    if !item.json().windows(ENFORCE.len()).any(|w| w == ENFORCE.as_bytes()) {
        return None;
    }
    let namespace: Namespace = serde_json::from_slice(&item.json()).ok()?;
    let labels = namespace.metadata.labels?;
    let level = labels.get(ENFORCE).filter(|l| *l == "baseline" || *l == "restricted")?;
    Some((level.clone(), labels.get(ENFORCE_VERSION).cloned().unwrap_or_else(|| "latest".into())))
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

/// The names of the containers that something is wrong with: `container "a"` or `containers "a", "b"`.
fn named(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|n| format!("{n:?}")).collect();
    format!("{} {}", if names.len() == 1 { "container" } else { "containers" }, quoted.join(", "))
}

fn failing(spec: &PodSpec, bad: impl Fn(Option<&SecurityContext>) -> bool) -> Vec<&str> {
    containers(spec).filter(|c| bad(c.security_context.as_ref())).map(|c| c.name.as_str()).collect()
}

fn baseline(spec: &PodSpec) -> Vec<String> {
    let mut out = Vec::new();
    let flags = [("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)];
    let shared: Vec<String> = flags.iter().filter(|(_, on)| *on == Some(true)).map(|(name, _)| format!("{name}=true")).collect();
    if !shared.is_empty() {
        out.push(format!("host namespaces ({})", shared.join(", ")));
    }
    let privileged = failing(spec, |c| c.and_then(|c| c.privileged) == Some(true));
    if !privileged.is_empty() {
        out.push(format!("privileged ({} must not set securityContext.privileged=true)", named(&privileged)));
    }
    let adds = |c: &Capabilities| c.add.iter().flatten().any(|a| !BASELINE_CAPABILITIES.contains(&a.as_str()));
    let capable = failing(spec, |c| c.and_then(|c| c.capabilities.as_ref()).is_some_and(adds));
    if !capable.is_empty() {
        let mut extra: Vec<String> = containers(spec)
            .filter_map(|c| c.security_context.as_ref()?.capabilities.as_ref()?.add.clone())
            .flatten()
            .filter(|a| !BASELINE_CAPABILITIES.contains(&a.as_str()))
            .map(|a| format!("{a:?}"))
            .collect();
        extra.sort();
        extra.dedup();
        out.push(format!("non-default capabilities ({} must not include {} in securityContext.capabilities.add)", named(&capable), extra.join(", ")));
    }
    let host_paths: Vec<String> = spec.volumes.iter().flatten().filter(|v| v.host_path.is_some()).map(|v| format!("{:?}", v.name)).collect();
    if !host_paths.is_empty() {
        out.push(format!("hostPath volumes ({} {})", if host_paths.len() == 1 { "volume" } else { "volumes" }, host_paths.join(", ")));
    }
    let mut ports: Vec<i32> = containers(spec).flat_map(|c| c.ports.iter().flatten()).filter_map(|p| p.host_port).filter(|p| *p != 0).collect();
    if !ports.is_empty() {
        let users: Vec<&str> =
            containers(spec).filter(|c| c.ports.iter().flatten().any(|p| p.host_port.is_some_and(|h| h != 0))).map(|c| c.name.as_str()).collect();
        ports.sort_unstable();
        ports.dedup();
        let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
        let verb = if users.len() == 1 { "uses" } else { "use" };
        out.push(format!("hostPort ({} {verb} {} {})", named(&users), if list.len() == 1 { "hostPort" } else { "hostPorts" }, list.join(", ")));
    }
    out
}

fn restricted(spec: &PodSpec) -> Vec<String> {
    let mut out = Vec::new();
    let escalating = failing(spec, |c| c.and_then(|c| c.allow_privilege_escalation) != Some(false));
    if !escalating.is_empty() {
        out.push(format!("allowPrivilegeEscalation != false ({} must set securityContext.allowPrivilegeEscalation=false)", named(&escalating)));
    }
    let drops = |c: &Capabilities| c.drop.iter().flatten().any(|d| d == "ALL");
    let capable = failing(spec, |c| !c.and_then(|c| c.capabilities.as_ref()).is_some_and(drops));
    if !capable.is_empty() {
        out.push(format!("unrestricted capabilities ({} must set securityContext.capabilities.drop=[\"ALL\"])", named(&capable)));
    }
    let volumes: Vec<String> = spec
        .volumes
        .iter()
        .flatten()
        .filter_map(|v| {
            let tree = serde_json::to_value(v).ok()?;
            let source = tree.as_object()?.keys().find(|k| *k != "name")?.clone();
            (!RESTRICTED_VOLUMES.contains(&source.as_str())).then(|| format!("volume {:?} uses restricted volume type {source:?}", v.name))
        })
        .collect();
    if !volumes.is_empty() {
        out.push(format!("restricted volume types ({})", volumes.join(", ")));
    }
    let context = spec.security_context.as_ref();
    let by_pod = context.and_then(|c| c.run_as_non_root) == Some(true);
    let root = failing(spec, |c| match c.and_then(|c| c.run_as_non_root) {
        Some(set) => !set,
        None => !by_pod,
    });
    if !root.is_empty() {
        out.push(format!("runAsNonRoot != true (pod or {} must set securityContext.runAsNonRoot=true)", named(&root)));
    }
    let good = |kind: &str| matches!(kind, "RuntimeDefault" | "Localhost");
    let pod_good = context.and_then(|c| c.seccomp_profile.as_ref()).is_some_and(|p| good(&p.type_));
    let unprofiled = failing(spec, |c| match c.and_then(|c| c.seccomp_profile.as_ref()) {
        Some(profile) => !good(&profile.type_),
        None => !pod_good,
    });
    if !unprofiled.is_empty() {
        let words = "must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"";
        out.push(format!("seccompProfile (pod or {} {words})", named(&unprofiled)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_pod_is_baseline_but_not_restricted() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({"containers": [{"name": "a"}, {"name": "b"}]})).unwrap();
        assert_eq!(baseline(&spec), Vec::<String>::new());
        assert_eq!(restricted(&spec).len(), 4);
        assert!(restricted(&spec)[0].contains(r#"containers "a", "b" must set"#));
    }

    #[test]
    fn a_hardened_pod_passes() {
        let context = serde_json::json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "a", "securityContext": context}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        }))
        .unwrap();
        assert_eq!(restricted(&spec), Vec::<String>::new());
        let open: PodSpec = serde_json::from_value(serde_json::json!({
            "hostNetwork": true, "containers": [{"name": "a", "ports": [{"containerPort": 80, "hostPort": 80}]}], "volumes": [{"name": "h", "hostPath": {"path": "/"}}],
        }))
        .unwrap();
        assert_eq!(baseline(&open), ["host namespaces (hostNetwork=true)", r#"hostPath volumes (volume "h")"#, r#"hostPort (container "a" uses hostPort 80)"#]);
    }
}
