//! `kill -9` at random moments of a write load, many times: every acknowledged write is there, every
//! unacknowledged one is whole or absent, and watches resume where they can and expire where not.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use tempfile::TempDir;
use wharf_store::{Expect, NewValue, Options, RedbStore, Store, Write, key};

const ROUNDS: usize = 25;
const WRITERS: u64 = 8;
const KEYS: u64 = 40;
const FOLDER: &str = "WHARF_KILL_TEST_FOLDER";

fn value(n: u64) -> NewValue {
    let head = r#"{"metadata":{"resourceVersion":""#;
    // Of many sizes, so that pages split and merge.
    let padding = "x".repeat((n * 7919 % 3000) as usize);
    NewValue { json: format!(r#"{head}"}},"n":{n},"p":"{padding}","end":true}}"#).into_bytes(), revision_at: head.len() }
}

/// The process that gets killed: this test binary once more. It prints a line for each acknowledgement.
#[test]
fn writes_until_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Arc::new(RedbStore::open(std::path::Path::new(&folder).join("wharf.redb").as_path(), Options::default()).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    for n in 0.. {
                        // Each writer has keys of its own, so that the last acknowledgement decides.
                        let name = format!("w{writer}-{}", n % KEYS);
                        let key = key("", "pods", "default", &name);
                        let expect = if store.cache().get(&key).is_some() { Expect::Exists } else { Expect::Absent };
                        let delete = expect == Expect::Exists && n % 5 == 0;
                        let item = store.write(Write { key, expect, value: (!delete).then(|| value(n)) }).await.unwrap();
                        println!("ack {name} {} {}", if delete { "-".to_owned() } else { n.to_string() }, item.revision());
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn an_acknowledged_write_survives_kill_9() {
    let folder = TempDir::new().unwrap();
    let mut acknowledged: BTreeMap<String, (String, u64)> = BTreeMap::new();
    let mut total = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writes_until_killed", "--exact", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || output.split(b'\n').map_while(Result::ok).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(30..250)));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut newest = 0;
        for line in reader.join().unwrap() {
            // The harness may print before the first; the last line may be cut.
            let line = String::from_utf8(line).unwrap();
            let Some(rest) = line.find("ack w").map(|at| &line[at + 4..]) else { continue };
            if let [name, n, revision] = rest.split(' ').collect::<Vec<_>>()[..]
                && let Ok(revision) = revision.parse::<u64>()
                && acknowledged.get(name).is_none_or(|(_, before)| *before < revision)
            {
                acknowledged.insert(name.to_owned(), (n.to_owned(), revision));
                newest = newest.max(revision);
                total += 1;
            }
        }

        let store = RedbStore::open(&folder.path().join("wharf.redb"), Options::default()).unwrap();
        let cache = store.cache();
        assert!(cache.revision() >= newest, "round {round}: the revision went back");
        for (name, (n, revision)) in &acknowledged {
            match cache.get(&format!("core/pods/default/{name}")) {
                Some(item) if item.revision() == *revision => {
                    let wanted = value(n.parse().unwrap_or_else(|_| panic!("round {round}: {name} was deleted at {revision}, and is here")));
                    let tail = &wanted.json[wanted.revision_at..];
                    assert!(item.json().ends_with(tail), "round {round}: {name} is damaged");
                }
                // A later write that was not acknowledged may have come through, whole.
                Some(item) => {
                    assert!(item.revision() > *revision, "round {round}: {name} lost {revision}, has {}", item.revision());
                    assert!(item.json().ends_with(br#","end":true}"#), "round {round}: {name} is damaged");
                }
                // The writer deletes every fifth number, which is always the same keys.
                None => assert!(n == "-" || n.parse::<u64>().is_ok_and(|n| n % 5 == 0), "round {round}: {name} lost {revision}"),
            }
        }
        // A watch from before the kill would miss events; from the state it now shows, it goes on.
        assert!(cache.watch("core/pods", cache.revision() - 1).is_err());
        assert!(cache.watch("core/pods", cache.revision()).is_ok());
    }
    assert!(total > ROUNDS * 10, "only {total} writes: the test tests nothing");
}
