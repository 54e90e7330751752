//! A request's body on its way up: counted, where it does not say how long it is, and not waited for without end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::headers;
use crate::annotations::{Annotations, BodyLimit};
use crate::patience::Activity;
use crate::{Body, BoxError, pages};

/// What is known of a body that is under way.
pub(super) struct Upload {
    /// When a part of it came the last time; while the client keeps us waiting, nobody else is to blame.
    pub(super) activity: Activity,
    fault: AtomicU8,
}

const TOO_LARGE: u8 = 1;
const TOO_SLOW: u8 = 2;

impl Upload {
    /// The answer for a client that is to blame for the request's failure.
    pub(super) fn fault(&self) -> Option<StatusCode> {
        match self.fault.load(Ordering::Relaxed) {
            TOO_LARGE => Some(StatusCode::PAYLOAD_TOO_LARGE),
            TOO_SLOW => Some(StatusCode::REQUEST_TIMEOUT),
            _ => None,
        }
    }
}

pub(super) struct RequestBody {
    body: Incoming,
    left: u64,
    within: Duration,
    upload: Arc<Upload>,
    /// Made only when the client makes us wait.
    sleep: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl RequestBody {
    /// The body to send, and what becomes known of it; each of its parts must come `within` this time. No body costs nothing.
    pub(super) fn wrap(body: Incoming, annotations: &Annotations, within: Duration) -> (Body, Option<Arc<Upload>>) {
        if body.is_end_stream() {
            return (pages::empty(), None);
        }
        let left = match annotations.body_limit {
            BodyLimit::Bytes(bytes) => bytes,
            BodyLimit::Unlimited => u64::MAX,
        };
        let upload = Arc::new(Upload { activity: Activity::sending(annotations.send_timeout), fault: AtomicU8::new(0) });
        (RequestBody { body, left, within, upload: upload.clone(), sleep: None, waiting: false }.boxed_unsync(), Some(upload))
    }

    fn fail(&self, fault: u8, words: &str) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.upload.fault.store(fault, Ordering::Relaxed);
        Poll::Ready(Some(Err(words.into())))
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let deadline = tokio::time::Instant::now() + this.within;
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if !std::mem::replace(&mut this.waiting, true) {
                sleep.as_mut().reset(deadline);
                this.upload.activity.excuse(true);
            }
            ready!(sleep.as_mut().poll(cx));
            return this.fail(TOO_SLOW, "no part of the request's body came in time");
        };
        if std::mem::replace(&mut this.waiting, false) {
            this.upload.activity.excuse(false);
        }
        this.upload.activity.now();
        let mut frame = match frame {
            Some(Ok(frame)) => frame,
            other => return Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
        };
        if let Some(trailers) = frame.trailers_mut() {
            headers::clean_trailers(trailers);
        }
        match this.left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) {
            Some(left) => this.left = left,
            None => return this.fail(TOO_LARGE, "the request's body is larger than allowed"),
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // Nobody waits for the client any more: from here on the endpoint's time counts.
        self.upload.activity.excuse(false);
        self.upload.activity.sent();
    }
}
