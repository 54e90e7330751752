//! `wharf server` and `wharf agent`: each on a host of its own (a network namespace), killed apart, seen over the wire.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{PATIENCE, eventually, program, repository};

/// All tests of this file.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("agents::server_and_nodes_die_apart", server_and_nodes_die_apart)]
}

const SERVER: &str = "10.77.0.1";
const HOSTS: [&str; 3] = ["server", "a", "b"];

/// Three hosts on one network, which are gone with this value.
struct Hosts(String);

impl Hosts {
    /// `None` where this may not be done.
    fn new() -> Option<Hosts> {
        if !is_root() {
            return None;
        }
        let hosts = Hosts(format!("wharf{}", std::process::id()));
        let made = HOSTS.iter().all(|host| {
            let name = hosts.name(host);
            ip(&["netns", "add", &name]) && ip(&["-n", &name, "link", "set", "lo", "up"])
        });
        let server = hosts.name("server");
        let bridge = made
            && ip(&["-n", &server, "link", "add", "br0", "type", "bridge"])
            && ip(&["-n", &server, "addr", "add", &format!("{SERVER}/24"), "dev", "br0"])
            && ip(&["-n", &server, "link", "set", "br0", "up"]);
        let joined = bridge
            && [("a", "10.77.0.2/24"), ("b", "10.77.0.3/24")].iter().all(|(host, address)| {
                let (name, device) = (hosts.name(host), format!("v{host}"));
                ip(&["-n", &server, "link", "add", &device, "type", "veth", "peer", "name", "eth0", "netns", &name])
                    && ip(&["-n", &server, "link", "set", &device, "master", "br0", "up"])
                    && ip(&["-n", &name, "addr", "add", address, "dev", "eth0"])
                    && ip(&["-n", &name, "link", "set", "eth0", "up"])
            });
        joined.then_some(hosts)
    }

    fn name(&self, host: &str) -> String {
        format!("{}-{host}", self.0)
    }

    /// A command on a host.
    fn on(&self, host: &str, command: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut run = Command::new("ip");
        run.args(["netns", "exec", &self.name(host)]).arg(command);
        run
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in HOSTS {
            ip(&["netns", "del", &self.name(host)]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|text| text.lines().any(|line| line.starts_with("Uid:\t0\t")))
}

/// A process that is killed with this value.
struct Running(Child);

impl Running {
    fn kill(&mut self) -> Result<(), Failed> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The hosts, and what runs on them.
struct Machines {
    hosts: Hosts,
    folder: TempDir,
}

impl Machines {
    /// Starts the control plane; how nodes join it.
    fn server(&self) -> Result<(Running, Vec<String>), Failed> {
        let mut child = self
            .hosts
            .on("server", program())
            .args(["server", "--advertise-address", SERVER, "--node-monitor-grace-period", "20", "--data-dir"])
            .arg(self.folder.path().join("server"))
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no stdout")?);
        let running = Running(child);
        let mut join = None;
        for line in lines.lines() {
            let line = line?;
            if let Some(arguments) = line.trim().strip_prefix("wharf ").filter(|a| a.starts_with("agent ")) {
                join = Some(arguments.split_whitespace().map(str::to_owned).collect());
            }
            if line.trim().starts_with("Ctrl-C") {
                break;
            }
        }
        Ok((running, join.ok_or("the server did not say how nodes join")?))
    }

    /// Starts a node; it is told nothing but the server where it has joined before.
    fn agent(&self, host: &str, join: &[String]) -> Result<Running, Failed> {
        let joined = self.folder.path().join(host);
        let arguments = if joined.exists() { &join[..3] } else { join };
        let child = self.hosts.on(host, program()).args(arguments).args(["--node-name", host, "--data-dir"]).arg(joined).stdout(Stdio::null()).spawn()?;
        Ok(Running(child))
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String, Failed> {
        let kubeconfig = self.folder.path().join("server/kubeconfig");
        let output = self
            .hosts
            .on("server", "kubectl")
            .args(arguments)
            .env("KUBECONFIG", &kubeconfig)
            .env("KUBECACHEDIR", kubeconfig.with_file_name("kubectl-cache"))
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(format!("kubectl {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr)).into()) }
    }

    /// Runs the program on the server's host, as the admin.
    fn wharf(&self, arguments: &[&str]) -> Result<String, Failed> {
        let kubeconfig = self.folder.path().join("server/kubeconfig");
        let output = self.hosts.on("server", program()).args(arguments).env("KUBECONFIG", kubeconfig).stdin(Stdio::null()).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(format!("wharf {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr)).into()) }
    }

    fn get(&self, arguments: &[&str]) -> Result<Value, Failed> {
        let mut all = vec!["get", "-o", "json"];
        all.extend_from_slice(arguments);
        Ok(serde_json::from_str(&self.kubectl(&all)?)?)
    }

    /// Waits until both nodes are as said.
    fn nodes(&self, ready: [&str; 2]) -> Result<(), Failed> {
        eventually(&format!("nodes a and b with Ready {ready:?}"), || {
            let list = self.get(&["nodes"])?;
            let found: Vec<&str> = items(&list).iter().filter_map(|node| condition(node, "Ready")).collect();
            if found == ready { Ok(()) } else { Err(format!("{found:?}").into()) }
        })
    }

    /// The Pods of the Deployment that serve, once there are two.
    fn served_by(&self) -> Result<Vec<Value>, Failed> {
        eventually("two ready Pods", || {
            let list = self.get(&["pods", "-l", "app=web"])?;
            let good = |pod: &&Value| condition(pod, "Ready") == Some("True") && pod["metadata"]["deletionTimestamp"].is_null();
            let pods: Vec<Value> = items(&list).iter().filter(good).cloned().collect();
            if pods.len() == 2 { Ok(pods) } else { Err(list["items"].to_string().into()) }
        })
    }

    /// Asks the Ingress at port 80 of each of these nodes, and the Service at its node port.
    fn enter(&self, nodes: &[&str]) -> Result<(), Failed> {
        for node in nodes {
            eventually(&format!("the Ingress at {node}"), || {
                let page = self.kubectl(&["exec", "look", "--", "wget", "-qO-", "--header", "Host: web.test", &format!("http://{node}/")])?;
                if page.contains("nginx") { Ok(()) } else { Err(page.into()) }
            })?;
            eventually(&format!("the node port at {node}"), || self.kubectl(&["exec", "look", "--", "wget", "-qO-", &format!("http://{node}:30080/")]))?;
        }
        eventually(&format!("the Ingress to say that it is at {nodes:?}"), || {
            let ingress = self.get(&["ingress", "web"])?;
            let told = ingress["status"]["loadBalancer"]["ingress"].as_array().cloned().unwrap_or_default();
            let told: Vec<&str> = told.iter().filter_map(|at| at["ip"].as_str()).collect();
            if told == nodes { Ok(()) } else { Err(format!("{told:?}").into()) }
        })
    }

    /// A plugin whose labels match the Ingress stands in front of it at each of these nodes, until it is taken away.
    fn guarded(&self, nodes: &[&str]) -> Result<(), Failed> {
        let plugin = repository("examples/plugins/api-key/api-key.wasm").display().to_string();
        self.wharf(&["push", &plugin, "team/api-key:v1"])?;
        let manifest = self.folder.path().join("plugin.yaml");
        std::fs::write(&manifest, PLUGIN)?;
        self.kubectl(&["apply", "-f", &manifest.display().to_string()])?;
        self.kubectl(&["wait", "plugin/api-key", "--for=condition=Ready", "--timeout=60s"])?;
        self.kubectl(&["label", "ingress", "web", "tier=guarded"])?;
        for node in nodes {
            let ask = |key: &str| {
                let script = format!("wget -qO- --header 'Host: web.test' --header 'x-api-key: {key}' http://{node}/ 2>&1; true");
                self.kubectl(&["exec", "look", "--", "sh", "-c", &script])
            };
            let wants = |key: &str, text: &str| {
                eventually(&format!("{node} to answer {text} to the key {key:?}"), || {
                    let page = ask(key)?;
                    if page.contains(text) { Ok(()) } else { Err(page.into()) }
                })
            };
            wants("wrong", "403")?;
            wants("1f6c2a", "nginx")?;
        }
        self.kubectl(&["delete", "plugin/api-key"])?;
        self.enter(nodes)
    }

    /// The routes of a host that are an agent's.
    fn routes(&self, host: &str) -> String {
        let output = Command::new("ip").args(["-n", &self.hosts.name(host), "route", "show", "proto", "87"]).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }

    /// Asks the Service from within the Pod `look` so often.
    fn ask(&self, times: usize) -> Result<(), Failed> {
        let script = format!("i=0; while [ $i -lt {times} ]; do wget -qO- http://web >/dev/null || exit 1; i=$((i+1)); done; echo all");
        let said = eventually("answers of the Service", || self.kubectl(&["exec", "look", "--", "sh", "-c", &script]))?;
        if said.trim() == "all" { Ok(()) } else { Err(said.into()) }
    }
}

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v str> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)?["status"].as_str()
}

const WORKLOAD: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: web}}}
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers: [{name: web, image: wharf.local/builtin/nginx}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, nodePort: 30080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  ingressClassName: nginx
  rules: [{host: web.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Pod
metadata: {name: look}
spec:
  nodeName: a
  containers: [{name: c, image: wharf.local/builtin/busybox, command: [sleep, "3600"]}]
"#;

const PLUGIN: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: api-keys, namespace: default}
stringData: {keys: "alice 1f6c2a"}
---
apiVersion: plugins.wharf.dev/v1
kind: Plugin
metadata: {name: api-key}
spec:
  image: team/api-key:v1
  world: ingress
  match: {objectSelector: {matchLabels: {tier: guarded}}}
  config: [{name: keys, valueFrom: {secretKeyRef: {namespace: default, name: api-keys, key: keys}}}]
"#;

const JOB: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: three}
spec:
  completions: 3
  parallelism: 1
  template:
    spec:
      restartPolicy: Never
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers: [{name: c, image: wharf.local/builtin/busybox, command: [sleep, "2"]}]
"#;

fn server_and_nodes_die_apart() -> Result<(), Failed> {
    let kubectl = Command::new("kubectl").arg("help").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let Some(hosts) = Hosts::new().filter(|_| kubectl) else {
        eprintln!("agents: passed over: this needs root, network namespaces and kubectl");
        return Ok(());
    };
    let machines = Machines { hosts, folder: TempDir::new()? };
    let (mut server, join) = machines.server()?;
    let _a = machines.agent("a", &join)?;
    let mut b = machines.agent("b", &join)?;
    machines.nodes(["True", "True"])?;

    // Over the wire: Pods of both nodes reach each other, exec and logs go through the API.
    let manifest = machines.folder.path().join("workload.yaml");
    std::fs::write(&manifest, WORKLOAD)?;
    let manifest = manifest.display().to_string();
    machines.kubectl(&["apply", "-f", &manifest])?;
    let first = machines.served_by()?;
    let mut on: Vec<&str> = first.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).collect();
    on.sort_unstable();
    assert_eq!(on, ["a", "b"]);
    machines.ask(20)?;
    for pod in &first {
        let name = pod["metadata"]["name"].as_str().ok_or("a name")?;
        let log = eventually("the access log", || machines.kubectl(&["logs", name]))?;
        assert!(log.contains("GET / "), "{name} was asked: {log}");
    }

    // What is pushed to the cluster's own registry runs on a node by its bare name: the node asks with its own certificate.
    let component = repository("tests/guests/http-p2/http-p2.wasm").display().to_string();
    let digest = machines.wharf(&["push", &component, "team/app:v1"])?;
    machines.kubectl(&["run", "pushed", "--image=team/app:v1", "--overrides", r#"{"spec": {"nodeName": "b"}}"#])?;
    machines.kubectl(&["wait", "pod/pushed", "--for=condition=Ready", "--timeout=60s"])?;
    let image = machines.get(&["pod", "pushed"])?["status"]["containerStatuses"][0]["imageID"].clone();
    assert_eq!(image, format!("registry.wharf.local/team/app@{}", digest.trim()));
    let said = machines.wharf(&["deploy", &component, "--name", "function"])?;
    assert!(said.contains("answers    200 OK"), "a node serves the Ingress: {said}");
    machines.wharf(&["undeploy", "function"])?;

    // The way in: the Ingress at each node, which says so.
    machines.enter(&["10.77.0.2", "10.77.0.3"])?;
    let events = machines.get(&["events", "--field-selector", "involvedObject.kind=Ingress,involvedObject.name=web"])?;
    assert!(items(&events).iter().any(|e| e["reason"] == "Sync" && e["source"]["component"] == "nginx-ingress-controller"), "{events}");

    machines.guarded(&["10.77.0.2", "10.77.0.3"])?;

    // The server dies: Pods go on, and it takes up where it was.
    server.kill()?;
    (server, _) = machines.server()?;
    machines.nodes(["True", "True"])?;
    let second = machines.served_by()?;
    let identity = |pods: &[Value]| {
        let mut all: Vec<String> = pods.iter().map(|p| format!("{} {}", p["metadata"]["uid"], p["status"]["containerStatuses"][0]["containerID"])).collect();
        all.sort();
        all
    };
    assert_eq!(identity(&first), identity(&second), "no container was started again");
    machines.ask(4)?;

    // A node dies and comes back: the same Pods, their containers started again; a Job counts right all the while.
    let job = machines.folder.path().join("job.yaml");
    std::fs::write(&job, JOB)?;
    machines.kubectl(&["apply", "-f", &job.display().to_string()])?;
    b.kill()?;
    // What it left behind, and what an even earlier one did.
    assert!(machines.routes("b").contains("via 10.77.0.2"), "{}", machines.routes("b"));
    assert!(ip(&["-n", &machines.hosts.name("b"), "route", "add", "10.244.77.0/24", "via", SERVER, "proto", "87"]));
    b = machines.agent("b", &join)?;
    machines.nodes(["True", "True"])?;
    eventually("the route of a node that is not there to go", || {
        let routes = machines.routes("b");
        if routes.contains("via 10.77.0.2") && !routes.contains("10.244.77.0/24") { Ok(()) } else { Err(routes.into()) }
    })?;
    let ids = |pods: &[Value]| {
        let mut all: Vec<String> = pods.iter().map(|p| p["metadata"]["uid"].to_string()).collect();
        all.sort();
        all
    };
    eventually("the containers to run again under the same Pods", || {
        let pods = machines.served_by()?;
        let again = pods.iter().any(|p| p["spec"]["nodeName"] == "b" && p["status"]["containerStatuses"][0]["restartCount"] == 1);
        if again && ids(&pods) == ids(&first) { Ok(()) } else { Err(format!("{:?}", identity(&pods)).into()) }
    })?;
    machines.ask(4)?;
    let end = Instant::now() + PATIENCE;
    let done = loop {
        let job = machines.get(&["job", "three"])?;
        if condition(&job, "Complete") == Some("True") || Instant::now() > end {
            break job;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!((condition(&done, "Complete"), &done["status"]["succeeded"]), (Some("True"), &Value::from(3)), "{done}");

    // A node is gone for good: its Pods come back where they can, under other names.
    b.kill()?;
    machines.nodes(["True", "Unknown"])?;
    let third = eventually("both Pods on the node that is left", || {
        let pods = machines.served_by()?;
        if pods.iter().all(|pod| pod["spec"]["nodeName"] == "a") { Ok(pods) } else { Err("one is on b".into()) }
    })?;
    machines.ask(4)?;
    machines.enter(&["10.77.0.2"])?;
    // When it turns up after all, what ran there ends and is gone.
    b = machines.agent("b", &join)?;
    machines.nodes(["True", "True"])?;
    eventually("just the two Pods", || {
        let list = machines.get(&["pods", "-l", "app=web"])?;
        if ids(items(&list)) == ids(&third) { Ok(()) } else { Err(list["items"].to_string().into()) }
    })?;
    machines.enter(&["10.77.0.2", "10.77.0.3"])?;

    // A node is taken out of the cluster: nobody keeps a way to it.
    b.kill()?;
    machines.kubectl(&["delete", "node", "b"])?;
    eventually("the route to the node that was deleted to go", || {
        let routes = machines.routes("a");
        if routes.contains("via 10.77.0.3") { Err(routes.into()) } else { Ok(()) }
    })?;
    drop(server);
    Ok(())
}
