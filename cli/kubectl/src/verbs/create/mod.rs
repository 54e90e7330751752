//! `create`: objects from manifests, or from a few flags.

mod access;
mod config;
mod network;
mod small;
mod workloads;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::flags::{DryRun, MakeFlags, tell};
use crate::manifest::FileFlags;
use crate::print::output::FORMS;
use crate::selection::{Selection, fetch};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf create -f pod.yaml
  wharf create namespace shop
  wharf create deployment web --image=nginx --replicas=3
  wharf create configmap settings --from-literal=COLOUR=blue --from-file=app.conf
  wharf create secret generic login --from-literal=USER=admin
  wharf create deployment web --image=nginx --dry-run=client -o yaml";

/// What `create` is told.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = false, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    make: MakeFlags,
    /// Only manifests with these labels.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// A path to POST to at the server.
    #[arg(long, default_value = "", hide_default_value = true)]
    raw: String,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Create a namespace
    #[command(alias = "ns")]
    Namespace(small::Named),
    /// Create a service account
    #[command(alias = "sa")]
    Serviceaccount(small::Named),
    /// Create a resource quota
    #[command(alias = "resourcequota")]
    Quota(small::Quota),
    /// Create a pod disruption budget
    #[command(alias = "pdb")]
    Poddisruptionbudget(small::Budget),
    /// Create a priority class
    #[command(alias = "pc")]
    Priorityclass(small::Priority),
    /// Request a token of a service account
    Token(small::Token),
    /// Create a deployment
    #[command(alias = "deploy")]
    Deployment(workloads::Deployment),
    /// Create a job
    Job(workloads::Job),
    /// Create a cron job
    #[command(alias = "cj")]
    Cronjob(workloads::CronJob),
    /// Create a config map from files, folders or literal values
    #[command(alias = "cm")]
    Configmap(config::Sources),
    /// Create a secret
    #[command(subcommand)]
    Secret(config::Secret),
    /// Create a service
    #[command(subcommand, alias = "svc")]
    Service(network::Service),
    /// Create an ingress
    #[command(alias = "ing")]
    Ingress(network::Ingress),
    /// Create a role
    Role(access::Role),
    /// Create a cluster role
    Clusterrole(access::ClusterRole),
    /// Bind a role, or a cluster role within a namespace
    Rolebinding(access::Binding),
    /// Bind a cluster role
    Clusterrolebinding(access::Binding),
}

impl Arguments {
    /// Whether `--user` is who a role is given to, and not a name of the kubeconfig.
    pub(super) fn user_is_a_subject(&self) -> bool {
        matches!(self.what, Some(What::Rolebinding(_) | What::Clusterrolebinding(_)))
    }
}

/// An object to be, and its collection.
struct New {
    object: Value,
    plural: &'static str,
    namespaced: bool,
}

impl New {
    fn namespaced(plural: &'static str, object: Value) -> New {
        New { object, plural, namespaced: true }
    }

    fn cluster(plural: &'static str, object: Value) -> New {
        New { object, plural, namespaced: false }
    }
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    let make = &arguments.make;
    let new = match &arguments.what {
        None => return manifests(session, &arguments).await,
        Some(What::Token(token)) => return token.run(session, make).await,
        Some(What::Namespace(named)) => named.namespace()?,
        Some(What::Serviceaccount(named)) => named.service_account()?,
        Some(What::Quota(quota)) => quota.object()?,
        Some(What::Poddisruptionbudget(budget)) => budget.object()?,
        Some(What::Priorityclass(class)) => class.object()?,
        Some(What::Deployment(deployment)) => deployment.object()?,
        Some(What::Job(job)) => job.object(session).await?,
        Some(What::Cronjob(job)) => job.object()?,
        Some(What::Configmap(sources)) => sources.config_map()?,
        Some(What::Secret(secret)) => secret.object()?,
        Some(What::Service(service)) => service.object()?,
        Some(What::Ingress(ingress)) => ingress.object()?,
        Some(What::Role(role)) => role.object(session).await?,
        Some(What::Clusterrole(role)) => role.object(session).await?,
        Some(What::Rolebinding(binding)) => binding.role_binding()?,
        Some(What::Clusterrolebinding(binding)) => binding.cluster_role_binding()?,
    };
    let mut object = new.object;
    if new.namespaced && session.explicit_namespace {
        object["metadata"]["namespace"] = session.namespace.clone().into();
    }
    let version = object["apiVersion"].as_str().unwrap_or_default();
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let path = if new.namespaced { format!("{root}/namespaces/{}/{}", session.namespace, new.plural) } else { format!("{root}/{}", new.plural) };
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    make.make(session, &path, object, "kubectl-create").await.map(drop).map_err(|error| match error {
        // kubectl says what it failed to create, for most kinds.
        Error::Status(mut status) if status.reason != "Invalid" => {
            status.message = format!("{}{}", failed(&kind), status.message);
            // The reason stays visible only where kubectl leaves the server's answer as it is.
            if failed(&kind).is_empty() { Error::Status(status) } else { Error::Message(status.message.clone()) }
        }
        other => other,
    })
}

fn failed(kind: &str) -> &'static str {
    match kind {
        "deployment" => "failed to create deployment: ",
        "configmap" => "failed to create configmap: ",
        "secret" => "failed to create secret ",
        "service" => "failed to create Service service: ",
        "job" => "failed to create job: ",
        "cronjob" => "failed to create cronjob: ",
        "ingress" => "failed to create ingress: ",
        "serviceaccount" => "failed to create serviceaccount: ",
        "resourcequota" => "failed to create quota: ",
        "poddisruptionbudget" => "failed to create poddisruptionbudgets: ",
        "priorityclass" => "failed to create priorityclass: ",
        "rolebinding" => "failed to create rolebinding: ",
        "clusterrolebinding" => "failed to create clusterrolebinding: ",
        _ => "",
    }
}

async fn manifests(session: &Session, arguments: &Arguments) -> Result<()> {
    let make = &arguments.make;
    if !arguments.raw.is_empty() {
        let (found, errors) = crate::manifest::read(&arguments.files).await?;
        Error::all(errors)?;
        let body = found.first().map_or(json!({}), |manifest| manifest.object.clone());
        crate::out(&session.post(&arguments.raw, &body).await?.to_string());
        return Ok(());
    }
    if arguments.files.is_empty() {
        return Err(Error::Code("error: must specify one of -f and -k\n".into(), 1));
    }
    let dry_run = make.dry_run.read()?;
    let mut printer = make.output.printer(FORMS)?;
    let selection = Selection { files: arguments.files.clone(), selector: arguments.selector.clone(), ..Selection::default() };
    let (infos, mut errors, _) = fetch(session, &selection, true).await?;
    let validation = make.validate.parameter()?;
    let manager = if make.field_manager.is_empty() { "kubectl-create" } else { &make.field_manager };
    let mut created = 0;
    for info in infos {
        let object = if make.save_config { crate::merge::annotated(&info.object) } else { info.object.clone() };
        let outcome = if dry_run == DryRun::Client {
            Ok(object)
        } else {
            let parameters = [("dryRun", dry_run.parameter()), ("fieldManager", manager), ("fieldValidation", validation)];
            let path = with_query(&info.resource.path(info.namespace.as_deref()), &parameters);
            session.post(&path, &object).await.map_err(|error| error.while_("creating", &info.source))
        };
        match outcome {
            Ok(object) => {
                created += 1;
                tell(&mut printer, &object, "created", dry_run)?;
            }
            Err(error) => errors.push(error),
        }
    }
    if created == 0 && errors.is_empty() {
        return Err(Error::message("no objects passed to create"));
    }
    Error::all(errors)
}

/// The one name that is needed.
fn one_name(names: &[String]) -> Result<&str> {
    match names {
        [name] => Ok(name),
        names => Err(Error::Usage(format!("exactly one NAME is required, got {}", names.len()))),
    }
}

fn required(missing: &[(&str, bool)]) -> Result<()> {
    let names: Vec<String> = missing.iter().filter(|(_, there)| !there).map(|(name, _)| format!("{name:?}")).collect();
    if names.is_empty() { Ok(()) } else { Err(Error::message(format!("required flag(s) {} not set", names.join(", ")))) }
}
