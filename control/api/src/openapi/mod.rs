//! OpenAPI documents of all that is served: v2 as one document, v3 one for each group and version.
//!
//! Building one takes tens of milliseconds: build each once and keep its bytes.

mod operations;
mod parameters;
mod schemas;

use serde_json::{Map, Value, json};

use crate::registry::Registry;
use operations::{Dialect, Operations};
pub(crate) use schemas::{API_VERSION, KIND};

/// The paths that `/openapi/v3` lists: `api/v1`, `apis/apps/v1`, ….
pub fn group_versions(registry: &Registry) -> Vec<String> {
    let groups = registry.groups();
    groups.iter().flat_map(|g| g.versions.iter().map(|v| path_of(&g.name, v))).collect()
}

/// `/openapi/v2`.
pub fn v2(registry: &Registry, version: &str) -> Value {
    let mut paths = Map::new();
    for resource in registry.resources() {
        Operations::new(resource, Dialect::V2).add_paths(&mut paths);
    }
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "definitions": schemas::v2(registry),
        "securityDefinitions": {"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}},
        "security": [{"BearerToken": []}],
    })
}

/// `/openapi/v3/…` of one of [`group_versions`]; `None` if it is not one of them.
pub fn v3(registry: &Registry, group_version: &str, version: &str) -> Option<Value> {
    let mut paths = Map::new();
    for resource in registry.resources().iter().filter(|r| path_of(&r.info().group, &r.info().version) == group_version) {
        Operations::new(resource, Dialect::V3).add_paths(&mut paths);
    }
    if paths.is_empty() {
        return None;
    }
    let schemas = schemas::v3(registry, &paths);
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey"}},
        },
    }))
}

fn path_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

#[cfg(test)]
mod tests;
