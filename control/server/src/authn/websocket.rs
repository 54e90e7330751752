//! Bearer tokens of browsers: a page cannot give a WebSocket headers, but it can name subprotocols, and one of them may carry a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderValue};
use wharf_api::status::ApiError;

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// The token that a WebSocket's subprotocols carry. There must be another subprotocol, which is the one to be spoken.
pub(super) fn token(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !headers.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        return Ok(None);
    }
    let (tokens, others): (Vec<&str>, Vec<&str>) = protocols(headers).partition(|protocol| protocol.starts_with(PREFIX));
    match *tokens {
        [] => Ok(None),
        [token] if !others.is_empty() => {
            let bytes = URL_SAFE_NO_PAD.decode(&token[PREFIX.len()..]).map_err(|_| ApiError::unauthorized())?;
            String::from_utf8(bytes).map(Some).map_err(|_| ApiError::unauthorized())
        }
        _ => Err(ApiError::unauthorized()),
    }
}

/// Takes tokens out of what is passed on to somebody else.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if protocols(headers).any(|protocol| protocol.starts_with(PREFIX)) {
        let others: Vec<&str> = protocols(headers).filter(|protocol| !protocol.starts_with(PREFIX)).collect();
        // They were part of a header's value before.
        let others = HeaderValue::from_str(&others.join(", "));
        headers.remove(SEC_WEBSOCKET_PROTOCOL);
        if let Ok(others) = others {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
        }
    }
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_among_subprotocols() {
        #[rustfmt::skip]
        let table = [
            // upgrade, subprotocols → token, what is passed on
            ("websocket", "base64url.bearer.authorization.k8s.io.dG9rZW4, v5.channel.k8s.io", "Ok(Some(\"token\"))", "v5.channel.k8s.io"),
            ("WebSocket", "v5.channel.k8s.io, v4.channel.k8s.io", "Ok(None)", "v5.channel.k8s.io, v4.channel.k8s.io"),
            ("websocket", "base64url.bearer.authorization.k8s.io.dG9rZW4", "Err(\"Unauthorized\")", ""),
            ("websocket", "base64url.bearer.authorization.k8s.io.!, v5.channel.k8s.io", "Err(\"Unauthorized\")", "v5.channel.k8s.io"),
            ("SPDY/3.1", "base64url.bearer.authorization.k8s.io.dG9rZW4, v5.channel.k8s.io", "Ok(None)", "v5.channel.k8s.io"),
        ];
        for (upgrade, protocols, wanted, passed) in table {
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols));
            let got = token(&headers).map_err(|error| error.message().to_owned());
            assert_eq!(format!("{got:?}"), wanted, "{protocols}");
            strip(&mut headers);
            assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], passed, "{protocols}");
        }
    }
}
