use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::registry::Registry;

/// One object, and those who write it.
struct Object {
    registry: Registry,
    definition: (&'static str, &'static str, &'static str),
    live: Option<Value>,
    second: i64,
}

impl Object {
    fn new(group: &'static str, version: &'static str, plural: &'static str) -> Object {
        Object { registry: Registry::new(crate::kinds::all()), definition: (group, version, plural), live: None, second: 0 }
    }

    fn resource(&self) -> &Resource {
        let (group, version, plural) = self.definition;
        self.registry.get(group, version, plural).unwrap()
    }

    fn writer<'a>(&'a self, manager: &'a str, subresource: &'a str) -> Writer<'a> {
        let api_version = &self.resource().info().api_version;
        Writer { manager, api_version, subresource, now: jiff::Timestamp::from_second(1_767_225_600 + self.second).unwrap() }
    }

    /// As the server does it: apply, decode, fill in, keep.
    fn apply(&mut self, manager: &str, config: Value, force: bool) -> Result<(), ApiError> {
        self.second += 1;
        let applied = apply(self.resource(), self.live.as_ref(), &config, &self.writer(manager, ""), force)?;
        self.live = Some(self.filled(applied));
        Ok(())
    }

    fn update(&mut self, manager: &str, subresource: &str, new: Value) {
        self.second += 1;
        let mut new = self.filled(new);
        let entries = update(self.resource(), self.live.as_ref(), &new, &self.writer(manager, subresource));
        new["metadata"]["managedFields"] = entries.unwrap_or_default();
        self.live = Some(self.filled(new));
    }

    fn filled(&self, value: Value) -> Value {
        let kind = &self.resource().kind;
        let mut object = kind.from_value(value).unwrap();
        kind.default(object.as_mut());
        object.to_value().unwrap()
    }

    fn live(&self) -> Value {
        self.live.clone().unwrap()
    }

    /// A line for each manager.
    fn managers(&self) -> String {
        let entries = self.live()["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|e| {
                let text = |k: &str| e[k].as_str().unwrap_or_default().to_owned();
                let fields = Set::from_fields_v1(&e["fieldsV1"]).paths().join(" ");
                format!("{} {} {}@{} {fields}\n", text("operation"), text("manager"), text("subresource"), &text("time")[17..19])
            })
            .collect()
    }
}

fn check(object: &Object, expected: Expect) {
    expected.assert_eq(&object.managers());
}

fn config_map(rest: Value) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

#[test]
fn keys_of_a_config_map() {
    let mut object = Object::new("", "v1", "configmaps");
    object.apply("one", config_map(json!({"data": {"a": "1", "b": "2"}})), false).unwrap();
    object.apply("two", config_map(json!({"data": {"c": "3"}})), false).unwrap();
    object.apply("one", config_map(json!({"data": {"a": "1"}})), false).unwrap();
    assert_eq!(object.live()["data"], json!({"a": "1", "c": "3"}));
    check(
        &object,
        expect![[r#"
        Apply two @02 .data.c
        Apply one @03 .data.a
    "#]],
    );
    // The same again is nothing new.
    object.apply("one", config_map(json!({"data": {"a": "1"}})), false).unwrap();
    check(
        &object,
        expect![[r#"
        Apply two @02 .data.c
        Apply one @03 .data.a
    "#]],
    );
    // Who applies nothing owns nothing.
    object.apply("one", config_map(json!({})), false).unwrap();
    object.apply("two", config_map(json!({})), false).unwrap();
    assert_eq!((&object.live()["data"], object.managers()), (&Value::Null, String::new()));
}

#[test]
fn finalizers_are_a_set() {
    let mut object = Object::new("", "v1", "configmaps");
    let with = |f: &str| config_map(json!({"metadata": {"name": "m", "finalizers": [f]}}));
    object.apply("one", with("a.io/x"), false).unwrap();
    object.apply("two", with("b.io/y"), false).unwrap();
    assert_eq!(object.live()["metadata"]["finalizers"], json!(["a.io/x", "b.io/y"]));
    object.apply("one", config_map(json!({})), false).unwrap();
    assert_eq!(object.live()["metadata"]["finalizers"], json!(["b.io/y"]));
    check(
        &object,
        expect![[r#"
        Apply two @02 .metadata.finalizers[="b.io/y"]
    "#]],
    );
    object.apply("two", config_map(json!({})), false).unwrap();
    assert_eq!(object.live()["metadata"], json!({"name": "m"}));
}

#[test]
fn what_cannot_be_applied() {
    let mut object = Object::new("", "v1", "configmaps");
    let refused = |e: Result<(), ApiError>| e.map_err(|e| format!("{} {}", e.code(), e.message())).unwrap_err();
    expect!["400 metadata.managedFields must be nil"].assert_eq(&refused(object.apply("one", config_map(json!({"metadata": {"managedFields": [{}]}})), false)));
    expect!["500 failed to create typed patch object (/m; v1, Kind=ConfigMap): .nope: field not declared in schema"].assert_eq(&refused(object.apply(
        "one",
        config_map(json!({"nope": 1})),
        false,
    )));
    expect![[r#"500 failed to create typed patch object (/m; v1, Kind=ConfigMap): .metadata.finalizers: duplicate entries for key [="a"]"#]]
        .assert_eq(&refused(object.apply("one", config_map(json!({"metadata": {"name": "m", "finalizers": ["a", "a"]}})), false)));
}

fn deployment(rest: Value) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"none": "such"}, "containers": [{"name": "c", "image": "busybox:1.35"}]}}}});
    overlay(&mut object, rest);
    object
}

fn overlay(object: &mut Value, rest: Value) {
    json_patch::merge(object, &rest);
}

#[test]
fn a_deployment_and_its_conflicts() {
    let mut object = Object::new("apps", "v1", "deployments");
    let second = json!([{"name": "c", "image": "busybox:1.35"}, {"name": "side", "image": "x:1"}]);
    object.apply("one", deployment(json!({"spec": {"replicas": 2, "template": {"spec": {"containers": second}}}})), false).unwrap();
    check(
        &object,
        expect![[r#"
        Apply one @01 .spec.replicas .spec.selector .spec.template.metadata.labels.a .spec.template.spec.containers[name="c"] .spec.template.spec.containers[name="c"].image .spec.template.spec.containers[name="c"].name .spec.template.spec.containers[name="side"] .spec.template.spec.containers[name="side"].image .spec.template.spec.containers[name="side"].name .spec.template.spec.nodeSelector
    "#]],
    );
    let other = deployment(json!({"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "other:1"}]}}}}));
    let error = object.apply("two", other.clone(), false).unwrap_err();
    expect![[r#"
        Apply failed with 2 conflicts: conflicts with "one":
        - .spec.replicas
        - .spec.template.spec.containers[name="c"].image"#]]
    .assert_eq(error.message());
    assert_eq!(
        error.to_status()["details"]["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".spec.replicas"})
    );
    object.apply("two", other, true).unwrap();
    assert_eq!(object.live()["spec"]["replicas"], 3);
    // The first gives up its container, which nobody else has, and its replicas, which the other has.
    object
        .apply("one", deployment(json!({"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "other:1"}]}}}})), false)
        .unwrap();
    assert_eq!(object.live()["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    // An update takes what it changes; the next apply of it conflicts.
    let mut new = object.live();
    new["spec"]["replicas"] = json!(5);
    object.update("hand", "", new);
    expect![[r#"
        Apply failed with 2 conflicts: conflicts with "hand" using apps/v1:
        - .spec.replicas
        conflicts with "two":
        - .spec.template.spec.containers[name="c"].image"#]]
    .assert_eq(object.apply("one", deployment(json!({"spec": {"replicas": 2}})), false).unwrap_err().message());
    let mut new = object.live();
    new["status"] = json!({"replicas": 3});
    object.update("controller", "status", new);
    check(
        &object,
        expect![[r#"
        Apply two @03 .spec.selector .spec.template.metadata.labels.a .spec.template.spec.containers[name="c"] .spec.template.spec.containers[name="c"].image .spec.template.spec.containers[name="c"].name .spec.template.spec.nodeSelector
        Apply one @04 .spec.selector .spec.template.metadata.labels.a .spec.template.spec.containers[name="c"] .spec.template.spec.containers[name="c"].image .spec.template.spec.containers[name="c"].name .spec.template.spec.nodeSelector
        Update hand @05 .spec.replicas
        Update controller status@07 .status.replicas
    "#]],
    );
}

#[test]
fn a_dropped_field_goes_back_to_its_default() {
    let mut object = Object::new("apps", "v1", "deployments");
    object.apply("one", deployment(json!({"spec": {"replicas": 4, "template": {"spec": {"priorityClassName": "x"}}}})), false).unwrap();
    object.apply("one", deployment(json!({})), false).unwrap();
    assert_eq!(object.live()["spec"]["replicas"], 1);
    assert_eq!(object.live()["spec"]["template"]["spec"]["priorityClassName"], Value::Null);
    assert_eq!(object.live()["spec"]["template"]["spec"]["containers"][0]["image"], "busybox:1.35");
}

#[test]
fn ports_of_a_service() {
    let mut object = Object::new("", "v1", "services");
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}});
    object.apply("one", service(json!([{"port": 80, "name": "a"}, {"port": 80, "protocol": "UDP", "name": "b"}])), false).unwrap();
    check(
        &object,
        expect![[r#"
        Apply one @01 .spec.ports[port=80,protocol="TCP"] .spec.ports[port=80,protocol="TCP"].name .spec.ports[port=80,protocol="TCP"].port .spec.ports[port=80,protocol="UDP"] .spec.ports[port=80,protocol="UDP"].name .spec.ports[port=80,protocol="UDP"].port .spec.ports[port=80,protocol="UDP"].protocol
    "#]],
    );
    object.apply("one", service(json!([{"port": 80, "protocol": "TCP", "name": "a", "targetPort": 8080}])), false).unwrap();
    assert_eq!(object.live()["spec"]["ports"], json!([{"name": "a", "protocol": "TCP", "port": 80, "targetPort": 8080}]));
}

#[test]
fn a_create_and_what_was_there_before() {
    let mut object = Object::new("apps", "v1", "deployments");
    object.update("kubectl", "", deployment(json!({"metadata": {"labels": {"x": "y"}}})));
    check(
        &object,
        expect![[r#"
        Update kubectl @01 .metadata.labels .metadata.labels.x .spec.progressDeadlineSeconds .spec.replicas .spec.revisionHistoryLimit .spec.selector .spec.strategy.rollingUpdate .spec.strategy.rollingUpdate.maxSurge .spec.strategy.rollingUpdate.maxUnavailable .spec.strategy.type .spec.template.metadata.labels .spec.template.metadata.labels.a .spec.template.spec.containers[name="c"] .spec.template.spec.containers[name="c"].image .spec.template.spec.containers[name="c"].imagePullPolicy .spec.template.spec.containers[name="c"].name .spec.template.spec.containers[name="c"].resources .spec.template.spec.containers[name="c"].terminationMessagePath .spec.template.spec.containers[name="c"].terminationMessagePolicy .spec.template.spec.dnsPolicy .spec.template.spec.nodeSelector .spec.template.spec.restartPolicy .spec.template.spec.schedulerName .spec.template.spec.securityContext .spec.template.spec.terminationGracePeriodSeconds
    "#]],
    );
    // Without managed fields, the first apply finds an owner for all that is there.
    object.live.as_mut().unwrap()["metadata"].as_object_mut().unwrap().remove("managedFields");
    let error = object.apply("one", deployment(json!({"spec": {"replicas": 7}})), false).unwrap_err();
    expect![[r#"Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas"#]].assert_eq(error.message());
}

#[test]
fn updaters_are_capped() {
    let mut object = Object::new("", "v1", "configmaps");
    for i in 0..14 {
        let mut new = object.live.clone().unwrap_or_else(|| config_map(json!({"data": {}})));
        new["data"][format!("k{i}")] = json!("v");
        object.update(&format!("m{i}"), "", new);
    }
    let managers = object.managers();
    assert_eq!(managers.lines().count(), 10);
    assert!(managers.starts_with("Update ancient-changes @05 .data .data.k0 .data.k1 .data.k2 .data.k3 .data.k4\n"), "{managers}");
}
