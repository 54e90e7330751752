//! `flowcontrol.apiserver.k8s.io/v1` PriorityLevelConfiguration: how many requests of a level run at once.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::flowcontrol::v1::PriorityLevelConfiguration;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::normal::fill;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// PriorityLevelConfiguration of `flowcontrol.apiserver.k8s.io/v1`.
pub struct PriorityLevelConfigurations;

impl Kind for PriorityLevelConfigurations {
    type Object = PriorityLevelConfiguration;

    const NAMES: Names = names("prioritylevelconfiguration", &[], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const ALLOW_UNCONDITIONAL_UPDATE: bool = false;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn default(level: &mut PriorityLevelConfiguration) {
        if let Some(limited) = &mut level.spec.limited {
            fill(&mut limited.nominal_concurrency_shares, 30);
            fill(&mut limited.lendable_percent, 0);
            if let Some(queuing) = &mut limited.limit_response.queuing {
                fill(&mut queuing.queues, 64);
                fill(&mut queuing.hand_size, 8);
                fill(&mut queuing.queue_length_limit, 50);
            }
        }
        if let Some(exempt) = &mut level.spec.exempt {
            fill(&mut exempt.nominal_concurrency_shares, 0);
            fill(&mut exempt.lendable_percent, 0);
        }
        level.status.get_or_insert_default();
    }

    fn prepare_create(level: &mut PriorityLevelConfiguration) {
        level.status.get_or_insert_default();
    }

    fn validate(level: &PriorityLevelConfiguration) -> Errors {
        let at = Path::new("spec");
        match (level.spec.type_.as_str(), level.spec.limited.is_some()) {
            ("Limited", false) => vec![Error::required(&at.child("limited"), "must not be empty when type is Limited")],
            ("Exempt", true) => vec![Error::forbidden(&at.child("limited"), "must be nil if the type is not Limited")],
            ("Limited" | "Exempt", _) => Errors::new(),
            (other, _) => vec![Error::not_supported(&at.child("type"), other, &["Exempt", "Limited"])],
        }
    }

    fn columns() -> Columns<PriorityLevelConfiguration> {
        Columns {
            columns: vec![
                name(),
                text_column(
                    "Type",
                    "`type` indicates whether this priority level is subject to limitation on request execution.  A value of `\"Exempt\"` means that requests of this priority level are not subject to a limit (and thus are never queued) and do not detract from the capacity made available to other priority levels.  A value of `\"Limited\"` means that (a) requests of this priority level _are_ subject to limits and (b) some of the server's limited capacity is made available exclusively to this priority level. Required.",
                ),
                text_column(
                    "NominalConcurrencyShares",
                    "`nominalConcurrencyShares` (NCS) contributes to the computation of the NominalConcurrencyLimit (NominalCL) of this level. This is the number of execution seats available at this priority level. This is used both for requests dispatched from this priority level as well as requests dispatched from other priority levels borrowing seats from this level. The server's concurrency limit (ServerCL) is divided among the Limited priority levels in proportion to their NCS values:\n\nNominalCL(i)  = ceil( ServerCL * NCS(i) / sum_ncs ) sum_ncs = sum[priority level k] NCS(k)\n\nBigger numbers mean a larger nominal concurrency limit, at the expense of every other priority level.\n\nIf not specified, this field defaults to a value of 30.\n\nSetting this field to zero supports the construction of a \"jail\" for this priority level that is used to hold some request(s)",
                ),
                text_column(
                    "Queues",
                    "`queues` is the number of queues for this priority level. The queues exist independently at each apiserver. The value must be positive.  Setting it to 1 effectively precludes shufflesharding and thus makes the distinguisher method of associated flow schemas irrelevant.  This field has a default value of 64.",
                ),
                text_column(
                    "HandSize",
                    "`handSize` is a small positive number that configures the shuffle sharding of requests into queues.  When enqueuing a request at this priority level the request's flow identifier (a string pair) is hashed and the hash value is used to shuffle the list of queues and deal a hand of the size specified here.  The request is put into one of the shortest queues in that hand. `handSize` must be no larger than `queues`, and should be significantly smaller (so that a few heavy flows do not saturate most of the queues).  See the user-facing documentation for more extensive guidance on setting this field.  This field has a default value of 8.",
                ),
                text_column(
                    "QueueLengthLimit",
                    "`queueLengthLimit` is the maximum number of requests allowed to be waiting in a given queue of this priority level at a time; excess requests are rejected.  This value must be positive.  If not specified, it will be defaulted to 50.",
                ),
                age(),
            ],
            row: |level, now| {
                let number = |n: Option<i32>| n.map_or_else(|| Value::from("<none>"), Value::from);
                let queuing = level.spec.limited.as_ref().and_then(|l| l.limit_response.queuing.as_ref());
                vec![
                    name_cell(&level.metadata),
                    Value::from(level.spec.type_.clone()),
                    number(level.spec.limited.as_ref().and_then(|l| l.nominal_concurrency_shares)),
                    number(queuing.and_then(|q| q.queues)),
                    number(queuing.and_then(|q| q.hand_size)),
                    number(queuing.and_then(|q| q.queue_length_limit)),
                    age_cell(&level.metadata, now),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationStatus", "conditions", "merge", "type", "map", &["type"])];
