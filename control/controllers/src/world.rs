//! All that the controllers know: a cache of each kind they read whole, and the graph of everything else's metadata.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, ResourceQuota, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::Options;
use crate::cache::{Cache, Change};
use crate::graph::{Graph, GraphChange};
use crate::queue::Queue;
use crate::resource::{Key, Resource, Typed};

/// Tells a controller's queue which keys a change concerns.
type Handler<C> = (Arc<Queue>, Box<dyn Fn(&World, &C, &mut dyn FnMut(Key)) + Send + Sync>);
type Handlers<C> = RwLock<Vec<Handler<C>>>;

/// The cache of one kind and those who want to hear of its changes.
pub struct Informed<K> {
    cache: Cache<K>,
    handlers: Handlers<Change<K>>,
}

impl<K> Default for Informed<K> {
    fn default() -> Self {
        Informed { cache: Cache::default(), handlers: RwLock::default() }
    }
}

impl<K> std::ops::Deref for Informed<K> {
    type Target = Cache<K>;
    fn deref(&self) -> &Cache<K> {
        &self.cache
    }
}

impl<K: Typed> Informed<K> {
    /// Has `keys` called at each change, to add the keys it concerns to `queue`.
    pub fn on_change(&self, queue: &Arc<Queue>, keys: impl Fn(&World, &Change<K>, &mut dyn FnMut(Key)) + Send + Sync + 'static) {
        self.handlers.write().push((queue.clone(), Box::new(keys)));
    }

    /// Adds the key of each object that changes.
    pub fn own_key(&self, queue: &Arc<Queue>) {
        self.on_change(queue, |_, change, add| add(change.key()));
    }

    /// Adds the key of the controlling owner, where that is of `kind`, of each object that changes.
    pub fn owner_key(&self, queue: &Arc<Queue>, kind: &'static str) {
        self.on_change(queue, move |_, change, add| {
            for side in change.sides() {
                if let Some(owner) = crate::resource::controller_of(side.metadata()).filter(|o| o.kind == kind) {
                    add(Key::new(crate::resource::namespace(side.metadata()), owner.name.clone()));
                }
            }
        });
    }
}

fn tell<C>(world: &World, handlers: &Handlers<C>, change: &C) {
    for (queue, keys) in handlers.read().iter() {
        keys(world, change, &mut |key| queue.add(key));
    }
}

/// How far the informer of a kind has come.
pub(crate) struct Progress {
    reached: watch::Sender<u64>,
}

impl Progress {
    pub(crate) fn reach(&self, revision: u64) {
        self.reached.send_if_modified(|at| {
            *at = revision.max(*at);
            true
        });
    }

    /// Whether the kind was listed at least once.
    pub(crate) fn listed(&self) -> bool {
        *self.reached.borrow() > 0
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.reached.subscribe()
    }
}

/// A kind that is cached whole: where in the [`World`] it stands.
pub(crate) trait Place: Typed {
    fn place(world: &World) -> &Informed<Self>;
}

macro_rules! world {
    ($($(#[$doc:meta])* $field:ident: $kind:ty,)*) => {
        /// What the controllers know.
        pub struct World {
            $($(#[$doc])* pub $field: Informed<$kind>,)*
            /// The metadata of all kinds.
            pub graph: Graph,
            /// How the controllers were set up.
            pub options: Options,
            graph_handlers: Handlers<GraphChange>,
            progress: RwLock<HashMap<String, Arc<Progress>>>,
            discovered: std::sync::atomic::AtomicBool,
            /// Woken when the server may have got other kinds.
            pub(crate) kinds_changed: tokio::sync::Notify,
        }

        impl World {
            /// An empty world.
            pub fn new(options: Options) -> World {
                World { $($field: Informed::default(),)* graph: Graph::default(), options, graph_handlers: RwLock::default(), progress: RwLock::default(), discovered: std::sync::atomic::AtomicBool::new(cfg!(test)), kinds_changed: tokio::sync::Notify::new() }
            }

            /// Starts the informer of each kind that is cached whole.
            pub(crate) fn start_informers(self: &Arc<World>, start: &mut impl StartInformer) {
                $(start.informer::<$kind>(self);)*
            }

            /// Lets the objects rest that nobody has read since `since`.
            pub(crate) fn rest(&self, since: std::time::Instant) {
                $(self.$field.rest(since);)*
            }

            /// The kinds that are cached whole.
            pub(crate) fn cached() -> Vec<Resource> {
                vec![$(Resource::of::<$kind>()),*]
            }

            /// Puts an object in by its JSON, as its informer would; for tests.
            #[cfg(test)]
            pub(crate) fn put(&self, object: serde_json::Value) {
                match (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default()) {
                    $((version, kind) if version == <$kind as k8s_openapi::Resource>::API_VERSION && kind == <$kind as k8s_openapi::Resource>::KIND => {
                        let resource = Arc::new(Resource::of::<$kind>());
                        self.graph.declare(resource.clone());
                        self.applied::<$kind>(&resource, serde_json::from_value(object).expect("a valid object"));
                    })*
                    (version, kind) => panic!("unknown kind {version} {kind}"),
                }
            }

            /// Takes an object out, as its informer would; for tests.
            #[cfg(test)]
            pub(crate) fn take(&self, kind: &str, key: &Key) {
                match kind {
                    $(kind if kind == <$kind as k8s_openapi::Resource>::KIND => {
                        let uid = self.$field.get(&key.namespace, &key.name).and_then(|o| o.metadata.uid.clone());
                        self.removed::<$kind>(key, &uid.unwrap_or_default());
                    })*
                    kind => panic!("unknown kind {kind}"),
                }
            }
        }

        $(impl Place for $kind {
            fn place(world: &World) -> &Informed<Self> { &world.$field }
        })*
    };
}

/// Something that can run the informer of any cached kind.
pub(crate) trait StartInformer {
    fn informer<K: Place>(&mut self, world: &Arc<World>);
}

world! {
    /// `certificates.k8s.io/v1`
    certificate_signing_requests: CertificateSigningRequest,
    /// `rbac.authorization.k8s.io/v1`
    cluster_roles: ClusterRole,
    /// `v1`, of which only [`crate::controllers::root_ca`]'s are kept whole.
    config_maps: ConfigMap,
    /// `apps/v1`
    controller_revisions: ControllerRevision,
    /// `batch/v1`
    cron_jobs: CronJob,
    /// `apps/v1`
    daemon_sets: DaemonSet,
    /// `apps/v1`
    deployments: Deployment,
    /// `v1`
    endpoints: Endpoints,
    /// `discovery.k8s.io/v1`
    endpoint_slices: EndpointSlice,
    /// `batch/v1`
    jobs: Job,
    /// `coordination.k8s.io/v1`
    leases: Lease,
    /// `v1`
    namespaces: Namespace,
    /// `v1`
    nodes: Node,
    /// `v1`, without what no controller reads.
    pods: Pod,
    /// `v1`
    persistent_volumes: PersistentVolume,
    /// `v1`
    persistent_volume_claims: PersistentVolumeClaim,
    /// `policy/v1`
    pod_disruption_budgets: PodDisruptionBudget,
    /// `apps/v1`
    replica_sets: ReplicaSet,
    /// `v1`
    replication_controllers: ReplicationController,
    /// `v1`
    resource_quotas: ResourceQuota,
    /// `v1`
    services: Service,
    /// `v1`
    service_accounts: ServiceAccount,
    /// `apps/v1`
    stateful_sets: StatefulSet,
}

impl World {
    /// Has `keys` called at each change of the graph, to add the keys it concerns to `queue`.
    pub fn on_graph_change(&self, queue: &Arc<Queue>, keys: impl Fn(&World, &GraphChange, &mut dyn FnMut(Key)) + Send + Sync + 'static) {
        self.graph_handlers.write().push((queue.clone(), Box::new(keys)));
    }

    /// An object was seen, in a list or a watch.
    pub(crate) fn applied<K: Place>(&self, resource: &Arc<Resource>, mut object: K) {
        object.metadata_mut().managed_fields = None;
        self.applied_meta(resource, object.metadata());
        object.strip();
        if let Some(change) = K::place(self).cache.apply(object) {
            tell(self, &K::place(self).handlers, &change);
        }
    }

    /// An object was seen to be gone.
    pub(crate) fn removed<K: Place>(&self, key: &Key, uid: &str) {
        self.removed_meta(uid);
        if let Some(change) = K::place(self).cache.remove(key) {
            tell(self, &K::place(self).handlers, &change);
        }
    }

    /// The metadata of an object was seen.
    pub(crate) fn applied_meta(&self, resource: &Arc<Resource>, meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) {
        if matches!(&*resource.plural, "customresourcedefinitions" | "apiservices") {
            self.kinds_changed.notify_one();
        }
        let old = self.graph.apply(resource, meta);
        let new = self.graph.get(crate::resource::uid(meta));
        if old.is_some() || new.is_some() {
            tell(self, &self.graph_handlers, &GraphChange { old, new });
        }
    }

    /// An object of which only metadata is kept was seen to be gone.
    pub(crate) fn removed_meta(&self, uid: &str) {
        if let Some(old) = self.graph.remove(uid) {
            tell(self, &self.graph_handlers, &GraphChange { old: Some(old), new: None });
        }
    }

    /// A kind is no longer served.
    pub(crate) fn forget(&self, resource: &Resource) {
        for old in self.graph.forget(resource) {
            tell(self, &self.graph_handlers, &GraphChange { old: Some(old), new: None });
        }
        self.progress.write().remove(&resource.group_resource());
    }

    /// The progress of a kind's informer, which is declared by this.
    pub(crate) fn declare(&self, resource: &Arc<Resource>) -> Arc<Progress> {
        self.graph.declare(resource.clone());
        let mut progress = self.progress.write();
        progress.entry(resource.group_resource()).or_insert_with(|| Arc::new(Progress { reached: watch::Sender::new(0) })).clone()
    }

    /// The progress of a kind's informer, if there is one.
    pub(crate) fn progress(&self, resource: &Resource) -> Option<Arc<Progress>> {
        self.progress.read().get(&resource.group_resource()).cloned()
    }

    /// The server's kinds were looked up.
    pub(crate) fn discovered(&self) {
        self.discovered.store(true, std::sync::atomic::Ordering::Release);
    }

    /// Whether the graph is whole: every kind that the server has was listed at least once.
    pub(crate) fn all_listed(&self) -> bool {
        self.discovered.load(std::sync::atomic::Ordering::Acquire) && self.progress.read().values().all(|p| p.listed())
    }
}

/// What a plan is made from.
pub struct Turn<'a> {
    /// What is.
    pub world: &'a World,
    /// The key to plan.
    pub key: &'a Key,
    /// The time.
    pub now: Timestamp,
    /// Why the key's last plan could not be performed, if so.
    pub failure: Option<&'a Failure>,
}

/// What went wrong with the last plan of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// `create`, `delete`, `update`, `patch`.
    pub verb: &'static str,
    /// The API server's message.
    pub message: String,
    /// Whether only a write lost a race, or a condition does not hold yet, which is everyday and said to nobody.
    pub lost_race: bool,
}
