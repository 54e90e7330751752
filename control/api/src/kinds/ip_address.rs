//! `networking.k8s.io/v1` IPAddress: an address that was given out, and to what.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::networking::v1::IPAddress;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::parse_ip;
use crate::kinds::columns::{name, name_cell, text};
use crate::kinds::names;
use crate::kinds::normal::text as given;
use crate::table::Columns;

/// IPAddress of `networking.k8s.io/v1`.
pub struct IPAddresses;

impl Kind for IPAddresses {
    type Object = IPAddress;

    const NAMES: Names = names("ipaddress", &["ip"], &[]);
    const SCOPE: Scope = Scope::Cluster;

    fn validate_name(name: &str, _prefix: bool) -> Vec<String> {
        let canonical = parse_ip(name).is_some_and(|ip| ip.to_string() == name);
        if canonical { Vec::new() } else { vec!["must be a valid IP address in canonical form".to_owned()] }
    }

    fn validate(address: &IPAddress) -> Errors {
        let (parent, at) = (&address.spec.parent_ref, Path::new("spec.parentRef"));
        let empty = [(&parent.resource, "resource"), (&parent.name, "name")].into_iter().filter(|(value, _)| value.is_empty());
        empty.map(|(_, field)| Error::required(&at.child(field), "")).collect()
    }

    fn columns() -> Columns<IPAddress> {
        Columns {
            columns: vec![
                name(),
                text("ParentRef", "ParentRef references the resource that an IPAddress is attached to. An IPAddress must reference a parent object."),
            ],
            row: |address, _now| {
                let parent = &address.spec.parent_ref;
                let parts = [given(&parent.group), parent.resource.as_str(), given(&parent.namespace), parent.name.as_str()];
                let path: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
                vec![name_cell(&address.metadata), Value::from(path.join("/"))]
            },
        }
    }
}
