//! Nodes and Pods as in the plugins' tests; the answer is who leaves which node.

use kube::runtime::watcher::Event;
use serde_json::json;

use super::*;
use crate::framework::schedule;
use crate::plugins::check::{pod, snapshot};
use crate::surroundings::News;

fn wants(cpu: &str, more: &str) -> String {
    format!("{{containers: [{{name: c, resources: {{requests: {{cpu: '{cpu}'}}}}}}]{more}}}")
}

/// `node: victims`, or the message.
fn answer(snapshot: &mut Snapshot, text: &str) -> String {
    let before: Vec<_> = snapshot.placed().cloned().collect();
    let result = schedule(snapshot, &PodInfo::of(&pod(text, 1000)));
    let after: Vec<_> = snapshot.placed().cloned().collect();
    assert_eq!(before.len(), after.len(), "the snapshot is as it was");
    match result.map_err(|refused| *refused) {
        Ok(node) => format!("fits {node}"),
        Err((_, Preemption::Nominated { node, victims })) => {
            let names: Vec<_> = victims.iter().map(|v| &*v.name).collect();
            format!("{node}: {}", names.join(" "))
        }
        Err((error, Preemption::Nobody { .. })) => error.to_string(),
    }
}

fn check(nodes: &str, pod: &str, want: &str) {
    let mut snapshot = snapshot(nodes);
    for _ in 0..20 {
        assert_eq!(answer(&mut snapshot, pod), want, "{nodes} <- {pod}");
    }
}

#[test]
fn who_leaves() {
    let node = |name: &str, pods: &[(&str, i32)]| {
        let pods: String = pods.iter().map(|(cpu, priority)| format!(" pod={}", wants(cpu, &format!(", priority: {priority}")))).collect();
        format!("{name} cpu=4{pods};")
    };
    let high = |cpu: &str| wants(cpu, ", priority: 100");
    // Pods are numbered as they come: pod-1, pod-2, …
    check(&node("a", &[("3", 0)]), &high("2"), "a: pod-1");
    // Only as many as needed, and the least important first.
    check(&node("a", &[("1", 10), ("1", 0), ("1", 20), ("1", 5)]), &high("2"), "a: pod-4 pod-2");
    // What is small enough may stay.
    check(&node("a", &[("3", 0), ("1", 0)]), &high("3"), "a: pod-1");
    // The node whose most important victim matters least.
    check(&(node("a", &[("4", 50)]) + &node("b", &[("4", 10)])), &high("2"), "b: pod-2");
    // The smallest sum of priorities; then the fewest.
    check(&(node("a", &[("2", 10), ("2", 10)]) + &node("b", &[("2", 10), ("2", 0)])), &high("4"), "b: pod-3 pod-4");
    check(&(node("a", &[("2", 10), ("2", 10)]) + &node("b", &[("4", 10)])), &high("4"), "b: pod-3");
    // Equals and greater ones never leave.
    check(
        &(node("a", &[("3", 100)]) + &node("b", &[("3", 200)])),
        &high("2"),
        "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
    );
    // It does not help where the node is too small, tainted, or what remains is too much.
    check(
        "small cpu=1; tainted cpu=4 taint=k:NoSchedule; full cpu=4 pod={priority: 200, containers: [{name: c, resources: {requests: {cpu: 3}}}]} pod={containers: [{name: c, resources: {requests: {cpu: 1}}}]}",
        &high("2"),
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Insufficient cpu, 2 Preemption is not helpful for scheduling.",
    );
    check(
        &node("a", &[("4", 0)]),
        &wants("2", ", priority: 100, preemptionPolicy: Never"),
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.",
    );
}

#[test]
fn the_latest_started_leave() {
    let started = |second: u8| {
        format!(
            "pod={{metadata: {{}}, status: {{startTime: '2026-01-01T00:00:0{second}Z'}}, spec: {{containers: [{{name: c, resources: {{requests: {{cpu: 2}}}}}}]}}}}"
        )
    };
    check(&format!("a cpu=2 {}; b cpu=2 {}", started(1), started(2)), &wants("2", ", priority: 1"), "b: pod-2");
    check(&format!("a cpu=4 {} {}", started(2), started(1)), &wants("2", ", priority: 1"), "a: pod-1");
}

#[test]
fn ports_and_anti_affinity_count() {
    let port = "{containers: [{name: c, ports: [{containerPort: 1, hostPort: 80}]}]";
    check(&format!("a pod={port}}}"), &format!("{port}, priority: 1}}"), "a: pod-1");
    let far = "{priority: 1, affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {app: x}}, topologyKey: zone}]}}}";
    check("a zone=1 pod={metadata: {labels: {app: x}}} pod={metadata: {labels: {app: y}}}", far, "a: pod-1");
    // The other is on another node of the zone.
    let elsewhere = "a zone=1 pod={metadata: {labels: {app: y}}}; b zone=1 unschedulable pod={metadata: {labels: {app: x}}}";
    assert!(answer(&mut snapshot(elsewhere), far).contains("1 node(s) didn't match pod anti-affinity rules"));
}

#[test]
fn budgets_are_kept_where_possible() {
    let nodes = "a cpu=2 pod={metadata: {labels: {app: x}}, spec: {containers: [{name: c, resources: {requests: {cpu: 2}}}]}}; b cpu=2 pod={priority: 50, containers: [{name: c, resources: {requests: {cpu: 2}}}]}";
    let high = wants("2", ", priority: 100");
    for (allowed, want) in [(0, "b: pod-2"), (1, "a: pod-1")] {
        let mut snapshot = snapshot(nodes);
        let budget = json!({"metadata": {"name": "b", "namespace": "default"}, "spec": {"selector": {"matchLabels": {"app": "x"}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}});
        snapshot.surroundings.learn(News::Budget(Event::Apply(serde_json::from_value(budget).unwrap())));
        assert_eq!(answer(&mut snapshot, &high), want);
    }
}

#[test]
fn victims_that_are_leaving_are_waited_for() {
    let mut snapshot =
        snapshot("a cpu=2 pod={metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, spec: {containers: [{name: c, resources: {requests: {cpu: 2}}}]}}");
    let pod = PodInfo::of(&pod(&wants("2", ", priority: 1"), 1000));
    let mut framework = Framework::new(crate::plugins::all());
    let error = framework.schedule(&snapshot, &pod, Some("a")).unwrap_err();
    let (error, preemption) = framework.preempt(&mut snapshot, &pod, Some("a"), error);
    assert!(matches!(preemption, Preemption::Nobody { void: false, .. }));
    assert!(error.to_string().ends_with("preemption: not eligible due to a terminating pod on the nominated node."), "{error}");
}
