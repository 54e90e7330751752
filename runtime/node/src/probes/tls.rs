//! HTTPS probes: as upstream, whoever answers is believed, since a probe asks only whether somebody does.

use std::net::IpAddr;

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TLS connection to whoever it is.
pub(super) async fn connect(stream: TcpStream, host: IpAddr) -> std::io::Result<TlsStream<TcpStream>> {
    TlsConnector::from(crate::trust::anybody()).connect(ServerName::from(host), stream).await
}
