//! Manifests: by tag or digest.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, IF_NONE_MATCH};
use http::{Method, Response, StatusCode};

use crate::error::{Error, Result};
use crate::files;
use crate::index::{Deleted, NewManifest};
use crate::manifest;
use crate::names::{Algorithm, Reference, is_tag};
use crate::registry::{Ask, failed, now};
use crate::serve::{created, empty, set, tell_digest};

/// Tags that one push may set.
const MAX_TAGS: usize = 64;
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");

fn reference(text: &str) -> Result<Reference> {
    Reference::parse(text).ok_or_else(|| if text.contains(':') { Error::digest_invalid("not a digest") } else { Error::tag_invalid(text) })
}

pub(crate) async fn get(ask: &Ask<'_>, name: &str, text: &str) -> Result<Response<Body>> {
    let found = ask.inner.index.manifest(name, &reference(text)?).map_err(|error| failed("look for a manifest", &error))?;
    let (digest, record) = found.ok_or_else(|| Error::manifest_unknown(name, text))?;
    let unchanged = ask.header(IF_NONE_MATCH).is_some_and(|tags| tags.contains(digest.as_str()));
    let mut response = if unchanged {
        empty(StatusCode::NOT_MODIFIED)
    } else if ask.parts.method == Method::HEAD {
        Response::new(Body::empty())
    } else {
        // It was bounded when it was pushed.
        let bytes = tokio::fs::read(ask.inner.files.blob(&digest)).await.map_err(|error| Error::io("read a manifest", &error))?;
        Response::new(Body::from(bytes))
    };
    if !unchanged {
        set(&mut response, CONTENT_TYPE, &record.media_type);
        set(&mut response, CONTENT_LENGTH, &record.size.to_string());
    }
    tell_digest(&mut response, &digest);
    Ok(response)
}

pub(crate) async fn put(ask: &Ask<'_>, name: &str, text: &str, body: Body) -> Result<Response<Body>> {
    let _turn = ask.inner.turn().await?;
    let reference = reference(text)?;
    let mut tags: Vec<String> = ask.query.all("tag").map(str::to_owned).collect();
    if tags.len() > MAX_TAGS {
        return Err(Error::too_many(format!("more than {MAX_TAGS} tags at once")));
    }
    if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
        return Err(Error::tag_invalid(bad));
    }
    let bytes = read(body, ask.inner.options.max_manifest, ask.inner.options.idle).await?;
    let algorithm = match &reference {
        Reference::Digest(digest) => digest.algorithm(),
        Reference::Tag(_) => Algorithm::Sha256,
    };
    let digest = files::digest(algorithm, &bytes);
    match reference {
        Reference::Digest(wanted) if wanted != digest => {
            return Err(Error::digest_invalid(format!("the manifest's digest is {digest}, not {wanted}")));
        }
        Reference::Digest(_) => {}
        Reference::Tag(tag) => tags.insert(0, tag),
    }
    let record = manifest::parse(&bytes, ask.header(CONTENT_TYPE).unwrap_or_default(), now()).map_err(Error::manifest_invalid)?;
    let subject = record.subject.clone();
    let (repository, pushed, more) = (name.to_owned(), digest.clone(), tags.clone());
    let put = ask.inner.blocking("push a manifest", move |inner| {
        let temporary = inner.files.write(&bytes)?;
        let new = NewManifest { repository: &repository, digest: &pushed, record: &record, tags: &more };
        let put = inner.index.put_manifest(&new, now(), || inner.files.place(&temporary, &pushed));
        if !matches!(put, Ok(Ok(()))) {
            let _ = std::fs::remove_file(&temporary);
        }
        put
    });
    if let Err(missing) = put.await? {
        return Err(Error::manifest_blob_unknown(&missing));
    }
    let mut response = created(&format!("/v2/{name}/manifests/{digest}"), &digest);
    if let Some(subject) = subject {
        set(&mut response, SUBJECT, subject.as_str());
    }
    if ask.query.get("tag").is_some() {
        set(&mut response, TAG, &tags.join(", "));
    }
    Ok(response)
}

pub(crate) async fn delete(ask: &Ask<'_>, name: &str, text: &str) -> Result<Response<Body>> {
    let (repository, reference) = (name.to_owned(), reference(text)?);
    let deleted = ask.inner.blocking("delete a manifest", move |inner| match &reference {
        Reference::Tag(tag) => inner.index.delete_tag(&repository, tag, now()),
        Reference::Digest(digest) => inner.index.delete_manifest(&repository, digest),
    });
    match deleted.await? {
        Deleted::Done => Ok(empty(StatusCode::ACCEPTED)),
        _ => Err(Error::manifest_unknown(name, text)),
    }
}

/// A body of at most `limit` bytes.
async fn read(body: Body, limit: u64, idle: Duration) -> Result<Vec<u8>> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::new();
    loop {
        match tokio::time::timeout(idle, frames.next()).await {
            Err(_) => return Err(Error::interrupted("the client did not go on sending")),
            Ok(None) => return Ok(bytes),
            Ok(Some(Err(error))) => return Err(Error::interrupted(format!("the request broke off: {error}"))),
            Ok(Some(Ok(frame))) => {
                if (bytes.len() + frame.len()) as u64 > limit {
                    return Err(Error::too_large("the manifest", limit));
                }
                bytes.extend_from_slice(&frame);
            }
        }
    }
}
