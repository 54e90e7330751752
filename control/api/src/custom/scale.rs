//! Where in an object the parts of its `scale` are.

use serde_json::Value;

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceSubresourceScale;
use crate::kind::Subresource;
use crate::kinds::normal::text;

/// Paths such as `.spec.replicas`.
pub(crate) struct Paths {
    spec: String,
    status: String,
    selector: String,
}

impl Paths {
    pub(crate) fn of(scale: &CustomResourceSubresourceScale) -> Paths {
        Paths { spec: scale.spec_replicas_path.clone(), status: scale.status_replicas_path.clone(), selector: text(&scale.label_selector_path).to_owned() }
    }

    pub(crate) fn subresource(&self) -> Subresource {
        Subresource::Scale { spec_replicas: self.spec.clone().into(), status_replicas: self.status.clone().into(), selector: self.selector.clone().into() }
    }

    /// What stands there must be numbers and text.
    pub(crate) fn check(&self, tree: &Value, status_only: bool) -> Errors {
        let mut errors = Errors::new();
        if !status_only {
            errors.extend(number(tree, &self.spec));
        }
        errors.extend(number(tree, &self.status));
        if let Some(other) = at(tree, &self.selector).filter(|v| !v.is_string()) {
            errors.push(Error::invalid(&Path::new(&self.selector), "", accessor(&self.selector, other, "string")));
        }
        errors
    }
}

fn number(tree: &Value, path: &str) -> Option<Error> {
    let value = at(tree, path)?;
    let at = Path::new(path);
    match value.as_i64() {
        None => Some(Error::invalid(&at, 0_i64, accessor(path, value, "int64"))),
        Some(n) if n < 0 => Some(Error::invalid(&at, n, "should be a non-negative integer")),
        Some(n) if n > i64::from(i32::MAX) => Some(Error::invalid(&at, n, format!("should be less than or equal to {}", i32::MAX))),
        Some(_) => None,
    }
}

fn at<'v>(tree: &'v Value, path: &str) -> Option<&'v Value> {
    if path.is_empty() { None } else { tree.pointer(&path.replace('.', "/")) }
}

fn accessor(path: &str, value: &Value, wanted: &str) -> String {
    let go = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    let printed = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    format!("{path} accessor error: {printed} is of the type {go}, expected {wanted}")
}
