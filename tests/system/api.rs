//! The API as clients see it: who may ask, what is refused and in which words, stock kubectl.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::json;

use crate::cluster::{Cluster, Shared};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("api::strangers_see_only_health_and_version", strangers_see_only_health_and_version),
        shared.test("api::a_token_is_its_account", a_token_is_its_account),
        shared.test("api::bad_input_gets_a_status", bad_input_gets_a_status),
        shared.test("api::kubectl_applies_explains_and_deletes", kubectl_applies_explains_and_deletes),
        shared.test("api::a_cluster_has_what_clusters_have", a_cluster_has_what_clusters_have),
    ]
}

pub fn check(what: &str, holds: bool, shown: impl std::fmt::Display) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what}: {shown}").into()) }
}

fn strangers_see_only_health_and_version(cluster: &Cluster) -> Result<(), Failed> {
    let stranger = cluster.api.with_token(None)?;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        let answer = stranger.request("GET", path, "", None)?;
        check(path, answer.status == 200, answer.text())?;
    }
    let answer = stranger.request("GET", "/api/v1/namespaces/default/secrets", "", None)?;
    let status = answer.json()?;
    check("secrets for strangers", matches!(answer.status, 401 | 403) && status["kind"] == "Status", &status)?;
    let answer = cluster.api.with_token(Some("no.such.token"))?.request("GET", "/api/v1/pods", "", None)?;
    let status = answer.json()?;
    check("a bad token", answer.status == 401 && status["reason"] == "Unauthorized" && status["message"] == "Unauthorized", &status)
}

fn a_token_is_its_account(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("token")?;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = cluster.api.create(&format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token"), &request)?;
    let token = answer["status"]["token"].as_str().ok_or("no token")?.to_owned();
    let account = cluster.api.with_token(Some(&token))?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let refused = account.request("GET", &path, "", None)?;
    let wanted = format!(
        "pods is forbidden: User \"system:serviceaccount:{namespace}:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"{namespace}\""
    );
    check("without a role", refused.status == 403 && refused.json()?["message"] == wanted, refused.text())?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "view"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]});
    cluster.api.create(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings"), &role)?;
    let allowed = account.request("GET", &path, "", None)?;
    check("with a role", allowed.status == 200, allowed.text())?;
    let elsewhere = account.request("GET", "/api/v1/namespaces/kube-system/pods", "", None)?;
    check("elsewhere", elsewhere.status == 403, elsewhere.text())
}

fn bad_input_gets_a_status(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("bad")?;
    let path = format!("/api/v1/namespaces/{namespace}/configmaps");
    let large = vec![b'x'; 100 << 20];
    let cases: [(&str, &str, &[u8], u16, &str); 7] = [
        ("cut JSON", "application/json", br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"#, 400, "BadRequest"),
        ("no JSON", "application/json", b"\xff\xfe\x00", 400, "BadRequest"),
        ("cut YAML", "application/yaml", b"apiVersion: v1\nkind: [ConfigMap\n", 400, "BadRequest"),
        ("deep JSON", "application/json", &[b'['; 200_000], 400, "BadRequest"),
        ("another kind", "application/json", br#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#, 400, "BadRequest"),
        ("a bad name", "application/json", br#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"Not_A_Name"}}"#, 422, "Invalid"),
        ("100 MB", "application/json", &large, 413, "RequestEntityTooLarge"),
    ];
    for (what, content_type, body, code, reason) in cases {
        let answer = cluster.api.request("POST", &path, content_type, Some(body))?;
        let status = answer.json()?;
        check(
            what,
            answer.status == code && status["kind"] == "Status" && status["reason"] == reason && status["code"] == code,
            format!("{} {status}", answer.status),
        )?;
    }
    let unknown = cluster.api.request("GET", "/apis/nothing.example/v1/things", "", None)?;
    check("an unknown group", unknown.status == 404, unknown.text())?;
    cluster.api.get("/api/v1/namespaces/default")?;
    Ok(())
}

fn a_cluster_has_what_clusters_have(cluster: &Cluster) -> Result<(), Failed> {
    for path in [
        "/api/v1/namespaces/kube-system",
        "/api/v1/namespaces/kube-public",
        "/api/v1/namespaces/kube-node-lease",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node",
        "/apis/networking.k8s.io/v1/ingressclasses/nginx",
        "/api/v1/namespaces/default/configmaps/kube-root-ca.crt",
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
    ] {
        crate::cluster::eventually(path, || cluster.api.get(path))?;
    }
    let service = cluster.api.get("/api/v1/namespaces/default/services/kubernetes")?;
    check("default/kubernetes", service["spec"]["clusterIP"] == "10.96.0.1", &service)?;
    let dns = cluster.api.get("/api/v1/namespaces/kube-system/services/kube-dns")?;
    check("kube-dns", dns["spec"]["clusterIP"] == "10.96.0.10", &dns)?;
    let endpoints = cluster.api.get("/api/v1/namespaces/default/endpoints/kubernetes")?;
    check("its endpoint", endpoints["subsets"][0]["addresses"][0]["ip"] == "10.88.0.1" && endpoints["subsets"][0]["ports"][0]["port"] == 6443, &endpoints)
}

fn kubectl_applies_explains_and_deletes(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("kubectl")?;
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {colour: red}\n";
    let at = |arguments: &[&str]| [&["-n", namespace.as_str()], arguments].concat().iter().map(|a| (*a).to_owned()).collect::<Vec<_>>();
    let run = |arguments: &[&str], input: &str| {
        let all = at(arguments);
        cluster.kubectl(&all.iter().map(String::as_str).collect::<Vec<_>>(), input)
    };
    let Some((text, _)) = run(&["apply", "-f", "-"], manifest) else {
        eprintln!("kubectl is not installed: passed over");
        return Ok(());
    };
    check("apply", text.contains("configmap/settings created"), &text)?;
    let steps: [(&[&str], &str, &str, i32); 7] = [
        (&["apply", "-f", "-"], manifest, "configmap/settings unchanged", 0),
        (&["get", "cm", "settings"], "", "settings   1 ", 0),
        (&["get", "cm", "settings", "-o", "jsonpath={.data.colour}"], "", "red", 0),
        (&["explain", "deployment.spec.strategy"], "", "rollingUpdate", 0),
        (&["apply", "-f", "-"], "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndate: {}\n", "unknown field \"date\"", 1),
        (&["delete", "cm", "settings"], "", "configmap \"settings\" deleted", 0),
        (&["get", "cm", "settings"], "", "Error from server (NotFound): configmaps \"settings\" not found", 1),
    ];
    for (arguments, input, wanted, wanted_code) in steps {
        let (text, code) = run(arguments, input).ok_or("kubectl went away")?;
        check(&arguments.join(" "), text.contains(wanted) && code == wanted_code, format!("exit {code}: {text}"))?;
    }
    Ok(())
}
