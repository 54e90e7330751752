//! The program's own verbs against a stock kubectl: the same command, to the same cluster, must print the same on
//! both streams and exit alike. Where releases of kubectl differ, the newer one is followed: the tests want 1.35 or
//! later (`KUBECTL` names another than that of the PATH), and say so where there is none.

use std::process::{Command, Stdio};
use std::sync::Arc;

use libtest_mimic::{Failed, Trial};

use crate::cluster::{Cluster, Shared, eventually, program, repository};

/// All tests of this file.
pub fn trials(shared: &Arc<Shared>) -> Vec<Trial> {
    vec![
        Trial::test("kubectl::reads_alike", reads_alike),
        shared.test("kubectl::writes_alike", writes_alike),
        shared.test("kubectl::refuses_alike", refuses_alike),
    ]
}

/// The oldest kubectl whose output is followed.
const OLDEST: u32 = 35;

fn kubectl() -> Option<String> {
    let name = std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into());
    let output = Command::new(&name).args(["version", "--client", "-o", "json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let minor: u32 = version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()?;
    if minor >= OLDEST {
        return Some(name);
    }
    eprintln!("{name} is 1.{minor}; 1.{OLDEST} or later is needed");
    None
}

/// What a command printed, and how it ended.
#[derive(Debug, PartialEq)]
struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

fn say(cluster: &Cluster, binary: &str, arguments: &[&str]) -> Result<Said, Failed> {
    let output = Command::new(binary)
        .args(arguments)
        .current_dir(repository("."))
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env("KUBECACHEDIR", cluster.kubeconfig.with_file_name("kubectl-cache"))
        .stdin(Stdio::null())
        .output()?;
    let text = |bytes: &[u8]| mask(&String::from_utf8_lossy(bytes).replace(binary, "PROGRAM"));
    let err: String = text(&output.stderr).lines().filter(|line| !is_log(line)).map(|line| format!("{line}\n")).collect();
    Ok(Said { out: text(&output.stdout), err, code: output.status.code() })
}

/// klog's lines (`E1128 …`) are for developers.
fn is_log(line: &str) -> bool {
    let mut chars = line.chars();
    chars.next().is_some_and(|c| "EWI".contains(c)) && chars.by_ref().take(4).filter(char::is_ascii_digit).count() == 4
}

/// The program's name, and spans of time (`5s`, `3m20s`), which go on between two commands; what they do to columns is
/// masked with them.
fn mask(text: &str) -> String {
    let text = text.replace("kubectl", "PROGRAM").replace("wharf ", "PROGRAM ");
    text.lines().map(|line| format!("{}\n", mask_line(line))).collect()
}

fn mask_line(line: &str) -> String {
    let is_span = |word: &str| {
        let word = word.trim_matches(|c: char| "()".contains(c));
        word.len() > 1
            && word.starts_with(|c: char| c.is_ascii_digit())
            && word.ends_with(['s', 'm', 'h', 'd'])
            && word.chars().all(|c| c.is_ascii_digit() || "smhd".contains(c))
    };
    if !line.split(' ').any(is_span) {
        return line.to_owned();
    }
    line.split_whitespace().map(|word| if is_span(word) { "TIME" } else { word }).collect::<Vec<_>>().join(" ")
}

fn sort_lines(text: &mut String) {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    *text = lines.join("\n");
}

/// Compares commands, each several times (behind `~` those whose lines kubectl prints in any order): what a cluster does by itself between two of them is not their doing.
fn compare(cluster: &Cluster, commands: &str, namespaces: (&str, &str)) -> Result<(), Failed> {
    let Some(kubectl) = kubectl() else {
        eprintln!("SKIPPED: no kubectl 1.{OLDEST} or later to compare with");
        return Ok(());
    };
    let ours = program().to_string_lossy().into_owned();
    let mut wrong = Vec::new();
    for line in commands.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (any_order, line) = line.strip_prefix("~ ").map_or((false, line), |line| (true, line));
        let words: Vec<&str> = line.split(' ').collect();
        let alike = || -> Result<(), Failed> {
            let with = |namespace: &'_ str| -> Vec<String> { ["-n", namespace].into_iter().chain(words.iter().copied()).map(str::to_owned).collect() };
            let run = |binary: &str, namespace: &str| say(cluster, binary, &with(namespace).iter().map(String::as_str).collect::<Vec<_>>());
            let (mut theirs, mut mine) = (run(&kubectl, namespaces.0)?, run(&ours, namespaces.1)?);
            if any_order {
                sort_lines(&mut theirs.out);
                sort_lines(&mut mine.out);
            }
            mine.out = mine.out.replace(namespaces.1, namespaces.0);
            mine.err = mine.err.replace(namespaces.1, namespaces.0);
            if theirs == mine {
                Ok(())
            } else {
                Err(format!("{line}\n--- kubectl {:?}\n{}{}--- wharf {:?}\n{}{}", theirs.code, theirs.out, theirs.err, mine.code, mine.out, mine.err).into())
            }
        };
        // Only what reads may be done again.
        let again = namespaces.0 == namespaces.1;
        let outcome = alike().or_else(|error| if again { alike().or_else(|_| alike()) } else { Err(error) });
        if let Err(error) = outcome {
            wrong.push(error.message().unwrap_or_default().to_owned());
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} commands differ:\n{}", wrong.len(), wrong.join("\n")).into()) }
}

const TUTORIAL: &[&str] = &["pod", "deployment", "service", "config", "jobs", "ingress", "daemonset"];

fn reads_alike() -> Result<(), Failed> {
    if kubectl().is_none() {
        eprintln!("SKIPPED: no kubectl 1.{OLDEST} or later to compare with");
        return Ok(());
    }
    // One of its own: what others do in it meanwhile would be seen by one program and not by the other.
    let cluster = &Cluster::start(&["--workers", "2"])?;
    let namespace = cluster.namespace("reads")?;
    let ours = program().to_string_lossy().into_owned();
    for name in TUTORIAL {
        let said = say(cluster, &ours, &["-n", &namespace, "apply", "-f", &format!("examples/tutorial/{name}.yaml")])?;
        if said.code != Some(0) {
            return Err(format!("{said:?}").into());
        }
    }
    for what in ["deploy/shop", "ds/on-each"] {
        eventually(what, || match say(cluster, &ours, &["-n", &namespace, "rollout", "status", what, "--timeout=5s"])? {
            said if said.code == Some(0) => Ok(()),
            said => Err(format!("{said:?}").into()),
        })?;
    }
    let waited = say(cluster, &ours, &["-n", &namespace, "wait", "pod/web", "pod/configured", "--for=condition=Ready", "--timeout=60s"])?;
    if waited.code != Some(0) {
        return Err(format!("{waited:?}").into());
    }
    compare(cluster, READS, (&namespace, &namespace))
}

fn writes_alike(cluster: &Cluster) -> Result<(), Failed> {
    let (theirs, ours) = (cluster.namespace("write")?, cluster.namespace("write")?);
    compare(cluster, WRITES, (&theirs, &ours))
}

fn refuses_alike(cluster: &Cluster) -> Result<(), Failed> {
    let namespace = cluster.namespace("refuses")?;
    compare(cluster, REFUSALS, (&namespace, &namespace))
}

const READS: &str = include_str!("kubectl/reads.txt");
const WRITES: &str = include_str!("kubectl/writes.txt");
const REFUSALS: &str = include_str!("kubectl/refusals.txt");
