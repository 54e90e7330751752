//! Kinds that nobody describes in particular: every field, under a readable title.

use serde_json::{Map, Value};

use super::Page;
use crate::print::go;

const SKIPPED: &[&str] = &[".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];

impl Page {
    pub(super) fn generic(&mut self, object: &Value) -> bool {
        self.names(object);
        self.metadata(object);
        if let Some(map) = object.as_object() {
            self.fields(map, 0, "");
        }
        true
    }

    fn fields(&mut self, map: &Map<String, Value>, level: usize, path: &str) {
        for (name, value) in map {
            let path = format!("{path}.{name}");
            if SKIPPED.contains(&path.as_str()) {
                continue;
            }
            match value {
                Value::Object(inner) => {
                    self.line(level, &format!("{}:", title(name)));
                    self.fields(inner, level + 1, &path);
                }
                Value::Array(items) => {
                    self.line(level, &format!("{}:", title(name)));
                    for item in items {
                        match item {
                            Value::Object(inner) => self.fields(inner, level + 1, &path),
                            other => self.line(level + 1, &go(other)),
                        }
                    }
                }
                other => self.field(level, &title(name), go(other)),
            }
        }
    }
}

/// `apiVersion` → `API Version`
fn title(name: &str) -> String {
    if !name.chars().all(|c| c.is_alphabetic() || c == '-') {
        return name.to_owned();
    }
    let words = split(name);
    let mut merged: Vec<String> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let word = &words[at];
        let upper = word.chars().filter(|c| c.is_alphabetic()).all(char::is_uppercase);
        if at + 1 < words.len() && word.chars().count() >= 2 && upper && words[at + 1].chars().next().is_some_and(char::is_uppercase) {
            merged.push(format!("{word}{}", words[at + 1]));
            at += 2;
        } else {
            merged.push(word.clone());
            at += 1;
        }
    }
    let shown = merged.into_iter().map(|word| {
        if ["API", "URL", "UID", "GUID"].contains(&word.to_uppercase().as_str()) {
            word.to_uppercase()
        } else if word.to_lowercase() == word {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
        } else {
            word
        }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// The words of a camel-case name; of capitals in a row the last one begins the next word.
fn split(name: &str) -> Vec<String> {
    let chars: Vec<char> = name.chars().collect();
    let class = |c: char| {
        if c.is_lowercase() {
            1
        } else if c.is_uppercase() {
            2
        } else {
            3
        }
    };
    let mut runs: Vec<String> = Vec::new();
    for (at, c) in chars.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if class(*c) == class(chars[at - 1]) => run.push(*c),
            _ => runs.push(c.to_string()),
        }
    }
    for at in 0..runs.len().saturating_sub(1) {
        let upper = runs[at].chars().all(char::is_uppercase);
        if upper
            && runs[at + 1].chars().next().is_some_and(char::is_lowercase)
            && let Some(last) = runs[at].pop()
        {
            runs[at + 1].insert(0, last);
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_titles() {
        for (name, shown) in [
            ("apiVersion", "API Version"),
            ("kind", "Kind"),
            ("creationTimestamp", "Creation Timestamp"),
            ("uid", "UID"),
            ("podCIDR", "Pod CIDR"),
            ("a.b", "a.b"),
            ("holderIdentity", "Holder Identity"),
            ("clusterIPs", "Cluster I Ps"),
        ] {
            assert_eq!(title(name), shown);
        }
    }
}
