use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::controllers::replica_set::ReplicaSets;
use crate::testing::{Cluster, check};

const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, generation: 1, annotations: {kubernetes.io/change-cause: first}}
spec:
  replicas: 4
  revisionHistoryLimit: 2
  progressDeadlineSeconds: 600
  selector: {matchLabels: {app: web}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: a}]}}
";

fn set(name: &str, image: &str, replicas: i32, status: i32, available: i32, revision: i32) -> String {
    format!(
        "
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: {name}
  creationTimestamp: '2026-01-01T00:0{revision}:00Z'
  labels: {{app: web, pod-template-hash: {name}}}
  annotations: {{deployment.kubernetes.io/revision: '{revision}', deployment.kubernetes.io/desired-replicas: '4', deployment.kubernetes.io/max-replicas: '5', kubernetes.io/change-cause: first}}
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: deployment-web, controller: true}}]
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web, pod-template-hash: {name}}}}}
  template: {{metadata: {{labels: {{app: web, pod-template-hash: {name}}}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}
status: {{replicas: {status}, readyReplicas: {available}, availableReplicas: {available}}}
"
    )
}

fn check_plan(yaml: &str, expect: Expect) {
    check(&Deployments, yaml, "default/web", &["spec.replicas", "metadata.annotations", "status.conditions"], expect);
}

#[test]
fn a_new_deployment_gets_a_set() {
    check(
        &Deployments,
        WEB,
        "default/web",
        &["metadata", "spec", "status"],
        expect![[r#"
            create ReplicaSet web-69b4c575bc
              metadata: {"annotations":{"deployment.kubernetes.io/desired-replicas":"4","deployment.kubernetes.io/max-replicas":"5","deployment.kubernetes.io/revision":"1","kubernetes.io/change-cause":"first"},"labels":{"app":"web","pod-template-hash":"69b4c575bc"},"name":"web-69b4c575bc","namespace":"default","ownerReferences":[{"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"Deployment","name":"web","uid":"deployment-web"}]}
              spec: {"replicas":4,"selector":{"matchLabels":{"app":"web","pod-template-hash":"69b4c575bc"}},"template":{"metadata":{"labels":{"app":"web","pod-template-hash":"69b4c575bc"}},"spec":{"containers":[{"image":"a","name":"c"}]}}}
            barrier
            again in 601s
            update Deployment web status
              metadata: {"annotations":{"deployment.kubernetes.io/revision":"1","kubernetes.io/change-cause":"first"},"generation":1,"name":"web","namespace":"default","resourceVersion":"1","uid":"deployment-web"}
              spec: {"progressDeadlineSeconds":600,"replicas":4,"revisionHistoryLimit":2,"selector":{"matchLabels":{"app":"web"}},"strategy":{"rollingUpdate":{"maxSurge":1,"maxUnavailable":1},"type":"RollingUpdate"},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"a","name":"c"}]}}}
              status: {"conditions":[{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Created new replica set \"web-69b4c575bc\"","reason":"NewReplicaSetCreated","status":"True","type":"Progressing"}],"observedGeneration":1,"terminatingReplicas":0}
        "#]],
    );
}

#[test]
fn a_rollout_goes_up_first() {
    check_plan(
        &format!("{WEB}{}{}", set("old", "b", 4, 4, 4, 1), set("new", "a", 0, 0, 0, 2)),
        expect![[r#"
            patch ReplicaSet new: {"spec":{"replicas":1}}
            event web Normal ScalingReplicaSet: Scaled up replica set new from 0 to 1
            again in 601s
            update Deployment web status
              spec.replicas: 4
              metadata.annotations: {"deployment.kubernetes.io/revision":"2","kubernetes.io/change-cause":"first"}
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"new\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}]
        "#]],
    );
}

#[test]
fn then_down() {
    check_plan(
        &format!("{WEB}{}{}", set("old", "b", 4, 4, 4, 1), set("new", "a", 1, 1, 1, 2)),
        expect![[r#"
            patch ReplicaSet old: {"spec":{"replicas":2}}
            event web Normal ScalingReplicaSet: Scaled down replica set old from 4 to 2
            again in 601s
            update Deployment web status
              spec.replicas: 4
              metadata.annotations: {"deployment.kubernetes.io/revision":"2","kubernetes.io/change-cause":"first"}
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"new\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}]
        "#]],
    );
}

#[test]
fn pods_that_serve_nobody_go_first() {
    check_plan(
        &format!("{WEB}{}{}", set("old", "b", 4, 4, 2, 1), set("new", "a", 1, 1, 0, 2)),
        expect![[r#"
            patch ReplicaSet old: {"spec":{"replicas":3}}
            event web Normal ScalingReplicaSet: Scaled down replica set old from 4 to 3
            again in 601s
            update Deployment web status
              spec.replicas: 4
              metadata.annotations: {"deployment.kubernetes.io/revision":"2","kubernetes.io/change-cause":"first"}
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"new\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}]
        "#]],
    );
}

#[test]
fn an_undone_set_becomes_the_newest_again() {
    let yaml = format!("{WEB}{}{}", set("first", "a", 0, 0, 0, 1), set("second", "b", 4, 4, 4, 2));
    check_plan(
        &yaml,
        expect![[r#"
            patch ReplicaSet first: {"metadata":{"annotations":{"deployment.kubernetes.io/revision":"3","deployment.kubernetes.io/revision-history":"1"}},"spec":{"replicas":1}}
            event web Normal ScalingReplicaSet: Scaled up replica set first from 0 to 1
            again in 601s
            update Deployment web status
              spec.replicas: 4
              metadata.annotations: {"deployment.kubernetes.io/revision":"3","kubernetes.io/change-cause":"first"}
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"first\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}]
        "#]],
    );
}

#[test]
fn scaling_while_rolling_is_in_proportion() {
    let yaml = format!("{WEB}{}{}", set("old", "b", 3, 3, 3, 1), set("new", "a", 2, 2, 2, 2)).replace("replicas: 4\n", "replicas: 8\n");
    check_plan(
        &yaml,
        expect![[r#"
            patch ReplicaSet old: {"metadata":{"annotations":{"deployment.kubernetes.io/desired-replicas":"8","deployment.kubernetes.io/max-replicas":"9"}},"spec":{"replicas":5}}
            patch ReplicaSet new: {"metadata":{"annotations":{"deployment.kubernetes.io/desired-replicas":"8","deployment.kubernetes.io/max-replicas":"9"}},"spec":{"replicas":4}}
            event web Normal ScalingReplicaSet: Scaled up replica set old from 3 to 5
            event web Normal ScalingReplicaSet: Scaled up replica set new from 2 to 4
            update Deployment web status
              spec.replicas: 8
              metadata.annotations: {"deployment.kubernetes.io/revision":"2","kubernetes.io/change-cause":"first"}
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment does not have minimum availability.","reason":"MinimumReplicasUnavailable","status":"False","type":"Available"}]
        "#]],
    );
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let recreate = WEB.replace("type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 1}", "type: Recreate");
    check_plan(
        &format!("{recreate}{}", set("old", "b", 4, 4, 4, 1)),
        expect![[r#"
            patch ReplicaSet old: {"metadata":{"annotations":{"deployment.kubernetes.io/max-replicas":"4"}},"spec":{"replicas":0}}
            event web Normal ScalingReplicaSet: Scaled down replica set old from 4 to 0
            again in 601s
            update Deployment web status
              spec.replicas: 4
              metadata.annotations: {"kubernetes.io/change-cause":"first"}
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment \"web\" is progressing.","reason":"ReplicaSetUpdated","status":"True","type":"Progressing"}]
        "#]],
    );
    let pod = "
---
apiVersion: v1
kind: Pod
metadata: {name: p, deletionTimestamp: '2026-01-01T00:00:00Z', ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: old, uid: replicaset-old, controller: true}]}
status: {phase: Running}
";
    check(
        &Deployments,
        &format!("{recreate}{}{pod}", set("old", "b", 0, 0, 0, 1)),
        "default/web",
        &[],
        expect![[r#"
            update Deployment web status
        "#]],
    );
    check(
        &Deployments,
        &format!("{recreate}{}", set("old", "b", 0, 0, 0, 1)),
        "default/web",
        &["spec.replicas"],
        expect![[r#"
            create ReplicaSet web-69b4c575bc
              spec.replicas: 4
            barrier
            again in 601s
            update Deployment web status
              spec.replicas: 4
        "#]],
    );
}

#[test]
fn history_is_cut() {
    let yaml = format!(
        "{}{}{}{}{}{}",
        WEB.replace(", annotations: {kubernetes.io/change-cause: first}", ""),
        set("one", "i1", 0, 0, 0, 1),
        set("two", "i2", 0, 0, 0, 2),
        set("three", "i3", 0, 0, 0, 3),
        set("four", "a", 4, 4, 4, 4),
        ""
    );
    let done = "status: {observedGeneration: 1, replicas: 4, updatedReplicas: 4, readyReplicas: 4, availableReplicas: 4}\n\n---\n";
    check(
        &Deployments,
        &yaml.replacen("\n---\n", done, 1),
        "default/web",
        &[],
        expect![[r#"
            delete ReplicaSet one
            update Deployment web status
        "#]],
    );
}

#[test]
fn a_taken_name_is_salted() {
    let hash = template::hash(&serde_yaml::from_str("{metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: a}]}}").unwrap(), None);
    let other = format!(
        "\n---\napiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {{name: web-{hash}, ownerReferences: [{{apiVersion: v1, kind: X, name: x, uid: x, controller: true}}]}}\nspec: {{selector: {{matchLabels: {{a: b}}}}}}\n"
    );
    check(
        &Deployments,
        &format!("{WEB}{other}"),
        "default/web",
        &["status"],
        expect![[r#"
            update Deployment web status
              status: {"collisionCount":1}
        "#]],
    );
}

#[test]
fn a_paused_deployment_rolls_nothing() {
    let yaml = format!("{}{}", WEB.replace("replicas: 4\n", "replicas: 4\n  paused: true\n"), set("old", "b", 4, 4, 4, 1));
    check(
        &Deployments,
        &yaml,
        "default/web",
        &["status.conditions"],
        expect![[r#"
            update Deployment web status
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment is paused","reason":"DeploymentPaused","status":"Unknown","type":"Progressing"}]
        "#]],
    );
}

#[test]
fn a_rollout_that_stands_still_has_failed() {
    let status = "status: {observedGeneration: 1, replicas: 5, updatedReplicas: 2, readyReplicas: 3, availableReplicas: 3, conditions: [{type: Progressing, status: 'True', reason: ReplicaSetUpdated, lastUpdateTime: '2026-01-01T11:49:59Z'}]}\n\n---\n";
    let yaml = format!("{WEB}{}{}", set("old", "b", 3, 3, 3, 1), set("new", "a", 2, 2, 0, 2)).replacen("\n---\n", status, 1);
    check(
        &Deployments,
        &yaml,
        "default/web",
        &["status.conditions"],
        expect![[r#"
            update Deployment web status
              status.conditions: [{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"Deployment has minimum availability.","reason":"MinimumReplicasAvailable","status":"True","type":"Available"},{"lastTransitionTime":"2026-01-01T12:00:00Z","lastUpdateTime":"2026-01-01T12:00:00Z","message":"ReplicaSet \"new\" has timed out progressing.","reason":"ProgressDeadlineExceeded","status":"False","type":"Progressing"}]
        "#]],
    );
}

#[test]
fn bounds_round_up_and_down() {
    let of = |replicas: i32, surge: Value, unavailable: Value| {
        let mut d: Value = serde_yaml::from_str(WEB).unwrap();
        d["spec"]["replicas"] = json!(replicas);
        d["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": surge, "maxUnavailable": unavailable});
        bounds(&serde_json::from_value(d).unwrap())
    };
    assert_eq!(of(10, json!("25%"), json!("25%")), (3, 2));
    assert_eq!(of(1, json!("25%"), json!("25%")), (1, 0));
    assert_eq!(of(3, json!(0), json!("10%")), (0, 1));
    assert_eq!(of(2, json!("100%"), json!(5)), (2, 2));
    assert_eq!(of(0, json!(0), json!(0)), (0, 0));
}

/// What happens to the cluster besides the controllers.
#[derive(Clone, Debug)]
enum Step {
    /// The controller plans, and dies after so many steps of its plan.
    Deployment(usize),
    /// The same of a ReplicaSet.
    Set(usize, usize),
    /// A Pod gets on: starts, becomes ready, ends.
    Pod(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let after = || prop_oneof![2 => Just(usize::MAX), 1 => 0usize..4];
    let step = prop_oneof![
        3 => after().prop_map(Step::Deployment),
        4 => (0usize..8, after()).prop_map(|(n, after)| Step::Set(n, after)),
        6 => (0usize..64).prop_map(Step::Pod),
    ];
    proptest::collection::vec(step, 0..120)
}

fn take(cluster: &mut Cluster, step: &Step) {
    let names =
        |kind: &str, cluster: &Cluster| -> Vec<String> { cluster.all(kind).iter().map(|o| o["metadata"]["name"].as_str().unwrap().to_owned()).collect() };
    match step {
        Step::Deployment(after) => {
            cluster.turn_cut_off(&Deployments, "web", *after);
        }
        Step::Set(n, after) => {
            let sets = names("ReplicaSet", cluster);
            if !sets.is_empty() {
                cluster.turn_cut_off(&ReplicaSets, &sets[n % sets.len()], *after);
            }
        }
        Step::Pod(n) => {
            let pods = names("Pod", cluster);
            if pods.is_empty() {
                return;
            }
            let name = &pods[n % pods.len()];
            let pod = cluster.get("Pod", name).clone();
            if !pod["metadata"]["deletionTimestamp"].is_null() {
                cluster.remove("Pod", name);
            } else if pod["status"].is_null() {
                cluster.patch("Pod", name, &json!({"spec": {"nodeName": "a"}, "status": {"phase": "Running"}}));
            } else if pod["status"]["conditions"].is_null() {
                cluster.patch(
                    "Pod",
                    name,
                    &json!({"status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T11:59:00Z"}]}}),
                );
            }
        }
    }
}

/// Everything takes its turns until nothing changes any more.
fn settle(cluster: &mut Cluster) {
    for _ in 0..400 {
        let before = cluster.objects.clone();
        take(cluster, &Step::Deployment(usize::MAX));
        (0..8).for_each(|n| take(cluster, &Step::Set(n, usize::MAX)));
        let pods = cluster.all("Pod").len();
        (0..pods).rev().for_each(|n| take(cluster, &Step::Pod(n)));
        if cluster.objects == before {
            return;
        }
    }
    panic!("no end: {}", serde_json::to_string_pretty(&cluster.objects.values().collect::<Vec<_>>()).unwrap());
}

fn settled_well(cluster: &Cluster, replicas: i64, image: &str) {
    let deployment = cluster.get("Deployment", "web");
    let status = &deployment["status"];
    for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        assert_eq!(status[field].as_i64().unwrap_or_default(), replicas, "{field} of {status}");
    }
    assert_eq!(status["observedGeneration"], deployment["metadata"]["generation"]);
    let pods = cluster.all("Pod");
    assert_eq!(pods.len() as i64, replicas);
    assert!(pods.iter().all(|p| p["spec"]["containers"][0]["image"] == image));
}

fn serving(cluster: &Cluster) -> i64 {
    cluster.all("Pod").iter().filter(|p| p["metadata"]["deletionTimestamp"].is_null() && !p["status"]["conditions"].is_null()).count() as i64
}

fn wanted(cluster: &Cluster) -> i64 {
    cluster.all("ReplicaSet").iter().map(|s| s["spec"]["replicas"].as_i64().unwrap_or(1)).sum()
}

fn strategies() -> impl Strategy<Value = (i64, Value, (i64, i64))> {
    (0i64..9, 0i64..4, 0i64..4).prop_map(|(replicas, surge, unavailable)| {
        let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        (replicas, strategy, (surge, unavailable.min(replicas)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However the turns fall, and whoever dies in the middle of one, a rollout keeps its bounds on the way, and arrives.
    #[test]
    fn rollouts_keep_their_bounds((replicas, strategy, (surge, unavailable)) in strategies(), first in steps(), second in steps()) {
        let mut cluster = Cluster::new(WEB);
        cluster.patch("Deployment", "web", &json!({"spec": {"replicas": replicas, "strategy": strategy}}));
        settle(&mut cluster);
        settled_well(&cluster, replicas, "a");
        for (image, steps) in [("b", &first), ("c", &second)] {
            cluster.patch("Deployment", "web", &json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}}));
            for step in steps {
                take(&mut cluster, step);
                prop_assert!(wanted(&cluster) <= replicas + surge, "{} wanted of {replicas} + {surge}", wanted(&cluster));
                prop_assert!(serving(&cluster) >= replicas - unavailable, "{} serve of {replicas} - {unavailable}", serving(&cluster));
            }
        }
        settle(&mut cluster);
        settled_well(&cluster, replicas, "c");
        prop_assert!(cluster.all("ReplicaSet").len() <= 3);
    }

    /// Whatever users do meanwhile, the end is what they want last.
    #[test]
    fn any_world_converges(
        (replicas, strategy, _) in strategies(),
        turns in proptest::collection::vec((steps(), 0i64..9, 0u8..4, any::<bool>()), 1..4),
        recreate in any::<bool>(),
    ) {
        let mut cluster = Cluster::new(WEB);
        cluster.patch("Deployment", "web", &json!({"spec": {"replicas": replicas, "strategy": strategy}}));
        for (steps, replicas, image, paused) in &turns {
            for step in steps.iter().take(40) {
                take(&mut cluster, step);
            }
            cluster.patch("Deployment", "web", &json!({"spec": {"replicas": replicas, "paused": paused, "template": {"spec": {"containers": [{"name": "c", "image": format!("i{image}")}]}}}}));
        }
        if recreate {
            cluster.patch("Deployment", "web", &json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}}));
        }
        cluster.patch("Deployment", "web", &json!({"spec": {"paused": false}}));
        settle(&mut cluster);
        let (_, replicas, image, _) = turns.last().expect("at least one");
        settled_well(&cluster, *replicas, &format!("i{image}"));
        let conditions = cluster.get("Deployment", "web")["status"]["conditions"].as_array().unwrap().clone();
        prop_assert!(conditions.iter().any(|c| c["type"] == "Progressing" && c["reason"] == "NewReplicaSetAvailable"), "{conditions:?}");
        // Nothing is left to do, for either.
        prop_assert_eq!(cluster.turn(&Deployments, "web").0, 0);
    }
}

#[test]
fn a_rollout_is_told() {
    let mut cluster = Cluster::new(WEB);
    settle(&mut cluster);
    cluster.patch("Deployment", "web", &json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "b"}]}}}}));
    settle(&mut cluster);
    expect![[r#"
        ScalingReplicaSet: Scaled down replica set web-69b4c575bc from 4 to 3
        ScalingReplicaSet: Scaled up replica set web-78796d7cc4 from 1 to 2
        ScalingReplicaSet: Scaled down replica set web-69b4c575bc from 3 to 2
        ScalingReplicaSet: Scaled up replica set web-78796d7cc4 from 2 to 3
        ScalingReplicaSet: Scaled down replica set web-69b4c575bc from 2 to 1
        ScalingReplicaSet: Scaled up replica set web-78796d7cc4 from 3 to 4
        ScalingReplicaSet: Scaled down replica set web-69b4c575bc from 1 to 0
    "#]]
    .assert_eq(&(cluster.events.join("\n") + "\n"));
}
