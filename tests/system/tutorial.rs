//! `docs/tutorial.md` and its manifests.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{Cluster, Shared, collection, repository};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![Trial::test("tutorial::names_its_manifests", names_its_manifests), shared.test("tutorial::manifests_are_accepted", manifests_are_accepted)]
}

fn manifests() -> Result<Vec<(String, String)>, Failed> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(repository("examples/tutorial"))? {
        let entry = entry?;
        found.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read_to_string(entry.path())?));
    }
    found.sort();
    Ok(found)
}

/// None is left over, and none is missing.
fn names_its_manifests() -> Result<(), Failed> {
    let text = std::fs::read_to_string(repository("docs/tutorial.md"))?;
    let mut named: Vec<&str> = text.split("examples/tutorial/").skip(1).filter_map(|rest| rest.split(|c: char| c.is_whitespace() || c == '`').next()).collect();
    named.sort_unstable();
    named.dedup();
    let found = manifests()?;
    let found: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    if named == found { Ok(()) } else { Err(format!("it names {named:?}, there are {found:?}").into()) }
}

fn manifests_are_accepted(cluster: &Cluster) -> Result<(), Failed> {
    for (file, text) in manifests()? {
        for document in serde_yaml::Deserializer::from_str(&text) {
            let object = Value::deserialize(document)?;
            let path = format!("{}?dryRun=All&fieldValidation=Strict", collection(&object, "default")?);
            cluster.api.create(&path, &object).map_err(|error| format!("{file}: {}", error.message().unwrap_or_default()))?;
        }
    }
    Ok(())
}
