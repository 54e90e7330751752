//! `storage.k8s.io/v1` StorageClass: a kind of storage that claims may ask for.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::storage::v1::StorageClass;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::checks::{IMMUTABLE, each, one_of};
use crate::kinds::columns::{age, age_cell, name, text as text_column};
use crate::kinds::normal::{fill, text};
use crate::kinds::{merge, names};
use crate::meta::qualified_name;
use crate::table::Columns;

/// StorageClass of `storage.k8s.io/v1`.
pub struct StorageClasses;

impl Kind for StorageClasses {
    type Object = StorageClass;

    const NAMES: Names = names("storageclass", &["sc"], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const MERGES: &[Merge] = MERGES;

    fn default(class: &mut StorageClass) {
        fill(&mut class.reclaim_policy, "Delete");
        fill(&mut class.volume_binding_mode, "Immediate");
    }

    fn validate(class: &StorageClass) -> Errors {
        let mut errors = Errors::new();
        let at = Path::new("provisioner");
        if class.provisioner.is_empty() {
            errors.push(Error::required(&at, ""));
        } else {
            errors.extend(each(&at, &class.provisioner, qualified_name(&class.provisioner.to_lowercase())));
        }
        if class.parameters.iter().flatten().any(|(key, _)| key.is_empty()) {
            errors.push(Error::invalid(&Path::new("parameters"), "", "field can not be empty."));
        }
        errors.extend(one_of(class.reclaim_policy.as_deref(), &["Delete", "Retain"], &Path::new("reclaimPolicy")));
        errors.extend(one_of(class.volume_binding_mode.as_deref(), &["Immediate", "WaitForFirstConsumer"], &Path::new("volumeBindingMode")));
        errors
    }

    fn validate_update(new: &StorageClass, old: &StorageClass) -> Errors {
        let mut errors = Self::validate(new);
        for (changed, field) in [
            (new.parameters != old.parameters, "parameters"),
            (new.provisioner != old.provisioner, "provisioner"),
            (new.reclaim_policy != old.reclaim_policy, "reclaimPolicy"),
        ] {
            if changed {
                errors.push(Error::forbidden(&Path::new(field), format!("updates to {field} are forbidden.")));
            }
        }
        if new.volume_binding_mode != old.volume_binding_mode {
            errors.push(Error::invalid(&Path::new("volumeBindingMode"), text(&new.volume_binding_mode), IMMUTABLE));
        }
        errors
    }

    fn columns() -> Columns<StorageClass> {
        Columns {
            columns: vec![
                name(),
                text_column("Provisioner", "provisioner indicates the type of the provisioner."),
                text_column(
                    "ReclaimPolicy",
                    "reclaimPolicy controls the reclaimPolicy for dynamically provisioned PersistentVolumes of this storage class. Defaults to Delete.",
                ),
                text_column(
                    "VolumeBindingMode",
                    "volumeBindingMode indicates how PersistentVolumeClaims should be provisioned and bound.  When unset, VolumeBindingImmediate is used. This field is only honored by servers that enable the VolumeScheduling feature.",
                ),
                text_column("AllowVolumeExpansion", "allowVolumeExpansion shows whether the storage class allow volume expand."),
                age(),
            ],
            row: |class, now| {
                let annotation = |key: &str| class.metadata.annotations.as_ref().and_then(|a| a.get(key)).is_some_and(|v| v == "true");
                let default = annotation("storageclass.kubernetes.io/is-default-class") || annotation("storageclass.beta.kubernetes.io/is-default-class");
                let suffix = if default { " (default)" } else { "" };
                vec![
                    Value::from(format!("{}{suffix}", text(&class.metadata.name))),
                    Value::from(class.provisioner.clone()),
                    Value::from(text(&class.reclaim_policy)),
                    Value::from(text(&class.volume_binding_mode)),
                    Value::from(class.allow_volume_expansion.unwrap_or(false)),
                    age_cell(&class.metadata, now),
                ]
            },
        }
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.TopologySelectorLabelRequirement", "values", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.TopologySelectorTerm", "", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.TopologySelectorTerm", "matchLabelExpressions", "", "", "atomic", &[]),
    merge("io.k8s.api.storage.v1.StorageClass", "allowedTopologies", "", "", "atomic", &[]),
    merge("io.k8s.api.storage.v1.StorageClass", "mountOptions", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<StorageClasses>(
            r#"
metadata: {name: s}
provisioner: x.io/y
"#,
            &expect![[r#"
                apiVersion: storage.k8s.io/v1
                kind: StorageClass
                metadata:
                  name: s
                provisioner: x.io/y
                reclaimPolicy: Delete
                volumeBindingMode: Immediate
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<StorageClasses>(
            r#"
provisioner: ""
reclaimPolicy: Burn
"#,
            &expect![[r#"
                provisioner: Required value
                reclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Retain"
            "#]],
        );
        check_update_refused::<StorageClasses>(
            r#"
provisioner: a.b/c
"#,
            r#"
provisioner: a.b/d
volumeBindingMode: WaitForFirstConsumer
"#,
            &expect![[r#"
                provisioner: Forbidden: updates to provisioner are forbidden.
                volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<StorageClasses>(
            r#"
metadata: {name: s, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: x.io/y
"#,
            &expect![[r#"
                Name: s (default)
                Provisioner: x.io/y
                ReclaimPolicy: Delete
                VolumeBindingMode: Immediate
                AllowVolumeExpansion: false
                Age: <unknown>
            "#]],
        );
    }
}
