//! `explain`: what a field is for, by the server's own account of its kinds.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::out;
use crate::session::Session;

pub(super) const EXAMPLES: &str = "Examples:
  wharf explain pods
  wharf explain pods.spec.containers
  wharf explain deploy --recursive
  wharf explain cronjobs --api-version=batch/v1";

/// What `explain` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE[.FIELD …]
    words: Vec<String>,
    /// Show the names of all fields below.
    #[arg(long)]
    recursive: bool,
    /// How deep --recursive goes; 0 is all the way.
    #[arg(long, default_value_t = 0, hide = true)]
    max_depth: usize,
    /// The version that is meant, as GROUP/VERSION.
    #[arg(long, default_value = "", hide_default_value = true)]
    api_version: String,
    /// The form; only plaintext.
    #[arg(long, short = 'o', default_value = "plaintext", hide = true)]
    output: String,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let [word] = arguments.words.as_slice() else {
        return Err(Error::message(if arguments.words.is_empty() {
            "You must specify the type of resource to explain. Use \"wharf api-resources\" for a complete list of supported resources."
        } else {
            "We accept only this format: explain RESOURCE"
        }));
    };
    if arguments.output != "plaintext" {
        return Err(Error::message(format!("unrecognized format: {}", arguments.output)));
    }
    let discovery = session.discovery().await?;
    let (kind, fields) = word.split_once('.').map_or((word.as_str(), ""), |(kind, fields)| (kind, fields));
    // A whole name may hold dots of its group.
    let (resource, fields) = match discovery.find(word) {
        Ok(resource) if word.contains('.') => (resource, ""),
        _ => (discovery.find(kind)?, fields),
    };
    let resource = if arguments.api_version.is_empty() {
        resource
    } else {
        discovery
            .resources
            .iter()
            .find(|r| r.plural == resource.plural && r.api_version() == arguments.api_version)
            .ok_or_else(|| Error::message(format!("couldn't find resource for {:?}", arguments.api_version)))?
    };
    let document = super::apply::openapi(session, &resource.group, &resource.version).await?;
    let is = |gvk: &Value| gvk["group"] == resource.group.as_str() && gvk["version"] == resource.version.as_str() && gvk["kind"] == resource.kind.as_str();
    let schemas = document["components"]["schemas"].as_object().into_iter().flatten().map(|(_, schema)| schema);
    let schema = schemas.into_iter().find(|schema| schema["x-kubernetes-group-version-kind"].as_array().is_some_and(|all| all.iter().any(is)));
    let schema = schema.ok_or_else(|| Error::message(format!("GVK {} {} not found in OpenAPI schema", resource.api_version(), resource.kind)))?;
    let mut text = String::new();
    if !resource.group.is_empty() {
        text.push_str(&format!("GROUP:      {}\n", resource.group));
    }
    text.push_str(&format!("KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version));
    let path: Vec<&str> = fields.split('.').filter(|field| !field.is_empty()).collect();
    let explanation = Explanation { document: &document, recursive: arguments.recursive, depth: arguments.max_depth };
    match explanation.page(schema, &path) {
        Some(page) => text.push_str(&page),
        None => {
            out(&text);
            return Err(Error::message(format!("field {:?} does not exist", path.last().copied().unwrap_or_default())));
        }
    }
    text.push('\n');
    out(&text);
    Ok(())
}

struct Explanation<'a> {
    document: &'a Value,
    recursive: bool,
    depth: usize,
}

impl<'a> Explanation<'a> {
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str().and_then(|r| r.strip_prefix("#/components/schemas/")) {
            Some(name) => &self.document["components"]["schemas"][name],
            None => schema,
        }
    }

    /// The page of the field that the path leads to.
    fn page(&self, schema: &'a Value, path: &[&str]) -> Option<String> {
        let resolved = self.resolve(schema);
        let Some((first, rest)) = path.split_first() else {
            let mut text = format!("DESCRIPTION:\n{}\n", indent(&wrap(&or_empty(self.description(resolved)), 76), 4));
            let mut fields = String::new();
            self.fields(resolved, 1, &mut Vec::new(), &mut fields);
            if !fields.is_empty() {
                text.push_str("FIELDS:\n");
                text.push_str(&fields);
            }
            return Some(text);
        };
        if let Some(field) = resolved["properties"].get(first) {
            let mut text = String::new();
            if rest.is_empty() {
                let values: String = field["enum"]
                    .as_array()
                    .map_or_else(String::new, |values| format!("ENUM:{}", values.iter().map(|value| format!("\n    {}", shown(value))).collect::<String>()));
                text = format!("FIELD: {first} <{}>\n{values}\n\n", self.kind(field));
            }
            return self.page(field, rest).map(|page| text + &page);
        }
        for below in ["items", "additionalProperties"] {
            if resolved[below].is_object() {
                return self.page(&resolved[below], path);
            }
        }
        resolved["allOf"].as_array()?.iter().find_map(|below| self.page(below, path))
    }

    fn description(&self, schema: &'a Value) -> String {
        let schema = self.resolve(schema);
        let mut text = String::new();
        if let Some(own) = schema["description"].as_str().filter(|own| !own.is_empty()) {
            text.push_str(own);
            text.push('\n');
        }
        schema["allOf"].as_array().into_iter().flatten().for_each(|below| text.push_str(&self.description(below)));
        for below in ["items", "additionalProperties"] {
            if schema[below].is_object() {
                text.push_str(&self.description(&schema[below]));
            }
        }
        text
    }

    fn fields(&self, schema: &'a Value, level: usize, seen: &mut Vec<&'a str>, text: &mut String) {
        let reference = schema["$ref"].as_str();
        if reference.is_some_and(|r| seen.contains(&r)) {
            return;
        }
        seen.extend(reference);
        let resolved = self.resolve(schema);
        for (name, field) in resolved["properties"].as_object().into_iter().flatten() {
            let pad = level * 2;
            let required = resolved["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
            text.push_str(&format!("{}{name}\t<{}>{}", " ".repeat(pad), self.kind(field), if required { " -required-" } else { "" }));
            if let Some(values) = field["enum"].as_array().filter(|values| !values.is_empty()) {
                let mut some: Vec<String> = values.iter().take(4).map(shown).collect();
                if values.len() > 4 {
                    some.push("....".into());
                }
                text.push_str(&format!("\n{}enum: {}", " ".repeat(pad), some.join(", ")));
            }
            text.push('\n');
            if !self.recursive {
                let own = field["description"].as_str().filter(|d| !d.is_empty()).unwrap_or("<no description>");
                text.push_str(&format!("{}\n\n", indent(&wrap(own, 78 - pad), pad + 2)));
            } else if self.depth == 0 || level < self.depth {
                self.fields(field, level + 1, seen, text);
            }
        }
        resolved["allOf"].as_array().into_iter().flatten().for_each(|below| self.fields(below, level, seen, text));
        for below in ["items", "additionalProperties"] {
            if resolved[below].is_object() {
                self.fields(&resolved[below], level, seen, text);
            }
        }
        if reference.is_some() {
            seen.pop();
        }
    }

    fn kind(&self, schema: &'a Value) -> String {
        if schema["items"].is_object() {
            return format!("[]{}", self.kind(&schema["items"]));
        }
        if schema["additionalProperties"].is_object() {
            return format!("map[string]{}", self.kind(&schema["additionalProperties"]));
        }
        if let (Some([only]), true) = (schema["allOf"].as_array().map(Vec::as_slice), schema["properties"].is_null()) {
            return self.kind(only);
        }
        let named = |kind: &Value| match kind.as_str() {
            None | Some("" | "object") => "Object".to_owned(),
            Some(kind) => kind.to_owned(),
        };
        match schema["$ref"].as_str() {
            Some(reference) => {
                let target = self.resolve(schema);
                if target["type"].is_null() || target["type"] == "object" {
                    reference.rsplit(['/', '.']).next().unwrap_or("Object").to_owned()
                } else {
                    named(&target["type"])
                }
            }
            None => named(&schema["type"]),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "\"\"".into(),
        other => crate::print::go(other),
    }
}

fn or_empty(text: String) -> String {
    if text.is_empty() { "<empty>".into() } else { text }
}

/// Breaks lines at words.
fn wrap(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| {
        let (mut out, mut column) = (String::new(), 0);
        for word in line.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > width {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
        out
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn indent(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.split('\n').map(|line| format!("{pad}{line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_words() {
        assert_eq!(wrap("one two three four\nfive", 9), "one two\nthree\nfour\nfive");
        assert_eq!(indent("a\n\nb", 2), "  a\n  \n  b");
    }
}
