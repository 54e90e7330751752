//! ServiceAccount tokens: JWTs signed by the cluster, bound to the account and perhaps to a Pod, a Secret or a Node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wharf_store::WatchCache;

use crate::{Identity, StartError};

/// Who issues the tokens, and the audience of those for the API server itself.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";
/// Verified tokens that are remembered.
const MAX_REMEMBERED: usize = 10_000;

/// Signs and verifies tokens.
pub(crate) struct Tokens {
    signing: EncodingKey,
    verifying: DecodingKey,
    key_id: String,
    validation: Validation,
    /// Claims of tokens whose signature was good, by the hash of the token.
    verified: Mutex<HashMap<[u8; 32], Arc<Verified>>>,
    public_point: Vec<u8>,
}

struct Verified {
    claims: Claims,
    identity: Arc<Identity>,
}

/// Why a token is no good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the token is malformed, of another issuer or its signature is wrong: {0}")]
    Invalid(#[from] jsonwebtoken::errors::Error),
    #[error("service account token has expired")]
    Expired,
    #[error("token audiences {0:?} is invalid for the target audiences {1:?}")]
    Audience(Vec<String>, Vec<String>),
    #[error("service account token has been invalidated: {0} is gone")]
    Invalidated(String),
}

/// The claims, as Kubernetes writes them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: Vec<String>,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) iss: String,
    pub(crate) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) kubernetes: Bound,
    pub(crate) nbf: i64,
    pub(crate) sub: String,
}

/// What a token is bound to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Reference>,
    pub(crate) serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warnafter: Option<i64>,
}

/// An object by name and uid.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

impl Tokens {
    pub(crate) fn new(key_pem: &str) -> Result<Tokens, StartError> {
        let failed = |e: &dyn std::fmt::Display| StartError::ServiceAccountKey(e.to_string());
        let pair = rcgen::KeyPair::from_pem(key_pem).map_err(|e| failed(&e))?;
        let signing = EncodingKey::from_ec_pem(key_pem.as_bytes()).map_err(|e| failed(&e))?;
        let verifying = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes()).map_err(|e| failed(&e))?;
        let public_point = pair.public_key_raw().to_vec();
        let key_id = base64url(&Sha256::digest(&public_point));
        let mut validation = Validation::new(Algorithm::ES256);
        // Time and audience are looked at below, on every use and not only the first.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Ok(Tokens { signing, verifying, key_id, validation, verified: Mutex::default(), public_point })
    }

    /// A signed token.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = None;
        header.kid = Some(self.key_id.clone());
        Ok(jsonwebtoken::encode(&header, claims, &self.signing)?)
    }

    /// Whose token it is, and for which of the audiences (none given: the API server's own).
    pub(crate) fn verify(&self, token: &str, audiences: &[String], cache: &WatchCache) -> Result<(Arc<Identity>, Vec<String>), TokenError> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.verified.lock().get(&hash).cloned();
        let verified = match known {
            Some(verified) => verified,
            None => {
                let claims = jsonwebtoken::decode::<Claims>(token, &self.verifying, &self.validation)?.claims;
                let verified = Arc::new(Verified { identity: Arc::new(identity(&claims)), claims });
                let mut all = self.verified.lock();
                if all.len() >= MAX_REMEMBERED {
                    all.clear();
                }
                all.insert(hash, verified.clone());
                verified
            }
        };
        let claims = &verified.claims;
        let now = Timestamp::now().as_second();
        if claims.exp <= now || claims.nbf > now + 60 {
            return Err(TokenError::Expired);
        }
        let own = [ISSUER.to_owned()];
        let wanted = if audiences.is_empty() { &own[..] } else { audiences };
        let common: Vec<String> = claims.aud.iter().filter(|a| wanted.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(TokenError::Audience(claims.aud.clone(), wanted.to_vec()));
        }
        let bound = &claims.kubernetes;
        exists(cache, "serviceaccounts", &bound.namespace, &bound.serviceaccount)?;
        if let Some(pod) = &bound.pod {
            exists(cache, "pods", &bound.namespace, pod)?;
        }
        if let Some(secret) = &bound.secret {
            exists(cache, "secrets", &bound.namespace, secret)?;
        }
        // The node beside a Pod is only told, not bound to.
        if let (Some(node), None) = (&bound.node, &bound.pod) {
            exists(cache, "nodes", "", node)?;
        }
        Ok((verified.identity.clone(), common))
    }

    /// The public key as a JSON Web Key Set, for those who verify tokens themselves.
    pub(crate) fn key_set(&self) -> serde_json::Value {
        let point = self.public_point.get(1..65).unwrap_or(&[0; 64]);
        serde_json::json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": base64url(&point[..32]), "y": base64url(&point[32..]),
        }]})
    }
}

fn base64url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// The uid and deletion of an object, without reading the rest of it.
#[derive(Deserialize)]
struct Life {
    metadata: LifeMeta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LifeMeta {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    deletion_timestamp: Option<Timestamp>,
}

fn exists(cache: &WatchCache, plural: &str, namespace: &str, reference: &Reference) -> Result<(), TokenError> {
    let gone = || TokenError::Invalidated(format!("{plural} {:?}", reference.name));
    let item = cache.get(&wharf_store::key("", plural, namespace, &reference.name)).ok_or_else(gone)?;
    let life: Life = serde_json::from_slice(&item.json()).map_err(|_| gone())?;
    // A minute of grace, so that what is being deleted can still say so.
    let over = life.metadata.deletion_timestamp.is_some_and(|t| t.as_second() + 60 < Timestamp::now().as_second());
    if over || (!reference.uid.is_empty() && reference.uid != life.metadata.uid) { Err(gone()) } else { Ok(()) }
}

fn identity(claims: &Claims) -> Identity {
    let bound = &claims.kubernetes;
    let mut extra = BTreeMap::from([("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={}", claims.jti)])]);
    let mut tell = |what: &str, reference: &Option<Reference>| {
        if let Some(reference) = reference {
            extra.insert(format!("authentication.kubernetes.io/{what}-name"), vec![reference.name.clone()]);
            if !reference.uid.is_empty() {
                extra.insert(format!("authentication.kubernetes.io/{what}-uid"), vec![reference.uid.clone()]);
            }
        }
    };
    tell("pod", &bound.pod);
    tell("node", &bound.node);
    Identity { uid: bound.serviceaccount.uid.clone(), extra, ..Identity::service_account(&bound.namespace, &bound.serviceaccount.name) }
}
