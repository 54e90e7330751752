//! Objects that are little more than a name, and tokens.

use serde_json::{Map, Value, json};

use super::{New, one_name, required};
use crate::client::duration;
use crate::error::{Error, Result};
use crate::flags::MakeFlags;
use crate::print::output::{FORMS, Format};
use crate::session::Session;

/// A name and nothing else.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    name: Vec<String>,
}

impl Named {
    pub(super) fn namespace(&self) -> Result<New> {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": one_name(&self.name)?}, "spec": {}, "status": {}});
        Ok(New::cluster("namespaces", object))
    }

    pub(super) fn service_account(&self) -> Result<New> {
        Ok(New::namespaced("serviceaccounts", json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": one_name(&self.name)?}})))
    }
}

/// `create quota`
#[derive(Debug, clap::Args)]
pub(super) struct Quota {
    name: Vec<String>,
    /// cpu=1,pods=3,…
    #[arg(long, value_delimiter = ',')]
    hard: Vec<String>,
    /// Scopes, such as BestEffort.
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
}

impl Quota {
    pub(super) fn object(&self) -> Result<New> {
        let mut hard = Map::new();
        for pair in &self.hard {
            let (key, value) = pair.split_once('=').ok_or_else(|| Error::message(format!("invalid argument syntax {pair:?}, expected <resource>=<value>")))?;
            hard.insert(key.to_owned(), value.into());
        }
        let mut spec = Map::new();
        if !hard.is_empty() {
            spec.insert("hard".into(), hard.into());
        }
        if !self.scopes.is_empty() {
            spec.insert("scopes".into(), self.scopes.clone().into());
        }
        let object = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": one_name(&self.name)?}, "spec": spec, "status": {}});
        Ok(New::namespaced("resourcequotas", object))
    }
}

/// `create poddisruptionbudget`
#[derive(Debug, clap::Args)]
pub(super) struct Budget {
    name: Vec<String>,
    /// Which Pods are meant.
    #[arg(long, default_value = "")]
    selector: String,
    /// How many must stay, as a number or a percentage.
    #[arg(long)]
    min_available: Option<String>,
    /// How many may go, as a number or a percentage.
    #[arg(long)]
    max_unavailable: Option<String>,
}

impl Budget {
    pub(super) fn object(&self) -> Result<New> {
        let name = one_name(&self.name)?;
        if self.selector.is_empty() {
            return Err(Error::message("a selector must be specified"));
        }
        let number = |text: &str| text.parse::<i64>().map_or_else(|_| Value::from(text), Value::from);
        let mut spec = Map::new();
        match (&self.min_available, &self.max_unavailable) {
            (None, None) => return Err(Error::message("one of min-available or max-unavailable must be specified")),
            (Some(_), Some(_)) => return Err(Error::message("min-available and max-unavailable cannot be both specified")),
            (Some(least), None) => spec.insert("minAvailable".into(), number(least)),
            (None, Some(most)) => spec.insert("maxUnavailable".into(), number(most)),
        };
        let mut labels = Map::new();
        for pair in self.selector.split(',') {
            let (key, value) = pair.split_once('=').ok_or_else(|| Error::message(format!("{pair:?} is not a label=value")))?;
            labels.insert(key.trim_end_matches('=').to_owned(), value.trim_start_matches('=').into());
        }
        spec.insert("selector".into(), json!({"matchLabels": labels}));
        let status = json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
        let object = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec, "status": status});
        Ok(New::namespaced("poddisruptionbudgets", object))
    }
}

/// `create priorityclass`
#[derive(Debug, clap::Args)]
pub(super) struct Priority {
    name: Vec<String>,
    /// The value of this class.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    value: i64,
    /// Whether it is the class of Pods that name none.
    #[arg(long)]
    global_default: bool,
    /// What it is for.
    #[arg(long, default_value = "")]
    description: String,
    /// PreemptLowerPriority or Never.
    #[arg(long, default_value = "PreemptLowerPriority")]
    preemption_policy: String,
}

impl Priority {
    pub(super) fn object(&self) -> Result<New> {
        let mut object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": one_name(&self.name)?},
            "value": self.value, "preemptionPolicy": self.preemption_policy,
        });
        if self.global_default {
            object["globalDefault"] = true.into();
        }
        if !self.description.is_empty() {
            object["description"] = self.description.clone().into();
        }
        Ok(New::cluster("priorityclasses", object))
    }
}

/// `create token`
#[derive(Debug, clap::Args)]
pub(super) struct Token {
    name: Vec<String>,
    /// For whom it is; may be repeated.
    #[arg(long)]
    audience: Vec<String>,
    /// How long it is good.
    #[arg(long, default_value = "0s", hide_default_value = true)]
    duration: String,
    /// Pod, Secret or Node: it is good as long as that object is there.
    #[arg(long, default_value = "")]
    bound_object_kind: String,
    /// The name of that object.
    #[arg(long, default_value = "")]
    bound_object_name: String,
    /// The uid of that object.
    #[arg(long, default_value = "")]
    bound_object_uid: String,
}

impl Token {
    pub(super) async fn run(&self, session: &Session, make: &MakeFlags) -> Result<()> {
        let name = one_name(&self.name)?;
        required(&[])?;
        let seconds = duration(&self.duration)
            .ok_or_else(|| {
                Error::Code(
                    format!(
                        "error: invalid argument {0:?} for \"--duration\" flag: time: invalid duration {0:?}\nSee 'wharf create token --help' for usage.\n",
                        self.duration
                    ),
                    1,
                )
            })?
            .as_secs();
        let mut spec = Map::new();
        if !self.audience.is_empty() {
            spec.insert("audiences".into(), self.audience.clone().into());
        }
        if seconds > 0 {
            spec.insert("expirationSeconds".into(), seconds.into());
        }
        if !self.bound_object_kind.is_empty() {
            if !matches!(self.bound_object_kind.as_str(), "Pod" | "Secret" | "Node") {
                return Err(Error::message("supported --bound-object-kind values are Node, Pod, Secret"));
            }
            spec.insert(
                "boundObjectRef".into(),
                json!({"kind": self.bound_object_kind, "apiVersion": "v1", "name": self.bound_object_name, "uid": self.bound_object_uid}),
            );
        }
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{name}/token", session.namespace);
        let answer = session.post(&path, &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {}, "spec": spec})).await;
        let answer = answer.map_err(|error| Error::message(format!("failed to create token: {}", error.text())))?;
        let mut printer = make.output.printer(FORMS)?;
        if matches!(printer.format, Format::Human) {
            crate::out(&format!("{}\n", answer["status"]["token"].as_str().unwrap_or_default()));
        } else {
            crate::out(&printer.print(&answer)?);
        }
        Ok(())
    }
}
