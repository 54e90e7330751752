//! Records Events: repeated ones are counted, similar ones combined, and a flood about one object is cut off, as Kubernetes does.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::action::Note;

/// Notes waiting to be written; more are dropped.
const QUEUED: usize = 1_000;
/// Events remembered, to be counted when they come again.
const REMEMBERED: usize = 4_096;
/// So many different messages of one reason about one object within [`SIMILAR_FOR`] are told apart.
const SIMILAR: usize = 10;
const SIMILAR_FOR: Duration = Duration::from_secs(600);
/// So many Events about one object are written at once, then one each [`REFILL`].
const BURST: f64 = 25.0;
const REFILL: Duration = Duration::from_secs(300);

/// Takes notes and writes them as Events in the background.
pub(crate) struct Recorder {
    notes: mpsc::Sender<Note>,
}

impl Recorder {
    /// A recorder and the task that writes its Events, which ends when the recorder is dropped and all is written.
    pub(crate) fn new(client: Client, component: &'static str) -> (Recorder, impl Future<Output = ()> + Send + 'static) {
        let (notes, mut taken) = mpsc::channel(QUEUED);
        let task = async move {
            let mut correlator = Correlator::default();
            while let Some(note) = taken.recv().await {
                if let Some(write) = correlator.take(note, component, Instant::now(), Timestamp::now()) {
                    write.send(&client, &mut correlator).await;
                }
            }
        };
        (Recorder { notes }, task)
    }

    /// Records an Event, unless too many wait already.
    pub(crate) fn record(&self, note: Note) {
        let Note { about, warning, reason, message } = &note;
        let object = match (&about.namespace, &about.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            (_, name) => name.clone().unwrap_or_default(),
        };
        let kind = if *warning { "Warning" } else { "Normal" };
        tracing::info!(object, kind = about.kind, apiVersion = about.api_version, r#type = kind, reason, note = message, "Event occurred");
        if let Err(error) = self.notes.try_send(note) {
            tracing::debug!(%error, "Event dropped");
        }
    }
}

/// What was said before. It is remembered by fingerprints: most of it is said only once.
#[derive(Default)]
struct Correlator {
    fingerprints: RandomState,
    /// By the fingerprint of all that tells one Event from another.
    known: HashMap<u64, Known>,
    /// Fingerprints of the messages said of late, by that of the rest.
    similar: HashMap<u64, (Instant, Vec<u64>)>,
    tokens: HashMap<u64, (f64, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// What its name ends with.
    stamp: i128,
    count: i32,
    used: Instant,
}

/// One call to make.
enum Write {
    Create { same: u64, event: Box<Event>, at: Timestamp },
    Count { same: u64, name: String, count: i32, at: Timestamp, again: Box<Event> },
}

impl Correlator {
    fn take(&mut self, note: Note, component: &str, now: Instant, at: Timestamp) -> Option<Write> {
        self.forget(now);
        let about = (&note.about.uid, &note.about.namespace, &note.about.name);
        if !self.admit(self.fingerprints.hash_one(about), now) {
            return None;
        }
        let but_message = (about, note.warning, note.reason);
        let (since, messages) = self.similar.entry(self.fingerprints.hash_one(but_message)).or_insert_with(|| (now, Vec::with_capacity(1)));
        if now - *since > SIMILAR_FOR {
            messages.clear();
        }
        *since = now;
        let said = self.fingerprints.hash_one(&note.message);
        if !messages.contains(&said) {
            messages.push(said);
        }
        let (same, message) = if messages.len() >= SIMILAR {
            messages.truncate(SIMILAR);
            (self.fingerprints.hash_one((but_message, "")), format!("(combined from similar events): {}", note.message))
        } else {
            (self.fingerprints.hash_one((but_message, &note.message)), note.message.clone())
        };
        let event = Box::new(event(&note, component, message, at));
        match self.known.get_mut(&same) {
            Some(known) => {
                known.count += 1;
                known.used = now;
                Some(Write::Count { name: name_of(&note, known.stamp), count: known.count, at, again: event, same })
            }
            None => {
                self.known.insert(same, Known { stamp: at.as_nanosecond(), count: 1, used: now });
                Some(Write::Create { same, event, at })
            }
        }
    }

    /// One token of the object's bucket.
    fn admit(&mut self, object: u64, now: Instant) -> bool {
        let (tokens, since) = self.tokens.entry(object).or_insert((BURST, now));
        *tokens = (*tokens + (now - *since).as_secs_f64() / REFILL.as_secs_f64()).min(BURST);
        *since = now;
        let admitted = *tokens >= 1.0;
        if admitted {
            *tokens -= 1.0;
        }
        admitted
    }

    /// Keeps the memory bounded: the older half goes.
    fn forget(&mut self, now: Instant) {
        if self.known.len() > REMEMBERED {
            let mut ages: Vec<_> = self.known.values().map(|k| k.used).collect();
            ages.sort();
            let middle = ages[ages.len() / 2];
            self.known.retain(|_, k| k.used > middle);
        }
        if self.similar.len() > REMEMBERED {
            self.similar.retain(|_, (since, _)| now - *since < SIMILAR_FOR / 10);
        }
        if self.tokens.len() > REMEMBERED {
            self.tokens.retain(|_, (tokens, _)| *tokens < BURST - 1.0);
            if self.tokens.len() > REMEMBERED {
                self.tokens.clear();
            }
        }
    }
}

impl Write {
    async fn send(self, client: &Client, correlator: &mut Correlator) {
        let (same, event, at) = match self {
            Write::Create { same, event, at } => (same, event, at),
            Write::Count { same, name, count, at, again } => {
                let path = format!("{}/{name}", path(&again));
                let patch = json!({"count": count, "lastTimestamp": Time(at), "message": again.message});
                match call(client, "PATCH", path, "application/merge-patch+json", patch.to_string().into_bytes()).await {
                    Ok(()) => return,
                    Err(kube::Error::Api(status)) if status.code == 404 => (same, again, at), // it has expired
                    Err(error) => return tracing::debug!(%error, "Unable to write event"),
                }
            }
        };
        let body = serde_json::to_vec(&*event).expect("an Event has text keys and serialises");
        match call(client, "POST", path(&event), "application/json", body).await {
            Ok(()) => {
                if let Some(known) = correlator.known.get_mut(&same) {
                    known.stamp = at.as_nanosecond();
                    known.count = 1;
                }
            }
            Err(error) => {
                correlator.known.remove(&same);
                tracing::debug!(%error, "Unable to write event");
            }
        }
    }
}

fn path(event: &Event) -> String {
    format!("/api/v1/namespaces/{}/events", event.metadata.namespace.as_deref().unwrap_or("default"))
}

async fn call(client: &Client, method: &str, path: String, content_type: &str, body: Vec<u8>) -> Result<(), kube::Error> {
    let request = http::Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, content_type).body(body);
    client.request_text(request.map_err(kube::Error::HttpError)?).await.map(|_| ())
}

fn name_of(note: &Note, stamp: i128) -> String {
    format!("{}.{stamp:x}", note.about.name.as_deref().unwrap_or_default())
}

fn event(note: &Note, component: &str, message: String, at: Timestamp) -> Event {
    let namespace = note.about.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta { name: Some(name_of(note, at.as_nanosecond())), namespace: Some(namespace), ..ObjectMeta::default() },
        involved_object: note.about.clone(),
        type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(note.reason.to_owned()),
        message: Some(message),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        reporting_instance: Some(String::new()),
        first_timestamp: Some(Time(at)),
        last_timestamp: Some(Time(at)),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ObjectReference;

    fn note(message: String) -> Note {
        let about =
            ObjectReference { name: Some("web".to_owned()), namespace: Some("default".to_owned()), uid: Some("u".to_owned()), ..ObjectReference::default() };
        Note { about, warning: false, reason: "SuccessfulCreate", message }
    }

    fn told(correlator: &mut Correlator, message: &str, now: Instant) -> String {
        match correlator.take(note(message.to_owned()), "test", now, Timestamp::UNIX_EPOCH) {
            Some(Write::Create { event, .. }) => format!("new: {}", event.message.unwrap_or_default()),
            Some(Write::Count { count, again, .. }) => format!("x{count}: {}", again.message.unwrap_or_default()),
            None => "nothing".to_owned(),
        }
    }

    #[test]
    fn the_same_is_counted_and_the_similar_combined() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        assert_eq!(told(&mut correlator, "a", now), "new: a");
        assert_eq!(told(&mut correlator, "a", now), "x2: a");
        let more: Vec<String> = (0..10).map(|i| told(&mut correlator, &format!("m{i}"), now)).collect();
        assert_eq!(more[0], "new: m0");
        assert_eq!(more[7], "new: m7");
        assert_eq!(more[8..], ["new: (combined from similar events): m8", "x2: (combined from similar events): m9"]);
    }

    #[test]
    fn a_flood_about_one_object_is_cut_off() {
        let mut correlator = Correlator::default();
        let now = Instant::now();
        let written = (0..100).filter(|i| told(&mut correlator, &format!("m{i}"), now) != "nothing").count();
        assert_eq!(written, 25);
        assert_ne!(told(&mut correlator, "later", now + Duration::from_secs(301)), "nothing");
    }
}
