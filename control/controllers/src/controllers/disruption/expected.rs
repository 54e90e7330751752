//! How many Pods a budget counts on: those that the owners of its Pods want.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::pods::scaled;
use crate::resource::{controller_of, name, namespace, uid};
use crate::world::World;

/// What a budget counts on.
pub(super) struct Expected {
    /// Pods in all.
    pub(super) pods: i32,
    /// Pods that shall be healthy.
    pub(super) healthy: i32,
    /// Whether there are Pods that nothing controls, of which nobody knows how many there shall be.
    pub(super) unmanaged: bool,
}

/// Reckons that, or says why it cannot be known.
pub(super) fn reckon(budget: &PodDisruptionBudget, pods: &[Arc<Pod>], world: &World) -> Result<Expected, String> {
    let Some(spec) = &budget.spec else { return Ok(Expected { pods: 0, healthy: 0, unmanaged: false }) };
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(unavailable), _) => {
            let (wanted, unmanaged) = scale(pods, world)?;
            Ok(Expected { pods: wanted, healthy: (wanted - scaled(unavailable, wanted, true)).max(0), unmanaged })
        }
        (None, Some(IntOrString::Int(healthy))) => Ok(Expected { pods: i32::try_from(pods.len()).unwrap_or(i32::MAX), healthy: *healthy, unmanaged: false }),
        (None, Some(part)) => {
            let (wanted, unmanaged) = scale(pods, world)?;
            Ok(Expected { pods: wanted, healthy: scaled(part, wanted, true), unmanaged })
        }
        (None, None) => Ok(Expected { pods: 0, healthy: 0, unmanaged: false }),
    }
}

/// How many Pods the owners want together, and whether there are Pods without one.
fn scale(pods: &[Arc<Pod>], world: &World) -> Result<(i32, bool), String> {
    let mut owners: BTreeMap<String, i32> = BTreeMap::new();
    let mut unmanaged = false;
    for pod in pods {
        let Some(owner) = controller_of(&pod.metadata) else {
            unmanaged = true;
            continue;
        };
        let (owner, replicas) =
            wanted(owner, namespace(&pod.metadata), world)?.ok_or_else(|| format!("found no controllers for pod {:?}", name(&pod.metadata)))?;
        owners.insert(owner, replicas);
    }
    Ok((owners.values().fold(0, |sum, n| sum.saturating_add(*n)), unmanaged))
}

/// The uid of the owner that says how many Pods there shall be, and how many; `None` if it is gone.
fn wanted(owner: &OwnerReference, namespace: &str, world: &World) -> Result<Option<(String, i32)>, String> {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    let found = match (group, owner.kind.as_str()) {
        ("apps", "ReplicaSet") => {
            let Some(set) = world.replica_sets.get(namespace, &owner.name).filter(|s| uid(&s.metadata) == owner.uid) else { return Ok(None) };
            match controller_of(&set.metadata).filter(|o| o.kind == "Deployment") {
                Some(above) => {
                    world.deployments.get(namespace, &above.name).filter(|d| uid(&d.metadata) == above.uid).map(|d| (d.metadata.uid.clone(), d.spec.replicas))
                }
                None => Some((set.metadata.uid.clone(), set.spec.replicas)),
            }
        }
        ("apps", "StatefulSet") => world.stateful_sets.get(namespace, &owner.name).map(|s| (s.metadata.uid.clone(), s.spec.replicas)),
        ("", "ReplicationController") => {
            world.replication_controllers.get(namespace, &owner.name).map(|c| (c.metadata.uid.clone(), c.spec.as_ref().and_then(|s| s.replicas)))
        }
        _ => {
            let resource = world.graph.resource(&owner.api_version, &owner.kind).map(|r| r.group_resource());
            return Err(format!("{} does not implement the scale subresource", resource.unwrap_or_else(|| owner.kind.clone())));
        }
    };
    Ok(found.map(|(uid, replicas)| (uid.unwrap_or_default(), replicas.unwrap_or(1))))
}
