//! The store as its users see it: compare-and-swap, snapshots, watches, restarts.

use std::sync::Arc;

use tempfile::TempDir;
use wharf_store::{EventKind, Expect, Item, Limits, NewValue, Options, RedbStore, Store, Write, WriteError, key};

fn value(text: &str) -> Option<NewValue> {
    let head = r#"{"metadata":{"resourceVersion":""#;
    Some(NewValue { json: format!(r#"{head}"}},"v":"{text}"}}"#).into_bytes(), revision_at: head.len() })
}

fn pod(name: &str) -> Arc<str> {
    key("", "pods", "default", name)
}

async fn write(store: &RedbStore, name: &str, expect: Expect, text: Option<&str>) -> Result<Arc<Item>, WriteError> {
    store.write(Write { key: pod(name), expect, value: text.and_then(value) }).await
}

fn open(folder: &TempDir) -> RedbStore {
    RedbStore::open(&folder.path().join("wharf.redb"), Options::default()).expect("the store opens")
}

#[tokio::test]
async fn writes_compare_and_swap() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let first = write(&store, "a", Expect::Absent, Some("1")).await.unwrap();
    assert_eq!(std::str::from_utf8(&first.json()).unwrap(), format!(r#"{{"metadata":{{"resourceVersion":"{}"}},"v":"1"}}"#, first.revision()));
    assert!(matches!(write(&store, "a", Expect::Absent, Some("2")).await, Err(WriteError::Exists(_))));
    assert!(matches!(write(&store, "b", Expect::Exists, Some("2")).await, Err(WriteError::NotFound)));
    let second = write(&store, "a", Expect::Revision(first.revision()), Some("2")).await.unwrap();
    assert_eq!(second.revision(), first.revision() + 1);
    match write(&store, "a", Expect::Revision(first.revision()), Some("3")).await {
        Err(WriteError::Conflict(current)) => assert_eq!(current.revision(), second.revision()),
        other => panic!("{other:?}"),
    }
    let gone = write(&store, "a", Expect::Exists, None).await.unwrap();
    assert_eq!(gone.revision(), second.revision() + 1);
    assert!(store.cache().get("core/pods/default/a").is_none());
    assert!(matches!(write(&store, "a", Expect::Exists, None).await, Err(WriteError::NotFound)));
    let bad = Write { key: pod("c"), expect: Expect::Absent, value: Some(NewValue { json: vec![], revision_at: 9 }) };
    assert!(matches!(store.write(bad).await, Err(WriteError::Malformed)));
}

#[tokio::test]
async fn a_snapshot_pages_over_what_it_began_with() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for name in ["a", "b", "c", "d"] {
        write(&store, name, Expect::Absent, Some("1")).await.unwrap();
    }
    store.write(Write { key: key("", "pods", "other", "x"), expect: Expect::Absent, value: value("1") }).await.unwrap();
    let snapshot = store.cache().snapshot("core/pods");
    let page = |after: Option<&str>| -> Vec<String> { snapshot.range("core/pods/default/", after).take(2).map(|i| i.key().to_string()).collect() };
    assert_eq!(page(None), ["core/pods/default/a", "core/pods/default/b"]);
    write(&store, "c", Expect::Exists, None).await.unwrap();
    write(&store, "bb", Expect::Absent, Some("1")).await.unwrap();
    assert_eq!(page(Some("core/pods/default/b")), ["core/pods/default/c", "core/pods/default/d"]);
    assert_eq!(snapshot.len(), 5);
    assert!(store.cache().revision() > snapshot.revision());
}

#[tokio::test]
async fn a_watch_sees_every_event_in_order_and_bookmarks_move_it_on() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(open(&folder));
    let start = store.cache().revision();
    let mut cursor = store.cache().watch("core/pods", start).unwrap();
    assert_eq!(cursor.bookmark(), Some(start));
    let writer = store.clone();
    let task = tokio::spawn(async move {
        for n in 0..2000 {
            write(&writer, &format!("p{n}"), Expect::Absent, Some("1")).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 2000 {
        for event in cursor.next().await.unwrap() {
            assert_eq!(event.kind, EventKind::Added);
            seen.push(event.revision());
        }
    }
    task.await.unwrap();
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap, no repetition");
    store.write(Write { key: key("", "secrets", "default", "s"), expect: Expect::Absent, value: value("1") }).await.unwrap();
    assert!(cursor.poll().unwrap().is_empty(), "another resource's events are not its business");
    assert_eq!(cursor.bookmark(), Some(store.cache().revision()));
    let mut early = store.cache().watch("core/pods", seen[10]).unwrap();
    assert_eq!(early.poll().unwrap()[0].revision(), seen[11]);
    assert_eq!(early.bookmark(), None, "events wait");
}

#[tokio::test]
async fn a_deletion_shows_the_last_value_under_its_own_revision() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let made = write(&store, "a", Expect::Absent, Some("1")).await.unwrap();
    let mut cursor = store.cache().watch("core/pods", made.revision()).unwrap();
    let gone = write(&store, "a", Expect::Revision(made.revision()), None).await.unwrap();
    let events = cursor.next().await.unwrap();
    let line = format!("{{\"type\":\"DELETED\",\"object\":{{\"metadata\":{{\"resourceVersion\":\"{}\"}},\"v\":\"1\"}}}}\n", gone.revision());
    assert_eq!(events[0].frame(), line.as_bytes());
    assert_eq!(events[0].previous.as_ref().unwrap().revision(), made.revision());
    assert!(events[0].frame_as(EventKind::Added).starts_with(b"{\"type\":\"ADDED\","));
}

#[tokio::test]
async fn a_restart_keeps_objects_and_counts_on_and_old_watches_expire() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    write(&store, "a", Expect::Absent, Some("1")).await.unwrap();
    let kept = write(&store, "a", Expect::Exists, Some("2")).await.unwrap();
    write(&store, "b", Expect::Absent, Some("1")).await.unwrap();
    let last = write(&store, "b", Expect::Exists, None).await.unwrap();
    store.close().await;
    assert!(matches!(write(&store, "c", Expect::Absent, Some("1")).await, Err(WriteError::Closed)));
    drop(store);

    let store = open(&folder);
    assert_eq!(store.cache().revision(), last.revision());
    let again = store.cache().get("core/pods/default/a").unwrap();
    assert_eq!((again.revision(), again.json()), (kept.revision(), kept.json()));
    assert!(store.cache().watch("core/pods", kept.revision()).is_err(), "the deletion of b would be missed");
    assert!(store.cache().watch("core/gone", kept.revision()).is_err(), "a resource without objects is no exception");
    assert!(store.cache().watch("core/pods", last.revision()).is_ok());
    assert_eq!(write(&store, "c", Expect::Absent, Some("1")).await.unwrap().revision(), last.revision() + 1);
}

#[tokio::test]
async fn a_slow_watcher_is_told_to_list_again() {
    let folder = TempDir::new().unwrap();
    let history = Limits { max_bytes: 4096, ..Limits::default() };
    let store = RedbStore::open(&folder.path().join("wharf.redb"), Options { history, ..Options::default() }).unwrap();
    let mut cursor = store.cache().watch("core/pods", store.cache().revision()).unwrap();
    for n in 0..50 {
        write(&store, &format!("p{n}"), Expect::Absent, Some("1")).await.unwrap();
    }
    let expired = cursor.next().await.unwrap_err();
    assert!(expired.oldest > expired.wanted);
}

#[tokio::test]
async fn the_file_is_private_and_locked() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let path = folder.path().join("wharf.redb");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = RedbStore::open(&path, Options::default()).err().unwrap();
    assert!(error.to_string().ends_with("is in use by another process"), "{error}");
    store.close().await;
}
