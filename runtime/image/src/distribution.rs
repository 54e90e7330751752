//! What pulling needs of the OCI distribution protocol: one registry, one credential. Every answer is read up to a bound and no further.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, RANGE, WWW_AUTHENTICATE};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use reqwest::Response;
use serde::Deserialize;

use crate::credentials::Credential;
use crate::error::ImageError;
use crate::manifest::{MANIFESTS, check_digest};
use crate::reference::Reference;
use crate::registry::{broken, causes, short};

/// What is read of an error's or a token's body.
const MOST_WORDS: u64 = 256 << 10;
/// Repositories whose tokens are kept.
const MOST_TOKENS: usize = 64;
/// How long a token is good that does not say.
const TOKEN_TIME: u64 = 60;
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A registry, spoken to with one credential or none.
pub(crate) struct Client {
    http: reqwest::Client,
    /// `https://ghcr.io`
    base: String,
    credential: Option<Credential>,
    /// By repository: what to send, and until when.
    tokens: Mutex<HashMap<String, (HeaderValue, Instant)>>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, base: String, credential: Option<Credential>) -> Client {
        Client { http, base, credential, tokens: Mutex::default() }
    }

    /// The digest that a reference has now; `None`: the registry does not say without the manifest.
    pub(crate) async fn digest(&self, reference: &Reference) -> Result<Option<String>, ImageError> {
        let response = self.request(Method::HEAD, reference, &manifest_path(reference), accepted()).await?;
        match response.status() {
            status if status.is_success() => {
                Ok(response.headers().get(CONTENT_DIGEST).and_then(|d| d.to_str().ok()).filter(|d| check_digest(d).is_ok()).map(str::to_owned))
            }
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(None),
            _ => Err(refused(reference, response).await),
        }
    }

    /// A manifest's bytes, at most `limit` of them.
    pub(crate) async fn manifest(&self, reference: &Reference, limit: u64) -> Result<Vec<u8>, ImageError> {
        let response = self.request(Method::GET, reference, &manifest_path(reference), accepted()).await?;
        if !response.status().is_success() {
            return Err(refused(reference, response).await);
        }
        match read(response, limit).await.map_err(|error| broken(reference, short(&causes(&error))))? {
            Read::Whole(bytes) => Ok(bytes),
            Read::Begin(bytes) => Err(ImageError::TooLarge { reference: reference.to_string(), what: "the manifest".into(), size: bytes.len() as u64, limit }),
        }
    }

    /// A blob from a byte on: its stream, and whether it begins there (else at the first byte).
    pub(crate) async fn blob(&self, reference: &Reference, digest: &str, from: u64) -> Result<(Response, bool), ImageError> {
        let mut headers = HeaderMap::new();
        if from > 0 {
            headers.insert(RANGE, HeaderValue::try_from(format!("bytes={from}-")).map_err(|error| broken(reference, error.to_string()))?);
        }
        let response = self.request(Method::GET, reference, &format!("blobs/{digest}"), headers).await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if from > 0 => Ok((response, true)),
            StatusCode::OK => Ok((response, false)),
            _ => Err(refused(reference, response).await),
        }
    }

    /// Sends a request; when the registry wants to know who asks, once more with what it wants.
    async fn request(&self, method: Method, reference: &Reference, path: &str, headers: HeaderMap) -> Result<Response, ImageError> {
        let repository = reference.repository();
        let url = format!("{}/v2/{repository}/{path}", self.base);
        let send = async |known: Option<HeaderValue>| {
            let mut headers = headers.clone();
            headers.extend(known.map(|known| (AUTHORIZATION, known)));
            self.http.request(method.clone(), &url).headers(headers).send().await.map_err(|error| broken(reference, short(&causes(&error.without_url()))))
        };
        let response = send(self.known(repository)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.tokens.lock().remove(repository);
        let challenges: Vec<Challenge> = response.headers().get_all(WWW_AUTHENTICATE).iter().filter_map(|c| Challenge::parse(c.to_str().ok()?)).collect();
        let of = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme));
        let (answer, lasts) = match (of("Bearer"), of("Basic"), &self.credential) {
            (Some(bearer), ..) => self.token(reference, bearer).await?,
            (None, Some(_), Some(credential)) => (basic(credential), TOKEN_TIME),
            _ => return Ok(response),
        };
        let response = send(Some(answer.clone())).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            let mut tokens = self.tokens.lock();
            if tokens.len() >= MOST_TOKENS {
                tokens.clear();
            }
            // A little before its end it is renewed.
            tokens.insert(repository.to_owned(), (answer, Instant::now() + Duration::from_secs(lasts.clamp(1, 3600) * 9 / 10)));
        }
        Ok(response)
    }

    fn known(&self, repository: &str) -> Option<HeaderValue> {
        let tokens = self.tokens.lock();
        tokens.get(repository).filter(|(_, until)| Instant::now() < *until).map(|(known, _)| known.clone())
    }

    /// A token from where the registry says that they are to be had.
    async fn token(&self, reference: &Reference, challenge: &Challenge) -> Result<(HeaderValue, u64), ImageError> {
        let failed = |words: String| broken(reference, format!("authenticating: {words}"));
        let realm = challenge.get("realm").ok_or_else(|| failed("the registry names no realm".into()))?;
        let mut url = reqwest::Url::parse(realm).map_err(|error| failed(format!("realm {:?}: {error}", short(realm))))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(failed(format!("realm {:?} is not for HTTP", short(realm))));
        }
        let scope =
            challenge.get("scope").filter(|scope| !scope.is_empty()).map_or_else(|| format!("repository:{}:pull", reference.repository()), str::to_owned);
        url.query_pairs_mut().append_pair("scope", &scope).extend_pairs(challenge.get("service").map(|service| ("service", service)));
        // A password goes over a line in the clear only where the registry itself is spoken to so.
        let private = url.scheme() == "https" || self.base.starts_with("http://");
        let mut request = self.http.get(url);
        if let Some(credential) = self.credential.as_ref().filter(|_| private) {
            request = request.header(AUTHORIZATION, basic(credential));
        }
        let response = request.send().await.map_err(|error| failed(short(&causes(&error.without_url()))))?;
        if !response.status().is_success() {
            return Err(refused(reference, response).await);
        }
        let Read::Whole(bytes) = read(response, MOST_WORDS).await.map_err(|error| failed(short(&causes(&error))))? else {
            return Err(failed(format!("a token of more than {MOST_WORDS} bytes")));
        };
        // Its words would quote the token.
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| failed("the token cannot be read".into()))?;
        let value = token.token.or(token.access_token).filter(|token| !token.is_empty()).ok_or_else(|| failed("there is no token in the answer".into()))?;
        let mut header = HeaderValue::try_from(format!("Bearer {value}")).map_err(|_| failed("the token is not text".into()))?;
        header.set_sensitive(true);
        Ok((header, token.expires_in.unwrap_or(TOKEN_TIME)))
    }
}

/// One way that a registry offers to say who one is.
struct Challenge {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// `Bearer realm="https://auth.example/token",service="example"`
    fn parse(text: &str) -> Option<Challenge> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = Vec::new();
        while let Some((name, after)) = rest.split_once('=') {
            let after = after.trim_start();
            let (value, left) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let end = quoted.bytes().scan(false, |escaped, byte| Some((std::mem::replace(escaped, byte == b'\\' && !*escaped), byte)));
                    let end = end.enumerate().find(|(_, (escaped, byte))| *byte == b'"' && !escaped)?.0;
                    (quoted[..end].replace("\\\"", "\""), &quoted[end + 1..])
                }
                None => {
                    let end = after.find(',').unwrap_or(after.len());
                    (after[..end].trim().to_owned(), &after[end..])
                }
            };
            parameters.push((name.trim_matches([',', ' ']).to_ascii_lowercase(), value));
            rest = left;
        }
        (!scheme.is_empty()).then(|| Challenge { scheme: scheme.to_owned(), parameters })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn manifest_path(reference: &Reference) -> String {
    format!("manifests/{}", reference.digest().or(reference.tag()).unwrap_or("latest"))
}

fn accepted() -> HeaderMap {
    MANIFESTS.iter().map(|media| (ACCEPT, HeaderValue::from_static(media))).collect()
}

fn basic(credential: &Credential) -> HeaderValue {
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", credential.user, credential.password));
    // Base64 is a valid value.
    let mut value = HeaderValue::try_from(format!("Basic {text}")).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

enum Read {
    Whole(Vec<u8>),
    /// There is more than was allowed.
    Begin(Vec<u8>),
}

async fn read(mut response: Response, limit: u64) -> Result<Read, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > limit {
            return Ok(Read::Begin(bytes));
        }
    }
    Ok(Read::Whole(bytes))
}

/// What a registry that refuses means.
async fn refused(reference: &Reference, response: Response) -> ImageError {
    let (name, status) = (reference.to_string(), response.status());
    let body = match read(response, MOST_WORDS).await {
        Ok(Read::Whole(bytes) | Read::Begin(bytes)) => bytes,
        Err(_) => Vec::new(),
    };
    let problems = serde_json::from_slice::<Errors>(&body).map(|errors| errors.errors).unwrap_or_default();
    let words: Vec<String> = problems.iter().map(|p| p.message.clone().filter(|m| !m.is_empty()).unwrap_or_else(|| p.code.clone())).collect();
    let words = if words.is_empty() { status.to_string() } else { short(&words.join(", ")) };
    let has = |codes: &[&str]| problems.iter().any(|problem| codes.contains(&problem.code.as_str()));
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ImageError::Denied { reference: name, message: words },
        _ if has(&["UNAUTHORIZED", "DENIED"]) => ImageError::Denied { reference: name, message: words },
        StatusCode::NOT_FOUND => ImageError::NotFound { reference: name },
        _ if has(&["MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND", "BLOB_UNKNOWN"]) => ImageError::NotFound { reference: name },
        _ => broken(reference, format!("unexpected answer of the registry: {words}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let parse = |text: &str| Challenge::parse(text).map(|c| format!("{} {:?}", c.scheme, c.parameters));
        assert_eq!(
            parse(r#"Bearer realm="https://a.b/token?x=1",service="a, \"b\"", scope=pull"#).unwrap(),
            r#"Bearer [("realm", "https://a.b/token?x=1"), ("service", "a, \"b\""), ("scope", "pull")]"#
        );
        assert_eq!(parse("Basic realm=\"x\"").unwrap(), r#"Basic [("realm", "x")]"#);
        assert_eq!(parse("Negotiate").unwrap(), "Negotiate []");
        for odd in ["", "Bearer realm=\"open", "Bearer realm=\"\\"] {
            assert!(parse(odd).is_none(), "{odd}");
        }
    }
}
