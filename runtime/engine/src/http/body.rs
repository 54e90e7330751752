//! Bodies of responses: small ones at once, others while the guest goes on writing.

use super::serve::Work;
use crate::{Body, BoxError};
use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime_wasi_http::WasiBody;

/// Up to here a body is collected before the reply is begun: it then has a length, and goes out in one write.
const SMALL: usize = 16 << 10;

/// What there was without waiting.
pub(super) enum Collected {
    /// That was all.
    Whole(Bytes),
    /// The begin; more may come, after what has been taken out already.
    Begun(Bytes, Option<Frame<Bytes>>),
    /// The guest broke off. Nothing was sent yet, so that this can be said.
    Broken,
}

/// Takes what the guest has written already, and lets it write as long as it does not wait.
pub(super) async fn collect_ready(work: &mut Work, body: &mut WasiBody) -> Collected {
    let mut bytes = Bytes::new();
    let mut joined = BytesMut::new();
    let end = std::future::poll_fn(|cx| {
        loop {
            let _ = work.poll(cx);
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(End::Whole),
                Poll::Ready(Some(Err(_))) => return Poll::Ready(End::Broken),
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers need a reply that is chunked.
                    let data = match frame.into_data() {
                        Ok(data) => data,
                        Err(trailers) => return Poll::Ready(End::Begun(Some(trailers))),
                    };
                    if bytes.is_empty() && joined.is_empty() {
                        bytes = data;
                    } else {
                        // A second piece: from here on they are copied together.
                        joined.extend_from_slice(&std::mem::take(&mut bytes));
                        joined.extend_from_slice(&data);
                    }
                    if bytes.len().max(joined.len()) > SMALL {
                        return Poll::Ready(End::Begun(None));
                    }
                }
                Poll::Pending => return Poll::Ready(End::Begun(None)),
            }
        }
    })
    .await;
    let bytes = if joined.is_empty() { bytes } else { joined.freeze() };
    match end {
        End::Whole => Collected::Whole(bytes),
        End::Begun(next) => Collected::Begun(bytes, next),
        End::Broken => Collected::Broken,
    }
}

enum End {
    Whole,
    Begun(Option<Frame<Bytes>>),
    Broken,
}

/// A body whose polling lets the guest go on.
pub(super) struct Live {
    work: Option<Work>,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Taken from the body already.
    head: Option<Frame<Bytes>>,
    next: Option<Frame<Bytes>>,
    body: Body,
}

impl Live {
    pub(super) fn new(work: Work, head: Bytes, next: Option<Frame<Bytes>>, body: Body) -> Self {
        let killed = Box::pin(work.killed().clone().cancelled_owned());
        Self { work: Some(work), killed, head: (!head.is_empty()).then(|| Frame::data(head)), next, body }
    }
}

impl http_body::Body for Live {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(frame) = self.head.take().or_else(|| self.next.take()) {
            return Poll::Ready(Some(Ok(frame)));
        }
        if self.killed.as_mut().poll(cx).is_ready() {
            self.work = None;
            return Poll::Ready(Some(Err("the container was ended".into())));
        }
        if let Some(work) = &mut self.work
            && work.poll(cx).is_ready()
        {
            self.work = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            // The guest sees that nobody reads on.
            self.body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            work.finish();
        }
    }
}
