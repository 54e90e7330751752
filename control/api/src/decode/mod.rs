//! Bodies of requests to objects: JSON or YAML, checked against the kind's type, quantities in canonical form.
//!
//! The bytes are walked once (see [`walk`]) and parsed once, straight to the typed object.

mod walk;
pub mod yaml;

use std::borrow::Cow;

use serde_json::Value;

use crate::json::SyntaxError;
use crate::kind::DynObject;
use crate::registry::Resource;
use crate::status::ApiError;

/// What becomes of unknown and duplicate fields: the query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Dropped with a warning; what a request without the parameter gets.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

impl FieldValidation {
    /// The value of the query parameter; empty means [`FieldValidation::Warn`].
    pub fn parse(text: &str) -> Option<FieldValidation> {
        match text {
            "" | "Warn" => Some(FieldValidation::Warn),
            "Ignore" => Some(FieldValidation::Ignore),
            "Strict" => Some(FieldValidation::Strict),
            _ => None,
        }
    }
}

/// An object and what to warn of (`Warning: 299 - "…"`).
#[derive(Debug)]
pub struct Decoded {
    /// Of the kind's own type.
    pub object: Box<dyn DynObject>,
    /// Such as `unknown field "spec.foo"`.
    pub warnings: Vec<String>,
}

/// Media types of bodies.
pub const ACCEPTED: &[&str] = &["application/json", "application/yaml"];

/// Reads a body. `content_type` may have parameters; empty means JSON. Whether `apiVersion` and `kind` are the resource's is the caller's to check.
pub fn decode(resource: &Resource, body: &[u8], content_type: &str, validation: FieldValidation) -> Result<Decoded, ApiError> {
    let (json, duplicates) = to_json(body, content_type, &resource.info().kind)?;
    decode_json(resource, &json, validation, duplicates)
}

/// The same for an object that is a tree already, as patches make it.
pub fn decode_value(resource: &Resource, value: &Value, validation: FieldValidation) -> Result<Decoded, ApiError> {
    let json = serde_json::to_vec(value).map_err(|e| ApiError::internal(format!("encoding the patched object: {e}")))?;
    decode_json(resource, &json, validation, Vec::new())
}

/// The body as JSON bytes (borrowed when it is JSON), and the duplicate keys that only the YAML knew of.
/// `kind` is named in errors: the kind that is expected.
pub fn to_json<'a>(body: &'a [u8], content_type: &str, kind: &str) -> Result<(Cow<'a, [u8]>, Vec<String>), ApiError> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match media_type {
        "" | "application/json" | "application/merge-patch+json" | "application/strategic-merge-patch+json" | "application/json-patch+json" => {
            Ok((Cow::Borrowed(body), Vec::new()))
        }
        "application/yaml" | "application/apply-patch+yaml" | "application/x-yaml" | "text/yaml" => {
            if body.trim_ascii_start().first() == Some(&b'{') {
                return Ok((Cow::Borrowed(body), Vec::new()));
            }
            let text = std::str::from_utf8(body).map_err(|e| ApiError::bad_request(format!("error converting YAML to JSON: {e}")))?;
            let parsed = yaml::parse(text).map_err(|e| unrecognized(kind, &format!("error converting YAML to JSON: {e}"), body))?;
            let json = serde_json::to_vec(&parsed.value).map_err(|e| ApiError::internal(format!("converting YAML to JSON: {e}")))?;
            Ok((Cow::Owned(json), parsed.duplicates))
        }
        _ => Err(ApiError::unsupported_media_type(ACCEPTED)),
    }
}

fn decode_json(resource: &Resource, json: &[u8], validation: FieldValidation, mut problems: Vec<String>) -> Result<Decoded, ApiError> {
    let info = resource.info();
    let walked = walk::walk(&resource.types, &resource.read, json, validation != FieldValidation::Ignore).map_err(|e| syntax_error(&info.kind, &e, json))?;
    let cannot = |why: &str| ApiError::bad_request(format!("{} in version {:?} cannot be handled as a {}: {why}", info.kind, info.version, info.kind));
    if let Some(error) = walked.type_error {
        return Err(cannot(&error));
    }
    problems.extend(walked.problems);
    let strict = |problems: &[String]| match validation {
        FieldValidation::Strict if !problems.is_empty() => Err(cannot(&format!("strict decoding error: {}", problems.join(", ")))),
        _ => Ok(()),
    };
    if !info.custom {
        strict(&problems)?;
    }
    let json: Cow<[u8]> = if walked.edits.is_empty() { Cow::Borrowed(json) } else { Cow::Owned(walk::edited(json, &walked.edits)) };
    let mut object = resource.kind.decode(&json).map_err(|e| cannot(&format!("json: {e}")))?;
    if info.custom {
        let unknown = resource.kind.prune(&mut *object);
        if validation != FieldValidation::Ignore {
            problems.extend(unknown.iter().map(|path| format!("unknown field {}", crate::field::quoted(path))));
        }
        strict(&problems)?;
    }
    Ok(Decoded { object, warnings: problems })
}

fn syntax_error(kind: &str, error: &SyntaxError, body: &[u8]) -> ApiError {
    unrecognized(kind, &format!("couldn't get version/kind; json parse error: {error}"), body)
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> ApiError {
    ApiError::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({})", summary(body)))
}

/// The beginning of a body, for an error: text of what looks like JSON, hexadecimal of the rest.
fn summary(body: &[u8]) -> String {
    const MOST: usize = 30;
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    let head = &body[..body.len().min(MOST)];
    let text = if body[0] == b'{' { String::from_utf8_lossy(head).into_owned() } else { head.iter().map(|b| format!("{b:02x}")).collect() };
    if body.len() > MOST { format!("{text} ...") } else { text }
}

#[cfg(test)]
mod tests;
