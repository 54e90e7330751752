//! `node.k8s.io/v1` RuntimeClass: how a node runs Pods.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::node::v1::RuntimeClass;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::checks::{IMMUTABLE, each};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::{merge, names};
use crate::meta::dns1123_label;
use crate::table::Columns;

/// RuntimeClass of `node.k8s.io/v1`.
pub struct RuntimeClasses;

impl Kind for RuntimeClasses {
    type Object = RuntimeClass;

    const NAMES: Names = names("runtimeclass", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;

    fn validate(class: &RuntimeClass) -> Errors {
        each(&Path::new("handler"), &class.handler, dns1123_label(&class.handler)).collect()
    }

    fn validate_update(new: &RuntimeClass, old: &RuntimeClass) -> Errors {
        let changed = new.handler != old.handler;
        changed.then(|| Error::invalid(&Path::new("handler"), &new.handler, IMMUTABLE)).into_iter().collect()
    }

    fn columns() -> Columns<RuntimeClass> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Handler",
                    "handler specifies the underlying runtime and configuration that the CRI implementation will use to handle pods of this class. The possible values are specific to the node & CRI configuration.  It is assumed that all handlers are available on every node, and handlers of the same name are equivalent on every node. For example, a handler called \"runc\" might specify that the runc OCI runtime (using native Linux containers) will be used to run the containers in a pod. The Handler must be lowercase, conform to the DNS Label (RFC 1123) requirements, and is immutable.",
                ),
                age(),
            ],
            row: |class, now| vec![name_cell(&class.metadata), Value::from(class.handler.clone()), age_cell(&class.metadata, now)],
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.node.v1.Scheduling", "nodeSelector", "", "", "atomic", &[]),
    merge("io.k8s.api.node.v1.Scheduling", "tolerations", "", "", "atomic", &[]),
];
