//! A forwarded connection, apart from the protocol.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::streams::Streams;

/// Whose ports are forwarded.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// How a forwarded connection ended otherwise than by both sides' ends.
#[derive(Debug)]
pub(super) enum Broken {
    /// One of the sides broke it off.
    Reset,
    /// These words are for the client.
    Failed(String),
}

/// Joins a client's stream with a new connection to a port of the Pod.
pub(super) async fn forward(streams: &dyn Streams, pod: &Pod, port: u16, client: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<(), Broken> {
    let failed = |words: &dyn std::fmt::Display| Broken::Failed(format!("error forwarding port {port} to pod {}, uid : {words}", pod.name));
    let mut connection = streams.connect(&pod.namespace, &pod.name, port).await.map_err(|e| failed(&e))?;
    match tokio::io::copy_bidirectional(client, &mut connection).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => Err(Broken::Reset),
        Err(error) => Err(failed(&error)),
    }
}
