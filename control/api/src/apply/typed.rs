//! Values beside their type, as server-side apply sees them: which fields they have, how two merge, how two differ.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::set::Set;
use crate::types::{Merging, Struct, Type, Types};

/// A type and how its field says that it is merged.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    types: &'a Types,
    ty: &'a Type,
    merge: Option<&'a Merging>,
}

/// How a value is owned.
#[derive(Clone, Copy)]
enum Shape<'a> {
    /// As a whole.
    Leaf,
    Struct(&'a Struct),
    Map(Typed<'a>),
    /// Elements are told apart by these fields.
    Keyed(Typed<'a>, &'a Merging),
    /// Elements are told apart by their value.
    Set(Typed<'a>),
}

/// What is different about a new value.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) added: Set,
    pub(super) modified: Set,
    pub(super) removed: Set,
}

/// An element of a list that cannot be told apart from others, or a field that the type does not have.
pub(super) type Fault = String;

const ANY: &Type = &Type::Any;

impl<'a> Typed<'a> {
    pub(super) fn new(types: &'a Types, ty: &'a Type) -> Typed<'a> {
        Typed { types, ty, merge: None }
    }

    fn shape(self) -> Shape<'a> {
        let said = self.merge.map_or("", |m| &*m.list_type);
        let element = |ty| Typed { types: self.types, ty, merge: None };
        match self.ty {
            Type::Struct(id) => {
                let this = self.types.get(*id);
                if said == "atomic" || (this.atomic && said != "granular") { Shape::Leaf } else { Shape::Struct(this) }
            }
            Type::Map(inner) if said != "atomic" => Shape::Map(element(inner)),
            Type::List(inner) => match said {
                "map" => self.merge.map_or(Shape::Leaf, |merge| Shape::Keyed(element(inner), merge)),
                "set" => Shape::Set(element(inner)),
                _ => Shape::Leaf,
            },
            _ => Shape::Leaf,
        }
    }

    /// The type of a field or of a map's value; `None` for a field that is not declared.
    fn field(self, name: &str) -> Option<Typed<'a>> {
        match self.ty {
            Type::Struct(id) => {
                let this = self.types.get(*id);
                match this.field(name) {
                    Some((_, field)) => Some(Typed { types: self.types, ty: &field.ty, merge: field.merge.as_ref() }),
                    None if this.open => Some(Typed { types: self.types, ty: ANY, merge: None }),
                    None => None,
                }
            }
            Type::Map(inner) => Some(Typed { types: self.types, ty: inner, merge: None }),
            _ => None,
        }
    }

    /// Faults of a configuration that is to be applied: fields that are not declared, elements that are there twice or lack their key.
    pub(super) fn faults(self, value: &Value, path: &str, out: &mut Vec<Fault>) {
        match (self.shape(), value) {
            (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) => {
                for (name, value) in map {
                    let path = format!("{path}.{name}");
                    match self.field(name) {
                        Some(field) => field.faults(value, &path, out),
                        None => out.push(format!("{path}: field not declared in schema")),
                    }
                }
            }
            (Shape::Keyed(element, _) | Shape::Set(element), Value::Array(list)) => {
                let mut seen = HashMap::new();
                for (i, item) in list.iter().enumerate() {
                    match self.step(item) {
                        Some(step) => {
                            let printed = printed_step(&step);
                            if seen.insert(step, ()).is_some() {
                                out.push(format!("{path}: duplicate entries for key {printed}"));
                            }
                            element.faults(item, &format!("{path}{printed}"), out);
                        }
                        None => out.push(format!("{path}: element {i}: associative list with keys has an element that omits key field(s)")),
                    }
                }
            }
            _ => {}
        }
    }

    /// How an element of a list is named in a set.
    fn step(self, item: &Value) -> Option<String> {
        match self.shape() {
            Shape::Set(_) => Some(format!("v:{item}")),
            Shape::Keyed(_, merge) => {
                let mut named: Vec<(&str, Value)> = Vec::new();
                for key in &merge.list_map_keys {
                    match item.get(&**key) {
                        Some(value) if !value.is_null() => named.push((key, value.clone())),
                        _ => match merge.key_defaults.iter().find(|(k, _)| k == key) {
                            Some((_, default)) => named.push((key, default.clone())),
                            // The only key field of the API's own with a default.
                            None if *key == "protocol" => named.push((key, Value::from("TCP"))),
                            None => {}
                        },
                    }
                }
                if named.is_empty() {
                    return None;
                }
                named.sort_by_key(|(k, _)| *k);
                let named: Vec<String> = named.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                Some(format!("k:{{{}}}", named.join(",")))
            }
            _ => None,
        }
    }

    /// The fields that a value has.
    pub(super) fn to_set(self, value: &Value) -> Set {
        let mut set = Set::default();
        self.add_to(value, &mut set);
        set.below.retain(|_, below| !below.is_empty());
        set
    }

    fn add_to(self, value: &Value, set: &mut Set) {
        match (self.shape(), value) {
            (Shape::Leaf, _) => set.here = true,
            (Shape::Struct(this), Value::Object(map)) => {
                for (name, value) in map {
                    let Some(field) = self.field(name) else { continue };
                    let child = set.child(format!("f:{name}"));
                    field.add_to(value, child);
                    child.here |= value.is_null() || value.as_object().is_some_and(Map::is_empty) || this.field(name).is_none();
                    if child.is_empty() {
                        set.below.remove(&format!("f:{name}"));
                    }
                }
            }
            (Shape::Map(inner), Value::Object(map)) => {
                for (name, value) in map {
                    let child = set.child(format!("f:{name}"));
                    inner.add_to(value, child);
                    child.here = true;
                }
            }
            (Shape::Keyed(element, _) | Shape::Set(element), Value::Array(list)) => {
                for item in list {
                    let Some(step) = self.step(item) else { continue };
                    let child = set.child(step);
                    element.add_to(item, child);
                    child.here = true;
                }
            }
            _ => {}
        }
    }

    /// Also in the set: the declared fields that have something below them.
    pub(super) fn with_named(self, set: &Set) -> Set {
        let mut out = Set { here: set.here, ..Set::default() };
        for (step, below) in &set.below {
            let name = step.strip_prefix("f:");
            let child = match (self.shape(), name) {
                (Shape::Struct(_), Some(name)) => self.field(name),
                (Shape::Map(inner), Some(_)) => Some(inner),
                (Shape::Keyed(element, _) | Shape::Set(element), None) => Some(element),
                _ => None,
            };
            let mut child = child.map_or_else(|| below.clone(), |c| c.with_named(below));
            if let (Shape::Struct(this), Some(name)) = (self.shape(), name) {
                child.here |= this.field(name).is_some();
            }
            out.below.insert(step.clone(), child);
        }
        out
    }

    /// The value without the fields of the set; what becomes empty is `null`.
    pub(super) fn remove(self, value: &Value, set: &Set) -> Value {
        match (self.shape(), value) {
            (Shape::Struct(_) | Shape::Map(_), Value::Object(map)) if !map.is_empty() => {
                let mut out = Map::new();
                for (name, value) in map {
                    match set.below.get(&format!("f:{name}")) {
                        Some(below) if below.here => {}
                        Some(below) => {
                            let kept = self.field(name).map_or_else(|| value.clone(), |f| f.remove(value, below));
                            out.insert(name.clone(), kept);
                        }
                        None => {
                            out.insert(name.clone(), value.clone());
                        }
                    }
                }
                if out.is_empty() { Value::Null } else { Value::Object(out) }
            }
            (Shape::Keyed(element, _) | Shape::Set(element), Value::Array(list)) if !list.is_empty() => {
                let mut out = Vec::new();
                for item in list {
                    match self.step(item).and_then(|step| set.below.get(&step)) {
                        Some(below) if below.here => {}
                        Some(below) => out.push(element.remove(item, below)),
                        None => out.push(item.clone()),
                    }
                }
                if out.is_empty() { Value::Null } else { Value::Array(out) }
            }
            _ => value.clone(),
        }
    }

    /// The live value with what the configuration says.
    pub(super) fn merge(self, live: &Value, config: &Value) -> Value {
        match (self.shape(), live, config) {
            (Shape::Struct(_) | Shape::Map(_), Value::Object(old), Value::Object(new)) => {
                let mut out = old.clone();
                for (name, value) in new {
                    let merged = match (old.get(name), self.field(name)) {
                        (Some(old), Some(field)) => field.merge(old, value),
                        _ => value.clone(),
                    };
                    out.insert(name.clone(), merged);
                }
                Value::Object(out)
            }
            (Shape::Struct(_) | Shape::Map(_), Value::Object(_), Value::Null) | (Shape::Keyed(..) | Shape::Set(_), Value::Array(_), Value::Null) => {
                live.clone()
            }
            (Shape::Keyed(element, _) | Shape::Set(element), Value::Array(old), Value::Array(new)) => Value::Array(self.merge_lists(element, old, new)),
            _ => config.clone(),
        }
    }

    /// Both lists' elements: the configuration's in its order, the live ones where they stood among them.
    fn merge_lists(self, element: Typed, old: &[Value], new: &[Value]) -> Vec<Value> {
        let steps = |list: &[Value]| -> Vec<String> { list.iter().enumerate().map(|(i, v)| self.step(v).unwrap_or_else(|| format!("i:{i}"))).collect() };
        let (left, right) = (steps(old), steps(new));
        let in_left: HashMap<&str, &Value> = left.iter().map(String::as_str).zip(old).collect();
        let in_right: HashMap<&str, &Value> = right.iter().map(String::as_str).zip(new).collect();
        let both = |step: &str| match (in_left.get(step), in_right.get(step)) {
            (Some(old), Some(new)) => element.merge(old, new),
            (None, Some(new)) => (*new).clone(),
            (Some(old), None) => (*old).clone(),
            (None, None) => Value::Null,
        };
        let mut shared = right.iter().filter(|s| in_left.contains_key(s.as_str()));
        let mut next_shared = shared.next();
        let mut taken: HashMap<&str, ()> = HashMap::new();
        let mut out = Vec::with_capacity(left.len().max(right.len()));
        let (mut l, mut r) = (0, 0);
        while l < left.len() || r < right.len() {
            if l < left.len() && r < right.len() {
                if left[l] == right[r] {
                    taken.insert(&right[r], ());
                    out.push(both(&right[r]));
                    (l, r) = (l + 1, r + 1);
                    next_shared = shared.next();
                    continue;
                }
                if in_right.contains_key(left[l].as_str()) && next_shared.is_some_and(|s| *s != left[l]) {
                    l += 1;
                    continue;
                }
            }
            if l < left.len() {
                if !in_right.contains_key(left[l].as_str()) {
                    out.push(old[l].clone());
                    l += 1;
                    continue;
                }
                if taken.contains_key(left[l].as_str()) {
                    l += 1;
                }
            }
            if r < right.len() {
                let step = right[r].as_str();
                taken.insert(step, ());
                out.push(both(step));
                r += 1;
                if next_shared.is_some_and(|s| s == step) {
                    next_shared = shared.next();
                }
            }
        }
        out
    }

    /// What is different about the new value.
    pub(super) fn compare(self, old: &Value, new: &Value) -> Comparison {
        let mut out = Comparison::default();
        let mut path = Vec::new();
        self.compare_at(Some(old), Some(new), &mut path, &mut out);
        out
    }

    fn compare_at(self, old: Option<&Value>, new: Option<&Value>, path: &mut Vec<String>, out: &mut Comparison) {
        let leaf = match (self.shape(), old, new) {
            (Shape::Leaf, ..) => true,
            _ => [old, new].into_iter().flatten().all(is_empty),
        };
        if leaf {
            match (old, new) {
                (None, Some(_)) => insert(&mut out.added, path),
                (Some(_), None) => insert(&mut out.removed, path),
                (Some(old), Some(new)) if old != new => insert(&mut out.modified, path),
                _ => {}
            }
            return;
        }
        if old == new {
            return;
        }
        match self.shape() {
            Shape::Leaf => {}
            Shape::Struct(_) | Shape::Map(_) => {
                let empty = Map::new();
                let [left, right] = [old, new].map(|v| v.and_then(Value::as_object).unwrap_or(&empty));
                for name in left.keys().chain(right.keys().filter(|k| !left.contains_key(*k))) {
                    let Some(field) = self.field(name) else { continue };
                    path.push(format!("f:{name}"));
                    field.compare_at(left.get(name), right.get(name), path, out);
                    path.pop();
                }
            }
            Shape::Keyed(element, _) | Shape::Set(element) => {
                let [left, right] = [old, new].map(|v| v.and_then(Value::as_array).map_or(&[][..], Vec::as_slice));
                let index = |list: &'_ [Value]| -> Vec<(String, usize)> { list.iter().enumerate().filter_map(|(i, v)| Some((self.step(v)?, i))).collect() };
                let (left_steps, right_steps) = (index(left), index(right));
                let right_by: HashMap<&str, usize> = right_steps.iter().map(|(s, i)| (s.as_str(), *i)).collect();
                for (step, i) in &left_steps {
                    path.push(step.clone());
                    element.compare_at(Some(&left[*i]), right_by.get(step.as_str()).map(|i| &right[*i]), path, out);
                    path.pop();
                }
                let left_by: HashMap<&str, usize> = left_steps.iter().map(|(s, i)| (s.as_str(), *i)).collect();
                for (step, i) in right_steps.iter().filter(|(s, _)| !left_by.contains_key(s.as_str())) {
                    path.push(step.clone());
                    element.compare_at(None, Some(&right[*i]), path, out);
                    path.pop();
                }
            }
        }
        match (old, new) {
            (None, Some(_)) => insert(&mut out.added, path),
            (Some(_), None) => insert(&mut out.removed, path),
            _ => {}
        }
    }

    /// What an object of the type has before anything is said of it: structs that are always there.
    pub(super) fn skeleton(self) -> Value {
        const ALWAYS: &[&str] =
            &["metadata", "spec", "status", "template", "strategy", "updateStrategy", "jobTemplate", "loadBalancer", "involvedObject", "source"];
        let Shape::Struct(this) = self.shape() else { return Value::Null };
        let fields = this.fields.iter().filter(|f| ALWAYS.contains(&f.name.as_str()) && matches!(f.ty, Type::Struct(_)));
        let fields = fields.filter_map(|f| Some((f.name.clone(), self.field(&f.name)?.skeleton()))).filter(|(_, v)| !v.is_null());
        let mut skeleton: Map<String, Value> = fields.collect();
        // A list that is always written, be it as `null`.
        skeleton.extend(this.field("containers").map(|(_, f)| (f.name.clone(), Value::Null)));
        Value::Object(skeleton)
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn insert(set: &mut Set, path: &[String]) {
    let mut at = set;
    for step in path {
        at = at.child(step.clone());
    }
    at.here = true;
}

fn printed_step(step: &str) -> String {
    let mut set = Set::default();
    set.child(step.to_owned()).here = true;
    set.paths().concat()
}
