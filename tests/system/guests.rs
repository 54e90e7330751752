//! Components for the tests, served as images by a registry of this test run.

use std::sync::OnceLock;

use libtest_mimic::Failed;

use crate::cluster::repository;
use crate::registry::Registry;

/// The registry, with every guest of `tests/guests` in it.
pub fn registry() -> Result<&'static Registry, Failed> {
    static REGISTRY: OnceLock<Result<Registry, String>> = OnceLock::new();
    let started = REGISTRY.get_or_init(|| {
        let registry = Registry::start().map_err(|error| format!("start the registry: {error}"))?;
        for name in ["http-p2", "http-p3", "probe", "probe-p3", "sdk", "sdk-p3"] {
            registry.add(name, &wasm(name).map_err(|error| error.message().unwrap_or(name).to_owned())?);
        }
        Ok(registry)
    });
    started.as_ref().map_err(|error| error.clone().into())
}

/// A guest's bytes.
pub fn wasm(name: &str) -> Result<Vec<u8>, Failed> {
    let path = repository(&format!("tests/guests/{name}/{name}.wasm"));
    std::fs::read(&path).map_err(|error| format!("read {}: {error}", path.display()).into())
}

/// The reference of a guest's image.
pub fn image(name: &str) -> Result<String, Failed> {
    Ok(registry()?.reference(name))
}
