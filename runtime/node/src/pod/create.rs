//! From a container of the Pod's spec to one that runs: pull, configure, create, start; each step with its own reason to fail.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio_util::sync::CancellationToken;
use wharf_engine::{ContainerSpec, CpuQuota, HttpOptions, MountTable, TerminalSize, Usage};
use wharf_image::Image;

use super::context::{PodContext, Wired};
use super::door::{Door, Stdin, Streams, World};
use super::hooks;
use super::prepare::private_dir;
use super::record;
use crate::events::Kind;
use crate::http::HttpServer;
use crate::images::engine_entry;
use crate::logs::Stream;
use crate::native::{self, NativeImage, NativeRun};
use crate::output::Sink;
use crate::volumes::{self, SubPath};
use crate::world::env::{self, Sources};
use crate::world::etc;
use crate::world::expand::expand;
use crate::{images, quantity};

/// How many requests one instance of a `wasi:http` container may serve; on the Pod.
const REUSE: &str = "wharf.dev/requests-per-instance";
/// How many seconds a `wasi:http` container has for the head of its answer; on the Pod.
const TIMEOUT: &str = "wharf.dev/request-timeout-seconds";

/// A container that runs.
pub(crate) struct Created {
    /// `containerID`, with its scheme.
    pub(crate) id: String,
    /// `status.image`.
    pub(crate) image: String,
    /// `imageID`.
    pub(crate) image_id: String,
    pub(crate) running: Running,
    pub(crate) door: Arc<Door>,
    /// Its postStart hook failed: it is to be ended.
    pub(crate) hook_failed: bool,
    /// Where its termination message is found.
    pub(crate) message_file: Option<PathBuf>,
    /// Held, so that it stays on this machine.
    pub(crate) held: Option<Arc<Image>>,
}

/// What runs.
pub(crate) enum Running {
    Command(wharf_engine::Command),
    Http(wharf_engine::HttpContainer, HttpServer),
    Native(NativeRun),
}

/// Why a container does not run: reason and message of its waiting state.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

fn fail(reason: &'static str) -> impl Fn(String) -> Failure {
    move |message| Failure { reason, message }
}

/// Starts a container.
pub(crate) async fn create(context: &PodContext, pod: &Pod, name: &str, log_run: i32) -> Result<Created, Failure> {
    let Some((_, container)) = record::container(pod, name) else {
        return Err(fail("CreateContainerConfigError")(format!("container {name} is not in the Pod's spec")));
    };
    let container = container.as_ref();
    let wired = context.wired.load_full().ok_or_else(|| fail("CreateContainerError")("the Pod has no address yet".to_owned()))?;
    let node = &context.node;
    if let Some(native) = native::find(&node.config.native, container.image.as_deref().unwrap_or_default()) {
        return native_container(context, pod, container, native.clone(), &wired, log_run).await;
    }

    let image = images::pull(context, pod, container).await?;
    let vars = environment(context, pod, container, &image).await.map_err(|message| {
        node.recorder.pod(pod, Some(name), Kind::Warning, "Failed", format!("Error: {message}"));
        fail("CreateContainerConfigError")(message)
    })?;

    let failed = |message: String| {
        node.recorder.pod(pod, Some(name), Kind::Warning, "Failed", format!("Error: {message}"));
        fail("CreateContainerError")(message)
    };
    let index: HashMap<&str, &str> = vars.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> { list.iter().flatten().map(|a| expand(a, |n| index.get(n).copied())).collect() };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    let prepared = node.config.images.prepare(&image, &command, &args).await.map_err(|e| {
        // What is wrong with the image itself shows as a pull that failed, as everywhere.
        if e.reason() == "ErrImagePull" { images::pull_failed(context, pod, container, &e) } else { failed(e.to_string()) }
    })?;
    let program = node.programs.load(&node.config.engine, &prepared).await.map_err(&failed)?;

    let mounts = mounts(context, pod, container, &image, &index, prepared.entry.is_http()).await.map_err(|e| failed(e.to_string()))?;
    let id = format!("wasmtime://{}", new_id());
    let log = node.logs.begin(&context.log_dir(), name, log_run);
    let world = world(context, container, &image, vars, mounts.table, &wired);
    let (stdin, reader) = Stdin::of(container, &log).filter(|_| !prepared.entry.is_http()).unzip();
    let terminal = stdin.as_ref().and_then(Stdin::terminal);
    let (stdout, stderr) = Sink::both(log.clone(), terminal);
    let streams = Streams { stdin: reader, terminal: terminal.map(|_| TerminalSize::default()), stdout, stderr };
    let spec = ContainerSpec { http: http_options(pod), ..world.process(engine_entry(prepared.entry), prepared.argv.clone(), streams) };
    let server = |handler: &wharf_engine::HttpContainer| {
        HttpServer::listen(&wired.network, node.handlers(), name, &ports(container, &image), handler.handler()).map_err(|e| e.to_string())
    };
    let started = program.start(spec).map_err(|e| e.to_string()).and_then(|started| match started {
        wharf_engine::Container::Command(command) => Ok(Running::Command(command)),
        wharf_engine::Container::Http(http) => server(&http).map(|s| Running::Http(http, s)),
    });
    node.recorder.pod(pod, Some(name), Kind::Normal, "Created", format!("Created container: {name}"));
    let running = started.map_err(|message| {
        node.logs.end(&log);
        node.recorder.pod(pod, Some(name), Kind::Warning, "Failed", format!("Error: failed to start container \"{name}\": {message}"));
        fail("RunContainerError")(format!("failed to start container \"{name}\": {message}"))
    })?;
    node.recorder.pod(pod, Some(name), Kind::Normal, "Started", format!("Started container {name}"));
    if matches!(running, Running::Http(..)) {
        log.write(Stream::Stdout, start_message(&image.config.start_message, jiff::Timestamp::now()).as_bytes());
    }
    let command = match &running {
        Running::Command(command) => Some(command.clone()),
        _ => None,
    };
    let door = Arc::new(Door { usage: world.usage.clone(), log, command, stdin, world: Some(world), ended: CancellationToken::new() });
    let hook_failed = !post_start(context, pod, container, &door).await;
    Ok(Created {
        id,
        image: image.reference.clone(),
        image_id: image.id.clone(),
        running,
        door,
        hook_failed,
        message_file: mounts.message_file,
        held: Some(image),
    })
}

/// Runs a container's postStart hook, for as long as the container runs: it counts as started only then. Whether it went well.
async fn post_start(context: &PodContext, pod: &Pod, container: &Container, door: &Arc<Door>) -> bool {
    let hook = container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref());
    let (Some(hook), Some(target)) = (hook, context.target(door)) else { return true };
    let ended = async {
        match &door.command {
            Some(command) => drop(command.wait().await),
            None => std::future::pending().await,
        }
    };
    let done = tokio::select! {
        done = hooks::run(hook, container, &target) => done,
        () = ended => Ok(()),
    };
    if let Err(error) = &done {
        tracing::debug!(namespace = context.namespace, name = context.name, container = container.name, error, "postStart hook");
        // Its words may hold what is secret.
        context.node.recorder.pod(pod, Some(&container.name), Kind::Warning, "FailedPostStartHook", "PostStartHook failed");
    }
    done.is_ok()
}

/// What a container whose image has no start of its own says when it begins, line by line.
fn start_message(lines: &[String], now: jiff::Timestamp) -> String {
    let time = now.strftime("%Y/%m/%d %H:%M:%S").to_string();
    lines.iter().map(|line| line.replace("{time}", &time) + "\n").collect()
}

/// Starts code of this process as a container: nothing to pull or mount.
async fn native_container(
    context: &PodContext,
    pod: &Pod,
    container: &Container,
    image: Arc<dyn NativeImage>,
    wired: &Wired,
    log_run: i32,
) -> Result<Created, Failure> {
    let (node, name) = (&context.node, container.name.as_str());
    let reference = container.image.clone().unwrap_or_default();
    if context.namespace != native::NAMESPACE {
        let message = format!("image \"{reference}\" is a part of the node itself: only Pods of namespace {} may run it", native::NAMESPACE);
        node.recorder.pod(pod, Some(name), Kind::Warning, "Failed", format!("Error: {message}"));
        return Err(fail("CreateContainerConfigError")(message));
    }
    node.recorder.pod(pod, Some(name), Kind::Normal, "Pulled", format!("Container image \"{reference}\" already present on machine"));
    let log = node.logs.begin(&context.log_dir(), name, log_run);
    node.recorder.pod(pod, Some(name), Kind::Normal, "Created", format!("Created container: {name}"));
    let owner = format!("container \"{name}\"");
    let given = (wired.network.ip(), service_account_folder(context, pod, container));
    let running = NativeRun::start(image.as_ref(), given, node.config.net.clone(), log.clone(), owner).await.map_err(|message| {
        node.logs.end(&log);
        node.recorder.pod(pod, Some(name), Kind::Warning, "Failed", format!("Error: failed to start container \"{name}\": {message}"));
        fail("RunContainerError")(format!("failed to start container \"{name}\": {message}"))
    })?;
    node.recorder.pod(pod, Some(name), Kind::Normal, "Started", format!("Started container {name}"));
    let id = format!("native://{}", new_id());
    Ok(Created {
        id,
        image: reference,
        image_id: native::image_id(image.as_ref()),
        running: Running::Native(running),
        door: Arc::new(Door { usage: Arc::new(Usage::new()), log, command: None, stdin: None, world: None, ended: CancellationToken::new() }),
        hook_failed: false,
        message_file: None,
        held: None,
    })
}

/// The host's folder of the volume that is mounted where programs look for their ServiceAccount.
fn service_account_folder(context: &PodContext, pod: &Pod, container: &Container) -> Option<PathBuf> {
    let mount = container.volume_mounts.iter().flatten().find(|m| m.mount_path == "/var/run/secrets/kubernetes.io/serviceaccount")?;
    let volume = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).find(|v| v.name == mount.name)?;
    Some(volumes::folder(&context.dir().join("volumes"), volume))
}

/// Where a `wasi:http` container listens: its ports, else those that the image exposes, else 80.
fn ports(container: &Container, image: &Image) -> Vec<u16> {
    let tcp = container.ports.iter().flatten().filter(|p| p.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let mut own: Vec<u16> = tcp.filter_map(|p| u16::try_from(p.container_port).ok()).collect();
    own.dedup();
    match () {
        () if !own.is_empty() => own,
        () if !image.config.exposed_ports.is_empty() => image.config.exposed_ports.clone(),
        () => vec![80],
    }
}

/// What the processes of a container have in common.
fn world(context: &PodContext, container: &Container, image: &Arc<Image>, env: Vec<(String, String)>, mounts: Arc<MountTable>, wired: &Wired) -> World {
    let limit = |name: &str| container.resources.as_ref().and_then(|r| r.limits.as_ref()).and_then(|m| m.get(name));
    World {
        image: image.clone(),
        env: env.into(),
        working_dir: container.working_dir.clone().filter(|d| !d.is_empty()).or_else(|| Some(image.config.working_dir.clone()).filter(|d| !d.is_empty())),
        mounts,
        network: wired.network.clone(),
        outgoing: wired.outgoing.clone(),
        key_value: Arc::new(context.key_value.clone()),
        memory_limit: limit("memory").and_then(quantity::units).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0),
        cpu: Arc::new(match limit("cpu").and_then(quantity::millis).and_then(|n| u32::try_from(n).ok()) {
            Some(millis) => CpuQuota::new(millis),
            None => CpuQuota::unlimited(),
        }),
        usage: Arc::new(Usage::new()),
    }
}

/// How a `wasi:http` container serves.
fn http_options(pod: &Pod) -> HttpOptions {
    let annotation = |name: &str| pod.metadata.annotations.as_ref().and_then(|a| a.get(name));
    let mut http = HttpOptions::default();
    if let Some(n) = annotation(REUSE).and_then(|v| v.parse().ok()).filter(|n| *n > 0) {
        http.requests_per_instance = n;
    }
    if let Some(n) = annotation(TIMEOUT).and_then(|v| v.parse().ok()).filter(|n| (1..=86_400).contains(n)) {
        http.timeout = Duration::from_secs(n);
    }
    http
}

/// The image's environment, what every container has, and the container's own.
async fn environment(context: &PodContext, pod: &Pod, container: &Container, image: &Image) -> Result<Vec<(String, String)>, String> {
    let (config_maps, secrets) = env::needs(container);
    let mut sources = Sources::default();
    let text = |data: volumes::Data| data.into_iter().map(|(k, v)| (k, String::from_utf8_lossy(&v).into_owned())).collect();
    for name in config_maps {
        if let Some(data) = context.objects.config_map(name).await? {
            sources.config_maps.insert(name.to_owned(), text(data));
        }
    }
    for name in secrets {
        if let Some(data) = context.objects.secret(name).await? {
            sources.secrets.insert(name.to_owned(), text(data));
        }
    }
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links) != Some(false);
    let (own, kubernetes) = context.node.config.services.of(&context.namespace, links);
    let vars = env::environment(pod, container, &context.facts(), &sources, &own, kubernetes.as_ref())?;
    let image = image.config.env.iter().filter_map(|e| e.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    Ok(env::merged(image.chain([("HOSTNAME".to_owned(), etc::hostname(pod))]).chain(vars)))
}

struct Mounts {
    table: Arc<MountTable>,
    message_file: Option<PathBuf>,
}

/// One mount: where it comes from, where it goes, and whether it may be written to.
struct Mount {
    volume: PathBuf,
    sub_path: Option<String>,
    target: String,
    read_only: bool,
}

/// The container's `/`: its own writable copy of the image's files, the Pod's `/etc` files, and its volumes.
async fn mounts(context: &PodContext, pod: &Pod, container: &Container, image: &Image, vars: &HashMap<&str, &str>, http: bool) -> io::Result<Mounts> {
    let dir = context.dir().join("containers").join(&container.name);
    let (root, seed, etc) = (dir.join("root"), image.rootfs.clone(), context.dir().join("etc"));
    let read_only_root = container.security_context.as_ref().and_then(|s| s.read_only_root_filesystem) == Some(true);
    let volumes = context.dir().join("volumes");
    let mut list: Vec<Mount> = vec![];
    for m in container.volume_mounts.iter().flatten() {
        let volume = pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()).find(|v| v.name == m.name);
        let volume = volume.ok_or_else(|| io::Error::other(format!("volume \"{}\" is not in the Pod's spec", m.name)))?;
        let expr = m.sub_path_expr.as_ref().map(|e| expand(e, |n| vars.get(n).copied()));
        list.push(Mount {
            volume: volumes::folder(&volumes, volume),
            sub_path: expr.or_else(|| m.sub_path.clone()).filter(|s| !s.is_empty()),
            target: m.mount_path.clone(),
            // As upstream: what comes from the API cannot be written to.
            read_only: m.read_only == Some(true) || volumes::is_live(volume),
        });
    }
    // Parents before what is mounted in them.
    list.sort_by_key(|m| m.target.trim_end_matches('/').matches('/').count());
    // A handler does not end, so it has no last words; and there may be thousands of them.
    let message = container.termination_message_path.clone().filter(|p| !p.is_empty() && !http);
    let make = move || -> io::Result<Mounts> {
        private_dir(&dir)?;
        match std::fs::remove_dir_all(&root) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        match &seed {
            Some(seed) => copy_tree(seed, &root)?,
            None => private_dir(&root)?,
        }
        let mut table = MountTable::new(&root, read_only_root)?;
        for name in ["hosts", "hostname", "resolv.conf"] {
            let target = format!("/etc/{name}");
            if !list.iter().any(|m| m.target == target) {
                table.mount(&etc.join(name), &target, false)?;
            }
        }
        let mut message_file = None;
        if let Some(target) = message {
            let file = dir.join("termination-log");
            std::fs::write(&file, b"")?;
            table.mount(&file, &target, false)?;
            message_file = Some(file);
        }
        for m in list {
            let words = |e: io::Error| io::Error::new(e.kind(), format!("failed to mount {}: {e}", m.target));
            let part: Option<SubPath> = m.sub_path.as_deref().map(|s| volumes::subpath(&m.volume, s)).transpose().map_err(words)?;
            let source = part.as_ref().map_or_else(|| m.volume.clone(), SubPath::path);
            table.mount(&source, &m.target, m.read_only).map_err(words)?;
        }
        Ok(Mounts { table: Arc::new(table), message_file })
    };
    tokio::task::spawn_blocking(make).await.map_err(io::Error::other)?
}

/// Copies an image's files; links stay links.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    private_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, &target)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), &target)?;
            let mut permissions = std::fs::metadata(&target)?.permissions();
            let mode = permissions.mode() | 0o600;
            permissions.set_mode(mode);
            std::fs::set_permissions(&target, permissions)?;
        }
    }
    Ok(())
}

/// 64 hex digits, as container IDs have.
fn new_id() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_http_container_listens() {
        let image = |exposed: &[u16]| Image {
            reference: String::new(),
            digest: String::new(),
            id: String::new(),
            size: 0,
            config: wharf_image::ImageConfig { exposed_ports: exposed.to_vec(), ..Default::default() },
            rootfs: None,
            main: None,
            alias_of: None,
        };
        let c: Container =
            serde_json::from_value(serde_json::json!({"name": "a", "ports": [{"containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}]})).unwrap();
        assert_eq!(ports(&c, &image(&[80])), [8080]);
        assert_eq!(ports(&Container::default(), &image(&[3000, 3001])), [3000, 3001]);
        assert_eq!(ports(&Container::default(), &image(&[])), [80]);
    }

    #[test]
    fn what_an_image_says_at_its_start_bears_the_time() {
        let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(start_message(&["ready".into(), "{time} [notice] 1#1: start".into()], now), "ready\n2027/01/15 08:00:00 [notice] 1#1: start\n");
        assert_eq!(start_message(&[], now), "");
    }

    #[test]
    fn an_image_is_copied_with_its_links() {
        let tmp = tempfile::tempdir().unwrap();
        let from = tmp.path().join("image");
        std::fs::create_dir_all(from.join("usr/bin")).unwrap();
        std::fs::write(from.join("usr/bin/x"), "1").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.join("usr/link")).unwrap();
        copy_tree(&from, &tmp.path().join("root")).unwrap();
        assert_eq!(std::fs::read_to_string(tmp.path().join("root/usr/bin/x")).unwrap(), "1");
        assert_eq!(std::fs::read_link(tmp.path().join("root/usr/link")).unwrap(), Path::new("/etc/passwd"));
    }
}
