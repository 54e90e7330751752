//! EndpointSlice controller: for each Service with a selector, the addresses and ports of its Pods, at most 100 a slice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;

use crate::action::{Action, Body};
use crate::controllers::Controller;
use crate::kinds::{Labels, holds, pods_selected};
use crate::pods::{phase, ready_since};
use crate::queue::Queue;
use crate::resource::{Key, Target, controller_ref, name, namespace};
use crate::world::{Turn, World};

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const HEADLESS: &str = "service.kubernetes.io/headless";
pub(super) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
const LARGEST: usize = 100;

/// The controller `endpointslice-controller`.
pub struct EndpointSlices;

impl Controller for EndpointSlices {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn account(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        services_of_pods(world, queue);
        world.endpoint_slices.on_change(queue, |_, change, add| {
            let meta = &change.latest().metadata;
            if let (Some(service), Some(MANAGER)) = (label(meta, SERVICE_NAME), label(meta, MANAGED_BY)) {
                add(Key::new(namespace(meta), service));
            }
        });
    }

    fn pace(&self, turn: &Turn<'_>) -> Duration {
        pace(turn)
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let Some(service) = turn.world.services.get(&turn.key.namespace, &turn.key.name) else { return Vec::new() };
        let Some(selector) = selector(&service) else { return Vec::new() };
        let pods = pods_selected(&turn.world.pods, &turn.key.namespace, selector);
        let slices: Vec<Arc<EndpointSlice>> = turn
            .world
            .endpoint_slices
            .by(&format!("service/{}/{}", turn.key.namespace, turn.key.name))
            .into_iter()
            .filter(|s| label(&s.metadata, MANAGED_BY) == Some(MANAGER))
            .collect();
        reconcile(&service, &pods, &slices)
    }
}

/// Each write holds all endpoints, so that a Service with many is written less often: a millisecond for each, at most a second.
pub(super) fn pace(turn: &Turn<'_>) -> Duration {
    let service = turn.world.services.get(&turn.key.namespace, &turn.key.name);
    let pods = service.as_deref().and_then(selector).map_or(0, |s| pods_selected(&turn.world.pods, &turn.key.namespace, s).len());
    Duration::from_millis(u64::try_from(pods).unwrap_or(u64::MAX).min(1_000))
}

fn label<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.labels.as_ref()?.get(key).map(String::as_str)
}

/// Adds a Service's key when it, or a Pod that it selects, changes in a way that matters.
pub(super) fn services_of_pods(world: &World, queue: &Arc<Queue>) {
    world.services.own_key(queue);
    world.pods.on_change(queue, |world, change, add| {
        let (old, new) = (change.old.as_deref(), change.new.as_deref());
        if let (Some(old), Some(new)) = (old, new)
            && essence(old) == essence(new)
        {
            return;
        }
        for service in world.services.in_namespace(namespace(&change.latest().metadata)) {
            if selector(&service).is_some_and(|s| change.sides().any(|pod| holds(pod.metadata.labels.as_ref(), s))) {
                add(Key::of(&service.metadata));
            }
        }
    });
}

/// All that a Pod's endpoint is made from.
fn essence(pod: &Pod) -> impl PartialEq + '_ {
    let spec = pod.spec.as_ref();
    let status = pod.status.as_ref();
    (
        &pod.metadata.labels,
        pod.metadata.deletion_timestamp.is_some(),
        phase(pod),
        ready_since(pod).is_some(),
        status.and_then(|s| s.pod_ips.as_ref()),
        status.and_then(|s| s.pod_ip.as_ref()),
        spec.map(|s| (&s.node_name, &s.hostname, &s.subdomain)),
    )
}

/// The selector, of Services that have one and whose endpoints are Pods.
pub(super) fn selector(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    spec.selector.as_ref().filter(|s| !s.is_empty() && spec.type_.as_deref() != Some("ExternalName"))
}

/// Whether a Pod is an endpoint at all, and if so with which address of the family.
fn address(pod: &Pod, v6: bool) -> Option<&str> {
    if matches!(phase(pod), "Succeeded" | "Failed") {
        return None;
    }
    let status = pod.status.as_ref()?;
    let ips = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(status.pod_ip.as_deref());
    ips.into_iter().find(|ip| ip.parse::<IpAddr>().is_ok_and(|a| a.is_ipv6() == v6))
}

/// Whether every probe says that the Pod serves, though it may be about to end.
pub(super) fn serves(pod: &Pod) -> bool {
    ready_since(pod).is_some()
}

/// The port of a Pod that a Service's port means; `None` where the Pod has no port of that name.
pub(super) fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(wanted)) => {
            let spec = pod.spec.as_ref()?;
            let protocol = |p: Option<&String>| p.map_or("TCP", String::as_str).to_owned();
            let sidecars = spec.init_containers.iter().flatten().filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
            ports
                .into_iter()
                .find(|p| p.name.as_ref() == Some(wanted) && protocol(p.protocol.as_ref()) == protocol(port.protocol.as_ref()))
                .map(|p| p.container_port)
        }
    }
}

pub(super) fn headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// The reference by which an endpoint names its Pod.
pub(super) fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// The host name that DNS gives the Pod under a headless Service.
pub(super) fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    (spec.subdomain.as_deref() == Some(name(&service.metadata))).then(|| spec.hostname.clone()).flatten().filter(|h| !h.is_empty())
}

fn endpoint(pod: &Pod, service: &Service, address: &str) -> Endpoint {
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let serving = serves(pod);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions { ready: Some(publish || (serving && !terminating)), serving: Some(serving), terminating: Some(terminating) }),
        hostname: hostname(pod, service),
        node_name: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
        target_ref: Some(pod_reference(pod)),
        ..Endpoint::default()
    }
}

fn ports(pod: &Pod, service: &Service) -> Vec<EndpointPort> {
    let ports = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    let ports = ports.filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone().unwrap_or_default()),
            port: Some(target_port(pod, port)?),
            protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            app_protocol: port.app_protocol.clone(),
        })
    });
    ports.collect()
}

type PortsKey = Vec<(Option<String>, Option<i32>, Option<String>, Option<String>)>;

fn ports_key(ports: &[EndpointPort]) -> PortsKey {
    let mut key: PortsKey = ports.iter().map(|p| (p.name.clone().filter(|n| !n.is_empty()), p.port, p.protocol.clone(), p.app_protocol.clone())).collect();
    key.sort();
    key
}

fn reconcile(service: &Service, pods: &[Arc<Pod>], slices: &[Arc<EndpointSlice>]) -> Vec<Action> {
    let families = service.spec.as_ref().and_then(|s| s.ip_families.clone()).unwrap_or_default();
    let families = if families.is_empty() { vec!["IPv4".to_owned()] } else { families };
    let changed = trigger_time(service, pods);
    let mut actions = Vec::new();
    for slice in slices.iter().filter(|s| !families.contains(&s.address_type)) {
        actions.push(Action::delete(&**slice));
    }
    for family in &families {
        let mut wanted: BTreeMap<PortsKey, (Vec<EndpointPort>, Vec<Endpoint>)> = BTreeMap::new();
        for pod in pods {
            if let Some(address) = address(pod, family == "IPv6") {
                let ports = ports(pod, service);
                wanted.entry(ports_key(&ports)).or_insert_with(|| (ports, Vec::new())).1.push(endpoint(pod, service, address));
            }
        }
        let mut have: BTreeMap<PortsKey, Vec<&EndpointSlice>> = BTreeMap::new();
        for slice in slices.iter().filter(|s| s.address_type == *family) {
            have.entry(ports_key(slice.ports.as_deref().unwrap_or_default())).or_default().push(slice);
        }
        // A Service without endpoints keeps one slice that says so.
        if wanted.is_empty() {
            let ports = have.first_key_value().map(|(_, s)| s[0].ports.clone().unwrap_or_default()).unwrap_or_default();
            wanted.insert(ports_key(&ports), (ports, Vec::new()));
        }
        let spare: BTreeSet<PortsKey> = have.keys().filter(|k| !wanted.contains_key(*k)).cloned().collect();
        let mut spare: Vec<&EndpointSlice> = spare.iter().flat_map(|k| have.remove(k).unwrap_or_default()).collect();
        for (key, (ports, endpoints)) in wanted {
            let group = have.remove(&key).unwrap_or_default();
            fill(service, family, &ports, endpoints, group, &mut spare, changed.as_deref(), &mut actions);
        }
        actions.extend(spare.into_iter().map(Action::delete));
    }
    actions
}

/// Distributes the endpoints of one set of ports over slices, leaving as many where they are as possible.
#[expect(clippy::too_many_arguments, reason = "one step of `reconcile`, cut out to be readable")]
fn fill<'a>(
    service: &Service,
    family: &str,
    ports: &[EndpointPort],
    endpoints: Vec<Endpoint>,
    group: Vec<&'a EndpointSlice>,
    spare: &mut Vec<&'a EndpointSlice>,
    changed: Option<&str>,
    actions: &mut Vec<Action>,
) {
    let of = |e: &Endpoint| e.target_ref.as_ref().and_then(|t| t.uid.clone()).unwrap_or_default();
    let mut waiting: BTreeMap<String, Endpoint> = endpoints.into_iter().map(|e| (of(&e), e)).collect();
    let mut kept: Vec<(&EndpointSlice, Vec<Endpoint>)> = Vec::new();
    for slice in group {
        let stay = slice.endpoints.iter().flatten().filter_map(|e| waiting.remove(&of(e))).take(LARGEST).collect();
        kept.push((slice, stay));
    }
    let mut waiting: Vec<Endpoint> = waiting.into_values().collect();
    // The fullest slice that has room for all that wait, else each as it comes.
    kept.sort_by_key(|(_, stay)| std::cmp::Reverse(stay.len()));
    if let Some((_, stay)) = kept.iter_mut().find(|(_, stay)| stay.len() + waiting.len() <= LARGEST) {
        stay.append(&mut waiting);
    }
    for (_, stay) in &mut kept {
        let room = LARGEST - stay.len();
        stay.extend(waiting.drain(..room.min(waiting.len())));
    }
    let empty_is_well = waiting.is_empty() && kept.iter().all(|(_, stay)| stay.is_empty());
    for (at, (slice, stay)) in kept.iter().enumerate() {
        if stay.is_empty() && !(empty_is_well && at == 0) {
            actions.push(Action::delete(*slice));
            continue;
        }
        let mut new = (*slice).clone();
        describe(&mut new.metadata, service, changed);
        new.endpoints = Some(stay.clone());
        new.ports = Some(ports.to_vec());
        if differ(slice, &new) {
            actions.push(Action::update(&new));
        }
    }
    let mut first = kept.is_empty();
    while !waiting.is_empty() || first {
        first = false;
        let rest = waiting.split_off(waiting.len().min(LARGEST));
        let endpoints = std::mem::replace(&mut waiting, rest);
        let mut slice = EndpointSlice { address_type: family.to_owned(), endpoints: Some(endpoints), ports: Some(ports.to_vec()), ..EndpointSlice::default() };
        if let Some(reused) = spare.pop() {
            slice.metadata = reused.metadata.clone();
            describe(&mut slice.metadata, service, changed);
            actions.push(Action::update(&slice));
            continue;
        }
        slice.metadata.generate_name = Some(format!("{}-", name(&service.metadata)));
        slice.metadata.namespace = service.metadata.namespace.clone();
        describe(&mut slice.metadata, service, changed);
        actions.push(Action::Create { object: Body { target: Target::of(&slice), json: Body::of(&slice).json }, announce: None });
    }
}

/// Whether an update is worth while: the time of the trigger alone is not.
fn differ(old: &EndpointSlice, new: &EndpointSlice) -> bool {
    let essence = |s: &EndpointSlice| {
        let mut endpoints = s.endpoints.clone().unwrap_or_default();
        endpoints.sort_by(|a, b| a.addresses.cmp(&b.addresses));
        (endpoints, ports_key(s.ports.as_deref().unwrap_or_default()), s.metadata.labels.clone(), s.metadata.owner_references.clone())
    };
    essence(old) != essence(new)
}

fn describe(meta: &mut ObjectMeta, service: &Service, changed: Option<&str>) {
    let mut labels: Labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), name(&service.metadata).to_owned());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    meta.labels = Some(labels);
    meta.owner_references = Some(vec![controller_ref(service)]);
    match changed {
        Some(time) => {
            meta.annotations.get_or_insert_default().insert(TRIGGER_TIME.to_owned(), time.to_owned());
        }
        None => {
            meta.annotations.as_mut().map(|a| a.remove(TRIGGER_TIME));
        }
    }
}

/// When the latest of the changes that led here happened: of a Pod's readiness, or the Service's creation.
pub(super) fn trigger_time(service: &Service, pods: &[Arc<Pod>]) -> Option<String> {
    let created = service.metadata.creation_timestamp.as_ref().map(|t| t.0);
    let ready = pods.iter().filter_map(|p| ready_since(p).flatten());
    let ended = pods.iter().filter_map(|p| p.metadata.deletion_timestamp.as_ref().map(|t| t.0));
    let latest: Option<Timestamp> = created.into_iter().chain(ready).chain(ended).max();
    latest.map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::{check, plan, text, world};

    const WEB: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, labels: {team: a}}
spec: {clusterIP: 10.96.0.7, ipFamilies: [IPv4], selector: {app: web}, ports: [{name: http, port: 80, targetPort: web}]}
";

    fn pod(name: &str, ip: &str, ready: bool) -> String {
        format!(
            "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}}}
spec: {{nodeName: worker, containers: [{{name: c, ports: [{{name: web, containerPort: 8080}}]}}]}}
status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], conditions: [{{type: Ready, status: '{}'}}]}}
",
            if ready { "True" } else { "False" }
        )
    }

    #[test]
    fn one_slice_for_few_pods() {
        let yaml = format!("{WEB}{}{}", pod("a", "10.244.0.2", true), pod("b", "10.244.0.3", false));
        check(
            &EndpointSlices,
            &yaml,
            "default/web",
            &["metadata.labels", "metadata.generateName", "endpoints", "ports"],
            expect![[r#"
                create EndpointSlice 
                  metadata.labels: {"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"web","team":"a"}
                  metadata.generateName: "web-"
                  endpoints: [{"addresses":["10.244.0.2"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"worker","targetRef":{"kind":"Pod","name":"a","namespace":"default","uid":"pod-a"}},{"addresses":["10.244.0.3"],"conditions":{"ready":false,"serving":false,"terminating":false},"nodeName":"worker","targetRef":{"kind":"Pod","name":"b","namespace":"default","uid":"pod-b"}}]
                  ports: [{"name":"http","port":8080,"protocol":"TCP"}]
            "#]],
        );
    }

    #[test]
    fn nothing_without_selector_and_one_empty_slice_without_pods() {
        check(
            &EndpointSlices,
            "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80}]}
",
            "default/web",
            &[],
            expect![[""]],
        );
        check(
            &EndpointSlices,
            WEB,
            "default/web",
            &["endpoints", "ports"],
            expect![[r#"
            create EndpointSlice 
              endpoints: []
              ports: []
        "#]],
        );
    }

    #[test]
    fn slices_hold_a_hundred_and_stay_when_right() {
        let pods: String = (0..250).map(|i| pod(&format!("p{i}"), &format!("10.244.{}.{}", i / 200, i % 200 + 2), true)).collect();
        let yaml = format!("{WEB}{pods}");
        let world = world(&yaml);
        let actions = plan(&EndpointSlices, &world, "default/web");
        let mut sizes = Vec::new();
        for (i, action) in actions.iter().enumerate() {
            let Action::Create { object, .. } = action else { panic!("{action}") };
            let mut slice: serde_json::Value = serde_json::from_slice(&object.json).unwrap();
            sizes.push(slice["endpoints"].as_array().unwrap().len());
            slice["metadata"]["name"] = format!("web-{i}").into();
            slice["metadata"]["uid"] = format!("slice-{i}").into();
            slice["metadata"]["resourceVersion"] = "1".into();
            world.put(slice);
        }
        assert_eq!(sizes, [100, 100, 50]);
        assert_eq!(text(&plan(&EndpointSlices, &world, "default/web"), &[]), "");
        world.take("Pod", &Key::new("default", "p0"));
        assert_eq!(text(&plan(&EndpointSlices, &world, "default/web"), &[]), "update EndpointSlice web-0\n");
    }
}
