//! `batch/v1` CronJob: Jobs made by the clock.

use serde_json::Value;

use crate::cron::Schedule;
use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec};
use crate::kind::{Kind, Merge, Names, Scope, Subresource};
use crate::kinds::checks::{not_negative, one_of};
use crate::kinds::columns::{age, age_cell, containers_and_images, containers_and_images_columns, name, name_cell, or_none, since, text as text_column};
use crate::kinds::normal::fill;
use crate::kinds::{job, label_selector, pod};
use crate::kinds::{merge, names};
use crate::table::{Column, Columns, Now};

/// CronJob of `batch/v1`.
pub struct CronJobs;

impl Kind for CronJobs {
    type Object = CronJob;

    const NAMES: Names = names("cronjob", &["cj"], &["all"]);
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

    fn default(cron: &mut CronJob) {
        let spec = &mut cron.spec;
        fill(&mut spec.concurrency_policy, "Allow");
        fill(&mut spec.suspend, false);
        fill(&mut spec.successful_jobs_history_limit, 3);
        fill(&mut spec.failed_jobs_history_limit, 1);
        spec.job_template.metadata.get_or_insert_default();
        pod::default_template(&mut spec.job_template.spec.get_or_insert_default().template);
        cron.status.get_or_insert_default();
    }

    fn prepare_create(cron: &mut CronJob) {
        cron.status.get_or_insert_default();
    }

    fn validate(cron: &CronJob) -> Errors {
        let mut errors = validate_spec(&cron.spec, &Path::new("spec"));
        let name = cron.metadata.name.as_deref().unwrap_or_default();
        if name.len() > MAX_NAME {
            errors.push(Error::invalid(&Path::new("metadata.name"), name, format!("must be no more than {MAX_NAME} characters")));
        }
        errors
    }

    fn validate_update(new: &CronJob, _old: &CronJob) -> Errors {
        validate_spec(&new.spec, &Path::new("spec"))
    }

    fn columns() -> Columns<CronJob> {
        let [containers, images] = containers_and_images_columns();
        Columns {
            columns: vec![
                name(),
                text_column("Schedule", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
                text_column("Timezone", "The time zone name for the given schedule, see https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not specified, this will default to the time zone of the kube-controller-manager process. The set of valid time zone names and the time zone offset is loaded from the system-wide time zone database by the API server during CronJob validation and the controller manager during execution. If no system-wide time zone database can be found a bundled version of the database is used instead. If the time zone name becomes invalid during the lifetime of a CronJob or due to a change in host configuration, the controller will stop creating new new Jobs and will create a system event with the reason UnknownTimeZone. More information can be found in https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones"),
                Column::new("Suspend", "boolean", "This flag tells the controller to suspend subsequent executions, it does not apply to already started executions.  Defaults to false."),
                Column::new("Active", "integer", "A list of pointers to currently running jobs."),
                text_column("Last Schedule", "Information when was the last time the job was successfully scheduled."),
                age(),
                containers,
                images,
                text_column("Selector", "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors").wide(),
            ],
            row,
        }
    }
}

/// The name of a Job that a CronJob makes is longer by eleven characters.
const MAX_NAME: usize = 52;

fn validate_spec(spec: &CronJobSpec, at: &Path) -> Errors {
    let mut errors = Errors::new();
    let schedule_at = at.child("schedule");
    if spec.schedule.is_empty() {
        errors.push(Error::required(&schedule_at, ""));
    } else if spec.schedule.contains("TZ") {
        let words = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(Error::invalid(&schedule_at, &spec.schedule, words));
    } else if let Err(why) = Schedule::parse(&spec.schedule) {
        errors.push(Error::invalid(&schedule_at, &spec.schedule, why));
    }
    errors.extend(spec.time_zone.iter().flat_map(|zone| time_zone(zone, &at.child("timeZone"))));
    errors.extend(not_negative(spec.starting_deadline_seconds, &at.child("startingDeadlineSeconds")));
    errors.extend(one_of(spec.concurrency_policy.as_deref(), &["Allow", "Forbid", "Replace"], &at.child("concurrencyPolicy")));
    let empty = JobSpec::default();
    errors.extend(job::validate_spec(spec.job_template.spec.as_ref().unwrap_or(&empty), &at.child("jobTemplate.spec")));
    errors.extend(not_negative(spec.successful_jobs_history_limit, &at.child("successfulJobsHistoryLimit")));
    errors.extend(not_negative(spec.failed_jobs_history_limit, &at.child("failedJobsHistoryLimit")));
    errors
}

fn time_zone(zone: &str, at: &Path) -> Option<Error> {
    if zone.is_empty() {
        return Some(Error::invalid(at, zone, "timeZone must be nil or non-empty string"));
    }
    if zone.eq_ignore_ascii_case("local") {
        let words = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return Some(Error::invalid(at, zone, words));
    }
    crate::k8s_openapi::jiff::tz::TimeZone::get(zone).is_err().then(|| Error::invalid(at, zone, format!("unknown time zone {zone}")))
}

fn row(cron: &CronJob, now: Now) -> Vec<Value> {
    let empty = JobSpec::default();
    let (spec, status) = (&cron.spec, cron.status.as_ref());
    let job = spec.job_template.spec.as_ref().unwrap_or(&empty);
    let last = status.and_then(|s| s.last_schedule_time.as_ref()).map(|time| since(Some(time), now));
    let [containers, images] = containers_and_images(Some(&job.template));
    vec![
        name_cell(&cron.metadata),
        Value::from(spec.schedule.clone()),
        or_none(spec.time_zone.as_deref()),
        Value::from(match spec.suspend {
            Some(true) => "True",
            Some(false) => "False",
            None => "<unset>",
        }),
        Value::from(status.map_or(0, |s| s.active.as_ref().map_or(0, Vec::len))),
        or_none(last.as_deref()),
        age_cell(&cron.metadata, now),
        containers,
        images,
        Value::from(label_selector::printed(job.selector.as_ref())),
    ]
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[
    merge("io.k8s.api.batch.v1.CronJobStatus", "active", "", "", "atomic", &[]),
    merge("io.k8s.api.batch.v1.PodFailurePolicy", "rules", "", "", "atomic", &[]),
    merge("io.k8s.api.batch.v1.PodFailurePolicyOnExitCodesRequirement", "values", "", "", "set", &[]),
    merge("io.k8s.api.batch.v1.PodFailurePolicyRule", "onPodConditions", "", "", "atomic", &[]),
    merge("io.k8s.api.batch.v1.SuccessPolicy", "rules", "", "", "atomic", &[]),
];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused, check_row};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<CronJobs>(
            r#"
metadata: {name: c}
spec: {schedule: "0 0 * * *",  jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}}}
"#,
            &expect![[r#"
                apiVersion: batch/v1
                kind: CronJob
                metadata:
                  generation: 1
                  name: c
                spec:
                  concurrencyPolicy: Allow
                  failedJobsHistoryLimit: 1
                  jobTemplate:
                    metadata: {}
                    spec:
                      template:
                        metadata: {}
                        spec:
                          containers:
                          - image: busybox:1
                            imagePullPolicy: IfNotPresent
                            name: c
                            resources: {}
                            terminationMessagePath: /dev/termination-log
                            terminationMessagePolicy: File
                          dnsPolicy: ClusterFirst
                          restartPolicy: OnFailure
                          schedulerName: default-scheduler
                          securityContext: {}
                          terminationGracePeriodSeconds: 30
                  schedule: 0 0 * * *
                  successfulJobsHistoryLimit: 3
                  suspend: false
                status: {}
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<CronJobs>(
            r#"
metadata: {name: ccccccccccccccccccccccccccccccccccccccccccccccccccccc}
spec: {schedule: "every day", timeZone: Mars/Base, concurrencyPolicy: Maybe, jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}}}
"#,
            &expect![[r#"
                spec.schedule: Invalid value: "every day": expected exactly 5 fields, found 2: [every day]
                spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base
                spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"
                metadata.name: Invalid value: "ccccccccccccccccccccccccccccccccccccccccccccccccccccc": must be no more than 52 characters
            "#]],
        );
        check_refused::<CronJobs>(
            r#"
metadata: {name: c}
spec: {schedule: "TZ=UTC * * * * *", timeZone: "", startingDeadlineSeconds: -1, jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}}}
"#,
            &expect![[r#"
                spec.schedule: Invalid value: "TZ=UTC * * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead
                spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string
                spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0
            "#]],
        );
    }

    #[test]
    fn prints_a_row() {
        check_row::<CronJobs>(
            r#"
metadata: {name: c}
spec: {schedule: "@hourly", timeZone: Etc/UTC, jobTemplate: {spec: {template: {spec: {restartPolicy: OnFailure, containers: [{name: c, image: "busybox:1"}]}}}}}
status: {active: [{}], lastScheduleTime: 2026-01-01T00:00:00Z}
"#,
            &expect![[r#"
                Name: c
                Schedule: @hourly
                Timezone: Etc/UTC
                Suspend: False
                Active: 1
                Last Schedule: 15m
                Age: <unknown>
                Containers: c
                Images: busybox:1
                Selector: <none>
            "#]],
        );
    }
}
