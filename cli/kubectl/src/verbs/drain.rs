//! `drain`, `cordon` and `uncordon`: taking a node out of use, and back.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::duration;
use crate::error::{Error, Result};
use crate::flags::{DryRun, DryRunFlag};
use crate::out;
use crate::selection::{Info, Selection, must_fetch};
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf drain worker --ignore-daemonsets
  wharf drain worker --force --ignore-daemonsets --delete-emptydir-data
  wharf drain worker --grace-period=900";

/// How long to wait where a disruption budget stands against an eviction.
const RETRY: Duration = Duration::from_secs(5);

/// What `drain` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The nodes
    words: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Label selector of nodes.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Go on even if there are Pods without a controller.
    #[arg(long)]
    force: bool,
    /// Leave Pods of DaemonSets alone.
    #[arg(long)]
    ignore_daemonsets: bool,
    /// Go on even if there are Pods with an emptyDir, whose content is lost.
    #[arg(long)]
    delete_emptydir_data: bool,
    /// Seconds for a graceful end; -1 leaves it to the Pod.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true, hide_default_value = true)]
    grace_period: i64,
    /// How long to try; 0 is without end.
    #[arg(long, default_value = "0s", hide_default_value = true)]
    timeout: String,
    /// Only Pods with these labels.
    #[arg(long, default_value = "", hide_default_value = true)]
    pod_selector: String,
    /// Delete instead of evicting, whatever disruption budgets say.
    #[arg(long)]
    disable_eviction: bool,
    /// Do not wait for Pods that are being deleted for longer than these seconds.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    skip_wait_for_delete_timeout: i64,
    /// How many Pods to ask for at once.
    #[arg(long, default_value_t = 500, hide = true)]
    chunk_size: u64,
}

/// What `cordon` and `uncordon` are told.
#[derive(Debug, clap::Args)]
pub struct Cordon {
    /// The nodes
    words: Vec<String>,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Label selector of nodes.
    #[arg(long, short = 'l')]
    selector: Option<String>,
}

async fn nodes(session: &Session, words: &[String], selector: Option<&String>, verb: &str) -> Result<Vec<Info>> {
    if words.is_empty() && selector.is_none() {
        return Err(Error::Usage(format!("USAGE: {verb} NODE [flags]")));
    }
    if !words.is_empty() && selector.is_some() {
        return Err(Error::Usage("error: cannot specify both a node name and a --selector option".into()));
    }
    let words: Vec<String> =
        if words.iter().any(|word| word.contains('/')) { words.to_vec() } else { std::iter::once("nodes".to_owned()).chain(words.iter().cloned()).collect() };
    must_fetch(session, &Selection { words, selector: selector.cloned(), ..Selection::default() }, false).await
}

pub(super) async fn cordon(session: &Session, arguments: Cordon, desired: bool) -> Result<()> {
    let nodes = nodes(session, &arguments.words, arguments.selector.as_ref(), if desired { "cordon" } else { "uncordon" }).await?;
    mark(session, &nodes, desired, arguments.dry_run.read()?).await
}

async fn mark(session: &Session, nodes: &[Info], desired: bool, dry_run: DryRun) -> Result<()> {
    let verb = if desired { "cordon" } else { "uncordon" };
    for node in nodes {
        let now = node.object["spec"]["unschedulable"].as_bool().unwrap_or(false);
        let mut said = format!("{verb}ed");
        if now == desired {
            said = format!("already {said}");
        } else if dry_run != DryRun::Client {
            let patch = json!({"spec": {"unschedulable": if desired { Value::Bool(true) } else { Value::Null }}});
            if let Err(error) = session.patch(&with_query(&node.path(), &[("dryRun", dry_run.parameter())]), PatchType::Strategic, &patch).await {
                eprintln!("error: unable to {verb} node {:?}: {}", node.name, error.text());
                continue;
            }
        }
        out(&format!("node/{} {}\n", node.name, dry_run.said(&said)));
    }
    Ok(())
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let dry_run = arguments.dry_run.read()?;
    let nodes = nodes(session, &arguments.words, arguments.selector.as_ref(), "drain").await?;
    mark(session, &nodes, true, dry_run).await?;
    let (mut failed, mut left) = (Vec::new(), Vec::new());
    for node in &nodes {
        match drain(session, &arguments, &node.name, dry_run).await {
            Ok(()) => out(&format!("node/{} {}\n", node.name, dry_run.said("drained"))),
            Err(error) => {
                eprintln!("error: unable to drain node {:?} due to error: {}, continuing command...", node.name, error.text());
                failed.push(error);
                left.push(node.name.as_str());
            }
        }
    }
    if !left.is_empty() {
        eprintln!("There are pending nodes to be drained:");
        left.iter().for_each(|name| eprintln!(" {name}"));
    }
    Error::all(failed)
}

/// What is to become of a Pod, and what is said of it.
#[derive(Debug, PartialEq)]
enum Fate {
    Goes,
    GoesWith(&'static str),
    Stays,
    StaysWith(&'static str),
    Forbids(&'static str),
}

fn fate(pod: &Value, force: bool, ignore_daemonsets: bool, delete_data: bool) -> Fate {
    let finished = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    let owners = pod["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let controller = owners.iter().find(|owner| owner["controller"] == true);
    if controller.is_some_and(|owner| owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1") && !finished {
        return if ignore_daemonsets {
            Fate::StaysWith("ignoring DaemonSet-managed Pods")
        } else {
            Fate::Forbids("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)")
        };
    }
    if pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some() {
        return Fate::Stays;
    }
    let mut fate = Fate::Goes;
    let local = pod["spec"]["volumes"].as_array().into_iter().flatten().any(|volume| volume.get("emptyDir").is_some());
    if local && !finished {
        if !delete_data {
            return Fate::Forbids("Pods with local storage (use --delete-emptydir-data to override)");
        }
        fate = Fate::GoesWith("deleting Pods with local storage");
    }
    match controller {
        None if !finished && force => Fate::GoesWith("deleting Pods that declare no controller"),
        None if !finished => Fate::Forbids("Pods that declare no controller (use --force to override)"),
        // What is said last counts, and a Pod that may go has nothing said of it.
        _ if matches!(fate, Fate::GoesWith(_)) => Fate::Goes,
        _ => fate,
    }
}

fn place(pod: &Value) -> (String, String) {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

/// Adds a Pod to those of which the same is said.
fn note(all: &mut Vec<(&'static str, Vec<String>)>, what: &'static str, pod: &Value) {
    let (namespace, name) = place(pod);
    let pod = format!("{namespace}/{name}");
    match all.iter_mut().find(|(said, _)| *said == what) {
        Some((_, pods)) => pods.push(pod),
        None => all.push((what, vec![pod])),
    }
}

async fn drain(session: &Session, arguments: &Arguments, node: &str, dry_run: DryRun) -> Result<()> {
    let path = with_query("/api/v1/pods", &[("fieldSelector", &format!("spec.nodeName={node}")), ("labelSelector", &arguments.pod_selector)]);
    let list = crate::selection::list(session, &path, "application/json", arguments.chunk_size).await?;
    let (mut going, mut warnings, mut forbidding) = (Vec::new(), Vec::new(), Vec::new());
    for pod in list["items"].as_array().into_iter().flatten() {
        match fate(pod, arguments.force, arguments.ignore_daemonsets, arguments.delete_emptydir_data) {
            Fate::Goes => going.push(pod.clone()),
            Fate::GoesWith(what) => {
                note(&mut warnings, what, pod);
                going.push(pod.clone());
            }
            Fate::Stays => {}
            Fate::StaysWith(what) => note(&mut warnings, what, pod),
            Fate::Forbids(what) => note(&mut forbidding, what, pod),
        }
    }
    if !forbidding.is_empty() {
        return Error::all(forbidding.iter().map(|(what, pods)| Error::message(format!("cannot delete {what}: {}", pods.join(", ")))).collect());
    }
    if !warnings.is_empty() {
        let said: Vec<String> = warnings.iter().map(|(what, pods)| format!("{what}: {}", pods.join(", "))).collect();
        eprintln!("Warning: {}", said.join("; "));
    }
    let timeout = duration(&arguments.timeout).filter(|timeout| !timeout.is_zero());
    let all = futures::future::join_all(going.iter().map(|pod| evict(session, arguments, pod, dry_run)));
    let results = match timeout {
        Some(timeout) => tokio::time::timeout(timeout, all).await.map_err(|_| Error::message(format!("global timeout reached: {}", arguments.timeout)))?,
        None => all.await,
    };
    Error::all(results.into_iter().filter_map(Result::err).collect())
}

async fn evict(session: &Session, arguments: &Arguments, pod: &Value, dry_run: DryRun) -> Result<()> {
    let (namespace, name) = place(pod);
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
    let mut options = json!({});
    if arguments.grace_period >= 0 {
        options["gracePeriodSeconds"] = arguments.grace_period.into();
    }
    if dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    loop {
        if !arguments.disable_eviction {
            out(&format!("evicting pod {namespace}/{name}{}\n", dry_run.said("")));
        }
        if dry_run == DryRun::Client {
            return Ok(());
        }
        let outcome = if arguments.disable_eviction {
            session.delete(&path, &options).await
        } else {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}, "deleteOptions": options});
            session.post(&format!("{path}/eviction"), &eviction).await
        };
        match outcome {
            Ok(_) => break,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(Error::Status(status)) if status.code == 429 => {
                eprintln!("error when evicting pods/{name:?} -n {namespace:?} (will retry after 5s): {}", status.message);
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(Error::message(format!("error when evicting pods/{name:?} -n {namespace:?}: {}", error.text()))),
        }
    }
    if dry_run == DryRun::Server {
        return Ok(());
    }
    super::delete::until_gone(session, &path, pod["metadata"]["uid"].as_str(), Duration::from_secs(u64::from(u32::MAX))).await?;
    out(&format!("pod/{name} {}\n", if arguments.disable_eviction { "deleted" } else { "evicted" }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_go_or_stay() {
        let owned = |kind: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "controller": true}]}});
        assert_eq!(fate(&owned("ReplicaSet"), false, false, false), Fate::Goes);
        assert!(matches!(fate(&owned("DaemonSet"), false, false, false), Fate::Forbids(_)));
        assert!(matches!(fate(&owned("DaemonSet"), false, true, false), Fate::StaysWith(_)));
        assert!(matches!(fate(&json!({}), false, false, false), Fate::Forbids("Pods that declare no controller (use --force to override)")));
        assert!(matches!(fate(&json!({}), true, false, false), Fate::GoesWith(_)));
        assert_eq!(fate(&json!({"status": {"phase": "Succeeded"}}), false, false, false), Fate::Goes);
        assert_eq!(fate(&json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": ""}}}), false, false, false), Fate::Stays);
        let local = json!({"metadata": {"ownerReferences": [{"kind": "Job", "controller": true}]}, "spec": {"volumes": [{"emptyDir": {}}]}});
        assert!(matches!(fate(&local, false, false, false), Fate::Forbids(_)));
        assert_eq!(fate(&local, false, false, true), Fate::Goes);
    }
}
