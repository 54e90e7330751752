use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Cluster, check};

const SET: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, generation: 1, annotations: {deprecated.daemonset.template.generation: '1'}}
spec:
  selector: {matchLabels: {app: agent}}
  updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}
  template: {metadata: {labels: {app: agent}}, spec: {containers: [{name: c, image: a}]}}
";
const HASH: &str = "6db67bd798";

fn node(name: &str, taints: &str) -> String {
    format!("\n---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{disk: ssd-{name}}}}}\nspec: {{taints: {taints}}}\n")
}

fn pod(name: &str, on: &str, hash: &str, status: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: agent, controller-revision-hash: {hash}}}
  ownerReferences: [{{apiVersion: apps/v1, kind: DaemonSet, name: agent, uid: daemonset-agent, controller: true}}]
spec: {{containers: [], {on}}}
status: {{{status}}}
"
    )
}

const READY: &str = "phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:00:00Z'}]";

fn check_plan(yaml: &str, show: &[&str], expect: Expect) {
    check(&DaemonSets::default(), yaml, "default/agent", show, expect);
}

#[test]
fn a_pod_for_each_node_that_may_have_one() {
    let cordoned = "[{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]";
    let control_plane = "[{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]";
    let yaml = format!("{SET}{}{}{}", node("a", "[]"), node("b", cordoned), node("cp", control_plane));
    check_plan(
        &yaml,
        &["metadata", "spec", "status", "revision", "data"],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
          metadata: {"annotations":{"deprecated.daemonset.template.generation":"1"},"labels":{"app":"agent","controller-revision-hash":"6db67bd798"},"name":"agent-6db67bd798","namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"agent","uid":"daemonset-agent"}]}
          revision: 1
          data: {"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"agent"}},"spec":{"containers":[{"image":"a","name":"c"}]}}}}
        barrier
        create Pod 
          metadata: {"generateName":"agent-","labels":{"app":"agent","controller-revision-hash":"6db67bd798","pod-template-generation":"1"},"namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"agent","uid":"daemonset-agent"}]}
          spec: {"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]}]}]}}},"containers":[{"image":"a","name":"c"}],"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/disk-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/memory-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/pid-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/unschedulable","operator":"Exists"}]}
        create Pod 
          metadata: {"generateName":"agent-","labels":{"app":"agent","controller-revision-hash":"6db67bd798","pod-template-generation":"1"},"namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"DaemonSet","name":"agent","uid":"daemonset-agent"}]}
          spec: {"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["b"]}]}]}}},"containers":[{"image":"a","name":"c"}],"tolerations":[{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists"},{"effect":"NoExecute","key":"node.kubernetes.io/unreachable","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/disk-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/memory-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/pid-pressure","operator":"Exists"},{"effect":"NoSchedule","key":"node.kubernetes.io/unschedulable","operator":"Exists"}]}
        update DaemonSet agent status
          metadata: {"annotations":{"deprecated.daemonset.template.generation":"1"},"generation":1,"name":"agent","namespace":"default","resourceVersion":"1","uid":"daemonset-agent"}
          spec: {"selector":{"matchLabels":{"app":"agent"}},"template":{"metadata":{"labels":{"app":"agent"}},"spec":{"containers":[{"image":"a","name":"c"}]}},"updateStrategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":1},"type":"RollingUpdate"}}
          status: {"currentNumberScheduled":0,"desiredNumberScheduled":2,"numberMisscheduled":0,"numberReady":0,"numberUnavailable":2,"observedGeneration":1}
    "#]],
    );
}

#[test]
fn what_is_misplaced_surplus_or_ended_goes() {
    let evicted = "[{key: x, effect: NoExecute}]";
    let kept = "[{key: x, effect: NoSchedule}]";
    let waiting = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [gone]}]}]}}}";
    let yaml = [
        SET.to_owned(),
        node("a", "[]"),
        node("b", evicted),
        node("c", kept),
        node("d", "[]"),
        pod("a-1", "nodeName: a", HASH, READY),
        pod("a-2", "nodeName: a", HASH, READY),
        pod("b-1", "nodeName: b", HASH, READY),
        pod("c-1", "nodeName: c", HASH, READY),
        pod("d-1", "nodeName: d", HASH, "phase: Failed"),
        pod("e-1", waiting, HASH, "phase: Pending"),
    ]
    .concat();
    check_plan(
        &yaml,
        &["status"],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
        barrier
        event agent Warning FailedDaemonPod: Found failed daemon pod default/d-1 on node d, will try to kill it
        delete Pod a-2
        delete Pod b-1
        delete Pod d-1
        delete Pod e-1
        update DaemonSet agent status
          status: {"currentNumberScheduled":2,"desiredNumberScheduled":2,"numberAvailable":1,"numberMisscheduled":2,"numberReady":1,"numberUnavailable":1,"observedGeneration":1,"updatedNumberScheduled":2}
    "#]],
    );
}

#[test]
fn old_pods_are_replaced_within_max_unavailable() {
    let nodes = [node("a", "[]"), node("b", "[]"), node("c", "[]")].concat();
    let pods = [pod("a-1", "nodeName: a", "old", READY), pod("b-1", "nodeName: b", "old", READY), pod("c-1", "nodeName: c", HASH, READY)].concat();
    check_plan(
        &format!("{SET}{nodes}{pods}"),
        &[],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
        barrier
        delete Pod a-1
        update DaemonSet agent status
    "#]],
    );
    let broken = pods.replacen(READY, "phase: Running", 1);
    check_plan(
        &format!("{SET}{nodes}{broken}"),
        &[],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
        barrier
        delete Pod a-1
        update DaemonSet agent status
    "#]],
    );
    let on_delete = SET.replace("type: RollingUpdate, rollingUpdate: {maxUnavailable: 1, maxSurge: 0}", "type: OnDelete");
    check_plan(
        &format!("{on_delete}{nodes}{pods}"),
        &[],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
        barrier
        update DaemonSet agent status
    "#]],
    );
    let surge = SET.replace("maxUnavailable: 1, maxSurge: 0", "maxUnavailable: 0, maxSurge: 1");
    check_plan(
        &format!("{surge}{nodes}{pods}"),
        &["metadata.generateName"],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
        barrier
        create Pod 
          metadata.generateName: "agent-"
        update DaemonSet agent status
    "#]],
    );
    let risen = format!("{pods}{}", pod("a-2", "nodeName: a", HASH, READY));
    check_plan(
        &format!("{surge}{nodes}{risen}"),
        &[],
        expect![[r#"
        create ControllerRevision agent-6db67bd798
        barrier
        delete Pod a-1
        update DaemonSet agent status
    "#]],
    );
}

#[test]
fn templates_are_remembered_and_come_back() {
    let mut cluster = Cluster::new(SET);
    let revisions = |cluster: &Cluster| -> Vec<String> {
        let mut all: Vec<String> = cluster
            .all("ControllerRevision")
            .iter()
            .map(|r| format!("{} {}", r["revision"], r["data"]["spec"]["template"]["spec"]["containers"][0]["image"]))
            .collect();
        all.sort();
        all
    };
    for image in ["b", "c", "a"] {
        cluster.turn(&DaemonSets::default(), "agent");
        let template = serde_json::json!({"containers": [{"name": "c", "image": image}]});
        cluster.patch("DaemonSet", "agent", &serde_json::json!({"spec": {"template": {"spec": template}}}));
    }
    cluster.turn(&DaemonSets::default(), "agent");
    expect![[r#"2 "b" 3 "c" 4 "a""#]].assert_eq(&revisions(&cluster).join(" "));
    cluster.patch("DaemonSet", "agent", &serde_json::json!({"spec": {"revisionHistoryLimit": 1}}));
    cluster.turn(&DaemonSets::default(), "agent");
    expect![[r#"3 "c" 4 "a""#]].assert_eq(&revisions(&cluster).join(" "));
}

/// What happens to a DaemonSet besides its controller.
#[derive(Clone, Debug)]
enum Step {
    /// The controller plans, and dies after so many steps of its plan.
    Plan(usize),
    /// A Pod gets on: it starts, or is gone when it is to be.
    Pod(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![4 => prop_oneof![Just(usize::MAX), 0usize..4].prop_map(Step::Plan), 6 => (0usize..16).prop_map(Step::Pod)];
    proptest::collection::vec(step, 0..120)
}

fn pods(cluster: &Cluster) -> Vec<Value> {
    cluster.all("Pod").into_iter().cloned().collect()
}

fn node_of(pod: &Value) -> String {
    let terms = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    terms[0]["matchFields"][0]["values"][0].as_str().unwrap().to_owned()
}

fn lives(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null()
}

fn take(cluster: &mut Cluster, sets: &DaemonSets, step: &Step) {
    match step {
        Step::Plan(after) => {
            cluster.turn_cut_off(sets, "agent", *after);
        }
        Step::Pod(n) => {
            let pods = pods(cluster);
            let Some(pod) = pods.get(n % pods.len().max(1)) else { return };
            let name = pod["metadata"]["name"].as_str().unwrap();
            if !lives(pod) {
                return cluster.remove("Pod", name);
            }
            if !pod["status"].is_null() {
                return;
            }
            let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:00:00Z"}]);
            cluster.patch("Pod", name, &json!({"spec": {"nodeName": node_of(pod)}, "status": {"phase": "Running", "conditions": conditions}}));
        }
    }
}

fn settle(cluster: &mut Cluster, sets: &DaemonSets) {
    for _ in 0..200 {
        let before = cluster.objects.clone();
        take(cluster, sets, &Step::Plan(usize::MAX));
        (0..pods(cluster).len()).rev().for_each(|n| take(cluster, sets, &Step::Pod(n)));
        if cluster.objects == before {
            return;
        }
    }
    panic!("no end: {}", cluster.get("DaemonSet", "agent")["status"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However the turns fall, an update keeps its bound on the way, and every node has one Pod of the new template.
    #[test]
    fn updates_keep_their_bound(steps in steps(), count in 1usize..5, most in 1i64..3, surge in any::<bool>()) {
        let nodes: String = (0..count).map(|n| node(&format!("n{n}"), "[]")).collect();
        let rolling = if surge { json!({"maxSurge": most, "maxUnavailable": 0}) } else { json!({"maxSurge": 0, "maxUnavailable": most}) };
        let mut cluster = Cluster::new(&format!("{SET}{nodes}"));
        cluster.patch("DaemonSet", "agent", &json!({"spec": {"updateStrategy": {"rollingUpdate": rolling}}}));
        let sets = DaemonSets::default();
        settle(&mut cluster, &sets);
        cluster.patch("DaemonSet", "agent", &json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}));
        for step in &steps {
            take(&mut cluster, &sets, step);
            let living: Vec<Value> = pods(&cluster).into_iter().filter(lives).collect();
            let serving: BTreeSet<String> = living.iter().filter(|p| !p["status"].is_null()).map(node_of).collect();
            let least = count as i64 - if surge { 0 } else { most };
            prop_assert!(serving.len() as i64 >= least, "{serving:?} serve");
            let more = living.len() as i64 - count as i64;
            prop_assert!(more <= if surge { most } else { 0 }, "{more} more than nodes");
        }
        settle(&mut cluster, &sets);
        let all = pods(&cluster);
        prop_assert_eq!(all.iter().map(node_of).collect::<BTreeSet<_>>().len(), count);
        prop_assert_eq!(all.len(), count);
        prop_assert!(all.iter().all(|p| p["spec"]["containers"][0]["image"] == "b"));
        prop_assert_eq!(cluster.turn(&sets, "agent").0, 0);
    }
}
