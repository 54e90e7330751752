//! Tests of the index alone.

use super::*;

fn digest(letter: char) -> Digest {
    Digest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap()
}

fn record(blobs: &[Digest], manifests: &[Digest], subject: Option<Digest>, since: u64) -> Record {
    Record {
        media_type: "m".into(),
        size: 1,
        subject,
        artifact_type: None,
        annotations: BTreeMap::new(),
        blobs: blobs.to_vec(),
        manifests: manifests.to_vec(),
        since,
    }
}

fn index() -> (tempfile::TempDir, Index) {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(&folder.path().join("index.redb")).unwrap();
    (folder, index)
}

fn put(index: &Index, name: char, record: &Record, tags: &[&str]) -> std::result::Result<(), Vec<String>> {
    let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    index.put_manifest(&NewManifest { repository: "r", digest: &digest(name), record, tags: &tags }, 10, || Ok(())).unwrap()
}

fn there(index: &Index, name: char) -> bool {
    index.manifest("r", &Reference::Digest(digest(name))).unwrap().is_some()
}

#[test]
fn a_manifest_needs_what_it_refers_to() {
    let (_folder, index) = index();
    assert_eq!(put(&index, 'a', &record(&[digest('b')], &[digest('c')], None, 1), &["v1"]), Err(vec![digest('b').to_string(), digest('c').to_string()]));
    assert_eq!(index.tags("r", None, 9).unwrap(), None);
    index.link("r", &digest('b'), 1, || Ok(())).unwrap();
    put(&index, 'a', &record(&[digest('b')], &[], None, 1), &["v1", "v2"]).unwrap();
    assert_eq!(index.tags("r", None, 1).unwrap(), Some((vec!["v1".into()], true)));
    assert_eq!(index.tags("r", Some("v1"), 1).unwrap(), Some((vec!["v2".into()], false)));
    assert_eq!(index.delete_blob("r", &digest('b')).unwrap(), Deleted::Referenced(digest('a')));
    assert_eq!(index.delete_manifest("r", &digest('a')).unwrap(), Deleted::Done);
    assert_eq!(index.tags("r", None, 9).unwrap(), Some((vec![], false)));
    assert_eq!(index.delete_blob("r", &digest('b')).unwrap(), Deleted::Done);
    assert_eq!(index.delete_blob("r", &digest('b')).unwrap(), Deleted::Unknown);
    assert!(!index.is_held(&digest('b')).unwrap() && !index.is_held(&digest('a')).unwrap());
}

#[test]
fn a_file_that_could_not_be_placed_is_not_known() {
    let (_folder, index) = index();
    let full = || Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
    assert!(index.link("r", &digest('b'), 1, full).is_err());
    assert_eq!(index.blob("r", &digest('b')).unwrap(), None);
}

#[test]
fn blobs_are_mounted_from_where_they_are() {
    let (_folder, index) = index();
    index.link("a", &digest('b'), 1, || Ok(())).unwrap();
    assert!(!index.mount("none", "c", &digest('b'), 1).unwrap());
    assert_eq!(index.holder(&digest('b'), |_| false).unwrap(), None);
    assert_eq!(index.holder(&digest('b'), |_| true).unwrap().as_deref(), Some("a"));
    assert!(index.mount("a", "c", &digest('b'), 1).unwrap());
    index.delete_blob("a", &digest('b')).unwrap();
    assert!(index.is_held(&digest('b')).unwrap());
    assert_eq!(index.holder(&digest('b'), |_| true).unwrap().as_deref(), Some("c"));
}

#[test]
fn what_a_sweep_takes_and_what_it_leaves() {
    let (_folder, index) = index();
    for blob in ['1', '2', '3'] {
        index.link("r", &digest(blob), 5, || Ok(())).unwrap();
    }
    index.link("r", &digest('4'), 50, || Ok(())).unwrap();
    put(&index, 'a', &record(&[digest('1')], &[], None, 1), &[]).unwrap();
    put(&index, 'b', &record(&[], &[digest('a')], None, 1), &["tagged"]).unwrap();
    put(&index, 'c', &record(&[digest('2')], &[], None, 1), &[]).unwrap();
    put(&index, 'd', &record(&[], &[], Some(digest('b')), 1), &[]).unwrap();
    put(&index, 'e', &record(&[], &[], Some(digest('9')), 1), &[]).unwrap();
    put(&index, 'f', &record(&[], &[], None, 1), &[]).unwrap();
    let used = HashSet::from([digest('f')]);
    // Nobody knows what is in use: manifests stay, and what they need; 3 goes, 4 was asked for a moment ago.
    assert_eq!(index.sweep("r", None, 20, &HashSet::new()).unwrap(), (0, 1));
    // a is in the tagged index b, d refers to b, f is in use; c and e (which refers to nothing) go, and 2 with c.
    assert_eq!(index.sweep("r", Some(20), 20, &used).unwrap(), (2, 1));
    assert_eq!(['a', 'b', 'c', 'd', 'e', 'f'].map(|name| there(&index, name)), [true, true, false, true, false, true]);
    assert_eq!(['1', '2', '3', '4'].map(|name| index.blob("r", &digest(name)).unwrap().is_some()), [true, false, false, true]);
    // Without its tag, b has the time that an untagged manifest has, from now on.
    assert_eq!(index.delete_tag("r", "tagged", 30).unwrap(), Deleted::Done);
    assert_eq!(index.sweep("r", Some(20), 20, &used).unwrap(), (0, 0));
    assert_eq!(index.sweep("r", Some(40), 60, &HashSet::new()).unwrap(), (4, 2));
    assert_eq!(index.all_repositories().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_old_and_has_no_tag_is_known_before_anybody_is_asked() {
    let (_folder, index) = index();
    assert!(!index.has_old_untagged(20).unwrap());
    put(&index, 'a', &record(&[], &[], None, 1), &["latest"]).unwrap();
    put(&index, 'b', &record(&[], &[], None, 30), &[]).unwrap();
    assert!(!index.has_old_untagged(20).unwrap(), "the old one has a tag, the other is new");
    assert!(index.has_old_untagged(40).unwrap());
    index.delete_tag("r", "latest", 50).unwrap();
    assert!(!index.has_old_untagged(20).unwrap(), "it has been without a tag since 50");
    assert!(index.has_old_untagged(60).unwrap());
}

#[test]
fn a_tag_that_moves_leaves_the_old_manifest_for_a_while() {
    let (_folder, index) = index();
    put(&index, 'a', &record(&[], &[], None, 1), &["latest"]).unwrap();
    put(&index, 'b', &record(&[], &[], None, 1), &["latest"]).unwrap();
    let (now, _) = index.manifest("r", &Reference::Tag("latest".into())).unwrap().unwrap();
    assert_eq!(now, digest('b'));
    assert_eq!(index.manifest("r", &Reference::Digest(digest('a'))).unwrap().unwrap().1.since, 10);
    // Deleting the old one leaves the tag alone.
    index.delete_manifest("r", &digest('a')).unwrap();
    assert!(index.manifest("r", &Reference::Tag("latest".into())).unwrap().is_some());
}
