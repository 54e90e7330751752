use crate::support::*;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use wharf_engine::*;

/// An image's files, a volume with another in it, a ConfigMap with its two links, single files, and a secret outside.
fn world(dir: &Path) -> (tempfile::TempDir, MountTable) {
    let root = tempfile::tempdir().unwrap();
    let r = root.path();
    for d in ["etc", "usr/bin", "bin", "tmp", "home/a/b/c"] {
        fs::create_dir_all(r.join(d)).unwrap();
    }
    fs::write(r.join("etc/passwd"), "container-passwd\n").unwrap();
    fs::write(r.join("usr/bin/busybox"), "bb").unwrap();
    fs::write(r.join("home/a/b/c/f"), "x").unwrap();
    symlink("/usr/bin/busybox", r.join("bin/sh")).unwrap();
    symlink("loop", r.join("loop")).unwrap();
    symlink("/data/new-through-link", r.join("dangling")).unwrap();
    symlink("/proc/self/root", r.join("leak-proc")).unwrap();
    symlink(dir, r.join("leak-abs")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, r.join("fifo"), rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    let at = |n: &str| dir.join(n);
    fs::create_dir_all(at("data/sub")).unwrap();
    fs::write(at("data/app.conf"), "app\n").unwrap();
    fs::create_dir_all(at("inner")).unwrap();
    fs::write(at("inner/in.txt"), "inner\n").unwrap();
    fs::create_dir_all(at("cm/..2026")).unwrap();
    fs::write(at("cm/..2026/key"), "v1\n").unwrap();
    symlink("..2026", at("cm/..data")).unwrap();
    symlink("..data/key", at("cm/key")).unwrap();
    fs::write(at("hosts"), "127.0.0.1 localhost\n").unwrap();
    fs::write(at("resolv"), "nameserver 10.96.0.10\n").unwrap();
    let mut t = MountTable::new(r, false).unwrap();
    t.mount(&at("data"), "/data", false).unwrap();
    t.mount(&at("inner"), "/data/nested/inner", false).unwrap();
    fs::write(at("data/nested/app.conf"), "nested\n").unwrap();
    fs::write(at("data/app.conf"), "sub\n").unwrap();
    t.mount(&at("cm"), "/etc/config", true).unwrap();
    t.mount(&at("hosts"), "/etc/hosts", false).unwrap();
    t.mount(&at("resolv"), "/etc/resolv.conf", true).unwrap();
    (root, t)
}

#[tokio::test]
async fn one_preopen_with_mounts_links_and_errors() {
    let outside = tempfile::tempdir().unwrap();
    let (root, mounts) = world(outside.path());
    let s = setup_in(Entry::CliP2, &["probe", "files"], root, mounts);
    let exit = start(&program("probe"), s.spec).wait().await;
    let log = s.log.text();
    let failed: Vec<&str> = log.lines().filter(|l| l.starts_with("FAIL")).collect();
    assert!(failed.is_empty(), "{failed:#?}\n{log}");
    assert!(log.lines().filter(|l| l.starts_with("ok")).count() >= 45, "{log}");
    assert_eq!(exit.code, 0);
}

#[tokio::test]
async fn wasi_0_3_sees_the_same_files() {
    let outside = tempfile::tempdir().unwrap();
    for (args, expected) in [
        (vec!["probe", "cat", "etc/config/key"], "v1\n"),
        (vec!["probe", "cat", "data/nested/inner/../../../etc/hosts"], "127.0.0.1 localhost\n"),
        (vec!["probe", "cat", "bin/sh"], "bb"),
        (vec!["probe", "write", "data/new", "text"], "ok\n"),
        (vec!["probe", "write", "etc/config/key", "text"], "ErrorCode::ReadOnly\n"),
        (vec!["probe", "write", "etc/resolv.conf", "text"], "ErrorCode::ReadOnly\n"),
        (vec!["probe", "write", "leak-abs/hosts", "text"], "ErrorCode::NoEntry\n"),
    ] {
        let _ = fs::remove_dir_all(outside.path().join("cm"));
        for f in ["data", "inner"] {
            let _ = fs::remove_dir_all(outside.path().join(f));
        }
        let (root, mounts) = world(outside.path());
        let s = setup_in(Entry::CliP3, &args, root, mounts);
        start(&program("probe-p3"), s.spec).wait().await;
        assert_eq!(s.log.text(), expected, "{args:?}");
    }
}
