//! Who asks.

use std::collections::BTreeMap;

/// An authenticated user, as `authentication.k8s.io/v1 UserInfo` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// User name, such as `system:node:worker2`.
    pub user: String,
    /// Groups, such as `system:nodes`. `system:authenticated` is added where it is missing.
    pub groups: Vec<String>,
    /// The uid of a ServiceAccount; empty otherwise.
    pub uid: String,
    /// What else is known, such as the Pod that a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// The group of everyone who authenticated.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of those who did not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The user name of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";

impl Identity {
    /// A user of these groups, and of `system:authenticated`.
    pub fn new(user: impl Into<String>, groups: &[&str]) -> Identity {
        Identity { user: user.into(), groups: groups.iter().map(|g| (*g).to_owned()).collect(), ..Identity::default() }.authenticated()
    }

    /// `kubernetes-admin` of `system:masters`.
    pub fn admin() -> Identity {
        Identity::new("kubernetes-admin", &[MASTERS])
    }

    /// The node `name`: `system:node:NAME` of `system:nodes`.
    pub fn node(name: &str) -> Identity {
        Identity::new(format!("system:node:{name}"), &["system:nodes"])
    }

    /// `system:kube-scheduler`.
    pub fn scheduler() -> Identity {
        Identity::new("system:kube-scheduler", &[])
    }

    /// A ServiceAccount, such as a controller's (`kube-system`, `deployment-controller`).
    pub fn service_account(namespace: &str, name: &str) -> Identity {
        let group = format!("system:serviceaccounts:{namespace}");
        Identity::new(format!("system:serviceaccount:{namespace}:{name}"), &["system:serviceaccounts", &group])
    }

    /// Who has no credentials.
    pub fn anonymous() -> Identity {
        Identity { user: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Identity::default() }
    }

    /// The node's name, when this is a node.
    pub fn node_name(&self) -> Option<&str> {
        let name = self.user.strip_prefix("system:node:")?;
        self.groups.iter().any(|g| g == "system:nodes").then_some(name)
    }

    /// Whether this user is of the group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    fn authenticated(mut self) -> Identity {
        if !self.is_in(AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.into());
        }
        self
    }
}
