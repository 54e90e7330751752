//! `resource.k8s.io/v1` ResourceSlice: devices that a node or pool has.

use serde_json::Value;

use crate::k8s_openapi::api::resource::v1::ResourceSlice;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::normal::text as given;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// ResourceSlice of `resource.k8s.io/v1`.
pub struct ResourceSlices;

impl Kind for ResourceSlices {
    type Object = ResourceSlice;

    const NAMES: Names = names("resourceslice", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn columns() -> Columns<ResourceSlice> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Node",
                    "NodeName identifies the node which provides the resources in this pool. A field selector can be used to list only ResourceSlice objects belonging to a certain node.\n\nThis field can be used to limit access from nodes to ResourceSlices with the same node name. It also indicates to autoscalers that adding new nodes of the same type as some old node might also make new resources available.\n\nExactly one of NodeName, NodeSelector, AllNodes, and PerDeviceNodeSelection must be set. This field is immutable.",
                ),
                text(
                    "Driver",
                    "Driver identifies the DRA driver providing the capacity information. A field selector can be used to list only ResourceSlice objects with a certain driver name.\n\nMust be a DNS subdomain and should end with a DNS domain owned by the vendor of the driver. It should use only lower case characters. This field is immutable.",
                ),
                text(
                    "Pool",
                    "Name is used to identify the pool. For node-local devices, this is often the node name, but this is not required.\n\nIt must not be longer than 253 characters and must consist of one or more DNS sub-domains separated by slashes. This field is immutable.",
                ),
                age(),
            ],
            row: |slice, now| {
                let node = match slice.spec.all_nodes {
                    Some(true) => "<all>",
                    _ => given(&slice.spec.node_name),
                };
                vec![
                    name_cell(&slice.metadata),
                    Value::from(node),
                    Value::from(slice.spec.driver.clone()),
                    Value::from(slice.spec.pool.name.clone()),
                    age_cell(&slice.metadata, now),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.resource.v1.CapacityRequestPolicy", "validValues", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.Device", "bindingConditions", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.Device", "bindingFailureConditions", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.Device", "consumesCounters", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.Device", "taints", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceAttribute", "bools", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceAttribute", "ints", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceAttribute", "strings", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.DeviceAttribute", "versions", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.ResourceSliceSpec", "devices", "", "", "atomic", &[]),
    merge("io.k8s.api.resource.v1.ResourceSliceSpec", "sharedCounters", "", "", "atomic", &[]),
];
