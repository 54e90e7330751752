//! `v1` Namespace: a room for names.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::k8s_openapi::api::core::v1::{Namespace, NamespaceSpec, NamespaceStatus};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::each;
use crate::kinds::columns::{age, age_cell, name, name_cell, text};
use crate::kinds::{merge, names, other};
use crate::meta::qualified_name;
use crate::table::Columns;

/// Namespace of `v1`.
pub struct Namespaces;

impl Kind for Namespaces {
    type Object = Namespace;

    const NAMES: Names = names("namespace", &["ns"], &[]);
    const SCOPE: Scope = Scope::Cluster;
    const VERBS: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
    const SUBRESOURCES: &[Subresource] = &[other("finalize", "", "Namespace", &["update"]), Subresource::Status];
    const MERGES: &[Merge] = MERGES;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn validate_name(name: &str, prefix: bool) -> Vec<String> {
        crate::kinds::dns_label_name(name, prefix)
    }

    fn selectable_fields(object: &Self::Object) -> Vec<(&'static str, String)> {
        vec![
            ("name", object.metadata.name.clone().unwrap_or_default()),
            ("status.phase", object.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default()),
        ]
    }

    fn default(namespace: &mut Namespace) {
        namespace.spec.get_or_insert_default();
        let name = namespace.metadata.name.clone().unwrap_or_default();
        if !name.is_empty() {
            namespace.metadata.labels.get_or_insert_default().insert(NAME_LABEL.to_owned(), name);
        }
    }

    fn prepare_create(namespace: &mut Namespace) {
        namespace.status = Some(NamespaceStatus { phase: Some("Active".to_owned()), ..NamespaceStatus::default() });
        let finalizers = namespace.spec.get_or_insert_default().finalizers.get_or_insert_default();
        if !finalizers.iter().any(|f| f == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
        }
    }

    fn prepare_update(new: &mut Namespace, old: &Namespace) {
        let finalizers = old.spec.as_ref().and_then(|s| s.finalizers.clone());
        new.spec = Some(NamespaceSpec { finalizers });
    }

    fn validate(namespace: &Namespace) -> Errors {
        let finalizers = namespace.spec.iter().flat_map(|s| s.finalizers.iter().flatten());
        let at = Path::new("spec.finalizers");
        finalizers.flat_map(|f| each(&at, f, qualified_name(f)).collect::<Errors>()).collect()
    }

    fn columns() -> Columns<Namespace> {
        Columns {
            columns: vec![name(), text("Status", "The status of the namespace"), age()],
            row: |namespace, now| {
                let phase = namespace.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
                vec![name_cell(&namespace.metadata), Value::from(phase), age_cell(&namespace.metadata, now)]
            },
        }
    }
}

const NAME_LABEL: &str = "kubernetes.io/metadata.name";
/// Keeps a namespace until its contents are gone.
const FINALIZER: &str = "kubernetes";

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.core.v1.NamespaceSpec", "finalizers", "", "", "atomic", &[]),
    merge("io.k8s.api.core.v1.NamespaceStatus", "conditions", "merge", "type", "map", &["type"]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_row};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<Namespaces>(
            r#"
metadata: {name: n}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: Namespace
                metadata:
                  labels:
                    kubernetes.io/metadata.name: n
                  name: n
                spec:
                  finalizers:
                  - kubernetes
                status:
                  phase: Active
            "#]],
        );
    }

    #[test]
    fn an_update_keeps_the_finalizers() {
        let parse = |yaml: &str| -> Namespace { serde_yaml::from_str(yaml).unwrap() };
        let mut new = parse("metadata: {name: n}");
        Namespaces::prepare_update(&mut new, &parse("spec: {finalizers: [kubernetes]}"));
        assert_eq!(new.spec.unwrap().finalizers.unwrap(), ["kubernetes"]);
    }

    #[test]
    fn prints_a_row() {
        check_row::<Namespaces>(
            r#"
metadata: {name: n, creationTimestamp: 2025-12-30T00:00:00Z}
status: {phase: Active}
"#,
            &expect![[r#"
                Name: n
                Status: Active
                Age: 2d
            "#]],
        );
    }
}
