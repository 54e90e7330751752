//! Paths to fields of a schema: `.spec.size`, `.labels['a.b']`.

use super::structural::values;
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

/// The schema that a path leads to, and the path's parts. Errors are in words.
pub(crate) fn find<'s>(path: &str, schema: &'s JSONSchemaProps, brackets: bool) -> Result<(Vec<String>, &'s JSONSchemaProps), String> {
    let (mut at, mut parts, mut rest) = (schema, Vec::new(), path);
    while let Some(first) = rest.chars().next() {
        let (name, behind) = match first {
            '.' => {
                let body = &rest[1..];
                let end = body.find(['.', '[', ']']).unwrap_or(body.len());
                if body.is_empty() {
                    return Err("unexpected end of JSON path".to_owned());
                }
                // A delimiter alone is taken for a name, and is none.
                let end = end.max(1);
                (body[..end].to_owned(), &body[end..])
            }
            '[' if !brackets => return Err("array notation is not allowed".to_owned()),
            '[' => quoted(&rest[1..])?,
            _ => {
                let end = rest.find(['.', '[', ']']).unwrap_or(rest.len()).max(1);
                return Err(format!("expected [ or . but got: {}", &rest[..end]));
            }
        };
        at = if at.properties.is_some() {
            at.properties.as_ref().and_then(|p| p.get(&name)).ok_or("does not refer to a valid field")?
        } else {
            values(at).ok_or("does not refer to a valid field")?
        };
        parts.push(name);
        rest = behind;
    }
    Ok((parts, at))
}

/// `'name']`, and what is behind it.
fn quoted(rest: &str) -> Result<(String, &str), String> {
    let Some(body) = rest.strip_prefix('\'') else {
        let end = rest.find(['.', '[', ']']).unwrap_or(rest.len());
        return Err(if rest.is_empty() {
            "unexpected end of JSON path".to_owned()
        } else {
            format!("expected single quoted string but got {}", &rest[..end.max(1)])
        });
    };
    let (mut name, mut chars) = (String::new(), body.char_indices());
    while let Some((i, c)) = chars.next() {
        match c {
            '\'' => {
                let behind = &body[i + 1..];
                return match behind.strip_prefix(']') {
                    Some(behind) => Ok((name, behind)),
                    None if behind.is_empty() => Err("unexpected end of JSON path".to_owned()),
                    None => Err(format!("expected ] but got {behind}")),
                };
            }
            '\\' => match chars.next() {
                Some((_, 'n')) => name.push('\n'),
                Some((_, 't')) => name.push('\t'),
                Some((_, c @ ('\'' | '\\'))) => name.push(c),
                other => return Err(format!("invalid string literal: invalid escape char \\{}", other.map(|(_, c)| c).unwrap_or_default())),
            },
            c => name.push(c),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}
