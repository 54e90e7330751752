//! The shapes of all types that the kinds use, compact and by index: what a JSON field may hold, and how it is merged.
//!
//! Made once from the JSON schemas of the kinds. Strict decoding, strategic merge patches and server-side apply walk it.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::kind::Merge;

/// Index of a [`Struct`] in [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StructId(u32);

/// What a value may be.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Type {
    /// Anything at all: `RawExtension`, `FieldsV1`, `JSON`.
    Any,
    String,
    /// Base64.
    Bytes,
    /// RFC 3339.
    Time,
    Boolean,
    /// 32 or 64 bits.
    Integer {
        bits: u8,
    },
    Number,
    IntOrString,
    Quantity,
    List(Box<Type>),
    Map(Box<Type>),
    Struct(StructId),
}

/// A type with named fields.
#[derive(Clone, Debug)]
pub struct Struct {
    /// OpenAPI definition, such as `io.k8s.api.core.v1.PodSpec`; empty for one that stands inside another's schema.
    pub definition: String,
    /// Sorted by name.
    pub fields: Box<[Field]>,
    /// Fields that are not named are kept, too (`x-kubernetes-preserve-unknown-fields`).
    pub open: bool,
    /// Merged and owned as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// A quantity stands in it or below it.
    has_quantity: bool,
}

/// A field of a [`Struct`].
#[derive(Clone, Debug)]
pub struct Field {
    /// JSON name.
    pub name: String,
    /// What it holds.
    pub ty: Type,
    /// How it is merged; `None` for the default.
    pub merge: Option<Merging>,
}

/// How a field's list or map is merged: a [`Merge`] whose field is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merging {
    /// `x-kubernetes-patch-strategy`.
    pub strategy: Cow<'static, str>,
    /// `x-kubernetes-patch-merge-key`.
    pub key: Cow<'static, str>,
    /// `x-kubernetes-list-type` or `x-kubernetes-map-type`.
    pub list_type: Cow<'static, str>,
    /// `x-kubernetes-list-map-keys`.
    pub list_map_keys: Box<[Cow<'static, str>]>,
    /// What a key is where it is not said.
    pub key_defaults: Vec<(String, Value)>,
}

impl From<Merge> for Merging {
    fn from(merge: Merge) -> Merging {
        Merging {
            strategy: merge.strategy.into(),
            key: merge.key.into(),
            list_type: merge.list_type.into(),
            list_map_keys: merge.list_map_keys.iter().map(|k| (*k).into()).collect(),
            key_defaults: Vec::new(),
        }
    }
}

impl Merging {
    /// What a schema says itself.
    fn said(schema: &Value) -> Option<Merging> {
        let text = |key: &str| schema.get(key).and_then(Value::as_str);
        let list_type = text("x-kubernetes-list-type").or_else(|| text("x-kubernetes-map-type"))?.to_owned();
        let keys: Vec<&str> = schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let default = |key: &&str| Some(((*key).to_owned(), schema.pointer("/items/properties")?.get(*key)?.get("default")?.clone()));
        let key_defaults = keys.iter().filter_map(default).collect();
        let list_map_keys = keys.iter().map(|k| Cow::Owned((*k).to_owned())).collect();
        Some(Merging { list_type: list_type.into(), list_map_keys, key_defaults, ..Merging::default() })
    }
}

impl Struct {
    /// The field of that JSON name.
    pub fn field(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok().map(|i| (i, &self.fields[i]))
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Types {
    structs: Vec<Struct>,
    named: HashMap<String, Type>,
}

impl Types {
    /// From definitions by name (JSON schemas with `$ref`s to one another) and the merges of their fields.
    /// A merge with an empty field is of the definition itself.
    pub fn new(definitions: &Map<String, Value>, merges: &[Merge]) -> Types {
        let merges: HashMap<(&str, &str), Merge> = merges.iter().map(|m| ((m.definition, m.field), *m)).collect();
        let mut builder = Builder { definitions, merges, types: Types::default() };
        for name in definitions.keys() {
            builder.named(name);
        }
        builder.types.mark_quantities();
        builder.types
    }

    /// The type of a definition.
    pub fn named(&self, definition: &str) -> Option<&Type> {
        self.named.get(definition)
    }

    /// A struct.
    pub fn get(&self, id: StructId) -> &Struct {
        &self.structs[id.0 as usize]
    }

    /// Whether a quantity stands somewhere in a value of the type.
    pub fn has_quantity(&self, ty: &Type) -> bool {
        match ty {
            Type::Quantity => true,
            Type::List(inner) | Type::Map(inner) => self.has_quantity(inner),
            Type::Struct(id) => self.get(*id).has_quantity,
            _ => false,
        }
    }

    /// The name that Go gives the type in an error: `[]v1.Container`, `map[string]string`, `int32`.
    pub fn go_name(&self, ty: &Type) -> String {
        match ty {
            Type::Any => "runtime.RawExtension".to_owned(),
            Type::String => "string".to_owned(),
            Type::Bytes => "[]uint8".to_owned(),
            Type::Time => "v1.Time".to_owned(),
            Type::Boolean => "bool".to_owned(),
            Type::Integer { bits } => format!("int{bits}"),
            Type::Number => "float64".to_owned(),
            Type::IntOrString => "intstr.IntOrString".to_owned(),
            Type::Quantity => "resource.Quantity".to_owned(),
            Type::List(inner) => format!("[]{}", self.go_name(inner)),
            Type::Map(inner) => format!("map[string]{}", self.go_name(inner)),
            Type::Struct(id) => {
                let mut parts = self.get(*id).definition.rsplit('.');
                let name = parts.next().unwrap_or_default();
                let package = parts.next().unwrap_or_default();
                format!("{package}.{name}")
            }
        }
    }

    fn mark_quantities(&mut self) {
        loop {
            let marks: Vec<usize> = (0..self.structs.len())
                .filter(|i| !self.structs[*i].has_quantity && self.structs[*i].fields.iter().any(|f| self.has_quantity(&f.ty)))
                .collect();
            if marks.is_empty() {
                return;
            }
            for i in marks {
                self.structs[i].has_quantity = true;
            }
        }
    }
}

struct Builder<'a> {
    definitions: &'a Map<String, Value>,
    merges: HashMap<(&'a str, &'a str), Merge>,
    types: Types,
}

impl Builder<'_> {
    fn named(&mut self, name: &str) -> Type {
        if let Some(ty) = self.types.named.get(name) {
            return ty.clone();
        }
        let definitions = self.definitions;
        let Some(schema) = definitions.get(name) else { return Type::Any };
        if name.ends_with(".resource.Quantity") {
            self.types.named.insert(name.to_owned(), Type::Quantity);
            return Type::Quantity;
        }
        if schema.get("properties").is_some() {
            // Entered before its fields are looked at, since types may hold themselves.
            let id = self.reserve();
            self.types.named.insert(name.to_owned(), Type::Struct(id));
            self.fill(id, name, schema);
            return Type::Struct(id);
        }
        let ty = self.inline(schema);
        self.types.named.insert(name.to_owned(), ty.clone());
        ty
    }

    fn inline(&mut self, schema: &Value) -> Type {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.named(reference.rsplit('/').next().unwrap_or_default());
        }
        if let Some([one]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
            return self.inline(one);
        }
        if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
            return Type::IntOrString;
        }
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        match schema.get("type").and_then(Value::as_str).unwrap_or_default() {
            "string" => match format {
                "byte" => Type::Bytes,
                "date-time" => Type::Time,
                "int-or-string" => Type::IntOrString,
                _ => Type::String,
            },
            "boolean" => Type::Boolean,
            "integer" => Type::Integer { bits: if format == "int32" { 32 } else { 64 } },
            "number" => Type::Number,
            "array" => {
                let items = schema.get("items").map_or(Type::Any, |items| self.inline(items));
                Type::List(Box::new(items))
            }
            "object" => match (schema.get("additionalProperties"), schema.get("properties")) {
                (_, Some(_)) => {
                    let id = self.reserve();
                    self.fill(id, "", schema);
                    Type::Struct(id)
                }
                (Some(values @ Value::Object(_)), None) => {
                    let values = self.inline(values);
                    Type::Map(Box::new(values))
                }
                _ => Type::Any,
            },
            _ => Type::Any,
        }
    }

    fn reserve(&mut self) -> StructId {
        let id = StructId(u32::try_from(self.types.structs.len()).unwrap_or(u32::MAX));
        self.types.structs.push(Struct { definition: String::new(), fields: Box::default(), open: false, atomic: false, has_quantity: false });
        id
    }

    fn fill(&mut self, id: StructId, definition: &str, schema: &Value) {
        let mut fields = Vec::new();
        for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let ty = self.inline(schema);
            fields.push(Field {
                name: name.clone(),
                ty,
                merge: self.merges.get(&(definition, name.as_str())).copied().map(Merging::from).or_else(|| Merging::said(schema)),
            });
        }
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let this = &mut self.types.structs[id.0 as usize];
        this.definition = definition.to_owned();
        this.fields = fields.into();
        this.open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        this.atomic = self.merges.get(&(definition, "")).is_some_and(|m| m.list_type == "atomic")
            || schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
    }
}
