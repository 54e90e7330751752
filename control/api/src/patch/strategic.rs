//! Strategic merge patch: lists are merged by key or as sets where their type says so; directives in the patch say otherwise.

use serde_json::{Map, Value};

use crate::status::ApiError;
use crate::types::{Type, Types};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

type Object = Map<String, Value>;

/// Applies a strategic merge patch to an object of the type.
pub fn strategic_merge(types: &Types, ty: &Type, original: &Value, patch: &Value) -> Result<Value, ApiError> {
    let Value::Object(patch) = patch else {
        let message = format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", super::word(patch));
        return Err(ApiError::bad_request(message));
    };
    let Value::Object(original) = original else { return Err(Failure::bad_request("invalid JSON document").into()) };
    let merged = Merger { types }.map(original.clone(), patch.clone(), ty)?;
    Ok(Value::Object(merged))
}

/// Why a patch cannot be merged, and the status that tells of it.
#[derive(Debug)]
struct Failure {
    code: u16,
    message: String,
}

impl Failure {
    fn new(message: String) -> Failure {
        Failure { code: 500, message }
    }

    fn bad_request(message: &str) -> Failure {
        Failure { code: 400, message: message.to_owned() }
    }

    fn no_merge_key(map: &Object, key: &str) -> Failure {
        Failure::new(format!("map: {} does not contain declared merge key: {key}", go_map(map)))
    }

    fn bad_type(directive: &Value, map: &Object) -> Failure {
        Failure::new(format!("unknown patch type: '{}' in map: {}", go_value(directive), go_map(map)))
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        match failure.code {
            400 => ApiError::bad_request(failure.message),
            422 => ApiError::unprocessable(),
            _ => ApiError::unknown(failure.message),
        }
    }
}

/// How a field is merged.
struct FieldMerge<'a> {
    ty: &'a Type,
    strategy: &'a str,
    key: &'a str,
}

struct Merger<'a> {
    types: &'a Types,
}

impl<'a> Merger<'a> {
    fn map(&self, mut original: Object, mut patch: Object, ty: &'a Type) -> Result<Object, Failure> {
        if let Some(directive) = patch.get(DIRECTIVE) {
            return match directive.as_str() {
                Some("replace") => {
                    patch.remove(DIRECTIVE);
                    Ok(patch)
                }
                Some("delete") => Ok(Object::new()),
                _ => Err(Failure::bad_type(directive, &patch)),
            };
        }
        retain_keys(&mut original, &mut patch)?;
        self.ordered_lists(&mut original, &mut patch, ty)?;
        for (key, value) in patch {
            let (key, deletes) = match key.strip_prefix(DELETE_FROM_LIST) {
                Some(rest) => (list_name(rest, "invalid patch format of primitive list")?.to_owned(), true),
                None => (key, false),
            };
            if value.is_null() {
                original.remove(&key);
                continue;
            }
            let merged = match (original.remove(&key), value) {
                (None, _) if deletes => continue,
                (Some(Value::Object(old)), Value::Object(new)) => {
                    let field = self.field(ty, &key);
                    if field.strategy == "replace" { Value::Object(new) } else { Value::Object(self.map(old, new, field.ty)?) }
                }
                (Some(Value::Array(old)), Value::Array(new)) => {
                    let field = self.field(ty, &key);
                    if field.strategy == "merge" || deletes { Value::Array(self.list(old, new, &field, deletes)?) } else { Value::Array(new) }
                }
                (Some(old), _) if deletes => old,
                (Some(Value::Object(_) | Value::Array(_)) | None, new) | (Some(_), new @ (Value::Object(_) | Value::Array(_))) => match without_directives(new)
                {
                    Some(new) => new,
                    None => continue,
                },
                (Some(_), new) => new,
            };
            original.insert(key, merged);
        }
        Ok(original)
    }

    /// Lists whose order the patch gives (`$setElementOrder/x`), merged with what it says of their elements. Taken out of the patch.
    fn ordered_lists(&self, original: &mut Object, patch: &mut Object, ty: &'a Type) -> Result<(), Failure> {
        let directives: Vec<String> = patch.keys().filter(|k| k.starts_with(ELEMENT_ORDER)).cloned().collect();
        for directive in directives {
            let name = list_name(&directive[ELEMENT_ORDER.len()..], "invalid patch format of setElementOrder list")?;
            let Some(Value::Array(order)) = patch.remove(&directive) else {
                return Err(Failure::bad_request("invalid patch format of setElementOrder list"));
            };
            let old = match original.remove(name) {
                Some(Value::Array(list)) => Some(list),
                Some(other) => return Err(Failure::new(format!("expected a []interface {{}}, but received {}", go_value(&other)))),
                None => None,
            };
            let new = match patch.remove(name) {
                Some(Value::Array(list)) => Some(list),
                Some(Value::Null) => {
                    // The list goes.
                    continue;
                }
                Some(other) => return Err(Failure::new(format!("expected a []interface {{}}, but received {}", go_value(&other)))),
                None => None,
            };
            let field = self.field(ty, name);
            if let Some(new) = &new {
                check_order(new, &order, field.key)?;
            }
            let server_order = old.clone().unwrap_or_default();
            let merged = match (old, new) {
                (None, None) => continue,
                (Some(old), None) => old,
                (None, Some(new)) => match without_directives(Value::Array(new)) {
                    Some(Value::Array(list)) => list,
                    _ => continue,
                },
                (Some(old), Some(new)) if field.strategy == "merge" => self.list(old, new, &field, false)?,
                (Some(_), Some(new)) => new,
            };
            original.insert(name.to_owned(), Value::Array(in_order(merged, &order, &server_order, field.key)?));
        }
        Ok(())
    }

    fn list(&self, mut original: Vec<Value>, patch: Vec<Value>, field: &FieldMerge<'a>, deletes: bool) -> Result<Vec<Value>, Failure> {
        if original.iter().chain(&patch).any(Value::is_array) {
            return Err(Failure { code: 422, message: "lists of lists are not supported".to_owned() });
        }
        let objects = original.iter().chain(&patch).any(Value::is_object);
        if !objects {
            if deletes {
                original.retain(|v| !patch.contains(v));
                return Ok(original);
            }
            let server_order = original.clone();
            for value in &patch {
                if !original.contains(value) {
                    original.push(value.clone());
                }
            }
            return in_order(original, &patch, &server_order, "");
        }
        if field.key.is_empty() {
            return Err(Failure::new(format!("cannot merge lists without merge key for {}", self.types.go_name(field.ty))));
        }
        let element = match field.ty {
            Type::List(inner) => inner.as_ref(),
            other => other,
        };
        let mut replace = false;
        let mut elements = Vec::new();
        for value in patch {
            let Value::Object(map) = value else { return Err(Failure::bad_request("invalid JSON document")) };
            match map.get(DIRECTIVE).map(|d| d.as_str().ok_or(d)) {
                None => elements.push(map),
                Some(Ok("delete")) => {
                    let Some(wanted) = map.get(field.key) else { return Err(Failure::no_merge_key(&map, field.key)) };
                    original.retain(|v| v.get(field.key) != Some(wanted));
                }
                Some(Ok("replace")) => replace = true,
                Some(Ok("merge")) => return Err(Failure::new("merging lists cannot yet be specified in the patch".to_owned())),
                Some(_) => return Err(Failure::bad_type(&map[DIRECTIVE], &map)),
            }
        }
        if replace {
            return Ok(elements.into_iter().map(Value::Object).collect());
        }
        let server_order = original.clone();
        let order: Vec<Value> = elements.iter().cloned().map(Value::Object).collect();
        for map in elements {
            let Some(wanted) = map.get(field.key) else { return Err(Failure::no_merge_key(&map, field.key)) };
            match original.iter_mut().find(|v| v.get(field.key) == Some(wanted)) {
                Some(found) => {
                    let old = std::mem::take(found.as_object_mut().unwrap_or(&mut Object::new()));
                    *found = Value::Object(self.map(old, map, element)?);
                }
                None => original.extend(without_directives(Value::Object(map))),
            }
        }
        in_order(original, &order, &server_order, field.key)
    }

    fn field(&self, ty: &'a Type, name: &str) -> FieldMerge<'a> {
        const ANY: &Type = &Type::Any;
        match ty {
            Type::Struct(id) => match self.types.get(*id).field(name) {
                Some((_, field)) => {
                    let (strategy, key) = field.merge.as_ref().map_or(("", ""), |m| (&*m.strategy, &*m.key));
                    let strategy = strategy.split(',').map(str::trim).find(|s| *s != "retainKeys").unwrap_or_default();
                    FieldMerge { ty: &field.ty, strategy, key }
                }
                None => FieldMerge { ty: ANY, strategy: "", key: "" },
            },
            Type::Map(inner) => FieldMerge { ty: inner, strategy: "", key: "" },
            _ => FieldMerge { ty: ANY, strategy: "", key: "" },
        }
    }
}

/// `$retainKeys`: fields that it does not name are dropped; the patch may have no others.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Failure> {
    let Some(keys) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = keys else { return Err(Failure::bad_request("invalid patch format of retainKeys")) };
    let kept = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let directive = key.starts_with(DELETE_FROM_LIST) || key.starts_with(ELEMENT_ORDER);
        if !value.is_null() && !directive && !kept(key) {
            return Err(Failure::bad_request("invalid patch format of retainKeys"));
        }
    }
    original.retain(|key, _| kept(key));
    Ok(())
}

fn list_name<'s>(rest: &'s str, format: &str) -> Result<&'s str, Failure> {
    rest.strip_prefix('/').filter(|n| !n.is_empty()).ok_or_else(|| Failure::bad_request(format))
}

/// The elements that `order` names in its order, the others where they stood among them on the server.
fn in_order(merged: Vec<Value>, order: &[Value], server_order: &[Value], key: &str) -> Result<Vec<Value>, Failure> {
    if !key.is_empty() {
        let mut maps = merged.iter().chain(order).filter_map(Value::as_object);
        if let Some(map) = maps.find(|m| !m.contains_key(key)) {
            return Err(Failure::no_merge_key(map, key));
        }
    }
    let same = |a: &Value, b: &Value| if key.is_empty() { a == b } else { a.get(key) == b.get(key) };
    let place = |list: &[Value], v: &Value| list.iter().position(|x| same(x, v));
    let (mut ours, mut others): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|v| place(order, v).is_some());
    ours.sort_by_key(|v| place(order, v));
    others.sort_by_key(|v| place(server_order, v));
    let mut out = Vec::with_capacity(ours.len() + others.len());
    let (mut ours, mut others) = (ours.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), ours.peek()) {
            (None, None) => return Ok(out),
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(our)) => matches!((place(server_order, other), place(server_order, our)), (Some(o), Some(u)) if o < u),
        };
        out.extend(if other_first { others.next() } else { ours.next() });
    }
}

/// The elements of the patch must stand in the order that the patch gives.
fn check_order(patch: &[Value], order: &[Value], key: &str) -> Result<(), Failure> {
    let elements: Vec<&Value> = patch.iter().filter(|v| v.get(DIRECTIVE).is_none()).collect();
    let same = |a: &Value, b: &Value| if key.is_empty() { a == b } else { a.get(key) == b.get(key) };
    let mut at = 0;
    for element in &elements {
        match order[at..].iter().position(|o| same(o, element)) {
            Some(found) => at += found + 1,
            None => {
                let (patch, order) = (go_value(&Value::Array(patch.to_vec())), go_value(&Value::Array(order.to_vec())));
                return Err(Failure::new(format!("The order in patch list:\n{patch}\n doesn't match {ELEMENT_ORDER} list:\n{order}\n")));
            }
        }
    }
    Ok(())
}

/// What is new to the original, without nulls and directives. `None`: it was only to be deleted.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut map) => {
            match map.remove(DIRECTIVE).as_ref().and_then(Value::as_str) {
                Some("delete") => return None,
                Some(_) if map.is_empty() => return None,
                _ => {}
            }
            map.retain(|k, v| !v.is_null() && k != RETAIN_KEYS && !k.starts_with(ELEMENT_ORDER) && !k.starts_with(DELETE_FROM_LIST));
            let map = map.into_iter().filter_map(|(k, v)| without_directives(v).map(|v| (k, v))).collect();
            Some(Value::Object(map))
        }
        Value::Array(list) => Some(Value::Array(list.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

/// As Go prints a map.
fn go_map(map: &Object) -> String {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_by_key(|(k, _)| k.as_str());
    let entries: Vec<String> = entries.into_iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect();
    format!("map[{}]", entries.join(" "))
}

fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => go_map(map),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "strategic_tests.rs"]
mod tests;
