//! `batch/v1` Job: Pods that run to completion.

use serde_json::Value;

use crate::field::{Error, ErrorType, Errors, Path, printed_json};
use crate::k8s_openapi::api::batch::v1::{Job, JobSpec, JobStatus, SuccessPolicy};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{IMMUTABLE, not_negative, one_of};
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, human_duration, name, name_cell, text as text_column};
use crate::kinds::normal::{fill, text};
use crate::kinds::{label_selector, pod, workload};
use crate::kinds::{merge, names};
use crate::table::{Columns, Now};

/// Job of `batch/v1`.
pub struct Jobs;

impl Kind for Jobs {
    type Object = Job;

    const NAMES: Names = names("job", &[], &["all"]);
    const SCOPE: Scope = Scope::Namespaced;
    const SUBRESOURCES: &[Subresource] = &[Subresource::Status];
    const MERGES: &[Merge] = MERGES;
    const HAS_GENERATION: bool = true;

    fn copy_status(to: &mut Self::Object, from: &Self::Object) {
        to.status.clone_from(&from.status);
    }

    fn desired_differs(new: &Self::Object, old: &Self::Object) -> bool {
        new.spec != old.spec
    }

    fn selectable_fields(object: &Self::Object) -> Vec<(&'static str, String)> {
        vec![("status.successful", object.status.as_ref().and_then(|s| s.succeeded).unwrap_or(0).to_string())]
    }

    fn default(job: &mut Job) {
        let spec = job.spec.get_or_insert_default();
        pod::default_template(&mut spec.template);
        if spec.completions.is_none() && spec.parallelism.is_none() {
            spec.completions = Some(1);
        }
        fill(&mut spec.parallelism, 1);
        fill(&mut spec.backoff_limit, if spec.backoff_limit_per_index.is_some() { i32::MAX } else { 6 });
        fill(&mut spec.completion_mode, "NonIndexed");
        fill(&mut spec.suspend, false);
        fill(&mut spec.manual_selector, false);
        fill(&mut spec.pod_replacement_policy, if spec.pod_failure_policy.is_some() { "Failed" } else { "TerminatingOrFailed" });
        for rule in spec.pod_failure_policy.iter_mut().flat_map(|p| &mut p.rules) {
            for condition in rule.on_pod_conditions.iter_mut().flatten() {
                fill(&mut condition.status, "True");
            }
        }
        let labels = workload::labels(&spec.template).filter(|l| !l.is_empty()).cloned();
        if let Some(labels) = labels
            && job.metadata.labels.as_ref().is_none_or(|l| l.is_empty())
        {
            job.metadata.labels = Some(labels);
        }
        job.status.get_or_insert_default();
    }

    fn prepare_create(job: &mut Job) {
        job.status = Some(JobStatus::default());
        generate_selector(job);
    }

    fn validate(job: &Job) -> Errors {
        let empty = JobSpec::default();
        let (spec, at) = (job.spec.as_ref().unwrap_or(&empty), Path::new("spec"));
        let mut errors = validate_spec(spec, &at);
        match &spec.selector {
            None => errors.push(Error::required(&at.child("selector"), "")),
            Some(selector) => {
                errors.extend(label_selector::validate(selector, &at.child("selector")));
                let labels = workload::labels(&spec.template);
                if !label_selector::matches(selector, &labels.cloned().unwrap_or_default()) {
                    errors.push(workload::selector_mismatch(labels, &at.child("template")));
                }
            }
        }
        errors
    }

    fn validate_update(new: &Job, old: &Job) -> Errors {
        let empty = JobSpec::default();
        let (new_spec, old_spec) = (new.spec.as_ref().unwrap_or(&empty), old.spec.as_ref().unwrap_or(&empty));
        let at = Path::new("spec");
        let mut errors = validate_spec(new_spec, &at);
        let never_started = old.status.as_ref().is_none_or(|s| s.start_time.is_none());
        errors.extend(immutable(new_spec, old_spec, old_spec.suspend == Some(true) && never_started, &at));
        errors
    }

    fn columns() -> Columns<Job> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![
                name(),
                text_column("Status", "Status of the job."),
                text_column("Completions", "The number of pods which reached phase Succeeded. The value increases monotonically for a given spec. However, it may decrease in reaction to scale down of elastic indexed jobs."),
                text_column("Duration", "Time required to complete the job."),
                age(),
                containers,
                images,
                text_column("Selector", "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors").wide(),
            ],
            row,
        }
    }
}

/// A Job finds its Pods by its own UID, unless it says otherwise.
fn generate_selector(job: &mut Job) {
    let (name, uid) = (text(&job.metadata.name).to_owned(), text(&job.metadata.uid).to_owned());
    let spec = job.spec.get_or_insert_default();
    if spec.manual_selector == Some(true) {
        return;
    }
    let labels = spec.template.metadata.get_or_insert_default().labels.get_or_insert_default();
    for (key, value) in [("controller-uid", &uid), ("job-name", &name), ("batch.kubernetes.io/controller-uid", &uid), ("batch.kubernetes.io/job-name", &name)] {
        labels.insert(key.to_owned(), value.clone());
    }
    let own = &mut spec.selector.get_or_insert_default().match_labels;
    own.get_or_insert_default().insert("batch.kubernetes.io/controller-uid".to_owned(), uid);
}

/// Refusals of a Job's spec, also of the one inside a CronJob.
pub(crate) fn validate_spec(spec: &JobSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    for (value, field) in [
        (spec.parallelism.map(i64::from), "parallelism"),
        (spec.completions.map(i64::from), "completions"),
        (spec.active_deadline_seconds, "activeDeadlineSeconds"),
        (spec.backoff_limit.map(i64::from), "backoffLimit"),
        (spec.backoff_limit_per_index.map(i64::from), "backoffLimitPerIndex"),
        (spec.max_failed_indexes.map(i64::from), "maxFailedIndexes"),
        (spec.ttl_seconds_after_finished.map(i64::from), "ttlSecondsAfterFinished"),
    ] {
        errors.extend(not_negative(value, &at.child(field)));
    }
    if let Some(mode) = &spec.completion_mode {
        errors.extend(one_of(Some(mode), &["Indexed", "NonIndexed"], &at.child("completionMode")));
        if mode == "Indexed" && spec.completions.is_none() {
            errors.push(Error::required(&at.child("completions"), "when completion mode is Indexed"));
        }
    }
    errors.extend(by_index(spec, at));
    let replaced: &[&str] = if spec.pod_failure_policy.is_some() { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
    if let Some(policy) = spec.pod_replacement_policy.as_deref().filter(|p| !replaced.contains(p)) {
        errors.push(Error::not_supported(&at.child("podReplacementPolicy"), policy, replaced));
    }
    let template_at = at.child("template");
    errors.extend(pod::validate_template(&spec.template, &template_at));
    let policy = spec.template.spec.as_ref().map_or("", |s| text(&s.restart_policy));
    let policy_at = template_at.child("spec.restartPolicy");
    match policy {
        "Always" => errors.push(Error::required(&policy_at, "valid values: \"OnFailure\", \"Never\"")),
        "OnFailure" | "Never" => {}
        other => errors.push(Error::not_supported(&policy_at, other, &["OnFailure", "Never"])),
    }
    if let Some(failures) = &spec.pod_failure_policy {
        let at = at.child("podFailurePolicy");
        if policy != "Never" {
            errors.push(Error::invalid(&at, policy, "only \"Never\" is supported when podFailurePolicy is specified"));
        }
        for (i, rule) in failures.rules.iter().enumerate() {
            let at = at.child("rules").index(i);
            errors.extend(one_of(Some(&rule.action), &["Count", "FailIndex", "FailJob", "Ignore"], &at.child("action")));
            if rule.on_exit_codes.is_none() && rule.on_pod_conditions.as_ref().is_none_or(Vec::is_empty) {
                errors.push(Error::invalid(&at, printed_json(rule), "specifying one of OnExitCodes and OnPodConditions is required"));
            }
        }
    }
    errors
}

/// An Indexed Job has no more indexes that run at once, or that may fail.
const MOST_INDEXES: i32 = 100_000;
const MOST_SUCCESS_RULES: usize = 20;

/// Refusals of what only Indexed Jobs have.
fn by_index(spec: &JobSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut refuse = |field: &str, value: Value, words: &str| errors.push(Error::invalid(&at.child(field), value, words));
    if text(&spec.completion_mode) != "Indexed" {
        let words = "requires indexed completion mode";
        if spec.backoff_limit_per_index.is_some() {
            refuse("backoffLimitPerIndex", printed_json(&spec.backoff_limit_per_index), words);
        }
        if spec.max_failed_indexes.is_some() {
            refuse("maxFailedIndexes", printed_json(&spec.max_failed_indexes), words);
        }
        if spec.success_policy.is_some() {
            refuse("successPolicy", printed_json(&spec.success_policy), words);
        }
    } else {
        if let Some(parallelism) = spec.parallelism.filter(|p| *p > MOST_INDEXES) {
            refuse("parallelism", parallelism.into(), &format!("must be less than or equal to {MOST_INDEXES} when completion mode is Indexed"));
        }
        if let Some(most) = spec.max_failed_indexes.filter(|m| spec.completions.is_some_and(|c| *m > c)) {
            refuse("maxFailedIndexes", most.into(), "must be less than or equal to completions");
        }
        if let Some(most) = spec.max_failed_indexes.filter(|m| *m > MOST_INDEXES) {
            refuse("maxFailedIndexes", most.into(), &format!("must be less than or equal to {MOST_INDEXES}"));
        }
    }
    if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
        errors.push(Error::required(&at.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified"));
    }
    if let Some(policy) = &spec.success_policy {
        errors.extend(success_policy(policy, spec.completions.unwrap_or_default(), &at.child("successPolicy.rules")));
    }
    errors
}

fn success_policy(policy: &SuccessPolicy, completions: i32, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if policy.rules.is_empty() {
        errors.push(Error::required(at, "at least one rules must be specified when the successPolicy is specified"));
    }
    if policy.rules.len() > MOST_SUCCESS_RULES {
        errors.push(Error::too_many(at, policy.rules.len(), MOST_SUCCESS_RULES));
    }
    for (i, rule) in policy.rules.iter().enumerate() {
        let at = at.index(i);
        if rule.succeeded_count.is_none() && rule.succeeded_indexes.is_none() {
            errors.push(Error::required(&at, "at least one of succeededCount or succeededIndexes must be specified"));
        }
        if let Some(count) = rule.succeeded_count {
            let at = at.child("succeededCount");
            errors.extend(not_negative(Some(count), &at));
            if count > completions {
                errors.push(Error::invalid(&at, count, format!("must be less than or equal to {completions} (the number of specified completions)")));
            }
        }
    }
    errors
}

fn immutable(new: &JobSpec, old: &JobSpec, may_move: bool, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let mut refuse = |changed: bool, field: &str, value: Value| {
        if changed {
            errors.push(Error::invalid(&at.child(field), value, IMMUTABLE));
        }
    };
    let elastic = text(&new.completion_mode) == "Indexed" && new.completions == new.parallelism && new.completions.is_some();
    refuse(new.completions != old.completions && !elastic, "completions", printed_json(&new.completions));
    refuse(new.selector != old.selector, "selector", printed_json(&new.selector));
    refuse(new.completion_mode != old.completion_mode, "completionMode", printed_json(&new.completion_mode));
    refuse(new.pod_failure_policy != old.pod_failure_policy, "podFailurePolicy", printed_json(&new.pod_failure_policy));
    refuse(new.backoff_limit_per_index != old.backoff_limit_per_index, "backoffLimitPerIndex", printed_json(&new.backoff_limit_per_index));
    refuse(new.success_policy != old.success_policy, "successPolicy", printed_json(&new.success_policy));
    refuse(new.managed_by != old.managed_by, "managedBy", printed_json(&new.managed_by));
    let mut template = new.template.clone();
    if let (true, Some(spec), Some(old)) = (may_move, &mut template.spec, &old.template.spec) {
        spec.node_selector.clone_from(&old.node_selector);
        spec.tolerations.clone_from(&old.tolerations);
        spec.affinity.clone_from(&old.affinity);
        spec.scheduling_gates.clone_from(&old.scheduling_gates);
        template.metadata.clone_from(&new.template.metadata);
    }
    let (before, after) = (pod::printed_template(&old.template), pod::printed_template(&template));
    if before != after {
        errors.push(Error { kind: ErrorType::Invalid, path: at.child("template"), value: after, detail: IMMUTABLE.to_owned() });
    }
    errors
}

fn row(job: &Job, now: Now) -> Vec<Value> {
    let (no_spec, no_status) = (JobSpec::default(), JobStatus::default());
    let (spec, status) = (job.spec.as_ref().unwrap_or(&no_spec), job.status.as_ref().unwrap_or(&no_status));
    let succeeded = status.succeeded.unwrap_or(0);
    let completions = match (spec.completions, spec.parallelism.unwrap_or(0)) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        _ => format!("{succeeded}/1"),
    };
    let end = status.completion_time.as_ref().map_or(now.0, |t| t.0);
    let duration = status.start_time.as_ref().map(|start| human_duration(end.as_second() - start.0.as_second()));
    let [containers, images] = containers_and_images(Some(&spec.template));
    vec![
        name_cell(&job.metadata),
        Value::from(printed_status(job, status)),
        Value::from(completions),
        Value::from(duration.unwrap_or_default()),
        age_cell(&job.metadata, now),
        containers,
        images,
        Value::from(label_selector::printed(spec.selector.as_ref())),
    ]
}

fn printed_status(job: &Job, status: &JobStatus) -> &'static str {
    let is = |kind: &str| status.conditions.iter().flatten().any(|c| c.type_ == kind && c.status == "True");
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if job.metadata.deletion_timestamp.is_some() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.batch.v1.JobStatus", "conditions", "merge", "type", "atomic", &[]),
    merge("io.k8s.api.batch.v1.UncountedTerminatedPods", "failed", "", "", "set", &[]),
    merge("io.k8s.api.batch.v1.UncountedTerminatedPods", "succeeded", "", "", "set", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row, check_update_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            &expect![[r#"
                apiVersion: batch/v1
                kind: Job
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  generation: 1
                  name: j
                  uid: u1
                spec:
                  backoffLimit: 6
                  completionMode: NonIndexed
                  completions: 1
                  manualSelector: false
                  parallelism: 1
                  podReplacementPolicy: TerminatingOrFailed
                  selector:
                    matchLabels:
                      batch.kubernetes.io/controller-uid: u1
                  suspend: false
                  template:
                    metadata:
                      labels:
                        batch.kubernetes.io/controller-uid: u1
                        batch.kubernetes.io/job-name: j
                        controller-uid: u1
                        job-name: j
                    spec:
                      containers:
                      - image: busybox:1
                        imagePullPolicy: IfNotPresent
                        name: c
                        resources: {}
                        terminationMessagePath: /dev/termination-log
                        terminationMessagePolicy: File
                      dnsPolicy: ClusterFirst
                      restartPolicy: Never
                      schedulerName: default-scheduler
                      securityContext: {}
                      terminationGracePeriodSeconds: 30
                status: {}
            "#]],
        );
    }

    #[test]
    fn refuses_what_only_indexes_have() {
        check_refused::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {backoffLimitPerIndex: 1, successPolicy: {rules: []}, podReplacementPolicy: Never, template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            &expect![[r#"
                spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode
                spec.successPolicy: Invalid value: {"rules":[]}: requires indexed completion mode
                spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified
                spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"
            "#]],
        );
        check_refused::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {completionMode: Indexed, completions: 3, parallelism: 100001, maxFailedIndexes: 4, successPolicy: {rules: [{}, {succeededCount: 4}]}, template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            &expect![[r#"
                spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed
                spec.maxFailedIndexes: Invalid value: 4: must be less than or equal to completions
                spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified
                spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified
                spec.successPolicy.rules[1].succeededCount: Invalid value: 4: must be less than or equal to 3 (the number of specified completions)
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {backoffLimit: -1, completionMode: Indexed, parallelism: 1, template: {spec: {restartPolicy: Always, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            &expect![[r#"
                spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0
                spec.completions: Required value: when completion mode is Indexed
                spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"
            "#]],
        );
        check_refused::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {manualSelector: true, template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            &expect![[r#"
                spec.selector: Required value
            "#]],
        );
        check_update_refused::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {completions: 4, parallelism: 3, template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}
"#,
            &expect![[r#"
                spec.completions: Invalid value: 4: field is immutable
                spec.selector: Invalid value: null: field is immutable
                spec.template: Invalid value: {"Spec":{"Volumes":null,"InitContainers":null,"Containers":[{"Name":"c","Image":"busybox:1","Command":null,"Args":null,"WorkingDir":"","Ports":null,"EnvFrom":null,"Env":null,"Resources":{"Limits":null,"Requests":null,"Claims":null},"ResizePolicy":null,"RestartPolicy":null,"RestartPolicyRules":null,"VolumeMounts":null,"VolumeDevices":null,"LivenessProbe":null,"ReadinessProbe":null,"StartupProbe":null,"Lifecycle":null,"TerminationMessagePath":"/dev/termination-log","TerminationMessagePolicy":"File","ImagePullPolicy":"IfNotPresent","SecurityContext":null,"Stdin":false,"StdinOnce":false,"TTY":false}],"EphemeralContainers":null,"RestartPolicy":"OnFailure","TerminationGracePeriodSeconds":30,"ActiveDeadlineSeconds":null,"DNSPolicy":"ClusterFirst","NodeSelector":null,"ServiceAccountName":"","AutomountServiceAccountToken":null,"NodeName":"","SecurityContext":{"HostNetwork":false,"HostPID":false,"HostIPC":false,"ShareProcessNamespace":null,"HostUsers":null,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"SupplementalGroups":null,"SupplementalGroupsPolicy":null,"FSGroup":null,"FSGroupChangePolicy":null,"Sysctls":null,"SeccompProfile":null,"AppArmorProfile":null,"SELinuxChangePolicy":null},"ImagePullSecrets":null,"Hostname":"","Subdomain":"","SetHostnameAsFQDN":null,"Affinity":null,"SchedulerName":"default-scheduler","Tolerations":null,"HostAliases":null,"PriorityClassName":"","Priority":null,"PreemptionPolicy":null,"DNSConfig":null,"ReadinessGates":null,"RuntimeClassName":null,"Overhead":null,"EnableServiceLinks":null,"TopologySpreadConstraints":null,"OS":null,"SchedulingGates":null,"ResourceClaims":null,"Resources":null,"HostnameOverride":null,"SchedulingGroup":null}}: field is immutable
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {completions: 3, template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}
status: {succeeded: 1, startTime: 2026-01-01T00:05:00Z}
"#,
            &expect![[r#"
                Name: j
                Status: Running
                Completions: 1/3
                Duration: 10m
                Age: 15m
                Containers: c
                Images: busybox:1
                Selector: <none>
            "#]],
        );
        check_row::<Jobs>(
            r#"
metadata: {name: j, uid: u1, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: "busybox:1"}]}}}
status: {succeeded: 1, startTime: 2026-01-01T00:05:00Z, completionTime: 2026-01-01T00:05:07Z, conditions: [{type: Complete, status: "True"}]}
"#,
            &expect![[r#"
                Name: j
                Status: Complete
                Completions: 1/1
                Duration: 7s
                Age: 15m
                Containers: c
                Images: busybox:1
                Selector: <none>
            "#]],
        );
    }
}
