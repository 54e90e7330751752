//! `run`: one Pod of an image.

use std::time::Duration;

use serde_json::{Value, json};

use super::expose::labels;
use crate::client::duration;
use crate::error::{Error, Result};
use crate::flags::{DryRun, MakeFlags, tell};
use crate::print::output::FORMS;
use crate::session::{Session, with_query};
use crate::streams::{self, Streams};
use crate::{out, pods};

pub(super) const EXAMPLES: &str = "Examples:
  wharf run web --image=nginx --port=80
  wharf run look -it --rm --image=busybox --restart=Never -- sh
  wharf run web --image=nginx --env=COLOUR=blue --labels=app=web,tier=front
  wharf run web --image=nginx --dry-run=client -o yaml
  wharf run web --image=nginx --port=80 --expose";

/// What `run` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The name of the Pod
    words: Vec<String>,
    #[command(flatten)]
    make: MakeFlags,
    /// The image to run.
    #[arg(long)]
    image: Option<String>,
    /// Always, IfNotPresent or Never.
    #[arg(long, default_value = "", hide_default_value = true)]
    image_pull_policy: String,
    /// Always, OnFailure or Never.
    #[arg(long, default_value = "Always")]
    restart: String,
    /// KEY=VALUE; may be repeated.
    #[arg(long)]
    env: Vec<String>,
    /// Labels, as KEY=VALUE,…
    #[arg(long, short = 'l', default_value = "", hide_default_value = true)]
    labels: String,
    /// Annotations, as KEY=VALUE; may be repeated.
    #[arg(long)]
    annotations: Vec<String>,
    /// The port that the container listens on.
    #[arg(long, default_value = "", hide_default_value = true)]
    port: String,
    /// Make a Service of --port too.
    #[arg(long)]
    expose: bool,
    /// What follows -- is the command, not its arguments.
    #[arg(long)]
    command: bool,
    /// JSON that is merged into the Pod.
    #[arg(long, default_value = "", hide_default_value = true)]
    overrides: String,
    /// Pass standard input on.
    #[arg(long, short = 'i')]
    stdin: bool,
    /// Standard input is a terminal.
    #[arg(long, short = 't')]
    tty: bool,
    /// Wait for the Pod and attach to it.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    attach: Option<bool>,
    /// Delete the Pod when it has ended.
    #[arg(long)]
    rm: bool,
    /// Keep standard input open after the first attach.
    #[arg(long)]
    leave_stdin_open: bool,
    /// Say nothing but what the Pod says.
    #[arg(long, short = 'q')]
    quiet: bool,
    /// Run it privileged.
    #[arg(long)]
    privileged: bool,
    /// How long to wait for the Pod to run.
    #[arg(long, default_value = "1m0s", hide_default_value = true)]
    pod_running_timeout: String,
    /// The command, or its arguments.
    #[arg(last = true)]
    rest: Vec<String>,
}

impl Arguments {
    fn pod(&self, name: &str) -> Result<Value> {
        let interactive = self.stdin;
        let mut container = json!({"image": self.image, "name": name, "resources": {}});
        let mut rest = self.words[1..].to_vec();
        rest.extend(self.rest.iter().cloned());
        if !rest.is_empty() {
            container[if self.command { "command" } else { "args" }] = rest.into();
        }
        let mut variables = Vec::new();
        for pair in &self.env {
            let (key, value) = pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| Error::message(format!("invalid env: {pair}")))?;
            variables.push(json!({"name": key, "value": value}));
        }
        if !variables.is_empty() {
            container["env"] = variables.into();
        }
        if !self.image_pull_policy.is_empty() {
            container["imagePullPolicy"] = self.image_pull_policy.clone().into();
        }
        if !self.port.is_empty() {
            let port: u16 = self.port.parse().map_err(|_| Error::message(format!("strconv.Atoi: parsing {:?}: invalid syntax", self.port)))?;
            container["ports"] = json!([{"containerPort": port}]);
        }
        if interactive {
            container["stdin"] = true.into();
            if !self.leave_stdin_open {
                container["stdinOnce"] = true.into();
            }
        }
        if self.tty {
            container["tty"] = true.into();
        }
        if self.privileged {
            container["securityContext"] = json!({"privileged": true});
        }
        let labels = if self.labels.is_empty() { json!({"run": name}) } else { labels(&self.labels)?.into() };
        let mut metadata = json!({"labels": labels, "name": name});
        for annotation in &self.annotations {
            let (key, value) = annotation.split_once('=').ok_or_else(|| Error::message(format!("invalid annotation: {annotation}")))?;
            metadata["annotations"][key] = value.into();
        }
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"containers": [container], "dnsPolicy": "ClusterFirst", "restartPolicy": self.restart}, "status": {},
        });
        if !self.overrides.is_empty() {
            let overrides = crate::manifest::parse(&self.overrides).map_err(|error| Error::message(format!("Invalid overrides: {error}")))?;
            crate::merge::json::apply(&mut pod, &overrides);
        }
        Ok(pod)
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let Some(image) = &arguments.image else { return Err(Error::message("required flag(s) \"image\" not set")) };
    let Some(name) = arguments.words.first() else { return Err(Error::Usage("NAME is required for run".into())) };
    let dry_run = arguments.make.dry_run.read()?;
    if image.is_empty() {
        return Err(Error::message("--image is required"));
    }
    if image.contains(char::is_whitespace) || image.chars().any(|c| c.is_ascii_uppercase() && !image.contains(':')) {
        return Err(Error::message(format!("Invalid image name {image:?}: invalid reference format")));
    }
    if arguments.tty && !arguments.stdin {
        return Err(Error::message("-i/--stdin is required for containers with -t/--tty=true"));
    }
    if arguments.expose && arguments.port.is_empty() {
        return Err(Error::message("--port must be set when exposing a service"));
    }
    if !matches!(arguments.restart.as_str(), "Always" | "OnFailure" | "Never") {
        return Err(Error::message(format!("invalid restart policy: {}", arguments.restart)));
    }
    let attach = arguments.attach.unwrap_or(arguments.stdin);
    if arguments.rm && !attach {
        return Err(Error::message("--rm should only be used for attached containers"));
    }
    if attach && dry_run != DryRun::None {
        return Err(Error::message("--dry-run=[server|client] can't be used with attached containers options (--attach, --stdin, or --tty)"));
    }
    let mut object = arguments.pod(name)?;
    let mut service = arguments.expose.then(|| {
        let port: i64 = arguments.port.parse().unwrap_or(0);
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"port": port, "protocol": "TCP", "targetPort": port}], "selector": object["metadata"]["labels"]}, "status": {"loadBalancer": {}}})
    });
    if session.explicit_namespace {
        object["metadata"]["namespace"] = session.namespace.clone().into();
        if let Some(service) = &mut service {
            service["metadata"]["namespace"] = session.namespace.clone().into();
        }
    }
    let root = format!("/api/v1/namespaces/{}", session.namespace);
    let mut printer = arguments.make.output.printer(FORMS)?;
    let made = arguments.make.create(session, &format!("{root}/pods"), object, "kubectl-run").await?;
    if let Some(service) = service {
        let service = arguments.make.create(session, &format!("{root}/services"), service, "kubectl-run").await?;
        tell(&mut printer, &service, "created", dry_run)?;
    }
    if !attach {
        return tell(&mut printer, &made, "created", dry_run);
    }
    let path = format!("{root}/pods/{name}");
    let outcome = follow(session, &arguments, &path, name).await;
    if arguments.rm {
        session.delete(&path, &json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})).await?;
        if !arguments.quiet {
            out(&format!("pod {name:?} deleted from {} namespace\n", session.namespace));
        }
        super::delete::until_gone(session, &path, made["metadata"]["uid"].as_str(), Duration::from_secs(168 * 3600)).await?;
    }
    outcome
}

/// Waits until the Pod runs, takes part in it, and ends as it ends.
async fn follow(session: &Session, arguments: &Arguments, path: &str, name: &str) -> Result<()> {
    let patience = duration(&arguments.pod_running_timeout).unwrap_or(Duration::from_secs(60));
    let ready = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Running" | "Succeeded" | "Failed"));
    let pod = until(session, path, patience, ready).await?;
    let ended = |pod: &Value| matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !ended(&pod) {
        let streams = Streams { stdin: arguments.stdin, tty: arguments.tty, quiet: arguments.quiet }.checked();
        streams::attach(session, &session.namespace, name, Some(name), streams).await?;
    } else {
        let mut lines = session.lines(&with_query(&format!("{path}/log"), &[("container", name)]), "*/*").await?;
        while let Some(chunk) = lines.chunk().await? {
            crate::out_bytes(&chunk);
        }
    }
    if arguments.restart == "Always" {
        if !arguments.quiet && !arguments.rm {
            let flags = format!("{}{}", if arguments.stdin { " -i" } else { "" }, if arguments.tty { " -t" } else { "" });
            eprintln!("Session ended, resume using 'wharf attach {name} -c {name}{flags}' command when the pod is running");
        }
        return Ok(());
    }
    let pod = until(session, path, patience, ended).await?;
    let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let code = state["exitCode"].as_i64().unwrap_or(0);
    let (namespace, name) = pods::place(&pod);
    if code == 0 && pod["status"]["phase"] == "Succeeded" {
        return Ok(());
    }
    Err(Error::Code(format!("pod {namespace}/{name} terminated ({})", state["reason"].as_str().unwrap_or("Error")), u8::try_from(code).unwrap_or(1).max(1)))
}

async fn until(session: &Session, path: &str, patience: Duration, test: impl Fn(&Value) -> bool) -> Result<Value> {
    let end = tokio::time::Instant::now() + patience;
    loop {
        let pod = session.get(path).await?;
        if test(&pod) {
            return Ok(pod);
        }
        if tokio::time::Instant::now() > end {
            return Err(Error::message("timed out waiting for the condition"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
