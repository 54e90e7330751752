//! `v1` Secret: configuration that is not for every eye.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::ByteString;
use crate::k8s_openapi::api::core::v1::Secret;
use crate::kind::{Kind, Names, Scope};
use crate::kinds::checks::{IMMUTABLE as NEVER_CHANGES, each};
use crate::kinds::columns::{age, age_cell, name, name_cell, text as text_column};
use crate::kinds::config_map::{IMMUTABLE, MAX_SIZE, given};
use crate::kinds::names;
use crate::kinds::normal::{fill, text};
use crate::meta::names::config_map_key;
use crate::table::Columns;

/// Secret of `v1`.
pub struct Secrets;

impl Kind for Secrets {
    type Object = Secret;

    const NAMES: Names = names("secret", &[], &[]);
    const SCOPE: Scope = Scope::Namespaced;

    fn selectable_fields(object: &Self::Object) -> Vec<(&'static str, String)> {
        vec![("type", object.type_.clone().unwrap_or_default())]
    }

    fn default(secret: &mut Secret) {
        if let Some(strings) = secret.string_data.take() {
            let data = secret.data.get_or_insert_default();
            data.extend(strings.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))));
        }
        fill(&mut secret.type_, "Opaque");
    }

    fn validate(secret: &Secret) -> Errors {
        let mut errors = Errors::new();
        let at = Path::new("data");
        let mut size = 0;
        for (key, value) in secret.data.iter().flatten() {
            size += value.0.len();
            errors.extend(each(&at.key(key), key, config_map_key(key)));
        }
        if size > MAX_SIZE {
            errors.push(Error::too_long(&at, MAX_SIZE));
        }
        errors.extend(of_type(secret, &at));
        errors
    }

    fn validate_update(new: &Secret, old: &Secret) -> Errors {
        let mut errors = Errors::new();
        if new.type_ != old.type_ {
            errors.push(Error::invalid(&Path::new("type"), text(&new.type_), NEVER_CHANGES));
        }
        if old.immutable == Some(true) {
            for (changed, field) in [(new.immutable != Some(true), "immutable"), (given(&new.data) != given(&old.data), "data")] {
                if changed {
                    errors.push(Error::forbidden(&Path::new(field), IMMUTABLE));
                }
            }
        }
        errors.extend(Self::validate(new));
        errors
    }

    fn columns() -> Columns<Secret> {
        Columns {
            columns: vec![
                name(),
                text_column(
                    "Type",
                    "Used to facilitate programmatic handling of secret data. More info: https://kubernetes.io/docs/concepts/configuration/secret/#secret-types",
                ),
                text_column(
                    "Data",
                    "Data contains the secret data. Each key must consist of alphanumeric characters, '-', '_' or '.'. The serialized form of the secret data is a base64 encoded string, representing the arbitrary (possibly non-string) data value here. Described in https://tools.ietf.org/html/rfc4648#section-4",
                ),
                age(),
            ],
            row: |secret, now| {
                let keys = secret.data.as_ref().map_or(0, std::collections::BTreeMap::len);
                vec![name_cell(&secret.metadata), Value::from(text(&secret.type_)), Value::from(keys), age_cell(&secret.metadata, now)]
            },
        }
    }
}

/// What a type promises: its keys, and that they can be read.
fn of_type(secret: &Secret, at: &Path) -> Errors {
    let data = |key: &str| secret.data.as_ref().and_then(|d| d.get(key));
    let required = |key: &str| data(key).is_none().then(|| Error::required(&at.key(key), ""));
    match text(&secret.type_) {
        "kubernetes.io/service-account-token" => {
            const ACCOUNT: &str = "kubernetes.io/service-account.name";
            let named = secret.metadata.annotations.as_ref().and_then(|a| a.get(ACCOUNT)).is_some_and(|name| !name.is_empty());
            if named { Errors::new() } else { vec![Error::required(&Path::new("metadata.annotations").key(ACCOUNT), "")] }
        }
        "kubernetes.io/dockercfg" => docker_config(data(".dockercfg"), &at.key(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => docker_config(data(".dockerconfigjson"), &at.key(".dockerconfigjson")),
        "kubernetes.io/basic-auth" => {
            let (user, password) = (required("username"), required("password"));
            if user.is_some() && password.is_some() { user.into_iter().chain(password).collect() } else { Errors::new() }
        }
        "kubernetes.io/ssh-auth" => {
            let empty = data("ssh-privatekey").is_none_or(|key| key.0.is_empty());
            if empty { vec![Error::required(&at.key("ssh-privatekey"), "")] } else { Errors::new() }
        }
        "kubernetes.io/tls" => required("tls.crt").into_iter().chain(required("tls.key")).collect(),
        _ => Errors::new(),
    }
}

fn docker_config(config: Option<&ByteString>, at: &Path) -> Errors {
    let Some(config) = config else { return vec![Error::required(at, "")] };
    match json_object(&config.0) {
        Ok(()) => Errors::new(),
        Err(why) => vec![Error::invalid(at, "<secret contents redacted>", why)],
    }
}

/// Go's words for text that is no JSON object.
fn json_object(bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_) | Value::Null) => Ok(()),
        Ok(other) => {
            let kind = match other {
                Value::Bool(_) => "bool",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                _ => "array",
            };
            Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(_) => {
            let text = String::from_utf8_lossy(bytes);
            let first = text.trim_start().chars().next().unwrap_or(' ');
            Err(if matches!(first, '{' | '[' | '"' | '0'..='9' | '-' | 't' | 'f' | 'n') {
                "invalid JSON".to_owned()
            } else {
                format!("invalid character '{first}' looking for beginning of value")
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn strings_become_data() {
        check_default::<Secrets>(
            r#"
metadata: {name: s}
stringData: {a: new, b: x}
data: {a: b2xk}
"#,
            &expect![[r#"
                apiVersion: v1
                data:
                  a: bmV3
                  b: eA==
                kind: Secret
                metadata:
                  name: s
                type: Opaque
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Secrets>(
            r#"
type: kubernetes.io/tls
data: {tls.crt: ""}
"#,
            &expect![[r#"
                data[tls.key]: Required value
            "#]],
        );
        check_refused::<Secrets>(
            r#"
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: x}
"#,
            &expect![[r#"
                data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character 'x' looking for beginning of value
            "#]],
        );
        check_refused::<Secrets>(
            r#"
type: kubernetes.io/basic-auth
"#,
            &expect![[r#"
                data[username]: Required value
                data[password]: Required value
            "#]],
        );
        check_refused::<Secrets>(
            r#"
type: kubernetes.io/service-account-token
"#,
            &expect![[r#"
                metadata.annotations[kubernetes.io/service-account.name]: Required value
            "#]],
        );
        check_refused::<Secrets>(
            r#"
type: kubernetes.io/ssh-auth
data: {"a/b": ""}
"#,
            &expect![[r#"
                data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')
                data[ssh-privatekey]: Required value
            "#]],
        );
        check_update_refused::<Secrets>(
            r#"
type: a/b
"#,
            r#"
type: x
"#,
            &expect![[r#"
                type: Invalid value: "x": field is immutable
            "#]],
        );
        check_update_refused::<Secrets>(
            r#"
immutable: true
data: {a: ""}
"#,
            r#"
immutable: true
data: {}
"#,
            &expect![[r#"
                data: Forbidden: field is immutable when `immutable` is set
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Secrets>(
            r#"
metadata: {name: s, creationTimestamp: 2024-01-01T00:00:00Z}
data: {a: ""}
"#,
            &expect![[r#"
                Name: s
                Type: Opaque
                Data: 1
                Age: 2y1d
            "#]],
        );
    }
}
