//! ServiceAccount tokens of a Pod: asked for once, and again when four fifths of their life (or a day) have passed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use tokio::sync::Mutex;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The tokens of one Pod.
pub struct Tokens {
    client: Arc<kube::Client>,
    namespace: String,
    name: String,
    uid: String,
    known: Mutex<Vec<Token>>,
}

/// When a token is good. (What it is, is in the volume's file.)
struct Token {
    audience: Box<str>,
    seconds: i64,
    issued: Timestamp,
    expires: Timestamp,
}

impl Tokens {
    /// For a Pod: its tokens are bound to it, and die with it.
    pub fn new(client: Arc<kube::Client>, namespace: &str, name: &str, uid: &str) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned(), uid: uid.to_owned(), known: Mutex::default() }
    }

    /// When the first of them is to be replaced.
    pub fn due(&self) -> Option<Timestamp> {
        self.known.try_lock().ok()?.iter().map(Token::due).min()
    }

    /// A token of `account` for an audience (empty: the API server's), valid about so many seconds: that in the file, while it is good.
    pub async fn get(&self, account: &str, audience: &str, seconds: i64, file: &Path) -> Result<String, String> {
        let mut known = self.known.lock().await;
        let now = Timestamp::now();
        let same = |token: &Token| *token.audience == *audience && token.seconds == seconds;
        if known.iter().any(|token| same(token) && token.due() > now)
            && let Ok(text) = tokio::fs::read_to_string(file).await
        {
            return Ok(text);
        }
        let api: kube::Api<ServiceAccount> = kube::Api::namespaced((*self.client).clone(), &self.namespace);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!audience.is_empty()).then(|| vec![audience.to_owned()]).or(Some(vec![])),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(self.name.clone()),
                    uid: Some(self.uid.clone()),
                }),
                expiration_seconds: Some(seconds),
                ..Default::default()
            }),
            ..Default::default()
        };
        let answer = tokio::time::timeout(Duration::from_secs(30), api.create_token_request(account, &Default::default(), &request)).await;
        let failed = |words: &dyn std::fmt::Display| format!("failed to fetch token: {words}");
        let status = match answer {
            Ok(Ok(answer)) => answer.status.ok_or_else(|| failed(&"the answer has no status"))?,
            Ok(Err(kube::Error::Api(status))) => return Err(failed(&status.message)),
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(failed(&"timed out")),
        };
        let (Some(text), Some(expires)) = (status.token, status.expiration_timestamp) else { return Err(failed(&"the answer has no token")) };
        known.retain(|token| !same(token));
        known.push(Token { audience: audience.into(), seconds, issued: now, expires: expires.0 });
        Ok(text)
    }
}

impl Token {
    /// When it is to be replaced.
    fn due(&self) -> Timestamp {
        let life = self.expires.duration_since(self.issued);
        self.issued.checked_add((life * 4 / 5).min(DAY)).unwrap_or(self.expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_in_time() {
        let t = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let token = |life| Token { audience: "".into(), seconds: life, issued: t(0), expires: t(life) };
        assert_eq!((token(3600).due(), token(400_000).due()), (t(2880), t(86_400)));
    }
}
