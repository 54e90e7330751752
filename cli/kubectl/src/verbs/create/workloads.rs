//! Deployments, Jobs and CronJobs from an image.

use serde_json::{Map, Value, json};

use super::{New, one_name, required};
use crate::error::{Error, Result};
use crate::session::Session;

/// `create deployment`
#[derive(Debug, clap::Args)]
pub(super) struct Deployment {
    name: Vec<String>,
    /// The image to run; may be repeated for several containers.
    #[arg(long)]
    image: Vec<String>,
    /// How many Pods.
    #[arg(long, short = 'r', default_value_t = 1, allow_hyphen_values = true)]
    replicas: i64,
    /// The port that the container listens on.
    #[arg(long, default_value_t = -1, allow_hyphen_values = true, hide_default_value = true)]
    port: i64,
    /// The command to run instead of the image's.
    #[arg(last = true)]
    command: Vec<String>,
}

/// The name of a container made of an image: what is left of `registry/path/NAME:tag@digest`.
pub(in crate::verbs) fn container_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    let name = last.split(['@', ':']).next().unwrap_or(last);
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c.to_ascii_lowercase() } else { '-' }).collect()
}

impl Deployment {
    pub(super) fn object(&self) -> Result<New> {
        required(&[("image", !self.image.is_empty())])?;
        let name = one_name(&self.name)?;
        if self.image.len() > 1 && !self.command.is_empty() {
            return Err(Error::message("cannot specify multiple --image options and command"));
        }
        let containers: Vec<Value> = self
            .image
            .iter()
            .map(|image| {
                let mut container = json!({"image": image, "name": container_name(image), "resources": {}});
                if !self.command.is_empty() {
                    container["command"] = self.command.clone().into();
                }
                if self.port >= 0 {
                    container["ports"] = json!([{"containerPort": self.port}]);
                }
                container
            })
            .collect();
        let labels = json!({"app": name});
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
            "spec": {"replicas": self.replicas, "selector": {"matchLabels": labels}, "strategy": {}, "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}},
            "status": {},
        });
        Ok(New::namespaced("deployments", object))
    }
}

/// `create job`
#[derive(Debug, clap::Args)]
pub(super) struct Job {
    name: Vec<String>,
    /// The image to run.
    #[arg(long, default_value = "", hide_default_value = true)]
    image: String,
    /// The cron job to make it of, as cronjob/NAME.
    #[arg(long, default_value = "", hide_default_value = true)]
    from: String,
    /// The command to run instead of the image's.
    #[arg(last = true)]
    command: Vec<String>,
}

impl Job {
    pub(super) async fn object(&self, session: &Session) -> Result<New> {
        let name = one_name(&self.name)?;
        if self.image.is_empty() == self.from.is_empty() {
            return Err(Error::message("either --image or --from must be specified"));
        }
        if !self.command.is_empty() && !self.from.is_empty() {
            return Err(Error::message("cannot specify --from and command"));
        }
        if !self.from.is_empty() {
            return self.of_cron_job(session, name).await;
        }
        let mut container = json!({"image": self.image, "name": name, "resources": {}});
        if !self.command.is_empty() {
            container["command"] = self.command.clone().into();
        }
        let object = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
            "spec": {"template": {"metadata": {}, "spec": {"containers": [container], "restartPolicy": "Never"}}}, "status": {},
        });
        Ok(New::namespaced("jobs", object))
    }

    async fn of_cron_job(&self, session: &Session, name: &str) -> Result<New> {
        let cron = match self.from.split_once('/') {
            Some((kind, cron)) if matches!(kind.split('.').next(), Some("cronjob" | "cronjobs" | "cj")) => cron,
            _ => return Err(Error::message(format!("from must be an existing cronjob: {}", self.from))),
        };
        let cron = session.get(&format!("/apis/batch/v1/namespaces/{}/cronjobs/{cron}", session.namespace)).await?;
        let template = &cron["spec"]["jobTemplate"];
        let mut annotations: Map<String, Value> = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        annotations.insert("cronjob.kubernetes.io/instantiate".into(), "manual".into());
        let mut metadata = json!({
            "name": name, "annotations": annotations,
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": cron["metadata"]["name"], "uid": cron["metadata"]["uid"], "controller": true}],
        });
        if template["metadata"]["labels"].is_object() {
            metadata["labels"] = template["metadata"]["labels"].clone();
        }
        Ok(New::namespaced("jobs", json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": template["spec"], "status": {}})))
    }
}

/// `create cronjob`
#[derive(Debug, clap::Args)]
pub(super) struct CronJob {
    name: Vec<String>,
    /// The image to run.
    #[arg(long, default_value = "", hide_default_value = true)]
    image: String,
    /// When, in cron's form.
    #[arg(long, default_value = "", hide_default_value = true)]
    schedule: String,
    /// OnFailure or Never.
    #[arg(long, default_value = "")]
    restart: String,
    /// The command to run instead of the image's.
    #[arg(last = true)]
    command: Vec<String>,
}

impl CronJob {
    pub(super) fn object(&self) -> Result<New> {
        required(&[("image", !self.image.is_empty()), ("schedule", !self.schedule.is_empty())])?;
        let name = one_name(&self.name)?;
        let mut container = json!({"image": self.image, "name": name, "resources": {}});
        if !self.command.is_empty() {
            container["command"] = self.command.clone().into();
        }
        let restart = if self.restart.is_empty() { "OnFailure" } else { &self.restart };
        let pod = json!({"metadata": {}, "spec": {"containers": [container], "restartPolicy": restart}});
        let object = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
            "spec": {"jobTemplate": {"metadata": {"name": name}, "spec": {"template": pod}}, "schedule": self.schedule}, "status": {},
        });
        Ok(New::namespaced("cronjobs", object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_name_their_containers() {
        for (image, name) in [("nginx", "nginx"), ("nginx:1.29", "nginx"), ("localhost:5000/a/My_App:v1@sha256:00", "my-app")] {
            assert_eq!(container_name(image), name);
        }
    }
}
