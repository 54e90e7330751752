//! HTTPS: which certificate, which protocol, and the way to it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Secret;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use wharf_ingress::certificate_of;

use crate::bed::{Bed, Client, body, get, rule, send, send_on};

/// Trusts anyone, and remembers whom it met.
#[derive(Debug, Default)]
struct Anyone(Mutex<Vec<u8>>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap() = certificate.to_vec();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &rustls::DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &rustls::DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

async fn connect(to: SocketAddr, name: &str, alpn: &[&[u8]]) -> (TlsStream<TcpStream>, Vec<u8>) {
    let met = Arc::new(Anyone::default());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.dangerous().with_custom_certificate_verifier(met.clone()).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    let stream = TcpStream::connect(to).await.unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await.unwrap();
    let certificate = met.0.lock().unwrap().clone();
    (stream, certificate)
}

fn secret(host: &str) -> Secret {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let bytes = |text: String| k8s_openapi::ByteString(text.into_bytes());
    Secret { data: Some([("tls.crt".to_owned(), bytes(certificate.pem())), ("tls.key".to_owned(), bytes(key.serialize_pem()))].into()), ..Secret::default() }
}

async fn https(bed: &Bed) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (ingress, token): (_, CancellationToken) = (bed.ingress.clone(), bed.token.clone());
    tokio::spawn(async move { ingress.serve_https(listener, token).await.unwrap() });
    at
}

#[tokio::test]
async fn certificates_by_name() {
    let bed = Bed::new().await;
    let https = https(&bed).await;
    let [a, wild] = ["a.test", "*.b.test"].map(|host| certificate_of(&secret(host)).unwrap());
    bed.ingress.certificates().replace([("a.test".to_owned(), a.clone()), ("*.b.test".to_owned(), wild.clone())]);
    assert_eq!(connect(https, "a.test", &[]).await.1, a.cert[0].to_vec());
    assert_eq!(connect(https, "x.b.test", &[]).await.1, wild.cert[0].to_vec());
    let fake = connect(https, "other.test", &[]).await.1;
    assert!(fake.windows(44).any(|part| part == b"Kubernetes Ingress Controller Fake Certifica"), "the default certificate");
    // A new certificate is shown to the next client.
    let renewed = certificate_of(&secret("a.test")).unwrap();
    bed.ingress.certificates().replace([("a.test".to_owned(), renewed.clone())]);
    assert_eq!(connect(https, "a.test", &[]).await.1, renewed.cert[0].to_vec());
}

#[tokio::test]
async fn both_protocols() {
    let bed = Bed::new().await;
    let https = https(&bed).await;
    let pod = bed.pod(5).await;
    bed.service("web", &[pod.ip]);
    bed.routes(&rule("a.test", "web", &[]));
    let (stream, _) = connect(https, "a.test", &[b"http/1.1"]).await;
    let (mut sender, connection): (Client, _) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let (_, _, text) = send_on(&mut sender, get("a.test", "/headers")).await;
    assert!(text.contains("x-forwarded-proto: https") && text.contains(&format!("x-forwarded-port: {}", https.port())), "{text}");

    let (stream, _) = connect(https, "a.test", &[b"h2", b"http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://a.test/headers?q").body(body("hello")).unwrap();
    let text = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8_lossy(&text);
    assert!(text.starts_with("POST /headers?q\n") && text.contains("\nhost: a.test\n") && text.contains("x-forwarded-host: a.test"), "{text}");
}

#[tokio::test]
async fn plain_http_is_redirected_where_there_is_tls() {
    let bed = Bed::new().await;
    let https = https(&bed).await;
    bed.ingress.set_https_port(https.port());
    let with_tls = |annotations: &[(&str, &str)]| rule("a.test", "web", annotations).replace("spec: {", "spec: {tls: [{hosts: [a.test], secretName: s}], ");
    bed.routes(&with_tls(&[]));
    let (status, headers, _) = send(bed.http, get("a.test:8080", "/x?y")).await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (StatusCode::PERMANENT_REDIRECT, &*format!("https://a.test:{}/x?y", https.port())));
    bed.ingress.set_https_port(443);
    assert_eq!(send(bed.http, get("a.test", "/")).await.1["location"], "https://a.test/");
    bed.routes(&with_tls(&[("ssl-redirect", "false")]));
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::SERVICE_UNAVAILABLE);
    bed.routes(&rule("a.test", "web", &[("force-ssl-redirect", "true")]));
    assert_eq!(send(bed.http, get("a.test", "/")).await.0, StatusCode::PERMANENT_REDIRECT);
}

#[tokio::test]
async fn nonsense_instead_of_tls_harms_nobody() {
    use tokio::io::AsyncWriteExt;
    let bed = Bed::new().await;
    let https = https(&bed).await;
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 255, 255], &[0; 100]] {
        let _ = TcpStream::connect(https).await.unwrap().write_all(nonsense).await;
    }
    connect(https, "a.test", &[]).await;
}
