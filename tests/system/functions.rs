//! Functions: what the SDK gives them (`wasi:config`, `wasi:logging`, `wasi:keyvalue`), and the examples in five languages.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, Shared, eventually, repository};
use crate::{guests, http};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    let mut trials = vec![
        shared.test("functions::configuration_comes_from_the_pod_and_follows_its_volume", configuration_comes_from_the_pod_and_follows_its_volume),
        shared.test("functions::what_is_kept_is_the_namespaces_and_goes_with_it", what_is_kept_is_the_namespaces_and_goes_with_it),
    ];
    for (language, test) in [
        ("c", c as fn(&Cluster) -> Result<(), Failed>),
        ("go", go as fn(&Cluster) -> Result<(), Failed>),
        ("js", js as fn(&Cluster) -> Result<(), Failed>),
        ("python", python as fn(&Cluster) -> Result<(), Failed>),
        ("rust", rust as fn(&Cluster) -> Result<(), Failed>),
    ] {
        trials.push(shared.test(&format!("functions::the_example_in_{language}_answers"), test));
    }
    trials
}

/// Deployment, Service and Ingress of a function.
fn function(image: &str, host: &str, spec: &serde_json::Value) -> String {
    let mut container = json!({"name": "function", "image": image});
    for (key, value) in spec["container"].as_object().into_iter().flatten() {
        container[key] = value.clone();
    }
    let pod = json!({"containers": [container], "volumes": spec["volumes"]});
    let labels = json!({"app": "f"});
    let objects = [
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "f"}, "spec": {"replicas": spec["replicas"].as_u64().unwrap_or(1),
            "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "f"}, "spec": {"selector": labels, "ports": [{"port": 80}]}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "f"}, "spec": {"rules": [{"host": host, "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "f", "port": {"number": 80}}}}]}}]}}),
    ];
    objects.iter().map(|o| format!("---\n{o}\n")).collect()
}

fn answers(cluster: &Cluster, host: &str, path: &str, wanted: &str) -> Result<(), Failed> {
    eventually(&format!("http://{host}{path}"), || {
        let answer = http::get(cluster.http, host, path)?;
        if answer.status == 200 && answer.text() == wanted { Ok(()) } else { Err(format!("{} {:?}, not {wanted:?}", answer.status, answer.text()).into()) }
    })
}

/// The log of the function's only Pod.
fn log(cluster: &Cluster, namespace: &str) -> Result<String, Failed> {
    let pods = cluster.api.get(&format!("/api/v1/namespaces/{namespace}/pods"))?;
    cluster.log(namespace, pods["items"][0]["metadata"]["name"].as_str().ok_or("no Pod")?)
}

fn configuration_comes_from_the_pod_and_follows_its_volume(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("config")?;
    cluster.create(&namespace, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": {"page": "one"}}).to_string())?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"GREETING": "hidden"}});
    cluster.create(&namespace, &secret.to_string())?;
    let spec = json!({
        "container": {
            "env": [{"name": "RETRIES", "value": "3"}],
            "envFrom": [{"secretRef": {"name": "keys"}}],
            "volumeMounts": [{"name": "files", "mountPath": "/etc/config"}],
        },
        "volumes": [{"name": "files", "configMap": {"name": "files"}}],
    });
    cluster.create(&namespace, &function(&guests::image("sdk")?, "config.example", &spec))?;
    answers(cluster, "config.example", "/settings", r#"{"greeting":"hidden","retries":3,"page":"one"}"#)?;
    cluster.api.patch(&format!("/api/v1/namespaces/{namespace}/configmaps/files"), &json!({"data": {"page": "two"}}))?;
    answers(cluster, "config.example", "/config?page", "two")?;
    http::get(cluster.http, "config.example", "/log?7")?;
    eventually("the log", || {
        let log = log(cluster, &namespace)?;
        if log.contains("INFO sdk: told 7\nERROR sdk: two\n    lines\n") { Ok(()) } else { Err(log.into()) }
    })
}

fn what_is_kept_is_the_namespaces_and_goes_with_it(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("kept")?;
    let other = cluster.namespace("other")?;
    // Several Pods, on several nodes: one number, of both versions of WASI.
    cluster.create(&namespace, &function(&guests::image("sdk")?, "kept.example", &json!({"replicas": 3})))?;
    cluster.create(&other, &function(&guests::image("sdk-p3")?, "other.example", &json!({})))?;
    for n in 1..=6 {
        answers_once(cluster, "kept.example", &n.to_string())?;
    }
    answers_once(cluster, "other.example", "1")?;
    let everything = r#"None false Some([49]) [Some([51]), None, Some([50])] 5 -2 other! ["a", "b", "c", "n"] []"#;
    answers(cluster, "other.example", "/keyvalue?mine", everything)?;
    // It outlives the Deployment, but not the namespace.
    cluster.api.delete(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/f"))?;
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    eventually("no Pod", || if cluster.api.get(&pods)?["items"].as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err("Pods".into()) })?;
    let again = function(&guests::image("sdk")?, "kept.example", &json!({}));
    let deployment = again.split("---\n").nth(1).ok_or("no Deployment")?;
    cluster.create(&namespace, deployment)?;
    answers_once(cluster, "kept.example", "7")?;
    cluster.api.delete(&format!("/api/v1/namespaces/{namespace}"))?;
    eventually("no namespace", || {
        let gone = cluster.api.request("GET", &format!("/api/v1/namespaces/{namespace}"), "", None)?.status == 404;
        if gone { Ok(()) } else { Err("it is still there".into()) }
    })?;
    cluster.api.create("/api/v1/namespaces", &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}))?;
    cluster.create(&namespace, &again)?;
    answers_once(cluster, "kept.example", "1")
}

/// Counts once: what does not count yet is asked again.
fn answers_once(cluster: &Cluster, host: &str, wanted: &str) -> Result<(), Failed> {
    eventually(&format!("http://{host}/count"), || {
        let answer = http::get(cluster.http, host, "/count")?;
        match (answer.status, answer.text()) {
            (200, text) if text == wanted => Ok(Ok(())),
            (200, text) => Ok(Err(Failed::from(format!("counted {text}, not {wanted}")))),
            (status, text) => Err(format!("{status} {text}").into()),
        }
    })?
}

fn c(cluster: &Cluster) -> Result<(), Failed> {
    example(cluster, "c", "C", "python3 -m ziglang version")
}

fn go(cluster: &Cluster) -> Result<(), Failed> {
    example(cluster, "go", "Go", "go version")
}

fn js(cluster: &Cluster) -> Result<(), Failed> {
    example(cluster, "js", "JavaScript", "test -d node_modules/@bytecodealliance/componentize-js")
}

fn python(cluster: &Cluster) -> Result<(), Failed> {
    example(cluster, "python", "Python", "componentize-py --version")
}

fn rust(cluster: &Cluster) -> Result<(), Failed> {
    example(cluster, "rust", "Rust", "ls $(rustc --print target-libdir --target wasm32-wasip2)/libstd-*.rlib")
}

/// Builds an example by its own command, and asks it. Where its tools are not on this machine, it says so and passes over:
/// a test fetches no toolchain. `WHARF_TOOLCHAINS` names a folder with a `bin`, and a `node_modules`, beside the machine's own.
fn example(cluster: &Cluster, language: &str, calls_itself: &str, needs: &str) -> Result<(), Failed> {
    let folder = TempDir::new()?;
    copy(Path::new(&repository(&format!("examples/functions/{language}"))), folder.path())?;
    let tools = std::env::var_os("WHARF_TOOLCHAINS").map(PathBuf::from);
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(tools) = &tools {
        path = std::env::join_paths([tools.join("bin")].into_iter().chain(std::env::split_paths(&path)))?;
        if tools.join("node_modules").is_dir() {
            std::os::unix::fs::symlink(tools.join("node_modules"), folder.path().join("node_modules"))?;
        }
    }
    let shell = |command: &str| Command::new("sh").args(["-c", command]).current_dir(folder.path()).env("PATH", &path).output();
    if !shell(needs)?.status.success() {
        eprintln!("SKIPPED: the example in {calls_itself} is not built: `{needs}` fails on this machine");
        return Ok(());
    }
    let (command, component) = build(&folder.path().join("wharf.toml"))?;
    let built = shell(&command)?;
    if !built.status.success() {
        return Err(format!("{command}\n{}{}", String::from_utf8_lossy(&built.stdout), String::from_utf8_lossy(&built.stderr)).into());
    }
    let image = guests::registry()?.add(&format!("hello-{language}"), &std::fs::read(folder.path().join(component))?);
    let namespace = cluster.namespace(language)?;
    let host = format!("{language}.example");
    cluster.create(&namespace, &function(&image, &host, &json!({"container": {"env": [{"name": "GREETING", "value": "Ahoj"}]}})))?;
    // The first answer waits for the compilation, which takes its time where the compiler itself is not optimised.
    let first = format!("Ahoj from {calls_itself}! You are visitor 1.\n");
    (0..5).find_map(|_| answers(cluster, &host, "/x?y", &first).ok()).map_or_else(|| answers(cluster, &host, "/x?y", &first), Ok)?;
    answers(cluster, &host, "/", &format!("Ahoj from {calls_itself}! You are visitor 2.\n"))?;
    let name = if language == "rust" { "hello_rust" } else { &format!("hello-{language}") };
    eventually("the log", || {
        let log = log(cluster, &namespace)?;
        if log.contains(&format!("INFO {name}: visit 1, to /x")) { Ok(()) } else { Err(log.into()) }
    })
}

/// The build command and what it makes; Cargo's where there is no `wharf.toml`.
fn build(file: &Path) -> Result<(String, String), Failed> {
    let Ok(text) = std::fs::read_to_string(file) else {
        let command = "cargo build --quiet --release --target wasm32-wasip2 --target-dir target";
        return Ok((command.into(), "target/wasm32-wasip2/release/hello_rust.wasm".into()));
    };
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \""));
        line.and_then(|rest| rest.strip_suffix('"')).map(str::to_owned).ok_or_else(|| Failed::from(format!("{} has no {key}", file.display())))
    };
    // What is fetched was fetched before.
    let command = value("command")?;
    Ok((
        command.split_once(" && ").filter(|(fetch, _)| fetch.starts_with("npm install")).map_or(command.clone(), |(_, rest)| rest.to_owned()),
        value("component")?,
    ))
}

/// Copies a folder; what links lead to is copied, and paths that lead out of it are made whole.
fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if ["target", "node_modules"].iter().any(|n| entry.file_name() == *n) {
            continue;
        }
        if std::fs::metadata(&from)?.is_dir() {
            copy(&from, &to)?;
        } else if entry.file_name() == "Cargo.toml" {
            let sdk = repository("sdk/guest");
            std::fs::write(&to, std::fs::read_to_string(&from)?.replace("../../../sdk/guest", &sdk.to_string_lossy()))?;
        } else {
            std::fs::copy(&from, &to)?;
        }
    }
    Ok(())
}
