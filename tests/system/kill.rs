//! `kill -9` of the whole program under a load of writes and watches, through the API: what was acknowledged is there, what a
//! watch has shown is never taken back, and a watch goes on without a gap or is told that it cannot (410).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::cluster::{Cluster, eventually};

/// All tests of this file.
pub fn trials() -> Vec<Trial> {
    vec![Trial::test("kill::writes_and_watches_survive_kill_9", writes_and_watches_survive_kill_9)]
}

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const ROUNDS: usize = 4;
const WRITERS: usize = 4;
const KEYS: usize = 7;
/// Writes that are acknowledged before the process is killed, at least.
const WRITES: usize = 60;

/// What an object says, and in which version; `None` where it is deleted.
type Seen = Option<(u64, u64)>;

/// What a writer knows of its objects.
#[derive(Default)]
struct Written {
    /// By name: what was acknowledged last.
    acknowledged: BTreeMap<String, Seen>,
    /// What was asked for last, and not answered: it may have been done or not.
    asked: Option<(String, Option<u64>)>,
    /// The number of the next write.
    next: u64,
}

fn number(object: &Value) -> u64 {
    object["data"]["n"].as_str().and_then(|n| n.parse().ok()).unwrap_or_default()
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().and_then(|n| n.parse().ok()).unwrap_or_default()
}

/// Makes, changes and deletes objects of its own until the server does not answer any more.
fn write(api: &Client, writer: usize, mut written: Written, count: &AtomicUsize) -> Written {
    loop {
        let n = written.next;
        let name = format!("w{writer}-{}", n as usize % KEYS);
        let one = format!("{PATH}/{name}");
        let there = written.acknowledged.get(&name).is_some_and(Option::is_some);
        let delete = there && n.is_multiple_of(5);
        written.asked = Some((name.clone(), (!delete).then_some(n)));
        let answer = match (there, delete) {
            (_, true) => api.request("DELETE", &one, "", None),
            (true, false) => {
                let patch = json!({"data": {"n": n.to_string()}}).to_string();
                api.request("PATCH", &one, "application/merge-patch+json", Some(patch.as_bytes()))
            }
            (false, false) => {
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"n": n.to_string(), "p": "x".repeat(n as usize * 37 % 1500)}});
                api.request("POST", PATH, "application/json", Some(object.to_string().as_bytes()))
            }
        };
        // An answer that was cut is none.
        let Some(object) = answer.ok().filter(|a| matches!(a.status, 200 | 201)).and_then(|a| a.json().ok()) else { return written };
        written.acknowledged.insert(name, (!delete).then(|| (n, version(&object))));
        written.asked = None;
        written.next = n + 1;
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client that keeps a copy of all objects by a watch.
#[derive(Default)]
struct Watcher {
    objects: BTreeMap<String, (u64, u64)>,
    /// From where it goes on.
    at: u64,
    /// Deletions it was told of.
    deleted: BTreeMap<String, u64>,
}

/// Why a watcher stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Gone,
    Expired,
    Marker,
}

impl Watcher {
    fn list(&mut self, api: &Client) -> Result<(), Failed> {
        let list = api.get(PATH)?;
        self.at = version(&list);
        self.objects = objects(&list);
        Ok(())
    }

    /// Follows until the server is gone, says 410, or has shown the object `marker`.
    fn follow(&mut self, api: &Client, marker: &str) -> Result<Stop, Failed> {
        let path = format!("{PATH}?watch=true&allowWatchBookmarks=true&resourceVersion={}", self.at);
        let watch = match api.watch(&path) {
            Ok(watch) => watch,
            Err(error) if error.message() == Some("410") => return Ok(Stop::Expired),
            Err(error) => return Err(error),
        };
        for event in watch {
            let object = &event["object"];
            if event["type"] == "ERROR" {
                return if object["code"] == 410 { Ok(Stop::Expired) } else { Err(event.to_string().into()) };
            }
            if version(object) <= self.at && event["type"] != "BOOKMARK" {
                return Err(format!("an event of {} after {}: {event}", version(object), self.at).into());
            }
            self.at = version(object);
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => drop(self.objects.insert(name.clone(), (number(object), self.at))),
                Some("DELETED") => {
                    self.objects.remove(&name);
                    self.deleted.insert(name.clone(), self.at);
                }
                _ => {}
            }
            if name == marker {
                return Ok(Stop::Marker);
            }
        }
        Ok(Stop::Gone)
    }
}

/// The writers' objects of a list.
fn objects(list: &Value) -> BTreeMap<String, (u64, u64)> {
    let items = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let all = items.iter().map(|item| (item["metadata"]["name"].as_str().unwrap_or_default().to_owned(), (number(item), version(item))));
    all.collect()
}

fn writes_and_watches_survive_kill_9() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let mut cluster = Cluster::start_on(folder.path(), &[])?;
    // What else is in the namespace comes first, so that nobody but the writers writes there.
    eventually("kube-root-ca.crt", || cluster.api.get(&format!("{PATH}/kube-root-ca.crt")))?;
    let mut writers: Vec<Written> = (0..WRITERS).map(|_| Written::default()).collect();
    let mut watchers = vec![Watcher::default(), Watcher::default()];
    for watcher in &mut watchers {
        watcher.list(&cluster.api)?;
    }
    for round in 0..ROUNDS {
        let count = Arc::new(AtomicUsize::new(0));
        let writing: Vec<JoinHandle<Written>> = std::mem::take(&mut writers)
            .into_iter()
            .enumerate()
            .map(|(writer, written)| {
                let (api, count) = (cluster.api.clone(), count.clone());
                std::thread::spawn(move || write(&api, writer, written, &count))
            })
            .collect();
        let watching: Vec<JoinHandle<Result<Watcher, Failed>>> = std::mem::take(&mut watchers)
            .into_iter()
            .map(|mut watcher| {
                let api = cluster.api.clone();
                std::thread::spawn(move || match watcher.follow(&api, "")? {
                    Stop::Gone => Ok(watcher),
                    stop => Err(format!("a watch of a running server ended: {stop:?}").into()),
                })
            })
            .collect();
        eventually("writes", || match count.load(Ordering::Relaxed) {
            n if n >= WRITES => Ok(()),
            n => Err(n.to_string().into()),
        })?;
        // Not always between two writes of the test's own making.
        std::thread::sleep(Duration::from_micros(7919 * (round as u64 + 1)));
        cluster.kill()?;
        for written in writing {
            writers.push(written.join().map_err(|_| "a writer panicked")?);
        }
        for watcher in watching {
            watchers.push(watcher.join().map_err(|_| "a watcher panicked")??);
        }

        cluster = Cluster::start_on(folder.path(), &[])?;
        let list = cluster.api.get(PATH)?;
        let found = objects(&list);
        for written in &mut writers {
            nothing_is_lost(round, written, &found)?;
        }
        for watcher in &mut watchers {
            nothing_shown_is_taken_back(round, watcher, &found)?;
        }
        everyone_goes_on(round, &cluster, &mut watchers)?;
    }
    Ok(())
}

/// Every object is as it was acknowledged, or as the one write asks for that was not answered. The writer learns which.
fn nothing_is_lost(round: usize, written: &mut Written, found: &BTreeMap<String, (u64, u64)>) -> Result<(), Failed> {
    let asked = written.asked.take();
    if let Some((name, wanted)) = &asked {
        let now = found.get(name).copied();
        if now.map(|(n, _)| n) == *wanted {
            written.acknowledged.insert(name.clone(), now);
            written.next += 1;
        }
    }
    for (name, acknowledged) in &written.acknowledged {
        if found.get(name).copied() != *acknowledged {
            return Err(format!("round {round}: {name} was acknowledged as {acknowledged:?}, and is {:?}; unanswered: {asked:?}", found.get(name)).into());
        }
    }
    Ok(())
}

/// No object is older than a watch has shown it.
fn nothing_shown_is_taken_back(round: usize, watcher: &Watcher, found: &BTreeMap<String, (u64, u64)>) -> Result<(), Failed> {
    for (name, (_, shown)) in &watcher.objects {
        if found.get(name).is_some_and(|(_, now)| now < shown) {
            return Err(format!("round {round}: a watch has shown {name} at {shown}, and it is {:?}", found.get(name)).into());
        }
    }
    for (name, deleted) in watcher.deleted.iter().filter(|(name, _)| !watcher.objects.contains_key(*name)) {
        if found.get(name).is_some_and(|(_, now)| now < deleted) {
            return Err(format!("round {round}: a watch has shown that {name} is deleted at {deleted}, and it is {:?}", found.get(name)).into());
        }
    }
    Ok(())
}

/// Each watcher goes on from where it was, or is told to list anew; then it knows all.
fn everyone_goes_on(round: usize, cluster: &Cluster, watchers: &mut Vec<Watcher>) -> Result<(), Failed> {
    let marker = format!("marker-{round}");
    cluster.api.create(PATH, &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": marker}, "data": {"n": "0"}}))?;
    let list = objects(&cluster.api.get(PATH)?);
    for watcher in watchers {
        let mut stop = watcher.follow(&cluster.api, &marker)?;
        if stop == Stop::Expired {
            watcher.list(&cluster.api)?;
            // What it has now includes the marker; a watch from here is at its end.
            stop = if watcher.objects.contains_key(&marker) { Stop::Marker } else { Stop::Gone };
        }
        if stop != Stop::Marker || watcher.objects != list {
            return Err(format!("round {round}: {stop:?}; a watcher has {:?}, the list {list:?}", watcher.objects).into());
        }
    }
    Ok(())
}
