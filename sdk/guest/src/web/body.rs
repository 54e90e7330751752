//! A body: bytes, or a stream of them.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Error};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};

/// The most that [`Body::bytes`], [`Body::text`] and [`Body::json`] take.
const MAX: usize = 16 << 20;

/// A request's or response's body. Made of texts and bytes by `into()`.
pub struct Body(UnsyncBoxBody<Bytes, Error>);

impl Body {
    /// Of a body of another kind: one that streams, for instance.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Error>,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }

    /// All of it: up to 16 MiB. To read more, read frame by frame: it is an [`http_body::Body`].
    pub async fn bytes(self) -> Result<Bytes, Error> {
        match Limited::new(self.0, MAX).collect().await {
            Ok(all) => Ok(all.to_bytes()),
            Err(e) if e.is::<LengthLimitError>() => Err(anyhow::anyhow!("the body is larger than {MAX} bytes")),
            Err(e) => Err(anyhow::anyhow!(e).context("read the body")),
        }
    }

    /// All of it, as a text.
    pub async fn text(self) -> Result<String, Error> {
        String::from_utf8(self.bytes().await?.into()).context("the body is no text")
    }

    /// All of it, as what is described by this JSON.
    pub async fn json<T: serde::de::DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_slice(&self.bytes().await?).context("read the body as JSON")
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Default for Body {
    fn default() -> Self {
        Bytes::new().into()
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Body").finish_non_exhaustive()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
    }
}

macro_rules! from {
    ($($of:ty),*) => {
        $(impl From<$of> for Body {
            fn from(of: $of) -> Self {
                Bytes::from(of).into()
            }
        })*
    };
}
from!(String, Vec<u8>, &'static str, &'static [u8]);

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::default()
    }
}
