//! Listeners on ClusterIPs and node ports, and their TCP connections.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use wharf_net::{ClusterNet, Front, Proto, Route};

use super::ServiceProxy;

/// Changes are gathered for so long.
const GATHER: Duration = Duration::from_millis(100);
/// An address that could not be bound is tried again after this time.
const AGAIN: Duration = Duration::from_secs(30);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// A connection is offered to at most so many endpoints.
const MOST_ENDPOINTS: usize = 3;

impl ServiceProxy {
    /// Keeps listeners as the Services are.
    pub(super) async fn keep_listeners(&self) {
        let mut running: HashMap<(Front, SocketAddr), DropGuard> = HashMap::new();
        let mut refused: HashMap<(Front, SocketAddr), Instant> = HashMap::new();
        let room = Arc::new(Semaphore::new(self.options.max_connections));
        let mut warned = false;
        loop {
            let retry = async { if refused.is_empty() { std::future::pending().await } else { tokio::time::sleep(AGAIN).await } };
            tokio::select! {
                () = self.changed.notified() => tokio::time::sleep(GATHER).await,
                () = retry => {}
            }
            let wanted: HashSet<(Front, SocketAddr)> = self.wanted().into_iter().collect();
            running.retain(|at, _| wanted.contains(at));
            refused.retain(|at, since| wanted.contains(at) && since.elapsed() < AGAIN);
            for at in wanted {
                if running.contains_key(&at) || refused.contains_key(&at) {
                    continue;
                }
                if running.len() >= self.options.max_listeners {
                    if !std::mem::replace(&mut warned, true) {
                        tracing::warn!(listeners = running.len(), "no more listeners for Services: native programs reach only some of them");
                    }
                    break;
                }
                let token = CancellationToken::new();
                match start(&self.net, &at.0, at.1, &room, token.clone()).await {
                    Ok(()) => {
                        running.insert(at, token.drop_guard());
                    }
                    Err(error) => {
                        tracing::debug!(address = %at.1, port = at.0.port, protocol = at.0.proto.as_str(), %error, "no listener for a Service");
                        refused.insert(at, Instant::now());
                    }
                }
            }
        }
    }

    /// Fronts and the kernel addresses they are to be served at.
    fn wanted(&self) -> Vec<(Front, SocketAddr)> {
        let (net, mut wanted) = (&self.net, Vec::new());
        for front in net.services.fronts() {
            match front.ip {
                Some(ip) => {
                    // Addresses outside are somebody else's, and what this process serves itself needs no proxy.
                    let at = SocketAddrV4::new(ip, front.port);
                    if net.pod_net.is_service(ip) && net.listeners.get(front.proto, at).is_none() {
                        wanted.push((front, net.pod_net.kernel(at).into()));
                    }
                }
                None => {
                    let nodes = self.options.nodes.iter().map(|node| IpAddr::V4(net.pod_net.kernel_ip(*node)));
                    for ip in nodes.chain(self.options.node_port_addresses.iter().copied()) {
                        wanted.push((front.clone(), SocketAddr::new(ip, net.pod_net.kernel_port(front.port))));
                    }
                }
            }
        }
        wanted
    }
}

/// Binds, and serves in a task of its own until the token is cancelled.
async fn start(net: &Arc<ClusterNet>, front: &Front, at: SocketAddr, room: &Arc<Semaphore>, token: CancellationToken) -> io::Result<()> {
    let (net, front, room) = (net.clone(), front.clone(), room.clone());
    match front.proto {
        Proto::Tcp => {
            let listener = TcpListener::bind(at).await?;
            // Borrowed, for a future has room for its arguments twice.
            tokio::spawn(async move { token.run_until_cancelled(accept(&net, &front, &listener, &room)).await });
        }
        Proto::Udp => {
            let socket = UdpSocket::bind(at).await?;
            tokio::spawn(async move { token.run_until_cancelled(super::udp::forward(net, front, socket, room)).await });
        }
    }
    Ok(())
}

async fn accept(net: &Arc<ClusterNet>, front: &Front, listener: &TcpListener, room: &Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (net, front) = (net.clone(), front.clone());
                tokio::spawn(async move {
                    splice(&net, &front, stream, peer).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection for a Service");
                tokio::time::sleep(GATHER).await;
            }
        }
    }
}

async fn splice(net: &ClusterNet, front: &Front, mut stream: TcpStream, peer: SocketAddr) {
    let Some(mut upstream) = connect(net, front, peer).await else {
        // As near to "connection refused" as an accepted connection gets.
        let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        return;
    };
    let _ = (stream.set_nodelay(true), upstream.set_nodelay(true));
    if let Err(error) = tokio::io::copy_bidirectional(&mut stream, &mut upstream).await {
        tracing::trace!(%peer, %error, "a connection to a Service ended");
    }
}

async fn connect(net: &ClusterNet, front: &Front, peer: SocketAddr) -> Option<TcpStream> {
    for _ in 0..MOST_ENDPOINTS {
        let Some(address) = pick(net, front, peer)? else { continue };
        match tokio::time::timeout(CONNECT_TIME, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%address, %error, "connecting to an endpoint"),
            Err(_) => tracing::debug!(%address, "connecting to an endpoint: no answer"),
        }
    }
    None
}

/// The kernel address of an endpoint; `None`: there is none, `Some(None)`: nobody listens at the one that was picked.
pub(super) fn pick(net: &ClusterNet, front: &Front, peer: SocketAddr) -> Option<Option<SocketAddr>> {
    let client = match peer.ip() {
        IpAddr::V4(ip) => IpAddr::V4(net.pod_net.cluster_ip(ip).unwrap_or(ip)),
        ip @ IpAddr::V6(_) => ip,
    };
    let route = match front.ip {
        Some(ip) => net.services.route(ip, front.port, front.proto, client),
        None => net.services.route_node_port(front.port, front.proto, client),
    };
    match route {
        Route::Endpoint(endpoint) => Some(net.kernel_of(endpoint, front.proto)),
        Route::NoEndpoints | Route::NotAService => None,
    }
}
