//! `logs`: what containers write.

use serde_json::Value;

use crate::client::duration;
use crate::error::{Error, Result};
use crate::pods::{containers, of, place};
use crate::session::{Lines, Session, with_query};
use crate::{out, pods};

pub(super) const EXAMPLES: &str = "Examples:
  wharf logs web
  wharf logs -f web -c nginx
  wharf logs deploy/web --tail=20 --timestamps
  wharf logs -l app=web --prefix
  wharf logs -p web";

const USAGE: &str = "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command";

/// What `logs` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// POD or TYPE/NAME, and perhaps a container
    words: Vec<String>,
    /// Go on as more is written.
    #[arg(long, short = 'f')]
    follow: bool,
    /// Of the container's run before this one.
    #[arg(long, short = 'p')]
    previous: bool,
    /// The container.
    #[arg(long, short = 'c', default_value = "", hide_default_value = true)]
    container: String,
    /// All containers.
    #[arg(long)]
    all_containers: bool,
    /// All Pods of a workload.
    #[arg(long)]
    all_pods: bool,
    /// Label selector of Pods.
    #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
    selector: String,
    /// Begin each line with its time.
    #[arg(long)]
    timestamps: bool,
    /// Begin each line with its Pod and container.
    #[arg(long)]
    prefix: bool,
    /// Only the last lines; all of them by default, 10 with a selector.
    #[arg(long, allow_hyphen_values = true)]
    tail: Option<i64>,
    /// Only what is younger than 5s, 2m, 3h.
    #[arg(long, default_value = "", hide_default_value = true)]
    since: String,
    /// Only what is younger than this time.
    #[arg(long, default_value = "", hide_default_value = true)]
    since_time: String,
    /// At most so many bytes.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    limit_bytes: u64,
    /// How many logs may be followed at once.
    #[arg(long, default_value_t = 5)]
    max_log_requests: usize,
    /// Go on when a log cannot be read.
    #[arg(long)]
    ignore_errors: bool,
    /// Do not check the certificate of the node.
    #[arg(long)]
    insecure_skip_tls_verify_backend: bool,
    /// How long to wait for a Pod of a workload to run.
    #[arg(long, default_value = "20s", hide = true)]
    pod_running_timeout: String,
}

/// One log: which, and what comes before its lines.
struct Log {
    path: String,
    prefix: String,
}

impl Arguments {
    fn log(&self, pod: &Value, container: &str) -> Log {
        let (namespace, name) = place(pod);
        let flag = |set: bool| if set { "true" } else { "" };
        let number = |n: u64| if n == 0 { String::new() } else { n.to_string() };
        let tail = match self.tail {
            Some(n) if n >= 0 => n.to_string(),
            None if !self.selector.is_empty() => "10".into(),
            _ => String::new(),
        };
        let since = duration(&self.since).map_or_else(String::new, |since| since.as_secs_f64().round().to_string());
        let path = with_query(
            &format!("/api/v1/namespaces/{namespace}/pods/{name}/log"),
            &[
                ("container", container),
                ("follow", flag(self.follow)),
                ("previous", flag(self.previous)),
                ("timestamps", flag(self.timestamps)),
                ("tailLines", &tail),
                ("sinceSeconds", &since),
                ("sinceTime", &self.since_time),
                ("limitBytes", &number(self.limit_bytes)),
                ("insecureSkipTLSVerifyBackend", flag(self.insecure_skip_tls_verify_backend)),
            ],
        );
        let prefix = if self.prefix || self.all_pods { format!("[pod/{name}/{container}] ") } else { String::new() };
        Log { path, prefix }
    }

    fn of_pod(&self, pod: &Value, container: &str, all: bool) -> Result<Vec<Log>> {
        if all {
            let mut names: Vec<(String, &str)> = containers(pod);
            // In the order in which they run.
            names.sort_by_key(|(_, kind)| match *kind {
                " (init)" => 0,
                "" => 1,
                _ => 2,
            });
            return Ok(names.iter().map(|(name, _)| self.log(pod, name)).collect());
        }
        let (_, name) = place(pod);
        if !container.is_empty() && !containers(pod).iter().any(|(n, _)| n == container) {
            return Err(Error::message(format!("container {container} is not valid for pod {name}")));
        }
        Ok(vec![self.log(pod, &pods::container(pod, Some(container), false)?)])
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let (word, container) = match (arguments.words.as_slice(), arguments.selector.is_empty()) {
        ([], true) => return Err(Error::Usage(USAGE.into())),
        ([], false) => ("", arguments.container.clone()),
        ([_], false) => return Err(Error::Usage("only a selector (-l) or a POD name is allowed".into())),
        ([word], true) => (word.as_str(), arguments.container.clone()),
        ([word, container], _) if arguments.container.is_empty() => (word.as_str(), container.clone()),
        ([_, _], _) => return Err(Error::Usage("only one of -c or an inline [CONTAINER] arg is allowed".into())),
        _ => return Err(Error::Usage(USAGE.into())),
    };
    if !arguments.since.is_empty() && !arguments.since_time.is_empty() {
        return Err(Error::message("at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    if arguments.all_containers && !container.is_empty() {
        return Err(Error::message("--all-containers=true should not be specified with container name"));
    }
    if arguments.tail.is_some_and(|tail| tail < -1) {
        return Err(Error::message("--tail must be greater than or equal to -1"));
    }
    let mut logs = Vec::new();
    if word.is_empty() {
        let path = with_query(&format!("/api/v1/namespaces/{}/pods", session.namespace), &[("labelSelector", &arguments.selector)]);
        let list = crate::selection::list(session, &path, "application/json", 500).await?;
        for pod in list["items"].as_array().into_iter().flatten() {
            logs.extend(arguments.of_pod(pod, &container, arguments.all_containers)?);
        }
        if logs.is_empty() {
            eprintln!("No resources found in {} namespace.", session.namespace);
        }
    } else {
        let (object, mut found) = match pods::behind(session, word).await {
            Err(Error::Status(status)) if status.reason == "NotFound" => {
                return Err(Error::message(format!("error from server (NotFound): {} in namespace {:?}", status.message, session.namespace)));
            }
            other => other?,
        };
        if found.is_empty() {
            found = wait_for_one(session, &object, &arguments.pod_running_timeout).await?;
        }
        // The newest last: the first of them is the one that is shown.
        if !arguments.all_pods && found.len() > 1 {
            let (_, name) = place(&found[0]);
            eprintln!("Found {} pods, using pod/{name}", found.len());
            found.truncate(1);
        }
        for pod in &found {
            logs.extend(arguments.of_pod(pod, &container, arguments.all_containers)?);
        }
    }
    read(session, &arguments, logs).await
}

async fn wait_for_one(session: &Session, object: &Value, timeout: &str) -> Result<Vec<Value>> {
    let end = tokio::time::Instant::now() + duration(timeout).unwrap_or_default();
    loop {
        let pods = of(session, object).await?;
        if !pods.is_empty() {
            return Ok(pods);
        }
        if tokio::time::Instant::now() > end {
            return Err(Error::message("timed out waiting for the condition"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

async fn read(session: &Session, arguments: &Arguments, logs: Vec<Log>) -> Result<()> {
    let tolerate = |error: Error| {
        if arguments.ignore_errors {
            eprintln!("error: {}", error.text());
            Ok(())
        } else {
            Err(error)
        }
    };
    if arguments.follow && logs.len() > 1 {
        if logs.len() > arguments.max_log_requests {
            return Err(Error::message(format!(
                "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
                logs.len(),
                arguments.max_log_requests
            )));
        }
        let all = logs.iter().map(|log| async move {
            let lines = session.lines(&log.path, "*/*").await?;
            print(lines, &log.prefix).await
        });
        return futures::future::join_all(all).await.into_iter().try_for_each(|outcome| outcome.or_else(tolerate));
    }
    for log in logs {
        let outcome = async { print(session.lines(&log.path, "*/*").await?, &log.prefix).await };
        outcome.await.or_else(tolerate)?;
    }
    Ok(())
}

async fn print(mut lines: Lines, prefix: &str) -> Result<()> {
    if prefix.is_empty() {
        while let Some(chunk) = lines.chunk().await? {
            crate::out_bytes(&chunk);
        }
        return Ok(());
    }
    while let Some(line) = lines.next().await? {
        out(&format!("{prefix}{}\n", String::from_utf8_lossy(&line)));
    }
    Ok(())
}
