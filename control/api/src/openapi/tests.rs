use std::collections::BTreeSet;

use super::*;

fn registry() -> Registry {
    Registry::new(crate::kinds::all())
}

fn refs(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|v| refs(v, into));
        }
        Value::Array(list) => list.iter().for_each(|v| refs(v, into)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let registry = registry();
    let documents = group_versions(&registry).into_iter().map(|gv| v3(&registry, &gv, "v1").unwrap()).chain([v2(&registry, "v1")]);
    for document in documents {
        let mut found = BTreeSet::new();
        refs(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }
    assert_eq!(v3(&registry, "apis/none/v1", "v1"), None);
}

#[test]
fn what_kubectl_looks_for() {
    let registry = registry();
    let document = v3(&registry, "api/v1", "v1").unwrap();
    let patch = &document["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(patch["operationId"], "patchCoreV1NamespacedConfigMap");
    assert!(patch["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["io.k8s.api.core.v1.ConfigMap"]["x-kubernetes-group-version-kind"], json!([{"group": "", "version": "v1", "kind": "ConfigMap"}]));
    let owners = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"]["ownerReferences"];
    assert_eq!((&owners["x-kubernetes-patch-merge-key"], &owners["x-kubernetes-patch-strategy"]), (&json!("uid"), &json!("merge")));
    assert_eq!((&owners["x-kubernetes-list-type"], &owners["x-kubernetes-list-map-keys"]), (&json!("map"), &json!(["uid"])));
    let metadata = &schemas["io.k8s.api.core.v1.ConfigMap"]["properties"]["metadata"];
    assert_eq!(metadata["allOf"], json!([{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}]));
    assert!(metadata["description"].is_string());
}

#[test]
fn paths_of_v2() {
    let document = v2(&registry(), "v1");
    let list = &document["paths"]["/api/v1/configmaps"]["get"];
    assert_eq!(list["operationId"], "listCoreV1ConfigMapForAllNamespaces");
    assert_eq!(list["responses"]["200"]["schema"]["$ref"], "#/definitions/io.k8s.api.core.v1.ConfigMapList");
    assert_eq!(document["definitions"]["io.k8s.api.core.v1.ConfigMapList"]["description"], "ConfigMapList is a list of ConfigMaps.");
}
