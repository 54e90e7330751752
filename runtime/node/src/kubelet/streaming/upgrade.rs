//! The upgrade of a request to SPDY: which of the client's protocols is spoken on the streams.

use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::refuse;

const PROTOCOL: HeaderName = HeaderName::from_static("x-stream-protocol-version");
const ACCEPTED: HeaderName = HeaderName::from_static("x-accepted-stream-protocol-versions");

/// The answer that upgrades, and the protocol: the first of the client's that is `supported`.
pub(super) fn to_spdy(headers: &HeaderMap, supported: &[&'static str]) -> Result<(Response, &'static str), Box<Response>> {
    let has = |name: HeaderName, wanted: &str| tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted));
    if !has(CONNECTION, "upgrade") || !has(UPGRADE, "SPDY/3.1") {
        return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request")));
    }
    let mut asked = tokens(headers, PROTOCOL).peekable();
    if asked.peek().is_none() {
        return Err(Box::new(refuse(StatusCode::BAD_REQUEST, "unable to upgrade: X-Stream-Protocol-Version is required")));
    }
    let all: Vec<&str> = asked.collect();
    let Some(chosen) = all.iter().find_map(|protocol| supported.iter().copied().find(|s| s == protocol)) else {
        let words = format!("unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]", all.join(" "), supported.join(" "));
        let mut refusal = refuse(StatusCode::FORBIDDEN, &words);
        for protocol in supported {
            refusal.headers_mut().append(ACCEPTED, HeaderValue::from_static(protocol));
        }
        return Err(Box::new(refusal));
    };
    let upgrade = [(CONNECTION, "Upgrade"), (UPGRADE, "SPDY/3.1"), (PROTOCOL, chosen)];
    Ok(((StatusCode::SWITCHING_PROTOCOLS, upgrade).into_response(), chosen))
}

/// What a header lists, over all the times that it is there.
fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_first_that_is_known() {
        let spdy = "connection: keep-alive, Upgrade\nupgrade: SPDY/3.1\n";
        #[rustfmt::skip]
        let table = [
            (spdy, "x-stream-protocol-version: v4.channel.k8s.io\nx-stream-protocol-version: channel.k8s.io", "v4.channel.k8s.io"),
            (spdy, "x-stream-protocol-version: v9.channel.k8s.io, channel.k8s.io", "channel.k8s.io"),
            (spdy, "x-stream-protocol-version: v9.channel.k8s.io", "403 Forbidden"),
            (spdy, "", "400 Bad Request"),
            ("connection: close\nupgrade: SPDY/3.1\n", "x-stream-protocol-version: channel.k8s.io", "400 Bad Request"),
            ("", "", "400 Bad Request"),
        ];
        for (upgrade, protocols, wanted) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in upgrade.lines().chain(protocols.lines()).filter_map(|line| line.split_once(": ")) {
                headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            }
            let got = match to_spdy(&headers, &["v4.channel.k8s.io", "channel.k8s.io"]) {
                Ok((_, chosen)) => chosen.to_owned(),
                Err(refusal) => refusal.status().to_string(),
            };
            assert_eq!(got, wanted, "{headers:?}");
        }
    }
}
