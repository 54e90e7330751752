use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::controllers::replica_set::ReplicaSets;
use crate::testing::{Cluster, check};

fn budget(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: b, generation: 2}}
spec: {{selector: {{matchLabels: {{app: web}}}}, {spec}}}
status: {{{status}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec: {{replicas: 10, selector: {{}}, template: {{}}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: old, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: deployment-web, controller: true}}]}}
spec: {{replicas: 3, selector: {{}}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: alone}}
spec: {{replicas: 4, selector: {{}}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec: {{replicas: 5, selector: {{}}, serviceName: '', template: {{}}}}
"
    )
}

/// A ready Pod of an owner (`Kind/name`, or none).
fn pod(name: &str, owner: &str, more: &str) -> String {
    let owners = owner.split_once('/').map_or(String::new(), |(kind, name)| {
        let uid = format!("{}-{name}", kind.to_lowercase());
        format!("ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: {name}, uid: {uid}, controller: true}}],")
    });
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: web}}, {owners} {more}}}
spec: {{containers: []}}
status: {{phase: Running, conditions: [{{type: Ready, status: 'True'}}]}}
"
    )
}

fn plan(yaml: &str, expect: Expect) {
    check(&Disruption, yaml, "default/b", &["status"], expect);
}

#[test]
fn a_number_counts_the_pods_that_are_there() {
    let pods = format!("{}{}{}", pod("a", "", ""), pod("b", "", ""), pod("c", "", "").replace("'True'", "'False'"));
    plan(
        &format!("{}{pods}", budget("minAvailable: 1", "")),
        expect![[r#"
            update PodDisruptionBudget b status
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":2,"reason":"SufficientPods","status":"True","type":"DisruptionAllowed"}],"currentHealthy":2,"desiredHealthy":1,"disruptionsAllowed":1,"expectedPods":3,"observedGeneration":2}
        "#]],
    );
    plan(
        &budget("minAvailable: 0", ""),
        expect![[r#"
            event b Normal NoPods: No matching pods found
            update PodDisruptionBudget b status
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":2,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":0,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0,"observedGeneration":2}
        "#]],
    );
}

#[test]
fn a_part_is_of_what_the_owners_want() {
    let pods =
        format!("{}{}{}{}", pod("a", "ReplicaSet/old", ""), pod("b", "ReplicaSet/old", ""), pod("c", "ReplicaSet/alone", ""), pod("d", "StatefulSet/db", ""));
    for (spec, desired) in [("minAvailable: 15%", 3), ("maxUnavailable: 85%", 2), ("maxUnavailable: 18", 1), ("maxUnavailable: 30", 0)] {
        let yaml = format!("{}{pods}", budget(spec, ""));
        let actions = crate::testing::plan(&Disruption, &crate::testing::world(&yaml), "default/b");
        let text = crate::testing::text(&actions, &["status.expectedPods", "status.desiredHealthy", "status.disruptionsAllowed"]);
        let wanted = format!(
            "update PodDisruptionBudget b status\n  status.expectedPods: 19\n  status.desiredHealthy: {desired}\n  status.disruptionsAllowed: {}\n",
            4 - desired
        );
        assert_eq!(text, wanted, "{spec}");
    }
}

#[test]
fn what_cannot_be_known_allows_nothing() {
    plan(
        &format!("{}{}", budget("maxUnavailable: 1", "disruptionsAllowed: 3"), pod("a", "DaemonSet/d", "")),
        expect![[r#"
            event b Warning CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: DaemonSet does not implement the scale subresource
            update PodDisruptionBudget b status
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"DaemonSet does not implement the scale subresource","reason":"SyncFailed","status":"False","type":"DisruptionAllowed"}],"disruptionsAllowed":0}
        "#]],
    );
    plan(
        &format!("{}{}", budget("minAvailable: 50%", ""), pod("a", "ReplicaSet/gone", "")),
        expect![[r#"
            event b Warning CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: found no controllers for pod "a"
            update PodDisruptionBudget b status
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"found no controllers for pod \"a\"","reason":"SyncFailed","status":"False","type":"DisruptionAllowed"}],"disruptionsAllowed":0}
        "#]],
    );
    plan(
        &format!("{}{}", budget("maxUnavailable: 1", ""), pod("a", "", "")),
        expect![[r#"
            event b Warning UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:map[string]string{app: web,},MatchExpressions:[]LabelSelectorRequirement{},}) were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.
            update PodDisruptionBudget b status
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":2,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":1,"desiredHealthy":0,"disruptionsAllowed":0,"expectedPods":0,"observedGeneration":2}
        "#]],
    );
}

#[test]
fn what_is_to_be_evicted_is_not_counted() {
    let listed = "disruptedPods: {a: '2026-01-01T11:59:00Z', b: '2026-01-01T11:57:00Z', c: '2026-01-01T11:59:00Z', gone: '2026-01-01T11:59:00Z'}";
    let pods = format!("{}{}{}", pod("a", "", ""), pod("b", "", ""), pod("c", "", "deletionTimestamp: '2026-01-01T11:59:10Z'"));
    plan(
        &format!("{}{pods}", budget("minAvailable: 1", listed)),
        expect![[r#"
            event b Warning NotDeleted: Pod was expected by PDB default/default to be deleted but it wasn't
            update PodDisruptionBudget b status
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","message":"","observedGeneration":2,"reason":"InsufficientPods","status":"False","type":"DisruptionAllowed"}],"currentHealthy":1,"desiredHealthy":1,"disruptedPods":{"a":"2026-01-01T11:59:00Z"},"disruptionsAllowed":0,"expectedPods":3,"observedGeneration":2}
            again in 60.001s
        "#]],
    );
}

#[test]
fn a_disruption_that_did_not_come_is_taken_back() {
    let marked = |since: &str, more: &str| {
        let condition = format!("conditions: [{{type: DisruptionTarget, status: 'True', reason: EvictionByEvictionAPI, lastTransitionTime: '{since}'}}, ");
        pod("a", "", more).replace("conditions: [", &condition)
    };
    let check = |yaml: &str, expect: Expect| check(&StaleDisruption, yaml.trim_start_matches("\n---"), "default/a", &[], expect);
    check(&marked("2026-01-01T11:59:00Z", ""), expect![["again in 60s\n"]]);
    check(&marked("2026-01-01T11:50:00Z", "deletionTimestamp: '2026-01-01T11:59:10Z'"), expect![[""]]);
    check(
        &marked("2026-01-01T11:58:00Z", ""),
        expect![[r#"
            patch Pod a status: {"status":{"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","status":"False","type":"DisruptionTarget"},{"status":"True","type":"Ready"}]}}
        "#]],
    );
}

/// What happens to a budget and its Pods.
#[derive(Clone, Debug)]
enum Step {
    /// The controller of the budget, or of the set, plans, and dies after so many steps of its plan.
    Budget(usize),
    Set(usize),
    /// Somebody wants to evict a Pod.
    Evict(usize),
    /// A Pod gets ready, or is gone.
    Pod(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = || prop_oneof![3 => Just(usize::MAX), 1 => 0usize..3];
    let step = prop_oneof![
        3 => after().prop_map(Step::Budget),
        2 => after().prop_map(Step::Set),
        4 => (0usize..16).prop_map(Step::Evict),
        4 => (0usize..16).prop_map(Step::Pod),
    ];
    proptest::collection::vec(step, 0..150)
}

/// What the API server does with an eviction; whether the Pod goes.
fn evict(cluster: &mut Cluster, pod: &Value) -> bool {
    let (budget, name) = (cluster.get("PodDisruptionBudget", "b").clone(), pod["metadata"]["name"].as_str().unwrap());
    let status = &budget["status"];
    if is_healthy(pod) {
        let allowed = status["disruptionsAllowed"].as_i64().unwrap_or_default();
        if status["observedGeneration"] != budget["metadata"]["generation"] || allowed == 0 {
            return false;
        }
        let spent = json!({"disruptionsAllowed": allowed - 1, "disruptedPods": {name: cluster.now.to_string()}});
        cluster.patch("PodDisruptionBudget", "b", &json!({"status": spent}));
    } else if status["currentHealthy"].as_i64() < status["desiredHealthy"].as_i64() || status["desiredHealthy"].is_null() {
        return false;
    }
    cluster.patch("Pod", name, &json!({"metadata": {"deletionTimestamp": cluster.now.to_string()}}));
    true
}

fn is_healthy(pod: &Value) -> bool {
    pod["metadata"]["deletionTimestamp"].is_null() && !pod["status"]["conditions"].is_null()
}

fn pod_gets_on(cluster: &mut Cluster, pod: &Value) {
    let name = pod["metadata"]["name"].as_str().unwrap();
    if pod["metadata"]["deletionTimestamp"].is_null() {
        cluster.patch("Pod", name, &json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}));
    } else {
        cluster.remove("Pod", name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However evictions come, no more Pods are missing than the budget allows, and in the end it allows again what it did.
    #[test]
    fn budgets_hold(steps in steps(), replicas in 1i64..6, spare in 0i64..3) {
        let least = (replicas - spare).max(0);
        let set = format!(
            "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web}}\nspec: {{replicas: {replicas}, selector: {{matchLabels: {{app: web}}}}, template: {{metadata: {{labels: {{app: web}}}}}}}}"
        );
        let budget = format!("apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: b}}\nspec: {{minAvailable: {least}, selector: {{matchLabels: {{app: web}}}}}}");
        let mut cluster = Cluster::new(&format!("{set}\n---\n{budget}"));
        let all = |cluster: &Cluster| -> Vec<Value> { cluster.all("Pod").into_iter().cloned().collect() };
        let settle = |cluster: &mut Cluster| {
            for _ in 0..8 {
                cluster.turn(&ReplicaSets, "web");
                all(cluster).iter().for_each(|pod| pod_gets_on(cluster, pod));
                cluster.turn(&Disruption, "b");
            }
        };
        settle(&mut cluster);
        for step in &steps {
            let pods = all(&cluster);
            match step {
                Step::Budget(after) => {
                    cluster.turn_cut_off(&Disruption, "b", *after);
                }
                Step::Set(after) => {
                    cluster.turn_cut_off(&ReplicaSets, "web", *after);
                }
                Step::Evict(n) => {
                    if let Some(pod) = pods.get(n % pods.len().max(1)).filter(|p| p["metadata"]["deletionTimestamp"].is_null()) {
                        evict(&mut cluster, pod);
                    }
                }
                Step::Pod(n) => {
                    if let Some(pod) = pods.get(n % pods.len().max(1)) {
                        pod_gets_on(&mut cluster, pod);
                    }
                }
            }
            let healthy = all(&cluster).iter().filter(|p| is_healthy(p)).count() as i64;
            prop_assert!(healthy >= least, "{healthy} of {least}");
        }
        settle(&mut cluster);
        let status = cluster.get("PodDisruptionBudget", "b")["status"].clone();
        prop_assert_eq!(status["disruptionsAllowed"].as_i64(), Some(replicas - least), "{}", status);
        prop_assert!(status["disruptedPods"].is_null(), "{}", status);
    }
}
