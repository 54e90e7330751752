//! The steps of a deployment against a cluster, and the way back when one of them fails.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PropagationPolicy};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use wharf_image::Artifact;

use crate::client::Connection;
use crate::deploy::answer::{self, Answered};
use crate::deploy::objects::{Function, MANAGED_BY, NAME, repository, tag};
use crate::deploy::rollout;
use crate::registry::Registry;
use crate::say::Progress;

/// Who manages the fields that are applied.
const MANAGER: &str = "wharf-deploy";
/// Where a cluster says at which address its Ingresses are served: a ConfigMap of `kube-public`.
pub(crate) const INGRESS_ADDRESS: &str = "wharf-ingress";
/// How long an Ingress controller may take to say where it serves.
const ANNOUNCED: Duration = Duration::from_secs(5);
/// How long what is owned may take to be collected.
const COLLECTED: Duration = Duration::from_secs(30);

pub(super) struct Steps<'a> {
    client: &'a Client,
    registry: Registry<'a>,
    namespace: &'a str,
    name: &'a str,
    progress: &'a Progress,
}

/// What was there before.
pub(super) struct Before {
    deployment: Option<Deployment>,
    /// Where Ingresses are served, `http://127.0.0.1:8080`.
    ingress: Option<String>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(connection: &'a Connection, name: &'a str, progress: &'a Progress) -> Steps<'a> {
        let registry = Registry::new(&connection.client, &connection.server);
        Steps { client: &connection.client, registry, namespace: &connection.namespace, name, progress }
    }

    /// Looks at what is there, and says what stands in the way.
    pub(super) async fn look(&self, host: &str) -> Result<Before> {
        let deployments: Api<Deployment> = self.api();
        let deployment = deployments.get_opt(self.name).await.with_context(|| format!("look for deployment/{}", self.name))?;
        if let Some(deployment) = &deployment
            && !is_managed(&deployment.metadata)
        {
            bail!("deployment/{} is there already and was not made by wharf deploy; choose another name with --name", self.name);
        }
        let uid = deployment.as_ref().and_then(|deployment| deployment.metadata.uid.clone());
        let ours = |metadata: &kube::api::ObjectMeta| uid.is_some() && metadata.owner_references.iter().flatten().any(|o| Some(&o.uid) == uid.as_ref());
        let service = self.api::<Service>().get_opt(self.name).await.with_context(|| format!("look for service/{}", self.name))?;
        let ingress = self.api::<Ingress>().get_opt(self.name).await.with_context(|| format!("look for ingress/{}", self.name))?;
        for (kind, metadata) in [("service", service.map(|s| s.metadata)), ("ingress", ingress.map(|i| i.metadata))] {
            if metadata.is_some_and(|metadata| !ours(&metadata)) {
                bail!("{kind}/{} is there already and was not made by wharf deploy; choose another name with --name", self.name);
            }
        }
        let all: Api<Ingress> = Api::all(self.client.clone());
        // Who may not see those of other namespaces sees the own ones.
        let ingresses = match all.list(&ListParams::default()).await {
            Ok(list) => list.items,
            Err(_) => self.api::<Ingress>().list(&ListParams::default()).await.context("list the Ingresses")?.items,
        };
        let taken = ingresses.iter().find(|ingress| {
            let rules = ingress.spec.iter().flat_map(|spec| spec.rules.iter().flatten());
            !ours(&ingress.metadata) && rules.filter_map(|rule| rule.host.as_deref()).any(|taken| taken == host)
        });
        if let Some(Ingress { metadata, .. }) = taken {
            let (namespace, name) = (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default());
            bail!("the host {host} is taken by ingress/{name} of the namespace {namespace}; choose another with --host");
        }
        let public: Api<ConfigMap> = Api::namespaced(self.client.clone(), "kube-public");
        let address = public.get_opt(INGRESS_ADDRESS).await.ok().flatten();
        Ok(Before { deployment, ingress: address.and_then(|map| map.data?.remove("http")) })
    }

    /// Pushes, applies, waits. When it fails, everything is as before.
    pub(super) async fn deploy(&self, function: &Function, artifact: &Artifact, before: Before, timeout: Duration) -> Result<String> {
        let before = &before;
        let work = async {
            self.registry.push(&function.repository(), &function.tag(), artifact).await.with_context(|| format!("push {}", function.image()))?;
            self.progress.step(&format!("pushed     {}", function.image()));
            let owner = self.apply(function, before).await?;
            let ready = rollout::complete(self.client, self.namespace, self.name, &function.image(), timeout).await?;
            self.progress.step(&format!("ready      {ready}/{ready}"));
            if before.deployment.is_some() {
                self.apply_all(function.way_in(&owner)).await?;
            }
            self.answer(function, before, timeout).await
        };
        let done = tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped by Ctrl-C")),
        };
        match done {
            Ok(url) => {
                if let Err(error) = self.tidy(function).await {
                    tracing::debug!(%error, "what is not needed any more was not removed");
                }
                Ok(url)
            }
            Err(error) => {
                if let Err(undone) = self.undo(function, before).await {
                    return Err(error.context(format!("deploy {} (and what was made could not be removed: {undone:#})", self.name)));
                }
                Err(error.context(format!("deploy {}", self.name)))
            }
        }
    }

    /// The objects; the uid of their owner.
    async fn apply(&self, function: &Function, before: &Before) -> Result<String> {
        let uid = |object: DynamicObject| object.metadata.uid.context("the Deployment has no uid");
        let configured = function.config_name().is_some() || function.secret_name().is_some();
        let owner = match before.deployment.as_ref().and_then(|deployment| deployment.metadata.uid.clone()) {
            Some(owner) => {
                self.apply_all(function.configuration(&owner)).await?;
                self.apply_one(function.deployment(false)).await?;
                owner
            }
            None => {
                let owner = uid(self.apply_one(function.deployment(configured)).await?)?;
                let mut owned = function.configuration(&owner);
                owned.extend(function.way_in(&owner));
                self.apply_all(owned).await?;
                if configured {
                    self.apply_one(function.deployment(false)).await?;
                }
                owner
            }
        };
        let mut words = vec![format!("deployment/{0} service/{0} ingress/{0}", self.name)];
        words.extend(function.config_name().map(|name| format!("configmap/{name}")));
        words.extend(function.secret_name().map(|name| format!("secret/{name}")));
        self.progress.step(&format!("applied    {}", words.join(" ")));
        Ok(owner)
    }

    async fn apply_all(&self, objects: Vec<Value>) -> Result<()> {
        futures::future::try_join_all(objects.into_iter().map(|object| self.apply_one(object))).await.map(drop)
    }

    async fn apply_one(&self, object: Value) -> Result<DynamicObject> {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text("apiVersion"), text("kind"));
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), self.namespace, &resource);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let params = PatchParams::apply(MANAGER).force();
        api.patch(&name, &params, &Patch::Apply(&object)).await.with_context(|| format!("apply {}/{name}", kind.to_lowercase()))
    }

    /// Waits until the URL answers; the URL.
    async fn answer(&self, function: &Function, before: &Before, timeout: Duration) -> Result<String> {
        let said = match &before.ingress {
            Some(address) => Some(address.clone()),
            None => self.announced().await,
        };
        let Some(ingress) = &said else {
            let url = format!("http://{}/", function.host);
            self.progress.step("not asked  nobody says at which address Ingresses are served: the cluster has no Ingress controller");
            return Ok(url);
        };
        let port = ingress.rsplit_once(':').and_then(|(_, port)| port.trim_end_matches('/').parse::<u16>().ok()).unwrap_or(80);
        let url = if port == 80 { format!("http://{}/", function.host) } else { format!("http://{}:{port}/", function.host) };
        match answer::wait(ingress, &function.host, timeout).await {
            Answered::Yes(status) => self.progress.step(&format!("answers    {status}")),
            Answered::Unreachable(why) => self.progress.step(&format!("not asked  the Ingress at {ingress} is not reached from here: {why}")),
            Answered::No(status) => bail!("{url} answers {status} after {} s, although the function is ready", timeout.as_secs()),
        }
        Ok(url)
    }

    /// The address that an Ingress controller gives to the Ingress, where the cluster says none of itself.
    async fn announced(&self) -> Option<String> {
        let end = tokio::time::Instant::now() + ANNOUNCED;
        while tokio::time::Instant::now() < end {
            let ingress = self.api::<Ingress>().get_opt(self.name).await.ok().flatten()?;
            let addresses = ingress.status.and_then(|status| status.load_balancer?.ingress).unwrap_or_default();
            if let Some(address) = addresses.into_iter().find_map(|address| address.ip.or(address.hostname)) {
                return Some(format!("http://{address}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        None
    }

    /// Removes configuration and images that no ReplicaSet of the function needs any more.
    async fn tidy(&self, function: &Function) -> Result<()> {
        let params = managed(self.name);
        let sets = self.api::<ReplicaSet>().list(&params).await?;
        let needed = serde_json::to_string(&sets.items.iter().map(|set| &set.spec).collect::<Vec<_>>())?;
        let unneeded = |name: &str| !needed.contains(&format!("\"{name}\""));
        let current = [function.config_name(), function.secret_name()];
        for map in self.api::<ConfigMap>().list(&params).await?.items {
            let name = map.metadata.name.unwrap_or_default();
            if unneeded(&name) && !current.contains(&Some(name.clone())) {
                self.api::<ConfigMap>().delete(&name, &DeleteParams::default()).await?;
            }
        }
        for secret in self.api::<Secret>().list(&params).await?.items {
            let name = secret.metadata.name.unwrap_or_default();
            if unneeded(&name) && !current.contains(&Some(name.clone())) {
                self.api::<Secret>().delete(&name, &DeleteParams::default()).await?;
            }
        }
        self.remove_images(|digest| needed.contains(digest) || digest == function.digest).await
    }

    /// Removes the images that deployments made, but those that are `kept` or that somebody else has tagged as well.
    async fn remove_images(&self, kept: impl Fn(&str) -> bool) -> Result<()> {
        let repository = repository(self.namespace, self.name);
        let tags = self.registry.tags(&repository).await?;
        for (name, digest) in &tags {
            let others = tags.iter().any(|(other, same)| same == digest && other != name);
            if *name == tag(digest) && !others && !kept(digest) {
                self.registry.delete(&repository, digest).await?;
            }
        }
        Ok(())
    }

    /// Makes everything as it was before.
    async fn undo(&self, function: &Function, before: &Before) -> Result<()> {
        let Some(deployment) = &before.deployment else {
            self.remove().await?;
            return self.remove_images(|_| false).await;
        };
        let replace = json!([{"op": "replace", "path": "/spec/template", "value": deployment.spec.template}]);
        let patch: json_patch::Patch = serde_json::from_value(replace).context("the way back")?;
        let api: Api<Deployment> = self.api();
        api.patch(self.name, &PatchParams::default(), &Patch::<Value>::Json(patch)).await.with_context(|| format!("restore deployment/{}", self.name))?;
        let template = serde_json::to_string(&deployment.spec.template)?;
        for (name, is_config) in [(function.config_name(), true), (function.secret_name(), false)] {
            let Some(name) = name.filter(|name| !template.contains(&format!("\"{name}\""))) else { continue };
            let deleted = if is_config {
                self.api::<ConfigMap>().delete(&name, &DeleteParams::default()).await.map(drop)
            } else {
                self.api::<Secret>().delete(&name, &DeleteParams::default()).await.map(drop)
            };
            gone(deleted)?;
        }
        if template.contains(&function.digest) { Ok(()) } else { self.remove_images(|digest| digest != function.digest).await }
    }

    /// Deletes the Deployment and waits until all that it owns is collected.
    async fn remove(&self) -> Result<()> {
        let params = DeleteParams { propagation_policy: Some(PropagationPolicy::Foreground), ..DeleteParams::default() };
        gone(self.api::<Deployment>().delete(self.name, &params).await.map(drop)).with_context(|| format!("delete deployment/{}", self.name))?;
        let end = tokio::time::Instant::now() + COLLECTED;
        while self.api::<Deployment>().get_opt(self.name).await?.is_some() {
            if tokio::time::Instant::now() > end {
                bail!("deployment/{} is not gone after {} s", self.name, COLLECTED.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }
}

/// `wharf undeploy`: removes what was made for a function, and its images.
pub(crate) async fn undeploy(connection: &Connection, name: &str, progress: &Progress) -> Result<()> {
    let steps = Steps::new(connection, name, progress);
    let deployment = steps.api::<Deployment>().get_opt(name).await.with_context(|| format!("look for deployment/{name}"))?;
    let Some(deployment) = deployment else { bail!("there is no function {name} in the namespace {}", connection.namespace) };
    if !is_managed(&deployment.metadata) {
        bail!("deployment/{name} was not made by wharf deploy; kubectl delete deployment {name} removes it");
    }
    steps.remove().await?;
    progress.step(&format!("removed    deployment/{name} and what it owned"));
    steps.remove_images(|_| false).await.context("remove the images")?;
    progress.step(&format!("removed    {}", Registry::name(&repository(&connection.namespace, name))));
    Ok(())
}

fn is_managed(metadata: &kube::api::ObjectMeta) -> bool {
    metadata.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0)).is_some_and(|by| by == MANAGED_BY.1)
}

fn managed(name: &str) -> ListParams {
    ListParams::default().labels(&format!("{}={},{NAME}={name}", MANAGED_BY.0, MANAGED_BY.1))
}

/// What is not there is deleted.
fn gone(deleted: kube::Result<()>) -> kube::Result<()> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        deleted => deleted,
    }
}
