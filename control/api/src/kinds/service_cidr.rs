//! `networking.k8s.io/v1` ServiceCIDR: a range that Service addresses come from.

use serde_json::Value;

use crate::field::{Error, Errors, Path, printed_json};
use crate::k8s_openapi::api::networking::v1::ServiceCIDR;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{IMMUTABLE, cidr};
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::{merge, names};
use crate::table::Columns;

/// ServiceCIDR of `networking.k8s.io/v1`.
pub struct ServiceCIDRs;

impl Kind for ServiceCIDRs {
    type Object = ServiceCIDR;

    const NAMES: Names = names("servicecidr", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn default(range: &mut ServiceCIDR) {
        range.status.get_or_insert_default();
    }

    fn prepare_create(range: &mut ServiceCIDR) {
        range.status.get_or_insert_default();
    }

    fn validate(range: &ServiceCIDR) -> Errors {
        let at = Path::new("spec.cidrs");
        let cidrs = range.spec.as_ref().and_then(|s| s.cidrs.as_deref()).unwrap_or_default();
        match cidrs.len() {
            0 => vec![Error::required(&at, "at least one CIDR required")],
            1 | 2 => cidrs.iter().enumerate().filter_map(|(i, text)| cidr(text, &at.index(i))).collect(),
            _ => vec![Error::invalid(&at, printed_json(&cidrs), "may only hold up to 2 values")],
        }
    }

    fn validate_update(new: &ServiceCIDR, old: &ServiceCIDR) -> Errors {
        let changed = new.spec != old.spec;
        changed.then(|| Error::invalid(&Path::new("spec.cidrs").index(0), printed_json(&new.spec), IMMUTABLE)).into_iter().collect()
    }

    fn columns() -> Columns<ServiceCIDR> {
        Columns {
            columns: vec![
                name(),
                text(
                    "CIDRs",
                    "CIDRs defines the IP blocks in CIDR notation (e.g. \"192.168.0.0/24\" or \"2001:db8::/64\") from which to assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is immutable.",
                ),
                age(),
            ],
            row: |range, now| {
                let cidrs = range.spec.as_ref().and_then(|s| s.cidrs.as_deref()).unwrap_or_default();
                vec![name_cell(&range.metadata), Value::from(cidrs.join(",")), age_cell(&range.metadata, now)]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.networking.v1.ServiceCIDRSpec", "cidrs", "", "", "atomic", &[]),
    merge("io.k8s.api.networking.v1.ServiceCIDRStatus", "conditions", "merge", "type", "map", &["type"]),
];
