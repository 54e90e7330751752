//! What is wrong is refused in Kubernetes' words and with exit codes that scripts can use: each verb that the tutorial uses.

use std::sync::Arc;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::api::check;
use crate::cluster::{Cluster, Shared, eventually};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![shared.test("refusals::over_the_api", over_the_api), shared.test("refusals::by_kubectl", by_kubectl)]
}

/// Pods in all states, a Deployment and its Service.
const WORLD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two}
spec: {containers: [{name: a, image: busybox, command: [sleep, "1000000"]}, {name: b, image: busybox, command: [sleep, "1000000"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done}
spec: {restartPolicy: Never, containers: [{name: c, image: busybox, command: [sh, -c, "echo hi; exit 3"]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec: {containers: [{name: c, image: "localhost:1/none:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pending}
spec: {nodeSelector: {nowhere: "true"}, containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: begins}
spec: {initContainers: [{name: i, image: busybox, command: [sleep, "1000000"]}], containers: [{name: c, image: nginx}]}
---
apiVersion: v1
kind: Pod
metadata: {name: crash}
spec: {containers: [{name: c, image: busybox, command: [sh, -c, "echo crashed; exit 1"]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec: {replicas: 1, selector: {matchLabels: {app: d}}, template: {metadata: {labels: {app: d}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {selector: {app: d}, ports: [{port: 80}]}
"#;

/// A namespace with [`WORLD`] in it, once each Pod is in its state.
fn world(cluster: &Cluster) -> Result<String, Failed> {
    let namespace = cluster.namespace("refusals")?;
    cluster.create(&namespace, WORLD)?;
    cluster.pod_ready(&namespace, "web")?;
    cluster.pod_ready(&namespace, "two")?;
    let state = |pod: &Value, of: &str| pod["status"][of][0]["state"].clone();
    cluster.pod_until(&namespace, "done", "Failed", |p| p["status"]["phase"] == "Failed")?;
    cluster.pod_until(&namespace, "waits", "not pulled", |p| state(p, "containerStatuses")["waiting"]["reason"] == "ImagePullBackOff")?;
    cluster.pod_until(&namespace, "begins", "initialising", |p| state(p, "initContainerStatuses")["running"].is_object())?;
    cluster.pod_until(&namespace, "crash", "backing off", |p| state(p, "containerStatuses")["waiting"]["reason"] == "CrashLoopBackOff")?;
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/d");
    eventually("the Deployment", || if cluster.api.get(&path)?["status"]["availableReplicas"] == 1 { Ok(()) } else { Err("not yet".into()) })?;
    Ok(namespace)
}

const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Requests below the namespace (with the body's type before the body), status, and what the message holds.
const REQUESTS: &[(&str, &str, &str, &str, u16, &str)] = &[
    ("GET", "api/v1/NS/pods/web/log?container=nope", "", "", 400, "container nope is not valid for pod web"),
    ("GET", "api/v1/NS/pods/two/log", "", "", 400, "a container name must be specified for pod two, choose one of: [a b]"),
    ("GET", "api/v1/NS/pods/web/log?previous=true", "", "", 400, "previous terminated container \"c\" in pod \"web\" not found"),
    ("GET", "api/v1/NS/pods/waits/log", "", "", 400, "container \"c\" in pod \"waits\" is waiting to start: trying and failing to pull image"),
    ("GET", "api/v1/NS/pods/begins/log?container=c", "", "", 400, "container \"c\" in pod \"begins\" is waiting to start: PodInitializing"),
    ("GET", "api/v1/NS/pods/pending/log", "", "", 204, ""),
    ("GET", "api/v1/NS/pods/nope/log", "", "", 404, "pods \"nope\" not found"),
    ("POST", "api/v1/NS/pods/pending/exec?command=ls", "", "", 400, "Upgrade request required"),
    ("GET", "apis/metrics.k8s.io/v1beta1/NS/pods/nope", "", "", 404, "pods \"nope\" not found"),
    ("GET", "api/v1/NS/pods?labelSelector=a%3D%28", "", "", 400, "unable to parse requirement: found '(', expected: identifier"),
    ("GET", "api/v1/NS/pods?fieldSelector=spec.foo%3Dbar", "", "", 400, "field label not supported: spec.foo"),
    ("PATCH", "apis/apps/v1/NS/deployments/d", STRATEGIC, "\"x\"", 400, "json: cannot unmarshal string into Go value of type map[string]interface {}"),
    ("PATCH", "apis/apps/v1/NS/deployments/d", STRATEGIC, r#"{"spec":{"replicas":"x"}}"#, 400, "json: cannot unmarshal string into Go struct field"),
    ("PATCH", "apis/apps/v1/NS/deployments/d", STRATEGIC, r#"{"spec":{"selector":{"matchLabels":{"app":"z"}}}}"#, 422, "field is immutable"),
    ("PATCH", "apis/apps/v1/NS/deployments/d", "application/json-patch+json", r#"[{"op":"remove","path":"/spec/none"}]"#, 422, ""),
    ("PATCH", "api/v1/NS/services/s", STRATEGIC, r#"{"spec":{"clusterIP":"10.96.7.7"}}"#, 422, "may not change once set"),
    ("PATCH", "api/v1/NS/pods/web", STRATEGIC, r#"{"spec":{"nodeName":"other"}}"#, 422, "pod updates may not change fields other than"),
    ("DELETE", "api/v1/NS/pods/nope", "", "", 404, "pods \"nope\" not found"),
];

fn over_the_api(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = world(cluster)?;
    for (method, path, content_type, body, status, words) in REQUESTS {
        let path = format!("/{}", path.replace("NS", &format!("namespaces/{namespace}")));
        let body = Some(body.as_bytes()).filter(|_| !content_type.is_empty());
        let answer = cluster.api.request(method, &path, content_type, body)?;
        check(
            &format!("{method} {path}"),
            answer.status == *status && answer.text().replace("\\\"", "\"").contains(words),
            format!("{answer:?} {}", answer.text()),
        )?;
    }
    // A manifest that does not name what was filled in may be put over the object.
    let path = format!("/api/v1/namespaces/{namespace}/pods/pending");
    let mut pod = cluster.api.get(&path)?;
    if let Some(spec) = pod["spec"].as_object_mut() {
        spec.remove("tolerations");
    }
    let answer = cluster.api.request("PUT", &path, "application/json", Some(pod.to_string().as_bytes()))?;
    check("tolerations are filled in again", answer.status == 200, answer.text())
}

/// Arguments, exit code, and what is said. The manifests are standard input.
const COMMANDS: &[(&str, &str, i32, &str)] = &[
    // get, describe
    ("get po nope", "", 1, "Error from server (NotFound): pods \"nope\" not found"),
    ("get nope", "", 1, "error: the server doesn't have a resource type \"nope\""),
    ("get po -l a=(", "", 1, "unable to parse requirement: found '(', expected: identifier"),
    ("get po --field-selector=spec.foo=bar", "", 1, "field label not supported: spec.foo"),
    ("get po web nope", "", 1, "pods \"nope\" not found"),
    ("get po -l app=nope", "", 0, "No resources found in"),
    ("describe po nope", "", 1, "Error from server (NotFound): pods \"nope\" not found"),
    ("describe node nope", "", 1, "Error from server (NotFound): nodes \"nope\" not found"),
    ("explain nope", "", 1, "doesn't have a resource type \"nope\""),
    ("explain pod.spec.nope", "", 1, "field \"nope\" does not exist"),
    // logs
    ("logs nope", "", 1, "pods \"nope\" not found"),
    ("logs web -c nope", "", 1, "container nope is not valid for pod web"),
    ("logs web --previous", "", 1, "previous terminated container \"c\" in pod \"web\" not found"),
    ("logs crash --previous", "", 0, "crashed"),
    ("logs waits", "", 1, "container \"c\" in pod \"waits\" is waiting to start: trying and failing to pull image"),
    ("logs begins -c c", "", 1, "container \"c\" in pod \"begins\" is waiting to start: PodInitializing"),
    ("logs pending", "", 0, ""),
    ("logs done", "", 0, "hi"),
    ("logs deploy/nope", "", 1, "deployments.apps \"nope\" not found"),
    ("logs web --since=1s --since-time=2020-01-01T00:00:00Z", "", 1, "at most one of `sinceTime` or `sinceSeconds` may be specified"),
    // exec, attach, port-forward, cp
    ("exec nope -- ls", "", 1, "pods \"nope\" not found"),
    ("exec web -c nope -- ls", "", 1, "container nope is not valid for pod web"),
    ("exec web -- nosuch", "", 1, "exec: \"nosuch\": executable file not found in $PATH"),
    ("exec two -c b -- cat /none", "", 1, "can't open '/none': No such file or directory"),
    ("exec done -- ls", "", 1, "cannot exec into a container in a completed pod; current phase is Failed"),
    ("exec waits -- ls", "", 1, "container not found (\"c\")"),
    ("exec crash -- ls", "", 1, "container not found (\"c\")"),
    ("exec begins -c c -- ls", "", 1, "container not found (\"c\")"),
    ("exec pending -- ls", "", 1, "pod pending does not have a host assigned"),
    ("exec deploy/nope -- ls", "", 1, "deployments.apps \"nope\" not found"),
    ("attach done", "", 1, "cannot attach a container in a completed pod; current phase is Failed"),
    ("attach nope", "", 1, "pods \"nope\" not found"),
    ("port-forward nope 0:80", "", 1, "pods \"nope\" not found"),
    ("port-forward done 0:80", "", 1, "unable to forward port because pod is not running. Current status=Failed"),
    ("port-forward pending 0:80", "", 1, "unable to forward port because pod is not running. Current status=Pending"),
    ("port-forward svc/s 0:81", "", 1, "Service s does not have a service port 81"),
    ("cp /none web:/tmp/x", "", 1, "/none doesn't exist in local filesystem"),
    ("cp nope:/etc/hosts /dev/null", "", 1, "pods \"nope\" not found"),
    ("cp /etc/hostname two:/no/such/x", "", 1, "can't change directory to '/no/such': No such file or directory"),
    // run, create, expose
    ("run web --image=nginx", "", 1, "Error from server (AlreadyExists): pods \"web\" already exists"),
    ("run WEB --image=nginx", "", 1, "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters"),
    ("run x --image=nginx --port=99999", "", 1, "spec.containers[0].ports[0].containerPort: Invalid value: 99999: must be between 1 and 65535, inclusive"),
    ("run x --image=nginx -n nope", "", 1, "Error from server (NotFound): namespaces \"nope\" not found"),
    ("create deploy d --image=nginx", "", 1, "deployments.apps \"d\" already exists"),
    ("create cronjob c --image=busybox --schedule=x", "", 1, "spec.schedule: Invalid value: \"x\": expected exactly 5 fields, found 1: [x]"),
    ("create job j --from=cronjob/nope", "", 1, "cronjobs.batch \"nope\" not found"),
    ("create token nope", "", 1, "serviceaccounts \"nope\" not found"),
    ("create svc nodeport np --tcp=80 --node-port=1", "", 1, "provided port is not in the valid range. The range of valid ports is 30000-32767"),
    ("create quota q --hard=foo=x", "", 1, "quantities must match the regular expression"),
    ("expose po two --port=80", "", 1, "the pod has no labels and cannot be exposed"),
    ("expose po nope --port=80", "", 1, "pods \"nope\" not found"),
    ("expose deploy d --port=80 --name=s", "", 1, "services \"s\" already exists"),
    ("expose deploy d --port=99999 --name=x", "", 1, "spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"),
    // scale, rollout, set
    ("scale deploy nope --replicas=2", "", 1, "deployments.apps \"nope\" not found"),
    ("scale deploy d --current-replicas=7 --replicas=2", "", 1, "Expected replicas to be 7, was 1"),
    ("scale po web --replicas=2", "", 1, "the server could not find the requested resource"),
    ("rollout undo deploy d", "", 1, "no rollout history found for deployment \"d\""),
    ("rollout undo deploy d --to-revision=99", "", 1, "unable to find specified revision 99 in history"),
    ("rollout undo deploy nope", "", 1, "deployments.apps \"nope\" not found"),
    ("rollout history deploy d --revision=99", "", 1, "unable to find the specified revision"),
    ("rollout status deploy nope", "", 1, "deployments.apps \"nope\" not found"),
    ("rollout restart po web", "", 1, "restarting is not supported"),
    ("rollout resume deploy d", "", 1, "is not paused"),
    ("set image deploy d nope=nginx:1", "", 1, "unable to find container named \"nope\""),
    ("set image deploy d c=", "", 1, "spec.template.spec.containers[0].image: Required value"),
    ("set image deploy nope c=nginx", "", 1, "deployments.apps \"nope\" not found"),
    // label, annotate, taint, cordon, drain
    ("label po web app=other", "", 1, "'app' already has a value (web), and --overwrite is false"),
    ("label po nope a=b", "", 1, "pods \"nope\" not found"),
    ("annotate po nope a=b", "", 1, "pods \"nope\" not found"),
    ("taint node worker foo=bar:Nope", "", 1, "invalid taint effect: Nope, unsupported taint effect"),
    ("taint node worker foo:NoSchedule-", "", 1, "taint \"foo:NoSchedule\" not found"),
    ("taint node nope foo=bar:NoSchedule", "", 1, "nodes \"nope\" not found"),
    ("cordon nope", "", 1, "nodes \"nope\" not found"),
    ("drain nope", "", 1, "nodes \"nope\" not found"),
    // wait, top, delete
    ("wait --for=condition=Ready pod/waits --timeout=1s", "", 1, "timed out waiting for the condition on pods/waits"),
    ("wait --for=condition=Ready pod/nope --timeout=1s", "", 1, "pods \"nope\" not found"),
    ("wait --for=delete pod/web --timeout=1s", "", 1, "timed out waiting for the condition on pods/web"),
    ("top pod nope", "", 1, "Error from server (NotFound): pods \"nope\" not found"),
    ("top node nope", "", 1, "Error from server (NotFound): nodes \"nope\" not found"),
    ("delete po nope", "", 1, "Error from server (NotFound): pods \"nope\" not found"),
    ("delete po -l app=nope", "", 0, "No resources found"),
    ("delete ns kube-system", "", 1, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"),
    // apply, patch
    ("apply -f /none.yaml", "", 1, "the path \"/none.yaml\" does not exist"),
    ("apply -f -", "a: b: c", 1, "mapping values are not allowed in this context"),
    ("apply -f -", "kind: Pod", 1, "apiVersion not set"),
    (
        "apply -f -",
        "---\n{apiVersion: v1, kind: Nope, metadata: {name: x}}",
        1,
        "no matches for kind \"Nope\" in version \"v1\"\nensure CRDs are installed first",
    ),
    (
        "apply -f -",
        "---\n{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {name: x}}",
        1,
        "no matches for kind \"Ingress\" in version \"extensions/v1beta1\"\nensure CRDs are installed first",
    ),
    ("apply -f -", "---\n{apiVersion: v1, kind: Pod, metadata: {name: x}}", 1, "The Pod \"x\" is invalid: spec.containers: Required value"),
    (
        "apply -f -",
        "---\n{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: nginx, imge: q}]}}",
        1,
        "strict decoding error: unknown field \"spec.containers[0].imge\"",
    ),
    (
        "apply -f -",
        "---\n{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: c, image: nginx, volumeMounts: [{name: v, mountPath: /x}]}]}}",
        1,
        "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
    ),
    (
        "apply -f -",
        "---\n{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 81}]}]}}",
        1,
        "pod updates may not change fields other than",
    ),
    (
        "apply -f -",
        "---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: nginx}]}}}}",
        1,
        "`selector` does not match template `labels`",
    ),
    ("apply -f -", "---\n{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {selector: {a: b}}}", 1, "spec.ports: Required value"),
    ("patch deploy d -p x", "", 1, "json: cannot unmarshal string into Go value of type map[string]interface {}"),
];

fn by_kubectl(cluster: &Cluster) -> Result<(), Failed> {
    if cluster.kubectl(&["version", "--client"], "").is_none() {
        eprintln!("kubectl is not installed: passed over");
        return Ok(());
    }
    let namespace = world(cluster)?;
    let mut wrong = Vec::new();
    for (line, input, wanted_code, wanted) in COMMANDS {
        let mut arguments: Vec<&str> = line.split(' ').collect();
        if !arguments.contains(&"-n") {
            arguments.splice(0..0, ["-n", &namespace]);
        }
        let (text, code) = cluster.kubectl(&arguments, input).ok_or("kubectl went away")?;
        if code != *wanted_code || !text.contains(wanted) {
            wrong.push(format!("kubectl {line}\n  wanted exit {wanted_code}: {wanted}\n  exit {code}: {text}"));
        }
    }
    check("what kubectl says", wrong.is_empty(), wrong.join("\n"))
}
