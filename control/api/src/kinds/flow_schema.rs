//! `flowcontrol.apiserver.k8s.io/v1` FlowSchema: which requests belong to which priority level.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::k8s_openapi::api::flowcontrol::v1::FlowSchema;
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::in_range;
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::normal::fill;
use crate::kinds::{merge, names};
use crate::table::Columns;

/// FlowSchema of `flowcontrol.apiserver.k8s.io/v1`.
pub struct FlowSchemas;

impl Kind for FlowSchemas {
    type Object = FlowSchema;

    const NAMES: Names = names("flowschema", &[], &[]);
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

    fn default(schema: &mut FlowSchema) {
        fill(&mut schema.spec.matching_precedence, 1000);
        schema.status.get_or_insert_default();
    }

    fn prepare_create(schema: &mut FlowSchema) {
        schema.status.get_or_insert_default();
    }

    fn validate(schema: &FlowSchema) -> Errors {
        let precedence = schema.spec.matching_precedence.unwrap_or(0);
        in_range(precedence.into(), 1, 10_000, &Path::new("spec.matchingPrecedence")).into_iter().collect()
    }

    fn columns() -> Columns<FlowSchema> {
        Columns {
            columns: vec![
                name(),
                text_column("PriorityLevel", "`name` is the name of the priority level configuration being referenced Required."),
                text_column(
                    "MatchingPrecedence",
                    "`matchingPrecedence` is used to choose among the FlowSchemas that match a given request. The chosen FlowSchema is among those with the numerically lowest (which we take to be logically highest) MatchingPrecedence.  Each MatchingPrecedence value must be ranged in [1,10000]. Note that if the precedence is not specified, it will be set to 1000 as default.",
                ),
                text_column(
                    "DistinguisherMethod",
                    "`distinguisherMethod` defines how to compute the flow distinguisher for requests that match this schema. `nil` specifies that the distinguisher is disabled and thus will always be the empty string.",
                ),
                age(),
                text_column("MissingPL", "references a broken or non-existent PriorityLevelConfiguration"),
            ],
            row: |schema, now| {
                let method = schema.spec.distinguisher_method.as_ref().map_or("<none>", |m| m.type_.as_str());
                let dangling = schema.status.iter().flat_map(|s| s.conditions.iter().flatten()).find(|c| c.type_ == "Dangling");
                vec![
                    name_cell(&schema.metadata),
                    Value::from(schema.spec.priority_level_configuration.name.clone()),
                    Value::from(schema.spec.matching_precedence.unwrap_or(0)),
                    Value::from(method),
                    age_cell(&schema.metadata, now),
                    Value::from(dangling.and_then(|c| c.status.clone()).unwrap_or_else(|| "?".to_owned())),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.flowcontrol.v1.FlowSchemaSpec", "rules", "", "", "atomic", &[]),
    merge("io.k8s.api.flowcontrol.v1.FlowSchemaStatus", "conditions", "merge", "type", "map", &["type"]),
    merge("io.k8s.api.flowcontrol.v1.NonResourcePolicyRule", "nonResourceURLs", "", "", "set", &[]),
    merge("io.k8s.api.flowcontrol.v1.NonResourcePolicyRule", "verbs", "", "", "set", &[]),
    merge("io.k8s.api.flowcontrol.v1.PolicyRulesWithSubjects", "nonResourceRules", "", "", "atomic", &[]),
    merge("io.k8s.api.flowcontrol.v1.PolicyRulesWithSubjects", "resourceRules", "", "", "atomic", &[]),
    merge("io.k8s.api.flowcontrol.v1.PolicyRulesWithSubjects", "subjects", "", "", "atomic", &[]),
    merge("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "apiGroups", "", "", "set", &[]),
    merge("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "namespaces", "", "", "set", &[]),
    merge("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "resources", "", "", "set", &[]),
    merge("io.k8s.api.flowcontrol.v1.ResourcePolicyRule", "verbs", "", "", "set", &[]),
];
