//! Endpoints controller: the older form of what EndpointSlices say, one object per Service, at most 1,000 addresses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::endpoint_slice::{TRIGGER_TIME, headless, hostname, pace, pod_reference, selector, serves, services_of_pods, target_port, trigger_time};
use crate::action::Action;
use crate::controllers::Controller;
use crate::kinds::{Labels, pods_selected};
use crate::pods::phase;
use crate::queue::Queue;
use crate::world::{Turn, World};

const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const LARGEST: usize = 1_000;

/// The controller `endpoints-controller`.
pub struct EndpointsController;

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoints-controller"
    }

    fn account(&self) -> &'static str {
        "endpoint-controller"
    }

    fn triggers(&self, world: &World, queue: &Arc<Queue>) {
        services_of_pods(world, queue);
        world.endpoints.own_key(queue);
    }

    fn pace(&self, turn: &Turn<'_>) -> Duration {
        pace(turn)
    }

    fn plan(&self, turn: &Turn<'_>) -> Vec<Action> {
        let (world, key) = (turn.world, turn.key);
        let current = world.endpoints.get(&key.namespace, &key.name);
        let Some(service) = world.services.get(&key.namespace, &key.name) else {
            // An Endpoints without a Service is not ours unless we made it.
            let ours = current.filter(|e| e.metadata.labels.as_ref().is_some_and(|l| l.contains_key(MANAGED_BY)));
            return ours.map(|e| Action::delete(&*e)).into_iter().collect();
        };
        let Some(selector) = selector(&service) else { return Vec::new() };
        let pods = pods_selected(&world.pods, &key.namespace, selector);
        let (subsets, over) = subsets(&service, &pods);
        let mut wanted =
            Endpoints { metadata: ObjectMeta { name: Some(key.name.clone()), namespace: Some(key.namespace.clone()), ..ObjectMeta::default() }, subsets };
        if let Some(current) = &current {
            wanted.metadata = current.metadata.clone();
        }
        let labels = labels(&service);
        let annotations = wanted.metadata.annotations.get_or_insert_default();
        let was_over = annotations.remove(OVER_CAPACITY);
        if over {
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        }
        let same = current.as_ref().is_some_and(|c| {
            c.metadata.labels.as_ref() == Some(&labels)
                && c.subsets.clone().unwrap_or_default() == wanted.subsets.clone().unwrap_or_default()
                && was_over.is_some() == over
        });
        if same {
            return Vec::new();
        }
        match trigger_time(&service, &pods) {
            Some(time) => annotations.insert(TRIGGER_TIME.to_owned(), time),
            None => annotations.remove(TRIGGER_TIME),
        };
        wanted.metadata.labels = Some(labels);
        vec![if current.is_some() { Action::update(&wanted) } else { Action::create(&wanted) }]
    }
}

fn labels(service: &Service) -> Labels {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), "endpoint-controller".to_owned());
    labels
}

/// Ready and other addresses of one set of ports.
type Group = (BTreeMap<String, EndpointAddress>, BTreeMap<String, EndpointAddress>);

/// Name, number, protocol, application protocol.
type PortKey = (String, i32, String, Option<String>);

/// One subset per set of ports, and whether some addresses found no room.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Option<Vec<EndpointSubset>>, bool) {
    let spec = service.spec.clone().unwrap_or_default();
    let publish = spec.publish_not_ready_addresses == Some(true);
    let mut groups: BTreeMap<Vec<PortKey>, Group> = BTreeMap::new();
    let mut room = LARGEST;
    let mut over = false;
    // Ready ones get the room first.
    let mut pods: Vec<&Arc<Pod>> = pods.iter().collect();
    pods.sort_by_key(|p| !serves(p));
    for pod in pods {
        let Some(ip) = pod.status.as_ref().and_then(|s| s.pod_ip.clone()).filter(|ip| !ip.is_empty()) else { continue };
        let ending = pod.metadata.deletion_timestamp.is_some();
        if matches!(phase(pod), "Succeeded" | "Failed") || (ending && !publish) {
            continue;
        }
        if room == 0 {
            over = true;
            break;
        }
        let ready = publish || serves(pod);
        let address = EndpointAddress {
            ip: ip.clone(),
            hostname: hostname(pod, service),
            node_name: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
            target_ref: Some(pod_reference(pod)),
        };
        let ports: Vec<_> = spec
            .ports
            .iter()
            .flatten()
            .filter_map(|port| {
                Some((
                    port.name.clone().unwrap_or_default(),
                    target_port(pod, port)?,
                    port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                    port.app_protocol.clone(),
                ))
            })
            .collect();
        if ports.is_empty() && !(headless(service) && spec.ports.iter().flatten().next().is_none()) {
            continue;
        }
        let (addresses, others) = groups.entry(ports).or_default();
        if ready { addresses } else { others }.insert(ip, address);
        room -= 1;
    }
    let some = |addresses: BTreeMap<String, EndpointAddress>| (!addresses.is_empty()).then(|| addresses.into_values().collect());
    let subsets: Vec<EndpointSubset> = groups
        .into_iter()
        .map(|(ports, (ready, others))| EndpointSubset {
            addresses: some(ready),
            not_ready_addresses: some(others),
            ports: (!ports.is_empty()).then(|| {
                ports
                    .into_iter()
                    .map(|(name, port, protocol, app_protocol)| EndpointPort {
                        name: (!name.is_empty()).then_some(name),
                        port,
                        protocol: Some(protocol),
                        app_protocol,
                    })
                    .collect()
            }),
        })
        .collect();
    ((!subsets.is_empty()).then_some(subsets), over)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::testing::check;

    #[test]
    fn ready_and_not_ready() {
        check(
            &EndpointsController,
            "
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: a, labels: {app: web}}
spec: {nodeName: worker, hostname: zero, subdomain: web, containers: []}
status: {phase: Running, podIP: 10.244.0.2, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, labels: {app: web}}
spec: {nodeName: worker, containers: []}
status: {phase: Running, podIP: 10.244.0.3}
---
apiVersion: v1
kind: Pod
metadata: {name: c, labels: {app: web}}
spec: {nodeName: worker, containers: []}
status: {phase: Failed, podIP: 10.244.0.4}
",
            "default/web",
            &["metadata.labels", "subsets"],
            expect![[r#"
                create Endpoints web
                  metadata.labels: {"endpoints.kubernetes.io/managed-by":"endpoint-controller","service.kubernetes.io/headless":""}
                  subsets: [{"addresses":[{"hostname":"zero","ip":"10.244.0.2","nodeName":"worker","targetRef":{"kind":"Pod","name":"a","namespace":"default","uid":"pod-a"}}],"notReadyAddresses":[{"ip":"10.244.0.3","nodeName":"worker","targetRef":{"kind":"Pod","name":"b","namespace":"default","uid":"pod-b"}}],"ports":[{"port":8080,"protocol":"TCP"}]}]
            "#]],
        );
    }
}
