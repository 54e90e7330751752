//! Roles and bindings.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Page, list_of, text};

impl Page {
    pub(super) fn role(&mut self, object: &Value) -> bool {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.metadata(object);
        self.line(0, "PolicyRule:");
        self.line(1, "Resources\tNon-Resource URLs\tResource Names\tVerbs");
        self.line(1, "---------\t-----------------\t--------------\t-----");
        for ((resource, url, name), verbs) in rules(object) {
            let shown = |text: &str| if text.is_empty() { "[]".to_owned() } else { format!("[{text}]") };
            self.line(1, &format!("{resource}\t{}\t{}\t[{}]", shown(&url), shown(&name), verbs.join(" ")));
        }
        false
    }

    pub(super) fn binding(&mut self, object: &Value) -> bool {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.metadata(object);
        self.line(0, "Role:");
        self.field(1, "Kind", text(&object["roleRef"]["kind"]));
        self.field(1, "Name", text(&object["roleRef"]["name"]));
        self.line(0, "Subjects:");
        self.line(1, "Kind\tName\tNamespace");
        self.line(1, "----\t----\t---------");
        for subject in list_of(&object["subjects"]) {
            self.line(1, &format!("{}\t{}\t{}", text(&subject["kind"]), text(&subject["name"]), text(&subject["namespace"])));
        }
        false
    }
}

/// A resource with its group, or a URL, and an object's name.
type Subject = (String, String, String, String);

/// Rules taken apart: for each subject the verbs; in the order in which the rules would be written.
fn rules(role: &Value) -> Vec<((String, String, String), Vec<String>)> {
    let mut all: Vec<(Subject, Vec<String>)> = Vec::new();
    let mut order: BTreeMap<Subject, usize> = BTreeMap::new();
    let mut add = |key: Subject, verb: String| {
        let at = *order.entry(key.clone()).or_insert_with(|| {
            all.push((key, Vec::new()));
            all.len() - 1
        });
        if !all[at].1.contains(&verb) {
            all[at].1.push(verb);
        }
    };
    for rule in list_of(&role["rules"]) {
        let words = |field: &str| list_of(&rule[field]).iter().map(text).collect::<Vec<_>>();
        let names = Some(words("resourceNames")).filter(|names| !names.is_empty()).unwrap_or_else(|| vec![String::new()]);
        for verb in words("verbs") {
            for group in words("apiGroups") {
                for resource in words("resources") {
                    for name in &names {
                        add((group.clone(), resource.clone(), String::new(), name.clone()), verb.clone());
                    }
                }
            }
            for url in words("nonResourceURLs") {
                add((String::new(), String::new(), url, String::new()), verb.clone());
            }
        }
    }
    all.sort_by_key(|((group, resource, url, name), verbs)| format!("[{}],[{group}],[{resource}],[{name}],[{url}]", verbs.join(" ")));
    all.into_iter().map(|((group, resource, url, name), verbs)| ((with_group(&resource, &group), url, name), verbs)).collect()
}

fn with_group(resource: &str, group: &str) -> String {
    match resource.split_once('/') {
        _ if group.is_empty() => resource.to_owned(),
        Some((parent, sub)) => format!("{parent}.{group}/{sub}"),
        None => format!("{resource}.{group}"),
    }
}
