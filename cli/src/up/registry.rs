//! The cluster's own image registry, on the API server's port: its content is in the data folder, and who may do what is the cluster's
//! authentication and RBAC to say.
//!
//! A repository is the resource `repositories` of the group `registry.wharf.dev`: `get` pulls, `update` pushes, `delete` deletes.
//! `team/app` is in the namespace `team`, so that whoever may edit there may push there; `app` is in none.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use http::request::Parts;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;
use wharf_registry::{Access, Action, Decision, Digest, InUse, Options, Registry};
use wharf_server::{ApiServer, Identity, Wish};

use crate::data::Folder;

const GROUP: &str = "registry.wharf.dev";
const RESOURCE: &str = "repositories";

/// Opens the registry of a data folder, and has the server answer for it.
pub(crate) fn open(folder: &Folder, server: &ApiServer) -> Result<Registry> {
    let in_use = Objects(server.client(Identity::admin()));
    let registry = Registry::open(&folder.join("registry"), Options::default(), Arc::new(Rbac(server.clone())), Some(Arc::new(in_use)));
    let registry = registry.context("open the image registry")?;
    server.mount(Registry::owns, {
        let registry = registry.clone();
        Arc::new(move |request| {
            let registry = registry.clone();
            Box::pin(async move { registry.call(request).await })
        })
    });
    Ok(registry)
}

/// The cluster's authentication and RBAC.
struct Rbac(ApiServer);

impl Access for Rbac {
    fn decide(&self, request: &Parts, wanted: Option<(Action, &str)>) -> Decision {
        let Some(identity) = self.0.identify(request) else { return Decision::Unauthenticated };
        let Some((action, repository)) = wanted else { return Decision::Allowed };
        match self.0.allows(&identity, &wish(action, repository)) {
            Ok(()) => Decision::Allowed,
            Err(why) => Decision::Denied(why),
        }
    }
}

fn wish(action: Action, repository: &str) -> Wish<'_> {
    let verb = match action {
        Action::Pull => "get",
        Action::Push => "update",
        Action::Delete => "delete",
    };
    let namespace = repository.split_once('/').map_or("", |(namespace, _)| namespace);
    Wish { verb, group: GROUP, resource: RESOURCE, namespace, name: repository }
}

/// What the cluster's objects name by digest.
struct Objects(kube::Client);

/// Kinds whose objects have containers. A Deployment's images are those of its ReplicaSets too.
const WITH_CONTAINERS: [(&str, &str, &str); 7] = [
    ("", "v1", "Pod"),
    ("", "v1", "ReplicationController"),
    ("apps", "v1", "DaemonSet"),
    ("apps", "v1", "ReplicaSet"),
    ("apps", "v1", "StatefulSet"),
    ("batch", "v1", "CronJob"),
    ("batch", "v1", "Job"),
];
/// Objects of a page.
const PAGE: u32 = 100;

impl InUse for Objects {
    fn digests(&self) -> BoxFuture<'_, Result<HashSet<Digest>, String>> {
        Box::pin(async move {
            let mut found = HashSet::new();
            for (group, version, kind) in WITH_CONTAINERS {
                let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
                let api: Api<DynamicObject> = Api::all_with(self.0.clone(), &resource);
                let mut params = ListParams::default().limit(PAGE);
                loop {
                    let list = api.list(&params).await.map_err(|error| format!("list {kind}: {error}"))?;
                    list.items.iter().for_each(|object| images(&object.data, &mut found));
                    match list.metadata.continue_.filter(|token| !token.is_empty()) {
                        Some(token) => params = params.continue_token(&token),
                        None => break,
                    }
                }
            }
            Ok(found)
        })
    }
}

/// The digest of every `image: NAME@DIGEST`, wherever it stands.
fn images(value: &Value, found: &mut HashSet<Digest>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| images(item, found)),
        Value::Object(fields) => {
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("image" | "imageID" | "reference", Value::String(image)) => {
                        found.extend(image.split_once('@').and_then(|(_, digest)| Digest::parse(digest)));
                    }
                    _ => images(value, found),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_repository_is_in_the_namespace_that_its_name_begins_with() {
        let in_words = |wish: Wish<'_>| format!("{} {:?} {}", wish.verb, wish.namespace, wish.name);
        assert_eq!(in_words(wish(Action::Push, "team/web/app")), r#"update "team" team/web/app"#);
        assert_eq!(in_words(wish(Action::Pull, "app")), r#"get "" app"#);
        assert_eq!(in_words(wish(Action::Delete, "a/b")), r#"delete "a" a/b"#);
    }

    #[test]
    fn digests_that_objects_name() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let pod = json!({"spec": {"initContainers": [{"image": format!("registry.wharf.local/a/b@{digest}")}], "containers": [{"image": "c:v1"}]}});
        let mut found = HashSet::new();
        images(&pod, &mut found);
        assert_eq!(found.into_iter().map(String::from).collect::<Vec<_>>(), [digest]);
    }
}
