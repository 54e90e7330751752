//! The world `ingress`: heads of requests and responses in, changes of them out.

use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

use crate::bindings::ingress::exports::wharf::plugin::middleware as wit;
use crate::plugin::{CallError, Plugin, Pre};

/// Bytes of an answer's body, and of the context of a response.
const MAX_BODY: usize = 4 << 20;
const MAX_CONTEXT: usize = 64 << 10;
/// Headers that a plugin sets or removes, and bytes of all of them.
const MAX_HEADERS: usize = 128;
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Headers that belong to a connection or to the body that passes by.
const NOT_ITS_OWN: [HeaderName; 5] = [CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE];

/// A request as a plugin sees it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// Such as `GET`.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// The host that was asked for.
    pub authority: &'a str,
    /// The target.
    pub path_with_query: &'a str,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub client: &'a str,
    /// `namespace/name` of the Ingress.
    pub ingress: &'a str,
}

/// Changes of headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// These go.
    pub remove: Vec<HeaderName>,
    /// These take the place of those of their names.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

impl Changes {
    /// Makes them.
    pub fn apply(self, headers: &mut HeaderMap) {
        for name in self.remove {
            headers.remove(name);
        }
        for (name, _) in &self.set {
            headers.remove(name);
        }
        for (name, value) in self.set {
            headers.append(name, value);
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes on.
    Proceed {
        /// With these headers.
        changes: Changes,
        /// The plugin wants to see the response's head, with this.
        context: Option<Vec<u8>>,
    },
    /// It is answered.
    Answer {
        /// The status.
        status: http::StatusCode,
        /// Its headers.
        headers: HeaderMap,
        /// Its body.
        body: Vec<u8>,
    },
}

impl Plugin {
    /// Asks about a request.
    ///
    /// # Errors
    /// When there is no answer, or one that makes no sense.
    pub async fn on_request(&self, request: RequestHead<'_>) -> Result<Decision, CallError> {
        let request = wit::Request {
            method: request.method.to_owned(),
            scheme: request.scheme.to_owned(),
            authority: request.authority.to_owned(),
            path_with_query: request.path_with_query.to_owned(),
            headers: list(request.headers),
            client: request.client.to_owned(),
            ingress: request.ingress.to_owned(),
        };
        let decision = self
            .call(move |pre, store| {
                Box::pin(async move {
                    let Pre::Ingress(pre) = pre else { return Err(wasmtime::format_err!("not of the world ingress")) };
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.wharf_plugin_middleware().call_on_request(store, &request).await
                })
            })
            .await?;
        decide(decision).map_err(CallError::Nonsense)
    }

    /// Asks about a response.
    ///
    /// # Errors
    /// When there is no answer, or one that makes no sense.
    pub async fn on_response(&self, context: Vec<u8>, status: http::StatusCode, headers: &HeaderMap) -> Result<Changes, CallError> {
        let response = wit::Response { status: status.as_u16(), headers: list(headers) };
        let changes = self
            .call(move |pre, store| {
                Box::pin(async move {
                    let Pre::Ingress(pre) = pre else { return Err(wasmtime::format_err!("not of the world ingress")) };
                    let plugin = pre.instantiate_async(&mut *store).await?;
                    plugin.wharf_plugin_middleware().call_on_response(store, &context, &response).await
                })
            })
            .await?;
        changed(changes).map_err(CallError::Nonsense)
    }
}

fn list(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

fn decide(decision: wit::Decision) -> Result<Decision, String> {
    match decision {
        wit::Decision::Proceed(proceed) => {
            if let Some(context) = proceed.context.as_ref().filter(|c| c.len() > MAX_CONTEXT) {
                return Err(format!("its context has {} bytes, the limit is {MAX_CONTEXT}", context.len()));
            }
            Ok(Decision::Proceed { changes: changed(proceed.changes)?, context: proceed.context })
        }
        wit::Decision::Answer(answer) => {
            let status = http::StatusCode::from_u16(answer.status).ok().filter(|s| (200..600).contains(&s.as_u16()));
            let status = status.ok_or_else(|| format!("it answers with the status {}", answer.status))?;
            if answer.body.len() > MAX_BODY {
                return Err(format!("its body has {} bytes, the limit is {MAX_BODY}", answer.body.len()));
            }
            let mut headers = HeaderMap::new();
            for (name, value) in given(answer.headers)? {
                headers.append(name, value);
            }
            Ok(Decision::Answer { status, headers, body: answer.body })
        }
    }
}

fn changed(changes: wit::Changes) -> Result<Changes, String> {
    if changes.remove.len() > MAX_HEADERS {
        return Err(format!("it removes {} headers, the limit is {MAX_HEADERS}", changes.remove.len()));
    }
    let remove = changes.remove.iter().map(|name| header(name)).collect::<Result<_, _>>()?;
    Ok(Changes { remove, set: given(changes.set)? })
}

fn given(headers: Vec<(String, Vec<u8>)>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(format!("it sets {} headers of {bytes} bytes, the limits are {MAX_HEADERS} and {MAX_HEADER_BYTES}", headers.len()));
    }
    let one = |(name, value): (String, Vec<u8>)| {
        let valid = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).map_err(|_| format!("the value of its header {name:?} is none"))?;
        Ok((header(&name)?, valid))
    };
    headers.into_iter().map(one).collect()
}

fn header(name: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
    if NOT_ITS_OWN.contains(&name) { Err(format!("it may not touch the header {name}")) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proceed(remove: &[&str], set: &[(&str, &[u8])]) -> wit::Decision {
        let set = set.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        let remove = remove.iter().map(|n| (*n).to_owned()).collect();
        wit::Decision::Proceed(wit::Proceed { changes: wit::Changes { remove, set }, context: None })
    }

    #[test]
    fn nonsense_is_found() {
        let answer = |status, headers: &[(&str, &[u8])], body| {
            let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
            wit::Decision::Answer(wit::Answer { status, headers, body })
        };
        for (decision, words) in [
            (proceed(&["a b"], &[]), "no name of a header"),
            (proceed(&[], &[("x", b"a\r\nb: c")]), "value of its header"),
            (proceed(&[], &[("content-length", b"0")]), "may not touch"),
            (proceed(&["Connection"], &[]), "may not touch"),
            (proceed(&[], &[("x", &[b'a'; MAX_HEADER_BYTES])]), "the limits are"),
            (proceed(&["x"; MAX_HEADERS + 1], &[]), "the limit is"),
            (answer(101, &[], Vec::new()), "status 101"),
            (answer(7, &[], Vec::new()), "status 7"),
            (answer(200, &[("transfer-encoding", b"chunked")], Vec::new()), "may not touch"),
            (answer(200, &[], vec![0; MAX_BODY + 1]), "body has"),
        ] {
            let error = decide(decision).unwrap_err();
            assert!(error.contains(words), "{error} / {words}");
        }
    }

    #[test]
    fn changes_remove_and_then_replace() {
        let Decision::Proceed { changes, .. } = decide(proceed(&["a", "b"], &[("b", b"2"), ("C", b"3"), ("c", b"4")])).unwrap() else { panic!() };
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "0"), ("b", "0"), ("c", "0"), ("d", "0")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        changes.apply(&mut headers);
        let all: Vec<String> = headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
        let mut all = all;
        all.sort();
        assert_eq!(all, ["b=2", "c=3", "c=4", "d=0"]);
    }
}
