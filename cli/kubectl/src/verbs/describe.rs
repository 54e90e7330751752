//! `describe`: an object with what belongs to it, for people.

use serde_json::Value;

use crate::describe::{Related, describe};
use crate::error::{Error, Result};
use crate::manifest::FileFlags;
use crate::out;
use crate::selection::{Info, Selection, fetch, list};
use crate::session::{Session, with_query};

pub(super) const EXAMPLES: &str = "Examples:
  wharf describe pod web
  wharf describe nodes
  wharf describe pods -l app=web
  wharf describe -f pod.yaml";

/// What `describe` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// TYPE [NAME or its beginning], or TYPE/NAME …
    words: Vec<String>,
    #[command(flatten)]
    files: FileFlags,
    /// In all namespaces.
    #[arg(long, short = 'A')]
    all_namespaces: bool,
    /// Label selector.
    #[arg(long, short = 'l')]
    selector: Option<String>,
    /// Show Events.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    show_events: Option<bool>,
    /// How many objects to ask for at once.
    #[arg(long, default_value_t = 500, hide = true)]
    chunk_size: u64,
}

/// Does it.
pub(super) async fn run(session: &Session, arguments: Arguments) -> Result<()> {
    if arguments.words.is_empty() && arguments.files.is_empty() {
        return Err(Error::message(
            "You must specify the type of resource to describe. Use \"wharf api-resources\" for a complete list of supported resources.",
        ));
    }
    let selection = Selection {
        words: arguments.words.clone(),
        files: arguments.files.clone(),
        selector: arguments.selector.clone(),
        all_namespaces: arguments.all_namespaces,
        type_alone: true,
        ..Selection::default()
    };
    let (infos, mut errors, _) = fetch(session, &selection, false).await?;
    if let ([error], [kind, prefix]) = (errors.as_slice(), arguments.words.as_slice())
        && error.is_not_found()
    {
        return by_prefix(session, kind, prefix, arguments.show_events.unwrap_or(true), errors.swap_remove(0)).await;
    }
    let events = arguments.show_events.unwrap_or(true);
    for (at, info) in infos.iter().enumerate() {
        let related = related(session, info, events).await?;
        let text = describe(&info.object, &related, jiff::Timestamp::now());
        out(&if at == 0 { text } else { format!("\n\n{text}") });
    }
    if infos.is_empty() && errors.is_empty() {
        if arguments.all_namespaces {
            eprintln!("No resources found");
        } else {
            eprintln!("No resources found in {} namespace.", session.namespace);
        }
    }
    Error::all(errors)
}

async fn by_prefix(session: &Session, kind: &str, prefix: &str, events: bool, error: Error) -> Result<()> {
    let selection = Selection { words: vec![kind.to_owned()], type_alone: true, single_type: true, ..Selection::default() };
    let (infos, _, _) = fetch(session, &selection, false).await?;
    let matching: Vec<&Info> = infos.iter().filter(|info| info.name.starts_with(prefix)).collect();
    if matching.is_empty() {
        return Err(error);
    }
    for info in matching {
        let related = related(session, info, events).await?;
        out(&format!("{}\n", describe(&info.object, &related, jiff::Timestamp::now())));
    }
    Ok(())
}

/// The items of a collection; none where it may not be seen.
async fn items(session: &Session, path: &str) -> Vec<Value> {
    match list(session, path, "application/json", 500).await {
        Ok(mut list) => list.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

async fn events_of(session: &Session, info: &Info, uid: &str) -> Vec<Value> {
    let namespace = info.namespace.as_deref().unwrap_or_default();
    let mut terms = vec![
        format!("involvedObject.name={}", info.name),
        format!("involvedObject.namespace={namespace}"),
        format!("involvedObject.kind={}", info.resource.kind),
    ];
    if !uid.is_empty() {
        terms.push(format!("involvedObject.uid={uid}"));
    }
    let root = if namespace.is_empty() { "/api/v1/events".to_owned() } else { format!("/api/v1/namespaces/{namespace}/events") };
    items(session, &with_query(&root, &[("fieldSelector", &terms.join(","))])).await
}

async fn related(session: &Session, info: &Info, events: bool) -> Result<Related> {
    let mut related = Related::default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = info.namespace.as_deref().unwrap_or_default();
    if events {
        // Of a static Pod the kubelet's Events name what it was made of.
        let mirror = &info.object["metadata"]["annotations"]["kubernetes.io/config.mirror"];
        let uid = if mirror.is_string() { mirror } else { &info.object["metadata"]["uid"] };
        let mut found = events_of(session, info, &text(uid)).await;
        if info.resource.kind == "Node" {
            // The kubelet names the node by its name, where others give the uid.
            found.extend(events_of(session, info, &info.name).await);
        }
        related.events = Some(found);
    }
    let selector = crate::labels::format_selector(&info.object["spec"]["selector"]);
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    match (info.resource.group.as_str(), info.resource.kind.as_str()) {
        ("apps", "Deployment") => {
            related.replica_sets =
                items(session, &with_query(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets"), &[("labelSelector", &selector)])).await
        }
        ("apps", "ReplicaSet" | "DaemonSet" | "StatefulSet") => related.pods = items(session, &with_query(&pods, &[("labelSelector", &selector)])).await,
        ("", "ReplicationController" | "PersistentVolumeClaim") => related.pods = items(session, &pods).await,
        ("", "Service") => related.endpoint_slices = slices(session, namespace, &info.name).await,
        ("networking.k8s.io", "Ingress") => {
            for name in backends(&info.object) {
                related.endpoint_slices.extend(slices(session, namespace, &name).await);
                related.services.extend(session.get(&format!("/api/v1/namespaces/{namespace}/services/{name}")).await.ok());
            }
        }
        ("", "Node") => {
            let fields = format!("spec.nodeName={},status.phase!=Failed,status.phase!=Succeeded", info.name);
            related.pods = items(session, &with_query("/api/v1/pods", &[("fieldSelector", &fields)])).await;
            let lease = session.get(&format!("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{}", info.name)).await;
            related.lease = Some(lease.map_err(|error| error.text()));
        }
        ("", "Namespace") => {
            related.quotas = items(session, &format!("/api/v1/namespaces/{}/resourcequotas", info.name)).await;
            related.limit_ranges = items(session, &format!("/api/v1/namespaces/{}/limitranges", info.name)).await;
        }
        _ => {}
    }
    Ok(related)
}

async fn slices(session: &Session, namespace: &str, service: &str) -> Vec<Value> {
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    items(session, &with_query(&path, &[("labelSelector", &format!("kubernetes.io/service-name={service}"))])).await
}

/// The Services that an Ingress names.
fn backends(ingress: &Value) -> Vec<String> {
    let mut names = Vec::new();
    let rules = ingress["spec"]["rules"].as_array().into_iter().flatten();
    let paths = rules.flat_map(|rule| rule["http"]["paths"].as_array().into_iter().flatten()).map(|path| &path["backend"]);
    for backend in paths.chain(std::iter::once(&ingress["spec"]["defaultBackend"])) {
        if let Some(name) = backend["service"]["name"].as_str()
            && !names.iter().any(|n| n == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}
