//! Native programs reach Services: over TCP and UDP, on ClusterIPs and node ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use wharf_ingress::{ServiceProxy, ServiceProxyOptions};
use wharf_net::{ClusterNet, ListenerKind, Mode, PodNet, Proto, Scope};

use crate::fake_api::{FakeApi, eventually};

const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

fn service(name: &str, ip: Ipv4Addr, port: u16, protocol: &str, node_port: Option<u16>) -> Value {
    json!({"metadata": {"namespace": "default", "name": name}, "spec": {"clusterIP": ip.to_string(), "clusterIPs": [ip.to_string()],
        "ports": [{"port": port, "protocol": protocol, "nodePort": node_port}]}})
}

fn slice(service: &str, protocol: &str, endpoints: &[&str]) -> Value {
    let endpoints: Vec<Value> = endpoints.iter().map(|ip| json!({"addresses": [ip]})).collect();
    json!({"metadata": {"namespace": "default", "name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}}, "addressType": "IPv4",
        "ports": [{"name": "", "port": 80, "protocol": protocol}], "endpoints": endpoints})
}

/// A ClusterIP of this test's own.
fn cluster_ip() -> Ipv4Addr {
    Ipv4Addr::new(10, 96 + rand::random_range(1..15), rand::random(), rand::random_range(1..255))
}

/// A port that was free a moment ago.
async fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port()
}

async fn ask(at: SocketAddr) -> String {
    let Ok(mut stream) = TcpStream::connect(at).await else { return "refused".to_owned() };
    let _ = stream.write_all(b"hello").await;
    let _ = stream.shutdown().await;
    let mut answer = String::new();
    match tokio::time::timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await {
        Ok(Ok(_)) => answer,
        _ => "broken".to_owned(),
    }
}

#[tokio::test]
async fn from_watch_to_connection() {
    let api = Arc::new(FakeApi::default());
    let net = ClusterNet::new(PodNet::new(Mode::Loopback { unprivileged_from: 1024 }));
    let (ip, node_port) = (cluster_ip(), free_port().await);
    api.apply(SERVICES, service("web", ip, 80, "TCP", Some(node_port))).await;
    api.apply(SLICES, slice("web", "TCP", &["10.244.0.5"])).await;
    // A Pod that echoes what it hears.
    let pod = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let _guard =
        net.listeners.register(Proto::Tcp, "10.244.0.5:80".parse().unwrap(), Scope::Wildcard, pod.local_addr().unwrap(), ListenerKind::Socket, "x").unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = pod.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    let proxy = ServiceProxy::new(net.clone(), ServiceProxyOptions::default());
    let token = CancellationToken::new();
    let _end = token.clone().drop_guard();
    let running = tokio::spawn(proxy.clone().run(api.client(), token.clone()));
    tokio::time::timeout(Duration::from_secs(30), proxy.synced()).await.expect("synced");
    assert_eq!(net.services.fronts().len(), 2);

    let kernel = SocketAddr::from((net.pod_net.kernel_ip(ip), 10_080));
    eventually("the ClusterIP answers", async || ask(kernel).await == "hello").await;
    eventually("the node port answers", async || ask((Ipv4Addr::LOCALHOST, node_port).into()).await == "hello").await;
    api.apply(SLICES, slice("web", "TCP", &[])).await;
    eventually("without endpoints it is broken off", async || ask(kernel).await == "broken").await;
    api.apply(SLICES, slice("web", "TCP", &["10.244.0.77", "10.244.0.5"])).await;
    eventually("again", async || ask(kernel).await == "hello").await;
    for _ in 0..6 {
        assert_eq!(ask(kernel).await, "hello", "an endpoint where nobody listens is passed over");
    }
    api.delete(SERVICES, "web").await;
    eventually("the listener goes with the Service", async || ask(kernel).await == "refused").await;
    token.cancel();
    tokio::time::timeout(Duration::from_secs(30), running).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn datagrams_find_their_way_back() {
    let api = Arc::new(FakeApi::default());
    let net = ClusterNet::new(PodNet::new(Mode::Loopback { unprivileged_from: 1024 }));
    let ip = cluster_ip();
    api.apply(SERVICES, service("dns", ip, 80, "UDP", None)).await;
    api.apply(SLICES, slice("dns", "UDP", &["10.244.0.5"])).await;
    let pod = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let _guard =
        net.listeners.register(Proto::Udp, "10.244.0.5:80".parse().unwrap(), Scope::Wildcard, pod.local_addr().unwrap(), ListenerKind::Socket, "x").unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 64];
        loop {
            let (length, from) = pod.recv_from(&mut buffer).await.unwrap();
            pod.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    let proxy = ServiceProxy::new(net.clone(), ServiceProxyOptions::default());
    let token = CancellationToken::new();
    let _end = token.clone().drop_guard();
    tokio::spawn(proxy.run(api.client(), token));
    let kernel = SocketAddr::from((net.pod_net.kernel_ip(ip), 10_080));
    for client in 0..3 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let word = format!("client {client}");
        eventually("an echo", async || {
            socket.send_to(word.as_bytes(), kernel).await.unwrap();
            let mut buffer = [0; 64];
            match tokio::time::timeout(Duration::from_millis(200), socket.recv_from(&mut buffer)).await {
                Ok(Ok((length, from))) => from == kernel && &buffer[..length] == word.as_bytes(),
                _ => false,
            }
        })
        .await;
    }
}
