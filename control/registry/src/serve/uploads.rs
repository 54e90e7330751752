//! Pushing blobs: whole, in chunks, or by mounting one of another repository.

use std::sync::Arc;

use axum::body::Body;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE};
use http::{Response, StatusCode};

use crate::access::{Action, Decision};
use crate::error::{Error, Result};
use crate::names::{Algorithm, Digest, is_repository};
use crate::range::sent;
use crate::registry::{Ask, failed, now};
use crate::serve::{UPLOAD_ID, blobs, created, empty, set};
use crate::uploads::{Chunk, Upload, location};

/// POST: mounts, takes a whole blob, or begins an upload.
pub(crate) async fn begin(ask: &Ask<'_>, name: &str, body: Body) -> Result<Response<Body>> {
    if let Some(mount) = ask.query.get("mount")
        && let Some(response) = self::mount(ask, name, mount).await?
    {
        return Ok(response);
    }
    let algorithm = match ask.query.get("digest-algorithm") {
        None => Algorithm::Sha256,
        Some(named) => Algorithm::parse(named).ok_or_else(|| Error::digest_invalid("the algorithm is not known here"))?,
    };
    let whole = ask.query.get("digest").map(blobs::digest).transpose()?;
    let upload = ask.inner.uploads.begin(name, whole.as_ref().map_or(algorithm, Digest::algorithm))?;
    let Some(digest) = whole else {
        let mut response = empty(StatusCode::ACCEPTED);
        tell(&mut response, &upload, 0);
        return Ok(response);
    };
    let finished = finish_with(ask, &upload, Chunk { range: None, length: length(ask), body }, digest).await;
    if finished.is_err() {
        // Nobody was told of it.
        let _ = ask.inner.uploads.cancel(&upload).await;
    }
    finished
}

/// A blob of another repository that the sender may read; `None`: it has to be pushed.
async fn mount(ask: &Ask<'_>, name: &str, mount: &str) -> Result<Option<Response<Body>>> {
    let digest = blobs::digest(mount)?;
    let may = |repository: &str| ask.inner.access.decide(ask.parts, Some((Action::Pull, repository))) == Decision::Allowed;
    let from = match ask.query.get("from") {
        Some(from) => Some(from.to_owned()).filter(|from| is_repository(from) && may(from)),
        None => ask.inner.index.holder(&digest, may).map_err(|error| failed("look for a blob", &error))?,
    };
    let Some(from) = from else { return Ok(None) };
    let (to, wanted) = (name.to_owned(), digest.clone());
    let mounted = ask.inner.blocking("mount a blob", move |inner| inner.index.mount(&from, &to, &wanted, now())).await?;
    Ok(mounted.then(|| created(&format!("/v2/{name}/blobs/{digest}"), &digest)))
}

/// GET: how far it is.
pub(crate) async fn status(ask: &Ask<'_>, name: &str, id: &str) -> Result<Response<Body>> {
    let upload = ask.inner.uploads.get(name, id)?;
    let offset = upload.offset().await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    tell(&mut response, &upload, offset);
    Ok(response)
}

/// PATCH: more bytes.
pub(crate) async fn append(ask: &Ask<'_>, name: &str, id: &str, body: Body) -> Result<Response<Body>> {
    let upload = ask.inner.uploads.get(name, id)?;
    let _turn = ask.inner.turn().await?;
    let offset = ask.inner.uploads.append(&upload, chunk(ask, body)?).await?;
    let mut response = empty(StatusCode::ACCEPTED);
    tell(&mut response, &upload, offset);
    Ok(response)
}

/// PUT: the last bytes, if there are more, and the digest of all.
pub(crate) async fn finish(ask: &Ask<'_>, name: &str, id: &str, body: Body) -> Result<Response<Body>> {
    let upload = ask.inner.uploads.get(name, id)?;
    let digest = ask.query.get("digest").ok_or_else(|| Error::digest_invalid("the digest of the blob is missing"))?;
    let digest = blobs::digest(digest)?;
    finish_with(ask, &upload, chunk(ask, body)?, digest).await
}

/// DELETE: nothing comes of it.
pub(crate) async fn cancel(ask: &Ask<'_>, name: &str, id: &str) -> Result<Response<Body>> {
    let upload = ask.inner.uploads.get(name, id)?;
    ask.inner.uploads.cancel(&upload).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn finish_with(ask: &Ask<'_>, upload: &Arc<Upload>, chunk: Chunk, digest: Digest) -> Result<Response<Body>> {
    let _turn = ask.inner.turn().await?;
    let finished = ask.inner.uploads.finish(upload, chunk, digest.clone()).await?;
    let (repository, wanted) = (upload.repository.clone(), digest.clone());
    let link = ask.inner.blocking("take in a blob", move |inner| {
        let linked = inner.index.link(&repository, &wanted, now(), || inner.files.place(&finished.path, &wanted));
        drop(finished);
        linked
    });
    link.await?;
    Ok(created(&format!("/v2/{}/blobs/{digest}", upload.repository), &digest))
}

fn chunk(ask: &Ask<'_>, body: Body) -> Result<Chunk> {
    let range = match ask.header(CONTENT_RANGE) {
        None => None,
        Some(text) => Some(sent(text).ok_or_else(|| Error::upload_invalid("Content-Range is not of the form FIRST-LAST"))?),
    };
    Ok(Chunk { range, length: length(ask), body })
}

fn length(ask: &Ask<'_>) -> Option<u64> {
    ask.header(CONTENT_LENGTH).and_then(|length| length.parse().ok())
}

fn tell(response: &mut Response<Body>, upload: &Upload, offset: u64) {
    set(response, LOCATION, &location(upload));
    set(response, RANGE, &format!("0-{}", offset.saturating_sub(1)));
    set(response, UPLOAD_ID, &upload.id);
}
