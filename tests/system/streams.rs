//! `kubectl exec`, `attach`, `port-forward` and the proxies, with a stock kubectl: over WebSockets, and over SPDY as older ones do.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::cluster::{Cluster, Shared, eventually};
use crate::{guests, http};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("streams::kubectl_runs_commands_in_pods", kubectl_runs_commands_in_pods),
        shared.test("streams::kubectl_copies_files", kubectl_copies_files),
        shared.test("streams::kubectl_forwards_ports", kubectl_forwards_ports),
        shared.test("streams::pods_and_services_are_reached_through_the_api", pods_and_services_are_reached_through_the_api),
        Trial::test("streams::commands_and_ports_are_the_same_over_tls", commands_and_ports_are_the_same_over_tls),
    ]
}

/// What a kubectl is told to speak.
const PROTOCOLS: [&str; 2] = ["true", "false"];

/// A Pod `web` that serves, and a Pod `box` that waits.
fn pods(cluster: &Cluster) -> Result<String, Failed> {
    let namespace = cluster.namespace("streams")?;
    let yaml = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: web, image: "IMAGE", ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: box}
spec:
  restartPolicy: Never
  containers: [{name: box, image: busybox, command: [sh, -c, "sleep 100000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"#;
    cluster.create(&namespace, &yaml.replace("IMAGE", &guests::image("http-p2")?))?;
    for pod in ["web", "box"] {
        cluster.pod_ready(&namespace, pod)?;
    }
    Ok(namespace)
}

fn kubectl_runs_commands_in_pods(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = pods(cluster)?;
    for websockets in PROTOCOLS {
        let run = |arguments: &[&str], input: &str| cluster.kubectl_with(&[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)], arguments, input);
        let exec = |pod: &str, flags: &str, command: &[&str], input: &str| run(&[&["exec", "-n", &namespace, flags, pod, "--"], command].concat(), input);
        let Some(read) = exec("box", "-i", &["cat"], "hello\n") else {
            eprintln!("kubectl is not installed: passed over");
            return Ok(());
        };
        assert_eq!(read, ("hello\n".to_owned(), 0));
        let failed = exec("box", "-q", &["sh", "-c", "echo $HOSTNAME; exit 3"], "");
        assert_eq!(failed, Some(("box\ncommand terminated with exit code 3\n".to_owned(), 3)));
        // A component that only serves has a busybox's commands too.
        assert_eq!(exec("web", "-q", &["sh", "-c", "echo $((6*7))"], ""), Some(("42\n".to_owned(), 0)));
        let (words, code) = exec("box", "-q", &["bash"], "").unwrap_or_default();
        assert!(code != 0 && words.contains("exec: \"bash\": executable file not found in $PATH"), "{words}");
    }
    Ok(())
}

fn kubectl_copies_files(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = pods(cluster)?;
    let folder = tempfile::tempdir()?;
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    std::fs::create_dir_all(folder.path().join("out/below"))?;
    std::fs::write(folder.path().join("out/large"), &large)?;
    std::fs::write(folder.path().join("out/below/small"), "small\n")?;
    let local = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    for (websockets, back) in PROTOCOLS.into_iter().zip(["back-1", "back-2"]) {
        let run = |from: &str, to: &str| cluster.kubectl_with(&[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets)], &["cp", from, to], "");
        let there = format!("{namespace}/box:/tmp/{back}");
        let Some((words, code)) = run(&local("out"), &there) else {
            eprintln!("kubectl is not installed: passed over");
            return Ok(());
        };
        assert_eq!(code, 0, "{words}");
        let (words, code) = run(&there, &local(back)).unwrap_or_default();
        assert_eq!(code, 0, "{words}");
        assert!(std::fs::read(folder.path().join(back).join("large"))? == large);
        assert_eq!(std::fs::read(folder.path().join(back).join("below/small"))?, b"small\n");
    }
    Ok(())
}

/// A kubectl that forwards a port.
struct Forwarding {
    child: Child,
    /// It says more as it goes on, and ends when nobody would hear it.
    _said: BufReader<ChildStdout>,
    at: SocketAddr,
}

impl Forwarding {
    fn start(cluster: &Cluster, websockets: &str, arguments: &[&str]) -> Result<Option<Forwarding>, Failed> {
        let mut command = cluster.kubectl_command(&[("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)]);
        let Ok(mut child) = command.arg("port-forward").args(arguments).stdout(Stdio::piped()).spawn() else { return Ok(None) };
        let mut said = BufReader::new(child.stdout.take().ok_or("its output")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let at = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next()).and_then(|a| a.parse().ok());
        Ok(Some(Forwarding { child, _said: said, at: at.ok_or(line)? }))
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn kubectl_forwards_ports(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = pods(cluster)?;
    for websockets in PROTOCOLS {
        for target in ["pod/web", "service/web"] {
            let port = if target == "pod/web" { ":8080" } else { ":80" };
            let Some(forwarding) = Forwarding::start(cluster, websockets, &["-n", &namespace, "--address", "127.0.0.1", target, port])? else {
                eprintln!("kubectl is not installed: passed over");
                return Ok(());
            };
            for _ in 0..3 {
                assert_eq!(http::get(forwarding.at, "web", "/")?.status, 200, "{target}, websockets: {websockets}");
            }
        }
    }
    Ok(())
}

fn pods_and_services_are_reached_through_the_api(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = pods(cluster)?;
    let get = |what: &str| cluster.api.request("GET", &format!("/api/v1/namespaces/{namespace}/{what}"), "", None);
    let direct = get("pods/web/proxy/")?;
    assert_eq!(direct.status, 200, "{}", direct.text());
    for what in ["pods/web:8080/proxy/", "pods/http:web:8080/proxy/", "services/web/proxy/", "services/web:80/proxy/"] {
        eventually(what, || {
            let answer = get(what)?;
            if answer.status == 200 && answer.body == direct.body { Ok(()) } else { Err(answer.text().into()) }
        })?;
    }
    for (what, words) in
        [("pods/web:81/proxy/", "error trying to reach service: dial tcp 10."), ("services/web:81/proxy/", "no service port 81 found for service \\\"web\\\"")]
    {
        let answer = get(what)?;
        assert!(answer.status == 503 && answer.text().contains(words), "{}", answer.text());
    }
    Ok(())
}

fn commands_and_ports_are_the_same_over_tls() -> Result<(), Failed> {
    let cluster = Cluster::start(&["--kubelet-over-tls"])?;
    kubectl_runs_commands_in_pods(&cluster)?;
    kubectl_forwards_ports(&cluster)
}
