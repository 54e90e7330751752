//! Talking to registries: manifests and blobs in, artifacts out. Digests are verified while bytes arrive.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use oci_distribution::Client;
use oci_distribution::client::{Certificate, CertificateEncoding, ClientConfig, ClientProtocol};
use oci_distribution::errors::OciDistributionError as OciError;
use oci_distribution::secrets::RegistryAuth;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::credentials::Credential;
use crate::distribution;
use crate::error::ImageError;
use crate::manifest::{Descriptor, OCI_MANIFEST};
use crate::options::Limits;
use crate::reference::Reference;

/// How registries are reached.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// Certificates (PEM) that are trusted beside the system's.
    pub extra_roots: Vec<Vec<u8>>,
    /// Registries (`host:port`) that are spoken to in plain HTTP, beside those on loopback.
    pub plain_http: Vec<String>,
    /// The cluster's own registry.
    pub own: Option<OwnRegistry>,
}

/// The cluster's own registry: how images name it, where it is, and who this node is to it. It is trusted by the extra roots alone.
#[derive(Clone)]
pub struct OwnRegistry {
    /// The host in images' names. Names without a host are looked for there first.
    pub host: String,
    /// `https://192.168.1.10:6443`
    pub url: String,
    /// The node's client certificate and key, PEM.
    pub identity: Vec<u8>,
}

impl std::fmt::Debug for OwnRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnRegistry").field("host", &self.host).field("url", &self.url).finish_non_exhaustive()
    }
}

/// Connections to registries: a client for each registry and credential.
pub(crate) struct Registries {
    transport: Transport,
    limits: Limits,
    roots: Mutex<Option<Arc<Vec<Certificate>>>>,
    clients: Mutex<Clients>,
}

type Clients = HashMap<(String, Option<Credential>), Arc<distribution::Client>>;

/// Clients that are kept.
const MAX_CLIENTS: usize = 64;
/// A manifest's whole exchange, authentication included.
const MANIFEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("wharf/", env!("CARGO_PKG_VERSION"));
/// How often a blob's begin is asked for that an attempt which was given up still writes to.
const LOCK_ATTEMPTS: usize = 200;
/// Attempts at one blob; each goes on where the last one stopped.
const ATTEMPTS: usize = 3;

impl Registries {
    pub(crate) fn new(transport: Transport, limits: Limits) -> Registries {
        // The process's default: `cli` installs the same one; whoever comes first wins.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Registries { transport, limits, roots: Mutex::new(None), clients: Mutex::new(HashMap::new()) }
    }

    /// The digest that a tag has now.
    pub(crate) async fn digest(&self, reference: &Reference, credential: Option<&Credential>) -> Result<String, ImageError> {
        let client = self.client(reference, credential)?;
        match bounded(reference, client.digest(reference)).await? {
            Some(digest) => Ok(digest),
            None => Ok(self.manifest(reference, credential).await?.1),
        }
    }

    /// A manifest or index, and its digest.
    pub(crate) async fn manifest(&self, reference: &Reference, credential: Option<&Credential>) -> Result<(Vec<u8>, String), ImageError> {
        let client = self.client(reference, credential)?;
        let bytes = bounded(reference, client.manifest(reference, self.limits.manifest)).await?;
        let actual = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        match reference.digest() {
            Some(expected) if expected != actual => Err(ImageError::Digest { reference: reference.to_string(), expected: expected.into(), actual }),
            _ => Ok((bytes, actual)),
        }
    }

    /// A blob into the file `to`, by way of `partial`, which a later attempt goes on from.
    pub(crate) async fn blob(
        &self,
        reference: &Reference,
        credential: Option<&Credential>,
        blob: &Descriptor,
        partial: &Path,
        to: &Path,
    ) -> Result<(), ImageError> {
        blob.checked_digest().map_err(|message| broken(reference, message))?;
        let client = self.client(reference, credential)?;
        let mut attempt = 1;
        loop {
            match self.transfer(&client, reference, blob, partial, to).await {
                Err(error @ ImageError::Registry { .. }) if attempt < ATTEMPTS => {
                    tracing::debug!(image = %reference, digest = blob.digest, attempt, %error, "blob interrupted; going on");
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn transfer(&self, client: &distribution::Client, reference: &Reference, blob: &Descriptor, partial: &Path, to: &Path) -> Result<(), ImageError> {
        let io = |operation: &str, error: std::io::Error| ImageError::store(format!("{operation} {}", partial.display()), error);
        let mut file = open_partial(partial).await.map_err(|e| io("open", e))?;
        let (mut hash, mut have) = (Sha256::new(), 0u64);
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut chunk).await.map_err(|e| io("read", e))?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            have += read as u64;
        }
        if have > blob.size {
            (hash, have) = restart(&mut file).await.map_err(|e| io("truncate", e))?;
        }
        if have < blob.size || blob.size == 0 {
            let (mut stream, goes_on) = bounded(reference, client.blob(reference, &blob.digest, have)).await?;
            if have > 0 && !goes_on {
                (hash, have) = restart(&mut file).await.map_err(|e| io("truncate", e))?;
            }
            loop {
                let bytes = match stream.chunk().await {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => break,
                    Err(error) => {
                        file.flush().await.map_err(|e| io("write", e))?;
                        let words = causes(&error.without_url());
                        return Err(broken(reference, format!("blob {} ended after {have} of {} bytes: {}", blob.digest, blob.size, short(&words))));
                    }
                };
                have += bytes.len() as u64;
                if have > blob.size {
                    remove(partial);
                    return Err(ImageError::TooLarge { reference: reference.to_string(), what: format!("blob {}", blob.digest), size: have, limit: blob.size });
                }
                hash.update(&bytes);
                file.write_all(&bytes).await.map_err(|e| io("write", e))?;
            }
        }
        if have < blob.size {
            file.flush().await.map_err(|e| io("write", e))?;
            return Err(broken(reference, format!("blob {} ended after {have} of {} bytes", blob.digest, blob.size)));
        }
        let actual = format!("sha256:{}", hex::encode(hash.finalize()));
        if actual != blob.digest {
            remove(partial);
            return Err(ImageError::Digest { reference: reference.to_string(), expected: blob.digest.clone(), actual });
        }
        file.flush().await.map_err(|e| io("write", e))?;
        file.sync_data().await.map_err(|e| io("sync", e))?;
        std::fs::rename(partial, to).map_err(|e| io("rename", e))
    }

    /// Pushes a manifest and its blobs (those that are there already are left); the manifest's digest.
    pub(crate) async fn push(
        &self,
        reference: &Reference,
        credential: Option<&Credential>,
        blobs: Vec<(String, Vec<u8>)>,
        manifest: Vec<u8>,
    ) -> Result<String, ImageError> {
        let client = self.pusher(reference)?;
        let auth = credential.map_or(RegistryAuth::Anonymous, |c| RegistryAuth::Basic(c.user.clone(), c.password.clone()));
        let oci = reference.oci();
        client.auth(oci, &auth, oci_distribution::RegistryOperation::Push).await.map_err(|e| push_failed(reference, e))?;
        for (digest, bytes) in blobs {
            if client.blob_exists(oci, &digest).await.unwrap_or(false) {
                continue;
            }
            client.push_blob(oci, bytes, &digest).await.map_err(|e| push_failed(reference, e))?;
        }
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&manifest)));
        let media = http::HeaderValue::from_static(OCI_MANIFEST);
        client.push_manifest_raw(oci, manifest, media).await.map_err(|e| push_failed(reference, e))?;
        Ok(digest)
    }

    fn client(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Arc<distribution::Client>, ImageError> {
        let registry = reference.oci().resolve_registry().to_string();
        let key = (registry.clone(), credential.cloned());
        if let Some(client) = self.clients.lock().get(&key) {
            return Ok(client.clone());
        }
        let tls = |error: reqwest::Error| broken(reference, format!("TLS: {}", causes(&error)));
        let own = self.transport.own.as_ref().filter(|own| own.host == registry);
        let mut roots = Vec::new();
        if own.is_some() {
            for pem in &self.transport.extra_roots {
                roots.extend(reqwest::Certificate::from_pem_bundle(pem).map_err(tls)?);
            }
        } else {
            for root in self.roots().iter() {
                let read = match root.encoding {
                    CertificateEncoding::Der => reqwest::Certificate::from_der(&root.data).map(|one| vec![one]),
                    CertificateEncoding::Pem => reqwest::Certificate::from_pem_bundle(&root.data),
                };
                roots.extend(read.map_err(tls)?);
            }
        }
        let mut http =
            reqwest::Client::builder().tls_certs_only(roots).user_agent(USER_AGENT).connect_timeout(CONNECT_TIMEOUT).read_timeout(self.limits.read_timeout);
        let base = match own {
            Some(own) => {
                http = http.identity(reqwest::Identity::from_pem(&own.identity).map_err(tls)?);
                own.url.clone()
            }
            None => format!("{}://{registry}", if self.is_plain(reference, &registry) { "http" } else { "https" }),
        };
        let http = http.build().map_err(tls)?;
        let client = Arc::new(distribution::Client::new(http, base, credential.cloned()));
        let mut clients = self.clients.lock();
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn is_plain(&self, reference: &Reference, registry: &String) -> bool {
        reference.is_loopback() || self.transport.plain_http.contains(registry)
    }

    fn pusher(&self, reference: &Reference) -> Result<Client, ImageError> {
        let registry = reference.oci().resolve_registry().to_string();
        let plain = self.is_plain(reference, &registry);
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::HttpsExcept(vec![registry]) } else { ClientProtocol::Https },
            tls_certs_only: self.roots().to_vec(),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(self.limits.read_timeout),
            user_agent: USER_AGENT,
            platform_resolver: None,
            ..ClientConfig::default()
        };
        Client::try_from(config).map_err(|e| broken(reference, format!("TLS: {}", causes(&e))))
    }

    /// The system's roots and the extra ones, read once.
    fn roots(&self) -> Arc<Vec<Certificate>> {
        let mut roots = self.roots.lock();
        if let Some(roots) = &*roots {
            return roots.clone();
        }
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::debug!(%error, "a system root certificate could not be read");
        }
        let mut all: Vec<Certificate> = system.certs.into_iter().map(|c| Certificate { encoding: CertificateEncoding::Der, data: c.to_vec() }).collect();
        all.extend(self.transport.extra_roots.iter().map(|pem| Certificate { encoding: CertificateEncoding::Pem, data: pem.clone() }));
        roots.insert(Arc::new(all)).clone()
    }
}

/// Opens a blob's begin for this attempt alone: a write of one that was given up may still be under way, and must not come after ours.
async fn open_partial(path: &Path) -> std::io::Result<tokio::fs::File> {
    use rustix::fs::FlockOperation;
    use std::os::unix::fs::OpenOptionsExt;
    for _ in 0..LOCK_ATTEMPTS {
        let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(tokio::fs::File::from_std(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(std::io::Error::new(std::io::ErrorKind::WouldBlock, "an earlier attempt does not end"))
}

async fn restart(file: &mut tokio::fs::File) -> std::io::Result<(Sha256, u64)> {
    file.set_len(0).await?;
    file.rewind().await?;
    Ok((Sha256::new(), 0))
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::debug!(path = %PathBuf::from(path).display(), %error, "partial blob not removed");
    }
}

async fn bounded<T>(reference: &Reference, request: impl Future<Output = Result<T, ImageError>>) -> Result<T, ImageError> {
    let within = tokio::time::timeout(MANIFEST_TIMEOUT, request).await;
    within.unwrap_or_else(|_| Err(broken(reference, format!("no answer of the registry within {MANIFEST_TIMEOUT:?}"))))
}

pub(crate) fn broken(reference: &Reference, message: impl Into<String>) -> ImageError {
    ImageError::Registry { reference: reference.to_string(), message: message.into() }
}

fn push_failed(reference: &Reference, error: OciError) -> ImageError {
    let message = match &error {
        OciError::UnauthorizedError { .. } | OciError::AuthenticationFailure(_) => format!("access denied: {error}"),
        OciError::ServerError { code: 401 | 403, .. } => "access denied: the registry refused access".to_owned(),
        _ => causes(&error),
    };
    ImageError::Push { reference: reference.to_string(), message: short(&message) }
}

/// What a registry says is shown to users, but not without end.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(512).collect()
}

/// An error with its causes: `error sending request: connection refused`.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
