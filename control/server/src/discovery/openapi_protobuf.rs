//! `/openapi/v2` in protobuf, the only form in which kubectl takes it: it asks for it whenever a manifest names a kind that it does not find.
//!
//! The messages are those of gnostic's `OpenAPIv2.proto`; security is left out, which no client reads from here.

use serde_json::Value;

/// The media type of answers. Clients ask for one with an `@` in the middle, which no media type may have.
pub(super) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A message: its fields by their JSON names, and the number of the field for all that begin with `x-`.
struct Shape {
    fields: &'static [(&'static str, u64, Form)],
    extensions: u64,
}

/// How a JSON value becomes a field.
enum Form {
    Text,
    Flag,
    Integer,
    Double,
    Texts,
    /// Any value, as text.
    Any,
    Anys,
    Message(&'static Shape),
    Messages(&'static Shape),
    /// A message whose field 1 is this.
    In(&'static Form),
    /// A map: a message whose fields of this number are names and values.
    Map(u64, &'static Form),
    /// `additionalProperties`: a schema, or whether there may be any.
    SchemaOrFlag,
    Parameters,
}

static DOCUMENT: Shape = Shape {
    fields: &[
        ("swagger", 1, Form::Text),
        ("info", 2, Form::Message(&INFO)),
        ("paths", 8, Form::Map(2, &Form::Message(&PATH))),
        ("definitions", 9, Form::Map(1, &Form::Message(&SCHEMA))),
    ],
    extensions: 16,
};
static INFO: Shape = Shape { fields: &[("title", 1, Form::Text), ("version", 2, Form::Text)], extensions: 7 };
static PATH: Shape = Shape {
    fields: &[
        ("get", 2, Form::Message(&OPERATION)),
        ("put", 3, Form::Message(&OPERATION)),
        ("post", 4, Form::Message(&OPERATION)),
        ("delete", 5, Form::Message(&OPERATION)),
        ("options", 6, Form::Message(&OPERATION)),
        ("head", 7, Form::Message(&OPERATION)),
        ("patch", 8, Form::Message(&OPERATION)),
        ("parameters", 9, Form::Parameters),
    ],
    extensions: 10,
};
static OPERATION: Shape = Shape {
    fields: &[
        ("tags", 1, Form::Texts),
        ("summary", 2, Form::Text),
        ("description", 3, Form::Text),
        ("operationId", 5, Form::Text),
        ("produces", 6, Form::Texts),
        ("consumes", 7, Form::Texts),
        ("parameters", 8, Form::Parameters),
        ("responses", 9, Form::Map(1, &Form::In(&Form::Message(&RESPONSE)))),
        ("schemes", 10, Form::Texts),
        ("deprecated", 11, Form::Flag),
    ],
    extensions: 13,
};
static RESPONSE: Shape = Shape { fields: &[("description", 1, Form::Text), ("schema", 2, Form::In(&Form::Message(&SCHEMA)))], extensions: 5 };
static BODY: Shape = Shape {
    fields: &[
        ("description", 1, Form::Text),
        ("name", 2, Form::Text),
        ("in", 3, Form::Text),
        ("required", 4, Form::Flag),
        ("schema", 5, Form::Message(&SCHEMA)),
    ],
    extensions: 6,
};
static QUERY: Shape = Shape {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 6, Form::Text),
        ("format", 7, Form::Text),
        ("default", 10, Form::Any),
        ("uniqueItems", 20, Form::Flag),
        ("enum", 21, Form::Anys),
    ],
    extensions: 23,
};
/// Also of headers.
static PLACE: Shape = Shape {
    fields: &[
        ("required", 1, Form::Flag),
        ("in", 2, Form::Text),
        ("description", 3, Form::Text),
        ("name", 4, Form::Text),
        ("type", 5, Form::Text),
        ("format", 6, Form::Text),
        ("default", 9, Form::Any),
        ("uniqueItems", 19, Form::Flag),
        ("enum", 20, Form::Anys),
    ],
    extensions: 22,
};
static SCHEMA: Shape = Shape {
    fields: &[
        ("$ref", 1, Form::Text),
        ("format", 2, Form::Text),
        ("title", 3, Form::Text),
        ("description", 4, Form::Text),
        ("default", 5, Form::Any),
        ("multipleOf", 6, Form::Double),
        ("maximum", 7, Form::Double),
        ("exclusiveMaximum", 8, Form::Flag),
        ("minimum", 9, Form::Double),
        ("exclusiveMinimum", 10, Form::Flag),
        ("maxLength", 11, Form::Integer),
        ("minLength", 12, Form::Integer),
        ("pattern", 13, Form::Text),
        ("maxItems", 14, Form::Integer),
        ("minItems", 15, Form::Integer),
        ("uniqueItems", 16, Form::Flag),
        ("maxProperties", 17, Form::Integer),
        ("minProperties", 18, Form::Integer),
        ("required", 19, Form::Texts),
        ("enum", 20, Form::Anys),
        ("additionalProperties", 21, Form::SchemaOrFlag),
        ("type", 22, Form::In(&Form::Texts)),
        ("items", 23, Form::In(&Form::Message(&SCHEMA))),
        ("allOf", 24, Form::Messages(&SCHEMA)),
        ("properties", 25, Form::Map(1, &Form::Message(&SCHEMA))),
        ("readOnly", 27, Form::Flag),
        ("example", 30, Form::Any),
    ],
    extensions: 31,
};

/// The document's bytes.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    message(document, &DOCUMENT)
}

fn message(value: &Value, shape: &Shape) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        if let Some((_, number, form)) = shape.fields.iter().find(|(name, ..)| name == key) {
            field(&mut out, *number, value, form);
        } else if key.starts_with("x-") {
            bytes(&mut out, shape.extensions, &named(key, value, &Form::Any));
        }
    }
    out
}

/// Name and value of a map's entry.
fn named(name: &str, value: &Value, form: &Form) -> Vec<u8> {
    let mut out = Vec::new();
    bytes(&mut out, 1, name.as_bytes());
    field(&mut out, 2, value, form);
    out
}

fn field(out: &mut Vec<u8>, number: u64, value: &Value, form: &Form) {
    match form {
        Form::Text => bytes(out, number, value.as_str().unwrap_or_default().as_bytes()),
        Form::Flag => flag(out, number, value.as_bool() == Some(true)),
        Form::Integer => {
            varint(out, number << 3);
            varint(out, value.as_u64().unwrap_or(0));
        }
        Form::Double => {
            varint(out, number << 3 | 1);
            out.extend(value.as_f64().unwrap_or(0.0).to_le_bytes());
        }
        Form::Texts => match value {
            Value::Array(list) => list.iter().for_each(|one| field(out, number, one, &Form::Text)),
            one => field(out, number, one, &Form::Text),
        },
        // JSON is YAML.
        Form::Any => {
            let mut any = Vec::new();
            bytes(&mut any, 2, value.to_string().as_bytes());
            bytes(out, number, &any);
        }
        Form::Anys => value.as_array().into_iter().flatten().for_each(|one| field(out, number, one, &Form::Any)),
        Form::Message(shape) => bytes(out, number, &message(value, shape)),
        Form::Messages(shape) => value.as_array().into_iter().flatten().for_each(|one| bytes(out, number, &message(one, shape))),
        Form::In(form) => {
            let mut inner = Vec::new();
            field(&mut inner, 1, value, form);
            bytes(out, number, &inner);
        }
        Form::Map(of, form) => {
            let mut inner = Vec::new();
            value.as_object().into_iter().flatten().for_each(|(key, value)| bytes(&mut inner, *of, &named(key, value, form)));
            bytes(out, number, &inner);
        }
        Form::SchemaOrFlag => {
            let mut inner = Vec::new();
            match value {
                Value::Bool(any) => flag(&mut inner, 2, *any),
                schema => bytes(&mut inner, 1, &message(schema, &SCHEMA)),
            }
            bytes(out, number, &inner);
        }
        Form::Parameters => value.as_array().into_iter().flatten().for_each(|one| parameter(out, number, one)),
    }
}

fn parameter(out: &mut Vec<u8>, number: u64, value: &Value) {
    let mut parameter = Vec::new();
    if value["in"] == "body" {
        bytes(&mut parameter, 1, &message(value, &BODY));
    } else {
        let (of, shape) = match value["in"].as_str() {
            Some("header") => (1, &PLACE),
            Some("path") => (4, &PLACE),
            _ => (3, &QUERY),
        };
        let mut other = Vec::new();
        bytes(&mut other, of, &message(value, shape));
        bytes(&mut parameter, 2, &other);
    }
    let mut item = Vec::new();
    bytes(&mut item, 1, &parameter);
    bytes(out, number, &item);
}

fn flag(out: &mut Vec<u8>, number: u64, value: bool) {
    varint(out, number << 3);
    varint(out, u64::from(value));
}

fn bytes(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    varint(out, number << 3 | 2);
    varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    /// As `protoc --decode_raw` prints it: what reads as a message is taken for one.
    fn raw(mut wire: &[u8], indent: usize) -> Option<String> {
        fn varint(wire: &mut &[u8]) -> Option<u64> {
            let mut number = 0;
            for shift in (0..64).step_by(7) {
                let (first, rest) = wire.split_first()?;
                *wire = rest;
                number |= u64::from(first & 0x7f) << shift;
                if first & 0x80 == 0 {
                    return Some(number);
                }
            }
            None
        }
        let mut text = String::new();
        while !wire.is_empty() {
            let key = varint(&mut wire)?;
            let (number, pad) = (key >> 3, " ".repeat(indent));
            match key & 7 {
                0 => text += &format!("{pad}{number}: {}\n", varint(&mut wire)?),
                2 => {
                    let length = usize::try_from(varint(&mut wire)?).ok()?;
                    let content = wire.get(..length)?;
                    wire = &wire[length..];
                    match raw(content, indent + 1).filter(|inner| !inner.is_empty()) {
                        Some(inner) => text += &format!("{pad}{number}:\n{inner}"),
                        None => text += &format!("{pad}{number}: {:?}\n", std::str::from_utf8(content).ok()?),
                    }
                }
                _ => return None,
            }
            if number == 0 {
                return None;
            }
        }
        Some(text)
    }

    #[test]
    fn a_document() {
        let document = json!({
            "swagger": "2.0", "info": {"title": "Kubernetes"}, "security": [{"BearerToken": []}],
            "paths": {"/api/v1/x": {
                "parameters": [{"name": "namespace", "in": "path", "required": true, "type": "string"}],
                "patch": {
                    "operationId": "patchX",
                    "parameters": [{"name": "body", "in": "body", "schema": {"$ref": "#/definitions/X"}}, {"name": "force", "in": "query", "type": "boolean"}],
                    "responses": {"200": {"description": "OK", "schema": {"type": "string"}}},
                    "x-kubernetes-group-version-kind": {"kind": "X"},
                },
            }},
            "definitions": {"X": {
                "type": "object", "required": ["a"],
                "properties": {"a": {"type": "array", "items": {"type": "string"}, "maxItems": 300}, "b": {"additionalProperties": true}},
            }},
        });
        expect![[r##"
            9:
             1:
              1: "X"
              2:
               25:
                1:
                 1: "a"
                 2:
                  23:
                   1:
                    22:
                     1: "string"
                  14: 300
                  22:
                   1: "array"
                1:
                 1: "b"
                 2:
                  21:
                   2: 1
               19: "a"
               22:
                1: "object"
            2:
             1: "Kubernetes"
            8:
             2:
              1: "/api/v1/x"
              2:
               9:
                1:
                 2:
                  4:
                   2: "path"
                   4: "namespace"
                   1: 1
                   5: "string"
               8:
                5: "patchX"
                8:
                 1:
                  1:
                   3: "body"
                   2: "body"
                   5:
                    1: "#/definitions/X"
                8:
                 1:
                  2:
                   3:
                    2: "query"
                    4: "force"
                    6: "boolean"
                9:
                 1:
                  1: "200"
                  2:
                   1:
                    1: "OK"
                    2:
                     1:
                      22:
                       1: "string"
                13:
                 1: "x-kubernetes-group-version-kind"
                 2:
                  2: "{\"kind\":\"X\"}"
            1: "2.0"
        "##]]
        .assert_eq(&raw(&encode(&document), 0).unwrap());
    }
}
