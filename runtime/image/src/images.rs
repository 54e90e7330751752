//! The door of this crate: [`Images`].

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::builtin::{Builtin, LOCAL_REGISTRY};
use crate::compile::Compiler;
use crate::credentials::{Credential, Keyring};
use crate::error::ImageError;
use crate::flight::Flight;
use crate::gc::{Pins, Uses};
use crate::image::{Choice, Image, Module, Prepared, choose_entry};
use crate::module::Examined;
use crate::options::{Options, PullPolicy};
use crate::pull::{Pulled, Record};
use crate::push;
use crate::reference::Reference;
use crate::registry::Registries;
use crate::store::Store;

/// One line of `node.status.images`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `repo@digest` and `repo:tag`, as known here.
    pub names: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
}

/// The images of this machine: a content store on disk, and what brings images into it. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Images {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) store: Store,
    pub(crate) registries: Registries,
    compiler: Compiler,
    pub(crate) pulls: Semaphore,
    pub(crate) known: Mutex<Known>,
    pub(crate) uses: Uses,
    /// By reference and credential: the digest that was pulled, which stays as long as somebody holds the result.
    pulling: Flight<(String, Option<Credential>), Result<Pulled, ImageError>>,
    /// By digest.
    pub(crate) blobs: Flight<String, Result<(), ImageError>>,
    /// By manifest digest.
    pub(crate) unpacking: Flight<String, Result<(), ImageError>>,
    /// By target file.
    compiling: Flight<PathBuf, Result<(), ImageError>>,
}

/// What is here, as the records on disk have it.
#[derive(Default)]
pub(crate) struct Known {
    /// Reference → manifest digest.
    pub(crate) names: BTreeMap<String, String>,
    /// Manifest digest → image.
    pub(crate) images: HashMap<String, Arc<Record>>,
}

/// What an image is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To run as a container: its own module has to be one that can.
    Container,
    /// For a world of the host's own.
    Component,
}

impl Purpose {
    /// What a component that comes from a file is for.
    pub(crate) fn of(record: &Record) -> Purpose {
        let extends = record.main.as_ref().is_some_and(|(_, examined)| examined.extends_the_host());
        if extends { Purpose::Component } else { Purpose::Container }
    }
}

/// A name that leads to an image, as it is on disk.
#[derive(serde::Serialize, serde::Deserialize)]
struct Name {
    reference: String,
    digest: String,
}

impl Images {
    /// Opens (and makes, mode 0700) the store under `dir`. Leftovers of an earlier process are cleaned up.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<Images, ImageError> {
        let store = Store::open(dir.into())?;
        store.keep_compiled(&[&options.compatibility.p2, &options.compatibility.p3]);
        let mut known = Known::default();
        known.images.extend(store.all_json::<Record>("images").into_iter().map(|record| (record.digest.clone(), Arc::new(record))));
        known.names.extend(store.all_json::<Name>("refs").into_iter().map(|name| (name.reference, name.digest)));
        known.names.retain(|_, digest| known.images.contains_key(digest));
        let limits = &options.limits;
        let inner = Inner {
            registries: Registries::new(options.transport.clone(), limits.clone()),
            compiler: Compiler::new(options.compile.clone(), limits.compilations, limits.compile_wall, limits.compile_cpu, limits.compile_memory),
            pulls: Semaphore::new(limits.pulls.max(1)),
            known: Mutex::new(known),
            uses: Uses::new(),
            pulling: Flight::new(),
            blobs: Flight::new(),
            unpacking: Flight::new(),
            compiling: Flight::new(),
            store,
            options,
        };
        Ok(Images { inner: Arc::new(inner) })
    }

    /// Whether [`Images::ensure`] will answer without asking a registry: decides between the Events
    /// "Pulling image …" and "Container image … already present on machine". Built-in images are always present.
    pub fn is_present(&self, text: &str, policy: PullPolicy) -> bool {
        let Ok(reference) = Reference::parse(text) else { return false };
        let here = |reference: &Reference| self.inner.lookup(reference).is_some();
        self.inner.builtin(&reference).is_some()
            || ((policy != PullPolicy::Always || reference.registry() == LOCAL_REGISTRY)
                && (self.inner.bare(text).is_some_and(|own| here(&own)) || here(&reference)))
    }

    /// Brings the image here as `policy` says, verifies and unpacks it, and compiles its own module.
    ///
    /// The image stays here as long as what is returned is held; who runs containers of it holds it for them, and for those that may be
    /// started again.
    ///
    /// Concurrent calls for one image share one pull. Dropping the future gives up this caller's wait; a pull that
    /// nobody waits for is cancelled, and resumes from where it was the next time.
    pub async fn ensure(&self, reference: &str, credentials: &Keyring, policy: PullPolicy) -> Result<Arc<Image>, ImageError> {
        let parsed = Reference::parse(reference)?;
        let mut pins = Pins::new(&self.inner);
        let image = self.inner.uses.hold(self.find(&parsed, reference, credentials, policy, Purpose::Container, &mut pins).await?);
        if let Some(main) = &image.main {
            self.inner.clone().compiled(main.clone()).await?;
        }
        Ok(image)
    }

    /// Brings an image here whose component is not for a container but for a world of the host's own (a plugin): what it imports and exports
    /// is for the host to judge. Gives the compiled file, too; otherwise as [`Images::ensure`].
    pub async fn component(&self, reference: &str, credentials: &Keyring, policy: PullPolicy) -> Result<(Arc<Image>, Prepared), ImageError> {
        let parsed = Reference::parse(reference)?;
        let mut pins = Pins::new(&self.inner);
        let image = self.inner.uses.hold(self.find(&parsed, reference, credentials, policy, Purpose::Component, &mut pins).await?);
        let Some(module) = image.main.clone() else {
            return Err(ImageError::NoSuchCommand { reference: image.reference.clone(), command: String::new() });
        };
        let compiled = self.inner.clone().compiled(module.clone()).await?;
        let entry = module.entries.first().copied().unwrap_or(crate::image::Entry::CliP2);
        Ok((image, Prepared { argv: Vec::new(), entry, flavor: module.flavor, module, compiled }))
    }

    async fn find(
        &self,
        parsed: &Reference,
        reference: &str,
        credentials: &Keyring,
        policy: PullPolicy,
        purpose: Purpose,
        pins: &mut Pins,
    ) -> Result<Image, ImageError> {
        if let Some((builtin, aliased)) = self.inner.builtin(parsed) {
            return crate::pull::builtin(&self.inner, builtin.clone(), parsed, aliased).await;
        }
        let local = parsed.registry() == LOCAL_REGISTRY;
        // A name without a registry may be one of the cluster's own, which comes first.
        let own = self.inner.bare(reference);
        if local || policy != PullPolicy::Always {
            for name in own.iter().chain([parsed]) {
                if let Some(record) = self.inner.lookup_pinned(name, pins) {
                    return self.inner.image(&record, name, purpose);
                }
            }
        }
        if policy == PullPolicy::Never {
            return Err(ImageError::NeverPull { reference: reference.into() });
        }
        if local {
            return Err(ImageError::NotFound { reference: parsed.to_string() });
        }
        if let Some(own) = own {
            match self.fetch(&own, &Keyring::new(), purpose, pins).await {
                Err(ImageError::NotFound { .. }) => {}
                found => return found,
            }
        }
        self.fetch(parsed, credentials, purpose, pins).await
    }

    /// Pulls with one credential after the other.
    async fn fetch(&self, parsed: &Reference, credentials: &Keyring, purpose: Purpose, pins: &mut Pins) -> Result<Image, ImageError> {
        let mut candidates: Vec<Option<&Credential>> = credentials.lookup(parsed).into_iter().map(Some).collect();
        candidates.extend(self.inner.options.keyring.lookup(parsed).into_iter().map(Some));
        if candidates.is_empty() {
            candidates.push(None);
        }
        let mut refused = None;
        for credential in candidates {
            match self.pull(parsed, credential).await {
                Ok((digest, _held)) => {
                    pins.add(&digest);
                    let record = self.inner.record(&digest).ok_or_else(|| ImageError::store("pull", format!("{digest} is gone")))?;
                    return self.inner.image(&record, parsed, purpose);
                }
                Err(error @ ImageError::Denied { .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| ImageError::NotFound { reference: parsed.to_string() }))
    }

    async fn pull(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Pulled, ImageError> {
        let (inner, reference, credential) = (self.inner.clone(), reference.clone(), credential.cloned());
        let key = (reference.to_string(), credential.clone());
        self.inner.pulling.run(key, || async move { crate::pull::pull(inner, reference, credential).await }).await
    }

    /// What runs for a container's `command` and `args`: the module that `argv[0]` names, else the image's own,
    /// compiled (from the cache when it is there).
    pub async fn prepare(&self, image: &Image, command: &[String], args: &[String]) -> Result<Prepared, ImageError> {
        let (choice, argv) = image.choose(command, args)?;
        let module = self.chosen(image, choice).await?;
        let explicit = !command.is_empty() || !args.is_empty();
        let entry =
            choose_entry(&module.entries, explicit).ok_or_else(|| ImageError::NothingRunnable { module: module.name.clone(), exports: "nothing".into() })?;
        let compiled = self.inner.clone().compiled(module.clone()).await?;
        Ok(Prepared { argv, entry, flavor: module.flavor, module, compiled })
    }

    /// What runs for a further command in a container of the image, when the command names a module of it that can run as one.
    pub async fn prepare_further(&self, image: &Image, argv: &[String]) -> Result<Option<Prepared>, ImageError> {
        let Some(choice) = argv.first().and_then(|command| image.named(command)) else { return Ok(None) };
        let module = self.chosen(image, choice).await?;
        let Some(entry) = choose_entry(&module.entries, true).filter(|entry| !entry.is_http()) else { return Ok(None) };
        let compiled = self.inner.clone().compiled(module.clone()).await?;
        Ok(Some(Prepared { argv: argv.to_vec(), entry, flavor: module.flavor, module, compiled }))
    }

    async fn chosen(&self, image: &Image, choice: Choice) -> Result<Module, ImageError> {
        match choice {
            Choice::Main => image.main.clone().ok_or_else(|| ImageError::NoSuchCommand { reference: image.reference.clone(), command: String::new() }),
            Choice::File(name, path) => self.inner.module(&name, &self.inner.clone().examine(name.clone(), path).await?),
        }
    }

    /// Forgets a compiled file that the engine refused to load: the next [`Images::prepare`] compiles anew.
    pub fn discard(&self, prepared: &Prepared) {
        if let Err(error) = std::fs::remove_file(&prepared.compiled) {
            tracing::debug!(path = %prepared.compiled.display(), %error, "compiled file not removed");
        }
    }

    /// Puts a component (or WASI 0.1 module) from a file under a name, as if it had been pulled:
    /// `images.import("examples/hello/hello.wasm", "wharf.local/examples/hello:latest")`.
    pub async fn import(&self, file: &Path, reference: &str) -> Result<Arc<Image>, ImageError> {
        let parsed = Reference::parse(reference)?;
        let (path, limits) = (file.to_path_buf(), self.inner.options.limits.clone());
        let artifact = blocking("read", move || push::read(&path, &limits)).await??;
        let digest = crate::pull::artifact(&self.inner, artifact, &parsed).await?;
        self.inner.name(&parsed, &digest)?;
        let record = self.inner.record(&digest).ok_or_else(|| ImageError::store("import", format!("{digest} is gone")))?;
        Ok(self.inner.uses.hold(self.inner.image(&record, &parsed, Purpose::of(&record))?))
    }

    /// The images that are here, for `node.status.images`; largest first.
    pub fn list(&self) -> Vec<Stored> {
        let known = self.inner.known.lock();
        let mut names: HashMap<&str, Vec<String>> = HashMap::new();
        for (reference, digest) in &known.names {
            let names = names.entry(digest).or_default();
            let by_digest = Reference::parse(reference).map(|r| Image::name_of(&r, digest)).unwrap_or_default();
            for name in [by_digest, reference.clone()] {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        let mut stored: Vec<Stored> = names.into_iter().filter_map(|(digest, names)| Some(Stored { names, size: known.images.get(digest)?.size })).collect();
        stored.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.names.cmp(&b.names)));
        stored
    }
}

impl Inner {
    /// The built-in image that answers to a reference, and whether by an alias.
    fn builtin(&self, reference: &Reference) -> Option<(&Builtin, bool)> {
        let find = |name: &str| self.options.builtin.iter().find(|b| b.name == name);
        if reference.registry() == LOCAL_REGISTRY {
            return Some((find(reference.repository().strip_prefix("builtin/")?)?, false));
        }
        Some((find(self.options.aliases.lookup(reference)?)?, true))
    }

    /// The image that a reference leads to, if it is here.
    fn lookup(&self, reference: &Reference) -> Option<Arc<Record>> {
        let known = self.known.lock();
        let digest = reference.digest().or_else(|| known.names.get(&reference.to_string()).map(String::as_str))?;
        known.images.get(digest).cloned()
    }

    /// The same, and it stays while the pins live.
    fn lookup_pinned(&self, reference: &Reference, pins: &mut Pins) -> Option<Arc<Record>> {
        let known = self.known.lock();
        let digest = reference.digest().or_else(|| known.names.get(&reference.to_string()).map(String::as_str))?;
        let record = known.images.get(digest).cloned()?;
        pins.add(digest);
        Some(record)
    }

    /// What a name without a registry is in the cluster's own.
    fn bare(&self, text: &str) -> Option<Reference> {
        self.options.transport.own.as_ref().and_then(|own| Reference::bare_in(text, &own.host))
    }

    pub(crate) fn has_name(&self, reference: &Reference) -> bool {
        self.known.lock().names.contains_key(&reference.to_string())
    }

    pub(crate) fn record(&self, digest: &str) -> Option<Arc<Record>> {
        self.known.lock().images.get(digest).cloned()
    }

    pub(crate) fn add(&self, record: Record) -> Result<(), ImageError> {
        self.store.write_json(&self.store.record("images", &record.digest), &record)?;
        self.known.lock().images.insert(record.digest.clone(), Arc::new(record));
        Ok(())
    }

    /// Makes a reference lead to an image.
    pub(crate) fn name(&self, reference: &Reference, digest: &str) -> Result<(), ImageError> {
        let reference = reference.to_string();
        if self.known.lock().names.get(&reference).is_some_and(|d| d == digest) {
            return Ok(());
        }
        let name = Name { reference: reference.clone(), digest: digest.to_string() };
        self.store.write_json(&self.store.record("refs", &push::digest(reference.as_bytes())), &name)?;
        self.known.lock().names.insert(reference, digest.to_string());
        Ok(())
    }

    pub(crate) fn image(&self, record: &Record, reference: &Reference, purpose: Purpose) -> Result<Image, ImageError> {
        let main = match &record.main {
            Some((name, examined)) if purpose == Purpose::Container => Some(self.module(name, examined)?),
            Some((name, examined)) => Some(self.unchecked(name, examined)),
            None => None,
        };
        Ok(Image {
            reference: reference.to_string(),
            digest: record.digest.clone(),
            id: Image::name_of(reference, &record.digest),
            size: record.size,
            config: record.config.clone(),
            rootfs: record.rootfs.as_ref().map(|digest| self.store.rootfs(digest)),
            main,
            alias_of: None,
        })
    }

    /// A module that may run here: what it imports is offered, and it exports something that runs.
    pub(crate) fn module(&self, name: &str, examined: &Examined) -> Result<Module, ImageError> {
        let missing = self.options.offers.missing(examined.imports.iter().map(String::as_str));
        if !missing.is_empty() {
            return Err(ImageError::Imports { module: name.into(), message: missing.join("; ") });
        }
        if examined.entries.is_empty() {
            return Err(ImageError::NothingRunnable { module: name.into(), exports: examined.exports_in_words() });
        }
        Ok(self.unchecked(name, examined))
    }

    fn unchecked(&self, name: &str, examined: &Examined) -> Module {
        Module {
            name: name.into(),
            digest: examined.component.clone(),
            wasm: self.store.component(&examined.component),
            flavor: examined.flavor,
            entries: examined.entries.clone(),
        }
    }

    /// The compiled file of a module, made if it is not there.
    async fn compiled(self: Arc<Self>, module: Module) -> Result<PathBuf, ImageError> {
        let folder = self.store.compiled(self.options.compatibility.of(module.flavor))?;
        let hex = module.digest.rsplit(':').next().unwrap_or(&module.digest).to_string();
        let path = folder.join(format!("{}-{hex}.cwasm", module.flavor.as_str()));
        if path.exists() {
            return Ok(path);
        }
        let (inner, to) = (self.clone(), path.clone());
        let work = || async move {
            let began = std::time::Instant::now();
            inner.compiler.run(&module.name, &module.wasm, &to, module.flavor).await?;
            tracing::info!(module = module.name, digest = module.digest, flavor = module.flavor.as_str(), took = ?began.elapsed(), "compiled");
            Ok(())
        };
        self.compiling.run(path.clone(), work).await?;
        Ok(path)
    }
}

/// Work that blocks, off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ImageError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ImageError::store(what, e))
}
