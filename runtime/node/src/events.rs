//! Events about Pods and the node: bounded, and the same one again only counts up.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::pod::record::{self, Role};

/// Events that wait to be written; more are dropped.
const QUEUE: usize = 1024;
/// Events that are remembered for counting.
const REMEMBERED: usize = 4096;
/// Different Events of one object at once, and how often one more.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// `Normal` or `Warning`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Normal,
    Warning,
}

/// Takes Events. Cheap to clone; never waits.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Note>,
}

struct Note {
    object: ObjectReference,
    kind: Kind,
    reason: &'static str,
    message: String,
    at: Timestamp,
}

impl Recorder {
    /// A recorder, and what writes its Events: to be run.
    pub fn new(client: kube::Client, node: &str) -> (Self, Writer) {
        let (queue, notes) = mpsc::channel(QUEUE);
        (Self { queue }, Writer { client, node: node.to_owned(), notes, known: HashMap::new(), stamp: 0, tokens: HashMap::new() })
    }

    /// Says something about a Pod, or about one of its containers.
    pub fn pod(&self, pod: &Pod, container: Option<&str>, kind: Kind, reason: &'static str, message: impl Into<String>) {
        let meta = &pod.metadata;
        let field_path = container.map(|name| {
            let list = match record::container(pod, name) {
                Some((Role::Init | Role::Sidecar, _)) => "initContainers",
                Some((Role::Ephemeral, _)) => "ephemeralContainers",
                Some((Role::Main, _)) | None => "containers",
            };
            format!("spec.{list}{{{name}}}")
        });
        let object = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            uid: meta.uid.clone(),
            resource_version: meta.resource_version.clone(),
            field_path,
        };
        self.note(object, kind, reason, message.into());
    }

    /// Says something about the node.
    pub fn node(&self, name: &str, kind: Kind, reason: &'static str, message: impl Into<String>) {
        let object = ObjectReference { kind: Some("Node".to_owned()), name: Some(name.to_owned()), uid: Some(name.to_owned()), ..Default::default() };
        self.note(object, kind, reason, message.into());
    }

    fn note(&self, object: ObjectReference, kind: Kind, reason: &'static str, mut message: String) {
        if message.len() > 1024 {
            let mut end = 1021;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
            message.push_str("...");
        }
        if self.queue.try_send(Note { object, kind, reason, message, at: Timestamp::now() }).is_err() {
            tracing::debug!(reason, "Event dropped: too many wait");
        }
    }
}

/// Writes Events.
pub struct Writer {
    client: kube::Client,
    node: String,
    notes: mpsc::Receiver<Note>,
    known: HashMap<Key, Known>,
    /// The last name's.
    stamp: u64,
    /// Uid → what is left of its burst, and since when.
    tokens: HashMap<String, (f64, Instant)>,
}

#[derive(PartialEq, Eq, Hash, Clone)]
struct Key {
    uid: String,
    field_path: Option<String>,
    kind: Kind,
    reason: &'static str,
    message: String,
}

struct Known {
    name: String,
    count: i32,
    used: Instant,
}

impl Writer {
    /// Writes until `token` is cancelled, and then what waits already.
    pub async fn run(mut self, token: CancellationToken) {
        loop {
            let note = tokio::select! {
                note = self.notes.recv() => note,
                () = token.cancelled() => self.notes.try_recv().ok(),
            };
            let Some(note) = note else { return };
            if tokio::time::timeout(Duration::from_secs(10), self.write(note)).await.is_err() {
                tracing::debug!("Event not written in time");
            }
        }
    }

    async fn write(&mut self, note: Note) {
        let namespace = note.object.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: kube::Api<Event> = kube::Api::namespaced(self.client.clone(), &namespace);
        let uid = note.object.uid.clone().unwrap_or_default();
        let key = Key { uid: uid.clone(), field_path: note.object.field_path.clone(), kind: note.kind, reason: note.reason, message: note.message.clone() };
        if let Some(known) = self.known.get_mut(&key) {
            known.count = known.count.saturating_add(1);
            known.used = Instant::now();
            let patch = serde_json::json!({"count": known.count, "lastTimestamp": Time(note.at)});
            match api.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return,
                // It expired: begin anew.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return tracing::debug!(%error, "counting an Event"),
            }
        }
        if !self.allowed(&uid) {
            return;
        }
        // As upstream: names in the order of time, so that lists of one second are in order too.
        self.stamp = (self.stamp + 1).max(u64::try_from(note.at.as_nanosecond()).unwrap_or(0));
        let name = format!("{}.{:016x}", note.object.name.as_deref().unwrap_or_default(), self.stamp);
        let event = Event {
            metadata: ObjectMeta { name: Some(name.clone()), namespace: Some(namespace), ..Default::default() },
            involved_object: note.object,
            type_: Some(if note.kind == Kind::Normal { "Normal" } else { "Warning" }.to_owned()),
            reason: Some(note.reason.to_owned()),
            message: Some(note.message),
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(self.node.clone()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            first_timestamp: Some(Time(note.at)),
            last_timestamp: Some(Time(note.at)),
            event_time: None::<MicroTime>,
            count: Some(1),
            ..Default::default()
        };
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => self.remember(key, name),
            Err(error) => tracing::debug!(%error, "writing an Event"),
        }
    }

    fn remember(&mut self, key: Key, name: String) {
        if self.known.len() >= REMEMBERED {
            // Half of them, the ones not used for longest.
            let mut ages: Vec<Instant> = self.known.values().map(|k| k.used).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            self.known.retain(|_, k| k.used > middle);
        }
        self.known.insert(key, Known { name, count: 1, used: Instant::now() });
    }

    /// A bucket for each object: 25 Events at once, then one in five minutes.
    fn allowed(&mut self, uid: &str) -> bool {
        let now = Instant::now();
        if self.tokens.len() >= REMEMBERED {
            self.tokens.retain(|_, (_, at)| now.duration_since(*at) < REFILL);
        }
        let (left, at) = self.tokens.entry(uid.to_owned()).or_insert((BURST, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_object_has_a_burst() {
        let service =
            tower::service_fn(|_: http::Request<kube::client::Body>| async { Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::empty())) });
        let (_, mut writer) = Recorder::new(kube::Client::new(service, "default"), "n");
        assert_eq!((0..30).filter(|_| writer.allowed("a")).count(), 25);
        assert!(writer.allowed("b"));
    }
}
