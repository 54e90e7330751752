//! What objects use of a ResourceQuota, and which objects a quota is about.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, PersistentVolumeClaim, Pod, PodSpec, ResourceQuota, ResourceRequirements, Service};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use crate::kinds::pod::qos_class;
use crate::quantity::Quantity;

/// Amounts by the names that quotas give them, in units of 10⁻⁹.
pub type Amounts = BTreeMap<String, i128>;

/// One piece.
pub const ONE: i128 = 1_000_000_000;

/// Core resources that quotas also count without `count/`.
const PLAIN: [&str; 4] = ["configmaps", "secrets", "replicationcontrollers", "resourcequotas"];
/// Of what a Pod is asked to say when a quota bounds it.
const TO_BE_SAID: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The amounts that are written in a quota.
pub fn parse(texts: Option<&BTreeMap<String, Text>>) -> Amounts {
    texts.into_iter().flatten().filter_map(|(name, text)| Some((name.clone(), text.0.parse::<Quantity>().ok()?.nanos()))).collect()
}

/// An amount as it is written: bytes in the largest binary unit that is exact.
pub fn text(name: &str, amount: i128) -> Text {
    let bytes = name.contains("memory") || name.contains("storage") || name.contains("hugepages");
    let units = [("Pi", 50), ("Ti", 40), ("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let unit = units.iter().find(|(_, power)| bytes && amount > 0 && amount % (ONE << power) == 0);
    match unit {
        Some((unit, power)) => Text(format!("{}{unit}", amount / (ONE << power))),
        None => {
            let exact = format!("{amount}n");
            Text(crate::quantity::canonical(&exact).ok().flatten().unwrap_or(exact))
        }
    }
}

/// What any object uses: its number.
pub fn of_object(group: &str, plural: &str) -> Amounts {
    let mut used = Amounts::new();
    count(&mut used, group, plural, 1);
    used
}

/// Adds so many objects of a resource.
pub fn count(to: &mut Amounts, group: &str, plural: &str, number: usize) {
    let amount = ONE.saturating_mul(i128::try_from(number).unwrap_or(i128::MAX));
    let name = if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") };
    *to.entry(name).or_default() += amount;
    if group.is_empty() && PLAIN.contains(&plural) {
        *to.entry(plural.to_owned()).or_default() += amount;
    }
}

/// What a Pod uses beyond its number; nothing when it has ended.
pub fn of_pod(pod: &Pod) -> Amounts {
    let mut used = Amounts::new();
    let ended = matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"));
    let Some(spec) = pod.spec.as_ref().filter(|_| !ended) else { return used };
    used.insert("pods".to_owned(), ONE);
    for (name, amount) in total(spec, |r| r.requests.as_ref()) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-") {
            used.insert(name.clone(), amount);
        }
        used.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in total(spec, |r| r.limits.as_ref()) {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), amount);
        }
    }
    used
}

/// What a Service uses beyond its number.
pub fn of_service(service: &Service) -> Amounts {
    let mut used = Amounts::from([("services".to_owned(), ONE)]);
    let Some(spec) = &service.spec else { return used };
    let ports = || spec.ports.iter().flatten();
    let balanced = spec.type_.as_deref() == Some("LoadBalancer");
    let node_ports = match spec.type_.as_deref() {
        Some("NodePort") => ports().count(),
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => ports().filter(|p| p.node_port.is_some_and(|n| n != 0)).count(),
        Some("LoadBalancer") => ports().count(),
        _ => 0,
    };
    used.insert("services.nodeports".to_owned(), ONE * i128::try_from(node_ports).unwrap_or(i128::MAX / ONE));
    used.insert("services.loadbalancers".to_owned(), if balanced { ONE } else { 0 });
    used
}

/// What a PersistentVolumeClaim uses beyond its number.
pub fn of_claim(claim: &PersistentVolumeClaim) -> Amounts {
    let spec = claim.spec.as_ref();
    let storage = parse(spec.and_then(|s| s.resources.as_ref()?.requests.as_ref())).get("storage").copied().unwrap_or_default();
    let mut used = Amounts::from([("persistentvolumeclaims".to_owned(), ONE), ("requests.storage".to_owned(), storage)]);
    if let Some(class) = spec.and_then(|s| s.storage_class_name.as_deref()).filter(|c| !c.is_empty()) {
        used.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), ONE);
        used.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), storage);
    }
    used
}

/// Adds amounts.
pub fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

/// Whether a quota is about a Pod, by its scopes. What is no Pod only those without scopes are about.
pub fn is_about(quota: &ResourceQuota, pod: Option<&Pod>) -> bool {
    let Some(spec) = &quota.spec else { return false };
    let selected = spec.scope_selector.iter().flat_map(|s| s.match_expressions.iter().flatten());
    let mut all = spec
        .scopes
        .iter()
        .flatten()
        .map(|s| (s.as_str(), "Exists", None))
        .chain(selected.map(|e| (e.scope_name.as_str(), e.operator.as_str(), e.values.as_ref())));
    all.all(|(scope, operator, values)| pod.is_some_and(|pod| in_scope(pod, scope, operator, values)))
}

fn in_scope(pod: &Pod, scope: &str, operator: &str, values: Option<&Vec<String>>) -> bool {
    let deadline = pod.spec.as_ref().is_some_and(|s| s.active_deadline_seconds.is_some_and(|d| d >= 0));
    match scope {
        "Terminating" => deadline,
        "NotTerminating" => !deadline,
        "BestEffort" => qos_class(pod) == "BestEffort",
        "NotBestEffort" => qos_class(pod) != "BestEffort",
        "PriorityClass" => {
            let class = pod.spec.as_ref().and_then(|s| s.priority_class_name.as_ref()).filter(|c| !c.is_empty());
            let listed = class.is_some_and(|c| values.is_some_and(|v| v.contains(c)));
            match operator {
                "In" => listed,
                "NotIn" => !listed,
                "DoesNotExist" => class.is_none(),
                _ => class.is_some(),
            }
        }
        _ => false,
    }
}

/// What a Pod leaves unsaid of what a quota bounds, in words.
pub fn unsaid(hard: &Amounts, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let own = spec.resources.as_ref();
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in hard.keys().filter_map(|n| TO_BE_SAID.iter().find(|s| *s == n)) {
        let (limit, plain) = match name.split_once('.') {
            Some(("limits", plain)) => (true, plain),
            Some((_, plain)) => (false, plain),
            None => (false, *name),
        };
        let says = |resources: Option<&ResourceRequirements>| {
            let list = resources.and_then(|r| if limit { r.limits.as_ref() } else { r.requests.as_ref() });
            list.is_some_and(|l| l.contains_key(plain))
        };
        if says(own) {
            continue;
        }
        for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()).filter(|c| !says(c.resources.as_ref())) {
            missing.entry(name).or_default().insert(&container.name);
        }
    }
    let words = |(name, containers): (&str, BTreeSet<&str>)| format!("{name} for: {}", containers.into_iter().collect::<Vec<_>>().join(","));
    (!missing.is_empty()).then(|| format!("must specify {}", missing.into_iter().map(words).collect::<Vec<_>>().join("; ")))
}

/// What a Pod's containers have together: containers and restartable init containers run beside each other, other init
/// containers before them. The Pod's own amounts stand for the sum; overhead comes on top.
fn total(spec: &PodSpec, pick: impl Fn(&ResourceRequirements) -> Option<&BTreeMap<String, Text>>) -> Amounts {
    let of = |container: &Container| parse(container.resources.as_ref().and_then(&pick));
    let mut sum = Amounts::new();
    spec.containers.iter().for_each(|c| add(&mut sum, &of(c)));
    let (mut beside, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec.init_containers.iter().flatten() {
        let mut with = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            add(&mut sum, &with);
            add(&mut beside, &with);
            with = beside.clone();
        } else {
            add(&mut with, &beside);
        }
        raise(&mut peak, &with);
    }
    raise(&mut sum, &peak);
    for (name, amount) in parse(spec.resources.as_ref().and_then(&pick)) {
        sum.insert(name, amount);
    }
    if !sum.is_empty() {
        add(&mut sum, &parse(spec.overhead.as_ref()));
    }
    sum
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (name, amount) in at_least {
        let most = to.entry(name.clone()).or_default();
        *most = (*most).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Pod {
        serde_yaml::from_str(&format!("{{metadata: {{name: p}}, spec: {spec}}}")).unwrap()
    }

    fn written(amounts: &Amounts) -> String {
        amounts.iter().map(|(name, amount)| format!("{name}={}", text(name, *amount).0)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_objects_use() {
        let both = pod(
            "{containers: [{name: c, resources: {requests: {cpu: 250m, memory: 64Mi}, limits: {cpu: '1'}}}, {name: d, resources: {requests: {cpu: 250m}}}], initContainers: [{name: i, resources: {requests: {cpu: '2'}}}]}",
        );
        assert_eq!(written(&of_pod(&both)), "cpu=2 limits.cpu=1 memory=64Mi pods=1 requests.cpu=2 requests.memory=64Mi");
        let service: Service = serde_yaml::from_str("{spec: {type: NodePort, ports: [{port: 1}, {port: 2}]}}").unwrap();
        assert_eq!(written(&of_service(&service)), "services=1 services.loadbalancers=0 services.nodeports=2");
        let claim: PersistentVolumeClaim = serde_yaml::from_str("{spec: {storageClassName: fast, resources: {requests: {storage: 3Gi}}}}").unwrap();
        assert_eq!(
            written(&of_claim(&claim)),
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/requests.storage=3Gi persistentvolumeclaims=1 requests.storage=3Gi"
        );
        assert_eq!(written(&of_object("apps", "deployments")), "count/deployments.apps=1");
        assert_eq!(written(&of_object("", "secrets")), "count/secrets=1 secrets=1");
    }

    #[test]
    fn what_has_to_be_said() {
        let hard = parse(serde_yaml::from_str::<Option<BTreeMap<String, Text>>>("{limits.cpu: '1', memory: 1Gi, pods: '3'}").unwrap().as_ref());
        let silent = pod("{containers: [{name: b}, {name: a, resources: {requests: {memory: 1Mi}}}]}");
        assert_eq!(unsaid(&hard, &silent).unwrap(), "must specify limits.cpu for: a,b; memory for: b");
        assert_eq!(unsaid(&hard, &pod("{containers: [{name: a, resources: {requests: {memory: 1Mi}, limits: {cpu: '1'}}}]}")), None);
    }

    #[test]
    fn scopes() {
        let quota = |spec: &str| -> ResourceQuota { serde_yaml::from_str(&format!("{{spec: {spec}}}")).unwrap() };
        let (plain, timed) = (
            pod("{containers: [{name: a}]}"),
            pod("{containers: [{name: a, resources: {requests: {cpu: '1'}}}], activeDeadlineSeconds: 3, priorityClassName: high}"),
        );
        let selected = "{scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In, values: [high]}]}}";
        for (spec, of_plain, of_timed, of_none) in [
            ("{}", true, true, true),
            ("{scopes: [Terminating]}", false, true, false),
            ("{scopes: [NotTerminating]}", true, false, false),
            ("{scopes: [BestEffort]}", true, false, false),
            ("{scopes: [NotBestEffort, Terminating]}", false, true, false),
            (selected, false, true, false),
        ] {
            let about = |pod| is_about(&quota(spec), pod);
            assert_eq!((about(Some(&plain)), about(Some(&timed)), about(None)), (of_plain, of_timed, of_none), "{spec}");
        }
    }
}
