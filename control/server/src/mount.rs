//! Somebody else's paths on this server's port, under the cluster's authentication and RBAC: the image registry has `/v2/`.

use std::sync::{Arc, OnceLock};

use ::http::request::Parts;
use ::http::{Request, Response};
use futures::future::BoxFuture;
use wharf_api::status::ApiError;

use crate::authz::Attributes;
use crate::{ANONYMOUS, ApiServer, Body, Identity, authn};

/// What answers requests of such paths.
pub type Answer = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Paths and who answers them.
pub(crate) struct Mount {
    owns: fn(&str) -> bool,
    answer: Answer,
}

/// What somebody wants to do with a resource that this server does not have itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// RBAC's verb.
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The resource, in the plural.
    pub resource: &'a str,
    /// Empty at the cluster scope.
    pub namespace: &'a str,
    /// Which one.
    pub name: &'a str,
}

impl ApiServer {
    /// Has the paths that `owns` names answered by somebody else, once for all: what is asked for is theirs to authenticate
    /// ([`ApiServer::identify`]) and to authorize ([`ApiServer::allows`]).
    pub fn mount(&self, owns: fn(&str) -> bool, answer: Answer) {
        if self.shared.mount.set(Mount { owns, answer }).is_err() {
            tracing::warn!("something is mounted already");
        }
    }

    /// Who sends a request, by client certificate, bearer token or a password that is a token; `None`: nobody that is known.
    pub fn identify(&self, parts: &Parts) -> Option<Arc<Identity>> {
        let shared = &self.shared;
        let identity = match authn::password(parts) {
            Some(token) if parts.extensions.get::<Arc<Identity>>().is_none() => authn::of_token(&token, &shared.tokens, shared.cache()).ok()?,
            _ => authn::authenticate(parts, &shared.tokens, shared.cache()).ok()?,
        };
        if identity.user == ANONYMOUS {
            return None;
        }
        authn::impersonation::impersonate(&parts.headers, identity, &shared.authorizer).ok()
    }

    /// Whether RBAC allows it.
    ///
    /// # Errors
    /// The refusal in words.
    pub fn allows(&self, identity: &Identity, wish: &Wish<'_>) -> Result<(), String> {
        let Wish { verb, group, resource, namespace, name } = *wish;
        let attributes = Attributes { verb, group, plural: resource, namespace, name, ..Attributes::default() };
        self.shared.authorizer.authorize(identity, &attributes).map_err(|error: ApiError| error.message().to_owned())
    }
}

/// Who answers a path, if it is not this server.
pub(crate) fn find(mount: &OnceLock<Mount>, path: &str) -> Option<Answer> {
    mount.get().filter(|mount| (mount.owns)(path)).map(|mount| mount.answer.clone())
}
