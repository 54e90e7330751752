//! Stock kubectl, where there is one: over WebSockets, and over SPDY as before it knew them.

use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use super::fake::pattern;
use super::{World, both_ways};

/// A kubectl that would speak this protocol.
fn kubectl(world: &World, websockets: bool, arguments: &[&str]) -> Command {
    let config = world.dir.path().join("kubeconfig");
    std::fs::write(&config, world.pki.kubeconfig("wharf", &format!("https://{}", world.api))).unwrap();
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(config).args(arguments).kill_on_drop(true);
    command.env("HOME", world.dir.path());
    for variable in ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"] {
        command.env(variable, websockets.to_string());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Whether kubectl is installed.
async fn installed() -> bool {
    let found = Command::new("kubectl").args(["version", "--client"]).output().await.is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("kubectl is not installed: passed over");
    }
    found
}

async fn run(world: &World, websockets: bool, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = kubectl(world, websockets, arguments).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // What it does not want to read, it need not.
    let feeding = async move {
        let _ = stdin.write_all(input).await;
    };
    tokio::join!(feeding, child.wait_with_output()).1.unwrap()
}

/// Stdout, stderr and exit code.
async fn told(world: &World, websockets: bool, arguments: &[&str], input: &str) -> (String, String, i32) {
    let output = run(world, websockets, arguments, input.as_bytes()).await;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap_or(-1))
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_has_streams_and_exit_codes() {
    if !installed().await {
        return;
    }
    both_ways(async |world| {
        for websockets in [true, false] {
            let exec = async |flags: &str, command: &[&str], input: &str| {
                let arguments = [&["exec", flags, "p", "-c", "main", "--"], command].concat();
                told(world, websockets, &arguments, input).await
            };
            let ok = |out: &str| (out.to_owned(), String::new(), 0);
            assert_eq!(exec("-i", &["cat"], "hi\n").await, ok("hi\n"), "websockets: {websockets}");
            assert_eq!(exec("-q", &["both"], "").await, ("to stdout".to_owned(), "to stderr".to_owned(), 0));
            let failed = ("".to_owned(), "command terminated with exit code 3\n".to_owned(), 3);
            assert_eq!(exec("-q", &["exit", "3"], "").await, failed);
            world.running(0).await;
        }
        // In the words that differ, as upstream's do.
        let missing = ["exec", "p", "-c", "other", "--", "ls"];
        let (_, words, code) = told(world, true, &missing, "").await;
        assert_eq!((words.as_str(), code), ("error: Internal error occurred: unable to upgrade connection: container not found (\"other\")\n", 1));
        let (_, words, code) = told(world, false, &missing, "").await;
        assert_eq!((words.as_str(), code), ("error: unable to upgrade connection: container not found (\"other\")\n", 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_and_attach_carry_much() {
    const LENGTH: usize = 3_000_000;
    if !installed().await {
        return;
    }
    let bytes: Vec<u8> = (0..LENGTH).map(pattern).collect();
    both_ways(async |world| {
        for websockets in [true, false] {
            let output = run(world, websockets, &["exec", "p", "-c", "main", "--", "flood", &LENGTH.to_string()], b"").await;
            assert!(output.stdout == bytes, "{} bytes came, websockets: {websockets}", output.stdout.len());
            let output = run(world, websockets, &["exec", "-i", "p", "-c", "main", "--", "count"], &bytes).await;
            assert_eq!(String::from_utf8_lossy(&output.stdout), LENGTH.to_string(), "websockets: {websockets}");
            let output = run(world, websockets, &["attach", "-q", "-i", "p", "-c", "main"], &bytes).await;
            assert!(output.stdout == bytes, "{} bytes came back, websockets: {websockets}", output.stdout.len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_ends_what_runs() {
    if !installed().await {
        return;
    }
    both_ways(async |world| {
        for websockets in [true, false] {
            let mut child = kubectl(world, websockets, &["exec", "-i", "p", "-c", "main", "--", "sleep"]).spawn().unwrap();
            world.running(1).await;
            child.kill().await.unwrap();
            world.running(0).await;
        }
        // Nor does it go on when the client's leaving stands behind input that nobody reads.
        let sleep = |websockets| kubectl(world, websockets, &["exec", "-i", "p", "-c", "main", "--", "sleep"]);
        let mut children = Vec::new();
        for websockets in [true, false] {
            children.push(sleep(websockets).stdin(std::fs::File::open("/dev/zero").unwrap()).spawn().unwrap());
        }
        world.running(2).await;
        for child in &mut children {
            child.kill().await.unwrap();
        }
        world.running(0).await;
    })
    .await;
}

/// A kubectl that forwards, and the local ports of what it forwards, in order.
async fn forwarding(world: &World, websockets: bool, ports: &[&str]) -> (Child, Vec<u16>, Lines<BufReader<ChildStdout>>) {
    let mut child = kubectl(world, websockets, &[&["port-forward", "pod/p", "--address", "127.0.0.1"], ports].concat()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut local = Vec::new();
    while local.len() < ports.len() {
        let Some(line) = lines.next_line().await.unwrap() else { panic!("{:?}", child.wait_with_output().await) };
        let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split(' ').next());
        local.push(port.and_then(|p| p.parse().ok()).unwrap_or_else(|| panic!("{line}")));
    }
    (child, local, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_are_forwarded() {
    if !installed().await {
        return;
    }
    let bytes: Vec<u8> = (0..2_000_000).map(pattern).collect();
    both_ways(async |world| {
        for websockets in [true, false] {
            let (child, ports, _lines) = forwarding(world, websockets, &[":7"]).await;
            let echo = async || {
                let (mut read, mut write) = TcpStream::connect(("127.0.0.1", ports[0])).await.unwrap().into_split();
                let sending = async {
                    write.write_all(&bytes).await.unwrap();
                    write.shutdown().await.unwrap();
                };
                let mut back = Vec::new();
                let (_, read) = tokio::join!(sending, read.read_to_end(&mut back));
                read.unwrap();
                assert!(back == bytes, "{} bytes came back, websockets: {websockets}", back.len());
            };
            tokio::join!(echo(), echo(), echo());
            echo().await;
            drop(child);
            world.running(0).await;

            // Nobody listens there.
            let (mut child, ports, _lines) = forwarding(world, websockets, &[":81"]).await;
            let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
            let mut stream = TcpStream::connect(("127.0.0.1", ports[0])).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            let words = errors.next_line().await.unwrap().unwrap_or_default();
            let wanted = "error forwarding port 81 to pod p, uid : failed to connect to localhost:81: dial tcp4 127.0.0.1:81: connect: connection refused";
            assert!(words.contains(&format!("an error occurred forwarding {} -> 81: {wanted}", ports[0])), "{words}");
        }
    })
    .await;
}
