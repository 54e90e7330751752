//! `scheduling.k8s.io/v1` PriorityClass: how important a Pod is.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::scheduling::v1::PriorityClass;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::{IMMUTABLE, one_of};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::names;
use crate::kinds::normal::{drop_empty, drop_false, fill, text};
use crate::table::{Column, Columns};

/// PriorityClass of `scheduling.k8s.io/v1`.
pub struct PriorityClasses;

impl Kind for PriorityClasses {
    type Object = PriorityClass;

    const NAMES: Names = names("priorityclass", &["pc"], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const HAS_GENERATION: bool = true;

    fn default(class: &mut PriorityClass) {
        fill(&mut class.preemption_policy, "PreemptLowerPriority");
        fill(&mut class.value, 0);
        drop_false(&mut class.global_default);
        drop_empty(&mut class.description);
    }

    fn validate(class: &PriorityClass) -> Errors {
        let mut errors = Errors::new();
        let name = text(&class.metadata.name);
        let value = class.value.unwrap_or(0);
        if name.starts_with("system-") {
            if !SYSTEM.contains(&(name, value)) {
                let words = "priority class names with 'system-' prefix are reserved for system use only";
                errors.push(Error::forbidden(&Path::new("metadata.name"), words));
            }
        } else if value > HIGHEST {
            let words = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            errors.push(Error::forbidden(&Path::new("value"), words));
        }
        let policies = &["Never", "PreemptLowerPriority"];
        errors.extend(one_of(class.preemption_policy.as_deref(), policies, &Path::new("preemptionPolicy")));
        errors
    }

    fn validate_update(new: &PriorityClass, old: &PriorityClass) -> Errors {
        let mut errors = Errors::new();
        if new.value.unwrap_or(0) != old.value.unwrap_or(0) {
            errors.push(Error::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        if new.preemption_policy != old.preemption_policy {
            errors.push(Error::invalid(&Path::new("preemptionPolicy"), text(&new.preemption_policy), IMMUTABLE));
        }
        errors
    }

    fn columns() -> Columns<PriorityClass> {
        Columns {
            columns: vec![
                name(),
                Column::new(
                    "Value",
                    "integer",
                    "value represents the integer value of this priority class. This is the actual priority that pods receive when they have the name of this class in their pod spec.",
                ),
                Column::new(
                    "Global-Default",
                    "boolean",
                    "globalDefault specifies whether this PriorityClass should be considered as the default priority for pods that do not have any priority class. Only one PriorityClass can be marked as `globalDefault`. However, if more than one PriorityClasses exists with their `globalDefault` field set to true, the smallest value of such global default PriorityClasses will be used as the default priority.",
                ),
                age(),
                text_column(
                    "PreemptionPolicy",
                    "preemptionPolicy is the Policy for preempting pods with lower priority. One of Never, PreemptLowerPriority. Defaults to PreemptLowerPriority if unset.",
                ),
            ],
            row: |class, now| {
                vec![
                    name_cell(&class.metadata),
                    Value::from(class.value.unwrap_or(0)),
                    Value::from(class.global_default.unwrap_or(false)),
                    age_cell(&class.metadata, now),
                    Value::from(class.preemption_policy.as_deref().unwrap_or("PreemptLowerPriority")),
                ]
            },
        }
    }
}

/// The highest priority that a user may give.
const HIGHEST: i32 = 1_000_000_000;
/// The classes of the system's own Pods.
const SYSTEM: &[(&str, i32)] = &[("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_refused, check_update_refused};

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<PriorityClasses>(
            r#"
metadata: {name: system-mine}
"#,
            &expect![[r#"
                metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only
            "#]],
        );
        check_refused::<PriorityClasses>(
            r#"
metadata: {name: x}
value: 1000000001
preemptionPolicy: Always
"#,
            &expect![[r#"
                value: Forbidden: maximum allowed value of a user defined priority is 1000000000
                preemptionPolicy: Unsupported value: "Always": supported values: "Never", "PreemptLowerPriority"
            "#]],
        );
        check_refused::<PriorityClasses>(
            r#"
metadata: {name: system-node-critical}
value: 2000001000
"#,
            &expect![[r#""#]],
        );
        check_update_refused::<PriorityClasses>(
            r#"
value: 1
"#,
            r#"
value: 2
preemptionPolicy: Never
"#,
            &expect![[r#"
                value: Forbidden: may not be changed in an update.
                preemptionPolicy: Invalid value: "Never": field is immutable
            "#]],
        );
    }
}
