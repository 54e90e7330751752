//! All plugins by name. A new version is fetched and compiled while the one before serves, and takes its place in one step.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use wharf_engine::{BoxFuture, Engine};

use crate::admission::{Phase, Request, Response};
use crate::ingress::{Changes, Decision, RequestHead};
use crate::metrics::{Metrics, Outcome};
use crate::plugin::{CallError, Plugin};
use crate::settings::Settings;

/// How long after a failure it is tried again: twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(300);

/// Where components come from.
pub trait Source: Send + Sync + 'static {
    /// Brings the image here, examines it and compiles its component in a bounded process.
    fn fetch(&self, image: &ImageRequest) -> BoxFuture<'static, Result<Fetched, FetchError>>;
}

/// An image that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRequest {
    /// Its name.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
    /// Registries' credentials, each a `.dockerconfigjson`.
    pub credentials: Vec<Vec<u8>>,
}

/// A component that is here.
#[derive(Clone)]
pub struct Fetched {
    /// What the compiling child has written.
    pub compiled: PathBuf,
    /// The image with its digest.
    pub image_id: String,
    /// The component's digest.
    pub digest: String,
    /// Keeps the image from being collected.
    pub hold: Arc<dyn Any + Send + Sync>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// In one word, as in `ErrImagePull`.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// A plugin as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The generation of its object.
    pub generation: i64,
    /// Its image.
    pub image: ImageRequest,
    /// What it is told and granted; or why that is not known.
    pub settings: Result<Settings, FetchError>,
}

/// A plugin as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The generation that this speaks of.
    pub generation: i64,
    /// What serves: the image with its digest, and the component's digest.
    pub serving: Option<(String, String)>,
    /// Whether that is what is wanted; else why not: a word, and a sentence.
    pub current: Option<Result<(), FetchError>>,
}

/// All plugins. Cheap to clone.
#[derive(Clone)]
pub struct PluginHost {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Box<dyn Fn() -> Result<Engine, String> + Send + Sync>,
    source: Arc<dyn Source>,
    plugins: RwLock<BTreeMap<String, Entry>>,
    metrics: Metrics,
    changed: watch::Sender<u64>,
}

struct Entry {
    wanted: Wanted,
    serving: Option<Serving>,
    current: Option<Result<(), FetchError>>,
    _task: Option<AbortOnDropHandle<()>>,
}

struct Serving {
    plugin: Plugin,
    fetched: Fetched,
}

impl PluginHost {
    /// Without plugins. The engine is asked for when the first one is loaded.
    pub fn new(engine: impl Fn() -> Result<Engine, String> + Send + Sync + 'static, source: Arc<dyn Source>) -> PluginHost {
        let inner = Inner { engine: Box::new(engine), source, plugins: RwLock::default(), metrics: Metrics::default(), changed: watch::Sender::new(0) };
        PluginHost { inner: Arc::new(inner) }
    }

    /// Says which plugins there should be. What is new or different is loaded in the background; what is gone is no longer called.
    pub fn set(&self, wanted: BTreeMap<String, Wanted>) {
        let mut plugins = self.inner.plugins.write();
        let before = plugins.len();
        plugins.retain(|name, _| wanted.contains_key(name));
        let mut changed = plugins.len() != before;
        self.inner.metrics.keep(|name| wanted.contains_key(name));
        for (name, wanted) in wanted {
            let entry = plugins.entry(name.clone()).or_insert_with(|| Entry { wanted: wanted.clone(), serving: None, current: None, _task: None });
            if entry._task.is_some() && entry.wanted == wanted {
                continue;
            }
            changed = true;
            let same = entry._task.is_some() && entry.wanted.image == wanted.image && entry.wanted.settings == wanted.settings;
            entry.wanted = wanted.clone();
            // Only the generation is another: what serves is what is wanted.
            if !same {
                entry.current = None;
                entry._task = Some(AbortOnDropHandle::new(tokio::spawn(load(Arc::downgrade(&self.inner), name, wanted))));
            }
        }
        drop(plugins);
        // Who is told of changes calls this again: what is as it was is no change.
        if changed {
            self.inner.changed.send_modify(|n| *n += 1);
        }
    }

    /// How each plugin is.
    pub fn reports(&self) -> BTreeMap<String, Report> {
        self.inner.plugins.read().iter().map(|(name, entry)| (name.clone(), entry.report())).collect()
    }

    /// Changes whenever a report does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// Figures of all plugins.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Asks a plugin of the world `admission`.
    ///
    /// # Errors
    /// When it has no answer.
    pub async fn review(&self, name: &str, phase: Phase, request: Request) -> Result<Response, CallError> {
        let began = Instant::now();
        let result = match self.ready(name).await {
            Ok(plugin) => plugin.review(phase, request).await,
            Err(error) => Err(error),
        };
        self.count(name, phase.as_str(), began, &result, |response| !response.allowed);
        result
    }

    /// Asks a plugin of the world `ingress` about a request.
    ///
    /// # Errors
    /// When it has no answer.
    pub async fn on_request(&self, name: &str, request: RequestHead<'_>) -> Result<Decision, CallError> {
        let began = Instant::now();
        let result = match self.ready(name).await {
            Ok(plugin) => plugin.on_request(request).await,
            Err(error) => Err(error),
        };
        self.count(name, "on-request", began, &result, |decision| matches!(decision, Decision::Answer { .. }));
        result
    }

    /// Asks a plugin of the world `ingress` about a response.
    ///
    /// # Errors
    /// When it has no answer.
    pub async fn on_response(&self, name: &str, context: Vec<u8>, status: http::StatusCode, headers: &http::HeaderMap) -> Result<Changes, CallError> {
        let began = Instant::now();
        let result = match self.ready(name).await {
            Ok(plugin) => plugin.on_response(context, status, headers).await,
            Err(error) => Err(error),
        };
        self.count(name, "on-response", began, &result, |_| false);
        result
    }

    fn count<T>(&self, name: &str, hook: &'static str, began: Instant, result: &Result<T, CallError>, denied: impl Fn(&T) -> bool) {
        let outcome = match result {
            Ok(answer) if denied(answer) => Outcome::Denied,
            Ok(_) => Outcome::Passed,
            Err(error) => {
                tracing::warn!(target: "wharf_plugin", plugin = name, hook, %error, "calling a plugin failed");
                Outcome::Failed(error)
            }
        };
        self.inner.metrics.count(name, hook, began.elapsed(), outcome);
    }

    /// What serves under a name. A plugin that is being loaded for the first time is waited for, within the time that it has for a call.
    async fn ready(&self, name: &str) -> Result<Plugin, CallError> {
        let look = || {
            let plugins = self.inner.plugins.read();
            let Some(entry) = plugins.get(name) else { return Look::Is(Err(CallError::NotReady("there is no such plugin here".to_owned()))) };
            match (&entry.serving, &entry.current) {
                (Some(serving), _) => Look::Is(Ok(serving.plugin.clone())),
                (None, Some(Err(error))) => Look::Is(Err(CallError::NotReady(error.message.clone()))),
                (None, _) => Look::Comes(entry.wanted.settings.as_ref().map_or(Duration::ZERO, |s| s.timeout)),
            }
        };
        let mut changed = self.inner.changed.subscribe();
        let within = match look() {
            Look::Is(plugin) => return plugin,
            Look::Comes(within) => within,
        };
        let coming = async {
            while changed.changed().await.is_ok() {
                if let Look::Is(plugin) = look() {
                    return plugin;
                }
            }
            Err(CallError::NotReady("the host ends".to_owned()))
        };
        tokio::time::timeout(within, coming).await.unwrap_or_else(|_| Err(CallError::NotReady("its component is still being loaded".to_owned())))
    }
}

enum Look {
    Is(Result<Plugin, CallError>),
    Comes(Duration),
}

impl Entry {
    fn report(&self) -> Report {
        Report {
            generation: self.wanted.generation,
            serving: self.serving.as_ref().map(|s| (s.fetched.image_id.clone(), s.fetched.digest.clone())),
            current: self.current.clone(),
        }
    }
}

/// Loads a plugin, again and again until it is there.
async fn load(host: std::sync::Weak<Inner>, name: String, wanted: Wanted) {
    let mut retry = FIRST_RETRY;
    loop {
        let Some(inner) = host.upgrade() else { return };
        let loaded = fetch(&inner, &wanted).await;
        let done = loaded.is_ok();
        {
            let mut plugins = inner.plugins.write();
            // Whoever wants another version has ended this task, or is about to.
            let Some(entry) = plugins.get_mut(&name).filter(|e| e.wanted.image == wanted.image && e.wanted.settings == wanted.settings) else { return };
            match loaded {
                Ok(serving) => {
                    tracing::info!(target: "wharf_plugin", plugin = name, digest = serving.fetched.digest, "serves");
                    entry.serving = Some(serving);
                    entry.current = Some(Ok(()));
                }
                Err(error) => {
                    tracing::warn!(target: "wharf_plugin", plugin = name, reason = error.reason, "{}", error.message);
                    entry.current = Some(Err(error));
                }
            }
        }
        inner.changed.send_modify(|n| *n += 1);
        drop(inner);
        if done {
            return;
        }
        tokio::time::sleep(retry).await;
        retry = (retry * 2).min(LAST_RETRY);
    }
}

async fn fetch(inner: &Inner, wanted: &Wanted) -> Result<Serving, FetchError> {
    let settings = wanted.settings.clone()?;
    let fetched = inner.source.fetch(&wanted.image).await?;
    let failed = |message: String| FetchError { reason: "LoadFailed".to_owned(), message };
    let engine = (inner.engine)().map_err(failed)?;
    let (compiled, at) = (fetched.compiled.clone(), settings.world);
    let plugin = tokio::task::spawn_blocking(move || Plugin::load(&engine, &compiled, settings)).await.map_err(|e| failed(e.to_string()))?;
    let plugin = plugin.map_err(|e| FetchError { reason: e.reason().to_owned(), message: format!("world {}: {e}", at.as_str()) })?;
    Ok(Serving { plugin, fetched })
}
