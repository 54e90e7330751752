//! `exec`: a further process in a container's world.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use wharf_engine::{Command, Exit};

use super::choose::{Chosen, choose, refused};
use crate::output::{Collected, Fan, Sink};
use crate::pod::context::Shared;
use crate::pod::door::{Door, Reader, Streams};
use crate::streams::{Input, Stdio, StreamError};
use crate::terminal::Terminal;

/// What is kept of the output of a command that the node runs for itself, as upstream keeps.
const MAX_OUTPUT: usize = 10 << 10;

/// Finds out what a command is in this container.
async fn find(node: &Shared, door: &Door, command: Vec<String>) -> Result<Chosen, StreamError> {
    match &door.world {
        Some(world) => choose(node, world, command).await,
        None => Err(refused(&format!("exec: {:?}: executable file not found in $PATH", command.first().map_or("", String::as_str)))),
    }
}

/// Starts it.
fn start(door: &Door, chosen: Chosen, streams: Streams) -> Result<Command, StreamError> {
    let world = door.world.as_ref().ok_or_else(|| "nothing can be started here".to_owned());
    world.and_then(|world| chosen.start(world, streams)).map_err(|words| refused(&words))
}

/// Runs a command for the node itself: its exit code and what it wrote. It is killed when this is dropped.
pub(super) async fn capture(node: &Shared, door: &Door, command: Vec<String>) -> Result<(i32, String), StreamError> {
    let written = Collected::new(MAX_OUTPUT);
    let command = start(door, find(node, door, command).await?, Streams::into(&written))?;
    let exit = command.wait().await;
    Ok((exit.code, written.text()))
}

/// Runs a command to its end. It is killed with the container, when the client goes, and when this is dropped.
pub(super) async fn run(node: &Shared, door: &Door, command: Vec<String>, stdio: Stdio) -> Result<Exit, StreamError> {
    let chosen = find(node, door, command).await?;
    let Stdio { stdin, stdout, stderr, tty, mut sizes } = stdio;
    let fan = Arc::new(Fan::default());
    let tap = fan.tap();
    let terminal = tty.then(|| Terminal::new(fan.clone()));
    let (to_stdout, to_stderr) = Sink::both(fan.clone(), terminal.as_ref());
    let (reader, keys): (Option<Reader>, _) = match &terminal {
        Some(terminal) => (Some(Box::new(terminal.keyboard())), stdin),
        None => (stdin.map(|stdin| Box::new(Exclusive(Mutex::new(stdin))) as Reader), None),
    };
    let size = tty.then(|| sizes.try_recv().unwrap_or_default());
    let command = start(door, chosen, Streams { stdin: reader, terminal: size, stdout: to_stdout, stderr: to_stderr })?;
    let ended = async {
        let exit = command.wait().await;
        fan.close();
        Ok(exit)
    };
    let copied = async { tap.copy(stdout, stderr).await.map_err(|e| StreamError::Failed(format!("the client's streams: {e}"))) };
    let typed = async {
        if let (Some(terminal), Some(keys)) = (&terminal, keys) {
            type_in(terminal, keys, Some(&command)).await;
        }
    };
    let resized = async {
        while let Some(size) = sizes.recv().await {
            command.resize(size);
        }
    };
    let outlived = async {
        door.ended.cancelled().await;
        command.kill();
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        done = async { tokio::try_join!(ended, copied) } => done.map(|(exit, ())| exit),
        (_, _, never) = async { tokio::join!(typed, resized, outlived) } => match never {},
    }
}

/// Types what a client sends into a terminal, until the client has no more.
pub(super) async fn type_in(terminal: &Terminal, mut keys: Input, command: Option<&Command>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = keys.read(&mut buffer).await {
        for signal in terminal.receive(&buffer[..n]) {
            if let Some(command) = command {
                command.signal(signal);
            }
        }
    }
}

/// A client's input for a guest: read by one at a time.
struct Exclusive(Mutex<Input>);

impl AsyncRead for Exclusive {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        self.0.get_mut().as_mut().poll_read(cx, into)
    }
}
