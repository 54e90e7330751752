//! The program itself: how it starts, what it says, how it ends.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use serde_json::json;
use tempfile::TempDir;

use crate::cluster::{Cluster, program};

/// All tests of this file.
pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("program::help_shows_how_to_begin", help_shows_how_to_begin),
        Trial::test("program::a_typing_error_is_explained", a_typing_error_is_explained),
        Trial::test("program::a_taken_port_names_the_flag", a_taken_port_names_the_flag),
        Trial::test("program::a_second_up_says_who_holds_the_data", a_second_up_says_who_holds_the_data),
        Trial::test("program::ctrl_c_ends_it_well", ctrl_c_ends_it_well),
        Trial::test("program::kill_9_loses_no_acknowledged_write", kill_9_loses_no_acknowledged_write),
        Trial::test("program::another_kubeconfig_gets_the_context", another_kubeconfig_gets_the_context),
    ]
}

fn run(arguments: &[&str]) -> Result<(String, i32), Failed> {
    let output = Command::new(program()).args(arguments).output()?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok((text, output.status.code().unwrap_or(-1)))
}

fn must_contain(text: &str, wanted: &[&str]) -> Result<(), Failed> {
    match wanted.iter().find(|w| !text.contains(**w)) {
        None => Ok(()),
        Some(missing) => Err(format!("{missing:?} is not in:\n{text}").into()),
    }
}

fn help_shows_how_to_begin() -> Result<(), Failed> {
    let (text, code) = run(&["up", "--help"])?;
    must_contain(&text, &["wharf up --workers 3", "--apply", "--data-dir", "--kubeconfig", "127.0.0.1:6443"])?;
    let (all, _) = run(&["--help"])?;
    must_contain(&all, &["Start a cluster on this machine", "push"])?;
    if all.contains("__compile") || code != 0 {
        return Err(all.into());
    }
    Ok(())
}

fn a_typing_error_is_explained() -> Result<(), Failed> {
    let (text, code) = run(&["up", "--worker", "3"])?;
    must_contain(&text, &["unexpected argument '--worker'", "--workers"])?;
    let (missing, failed) = run(&["up", "--apply", "/no/such/folder"])?;
    must_contain(&missing, &["error: read /no/such/folder: No such file or directory"])?;
    if (code, failed) == (2, 1) { Ok(()) } else { Err(format!("exit codes {code}, {failed}").into()) }
}

fn a_taken_port_names_the_flag() -> Result<(), Failed> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let folder = TempDir::new()?;
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, "of a cluster that was here before")?;
    let (text, code) = run(&["up", "--data-dir", &folder.path().to_string_lossy(), "--api-addr", &taken.local_addr()?.to_string()])?;
    if kubeconfig.exists() {
        return Err("there is a kubeconfig, and no API that answers".into());
    }
    must_contain(&text, &[&taken.local_addr()?.to_string(), "choose another address with --api-addr", "Address already in use"])?;
    if code == 1 { Ok(()) } else { Err(format!("exit code {code}").into()) }
}

fn a_second_up_says_who_holds_the_data() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let first = Cluster::start_on(folder.path(), &[])?;
    let (text, code) =
        run(&["up", "--data-dir", &folder.path().to_string_lossy(), "--api-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0"])?;
    must_contain(&text, &[&format!("is held by `wharf up` with process id {}", first.pid()), &format!("API at https://{}", first.api.host()), "--data-dir"])?;
    if code == 1 { Ok(()) } else { Err(format!("exit code {code}").into()) }
}

fn ctrl_c_ends_it_well() -> Result<(), Failed> {
    let cluster = Cluster::start(&["--workers", "1"])?;
    let start = Instant::now();
    let (said, well) = cluster.interrupt()?;
    if !well || !said.iter().any(|line| line.contains("Ctrl-C: stopping")) {
        return Err(format!("ended well: {well}; {said:?}").into());
    }
    if start.elapsed() > Duration::from_secs(15) {
        return Err("it took as long as its own deadline".into());
    }
    Ok(())
}

fn kill_9_loses_no_acknowledged_write() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let cluster = Cluster::start_on(folder.path(), &[])?;
    let config_map = |n: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("c{n}")}, "data": {"n": n.to_string()}});
    let path = "/api/v1/namespaces/default/configmaps";
    for n in 0..50 {
        cluster.api.create(path, &config_map(n))?;
    }
    let before = cluster.api.get("/api/v1/namespaces/kube-system")?;
    cluster.kill()?;
    let cluster = Cluster::start_on(folder.path(), &[])?;
    for n in 0..50 {
        let found = cluster.api.get(&format!("{path}/c{n}"))?;
        if found["data"]["n"].as_str() != Some(n.to_string().as_str()) {
            return Err(format!("c{n}: {found}").into());
        }
    }
    let after = cluster.api.get("/api/v1/namespaces/kube-system")?;
    if before["metadata"]["uid"] == after["metadata"]["uid"] { Ok(()) } else { Err("another kube-system: it is not the same cluster".into()) }
}

fn another_kubeconfig_gets_the_context() -> Result<(), Failed> {
    let folder = TempDir::new()?;
    let file = folder.path().join("config");
    std::fs::write(&file, "apiVersion: v1\nkind: Config\nclusters:\n- name: other\n  cluster: {server: 'https://other'}\n")?;
    let cluster = Cluster::start(&["--kubeconfig", &file.to_string_lossy()])?;
    let text = std::fs::read_to_string(&file)?;
    must_contain(&text, &["https://other", "current-context: wharf", &format!("server: https://{}", cluster.api.host())])
}
