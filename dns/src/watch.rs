//! From watches into the index.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, Resource};
use tokio_util::sync::CancellationToken;

use crate::{Dns, Records};

type Name = (Arc<str>, Arc<str>);

impl Dns {
    /// Watches Services, EndpointSlices and Namespaces until the token is cancelled (`kube-system/coredns` may).
    pub async fn run(self: Arc<Self>, client: Client, token: CancellationToken) {
        let services = Followed {
            apply: |records: &mut Records, service: &Service| records.apply_service(service),
            delete: |records, (namespace, name)| records.delete_service(namespace, name),
            known: Records::service_names,
            index: 0,
        };
        let slices = Followed {
            apply: |records: &mut Records, slice: &EndpointSlice| records.apply_slice(slice),
            delete: |records, (namespace, name)| records.delete_slice(namespace, name),
            known: Records::slice_names,
            index: 1,
        };
        let namespaces = Followed {
            apply: |records: &mut Records, namespace: &Namespace| records.apply_namespace(namespace.metadata.name.as_deref().unwrap_or_default()),
            delete: |records, (_, name)| records.delete_namespace(name),
            known: Records::namespace_names,
            index: 2,
        };
        tokio::select! {
            () = token.cancelled() => {}
            () = self.follow(Api::all(client.clone()), services) => {}
            () = self.follow(Api::all(client.clone()), slices) => {}
            () = self.follow(Api::all(client), namespaces) => {}
        }
    }

    async fn follow<K>(&self, api: Api<K>, kind: Followed<K>)
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
                    self.update(|records| (kind.apply)(records, &object));
                }
                Ok(Event::InitDone) => {
                    // What the listing does not have was deleted while nobody watched.
                    self.update(|records| {
                        for gone in (kind.known)(records).iter().filter(|name| !seen.contains(*name)) {
                            (kind.delete)(records, gone);
                        }
                    });
                    seen = HashSet::new();
                    self.listed.send_modify(|listed| listed[kind.index] = true);
                }
                Ok(Event::Apply(object)) => self.update(|records| (kind.apply)(records, &object)),
                Ok(Event::Delete(object)) => self.update(|records| (kind.delete)(records, &name(&object))),
                Err(error) => tracing::debug!(%error, kind = %K::kind(&()), "watching"),
            }
        }
    }
}

/// How a kind's events change the index.
struct Followed<K> {
    apply: fn(&mut Records, &K),
    delete: fn(&mut Records, &Name),
    known: fn(&Records) -> Vec<Name>,
    /// Its place in [`Dns::listed`].
    index: usize,
}
