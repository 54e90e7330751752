//! What every cluster runs: DNS in Pods, found by programs that are no guests.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

use crate::cluster::{Cluster, Shared, eventually};

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/coredns";
const PODS: &str = "/api/v1/namespaces/kube-system/pods?labelSelector=k8s-app%3Dkube-dns";
const NAME: &str = "kubernetes.default.svc.cluster.local";

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("addons::coredns_runs_as_pods_and_answers", coredns_runs_as_pods_and_answers),
        shared.test("addons::a_restart_of_coredns_loses_no_question", a_restart_of_coredns_loses_no_question),
        shared.test("addons::a_restart_of_the_ingress_controller_loses_no_request", a_restart_of_the_ingress_controller_loses_no_request),
        shared.test("addons::images_of_the_node_are_for_kube_system", images_of_the_node_are_for_kube_system),
        shared.test("addons::nginx_says_that_it_started", nginx_says_that_it_started),
    ]
}

/// The Pods that are there for good, once they are as many as wanted and ready.
fn pods(cluster: &Cluster) -> Result<Vec<Value>, Failed> {
    eventually("two coredns Pods", || {
        let deployment = cluster.api.get(DEPLOYMENT)?;
        let list = cluster.api.get(PODS)?;
        let pods: Vec<Value> = list["items"].as_array().into_iter().flatten().filter(|p| p["metadata"]["deletionTimestamp"].is_null()).cloned().collect();
        let ready = pods.iter().all(|p| p["status"]["containerStatuses"][0]["ready"] == true);
        let rolled = deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"];
        if rolled && deployment["status"]["readyReplicas"] == 2 && pods.len() == 2 && ready { Ok(pods) } else { Err(deployment["status"].to_string().into()) }
    })
}

/// Where the host finds the DNS Pods of this cluster and of no other: a node port for them.
fn node_port(cluster: &Cluster, name: &str) -> Result<SocketAddr, Failed> {
    let spec = json!({"type": "NodePort", "selector": {"k8s-app": "kube-dns"}, "ports": [{"port": 53, "protocol": "UDP"}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
    let service = cluster.api.create("/api/v1/namespaces/kube-system/services", &service)?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().ok_or("no nodePort")?;
    Ok((Ipv4Addr::LOCALHOST, u16::try_from(port)?).into())
}

/// Asks for the address of [`NAME`].
fn ask(socket: &UdpSocket, id: u16) -> Result<Ipv4Addr, Failed> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in NAME.split('.') {
        message.push(u8::try_from(label.len())?);
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    socket.send(&message)?;
    let mut answer = [0; 1232];
    let length = socket.recv(&mut answer)?;
    let answer = &answer[..length];
    match (answer.get(..2), answer.get(3).map(|b| b & 15), answer.last_chunk::<4>()) {
        (Some(head), Some(0), Some(ip)) if head == id.to_be_bytes() => Ok(Ipv4Addr::from(*ip)),
        _ => Err(format!("answer {answer:?}").into()),
    }
}

fn client(to: SocketAddr) -> Result<UdpSocket, Failed> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(Duration::from_secs(3)))?;
    socket.connect(to)?;
    Ok(socket)
}

fn coredns_runs_as_pods_and_answers(cluster: &Cluster) -> Result<(), Failed> {
    let pods = pods(cluster)?;
    for pod in &pods {
        let (name, status) = (pod["metadata"]["name"].as_str().unwrap_or_default(), &pod["status"]["containerStatuses"][0]);
        let native = |field: &str, prefix: &str| status[field].as_str().is_some_and(|text| text.starts_with(prefix));
        if !native("imageID", "native://coredns@") || !native("containerID", "native://") {
            return Err(status.to_string().into());
        }
        let log = cluster.log("kube-system", name)?;
        if !log.starts_with(".:53\nWharf-DNS-") {
            return Err(format!("log of {name}: {log}").into());
        }
    }
    let mut addresses: Vec<&str> = pods.iter().filter_map(|p| p["status"]["podIP"].as_str()).collect();
    addresses.sort_unstable();
    eventually("the Pods to be the endpoints of kube-dns", || {
        let endpoints = cluster.api.get("/api/v1/namespaces/kube-system/endpoints/kube-dns")?;
        let mut found: Vec<String> =
            endpoints["subsets"][0]["addresses"].as_array().into_iter().flatten().filter_map(|a| a["ip"].as_str().map(str::to_owned)).collect();
        found.sort_unstable();
        if found == addresses { Ok(()) } else { Err(format!("{found:?}, wanted {addresses:?}").into()) }
    })?;
    let service = node_port(cluster, "dns-answers")?;
    let answer = eventually("an answer", || ask(&client(service)?, 7))?;
    if answer == Ipv4Addr::new(10, 96, 0, 1) { Ok(()) } else { Err(format!("{NAME} is {answer}").into()) }
}

fn a_restart_of_coredns_loses_no_question(cluster: &Cluster) -> Result<(), Failed> {
    let before: Vec<Value> = pods(cluster)?.iter().map(|p| p["metadata"]["uid"].clone()).collect();
    let service = node_port(cluster, "dns-restarts")?;
    eventually("an answer", || ask(&client(service)?, 1))?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // One keeps its port, one takes a new one for each question.
        let asker = |keeps: bool| {
            let done = &done;
            move || -> Result<u16, Failed> {
                let (mut socket, mut asked) = (client(service)?, 0);
                while !done.load(Ordering::Relaxed) {
                    if !keeps {
                        socket = client(service)?;
                    }
                    asked += 1;
                    let answer = ask(&socket, asked).map_err(|e| format!("question {asked}: {}", e.message().unwrap_or_default()))?;
                    if answer != Ipv4Addr::new(10, 96, 0, 1) {
                        return Err(format!("{NAME} is {answer}").into());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(asked)
            }
        };
        let askers = [scope.spawn(asker(true)), scope.spawn(asker(false))];
        let restarted = (|| -> Result<(), Failed> {
            let template = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}});
            cluster.api.patch(DEPLOYMENT, &json!({"spec": {"template": template}}))?;
            eventually("the old Pods to go", || {
                let list = cluster.api.get(PODS)?;
                let left = list["items"].as_array().into_iter().flatten().filter(|p| before.contains(&p["metadata"]["uid"])).count();
                if left == 0 { Ok(()) } else { Err(format!("{left} are left").into()) }
            })
        })();
        done.store(true, Ordering::Relaxed);
        for asker in askers {
            let asked = asker.join().map_err(|_| "an asker panicked")??;
            if asked < 20 {
                return Err(format!("only {asked} questions").into());
            }
        }
        restarted
    })?;
    pods(cluster).map(drop)
}

fn a_restart_of_the_ingress_controller_loses_no_request(cluster: &Cluster) -> Result<(), Failed> {
    const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/kube-system/deployments/ingress-nginx-controller";
    let namespace = cluster.namespace("entry")?;
    let host = format!("{namespace}.test");
    cluster.create(
        &namespace,
        &format!(
            "
{{apiVersion: v1, kind: Pod, metadata: {{name: web, labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: nginx}}]}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}}}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: web}}
spec:
  ingressClassName: nginx
  rules: [{{host: {host}, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: web, port: {{number: 80}}}}}}}}]}}}}]
"
        ),
    )?;
    cluster.pod_ready(&namespace, "web")?;
    let ask = || -> Result<(), Failed> {
        let answer = crate::http::get(cluster.http, &host, "/")?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{} {}", answer.status, answer.text()).into()) }
    };
    eventually("an answer", ask)?;
    let template = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}});
    let restarted = cluster.api.patch(DEPLOYMENT, &json!({"spec": {"template": template}}))?;
    let mut lost = Ok(());
    eventually("the new Pod alone", || {
        if let Err(error) = ask() {
            lost = Err(error);
        }
        let status = cluster.api.get(DEPLOYMENT)?["status"].clone();
        let seen = status["observedGeneration"] == restarted["metadata"]["generation"];
        if seen && status["updatedReplicas"] == 1 && status["replicas"] == 1 && status["readyReplicas"] == 1 { Ok(()) } else { Err(status.to_string().into()) }
    })?;
    lost.and(ask())
}

fn images_of_the_node_are_for_kube_system(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("native")?;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "dns"}, "spec": {"containers": [{"name": "c", "image": "wharf.local/coredns"}]}});
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
    cluster.pod_until(&namespace, "dns", "refused", |pod| {
        let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
        waiting["reason"] == "CreateContainerConfigError" && waiting["message"].as_str().is_some_and(|m| m.contains("only Pods of namespace kube-system"))
    })?;
    Ok(())
}

fn nginx_says_that_it_started(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("start")?;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}});
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
    cluster.pod_ready(&namespace, "web")?;
    let log = cluster.log(&namespace, "web")?;
    let ready = log.lines().next().is_some_and(|line| line.ends_with("ready for start up"));
    let timed = log.lines().any(|line| line.starts_with("20") && line.ends_with(" [notice] 1#1: start worker processes"));
    if ready && timed { Ok(()) } else { Err(log.into()) }
}
