//! Pod templates: when two are the same, and the hash that names a ReplicaSet.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// The label that tells a Deployment's ReplicaSets apart.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// Letters that make no words and are not mistaken for each other.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether two templates are the same, but for the hash label. What is empty is as good as absent.
pub(crate) fn same(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    let (a, b) = (without_hash(a), without_hash(b));
    a == b || canonical(&a) == canonical(&b)
}

fn without_hash(template: &PodTemplateSpec) -> PodTemplateSpec {
    let mut template = template.clone();
    if let Some(labels) = template.metadata.as_mut().and_then(|m| m.labels.as_mut()) {
        labels.remove(HASH_LABEL);
    }
    template
}

/// The hash of a template; another collision count gives another hash.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut fnv: u32 = 0x811c_9dc5;
    let mut eat = |bytes: &[u8]| bytes.iter().for_each(|b| fnv = (fnv ^ u32::from(*b)).wrapping_mul(0x0100_0193));
    eat(canonical(template).as_bytes());
    if let Some(collisions) = collisions {
        eat(&collisions.to_le_bytes());
    }
    fnv.to_string().bytes().map(|digit| ALPHABET[usize::from(digit) % ALPHABET.len()] as char).collect()
}

/// JSON with sorted keys and without what is null or empty, so that a field that a later version adds changes nothing.
fn canonical(template: &PodTemplateSpec) -> String {
    let mut out = String::new();
    write(&serde_json::to_value(template).unwrap_or_default(), &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().filter(|(_, v)| !empty(v)).collect();
            fields.sort_by_key(|(k, _)| *k);
            out.push('{');
            for (key, value) in fields {
                out.push_str(&format!("{key:?}:"));
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// An empty map (`emptyDir: {}`) says something by being there; an empty list or null does not.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(yaml: &str) -> PodTemplateSpec {
        serde_yaml::from_str(yaml).expect("a template")
    }

    #[test]
    fn hashes_are_stable() {
        let t = template("{metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: nginx}]}}");
        expect_test::expect!["7b9844c8fc"].assert_eq(&hash(&t, None));
        assert_ne!(hash(&t, None), hash(&t, Some(1)));
        assert_ne!(hash(&t, Some(1)), hash(&t, Some(2)));
    }

    #[test]
    fn absent_and_empty_are_the_same() {
        let a = template("{metadata: {labels: {app: web}}, spec: {containers: [{name: web, env: []}]}}");
        let b = template("{metadata: {labels: {app: web, pod-template-hash: x}}, spec: {containers: [{name: web}]}}");
        assert!(same(&a, &b));
        let c = template("{metadata: {labels: {app: web}}, spec: {containers: [{name: web, tty: true}]}}");
        assert!(!same(&a, &c));
        let d = template("{spec: {volumes: [{name: v, emptyDir: {}}], containers: []}}");
        let e = template("{spec: {volumes: [{name: v}], containers: []}}");
        assert!(!same(&d, &e));
    }
}
