use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use k8s_openapi::jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{Cluster, check};

/// A CronJob whose spec and status are as given.
fn cron(spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: batch/v1
kind: CronJob
metadata: {{name: c, creationTimestamp: '2026-01-01T11:30:30Z'}}
spec:
  jobTemplate: {{metadata: {{labels: {{a: b}}, annotations: {{c: d}}}}, spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: c, image: i}}]}}}}}}}}
  {spec}
status: {{{status}}}
"
    )
}

/// A Job that the CronJob made for a time, with a status.
fn job(at: &str, status: &str) -> String {
    let name = format!("c-{}", at.parse::<Timestamp>().unwrap().as_second() / 60);
    format!(
        "
---
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, annotations: {{batch.kubernetes.io/cronjob-scheduled-timestamp: '{at}'}}, ownerReferences: [{{apiVersion: batch/v1, kind: CronJob, name: c, uid: cronjob-c, controller: true}}]}}
status: {{{status}}}
"
    )
}

fn ended(as_: &str, start: &str, end: &str) -> String {
    format!("startTime: '{start}', completionTime: '{end}', conditions: [{{type: {as_}, status: 'True'}}]")
}

fn active(at: &str) -> String {
    let name = format!("c-{}", at.parse::<Timestamp>().unwrap().as_second() / 60);
    format!("lastScheduleTime: '{at}', active: [{{apiVersion: batch/v1, kind: Job, namespace: default, name: {name}, uid: job-{name}}}]")
}

fn plan(yaml: &str, expect: Expect) {
    check(&CronJobs, yaml, "default/c", &["metadata.annotations", "status"], expect);
}

#[test]
fn a_job_is_made_when_it_is_due() {
    check(
        &CronJobs,
        &cron("schedule: '*/15 * * * *'", "lastScheduleTime: '2026-01-01T11:45:00Z'"),
        "default/c",
        &["metadata", "spec"],
        expect![[r#"
            create Job c-29454480
              metadata: {"annotations":{"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z","c":"d"},"labels":{"a":"b"},"name":"c-29454480","namespace":"default","ownerReferences":[{"apiVersion":"batch/v1","blockOwnerDeletion":true,"controller":true,"kind":"CronJob","name":"c","uid":"cronjob-c"}]}
              spec: {"template":{"spec":{"containers":[{"image":"i","name":"c"}],"restartPolicy":"Never"}}}
            again in 900.1s
        "#]],
    );
}

#[test]
fn none_is_made_before_its_time() {
    plan(&cron("schedule: '7 * * * *'", "lastScheduleTime: '2026-01-01T11:07:00Z'"), expect![["again in 420.1s\n"]]);
    // Nor for a time before the CronJob was made.
    plan(&cron("schedule: '20 * * * *'", ""), expect![["again in 1200.1s\n"]]);
    plan(&cron("schedule: '@every 1h'", ""), expect![["again in 1830.1s\n"]]);
}

#[test]
fn of_missed_times_the_latest_counts() {
    plan(
        &cron("schedule: '*/4 * * * *'", ""),
        expect![[r#"
            create Job c-29454480
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z","c":"d"}
            again in 240.1s
        "#]],
    );
    // `@every` counts from the last time on.
    plan(
        &cron("schedule: '@every 7m'", "lastScheduleTime: '2026-01-01T11:35:30Z'"),
        expect![[r#"
            create Job c-29454476
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T11:56:30Z","c":"d"}
            again in 210.1s
        "#]],
    );
    plan(
        &cron("schedule: '* * * * *'", "lastScheduleTime: '2026-01-01T02:00:00Z'"),
        expect![[r#"
            create Job c-29454480
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z","c":"d"}
            again in 60.1s
            event c Warning TooManyMissedTimes: too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew
        "#]],
    );
    // A deadline bounds what is looked at, and what is still made.
    plan(
        &cron("schedule: '* * * * *'\n  startingDeadlineSeconds: 200", "lastScheduleTime: '2026-01-01T02:00:00Z'"),
        expect![[r#"
            create Job c-29454480
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z","c":"d"}
            again in 60.1s
        "#]],
    );
    plan(&cron("schedule: '55 * * * *'\n  startingDeadlineSeconds: 200", "lastScheduleTime: '2026-01-01T10:55:00Z'"), expect![["again in 3300.1s\n"]]);
}

#[test]
fn time_zones() {
    plan(
        &cron("schedule: '0 21 * * *'\n  timeZone: Asia/Seoul", "lastScheduleTime: '2025-12-31T12:00:00Z'"),
        expect![[r#"
            create Job c-29454480
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T21:00:00+09:00","c":"d"}
            again in 86400.1s
        "#]],
    );
    plan(
        &cron("schedule: '0 12 * * *'\n  timeZone: Mars/Base", ""),
        expect![[r#"
            event c Warning UnknownTimeZone: invalid timeZone: "Mars/Base": unknown time zone Mars/Base
        "#]],
    );
}

#[test]
fn schedules_without_sense() {
    plan(
        &cron("schedule: '59 23 31 2 *'", ""),
        expect![[r#"
            event c Warning InvalidSchedule: invalid schedule: 59 23 31 2 * : time difference between two schedules is less than 1 second
        "#]],
    );
    plan(
        &cron("schedule: never", ""),
        expect![[r#"
            event c Warning UnparseableSchedule: unparseable schedule: "never" : expected exactly 5 fields, found 1: [never]
        "#]],
    );
    plan(&cron("schedule: '* * * * *'\n  suspend: true", ""), expect![[""]]);
}

#[test]
fn a_job_is_entered_and_struck_out() {
    let due = cron("schedule: '0 * * * *'", "lastScheduleTime: '2026-01-01T11:00:00Z'");
    let twelve = "2026-01-01T12:00:00Z";
    plan(
        &format!("{due}{}", job(twelve, "")),
        expect![[r#"
            again in 3600.1s
            update CronJob c status
              status: {"active":[{"apiVersion":"batch/v1","kind":"Job","name":"c-29454480","namespace":"default","resourceVersion":"1","uid":"job-c-29454480"}],"lastScheduleTime":"2026-01-01T12:00:00Z"}
        "#]],
    );
    // One that ends at once is not overlooked.
    plan(
        &format!("{due}{}", job(twelve, &ended("Complete", twelve, "2026-01-01T12:00:01Z"))),
        expect![[r#"
            again in 3600.1s
            update CronJob c status
              status: {"lastScheduleTime":"2026-01-01T12:00:00Z","lastSuccessfulTime":"2026-01-01T12:00:01Z"}
            event c Normal SawCompletedJob: Saw completed job: c-29454480, condition: Complete
        "#]],
    );
    let running = cron("schedule: '0 * * * *'", &active(twelve));
    plan(
        &format!("{running}{}", job(twelve, "conditions: [{type: Failed, status: 'True'}]")),
        expect![[r#"
            again in 3600.1s
            update CronJob c status
              status: {"lastScheduleTime":"2026-01-01T12:00:00Z"}
            event c Normal SawCompletedJob: Saw completed job: c-29454480, condition: Failed
        "#]],
    );
    plan(
        &running,
        expect![[r#"
            again in 3600.1s
            update CronJob c status
              status: {"lastScheduleTime":"2026-01-01T12:00:00Z"}
            event c Normal MissingJob: Active job went missing: c-29454480
        "#]],
    );
    let by_hand = job(twelve, "").replace("c-29454480", "mine").replace("cronjob-scheduled-timestamp", "x");
    plan(
        &format!("{}{by_hand}", cron("schedule: '30 * * * *'", "lastScheduleTime: '2026-01-01T11:30:00Z'")),
        expect![[r#"
            again in 1800.1s
            event c Warning UnexpectedJob: Saw a job that the controller did not create or forgot: mine
        "#]],
    );
}

#[test]
fn concurrency() {
    let eleven = "2026-01-01T11:00:00Z";
    let of = |policy: &str| format!("{}{}", cron(&format!("schedule: '0 * * * *'\n  concurrencyPolicy: {policy}"), &active(eleven)), job(eleven, ""));
    plan(
        &of("Allow"),
        expect![[r#"
            create Job c-29454480
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z","c":"d"}
            again in 3600.1s
        "#]],
    );
    plan(
        &of("Forbid"),
        expect![[r#"
            again in 3600.1s
            event c Normal JobAlreadyActive: Not starting job because prior execution is running and concurrency policy is Forbid
        "#]],
    );
    plan(
        &of("Replace"),
        expect![[r#"
            delete Job c-29454420 Background
            barrier
            create Job c-29454480
              metadata.annotations: {"batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T12:00:00Z","c":"d"}
            again in 3600.1s
            update CronJob c status
              status: {"lastScheduleTime":"2026-01-01T11:00:00Z"}
        "#]],
    );
}

#[test]
fn history_is_cut() {
    let mut yaml = cron("schedule: '30 * * * *'\n  successfulJobsHistoryLimit: 1\n  failedJobsHistoryLimit: 0", "lastScheduleTime: '2026-01-01T11:30:00Z'");
    yaml = yaml.replace("lastScheduleTime", "lastSuccessfulTime: '2026-01-01T11:31:00Z', lastScheduleTime");
    for (at, as_) in [("2026-01-01T08:30:00Z", "Complete"), ("2026-01-01T09:30:00Z", "Failed"), ("2026-01-01T11:30:00Z", "Complete")] {
        yaml += &job(at, &ended(as_, at, at));
    }
    plan(
        &yaml,
        expect![[r#"
            again in 1800.1s
            delete Job c-29454270 Background
            delete Job c-29454330 Background
        "#]],
    );
}

/// What happens to a CronJob besides its controller.
#[derive(Clone, Debug)]
enum Step {
    /// The controller plans, and dies after so many steps of its plan.
    Plan(usize),
    Wait(u16),
    /// A Job ends, well or not.
    End(usize, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => prop_oneof![Just(usize::MAX), 0usize..4].prop_map(Step::Plan),
        4 => (0u16..150).prop_map(Step::Wait),
        3 => (0usize..16, any::<bool>()).prop_map(|(n, well)| Step::End(n, well)),
    ];
    proptest::collection::vec(step, 0..120)
}

fn names(cluster: &Cluster, running: bool) -> BTreeSet<String> {
    let jobs = cluster.all("Job").into_iter().filter(|j| !running || j["status"]["conditions"].is_null());
    jobs.map(|j| j["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever dies in between, no time has two Jobs, the policy holds, and the status tells what runs.
    #[test]
    fn jobs_come_once(steps in steps(), policy in 0usize..3, good in 0i64..3, bad in 0i64..3) {
        let policy = ["Allow", "Forbid", "Replace"][policy];
        let spec = format!("schedule: '* * * * *'\n  concurrencyPolicy: {policy}\n  successfulJobsHistoryLimit: {good}\n  failedJobsHistoryLimit: {bad}");
        let mut cluster = Cluster::new(&cron(&spec, ""));
        let mut made = BTreeSet::new();
        for step in steps.iter().chain([Step::Plan(usize::MAX), Step::Plan(usize::MAX), Step::Plan(usize::MAX)].iter()) {
            let before = names(&cluster, false);
            match step {
                Step::Plan(after) => {
                    cluster.turn_cut_off(&CronJobs, "c", *after);
                }
                Step::Wait(seconds) => cluster.now += SignedDuration::from_secs(i64::from(*seconds)),
                Step::End(n, well) => {
                    let running: Vec<String> = names(&cluster, true).into_iter().collect();
                    let Some(name) = running.get(n % running.len().max(1)) else { continue };
                    let (type_, now) = (if *well { "Complete" } else { "Failed" }, cluster.now.to_string());
                    cluster.patch("Job", name, &json!({"status": {"startTime": now, "conditions": [{"type": type_, "status": "True"}]}}));
                }
            }
            for name in names(&cluster, false).difference(&before) {
                prop_assert!(made.insert(name.clone()), "{name} is made twice");
            }
            prop_assert!(policy == "Allow" || names(&cluster, true).len() <= 1, "{policy}: {:?}", names(&cluster, true));
        }
        let status = cluster.get("CronJob", "c")["status"].clone();
        let active: BTreeSet<String> = status["active"].as_array().into_iter().flatten().map(|a| a["name"].as_str().unwrap().to_owned()).collect();
        prop_assert_eq!(active, names(&cluster, true));
        let ended = |type_: &str| cluster.all("Job").iter().filter(|j| j["status"]["conditions"][0]["type"] == type_).count() as i64;
        prop_assert!(ended("Complete") <= good && ended("Failed") <= bad);
    }
}
