use expect_test::{Expect, expect};
use k8s_openapi::jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::testing::{Cluster, check};

fn job(spec: &str, status: &str) -> String {
    format!(
            "
apiVersion: batch/v1
kind: Job
metadata: {{name: j}}
spec: {{parallelism: 2, backoffLimit: 1, {spec}, selector: {{matchLabels: {{job: j}}}}, template: {{metadata: {{labels: {{job: j}}}}, spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}
status: {{{status}}}
"
        )
}

fn pod(name: &str, phase: &str, ended: &str) -> String {
    format!(
            "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, creationTimestamp: '{ended}', labels: {{job: j}}, finalizers: [batch.kubernetes.io/job-tracking], ownerReferences: [{{apiVersion: batch/v1, kind: Job, name: j, uid: job-j, controller: true}}]}}
spec: {{containers: []}}
status: {{phase: {phase}}}
"
        )
}

#[test]
fn a_new_job_starts() {
    check(
        &Jobs,
        &job("completions: 3", ""),
        "default/j",
        &["status", "metadata.finalizers", "metadata.generateName"],
        expect![[r#"
                update Job j status
                  status: {"ready":0,"startTime":"2026-01-01T12:00:00Z","terminating":0,"uncountedTerminatedPods":{}}
                barrier
                create Pod 
                  metadata.finalizers: ["batch.kubernetes.io/job-tracking"]
                  metadata.generateName: "j-"
                create Pod 
                  metadata.finalizers: ["batch.kubernetes.io/job-tracking"]
                  metadata.generateName: "j-"
            "#]],
    );
}

#[test]
fn indexes_are_given_once() {
    let yaml = job("completions: 3, completionMode: Indexed", "startTime: '2026-01-01T11:00:00Z', completedIndexes: '0', succeeded: 1");
    check(
        &Jobs,
        &yaml,
        "default/j",
        &["metadata.generateName", "spec.hostname", "spec.containers", "metadata.annotations"],
        expect![[r#"
            update Job j status
            barrier
            create Pod 
              metadata.generateName: "j-1-"
              spec.hostname: "j-1"
              spec.containers: [{"env":[{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['batch.kubernetes.io/job-completion-index']"}}}],"image":"i","name":"c"}]
              metadata.annotations: {"batch.kubernetes.io/job-completion-index":"1"}
            create Pod 
              metadata.generateName: "j-2-"
              spec.hostname: "j-2"
              spec.containers: [{"env":[{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['batch.kubernetes.io/job-completion-index']"}}}],"image":"i","name":"c"}]
              metadata.annotations: {"batch.kubernetes.io/job-completion-index":"2"}
        "#]],
    );
}

#[test]
fn failures_back_off_and_end_it() {
    let started = "startTime: '2026-01-01T11:00:00Z'";
    let one = format!("{}{}", job("completions: 1", started), pod("a", "Failed", "2026-01-01T11:59:55Z"));
    check(
        &Jobs,
        &one,
        "default/j",
        &["status.uncountedTerminatedPods"],
        expect![[r#"
            update Job j status
              status.uncountedTerminatedPods: {"failed":["pod-a"]}
            barrier
            patch Pod a: {"metadata":{"finalizers":[]}}
            again in 5s
        "#]],
    );
    let two = format!("{one}{}", pod("b", "Failed", "2026-01-01T11:59:58Z"));
    check(
        &Jobs,
        &two,
        "default/j",
        &["status.conditions"],
        expect![[r#"
                update Job j status
                  status.conditions: [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has reached the specified backoff limit","reason":"BackoffLimitExceeded","status":"True","type":"FailureTarget"}]
                barrier
                patch Pod a: {"metadata":{"finalizers":[]}}
                patch Pod b: {"metadata":{"finalizers":[]}}
            "#]],
    );
}

#[test]
fn a_job_runs_to_its_end() {
    let mut cluster = Cluster::new(&job("completions: 5", ""));
    for _ in 0..40 {
        cluster.turn(&Jobs, "j");
        let pods: Vec<(String, serde_json::Value)> =
            cluster.all("Pod").iter().map(|p| (p["metadata"]["name"].as_str().unwrap().to_owned(), (*p).clone())).collect();
        assert!(pods.iter().filter(|(_, p)| p["status"]["phase"] != "Succeeded").count() <= 2);
        if let Some((name, _)) = pods.iter().find(|(_, p)| p["status"]["phase"] != "Succeeded") {
            cluster.patch("Pod", name, &json!({"status": {"phase": "Succeeded"}}));
        }
    }
    let status = &cluster.get("Job", "j")["status"];
    assert_eq!((status["succeeded"].as_i64(), status["active"].as_i64()), (Some(5), None), "{status}");
    assert!(cluster.all("Pod").iter().all(|p| p["metadata"]["finalizers"].as_array().unwrap().is_empty()));
    expect![[r#"
            Completed: Job completed
            [{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"SuccessCriteriaMet"},{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Reached expected number of succeeded pods","reason":"CompletionsReached","status":"True","type":"Complete"}]
        "#]]
        .assert_eq(&(cluster.events.join("\n") + "\n" + &status["conditions"].to_string() + "\n"));
}

/// An Indexed Job, and Pods of it: name, index, phase, and what else their annotations say.
fn indexed(spec: &str, status: &str, pods: &[(&str, i32, &str, &str)]) -> String {
    let mut yaml = job(&format!("completionMode: Indexed, {spec}"), &format!("startTime: '2026-01-01T11:00:00Z', {status}"));
    yaml = yaml.replace("backoffLimit: 1,", "backoffLimit: 100,");
    for (name, index, phase, annotations) in pods {
        let annotations = format!("annotations: {{batch.kubernetes.io/job-completion-index: '{index}', {annotations}}}");
        yaml += &pod(name, phase, "2026-01-01T11:59:00Z").replace("labels: {job: j},", &format!("labels: {{job: j}}, {annotations},"));
    }
    yaml
}

fn plan(yaml: &str, expect: Expect) {
    check(&Jobs, yaml, "default/j", &["metadata.annotations", "status"], expect);
}

const STARTED: &str = "startTime: '2026-01-01T11:00:00Z', ready: 0, terminating: 0, uncountedTerminatedPods: {}";

#[test]
fn a_suspended_job_has_no_pods_and_none_that_failed() {
    let yaml = format!("{}{}", job("completions: 2, suspend: true", STARTED), pod("a", "Running", "2026-01-01T11:59:00Z"));
    plan(
        &yaml,
        expect![[r#"
        update Job j status
          status: {"active":1,"conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job suspended","reason":"JobSuspended","status":"True","type":"Suspended"}],"ready":0,"terminating":0,"uncountedTerminatedPods":{}}
        barrier
        patch Pod a: {"metadata":{"finalizers":[]}}
        delete Pod a
        event j Normal Suspended: Job suspended
    "#]],
    );
    plan(
        &job("completions: 2", "startTime: null, conditions: [{type: Suspended, status: 'True'}]"),
        expect![[r#"
        update Job j status
          status: {"conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job resumed","reason":"JobResumed","status":"False","type":"Suspended"}],"ready":0,"startTime":"2026-01-01T12:00:00Z","terminating":0,"uncountedTerminatedPods":{}}
        barrier
        create Pod 
        create Pod 
        event j Normal Resumed: Job resumed
    "#]],
    );
}

#[test]
fn an_index_that_fails_too_often_has_failed() {
    let spec = "completions: 4, backoffLimitPerIndex: 1, maxFailedIndexes: 2";
    let failures = |n: i32| format!("batch.kubernetes.io/job-index-failure-count: '{n}'");
    // Its last Pod stays until another inherits its count.
    plan(
        &indexed(spec, "", &[("a", 0, "Failed", &failures(0)), ("b", 1, "Failed", &failures(1))]),
        expect![[r#"
            update Job j status
              status: {"failedIndexes":"1","ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["pod-b"]}}
            barrier
            patch Pod b: {"metadata":{"finalizers":[]}}
            create Pod 
              metadata.annotations: {"batch.kubernetes.io/job-completion-index":"0","batch.kubernetes.io/job-index-failure-count":"1"}
            create Pod 
              metadata.annotations: {"batch.kubernetes.io/job-completion-index":"2","batch.kubernetes.io/job-index-failure-count":"0"}
        "#]],
    );
    // All indexes have come to an end.
    plan(
        &indexed(spec, "completedIndexes: 0-2, succeeded: 3", &[("d", 3, "Failed", &failures(1))]),
        expect![[r#"
        update Job j status
          status: {"completedIndexes":"0-2","conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has failed indexes","reason":"FailedIndexes","status":"True","type":"FailureTarget"}],"failedIndexes":"3","ready":0,"startTime":"2026-01-01T11:00:00Z","succeeded":3,"terminating":0,"uncountedTerminatedPods":{"failed":["pod-d"]}}
        barrier
        patch Pod d: {"metadata":{"finalizers":[]}}
    "#]],
    );
    plan(
        &indexed(spec, "failedIndexes: 0-1", &[("d", 3, "Failed", &failures(1))]),
        expect![[r#"
        update Job j status
          status: {"conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job has exceeded the specified maximal number of failed indexes","reason":"MaxFailedIndexesExceeded","status":"True","type":"FailureTarget"}],"failedIndexes":"0,1,3","ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["pod-d"]}}
        barrier
        patch Pod d: {"metadata":{"finalizers":[]}}
    "#]],
    );
}

#[test]
fn policies_of_failure() {
    let with = |rule: &str| {
        let yaml = job(&format!("completions: 1, podFailurePolicy: {{rules: [{{{rule}}}]}}"), STARTED);
        let exited = "phase: Failed, containerStatuses: [{name: c, state: {terminated: {exitCode: 42, finishedAt: '2026-01-01T11:00:00Z'}}}]";
        let disrupted = "conditions: [{type: DisruptionTarget, status: 'True'}]";
        format!("{yaml}{}", pod("a", "Failed", "2026-01-01T11:00:00Z").replace("phase: Failed", &format!("{exited}, {disrupted}")))
    };
    plan(
        &with("action: FailJob, onExitCodes: {operator: In, values: [1, 42]}"),
        expect![[r#"
        update Job j status
          status: {"conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0","reason":"PodFailurePolicy","status":"True","type":"FailureTarget"}],"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["pod-a"]}}
        barrier
        patch Pod a: {"metadata":{"finalizers":[]}}
    "#]],
    );
    plan(
        &with("action: FailJob, onPodConditions: [{type: DisruptionTarget}]"),
        expect![[r#"
        update Job j status
          status: {"conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Pod default/a has condition DisruptionTarget matching FailJob rule at index 0","reason":"PodFailurePolicy","status":"True","type":"FailureTarget"}],"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["pod-a"]}}
        barrier
        patch Pod a: {"metadata":{"finalizers":[]}}
    "#]],
    );
    plan(
        &with("action: Ignore, onExitCodes: {operator: NotIn, values: [1], containerName: c}"),
        expect![[r#"
        patch Pod a: {"metadata":{"finalizers":[]}}
        create Pod 
    "#]],
    );
    plan(
        &with("action: FailJob, onExitCodes: {operator: In, values: [42], containerName: other}"),
        expect![[r#"
        update Job j status
          status: {"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["pod-a"]}}
        barrier
        patch Pod a: {"metadata":{"finalizers":[]}}
        create Pod 
    "#]],
    );
}

#[test]
fn a_policy_of_success() {
    let spec = "completions: 5, successPolicy: {rules: [{succeededIndexes: '3-4'}, {succeededIndexes: 0-2, succeededCount: 2}]}";
    plan(
        &indexed(spec, "completedIndexes: '0', succeeded: 1", &[("c", 2, "Succeeded", ""), ("b", 1, "Running", "")]),
        expect![[r#"
        update Job j status
          status: {"active":1,"completedIndexes":"0,2","conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Matched rules at index 1","reason":"SuccessPolicy","status":"True","type":"SuccessCriteriaMet"}],"ready":0,"startTime":"2026-01-01T11:00:00Z","succeeded":2,"terminating":0,"uncountedTerminatedPods":{}}
        barrier
        patch Pod b: {"metadata":{"finalizers":[]}}
        patch Pod c: {"metadata":{"finalizers":[]}}
        delete Pod b
    "#]],
    );
}

#[test]
fn pods_that_are_deleted() {
    let ending = pod("a", "Running", "2026-01-01T11:00:00Z").replace("name: a,", "name: a, deletionTimestamp: '2026-01-01T11:00:00Z',");
    let yaml = |policy: &str| format!("{}{ending}", job(&format!("completions: 1, podReplacementPolicy: {policy}"), STARTED));
    plan(
        &yaml("TerminatingOrFailed"),
        expect![[r#"
        update Job j status
          status: {"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":1,"uncountedTerminatedPods":{"failed":["pod-a"]}}
        barrier
        patch Pod a: {"metadata":{"finalizers":[]}}
        create Pod 
    "#]],
    );
    plan(
        &yaml("Failed"),
        expect![[r#"
        update Job j status
          status: {"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":1,"uncountedTerminatedPods":{}}
        barrier
    "#]],
    );
}

#[test]
fn a_deadline() {
    let yaml = format!("{}{}", job("completions: 1, activeDeadlineSeconds: 3600", STARTED), pod("a", "Running", "2026-01-01T11:00:00Z"));
    plan(
        &yaml.replace("3600", "3601"),
        expect![[r#"
        update Job j status
          status: {"active":1,"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{}}
        barrier
        again in 1s
    "#]],
    );
    plan(
        &yaml,
        expect![[r#"
        update Job j status
          status: {"active":1,"conditions":[{"lastProbeTime":"2026-01-01T12:00:00Z","lastTransitionTime":"2026-01-01T12:00:00Z","message":"Job was active longer than specified deadline","reason":"DeadlineExceeded","status":"True","type":"FailureTarget"}],"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{"failed":["pod-a"]}}
        barrier
        patch Pod a: {"metadata":{"finalizers":[]}}
        delete Pod a
    "#]],
    );
}

#[test]
fn doubled_and_invalid_indexes_go() {
    let pods = [("a", 0, "Running", ""), ("b", 0, "Pending", ""), ("c", 3, "Running", ""), ("d", 1, "Running", "")];
    plan(
        &indexed("completions: 3", "", &pods),
        expect![[r#"
        update Job j status
          status: {"active":4,"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{}}
        barrier
        patch Pod b: {"metadata":{"finalizers":[]}}
        patch Pod c: {"metadata":{"finalizers":[]}}
        delete Pod b
        delete Pod c
    "#]],
    );
}

#[test]
fn pods_that_nobody_counts_are_let_go() {
    let running = pod("a", "Running", "2026-01-01T11:00:00Z");
    plan(
        &running.replace("labels: {job: j}", "labels: {batch.kubernetes.io/job-name: j}").replacen("\n---", "", 1),
        expect![[r#"
        patch Pod a: {"metadata":{"finalizers":[]}}
    "#]],
    );
    let deleted = job("completions: 1", STARTED).replace("name: j}", "name: j, deletionTimestamp: '2026-01-01T11:00:00Z'}");
    plan(
        &format!("{deleted}{running}"),
        expect![[r#"
        patch Pod a: {"metadata":{"finalizers":[]}}
    "#]],
    );
    let another = job("completions: 1", STARTED).replace("name: j}", "name: j, uid: new}");
    plan(
        &format!("{another}{running}"),
        expect![[r#"
        patch Pod a: {"metadata":{"finalizers":[]}}
        create Pod 
    "#]],
    );
    let orphan = running
        .replace("ownerReferences: [{apiVersion: batch/v1, kind: Job, name: j, uid: job-j, controller: true}]", "")
        .replace("finalizers: [batch.kubernetes.io/job-tracking],", "");
    plan(
        &format!("{}{orphan}", job("completions: 1", STARTED)),
        expect![[r#"
        patch Pod a: {"metadata":{"finalizers":["batch.kubernetes.io/job-tracking"],"ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"Job","name":"j","uid":"job-j"}]}}
        update Job j status
          status: {"active":1,"ready":0,"startTime":"2026-01-01T11:00:00Z","terminating":0,"uncountedTerminatedPods":{}}
        barrier
    "#]],
    );
}

/// What happens to a Job besides its controller.
#[derive(Clone, Debug)]
enum Step {
    /// The controller plans, and dies after so many steps of its plan.
    Plan(usize),
    /// A Pod starts, succeeds, fails, is deleted, is gone.
    Pod(usize, u8),
    Wait(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![Just(usize::MAX), 0usize..6].prop_map(Step::Plan),
        6 => (0usize..64, 0u8..5).prop_map(|(n, what)| Step::Pod(n, what)),
        1 => (0u16..700).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..150)
}

struct Model {
    cluster: Cluster,
    failed: i64,
}

impl Model {
    fn pods(&self, which: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.cluster.all("Pod").into_iter().filter(|p| which(p)).cloned().collect()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Plan(after) => {
                self.cluster.turn_cut_off(&Jobs, "j", *after);
            }
            Step::Wait(seconds) => self.cluster.now += SignedDuration::from_secs(i64::from(*seconds)),
            Step::Pod(n, what) => {
                let pods = self.pods(|_| true);
                let Some(pod) = pods.get(n % pods.len().max(1)) else { return };
                let name = pod["metadata"]["name"].as_str().unwrap();
                let (ending, ended) = (!pod["metadata"]["deletionTimestamp"].is_null(), has_ended(pod));
                let held = pod["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
                match what {
                    0 if !ended && !ending => self.cluster.patch("Pod", name, &json!({"status": {"phase": "Running"}})),
                    1 if !ended && !ending => self.cluster.patch("Pod", name, &json!({"status": {"phase": "Succeeded"}})),
                    2 if !ended && !ending => {
                        self.failed += i64::from(held);
                        self.cluster.patch("Pod", name, &json!({"status": {"phase": "Failed"}}));
                    }
                    3 if !ended && !ending => {
                        self.failed += i64::from(held);
                        let now = self.cluster.now.to_string();
                        self.cluster.patch("Pod", name, &json!({"metadata": {"deletionTimestamp": now}}));
                    }
                    4 if (ended || ending) && !held => self.cluster.remove("Pod", name),
                    _ => {}
                }
            }
        }
    }

    /// All that is left goes well.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..200 {
            let before = self.cluster.objects.clone();
            self.take(&Step::Plan(usize::MAX));
            let running = self.pods(|p| p["metadata"]["deletionTimestamp"].is_null() && !has_ended(p));
            for pod in &running {
                self.cluster.patch("Pod", pod["metadata"]["name"].as_str().unwrap(), &json!({"status": {"phase": "Succeeded"}}));
            }
            for pod in self.pods(|p| !p["metadata"]["deletionTimestamp"].is_null() && p["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty)) {
                self.cluster.remove("Pod", pod["metadata"]["name"].as_str().unwrap());
            }
            self.take(&Step::Wait(700));
            quiet = if self.cluster.objects == before { quiet + 1 } else { 0 };
            // A round in which nothing happens may have waited for the next.
            if quiet == 2 {
                return;
            }
        }
        panic!("no end: {}", self.cluster.get("Job", "j")["status"]);
    }
}

fn has_ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever fails, is deleted, or dies in between, no more Pods run than shall, each is counted once, and the work is done.
    #[test]
    fn jobs_count_right(steps in steps(), completions in 1i64..6, parallelism in 1i64..4, indexed in any::<bool>()) {
        let mut model = Model { cluster: Cluster::new(&job("completions: 1", "")), failed: 0 };
        let mode = if indexed { "Indexed" } else { "NonIndexed" };
        model.cluster.patch("Job", "j", &json!({"spec": {"completions": completions, "parallelism": parallelism, "completionMode": mode, "backoffLimit": 1_000_000}}));
        for step in &steps {
            model.take(step);
            let active = model.pods(|p| p["metadata"]["deletionTimestamp"].is_null() && !has_ended(p));
            prop_assert!(active.len() as i64 <= parallelism.min(completions), "{} active", active.len());
            let indexes: std::collections::BTreeSet<_> = active.iter().filter_map(index_of).collect();
            prop_assert!(!indexed || indexes.len() == active.len(), "each index at most once: {indexes:?}");
        }
        model.settle();
        let status = model.cluster.get("Job", "j")["status"].clone();
        prop_assert!(status["conditions"].as_array().unwrap().iter().any(|c| c["type"] == "Complete"), "{}", status);
        prop_assert_eq!(status["succeeded"].as_i64(), Some(completions), "{}", status);
        prop_assert_eq!(status["failed"].as_i64().unwrap_or_default(), model.failed, "{}", status);
        prop_assert!(model.pods(|p| p["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty())).is_empty(), "none is held");
        prop_assert_eq!(model.cluster.turn(&Jobs, "j").0, 0);
    }
}

fn index_of(pod: &Value) -> Option<String> {
    pod["metadata"]["annotations"][INDEX].as_str().map(str::to_owned)
}
