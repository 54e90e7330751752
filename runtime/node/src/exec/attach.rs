//! `attach`: the streams of a container's own process.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::process::type_in;
use crate::pod::door::{Door, Stdin, StdinKind};
use crate::streams::{Input, Stdio, StreamError};

/// How long a container writes nothing before a client leaves that has no more to say.
const QUIET: Duration = Duration::from_secs(1);

/// Joins a container's streams until it ends or the client leaves.
///
/// As with other runtimes: a container whose input ends with its first client goes on to write to that client; otherwise a client that has no
/// more input leaves, once the container is silent.
pub(super) async fn attach(door: &Door, stdio: Stdio) -> Result<(), StreamError> {
    let Stdio { stdin, stdout, stderr, tty: _, mut sizes } = stdio;
    let copied = door.log.tap().copy(stdout, stderr);
    let typed = async {
        match (&door.stdin, stdin) {
            (Some(own), Some(client)) => {
                let _leaves = Leaving(own);
                give(door, own, client).await;
                if own.once && own.terminal().is_none() {
                    own.close();
                    std::future::pending().await
                }
            }
            _ => std::future::pending().await,
        }
    };
    let resized = async {
        while let Some(size) = sizes.recv().await {
            if let Some(command) = &door.command {
                command.resize(size);
            }
        }
        std::future::pending::<Infallible>().await
    };
    let failed = |e| StreamError::Failed(format!("the client's streams: {e}"));
    let mut copied = std::pin::pin!(copied);
    tokio::select! {
        copied = copied.as_mut() => return copied.map_err(failed),
        () = typed => {}
        never = resized => match never {},
    }
    // What its last words bring about is still for the client.
    loop {
        let before = door.log.writes();
        match tokio::time::timeout(QUIET, copied.as_mut()).await {
            Ok(copied) => return copied.map_err(failed),
            Err(_) if door.log.writes() == before => return Ok(()),
            Err(_) => {}
        }
    }
}

/// Hands a client's input to the container.
async fn give(door: &Door, own: &Stdin, client: Input) {
    match &own.kind {
        StdinKind::Terminal(terminal) => type_in(terminal, client, door.command.as_ref()).await,
        StdinKind::Pipe(pipe) => {
            let sender = pipe.lock().clone();
            if let Some(sender) = sender {
                send(client, sender).await;
            }
        }
    }
}

async fn send(mut client: Input, to: mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; 8 << 10];
    while let Ok(n @ 1..) = client.read(&mut buffer).await {
        if to.send(Bytes::copy_from_slice(&buffer[..n])).await.is_err() {
            return;
        }
    }
}

/// A client that leaves takes the input with it, where the container wants it so.
struct Leaving<'s>(&'s Stdin);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if self.0.once {
            self.0.close();
        }
    }
}
