//! exec, attach and port-forward into real guests.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use wharf_engine::{Exit, TerminalSize};
use wharf_node::streams::{Stdio, StreamError, Streams, Target};

use super::{HTTP, World, condition};

pub const BUSYBOX: &str = "wharf.local/builtin/busybox";
const PATIENCE: Duration = Duration::from_secs(60);

fn target(pod: &str) -> Target {
    Target { namespace: "default".into(), pod: pod.into(), container: "c".into() }
}

/// A client of a process: what it typed and what it got.
struct Client {
    keys: Option<DuplexStream>,
    out: DuplexStream,
    err: DuplexStream,
    sizes: mpsc::Sender<TerminalSize>,
    got: String,
}

fn client(tty: bool) -> (Client, Stdio) {
    let ((keys, guest), (out, guest_out), (err, guest_err)) = (duplex(64), duplex(1 << 20), duplex(1 << 20));
    let (sizes, guest_sizes) = mpsc::channel(4);
    let output = |half| Some(Box::pin(half) as Pin<Box<dyn AsyncWrite + Send>>);
    let stdio = Stdio {
        stdin: Some(Box::pin(guest)),
        stdout: output(guest_out),
        stderr: (!tty).then_some(()).and_then(|()| output(guest_err)),
        tty,
        sizes: guest_sizes,
    };
    (Client { keys: Some(keys), out, err, sizes, got: String::new() }, stdio)
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.keys.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads until the text has come.
    async fn expect(&mut self, text: &str) {
        let read = async {
            while !self.got.contains(text) {
                let mut buffer = [0; 1024];
                match self.out.read(&mut buffer).await.unwrap() {
                    0 => panic!("{text:?} never came: {:?}", self.got),
                    n => self.got.push_str(&String::from_utf8_lossy(&buffer[..n])),
                }
            }
        };
        if tokio::time::timeout(PATIENCE, read).await.is_err() {
            panic!("{text:?} does not come: {:?}", self.got);
        }
        self.got = self.got.split_once(text).unwrap().1.to_owned();
    }

    /// All that is left, of both.
    async fn rest(mut self) -> (String, String) {
        let mut err = String::new();
        let read = async {
            self.out.read_to_string(&mut self.got).await.unwrap();
            self.err.read_to_string(&mut err).await.unwrap();
        };
        tokio::time::timeout(PATIENCE, read).await.unwrap();
        (self.got, err)
    }
}

/// Runs a command with this input; exit code, output, error output.
pub async fn exec(streams: &Arc<dyn Streams>, pod: &str, command: &[&str], input: &str) -> Result<(i32, String, String), StreamError> {
    let (mut client, stdio) = client(false);
    let running = streams.exec(target(pod), command.iter().map(|s| (*s).to_owned()).collect(), stdio);
    client.send(input).await;
    client.keys = None;
    let (exit, (out, err)) = tokio::join!(tokio::time::timeout(PATIENCE, running), client.rest());
    exit.unwrap().map(|Exit { code, .. }| (code, out, err))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_in_a_handlers_world() {
    let world = World::new(111).await;
    world.api.put("api/v1/namespaces/default/configmaps/cm", json!({"metadata": {"name": "cm", "namespace": "default"}, "data": {"greeting": "hi there\n"}}));
    let node = world.start().await;
    let streams = node.node.streams();
    let pod = world.pod(
        "web",
        json!({"volumes": [{"name": "v", "configMap": {"name": "cm"}}, {"name": "e", "emptyDir": {}}],
            "containers": [{"name": "c", "image": HTTP, "imagePullPolicy": "Never", "ports": [{"containerPort": 8080}], "workingDir": "/work",
                "env": [{"name": "X", "value": "1"}], "volumeMounts": [{"name": "v", "mountPath": "/data"}, {"name": "e", "mountPath": "/work"}]}]}),
    );
    world.wait(&pod, |p| condition(p, "Ready") == "True").await;
    assert_eq!(streams.find("default", "web", Some("c")), Ok(()));
    let run = async |command: &[&str], input: &str| exec(&streams, "web", command, input).await;
    let ok = |code: i32, out: &str, err: &str| Ok((code, out.to_owned(), err.to_owned()));
    assert_eq!(run(&["sh", "-c", "echo $((6*7)) | cat; echo $X $HOSTNAME; pwd; echo oops >&2; exit 3"], "").await, ok(3, "42\n1 web\n/work\n", "oops\n"));
    assert_eq!(run(&["cat", "/data/greeting"], "").await, ok(0, "hi there\n", ""));
    assert_eq!(run(&["/bin/cat"], "typed").await, ok(0, "typed", ""));
    // What one process writes, the next one reads.
    assert_eq!(run(&["sh", "-c", "cat > note; printf 'cat note' > run.sh"], "kept").await, ok(0, "", ""));
    assert_eq!(run(&["./run.sh"], "").await.map(|(_, out, _)| out), Ok("kept".to_owned()));
    let failed = |words: &str| {
        let words = format!("OCI runtime exec failed: exec failed: unable to start container process: exec: {words}: unknown");
        Err(StreamError::Failed(words))
    };
    assert_eq!(run(&["bash"], "").await, failed("\"bash\": executable file not found in $PATH"));
    assert_eq!(run(&["/bin/bash", "-l"], "").await, failed("\"/bin/bash\": stat /bin/bash: no such file or directory"));

    for (find, words) in [
        (streams.find("default", "web", Some("d")), StreamError::Failed("container not found (\"d\")".into())),
        (streams.find("default", "wed", Some("c")), StreamError::NotFound("pod does not exist".into())),
    ] {
        assert_eq!(find, Err(words));
    }

    let mut connection = streams.connect("default", "web", 8080).await.unwrap_or_else(|e| panic!("{e}"));
    connection.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let Err(refused) = streams.connect("default", "web", 81).await else { panic!("nobody listens there") };
    assert!(refused.to_string().ends_with("connection refused"), "{refused}");

    // A process ends with the container, however long it would have gone on.
    let (waits, stdio) = client(false);
    let running = tokio::spawn(streams.exec(target("web"), ["sleep", "100000"].map(str::to_owned).into(), stdio));
    while memory(&node).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.api.delete(&pod);
    assert_eq!(tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap().code, 137);
    drop(waits);
    node.stop().await;
}

/// Bytes that the node's containers hold.
async fn memory(node: &super::Running) -> u64 {
    let (_, summary) = node.kubelet("/stats/summary").await;
    serde_json::from_str::<Value>(&summary).unwrap()["node"]["memory"]["usageBytes"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_the_nodes_work() {
    let world = World::new(112).await;
    let node = world.start().await;
    let streams = node.node.streams();
    let session = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests/session/session.wasm");
    world.images.import(&session, "registry.test/session:1").await.unwrap();
    let pod = world.pod("p", json!({"containers": [{"name": "c", "image": "registry.test/session:1", "imagePullPolicy": "Never", "args": ["signals"]}]}));
    world.wait(&pod, |p| condition(p, "Ready") == "True").await;
    let before = memory(&node).await;

    let (mut client, stdio) = client(true);
    client.sizes.send(TerminalSize { columns: 100, rows: 30 }).await.unwrap();
    let running = tokio::spawn(streams.exec(target("p"), vec!["sh".to_owned()], stdio));
    client.expect("# ").await;
    client.send("echo o\x7fone; echo $TERM\r").await;
    client.expect("echo o\x08 \x08one; echo $TERM\r\none\r\nxterm\r\n/ # ").await;
    // Ctrl-D ends what reads, not the terminal.
    client.send("cat\rtwo\r\x04").await;
    client.expect("two\r\ntwo\r\n/ # ").await;
    // Ctrl-C ends what runs, not the shell.
    client.send("sleep 100000\r").await;
    client.expect("sleep 100000\r\n").await;
    client.send("\x03").await;
    client.expect("^C").await;
    client.expect("/ # ").await;
    client.send("exit 3\r").await;
    assert_eq!(tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap().unwrap().code, 3);
    assert_eq!(client.rest().await.0, "exit 3\r\n");

    // The image's own program takes signals and learns of sizes.
    let (mut client, stdio) = super::streams::client(true);
    client.sizes.send(TerminalSize { columns: 80, rows: 24 }).await.unwrap();
    let running = tokio::spawn(streams.exec(target("p"), ["session", "signals"].map(str::to_owned).into(), stdio));
    client.expect("terminal 80x24\r\nready\r\n").await;
    client.send("forgotten\x03").await;
    client.expect("^CSignal::Interrupt\r\n").await;
    client.sizes.send(TerminalSize { columns: 100, rows: 30 }).await.unwrap();
    client.expect("terminal 100x30\r\n").await;
    running.abort();

    // A client that goes takes its process with it.
    let (mut client, stdio) = super::streams::client(true);
    let running = tokio::spawn(streams.exec(target("p"), vec!["sh".to_owned()], stdio));
    client.expect("# ").await;
    running.abort();
    while memory(&node).await > before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_join_a_containers_own_streams() {
    let world = World::new(113).await;
    let node = world.start().await;
    let streams = node.node.streams();
    let one = |name: &str, container: Value| {
        let mut container = container;
        for (key, value) in [("name", "c"), ("image", BUSYBOX), ("imagePullPolicy", "Never")] {
            container[key] = value.into();
        }
        world.pod(name, json!({"restartPolicy": "Never", "containers": [container]}))
    };
    let running = async |pod: &str| world.wait(pod, |p| p["status"]["phase"] == "Running").await;

    // Input that ends with its first client; the output goes to the log too.
    let pod = one("piped", json!({"stdin": true, "stdinOnce": true, "command": ["cat"]}));
    running(&pod).await;
    let (mut client, stdio) = client(false);
    let attached = tokio::spawn(streams.attach(target("piped"), stdio));
    client.send("through\n").await;
    client.expect("through\n").await;
    client.keys = None;
    tokio::time::timeout(PATIENCE, attached).await.unwrap().unwrap().unwrap();
    assert_eq!(client.rest().await, (String::new(), String::new()));
    world.wait(&pod, |p| p["status"]["phase"] == "Succeeded").await;
    assert_eq!(node.kubelet("/containerLogs/default/piped/c").await, (200, "through\n".to_owned()));
    let (_, stdio) = super::streams::client(false);
    assert_eq!(streams.attach(target("piped"), stdio).await, Err(StreamError::Failed("container not found (\"c\")".into())));

    // A terminal that stays when a client leaves.
    let pod = one("shell", json!({"stdin": true, "tty": true, "command": ["sh"]}));
    running(&pod).await;
    for turn in ["first", "second"] {
        let (mut client, stdio) = super::streams::client(true);
        let attached = tokio::spawn(streams.attach(target("shell"), stdio));
        client.send(&format!("echo $((1+1)) {turn}\r")).await;
        client.expect(&format!("\n2 {turn}\r\n/ # ")).await;
        // Its last words are answered.
        client.send("echo $((2+1))\r").await;
        client.keys = None;
        tokio::time::timeout(PATIENCE, attached).await.unwrap().unwrap().unwrap();
        client.expect("\n3\r\n").await;
    }
    assert_eq!(world.api.get(&pod).unwrap()["status"]["phase"], "Running");

    // `kubectl run -it`: the shell ends when its one client goes away.
    let pod = one("once", json!({"stdin": true, "stdinOnce": true, "tty": true, "command": ["sh"]}));
    running(&pod).await;
    let (mut client, stdio) = super::streams::client(true);
    let attached = tokio::spawn(streams.attach(target("once"), stdio));
    client.send("echo $((1+1))\r").await;
    client.expect("\n2\r\n").await;
    attached.abort();
    world.wait(&pod, |p| p["status"]["phase"] == "Succeeded").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_added_to_look_into_a_running_pod() {
    let world = World::new(117).await;
    let node = world.start().await;
    let pod = world.pod("p", json!({"containers": [{"name": "c", "image": HTTP, "imagePullPolicy": "Never", "ports": [{"containerPort": 8080}]}]}));
    let mut debugged = world.wait(&pod, |p| condition(p, "Ready") == "True").await;
    debugged["spec"]["ephemeralContainers"] =
        json!([{"name": "debugger", "image": BUSYBOX, "imagePullPolicy": "Never", "stdin": true, "command": ["sh"], "targetContainerName": "c"}]);
    world.api.put(&pod, debugged);
    let status = |p: &Value| p["status"]["ephemeralContainerStatuses"][0]["state"].clone();
    world.wait(&pod, |p| status(p)["running"].is_object()).await;
    let (mut client, stdio) = client(false);
    let attached = tokio::spawn(node.node.streams().attach(Target { container: "debugger".into(), ..target("p") }, stdio));
    client.send("echo $HOSTNAME; exit 7\n").await;
    client.expect("p\n").await;
    tokio::time::timeout(PATIENCE, attached).await.unwrap().unwrap().unwrap();
    let ended = world.wait(&pod, |p| status(p)["terminated"]["exitCode"] == 7).await;
    assert_eq!(condition(&ended, "Ready"), "True", "the Pod goes on");
    assert_eq!(node.kubelet("/containerLogs/default/p/debugger").await, (200, "p\n".to_owned()));
    world.event("Started: Started container debugger").await;
    node.stop().await;
}
