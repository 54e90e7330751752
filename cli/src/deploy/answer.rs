//! Whether a URL answers.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;

/// Between two tries.
const AGAIN: Duration = Duration::from_millis(20);
/// Of one try.
const TRY: Duration = Duration::from_secs(10);
/// How long nobody may listen at the Ingress' address, and how long the function may fail, before that is how it is.
const SETTLED: Duration = Duration::from_secs(3);
/// What is read of a page to tell whose it is.
const PAGE: usize = 64 << 10;

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The function answers with this.
    Yes(StatusCode),
    /// Nobody listens there, seen from here.
    Unreachable(String),
    /// The Ingress has no way to the function.
    No(StatusCode),
}

/// Asks for `/` of a host at the Ingress' address until the function itself answers.
pub(super) async fn wait(ingress: &str, host: &str, timeout: Duration) -> Answered {
    let begin = tokio::time::Instant::now();
    loop {
        let answered = match tokio::time::timeout(TRY, ask(ingress, host)).await {
            Ok(Ok((status, page))) => judge(status, &page),
            Ok(Err(error)) => Answered::Unreachable(error),
            Err(_) => Answered::Unreachable(format!("no answer within {} s", TRY.as_secs())),
        };
        let waited = begin.elapsed();
        let settled = match &answered {
            Answered::Yes(status) => !status.is_server_error() || waited >= SETTLED,
            Answered::Unreachable(_) => waited >= SETTLED,
            Answered::No(_) => false,
        };
        if settled || waited >= timeout {
            return answered;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The pages of the Ingress itself are not the function's answers; what it says of a function that failed is.
fn judge(status: StatusCode, page: &[u8]) -> Answered {
    let own = page.windows(13).any(|window| window == b"wharf ingress") || page.starts_with(b"default backend");
    match status {
        StatusCode::NOT_FOUND | StatusCode::SERVICE_UNAVAILABLE if own => Answered::No(status),
        _ => Answered::Yes(status),
    }
}

async fn ask(ingress: &str, host: &str) -> Result<(StatusCode, Bytes), String> {
    let uri: Uri = ingress.parse().map_err(|_| format!("{ingress} is not a URL"))?;
    let (name, port) = (uri.host().unwrap_or_default().trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let words = |error: &dyn std::fmt::Display| format!("{name}:{port}: {error}");
    let stream = tokio::net::TcpStream::connect((name, port)).await.map_err(|error| words(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| words(&error))?;
    let connection = tokio::spawn(connection);
    let request = Request::get("/").header("host", host).header("user-agent", "wharf-deploy").body(Empty::<Bytes>::new()).map_err(|error| words(&error))?;
    let response = sender.send_request(request).await.map_err(|error| words(&error))?;
    let status = response.status();
    let page = Limited::new(response.into_body(), PAGE).collect().await.map(|page| page.to_bytes()).unwrap_or_default();
    connection.abort();
    Ok((status, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_answer_it_is() {
        let own = b"<hr><center>wharf ingress</center>";
        for (status, page, want) in [
            (404, own.as_slice(), Answered::No(StatusCode::NOT_FOUND)),
            (503, own, Answered::No(StatusCode::SERVICE_UNAVAILABLE)),
            (502, own, Answered::Yes(StatusCode::BAD_GATEWAY)),
            (404, b"no such page", Answered::Yes(StatusCode::NOT_FOUND)),
            (200, own, Answered::Yes(StatusCode::OK)),
        ] {
            assert_eq!(judge(StatusCode::from_u16(status).unwrap(), page), want, "{status}");
        }
    }
}
