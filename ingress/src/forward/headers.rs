//! Headers on their way: what belongs to one connection is removed, and the upstream is told who asks.

use http::header::{
    AUTHORIZATION, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

use super::Connection;
use crate::Location;

static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
static ORIGINAL_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-original-forwarded-for");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static SCHEME: HeaderName = HeaderName::from_static("x-scheme");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY: HeaderName = HeaderName::from_static("proxy");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Makes a client's headers those of the upstream's request. What a client claims about who it is, is replaced: it could be anybody.
pub(super) fn prepare(headers: &mut HeaderMap, connection: &Connection, host: HeaderValue, location: &Location) {
    strip_hop_by_hop(headers);
    strip_odd_names(headers);
    headers.remove(&HTTP2_SETTINGS);
    headers.remove(&PROXY);
    headers.remove(PROXY_AUTHORIZATION);
    headers.remove(EXPECT);
    headers.reserve(10);
    let scheme = HeaderValue::from_static(if connection.secure { "https" } else { "http" });
    if let Some(original) = headers.insert(&FORWARDED_FOR, connection.client.clone()) {
        headers.insert(&ORIGINAL_FORWARDED_FOR, original);
    }
    headers.insert(&REAL_IP, connection.client.clone());
    headers.insert(&FORWARDED_PORT, connection.port.clone());
    headers.insert(&FORWARDED_PROTO, scheme.clone());
    headers.insert(&FORWARDED_SCHEME, scheme.clone());
    headers.insert(&SCHEME, scheme);
    if !headers.contains_key(&REQUEST_ID) {
        headers.insert(&REQUEST_ID, new_request_id());
    }
    headers.insert(&FORWARDED_HOST, host.clone());
    let vhost = location.annotations.upstream_vhost.as_deref().and_then(|vhost| HeaderValue::from_str(vhost).ok());
    headers.insert(HOST, vhost.unwrap_or(host));
}

/// Removes what concerns one connection only (RFC 9110, 7.6.1), and whatever `Connection` names.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Almost always there is none, or one plain word.
    let plain = |value: &HeaderValue| [&b"keep-alive"[..], b"close"].iter().any(|word| value.as_bytes().eq_ignore_ascii_case(word));
    if !headers.get_all(CONNECTION).iter().all(plain) {
        let options = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let named: Vec<HeaderName> = options.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).filter(|name| *name != HOST).collect();
        for name in named {
            headers.remove(name);
        }
    }
    headers.remove(CONNECTION);
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &PROXY_AUTHENTICATE, &TE, &TRANSFER_ENCODING, &UPGRADE] {
        headers.remove(name);
    }
}

/// Removes headers whose names nginx does not take either (`underscores_in_headers off`): to many a backend `x_real_ip` is `x-real-ip`.
fn strip_odd_names(headers: &mut HeaderMap) {
    let plain = |name: &HeaderName| name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !headers.keys().all(plain) {
        let odd: Vec<HeaderName> = headers.keys().filter(|name| !plain(name)).cloned().collect();
        for name in odd {
            headers.remove(name);
        }
    }
}

/// Trailers may not say what headers may not: some backends take the two for one.
pub(super) fn clean_trailers(trailers: &mut HeaderMap) {
    strip_hop_by_hop(trailers);
    strip_odd_names(trailers);
    for name in [&FORWARDED_FOR, &FORWARDED_HOST, &FORWARDED_PORT, &FORWARDED_PROTO, &FORWARDED_SCHEME, &REAL_IP, &SCHEME, &HOST, &PROXY, &AUTHORIZATION] {
        trailers.remove(name);
    }
}

/// The protocol that a request wants to switch to. Never HTTP/2 in the clear: its requests would pass by all rules.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE)?;
    let mut offered = protocol.as_bytes().split(|byte| *byte == b',').map(|name| name.trim_ascii().split(|byte| *byte == b'/').next().unwrap_or_default());
    if offered.any(|name| name.eq_ignore_ascii_case(b"h2c") || name.eq_ignore_ascii_case(b"http")) {
        return None;
    }
    let mut options = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("upgrade")).then(|| protocol.clone())
}

/// The URI of a request for an endpoint that speaks HTTP/2: its authority is what `Host` says.
pub(super) fn whole_uri(parts: &http::request::Parts) -> Option<http::Uri> {
    let mut uri = parts.uri.clone().into_parts();
    uri.scheme = Some(http::uri::Scheme::HTTP);
    uri.authority = Some(parts.headers.get(HOST)?.as_bytes().try_into().ok()?);
    uri.path_and_query.get_or_insert_with(|| http::uri::PathAndQuery::from_static("/"));
    http::Uri::from_parts(uri).ok()
}

/// Puts back what a switch of protocols needs.
pub(super) fn keep_upgrade(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol.clone());
}

/// 32 random hexadecimal digits.
fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random: u128 = rand::random();
    let mut text = [0; 32];
    for (i, byte) in text.iter_mut().enumerate() {
        *byte = DIGITS[(random >> (4 * i)) as usize & 15];
    }
    // Hexadecimal digits are a valid value.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn hop_by_hop_headers_go() {
        let mut all = headers(&[
            ("connection", "close, X-Private , host"),
            ("x-private", "1"),
            ("host", "a"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("host", "a"), ("accept", "*/*")]));
        let mut two = headers(&[("x-private", "1"), ("x-other", "1"), ("accept", "*/*")]);
        two.append("connection", HeaderValue::from_static("close"));
        two.append("connection", HeaderValue::from_bytes(b"\xfc, x-private").unwrap());
        two.append("connection", HeaderValue::from_static("x-other"));
        strip_hop_by_hop(&mut two);
        assert_eq!(two, headers(&[("accept", "*/*")]), "what any of several names");
    }

    #[test]
    fn odd_names_and_trailers() {
        let mut all = headers(&[("x_real_ip", "1"), ("x.y", "1"), ("x-y", "1")]);
        strip_odd_names(&mut all);
        assert_eq!(all, headers(&[("x-y", "1")]));
        let mut trailers = headers(&[("x-forwarded-for", "1"), ("x_real_ip", "1"), ("connection", "x-z"), ("x-z", "1"), ("host", "h"), ("x-checksum", "1")]);
        clean_trailers(&mut trailers);
        assert_eq!(trailers, headers(&[("x-checksum", "1")]));
    }

    #[test]
    fn upgrades_are_recognised() {
        assert_eq!(wants_upgrade(&headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).unwrap(), "websocket");
        assert!(wants_upgrade(&headers(&[("upgrade", "websocket")])).is_none());
        assert!(wants_upgrade(&headers(&[("connection", "upgrade")])).is_none());
        for smuggled in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0"] {
            assert!(wants_upgrade(&headers(&[("connection", "upgrade"), ("upgrade", smuggled)])).is_none(), "{smuggled}");
        }
    }

    #[test]
    fn request_ids_differ() {
        let (a, b) = (new_request_id(), new_request_id());
        assert!(a != b && a.len() == 32 && a.as_bytes().iter().all(u8::is_ascii_hexdigit));
    }
}
