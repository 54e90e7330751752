//! The cluster's own image registry, with our client and with one that is not ours.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::client::Client;
use crate::cluster::{Cluster, Shared, eventually, program, repository};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("own_registry::what_wharf_push_pushes_runs_by_its_bare_name", what_wharf_push_pushes_runs_by_its_bare_name),
        shared.test("own_registry::rbac_says_who_may_push", rbac_says_who_may_push),
        shared.test("own_registry::skopeo_pushes_pulls_lists_and_deletes", skopeo_pushes_pulls_lists_and_deletes),
        shared.test("own_registry::a_pull_that_broke_off_goes_on", a_pull_that_broke_off_goes_on),
        shared.test("own_registry::a_large_push_needs_little_memory", a_large_push_needs_little_memory),
    ]
}

/// Runs the program on a cluster; what it said and whether it went well.
pub fn wharf(cluster: &Cluster, arguments: &[&str]) -> Result<(String, bool), Failed> {
    let output = Command::new(program()).args(arguments).env("KUBECONFIG", &cluster.kubeconfig).output()?;
    Ok((format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)), output.status.success()))
}

fn what_wharf_push_pushes_runs_by_its_bare_name(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("bare")?;
    let file = repository("tests/guests/http-p2/http-p2.wasm");
    let name = format!("{namespace}/web:v1");
    let (said, well) = wharf(cluster, &["push", &file.to_string_lossy(), &name])?;
    if !well || !said.starts_with("sha256:") {
        return Err(format!("wharf push: {said}").into());
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": name}]}});
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
    let pod = cluster.pod_ready(&namespace, "web")?;
    let id = pod["status"]["containerStatuses"][0]["imageID"].as_str().unwrap_or_default();
    let wanted = format!("registry.wharf.local/{namespace}/web@{}", said.trim());
    if id != wanted {
        return Err(format!("imageID {id}, not {wanted}").into());
    }
    // What is no component is not pushed, and a digest is no tag.
    let nothing = TempDir::new()?;
    let text = nothing.path().join("text.wasm");
    std::fs::write(&text, "hello")?;
    for (arguments, wanted) in [
        (["push", &text.to_string_lossy(), "x:v1"], "not WebAssembly"),
        (["push", "/none.wasm", "x:v1"], "No such file"),
        (["push", &file.to_string_lossy(), "X:v1"], "must be lowercase"),
    ] {
        let (said, well) = wharf(cluster, &arguments)?;
        if well || !said.contains(wanted) || said.trim().lines().count() != 1 {
            return Err(format!("{arguments:?}: {said}").into());
        }
    }
    Ok(())
}

/// A token of a new ServiceAccount that may edit in the namespace.
fn editor(cluster: &Cluster, namespace: &str) -> Result<String, Failed> {
    cluster.create(
        namespace,
        "
apiVersion: v1
kind: ServiceAccount
metadata: {name: pusher}
",
    )?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "pusher"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "pusher", "namespace": namespace}]});
    cluster.api.create(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"), &binding)?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let made = cluster.api.create(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/pusher/token"), &request)?;
    Ok(made["status"]["token"].as_str().ok_or("no token")?.to_owned())
}

fn rbac_says_who_may_push(cluster: &Cluster) -> Result<(), Failed> {
    let (mine, other) = (cluster.namespace("mine")?, cluster.namespace("other")?);
    let token = editor(cluster, &mine)?;
    let (editor, nobody) = (cluster.api.with_token(Some(&token))?, cluster.api.with_token(None)?);
    let begin =
        |client: &Client, name: &str| -> Result<u16, Failed> { Ok(client.request("POST", &format!("/v2/{name}/blobs/uploads/"), "", Some(b""))?.status) };
    eventually("the binding", || {
        let status = begin(&editor, &format!("{mine}/app"))?;
        if status == 202 { Ok(()) } else { Err(format!("{status}").into()) }
    })?;
    for (client, name, wanted) in
        [(&editor, format!("{other}/app"), 403), (&editor, "app".to_owned(), 403), (&nobody, format!("{mine}/app"), 401), (&cluster.api, "app".to_owned(), 202)]
    {
        let status = begin(client, &name)?;
        if status != wanted {
            return Err(format!("{name}: {status}, not {wanted}").into());
        }
    }
    let base = nobody.request("GET", "/v2/", "", None)?;
    if base.status != 401 || base.json()?["errors"][0]["code"] != "UNAUTHORIZED" {
        return Err(format!("/v2/: {} {}", base.status, base.text()).into());
    }
    Ok(())
}

/// Debian's skopeo, where it is installed: with a token as a password, and with the kubeconfig's certificate.
fn skopeo_pushes_pulls_lists_and_deletes(cluster: &Cluster) -> Result<(), Failed> {
    if Command::new("skopeo").arg("--version").output().is_err() {
        eprintln!("skopeo is not installed: passed over");
        return Ok(());
    }
    let namespace = cluster.namespace("skopeo")?;
    let token = editor(cluster, &namespace)?;
    let folder = TempDir::new()?;
    let certificates = folder.path().join("certificates");
    write_certificates(cluster, &certificates)?;
    let certificates = certificates.to_string_lossy().into_owned();
    let skopeo = |arguments: &[&str]| -> Result<String, Failed> {
        let output = Command::new("skopeo").arg("--insecure-policy").args(arguments).output()?;
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(text) } else { Err(format!("skopeo {arguments:?}: {text}").into()) }
    };
    let (ours, _) = wharf(cluster, &["push", &repository("examples/hello/hello.wasm").to_string_lossy(), &format!("{namespace}/first:v1")])?;
    let at = |name: &str| format!("docker://{}/{namespace}/{name}", cluster.api.host());
    let layout = format!("oci:{}:v1", folder.path().join("layout").display());
    let credentials = format!("anybody:{token}");
    // Out with the admin's certificate, in with a token.
    skopeo(&["copy", "--src-cert-dir", &certificates, &at("first:v1"), &layout])?;
    eventually("the binding", || skopeo(&["copy", "--dest-tls-verify=false", "--dest-creds", &credentials, &layout, &at("second:v1")]))?;
    skopeo(&[
        "copy",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        "--dest-tls-verify=false",
        "--dest-creds",
        &credentials,
        &at("second:v1"),
        &at("second:v2"),
    ])?;
    let (verify, as_pusher) = ("--tls-verify=false", ["--creds", credentials.as_str()]);
    let inspected: Value = serde_json::from_str(&skopeo(&["inspect", verify, as_pusher[0], as_pusher[1], "--raw", &at("second:v1")])?)?;
    if inspected["layers"][0]["mediaType"] != "application/wasm" {
        return Err(format!("inspect: {inspected}").into());
    }
    let raw = cluster.api.request("GET", &format!("/v2/{namespace}/second/manifests/v1"), "", None)?;
    if format!("sha256:{}", hex::encode(Sha256::digest(&raw.body))) != ours.trim() {
        return Err("what skopeo pushed is not what was pushed first".into());
    }
    let tags = |wanted: Value| -> Result<(), Failed> {
        let listed: Value = serde_json::from_str(&skopeo(&["list-tags", verify, as_pusher[0], as_pusher[1], &at("second")])?)?;
        if listed["Tags"] == wanted { Ok(()) } else { Err(format!("list-tags: {listed}").into()) }
    };
    tags(json!(["v1", "v2"]))?;
    skopeo(&["delete", verify, as_pusher[0], as_pusher[1], &at("second:v2")])?;
    // It deletes by digest, so that both tags are gone.
    tags(json!([]))
}

/// `ca.crt`, `client.cert` and `client.key`, as Docker's `certs.d` has them.
fn write_certificates(cluster: &Cluster, folder: &Path) -> Result<(), Failed> {
    std::fs::create_dir(folder)?;
    let config: Value = serde_yaml::from_str(&std::fs::read_to_string(&cluster.kubeconfig)?)?;
    let (of_cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
    for (file, value) in
        [("ca.crt", &of_cluster["certificate-authority-data"]), ("client.cert", &user["client-certificate-data"]), ("client.key", &user["client-key-data"])]
    {
        std::fs::write(folder.join(file), STANDARD.decode(value.as_str().ok_or("no data in the kubeconfig")?)?)?;
    }
    Ok(())
}

fn a_pull_that_broke_off_goes_on(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("resume")?;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
    let pushed = cluster.api.request("POST", &format!("/v2/{namespace}/a/blobs/uploads/?digest={digest}"), "application/octet-stream", Some(&bytes))?;
    if pushed.status != 201 {
        return Err(format!("push: {} {}", pushed.status, pushed.text()).into());
    }
    let path = format!("/v2/{namespace}/a/blobs/{digest}");
    let begin = cluster.api.interrupted("GET", &path, &[], 1_000_000)?;
    let rest = cluster.api.interrupted("GET", &path, &[("Range", &format!("bytes={}-", begin.len()))], usize::MAX)?;
    if begin.len() >= bytes.len() || [begin, rest].concat() != bytes {
        return Err("the two parts are not the whole".into());
    }
    Ok(())
}

/// Some 200 MB, in chunks: the process grows by a fraction of it.
fn a_large_push_needs_little_memory(cluster: &Cluster) -> Result<(), Failed> {
    const CHUNK: usize = 8 << 20;
    const CHUNKS: usize = 24;
    let namespace = cluster.namespace("large")?;
    let begun = cluster.api.headers("POST", &format!("/v2/{namespace}/a/blobs/uploads/"), &[], b"")?;
    let at = begun.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("location: ").map(str::to_owned)).ok_or("no location")?;
    let chunk = vec![7_u8; CHUNK];
    let mut hash = Sha256::new();
    let before = resident(cluster)?;
    let mut most = before;
    for n in 0..CHUNKS {
        let range = format!("{}-{}", n * CHUNK, (n + 1) * CHUNK - 1);
        let head = cluster.api.headers("PATCH", &at, &[("Content-Range", &range)], &chunk)?;
        if !head.starts_with("HTTP/1.1 202") {
            return Err(head.into());
        }
        hash.update(&chunk);
        most = most.max(resident(cluster)?);
    }
    let digest = format!("sha256:{}", hex::encode(hash.finalize()));
    let head = cluster.api.headers("PUT", &format!("{at}?digest={digest}"), &[], b"")?;
    if !head.starts_with("HTTP/1.1 201") {
        return Err(head.into());
    }
    let grown = most.saturating_sub(before);
    // Other tests use the same process meanwhile.
    if grown < (CHUNK * CHUNKS / 2) as u64 { Ok(()) } else { Err(format!("the process grew by {} MiB", grown >> 20).into()) }
}

/// Bytes of its own, without what is mapped of the program's file.
fn resident(cluster: &Cluster) -> Result<u64, Failed> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    Ok(line.split_whitespace().next().ok_or("no number")?.parse::<u64>()? * 1024)
}
