//! `config set` and `unset`: one property by its path, whose fields are those of kubeconfig files.

use base64::Engine;
use serde_json::{Value, json};

use super::{change_entry, unexpected};
use crate::error::{Error, Result};
use crate::kubeconfig::{CLUSTERS, CONTEXTS, Files, SECTIONS, Section, change, find, remove};
use crate::out;

/// What `config set` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// The property, and its value
    words: Vec<String>,
    /// The value of a certificate or key is itself, not its base64.
    #[arg(long)]
    set_raw_bytes: bool,
}

/// What a property's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Bool,
    Bytes,
}

/// A property.
#[derive(Debug, PartialEq)]
enum Property {
    CurrentContext,
    Preference(String),
    Section(Section),
    Entry(Section, String),
    Field(Section, String, &'static str, Type),
}

/// The fields of entries.
fn fields(section: Section) -> &'static [(&'static str, Type)] {
    if section == CLUSTERS {
        &[
            ("server", Type::Text),
            ("tls-server-name", Type::Text),
            ("insecure-skip-tls-verify", Type::Bool),
            ("certificate-authority", Type::Text),
            ("certificate-authority-data", Type::Bytes),
            ("proxy-url", Type::Text),
            ("disable-compression", Type::Bool),
        ]
    } else if section == CONTEXTS {
        &[("cluster", Type::Text), ("user", Type::Text), ("namespace", Type::Text)]
    } else {
        &[
            ("client-certificate", Type::Text),
            ("client-certificate-data", Type::Bytes),
            ("client-key", Type::Text),
            ("client-key-data", Type::Bytes),
            ("token", Type::Text),
            ("tokenFile", Type::Text),
            ("as", Type::Text),
            ("as-uid", Type::Text),
            ("username", Type::Text),
            ("password", Type::Text),
        ]
    }
}

/// Reads a path. Names may have dots: a field is what stands at the end and is known.
fn parse(path: &str) -> Result<Property> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let deeper = || Error::message(format!("unable to parse one or more field values of {path}"));
    match first {
        "current-context" if rest.is_empty() => return Ok(Property::CurrentContext),
        "preferences" if rest == "colors" => return Ok(Property::Preference(rest.into())),
        "current-context" | "preferences" => return Err(deeper()),
        _ => {}
    }
    let Some(section) = SECTIONS.into_iter().find(|section| section.list == first) else {
        return Err(Error::message(format!("unable to parse {path} after [] at api.Config")));
    };
    if rest.is_empty() {
        return Ok(Property::Section(section));
    }
    if [".exec.", ".auth-provider."].iter().any(|structure| rest.contains(structure)) {
        return Err(deeper());
    }
    let field = rest.rsplit_once('.').and_then(|(entry, field)| Some((entry, fields(section).iter().find(|(name, _)| *name == field)?)));
    Ok(match field {
        Some((entry, (field, kind))) => Property::Field(section, entry.to_owned(), field, *kind),
        None => Property::Entry(section, rest.to_owned()),
    })
}

/// A value of a type.
fn value(text: &str, kind: Type, raw: bool) -> Result<Value> {
    let engine = base64::engine::general_purpose::STANDARD;
    match kind {
        Type::Text => Ok(text.into()),
        Type::Bool => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
            _ => Err(Error::message(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))),
        },
        Type::Bytes if raw => Ok(engine.encode(text).into()),
        Type::Bytes => match engine.decode(text) {
            Ok(_) => Ok(text.into()),
            Err(error) => {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                    _ => text.len(),
                };
                Err(Error::message(format!("error decoding input value: illegal base64 data at input byte {at}")))
            }
        },
    }
}

/// `config set PROPERTY VALUE`
pub(super) fn set(files: &Files, arguments: &Set) -> Result<()> {
    let [path, text] = arguments.words.as_slice() else { return Err(unexpected(&arguments.words)) };
    if path.is_empty() {
        return Err(Error::message("you must specify a property"));
    }
    match parse(path)? {
        Property::CurrentContext => super::set_current(files, text)?,
        Property::Preference(name) => {
            let value = value(text, Type::Bool, false)?;
            change(files.first()?, |document| {
                if !document["preferences"].is_object() {
                    document["preferences"] = json!({});
                }
                document["preferences"][name] = value;
            })?;
        }
        Property::Section(section) | Property::Entry(section, _) => {
            return Err(Error::message(format!("can't set a map to a value: {} is made of fields", section.list)));
        }
        Property::Field(section, entry, field, kind) => {
            let value = value(text, kind, arguments.set_raw_bytes)?;
            change_entry(files, section, &entry, &files.place(section, &entry)?, |entry| entry[field] = value)?;
        }
    }
    out(&format!("Property {path:?} set.\n"));
    Ok(())
}

/// `config unset PROPERTY`
pub(super) fn unset(files: &Files, words: &[String]) -> Result<()> {
    let [path] = words else { return Err(unexpected(words)) };
    match parse(path)? {
        Property::CurrentContext => {
            if let Some(says) = files.says_current() {
                change(says, |document| document["current-context"] = "".into())?;
            }
        }
        Property::Preference(name) => change(files.first()?, |document| {
            if let Some(preferences) = document["preferences"].as_object_mut() {
                preferences.remove(&name);
            }
        })?,
        Property::Section(section) => {
            // An entry stands in one of several files.
            let merged = files.merged();
            for entry in crate::kubeconfig::items(&merged, section).map(crate::kubeconfig::name) {
                change(&files.place(section, &entry)?, |document| remove(document, section, &entry))?;
            }
        }
        Property::Entry(section, entry) => {
            if let Some(origin) = files.origin(section, &entry) {
                change(origin, |document| remove(document, section, &entry))?;
            }
        }
        Property::Field(section, entry, field, _) => {
            let Some(origin) = files.origin(section, &entry) else {
                return Err(Error::message(format!("current map key `{entry}` is invalid")));
            };
            let had = find(&files.merged(), section, &entry).is_some_and(|value| value.get(field).is_some());
            if had {
                change_entry(files, section, &entry, origin, |value| {
                    if let Some(value) = value.as_object_mut() {
                        value.remove(field);
                    }
                })?;
            }
        }
    }
    out(&format!("Property {path:?} unset.\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubeconfig::USERS;

    #[test]
    fn paths_name_properties() {
        for (path, property) in [
            ("current-context", Property::CurrentContext),
            ("clusters", Property::Section(CLUSTERS)),
            ("clusters.b", Property::Entry(CLUSTERS, "b".into())),
            ("clusters.my.dotted.server", Property::Field(CLUSTERS, "my.dotted".into(), "server", Type::Text)),
            ("users.u.client-key-data", Property::Field(USERS, "u".into(), "client-key-data", Type::Bytes)),
            ("contexts.one.nope", Property::Entry(CONTEXTS, "one.nope".into())),
        ] {
            assert_eq!(parse(path).unwrap(), property, "{path}");
        }
        for (path, said) in [
            ("nope.x", "unable to parse nope.x after [] at api.Config"),
            ("current-context.a", "unable to parse one or more field values of current-context.a"),
            ("users.u.exec.command", "unable to parse one or more field values of users.u.exec.command"),
        ] {
            assert_eq!(parse(path).unwrap_err().text(), said);
        }
    }

    #[test]
    fn values_have_types() {
        assert_eq!(value("YmFy", Type::Bytes, true).unwrap(), "WW1GeQ==");
        assert_eq!(value("!", Type::Bytes, false).unwrap_err().text(), "error decoding input value: illegal base64 data at input byte 0");
        assert_eq!(value("maybe", Type::Bool, false).unwrap_err().text(), "strconv.ParseBool: parsing \"maybe\": invalid syntax");
    }
}
