//! Blobs: reading them whole or in part, and deleting them.

use axum::body::Body;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_NONE_MATCH, RANGE};
use http::{Method, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::error::{Error, Result};
use crate::index::Deleted;
use crate::names::{Digest, Reference};
use crate::range::{Wanted, wanted};
use crate::registry::{Ask, failed, now};
use crate::serve::{empty, set, tell_digest};

/// What is read of a file at a time.
const CHUNK: usize = 128 << 10;

pub(crate) fn digest(text: &str) -> Result<Digest> {
    Digest::parse(text).ok_or_else(|| Error::digest_invalid("not a digest, or of an algorithm that is not known here"))
}

pub(crate) async fn get(ask: &Ask<'_>, name: &str, text: &str) -> Result<Response<Body>> {
    let digest = digest(text)?;
    let index = &ask.inner.index;
    let fail = |error| failed("look for a blob", &error);
    match index.blob(name, &digest).map_err(fail)? {
        Some(at) => {
            // Who is told that it is there may count on it for a while.
            if ask.parts.method == Method::HEAD && at + ask.inner.options.grace.as_secs() / 2 < now() {
                let (repository, digest) = (name.to_owned(), digest.clone());
                ask.inner.blocking("remember a blob", move |inner| inner.index.touch(&repository, &digest, now())).await?;
            }
        }
        // Some clients read manifests here.
        None if index.manifest(name, &Reference::Digest(digest.clone())).map_err(fail)?.is_some() => {}
        None => return Err(Error::blob_unknown(text)),
    }
    let path = ask.inner.files.blob(&digest);
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::blob_unknown(text),
        _ => Error::io("read a blob", &error),
    };
    let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
    let size = file.metadata().await.map_err(failed)?.len();
    if ask.header(IF_NONE_MATCH).is_some_and(|tags| tags.contains(digest.as_str())) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        tell_digest(&mut response, &digest);
        return Ok(response);
    }
    let (first, length, status) = match wanted(ask.header(RANGE), size) {
        Wanted::All => (0, size, StatusCode::OK),
        Wanted::Part(first, last) => (first, last - first + 1, StatusCode::PARTIAL_CONTENT),
        Wanted::Nothing => return Err(Error::range_not_satisfiable(size)),
    };
    let body = if ask.parts.method == Method::HEAD {
        Body::empty()
    } else {
        file.seek(std::io::SeekFrom::Start(first)).await.map_err(failed)?;
        Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK))
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, ACCEPT_RANGES, "bytes");
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, &format!("bytes {first}-{}/{size}", first + length - 1));
    }
    tell_digest(&mut response, &digest);
    Ok(response)
}

pub(crate) async fn delete(ask: &Ask<'_>, name: &str, text: &str) -> Result<Response<Body>> {
    let (repository, digest) = (name.to_owned(), digest(text)?);
    match ask.inner.blocking("delete a blob", move |inner| inner.index.delete_blob(&repository, &digest)).await? {
        Deleted::Done => Ok(empty(StatusCode::ACCEPTED)),
        Deleted::Unknown => Err(Error::blob_unknown(text)),
        Deleted::Referenced(manifest) => Err(Error::unsupported(format!("the manifest {manifest} needs this blob; delete the manifest first"))),
    }
}
