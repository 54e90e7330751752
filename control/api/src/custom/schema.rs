//! A version's schema, as values are walked beside it: what a CustomResourceDefinition says, made ready for use.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool};
use crate::kinds::normal::text;

/// Schemas deeper than this are refused; none that anybody writes is.
pub(crate) const MAX_DEPTH: usize = 64;
/// What a compiled pattern may take.
const MAX_PATTERN_BYTES: usize = 1 << 20;

/// The schema of a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`, or empty.
    pub(crate) kind: String,
    /// The format, where it is one that is checked.
    pub(crate) format: String,
    pub(crate) nullable: bool,
    pub(crate) properties: BTreeMap<String, Schema>,
    /// Any other field is allowed, and what it holds, where that is said.
    pub(crate) additional: Option<Additional>,
    pub(crate) items: Option<Box<Schema>>,
    pub(crate) default: Option<Value>,
    /// `x-kubernetes-preserve-unknown-fields`.
    pub(crate) open: bool,
    /// `x-kubernetes-embedded-resource`.
    pub(crate) embedded: bool,
    /// `x-kubernetes-int-or-string`.
    pub(crate) int_or_string: bool,
    /// `x-kubernetes-list-type`.
    pub(crate) list_type: String,
    /// `x-kubernetes-list-map-keys`.
    pub(crate) list_map_keys: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) required: Vec<String>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

/// `additionalProperties`.
#[derive(Clone, Debug)]
pub(crate) enum Additional {
    /// `true` or `false`.
    Allowed(bool),
    /// A schema.
    Of(Box<Schema>),
}

/// What bounds a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) values: Option<Vec<Value>>,
    pub(crate) maximum: Option<(f64, bool)>,
    pub(crate) minimum: Option<(f64, bool)>,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) length: (Option<i64>, Option<i64>),
    pub(crate) items: (Option<i64>, Option<i64>),
    pub(crate) properties: (Option<i64>, Option<i64>),
    pub(crate) pattern: Option<(String, Option<Regex>)>,
}

impl Schema {
    /// The schema that a definition says. What is nested too deep is left out: such a definition is refused.
    pub(crate) fn of(props: &JSONSchemaProps) -> Schema {
        Schema::at(props, 0)
    }

    fn at(props: &JSONSchemaProps, depth: usize) -> Schema {
        if depth > MAX_DEPTH {
            return Schema::default();
        }
        let many = |list: &Option<Vec<JSONSchemaProps>>| -> Vec<Schema> { list.iter().flatten().map(|s| Schema::at(s, depth + 1)).collect() };
        let kind = text(&props.type_).to_owned();
        Schema {
            format: super::formats::supported(&kind, text(&props.format)).unwrap_or_default().to_owned(),
            kind,
            nullable: props.nullable == Some(true),
            properties: props.properties.iter().flatten().map(|(name, s)| (name.clone(), Schema::at(s, depth + 1))).collect(),
            additional: match &props.additional_properties {
                None => None,
                Some(JSONSchemaPropsOrBool::Bool(allowed)) => Some(Additional::Allowed(*allowed)),
                Some(JSONSchemaPropsOrBool::Schema(schema)) => Some(Additional::Of(Box::new(Schema::at(schema, depth + 1)))),
            },
            items: match &props.items {
                Some(JSONSchemaPropsOrArray::Schema(schema)) => Some(Box::new(Schema::at(schema, depth + 1))),
                _ => None,
            },
            default: props.default.as_ref().map(|d| super::object::plain(d.0.clone())),
            open: props.x_kubernetes_preserve_unknown_fields == Some(true),
            embedded: props.x_kubernetes_embedded_resource == Some(true),
            int_or_string: props.x_kubernetes_int_or_string == Some(true),
            list_type: text(&props.x_kubernetes_list_type).to_owned(),
            list_map_keys: props.x_kubernetes_list_map_keys.clone().unwrap_or_default(),
            limits: Limits::of(props),
            required: props.required.clone().unwrap_or_default(),
            one_of: many(&props.one_of),
            any_of: many(&props.any_of),
            all_of: many(&props.all_of),
            not: props.not.as_ref().map(|s| Box::new(Schema::at(s, depth + 1))),
        }
    }

    /// What a field of that name holds; `None` where nothing is said of it.
    pub(crate) fn field(&self, name: &str) -> Option<&Schema> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Of(schema)) => Some(schema),
            _ => None,
        })
    }

    /// The schema of the values of a map, where that is what it is.
    pub(crate) fn values(&self) -> Option<&Schema> {
        match &self.additional {
            Some(Additional::Of(schema)) => Some(schema),
            _ => None,
        }
    }
}

impl Limits {
    fn of(props: &JSONSchemaProps) -> Limits {
        Limits {
            values: props.enum_.as_ref().map(|values| values.iter().map(|v| super::object::plain(v.0.clone())).collect()),
            maximum: props.maximum.map(|m| (m, props.exclusive_maximum == Some(true))),
            minimum: props.minimum.map(|m| (m, props.exclusive_minimum == Some(true))),
            multiple_of: props.multiple_of,
            length: (props.min_length, props.max_length),
            items: (props.min_items, props.max_items),
            properties: (props.min_properties, props.max_properties),
            pattern: props.pattern.as_ref().filter(|p| !p.is_empty()).map(|p| (p.clone(), compile(p).ok())),
        }
    }
}

/// A pattern as the API takes it, with bounds. Errors are in Go's words where it has them.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build().map_err(|error| {
        let regex::Error::Syntax(words) = &error else { return error.to_string() };
        let words = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let told = match words {
            "unclosed character class" => format!("missing closing ]: `{}`", &pattern[pattern.rfind('[').unwrap_or(0)..]),
            "unclosed group" => format!("missing closing ): `{pattern}`"),
            "unopened group" => format!("unexpected ): `{pattern}`"),
            other => other.to_owned(),
        };
        format!("error parsing regexp: {told}")
    })
}
