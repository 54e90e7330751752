//! `continue` tokens, and the snapshots that they go on with.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use wharf_api::status::ApiError;
use wharf_store::{Snapshot, WatchCache};

/// Snapshots that are kept at most. They share structure with the cache, so each costs what changed since.
const MAX_KEPT: usize = 64;
/// How long a list may take to page through.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The snapshots of lists that somebody pages through.
#[derive(Default)]
pub(crate) struct Snapshots(Mutex<VecDeque<Kept>>);

struct Kept {
    resource: String,
    at: Instant,
    snapshot: Snapshot,
}

impl Snapshots {
    /// Keeps a snapshot for its next page.
    pub(crate) fn keep(&self, resource: &str, snapshot: &Snapshot) {
        let mut kept = self.0.lock();
        let now = Instant::now();
        kept.retain(|k| now.duration_since(k.at) < MAX_AGE);
        if kept.iter().any(|k| k.resource == resource && k.snapshot.revision() == snapshot.revision()) {
            return;
        }
        if kept.len() >= MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(Kept { resource: resource.to_owned(), at: now, snapshot: snapshot.clone() });
    }

    /// The objects of a resource as they were at a revision: kept, or unchanged since.
    pub(crate) fn at(&self, cache: &WatchCache, resource: &str, revision: u64) -> Option<Snapshot> {
        let now = Instant::now();
        let kept = self
            .0
            .lock()
            .iter()
            .find(|k| k.resource == resource && k.snapshot.revision() == revision && now.duration_since(k.at) < MAX_AGE)
            .map(|k| k.snapshot.clone());
        kept.or_else(|| {
            let current = cache.snapshot(resource);
            let events = cache.watch(resource, revision).ok()?.poll().ok()?;
            events.iter().all(|e| e.revision() > current.revision()).then(|| current.as_of(revision))
        })
    }
}

/// What a `continue` token says: which revision, and behind which key.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Token {
    v: String,
    /// The revision; -1 for whatever is current.
    pub(crate) rv: i64,
    /// The last key that was given, without the resource's prefix.
    pub(crate) start: String,
}

impl Token {
    pub(crate) fn new(revision: i64, start: &str) -> Token {
        Token { v: "meta.k8s.io/v1".into(), rv: revision, start: start.to_owned() }
    }

    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::json!({"v": self.v, "rv": self.rv, "start": self.start}).to_string())
    }

    pub(crate) fn decode(text: &str) -> Result<Token, ApiError> {
        let bad = |e: &dyn std::fmt::Display| ApiError::bad_request(format!("continue key is not valid: {e}"));
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|e| bad(&e))?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|e| bad(&e))?;
        if token.v != "meta.k8s.io/v1" {
            return Err(bad(&format_args!("server does not recognize this encoded version {:?}", token.v)));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_rubbish_is_refused() {
        let token = Token::new(42, "ns/name");
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        assert_eq!(Token::decode("rubbish!").unwrap_err().code(), 400);
    }
}
