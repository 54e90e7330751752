//! May they? RBAC for everyone, the Node authorizer for nodes, everything for `system:masters`.

pub(crate) mod aggregate;
pub(crate) mod escalation;
mod index;
pub(crate) mod node;
pub(crate) mod rbac;
pub(crate) mod reviews;

use std::borrow::Cow;

use wharf_api::status::{ApiError, Details};

use crate::http::path::RequestInfo;
use crate::{Identity, MASTERS};

pub(crate) use index::RbacCache;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) subresource: &'a str,
    /// Empty at the cluster scope.
    pub(crate) namespace: &'a str,
    /// Empty for collections.
    pub(crate) name: &'a str,
    /// The path, when this is no resource.
    pub(crate) path: Option<&'a str>,
    /// The field selector of a list or watch, which may narrow it to what a node is allowed to see.
    pub(crate) field_selector: &'a str,
}

impl<'a> Attributes<'a> {
    pub(crate) fn of(info: &'a RequestInfo<'a>, field_selector: &'a str) -> Attributes<'a> {
        match &info.resource {
            None => Attributes { verb: info.verb, path: Some(info.path), ..Attributes::default() },
            Some(r) => Attributes {
                verb: info.verb,
                group: r.group,
                plural: r.plural,
                subresource: r.subresource,
                namespace: &r.namespace,
                // As Kubernetes has it, a list or watch of one name by field selector counts as of that name. Nothing else does: what a
                // create makes is not what its query says.
                name: if r.name.is_empty() && matches!(info.verb, "list" | "watch") { single_name(field_selector) } else { &r.name },
                path: None,
                field_selector,
            },
        }
    }

    /// `pods/log`, or `pods`.
    pub(crate) fn resource(&self) -> Cow<'a, str> {
        if self.subresource.is_empty() { Cow::Borrowed(self.plural) } else { Cow::Owned(format!("{}/{}", self.plural, self.subresource)) }
    }

    /// Why not, as the 403 says it.
    pub(crate) fn refusal(&self, user: &str, reason: &str) -> String {
        let words = match self.path {
            Some(path) => format!("User {user:?} cannot {} path {path:?}", self.verb),
            None => {
                let place = if self.namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {:?}", self.namespace) };
                format!("User {user:?} cannot {} resource {:?} in API group {:?} {place}", self.verb, self.resource(), self.group)
            }
        };
        if reason.is_empty() { words } else { format!("{words}: {reason}") }
    }

    /// The 403.
    pub(crate) fn forbidden(&self, user: &str, reason: &str) -> ApiError {
        if self.path.is_some() {
            return ApiError::new(403, "Forbidden", format!("forbidden: {}", self.refusal(user, reason)), Some(Details::default()));
        }
        ApiError::forbidden(self.group, self.plural, self.name, self.refusal(user, reason))
    }
}

/// The name in `metadata.name=x`, alone or as a part of a selector.
pub(crate) fn single_name(field_selector: &str) -> &str {
    field_value(field_selector, "metadata.name")
}

/// What `field` has to equal, by a field selector; empty when it says nothing of it.
pub(crate) fn field_value<'a>(selector: &'a str, field: &str) -> &'a str {
    let mut terms = selector.split(',');
    terms.find_map(|t| t.strip_prefix(field)?.strip_prefix('=')).map_or("", |v| v.strip_prefix('=').unwrap_or(v))
}

/// The answer of an authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow {
        reason: String,
    },
    /// Nobody allowed it; the reason is empty where there is nothing to add.
    NoOpinion {
        reason: String,
    },
}

/// All authorizers together.
pub(crate) struct Authorizer {
    pub(crate) rbac: RbacCache,
    pub(crate) node: node::NodeAuthorizer,
}

impl Authorizer {
    /// Whether it is allowed; `Err` has the reason to add to the refusal. The hot path: gives no reasons for what is allowed.
    pub(crate) fn check(&self, identity: &Identity, attributes: &Attributes<'_>) -> Result<(), String> {
        if identity.is_in(MASTERS) {
            return Ok(());
        }
        let mut reason = String::new();
        if let Some(node) = identity.node_name() {
            match self.node.authorize(node, attributes) {
                Ok(()) => return Ok(()),
                Err(why) => reason = why,
            }
        }
        if self.rbac.index().allows(identity, attributes) { Ok(()) } else { Err(reason) }
    }

    /// The same as the 403 to answer with.
    pub(crate) fn authorize(&self, identity: &Identity, attributes: &Attributes<'_>) -> Result<(), ApiError> {
        self.check(identity, attributes).map_err(|reason| attributes.forbidden(&identity.user, &reason))
    }

    /// The same with the reason of an allowance, for access reviews.
    pub(crate) fn explain(&self, identity: &Identity, attributes: &Attributes<'_>) -> Decision {
        if identity.is_in(MASTERS) {
            return Decision::Allow { reason: String::new() };
        }
        let mut reason = String::new();
        if let Some(node) = identity.node_name() {
            match self.node.authorize(node, attributes) {
                Ok(()) => return Decision::Allow { reason: String::new() },
                Err(why) => reason = why,
            }
        }
        match self.rbac.index().find(identity, attributes) {
            Some(reason) => Decision::Allow { reason },
            None => Decision::NoOpinion { reason },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_in_words() {
        let list = Attributes { verb: "list", plural: "pods", namespace: "a", ..Attributes::default() };
        assert_eq!(list.forbidden("jane", "").message(), r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "a""#);
        let get = Attributes { verb: "get", group: "apps", plural: "deployments", subresource: "scale", name: "d", ..Attributes::default() };
        assert_eq!(
            get.forbidden("jane", "").message(),
            r#"deployments.apps "d" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" at the cluster scope"#
        );
        let path = Attributes { verb: "get", path: Some("/metrics"), ..Attributes::default() };
        assert_eq!(path.forbidden("jane", "").message(), r#"forbidden: User "jane" cannot get path "/metrics""#);
        assert_eq!(single_name("metadata.name=a"), "a");
        assert_eq!(field_value("x=1,spec.nodeName==n", "spec.nodeName"), "n");
        assert_eq!(single_name("metadata.name!=a"), "");
    }
}
