//! A running `wharf up`, started as a user would, on free ports and a folder of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;

/// How long anything that should happen may take, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The program under test.
pub fn program() -> PathBuf {
    std::env::var_os("WHARF_BIN").map_or_else(|| env!("CARGO_BIN_EXE_wharf-under-test").into(), PathBuf::from)
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    let root = std::env::var_os("WHARF_REPOSITORY").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), PathBuf::from);
    root.join(path)
}

/// A cluster that ends with this value.
pub struct Cluster {
    child: Child,
    lines: Mutex<Receiver<String>>,
    /// What it said until it was ready.
    pub said: Vec<String>,
    /// The API, as the admin.
    pub api: Client,
    /// Where Ingresses are served.
    pub http: SocketAddr,
    /// The admin's kubeconfig.
    pub kubeconfig: PathBuf,
    folder: Option<TempDir>,
}

impl Cluster {
    /// Starts one with a folder of its own.
    pub fn start(arguments: &[&str]) -> Result<Cluster, Failed> {
        let folder = TempDir::new()?;
        let path = folder.path().join("data");
        let mut cluster = Cluster::start_on(&path, arguments)?;
        cluster.folder = Some(folder);
        Ok(cluster)
    }

    /// Starts one on a data folder.
    pub fn start_on(data: &Path, arguments: &[&str]) -> Result<Cluster, Failed> {
        let mut child = Command::new(program())
            .arg("up")
            .arg("--data-dir")
            .arg(data)
            .args(["--api-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        }
        let mut said = Vec::new();
        let end = Instant::now() + PATIENCE;
        let ready = loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let ready = line.trim().strip_prefix("export KUBECONFIG=").map(PathBuf::from);
                    said.push(line);
                    if let Some(kubeconfig) = ready {
                        break Ok(kubeconfig);
                    }
                }
                Err(_) => break Err(()),
            }
        };
        let Ok(kubeconfig) = ready else {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the cluster did not start; it said:\n{}", said.join("\n")).into());
        };
        let client = Client::from_kubeconfig(&kubeconfig)?;
        let at = |scheme: &str| -> Result<SocketAddr, Failed> {
            let line = said.iter().find(|line| line.contains("Ingress ")).ok_or("no line about Ingress")?;
            let found = line.split_whitespace().find_map(|word| word.strip_prefix(scheme)).ok_or("no address")?;
            Ok(found.parse()?)
        };
        let http = at("http://")?;
        Ok(Cluster { child, lines: Mutex::new(lines), said, api: client, http, kubeconfig, folder: None })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ctrl-C; what it said after it was ready, and whether it ended well.
    pub fn interrupt(mut self) -> std::io::Result<(Vec<String>, bool)> {
        Command::new("kill").args(["-INT", &self.pid().to_string()]).status()?;
        let status = self.child.wait()?;
        let lines = self.lines.get_mut().map(|lines| lines.iter().collect()).unwrap_or_default();
        Ok((lines, status.success()))
    }

    /// Runs a stock kubectl with this standard input; its output (both streams) and exit code. None where there is no kubectl.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Option<(String, i32)> {
        self.kubectl_with(&[], arguments, input)
    }

    /// The same with more in its environment.
    pub fn kubectl_with(&self, environment: &[(&str, &str)], arguments: &[&str], input: &str) -> Option<(String, i32)> {
        use std::io::Write;
        let mut command = self.kubectl_command(environment);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
        child.stdin.take()?.write_all(input.as_bytes()).ok()?;
        let output = child.wait_with_output().ok()?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Some((text, output.status.code().unwrap_or(-1)))
    }

    /// A stock kubectl of this cluster, still without arguments.
    pub fn kubectl_command(&self, environment: &[(&str, &str)]) -> Command {
        // Another one than the PATH's: KUBECTL.
        let mut command = Command::new(std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into()));
        // Discovery is cached by host and port; ports are used again.
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache"));
        command.envs(environment.iter().copied());
        command
    }

    /// A new namespace with this beginning of a name; it has its default ServiceAccount when this returns.
    pub fn namespace(&self, prefix: &str) -> Result<String, Failed> {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let name = format!("{prefix}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.api.create("/api/v1/namespaces", &serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))?;
        eventually("the default ServiceAccount", || self.api.get(&format!("/api/v1/namespaces/{name}/serviceaccounts/default")))?;
        Ok(name)
    }

    /// Applies YAML documents to a namespace by creating them.
    pub fn create(&self, namespace: &str, yaml: &str) -> Result<Vec<Value>, Failed> {
        use serde::Deserialize;
        let mut created = Vec::new();
        for document in serde_yaml::Deserializer::from_str(yaml) {
            let object = Value::deserialize(document)?;
            created.push(self.api.create(&collection(&object, namespace)?, &object)?);
        }
        Ok(created)
    }

    /// Waits until a Pod satisfies `test`; returns it.
    pub fn pod_until(&self, namespace: &str, name: &str, what: &str, test: impl Fn(&Value) -> bool) -> Result<Value, Failed> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
        eventually(&format!("pod {name} {what}"), || {
            let pod = self.api.get(&path)?;
            if test(&pod) { Ok(pod) } else { Err(pod["status"].to_string().into()) }
        })
    }

    /// Waits until a Pod is Running and ready.
    pub fn pod_ready(&self, namespace: &str, name: &str) -> Result<Value, Failed> {
        self.pod_until(namespace, name, "ready", |pod| {
            let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
    }

    /// The log of a Pod's only container.
    pub fn log(&self, namespace: &str, pod: &str) -> Result<String, Failed> {
        let answer = self.api.request("GET", &format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"), "", None)?;
        if answer.status == 200 { Ok(answer.text()) } else { Err(answer.text().into()) }
    }

    /// The reasons and messages of an object's Events.
    pub fn events(&self, namespace: &str, name: &str) -> Result<Vec<String>, Failed> {
        let list = self.api.get(&format!("/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3D{name}"))?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        Ok(items.iter().map(|e| format!("{}: {}", e["reason"].as_str().unwrap_or_default(), e["message"].as_str().unwrap_or_default())).collect())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of the collection that an object belongs to.
pub fn collection(object: &Value, namespace: &str) -> Result<String, Failed> {
    let (version, kind) = (object["apiVersion"].as_str().ok_or("apiVersion")?, object["kind"].as_str().ok_or("kind")?);
    let lower = kind.to_lowercase();
    let plural = match lower.as_str() {
        "ingress" => "ingresses".to_owned(),
        "endpoints" => lower,
        "networkpolicy" => "networkpolicies".to_owned(),
        _ => format!("{lower}s"),
    };
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    Ok(format!("{root}/namespaces/{namespace}/{plural}"))
}

/// Tries until it succeeds or patience ends; the last error is the failure.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, Failed>) -> Result<T, Failed> {
    let end = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > end => {
                return Err(format!("waited {} s for {what}: {}", PATIENCE.as_secs(), error.message().unwrap_or("failed")).into());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The cluster that most tests share, started when the first of them needs it.
#[derive(Default)]
pub struct Shared(Mutex<Option<Arc<Cluster>>>);

impl Shared {
    /// The cluster.
    pub fn cluster(&self) -> Result<Arc<Cluster>, Failed> {
        let mut shared = self.0.lock().map_err(|_| "the shared cluster did not start")?;
        if let Some(cluster) = &*shared {
            return Ok(cluster.clone());
        }
        let cluster = Arc::new(Cluster::start(&["--workers", "2"])?);
        *shared = Some(cluster.clone());
        Ok(cluster)
    }

    /// Ends it.
    pub fn stop(&self) {
        if let Ok(mut shared) = self.0.lock() {
            shared.take();
        }
    }

    /// A test that uses the shared cluster.
    pub fn test(self: &Arc<Self>, name: &str, test: fn(&Cluster) -> Result<(), Failed>) -> Trial {
        let shared = self.clone();
        Trial::test(name, move || test(&*shared.cluster()?))
    }
}
