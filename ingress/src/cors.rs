//! Cross-origin requests, as ingress-nginx' `enable-cors` answers them. Pure.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderValue, ORIGIN, VARY,
};

/// What the annotations `cors-…` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `cors-allow-origin`: `*`, or origins such as `https://example.com` and `https://*.example.com`.
    origins: Vec<String>,
    methods: HeaderValue,
    headers: HeaderValue,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: u32,
}

impl Default for Cors {
    fn default() -> Cors {
        Cors {
            origins: vec!["*".to_owned()],
            methods: HeaderValue::from_static("GET, PUT, POST, DELETE, PATCH, OPTIONS"),
            headers: HeaderValue::from_static("DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization"),
            expose: None,
            credentials: true,
            max_age: 1_728_000,
        }
    }
}

impl Cors {
    /// Reads one annotation; `None`: not one of these, else whether it is understood.
    pub(crate) fn read(&mut self, name: &str, value: &str) -> Option<bool> {
        let header = || HeaderValue::from_str(value).ok();
        let understood = match name {
            "cors-allow-origin" => {
                let origins: Vec<String> = value.split(',').map(|origin| origin.trim().to_owned()).filter(|origin| !origin.is_empty()).collect();
                (!origins.is_empty()).then(|| self.origins = origins)
            }
            "cors-allow-methods" => header().map(|methods| self.methods = methods),
            "cors-allow-headers" => header().map(|headers| self.headers = headers),
            "cors-expose-headers" => header().map(|headers| self.expose = Some(headers)),
            "cors-allow-credentials" => value.parse().ok().map(|on| self.credentials = on),
            "cors-max-age" => value.parse().ok().map(|age| self.max_age = age),
            _ => return None,
        };
        Some(understood.is_some())
    }

    /// The origin of a request that may be answered to; `None`: none, or another.
    pub(crate) fn origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.iter().any(|origin| origin == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let given = headers.get(ORIGIN)?;
        let text = given.to_str().ok()?;
        self.origins.iter().any(|origin| fits(origin, text)).then(|| given.clone())
    }

    /// What a response to that origin says.
    pub(crate) fn tell(&self, origin: HeaderValue, preflight: bool, headers: &mut HeaderMap) {
        let any = origin == "*";
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !any {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        if preflight {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age));
        }
    }
}

/// `https://*.example.com` stands for one label or more.
fn fits(allowed: &str, origin: &str) -> bool {
    let Some((scheme, domain)) = allowed.split_once("*.") else { return allowed.eq_ignore_ascii_case(origin) };
    let Some(host) = origin.strip_prefix(scheme) else { return false };
    let label = host.len().checked_sub(domain.len() + 1).filter(|length| *length > 0).and_then(|length| host.get(..length));
    label.is_some_and(|label| host[label.len()..] == format!(".{domain}") && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin_of(cors: &Cors, origin: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        cors.origin(&headers).map(|origin| origin.to_str().unwrap().to_owned())
    }

    #[test]
    fn origins() {
        let mut cors = Cors::default();
        assert_eq!(origin_of(&cors, "https://any.test").as_deref(), Some("*"));
        assert_eq!(cors.read("cors-allow-origin", "https://a.test, https://*.b.test"), Some(true));
        for (origin, allowed) in [
            ("https://a.test", true),
            ("http://a.test", false),
            ("https://a.test.evil", false),
            ("https://x.b.test", true),
            ("https://x.y.b.test", true),
            ("https://b.test", false),
            ("https://.b.test", false),
            ("https://evil/x.b.test", false),
        ] {
            assert_eq!(origin_of(&cors, origin).is_some(), allowed, "{origin}");
        }
    }

    #[test]
    fn a_preflight_is_told_more() {
        let cors = Cors::default();
        let (mut plain, mut preflight) = (HeaderMap::new(), HeaderMap::new());
        cors.tell(HeaderValue::from_static("https://a.test"), false, &mut plain);
        cors.tell(HeaderValue::from_static("*"), true, &mut preflight);
        assert_eq!(plain.len(), 3);
        assert_eq!(plain[VARY], "Origin");
        assert_eq!(preflight[ACCESS_CONTROL_MAX_AGE], "1728000");
        assert!(!preflight.contains_key(VARY));
    }
}
