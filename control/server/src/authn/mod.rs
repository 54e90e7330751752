//! Who asks: an identity that the connection brought (client certificate, in-process client), else a bearer token, else nobody.

mod bootstrap_tokens;
pub(crate) mod impersonation;
pub(crate) mod tokens;
pub(crate) mod websocket;

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use wharf_api::status::ApiError;
use wharf_store::WatchCache;

use crate::Identity;
use tokens::Tokens;

/// The identity of a request. Nobody in particular is [`Identity::anonymous`]; credentials that are no good are refused.
pub(crate) fn authenticate(parts: &Parts, tokens: &Tokens, cache: &WatchCache) -> Result<Arc<Identity>, ApiError> {
    if let Some(identity) = parts.extensions.get::<Arc<Identity>>() {
        return Ok(identity.clone());
    }
    let token = match parts.headers.get(AUTHORIZATION) {
        Some(header) => Some(header.to_str().ok().and_then(bearer).ok_or_else(ApiError::unauthorized)?.to_owned()),
        None => websocket::token(&parts.headers)?,
    };
    let Some(token) = token else { return Ok(Arc::new(Identity::anonymous())) };
    if let Some((id, secret)) = bootstrap_tokens::parse(&token) {
        return bootstrap_tokens::authenticate(id, secret, cache).map(Arc::new).ok_or_else(ApiError::unauthorized);
    }
    match tokens.verify(&token, &[], cache) {
        Ok((identity, _)) => Ok(identity),
        Err(error) => {
            tracing::debug!(%error, "unable to authenticate the request");
            Err(ApiError::unauthorized())
        }
    }
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Paths for which nobody in particular may ask, RBAC permitting: health, version, and whose cluster it is for a machine that joins.
pub(crate) fn open_to_all(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz" | "/version" | "/version/" | "/api/v1/namespaces/kube-public/configmaps/cluster-info")
}
