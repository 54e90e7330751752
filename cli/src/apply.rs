//! Applying manifests at start: files and folders of YAML or JSON, as `kubectl apply -f` reads them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind};
use serde::Deserialize;
use serde_json::Value;

/// How long a kind may take to appear: a definition applied a moment ago is not served at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was done with an object: its kind and name, and whether it is new.
pub(crate) struct Applied {
    /// `deployment/hello`
    pub(crate) what: String,
    /// Created, or there already and brought up to date.
    pub(crate) created: bool,
    /// The object as the server answered.
    pub(crate) object: DynamicObject,
}

/// Every manifest of a file, or of a folder's files in the order of their names.
pub(crate) fn read(path: &Path) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for file in files(path)? {
        let text = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        for document in serde_yaml::Deserializer::from_str(&text) {
            let value = Value::deserialize(document).with_context(|| format!("{} is not valid YAML", file.display()))?;
            collect(value, &mut objects).with_context(|| file.display().to_string())?;
        }
    }
    if objects.is_empty() {
        bail!("no manifests in {}: expected a .yaml, .yml or .json file, or a folder of them", path.display());
    }
    Ok(objects)
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("read {}", path.display()))? {
        let file = entry?.path();
        if file.is_file() && file.extension().and_then(|e| e.to_str()).is_some_and(|e| matches!(e, "yaml" | "yml" | "json")) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// A document, or the items of a List.
fn collect(value: Value, into: &mut Vec<Value>) -> Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Object(mut object) => {
            let list = object.get("kind").and_then(Value::as_str) == Some("List");
            match object.get_mut("items") {
                Some(Value::Array(items)) if list => items.drain(..).try_for_each(|item| collect(item, into)),
                _ => {
                    into.push(Value::Object(object));
                    Ok(())
                }
            }
        }
        other => bail!("a manifest is an object, this is {other}"),
    }
}

/// Creates an object, or brings the one of that name up to date.
pub(crate) async fn apply(client: &Client, manifest: Value) -> Result<Applied> {
    let object: DynamicObject = serde_json::from_value(manifest).context("a manifest needs apiVersion, kind and metadata")?;
    let types = object.types.clone().context("a manifest needs apiVersion and kind")?;
    let name = object.metadata.name.clone().context("a manifest needs metadata.name")?;
    let gvk = GroupVersionKind::try_from(&types).with_context(|| format!("apiVersion {:?}", types.api_version))?;
    let what = format!("{}/{name}", types.kind.to_lowercase());
    let (resource, capabilities) =
        discover(client, &gvk).await.with_context(|| format!("{what}: the server does not know {} {}", types.api_version, types.kind))?;
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(client.clone(), object.metadata.namespace.as_deref().unwrap_or("default"), &resource),
    };
    match api.create(&PostParams { field_manager: Some("wharf".into()), ..PostParams::default() }, &object).await {
        Ok(object) => Ok(Applied { what, created: true, object }),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let params = PatchParams { field_manager: Some("wharf".into()), ..PatchParams::default() };
            let object = api.patch(&name, &params, &Patch::Merge(&object)).await.with_context(|| what.clone())?;
            Ok(Applied { what, created: false, object })
        }
        Err(error) => Err(error).with_context(|| what.clone()),
    }
}

async fn discover(client: &Client, gvk: &GroupVersionKind) -> Result<(ApiResource, ApiCapabilities)> {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match pinned_kind(client, gvk).await {
            Ok(found) => return Ok(found),
            Err(error) if tokio::time::Instant::now() > end => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_lists_and_several_documents_are_read_in_order() {
        let place = tempfile::TempDir::new().unwrap();
        std::fs::write(place.path().join("b.yaml"), "kind: B\n---\n---\nkind: List\nitems: [{kind: C}, {kind: D}]\n").unwrap();
        std::fs::write(place.path().join("a.json"), r#"{"kind":"A"}"#).unwrap();
        std::fs::write(place.path().join("notes.txt"), "kind: X").unwrap();
        let kinds: Vec<String> = read(place.path()).unwrap().iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect();
        assert_eq!(kinds, ["A", "B", "C", "D"]);
    }

    #[test]
    fn what_cannot_be_applied_is_said() {
        let place = tempfile::TempDir::new().unwrap();
        assert!(read(place.path()).unwrap_err().to_string().starts_with("no manifests in"));
        assert!(format!("{:#}", read(&place.path().join("none.yaml")).unwrap_err()).contains("none.yaml: No such file"));
        let bad = place.path().join("bad.yaml");
        std::fs::write(&bad, "- 1\n").unwrap();
        assert!(format!("{:#}", read(&bad).unwrap_err()).contains("a manifest is an object"));
    }
}
