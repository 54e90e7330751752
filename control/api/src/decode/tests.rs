use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::registry::Registry;

fn registry() -> Registry {
    Registry::new(crate::kinds::all())
}

fn decoded(body: &str, content_type: &str, validation: FieldValidation) -> Result<(Value, Vec<String>), String> {
    let registry = registry();
    let resource = registry.get("", "v1", "configmaps").unwrap();
    match registry.decode(resource, body.as_bytes(), content_type, validation) {
        Ok(decoded) => Ok((decoded.object.to_value().unwrap(), decoded.warnings)),
        Err(error) => Err(error.message().to_owned()),
    }
}

fn refused(body: &str, expected: Expect) {
    expected.assert_eq(&decoded(body, "application/json", FieldValidation::Strict).unwrap_err());
}

#[test]
fn reads_json_and_yaml() {
    let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}});
    let (value, warnings) = decoded(&expected.to_string(), "application/json", FieldValidation::Strict).unwrap();
    assert_eq!((value, warnings), (expected.clone(), vec![]));
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: '1'}\n";
    assert_eq!(decoded(yaml, "application/yaml; charset=utf-8", FieldValidation::Strict).unwrap().0, expected);
    let empty = r#"{"metadata":{"name":"m","namespace":"","labels":{ },"finalizers":[],"annotations":{"a":""}},"data":{}}"#;
    assert_eq!(
        decoded(empty, "", FieldValidation::Strict).unwrap().0,
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "annotations": {"a": ""}}})
    );
    assert_eq!(decoded(r#"{"metadata":{"name":"m"},"data":{"a":null}}"#, "", FieldValidation::Ignore).unwrap().0["data"], json!({"a": ""}));
}

#[test]
fn quantities_become_canonical() {
    let registry = registry();
    let resource = registry.get("", "v1", "pods").unwrap();
    let resources = r#"{"spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1000m","memory":"1024Mi","x":5},"requests":{"cpu":0.5}}}]}}"#;
    let object = registry.decode(resource, resources.as_bytes(), "", FieldValidation::Strict).unwrap().object.to_value().unwrap();
    let expected = json!({"limits": {"cpu": "1", "memory": "1Gi", "x": "5"}, "requests": {"cpu": "500m"}});
    assert_eq!(object["spec"]["containers"][0]["resources"], expected);
    let refused = |body: &str| registry.decode(resource, body.as_bytes(), "", FieldValidation::Ignore).unwrap_err().message().to_owned();
    expect!["Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"]
        .assert_eq(&refused(&resources.replace("1000m", "lots")));
    expect![
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container"
    ]
    .assert_eq(&refused(r#"{"spec":{"containers":"x"}}"#));
}

#[test]
fn unknown_and_duplicate_fields() {
    let body = r#"{"kind":"ConfigMap","metadata":{"name":"a","name":"b","labelz":{},"labels":{"x":"1","x":"2"},"ownerReferences":[{"uidd":"u"}]},"nope":1,"data":{"a":"b"}}"#;
    let expected = [
        r#"duplicate field "metadata.name""#,
        r#"unknown field "metadata.labelz""#,
        r#"duplicate field "metadata.labels.x""#,
        r#"unknown field "metadata.ownerReferences[0].uidd""#,
        r#"unknown field "nope""#,
    ];
    assert_eq!(decoded(body, "", FieldValidation::Warn).unwrap().1, expected);
    assert_eq!(decoded(body, "", FieldValidation::Ignore).unwrap().1, Vec::<String>::new());
    let message = format!("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: {}", expected.join(", "));
    assert_eq!(decoded(body, "", FieldValidation::Strict).unwrap_err(), message);
}

#[test]
fn bad_bodies() {
    refused(
        "",
        expect![
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        ],
    );
    refused(
        r#"{"apiVersion":"v1","kind":"ConfigMap",}"#,
        expect![[
            r#"the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character '}' looking for beginning of object key string ({"apiVersion":"v1","kind":"Con ...)"#
        ]],
    );
    refused(
        "kind: x",
        expect![
            "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character 'k' looking for beginning of value (6b696e643a2078)"
        ],
    );
    refused(
        r#"{"metadata":{"name":1}}"#,
        expect![[
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"#
        ]],
    );
    refused(
        r#"{"data":["x"]}"#,
        expect![[
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"#
        ]],
    );
    refused(
        r#"{"metadata":{"generation":1.5}}"#,
        expect![[
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number 1.5 into Go struct field ObjectMeta.metadata.generation of type int64"#
        ]],
    );
    refused(r#"{"binaryData":{"a":"!"}}"#, expect![[r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: illegal base64 data at input byte 0"#]]);
    refused(
        r#"{"metadata":{"creationTimestamp":"x"}}"#,
        expect![[r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#]],
    );
    refused("[]", expect![[r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal array into Go value of type v1.ConfigMap"#]]);
    assert_eq!(decoded("{}", "text/plain", FieldValidation::Warn).unwrap_err(), ApiError::unsupported_media_type(ACCEPTED).message());
}
