//! Kubeconfig files: the cluster's own, and merging its context into another.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_yaml::{Mapping, Value};

use crate::data::write_private;

/// The name of context, cluster and user.
pub(crate) const NAME: &str = "wharf";

/// Merges the context `wharf` of `ours` into the kubeconfig `path`, which need not exist. Everything
/// else in it stays; it becomes the current context.
pub(crate) fn merge_into(path: &Path, ours: &str) -> Result<()> {
    let existing = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let merged = merge(&existing, ours).with_context(|| format!("merge the context {NAME} into {}", path.display()))?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    }
    write_private(&follow(path), merged.as_bytes())
}

/// A symbolic link stays one: what it points to is replaced.
fn follow(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn merge(existing: &str, ours: &str) -> Result<String> {
    let mut target: Mapping = if existing.trim().is_empty() { Mapping::new() } else { serde_yaml::from_str(existing).context("it is not a kubeconfig")? };
    let ours: Mapping = serde_yaml::from_str(ours).context("our own kubeconfig")?;
    if let Some(kind) = target.get("kind").and_then(Value::as_str)
        && kind != "Config"
    {
        bail!("it is a {kind}, not a kubeconfig");
    }
    for list in ["clusters", "contexts", "users"] {
        let new = ours.get(list).and_then(Value::as_sequence).cloned().unwrap_or_default();
        let mut all = match target.get(list) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Sequence(entries)) => entries.clone(),
            Some(_) => bail!("its {list} are not a list"),
        };
        all.retain(|entry| !new.iter().any(|n| n.get("name") == entry.get("name")));
        all.extend(new);
        target.insert(list.into(), Value::Sequence(all));
    }
    for field in ["apiVersion", "kind", "current-context"] {
        if let Some(value) = ours.get(field) {
            target.insert(field.into(), value.clone());
        }
    }
    Ok(serde_yaml::to_string(&target)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const OURS: &str = "apiVersion: v1\nkind: Config\ncurrent-context: wharf\nclusters: [{name: wharf, cluster: {server: new}}]\ncontexts: [{name: wharf, context: {cluster: wharf, user: wharf}}]\nusers: [{name: wharf, user: {}}]\n";

    #[test]
    fn others_stay_and_ours_is_replaced() {
        let theirs = "apiVersion: v1\nkind: Config\npreferences: {colors: true}\ncurrent-context: prod\nclusters:\n- name: prod\n  cluster: {server: a}\n- name: wharf\n  cluster: {server: old}\ncontexts: []\nusers: null\n";
        expect![[r#"
            apiVersion: v1
            kind: Config
            preferences:
              colors: true
            current-context: wharf
            clusters:
            - name: prod
              cluster:
                server: a
            - name: wharf
              cluster:
                server: new
            contexts:
            - name: wharf
              context:
                cluster: wharf
                user: wharf
            users:
            - name: wharf
              user: {}
        "#]]
        .assert_eq(&merge(theirs, OURS).unwrap());
    }

    #[test]
    fn what_is_no_kubeconfig_is_left_alone() {
        assert!(merge("kind: Pod\n", OURS).unwrap_err().to_string().contains("it is a Pod"));
        assert!(merge("- a\n- b\n", OURS).is_err());
        let place = tempfile::TempDir::new().unwrap();
        let path = place.path().join("config");
        std::fs::write(&path, "not: [yaml").unwrap();
        assert!(merge_into(&path, OURS).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "not: [yaml");
    }
}
