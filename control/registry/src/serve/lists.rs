//! Lists, a page at a time: tags, repositories, referrers.

use axum::body::Body;
use http::header::{HeaderName, LINK};
use http::{Response, header};
use serde_json::{Value, json};

use crate::access::{Action, Decision};
use crate::error::{Error, Result};
use crate::manifest::OCI_INDEX;
use crate::registry::{Ask, failed};
use crate::route::encode;
use crate::serve::{blobs, json, set};

/// Entries of a page, at most and where nobody says.
const PAGE: usize = 1000;
/// Bytes of a page of referrers, which carry their annotations: about as much as a manifest may have.
const REFERRERS_PAGE: usize = 2 << 20;
const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// `n`, within bounds.
fn count(ask: &Ask<'_>) -> Result<usize> {
    match ask.query.get("n") {
        None | Some("") => Ok(PAGE),
        Some(text) => {
            let n: usize = text.parse().map_err(|_| Error::pagination("n is not a number of entries"))?;
            Ok(n.min(PAGE))
        }
    }
}

/// The way to the next page.
fn next(response: &mut Response<Body>, path: &str, query: &str) {
    set(response, LINK, &format!("<{path}?{query}>; rel=\"next\""));
}

/// `/v2/NAME/tags/list`
pub(crate) fn tags(ask: &Ask<'_>, name: &str) -> Result<Response<Body>> {
    let n = count(ask)?;
    let found = ask.inner.index.tags(name, ask.query.get("last"), n).map_err(|error| failed("list tags", &error))?;
    let (tags, more) = found.ok_or_else(|| Error::name_unknown(name))?;
    let mut response = json(&json!({"name": name, "tags": tags}), "application/json");
    if let Some(last) = tags.last().filter(|_| more) {
        next(&mut response, &format!("/v2/{name}/tags/list"), &format!("n={n}&last={}", encode(last)));
    }
    Ok(response)
}

/// `/v2/_catalog`: the repositories that the sender may pull from.
pub(crate) fn catalog(ask: &Ask<'_>) -> Result<Response<Body>> {
    let n = count(ask)?;
    let may = |name: &str| ask.inner.access.decide(ask.parts, Some((Action::Pull, name))) == Decision::Allowed;
    let found = ask.inner.index.repositories(ask.query.get("last"), n, may).map_err(|error| failed("list repositories", &error))?;
    let (names, more) = found;
    let mut response = json(&json!({"repositories": names}), "application/json");
    if let Some(last) = names.last().filter(|_| more) {
        next(&mut response, "/v2/_catalog", &format!("n={n}&last={}", encode(last)));
    }
    Ok(response)
}

/// `/v2/NAME/referrers/DIGEST`
pub(crate) fn referrers(ask: &Ask<'_>, name: &str, digest: &str) -> Result<Response<Body>> {
    let subject = blobs::digest(digest)?;
    let wanted = ask.query.get("artifactType").filter(|wanted| !wanted.is_empty());
    let (mut manifests, mut size, mut last) = (Vec::new(), 0, None);
    let take = |digest: crate::Digest, record: crate::manifest::Record| {
        if wanted.is_some() && wanted != record.artifact_type.as_deref() {
            return true;
        }
        let mut descriptor = json!({"mediaType": record.media_type, "size": record.size, "digest": digest.as_str()});
        if let Some(artifact_type) = record.artifact_type {
            descriptor["artifactType"] = Value::String(artifact_type);
        }
        if !record.annotations.is_empty() {
            descriptor["annotations"] = json!(record.annotations);
        }
        let bytes = descriptor.to_string().len();
        // One that is larger than a page has a page of its own.
        if size > 0 && size + bytes > REFERRERS_PAGE {
            return false;
        }
        size += bytes;
        last = Some(digest);
        manifests.push(descriptor);
        true
    };
    let more = ask.inner.index.referrers(name, &subject, ask.query.get("last"), take).map_err(|error| failed("list referrers", &error))?;
    let mut response = json(&json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}), OCI_INDEX);
    debug_assert!(response.headers().contains_key(header::CONTENT_TYPE));
    if wanted.is_some() {
        set(&mut response, FILTERS, "artifactType");
    }
    if let Some(last) = last.filter(|_| more) {
        let filter = wanted.map(|wanted| format!("&artifactType={}", encode(wanted))).unwrap_or_default();
        next(&mut response, &format!("/v2/{name}/referrers/{subject}"), &format!("last={}{filter}", encode(last.as_str())));
    }
    Ok(response)
}
