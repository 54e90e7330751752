//! `-o`: which of the forms an object is printed in.

use serde_json::{Value, json};

use super::columns::CustomColumns;
use super::jsonpath::Template;
use super::{json as go_json, yaml};
use crate::discovery::with_group;
use crate::error::{Error, Result};

/// The flags of verbs that print objects.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct OutputFlags {
    /// Output format: json|yaml|name|jsonpath=…|jsonpath-file=…|jsonpath-as-json=…|go-template=…
    #[arg(long, short = 'o', global = true, default_value = "", hide_default_value = true, value_name = "FORMAT")]
    pub output: String,
    /// Template string to use when -o=jsonpath or -o=go-template.
    #[arg(long, global = true, default_value = "", hide_default_value = true)]
    pub template: String,
    /// If true, ignore errors in templates when a field is missing.
    #[arg(long, global = true, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true)]
    pub allow_missing_template_keys: bool,
    /// If true, keep the managedFields when printing objects in JSON or YAML format.
    #[arg(long, global = true)]
    pub show_managed_fields: bool,
}

/// A form.
#[derive(Debug, Clone)]
pub enum Format {
    /// For people: a table, or a line on what was done.
    Human,
    /// A table with all its columns.
    Wide,
    /// `pod/a`
    Name,
    /// Indented by four.
    Json,
    /// One document for each object.
    Yaml,
    /// A template; its text, whether the results are JSON.
    JsonPath {
        /// As it was given.
        text: String,
        /// As it was parsed.
        template: Template,
        /// `jsonpath-as-json`
        as_json: bool,
    },
    /// The user's columns.
    Columns(Box<CustomColumns>),
}

/// Prints objects in one form.
#[derive(Debug, Clone)]
pub struct Printer {
    /// The form.
    pub format: Format,
    missing_allowed: bool,
    managed_fields: bool,
    printed: usize,
}

impl OutputFlags {
    /// The printer that was asked for. `wide` and custom columns are forms only of `get`.
    pub fn printer(&self, allowed: &str) -> Result<Printer> {
        self.printer_with(allowed, false)
    }

    /// The same, without the header of custom columns.
    pub fn printer_with(&self, allowed: &str, no_headers: bool) -> Result<Printer> {
        let (name, mut argument) = self.output.split_once('=').map_or((self.output.as_str(), String::new()), |(name, argument)| (name, argument.to_owned()));
        if argument.is_empty() {
            argument.clone_from(&self.template);
        }
        let needed = |what: &str| if argument.is_empty() { Err(Error::message(what.to_owned())) } else { Ok(()) };
        let read =
            |path: &str| std::fs::read_to_string(path).map_err(|error| Error::message(format!("error reading --template {path}, {}", said(path, &error))));
        let format = match name {
            "" => Format::Human,
            "json" => Format::Json,
            "yaml" => Format::Yaml,
            "name" => Format::Name,
            "wide" if allowed.contains("wide") => Format::Wide,
            "jsonpath" | "jsonpath-as-json" | "jsonpath-file" => {
                needed("template format specified but no template given")?;
                let text = if name == "jsonpath-file" { read(&argument)? } else { argument };
                let template = Template::parse(&text).map_err(|error| Error::message(format!("error parsing jsonpath {text}, {error}")))?;
                Format::JsonPath { text, template, as_json: name == "jsonpath-as-json" }
            }
            "custom-columns" if allowed.contains("custom-columns") => {
                Format::Columns(Box::new(CustomColumns::from_spec(&argument, no_headers).map_err(Error::message)?))
            }
            "custom-columns-file" if allowed.contains("custom-columns") => {
                needed("custom-columns format specified but no custom columns given")?;
                let text = std::fs::read_to_string(&argument)
                    .map_err(|error| Error::message(format!("error reading template {argument}, {}\n", said(&argument, &error))))?;
                Format::Columns(Box::new(CustomColumns::from_template(&text).map_err(Error::message)?))
            }
            _ => {
                return Err(Error::message(format!(
                    "unable to match a printer suitable for the output format {:?}, allowed formats are: {allowed}",
                    self.output
                )));
            }
        };
        Ok(Printer { format, missing_allowed: self.allow_missing_template_keys, managed_fields: self.show_managed_fields, printed: 0 })
    }
}

fn said(path: &str, error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        _ => format!("open {path}: {error}"),
    }
}

/// The forms of a verb that changes something.
pub const FORMS: &str = "go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,yaml";
/// The forms of `get`.
pub const GET_FORMS: &str =
    "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,name,template,templatefile,wide,yaml";

impl Printer {
    /// Whether it prints for people.
    pub fn is_human(&self) -> bool {
        matches!(self.format, Format::Human | Format::Wide)
    }

    /// Whether objects are printed with who manages which field.
    pub fn shows_managed_fields(&self) -> bool {
        self.managed_fields
    }

    /// An object with what was done to it: `pod/a created`.
    pub fn done(&mut self, object: &Value, operation: &str) -> Result<String> {
        match self.format {
            Format::Human | Format::Wide => Ok(format!("{} {operation}\n", name(object))),
            _ => self.print(object),
        }
    }

    /// An object, or a List of them.
    pub fn print(&mut self, object: &Value) -> Result<String> {
        let mut object = std::borrow::Cow::Borrowed(object);
        if !self.managed_fields && matches!(self.format, Format::Json | Format::Yaml) {
            without_managed_fields(object.to_mut());
        }
        self.printed += 1;
        match &mut self.format {
            Format::Human | Format::Wide => Ok(format!("{}\n", name(&object))),
            Format::Name => Ok(items(&object).iter().map(|item| format!("{}\n", name(item))).collect()),
            Format::Json => Ok(go_json::pretty(&object)),
            Format::Yaml => Ok(format!("{}{}", if self.printed > 1 { "---\n" } else { "" }, yaml::to_string(&object))),
            Format::JsonPath { text, template, as_json } => template.render(&object, self.missing_allowed, *as_json).map_err(|error| {
                Error::message(format!(
                    "error executing jsonpath {text:?}: Error executing template: {error}. Printing more information for debugging the template:\n\ttemplate was:\n\t\t{text}\n\tobject given to jsonpath engine was:\n\t\t{}\n\n\n",
                    go_syntax(&object)
                ))
            }),
            Format::Columns(columns) => {
                let items = items(&object);
                columns.print(&items).map_err(Error::message)
            }
        }
    }
}

/// A value as Go's `%#v` prints it.
fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::Array(items) => format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            format!("map[string]interface {{}}{{{}}}", map.iter().map(|(key, value)| format!("{key:?}:{}", go_syntax(value))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The items of a List, or the object itself.
pub fn items(object: &Value) -> Vec<&Value> {
    match object["items"].as_array() {
        Some(items) if object["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.iter().collect(),
        _ => vec![object],
    }
}

/// `deployment.apps/web`
pub fn name(object: &Value) -> String {
    let group = object["apiVersion"].as_str().and_then(|version| version.split_once('/')).map_or("", |(group, _)| group);
    let kind = object["kind"].as_str().unwrap_or("<unknown>").to_lowercase();
    format!("{}/{}", with_group(&kind, group), object["metadata"]["name"].as_str().filter(|n| !n.is_empty()).unwrap_or("<unknown>"))
}

/// Leaves out who manages which field, of an object or of a List's.
pub fn without_managed_fields(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(without_managed_fields);
    }
}

/// Several objects as one.
pub fn list(items: Vec<Value>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_chosen_by_name() {
        let pod = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "managedFields": []}});
        let print = |output: &str, allowed: &str| {
            let flags = OutputFlags { output: output.into(), allow_missing_template_keys: true, ..OutputFlags::default() };
            flags.printer(allowed).and_then(|mut printer| printer.done(&pod, "created")).unwrap_or_else(|error| error.text())
        };
        assert_eq!(print("", FORMS), "deployment.apps/a created\n");
        assert_eq!(print("name", FORMS), "deployment.apps/a\n");
        assert_eq!(print("yaml", FORMS), "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: a\n");
        assert_eq!(print("jsonpath={.metadata.name}", FORMS), "a");
        assert_eq!(print("jsonpath", FORMS), "template format specified but no template given");
        assert_eq!(print("custom-columns=A:.kind", GET_FORMS), "A\nDeployment\n");
        assert!(
            print("nonsense", FORMS).starts_with("unable to match a printer suitable for the output format \"nonsense\", allowed formats are: go-template,")
        );
    }
}
