//! Objects as tables (`meta.k8s.io/v1 Table`) and as their metadata alone (`PartialObjectMetadata`).

use serde_json::{Value, json};

use crate::kind::{DynKind, DynObject};
use crate::status::ApiError;
use crate::table::{Column, Now};

/// What a row of a table carries beside its cells: the query parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    /// The value of the query parameter.
    pub fn parse(text: &str) -> Option<IncludeObject> {
        match text {
            "" | "Metadata" => Some(IncludeObject::Metadata),
            "None" => Some(IncludeObject::None),
            "Object" => Some(IncludeObject::Object),
            _ => None,
        }
    }
}

/// A table that is written row by row.
pub struct TableWriter<'a> {
    kind: &'a dyn DynKind,
    include: IncludeObject,
    now: Now,
    json: Vec<u8>,
    rows: usize,
}

impl<'a> TableWriter<'a> {
    /// An empty table. `metadata` is the `ListMeta`; `columns` are left out of all but the first event of a watch.
    pub fn new(kind: &'a dyn DynKind, metadata: &Value, columns: bool, include: IncludeObject, now: Now) -> TableWriter<'a> {
        let definitions: Value = if columns { kind.columns().iter().map(definition).collect() } else { Value::Null };
        let head = format!(r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{metadata},"columnDefinitions":{definitions},"rows":["#);
        TableWriter { kind, include, now, json: head.into_bytes(), rows: 0 }
    }

    /// Adds an object.
    pub fn push(&mut self, object: &dyn DynObject) -> Result<(), ApiError> {
        if self.rows > 0 {
            self.json.push(b',');
        }
        self.rows += 1;
        let cells = Value::Array(self.kind.row(object, self.now));
        self.json.extend_from_slice(format!(r#"{{"cells":{cells},"object":"#).as_bytes());
        match self.include {
            IncludeObject::None => self.json.extend_from_slice(b"null"),
            IncludeObject::Metadata => write_metadata(object, &mut self.json)?,
            IncludeObject::Object => object.encode(&mut self.json).map_err(failed)?,
        }
        self.json.push(b'}');
        Ok(())
    }

    /// The JSON of the table.
    pub fn finish(mut self) -> Vec<u8> {
        self.json.extend_from_slice(b"]}");
        self.json
    }
}

/// The table of one object, whose resource version is the table's.
pub fn of_object(kind: &dyn DynKind, object: &dyn DynObject, columns: bool, include: IncludeObject, now: Now) -> Result<Vec<u8>, ApiError> {
    let metadata = json!({"resourceVersion": object.meta().resource_version.as_deref().unwrap_or("")});
    let mut table = TableWriter::new(kind, &metadata, columns, include, now);
    table.push(object)?;
    Ok(table.finish())
}

/// The `PartialObjectMetadata` of an object.
pub fn partial_metadata(object: &dyn DynObject) -> Result<Vec<u8>, ApiError> {
    let mut json = Vec::with_capacity(512);
    write_metadata(object, &mut json)?;
    Ok(json)
}

/// The `PartialObjectMetadataList` of objects. `metadata` is the `ListMeta`.
pub fn partial_metadata_list<'o>(metadata: &Value, objects: impl Iterator<Item = &'o dyn DynObject>) -> Result<Vec<u8>, ApiError> {
    let head = format!(r#"{{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{metadata},"items":["#);
    let mut json = head.into_bytes();
    for (i, object) in objects.enumerate() {
        if i > 0 {
            json.push(b',');
        }
        write_metadata(object, &mut json)?;
    }
    json.extend_from_slice(b"]}");
    Ok(json)
}

fn write_metadata(object: &dyn DynObject, into: &mut Vec<u8>) -> Result<(), ApiError> {
    into.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":"#);
    serde_json::to_writer(&mut *into, object.meta()).map_err(failed)?;
    into.push(b'}');
    Ok(())
}

fn definition(column: &Column) -> Value {
    json!({"name": column.name, "type": column.kind, "format": column.format, "description": column.description, "priority": column.priority})
}

fn failed(error: serde_json::Error) -> ApiError {
    ApiError::internal(format!("encoding a table: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_metadata() {
        let kinds = crate::kinds::all();
        let kind = kinds.iter().find(|k| k.info().kind == "ConfigMap").unwrap().as_ref();
        let object = kind.from_value(json!({"metadata": {"name": "m", "resourceVersion": "7"}, "data": {"a": "b"}})).unwrap();
        let now = Now("2026-01-01T00:00:00Z".parse().unwrap());
        let table = |include, columns| -> Value { serde_json::from_slice(&of_object(kind, object.as_ref(), columns, include, now).unwrap()).unwrap() };
        let plain = table(IncludeObject::Metadata, true);
        assert_eq!(plain["metadata"], json!({"resourceVersion": "7"}));
        assert_eq!(plain["columnDefinitions"][0]["name"], "Name");
        assert_eq!(plain["columnDefinitions"].as_array().unwrap().len(), plain["rows"][0]["cells"].as_array().unwrap().len());
        assert_eq!(
            plain["rows"][0]["object"],
            json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "m", "resourceVersion": "7"}})
        );
        assert_eq!(table(IncludeObject::None, false)["rows"][0]["object"], Value::Null);
        assert_eq!(table(IncludeObject::None, false)["columnDefinitions"], Value::Null);
        assert_eq!(table(IncludeObject::Object, true)["rows"][0]["object"]["data"], json!({"a": "b"}));
        let list = partial_metadata_list(&json!({}), [object.as_ref(), object.as_ref()].into_iter()).unwrap();
        let list: Value = serde_json::from_slice(&list).unwrap();
        assert_eq!(list["items"][1]["metadata"]["name"], "m");
    }
}
