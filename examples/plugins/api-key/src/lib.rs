//! A middleware: a request needs an API key, `x-api-key: …` or `authorization: Bearer …`.
//!
//! `spec.config` has the keys that are good: `keys`, lines of `NAME KEY` (best from a Secret). The backend is told whose key it was
//! (`x-api-user`) and never sees the key. Responses say that they must not be cached for others.

use wharf_plugin::ingress::{Answer, Changes, Decision, Middleware, Request, Response};
use wharf_plugin::{config, ingress, log};

struct ApiKey;

impl Middleware for ApiKey {
    fn on_request(request: &Request) -> Decision {
        let bearer = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let Some(given) = request.header("x-api-key").or(bearer) else {
            return Answer::new(401).header("www-authenticate", "Bearer").text("an API key is needed: x-api-key or authorization: Bearer\n").into();
        };
        let keys = config::get("keys").unwrap_or_default();
        let known = keys.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
        // All of them are compared, so that the time that it takes tells nothing.
        let user = known.fold(None, |found, (name, key)| if same(key.trim(), given) { Some(name) } else { found });
        let Some(user) = user else {
            log::warn(format!("an unknown key from {} for {}", request.client, request.ingress));
            return Answer::new(403).text("this API key is unknown\n").into();
        };
        let changes = Changes::new().remove("x-api-key").remove("authorization").set("x-api-user", user);
        Decision::from(changes).and_then(user)
    }

    fn on_response(_user: Vec<u8>, response: &Response) -> Changes {
        if response.header("cache-control").is_some() { Changes::new() } else { Changes::new().set("cache-control", "private") }
    }
}

ingress!(ApiKey);

fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}
