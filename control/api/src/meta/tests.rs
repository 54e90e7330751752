use expect_test::{Expect, expect};
use serde_json::json;

use super::*;

fn meta(value: serde_json::Value) -> ObjectMeta {
    serde_json::from_value(value).unwrap()
}

fn text(errors: Errors) -> String {
    errors.iter().map(|e| format!("{e}\n")).collect()
}

fn check(value: serde_json::Value, expected: Expect) {
    expected.assert_eq(&text(validate_object_meta(&meta(value), true, &dns_subdomain_name)));
}

#[test]
fn of_a_new_object() {
    check(json!({"name": "a", "namespace": "n", "labels": {"a/b": "c"}, "finalizers": ["x.io/y"]}), expect![""]);
    check(json!({"namespace": "n", "generateName": "web-", "name": "web-abcde"}), expect![""]);
    check(
        json!({"namespace": "N"}),
        expect![[r#"
            metadata.name: Required value: name or generateName is required
            metadata.namespace: Invalid value: "N": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')
        "#]],
    );
    check(
        json!({"name": "a", "namespace": "n", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Event", "name": "e", "uid": "1"},
            {"apiVersion": "", "kind": "A", "name": "", "uid": "1", "controller": true},
            {"apiVersion": "v1", "kind": "B", "name": "b", "uid": "2", "controller": true}]}),
        expect![[r#"
            metadata.ownerReferences: Invalid value: {"apiVersion":"v1","kind":"Event","name":"e","uid":"1"}: /v1, Kind=Event is disallowed from being an owner
            metadata.ownerReferences.apiVersion: Invalid value: "": version must not be empty
            metadata.ownerReferences.name: Invalid value: "": must not be empty
            metadata.ownerReferences: Invalid value: [{"apiVersion":"v1","kind":"Event","name":"e","uid":"1"},{"apiVersion":"","controller":true,"kind":"A","name":"","uid":"1"},{"apiVersion":"v1","controller":true,"kind":"B","name":"b","uid":"2"}]: Only one reference can have Controller set to true. Found "true" in references for A/ and B/b
        "#]],
    );
    check(
        json!({"name": "a", "namespace": "n", "annotations": {"big": "x".repeat(MAX_ANNOTATIONS_BYTES)}, "finalizers": ["orphan", "foregroundDeletion"]}),
        expect![[r#"
            metadata.annotations: Too long: may not be more than 262144 bytes
            metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: finalizer orphan and foregroundDeletion cannot be both set
        "#]],
    );
}

#[test]
fn of_a_cluster_object() {
    let errors = validate_object_meta(&meta(json!({"name": "a", "namespace": "n"})), false, &dns_subdomain_name);
    expect![[r#"
        metadata.namespace: Forbidden: not allowed on this type
    "#]]
    .assert_eq(&text(errors));
}

#[test]
fn of_an_update() {
    let old = meta(json!({"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "5", "generation": 3,
        "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z", "finalizers": ["x.io/y"]}));
    let mut new = meta(json!({"name": "a", "namespace": "n", "resourceVersion": "5", "generation": 3, "finalizers": ["x.io/y"]}));
    keep_on_update(&mut new, &old);
    assert_eq!(text(validate_object_meta_update(&new, &old)), "");
    let mut new = meta(json!({"name": "b", "namespace": "n", "uid": "v", "generation": 2, "finalizers": ["x.io/y", "z.io/z"]}));
    keep_on_update(&mut new, &old);
    expect![[r#"
        metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"z.io/z"}
        metadata.resourceVersion: Invalid value: "": must be specified for an update
        metadata.generation: Invalid value: 2: must not be decremented
        metadata.name: Invalid value: "b": field is immutable
        metadata.uid: Invalid value: "v": field is immutable
    "#]]
    .assert_eq(&text(validate_object_meta_update(&new, &old)));
}

#[test]
fn generated_names() {
    let name = generate_name("web-");
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    assert_eq!(generate_name(&"x".repeat(80)).len(), 63);
    assert_eq!(dns_subdomain_name("web-", true), Vec::<String>::new());
    assert_eq!(dns_subdomain_name("web-", false).len(), 1);
    assert_eq!(dns_subdomain_name("é-", true).len(), 1);
}

#[test]
fn many_controllers_and_many_errors_end() {
    let owner = |i: usize| OwnerReference {
        api_version: "v1".into(),
        kind: "Node".into(),
        name: format!("n{i}"),
        uid: "u".into(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    let owners: Vec<OwnerReference> = (0..20_000).map(owner).collect();
    assert_eq!(validate_owner_references(&owners, &Path::new("x")).len(), MOST_SHOWN);
    assert_eq!(validate_owner_references(&owners[..3], &Path::new("x")).len(), 2);
    let labels = (0..20_000).map(|i| (format!("bad key {i}"), "v".to_owned())).collect();
    let errors = validate_labels(Some(&labels), &Path::new("metadata.labels"));
    let status = crate::status::ApiError::invalid("", "Pod", "p", errors);
    assert_eq!(status.status().details.as_ref().map(|d| d.causes.len()), Some(1000));
}
