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
