//! `serviceaccounts/token`: tokens that expire and are bound.

use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestStatus};
use k8s_openapi::api::core::v1::{Node, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use wharf_api::field::{Error, Errors, Path};
use wharf_api::meta::whole_second;
use wharf_api::status::ApiError;

use crate::Body;
use crate::ask::Ask;
use crate::authn::tokens::{Bound, Claims, ISSUER, Reference};
use crate::http::respond;

const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;
/// The node asks for 3607 seconds: such tokens are good for a year, for clients that never read the file again.
const PROJECTED: i64 = 3607;
const YEAR: i64 = 365 * 24 * 3600;

pub(crate) async fn create(ask: &Ask<'_>, body: &[u8]) -> Result<Response<Body>, ApiError> {
    let (json, _) = wharf_api::decode::to_json(body, ask.content_type(), "TokenRequest")?;
    let mut request: TokenRequest = super::binding::read(&json, "TokenRequest")?;
    let account: ServiceAccount = object(ask, "serviceaccounts", ask.namespace(), &ask.path.name)?;
    let spec = request.spec.get_or_insert_default();
    let audiences = spec.audiences.clone().filter(|a| !a.is_empty()).unwrap_or_else(|| vec![ISSUER.to_owned()]);
    spec.audiences = Some(audiences.clone());
    let seconds = *spec.expiration_seconds.get_or_insert(3600);
    let at = Path::new("spec.expirationSeconds");
    let mut errors = Errors::new();
    if seconds < MIN_SECONDS {
        errors.push(Error::invalid(&at, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > MAX_SECONDS {
        errors.push(Error::invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid("authentication.k8s.io", "TokenRequest", "", errors));
    }
    if request.metadata.name.as_deref().is_some_and(|n| !n.is_empty() && n != ask.path.name) {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            request.metadata.name.as_deref().unwrap_or_default(),
            ask.path.name
        )));
    }
    let uid = |meta: &ObjectMeta| meta.uid.clone().unwrap_or_default();
    let (mut pod, mut secret, mut node) = (None, None, None);
    if let Some(bound) = &spec.bound_object_ref {
        let name = bound.name.clone().unwrap_or_default();
        let matched = |found: String| match bound.uid.as_deref() {
            Some(wanted) if !wanted.is_empty() && wanted != found => Err(ApiError::conflict(
                "",
                "serviceaccounts/token",
                &ask.path.name,
                format!(
                    "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
                ),
            )),
            _ => Ok(Reference { name: name.clone(), uid: found }),
        };
        match (bound.kind.as_deref().unwrap_or_default(), bound.api_version.as_deref().unwrap_or_default()) {
            ("Pod", "v1") => {
                let found: Pod = object(ask, "pods", ask.namespace(), &name)?;
                let of = found.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).unwrap_or_default();
                if of != ask.path.name {
                    return Err(ApiError::bad_request(format!(
                        "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                        ask.path.name
                    )));
                }
                let on = found.spec.as_ref().and_then(|s| s.node_name.clone()).filter(|n| !n.is_empty());
                restrict(ask, on.as_deref())?;
                node = on.map(|n| Reference { uid: object::<Node>(ask, "nodes", "", &n).map(|n| uid(&n.metadata)).unwrap_or_default(), name: n });
                pod = Some(matched(uid(&found.metadata))?);
            }
            ("Secret", "v1") => secret = Some(matched(uid(&object::<Secret>(ask, "secrets", ask.namespace(), &name)?.metadata))?),
            ("Node", "v1") => node = Some(matched(uid(&object::<Node>(ask, "nodes", "", &name)?.metadata))?),
            (kind, version) => return Err(ApiError::bad_request(format!("cannot bind token to object of type {version}, Kind={kind}"))),
        }
    }
    if pod.is_none() {
        restrict(ask, None)?;
    }
    let now = whole_second(Timestamp::now());
    let issued = now.as_second();
    let projected = pod.is_some() && seconds == PROJECTED;
    let lifetime = if projected { YEAR } else { seconds };
    let claims = Claims {
        aud: audiences,
        exp: issued + lifetime,
        iat: issued,
        iss: ISSUER.to_owned(),
        jti: uuid::Uuid::new_v4().to_string(),
        kubernetes: Bound {
            namespace: ask.namespace().to_owned(),
            node,
            pod,
            secret,
            serviceaccount: Reference { name: ask.path.name.clone().into_owned(), uid: uid(&account.metadata) },
            warnafter: projected.then_some(issued + seconds),
        },
        nbf: issued,
        sub: format!("system:serviceaccount:{}:{}", ask.namespace(), ask.path.name),
    };
    let token = ask.shared.tokens.sign(&claims).map_err(ApiError::internal)?;
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(now);
    request.metadata.name = Some(ask.path.name.clone().into_owned());
    request.metadata.namespace = Some(ask.namespace().to_owned());
    request.metadata.uid.get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
    request.metadata.creation_timestamp = Some(Time(now));
    request.status = Some(TokenRequestStatus { expiration_timestamp: Some(Time(expires)), token: Some(token) });
    let value = serde_json::to_value(&request).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(respond::value(StatusCode::CREATED, &value, ask.accepted.format))
}

/// NodeRestriction: a node asks for tokens of Pods that run on it.
fn restrict(ask: &Ask<'_>, pod_on: Option<&str>) -> Result<(), ApiError> {
    let Some(node) = ask.identity.node_name() else { return Ok(()) };
    match pod_on {
        None => {
            Err(ApiError::forbidden("", "serviceaccounts", &ask.path.name, format!("node requested token not bound to a pod scheduled on this node, {node:?}")))
        }
        Some(on) if on != node => {
            Err(ApiError::forbidden("", "serviceaccounts", &ask.path.name, "node requested token bound to a pod scheduled on a different node"))
        }
        Some(_) => Ok(()),
    }
}

fn object<T: serde::de::DeserializeOwned>(ask: &Ask<'_>, plural: &str, namespace: &str, name: &str) -> Result<T, ApiError> {
    let item = ask.shared.cache().get(&wharf_store::key("", plural, namespace, name)).ok_or_else(|| ApiError::not_found("", plural, name))?;
    serde_json::from_slice(&item.json()).map_err(|e| ApiError::internal(e.to_string()))
}
