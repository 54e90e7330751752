//! The escalation check on roles and bindings: nobody gives what they don't have. (In Kubernetes part of the storage of these kinds.)

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use wharf_api::DynObject;
use wharf_api::status::ApiError;

use super::Admission;
use crate::authz::escalation::{may_bind, may_write_role};

pub(super) fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let (ask, info) = (&admission.ask, admission.ask.served.info());
    let Some(object) = object.filter(|_| info.group == "rbac.authorization.k8s.io") else { return Ok(()) };
    let name = object.meta().name.as_deref().unwrap_or_default();
    let place = (&*info.plural, ask.namespace(), name);
    let (authorizer, identity) = (&ask.shared.authorizer, &**ask.identity);
    let (any, before) = (object.as_any(), old.map(DynObject::as_any));
    if let Some(role) = any.downcast_ref::<Role>() {
        if before.and_then(|b| b.downcast_ref::<Role>()).is_some_and(|b| b.rules == role.rules) {
            return Ok(());
        }
        return may_write_role(authorizer, identity, place, role.rules.as_deref().unwrap_or_default());
    }
    if let Some(role) = any.downcast_ref::<ClusterRole>() {
        let before = before.and_then(|b| b.downcast_ref::<ClusterRole>());
        if before.is_some_and(|b| b.rules == role.rules && b.aggregation_rule == role.aggregation_rule) {
            return Ok(());
        }
        // What an aggregation will bring is not known, so it takes all there is.
        let all = k8s_openapi::api::rbac::v1::PolicyRule {
            verbs: vec!["*".into()],
            api_groups: Some(vec!["*".into()]),
            resources: Some(vec!["*".into()]),
            ..Default::default()
        };
        if role.aggregation_rule.is_some() && before.is_none_or(|b| b.aggregation_rule != role.aggregation_rule) {
            may_write_role(authorizer, identity, place, &[all])?;
        }
        return may_write_role(authorizer, identity, place, role.rules.as_deref().unwrap_or_default());
    }
    if let Some(binding) = any.downcast_ref::<RoleBinding>() {
        if before.and_then(|b| b.downcast_ref::<RoleBinding>()).is_some_and(|b| b.role_ref == binding.role_ref && b.subjects == binding.subjects) {
            return Ok(());
        }
        return may_bind(authorizer, identity, place, (&binding.role_ref.kind, &binding.role_ref.name));
    }
    if let Some(binding) = any.downcast_ref::<ClusterRoleBinding>() {
        if before.and_then(|b| b.downcast_ref::<ClusterRoleBinding>()).is_some_and(|b| b.role_ref == binding.role_ref && b.subjects == binding.subjects) {
            return Ok(());
        }
        return may_bind(authorizer, identity, place, (&binding.role_ref.kind, &binding.role_ref.name));
    }
    Ok(())
}
