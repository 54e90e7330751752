//! What a container sees of its files: each line is one check, `ok` or `FAIL`.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use wasip2::filesystem::{
    preopens,
    types::{DescriptorFlags as D, ErrorCode as E, OpenFlags as O, PathFlags as P},
};

fn t(name: &str, ok: bool) {
    println!("{} {name}", if ok { "ok  " } else { "FAIL" });
}

pub fn check() {
    let pre = preopens::get_directories();
    t("one preopen /", pre.len() == 1 && pre[0].1 == "/");
    let root = &pre[0].0;
    let dir = |p: &str| root.open_at(P::SYMLINK_FOLLOW, p, O::DIRECTORY, D::READ).unwrap();
    let read = |d: &wasip2::filesystem::types::Descriptor, p: &str| -> Result<String, E> {
        let f = d.open_at(P::SYMLINK_FOLLOW, p, O::empty(), D::READ)?;
        Ok(String::from_utf8(f.read(1000, 0)?.0).unwrap())
    };
    // fd-relative
    let (etc, data, inner, cm) = (dir("etc"), dir("data"), dir("data/nested/inner"), dir("etc/config"));
    t("fd: etc -> config/key (mount, 2 links)", read(&etc, "config/key").as_deref() == Ok("v1\n"));
    t("fd: etc -> hosts (file mount)", read(&etc, "hosts").unwrap().starts_with("127"));
    t("fd: data -> nested/inner/in.txt", read(&data, "nested/inner/in.txt").as_deref() == Ok("inner\n"));
    t("fd: inner/../../app.conf", read(&inner, "../../app.conf").as_deref() == Ok("sub\n"));
    t("fd: inner/../../../etc/passwd", read(&inner, "../../../etc/passwd").as_deref() == Ok("container-passwd\n"));
    t("fd: cm/../hosts", read(&cm, "../hosts").unwrap().starts_with("127"));
    t(
        "fd: cm '..' is /etc",
        cm.stat_at(P::empty(), "..").is_ok()
            && root.metadata_hash_at(P::empty(), "etc").unwrap().lower
                == cm.metadata_hash_at(P::empty(), "..").unwrap().lower,
    );
    t(
        "root '..' is /",
        root.metadata_hash_at(P::empty(), "../..").unwrap().lower == root.metadata_hash().unwrap().lower,
    );
    t(
        "hash: fd = path",
        cm.metadata_hash().unwrap().lower == root.metadata_hash_at(P::empty(), "etc//config/").unwrap().lower,
    );
    t(
        "double slash still crosses the mount",
        root.open_at(P::empty(), "etc//config/zz", O::CREATE, D::WRITE).err() == Some(E::ReadOnly),
    );
    t("absolute path refused", read(root, "/etc/passwd") == Err(E::NotPermitted));
    t("same object", read(&etc, "config/../config/key").is_ok() && dir("etc").is_same_object(&etc));
    // symlinks
    t("nofollow on link is loop", root.open_at(P::empty(), "bin/sh", O::empty(), D::READ).err() == Some(E::Loop));
    t("loop", read(root, "loop") == Err(E::Loop));
    t("absolute readlink", root.readlink_at("bin/sh").as_deref() == Ok("/usr/bin/busybox"));
    t(
        "absolute symlink can be made",
        root.symlink_at("/etc/passwd", "tmp/pw").is_ok()
            && fs::read_to_string("/tmp/pw").unwrap() == "container-passwd\n",
    );
    t(
        "O_EXCL on dangling link",
        root.open_at(P::SYMLINK_FOLLOW, "dangling", O::CREATE | O::EXCLUSIVE, D::WRITE).err() == Some(E::Exist),
    );
    t("link to proc leads nowhere", fs::read_dir("/leak-proc/").is_err() && fs::read("/leak-abs/data").is_err());
    // errors
    t("ro create", fs::write("/etc/config/x", "x").unwrap_err().kind() == ErrorKind::ReadOnlyFilesystem);
    t("ro write", fs::write("/etc/config/key", "x").unwrap_err().kind() == ErrorKind::ReadOnlyFilesystem);
    t("ro mkdir", fs::create_dir("/etc/config/x").unwrap_err().kind() == ErrorKind::ReadOnlyFilesystem);
    t("ro unlink", fs::remove_file("/etc/config/key").unwrap_err().kind() == ErrorKind::ReadOnlyFilesystem);
    t("ro file mount", fs::write("/etc/resolv.conf", "x").unwrap_err().kind() == ErrorKind::ReadOnlyFilesystem);
    t(
        "ro set_times",
        cm.set_times_at(
            P::SYMLINK_FOLLOW,
            "key",
            wasip2::filesystem::types::NewTimestamp::Now,
            wasip2::filesystem::types::NewTimestamp::Now,
        )
        .err()
            == Some(E::ReadOnly),
    );
    t("ro link into", root.link_at(P::empty(), "etc/passwd", &cm, "pw").err() == Some(E::ReadOnly));
    t("rename across", fs::rename("/usr/bin/busybox", "/data/bb").unwrap_err().kind() == ErrorKind::CrossesDevices);
    t(
        "rename out of nested",
        fs::rename("/data/nested/inner/in.txt", "/data/in").unwrap_err().kind() == ErrorKind::CrossesDevices,
    );
    t(
        "hard link across",
        fs::hard_link("/usr/bin/busybox", "/data/bb").unwrap_err().kind() == ErrorKind::CrossesDevices,
    );
    t(
        "hard link of file mount",
        fs::hard_link("/etc/hosts", "/etc/h2").unwrap_err().kind() == ErrorKind::CrossesDevices,
    );
    t("hard link inside", fs::hard_link("/usr/bin/busybox", "/usr/bin/bb").is_ok());
    t("unlink file mount busy", fs::remove_file("/etc/hosts").unwrap_err().kind() == ErrorKind::ResourceBusy);
    t("rmdir mount busy", fs::remove_dir("/data").unwrap_err().kind() == ErrorKind::ResourceBusy);
    t(
        "rename parent of mount busy",
        fs::rename("/data/nested", "/data/n2").unwrap_err().kind() == ErrorKind::ResourceBusy,
    );
    t("rename over mount busy", fs::rename("/etc/passwd", "/etc/hosts").unwrap_err().kind() == ErrorKind::ResourceBusy);
    t("rm_all of mount's parent fails", fs::remove_dir_all("/etc").is_err());
    t("file as dir", fs::read("/etc/hosts/x").unwrap_err().kind() == ErrorKind::NotADirectory);
    t("mkdir on mount exists", fs::create_dir("/data").unwrap_err().kind() == ErrorKind::AlreadyExists);
    t("fifo refused", File::open("/fifo").is_err());
    // work
    t(
        "write file mount in place",
        OpenOptions::new().append(true).open("/etc/hosts").and_then(|mut f| f.write_all(b"more\n")).is_ok()
            && fs::read_to_string("/etc/hosts").unwrap().ends_with("more\n"),
    );
    t(
        "write through dangling link into a mount",
        fs::write("/dangling", "d").is_ok() && fs::read_to_string("/data/new-through-link").unwrap() == "d",
    );
    t("mkdir -p, readdir", fs::create_dir_all("/data/x/y/z").is_ok() && fs::read_dir("/data").unwrap().count() >= 4);
    let names: Vec<String> =
        fs::read_dir("/etc").into_iter().flatten().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    t("readdir /etc shows mounts", ["config", "hosts", "resolv.conf"].iter().all(|n| names.iter().any(|m| m == n)));
    let md = fs::symlink_metadata("/etc/config/key").unwrap();
    t("lstat is a link, stat a file", md.is_symlink() && fs::metadata("/etc/config/key").unwrap().is_file());
    t("dir moved while open: '..' by path", {
        fs::create_dir_all("/tmp/m/d").unwrap();
        let d = dir("tmp/m/d");
        fs::rename("/tmp/m", "/tmp/n").unwrap();
        let r = d.stat_at(P::empty(), "../..");
        println!("     (moved: {:?})", r.as_ref().err());
        true
    });
}

