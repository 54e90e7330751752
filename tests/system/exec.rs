//! exec, attach and debug with a stock kubectl.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use libtest_mimic::{Failed, Trial};

use crate::api::check;
use crate::cluster::{Cluster, PATIENCE, Shared};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        shared.test("exec::commands_run_in_pods", commands_run_in_pods),
        shared.test("exec::a_shell_has_a_terminal", a_shell_has_a_terminal),
        shared.test("exec::a_shell_takes_its_signals", a_shell_takes_its_signals),
        shared.test("exec::https_from_a_shell", https_from_a_shell),
        shared.test("exec::nginx_logs_who_asked", nginx_logs_who_asked),
        shared.test("exec::pods_are_run_attached_and_debugged", pods_are_run_attached_and_debugged),
    ]
}

/// A web server that has no shell of its own, and a process.
const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - {name: web, image: nginx, env: [{name: COLOUR, value: red}], volumeMounts: [{name: data, mountPath: /data}]}
  - {name: side, image: busybox, command: [sleep, "1000000"], volumeMounts: [{name: data, mountPath: /data}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done}
spec:
  restartPolicy: Never
  containers: [{name: c, image: busybox, command: ["true"]}]
"#;

/// kubectl with these arguments and this input has to end with this code and these words.
type Step<'s> = (&'s [&'s str], &'s str, i32, &'s str);

fn steps(cluster: &Cluster, namespace: &str, steps: &[Step<'_>]) -> Result<(), Failed> {
    for (arguments, input, wanted_code, wanted) in steps {
        let all = [&["-n", namespace], *arguments].concat();
        let (text, code) = cluster.kubectl(&all, input).ok_or("kubectl went away")?;
        check(&arguments.join(" "), text.contains(wanted) && code == *wanted_code, format!("exit {code}: {text}"))?;
    }
    Ok(())
}

/// Whether kubectl is there.
fn installed(cluster: &Cluster) -> bool {
    let there = cluster.kubectl(&["version", "--client"], "").is_some();
    if !there {
        eprintln!("kubectl is not installed: passed over");
    }
    there
}

fn commands_run_in_pods(cluster: &Cluster) -> Result<(), Failed> {
    if !installed(cluster) {
        return Ok(());
    }
    let namespace = cluster.namespace("exec")?;
    cluster.create(&namespace, PODS)?;
    cluster.pod_ready(&namespace, "web")?;
    cluster.pod_until(&namespace, "done", "Succeeded", |p| p["status"]["phase"] == "Succeeded")?;
    steps(
        cluster,
        &namespace,
        &[
            (&["exec", "web", "--", "sh", "-c", "echo $((6*7)) $COLOUR | cat; exit 3"], "", 3, "42 red\n"),
            (&["exec", "-i", "web", "-c", "side", "--", "sh", "-c", "cat > /data/note"], "through", 0, ""),
            (&["exec", "web", "-c", "web", "--", "cat", "/data/note"], "", 0, "through"),
            (&["exec", "web", "--", "nobody"], "", 1, "exec: \"nobody\": executable file not found in $PATH: unknown"),
            (&["exec", "web", "-c", "none", "--", "true"], "", 1, "container none is not valid for pod web"),
            (&["exec", "none", "--", "true"], "", 1, "pods \"none\" not found"),
            (&["exec", "done", "--", "true"], "", 1, "cannot exec into a container in a completed pod; current phase is Succeeded"),
            (&["exec", "web"], "", 1, "you must specify at least one command for the container"),
        ],
    )
}

/// Pods that take the signal by which they are deleted: what they said, and how they ended.
const TRAPS: [(&str, &str, &str, i64); 3] = [
    ("ends", "trap 'echo got TERM; echo cleaned; exit 3' TERM; echo up; while :; do sleep 1; done", "up\ngot TERM\ncleaned\n", 3),
    ("waits", "trap 'echo got TERM; exit 0' TERM; echo up; sleep 1000000 & wait", "up\ngot TERM\n", 0),
    ("stays", "trap 'echo ignored' TERM; echo up; while :; do sleep 1; done", "up\nignored\n", 137),
];

fn a_shell_takes_its_signals(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("traps")?;
    for (name, script, said, code) in TRAPS {
        // A finalizer keeps the Pod to look at.
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "finalizers": ["test.wharf.dev/look"]},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": if code == 137 { 2 } else { 60 },
                "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", script]}]},
        });
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        cluster.api.create(&path, &pod)?;
        cluster.pod_ready(&namespace, name)?;
        crate::cluster::eventually("the script to begin", || if cluster.log(&namespace, name)?.contains("up") { Ok(()) } else { Err("not yet".into()) })?;
        // What it says goes with the Pod: it is heard while it is said.
        let (api, log) = (cluster.api.clone(), format!("{path}/{name}/log?follow=true"));
        let heard = std::thread::spawn(move || api.request("GET", &log, "", None).map(|answer| answer.text()).map_err(|_| "no log"));
        crate::cluster::eventually("somebody to hear it", || if cluster.log(&namespace, name)?.contains("up") { Ok(()) } else { Err("not yet".into()) })?;
        cluster.api.delete(&format!("{path}/{name}"))?;
        let ended = cluster.pod_until(&namespace, name, "ended", |p| p["status"]["containerStatuses"][0]["state"]["terminated"].is_object())?;
        let heard = heard.join().map_err(|_| "the listener went away")??;
        let found = (heard, ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_i64());
        let patch = serde_json::json!({"metadata": {"finalizers": null}});
        cluster.api.patch(&format!("{path}/{name}"), &patch)?;
        check(name, found == (said.to_owned(), Some(code)), format!("{found:?}"))?;
    }
    Ok(())
}

/// Asks the API server as scripts in Pods do, and says what became of it.
const HTTPS: &str = r#"
folder=/var/run/secrets/kubernetes.io/serviceaccount
wget -qO- https://kubernetes.default/version | grep -c gitVersion
curl -s https://kubernetes.default/version | grep -c gitVersion
curl -s --cacert $folder/ca.crt -H "Authorization: Bearer $(cat $folder/token)" https://kubernetes.default.svc/api/v1/namespaces/default/pods | grep -c '"reason": *"Forbidden"'
cat $folder/ca.crt > /tmp/none; echo > /tmp/none
curl -sS --cacert /tmp/none https://kubernetes.default/version; echo $?
ip=$(nslookup kubernetes.default | sed -n 's/^Address: //p' | tail -n 1)
curl -s -o /dev/null -w '%{http_code} %{scheme}\n' https://$ip/healthz
curl -sS --connect-to example.test:443:kubernetes.default:443 https://example.test/version 2>&1 | head -n 1
curl -sS -k --connect-to example.test:443:kubernetes.default:443 https://example.test/healthz; echo
"#;

fn https_from_a_shell(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("https")?;
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", HTTPS]}]},
    });
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
    cluster.pod_until(&namespace, "asks", "ended", |p| matches!(p["status"]["phase"].as_str(), Some("Succeeded" | "Failed")))?;
    let said = cluster.log(&namespace, "asks")?;
    let wanted = "\
1
1
1
curl: (77) error adding trust anchors from file: /tmp/none
77
200 https
curl: (60) SSL: no alternative certificate subject name matches target host name 'example.test'
ok
";
    check("what the shell says", said.starts_with(wanted), &said)
}

fn nginx_logs_who_asked(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("peers")?;
    cluster.create(&namespace, "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: c, image: nginx}]}}")?;
    let web = cluster.pod_ready(&namespace, "web")?;
    let ip = web["status"]["podIP"].as_str().ok_or("the Pod's address")?;
    let script = format!("wget -q -O /dev/null -U me --header 'Referer: there' --header 'X-Forwarded-For: 9.8.7.6' 'http://{ip}/?a=b'");
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "asks"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["sh", "-c", script]}]},
    });
    cluster.api.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod)?;
    let asks = cluster.pod_until(&namespace, "asks", "ended", |p| p["status"]["phase"] == "Succeeded")?;
    let log = crate::cluster::eventually("the access log", || {
        let log = cluster.log(&namespace, "web")?;
        if log.contains("\"GET ") { Ok(log) } else { Err(log.into()) }
    })?;
    let line = log.lines().find(|line| line.contains("\"GET ")).unwrap_or_default();
    let (front, rest) = line.split_once('[').ok_or("no time")?;
    let (_, behind) = rest.split_once(']').ok_or("no time")?;
    let peer = asks["status"]["podIP"].as_str().unwrap_or_default();
    let good = front == format!("{peer} - - ") && behind.starts_with(" \"GET /?a") && behind.ends_with(" \"there\" \"me\" \"9.8.7.6\"");
    check("nginx' combined format", good, line)
}

fn a_shell_has_a_terminal(cluster: &Cluster) -> Result<(), Failed> {
    if !installed(cluster) {
        return Ok(());
    }
    let namespace = cluster.namespace("tty")?;
    cluster.create(&namespace, PODS)?;
    cluster.pod_ready(&namespace, "web")?;
    let (mut keys, terminal) = terminal()?;
    let mut kubectl = Command::new("kubectl")
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env("KUBECACHEDIR", cluster.kubeconfig.with_file_name("kubectl-cache"))
        .args(["-n", &namespace, "exec", "-it", "web", "-c", "web", "--", "sh"])
        .stdin(Stdio::from(terminal.try_clone()?))
        .stdout(Stdio::from(terminal.try_clone()?))
        .stderr(Stdio::from(terminal))
        .spawn()?;
    let (sender, screen) = channel();
    let mut shown = keys.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        // The terminal's last user gone, reading fails.
        while let Ok(n @ 1..) = shown.read(&mut buffer) {
            if sender.send(String::from_utf8_lossy(&buffer[..n]).into_owned()).is_err() {
                return;
            }
        }
    });
    let mut seen = String::new();
    let end = Instant::now() + PATIENCE;
    let mut until = |text: &str| -> Result<(), Failed> {
        while !seen.contains(text) {
            match screen.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(more) => seen.push_str(&more),
                Err(_) => return Err(format!("{text:?} does not come: {seen:?}").into()),
            }
        }
        seen = seen.split_off(seen.find(text).unwrap_or_default() + text.len());
        Ok(())
    };
    until("# ")?;
    keys.write_all(b"echo $((40+3))2\x7f\r")?;
    until("\n43\r\n")?;
    keys.write_all(b"exit 5\r")?;
    until("command terminated with exit code 5")?;
    let code = kubectl.wait()?.code();
    check("exit", code == Some(5), format!("{code:?}"))
}

/// A pseudo-terminal: the end of who sits before it, and the program's.
fn terminal() -> Result<(File, File), Failed> {
    let failed = || Failed::from(std::io::Error::last_os_error().to_string());
    // SAFETY: no pointer goes in, and a descriptor that is ours alone comes out, or -1.
    let keys = match unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) } {
        -1 => return Err(failed()),
        descriptor => unsafe { File::from_raw_fd(descriptor) },
    };
    let mut name = [0; 64];
    // SAFETY: the descriptor is open, and the buffer as long as is said.
    let ready = unsafe {
        libc::grantpt(keys.as_raw_fd()) == 0
            && libc::unlockpt(keys.as_raw_fd()) == 0
            && libc::ptsname_r(keys.as_raw_fd(), name.as_mut_ptr().cast(), name.len()) == 0
    };
    if !ready {
        return Err(failed());
    }
    let terminal = File::options().read(true).write(true).open(CStr::from_bytes_until_nul(&name)?.to_str()?)?;
    Ok((keys, terminal))
}

fn pods_are_run_attached_and_debugged(cluster: &Cluster) -> Result<(), Failed> {
    if !installed(cluster) {
        return Ok(());
    }
    let namespace = cluster.namespace("run")?;
    cluster.create(&namespace, PODS)?;
    cluster.pod_ready(&namespace, "web")?;
    steps(
        cluster,
        &namespace,
        &[
            (&["run", "-i", "--rm", "--restart=Never", "--quiet", "--image=busybox", "one", "--", "cat"], "typed\n", 0, "typed\n"),
            (&["run", "-i", "--rm", "--restart=Never", "--image=busybox", "two", "--", "sh", "-c", "exit 4"], "", 4, "terminated (Error)"),
            (&["debug", "web", "-i", "-c", "debugger", "--image=busybox", "--target=web", "--", "sh"], "echo $HOSTNAME $((1+1)); exit\n", 0, "web 2\n"),
            (&["logs", "web", "-c", "debugger"], "", 0, "web 2\n"),
            (&["get", "pod", "web", "-o", "jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.reason}"], "", 0, "Completed"),
        ],
    )
}
