//! What the tests stand on: an Ingress with routes, Pods that are small hyper servers, and a plain client.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::networking::v1::Ingress as Object;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use wharf_ingress::{Body, Ingress, IngressPlugins, Kept, LocalHandlers, NoIngressPlugins, NoLocalHandlers, Options, Routes};
use wharf_net::{ClusterNet, Guard, ListenerKind, Mode, PodNet, Proto, Scope};

/// An Ingress that serves plain HTTP.
pub struct Bed {
    pub net: Arc<ClusterNet>,
    pub ingress: Arc<Ingress>,
    pub http: SocketAddr,
    pub token: CancellationToken,
    pub served: tokio::task::JoinHandle<()>,
    _end: DropGuard,
}

impl Bed {
    pub async fn new() -> Bed {
        Bed::with(Arc::new(NoLocalHandlers)).await
    }

    pub async fn with(local: Arc<dyn LocalHandlers>) -> Bed {
        Bed::with_options(local, Options::default()).await
    }

    pub async fn with_options(local: Arc<dyn LocalHandlers>, options: Options) -> Bed {
        Bed::with_all(local, Arc::new(NoIngressPlugins), options).await
    }

    pub async fn with_all(local: Arc<dyn LocalHandlers>, plugins: Arc<dyn IngressPlugins>, options: Options) -> Bed {
        let net = ClusterNet::new(PodNet::new(Mode::Loopback { unprivileged_from: 1024 }));
        let ingress = Ingress::with_plugins(net.clone(), local, plugins, Options { drain: Duration::from_secs(5), ..options }).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (http, token) = (listener.local_addr().unwrap(), CancellationToken::new());
        let served = tokio::spawn(ingress.clone().serve_http(listener, token.clone()));
        Bed { net, ingress, http, _end: token.clone().drop_guard(), token, served }
    }

    /// Sets the routes: Ingresses as YAML documents.
    pub fn routes(&self, yaml: &str) {
        use serde::Deserialize;
        let read = |document| Arc::new(Kept::of(&Object::deserialize(document).unwrap()));
        let ingresses: Vec<Arc<Kept>> = serde_yaml::Deserializer::from_str(yaml).map(read).collect();
        self.ingress.set_routes(Routes::build(&ingresses, &self.net.services));
    }

    /// A Service `name` of port 80 with these endpoints' addresses, each on port 80.
    pub fn service(&self, name: &str, endpoints: &[Ipv4Addr]) {
        self.net
            .services
            .apply_service(&yaml(&format!("{{metadata: {{namespace: default, name: {name}}}, spec: {{clusterIP: 10.96.1.1, ports: [{{port: 80}}]}}}}")));
        let endpoints: Vec<String> = endpoints.iter().map(|ip| format!("{{addresses: [{ip}]}}")).collect();
        self.net.services.apply_slice(&yaml(&format!(
            "{{addressType: IPv4, metadata: {{namespace: default, name: {name}-1, labels: {{kubernetes.io/service-name: {name}}}}}, ports: [{{port: 80}}], endpoints: [{}]}}",
            endpoints.join(", ")
        )));
    }

    /// A Pod at `10.244.0.LAST` whose port 80 is a small server.
    pub async fn pod(&self, last: u8) -> Pod {
        self.pod_of(last, |listener| serve(listener, format!("pod{last}"))).await
    }

    /// A Pod whose port 80 is served by what is given.
    pub async fn pod_of<F: Future<Output = ()> + Send + 'static>(&self, last: u8, serve: impl FnOnce(TcpListener) -> F) -> Pod {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let (ip, kernel) = (Ipv4Addr::new(10, 244, 0, last), listener.local_addr().unwrap());
        let guard = self.net.listeners.register(Proto::Tcp, SocketAddrV4::new(ip, 80), Scope::Wildcard, kernel, ListenerKind::Socket, "web").unwrap();
        let token = CancellationToken::new();
        tokio::spawn(token.clone().run_until_cancelled_owned(serve(listener)));
        Pod { ip, _guard: guard, _end: token.drop_guard() }
    }
}

pub struct Pod {
    pub ip: Ipv4Addr,
    _guard: Guard,
    _end: DropGuard,
}

pub fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_yaml::from_str(text).unwrap()
}

/// An Ingress document: every path of `host` goes to `service`; `annotations` in YAML's flow style, without the prefix.
pub fn rule(host: &str, service: &str, annotations: &[(&str, &str)]) -> String {
    let annotations: Vec<String> = annotations.iter().map(|(name, value)| format!("nginx.ingress.kubernetes.io/{name}: '{value}'")).collect();
    format!(
        "{{metadata: {{namespace: default, name: '{}', annotations: {{{}}}}}, spec: {{rules: [{{host: '{host}', http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}]}}}}]}}}}\n",
        host.replace('.', "-"),
        annotations.join(", ")
    )
}

async fn serve(listener: TcpListener, name: String) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let name = name.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, name.clone()));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// `/headers` echoes the head, `/echo` the body as it comes, `/slow` answers late, `/stall` stops in the middle, `/upgrade` switches to an
/// echo of bytes; anything else is answered with the Pod's name.
async fn answer(mut request: Request<Incoming>, name: String) -> Result<Response<Body>, Infallible> {
    let full = |text: String| Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync();
    let path = request.uri().path().to_owned();
    let mut response = Response::new(match path.as_str() {
        "/headers" => {
            let mut lines: Vec<String> = request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
            lines.sort();
            full(format!("{} {}\n{}", request.method(), request.uri(), lines.join("\n")))
        }
        "/echo" => request.into_body().map_err(Into::into).boxed_unsync(),
        "/count" => full(request.into_body().collect().await.map_or_else(|error| error.to_string(), |whole| whole.to_bytes().len().to_string())),
        "/slow" => {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            full(name)
        }
        "/late" => {
            tokio::time::sleep(Duration::from_millis(400)).await;
            full(name)
        }
        "/stall" => {
            let (to, from) = mpsc::channel(4);
            to.send(Ok(Frame::data(Bytes::from_static(b"half")))).await.unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(30)).await;
                drop(to);
            });
            channel_body(from)
        }
        "/upgrade" => {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            let mut response = Response::new(full(String::new()));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            response.headers_mut().insert("upgrade", "bytes".parse().unwrap());
            return Ok(response);
        }
        _ => full(name),
    });
    response.headers_mut().insert("connection", "x-secret".parse().unwrap());
    response.headers_mut().insert("x-secret", "1".parse().unwrap());
    response.headers_mut().insert("x-public", "1".parse().unwrap());
    Ok(response)
}

/// A body that is sent piece by piece.
pub fn channel_body(mut from: mpsc::Receiver<Result<Frame<Bytes>, wharf_ingress::BoxError>>) -> Body {
    let stream = futures::stream::poll_fn(move |cx| from.poll_recv(cx));
    BodyExt::boxed_unsync(StreamBody::new(stream))
}

pub fn body(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A kept connection to the Ingress.
pub type Client = hyper::client::conn::http1::SendRequest<Body>;

pub async fn client(to: SocketAddr) -> Client {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(async move { connection.with_upgrades().await });
    sender
}

pub fn get(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(body("")).unwrap()
}

pub async fn send(to: SocketAddr, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    send_on(&mut client(to).await, request).await
}

pub async fn send_on(client: &mut Client, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    client.ready().await.unwrap();
    let response = tokio::time::timeout(Duration::from_secs(20), client.send_request(request)).await.expect("a response").unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_else(|error| format!("broken: {error}"));
    (head.status, head.headers, body)
}
