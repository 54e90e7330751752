//! Who is believed to be whom in TLS: by guests' requests and connections, and by probes.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, WantsVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use wharf_engine::TlsOptions;

/// The cluster's CA and the public ones: the system's or, where it has none, Mozilla's. Read when they are first needed.
pub struct Trust {
    cluster_ca: Vec<u8>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Trust {
    /// With the cluster's CA in PEM.
    pub fn new(cluster_ca: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { cluster_ca, config: OnceLock::new() })
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        let make = || Arc::new(builder().with_root_certificates(self.roots()).with_no_client_auth());
        self.config.get_or_init(make).clone()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        let (found, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if found == 0 {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&self.cluster_ca).flatten());
        roots
    }

    /// As a guest asks for it.
    pub(crate) fn asked(&self, options: &TlsOptions) -> Result<Arc<ClientConfig>, String> {
        if !options.insecure && options.roots.is_none() && options.identity.is_none() {
            return Ok(self.config());
        }
        let verified = if options.insecure {
            builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody::default()))
        } else {
            let roots = match &options.roots {
                Some(pem) => {
                    let mut roots = RootCertStore::empty();
                    let (found, _) = roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem.as_bytes()).flatten());
                    if found == 0 {
                        return Err("there is no certificate among those to be trusted".to_owned());
                    }
                    roots
                }
                None => self.roots(),
            };
            builder().with_root_certificates(roots)
        };
        let config = match &options.identity {
            Some((chain, key)) => {
                let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|e| format!("client certificate: {e}"))?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|e| format!("client key: {e}"))?;
                verified.with_client_auth_cert(chain, key).map_err(|e| format!("client certificate: {e}"))?
            }
            None => verified.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }
}

/// Whoever answers is believed.
pub(crate) fn anybody() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || Arc::new(builder().dangerous().with_custom_certificate_verifier(Arc::new(Anybody::default())).with_no_client_auth());
    CONFIG.get_or_init(make).clone()
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // The provider is ring's own, which has the default versions.
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("ring speaks TLS 1.2 and 1.3")
}

#[derive(Debug)]
struct Anybody(CryptoProvider);

impl Default for Anybody {
    fn default() -> Self {
        Self(rustls::crypto::ring::default_provider())
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], cert: &CertificateDer<'_>, dss: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// A CA, and a server `web.test` that it vouches for.
    fn server() -> (String, Arc<rustls::ServerConfig>) {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = authority.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["web.test".to_owned()]).unwrap().signed_by(&key, &Issuer::new(authority, ca_key)).unwrap();
        let builder = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
        (ca.pem(), Arc::new(config.unwrap()))
    }

    async fn connect(server: &Arc<rustls::ServerConfig>, config: Arc<ClientConfig>, name: &str) -> Result<(), String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (at, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(server.clone()));
        let served = tokio::spawn(async move { acceptor.accept(listener.accept().await.unwrap().0).await.map(drop) });
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connected = TlsConnector::from(config).connect(name, TcpStream::connect(at).await.unwrap()).await;
        let result = connected.map(drop).map_err(|e| e.to_string());
        let _ = served.await;
        result
    }

    #[tokio::test]
    async fn as_it_is_asked_for() {
        let (ca, server) = server();
        let ours = Trust::new(ca.clone().into_bytes());
        let others = Trust::new(vec![]);
        let asked = |trust: &Trust, roots: Option<&str>, insecure: bool| {
            trust.asked(&TlsOptions { roots: roots.map(str::to_owned), insecure, ..TlsOptions::default() })
        };
        let issuer = Err("invalid peer certificate: UnknownIssuer".to_owned());
        assert_eq!(connect(&server, ours.config(), "web.test").await, Ok(()));
        assert_eq!(connect(&server, asked(&ours, None, false).unwrap(), "web.test").await, Ok(()));
        assert_eq!(connect(&server, asked(&others, None, false).unwrap(), "web.test").await, issuer);
        assert_eq!(connect(&server, asked(&others, Some(&ca), false).unwrap(), "web.test").await, Ok(()));
        assert_eq!(connect(&server, asked(&others, None, true).unwrap(), "other.test").await, Ok(()));
        assert_eq!(connect(&server, anybody(), "other.test").await, Ok(()));
        let other = connect(&server, ours.config(), "other.test").await.unwrap_err();
        assert!(other.starts_with("invalid peer certificate: certificate not valid for name \"other.test\""), "{other}");
        assert_eq!(asked(&ours, Some("none"), false).unwrap_err(), "there is no certificate among those to be trusted");
    }
}
