//! Which certificate a client is shown: by SNI, from Secrets of type `kubernetes.io/tls`, else a self-signed one that nobody should trust.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::Secret;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The Secret lacks a key.
    #[error("the Secret has no {0:?}")]
    Missing(&'static str),
    /// The PEM text is not what it should be.
    #[error("reading {part:?} of the Secret: {reason}")]
    Pem {
        /// Which key of the Secret.
        part: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The key's kind is unknown, or certificate and key do not belong together.
    #[error("using the certificate: {0}")]
    Unusable(#[from] rustls::Error),
    /// The default certificate could not be made.
    #[error("making the default certificate: {0}")]
    Default(#[from] rcgen::Error),
}

/// All certificates at one moment, swapped as a whole.
pub struct Certificates {
    current: ArcSwap<ByHost>,
    fallback: Arc<CertifiedKey>,
}

#[derive(Default)]
struct ByHost {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
}

impl Certificates {
    /// No certificate but the self-signed default, made now.
    pub fn new() -> Result<Certificates, TlsError> {
        let mut params = rcgen::CertificateParams::new(vec!["ingress.local".to_owned()])?;
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Acme Co");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Kubernetes Ingress Controller Fake Certificate");
        let key = rcgen::KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let fallback = certified(vec![certificate.der().clone()], key)?;
        Ok(Certificates { current: ArcSwap::default(), fallback })
    }

    /// Replaces them all: host (exact or `*.…`) and certificate.
    pub fn replace(&self, certificates: impl IntoIterator<Item = (String, Arc<CertifiedKey>)>) {
        let mut by_host = ByHost::default();
        for (host, certificate) in certificates {
            let host = host.to_ascii_lowercase();
            match host.strip_prefix("*.") {
                Some(rest) => by_host.wildcard.entry(rest.to_owned()).or_insert(certificate),
                None => by_host.exact.entry(host).or_insert(certificate),
            };
        }
        self.current.store(Arc::new(by_host));
    }

    /// The certificate for a name that a client asks for.
    pub fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let current = self.current.load();
        let found = name.and_then(|name| {
            // rustls gives SNI names in lower case.
            current.exact.get(name).or_else(|| current.wildcard.get(name.split_once('.')?.1))
        });
        found.unwrap_or(&self.fallback).clone()
    }

    /// A rustls configuration that chooses among them, for HTTP/1.1 and HTTP/2.
    pub fn config(self: &Arc<Self>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()?;
        let mut config = builder.with_no_client_auth().with_cert_resolver(self.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({} hosts)", self.current.load().exact.len() + self.current.load().wildcard.len())
    }
}

/// The certificate and key of a Secret (`tls.crt`, `tls.key`); they must belong together.
pub fn certificate_of(secret: &Secret) -> Result<Arc<CertifiedKey>, TlsError> {
    let part = |name: &'static str| secret.data.as_ref().and_then(|data| data.get(name)).map(|bytes| bytes.0.as_slice()).ok_or(TlsError::Missing(name));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(part("tls.crt")?)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem { part: "tls.crt", reason: error.to_string() })?;
    if chain.is_empty() {
        return Err(TlsError::Pem { part: "tls.crt", reason: "it holds no certificate".to_owned() });
    }
    let key = PrivateKeyDer::from_pem_slice(part("tls.key")?).map_err(|error| TlsError::Pem { part: "tls.key", reason: error.to_string() })?;
    certified(chain, key)
}

fn certified(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<CertifiedKey>, TlsError> {
    let certified = CertifiedKey::new(chain, ring::sign::any_supported_type(&key)?);
    match certified.keys_match() {
        // Some keys cannot tell their public half.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A Secret with a new self-signed certificate for `host`.
    pub(crate) fn secret(host: &str) -> Secret {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
        let bytes = |text: String| k8s_openapi::ByteString(text.into_bytes());
        let data = [("tls.crt".to_owned(), bytes(certificate.pem())), ("tls.key".to_owned(), bytes(key.serialize_pem()))];
        Secret { type_: Some("kubernetes.io/tls".to_owned()), data: Some(data.into()), ..Secret::default() }
    }

    #[test]
    fn chosen_by_name() {
        let certificates = Certificates::new().unwrap();
        let [a, wild, other] = ["a.example.com", "*.example.com", "b.test"].map(|host| certificate_of(&secret(host)).unwrap());
        certificates.replace([("A.example.com".to_owned(), a.clone()), ("*.example.com".to_owned(), wild.clone()), ("b.test".to_owned(), other)]);
        let is = |name: Option<&str>, expected: &Arc<CertifiedKey>| Arc::ptr_eq(&certificates.find(name), expected);
        assert!(is(Some("a.example.com"), &a));
        assert!(is(Some("c.example.com"), &wild));
        assert!(is(Some("x.c.example.com"), &certificates.fallback));
        assert!(is(Some("example.com"), &certificates.fallback));
        assert!(is(None, &certificates.fallback));
        certificates.replace([]);
        assert!(is(Some("a.example.com"), &certificates.fallback));
    }

    #[test]
    fn bad_secrets_say_what_is_wrong() {
        let good = secret("a.b");
        let with = |name: &str, text: &str| {
            let mut bad = good.clone();
            bad.data.as_mut().unwrap().insert(name.to_owned(), k8s_openapi::ByteString(text.as_bytes().to_vec()));
            certificate_of(&bad).unwrap_err().to_string()
        };
        assert_eq!(certificate_of(&Secret::default()).unwrap_err().to_string(), "the Secret has no \"tls.crt\"");
        assert!(with("tls.crt", "nonsense").contains("no certificate"));
        assert!(with("tls.key", "nonsense").starts_with("reading \"tls.key\""));
        let mut mixed = good.clone();
        mixed.data.as_mut().unwrap().insert("tls.key".to_owned(), secret("c.d").data.unwrap()["tls.key"].clone());
        assert!(certificate_of(&mixed).unwrap_err().to_string().starts_with("using the certificate"));
    }
}
