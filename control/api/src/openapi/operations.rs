//! Paths and operations of a resource.

use serde_json::{Map, Value, json};

use super::parameters::{self as query, Parameter};
use crate::kind::{KindInfo, Subresource};
use crate::registry::Resource;

const PRODUCED: &[&str] = &["application/json", "application/yaml"];
const STREAMED: &[&str] = &["application/json", "application/yaml", "application/json;stream=watch"];
const PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"];
/// Without the strategic merge patch, for which a kind's type must be known.
const PATCHES_OF_CUSTOM: &[&str] = &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// Which of the two ways of writing it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

impl Dialect {
    /// Where a `$ref` to a definition leads.
    pub(super) fn reference(self, definition: &str) -> Value {
        let place = if self == Dialect::V2 { "#/definitions/" } else { "#/components/schemas/" };
        json!({"$ref": format!("{place}{definition}")})
    }
}

/// The operations of one resource.
pub(super) struct Operations<'a> {
    resource: &'a Resource,
    info: &'a KindInfo,
    dialect: Dialect,
    list: String,
    /// `CoreV1`, `AppsV1`, `RbacAuthorizationV1`.
    title: String,
}

/// What an operation says.
struct Operation<'a> {
    action: &'a str,
    id: String,
    description: String,
    parameters: &'a [Parameter],
    consumes: &'a [&'a str],
    body: Option<(&'a str, bool)>,
    produces: &'a [&'a str],
    answer: Option<&'a str>,
    codes: &'a [u16],
    gvk: Value,
}

impl<'a> Operations<'a> {
    pub(super) fn new(resource: &'a Resource, dialect: Dialect) -> Operations<'a> {
        let info = resource.info();
        let group = if info.group.is_empty() { "core" } else { info.group.strip_suffix(".k8s.io").unwrap_or(&info.group) };
        let title = group.split(['.', '-']).chain([&*info.version]).map(capital).collect();
        Operations { resource, info, dialect, list: super::schemas::list_definition(resource), title }
    }

    pub(super) fn add_paths(&self, paths: &mut Map<String, Value>) {
        let info = self.info;
        let root = format!("/{}/", super::path_of(&info.group, &info.version));
        let plural = &info.plural;
        let namespaced = info.namespaced();
        let collection = if namespaced { format!("{root}namespaces/{{namespace}}/{plural}") } else { format!("{root}{plural}") };
        let item = format!("{collection}/{{name}}");
        if namespaced {
            let all = vec![("get", self.list_operation("ForAllNamespaces"))];
            paths.insert(format!("{root}{plural}"), self.path(all, false, false));
        }
        paths.insert(collection, self.path(self.collection(), namespaced, false));
        paths.insert(item.clone(), self.path(self.item(), namespaced, true));
        for subresource in info.subresources.iter() {
            let (name, operations) = self.subresource(subresource);
            if !operations.is_empty() {
                paths.insert(format!("{item}/{name}"), self.path(operations, namespaced, true));
            }
        }
    }

    fn path(&self, operations: Vec<(&str, Value)>, namespace: bool, name: bool) -> Value {
        let mut path: Map<String, Value> = operations.into_iter().map(|(verb, operation)| (verb.to_owned(), operation)).collect();
        let mut parameters = Vec::new();
        if name {
            parameters.push(self.path_parameter("name", &format!("name of the {}", self.info.kind)));
        }
        if namespace {
            parameters.push(self.path_parameter("namespace", "object name and auth scope, such as for teams and projects"));
        }
        parameters.push(self.query_parameter(&query::PRETTY));
        path.insert("parameters".to_owned(), Value::Array(parameters));
        Value::Object(path)
    }

    fn collection(&self) -> Vec<(&'static str, Value)> {
        let kind = &*self.info.kind;
        let own = self.resource.definition.as_str();
        let create = Operation {
            description: format!("create {} {kind}", article(kind)),
            parameters: query::WRITE,
            body: Some((own, true)),
            answer: Some(own),
            codes: &[200, 201, 202],
            ..self.operation("post", "create", "")
        };
        let delete = Operation {
            id: self.id("delete", "Collection", ""),
            description: format!("delete collection of {kind}"),
            parameters: query::DELETE_COLLECTION,
            body: Some((DELETE_OPTIONS, false)),
            answer: Some(STATUS),
            ..self.operation("deletecollection", "delete", "")
        };
        vec![("get", self.list_operation("")), ("post", self.render(create)), ("delete", self.render(delete))]
    }

    fn list_operation(&self, suffix: &str) -> Value {
        let kind = &*self.info.kind;
        let namespaced = if self.info.namespaced() && suffix.is_empty() { "Namespaced" } else { "" };
        self.render(Operation {
            id: format!("list{}{namespaced}{kind}{suffix}", self.title),
            description: format!("list or watch objects of kind {kind}"),
            parameters: query::LIST,
            produces: STREAMED,
            answer: Some(&self.list),
            ..self.operation("list", "list", "")
        })
    }

    fn item(&self) -> Vec<(&'static str, Value)> {
        let kind = &*self.info.kind;
        let own = self.resource.definition.as_str();
        let delete = Operation {
            description: format!("delete {} {kind}", article(kind)),
            parameters: query::DELETE,
            body: Some((DELETE_OPTIONS, false)),
            answer: Some(STATUS),
            codes: &[200, 202],
            ..self.operation("delete", "delete", "")
        };
        let mut operations = self.read_and_write(own, "", "");
        operations.push(("delete", self.render(delete)));
        operations
    }

    /// get, put and patch of an object or of its `status` or `scale`.
    fn read_and_write(&self, definition: &str, suffix: &str, subresource: &str) -> Vec<(&'static str, Value)> {
        let kind = &*self.info.kind;
        let what = if subresource.is_empty() { "the specified".to_owned() } else { format!("{subresource} of the specified") };
        let gvk = if definition == SCALE { json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}) } else { self.gvk() };
        let get = Operation { description: format!("read {what} {kind}"), answer: Some(definition), gvk: gvk.clone(), ..self.operation("get", "read", suffix) };
        let put = Operation {
            description: format!("replace {what} {kind}"),
            parameters: query::WRITE,
            body: Some((definition, true)),
            answer: Some(definition),
            codes: &[200, 201],
            gvk: gvk.clone(),
            ..self.operation("put", "replace", suffix)
        };
        let patch = Operation {
            description: format!("partially update {what} {kind}"),
            parameters: query::PATCH,
            consumes: if self.info.custom { PATCHES_OF_CUSTOM } else { PATCHES },
            body: Some((PATCH, true)),
            answer: Some(definition),
            codes: &[200, 201],
            gvk,
            ..self.operation("patch", "patch", suffix)
        };
        vec![("get", self.render(get)), ("put", self.render(put)), ("patch", self.render(patch))]
    }

    fn subresource(&self, subresource: &Subresource) -> (&'static str, Vec<(&'static str, Value)>) {
        match subresource {
            Subresource::Status => ("status", self.read_and_write(&self.resource.definition, "Status", "status")),
            Subresource::Scale { .. } => ("scale", self.read_and_write(SCALE, "Scale", "scale")),
            Subresource::Other { name, group_version, kind, verbs } => (name, self.other(name, group_version, kind, verbs)),
        }
    }

    /// Those that the server handles by code of its own: only that they exist, and of which kind they are.
    fn other(&self, name: &str, group_version: &str, kind: &str, verbs: &[&str]) -> Vec<(&'static str, Value)> {
        let (group, version) = match group_version.rsplit_once('/') {
            Some((group, version)) => (group, version),
            None if group_version.is_empty() => (&*self.info.group, &*self.info.version),
            None => ("", group_version),
        };
        let gvk = if kind.is_empty() { self.gvk() } else { json!({"group": group, "version": version, "kind": kind}) };
        let suffix: String = name.split(['/', '-']).map(capital).collect();
        let connects = matches!(name, "exec" | "attach" | "portforward" | "proxy");
        let mut operations = Vec::new();
        for (verb, method) in [("create", "post"), ("get", "get"), ("update", "put"), ("patch", "patch"), ("delete", "delete")] {
            if !verbs.contains(&verb) {
                continue;
            }
            let action = if connects { "connect" } else { method };
            let words = if connects { format!("connect {} requests to {name}", method.to_uppercase()) } else { format!("{verb} {name}") };
            let mut operation = Operation {
                description: if connects {
                    format!("{words} of {}", self.info.kind)
                } else {
                    format!("{words} of {} {}", article(&self.info.kind), self.info.kind)
                },
                gvk: gvk.clone(),
                ..self.operation(action, if connects { "connect" } else { verb }, &suffix)
            };
            if connects {
                operation.id = format!("connect{}{}{}{}{suffix}", self.title, capital(method), self.namespaced(), self.info.kind);
                operation.produces = &["*/*"];
            }
            if method == "patch" {
                (operation.consumes, operation.body, operation.parameters) = (PATCHES, Some((PATCH, true)), query::PATCH);
            }
            operations.push((method, self.render(operation)));
        }
        operations
    }

    fn operation(&self, action: &'a str, verb: &str, suffix: &str) -> Operation<'a> {
        Operation {
            action,
            id: self.id(verb, "", suffix),
            description: String::new(),
            parameters: &[],
            consumes: &["*/*"],
            body: None,
            produces: PRODUCED,
            answer: None,
            codes: &[200],
            gvk: self.gvk(),
        }
    }

    fn id(&self, verb: &str, before: &str, suffix: &str) -> String {
        format!("{verb}{}{before}{}{}{suffix}", self.title, self.namespaced(), self.info.kind)
    }

    fn namespaced(&self) -> &'static str {
        if self.info.namespaced() { "Namespaced" } else { "" }
    }

    fn gvk(&self) -> Value {
        json!({"group": self.info.group, "version": self.info.version, "kind": self.info.kind})
    }

    fn render(&self, operation: Operation) -> Value {
        let group = if self.info.group.is_empty() { "core" } else { self.info.group.strip_suffix(".k8s.io").unwrap_or(&self.info.group) };
        let tag = format!("{}_{}", group.replace(['.', '-'], "_"), self.info.version);
        let tag =
            tag.split('_').enumerate().map(|(i, part)| if i == 0 || part == &*self.info.version { part.to_owned() } else { capital(part) }).collect::<Vec<_>>();
        let tag = format!("{}_{}", tag[..tag.len() - 1].concat(), tag[tag.len() - 1]);
        let mut out = json!({
            "description": operation.description,
            "operationId": operation.id,
            "tags": [tag],
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": operation.gvk,
        });
        let mut parameters: Vec<Value> = operation.parameters.iter().map(|p| self.query_parameter(p)).collect();
        let text = json!({"type": "string"});
        let answer = operation.answer.map_or(text, |d| self.dialect.reference(d));
        let mut responses = Map::new();
        for code in operation.codes {
            let words = match code {
                201 => "Created",
                202 => "Accepted",
                _ => "OK",
            };
            let response = match self.dialect {
                Dialect::V2 => json!({"description": words, "schema": answer}),
                Dialect::V3 => json!({"description": words, "content": contents(operation.produces, &answer)}),
            };
            responses.insert(code.to_string(), response);
        }
        responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
        out["responses"] = Value::Object(responses);
        if let Some((definition, required)) = operation.body {
            let schema = self.dialect.reference(definition);
            match self.dialect {
                Dialect::V2 => {
                    let mut body = json!({"in": "body", "name": "body", "schema": schema});
                    if required {
                        body["required"] = Value::Bool(true);
                    }
                    parameters.insert(0, body);
                }
                Dialect::V3 => {
                    out["requestBody"] = json!({"content": contents(operation.consumes, &schema)});
                    if required {
                        out["requestBody"]["required"] = Value::Bool(true);
                    }
                }
            }
        }
        if !parameters.is_empty() {
            out["parameters"] = Value::Array(parameters);
        }
        if self.dialect == Dialect::V2 {
            out["consumes"] = json!(operation.consumes);
            out["produces"] = json!(operation.produces);
            out["schemes"] = json!(["https"]);
        }
        out
    }

    fn query_parameter(&self, parameter: &Parameter) -> Value {
        match self.dialect {
            Dialect::V2 => json!({"name": parameter.name, "in": "query", "description": parameter.description, "type": parameter.kind, "uniqueItems": true}),
            Dialect::V3 => {
                json!({"name": parameter.name, "in": "query", "description": parameter.description, "schema": {"type": parameter.kind, "uniqueItems": true}})
            }
        }
    }

    fn path_parameter(&self, name: &str, description: &str) -> Value {
        match self.dialect {
            Dialect::V2 => json!({"name": name, "in": "path", "description": description, "required": true, "type": "string", "uniqueItems": true}),
            Dialect::V3 => json!({"name": name, "in": "path", "description": description, "required": true, "schema": {"type": "string", "uniqueItems": true}}),
        }
    }
}

fn contents(media_types: &[&str], schema: &Value) -> Value {
    media_types.iter().map(|m| ((*m).to_owned(), json!({"schema": schema}))).collect::<Map<_, _>>().into()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}
