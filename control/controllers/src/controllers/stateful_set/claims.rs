//! The PersistentVolumeClaims of a StatefulSet's Pods: made with them, and owned so that they go when the retention policy says.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{Observed, Work, identity};
use crate::action::Action;
use crate::pods::announce;
use crate::resource::{controller_ref, name, namespace, uid};

/// The names of an ordinal's claims, each with that of its template.
pub(super) fn names(set: &StatefulSet, ordinal: i32) -> impl Iterator<Item = (&str, String)> {
    let of = name(&set.metadata);
    set.spec.volume_claim_templates.iter().flatten().map(move |template| (name(&template.metadata), format!("{}-{of}-{ordinal}", name(&template.metadata))))
}

/// Whether a claim's name is one that the set may give.
pub(super) fn may_be_of(set: &StatefulSet, claim: &str) -> bool {
    let Some((prefix, _)) = identity::of(claim) else { return false };
    let mut templates = set.spec.volume_claim_templates.iter().flatten();
    templates.any(|t| prefix.strip_prefix(name(&t.metadata)).and_then(|rest| rest.strip_prefix('-')) == Some(name(&set.metadata)))
}

fn policy(set: &StatefulSet) -> (bool, bool) {
    let policy = set.spec.persistent_volume_claim_retention_policy.as_ref();
    let deletes = |when: Option<&String>| when.is_some_and(|w| w == "Delete");
    (deletes(policy.and_then(|p| p.when_deleted.as_ref())), deletes(policy.and_then(|p| p.when_scaled.as_ref())))
}

fn get(observed: &Observed<'_>, claim: &str) -> Option<Arc<PersistentVolumeClaim>> {
    observed.world.persistent_volume_claims.get(namespace(&observed.set.metadata), claim)
}

/// Makes the claims of an ordinal that are missing; the name of one that is being deleted, if any is.
pub(super) fn create_missing(observed: &Observed<'_>, ordinal: i32, work: &mut Work) -> Option<String> {
    let set = observed.set;
    let mut ending = None;
    for (template, (_, claim)) in set.spec.volume_claim_templates.iter().flatten().zip(names(set, ordinal)) {
        if let Some(there) = get(observed, &claim) {
            ending = ending.or(there.metadata.deletion_timestamp.as_ref().map(|_| claim));
            continue;
        }
        let mut labels = template.metadata.labels.clone().unwrap_or_default();
        labels.extend(set.spec.selector.match_labels.clone().unwrap_or_default());
        let made = PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(claim),
                namespace: set.metadata.namespace.clone(),
                labels: Some(labels).filter(|l| !l.is_empty()),
                annotations: template.metadata.annotations.clone(),
                owner_references: policy(set).0.then(|| vec![controller_ref(set)]),
                ..ObjectMeta::default()
            },
            spec: template.spec.clone(),
            status: None,
        };
        let of = format!("Pod {0}-{ordinal} in StatefulSet {0}", name(&set.metadata));
        let done = format!("create Claim {{name}} {of} success");
        let failed = format!("create Claim {{name}} for {of} failed error: {{error}}");
        work.claims.push(Action::create(&made).announced(announce(set, ("SuccessfulCreate", &done), ("FailedCreate", &failed))));
    }
    ending
}

/// Whether a claim of an ordinal still belongs to a Pod that is gone, and will go with it.
pub(super) fn are_stale(observed: &Observed<'_>, ordinal: i32) -> bool {
    let pod = format!("{}-{ordinal}", name(&observed.set.metadata));
    let of_old_pod = |o: &OwnerReference| o.kind == "Pod" && o.name == pod;
    policy(observed.set).1
        && names(observed.set, ordinal).filter_map(|(_, claim)| get(observed, &claim)).any(|c| c.metadata.owner_references.iter().flatten().any(of_old_pod))
}

/// Makes a Pod's claims go with what the policy says: the set, or a Pod that is out of the range.
pub(super) fn own(observed: &Observed<'_>, pod: &Pod, condemned: bool, work: &mut Work) {
    let set = observed.set;
    let (when_deleted, when_scaled) = policy(set);
    let Some((_, ordinal)) = identity::of(name(&pod.metadata)) else { return };
    for claim in names(set, ordinal).filter_map(|(_, claim)| get(observed, &claim)).filter(|c| c.metadata.deletion_timestamp.is_none()) {
        let owners = claim.metadata.owner_references.clone().unwrap_or_default();
        let is = |o: &OwnerReference, kind: &str, named: &str| o.kind == kind && o.name == named;
        let ours = |o: &OwnerReference| is(o, "StatefulSet", name(&set.metadata)) || is(o, "Pod", name(&pod.metadata));
        let stale = |o: &OwnerReference| ours(o) && o.uid != uid(&set.metadata) && o.uid != uid(&pod.metadata);
        if owners.iter().any(stale) {
            continue; // it goes with an earlier one, and is left to that
        }
        let mut wanted: Vec<_> = owners.iter().filter(|o| !ours(o)).cloned().collect();
        if !wanted.iter().any(|o| o.controller == Some(true)) {
            if when_scaled && condemned {
                wanted.push(controller_ref(pod));
            } else if when_deleted {
                wanted.push(controller_ref(set));
            }
        }
        if wanted != owners {
            let mut owned = (*claim).clone();
            owned.metadata.owner_references = Some(wanted);
            work.claims.push(Action::update(&owned));
        }
    }
}
