//! `wharf deploy`, `undeploy` and `dev`: a component becomes a URL, and is gone again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Cluster, Shared, eventually, program, repository};
use crate::http;
use crate::own_registry::wharf;

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("serverless::deploy_again_drops_no_request_and_undeploy_removes_exactly_it", deploy_again_drops_no_request_and_undeploy_removes_exactly_it),
        shared.test("serverless::a_folder_says_how_it_is_built", a_folder_says_how_it_is_built),
        shared.test("serverless::what_cannot_be_deployed_is_said_in_a_line", what_cannot_be_deployed_is_said_in_a_line),
        shared.test("serverless::what_does_not_start_leaves_nothing_behind", what_does_not_start_leaves_nothing_behind),
        shared.test("serverless::dev_deploys_every_change_and_shows_the_log", dev_deploys_every_change_and_shows_the_log),
    ]
}

/// The kinds of what a deployment makes.
const KINDS: [&str; 5] =
    ["/apis/apps/v1/NS/deployments", "/api/v1/NS/services", "/apis/networking.k8s.io/v1/NS/ingresses", "/api/v1/NS/configmaps", "/api/v1/NS/secrets"];

/// `kind/name` of everything in a namespace but what each namespace has.
fn everything(cluster: &Cluster, namespace: &str) -> Result<Vec<String>, Failed> {
    let mut found = Vec::new();
    for path in KINDS {
        let list = cluster.api.get(&path.replace("NS", &format!("namespaces/{namespace}")))?;
        let plural = path.rsplit('/').next().unwrap_or_default();
        let names = list["items"].as_array().into_iter().flatten().filter_map(|item| item["metadata"]["name"].as_str());
        found.extend(names.filter(|name| *name != "kube-root-ca.crt").map(|name| format!("{plural}/{name}")));
    }
    Ok(found)
}

fn deployed(cluster: &Cluster, arguments: &[&str]) -> Result<String, Failed> {
    let (said, well) = wharf(cluster, arguments)?;
    let url = said.trim_end().lines().last().unwrap_or_default().trim().to_owned();
    if well && url.starts_with("http://") { Ok(url) } else { Err(format!("wharf {arguments:?}: {said}").into()) }
}

fn deploy_again_drops_no_request_and_undeploy_removes_exactly_it(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("function")?;
    let folder = TempDir::new()?;
    let file = folder.path().join("My_Function.wasm");
    std::fs::copy(repository("tests/guests/http-p2/http-p2.wasm"), &file)?;
    std::fs::write(folder.path().join("settings.env"), "# settings\nGREETING=hi\n")?;
    cluster.create(&namespace, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: someone-elses}\n")?;
    let before = everything(cluster, &namespace)?;
    let (source, config) = (file.to_string_lossy().into_owned(), folder.path().join("settings.env").to_string_lossy().into_owned());
    let deploy = |version: &str| {
        let version = format!("VERSION={version}");
        deployed(cluster, &["deploy", &source, "-n", &namespace, "--env", &version, "--config", &config, "--secret", "TOKEN=s3cret"])
    };
    let url = deploy("one")?;
    let host = format!("my-function.{namespace}.localhost");
    if url != format!("http://{host}:{}/", cluster.http.port()) {
        return Err(url.into());
    }
    let environment = || -> Result<String, Failed> { Ok(http::get(cluster.http, &host, "/env")?.text()) };
    let first = environment()?;
    let missing = ["VERSION=one", "GREETING=hi", "TOKEN=s3cret"].into_iter().find(|wanted| !first.lines().any(|line| line == *wanted));
    if let Some(missing) = missing {
        return Err(format!("{missing} is not in\n{first}").into());
    }
    let mounted = http::get(cluster.http, &host, "/file?/etc/config/GREETING")?.text();
    if mounted != "hi" {
        return Err(format!("/etc/config: {mounted}").into());
    }
    let owned = cluster.api.get(&format!("/api/v1/namespaces/{namespace}/services/my-function"))?;
    let deployment = cluster.api.get(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/my-function"))?;
    if owned["metadata"]["ownerReferences"][0]["uid"] != deployment["metadata"]["uid"] {
        return Err(format!("the Service's owner: {}", owned["metadata"]).into());
    }

    // A second version, under load.
    let (stop, asked, dropped) = (AtomicBool::new(false), AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let second = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let trouble = match http::get(cluster.http, &host, "/") {
                        Ok(answer) if answer.status == 200 => continue,
                        Ok(answer) => format!("{} {}", answer.status, answer.text()),
                        Err(error) => error.message().unwrap_or_default().to_owned(),
                    };
                    if let Ok(mut dropped) = dropped.lock() {
                        dropped.push(trouble);
                    }
                }
            });
        }
        let second = deploy("two").and_then(|_| environment());
        stop.store(true, Ordering::Relaxed);
        second
    })?;
    let dropped = dropped.into_inner().unwrap_or_default();
    if !dropped.is_empty() || asked.load(Ordering::Relaxed) < 10 || !second.contains("VERSION=two") {
        return Err(format!("{} of {} requests were dropped: {:?}; then\n{second}", dropped.len(), asked.into_inner(), dropped.first()).into());
    }

    let (said, well) = wharf(cluster, &["undeploy", "my-function", "-n", &namespace])?;
    if !well {
        return Err(format!("undeploy: {said}").into());
    }
    eventually("everything to be gone", || {
        let left = everything(cluster, &namespace)?;
        if left == before { Ok(()) } else { Err(format!("{left:?}").into()) }
    })?;
    let tags = cluster.api.request("GET", &format!("/v2/{namespace}/my-function/tags/list"), "", None)?;
    if tags.status == 200 && tags.json()?["tags"] != json!([]) {
        return Err(format!("images are left: {}", tags.text()).into());
    }
    let (said, well) = wharf(cluster, &["undeploy", "my-function", "-n", &namespace])?;
    if well || !said.contains("there is no function my-function") {
        return Err(format!("undeploy of what is gone: {said}").into());
    }
    Ok(())
}

/// A project whose build copies a guest.
fn project(folder: &Path, version: &str) -> Result<(), Failed> {
    let guest = repository("tests/guests/http-p2/http-p2.wasm").canonicalize()?;
    let text = format!(
        "name = \"built\"\n\n[env]\nVERSION = \"{version}\"\n\n[build]\ncommand = \"mkdir -p out && cp '{}' out/app.wasm\"\ncomponent = \"out/app.wasm\"\n",
        guest.display()
    );
    Ok(std::fs::write(folder.join("wharf.toml"), text)?)
}

fn a_folder_says_how_it_is_built(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("folder")?;
    let folder = TempDir::new()?;
    project(folder.path(), "one")?;
    let host = format!("folder.{namespace}.example");
    deployed(cluster, &["deploy", &folder.path().to_string_lossy(), "-n", &namespace, "--host", &host])?;
    let environment = http::get(cluster.http, &host, "/env")?.text();
    if environment.lines().any(|line| line == "VERSION=one") { Ok(()) } else { Err(environment.into()) }
}

fn what_cannot_be_deployed_is_said_in_a_line(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("refused")?;
    let folder = TempDir::new()?;
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let guest = |name: &str| repository(&format!("tests/guests/{name}/{name}.wasm")).to_string_lossy().into_owned();
    std::fs::write(at("text.wasm"), "hello")?;
    std::fs::write(at("cut.wasm"), &std::fs::read(guest("http-p2"))?[..1000])?;
    std::fs::create_dir(at("empty"))?;
    for (name, text) in [
        ("fails", "[build]\ncommand = \"echo no >/dev/null; exit 7\"\ncomponent = \"a.wasm\"\n"),
        ("nothing", "[build]\ncommand = \"true\"\ncomponent = \"a.wasm\"\n"),
        ("typing", "[biuld]\n"),
    ] {
        std::fs::create_dir(at(name))?;
        std::fs::write(folder.path().join(name).join("wharf.toml"), text)?;
    }
    std::fs::write(at("kubeconfig"), std::fs::read_to_string(&cluster.kubeconfig)?.replace(cluster.api.host(), "127.0.0.1:1"))?;
    std::fs::write(at("bad.env"), "no pair\n")?;
    let good = guest("http-p2");
    let taken = format!("taken.{namespace}.example");
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "first"}, "spec": {"rules": [{"host": taken, "http":
        {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "x", "port": {"number": 80}}}}]}}]}});
    cluster.api.create(&format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"), &ingress)?;
    cluster.create(&namespace, "apiVersion: v1\nkind: Service\nmetadata: {name: occupied}\nspec: {ports: [{port: 80}]}\n")?;
    let before = everything(cluster, &namespace)?;
    let (probe, module) = (guest("probe"), guest("module-p1"));
    let (probe, module, good, taken) = (probe.as_str(), module.as_str(), good.as_str(), taken.as_str());
    #[rustfmt::skip]
    let table: Vec<(Vec<&str>, &str)> = vec![
        (vec![probe], "does not serve HTTP: it exports wasi:cli/run"),
        (vec![module], "does not serve HTTP: it is a core module"),
        (vec![], "FILE|DIR"),
        (vec!["/none.wasm"], "find /none.wasm: No such file or directory"),
        (vec!["/none/"], "find /none/: No such file or directory"),
        (vec![good, "--name", "Bad_Name"], "the name \"Bad_Name\" is not a DNS label"),
        (vec![good, "--name", "occupied"], "service/occupied is there already and was not made by wharf deploy"),
        (vec![good, "--host", "http://x"], "the host \"http://x\" is not a DNS name"),
        (vec![good, "--host", taken], "is taken by ingress/first of the namespace"),
        (vec![good, "--env", "novalue"], "not of the form KEY=VALUE"),
        (vec![good, "--config", "/none.env"], "read /none.env: No such file"),
        (vec![good, "--kubeconfig", "/none"], "read the kubeconfig /none"),
        (vec![good, "--context", "none"], "none"),
    ];
    let more: Vec<(String, &str)> = vec![
        (at("text.wasm"), "not WebAssembly"),
        (at("cut.wasm"), "invalid WebAssembly"),
        (at("empty"), "has neither a wharf.toml nor a Cargo.toml"),
        (at("fails"), "the build failed (exit status: 7)"),
        (at("nothing"), "the build made no"),
        (at("typing"), "wharf.toml line 1: unknown field `biuld`"),
    ];
    let more: Vec<(Vec<&str>, &str)> = more.iter().map(|(source, wanted)| (vec![source.as_str()], *wanted)).collect();
    let (unreachable, bad) = (at("kubeconfig"), at("bad.env"));
    let last = vec![(vec![good, "--kubeconfig", &unreachable], "127.0.0.1:1"), (vec![good, "--config", &bad], "line 1: not of the form KEY=VALUE")];
    for (mut arguments, wanted) in table.into_iter().chain(more).chain(last) {
        arguments.insert(0, "deploy");
        arguments.extend(["-n", &namespace]);
        let (said, well) = wharf(cluster, &arguments)?;
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
        if well || errors.len() != 1 || !said.contains(wanted) {
            return Err(format!("wharf {arguments:?}: wanted {wanted:?}, got {said}").into());
        }
    }
    let after = everything(cluster, &namespace)?;
    let images = cluster.api.request("GET", &format!("/v2/{namespace}/http-p2/tags/list"), "", None)?;
    if after == before && images.status == 404 { Ok(()) } else { Err(format!("{before:?} became {after:?}; images: {}", images.text()).into()) }
}

fn what_does_not_start_leaves_nothing_behind(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("halfway")?;
    let good = repository("tests/guests/http-p2/http-p2.wasm").to_string_lossy().into_owned();
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/half");
    let arguments = ["deploy", &good, "--name", "half", "-n", &namespace, "--timeout", "3", "--env"];
    let deploy = |version: &str| wharf(cluster, &[arguments.as_slice(), &[version]].concat());
    // No Pod may be made, so that none ever starts.
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}});
    let quotas = format!("/api/v1/namespaces/{namespace}/resourcequotas");
    cluster.api.create(&quotas, &quota)?;
    eventually("the quota", || {
        let quota = cluster.api.get(&format!("{quotas}/none"))?;
        if quota["status"]["hard"]["pods"] == "0" { Ok(()) } else { Err("not counted".into()) }
    })?;
    let (said, well) = deploy("VERSION=one")?;
    if well || !said.contains("error: deploy half: it is not ready after 3 s") {
        return Err(format!("a first deployment without Pods: {said}").into());
    }
    eventually("nothing", || {
        let left = everything(cluster, &namespace)?;
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}").into()) }
    })?;
    // Where there is an old version, it is what stays.
    cluster.api.delete(&format!("{quotas}/none"))?;
    let (said, well) = deploy("VERSION=one")?;
    if !well {
        return Err(said.into());
    }
    let before = cluster.api.get(&path)?["spec"]["template"].clone();
    cluster.api.create(&quotas, &json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}}))?;
    eventually("the quota", || {
        let quota = cluster.api.get(&format!("{quotas}/one"))?;
        if quota["status"]["used"]["pods"] == "1" { Ok(()) } else { Err("not counted".into()) }
    })?;
    let (said, well) = deploy("VERSION=two")?;
    if well || cluster.api.get(&path)?["spec"]["template"] != before {
        return Err(format!("a second deployment without room: {said}").into());
    }
    let host = format!("half.{namespace}.localhost");
    let environment = http::get(cluster.http, &host, "/env")?.text();
    if environment.contains("VERSION=one") { Ok(()) } else { Err(environment.into()) }
}

fn dev_deploys_every_change_and_shows_the_log(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("dev")?;
    let folder = TempDir::new()?;
    project(folder.path(), "one")?;
    let mut child = Command::new(program())
        .args(["dev", "-n", &namespace])
        .arg(folder.path())
        .env("KUBECONFIG", &cluster.kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    if let Some(stdout) = child.stdout.take() {
        let said = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Ok(mut said) = said.lock() {
                    said.push(line);
                }
            }
        });
    }
    let result = dev(cluster, &namespace, folder.path(), &said);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status()?;
    let ended = child.wait()?;
    let lines = said.lock().map(|said| said.join("\n")).unwrap_or_default();
    result.map_err(|error| Failed::from(format!("{}; it said:\n{lines}", error.message().unwrap_or_default())))?;
    if ended.success() && lines.contains("what was deployed stays") { Ok(()) } else { Err(format!("it ended with {ended}:\n{lines}").into()) }
}

fn dev(cluster: &Cluster, namespace: &str, folder: &Path, said: &std::sync::Mutex<Vec<String>>) -> Result<(), Failed> {
    let host = format!("built.{namespace}.localhost");
    let version = |wanted: &str| {
        eventually(wanted, || {
            let environment = http::get(cluster.http, &host, "/env")?.text();
            if environment.contains(wanted) { Ok(()) } else { Err(environment.into()) }
        })
    };
    version("VERSION=one")?;
    // A build that fails is said, and what runs stays.
    std::fs::write(folder.join("wharf.toml"), "nonsense")?;
    version("VERSION=one")?;
    project(folder, "two")?;
    version("VERSION=two")?;
    eventually("the log", || {
        http::get(cluster.http, &host, "/log")?;
        let lines: Value = said.lock().map(|said| json!(*said)).map_err(|_| "poisoned")?;
        if lines.as_array().into_iter().flatten().any(|line| line == "to stdout") { Ok(()) } else { Err(lines.to_string().into()) }
    })
}
