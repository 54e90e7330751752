//! The controller: what is watched becomes routes, certificates, status and Events.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wharf_ingress::{Ingress, NoLocalHandlers, Options, Published};
use wharf_net::{ClusterNet, Mode, PodNet};

use crate::bed::{get, send};
use crate::fake_api::{FakeApi, eventually};

const INGRESSES: &str = "/apis/networking.k8s.io/v1/ingresses";
const CLASSES: &str = "/apis/networking.k8s.io/v1/ingressclasses";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

fn ingress(name: &str, host: &str, generation: i64) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}"), "generation": generation},
        "spec": {"ingressClassName": "nginx", "tls": [{"hosts": [host], "secretName": "cert"}], "rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}
    })
}

fn secret(host: &str) -> Value {
    use base64::Engine;
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().self_signed(&key).unwrap();
    let text = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"namespace": "default", "name": "cert"},
        "data": {"tls.crt": text(certificate.pem()), "tls.key": text(key.serialize_pem())}})
}

#[tokio::test]
async fn watched_ingresses_are_served_and_told() {
    let api = Arc::new(FakeApi::default());
    api.apply(CLASSES, json!({"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}})).await;
    api.apply(INGRESSES, ingress("one", "a.test", 1)).await;
    let mut foreign = ingress("foreign", "f.test", 1);
    foreign["spec"]["ingressClassName"] = json!("other");
    api.apply(INGRESSES, foreign).await;

    let net = ClusterNet::new(PodNet::new(Mode::Loopback { unprivileged_from: 1024 }));
    let options = Options { published: Published::Fixed(vec![Ipv4Addr::new(10, 88, 0, 1).into()]), ..Options::default() };
    let served = Ingress::new(net, Arc::new(NoLocalHandlers), options).unwrap();
    let token = CancellationToken::new();
    let _end = token.clone().drop_guard();
    let controller = tokio::spawn(served.clone().run(api.client(), token.clone()));
    tokio::time::timeout(Duration::from_secs(30), served.synced()).await.expect("synced");
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let http = listener.local_addr().unwrap();
    tokio::spawn(served.clone().serve_http(listener, token.clone()));
    let status = async |host: &str| send(http, get(host, "/")).await.0;

    // Known at once; its Service is not there, but TLS is configured.
    assert_eq!(status("a.test").await, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(status("f.test").await, StatusCode::NOT_FOUND);

    let writes = || api.writes.lock().clone();
    eventually("status and Event are written", async || writes().len() >= 2).await;
    let written = writes();
    let event = written.iter().find(|write| write.0 == Method::POST).unwrap();
    assert_eq!(event.1, "/api/v1/namespaces/default/events");
    assert_eq!((&event.2["reason"], &event.2["message"], &event.2["type"]), (&json!("Sync"), &json!("Scheduled for sync"), &json!("Normal")));
    assert_eq!(event.2["source"]["component"], "nginx-ingress-controller");
    assert_eq!(event.2["involvedObject"]["uid"], "uid-one");
    let status_write = written.iter().find(|write| write.0 == Method::PUT).unwrap();
    assert_eq!(status_write.1, "/apis/networking.k8s.io/v1/namespaces/default/ingresses/one/status");
    assert_eq!(status_write.2["status"]["loadBalancer"]["ingress"], json!([{"ip": "10.88.0.1"}]));

    // Its own status change is no reason for anything; a new version is, and a conflict is overcome.
    let mut told = ingress("one", "a.test", 1);
    told["status"] = json!({"loadBalancer": {"ingress": [{"ip": "10.88.0.1"}]}});
    api.apply(INGRESSES, told).await;
    api.apply(INGRESSES, ingress("two", "b.test", 1)).await;
    eventually("the second is served", async || status("b.test").await == StatusCode::PERMANENT_REDIRECT).await;
    eventually("and told", async || writes().len() >= 4).await;
    *api.conflicts.lock() = 1;
    let mut changed = ingress("two", "c.test", 2);
    changed["spec"]["tls"] = json!([]);
    api.apply(INGRESSES, changed).await;
    eventually("the change is served", async || status("c.test").await == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(status("b.test").await, StatusCode::NOT_FOUND);
    eventually("and told", async || writes().iter().filter(|write| write.1.ends_with("/two/status")).count() >= 2).await;
    assert_eq!(writes().iter().filter(|write| write.1.ends_with("/one/status")).count(), 1);

    // The Secret comes, is renewed, goes.
    let fallback = served.certificates().find(Some("a.test"));
    let shown = || served.certificates().find(Some("a.test"));
    api.apply(SECRETS, secret("a.test")).await;
    eventually("the certificate is used", async || shown().cert != fallback.cert).await;
    let first = shown();
    api.apply(SECRETS, secret("a.test")).await;
    eventually("the new one is", async || shown().cert != first.cert && shown().cert != fallback.cert).await;
    api.delete(SECRETS, "cert").await;
    eventually("the default one is again", async || shown().cert == fallback.cert).await;

    // Class and Ingresses go.
    api.delete(INGRESSES, "two").await;
    eventually("the Ingress is gone", async || status("c.test").await == StatusCode::NOT_FOUND).await;
    api.delete(CLASSES, "nginx").await;
    eventually("the class is gone", async || status("a.test").await == StatusCode::NOT_FOUND).await;
    token.cancel();
    tokio::time::timeout(Duration::from_secs(30), controller).await.expect("it ends").unwrap();
}
