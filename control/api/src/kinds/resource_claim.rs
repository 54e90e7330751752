//! `resource.k8s.io/v1` ResourceClaim: a wish for devices.

use serde_json::Value;

use crate::k8s_openapi::api::resource::v1::ResourceClaim;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::{merge, names};
use crate::table::Columns;

/// ResourceClaim of `resource.k8s.io/v1`.
pub struct ResourceClaims;

impl Kind for ResourceClaims {
    type Object = ResourceClaim;

    const NAMES: Names = names("resourceclaim", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn columns() -> Columns<ResourceClaim> {
        Columns {
            columns: vec![name(), text("State", "A summary of the current state (allocated, pending, reserved, etc.)."), age()],
            row: |claim, now| vec![name_cell(&claim.metadata), Value::from(state(claim)), age_cell(&claim.metadata, now)],
        }
    }
}

fn state(claim: &ResourceClaim) -> String {
    let mut words = Vec::new();
    if claim.metadata.deletion_timestamp.is_some() {
        words.push("deleted");
    }
    let allocated = claim.status.as_ref().is_some_and(|s| s.allocation.is_some());
    if !allocated {
        if claim.metadata.deletion_timestamp.is_none() {
            words.push("pending");
        }
    } else {
        words.push("allocated");
        if claim.status.iter().flat_map(|s| s.reserved_for.iter().flatten()).next().is_some() {
            words.push("reserved");
        }
    }
    words.join(",")
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.resource.v1.AllocatedDeviceStatus", "conditions", "", "", "map", &["type"]),
    merge("io.k8s.api.resource.v1.DeviceAllocationConfiguration", "requests", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceAllocationResult", "config", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceAllocationResult", "results", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceClaim", "config", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceClaim", "constraints", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceClaim", "requests", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceClaimConfiguration", "requests", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceConstraint", "requests", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceRequest", "firstAvailable", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceRequestAllocationResult", "bindingConditions", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceRequestAllocationResult", "bindingFailureConditions", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceRequestAllocationResult", "tolerations", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceSubRequest", "selectors", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceSubRequest", "tolerations", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.ExactDeviceRequest", "selectors", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.ExactDeviceRequest", "tolerations", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.NetworkDeviceData", "ips", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.ResourceClaimStatus", "devices", "", "", "map", &["driver", "device", "pool", "shareID"]),
    merge("io.k8s.api.resource.v1.ResourceClaimStatus", "reservedFor", "merge", "uid", "map", &["uid"]),
];
