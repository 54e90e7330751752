//! One question to a container: an HTTP request or a TCP connection from the node's address, or the in-process handler directly.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Container, HTTPGetAction, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wharf_engine::Body;
use wharf_net::{ClusterNet, Dial, Proto};

use super::{grpc, tls};
use crate::Handlers;

/// How a container answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Well.
    Success,
    /// Badly, or not at all: why.
    Failure(String),
    /// It could not be asked: why.
    Unknown(String),
}

/// Runs commands in the container that is asked.
pub trait Exec: Send + Sync {
    /// The exit code and what was written, or why it could not be run. Dropping the future kills it.
    fn exec(&self, command: Vec<String>) -> BoxFuture<'static, Result<(i32, String), String>>;
}

/// Whom to ask.
pub struct Target {
    /// The network.
    pub net: Arc<ClusterNet>,
    /// In-process handlers.
    pub handlers: Arc<Handlers>,
    /// The Pod.
    pub pod: Ipv4Addr,
    /// The node, from where it is asked.
    pub node: Ipv4Addr,
    /// The container.
    pub exec: Arc<dyn Exec>,
}

impl Target {
    /// Asks once.
    pub async fn ask(&self, probe: &Probe, container: &Container, limit: Duration) -> Answer {
        let asked = async {
            if let Some(action) = &probe.http_get {
                self.http(action, container).await
            } else if let Some(action) = &probe.tcp_socket {
                match self.address(action.host.as_deref(), &action.port, container) {
                    Ok(at) => self.connect(at).await.map_or_else(Answer::Failure, |_| Answer::Success),
                    Err(words) => Answer::Unknown(words),
                }
            } else if let Some(action) = &probe.exec {
                match self.exec.exec(action.command.clone().unwrap_or_default()).await {
                    Ok((0, _)) => Answer::Success,
                    Ok((_, output)) => Answer::Failure(output),
                    Err(words) => Answer::Unknown(words),
                }
            } else if let Some(action) = &probe.grpc {
                let at = match self.address(None, &IntOrString::Int(action.port), container) {
                    Ok(at) => at,
                    Err(words) => return Answer::Unknown(words),
                };
                match self.connect(at).await {
                    Ok(stream) => grpc::check(stream, at, action.service.as_deref().unwrap_or_default()).await,
                    Err(words) => Answer::Failure(format!("error: failed to connect service at \"{at}\": {words}")),
                }
            } else {
                Answer::Unknown("missing probe handler".to_owned())
            }
        };
        match timeout(limit, asked).await {
            Ok(answer) => answer,
            Err(_) => Answer::Failure(match (&probe.http_get, &probe.exec) {
                _ if probe.grpc.is_some() => format!("timeout: health rpc did not complete within {}s", limit.as_secs_f32()),
                (Some(action), _) => format!(
                    "Get \"{}\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
                    self.address(action.host.as_deref(), &action.port, container).map(|at| url(action, at)).unwrap_or_default()
                ),
                (None, Some(action)) => {
                    format!("command timed out: {:?} timed out after {}s", action.command.clone().unwrap_or_default().join(" "), limit.as_secs_f32())
                }
                (None, None) => "dial tcp: i/o timeout".to_owned(),
            }),
        }
    }

    async fn http(&self, action: &HTTPGetAction, container: &Container) -> Answer {
        match self.get(action, container, "kube-probe/1.37").await {
            Ok(status) if (200..400).contains(&status.as_u16()) => Answer::Success,
            Ok(status) => Answer::Failure(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
            Err(answer) => answer,
        }
    }

    /// Sends a request: the status of the answer, or why there is none.
    pub(crate) async fn get(&self, action: &HTTPGetAction, container: &Container, agent: &str) -> Result<StatusCode, Answer> {
        let at = self.address(action.host.as_deref(), &action.port, container).map_err(Answer::Unknown)?;
        let tls = action.scheme.as_deref() == Some("HTTPS");
        let path = action.path.as_deref().filter(|p| !p.is_empty()).unwrap_or("/");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let mut request = Request::get(path).header(header::USER_AGENT, agent).header(header::ACCEPT, "*/*").header(header::CONNECTION, "close");
        let mut host = at.to_string();
        for h in action.http_headers.iter().flatten() {
            if h.name.eq_ignore_ascii_case("host") {
                host.clone_from(&h.value);
            } else {
                request = request.header(&h.name, &h.value);
            }
        }
        let body: Body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let request = request.header(header::HOST, host).body(body).map_err(|e| Answer::Unknown(e.to_string()))?;
        let failed = |words: &dyn std::fmt::Display| Answer::Failure(format!("Get \"{}\": {words}", url(action, at)));
        let handler = match at {
            SocketAddr::V4(v4) if !tls => self.handlers.get(v4),
            _ => None,
        };
        match handler {
            Some(handler) => Ok(handler.call(request, SocketAddr::from((self.node, 0))).await.map_or_else(|e| e.status(), |r| r.status())),
            None => {
                let stream = self.connect(at).await.map_err(|words| failed(&words))?;
                if tls {
                    let stream = tls::connect(stream, at.ip()).await.map_err(|e| failed(&e))?;
                    return ask(stream, request).await.map_err(|e| failed(&e));
                }
                ask(stream, request).await.map_err(|e| failed(&e))
            }
        }
    }

    /// The address that a probe names: the Pod's unless it says otherwise, with the port by number or name.
    fn address(&self, host: Option<&str>, port: &IntOrString, container: &Container) -> Result<SocketAddr, String> {
        let number = match port {
            IntOrString::Int(n) => Some(*n),
            IntOrString::String(name) => match container.ports.iter().flatten().find(|p| p.name.as_ref() == Some(name)) {
                Some(port) => Some(port.container_port),
                None => name.parse().ok(),
            },
        };
        let number = number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0).ok_or_else(|| format!("invalid port of a probe: {port:?}"))?;
        let ip = match host.filter(|h| !h.is_empty()) {
            Some(host) => host.parse::<IpAddr>().map_err(|_| format!("host {host:?} of a probe is not an address"))?,
            None => self.pod.into(),
        };
        Ok(SocketAddr::new(ip, number))
    }

    async fn connect(&self, at: SocketAddr) -> Result<TcpStream, String> {
        let words = |e: &dyn std::fmt::Display| format!("dial tcp {at}: connect: {e}");
        let kernel = match self.net.decide(self.node, at, Proto::Tcp) {
            Dial::Connect { kernel, .. } | Dial::Outside(kernel) => kernel,
            Dial::Refused => return Err(words(&"connection refused")),
            Dial::Unreachable => return Err(words(&"no route to host")),
        };
        TcpStream::connect(kernel).await.map_err(|e| match e.kind() {
            std::io::ErrorKind::ConnectionRefused => words(&"connection refused"),
            _ => words(&e),
        })
    }
}

fn url(action: &HTTPGetAction, at: SocketAddr) -> String {
    let path = action.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{}{slash}{path}", action.scheme.as_deref().unwrap_or("HTTP").to_lowercase(), at)
}

async fn ask(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, request: Request<Body>) -> Result<StatusCode, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut response = std::pin::pin!(sender.send_request(request));
    tokio::select! {
        biased;
        response = response.as_mut() => response.map(|r| r.status()),
        // The answer may have come with the end.
        ended = connection => {
            ended?;
            response.await.map(|r| r.status())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::HttpServer;
    use crate::http::tests::Echo;
    use crate::network::tests::{cluster, network};

    /// Knows `exit` and `sleep`.
    struct Shell;
    impl Exec for Shell {
        fn exec(&self, command: Vec<String>) -> BoxFuture<'static, Result<(i32, String), String>> {
            Box::pin(async move {
                match command[0].as_str() {
                    "exit" => Ok((command[1].parse().unwrap(), command.join(" "))),
                    "sleep" => std::future::pending().await,
                    _ => Err("no such command".to_owned()),
                }
            })
        }
    }

    #[tokio::test]
    async fn by_socket_and_in_process_alike() {
        let net = cluster();
        let pod = network(&net, "10.244.203.5");
        let listed = Handlers::new();
        let _server = HttpServer::listen(&pod, &listed, "web", &[8080], Arc::new(Echo)).unwrap();
        let container: Container = serde_json::from_value(serde_json::json!({"name": "web", "ports": [{"name": "http", "containerPort": 8080}]})).unwrap();
        for handlers in [listed.clone(), Handlers::new()] {
            let target = Target { net: net.clone(), handlers, pod: pod.ip(), node: "10.88.0.1".parse().unwrap(), exec: Arc::new(Shell) };
            for (probe, want) in [
                (serde_json::json!({"httpGet": {"port": "http"}}), Answer::Success),
                (serde_json::json!({"httpGet": {"port": 8080, "path": "trap"}}), Answer::Failure("HTTP probe failed with statuscode: 502".into())),
                (
                    serde_json::json!({"httpGet": {"port": 8080, "path": "/slow"}}),
                    Answer::Failure("Get \"http://10.244.203.5:8080/slow\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)".into()),
                ),
                (
                    serde_json::json!({"httpGet": {"port": 81}}),
                    Answer::Failure("Get \"http://10.244.203.5:81/\": dial tcp 10.244.203.5:81: connect: connection refused".into()),
                ),
                (serde_json::json!({"tcpSocket": {"port": "http"}}), Answer::Success),
                (serde_json::json!({"tcpSocket": {"port": 81}}), Answer::Failure("dial tcp 10.244.203.5:81: connect: connection refused".into())),
                (
                    serde_json::json!({"httpGet": {"port": 81, "scheme": "HTTPS"}}),
                    Answer::Failure("Get \"https://10.244.203.5:81/\": dial tcp 10.244.203.5:81: connect: connection refused".into()),
                ),
                (
                    serde_json::json!({"grpc": {"port": 81}}),
                    Answer::Failure("error: failed to connect service at \"10.244.203.5:81\": dial tcp 10.244.203.5:81: connect: connection refused".into()),
                ),
                (serde_json::json!({"exec": {"command": ["exit", "0"]}}), Answer::Success),
                (serde_json::json!({"exec": {"command": ["exit", "1"]}}), Answer::Failure("exit 1".into())),
                (serde_json::json!({"exec": {"command": ["none"]}}), Answer::Unknown("no such command".into())),
                (serde_json::json!({"exec": {"command": ["sleep", "1"]}}), Answer::Failure("command timed out: \"sleep 1\" timed out after 0.15s".into())),
            ] {
                let probe: Probe = serde_json::from_value(probe).unwrap();
                assert_eq!(target.ask(&probe, &container, Duration::from_millis(150)).await, want, "{probe:?}");
            }
        }
    }
}
