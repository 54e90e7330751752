//! `coordination.k8s.io/v1` Lease: who holds something, and since when.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::NOT_NEGATIVE;
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::names;
use crate::table::Columns;

/// Lease of `coordination.k8s.io/v1`.
pub struct Leases;

impl Kind for Leases {
    type Object = Lease;

    const NAMES: Names = names("lease", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const ALLOW_CREATE_ON_UPDATE: bool = true;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;

    fn default(lease: &mut Lease) {
        lease.spec.get_or_insert_default();
    }

    fn validate(lease: &Lease) -> Errors {
        let empty = LeaseSpec::default();
        let (spec, at) = (lease.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
        let mut errors = Errors::new();
        if let Some(seconds) = spec.lease_duration_seconds.filter(|s| *s <= 0) {
            errors.push(Error::invalid(&at.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
        }
        if let Some(transitions) = spec.lease_transitions.filter(|n| *n < 0) {
            errors.push(Error::invalid(&at.child("leaseTransitions"), transitions, NOT_NEGATIVE));
        }
        errors
    }

    fn columns() -> Columns<Lease> {
        Columns {
            columns: vec![
                name(),
                text(
                    "Holder",
                    "holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.",
                ),
                age(),
            ],
            row: |lease, now| {
                let holder = lease.spec.as_ref().and_then(|s| s.holder_identity.clone()).unwrap_or_default();
                vec![name_cell(&lease.metadata), Value::from(holder), age_cell(&lease.metadata, now)]
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_row};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Leases>(
            r#"
spec: {leaseDurationSeconds: 0, leaseTransitions: -1}
"#,
            &expect![[r#"
                spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0
                spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Leases>(
            r#"
metadata: {name: l, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {holderIdentity: me}
"#,
            &expect![[r#"
                Name: l
                Holder: me
                Age: 15m
            "#]],
        );
    }
}
