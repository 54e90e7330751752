//! `apply`: makes objects what their manifests say, with a three-way merge made here or (`--server-side`) by the server.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::flags::{DryRun, DryRunFlag, RecordFlag, ValidateFlag, tell};
use crate::manifest::FileFlags;
use crate::merge::{self, annotated, last_applied, schema::Document, without_nulls};
use crate::out;
use crate::print::output::{FORMS, Format, OutputFlags, list, name};
use crate::selection::{Info, Selection, fetch};
use crate::session::{PatchType, Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf apply -f pod.yaml
  wharf apply -f manifests/ -R
  cat pod.json | wharf apply -f -
  wharf apply -f pod.yaml --dry-run=server
  wharf apply -f pod.yaml --server-side --force-conflicts
  wharf apply -f manifests/ -l app=web --prune";

/// How often a patch is made anew because somebody else wrote meanwhile.
const RETRIES: usize = 5;

/// What `apply` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[arg(hide = true)]
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    output: OutputFlags,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    validate: ValidateFlag,
    #[command(flatten)]
    record: RecordFlag,
    /// Only manifests with these labels.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Let the server merge, and keep who manages which field.
    #[arg(long)]
    server_side: bool,
    /// With --server-side, take over fields that others manage.
    #[arg(long)]
    force_conflicts: bool,
    /// Delete and create anew where a patch is refused.
    #[arg(long)]
    force: bool,
    /// Who is said to manage the fields.
    #[arg(long, default_value = "", hide_default_value = true)]
    field_manager: String,
    /// Delete objects that were applied before and are in no manifest now; needs -l or --all.
    #[arg(long)]
    prune: bool,
    /// With --prune, everything in the namespace is meant.
    #[arg(long)]
    all: bool,
    /// Take the manifest's values where the live object was changed otherwise.
    #[arg(long, default_value = "true", action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", hide = true)]
    overwrite: bool,
    /// With --prune or --force, wait until what is deleted is gone.
    #[arg(long)]
    wait: bool,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    if !arguments.words.is_empty() {
        return Err(Error::Usage(format!("Unexpected args: [{}]", arguments.words.join(" "))));
    }
    if arguments.files.is_empty() {
        return Err(Error::message("must specify one of -f and -k"));
    }
    let dry_run = arguments.dry_run.read()?;
    if arguments.force_conflicts && !arguments.server_side {
        return Err(Error::message("--force-conflicts only works with --server-side"));
    }
    if dry_run == DryRun::Client && arguments.server_side {
        return Err(Error::message("--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)"));
    }
    if arguments.prune && arguments.selector.is_none() && !arguments.all {
        return Err(Error::message(
            "all resources selected for prune without explicitly passing --all. To prune all resources, pass the --all flag. If you did not mean to prune all resources, specify a label selector",
        ));
    }
    let mut printer = arguments.output.printer(FORMS)?;
    let selection = Selection { files: arguments.files.clone(), selector: arguments.selector.clone(), ..Selection::default() };
    let (infos, mut errors, _) = fetch(session, &selection, true).await?;
    if infos.is_empty() && errors.is_empty() {
        return Err(Error::message("no objects passed to apply"));
    }
    // Objects in another form are printed when all is done, as one.
    let together = !matches!(printer.format, Format::Human | Format::Name);
    let mut apply = Apply { session, arguments: &arguments, dry_run, documents: Default::default() };
    let mut applied = Vec::new();
    for info in infos {
        match apply.one(&info).await {
            Ok((object, operation)) => {
                if !together {
                    tell(&mut printer, &object, operation, dry_run)?;
                }
                applied.push(object);
            }
            Err(error) => errors.push(error),
        }
    }
    let failed = !errors.is_empty();
    Error::all(errors)?;
    if together && !applied.is_empty() {
        let object = if applied.len() == 1 { applied[0].clone() } else { list(applied.clone()) };
        out(&printer.print(&object)?);
    }
    if arguments.prune && !failed {
        prune(session, &arguments, &applied, dry_run).await?;
    }
    Ok(())
}

/// Applies objects of one command.
pub(super) struct Apply<'a> {
    session: &'a Session,
    arguments: &'a Arguments,
    dry_run: DryRun,
    documents: merge::schema::Documents,
}

impl Apply<'_> {
    fn manager(&self) -> &str {
        match self.arguments.field_manager.as_str() {
            "" if self.arguments.server_side => "kubectl",
            "" => "kubectl-client-side-apply",
            named => named,
        }
    }

    fn parameters<'b>(&'b self, validation: &'b str) -> [(&'static str, &'b str); 3] {
        [("dryRun", self.dry_run.parameter()), ("fieldManager", self.manager()), ("fieldValidation", validation)]
    }

    async fn one(&mut self, info: &Info) -> Result<(Value, &'static str)> {
        if info.name.is_empty() {
            let prefix = info.object["metadata"]["generateName"].as_str().unwrap_or_default();
            return Err(if prefix.is_empty() {
                Error::message("resource name may not be empty")
            } else {
                Error::message(format!("from {prefix}: cannot use generate name with apply"))
            });
        }
        let validation = self.arguments.validate.parameter()?;
        if self.arguments.server_side {
            return self.server_side(info, validation).await;
        }
        let modified = annotated(&info.object);
        let live = match self.session.get(&info.path()).await {
            Ok(live) => live,
            Err(error) if error.is_not_found() => return self.create(info, modified, validation).await,
            Err(error) => return Err(error.while_(&format!("retrieving current configuration of:\n{}\nfrom server for:", told(info)), &info.source)),
        };
        if live["metadata"]["annotations"].get(merge::LAST_APPLIED).is_none() {
            eprintln!(
                "Warning: resource {}/{} is missing the {} annotation which is required by kubectl apply. kubectl apply should only be used on resources created declaratively by either kubectl create --save-config or kubectl apply. The missing annotation will be patched automatically.",
                info.resource.plural,
                info.name,
                merge::LAST_APPLIED
            );
        }
        let (patch, object) = self.patch(info, live, &modified, validation).await?;
        warn_if_deleting(&object);
        Ok((object, if patch.as_object().is_some_and(serde_json::Map::is_empty) { "unchanged" } else { "configured" }))
    }

    async fn create(&self, info: &Info, mut modified: Value, validation: &str) -> Result<(Value, &'static str)> {
        without_nulls(&mut modified);
        if self.dry_run == DryRun::Client {
            return Ok((modified, "created"));
        }
        let path = with_query(&info.resource.path(info.namespace.as_deref()), &self.parameters(validation));
        let object = self.session.post(&path, &modified).await.map_err(|error| error.while_("creating", &info.source))?;
        Ok((object, "created"))
    }

    async fn patch(&mut self, info: &Info, mut live: Value, modified: &Value, validation: &str) -> Result<(Value, Value)> {
        let (mut tries, mut patch) = (0, Value::Null);
        loop {
            let outcome = async {
                let (made, kind) = difference(self.session, &mut self.documents, info, &live, modified).await?;
                patch = made;
                if patch.as_object().is_some_and(serde_json::Map::is_empty) {
                    return Ok(live.clone());
                }
                if self.dry_run == DryRun::Client {
                    let mut patched = live.clone();
                    merge::json::apply(&mut patched, &patch);
                    return Ok(patched);
                }
                self.session.patch(&with_query(&info.path(), &self.parameters(validation)), kind, &patch).await
            }
            .await;
            match outcome {
                Ok(object) => return Ok((patch, object)),
                Err(error) if error.is_conflict() && tries < RETRIES => {
                    tries += 1;
                    if tries > 1 {
                        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    }
                    live = self.session.get(&info.path()).await?;
                }
                Err(error) if self.arguments.force && matches!(&error, Error::Status(s) if s.reason == "Invalid" || s.reason == "Conflict") => {
                    return Ok((modified.clone(), self.anew(info, modified, validation).await?));
                }
                Err(error) => {
                    let doing = format!("applying patch:\n{}\nto:\n{}\nfor:", crate::print::json::compact(&patch), told(info));
                    return Err(error.while_("patching", &info.source).while_(&doing, &info.source));
                }
            }
        }
    }

    /// `--force`: deleted and created.
    async fn anew(&self, info: &Info, modified: &Value, validation: &str) -> Result<Value> {
        self.session
            .delete(&info.path(), &json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background", "gracePeriodSeconds": 0}))
            .await?;
        super::delete::until_gone(self.session, &info.path(), None, std::time::Duration::from_secs(300)).await?;
        self.session.post(&with_query(&info.resource.path(info.namespace.as_deref()), &self.parameters(validation)), modified).await
    }

    async fn server_side(&self, info: &Info, validation: &str) -> Result<(Value, &'static str)> {
        let force = self.arguments.force_conflicts.to_string();
        let path = with_query(&info.path(), &self.parameters(validation));
        let path = with_query(&path, &[("force", &force)]);
        let object = self.session.patch(&path, PatchType::Apply, &info.object).await.map_err(|error| {
            if !error.is_conflict() {
                return error;
            }
            let (text, _) = error.told("");
            Error::message(format!(
                "{}\nPlease review the fields above--they currently have other managers. Here\nare the ways you can resolve this warning:\n* If you intend to manage all of these fields, please re-run the apply\n  command with the `--force-conflicts` flag.\n* If you do not intend to manage all of the fields, please edit your\n  manifest to remove references to the fields that should keep their\n  current managers.\n* You may co-own fields by updating your manifest to match the existing\n  value; in this case, you'll become the manager if the other manager(s)\n  stop managing the field (remove it from their configuration).\nSee https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
                text.trim_end().split_once("): ").map_or(text.trim_end(), |(_, message)| message)
            ))
        })?;
        warn_if_deleting(&object);
        Ok((object, "serverside-applied"))
    }
}

/// The patch, by the server's own account of how the kind is merged.
pub(super) async fn difference(
    session: &Session,
    documents: &mut merge::schema::Documents,
    info: &Info,
    live: &Value,
    modified: &Value,
) -> Result<(Value, PatchType)> {
    let resource = &info.resource;
    let original = last_applied(live);
    let key = resource.api_version();
    if !documents.contains_key(&key) {
        let document = openapi(session, &resource.group, &resource.version).await;
        documents.insert(key.clone(), Document::new(document.unwrap_or(Value::Null)));
    }
    let document = &documents[&key];
    if document.takes_strategic(&resource.group, &resource.version, &resource.kind)
        && let Some(schema) = document.kind(&resource.group, &resource.version, &resource.kind)
    {
        return merge::strategic::three_way(&original, modified, live, schema).map(|patch| (patch, PatchType::Strategic)).map_err(Error::message);
    }
    Ok((merge::json::three_way(&original, modified, live), PatchType::Merge))
}

/// The OpenAPI v3 document of a group and version.
pub(super) async fn openapi(session: &Session, group: &str, version: &str) -> Result<Value> {
    let path = if group.is_empty() { format!("/openapi/v3/api/{version}") } else { format!("/openapi/v3/apis/{group}/{version}") };
    session.get(&path).await
}

fn warn_if_deleting(object: &Value) {
    if object["metadata"].get("deletionTimestamp").is_some() {
        eprintln!("Warning: Detected changes to resource {} which is currently being deleted.", object["metadata"]["name"].as_str().unwrap_or_default());
    }
}

/// An object for an error about it.
fn told(info: &Info) -> String {
    let resource = &info.resource;
    format!(
        "Resource: \"{0}, Resource={1}\", GroupVersionKind: \"{0}, Kind={2}\"\nName: {3:?}, Namespace: {4:?}",
        if resource.group.is_empty() { format!("/{}", resource.version) } else { resource.api_version() },
        resource.plural,
        resource.kind,
        info.name,
        info.namespace.as_deref().unwrap_or_default()
    )
}

/// The kinds that are pruned, those that hold others last.
const PRUNED: &[(&str, &str)] = &[
    ("v1", "ConfigMap"),
    ("v1", "Endpoints"),
    ("v1", "PersistentVolumeClaim"),
    ("v1", "Pod"),
    ("v1", "ReplicationController"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("networking.k8s.io/v1", "Ingress"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
];

async fn prune(session: &Session, arguments: &Arguments, applied: &[Value], dry_run: DryRun) -> Result<()> {
    let discovery = session.discovery().await?;
    let mut namespaces: Vec<String> = applied.iter().filter_map(|o| Some(o["metadata"]["namespace"].as_str()?.to_owned())).collect();
    namespaces.sort();
    namespaces.dedup();
    for namespace in &namespaces {
        for resource in PRUNED.iter().filter_map(|(version, kind)| discovery.kind(version, kind)) {
            let path = with_query(&resource.path(Some(namespace)), &[("labelSelector", arguments.selector.as_deref().unwrap_or_default())]);
            let mut found = crate::selection::list(session, &path, "application/json", 500).await?;
            for object in crate::selection::items_of(&mut found, resource) {
                let kept = object["metadata"]["annotations"].get(merge::LAST_APPLIED).is_none()
                    || applied.iter().any(|a| a["metadata"]["uid"] == object["metadata"]["uid"]);
                if kept {
                    continue;
                }
                if dry_run == DryRun::None {
                    let path = resource.object(Some(namespace), object["metadata"]["name"].as_str().unwrap_or_default());
                    session.delete(&path, &json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})).await?;
                }
                out(&format!("{} {}\n", name(&object), dry_run.said("pruned")));
            }
        }
    }
    Ok(())
}
