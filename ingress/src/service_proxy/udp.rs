//! UDP to a Service: each client has its own socket to one endpoint, so that answers find their way back.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};
use wharf_net::{ClusterNet, Front, Mode, Proto};

/// A client that is silent for so long is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// Clients of one Service's port at one time.
const MOST_CLIENTS: usize = 512;
const LARGEST: usize = 65_535;

/// Where a client's datagrams go.
struct Upstream {
    endpoint: SocketAddr,
    socket: Arc<UdpSocket>,
}

/// Forwards until dropped.
pub(super) async fn forward(net: Arc<ClusterNet>, front: Front, socket: UdpSocket, room: Arc<Semaphore>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Upstream> = HashMap::new();
    let (ended, mut gone) = mpsc::channel(MOST_CLIENTS);
    let mut buffer = vec![0; LARGEST];
    loop {
        let (length, client) = tokio::select! {
            Some((client, endpoint)) = gone.recv() => {
                if clients.get(&client).is_some_and(|known| known.endpoint == endpoint) {
                    clients.remove(&client);
                }
                continue;
            }
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                // An earlier answer could not be delivered.
                Err(_) => continue,
            },
        };
        let upstream = match clients.get(&client).filter(|known| listens(&net, known.endpoint)) {
            Some(known) => known.socket.clone(),
            None if clients.len() >= MOST_CLIENTS => continue,
            None => {
                let (Ok(permit), Some(Some(endpoint))) = (room.clone().try_acquire_owned(), super::listen::pick(&net, &front, client)) else { continue };
                let Some(upstream) = dial(endpoint).await else { continue };
                let (socket, from, ended) = (socket.clone(), upstream.clone(), ended.clone());
                tokio::spawn(async move {
                    answer(&socket, &from, client).await;
                    drop(permit);
                    let _ = ended.send((client, endpoint)).await;
                });
                clients.insert(client, Upstream { endpoint, socket: upstream.clone() });
                upstream
            }
        };
        let _ = upstream.send(&buffer[..length]).await;
    }
}

/// Whether somebody still listens at a kernel address, as far as this process can know: a client that keeps its port must not be held to an
/// endpoint that is gone.
fn listens(net: &ClusterNet, kernel: SocketAddr) -> bool {
    match net.listeners.cluster_of(Proto::Udp, kernel) {
        Some(at) => net.listeners.get(Proto::Udp, at).is_some(),
        None => matches!(kernel, SocketAddr::V4(at) if net.pod_net.mode() == Mode::Routed || net.pod_net.cluster_ip(*at.ip()).is_none()),
    }
}

async fn dial(endpoint: SocketAddr) -> Option<Arc<UdpSocket>> {
    let any: SocketAddr = if endpoint.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let upstream = UdpSocket::bind(any).await.ok()?;
    upstream.connect(endpoint).await.ok()?;
    Some(Arc::new(upstream))
}

/// Carries answers back until there are none for a while, or the endpoint is gone.
async fn answer(socket: &UdpSocket, from: &UdpSocket, client: SocketAddr) {
    let mut buffer = vec![0; LARGEST];
    while let Ok(Ok(length)) = tokio::time::timeout(IDLE, from.recv(&mut buffer)).await {
        if socket.send_to(&buffer[..length], client).await.is_err() {
            return;
        }
    }
}
