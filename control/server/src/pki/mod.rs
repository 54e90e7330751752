//! Certificates and keys: a CA made at first start, what it issues, and the key that signs ServiceAccount tokens.
//!
//! Everything lives in one folder, keys with mode `0600`. ECDSA P-256 throughout.

mod files;
mod kubeconfig;
mod sign;

pub use sign::{ca_hash, is_good_for};

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{Timestamp, ToSpan, Zoned};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Names that the API server's certificate always has.
const SERVER_NAMES: [&str; 8] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    // The Service's address, by which Pods know the server (`KUBERNETES_SERVICE_HOST`).
    "10.96.0.1",
    // The image registry on the same port.
    "registry.wharf.local",
];

/// Why a certificate or key could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the folder could not be read or written.
    #[error("{operation} {path}: {source}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A certificate could not be made, or the CA on disk is not one.
    #[error("issue certificate for {subject}: {source}")]
    Issue {
        /// The common name.
        subject: String,
        /// The library's answer.
        source: rcgen::Error,
    },
    /// A file of the folder does not hold what its name says.
    #[error("read {path}: {message}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// TLS refused the certificates.
    #[error("configure TLS: {0}")]
    Tls(String),
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// `CERTIFICATE`.
    pub certificate: String,
    /// `PRIVATE KEY` (PKCS #8).
    pub key: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// The certificates and keys of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Pki(Arc<Inner>);

struct Inner {
    ca_certificate: String,
    issuer: Issuer<'static, KeyPair>,
    server: Issued,
    admin: Issued,
    service_account_key: String,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki").finish_non_exhaustive()
    }
}

impl Pki {
    /// Opens the folder, making what is missing in it. `names` are the server's addresses and names beside those it always has
    /// (`kubernetes.default.svc`, …); its certificate is issued again when they change or its end is near.
    ///
    /// # Errors
    /// When the folder cannot be read or written, or holds something else.
    pub fn open(dir: &Path, names: &[String]) -> Result<Pki, PkiError> {
        files::make_dir(dir)?;
        let (ca_certificate, issuer) = authority(dir)?;
        let mut server_names: Vec<String> = SERVER_NAMES.iter().map(|n| (*n).to_owned()).collect();
        server_names.extend(names.iter().cloned());
        server_names.sort();
        server_names.dedup();
        let server = kept(dir, "apiserver", &server_names, &ca_certificate, || issue(&issuer, "kube-apiserver", &[], &server_names, Use::Server))?;
        let admin = kept(dir, "admin", &[], &ca_certificate, || issue(&issuer, "kubernetes-admin", &["system:masters"], &[], Use::Client))?;
        let service_account_key = match files::read(dir, "sa.key")? {
            Some(key) => key,
            None => {
                let pair = KeyPair::generate().map_err(|source| PkiError::Issue { subject: "service accounts".into(), source })?;
                files::write(dir, "sa.pub", &pair.public_key_pem(), 0o644)?;
                files::write(dir, "sa.key", &pair.serialize_pem(), 0o600)?;
                pair.serialize_pem()
            }
        };
        Ok(Pki(Arc::new(Inner { ca_certificate, issuer, server, admin, service_account_key })))
    }

    /// The CA's certificate, PEM: what clients trust.
    pub fn ca_certificate(&self) -> &str {
        &self.0.ca_certificate
    }

    /// The API server's certificate and key.
    pub fn server(&self) -> &Issued {
        &self.0.server
    }

    /// The certificate of `kubernetes-admin` (`system:masters`).
    pub fn admin(&self) -> &Issued {
        &self.0.admin
    }

    /// A client certificate: `user` becomes the common name, `groups` the organisations.
    ///
    /// # Errors
    /// When the library refuses the names.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Issued, PkiError> {
        issue(&self.0.issuer, user, groups, &[], Use::Client)
    }

    /// A serving certificate (for a kubelet: user `system:node:NAME`, group `system:nodes`) for these names and addresses.
    /// It is good for client use too, as the node's one identity.
    ///
    /// # Errors
    /// When the library refuses the names.
    pub fn serving(&self, user: &str, groups: &[&str], names: &[String]) -> Result<Issued, PkiError> {
        issue(&self.0.issuer, user, groups, names, Use::Both)
    }

    /// The key that signs ServiceAccount tokens (ES256), PKCS #8 PEM.
    pub fn service_account_key(&self) -> &str {
        &self.0.service_account_key
    }

    /// The admin's kubeconfig: YAML whose one context is named `name`, for the server at `url` (`https://127.0.0.1:6443`).
    pub fn kubeconfig(&self, name: &str, url: &str) -> String {
        kubeconfig::kubeconfig(name, url, self.ca_certificate(), "kubernetes-admin", self.admin())
    }

    /// A kubeconfig for another certificate of this CA.
    pub fn kubeconfig_for(&self, name: &str, url: &str, user: &str, issued: &Issued) -> String {
        kubeconfig::kubeconfig(name, url, self.ca_certificate(), user, issued)
    }

    /// TLS for the API server: HTTP/2 and HTTP/1.1, client certificates of this CA accepted but not demanded.
    ///
    /// # Errors
    /// When TLS refuses the certificates.
    pub fn server_tls(&self) -> Result<rustls::ServerConfig, PkiError> {
        self.tls_for(self.server())
    }

    /// The same for another serving certificate, such as a kubelet's.
    ///
    /// # Errors
    /// When TLS refuses the certificates.
    pub fn tls_for(&self, issued: &Issued) -> Result<rustls::ServerConfig, PkiError> {
        let provider = provider();
        let tls = |e: &dyn std::fmt::Display| PkiError::Tls(e.to_string());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider.clone()).allow_unauthenticated().build().map_err(|e| tls(&e))?;
        let (chain, key) = self.chain(issued)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| tls(&e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|e| tls(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// TLS for a client of this cluster, with or without a certificate. ALPN is left to the caller.
    ///
    /// # Errors
    /// When TLS refuses the certificates.
    pub fn client_tls(&self, issued: Option<&Issued>) -> Result<rustls::ClientConfig, PkiError> {
        let tls = |e: &dyn std::fmt::Display| PkiError::Tls(e.to_string());
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| tls(&e))?
            .with_root_certificates(self.roots()?);
        match issued {
            None => Ok(builder.with_no_client_auth()),
            Some(issued) => {
                let (chain, key) = self.chain(issued)?;
                builder.with_client_auth_cert(chain, key).map_err(|e| tls(&e))
            }
        }
    }

    fn roots(&self) -> Result<RootCertStore, PkiError> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca_certificate().as_bytes()).map_err(|e| PkiError::Tls(e.to_string()))?;
        roots.add(ca).map_err(|e| PkiError::Tls(e.to_string()))?;
        Ok(roots)
    }

    fn chain(&self, issued: &Issued) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
        let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes()).collect::<Result<Vec<_>, _>>().map_err(|e| PkiError::Tls(e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(|e| PkiError::Tls(e.to_string()))?;
        Ok((chain, key))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Client,
    Server,
    Both,
}

/// The CA of the folder, made when missing.
fn authority(dir: &Path) -> Result<(String, Issuer<'static, KeyPair>), PkiError> {
    let failed = |source| PkiError::Issue { subject: "kubernetes-ca".into(), source };
    if let (Some(certificate), Some(key)) = (files::read(dir, "ca.crt")?, files::read(dir, "ca.key")?) {
        let key = KeyPair::from_pem(&key).map_err(|source| PkiError::Malformed { path: dir.join("ca.key"), message: source.to_string() })?;
        let issuer =
            Issuer::from_ca_cert_pem(&certificate, key).map_err(|source| PkiError::Malformed { path: dir.join("ca.crt"), message: source.to_string() })?;
        return Ok((certificate, issuer));
    }
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "kubernetes-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, 10);
    let certificate = params.self_signed(&key).map_err(failed)?.pem();
    files::write(dir, "ca.key", &key.serialize_pem(), 0o600)?;
    files::write(dir, "ca.crt", &certificate, 0o644)?;
    Ok((certificate, Issuer::new(params, key)))
}

fn issue(issuer: &Issuer<'static, KeyPair>, user: &str, groups: &[&str], names: &[String], purpose: Use) -> Result<Issued, PkiError> {
    let failed = |source| PkiError::Issue { subject: user.to_owned(), source };
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    for group in groups {
        params.distinguished_name.push(DnType::OrganizationName, *group);
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if purpose != Use::Server {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    if purpose != Use::Client {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    set_validity(&mut params, 1);
    debug_assert!(params.subject_alt_names.iter().all(|n| matches!(n, SanType::DnsName(_) | SanType::IpAddress(_))));
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.signed_by(&key, issuer).map_err(failed)?.pem();
    Ok(Issued { certificate, key: key.serialize_pem() })
}

/// From yesterday (clocks differ) for so many years.
fn set_validity(params: &mut CertificateParams, years: i64) {
    let now = Zoned::new(Timestamp::now(), jiff::tz::TimeZone::UTC);
    let start = now.checked_sub(1.day()).unwrap_or_else(|_| now.clone()).date();
    let end = now.checked_add(years.years()).unwrap_or_else(|_| now.clone()).date();
    let make = |d: jiff::civil::Date| rcgen::date_time_ymd(i32::from(d.year()), d.month().unsigned_abs(), d.day().unsigned_abs());
    params.not_before = make(start);
    params.not_after = make(end);
}

/// A certificate of the folder, issued anew when it is missing, its end is near, its names differ or the CA is another.
fn kept(dir: &Path, name: &str, names: &[String], ca: &str, issue: impl FnOnce() -> Result<Issued, PkiError>) -> Result<Issued, PkiError> {
    let (certificate_file, key_file) = (format!("{name}.crt"), format!("{name}.key"));
    if let (Some(certificate), Some(key)) = (files::read(dir, &certificate_file)?, files::read(dir, &key_file)?)
        && still_good(&certificate, names, ca)
    {
        return Ok(Issued { certificate, key });
    }
    let issued = issue()?;
    files::write(dir, &key_file, &issued.key, 0o600)?;
    files::write(dir, &certificate_file, &issued.certificate, 0o644)?;
    Ok(issued)
}

fn still_good(certificate: &str, names: &[String], ca: &str) -> bool {
    let (Ok(der), Ok(ca)) = (CertificateDer::from_pem_slice(certificate.as_bytes()), CertificateDer::from_pem_slice(ca.as_bytes())) else { return false };
    let (Ok((_, certificate)), Ok((_, ca))) = (x509_parser::parse_x509_certificate(&der), x509_parser::parse_x509_certificate(&ca)) else { return false };
    let month_from_now = Timestamp::now().as_second() + 30 * 24 * 3600;
    if certificate.validity().not_after.timestamp() < month_from_now || certificate.issuer() != ca.subject() {
        return false;
    }
    let has_key = certificate.get_extension_unique(&x509_parser::oid_registry::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER).ok().flatten().is_some();
    let mut found: Vec<String> = match certificate.subject_alternative_name() {
        Ok(Some(extension)) => extension.value.general_names.iter().filter_map(name_text).collect(),
        _ => Vec::new(),
    };
    found.sort();
    let mut wanted = names.to_vec();
    wanted.sort();
    has_key && found == wanted
}

fn name_text(name: &x509_parser::extensions::GeneralName<'_>) -> Option<String> {
    match name {
        x509_parser::extensions::GeneralName::DNSName(n) => Some((*n).to_owned()),
        x509_parser::extensions::GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn kept_over_a_restart_and_issued_again_for_new_names() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &["10.88.0.1".into()]).unwrap();
        let again = Pki::open(dir.path(), &["10.88.0.1".into()]).unwrap();
        assert_eq!(first.server().certificate, again.server().certificate);
        assert_eq!(first.service_account_key(), again.service_account_key());
        let other = Pki::open(dir.path(), &["10.88.0.1".into(), "10.88.0.2".into()]).unwrap();
        assert_ne!(first.server().certificate, other.server().certificate);
        assert_eq!(first.ca_certificate(), other.ca_certificate());
        for key in ["ca.key", "sa.key", "apiserver.key", "admin.key"] {
            assert_eq!(std::fs::metadata(dir.path().join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
        }
        other.server_tls().unwrap();
        other.client_tls(Some(other.admin())).unwrap();
    }

    #[test]
    fn another_ca_means_new_certificates() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &[]).unwrap();
        std::fs::remove_file(dir.path().join("ca.crt")).unwrap();
        let second = Pki::open(dir.path(), &[]).unwrap();
        assert_ne!(first.ca_certificate(), second.ca_certificate());
    }
}
