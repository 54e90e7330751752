//! What the scheduler writes: bindings, the PodScheduled condition, Events; all in Kubernetes' words.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::pod::PodInfo;

/// The uid of a Pod, and what was said of it.
type Said = (Arc<str>, String);

/// Writes to the API.
pub(crate) struct Reporter {
    client: Client,
    component: String,
    /// (uid, message) of failures → the Event that tells of it, and how often.
    repeated: Mutex<HashMap<Said, (String, u32)>>,
    /// uid → the message of its condition, and the nomination written with it.
    conditions: Mutex<HashMap<Arc<str>, (String, Nomination)>>,
}

/// What becomes of a Pod's `status.nominatedNodeName`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nomination {
    Keep,
    Clear,
    Set(String),
}

/// Events and conditions that are remembered for repetition.
const MAX_REMEMBERED: usize = 4096;

impl Reporter {
    pub(crate) fn new(client: Client, component: String) -> Reporter {
        Reporter { client, component, repeated: Mutex::default(), conditions: Mutex::default() }
    }

    /// Binds a Pod to a node, then says so.
    pub(crate) async fn bind(&self, pod: &PodInfo, node: &str) -> Result<(), kube::Error> {
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.send("POST", &format!("/api/v1/namespaces/{}/pods/{}/binding", pod.namespace, pod.name), "application/json", &binding).await?;
        self.forget(&pod.uid);
        Ok(())
    }

    /// `Successfully assigned …`. An Event that cannot be written is only logged.
    pub(crate) async fn scheduled(&self, pod: &PodInfo, node: &str) {
        self.event(pod, "Normal", "Scheduled", &format!("Successfully assigned {}/{} to {node}", pod.namespace, pod.name)).await;
    }

    /// The condition and the Event of a Pod that has no place.
    pub(crate) async fn failed(&self, pod: &PodInfo, reason: &str, message: &str, nomination: Nomination) {
        self.event(pod, "Warning", "FailedScheduling", message).await;
        {
            let mut conditions = self.conditions.lock();
            let told = (message.to_string(), nomination.clone());
            if conditions.get(&pod.uid) == Some(&told) {
                return;
            }
            if conditions.len() >= MAX_REMEMBERED {
                conditions.clear();
            }
            conditions.insert(pod.uid.clone(), told);
        }
        let mut patch = json!({"metadata": {"uid": pod.uid}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": reason, "message": message, "lastProbeTime": null, "lastTransitionTime": now()}
        ]}});
        match nomination {
            Nomination::Keep => {}
            Nomination::Clear => patch["status"]["nominatedNodeName"] = Value::Null,
            Nomination::Set(node) => patch["status"]["nominatedNodeName"] = node.into(),
        }
        let path = format!("/api/v1/namespaces/{}/pods/{}/status", pod.namespace, pod.name);
        if let Err(error) = self.send("PATCH", &path, "application/strategic-merge-patch+json", &patch).await {
            tracing::warn!(namespace = pod.namespace, name = pod.name, %error, "condition PodScheduled not written");
            self.conditions.lock().remove(&pod.uid);
        }
    }

    /// Makes a Pod leave for a more important one. One that has gone already is well.
    pub(crate) async fn evict(&self, victim: &PodInfo, preemptor: &PodInfo, node: &str) -> Result<(), kube::Error> {
        let gone = |result: Result<(), kube::Error>| match result {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(true),
            other => other.map(|()| false),
        };
        let path = format!("/api/v1/namespaces/{}/pods/{}", victim.namespace, victim.name);
        let message = format!("{}: preempting to accommodate a higher priority pod", self.component);
        let patch = json!({"metadata": {"uid": victim.uid}, "status": {"conditions": [
            {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": message, "lastProbeTime": null, "lastTransitionTime": now()}
        ]}});
        if gone(self.send("PATCH", &format!("{path}/status"), "application/strategic-merge-patch+json", &patch).await)? {
            return Ok(());
        }
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": victim.uid}});
        if !gone(self.send("DELETE", &path, "application/json", &options).await)? {
            self.event(victim, "Normal", "Preempted", &format!("Preempted by pod {} on node {node}", preemptor.uid)).await;
        }
        Ok(())
    }

    /// Nothing will be said of a Pod any more.
    pub(crate) fn forget(&self, uid: &str) {
        self.conditions.lock().remove(uid);
        self.repeated.lock().retain(|(owner, _), _| **owner != *uid);
    }

    async fn event(&self, pod: &PodInfo, kind: &str, reason: &str, message: &str) {
        let now = now();
        let key = (pod.uid.clone(), message.to_string());
        let known = {
            let mut repeated = self.repeated.lock();
            repeated.get_mut(&key).map(|(name, count)| {
                *count += 1;
                (name.clone(), *count)
            })
        };
        let events = format!("/api/v1/namespaces/{}/events", pod.namespace);
        if let Some((name, count)) = known {
            let patch = json!({"count": count, "lastTimestamp": now});
            match self.send("PATCH", &format!("{events}/{name}"), "application/merge-patch+json", &patch).await {
                Ok(()) => return,
                // It has expired: a new one follows.
                Err(error) => tracing::debug!(namespace = pod.namespace, name = pod.name, %error, "Event not counted on"),
            }
        }
        let name = format!("{}.{:x}", pod.name.chars().take(220).collect::<String>(), Timestamp::now().as_nanosecond());
        let event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": pod.namespace},
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
            "reason": reason, "message": message.chars().take(1024).collect::<String>(), "type": kind, "count": 1,
            "firstTimestamp": now, "lastTimestamp": now, "eventTime": null,
            "source": {"component": self.component}, "reportingComponent": self.component, "reportingInstance": "",
        });
        match self.send("POST", &events, "application/json", &event).await {
            Ok(()) if kind == "Warning" => {
                let mut repeated = self.repeated.lock();
                if repeated.len() >= MAX_REMEMBERED {
                    repeated.clear();
                }
                repeated.insert(key, (name, 1));
            }
            Ok(()) => {}
            Err(error) => tracing::warn!(namespace = pod.namespace, name = pod.name, reason, %error, "Event not written"),
        }
    }

    async fn send(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<(), kube::Error> {
        let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        let request = http::Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, content_type).body(body);
        let request = request.map_err(kube::Error::HttpError)?;
        self.client.request_text(request).await.map(|_| ())
    }
}

fn now() -> String {
    // Seconds only, as Kubernetes' Time has it.
    let seconds = Timestamp::now().as_second();
    Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default()
}
