//! The Pod network: what a guest sees of its own address, its localhost, its neighbours, Services and the host.

use std::net::TcpListener;
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Shared, eventually};
use crate::deploy::probe;

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("network::each_pod_has_its_own_localhost", each_pod_has_its_own_localhost),
        shared.test("network::a_port_of_the_host_is_refused", a_port_of_the_host_is_refused),
        shared.test("network::the_peer_sees_the_callers_pod_ip", the_peer_sees_the_callers_pod_ip),
        shared.test("network::services_are_found_by_name_and_spread", services_are_found_by_name_and_spread),
    ]
}

fn run(cluster: &Cluster, namespace: &str, name: &str, arguments: &[&str], rest: Value) -> Result<Value, Failed> {
    let pod = probe(name, arguments, rest)?;
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)
}

/// The log of a Pod that ends, once it has.
fn said(cluster: &Cluster, namespace: &str, name: &str) -> Result<String, Failed> {
    cluster.pod_until(namespace, name, "ended", |pod| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))?;
    cluster.log(namespace, name)
}

fn listening(cluster: &Cluster, namespace: &str, name: &str) -> Result<String, Failed> {
    eventually(&format!("{name} to listen"), || {
        let log = cluster.log(namespace, name)?;
        if log.contains("listening") || log.contains("bind") { Ok(log) } else { Err(log.into()) }
    })
}

/// A server in the Pod and a second container that dials the Pod's localhost.
fn with_caller(name: &str, caller: &[&str]) -> Result<Value, Failed> {
    let image = crate::guests::image("probe")?;
    Ok(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"restartPolicy": "Always", "containers": [
        {"name": "server", "image": image, "args": ["serve", "127.0.0.1:8080", name]},
        {"name": "caller", "image": image, "args": caller}]}}))
}

fn each_pod_has_its_own_localhost(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("localhost")?;
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    // Both on one node, so that only the Pods keep them apart.
    for name in ["one", "two"] {
        let mut pod = with_caller(name, &["sleep", "600000"])?;
        pod["spec"]["nodeName"] = "worker".into();
        cluster.api.create(&path, &pod)?;
    }
    for name in ["one", "two"] {
        eventually("both to listen", || {
            let answer = cluster.api.request("GET", &format!("{path}/{name}/log?container=server"), "", None)?;
            if answer.text().contains("listening 127.0.0.1:8080") { Ok(()) } else { Err(answer.text().into()) }
        })?;
    }
    for name in ["one", "two"] {
        // The caller ends, and is started again until its neighbour in the Pod listens.
        let caller = format!("{name}-caller");
        let mut pod = with_caller(&caller, &["dial", "127.0.0.1:8080"])?;
        pod["spec"]["nodeName"] = "worker".into();
        cluster.api.create(&path, &pod)?;
        eventually("the caller to be answered", || {
            let answer = cluster.api.request("GET", &format!("{path}/{caller}/log?container=caller"), "", None)?;
            if answer.text().contains(&format!("{caller} local=127.0.0.1:8080")) { Ok(()) } else { Err(answer.text().into()) }
        })?;
    }
    let address = cluster.pod_ready(&namespace, "one")?["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    run(cluster, &namespace, "outside", &["dial", &format!("{address}:8080")], json!({}))?;
    let log = said(cluster, &namespace, "outside")?;
    if log.contains("ConnectionRefused") { Ok(()) } else { Err(format!("a Pod's localhost was reached from outside: {log}").into()) }
}

fn a_port_of_the_host_is_refused(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("host")?;
    // The host listens on every address, those of Pods included.
    let host = TcpListener::bind("0.0.0.0:0")?;
    let port = host.local_addr()?.port().to_string();
    run(cluster, &namespace, "target", &["serve", "0.0.0.0:9000", "target"], json!({}))?;
    listening(cluster, &namespace, "target")?;
    let address = cluster.pod_ready(&namespace, "target")?["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    let dials = [format!("{address}:{port}"), format!("127.0.0.1:{port}"), format!("10.88.0.1:{port}"), format!("{address}:9000")];
    let mut arguments = vec!["dial"];
    arguments.extend(dials.iter().map(String::as_str));
    run(cluster, &namespace, "caller", &arguments, json!({}))?;
    let log = said(cluster, &namespace, "caller")?;
    let lines: Vec<&str> = log.lines().collect();
    let refused = lines.len() == 4 && lines[..3].iter().all(|line| line.ends_with("ConnectionRefused"));
    if refused && lines[3].contains("-> target ") { Ok(()) } else { Err(log.into()) }
}

fn the_peer_sees_the_callers_pod_ip(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("peer")?;
    run(cluster, &namespace, "server", &["serve", "0.0.0.0:8080", "server"], json!({}))?;
    listening(cluster, &namespace, "server")?;
    let server = cluster.pod_ready(&namespace, "server")?["status"]["podIP"].as_str().unwrap_or_default().to_owned();
    run(cluster, &namespace, "caller", &["dial", &format!("{server}:8080")], json!({}))?;
    let log = said(cluster, &namespace, "caller")?;
    let pod = cluster.api.get(&format!("/api/v1/namespaces/{namespace}/pods/caller"))?;
    let caller = pod["status"]["podIP"].as_str().unwrap_or_default();
    let wanted = format!("server local={server}:8080 peer={caller} remote={server}:8080");
    if log.contains(&wanted) { Ok(()) } else { Err(format!("wanted {wanted}, got {log}").into()) }
}

fn services_are_found_by_name_and_spread(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("service")?;
    for name in ["a", "b"] {
        let mut pod = probe(name, &["serve", "0.0.0.0:8080", name], json!({}))?;
        pod["metadata"]["labels"] = json!({"app": "pair"});
        cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
        listening(cluster, &namespace, name)?;
        cluster.pod_ready(&namespace, name)?;
    }
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "pair"}, "spec": {"selector": {"app": "pair"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let service = cluster.api.create(&format!("/api/v1/namespaces/{namespace}/services"), &service)?;
    let address = service["spec"]["clusterIP"].as_str().ok_or("no clusterIP")?;
    eventually("two endpoints", || {
        let found = cluster.api.get(&format!("/api/v1/namespaces/{namespace}/endpoints/pair"))?;
        let ready = found["subsets"][0]["addresses"].as_array().map_or(0, Vec::len);
        if ready == 2 { Ok(()) } else { Err(found["subsets"].to_string().into()) }
    })?;
    let (short, full) = ("pair:80".to_owned(), format!("pair.{namespace}.svc.cluster.local:80"));
    let other = format!("pair.{namespace}:80");
    let mut arguments = vec!["dial", &short, &full, &other];
    arguments.extend(std::iter::repeat_n(short.as_str(), 20));
    run(cluster, &namespace, "caller", &arguments, json!({}))?;
    let log = said(cluster, &namespace, "caller")?;
    let all = log.lines().count() == 23 && log.lines().all(|line| line.ends_with(&format!("remote={address}:80")));
    let spread = log.contains("-> a ") && log.contains("-> b ");
    run(cluster, &namespace, "lost", &["dial", "no-such-service:80"], json!({}))?;
    let lost = said(cluster, &namespace, "lost")?;
    if all && spread && lost.contains("no such name") { Ok(()) } else { Err(format!("{log}{lost}").into()) }
}
