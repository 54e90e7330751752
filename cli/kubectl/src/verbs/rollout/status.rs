//! `rollout status`

use serde_json::Value;

use super::Target;
use crate::client::duration;
use crate::error::{Error, Result};
use crate::out;
use crate::selection::Info;
use crate::session::{Session, with_query};

/// What it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Wait until it is done.
    #[arg(long, short = 'w', default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_default_value = true, value_name = "BOOL")]
    watch: bool,
    /// Only of this revision.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    revision: i64,
    /// How long to wait; 0 is without end.
    #[arg(long, default_value = "0s", hide_default_value = true)]
    timeout: String,
}

pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let timeout = duration(&arguments.timeout).filter(|timeout| !timeout.is_zero());
    let (infos, errors) = arguments.target.fetch(session).await?;
    Error::all(errors)?;
    if infos.is_empty() {
        eprintln!("No resources found in {} namespace.", session.namespace);
    }
    for info in infos {
        let watch = follow(session, &info, &arguments);
        match timeout {
            Some(timeout) => tokio::time::timeout(timeout, watch).await.map_err(|_| Error::message("timed out waiting for the condition"))??,
            None => watch.await?,
        }
    }
    Ok(())
}

async fn follow(session: &Session, info: &Info, arguments: &Arguments) -> Result<()> {
    let mut object = info.object.clone();
    let collection = with_query(&info.resource.path(info.namespace.as_deref()), &[("fieldSelector", &format!("metadata.name={}", info.name))]);
    loop {
        let (said, done) = status(&object, arguments.revision).map_err(Error::message)?;
        out(&said);
        if done || !arguments.watch {
            return Ok(());
        }
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let mut stream = session.watch(&with_query(&collection, &[("resourceVersion", &version)]), "application/json").await?;
        loop {
            match stream.event().await {
                Ok(Some((kind, _))) if kind == "DELETED" => return Err(Error::message("object has been deleted")),
                Ok(Some((_, next))) => {
                    object = next;
                    let (said, done) = status(&object, arguments.revision).map_err(Error::message)?;
                    out(&said);
                    if done {
                        return Ok(());
                    }
                }
                // The watch ended; it is taken up again from the present state.
                Ok(None) | Err(Error::Message(_)) => break,
                Err(Error::Status(status)) if status.code == 410 => break,
                Err(error) => return Err(error),
            }
        }
        object = session.get(&info.path()).await?;
    }
}

/// What is said of a workload, and whether its rollout is done.
fn status(object: &Value, revision: i64) -> std::result::Result<(String, bool), String> {
    let (name, spec, status) = (object["metadata"]["name"].as_str().unwrap_or_default(), &object["spec"], &object["status"]);
    let n = |value: &Value| value.as_i64().unwrap_or(0);
    let observed = n(&object["metadata"]["generation"]) <= n(&status["observedGeneration"]);
    match object["kind"].as_str().unwrap_or_default() {
        "Deployment" => {
            let running = super::revision(object);
            if revision > 0 && revision != running {
                return Err(format!("desired revision ({revision}) is different from the running revision ({running})"));
            }
            if !observed {
                return Ok(("Waiting for deployment spec update to be observed...\n".into(), false));
            }
            let conditions = status["conditions"].as_array().into_iter().flatten();
            if conditions.filter(|c| c["type"] == "Progressing").any(|c| c["reason"] == "ProgressDeadlineExceeded") {
                return Err(format!("deployment {name:?} exceeded its progress deadline"));
            }
            let (wanted, updated, all, available) =
                (n(&spec["replicas"]), n(&status["updatedReplicas"]), n(&status["replicas"]), n(&status["availableReplicas"]));
            let waiting = |what: String| Ok((format!("Waiting for deployment {name:?} rollout to finish: {what}...\n"), false));
            if spec["replicas"].is_number() && updated < wanted {
                return waiting(format!("{updated} out of {wanted} new replicas have been updated"));
            }
            if all > updated {
                return waiting(format!("{} old replicas are pending termination", all - updated));
            }
            if available < updated {
                return waiting(format!("{available} of {updated} updated replicas are available"));
            }
            Ok((format!("deployment {name:?} successfully rolled out\n"), true))
        }
        "DaemonSet" => {
            if spec["updateStrategy"]["type"] != "RollingUpdate" {
                return Err("rollout status is only available for RollingUpdate strategy type".into());
            }
            if !observed {
                return Ok(("Waiting for daemon set spec update to be observed...\n".into(), false));
            }
            let (wanted, updated, available) = (n(&status["desiredNumberScheduled"]), n(&status["updatedNumberScheduled"]), n(&status["numberAvailable"]));
            let waiting = |what: String| Ok((format!("Waiting for daemon set {name:?} rollout to finish: {what}...\n"), false));
            if updated < wanted {
                return waiting(format!("{updated} out of {wanted} new pods have been updated"));
            }
            if available < wanted {
                return waiting(format!("{available} of {wanted} updated pods are available"));
            }
            Ok((format!("daemon set {name:?} successfully rolled out\n"), true))
        }
        "StatefulSet" => stateful_set(spec, status, observed),
        kind => Err(format!("no status viewer has been implemented for {kind}")),
    }
}

fn stateful_set(spec: &Value, status: &Value, observed: bool) -> std::result::Result<(String, bool), String> {
    let n = |value: &Value| value.as_i64().unwrap_or(0);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if spec["updateStrategy"]["type"] != "RollingUpdate" {
        return Err("rollout status is only available for RollingUpdate strategy type".into());
    }
    if !observed || n(&status["observedGeneration"]) == 0 {
        return Ok(("Waiting for statefulset spec update to be observed...\n".into(), false));
    }
    let (wanted, ready, updated) = (n(&spec["replicas"]), n(&status["readyReplicas"]), n(&status["updatedReplicas"]));
    if spec["replicas"].is_number() && ready < wanted {
        return Ok((format!("Waiting for {} pods to be ready...\n", wanted - ready), false));
    }
    let rolling = &spec["updateStrategy"]["rollingUpdate"];
    if rolling.is_object() {
        let fewer = wanted - n(&rolling["partition"]);
        if rolling["partition"].is_number() && updated < fewer {
            return Ok((format!("Waiting for partitioned roll out to finish: {updated} out of {fewer} new pods have been updated...\n"), false));
        }
        return Ok((format!("partitioned roll out complete: {updated} new pods have been updated...\n"), true));
    }
    let (update, current) = (text(&status["updateRevision"]), text(&status["currentRevision"]));
    if update != current {
        return Ok((format!("waiting for statefulset rolling update to complete {updated} pods at revision {update}...\n"), false));
    }
    Ok((format!("statefulset rolling update complete {} pods at revision {current}...\n", n(&status["currentReplicas"])), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_tells_how_far_it_is() {
        let at = |status: Value| {
            super::status(&json!({"kind": "Deployment", "metadata": {"name": "d", "generation": 2}, "spec": {"replicas": 3}, "status": status}), 0)
        };
        for (status, said, done) in [
            (json!({"observedGeneration": 1}), "Waiting for deployment spec update to be observed...\n", false),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 1}),
                "Waiting for deployment \"d\" rollout to finish: 1 out of 3 new replicas have been updated...\n",
                false,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 4}),
                "Waiting for deployment \"d\" rollout to finish: 1 old replicas are pending termination...\n",
                false,
            ),
            (
                json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 2}),
                "Waiting for deployment \"d\" rollout to finish: 2 of 3 updated replicas are available...\n",
                false,
            ),
            (json!({"observedGeneration": 2, "updatedReplicas": 3, "replicas": 3, "availableReplicas": 3}), "deployment \"d\" successfully rolled out\n", true),
        ] {
            assert_eq!(at(status), Ok((said.to_owned(), done)));
        }
        let late = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]});
        assert_eq!(at(late), Err("deployment \"d\" exceeded its progress deadline".into()));
    }
}
