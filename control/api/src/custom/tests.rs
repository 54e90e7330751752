use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::status::named;
use crate::decode::{FieldValidation, decode};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use crate::registry::{Registry, Resource};

const WIDGETS: &str = r#"
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList, shortNames: [w]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}
    selectableFields: [{jsonPath: .spec.colour}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, maximum: 9, default: 3}
              colour: {type: string, enum: [red, blue], default: red}
              name: {type: string, maxLength: 3, pattern: '^[a-z]+$'}
              when: {type: string, format: date-time}
              parts:
                type: array
                maxItems: 2
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, n: {type: integer, default: 1}}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              at: {x-kubernetes-int-or-string: true}
              either:
                type: object
                properties: {a: {type: string}, b: {type: string}}
                oneOf: [{required: [a]}, {required: [b]}]
          status:
            type: object
            properties: {size: {type: integer}}
"#;

fn definition(yaml: &str) -> CustomResourceDefinition {
    let definition: CustomResourceDefinition = serde_yaml::from_str(yaml).unwrap();
    named(&definition, std::iter::empty(), "2026-01-01T00:00:00Z".parse().unwrap())
}

fn widgets() -> Resource {
    let (kind, _) = super::kinds(&definition(WIDGETS)).pop().unwrap();
    Registry::new(crate::kinds::all()).resource(kind)
}

fn read(resource: &Resource, body: &Value, validation: FieldValidation) -> Result<Box<dyn crate::DynObject>, String> {
    let decoded = decode(resource, body.to_string().as_bytes(), "application/json", validation).map_err(|e| e.message().to_owned())?;
    let mut object = decoded.object;
    resource.kind.default(&mut *object);
    Ok(object)
}

fn widget(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

fn becomes(spec: &Value, expected: &Expect) {
    let object = read(&widgets(), &widget(spec), FieldValidation::Ignore).unwrap();
    expected.assert_eq(&object.to_value().unwrap()["spec"].to_string());
}

fn refused(spec: &Value, expected: &Expect) {
    let widgets = widgets();
    let object = read(&widgets, &widget(spec), FieldValidation::Ignore).unwrap();
    let errors: String = widgets.kind.validate(&*object).iter().map(|e| format!("{e}\n")).collect();
    expected.assert_eq(&errors);
}

#[test]
fn unknown_fields_go_and_defaults_come() {
    becomes(&json!({}), &expect![[r#"{"colour":"red","size":3}"#]]);
    becomes(
        &json!({"size": 2.0, "extra": 1, "parts": [{"name": "a", "x": 1}], "free": {"any": {"thing": 1}}, "at": "80%", "colour": null, "name": null}),
        &expect![[r#"{"at":"80%","colour":"red","free":{"any":{"thing":1}},"parts":[{"n":1,"name":"a"}],"size":2}"#]],
    );
}

#[test]
fn strict_requests_hear_of_what_goes() {
    let strict = |spec: Value| read(&widgets(), &widget(&spec), FieldValidation::Strict).unwrap_err();
    expect![[r#"Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "spec.extra", unknown field "spec.parts[0].x""#]]
        .assert_eq(&strict(json!({"extra": 1, "parts": [{"name": "a", "x": 1}]})));
    let twice = r#"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","nope":1},"spec":{"size":1,"size":2}}"#;
    let error = decode(&widgets(), twice.as_bytes(), "application/json", FieldValidation::Strict).unwrap_err();
    expect![[r#"Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown field "metadata.nope", duplicate field "spec.size""#]]
        .assert_eq(error.message());
}

#[test]
fn values_are_refused_in_kubernetes_words() {
    refused(
        &json!({"size": 99, "colour": "green", "name": "Abcd", "when": "now", "at": true, "labels": {"a": 1}}),
        &expect![[r#"
            spec.at: Invalid value: "boolean": spec.at in body must be of type integer,string: "boolean"
            spec.colour: Unsupported value: "green": supported values: "red", "blue"
            spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"
            spec.name: Too long: may not be more than 3 bytes
            spec.name: Invalid value: "Abcd": spec.name in body should match '^[a-z]+$'
            spec.size: Invalid value: 99: spec.size in body should be less than or equal to 9
            spec.when: Invalid value: "now": spec.when in body must be of type date-time: "now"
        "#]],
    );
    refused(
        &json!("x"),
        &expect![[r#"
        spec: Invalid value: "string": spec in body must be of type object: "string"
    "#]],
    );
    refused(
        &json!({"parts": [{"name": "a"}, {"name": "a"}, {}], "either": {}}),
        &expect![[r#"
            <nil>: Invalid value: "": "spec.either" must validate one and only one schema (oneOf). Found none valid
            spec.either.a: Required value
            spec.parts[2].name: Required value
            spec.parts: Too many: 3: must have at most 2 items
            spec.parts[1]: Duplicate value: {"name":"a"}
        "#]],
    );
    refused(
        &json!({"size": -1}),
        &expect![[r#"
        spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 1
        .spec.size: Invalid value: -1: should be a non-negative integer
    "#]],
    );
}

#[test]
fn what_has_not_changed_is_not_refused_again() {
    let widgets = widgets();
    let object = |spec: Value| read(&widgets, &widget(&spec), FieldValidation::Ignore).unwrap();
    let old = object(json!({"size": 99, "name": "abc", "parts": [{"name": "a", "n": "x"}]}));
    let errors = |spec: Value| widgets.kind.validate_update(&*object(spec), &*old).len();
    assert_eq!(errors(json!({"size": 99, "name": "new", "parts": [{"name": "a", "n": "x"}]})), 0);
    assert_eq!(errors(json!({"size": 98, "name": "new", "parts": [{"name": "b"}, {"name": "a", "n": "x"}]})), 1);
}

#[test]
fn generations_and_status_are_apart() {
    let widgets = widgets();
    let object = |size: i64, status: i64| {
        let mut tree = widget(&json!({"size": size}));
        tree["status"] = json!({"size": status});
        read(&widgets, &tree, FieldValidation::Ignore).unwrap()
    };
    let mut made = object(1, 5);
    widgets.kind.prepare_create(&mut *made);
    assert_eq!((made.meta().generation, made.to_value().unwrap().get("status")), (Some(1), None));
    let mut changed = object(2, 5);
    widgets.kind.prepare_update(&mut *changed, &*made);
    assert_eq!((changed.meta().generation, changed.to_value().unwrap().get("status")), (Some(2), None));
    let mut told = object(9, 5);
    widgets.kind.prepare_status_update(&mut *told, &*changed);
    let told_tree = told.to_value().unwrap();
    assert_eq!((told.meta().generation, &told_tree["spec"]["size"], &told_tree["status"]["size"]), (Some(2), &json!(2), &json!(5)));
    assert_eq!(widgets.kind.selectable_fields(&*told), [("spec.colour".into(), "red".to_owned())]);
}

#[test]
fn names_are_given_once() {
    let first = definition(WIDGETS);
    let mut second: CustomResourceDefinition = serde_yaml::from_str(WIDGETS).unwrap();
    second.spec.names.plural = "gadgets".to_owned();
    second.spec.names.short_names = Some(vec!["g".to_owned(), "w".to_owned()]);
    let second = named(&second, [&first].into_iter(), "2026-01-01T00:00:00Z".parse().unwrap());
    let conditions = second.status.as_ref().unwrap().conditions.as_ref().unwrap();
    let told: Vec<String> = conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.message.as_deref().unwrap_or_default())).collect();
    assert_eq!(told, [r#"NamesAccepted False "WidgetList" is already in use"#, "Established False not all names are accepted"]);
}

#[test]
fn documents_say_what_the_schema_says() {
    let registry = Registry::new(crate::kinds::all());
    let registry = registry.with(&[widgets()]);
    let v3 = crate::openapi::v3(&registry, "apis/example.com/v1", "v1.37.0").unwrap();
    let schema = &v3["components"]["schemas"]["com.example.v1.Widget"];
    assert_eq!(schema["properties"]["spec"]["properties"]["size"]["maximum"], 9.0);
    assert_eq!(schema["properties"]["metadata"]["allOf"][0]["$ref"], "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    assert_eq!(schema["x-kubernetes-group-version-kind"], json!([{"group": "example.com", "version": "v1", "kind": "Widget"}]));
    let v2 = crate::openapi::v2(&registry, "v1.37.0");
    assert_eq!(v2["definitions"]["com.example.v1.Widget"]["properties"]["spec"]["properties"]["at"].get("type"), None);
}

#[test]
fn lists_merge_by_key_when_applied() {
    let widgets = widgets();
    let writer = |manager| crate::apply::Writer { manager, api_version: "example.com/v1", subresource: "", now: "2026-01-01T00:00:00Z".parse().unwrap() };
    let apply = |live: Option<&Value>, spec: Value, manager| crate::apply::apply(&widgets, live, &widget(&spec), &writer(manager), false).unwrap();
    let first = apply(None, json!({"parts": [{"name": "a", "n": 1}]}), "one");
    let both = apply(Some(&first), json!({"parts": [{"name": "b", "n": 2}]}), "two");
    assert_eq!(both["spec"]["parts"], json!([{"name": "a", "n": 1}, {"name": "b", "n": 2}]));
    let one_less = apply(Some(&both), json!({"parts": []}), "one");
    assert_eq!(one_less["spec"]["parts"], json!([{"name": "b", "n": 2}]));
}

#[test]
fn objects_in_objects_have_metadata_like_any() {
    let props: crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps = serde_yaml::from_str(
        "{type: object, properties: {e: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}}}",
    )
    .unwrap();
    let mut content = json!({"e": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n", "nope": 1}, "spec": {"any": 1}}});
    let unknown = super::structure::prune(content.as_object_mut().unwrap(), &super::schema::Schema::of(&props));
    assert_eq!(unknown, ["e.metadata.nope"]);
    assert_eq!(content["e"], json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "n"}, "spec": {"any": 1}}));
}

#[test]
fn whoever_makes_an_object_owns_its_fields() {
    let widgets = widgets();
    let writer = crate::apply::Writer { manager: "me", api_version: "example.com/v1", subresource: "", now: "2026-01-01T00:00:00Z".parse().unwrap() };
    let made = |spec: Value| crate::apply::update(&widgets, None, &widget(&spec), &writer).unwrap()[0]["fieldsV1"].clone();
    assert_eq!(made(json!({})), json!({"f:spec": {}}));
    assert_eq!(made(json!({"size": 1})), json!({"f:spec": {".": {}, "f:size": {}}}));
}

#[test]
fn what_is_odd_is_warned_of() {
    let widgets = widgets();
    let mut odd = read(&widgets, &widget(&json!({})), FieldValidation::Warn).unwrap();
    odd.meta_mut().finalizers = Some(vec!["hold".to_owned(), "example.com/hold".to_owned()]);
    assert_eq!(
        widgets.kind.warnings(&*odd),
        [r#"metadata.finalizers: "hold": prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"#]
    );
}
