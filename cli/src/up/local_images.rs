//! Components that lie beside the manifests which name them.
//!
//! An image `wharf.local/NAME:TAG` is never pulled: `NAME.wasm` in the folder of the manifest is taken into the
//! node's content store under that name, as if it had been pulled. So an example runs with no registry at all.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The registry host that stands for "beside the manifest".
const HOST: &str = "wharf.local/";

/// (image reference, file) of every local image that the objects name; `manifest` is the file or folder they came from.
pub(crate) fn find(manifest: &Path, objects: &[Value]) -> Vec<(String, PathBuf)> {
    let folder = if manifest.is_dir() { manifest } else { manifest.parent().unwrap_or(Path::new(".")) };
    let mut references = BTreeSet::new();
    objects.iter().for_each(|object| images(object, &mut references));
    references.into_iter().map(|reference| (reference.clone(), folder.join(format!("{}.wasm", name(&reference))))).collect()
}

/// Every `image` of a container, wherever in an object its Pod template is.
fn images(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| images(item, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("image", Value::String(image)) if image.starts_with(HOST) => {
                        found.insert(image.clone());
                    }
                    _ => images(value, found),
                }
            }
        }
        _ => {}
    }
}

/// `wharf.local/team/hello:v1` → `hello`.
fn name(reference: &str) -> &str {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    last.split([':', '@']).next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn local_images_are_found_in_pod_templates() {
        let deployment = json!({"spec": {"template": {"spec": {"initContainers": [{"image": "wharf.local/team/setup"}],
            "containers": [{"image": "wharf.local/hello:v1"}, {"image": "nginx"}, {"image": "wharf.local/hello:v1"}]}}}});
        let found = find(Path::new("dir/manifest.yaml"), &[deployment]);
        assert_eq!(
            found,
            [("wharf.local/hello:v1".to_owned(), PathBuf::from("dir/hello.wasm")), ("wharf.local/team/setup".to_owned(), PathBuf::from("dir/setup.wasm")),]
        );
    }
}
