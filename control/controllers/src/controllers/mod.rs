//! The controllers. Each is one file here and one line in [`all`].

use std::sync::Arc;
use std::time::Duration;

use crate::action::Action;
use crate::queue::Queue;
use crate::world::{Turn, World};

pub mod cluster_role_aggregation;
pub mod cron_job;
pub mod csr;
pub mod daemon_set;
pub mod deployment;
pub mod disruption;
pub mod endpoint_slice;
pub mod endpoints;
pub mod garbage_collector;
pub mod job;
pub mod namespace;
pub mod node_ipam;
pub mod node_lifecycle;
pub mod pod_gc;
pub mod pv_protection;
pub mod pvc_protection;
pub mod replica_set;
pub mod replication_controller;
pub mod resource_quota;
pub mod root_ca;
pub mod service_account;
pub mod stateful_set;
pub mod taint_eviction;
pub mod ttl_after_finished;

/// One controller.
pub trait Controller: Send + Sync + 'static {
    /// Its name, as kube-controller-manager knows it.
    fn name(&self) -> &'static str;

    /// Its ServiceAccount in `kube-system`.
    fn account(&self) -> &'static str;

    /// The component that its Events are from.
    fn component(&self) -> &'static str {
        self.account()
    }

    /// Which changes concern which of its keys.
    fn triggers(&self, world: &World, queue: &Arc<Queue>);

    /// How long a key rests after a plan that did something, so that what changes together is written together.
    /// The first change is always acted on at once.
    fn pace(&self, _turn: &Turn<'_>) -> Duration {
        Duration::ZERO
    }

    /// What is to be done for a key. Pure and level-triggered: the same world gives the same plan, whatever happened before.
    fn plan(&self, turn: &Turn<'_>) -> Vec<Action>;
}

/// All controllers.
pub fn all() -> Vec<Arc<dyn Controller>> {
    vec![
        Arc::new(node_ipam::NodeIpam),
        Arc::new(node_lifecycle::NodeLifecycle::default()),
        Arc::new(taint_eviction::TaintEviction::default()),
        Arc::new(service_account::ServiceAccounts),
        Arc::new(root_ca::RootCa),
        Arc::new(cluster_role_aggregation::ClusterRoleAggregation),
        Arc::new(deployment::Deployments),
        Arc::new(replica_set::ReplicaSets),
        Arc::new(replication_controller::ReplicationControllers),
        Arc::new(daemon_set::DaemonSets::default()),
        Arc::new(stateful_set::StatefulSets),
        Arc::new(job::Jobs),
        Arc::new(cron_job::CronJobs),
        Arc::new(disruption::Disruption),
        Arc::new(disruption::StaleDisruption),
        Arc::new(resource_quota::ResourceQuotas::default()),
        Arc::new(csr::Approving),
        Arc::new(csr::Signing),
        Arc::new(csr::Cleaner),
        Arc::new(ttl_after_finished::TtlAfterFinished),
        Arc::new(endpoint_slice::EndpointSlices),
        Arc::new(endpoints::EndpointsController),
        Arc::new(pod_gc::PodGc),
        Arc::new(pvc_protection::PvcProtection),
        Arc::new(pv_protection::PvProtection),
        Arc::new(namespace::Namespaces),
        Arc::new(garbage_collector::GarbageCollector),
    ]
}
