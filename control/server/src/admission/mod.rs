//! What the server adds to objects and refuses beyond their own validation: one file for each step, in order.
//!
//! The steps are Kubernetes' admission plugins of the same names. They decide from the watch cache; one waits for it a moment, and one
//! writes what a quota is used for.

mod certificates;
mod default_ingress_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
pub(crate) mod plugins;
mod pod_security;
mod priority;
mod rbac;
mod resource_quota;
mod service_account;
mod storage_protection;
mod taint_nodes;

use std::borrow::Cow;

use wharf_api::DynObject;
use wharf_api::status::ApiError;

use crate::ask::Ask;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// A request as admission sees it.
pub(crate) struct Admission<'a> {
    pub(crate) ask: Ask<'a>,
    pub(crate) operation: Operation,
    /// The object's name; empty for a create with a generated one.
    pub(crate) name: Cow<'a, str>,
    /// Nothing will be stored.
    pub(crate) dry_run: bool,
}

impl<'a> Admission<'a> {
    pub(crate) fn of(ask: &Ask<'a>, operation: Operation, name: &str) -> Admission<'a> {
        let dry_run = ask.query.all("dryRun").iter().any(|v| !v.is_empty());
        Admission { ask: *ask, operation, name: Cow::Owned(name.to_owned()), dry_run }
    }

    /// Whether it is about objects of this resource themselves, not what stands behind them.
    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.ask.served.is(group, plural) && self.ask.path.subresource.is_empty()
    }

    /// 403 of the object.
    pub(crate) fn forbidden(&self, why: impl std::fmt::Display) -> ApiError {
        let info = self.ask.served.info();
        ApiError::forbidden(&info.group, &info.plural, &self.name, why)
    }
}

/// The steps that change objects, before validation. `old` is there for updates.
pub(crate) async fn mutate(admission: &Admission<'_>, boxed: &mut Box<dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    let object = &mut **boxed;
    namespace_lifecycle::admit(admission)?;
    limit_ranger::mutate(admission, object)?;
    service_account::mutate(admission, object).await?;
    taint_nodes::mutate(admission, object);
    priority::mutate(admission, object, old)?;
    default_toleration_seconds::mutate(admission, object);
    default_ingress_class::mutate(admission, object)?;
    storage_protection::mutate(admission, object);
    certificates::mutate(admission, object, old);
    plugins::mutate(admission, boxed, old).await
}

/// The steps that only refuse, behind validation. `object` is absent for deletes, `old` for creates.
pub(crate) async fn validate(admission: &Admission<'_>, object: Option<&dyn DynObject>, old: Option<&dyn DynObject>) -> Result<(), ApiError> {
    namespace_lifecycle::protect(admission)?;
    node_restriction::validate(admission, object, old)?;
    rbac::validate(admission, object, old)?;
    certificates::validate(admission, object, old)?;
    pod_security::validate(admission, object)?;
    limit_ranger::validate(admission, object)?;
    plugins::validate(admission, object, old).await?;
    // The last, since it enters what it lets pass.
    resource_quota::validate(admission, object, old).await
}
