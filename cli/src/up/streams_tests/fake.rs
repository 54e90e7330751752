//! Streams of no Pod: each command is one way in which a process can use its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wharf_engine::{Exit, ExitReason};
use wharf_node::streams::{Connection, Stdio, StreamError, Streams, Target};

/// Counts what runs.
#[derive(Clone, Default)]
pub(super) struct Fake {
    pub(super) running: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Running(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The byte at a place of a long transfer.
pub(super) fn pattern(at: usize) -> u8 {
    (at % 251) as u8
}

async fn process(command: Vec<String>, mut stdio: Stdio) -> i32 {
    let argument = command.get(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut stdout = stdio.stdout.take();
    let mut stderr = stdio.stderr.take();
    let code = match command[0].as_str() {
        "cat" => {
            let (Some(input), Some(output)) = (&mut stdio.stdin, &mut stdout) else { return 2 };
            i32::from(tokio::io::copy(input, output).await.is_err())
        }
        "count" => {
            let (Some(input), Some(output)) = (&mut stdio.stdin, &mut stdout) else { return 2 };
            let mut buffer = vec![0; 16 << 10];
            let mut at = 0;
            loop {
                let n = input.read(&mut buffer).await.unwrap_or(0);
                if n == 0 {
                    break;
                }
                if !buffer[..n].iter().enumerate().all(|(i, byte)| *byte == pattern(at + i)) {
                    return 4;
                }
                at += n;
            }
            i32::from(output.write_all(at.to_string().as_bytes()).await.is_err())
        }
        "flood" => {
            let Some(output) = &mut stdout else { return 2 };
            let bytes: Vec<u8> = (0..argument as usize).map(pattern).collect();
            i32::from(output.write_all(&bytes).await.is_err())
        }
        "both" => {
            for (stream, words) in [(&mut stdout, "to stdout"), (&mut stderr, "to stderr")] {
                if let Some(stream) = stream {
                    let _ = stream.write_all(words.as_bytes()).await;
                }
            }
            0
        }
        "size" => {
            let size = stdio.sizes.recv().await.unwrap_or_default();
            let words = format!("{}x{} tty={}", size.columns, size.rows, stdio.tty);
            i32::from(stdout.as_mut().expect("stdout").write_all(words.as_bytes()).await.is_err())
        }
        "exit" => argument,
        _ => std::future::pending().await,
    };
    for mut stream in [stdout, stderr].into_iter().flatten() {
        let _ = stream.shutdown().await;
    }
    code
}

impl Streams for Fake {
    fn find(&self, _namespace: &str, _pod: &str, container: Option<&str>) -> Result<(), StreamError> {
        match container {
            None | Some("main") => Ok(()),
            Some(other) => Err(StreamError::Failed(format!("container not found ({other:?})"))),
        }
    }

    fn exec(&self, _target: Target, command: Vec<String>, stdio: Stdio) -> BoxFuture<'static, Result<Exit, StreamError>> {
        let running = Running::new(&self.running);
        async move {
            let _running = running;
            Ok(Exit { code: process(command, stdio).await, reason: ExitReason::Exited })
        }
        .boxed()
    }

    fn attach(&self, _target: Target, stdio: Stdio) -> BoxFuture<'static, Result<(), StreamError>> {
        let running = Running::new(&self.running);
        async move {
            let _running = running;
            process(vec!["cat".to_owned()], stdio).await;
            Ok(())
        }
        .boxed()
    }

    fn connect(&self, _namespace: &str, _pod: &str, port: u16) -> BoxFuture<'static, Result<Connection, StreamError>> {
        let running = Running::new(&self.running);
        async move {
            if port != 7 {
                return Err(StreamError::Failed(format!("failed to connect to localhost:{port}: dial tcp4 127.0.0.1:{port}: connect: connection refused")));
            }
            let (near, far) = tokio::io::duplex(4096);
            tokio::spawn(async move {
                let _running = running;
                let (mut read, mut write) = tokio::io::split(far);
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
            Ok(Box::pin(near) as Connection)
        }
        .boxed()
    }
}
