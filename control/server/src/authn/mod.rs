//! Who asks: an identity that the connection brought (client certificate, in-process client), else a bearer token, else nobody.

mod bootstrap_tokens;
pub(crate) mod impersonation;
pub(crate) mod tokens;
pub(crate) mod websocket;

use std::sync::Arc;

use base64::Engine as _;
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
    of_token(&token, tokens, cache)
}

/// Whose token it is.
pub(crate) fn of_token(token: &str, tokens: &Tokens, cache: &WatchCache) -> Result<Arc<Identity>, ApiError> {
    if let Some((id, secret)) = bootstrap_tokens::parse(token) {
        return bootstrap_tokens::authenticate(id, secret, cache).map(Arc::new).ok_or_else(ApiError::unauthorized);
    }
    match tokens.verify(token, &[], cache) {
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

/// The password of `Authorization: Basic`, for clients that know no other way to send a token; the user's name says nothing.
pub(crate) fn password(parts: &Parts) -> Option<String> {
    let (scheme, text) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let basic = scheme.eq_ignore_ascii_case("basic");
    let bytes = basic.then(|| base64::engine::general_purpose::STANDARD.decode(text.trim()).ok()).flatten()?;
    let (_, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// Paths for which nobody in particular may ask, RBAC permitting: health, version, and whose cluster it is for a machine that joins.
pub(crate) fn open_to_all(path: &str) -> bool {
    matches!(path, "/healthz" | "/livez" | "/readyz" | "/version" | "/version/" | "/api/v1/namespaces/kube-public/configmaps/cluster-info")
}
