//! The RBAC index, made from the watch cache and made again when a role or binding changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use k8s_openapi::api::rbac::v1::{AggregationRule, ClusterRole, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use parking_lot::Mutex;
use wharf_store::{Item, WatchCache};

use super::aggregate;
use super::rbac::{Grant, Index};

/// The resources that the index is made of.
pub(crate) const RESOURCES: [&str; 4] = [
    "rbac.authorization.k8s.io/roles",
    "rbac.authorization.k8s.io/clusterroles",
    "rbac.authorization.k8s.io/rolebindings",
    "rbac.authorization.k8s.io/clusterrolebindings",
];

/// The index and what it is made from.
pub(crate) struct RbacCache {
    cache: WatchCache,
    index: ArcSwap<Index>,
    /// How often a role or binding has changed, and how much of that the index has seen.
    changes: AtomicU64,
    indexed: AtomicU64,
    parsed: Mutex<HashMap<Arc<str>, (u64, Parsed)>>,
}

#[derive(Clone)]
enum Parsed {
    Role(Arc<[PolicyRule]>),
    ClusterRole(Arc<ParsedClusterRole>),
    Binding(Arc<ParsedBinding>),
}

/// What of a ClusterRole counts.
pub(crate) struct ParsedClusterRole {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) aggregation: Option<AggregationRule>,
    pub(crate) rules: Arc<[PolicyRule]>,
}

struct ParsedBinding {
    namespace: Option<String>,
    name: String,
    role: RoleRef,
    subjects: Vec<Subject>,
}

impl RbacCache {
    pub(crate) fn new(cache: WatchCache) -> RbacCache {
        RbacCache { cache, index: ArcSwap::default(), changes: AtomicU64::new(1), indexed: AtomicU64::new(0), parsed: Mutex::default() }
    }

    /// To be called behind every write of one of [`RESOURCES`], before it is acknowledged.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The index as of all changes told to [`RbacCache::changed`].
    pub(crate) fn index(&self) -> arc_swap::Guard<Arc<Index>> {
        if self.indexed.load(Ordering::Acquire) < self.changes.load(Ordering::Acquire) {
            self.rebuild();
        }
        self.index.load()
    }

    /// Follows the cache for writes that other servers made on the same store.
    pub(crate) async fn follow(&self) {
        let waits = RESOURCES.map(|resource| async move {
            loop {
                let Ok(mut cursor) = self.cache.watch(resource, self.cache.revision()) else { continue };
                while cursor.next().await.is_ok() {
                    self.changed();
                }
                self.changed();
            }
        });
        let [a, b, c, d] = waits;
        tokio::join!(a, b, c, d);
    }

    /// All ClusterRoles as they are now.
    pub(crate) fn cluster_roles(&self) -> Vec<Arc<ParsedClusterRole>> {
        let mut parsed = self.parsed.lock();
        self.sync(&mut parsed);
        parsed.values().filter_map(|(_, p)| if let Parsed::ClusterRole(r) = p { Some(r.clone()) } else { None }).collect()
    }

    /// The rules of a role; `namespace` is `None` for a ClusterRole. `None` when there is no such role.
    pub(crate) fn rules_of(&self, namespace: Option<&str>, name: &str) -> Option<Arc<[PolicyRule]>> {
        let mut parsed = self.parsed.lock();
        self.sync(&mut parsed);
        let key = match namespace {
            Some(namespace) => format!("{}/{namespace}/{name}", RESOURCES[0]),
            None => format!("{}/{name}", RESOURCES[1]),
        };
        match &parsed.get(key.as_str())?.1 {
            Parsed::Role(rules) => Some(rules.clone()),
            Parsed::ClusterRole(role) => Some(aggregate::effective(role, &cluster_roles(&parsed))),
            Parsed::Binding(_) => None,
        }
    }

    fn rebuild(&self) {
        let mut parsed = self.parsed.lock();
        // Read first: what changes while this works is for the next time. Who comes meanwhile waits for the lock, and not for less than it knows of.
        let changes = self.changes.load(Ordering::Acquire);
        if self.indexed.load(Ordering::Acquire) >= changes {
            return;
        }
        self.sync(&mut parsed);
        let cluster_roles = cluster_roles(&parsed);
        let effective: HashMap<&str, Arc<[PolicyRule]>> =
            cluster_roles.iter().map(|role| (role.name.as_str(), aggregate::effective(role, &cluster_roles))).collect();
        let mut index = Index::default();
        for (_, entry) in parsed.values() {
            let Parsed::Binding(binding) = entry else { continue };
            let rules = match (binding.role.kind.as_str(), &binding.namespace) {
                ("ClusterRole", _) => effective.get(binding.role.name.as_str()).cloned(),
                ("Role", Some(namespace)) => match parsed.get(format!("{}/{namespace}/{}", RESOURCES[0], binding.role.name).as_str()) {
                    Some((_, Parsed::Role(rules))) => Some(rules.clone()),
                    _ => None,
                },
                _ => None,
            };
            let Some(rules) = rules else { continue };
            let what = match &binding.namespace {
                Some(namespace) => format!("RoleBinding \"{}/{namespace}\"", binding.name),
                None => format!("ClusterRoleBinding {:?}", binding.name),
            };
            let words = format!("{what} of {} {:?} to {{}}", binding.role.kind, binding.role.name);
            index.add(&binding.subjects, Grant { namespace: binding.namespace.clone(), rules, words });
        }
        self.index.store(Arc::new(index));
        self.indexed.store(changes, Ordering::Release);
    }

    /// Parses what changed and forgets what is gone.
    fn sync(&self, parsed: &mut HashMap<Arc<str>, (u64, Parsed)>) {
        let mut seen = HashMap::with_capacity(parsed.len());
        for (number, resource) in RESOURCES.iter().enumerate() {
            let snapshot = self.cache.snapshot(resource);
            for item in snapshot.range("", None) {
                let kept = parsed.get(item.key()).filter(|(revision, _)| *revision == item.revision()).map(|(_, p)| p.clone());
                if let Some(entry) = kept.or_else(|| parse(number, item)) {
                    seen.insert(item.key().clone(), (item.revision(), entry));
                }
            }
        }
        *parsed = seen;
    }
}

fn cluster_roles(parsed: &HashMap<Arc<str>, (u64, Parsed)>) -> Vec<Arc<ParsedClusterRole>> {
    parsed.values().filter_map(|(_, p)| if let Parsed::ClusterRole(r) = p { Some(r.clone()) } else { None }).collect()
}

fn parse(number: usize, item: &Item) -> Option<Parsed> {
    let json = &item.json()[..];
    match number {
        0 => serde_json::from_slice::<Role>(json).ok().map(|r| Parsed::Role(r.rules.unwrap_or_default().into())),
        1 => serde_json::from_slice::<ClusterRole>(json).ok().map(|r| {
            Parsed::ClusterRole(Arc::new(ParsedClusterRole {
                name: r.metadata.name.unwrap_or_default(),
                labels: r.metadata.labels.unwrap_or_default(),
                aggregation: r.aggregation_rule,
                rules: r.rules.unwrap_or_default().into(),
            }))
        }),
        // A ClusterRoleBinding reads as a RoleBinding without a namespace, but for its kind.
        _ => serde_json::from_slice::<Binding>(json).ok().map(|b| {
            Parsed::Binding(Arc::new(ParsedBinding {
                namespace: b.metadata.namespace,
                name: b.metadata.name.unwrap_or_default(),
                role: b.role_ref,
                subjects: b.subjects.unwrap_or_default(),
            }))
        }),
    }
}

/// RoleBinding or ClusterRoleBinding.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Binding {
    metadata: <RoleBinding as k8s_openapi::Metadata>::Ty,
    role_ref: RoleRef,
    #[serde(default)]
    subjects: Option<Vec<Subject>>,
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
    use serde_json::json;
    use wharf_api::encode::encode;
    use wharf_store::{Expect, NewValue, RedbStore, Store, Write};

    use super::*;
    use crate::Identity;

    #[tokio::test]
    async fn nobody_is_judged_by_an_index_that_is_being_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&dir.path().join("db"), wharf_store::Options::default()).unwrap();
        let role: ClusterRole = serde_json::from_value(json!({"metadata": {"name": "watcher"}, "rules": [{"verbs": ["watch"]}]})).unwrap();
        let mut objects = vec![(format!("{}/watcher", RESOURCES[1]), encode(&role).unwrap())];
        for n in 0..100 {
            let name = format!("b{n}");
            let binding = serde_json::from_value::<ClusterRoleBinding>(json!({
                "metadata": {"name": name}, "subjects": [{"kind": "User", "name": name}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "watcher"},
            }));
            objects.push((format!("{}/{name}", RESOURCES[3]), encode(&binding.unwrap()).unwrap()));
        }
        for (key, (json, revision_at)) in objects {
            let value = Some(NewValue { json, revision_at });
            store.write(Write { key: key.into(), expect: Expect::Absent, value }).await.unwrap();
        }
        let user = Identity::new("b99", &[]);
        for _ in 0..20 {
            let (rbac, start) = (RbacCache::new(store.cache().clone()), Barrier::new(4));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        start.wait();
                        assert_eq!(rbac.index().rules(&user, "").len(), 1);
                    });
                }
            });
        }
    }
}
