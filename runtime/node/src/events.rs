//! Events about Pods and the node: bounded, the same one again only counts up, similar ones are combined, and what the API cannot take now is
//! written later.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
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
/// Events of one object at once, and how often one more.
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);
/// So many different messages of one reason about one object within [`SIMILAR_FOR`] are told apart.
const SIMILAR: usize = 10;
const SIMILAR_FOR: Duration = Duration::from_secs(600);
/// How often one is tried to be written.
const TRIES: u32 = 12;

/// How long each attempt to write may take, and the pauses between: each twice the last, up to the longest.
#[derive(Clone, Copy)]
struct Pace {
    patience: Duration,
    pause: Duration,
    longest: Duration,
}

const PACE: Pace = Pace { patience: Duration::from_secs(10), pause: Duration::from_millis(100), longest: Duration::from_secs(10) };

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
        let writer = Writer {
            client,
            node: node.to_owned(),
            notes,
            fingerprints: RandomState::new(),
            known: HashMap::new(),
            similar: HashMap::new(),
            stamp: 0,
            tokens: HashMap::new(),
            pace: PACE,
        };
        (Self { queue }, writer)
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
    /// What is remembered is remembered by fingerprints: a node with many Pods has said much, and of most of it only once.
    fingerprints: RandomState,
    /// By the fingerprint of the whole key.
    known: HashMap<u64, Known>,
    /// Fingerprints of the messages said of late, by that of the key without its message.
    similar: HashMap<u64, (Vec<u64>, Instant)>,
    /// The last name's.
    stamp: u64,
    /// By the fingerprint of its uid, what is left of an object's burst, and since when.
    tokens: HashMap<u64, (f64, Instant)>,
    pace: Pace,
}

/// What makes two Events the same.
#[derive(Hash, Clone, Copy)]
struct Key<'a> {
    uid: &'a str,
    field_path: Option<&'a str>,
    kind: Kind,
    reason: &'static str,
    message: &'a str,
}

struct Known {
    /// What its name ends with.
    stamp: u64,
    count: i32,
    used: Instant,
}

/// What became of an attempt to write.
enum Attempt {
    Done,
    /// It was there once, and has expired.
    Gone,
    Refused(kube::Error),
    Later(String),
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
            self.write(note, &token).await;
        }
    }

    async fn write(&mut self, note: Note, token: &CancellationToken) {
        let namespace = note.object.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: kube::Api<Event> = kube::Api::namespaced(self.client.clone(), &namespace);
        let uid = note.object.uid.clone().unwrap_or_default();
        if !self.allowed(&uid) {
            return;
        }
        let key = Key { uid: &uid, field_path: note.object.field_path.as_deref(), kind: note.kind, reason: note.reason, message: &note.message };
        let (key, combined) = self.combine(key);
        let message = if combined { format!("(combined from similar events): {}", note.message) } else { note.message };
        if let Some(known) = self.known.get_mut(&key) {
            known.count = known.count.saturating_add(1);
            known.used = Instant::now();
            let patch = Patch::Merge(serde_json::json!({"count": known.count, "lastTimestamp": Time(note.at), "message": message}));
            let (name, parameters) = (name_of(&note.object, known.stamp), PatchParams::default());
            match again(self.pace, token, || api.patch(&name, &parameters, &patch)).await {
                // Begin anew.
                Attempt::Gone => {}
                Attempt::Refused(error) => return tracing::debug!(%error, "counting an Event"),
                Attempt::Done | Attempt::Later(_) => return,
            }
        }
        // As upstream: names in the order of time, so that lists of one second are in order too.
        self.stamp = (self.stamp + 1).max(u64::try_from(note.at.as_nanosecond()).unwrap_or(0));
        let stamp = self.stamp;
        let event = Event {
            metadata: ObjectMeta { name: Some(name_of(&note.object, stamp)), namespace: Some(namespace), ..Default::default() },
            involved_object: note.object,
            type_: Some(if note.kind == Kind::Normal { "Normal" } else { "Warning" }.to_owned()),
            reason: Some(note.reason.to_owned()),
            message: Some(message),
            source: Some(EventSource { component: Some("kubelet".to_owned()), host: Some(self.node.clone()) }),
            reporting_component: Some("kubelet".to_owned()),
            reporting_instance: Some(self.node.clone()),
            first_timestamp: Some(Time(note.at)),
            last_timestamp: Some(Time(note.at)),
            event_time: None::<MicroTime>,
            count: Some(1),
            ..Default::default()
        };
        let parameters = PostParams::default();
        match again(self.pace, token, || api.create(&parameters, &event)).await {
            Attempt::Done => self.remember(key, stamp),
            Attempt::Refused(error) => tracing::debug!(%error, "writing an Event"),
            Attempt::Gone | Attempt::Later(_) => {}
        }
    }

    /// Too many different messages of one reason about one object become one, which says the last of them. The fingerprint, and whether that
    /// is so.
    fn combine(&mut self, key: Key<'_>) -> (u64, bool) {
        if self.similar.len() >= REMEMBERED {
            self.similar.retain(|_, (_, at)| at.elapsed() < SIMILAR_FOR);
            if self.similar.len() >= REMEMBERED {
                self.similar.clear();
            }
        }
        let (whole, alike) = (self.fingerprints.hash_one(key), self.fingerprints.hash_one(Key { message: "", ..key }));
        let (messages, at) = self.similar.entry(alike).or_insert_with(|| (Vec::with_capacity(1), Instant::now()));
        if at.elapsed() > SIMILAR_FOR {
            messages.clear();
        }
        *at = Instant::now();
        if messages.contains(&whole) {
            return (whole, false);
        }
        if messages.len() + 1 < SIMILAR {
            messages.push(whole);
            return (whole, false);
        }
        (alike, true)
    }

    fn remember(&mut self, key: u64, stamp: u64) {
        if self.known.len() >= REMEMBERED {
            // Half of them, the ones not used for longest.
            let mut ages: Vec<Instant> = self.known.values().map(|k| k.used).collect();
            ages.sort_unstable();
            let middle = ages[ages.len() / 2];
            self.known.retain(|_, k| k.used > middle);
        }
        self.known.insert(key, Known { stamp, count: 1, used: Instant::now() });
    }

    /// A bucket for each object: 25 Events at once, then one in five minutes.
    fn allowed(&mut self, uid: &str) -> bool {
        let now = Instant::now();
        if self.tokens.len() >= REMEMBERED {
            self.tokens.retain(|_, (_, at)| now.duration_since(*at) < REFILL);
        }
        let (left, at) = self.tokens.entry(self.fingerprints.hash_one(uid)).or_insert((BURST, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

fn name_of(object: &ObjectReference, stamp: u64) -> String {
    format!("{}.{stamp:016x}", object.name.as_deref().unwrap_or_default())
}

/// Tries until it is done or there is no sense in going on: a busy server, or one that starts again, costs no Event.
async fn again<T, F>(pace: Pace, token: &CancellationToken, attempt: impl Fn() -> F) -> Attempt
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pause = pace.pause;
    let mut last = Attempt::Later(String::new());
    for left in (0..TRIES).rev() {
        last = match tokio::time::timeout(pace.patience, attempt()).await {
            Ok(Ok(_)) => return Attempt::Done,
            Ok(Err(kube::Error::Api(status))) => match status.code {
                // An earlier attempt came through after all.
                409 if status.reason == "AlreadyExists" => return Attempt::Done,
                404 => return Attempt::Gone,
                409 | 429 | 500.. => Attempt::Later(status.message.clone()),
                _ => return Attempt::Refused(kube::Error::Api(status)),
            },
            Ok(Err(error)) => Attempt::Later(error.to_string()),
            Err(_) => Attempt::Later("no answer in time".to_owned()),
        };
        if left == 0 || token.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            break;
        }
        pause = (pause * 2).min(pace.longest);
    }
    if let Attempt::Later(error) = &last {
        tracing::warn!(error, "an Event could not be written");
    }
    last
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    type Answers = Arc<dyn Fn(usize) -> Option<u16> + Send + Sync>;

    /// An API that answers its n-th request with a status, or never; what it took is listed.
    fn api(answers: Answers) -> (kube::Client, Arc<Mutex<Vec<String>>>) {
        let taken = Arc::new(Mutex::new(vec![]));
        let (list, count) = (taken.clone(), Arc::new(Mutex::new(0)));
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (list, answers) = (list.clone(), answers.clone());
            let n = {
                let mut count = count.lock();
                *count += 1;
                *count - 1
            };
            async move {
                let Some(status) = answers(n) else { return std::future::pending().await };
                let (parts, body) = request.into_parts();
                let body: serde_json::Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
                if status == 200 {
                    list.lock().push(format!("{} {} {}", parts.method, body["count"], body["message"].as_str().unwrap_or_default()));
                }
                let answer = if status == 200 {
                    serde_json::json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {}})
                } else {
                    let reason = if status == 409 { "AlreadyExists" } else { "" };
                    serde_json::json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": "no"})
                };
                let answer = kube::client::Body::from(answer.to_string().into_bytes());
                Ok::<_, std::io::Error>(http::Response::builder().status(status).body(answer).unwrap())
            }
        });
        (kube::Client::new(service, "default"), taken)
    }

    async fn written(answers: impl Fn(usize) -> Option<u16> + Send + Sync + 'static, messages: &[&str]) -> Vec<String> {
        let (client, taken) = api(Arc::new(answers));
        let (recorder, mut writer) = Recorder::new(client, "n");
        writer.pace = Pace { patience: Duration::from_millis(200), pause: Duration::from_millis(1), longest: Duration::from_millis(2) };
        let pod = Pod { metadata: ObjectMeta { name: Some("p".into()), uid: Some("u".into()), ..ObjectMeta::default() }, ..Pod::default() };
        for message in messages {
            recorder.pod(&pod, None, Kind::Warning, "Failed", *message);
        }
        drop(recorder);
        writer.run(CancellationToken::new()).await;
        let taken = taken.lock();
        taken.clone()
    }

    #[tokio::test]
    async fn what_fails_for_a_time_is_written_later() {
        let all = ["POST 1 a", "POST 1 b", "PATCH 2 a"];
        assert_eq!(written(|_| Some(200), &["a", "b", "a"]).await, all);
        assert_eq!(written(|n| [Some(503), None, Some(429)].get(n).copied().unwrap_or(Some(200)), &["a", "b", "a"]).await, all);
        // It was written although no answer came.
        assert_eq!(written(|n| [None, Some(409)].get(n).copied().unwrap_or(Some(200)), &["a", "b", "a"]).await, all[1..]);
        // No sense in saying it again.
        assert_eq!(written(|n| Some(if n == 0 { 403 } else { 200 }), &["a", "b"]).await, all[1..2]);
        assert_eq!(written(|n| (n >= 12).then_some(200), &["a", "b"]).await, all[1..2]);
    }

    #[tokio::test]
    async fn similar_ones_are_combined() {
        let messages: Vec<String> = (0..11).map(|i| format!("m{i}")).collect();
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        let told = written(|_| Some(200), &messages).await;
        assert_eq!(told[8..], ["POST 1 m8", "POST 1 (combined from similar events): m9", "PATCH 2 (combined from similar events): m10"]);
    }

    #[tokio::test]
    async fn an_object_has_a_burst() {
        let service =
            tower::service_fn(|_: http::Request<kube::client::Body>| async { Ok::<_, std::io::Error>(http::Response::new(kube::client::Body::empty())) });
        let (_, mut writer) = Recorder::new(kube::Client::new(service, "default"), "n");
        assert_eq!((0..30).filter(|_| writer.allowed("a")).count(), 25);
        assert!(writer.allowed("b"));
    }
}
