//! What the mount table promises against a hostile guest, and a hostile host folder.

use super::mounts::{MountTable, Node};
use super::operations::How;
use proptest::prelude::*;
use rustix::io::Errno;
use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const READ: How = How { read: true, follow: true, write: false, create: false, exclusive: false, truncate: false, directory: false, sync: false, dsync: false };

/// `root` with links in all directions, a volume at `/a/vol`, and a secret beside both.
fn world(dir: &Path) -> MountTable {
    for d in ["root/a/b", "vol/d/e"] {
        fs::create_dir_all(dir.join(d)).unwrap();
    }
    fs::write(dir.join("secret"), "secret").unwrap();
    for f in ["root/f", "root/a/f", "root/a/b/f", "vol/f", "vol/d/f", "vol/d/e/f"] {
        fs::write(dir.join(f), f).unwrap();
    }
    for (link, to) in [
        ("root/up", "../../.."),
        ("root/abs", "/a/vol/d"),
        ("root/host", dir.to_str().unwrap()),
        ("root/a/loop", "loop"),
        ("vol/out", "../../../secret"),
        ("vol/d/rootlink", "/"),
        ("vol/chain", "d/rootlink/abs/../out"),
    ] {
        symlink(to, dir.join(link)).unwrap();
    }
    let mut t = MountTable::new(&dir.join("root"), false).unwrap();
    t.mount(&dir.join("vol"), "/a/vol", true).unwrap();
    t
}

fn inodes(of: &Path, into: &mut HashSet<(u64, u64)>) {
    let m = fs::symlink_metadata(of).unwrap();
    into.insert((m.dev(), m.ino()));
    if m.is_dir() {
        fs::read_dir(of).unwrap().for_each(|e| inodes(&e.unwrap().path(), into));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn no_path_leads_outside(parts in prop::collection::vec(prop::sample::select(vec![
        "..", ".", "", "a", "b", "vol", "d", "e", "f", "up", "abs", "host", "loop", "out", "rootlink", "chain", "secret", "tmp", "etc",
    ]), 1..9)) {
        let dir = tempfile::tempdir().unwrap();
        let table = world(dir.path());
        let mut inside = HashSet::new();
        inodes(&dir.path().join("root"), &mut inside);
        inodes(&dir.path().join("vol"), &mut inside);
        let path = parts.join("/");
        let root = table.root();
        if let Ok(o) = table.open(&root, &path, READ) {
            let m = o.file.metadata().unwrap();
            prop_assert!(inside.contains(&(m.dev(), m.ino())), "{path} leads outside");
            // Opening and asking agree.
            prop_assert_eq!(table.stat(&root, &path, true).unwrap().st_ino, m.ino());
        }
        // Nothing can be written on the read-only mount, whatever the way to it.
        let before = fs::read_to_string(dir.path().join("vol/f")).unwrap();
        let _ = table.open(&root, &path, How { write: true, truncate: true, ..READ });
        let _ = table.open(&root, &format!("{path}/new"), How { write: true, create: true, ..READ });
        prop_assert_eq!(fs::read_to_string(dir.path().join("vol/f")).unwrap(), before);
        prop_assert!(!dir.path().join("vol/new").exists() && !dir.path().join("new").exists());
    }
}

#[test]
fn a_folder_moved_out_of_its_volume_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let table = world(dir.path());
    let opened = table.open(&table.root(), "a/vol/d/e", How { directory: true, ..READ }).unwrap();
    let node = Node::new(opened.dir.unwrap(), Arc::new(opened.file));
    fs::rename(dir.path().join("vol/d/e"), dir.path().join("moved")).unwrap();
    // `..` is where the guest found it, not where the kernel has it now.
    for path in ["../secret", "../../secret", "..//../../secret", "../../../secret"] {
        assert!(table.open(&node, path, READ).is_err(), "{path}");
    }
    let mut text = String::new();
    table.open(&node, "../f", READ).unwrap().file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "vol/d/f");
}

#[test]
fn swapping_a_folder_for_a_link_leaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let table = world(dir.path());
    let (root, secret) = (dir.path().join("root"), dir.path().join("outside"));
    fs::create_dir(&secret).unwrap();
    fs::write(secret.join("f"), "secret").unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let (own, link, sw) = (root.join("own"), root.join("link"), root.join("sw"));
            while !stop.load(Relaxed) {
                let _ = fs::create_dir(&own).and_then(|()| fs::write(own.join("f"), "own"));
                let _ = symlink(&secret, &link);
                let _ = fs::rename(&own, &sw);
                let _ = fs::remove_dir_all(&sw);
                let _ = fs::rename(&link, &sw);
                let _ = fs::remove_file(&sw);
            }
        });
        let (begin, mut seen) = (Instant::now(), 0);
        // On a busy machine it takes a while until a name is seen in the right moment.
        while begin.elapsed() < Duration::from_millis(700) || seen == 0 && begin.elapsed() < Duration::from_secs(60) {
            for path in ["sw/f", "a/../sw/f", "sw/../sw/f", "sw/./f"] {
                if let Ok(mut o) = table.open(&table.root(), path, READ) {
                    let mut text = String::new();
                    o.file.read_to_string(&mut text).unwrap();
                    assert_ne!(text, "secret");
                    seen += 1;
                }
                let _ = table.open(&table.root(), path, How { write: true, create: true, ..READ });
                let _ = table.unlink(&table.root(), path);
            }
        }
        stop.store(true, Relaxed);
        assert!(seen > 0);
    });
    assert_eq!(fs::read_to_string(secret.join("f")).unwrap(), "secret");
}

#[test]
fn mounts_stay_where_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let table = world(dir.path());
    let root = table.root();
    let errno = |r: std::io::Result<()>| r.err().and_then(|e| Errno::from_io_error(&e));
    assert_eq!(errno(table.rmdir(&root, "a/vol")), Some(Errno::BUSY));
    assert_eq!(errno(table.rename(&root, "a", &root, "z")), Some(Errno::BUSY));
    assert_eq!(errno(table.rename(&root, "f", &root, "a/vol/f")), Some(Errno::ROFS));
    assert_eq!(errno(table.mkdir(&root, "a/vol/new")), Some(Errno::ROFS));
    assert_eq!(errno(table.mkdir(&root, "a/vol")), Some(Errno::EXIST));
    assert_eq!(errno(table.hard_link(&root, "a/vol/f", true, &root, "copy")), Some(Errno::XDEV));
    assert_eq!(errno(table.mkdir(&root, "/abs")), Some(Errno::PERM));
}
