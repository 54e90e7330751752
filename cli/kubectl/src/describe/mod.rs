//! What `describe` prints, one file for each group of kinds. Pure: objects in, text out.

mod access;
mod config;
mod generic;
mod network;
mod node;
mod pod;
mod quantity;
mod storage;
mod volumes;
mod workloads;

use jiff::Timestamp;
use serde_json::Value;

use crate::merge::LAST_APPLIED;
use crate::print::tabwriter::TabWriter;
use crate::print::{age, go};

pub use pod::template;

/// How long an annotation may be on its line.
const ANNOTATION: usize = 140;

/// What there is beside the object.
#[derive(Debug, Default)]
pub struct Related {
    /// Its Events; None where they are not wanted.
    pub events: Option<Vec<Value>>,
    /// Pods: of a controller, of a node, of a claim.
    pub pods: Vec<Value>,
    /// ReplicaSets of a Deployment.
    pub replica_sets: Vec<Value>,
    /// EndpointSlices of a Service, or of an Ingress' Services.
    pub endpoint_slices: Vec<Value>,
    /// Services that an Ingress names.
    pub services: Vec<Value>,
    /// A node's Lease; or why there is none.
    pub lease: Option<Result<Value, String>>,
    /// Quotas of a namespace.
    pub quotas: Vec<Value>,
    /// Limit ranges of a namespace.
    pub limit_ranges: Vec<Value>,
}

/// Describes an object.
pub fn describe(object: &Value, related: &Related, now: Timestamp) -> String {
    let mut page = Page::new(now);
    let group = object["apiVersion"].as_str().and_then(|v| v.split_once('/')).map_or("", |(group, _)| group);
    let before_events = match (group, object["kind"].as_str().unwrap_or_default()) {
        ("", "Pod") => page.pod(object),
        ("apps", "Deployment") => page.deployment(object, &related.replica_sets),
        ("apps", "ReplicaSet") | ("", "ReplicationController") => page.replica_set(object, &related.pods),
        ("apps", "DaemonSet") => page.daemon_set(object, &related.pods),
        ("apps", "StatefulSet") => page.stateful_set(object, &related.pods),
        ("batch", "Job") => page.job(object),
        ("batch", "CronJob") => page.cron_job(object),
        ("", "Service") => page.service(object, &related.endpoint_slices),
        ("", "Endpoints") => page.endpoints(object),
        ("networking.k8s.io", "Ingress") => page.ingress(object, &related.services, &related.endpoint_slices),
        ("discovery.k8s.io", "EndpointSlice") => page.endpoint_slice(object),
        ("networking.k8s.io", "IngressClass") => page.ingress_class(object),
        ("scheduling.k8s.io", "PriorityClass") => page.priority_class(object),
        ("", "Node") => page.node(object, related),
        ("", "ConfigMap") => page.config_map(object),
        ("", "Secret") => page.secret(object),
        ("", "Namespace") => page.namespace(object, &related.quotas, &related.limit_ranges),
        ("", "ServiceAccount") => page.service_account(object),
        ("", "ResourceQuota") => page.quota(object),
        ("", "PersistentVolumeClaim") => page.claim(object, &related.pods),
        ("", "PersistentVolume") => page.volume(object),
        ("storage.k8s.io", "StorageClass") => page.storage_class(object),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => page.role(object),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => page.binding(object),
        _ => page.generic(object),
    };
    if let (Some(events), true) = (&related.events, before_events) {
        page.events(events);
    }
    page.finish()
}

/// The text as it grows, in parts whose columns are aligned apart.
pub struct Page {
    parts: Vec<String>,
    now: Timestamp,
}

impl Page {
    /// An empty one.
    pub fn new(now: Timestamp) -> Page {
        Page { parts: vec![String::new()], now }
    }

    /// Text as it is.
    pub fn text(&mut self, text: &str) {
        if let Some(part) = self.parts.last_mut() {
            part.push_str(text);
        }
    }

    /// A line, indented by its level.
    pub fn line(&mut self, level: usize, text: &str) {
        self.text(&"  ".repeat(level));
        self.text(text);
        self.text("\n");
    }

    /// `key:<tab>value`
    pub fn field(&mut self, level: usize, key: &str, value: impl std::fmt::Display) {
        self.line(level, &format!("{key}:\t{value}"));
    }

    /// What follows is aligned apart from what was.
    fn break_columns(&mut self) {
        self.parts.push(String::new());
    }

    /// The whole text.
    pub fn finish(self) -> String {
        self.parts.iter().map(|part| TabWriter::describe().format(part)).collect()
    }

    /// The whole text, its columns not yet aligned.
    pub fn raw(self) -> String {
        self.parts.concat()
    }

    fn labels(&mut self, title: &str, labels: &Value) {
        self.labels_with("", title, labels);
    }

    fn labels_with(&mut self, indent: &str, title: &str, labels: &Value) {
        self.text(&format!("{indent}{title}:\t"));
        let pairs: Vec<String> = labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
        self.list(indent, &pairs);
    }

    /// The lines of a list, the first of them where the title ends.
    fn list(&mut self, indent: &str, lines: &[String]) {
        match lines.split_first() {
            None => self.text("<none>\n"),
            Some((first, rest)) => {
                self.text(&format!("{first}\n"));
                rest.iter().for_each(|line| self.text(&format!("{indent}\t{line}\n")));
            }
        }
    }

    fn annotations(&mut self, title: &str, annotations: &Value) {
        self.text(&format!("{title}:\t"));
        let mut first = true;
        for (key, value) in annotations.as_object().into_iter().flatten().filter(|(key, _)| *key != LAST_APPLIED) {
            if !std::mem::replace(&mut first, false) {
                self.text("\t");
            }
            let value = text(value);
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if value.len() + key.len() + 2 > ANNOTATION || value.contains('\n') {
                self.text(&format!("{key}:\n"));
                value.split('\n').for_each(|line| self.text(&format!("\t  {}\n", shorten(line, ANNOTATION - 2))));
            } else {
                self.text(&format!("{key}: {value}\n"));
            }
        }
        if first {
            self.text("<none>\n");
        }
    }

    /// Name, namespace.
    fn names(&mut self, object: &Value) {
        self.field(0, "Name", text(&object["metadata"]["name"]));
        self.field(0, "Namespace", text(&object["metadata"]["namespace"]));
    }

    /// Labels and annotations.
    fn metadata(&mut self, object: &Value) {
        self.labels("Labels", &object["metadata"]["labels"]);
        self.annotations("Annotations", &object["metadata"]["annotations"]);
    }

    /// The table of Events, oldest first.
    pub fn events(&mut self, events: &[Value]) {
        if events.is_empty() {
            self.text("Events:\t<none>\n");
            return;
        }
        self.break_columns();
        let mut events: Vec<&Value> = events.iter().collect();
        events.sort_by_key(|event| text(&event["lastTimestamp"]));
        self.text("Events:\n  Type\tReason\tAge\tFrom\tMessage\n");
        self.line(1, "----\t------\t----\t----\t-------");
        for event in events {
            let since = |time: &Value| time.as_str().map_or_else(|| "<unknown>".to_owned(), |time| age::since(time, self.now));
            let first = if event["eventTime"].is_string() { since(&event["eventTime"]) } else { since(&event["firstTimestamp"]) };
            let interval = if event["series"].is_object() {
                format!("{} (x{} over {first})", since(&event["series"]["lastObservedTime"]), go(&event["series"]["count"]))
            } else if event["count"].as_i64().unwrap_or(0) > 1 {
                format!("{} (x{} over {first})", since(&event["lastTimestamp"]), go(&event["count"]))
            } else {
                first
            };
            let source = event["source"]["component"].as_str().filter(|s| !s.is_empty()).map_or_else(|| text(&event["reportingComponent"]), str::to_owned);
            let mut message = text(&event["message"]).trim().to_owned();
            if let Some(path) = event["involvedObject"]["fieldPath"].as_str().filter(|path| !path.is_empty()) {
                message = format!("{path}: {message}");
            }
            // What a tab would do to the columns, it does in kubectl too.
            self.line(1, &format!("{}\t{}\t{interval}\t{source}\t{message}", text(&event["type"]), text(&event["reason"])));
        }
    }
}

/// A string; nothing for what is none.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        other => go(other),
    }
}

fn or(value: &Value, otherwise: &str) -> String {
    if value.is_null() { otherwise.to_owned() } else { go(value) }
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn list_of(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The time as people write it, in their zone.
fn time(value: &Value) -> String {
    let Some(time) = value.as_str().and_then(|text| text.parse::<Timestamp>().ok()) else { return "Mon, 01 Jan 0001 00:00:00 +0000".into() };
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

fn shorten(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

/// `a=b,c=d`, or `<none>`.
fn pairs(map: &Value) -> String {
    crate::print::table::labels(map)
}

/// `ReplicaSet/web-5c`
fn controller(object: &Value) -> Option<String> {
    let owner = list_of(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true)?;
    Some(format!("{}/{}", text(&owner["kind"]), text(&owner["name"])))
}

#[cfg(test)]
mod tests;
