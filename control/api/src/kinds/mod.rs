//! The kinds that Wharf serves: one file each, and one line each in [`all`].

mod amount;
pub mod api_service;
pub mod certificate_signing_request;
mod checks;
pub mod cluster_role;
pub mod cluster_role_binding;
pub(crate) mod columns;
pub mod config_map;
pub mod controller_revision;
pub mod cron_job;
pub mod csi_driver;
pub mod csi_node;
pub mod csi_storage_capacity;
pub mod custom_resource_definition;
pub mod daemon_set;
pub mod deployment;
pub mod device_class;
pub mod endpoint_slice;
pub mod endpoints;
pub mod event;
pub mod events_event;
pub mod flow_schema;
pub mod horizontal_pod_autoscaler;
pub mod horizontal_pod_autoscaler_v1;
pub mod ingress;
pub mod ingress_class;
pub mod ip_address;
pub mod job;
mod label_selector;
pub mod lease;
pub mod limit_range;
pub mod mutating_admission_policy;
pub mod mutating_admission_policy_binding;
pub mod mutating_webhook_configuration;
pub mod namespace;
pub mod network_policy;
pub mod node;
pub(crate) mod normal;
pub mod persistent_volume;
pub mod persistent_volume_claim;
pub mod plugin;
pub mod pod;
pub mod pod_disruption_budget;
pub mod pod_template;
pub mod priority_class;
pub mod priority_level_configuration;
mod rbac;
pub mod replica_set;
pub mod replication_controller;
pub mod resource_claim;
pub mod resource_claim_template;
pub mod resource_quota;
pub mod resource_slice;
pub mod role;
pub mod role_binding;
pub mod runtime_class;
pub mod secret;
pub mod service;
pub mod service_account;
pub mod service_cidr;
pub mod stateful_set;
pub mod storage_class;
#[cfg(test)]
mod testing;
pub mod validating_admission_policy;
pub mod validating_admission_policy_binding;
pub mod validating_webhook_configuration;
pub mod volume_attachment;
pub mod volume_attributes_class;
mod webhook;
mod workload;

use crate::kind::{DynKind, Merge, Names, Object, Subresource, erase};
use crate::table::{Column, Columns};

/// Every kind, in the order discovery shows them within a group.
pub fn all() -> Vec<Box<dyn DynKind>> {
    vec![
        erase::<api_service::APIServices>(),
        erase::<controller_revision::ControllerRevisions>(),
        erase::<daemon_set::DaemonSets>(),
        erase::<deployment::Deployments>(),
        erase::<replica_set::ReplicaSets>(),
        erase::<stateful_set::StatefulSets>(),
        erase::<events_event::EventsEvents>(),
        erase::<horizontal_pod_autoscaler::HorizontalPodAutoscalers>(),
        erase::<horizontal_pod_autoscaler_v1::HorizontalPodAutoscalersV1>(),
        erase::<cron_job::CronJobs>(),
        erase::<job::Jobs>(),
        erase::<certificate_signing_request::CertificateSigningRequests>(),
        erase::<ingress_class::IngressClasses>(),
        erase::<ingress::Ingresses>(),
        erase::<ip_address::IPAddresses>(),
        erase::<network_policy::NetworkPolicies>(),
        erase::<service_cidr::ServiceCIDRs>(),
        erase::<pod_disruption_budget::PodDisruptionBudgets>(),
        erase::<cluster_role_binding::ClusterRoleBindings>(),
        erase::<cluster_role::ClusterRoles>(),
        erase::<role_binding::RoleBindings>(),
        erase::<role::Roles>(),
        erase::<csi_driver::CSIDrivers>(),
        erase::<csi_node::CSINodes>(),
        erase::<csi_storage_capacity::CSIStorageCapacities>(),
        erase::<storage_class::StorageClasses>(),
        erase::<volume_attachment::VolumeAttachments>(),
        erase::<volume_attributes_class::VolumeAttributesClasses>(),
        erase::<mutating_admission_policy::MutatingAdmissionPolicies>(),
        erase::<mutating_admission_policy_binding::MutatingAdmissionPolicyBindings>(),
        erase::<mutating_webhook_configuration::MutatingWebhookConfigurations>(),
        erase::<validating_admission_policy::ValidatingAdmissionPolicies>(),
        erase::<validating_admission_policy_binding::ValidatingAdmissionPolicyBindings>(),
        erase::<validating_webhook_configuration::ValidatingWebhookConfigurations>(),
        erase::<custom_resource_definition::CustomResourceDefinitions>(),
        erase::<priority_class::PriorityClasses>(),
        erase::<lease::Leases>(),
        erase::<runtime_class::RuntimeClasses>(),
        erase::<endpoint_slice::EndpointSlices>(),
        erase::<device_class::DeviceClasses>(),
        erase::<resource_claim::ResourceClaims>(),
        erase::<resource_claim_template::ResourceClaimTemplates>(),
        erase::<resource_slice::ResourceSlices>(),
        erase::<flow_schema::FlowSchemas>(),
        erase::<priority_level_configuration::PriorityLevelConfigurations>(),
        erase::<config_map::ConfigMaps>(),
        erase::<endpoints::EndpointsKind>(),
        erase::<event::Events>(),
        erase::<limit_range::LimitRanges>(),
        erase::<namespace::Namespaces>(),
        erase::<node::Nodes>(),
        erase::<persistent_volume_claim::PersistentVolumeClaims>(),
        erase::<persistent_volume::PersistentVolumes>(),
        erase::<pod::Pods>(),
        erase::<pod_template::PodTemplates>(),
        erase::<replication_controller::ReplicationControllers>(),
        erase::<resource_quota::ResourceQuotas>(),
        erase::<secret::Secrets>(),
        erase::<service_account::ServiceAccounts>(),
        erase::<service::Services>(),
        erase::<plugin::Plugins>(),
    ]
}

/// The default check of a name: an RFC 1123 subdomain. With `prefix`, of a `generateName`.
pub fn dns_subdomain_name(name: &str, prefix: bool) -> Vec<String> {
    crate::meta::dns_subdomain_name(name, prefix)
}

/// The check of a name that must be an RFC 1123 label. With `prefix`, of a `generateName`.
pub fn dns_label_name(name: &str, prefix: bool) -> Vec<String> {
    crate::meta::dns_label_name(name, prefix)
}

/// The check of a name that need only fit into a path: those of RBAC.
pub fn path_segment_name(name: &str, prefix: bool) -> Vec<String> {
    crate::meta::path_segment_name(name, prefix)
}

/// The table of a kind that has none of its own.
pub fn name_and_age<O: Object>() -> Columns<O> {
    Columns {
        columns: vec![columns::name(), Column::new("Created At", "date", columns::CREATED)],
        row: |object, _now| {
            let meta = object.metadata();
            let created = meta.creation_timestamp.as_ref().and_then(|t| serde_json::to_value(t).ok());
            vec![columns::name_cell(meta), created.unwrap_or_default()]
        },
    }
}

const fn names(singular: &'static str, short: &'static [&'static str], categories: &'static [&'static str]) -> Names {
    Names { singular, short, categories }
}

const fn scale(selector: &'static str) -> Subresource {
    use std::borrow::Cow::Borrowed;
    Subresource::Scale { spec_replicas: Borrowed(".spec.replicas"), status_replicas: Borrowed(".status.replicas"), selector: Borrowed(selector) }
}

const fn other(name: &'static str, group_version: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Subresource {
    Subresource::Other { name, group_version, kind, verbs }
}

const fn merge(
    definition: &'static str,
    field: &'static str,
    strategy: &'static str,
    key: &'static str,
    list_type: &'static str,
    list_map_keys: &'static [&'static str],
) -> Merge {
    Merge { definition, field, strategy, key, list_type, list_map_keys }
}
