//! A small blocking client of the API over TLS, so that the tests need nothing but cargo.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Failed;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// The code.
    pub status: u16,
    /// The body, with chunks put together.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Failed> {
        serde_json::from_slice(&self.body).map_err(|error| format!("{error}: {}", self.text()).into())
    }
}

/// The API, as one user.
#[derive(Clone)]
pub struct Client {
    host: String,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

impl Client {
    /// The server and the client certificate of a kubeconfig's only context.
    pub fn from_kubeconfig(path: &Path) -> Result<Client, Failed> {
        let config: Value = serde_yaml::from_str(&std::fs::read_to_string(path)?)?;
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let pem = |value: &Value| -> Result<Vec<u8>, Failed> { Ok(STANDARD.decode(value.as_str().ok_or("no data in the kubeconfig")?)?) };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem(&cluster["certificate-authority-data"])?) {
            roots.add(certificate?)?;
        }
        let chain = CertificateDer::pem_slice_iter(&pem(&user["client-certificate-data"])?).collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem(&user["client-key-data"])?)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions()?;
        let tls = builder.with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        let host = cluster["server"].as_str().and_then(|url| url.strip_prefix("https://")).ok_or("no server in the kubeconfig")?;
        Ok(Client { host: host.to_owned(), tls: Arc::new(tls), token: None })
    }

    /// The same server, with a token in place of the certificate. `None` is an anonymous client.
    pub fn with_token(&self, token: Option<&str>) -> Result<Client, Failed> {
        let roots = RootCertStore::empty();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions()?;
        let mut tls = builder.with_root_certificates(roots).with_no_client_auth();
        // Whom we speak to is checked by the admin's client; here the tests want to see what the server says.
        tls.dangerous().set_certificate_verifier(Arc::new(trusting::Anyone));
        Ok(Client { host: self.host.clone(), tls: Arc::new(tls), token: token.map(str::to_owned) })
    }

    /// The server's `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn connect(&self) -> Result<Connection, Failed> {
        let tcp = TcpStream::connect(&self.host)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from(self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host).to_owned())?;
        Ok(StreamOwned::new(ClientConnection::new(self.tls.clone(), name)?, tcp))
    }

    /// A watch: its events, one a line, for as long as the server goes on.
    pub fn watch(&self, path: &str) -> Result<Watch, Failed> {
        let mut stream = self.connect()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n\r\n", self.host)?;
        let mut watch = Watch { stream: BufReader::new(stream), held: Vec::new(), length: None };
        let status = watch.line()?;
        loop {
            let header = watch.line()?.to_ascii_lowercase();
            match header.strip_prefix("content-length:") {
                Some(length) => watch.length = length.trim().parse().ok(),
                None if header.is_empty() => break,
                None => {}
            }
        }
        match status.split(' ').nth(1) {
            Some("200") => Ok(watch),
            Some("410") => Err("410".into()),
            _ => Err(format!("{path}: {status}").into()),
        }
    }

    /// Any request.
    pub fn request(&self, method: &str, path: &str, content_type: &str, body: Option<&[u8]>) -> Result<Answer, Failed> {
        let mut stream = self.connect()?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n", self.host);
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        if let Some(body) = body {
            // A server may refuse a body before it has read it all; then the answer says why.
            let _ = stream.write_all(body);
        }
        let mut raw = Vec::new();
        if let Err(error) = stream.read_to_end(&mut raw)
            && raw.is_empty()
        {
            return Err(format!("{method} {path}: {error}").into());
        }
        crate::http::parse(&raw)
    }

    /// The head of an answer, as it came.
    pub fn headers(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<String, Failed> {
        let raw = self.exchange(method, path, headers, body, usize::MAX)?;
        let end = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(raw.len());
        Ok(String::from_utf8_lossy(&raw[..end]).into_owned())
    }

    /// The body of an answer of which the client reads so much at most before it hangs up.
    pub fn interrupted(&self, method: &str, path: &str, headers: &[(&str, &str)], most: usize) -> Result<Vec<u8>, Failed> {
        let raw = self.exchange(method, path, headers, b"", most)?;
        let end = raw.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no HTTP answer")?;
        Ok(raw[end + 4..].to_vec())
    }

    fn exchange(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8], most: usize) -> Result<Vec<u8>, Failed> {
        let tcp = TcpStream::connect(&self.host)?;
        tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
        let name = ServerName::try_from(self.host.rsplit_once(':').map_or(self.host.as_str(), |(host, _)| host).to_owned())?;
        let mut stream = StreamOwned::new(ClientConnection::new(self.tls.clone(), name)?, tcp);
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n", self.host, body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body)?;
        let mut raw = Vec::new();
        let read = Read::by_ref(&mut stream).take(most as u64).read_to_end(&mut raw);
        if raw.is_empty() {
            read?;
        }
        Ok(raw)
    }

    /// GET, JSON, 200.
    pub fn get(&self, path: &str) -> Result<Value, Failed> {
        self.expect("GET", path, "", None, &[200])
    }

    /// POST to a collection, 201.
    pub fn create(&self, path: &str, object: &Value) -> Result<Value, Failed> {
        self.expect("POST", path, "application/json", Some(object), &[200, 201, 202])
    }

    /// A strategic merge patch, 200.
    pub fn patch(&self, path: &str, patch: &Value) -> Result<Value, Failed> {
        self.expect("PATCH", path, "application/strategic-merge-patch+json", Some(patch), &[200])
    }

    /// DELETE, 200.
    pub fn delete(&self, path: &str) -> Result<Value, Failed> {
        self.expect("DELETE", path, "", None, &[200, 202])
    }

    fn expect(&self, method: &str, path: &str, content_type: &str, body: Option<&Value>, wanted: &[u16]) -> Result<Value, Failed> {
        let body = body.map(ToString::to_string);
        let answer = self.request(method, path, content_type, body.as_ref().map(String::as_bytes))?;
        if !wanted.contains(&answer.status) {
            return Err(format!("{method} {path}: {} {}", answer.status, answer.text()).into());
        }
        answer.json()
    }
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// The events of a watch.
pub struct Watch {
    stream: BufReader<Connection>,
    /// The beginning of a line whose end is in a chunk to come.
    held: Vec<u8>,
    /// Of an answer that is no stream, how long it is.
    length: Option<usize>,
}

impl Watch {
    /// A line of the protocol's own.
    fn line(&mut self) -> Result<String, Failed> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the server is gone".into());
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Iterator for Watch {
    type Item = Value;

    /// The next event; none once the server has ended the watch, or has gone.
    fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.held.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.held.drain(..=end).collect();
                return serde_json::from_slice(&line).ok();
            }
            let (size, end) = match self.length {
                Some(length) => (length, 0),
                None => (usize::from_str_radix(&self.line().ok()?, 16).ok()?, 2),
            };
            if size == 0 {
                return None;
            }
            self.length = self.length.map(|_| 0);
            let mut chunk = vec![0; size + end];
            self.stream.read_exact(&mut chunk).ok()?;
            self.held.extend_from_slice(&chunk[..size]);
        }
    }
}

mod trusting {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    #[derive(Debug)]
    pub(super) struct Anyone;

    impl ServerCertVerifier for Anyone {
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
        fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }
        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
