//! From watches into the index.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, Resource};

use super::ServiceProxy;

type Name = (Arc<str>, Arc<str>);

impl ServiceProxy {
    pub(super) async fn follow_services(&self, client: Client) {
        let services = &self.net.services;
        let done = || self.listed.send_modify(|listed| listed.0 = true);
        let known = || services.service_names();
        follow(
            Api::<Service>::all(client),
            |service| services.apply_service(service),
            |(ns, name)| services.delete_service(ns, name),
            known,
            done,
            || self.changed.notify_one(),
        )
        .await;
    }

    pub(super) async fn follow_slices(&self, client: Client) {
        let services = &self.net.services;
        let done = || self.listed.send_modify(|listed| listed.1 = true);
        let known = || services.slice_names();
        follow(Api::<EndpointSlice>::all(client), |slice| services.apply_slice(slice), |(ns, name)| services.delete_slice(ns, name), known, done, || {}).await;
    }
}

async fn follow<K>(api: Api<K>, apply: impl Fn(&K), delete: impl Fn(&Name), known: impl Fn() -> Vec<Name>, listed: impl Fn(), changed: impl Fn())
where
    K: Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + Debug + Send + 'static,
{
    let name =
        |object: &K| -> Name { (object.meta().namespace.as_deref().unwrap_or_default().into(), object.meta().name.as_deref().unwrap_or_default().into()) };
    let mut events = watcher(api, Config::default()).default_backoff().boxed();
    let mut seen: HashSet<Name> = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => seen.clear(),
            Ok(Event::InitApply(object)) => {
                seen.insert(name(&object));
                apply(&object);
            }
            Ok(Event::InitDone) => {
                // What the listing does not have was deleted while nobody watched.
                known().iter().filter(|name| !seen.contains(*name)).for_each(&delete);
                seen = HashSet::new();
                listed();
            }
            Ok(Event::Apply(object)) => apply(&object),
            Ok(Event::Delete(object)) => delete(&name(&object)),
            Err(error) => {
                tracing::debug!(%error, kind = %K::kind(&()), "watching");
                continue;
            }
        }
        changed();
    }
}
