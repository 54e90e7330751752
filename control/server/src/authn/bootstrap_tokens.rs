//! Bootstrap tokens: what a machine shows that wants to become a node. Each is a Secret `bootstrap-token-ID` of `kube-system`.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/>

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use wharf_store::WatchCache;

use crate::Identity;

/// The group of all who show a bootstrap token.
const GROUP: &str = "system:bootstrappers";

#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    data: BTreeMap<String, String>,
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

/// The id and the secret of a token that has the form of one (`abcdef.0123456789abcdef`).
pub(crate) fn parse(token: &str) -> Option<(&str, &str)> {
    let plain = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let (id, secret) = token.split_once('.')?;
    (plain(id, 6) && plain(secret, 16)).then_some((id, secret))
}

/// Who shows this token; `None` when it is no good.
pub(crate) fn authenticate(id: &str, secret: &str, cache: &WatchCache) -> Option<Identity> {
    let item = cache.get(&wharf_store::key("", "secrets", "kube-system", &format!("bootstrap-token-{id}")))?;
    decide(&item.json(), id, secret, Timestamp::now())
}

fn decide(json: &[u8], id: &str, secret: &str, now: Timestamp) -> Option<Identity> {
    let object: Secret = serde_json::from_slice(json).ok()?;
    let get = |name: &str| object.data.get(name).and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let good = object.r#type == "bootstrap.kubernetes.io/token"
        && object.metadata.deletion_timestamp.is_none()
        && get("token-id").as_deref() == Some(id)
        && same(get("token-secret")?.as_bytes(), secret.as_bytes())
        && get("usage-bootstrap-authentication").as_deref() == Some("true");
    // What cannot be read as a time has passed.
    let expired = get("expiration").is_some_and(|text| text.parse::<Timestamp>().map_or(true, |end| end <= now));
    if !good || expired {
        return None;
    }
    let mut groups = vec![GROUP.to_owned()];
    for group in get("auth-extra-groups").unwrap_or_default().split(',').map(str::trim).filter(|g| !g.is_empty()) {
        // Other groups a token may not give.
        if !group.starts_with("system:bootstrappers:") {
            return None;
        }
        groups.push(group.to_owned());
    }
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    Some(Identity::new(format!("system:bootstrap:{id}"), &groups))
}

/// Compares without telling by its time how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_form_of_a_token_is_one() {
        assert_eq!(parse("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for other in ["", "abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef.x", "a.b.c"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_secret_says_who_may_come() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let secret = |change: &[(&str, &str)]| {
            let mut data = BTreeMap::from([("token-id", "abcdef"), ("token-secret", "0123456789abcdef"), ("usage-bootstrap-authentication", "true")]);
            data.extend(change.iter().copied());
            let data: BTreeMap<_, _> = data.into_iter().map(|(k, v)| (k, STANDARD.encode(v))).collect();
            json!({"metadata": {}, "type": "bootstrap.kubernetes.io/token", "data": data}).to_string()
        };
        let ask = |json: &str| decide(json.as_bytes(), "abcdef", "0123456789abcdef", now).map(|i| (i.user, i.groups));
        let (user, groups) = ask(&secret(&[("auth-extra-groups", "system:bootstrappers:nodes")])).unwrap();
        assert_eq!(user, "system:bootstrap:abcdef");
        assert!(groups.contains(&"system:bootstrappers".to_owned()) && groups.contains(&"system:bootstrappers:nodes".to_owned()), "{groups:?}");
        assert!(ask(&secret(&[("expiration", "2026-01-01T12:00:01Z")])).is_some());
        for (name, value) in [
            ("token-secret", "0123456789abcdee"),
            ("token-id", "abcdee"),
            ("usage-bootstrap-authentication", "false"),
            ("expiration", "2026-01-01T12:00:00Z"),
            ("expiration", "tomorrow"),
            ("auth-extra-groups", "system:masters"),
        ] {
            assert_eq!(ask(&secret(&[(name, value)])), None, "{name}={value}");
        }
        assert_eq!(ask(&secret(&[]).replace("bootstrap.kubernetes.io/token", "Opaque")), None);
    }
}
