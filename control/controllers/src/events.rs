//! Records Events: repeated ones are counted, similar ones combined, and a flood about one object is cut off, as Kubernetes does.

use std::collections::HashMap;
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

/// What tells one Event from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same {
    uid: String,
    name: String,
    namespace: String,
    warning: bool,
    reason: &'static str,
    message: String,
}

#[derive(Clone, Debug)]
struct Known {
    name: String,
    count: i32,
    used: Instant,
}

#[derive(Default)]
struct Correlator {
    known: HashMap<Same, Known>,
    similar: HashMap<Same, (Instant, Vec<String>)>,
    tokens: HashMap<String, (f64, Instant)>,
}

/// One call to make.
enum Write {
    Create { same: Same, event: Box<Event> },
    Count { same: Same, name: String, count: i32, at: Timestamp, again: Box<Event> },
}

impl Correlator {
    fn take(&mut self, note: Note, component: &str, now: Instant, at: Timestamp) -> Option<Write> {
        self.forget(now);
        let uid = note.about.uid.clone().unwrap_or_default();
        let about = (note.about.name.clone().unwrap_or_default(), note.about.namespace.clone().unwrap_or_default());
        if !self.admit(format!("{uid}/{}/{}", about.1, about.0), now) {
            return None;
        }
        let mut same = Same { uid, name: about.0, namespace: about.1, warning: note.warning, reason: note.reason, message: String::new() };
        let (since, messages) = self.similar.entry(same.clone()).or_insert_with(|| (now, Vec::new()));
        if now - *since > SIMILAR_FOR {
            messages.clear();
        }
        *since = now;
        if !messages.contains(&note.message) {
            messages.push(note.message.clone());
        }
        let message = if messages.len() >= SIMILAR {
            messages.truncate(SIMILAR);
            format!("(combined from similar events): {}", note.message)
        } else {
            same.message.clone_from(&note.message);
            note.message.clone()
        };
        let event = event(&note, component, message, at);
        match self.known.get_mut(&same) {
            Some(known) => {
                known.count += 1;
                known.used = now;
                Some(Write::Count { name: known.name.clone(), count: known.count, at, again: Box::new(event), same })
            }
            None => {
                let name = event.metadata.name.clone().unwrap_or_default();
                self.known.insert(same.clone(), Known { name, count: 1, used: now });
                Some(Write::Create { same, event: Box::new(event) })
            }
        }
    }

    /// One token of the object's bucket.
    fn admit(&mut self, object: String, now: Instant) -> bool {
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
        let (same, event) = match self {
            Write::Create { same, event } => (same, event),
            Write::Count { same, name, count, at, again } => {
                let path = format!("{}/{name}", path(&again));
                let patch = json!({"count": count, "lastTimestamp": Time(at), "message": again.message});
                match call(client, "PATCH", path, "application/merge-patch+json", patch.to_string().into_bytes()).await {
                    Ok(()) => return,
                    Err(kube::Error::Api(status)) if status.code == 404 => (same, again), // it has expired
                    Err(error) => return tracing::debug!(%error, "Unable to write event"),
                }
            }
        };
        let body = serde_json::to_vec(&*event).expect("an Event has text keys and serialises");
        match call(client, "POST", path(&event), "application/json", body).await {
            Ok(()) => {
                if let Some(known) = correlator.known.get_mut(&same) {
                    known.name = event.metadata.name.unwrap_or_default();
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

fn event(note: &Note, component: &str, message: String, at: Timestamp) -> Event {
    let about = note.about.name.as_deref().unwrap_or_default();
    let namespace = note.about.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta { name: Some(format!("{about}.{:x}", at.as_nanosecond())), namespace: Some(namespace), ..ObjectMeta::default() },
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
