//! Controllers of Pods.

use serde_json::Value;

use super::{Page, controller, list_of, number, or, pairs, text, time};
use crate::labels::format_selector;
use crate::print::age;

fn selector(value: &Value) -> String {
    let text = format_selector(value);
    if text.is_empty() { "<none>".into() } else { text }
}

/// `2 Running / 0 Waiting / 0 Succeeded / 0 Failed`
fn phases(owner: &Value, pods: &[Value]) -> String {
    let uid = &owner["metadata"]["uid"];
    let owned = |pod: &&Value| list_of(&pod["metadata"]["ownerReferences"]).iter().any(|o| o["controller"] == true && o["uid"] == *uid);
    let count = |phase: &str| pods.iter().filter(owned).filter(|pod| pod["status"]["phase"] == phase).count();
    format!("{} Running / {} Waiting / {} Succeeded / {} Failed", count("Running"), count("Pending"), count("Succeeded"), count("Failed"))
}

impl Page {
    fn workload_conditions(&mut self, conditions: &Value) {
        if list_of(conditions).is_empty() {
            return;
        }
        self.text("Conditions:\n  Type\tStatus\tReason\n");
        self.line(1, "----\t------\t------");
        for condition in list_of(conditions) {
            self.line(1, &format!("{} \t{}\t{}", text(&condition["type"]), text(&condition["status"]), text(&condition["reason"])));
        }
    }

    pub(super) fn deployment(&mut self, object: &Value, replica_sets: &[Value]) -> bool {
        let (spec, status) = (&object["spec"], &object["status"]);
        self.names(object);
        self.field(0, "CreationTimestamp", time(&object["metadata"]["creationTimestamp"]));
        self.metadata(object);
        self.field(0, "Selector", selector(&spec["selector"]));
        let n = |field: &str| number(&status[field]);
        self.field(
            0,
            "Replicas",
            format!(
                "{} desired | {} updated | {} total | {} available | {} unavailable",
                number(&spec["replicas"]),
                n("updatedReplicas"),
                n("replicas"),
                n("availableReplicas"),
                n("unavailableReplicas")
            ),
        );
        self.field(0, "StrategyType", text(&spec["strategy"]["type"]));
        self.field(0, "MinReadySeconds", number(&spec["minReadySeconds"]));
        let rolling = &spec["strategy"]["rollingUpdate"];
        if rolling.is_object() {
            self.field(0, "RollingUpdateStrategy", format!("{} max unavailable, {} max surge", text(&rolling["maxUnavailable"]), text(&rolling["maxSurge"])));
        }
        self.pod_template(&spec["template"]);
        self.workload_conditions(&status["conditions"]);
        let (new, old) = split_replica_sets(object, replica_sets);
        if new.is_some() || !old.is_empty() {
            let told = |sets: &[&Value]| match sets {
                [] => "<none>".to_owned(),
                sets => sets
                    .iter()
                    .map(|rs| {
                        format!(
                            "{} ({}/{} replicas created)",
                            text(&rs["metadata"]["name"]),
                            number(&rs["status"]["replicas"]),
                            number(&rs["spec"]["replicas"])
                        )
                    })
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            self.field(0, "OldReplicaSets", told(&old));
            self.field(0, "NewReplicaSet", told(new.as_slice()));
        }
        true
    }

    pub(super) fn replica_set(&mut self, object: &Value, pods: &[Value]) -> bool {
        let spec = &object["spec"];
        self.names(object);
        let old = object["kind"] == "ReplicationController";
        self.field(0, "Selector", if old { pairs(&spec["selector"]) } else { selector(&spec["selector"]) });
        self.metadata(object);
        if let Some(owner) = controller(object) {
            self.field(0, "Controlled By", owner);
        }
        self.field(0, "Replicas", format!("{} current / {} desired", number(&object["status"]["replicas"]), number(&spec["replicas"])));
        self.field(0, "Pods Status", phases(object, pods));
        self.pod_template(&spec["template"]);
        self.workload_conditions(&object["status"]["conditions"]);
        true
    }

    pub(super) fn daemon_set(&mut self, object: &Value, pods: &[Value]) -> bool {
        let (spec, status) = (&object["spec"], &object["status"]);
        self.names(object);
        self.field(0, "Selector", selector(&spec["selector"]));
        self.field(0, "Node-Selector", pairs(&spec["template"]["spec"]["nodeSelector"]));
        self.metadata(object);
        for (title, field) in [
            ("Desired Number of Nodes Scheduled", "desiredNumberScheduled"),
            ("Current Number of Nodes Scheduled", "currentNumberScheduled"),
            ("Number of Nodes Scheduled with Up-to-date Pods", "updatedNumberScheduled"),
            ("Number of Nodes Scheduled with Available Pods", "numberAvailable"),
            ("Number of Nodes Misscheduled", "numberMisscheduled"),
        ] {
            self.line(0, &format!("{title}: {}", number(&status[field])));
        }
        self.field(0, "Pods Status", phases(object, pods));
        self.pod_template(&spec["template"]);
        true
    }

    pub(super) fn stateful_set(&mut self, object: &Value, pods: &[Value]) -> bool {
        let spec = &object["spec"];
        self.names(object);
        self.field(0, "CreationTimestamp", time(&object["metadata"]["creationTimestamp"]));
        self.field(0, "Selector", selector(&spec["selector"]));
        self.metadata(object);
        self.field(0, "Replicas", format!("{} desired | {} total", number(&spec["replicas"]), number(&object["status"]["replicas"])));
        self.field(0, "Update Strategy", text(&spec["updateStrategy"]["type"]));
        let rolling = &spec["updateStrategy"]["rollingUpdate"];
        if rolling["partition"].is_number() {
            self.field(1, "Partition", number(&rolling["partition"]));
            if !rolling["maxUnavailable"].is_null() {
                self.field(1, "MaxUnavailable", text(&rolling["maxUnavailable"]));
            }
        }
        self.field(0, "Pods Status", phases(object, pods));
        self.pod_template(&spec["template"]);
        let claims = list_of(&spec["volumeClaimTemplates"]);
        self.line(0, if claims.is_empty() { "Volume Claims:\t<none>" } else { "Volume Claims:" });
        for claim in claims {
            self.field(1, "Name", text(&claim["metadata"]["name"]));
            self.field(1, "StorageClass", text(&claim["spec"]["storageClassName"]));
            self.labels_with("  ", "Labels", &claim["metadata"]["labels"]);
            self.labels_with("  ", "Annotations", &claim["metadata"]["annotations"]);
            self.field(1, "Capacity", or(&claim["spec"]["resources"]["requests"]["storage"], "<default>"));
            self.field(1, "Access Modes", crate::print::go(&claim["spec"]["accessModes"]));
        }
        true
    }

    pub(super) fn job(&mut self, object: &Value) -> bool {
        let (spec, status) = (&object["spec"], &object["status"]);
        self.names(object);
        self.field(0, "Selector", format_selector(&spec["selector"]));
        self.metadata(object);
        if let Some(owner) = controller(object) {
            self.field(0, "Controlled By", owner);
        }
        if spec["parallelism"].is_number() {
            self.field(0, "Parallelism", number(&spec["parallelism"]));
        }
        self.field(0, "Completions", or(&spec["completions"], "<unset>"));
        for (title, field) in [
            ("Completion Mode", "completionMode"),
            ("Suspend", "suspend"),
            ("Backoff Limit", "backoffLimit"),
            ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
        ] {
            if !spec[field].is_null() {
                self.field(0, title, text(&spec[field]));
            }
        }
        for (title, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
            if status[field].is_string() {
                self.field(0, title, time(&status[field]));
            }
        }
        let at = |field: &str| status[field].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
        if let (Some(start), Some(end)) = (at("startTime"), at("completionTime")) {
            self.field(0, "Duration", age::human(end.as_second() - start.as_second()));
        }
        if spec["activeDeadlineSeconds"].is_number() {
            self.field(0, "Active Deadline Seconds", format!("{}s", number(&spec["activeDeadlineSeconds"])));
        }
        let ready = if status["ready"].is_number() { format!(" ({} Ready)", number(&status["ready"])) } else { String::new() };
        self.field(
            0,
            "Pods Statuses",
            format!("{} Active{ready} / {} Succeeded / {} Failed", number(&status["active"]), number(&status["succeeded"]), number(&status["failed"])),
        );
        if spec["completionMode"] == "Indexed" {
            self.field(0, "Completed Indexes", Some(text(&status["completedIndexes"])).filter(|s| !s.is_empty()).unwrap_or("<none>".into()));
        }
        self.pod_template(&spec["template"]);
        true
    }

    pub(super) fn cron_job(&mut self, object: &Value) -> bool {
        let spec = &object["spec"];
        self.names(object);
        self.metadata(object);
        self.field(0, "Schedule", text(&spec["schedule"]));
        self.field(0, "Concurrency Policy", text(&spec["concurrencyPolicy"]));
        self.field(
            0,
            "Suspend",
            match spec["suspend"].as_bool() {
                Some(true) => "True",
                Some(false) => "False",
                None => "<unset>",
            },
        );
        if spec["timeZone"].is_string() {
            self.field(0, "Time Zone", text(&spec["timeZone"]));
        }
        self.field(0, "Successful Job History Limit", or(&spec["successfulJobsHistoryLimit"], "<unset>"));
        self.field(0, "Failed Job History Limit", or(&spec["failedJobsHistoryLimit"], "<unset>"));
        self.field(0, "Starting Deadline Seconds", spec["startingDeadlineSeconds"].as_i64().map_or("<unset>".into(), |seconds| format!("{seconds}s")));
        let job = &spec["jobTemplate"]["spec"];
        self.field(0, "Selector", if job["selector"].is_object() { format_selector(&job["selector"]) } else { "<unset>".into() });
        self.field(0, "Parallelism", or(&job["parallelism"], "<unset>"));
        self.field(0, "Completions", or(&job["completions"], "<unset>"));
        if job["activeDeadlineSeconds"].is_number() {
            self.field(0, "Active Deadline Seconds", format!("{}s", number(&job["activeDeadlineSeconds"])));
        }
        self.pod_template(&job["template"]);
        let last = &object["status"]["lastScheduleTime"];
        self.field(0, "Last Schedule Time", if last.is_string() { time(last) } else { "<unset>".into() });
        let active: Vec<String> = list_of(&object["status"]["active"]).iter().map(|job| text(&job["name"])).collect();
        self.field(0, "Active Jobs", if active.is_empty() { "<none>".into() } else { active.join(", ") });
        true
    }
}

/// The ReplicaSet of the newest template, and the others.
pub(crate) fn split_replica_sets<'a>(deployment: &Value, replica_sets: &'a [Value]) -> (Option<&'a Value>, Vec<&'a Value>) {
    let uid = &deployment["metadata"]["uid"];
    let mut owned: Vec<&Value> =
        replica_sets.iter().filter(|rs| list_of(&rs["metadata"]["ownerReferences"]).iter().any(|o| o["controller"] == true && o["uid"] == *uid)).collect();
    owned.sort_by_key(|rs| (text(&rs["metadata"]["creationTimestamp"]), text(&rs["metadata"]["name"])));
    let bare = |template: &Value| {
        let mut template = template.clone();
        if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
            labels.remove("pod-template-hash");
        }
        crate::merge::without_nulls(&mut template);
        template
    };
    let wanted = bare(&deployment["spec"]["template"]);
    let new = owned.iter().position(|rs| bare(&rs["spec"]["template"]) == wanted);
    let new = new.map(|at| owned.remove(at));
    (new, owned)
}
