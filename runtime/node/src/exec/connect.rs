//! A connection to a port of a Pod's localhost, for `kubectl port-forward`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;
use wharf_net::Dial;

use crate::network::PodNetwork;
use crate::streams::{Connection, StreamError};

const PATIENCE: Duration = Duration::from_secs(10);

/// Connects as somebody in the Pod would.
pub(super) async fn localhost(pod: &PodNetwork, port: u16) -> Result<Connection, StreamError> {
    let failed = |words: &dyn std::fmt::Display| {
        let words = format!("failed to connect to localhost:{port} inside the Pod's network, IPv4: dial tcp4 127.0.0.1:{port}: connect: {words}");
        StreamError::Failed(words)
    };
    let Dial::Connect { kernel, source, .. } = pod.decide(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) else {
        return Err(failed(&"connection refused"));
    };
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        if let Some(source) = source {
            socket.bind(SocketAddr::from((source, 0)))?;
        }
        socket.connect(kernel).await
    };
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(Ok(stream)) => {
            let _ = stream.set_nodelay(true);
            Ok(Box::pin(stream))
        }
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => Err(failed(&"connection refused")),
        Ok(Err(e)) => Err(failed(&e)),
        Err(_) => Err(failed(&"connection timed out")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::Handlers;
    use crate::http::HttpServer;
    use crate::http::tests::Echo;
    use crate::network::tests::{cluster, network};

    #[tokio::test]
    async fn a_port_of_the_pod_or_words() {
        let net = cluster();
        let (pod, other) = (network(&net, "10.244.204.5"), network(&net, "10.244.204.6"));
        let _server = HttpServer::listen(&pod, &Handlers::new(), "web", &[8080], Arc::new(Echo)).unwrap();
        let mut connection = localhost(&pod, 8080).await.unwrap();
        connection.write_all(b"GET /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("GET /x from 127.0.0.1"), "{answer}");
        let Err(refused) = localhost(&other, 8080).await else { panic!("not its own localhost") };
        assert_eq!(
            refused.to_string(),
            "failed to connect to localhost:8080 inside the Pod's network, IPv4: dial tcp4 127.0.0.1:8080: connect: connection refused"
        );
    }
}
