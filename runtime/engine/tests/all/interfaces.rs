//! `wasi:config`, `wasi:logging` and `wasi:keyvalue`, as guests built with the SDK use them.

use crate::http::{call, get};
use crate::support::*;
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use wharf_engine::*;

const GUESTS: [(&str, Entry); 2] = [("sdk", Entry::HttpP2), ("sdk-p3", Entry::HttpP3)];

/// Buckets in memory; the name `none` is nobody's.
#[derive(Default, Clone)]
struct Memory(Arc<Mutex<BTreeMap<String, Versioned>>>);

impl KeyValue for Memory {
    fn open(&self, identifier: String) -> BoxFuture<'static, Result<Arc<dyn Bucket>, KeyValueError>> {
        let bucket: Arc<dyn Bucket> = Arc::new(self.clone());
        Box::pin(std::future::ready(if identifier == "none" { Err(KeyValueError::NoSuchStore) } else { Ok(bucket) }))
    }
}

impl Bucket for Memory {
    fn get(&self, key: String) -> BoxFuture<'static, Result<Option<Versioned>, KeyValueError>> {
        let found = self.0.lock().unwrap().get(&key).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }
    fn keys(&self, after: Option<String>) -> BoxFuture<'static, Result<(Vec<String>, bool), KeyValueError>> {
        // Pages of one.
        let mut left: Vec<String> = self.0.lock().unwrap().keys().filter(|k| after.as_ref().is_none_or(|a| *k > a)).cloned().collect();
        let more = left.len() > 1;
        left.truncate(1);
        Box::pin(std::future::ready(Ok((left, more))))
    }
    fn write(&self, write: Write) -> BoxFuture<'static, Result<Written, KeyValueError>> {
        let mut all = self.0.lock().unwrap();
        let next = all.values().map(|v| v.version).max().unwrap_or(0) + 1;
        let mut set = |key, value| drop(all.insert(key, Versioned { value, version: next }));
        let written = match write {
            Write::Set(values) => {
                values.into_iter().for_each(|(k, v)| set(k, v));
                Written::Done
            }
            Write::Delete(keys) => {
                all.retain(|k, _| !keys.contains(k));
                Written::Done
            }
            Write::Add { key, delta, .. } => {
                let now = all.get(&key).map_or(0, |v| String::from_utf8_lossy(&v.value).parse().unwrap());
                all.insert(key, Versioned { value: (now + delta).to_string().into(), version: next });
                Written::Sum(now + delta)
            }
            Write::Swap { key, version, .. } if all.get(&key).map(|v| v.version) != version => Written::Changed,
            Write::Swap { key, value, .. } => {
                all.insert(key, Versioned { value, version: next });
                Written::Done
            }
        };
        Box::pin(std::future::ready(Ok(written)))
    }
}

#[test]
fn what_they_import_is_offered() {
    for (guest, entry) in GUESTS {
        let seen = inspect(&guest_bytes(guest)).unwrap();
        for interface in ["wasi:config/store@0.2.0-rc.1", "wasi:logging/logging@0.1.0-draft", "wasi:keyvalue/atomics@0.2.0-draft2"] {
            assert!(seen.imports.iter().any(|i| i == interface), "{interface} is not imported by {guest}: {:?}", seen.imports);
            assert!(offers().any(|o| o == interface), "{interface} is not offered");
        }
        assert_eq!((ENGINE.check(&seen), seen.choose(false)), (Ok(()), Ok(entry)));
    }
}

#[tokio::test]
async fn answers_of_every_kind() {
    for (guest, entry) in GUESTS {
        let s = setup(entry, &[]);
        let h = serve(&program(guest), s.spec);
        assert_eq!(get(&h, "/").await, (200, "Hello, WASI!".into()));
        assert_eq!(get(&h, "/created").await, (201, "[1,2]".into()));
        assert_eq!(get(&h, "/nothing").await, (404, "no such path".into()));
        assert_eq!(get(&h, "/error").await, (500, "Internal Server Error\n".into()));
        s.log.wait_for("asked to fail: secret").await;
        let text = "round and round ".repeat(10_000);
        for path in ["/echo", "/text"] {
            let answer = call(&h, path, &text).await.unwrap();
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text, "{guest} {path}");
        }
        assert_eq!(h.failures().borrow().traps, 0);
    }
}

#[tokio::test]
async fn configuration() {
    for (guest, entry) in GUESTS {
        let root = tempfile::tempdir().unwrap();
        let volume = tempfile::tempdir().unwrap();
        std::fs::write(volume.path().join("page"), "from a file\n").unwrap();
        std::fs::write(volume.path().join("greeting"), "hidden").unwrap();
        let mut mounts = MountTable::new(root.path(), false).unwrap();
        mounts.mount(volume.path(), "/etc/config", true).unwrap();
        let mut s = setup_in(entry, &[], root, mounts);
        s.spec.env = [("GREETING", "hello"), ("RETRIES", "3")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let h = serve(&program(guest), s.spec);
        assert_eq!(get(&h, "/settings").await, (200, r#"{"greeting":"hello","retries":3,"page":"from a file"}"#.into()));
        assert_eq!(get(&h, "/config?page").await.1, "from a file");
        assert_eq!(get(&h, "/config?..data").await.1, "-");
        assert_eq!(get(&h, "/all").await.1, "GREETING=hello\nRETRIES=3\npage=from a file\n");
        std::fs::write(volume.path().join("page"), "another").unwrap();
        assert_eq!(get(&h, "/config?page").await.1, "another");
    }
}

#[tokio::test]
async fn logging() {
    for (guest, entry) in GUESTS {
        let s = setup(entry, &[]);
        let h = serve(&program(guest), s.spec);
        assert_eq!(get(&h, "/log?7").await.0, 204);
        let context = guest.replace('-', "_");
        assert_eq!(s.log.text(), format!("INFO {context}: told 7\nERROR {context}: two\n    lines\n"));
        let mut s = setup(entry, &[]);
        s.spec.env = [("LOG_LEVEL".to_owned(), "debug".to_owned())].into();
        let h = serve(&program(guest), s.spec);
        get(&h, "/log?7").await;
        assert!(s.log.text().contains(&format!("DEBUG {context}: not told\n")), "{}", s.log.text());
    }
}

#[tokio::test]
async fn key_value() {
    for (guest, entry) in GUESTS {
        let mut s = setup(entry, &[]);
        let memory = Memory::default();
        s.spec.key_value = Arc::new(memory.clone());
        let h = serve(&program(guest), s.spec);
        assert_eq!((get(&h, "/count").await.1, get(&h, "/count").await.1), ("1".into(), "2".into()));
        memory.0.lock().unwrap().clear();
        let expected = r#"None false Some([49]) [Some([51]), None, Some([50])] 5 -2 other! ["a", "b", "c", "n"] []"#;
        assert_eq!(get(&h, "/keyvalue?default").await, (200, expected.into()));
        assert_eq!(get(&h, "/keyvalue?none").await.0, 500);
        s.log.wait_for("open bucket none: ").await;
        assert!(s.log.text().contains("NoSuchStore"), "{}", s.log.text());
        // Without any, each is refused.
        let h = serve(&program(guest), setup(entry, &[]).spec);
        assert_eq!(get(&h, "/count").await.0, 500);
    }
}
