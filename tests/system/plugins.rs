//! Plugins in a whole cluster: the examples, as their manifests have them, and the way out.

use std::process::Command;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Shared, eventually, program, repository};
use crate::http;

/// All tests of this file.
pub fn trials(_shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        Trial::test("plugins::the_examples_guard_the_api_and_an_ingress", the_examples_guard),
        Trial::test("plugins::a_plugin_is_tested_without_a_cluster", tested_without_a_cluster),
    ]
}

const PLUGINS: &str = "/apis/plugins.wharf.dev/v1/plugins";

fn the_examples_guard() -> Result<(), Failed> {
    let folder = |path: &str| repository(path).display().to_string();
    let (policy, middleware, hello) = (folder("examples/plugins/require-digest"), folder("examples/plugins/api-key"), folder("examples/hello"));
    let cluster = Cluster::start(&["--apply", &hello, "--apply", &policy, "--apply", &middleware])?;
    eventually("the plugins to be ready", || {
        let list = cluster.api.get(PLUGINS)?;
        let ready =
            |plugin: &Value| plugin["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"));
        let all = list["items"].as_array().cloned().unwrap_or_default();
        if all.len() == 2 && all.iter().all(ready) { Ok(()) } else { Err(list.to_string().into()) }
    })?;

    // The policy: one namespace, and no other.
    cluster.api.create("/api/v1/namespaces", &json!({"metadata": {"name": "strict", "labels": {"images": "by-digest"}}}))?;
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "busybox:1.36"}]}}).to_string();
    let post = |namespace: &str| {
        let path = format!("/api/v1/namespaces/{namespace}/pods?dryRun=All");
        eventually("the namespace's account", || {
            let answer = cluster.api.request("POST", &path, "application/json", Some(pod.as_bytes()))?;
            if answer.status != 201 && answer.text().contains("serviceaccount") { Err(answer.text().into()) } else { Ok(answer) }
        })
    };
    let (refused, allowed) = (post("strict")?, post("default")?);
    let words = "admission plugin \"require-digest\" denied the request: the image busybox:1.36 is not named by its digest (…@sha256:…)";
    if refused.status != 403 || refused.json()?["message"] != words {
        return Err(refused.text().into());
    }
    if allowed.status != 201 {
        return Err(allowed.text().into());
    }

    // The middleware: the example's Ingress names it.
    let ingress = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/hello";
    cluster.api.patch(ingress, &json!({"metadata": {"annotations": {"plugins.wharf.dev/ingress": "api-key"}}}))?;
    eventually("the Ingress to ask for a key", || match http::get(cluster.http, "hello.localhost", "/")?.status {
        401 => Ok(()),
        other => Err(format!("it answers {other}").into()),
    })?;
    let with_key = http::send(cluster.http, "GET / HTTP/1.1\r\nhost: hello.localhost\r\nx-api-key: 1f6c2a\r\nconnection: close\r\n\r\n")?;
    if with_key.status != 200 {
        return Err(format!("with a key it answers {}", with_key.status).into());
    }
    // A new key in the Secret takes over by itself.
    cluster.api.patch("/api/v1/namespaces/default/secrets/api-keys", &json!({"stringData": {"keys": "carol new"}}))?;
    eventually("the new key to be known", || {
        match http::send(cluster.http, "GET / HTTP/1.1\r\nhost: hello.localhost\r\nx-api-key: new\r\nconnection: close\r\n\r\n")?.status {
            200 => Ok(()),
            other => Err(format!("it answers {other}").into()),
        }
    })?;
    let metrics = cluster.api.request("GET", "/metrics", "", None)?.text();
    for line in ["wharf_plugin_denied_total{plugin=\"require-digest\",hook=\"validate\"}", "wharf_plugin_calls_total{plugin=\"api-key\",hook=\"on-response\"}"]
    {
        if !metrics.contains(line) {
            return Err(format!("/metrics has no {line}").into());
        }
    }

    // One that refuses everything can be taken away by the one who put it there.
    let everything = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]});
    let copy = cluster.api.get(&format!("{PLUGINS}/require-digest"))?;
    let spec = json!({"image": copy["spec"]["image"], "world": "ingress", "match": {"objectSelector": {}}});
    cluster.api.create(PLUGINS, &json!({"metadata": {"name": "wrong-world"}, "spec": spec}))?;
    eventually("the wrong world to be told", || {
        let plugin = cluster.api.get(&format!("{PLUGINS}/wrong-world"))?;
        let ready = plugin["status"]["conditions"].as_array().and_then(|all| all.iter().find(|c| c["type"] == "Ready")).cloned().unwrap_or_default();
        if ready["reason"] == "WrongWorld" { Ok(()) } else { Err(plugin["status"].to_string().into()) }
    })?;
    let denying = json!({"image": "wharf.local/none", "world": "admission", "match": {"rules": [everything]}});
    cluster.api.create(PLUGINS, &json!({"metadata": {"name": "deny-all"}, "spec": denying}))?;
    let stuck = cluster.api.request("POST", "/api/v1/namespaces/default/configmaps", "application/json", Some(br#"{"metadata": {"name": "m"}}"#))?;
    if stuck.status != 500 || !stuck.text().contains("failed calling plugin \\\"deny-all\\\": the plugin is not ready") {
        return Err(stuck.text().into());
    }
    cluster.api.delete(&format!("{PLUGINS}/deny-all"))?;
    cluster.api.create("/api/v1/namespaces/default/configmaps", &json!({"metadata": {"name": "m"}}))?;
    Ok(())
}

fn tested_without_a_cluster() -> Result<(), Failed> {
    let folder = tempfile::TempDir::new()?;
    let review = folder.path().join("review.json");
    std::fs::write(&review, json!({"request": {"uid": "1", "operation": "CREATE", "object": {"spec": {"containers": [{"image": "nginx"}]}}}}).to_string())?;
    let test = |file: &str, world: &str| {
        let file = repository(file);
        Command::new(program()).args(["plugin", "test"]).arg(file).args(["--world", world, "--request"]).arg(&review).output()
    };
    let told = test("examples/plugins/require-digest/require-digest.wasm", "admission")?;
    let answer: Value = serde_json::from_slice(&told.stdout)?;
    if answer["response"]["allowed"] != false || answer["kind"] != "AdmissionReview" {
        return Err(answer.to_string().into());
    }
    let told = test("examples/hello/hello.wasm", "admission")?;
    let words = String::from_utf8_lossy(&told.stderr).into_owned();
    if told.status.success() || !words.contains("the component does not export wharf:plugin/admission-review@0.1.0") {
        return Err(words.into());
    }
    Ok(())
}
