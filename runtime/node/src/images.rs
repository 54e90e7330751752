//! A container's image: pulled as its policy says, with the Events that tell about it; and loaded programs, shared by all who run them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wharf_engine::{Engine, Program};
use wharf_image::{Collected, GcPolicy, Image, ImageError, Keyring, Prepared, PullPolicy, Reference};

use crate::events::Kind;
use crate::pod::context::{PodContext, Shared};
use crate::pod::create::Failure;

/// Loaded programs that are kept although nobody may run them now.
const PROGRAMS: usize = 128;

/// Programs by compiled file.
#[derive(Default)]
pub(crate) struct Programs {
    loaded: Arc<Mutex<HashMap<PathBuf, (Program, Instant)>>>,
}

impl Programs {
    /// The program, loaded once.
    pub(crate) async fn load(&self, engine: &Engine, prepared: &Prepared) -> Result<Program, String> {
        let flavor = match prepared.flavor {
            wharf_image::Flavor::P2 => wharf_engine::Flavor::P2,
            wharf_image::Flavor::P3 => wharf_engine::Flavor::P3,
        };
        if let Some((program, used)) = self.loaded.lock().get_mut(&prepared.compiled) {
            *used = Instant::now();
            return Ok(program.clone());
        }
        let (loaded, engine, path) = (self.loaded.clone(), engine.clone(), prepared.compiled.clone());
        let load = move || {
            // Under the lock: two at once would map the file twice.
            let mut loaded = loaded.lock();
            if let Some((program, _)) = loaded.get(&path) {
                return Ok(program.clone());
            }
            let program = engine.load(&path, flavor).map_err(|e| e.to_string())?;
            if loaded.len() >= PROGRAMS
                && let Some(oldest) = loaded.iter().min_by_key(|(_, (_, used))| *used).map(|(p, _)| p.clone())
            {
                loaded.remove(&oldest);
            }
            loaded.insert(path, (program.clone(), Instant::now()));
            Ok(program)
        };
        tokio::task::spawn_blocking(load).await.map_err(|e| e.to_string())?
    }
}

/// The engine's name of an entry.
pub(crate) fn engine_entry(entry: wharf_image::Entry) -> wharf_engine::Entry {
    match entry {
        wharf_image::Entry::HttpP2 => wharf_engine::Entry::HttpP2,
        wharf_image::Entry::HttpP3 => wharf_engine::Entry::HttpP3,
        wharf_image::Entry::CliP2 => wharf_engine::Entry::CliP2,
        wharf_image::Entry::CliP3 => wharf_engine::Entry::CliP3,
    }
}

/// Brings a container's image here.
pub(crate) async fn pull(context: &PodContext, pod: &Pod, container: &Container) -> Result<Arc<Image>, Failure> {
    let node = &context.node;
    let reference = container.image.as_deref().unwrap_or_default();
    let policy = policy(container);
    let name = Some(container.name.as_str());
    let present = node.config.images.is_present(reference, policy);
    let keyring = if present { Keyring::new() } else { keyring(context, pod).await };
    if !present && policy != PullPolicy::Never && Reference::parse(reference).is_ok() {
        node.recorder.pod(pod, name, Kind::Normal, "Pulling", format!("Pulling image \"{reference}\""));
    }
    let began = Instant::now();
    match node.config.images.ensure(reference, &keyring, policy).await {
        Ok(image) => {
            let message = if present || policy == PullPolicy::Never {
                format!("Container image \"{reference}\" already present on machine")
            } else {
                let took = go_seconds(began.elapsed());
                format!("Successfully pulled image \"{reference}\" in {took} ({took} including waiting). Image size: {} bytes.", image.size)
            };
            node.recorder.pod(pod, name, Kind::Normal, "Pulled", message);
            if let Some(message) = image.alias_message() {
                node.recorder.pod(pod, name, Kind::Normal, "ImageAlias", message);
            }
            Ok(image)
        }
        Err(error) => Err(pull_failed(context, pod, container, &error)),
    }
}

/// Says that a pull failed, in Events and for the container's state.
pub(crate) fn pull_failed(context: &PodContext, pod: &Pod, container: &Container, error: &ImageError) -> Failure {
    let (recorder, name) = (&context.node.recorder, Some(container.name.as_str()));
    let reference = container.image.as_deref().unwrap_or_default();
    let reason = error.reason();
    let text = error.to_string();
    let prefix = format!("Failed to pull image \"{reference}\": ");
    let words = text.strip_prefix(&prefix).unwrap_or(&text).to_owned();
    match reason {
        "InvalidImageName" => recorder.pod(pod, name, Kind::Warning, "InspectFailed", text),
        "ErrImageNeverPull" => recorder.pod(pod, name, Kind::Warning, "ErrImageNeverPull", text),
        _ => recorder.pod(pod, name, Kind::Warning, "Failed", format!("{prefix}{words}")),
    }
    recorder.pod(pod, name, Kind::Warning, "Failed", format!("Error: {reason}"));
    Failure { reason, message: words }
}

/// How often room is looked for, as the kubelet does.
const GC_PERIOD: Duration = Duration::from_secs(300);

/// Removes images that no container has, now and then, where the disk is full.
pub(crate) async fn collect(node: &Shared, token: &CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(GC_PERIOD)).await.is_some() {
        let message = match node.config.images.collect(GcPolicy::default()).await {
            Ok(collected) if collected.freed >= collected.wanted => continue,
            Ok(Collected { wanted, freed, .. }) => {
                format!("Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free.")
            }
            Err(error) => error.to_string(),
        };
        node.recorder.node(&node.config.name, Kind::Warning, "FreeDiskSpaceFailed", message);
    }
}

fn policy(container: &Container) -> PullPolicy {
    let given = container.image_pull_policy.as_deref().and_then(|p| p.parse().ok());
    given.unwrap_or(PullPolicy::IfNotPresent)
}

/// The credentials of the Pod's `imagePullSecrets`. A Secret that is not there is left out, as upstream does.
async fn keyring(context: &PodContext, pod: &Pod) -> Keyring {
    let mut keyring = Keyring::new();
    for secret in pod.spec.iter().flat_map(|s| s.image_pull_secrets.iter().flatten()) {
        let added = match context.objects.whole_secret(&secret.name).await {
            Ok(Some(found)) => {
                let data = found.data.unwrap_or_default();
                let get = |key: &str| data.get(key).map(|b| b.0.as_slice());
                match (get(".dockerconfigjson"), get(".dockercfg")) {
                    (Some(json), _) => keyring.add_docker_config_json(json),
                    (None, Some(json)) => keyring.add_docker_cfg(json),
                    (None, None) => Err("it holds no .dockerconfigjson".to_owned()),
                }
            }
            Ok(None) => Err("not found".to_owned()),
            Err(e) => Err(e),
        };
        if let Err(words) = added {
            let message = format!("Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.", secret.name);
            context.node.recorder.pod(pod, None, Kind::Warning, "FailedToRetrieveImagePullSecret", message);
            tracing::debug!(namespace = context.namespace, name = context.name, secret = secret.name, error = words, "imagePullSecret");
        }
    }
    keyring
}

/// As Go prints a duration rounded to milliseconds: `1.234s`, `56ms`.
fn go_seconds(d: Duration) -> String {
    match d.as_millis() {
        ms @ 0..1000 => format!("{ms}ms"),
        ms => {
            let text = format!("{:.3}", ms as f64 / 1000.0);
            format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (ms, want) in [(0, "0ms"), (56, "56ms"), (1000, "1s"), (1234, "1.234s"), (1200, "1.2s"), (61_050, "61.05s")] {
            assert_eq!(go_seconds(Duration::from_millis(ms)), want);
        }
    }
}
