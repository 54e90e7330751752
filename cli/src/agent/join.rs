//! Becoming a node: the cluster is known by the hash of its CA, the machine by a bootstrap token; what it gets is a client certificate
//! of its own. The steps are those of kubeadm's and the kubelet's TLS bootstrapping:
//! <https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/>

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use wharf_server::pki::{Issued, ca_hash};

use crate::data::{Folder, write_private};
use crate::say::Progress;

/// Between two tries to reach the server.
const AGAIN: Duration = Duration::from_secs(1);
/// How long signing may take.
const SIGNED: Duration = Duration::from_secs(60);

/// What the person said.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) ca_hash: Option<&'a str>,
    pub(super) node: &'a str,
}

/// A cluster that this machine is a node of.
#[derive(Clone)]
pub(super) struct Joined {
    /// The cluster's CA, PEM.
    pub(super) ca: String,
    /// The API, as the node.
    pub(super) client: Client,
    /// The node's client certificate.
    pub(super) identity: Issued,
    server: String,
}

impl Joined {
    /// The API, as who shows the token in a file, which may be another one by and by.
    pub(super) async fn with_token_file(&self, token: &Path) -> Result<Client> {
        client(&self.server, Some(&self.ca), None, Some(Token::File(token))).await
    }

    /// The address from which this machine reaches the API.
    pub(super) async fn local_address(&self) -> Result<Ipv4Addr> {
        let url: http::Uri = self.server.parse().with_context(|| format!("--server {}", self.server))?;
        let target = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(443));
        let stream = tokio::net::TcpStream::connect(target).await.with_context(|| format!("connect to {}", self.server))?;
        match stream.local_addr()?.ip() {
            IpAddr::V4(address) => Ok(address),
            IpAddr::V6(address) => bail!("the API is reached from {address}; say with --node-ip at which IPv4 address the node is reached"),
        }
    }
}

/// Joins, or goes on with the certificate of an earlier time.
pub(super) async fn join(folder: &Folder, asked: Asked<'_>, progress: &Progress) -> Result<Joined> {
    if !asked.server.starts_with("https://") {
        bail!("--server {} is not a URL such as https://192.168.1.10:6443", asked.server);
    }
    let joined = |ca: String, client: Client, identity: Issued| Joined { ca, client, identity, server: asked.server.to_owned() };
    let pki = folder.join("pki");
    std::fs::create_dir_all(&pki).with_context(|| format!("make {}", pki.display()))?;
    if let Some((ca, issued)) = kept(&pki, asked.node) {
        let client = client(asked.server, Some(&ca), Some(&issued), None).await?;
        let api: Api<Node> = Api::all(client.clone());
        reach(asked.server, progress, || api.get_opt(asked.node))
            .await
            .context("the cluster that this node joined before; for another, choose another --data-dir")?;
        return Ok(joined(ca, client, issued));
    }
    let (Some(token), Some(hash)) = (asked.token, asked.ca_hash) else {
        bail!("this machine is not a node of the cluster yet: give --token and --discovery-token-ca-cert-hash, as `wharf server` prints them");
    };
    let ca = discover(asked.server, hash, progress).await?;
    let bootstrap = client(asked.server, Some(&ca), None, Some(Token::Text(token))).await?;
    let subject = Subject { node: asked.node, names: &[] };
    let issued = request(&bootstrap, "kubernetes.io/kube-apiserver-client-kubelet", "client auth", &subject).await.context("ask for the node's certificate")?;
    write_private(&pki.join("ca.crt"), ca.as_bytes())?;
    write_private(&pki.join("kubelet-client.key"), issued.key.as_bytes())?;
    write_private(&pki.join("kubelet-client.crt"), issued.certificate.as_bytes())?;
    progress.step("joined: the node has its certificate");
    let client = client(asked.server, Some(&ca), Some(&issued), None).await?;
    Ok(joined(ca, client, issued))
}

/// Asks until the server is there, and says once what it waits for. An answer that is no success is one.
async fn reach<T, F: Future<Output = kube::Result<T>>>(server: &str, progress: &Progress, ask: impl Fn() -> F) -> Result<T> {
    let mut told = false;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(kube::Error::Api(status)) => bail!("{server} answers: {}", status.message),
            Err(error) => {
                if !told {
                    progress.line(&format!("waiting for {server}: {}", crate::say::chain(&error)));
                    told = true;
                }
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// What an earlier time got, while it is good.
fn kept(pki: &Path, node: &str) -> Option<(String, Issued)> {
    let read = |name: &str| std::fs::read_to_string(pki.join(name)).ok();
    let (ca, issued) = (read("ca.crt")?, Issued { certificate: read("kubelet-client.crt")?, key: read("kubelet-client.key")? });
    wharf_server::pki::is_good_for(&issued.certificate, &format!("system:node:{node}")).then_some((ca, issued))
}

/// The CA of the cluster at that address, if it is the one that was meant.
async fn discover(server: &str, hash: &str, progress: &Progress) -> Result<String> {
    let stranger = client(server, None, None, None).await?;
    let api: Api<ConfigMap> = Api::namespaced(stranger, "kube-public");
    let words = "ask for kube-public/cluster-info, which tells the cluster's CA: is it a `wharf server`?";
    let info = reach(server, progress, || api.get("cluster-info")).await.context(words)?;
    let text = info.data.as_ref().and_then(|data| data.get("kubeconfig")).context("cluster-info has no kubeconfig")?;
    let config: Value = serde_yaml::from_str(text).context("the kubeconfig of cluster-info")?;
    let ca = config["clusters"][0]["cluster"]["certificate-authority-data"].as_str().context("cluster-info has no CA")?;
    let ca = String::from_utf8(STANDARD.decode(ca).context("the CA of cluster-info")?).context("the CA of cluster-info")?;
    let found = ca_hash(&ca).map_err(anyhow::Error::msg).context("the CA of cluster-info")?;
    if found != hash {
        bail!("the CA of the cluster at {server} is {found}, not the {hash} that --discovery-token-ca-cert-hash names");
    }
    Ok(ca)
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Text(&'a str),
    File(&'a Path),
}

/// A client of the API. Without a CA, nothing that it says may be trusted.
async fn client(server: &str, ca: Option<&str>, issued: Option<&Issued>, token: Option<Token<'_>>) -> Result<Client> {
    let mut cluster = json!({"server": server});
    match ca {
        Some(ca) => cluster["certificate-authority-data"] = STANDARD.encode(ca).into(),
        None => cluster["insecure-skip-tls-verify"] = true.into(),
    }
    let mut user = json!({});
    if let Some(issued) = issued {
        user["client-certificate-data"] = STANDARD.encode(&issued.certificate).into();
        user["client-key-data"] = STANDARD.encode(&issued.key).into();
    }
    match token {
        Some(Token::Text(token)) => user["token"] = token.into(),
        Some(Token::File(path)) => user["tokenFile"] = path.to_str().context("the token's path")?.into(),
        None => {}
    }
    let config: Kubeconfig = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "wharf",
        "clusters": [{"name": "wharf", "cluster": cluster}],
        "users": [{"name": "wharf", "user": user}],
        "contexts": [{"name": "wharf", "context": {"cluster": "wharf", "user": "wharf"}}],
    }))?;
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.context("set up the client of the API")?;
    config.connect_timeout = Some(Duration::from_secs(10));
    // Watches are ended by the server.
    config.read_timeout = None;
    Client::try_from(config).context("set up the client of the API")
}

/// Whose certificate, and for which names.
pub(super) struct Subject<'a> {
    pub(super) node: &'a str,
    pub(super) names: &'a [String],
}

/// Asks for a certificate, and waits until it is signed.
pub(super) async fn request(client: &Client, signer: &str, usage: &str, subject: &Subject<'_>) -> Result<Issued> {
    let key = KeyPair::generate().context("make a key")?;
    let mut params = CertificateParams::new(subject.names).context("the names of the certificate")?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
    params.distinguished_name.push(DnType::CommonName, format!("system:node:{}", subject.node));
    let pem = params.serialize_request(&key).and_then(|r| r.pem()).context("make the certificate request")?;
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let made = CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("csr-".into()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: signer.into(),
            usages: Some(vec!["digital signature".into(), usage.into()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let created = match api.create(&PostParams::default(), &made).await {
        Err(kube::Error::Api(status)) if status.code == 401 => {
            bail!("the server does not know the token, or it has expired: `wharf server` prints the one that is good")
        }
        created => created.context("create a CertificateSigningRequest")?,
    };
    let name = created.metadata.name.unwrap_or_default();
    let signed = async {
        loop {
            let status = api.get(&name).await.with_context(|| format!("read the CertificateSigningRequest {name}"))?.status.unwrap_or_default();
            if let Some(certificate) = status.certificate.filter(|c| !c.0.is_empty()) {
                return String::from_utf8(certificate.0).context("the signed certificate");
            }
            if let Some(no) = status.conditions.iter().flatten().find(|c| c.type_ == "Denied" || c.type_ == "Failed") {
                bail!("the CertificateSigningRequest {name} was not signed: {}", no.message.as_deref().unwrap_or(&no.type_));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let certificate = tokio::time::timeout(SIGNED, signed).await;
    let certificate = certificate
        .with_context(|| format!("nobody approved the CertificateSigningRequest {name} within {} s: kubectl describe csr {name}", SIGNED.as_secs()))??;
    Ok(Issued { certificate, key: key.serialize_pem() })
}
