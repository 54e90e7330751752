//! What Wharf is for: a component becomes a Deployment, and a request reaches it.

use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, Shared, eventually, program, repository};
use crate::{guests, http};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        Trial::test("deploy::the_example_answers_as_the_readme_says", the_example_answers_as_the_readme_says),
        shared.test("deploy::an_image_from_a_registry_serves_through_the_ingress", an_image_from_a_registry_serves_through_the_ingress),
        shared.test("deploy::wasi_03_serves_as_well", wasi_03_serves_as_well),
        shared.test("deploy::a_rolling_update_drops_no_request", a_rolling_update_drops_no_request),
        shared.test("deploy::commands_end_with_their_codes", commands_end_with_their_codes),
        shared.test("deploy::files_and_environment_are_what_the_manifest_says", files_and_environment_are_what_the_manifest_says),
        shared.test("deploy::logs_follow_tail_and_remember", logs_follow_tail_and_remember),
        shared.test("deploy::a_crash_backs_off", a_crash_backs_off),
        Trial::test("deploy::logs_are_the_same_over_tls", logs_are_the_same_over_tls),
        Trial::test("deploy::a_restart_finds_its_pods_again", a_restart_finds_its_pods_again),
        shared.test("deploy::a_real_registry_and_other_clients", a_real_registry_and_other_clients),
    ]
}

/// Deployment, Service and Ingress of an HTTP image.
pub fn web(name: &str, image: &str, host: &str, replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: web, image: "{image}", env: [{{name: VERSION, value: one}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  selector: {{app: {name}}}
  ports: [{{port: 80}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: {name}}}
spec:
  rules:
  - host: {host}
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}
"#
    )
}

/// A Pod that runs the `probe` guest once.
pub fn probe(name: &str, arguments: &[&str], rest: Value) -> Result<Value, Failed> {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"restartPolicy": "Never",
        "containers": [{"name": "c", "image": guests::image("probe")?, "args": arguments}]}});
    merge(&mut pod["spec"], rest);
    Ok(pod)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value)),
        (Value::Array(into), Value::Array(from)) => into.iter_mut().zip(from).for_each(|(into, from)| merge(into, from)),
        (into, from) => *into = from,
    }
}

/// The terminated state of a Pod's only container, once it has ended.
fn ended(cluster: &Cluster, namespace: &str, name: &str) -> Result<Value, Failed> {
    let pod = cluster.pod_until(namespace, name, "ended", |pod| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))?;
    Ok(pod["status"]["containerStatuses"][0]["state"]["terminated"].clone())
}

/// Waits until a path of a host of the Ingress answers 200 with these words.
pub fn answers(cluster: &Cluster, host: &str, path: &str, wanted: &str) -> Result<(), Failed> {
    eventually(&format!("http://{host}{path}"), || {
        let answer = http::get(cluster.http, host, path)?;
        if answer.status == 200 && answer.text().contains(wanted) { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text()).into()) }
    })
}

fn the_example_answers_as_the_readme_says() -> Result<(), Failed> {
    let cluster = Cluster::start(&["--apply", &repository("examples/hello").to_string_lossy()])?;
    let said = cluster.said.join("\n");
    let url = format!("http://hello.localhost:{}/", cluster.http.port());
    if !said.contains(&url) || !said.contains("3/3 available") {
        return Err(format!("it does not say {url} or that 3/3 are available:\n{said}").into());
    }
    let config = cluster.api.get("/api/v1/namespaces/default/configmaps/hello")?;
    let greeting =
        config["data"].as_object().and_then(|d| d.values().next()).and_then(Value::as_str).ok_or("the example's ConfigMap has no greeting")?.to_owned();
    // Answers at once: that is what the printed URL promises.
    let answer = http::get(cluster.http, &format!("hello.localhost:{}", cluster.http.port()), "/")?;
    if answer.status == 200 && answer.text().contains(&greeting) { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text()).into()) }
}

fn an_image_from_a_registry_serves_through_the_ingress(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("web")?;
    cluster.create(&namespace, &web("web", &guests::image("http-p2")?, "web.example", 3))?;
    answers(cluster, "web.example", "/", "Hello, WASI!")?;
    answers(cluster, "web.example", "/env", "VERSION=one")?;
    // A fresh instance for each request is the default.
    for _ in 0..5 {
        answers(cluster, "web.example", "/served", "1")?;
    }
    let unknown = http::get(cluster.http, "nobody.example", "/")?;
    if unknown.status != 404 {
        return Err(format!("an unknown host: {}", unknown.status).into());
    }
    let trapped = http::get(cluster.http, "web.example", "/trap")?;
    if trapped.status != 502 && trapped.status != 500 {
        return Err(format!("a trap: {} {}", trapped.status, trapped.text()).into());
    }
    answers(cluster, "web.example", "/", "Hello, WASI!")?;
    let ingress = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/web");
    eventually("the Ingress' address", || {
        let found = cluster.api.get(&ingress)?;
        if found["status"]["loadBalancer"]["ingress"][0].is_object() { Ok(()) } else { Err(found["status"].to_string().into()) }
    })?;
    eventually("the Sync Event", || {
        let events = cluster.events(&namespace, "web")?;
        if events.iter().any(|e| e == "Sync: Scheduled for sync") { Ok(()) } else { Err(events.join("\n").into()) }
    })?;
    // No endpoints: 503.
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/web/scale");
    cluster.api.request("PATCH", &path, "application/merge-patch+json", Some(br#"{"spec":{"replicas":0}}"#))?;
    eventually("503 without Pods", || {
        let answer = http::get(cluster.http, "web.example", "/")?;
        if answer.status == 503 { Ok(()) } else { Err(answer.status.to_string().into()) }
    })
}

fn wasi_03_serves_as_well(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("p3")?;
    cluster.create(&namespace, &web("three", &guests::image("http-p3")?, "three.example", 1))?;
    answers(cluster, "three.example", "/", "Hello")
}

fn a_rolling_update_drops_no_request(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("roll")?;
    cluster.create(&namespace, &web("roll", &guests::image("http-p2")?, "roll.example", 3))?;
    answers(cluster, "roll.example", "/env", "VERSION=one")?;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/roll");
    eventually("all available", || {
        let found = cluster.api.get(&path)?;
        if found["status"]["availableReplicas"] == 3 { Ok(()) } else { Err(found["status"].to_string().into()) }
    })?;
    cluster.api.patch(&path, &json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "VERSION", "value": "two"}]}]}}}}))?;
    eventually("the new version everywhere", || {
        let answer = http::get(cluster.http, "roll.example", "/env")?;
        if answer.status != 200 {
            // Not to be tried again: a request was dropped.
            panic!("a request was dropped: {} {}", answer.status, answer.text());
        }
        let found = cluster.api.get(&path)?;
        let done = found["status"]["updatedReplicas"] == 3 && found["status"]["replicas"] == 3 && found["status"]["availableReplicas"] == 3;
        if done && answer.text().contains("VERSION=two") { Ok(()) } else { Err(found["status"].to_string().into()) }
    })
}

fn commands_end_with_their_codes(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("codes")?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let cases: [(&str, &[&str], i64, &str); 4] =
        [("well", &["hello"], 0, "Completed"), ("seven", &["exit", "7"], 7, "Error"), ("trap", &["trap"], 134, "Error"), ("eater", &["eat"], 137, "OOMKilled")];
    for (name, arguments, ..) in cases {
        let rest = json!({"containers": [{"resources": {"limits": {"memory": "64Mi"}}}]});
        cluster.api.create(&path, &probe(name, arguments, rest)?)?;
    }
    for (name, _, code, reason) in cases {
        let state = ended(cluster, &namespace, name)?;
        // What a trap's number is, is ours to say; that it is an error, is not.
        let right = if name == "trap" { state["exitCode"] != 0 } else { state["exitCode"] == code };
        if !right || state["reason"] != reason {
            return Err(format!("{name}: {state}").into());
        }
    }
    let log = cluster.log(&namespace, "well")?;
    if log.starts_with("hello from") { Ok(()) } else { Err(log.into()) }
}

fn files_and_environment_are_what_the_manifest_says(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("world")?;
    let at = |kind: &str| format!("/api/v1/namespaces/{namespace}/{kind}");
    cluster.api.create(
        &at("configmaps"),
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "red", "app.conf": "x = 1\n"}}),
    )?;
    cluster.api.create(&at("secrets"), &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"password": "s3cret"}}))?;
    let volumes = json!([{"name": "settings", "configMap": {"name": "settings"}}, {"name": "keys", "secret": {"secretName": "keys"}}, {"name": "scratch", "emptyDir": {}}]);
    let mounts = json!([{"name": "settings", "mountPath": "/etc/settings"}, {"name": "keys", "mountPath": "/keys"}, {"name": "scratch", "mountPath": "/scratch"},
        {"name": "settings", "mountPath": "/one/file.conf", "subPath": "app.conf"}]);
    let files = [
        ("config", "/etc/settings/app.conf", "x = 1\n"),
        ("secret", "/keys/password", "s3cret"),
        ("single", "/one/file.conf", "x = 1\n"),
        ("resolv", "/etc/resolv.conf", "nameserver 10.96.0.10"),
        ("hosts", "/etc/hosts", "127.0.0.1\tlocalhost"),
        ("hostname", "/etc/hostname", "hostname"),
        ("token", "/var/run/secrets/kubernetes.io/serviceaccount/namespace", &namespace),
        ("authority", "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "BEGIN CERTIFICATE"),
    ];
    for (name, path, _) in files {
        let rest = json!({"volumes": volumes, "containers": [{"volumeMounts": mounts}]});
        cluster.api.create(&at("pods"), &probe(name, &["cat", path], rest)?)?;
    }
    let environment = json!({"containers": [{"env": [{"name": "PLAIN", "value": "a-$(NODE)"}, {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}, {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
            {"name": "LATER", "value": "$(NODE)/$(COLOUR)"}],
        "envFrom": [{"prefix": "P_", "secretRef": {"name": "keys"}}]}]});
    cluster.api.create(&at("pods"), &probe("environment", &["env"], environment)?)?;
    for (name, path, wanted) in files {
        ended(cluster, &namespace, name)?;
        let log = cluster.log(&namespace, name)?;
        if !log.contains(wanted) {
            return Err(format!("{path}: {wanted:?} is not in {log:?}").into());
        }
    }
    ended(cluster, &namespace, "environment")?;
    let log = cluster.log(&namespace, "environment")?;
    let pod = cluster.api.get(&format!("{}/environment", at("pods")))?;
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    for wanted in [
        "PLAIN=a-$(NODE)".to_owned(),
        format!("NODE={node}"),
        format!("IP={}", pod["status"]["podIP"].as_str().unwrap_or("?")),
        "COLOUR=red".to_owned(),
        format!("LATER={node}/red"),
        "P_password=s3cret".to_owned(),
        "KUBERNETES_SERVICE_HOST=10.96.0.1".to_owned(),
    ] {
        if !log.lines().any(|line| line == wanted) {
            return Err(format!("{wanted} is not in\n{log}").into());
        }
    }
    Ok(())
}

fn logs_follow_tail_and_remember(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("logs")?;
    logs(cluster, &namespace)
}

fn logs_are_the_same_over_tls() -> Result<(), Failed> {
    let cluster = Cluster::start(&["--kubelet-over-tls"])?;
    logs(&cluster, "default")
}

fn logs(cluster: &Cluster, namespace: &str) -> Result<(), Failed> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    cluster.api.create(&path, &probe("talker", &["env"], json!({"containers": [{"env": [{"name": "LAST", "value": "x"}]}]}))?)?;
    ended(cluster, namespace, "talker")?;
    let all = cluster.log(namespace, "talker")?;
    let query = |query: &str| -> Result<String, Failed> {
        let answer = cluster.api.request("GET", &format!("{path}/talker/log?{query}"), "", None)?;
        Ok(answer.text())
    };
    let last = query("tailLines=1")?;
    if last.lines().count() != 1 || !all.ends_with(&last) {
        return Err(format!("tailLines=1: {last:?} of {all:?}").into());
    }
    let stamped = query("timestamps=true&tailLines=1")?;
    let (time, rest) = stamped.split_once(' ').ok_or("no timestamp")?;
    if rest != last || !time.ends_with('Z') || !time.starts_with("20") {
        return Err(format!("timestamps: {stamped:?}").into());
    }
    // -f of a container that has ended gives all, and ends.
    let followed = query("follow=true")?;
    if followed != all {
        return Err(format!("follow: {followed:?}").into());
    }
    let short = query("limitBytes=5")?;
    if short != all[..5] {
        return Err(format!("limitBytes: {short:?}").into());
    }
    let missing = cluster.api.request("GET", &format!("{path}/talker/log?container=none"), "", None)?;
    if missing.status != 400 || !missing.text().contains("container none is not valid for pod talker") {
        return Err(format!("a container that is not there: {} {}", missing.status, missing.text()).into());
    }
    let previous = cluster.api.request("GET", &format!("{path}/talker/log?previous=true"), "", None)?;
    if previous.status == 200 { Err("a first container has no previous one".into()) } else { Ok(()) }
}

fn a_crash_backs_off(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("crash")?;
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &probe("crash", &["exit", "3"], json!({"restartPolicy": "Always"}))?)?;
    let pod = cluster.pod_until(&namespace, "crash", "backing off", |pod| {
        let status = &pod["status"]["containerStatuses"][0];
        status["state"]["waiting"]["reason"] == "CrashLoopBackOff" && status["restartCount"].as_i64() >= Some(1)
    })?;
    let status = &pod["status"]["containerStatuses"][0];
    if status["lastState"]["terminated"]["exitCode"] != 3 || pod["status"]["phase"] != "Running" {
        return Err(pod["status"].to_string().into());
    }
    eventually("the Events", || {
        let events = cluster.events(&namespace, "crash")?;
        let missing = ["Scheduled: Successfully assigned", "Pulled: ", "Created: ", "Started: ", "BackOff: Back-off restarting failed container"]
            .into_iter()
            .find(|wanted| !events.iter().any(|event| event.starts_with(wanted)));
        match missing {
            None => Ok(()),
            Some(missing) => Err(format!("no {missing:?} in\n{}", events.join("\n")).into()),
        }
    })
}

fn a_restart_finds_its_pods_again() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let cluster = Cluster::start_on(folder.path(), &[])?;
    cluster.create("default", &web("web", &guests::image("http-p2")?, "again.example", 2))?;
    answers(&cluster, "again.example", "/", "Hello, WASI!")?;
    cluster.api.create("/api/v1/namespaces/default/pods", &probe("done", &["exit", "0"], json!({}))?)?;
    ended(&cluster, "default", "done")?;
    let names = |cluster: &Cluster| -> Result<Vec<String>, Failed> {
        let list = cluster.api.get("/api/v1/namespaces/default/pods")?;
        let mut names: Vec<String> = list["items"].as_array().into_iter().flatten().filter_map(|p| p["metadata"]["uid"].as_str()).map(str::to_owned).collect();
        names.sort();
        Ok(names)
    };
    let before = names(&cluster)?;
    cluster.kill()?;
    let cluster = Cluster::start_on(folder.path(), &[])?;
    answers(&cluster, "again.example", "/", "Hello, WASI!")?;
    if names(&cluster)? != before {
        return Err("other Pods than before".into());
    }
    let done = cluster.api.get("/api/v1/namespaces/default/pods/done")?;
    if done["status"]["phase"] == "Succeeded" && done["status"]["containerStatuses"][0]["restartCount"] == 0 {
        Ok(())
    } else {
        Err(done["status"].to_string().into())
    }
}

/// With Debian's `docker-registry` and `skopeo`, where they are installed.
fn a_real_registry_and_other_clients(cluster: &Cluster) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let config = folder.path().join("config.yml");
    std::fs::write(
        &config,
        format!("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:{port}\n", folder.path().join("blobs").display()),
    )?;
    let quiet = std::process::Stdio::null;
    let started = Command::new("docker-registry").arg("serve").arg(&config).stdout(quiet()).stderr(quiet()).spawn();
    let Ok(mut registry) = started else {
        eprintln!("docker-registry is not installed: passed over");
        return Ok(());
    };
    let result = with_registry(cluster, port, folder.path());
    registry.kill()?;
    registry.wait()?;
    result
}

fn with_registry(cluster: &Cluster, port: u16, folder: &std::path::Path) -> Result<(), Failed> {
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    eventually("the registry", || http::get(at, "localhost", "/v2/"))?;
    let ours = format!("localhost:{port}/team/ours:v1");
    let output = Command::new(program()).arg("push").arg(repository("tests/guests/http-p2/http-p2.wasm")).arg(&ours).output()?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() || !text.contains("sha256:") {
        return Err(format!("wharf push: {text}").into());
    }
    let namespace = cluster.namespace("registry")?;
    cluster.create(&namespace, &web("ours", &ours, "ours.example", 1))?;
    answers(cluster, "ours.example", "/", "Hello, WASI!")?;

    // The same artifact, from another client: skopeo copies it out of an OCI layout that it made itself.
    let theirs = format!("localhost:{port}/team/theirs:v1");
    let layout = format!("oci:{}:v1", folder.join("layout").display());
    let copies = [vec!["copy", "--src-tls-verify=false"], vec!["copy", "--dest-tls-verify=false"]];
    let (from, to) = (format!("docker://{ours}"), format!("docker://{theirs}"));
    for (mut arguments, ends) in copies.into_iter().zip([[from.as_str(), layout.as_str()], [layout.as_str(), to.as_str()]]) {
        arguments.extend(ends);
        match Command::new("skopeo").args(["--insecure-policy"]).args(&arguments).output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => return Err(format!("skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
            Err(_) => {
                eprintln!("skopeo is not installed: passed over");
                return Ok(());
            }
        }
    }
    cluster.create(&namespace, &web("theirs", &theirs, "theirs.example", 1))?;
    answers(cluster, "theirs.example", "/", "Hello, WASI!")
}
