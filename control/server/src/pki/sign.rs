//! Signing what others ask to have signed: certificates of the kinds that `certificates.k8s.io` knows.

use std::time::Duration;

use jiff::Timestamp;
use rcgen::{CertificateSigningRequestParams, ExtendedKeyUsagePurpose, KeyUsagePurpose};

use super::Pki;

/// The longest that a signed certificate is good for: a year, as kube-controller-manager has it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks differ.
const BEFORE: Duration = Duration::from_secs(5 * 60);

impl Pki {
    /// Signs a request (PEM) with the cluster's CA, for client or server use or both, for so many seconds (at most a year).
    ///
    /// # Errors
    /// In words, when the request is no good.
    pub fn sign(&self, request: &str, client: bool, server: bool, seconds: Option<i32>) -> Result<String, String> {
        let mut request = CertificateSigningRequestParams::from_pem(request).map_err(|e| e.to_string())?;
        let params = &mut request.params;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages.clear();
        if client {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        params.is_ca = rcgen::IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
        let asked = seconds.and_then(|s| u64::try_from(s).ok()).map_or(LONGEST, |s| Duration::from_secs(s.max(600)).min(LONGEST));
        (params.not_before, params.not_after) = (now - BEFORE, now + asked);
        request.signed_by(&self.0.issuer).map(|certificate| certificate.pem()).map_err(|e| e.to_string())
    }

    /// `sha256:…` of the CA's public key, by which a machine that joins knows the cluster
    /// (what kubeadm calls `--discovery-token-ca-cert-hash`).
    ///
    /// # Errors
    /// In words, when the CA's certificate cannot be read.
    pub fn ca_hash(&self) -> Result<String, String> {
        ca_hash(self.ca_certificate())
    }
}

/// `sha256:…` of the public key of a certificate (PEM).
///
/// # Errors
/// In words, when it cannot be read.
pub fn ca_hash(pem: &str) -> Result<String, String> {
    use rustls_pki_types::pem::PemObject;
    use sha2::Digest as _;
    let der = rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| e.to_string())?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|e| e.to_string())?;
    let digest = sha2::Sha256::digest(certificate.public_key().raw);
    Ok(digest.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}")))
}

/// Whether a certificate (PEM) is this user's and will be for another month.
pub fn is_good_for(pem: &str, user: &str) -> bool {
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(certificate) = pem.parse_x509() else { return false };
    let named = certificate.subject().iter_common_name().any(|n| n.as_str() == Ok(user));
    named && certificate.validity().not_after.timestamp() > Timestamp::now().as_second() + 30 * 24 * 3600
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn a_request_is_signed_for_its_use_alone() {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(dir.path(), &[]).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["worker".to_owned(), "10.77.0.2".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, "system:node:worker");
        let request = params.serialize_request(&key).unwrap().pem().unwrap();
        let certificate = pki.sign(&request, false, true, Some(3600)).unwrap();
        let (_, parsed) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).unwrap();
        let parsed = parsed.parse_x509().unwrap();
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert_eq!(parsed.subject().iter_common_name().next().unwrap().as_str(), Ok("system:node:worker"));
        assert!(usage.server_auth && !usage.client_auth && !parsed.is_ca());
        assert_eq!(parsed.validity().not_after.timestamp() - parsed.validity().not_before.timestamp(), 3600 + 300);
        pki.client_tls(Some(&super::super::Issued { certificate, key: key.serialize_pem() })).unwrap();
        assert!(pki.sign("nonsense", true, false, None).is_err());
        assert_eq!(pki.ca_hash().unwrap().len(), "sha256:".len() + 64);
    }
}
