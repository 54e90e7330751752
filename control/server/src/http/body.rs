//! Reading the body of a request, within bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use wharf_api::status::ApiError;

use crate::Body;

/// The largest body, as kube-apiserver has it.
pub(crate) const MAX_BODY: usize = 3 << 20;

/// How long a client may take to send it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(PATIENCE, collect(body)).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::timeout("request did not complete within the allotted timeout")),
    }
}

async fn collect(body: Body) -> Result<Bytes, ApiError> {
    use http_body::Body as _;
    let too_large = || ApiError::too_large(format!("limit is {MAX_BODY}"));
    let mut body = body;
    if body.size_hint().lower() > MAX_BODY as u64 {
        discard(&mut body).await;
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| ApiError::bad_request(format!("unable to read the body: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.as_ref().map_or(0, Bytes::len) + all.len() + data.len() > MAX_BODY {
            discard(&mut body).await;
            return Err(too_large());
        }
        // One frame, the usual case, is not copied.
        match &first {
            None if all.is_empty() => first = Some(data),
            Some(before) => {
                all.extend_from_slice(before);
                all.extend_from_slice(&data);
                first = None;
            }
            None => all.extend_from_slice(&data),
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

/// Lets a client finish sending what is too large, within reason: one that is cut off in the middle never sees the answer.
async fn discard(body: &mut Body) {
    let rest = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARDED {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_FOR, rest).await;
}

/// How much of a body is read only to be dropped.
const DISCARDED: usize = 256 << 20;
/// And for how long.
const DISCARD_FOR: Duration = Duration::from_secs(5);
