use std::collections::BTreeMap;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{Cluster, check};

fn set(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: web, generation: 1}}
spec:
  replicas: 3
  serviceName: nginx
  selector: {{matchLabels: {{app: web}}}}
  updateStrategy: {{type: RollingUpdate, rollingUpdate: {{partition: 0}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: a}}]}}}}
  {spec}
status: {{{status}}}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {{name: web-{OLD}, labels: {{app: web}}, ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: statefulset-web, controller: true}}]}}
revision: 1
data: {{spec: {{template: {{$patch: replace, metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: old}}]}}}}}}}}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {{name: web-{NEW}, labels: {{app: web}}, ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: statefulset-web, controller: true}}]}}
revision: 2
data: {{spec: {{template: {{$patch: replace, metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: c, image: a}}]}}}}}}}}
"
    )
}

const OLD: &str = "old";
const NEW: &str = "new";
const READY: &str = "phase: Running, conditions: [{type: Ready, status: 'True', lastTransitionTime: '2026-01-01T11:59:50Z'}]";
const PENDING: &str = "phase: Pending";
const CLAIMS: &str = "volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]";

fn pod(ordinal: i32, revision: &str, status: &str, meta: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata:
  name: web-{ordinal}
  labels: {{app: web, controller-revision-hash: web-{revision}, statefulset.kubernetes.io/pod-name: web-{ordinal}}}
  ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: statefulset-web, controller: true}}]
  {meta}
spec: {{containers: []}}
status: {{{status}}}
"
    )
}

const ENDING: &str = "deletionTimestamp: '2026-01-01T12:00:00Z'";

fn plan(yaml: &str, expect: Expect) {
    check(&StatefulSets, yaml, "default/web", &["status", "metadata.ownerReferences"], expect);
}

#[test]
fn a_pod_has_a_name_of_its_own() {
    check(
        &StatefulSets,
        &set(&format!("ordinals: {{start: 5}}\n  {CLAIMS}"), ""),
        "default/web",
        &["metadata.labels", "spec"],
        expect![[r#"
        create PersistentVolumeClaim data-web-5
          metadata.labels: {"app":"web"}
          spec: {"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}
        barrier
        create Pod web-5
          metadata.labels: {"app":"web","apps.kubernetes.io/pod-index":"5","controller-revision-hash":"web-new","statefulset.kubernetes.io/pod-name":"web-5"}
          spec: {"containers":[{"image":"a","name":"c"}],"hostname":"web-5","subdomain":"nginx","volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-web-5"}}]}
        update StatefulSet web status
          spec: {"ordinals":{"start":5},"replicas":3,"selector":{"matchLabels":{"app":"web"}},"serviceName":"nginx","template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"a","name":"c"}]}},"updateStrategy":{"rollingUpdate":{"partition":0},"type":"RollingUpdate"},"volumeClaimTemplates":[{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}]}
    "#]],
    );
}

#[test]
fn one_after_the_other() {
    plan(
        &format!("{}{}", set("", ""), pod(0, NEW, PENDING, "")),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"replicas":1,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}", set("", ""), pod(0, NEW, READY, "")),
        expect![[r#"
        create Pod web-1
          metadata.ownerReferences: [{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"statefulset-web"}]
        update StatefulSet web status
          status: {"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}", set("minReadySeconds: 30", ""), pod(0, NEW, READY, "")),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-new","updatedReplicas":1}
        again in 20s
    "#]],
    );
    // One that has ended is made again, when it is gone.
    plan(
        &format!("{}{}{}", set("", ""), pod(0, NEW, "phase: Succeeded", ""), pod(1, NEW, READY, "")),
        expect![[r#"
        delete Pod web-0
        update StatefulSet web status
          status: {"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":1,"replicas":2,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}", set("podManagementPolicy: Parallel", ""), pod(0, NEW, PENDING, "")),
        expect![[r#"
        create Pod web-1
          metadata.ownerReferences: [{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"statefulset-web"}]
        create Pod web-2
          metadata.ownerReferences: [{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"statefulset-web"}]
        update StatefulSet web status
          status: {"availableReplicas":0,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"replicas":1,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
}

#[test]
fn scaling_down_goes_from_the_end() {
    let all = |state: &str| format!("{}{}{}{}", pod(0, NEW, READY, ""), pod(1, NEW, READY, ""), pod(2, NEW, state, ""), pod(3, NEW, READY, ""));
    let to_one = |spec: &str| set(spec, "").replace("replicas: 3", "replicas: 1");
    plan(
        &format!("{}{}", to_one(""), all(READY)),
        expect![[r#"
        delete Pod web-3
        update StatefulSet web status
          status: {"availableReplicas":4,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":4,"replicas":4,"updateRevision":"web-new","updatedReplicas":3}
    "#]],
    );
    // An unready one further down has to go first, or get well.
    plan(
        &format!("{}{}", to_one(""), all(PENDING)),
        expect![[r#"
        delete Pod web-3
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":3,"replicas":4,"updateRevision":"web-new","updatedReplicas":3}
    "#]],
    );
    plan(
        &format!("{}{}", to_one("podManagementPolicy: Parallel"), all(PENDING)),
        expect![[r#"
        delete Pod web-3
        delete Pod web-2
        delete Pod web-1
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":3,"replicas":4,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}{}", to_one(""), pod(0, NEW, READY, ""), pod(1, NEW, READY, ENDING)),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":2,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":2,"replicas":2,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
}

#[test]
fn updates_roll_from_the_end() {
    let (status, old) = ("currentRevision: web-old, updateRevision: web-new", |n| pod(n, OLD, READY, ""));
    plan(
        &format!("{}{}{}{}", set("", status), old(0), old(1), old(2)),
        expect![[r#"
        delete Pod web-2
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-old","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-new"}
    "#]],
    );
    plan(
        &format!("{}{}{}{}", set("", status), old(0), old(1), pod(2, NEW, READY, "")),
        expect![[r#"
        delete Pod web-1
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-old","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}{}{}", set("", status).replace("partition: 0", "partition: 2"), old(0), old(1), pod(2, NEW, READY, "")),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":2,"currentRevision":"web-old","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}{}{}", set("", status).replace("partition: 0", "maxUnavailable: 2"), old(0), old(1), old(2)),
        expect![[r#"
        delete Pod web-2
        delete Pod web-1
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-old","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-new"}
    "#]],
    );
    plan(
        &format!("{}{}{}{}", set("", status).replace("type: RollingUpdate, rollingUpdate: {partition: 0}", "type: OnDelete"), old(0), old(1), old(2)),
        expect![[r#"
            update StatefulSet web status
              status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-old","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-new"}
        "#]],
    );
    // Below the partition the old template stays, also for a Pod that is made anew.
    check(
        &StatefulSets,
        &format!("{}{}{}", set("", status).replace("partition: 0", "partition: 2"), old(1), old(2)),
        "default/web",
        &["spec.containers", "metadata.labels"],
        expect![[r#"
            create Pod web-0
              spec.containers: [{"image":"old","name":"c"}]
              metadata.labels: {"app":"web","apps.kubernetes.io/pod-index":"0","controller-revision-hash":"web-old","statefulset.kubernetes.io/pod-name":"web-0"}
            update StatefulSet web status
        "#]],
    );
    // All have the new one: it is the current one.
    plan(
        &format!("{}{}{}{}", set("", status), pod(0, NEW, READY, ""), pod(1, NEW, READY, ""), pod(2, NEW, READY, "")),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":3,"collisionCount":0,"currentReplicas":3,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":3,"replicas":3,"updateRevision":"web-new","updatedReplicas":3}
    "#]],
    );
}

#[test]
fn claims_go_when_the_policy_says() {
    let claim =
        |owners: &str| format!("\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: data-web-0, ownerReferences: [{owners}]}}\nspec: {{}}\n");
    let of = |deleted: &str, scaled: &str| {
        let spec = format!("{CLAIMS}\n  persistentVolumeClaimRetentionPolicy: {{whenDeleted: {deleted}, whenScaled: {scaled}}}");
        set(&spec, "").replace("replicas: 3", "replicas: 1")
    };
    plan(
        &format!("{}{}{}", of("Retain", "Retain"), pod(0, NEW, READY, ""), claim("")),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}{}", of("Delete", "Retain"), pod(0, NEW, READY, ""), claim("")),
        expect![[r#"
        update PersistentVolumeClaim data-web-0
          metadata.ownerReferences: [{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"statefulset-web"}]
        barrier
        update StatefulSet web status
          status: {"availableReplicas":1,"collisionCount":0,"currentReplicas":1,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-new","updatedReplicas":1}
    "#]],
    );
    plan(
        &format!("{}{}{}", of("Delete", "Delete").replace("replicas: 1", "replicas: 0"), pod(0, NEW, READY, ""), claim("")),
        expect![[r#"
        update PersistentVolumeClaim data-web-0
          metadata.ownerReferences: [{"apiVersion":"v1","blockOwnerDeletion":true,"controller":true,"kind":"Pod","name":"web-0","uid":"pod-web-0"}]
        barrier
        delete Pod web-0
        update StatefulSet web status
          status: {"availableReplicas":1,"collisionCount":0,"currentRevision":"web-new","observedGeneration":1,"readyReplicas":1,"replicas":1,"updateRevision":"web-new"}
    "#]],
    );
    // A claim that goes with the last Pod of its name is waited for.
    let old = "{apiVersion: v1, kind: Pod, name: web-0, uid: gone, controller: true}";
    plan(
        &format!("{}{}", of("Retain", "Delete"), claim(old)),
        expect![[r#"
        update StatefulSet web status
          status: {"availableReplicas":0,"collisionCount":0,"currentRevision":"web-new","observedGeneration":1,"replicas":0,"updateRevision":"web-new"}
    "#]],
    );
}

/// What happens to a StatefulSet besides its controller.
#[derive(Clone, Debug)]
enum Step {
    /// The controller plans, and dies after so many steps of its plan.
    Plan(usize),
    /// A Pod gets on: it starts, gets ready, fails, or is gone when it is to be.
    Pod(usize, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![Just(usize::MAX), 0usize..5].prop_map(Step::Plan),
        6 => (0usize..16, 0u8..8).prop_map(|(n, what)| Step::Pod(n, what)),
    ];
    proptest::collection::vec(step, 0..120)
}

fn ready(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
}

fn take(cluster: &mut Cluster, step: &Step, may_fail: bool) {
    match step {
        Step::Plan(after) => {
            cluster.turn_cut_off(&StatefulSets, "web", *after);
        }
        Step::Pod(n, what) => {
            let pods: Vec<Value> = cluster.all("Pod").into_iter().cloned().collect();
            let Some(pod) = pods.get(n % pods.len().max(1)) else { return };
            let name = pod["metadata"]["name"].as_str().unwrap();
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                cluster.remove("Pod", name);
            } else if *what == 7 && may_fail {
                cluster.patch("Pod", name, &json!({"status": {"phase": "Failed", "conditions": null}}));
            } else if pod["status"].is_null() {
                cluster.patch("Pod", name, &json!({"status": {"phase": "Pending"}}));
            } else if pod["status"]["phase"] == "Pending" {
                let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:00:00Z"}]);
                cluster.patch("Pod", name, &json!({"status": {"phase": "Running", "conditions": conditions}}));
            }
        }
    }
}

fn settle(cluster: &mut Cluster) {
    for _ in 0..300 {
        let before = cluster.objects.clone();
        take(cluster, &Step::Plan(usize::MAX), false);
        (0..cluster.all("Pod").len()).rev().for_each(|n| take(cluster, &Step::Pod(n, 0), false));
        if cluster.objects == before {
            return;
        }
    }
    panic!("no end: {}", cluster.get("StatefulSet", "web")["status"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever fails or dies in between, ordinals come in order, updates keep their bound, and the set arrives.
    #[test]
    fn sets_arrive(
        first in steps(), second in steps(), replicas in 0i64..5, then in 0i64..5, parallel in any::<bool>(), most in 1i64..3, may_fail in any::<bool>(),
    ) {
        let yaml = set("", "");
        let mut cluster = Cluster::new(yaml.split("\n---\n").next().unwrap());
        let policy = if parallel { "Parallel" } else { "OrderedReady" };
        let rolling = json!({"partition": 0, "maxUnavailable": most});
        cluster.patch("StatefulSet", "web", &json!({"spec": {"replicas": replicas, "podManagementPolicy": policy, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}}));
        for step in &first {
            let before: BTreeMap<String, Value> = pods(&cluster);
            take(&mut cluster, step, may_fail);
            for name in pods(&cluster).keys().filter(|n| !parallel && !before.contains_key(*n)) {
                let ordinal = identity::of(name).unwrap().1;
                prop_assert!((0..ordinal).all(|n| before.get(&format!("web-{n}")).is_some_and(ready)), "{name} is not before its time");
            }
        }
        settle(&mut cluster);
        prop_assert_eq!(pods(&cluster).len() as i64, replicas);
        cluster.patch("StatefulSet", "web", &json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}));
        for step in &second {
            take(&mut cluster, step, false);
            let serving = pods(&cluster).values().filter(|p| ready(p)).count() as i64;
            prop_assert!(serving >= replicas - most, "{serving} of {replicas} serve");
        }
        cluster.patch("StatefulSet", "web", &json!({"spec": {"replicas": then}}));
        settle(&mut cluster);
        let status = cluster.get("StatefulSet", "web")["status"].clone();
        for field in ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas", "currentReplicas"] {
            prop_assert_eq!(status[field].as_i64().unwrap_or_default(), then, "{} of {}", field, status);
        }
        prop_assert!(then == 0 || status["currentRevision"] == status["updateRevision"], "{}", status);
        let all = pods(&cluster);
        let arrived = (0..then).all(|n| all.get(&format!("web-{n}")).is_some_and(|p| p["spec"]["containers"][0]["image"] == "b"));
        prop_assert!(arrived, "{:?}", all);
        prop_assert_eq!(all.len() as i64, then);
        prop_assert_eq!(cluster.turn(&StatefulSets, "web").0, 0);
    }
}

fn pods(cluster: &Cluster) -> BTreeMap<String, Value> {
    cluster.all("Pod").into_iter().map(|p| (p["metadata"]["name"].as_str().unwrap().to_owned(), p.clone())).collect()
}
