//! Round trips with a registry in this process, and with a real one where it is installed.

mod gc;
mod registry;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use self::registry::{Fault, Registry};
use super::digest;
use crate::compile::CompileCommand;
use crate::{
    Aliases, Builtin, Compatibility, Credential, Entry, Flavor, ImageConfig, ImageError, Images, Keyring, Limits, Options, PullPolicy, Transport, push,
};

/// A component that exports `wasi:cli/run`: a core module of the smallest kind, wrapped.
fn module() -> Vec<u8> {
    // (module (memory (export "memory") 1) (func (export "_start")))
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend([1, 4, 1, 0x60, 0, 0]);
    wasm.extend([3, 2, 1, 0]);
    wasm.extend([5, 3, 1, 0, 1]);
    wasm.extend([7, 19, 2, 6]);
    wasm.extend(b"memory");
    wasm.extend([2, 0, 6]);
    wasm.extend(b"_start");
    wasm.extend([0, 0]);
    wasm.extend([10, 4, 1, 2, 0, 0x0b]);
    wasm
}

/// A compiler that is a shell script: `$1` IN, `$2` OUT, `$3` flavor.
fn shell(script: &str) -> CompileCommand {
    CompileCommand { program: "/bin/sh".into(), args: ["-c", script, "compile"].iter().map(OsString::from).collect() }
}

struct Node {
    images: Images,
    dir: tempfile::TempDir,
}

fn options() -> Options {
    let mut options = Options::new(shell("/bin/cp \"$1\" \"$2\""), Compatibility { p2: "a".into(), p3: "b".into() }, crate::Offers::of_the_engine());
    options.builtin = Vec::new();
    options
}

fn node(options: Options) -> Node {
    let dir = tempfile::tempdir().unwrap();
    Node { images: Images::open(dir.path().join("images"), options).unwrap(), dir }
}

impl Node {
    async fn pull(&self, reference: &str) -> Result<Arc<crate::Image>, ImageError> {
        self.images.ensure(reference, &Keyring::new(), PullPolicy::IfNotPresent).await
    }

    fn files(&self, folder: &str) -> usize {
        std::fs::read_dir(self.dir.path().join("images").join(folder)).unwrap().count()
    }

    fn file(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("hello.wasm");
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_comes_back_and_runs() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    let reference = format!("{address}/team/hello:v1");
    let digest = push(&node.file(&module()), &reference, None, Transport::default()).await.unwrap();
    let image = node.pull(&reference).await.unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(image.id, format!("{address}/team/hello@{digest}"));
    assert_eq!(image.reference, reference);
    let main = image.main.as_ref().unwrap();
    assert_eq!((main.name.as_str(), main.flavor, &main.entries), ("hello.wasm", Flavor::P2, &vec![Entry::CliP2]));
    let prepared = node.images.prepare(&image, &[], &["-v".into()]).await.unwrap();
    assert_eq!((prepared.argv.join(" ").as_str(), prepared.entry), ("hello.wasm -v", Entry::CliP2));
    assert_eq!(std::fs::read(&prepared.compiled).unwrap()[..8], *b"\0asm\x0d\0\x01\0");

    // Known now: IfNotPresent asks nobody, Always asks once, Never is content.
    let before = registry.requests.load(Ordering::SeqCst);
    assert!(node.images.is_present(&reference, PullPolicy::IfNotPresent) && !node.images.is_present(&reference, PullPolicy::Always));
    node.pull(&reference).await.unwrap();
    node.images.ensure(&reference, &Keyring::new(), PullPolicy::Never).await.unwrap();
    assert_eq!(registry.requests.load(Ordering::SeqCst), before);
    node.images.ensure(&reference, &Keyring::new(), PullPolicy::Always).await.unwrap();
    assert!(registry.requests.load(Ordering::SeqCst) <= before + 2, "the digest alone is asked for");

    // A new process finds it again.
    let again = Images::open(node.dir.path().join("images"), options()).unwrap();
    assert_eq!(*again.ensure(&reference, &Keyring::new(), PullPolicy::Never).await.unwrap(), *image);
    assert_eq!(again.list()[0].names, [format!("{address}/team/hello@{digest}"), reference]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_tag_is_seen_by_always_only() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    let reference = format!("{address}/hello:latest");
    let config = |n: u32| ("application/vnd.wasm.config.v0+json", json!({"architecture": "wasm", "os": "wasip1", "n": n}));
    let old = registry.image("latest", config(1), &[("application/wasm", &module())]);
    assert_eq!(node.pull(&reference).await.unwrap().digest, old);
    let new = registry.image("latest", config(2), &[("application/wasm", &module())]);
    assert_eq!(node.pull(&reference).await.unwrap().digest, old);
    assert_eq!(node.images.ensure(&reference, &Keyring::new(), PullPolicy::Always).await.unwrap().digest, new);
    assert_eq!(node.pull(&format!("{address}/hello@{old}")).await.unwrap().digest, old);
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut head = tar::Header::new_gnu();
        head.set_size(bytes.len() as u64);
        head.set_mode(0o644);
        builder.append_data(&mut head, path, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

#[tokio::test(flavor = "multi_thread")]
async fn container_images_bring_files_and_modules() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    let first = tar(&[("app.wasm", &module()), ("etc/motd", b"old"), ("gone", b"x")]);
    let second = tar(&[("bin/tool.wasm", &module()), ("etc/motd", b"new"), (".wh.gone", b"")]);
    let config = json!({"os": "wasi", "architecture": "wasm", "config": {"Entrypoint": ["/app.wasm"], "Cmd": ["serve"], "Env": ["A=b", "PATH=/bin"], "ExposedPorts": {"8080/tcp": {}}, "WorkingDir": "/etc"},
        "rootfs": {"type": "layers", "diff_ids": [digest(&first), digest(&second)]}});
    let wasm = registry.image(
        "x",
        (OCI_CONFIG, config),
        &[("application/vnd.oci.image.layer.v1.tar+gzip", &gzip(&first)), ("application/vnd.oci.image.layer.v1.tar", &second)],
    );
    let index = json!({"schemaVersion": 2, "manifests": [
        {"digest": digest(b"no such manifest"), "size": 1, "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": wasm, "size": 1, "platform": {"os": "wasi", "architecture": "wasm"}}]});
    let top = registry.manifest("v1", &index);
    let image = node.pull(&format!("{address}/app:v1")).await.unwrap();
    assert_eq!(image.digest, top);
    let root = image.rootfs.clone().unwrap();
    assert_eq!(std::fs::read(root.join("etc/motd")).unwrap(), b"new");
    assert!(!root.join("gone").exists());
    assert_eq!(image.config.exposed_ports, [8080]);
    let run = |command: &[&str], args: &[&str]| {
        let (command, args): (Vec<String>, Vec<String>) = (command.iter().map(|s| s.to_string()).collect(), args.iter().map(|s| s.to_string()).collect());
        let (images, image) = (node.images.clone(), image.clone());
        async move { images.prepare(&image, &command, &args).await.map(|p| format!("{} {}", p.module.name, p.argv.join(" "))) }
    };
    assert_eq!(run(&[], &[]).await.unwrap(), "/app.wasm /app.wasm serve");
    assert_eq!(run(&["tool"], &["x"]).await.unwrap(), "tool tool x");
    assert_eq!(run(&["sleep", "1"], &[]).await.unwrap(), "/app.wasm sleep 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    let artifact = |name: &str, wasm: &[u8]| {
        registry.image(name, ("application/vnd.wasm.config.v0+json", json!({"os": "wasip2", "architecture": "wasm"})), &[("application/wasm", wasm)])
    };
    let whole = module();
    artifact("truncated", &whole[..whole.len() - 3]);
    artifact("script", b"#!/bin/sh\necho");
    artifact("library", b"\0asm\x01\0\0\0");
    // (component (import "acme:db/sql@1.0.0" (instance)))
    let mut imports = b"\0asm\x0d\0\x01\0".to_vec();
    imports.extend([7, 3, 1, 0x42, 0]);
    imports.extend([10, 22, 1, 0, 17]);
    imports.extend(b"acme:db/sql@1.0.0");
    imports.extend([5, 0]);
    artifact("imports", &imports);
    registry.image("linux", (OCI_CONFIG, json!({"os": "linux", "architecture": "amd64"})), &[("application/vnd.oci.image.layer.v1.tar", &tar(&[]))]);
    registry.manifest(
        "linux-index",
        &json!({"schemaVersion": 2, "manifests": [{"digest": digest(b""), "size": 1, "platform": {"os": "linux", "architecture": "arm64"}}]}),
    );
    registry.image("helm", ("application/vnd.cncf.helm.config.v1+json", json!({})), &[("application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"x")]);
    registry.image("escape", (OCI_CONFIG, json!({"os": "wasi", "architecture": "wasm"})), &[("application/vnd.oci.image.layer.v1.tar+gzip", b"not gzip")]);
    registry.contents.lock().manifests.insert("nonsense".into(), ("application/vnd.oci.image.manifest.v1+json".into(), b"{]".to_vec()));
    for (tag, want) in [
        ("missing", "not found"),
        ("truncated", "invalid WebAssembly in \"app.wasm\": truncated"),
        ("script", "not WebAssembly"),
        ("library", "exports nothing that can be run"),
        ("imports", "it imports acme:db/sql@1.0.0, which this node does not offer"),
        ("linux", "it is built for linux/amd64; this node runs WebAssembly images only"),
        ("linux-index", "it is built for linux/arm64"),
        ("helm", "not a WebAssembly image: a layer of type \"application/vnd.cncf.helm.chart.content.v1.tar+gzip\""),
        ("escape", "failed to extract layer"),
        ("nonsense", "not a WebAssembly image: manifest"),
    ] {
        let error = node.pull(&format!("{address}/app:{tag}")).await.unwrap_err();
        assert_eq!(error.reason(), "ErrImagePull", "{error}");
        assert!(error.to_string().contains(want), "{tag}: {error}");
    }
    let error = node.images.ensure("Not A Name", &Keyring::new(), PullPolicy::Always).await.unwrap_err();
    assert_eq!(error.reason(), "InvalidImageName");
    let error = node.images.ensure("nobody.example/x", &Keyring::new(), PullPolicy::Never).await.unwrap_err();
    assert_eq!(
        (error.reason(), error.to_string().as_str()),
        ("ErrImageNeverPull", "Container image \"nobody.example/x\" is not present with pull policy of Never")
    );
    let error = node.pull("127.0.0.1:1/x").await.unwrap_err();
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!((node.files("partial"), node.files("tmp"), node.files("refs")), (0, 0, 2), "only what is whole has a name (imports, library)");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_match_are_refused() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    registry.image("v1", ("application/vnd.wasm.config.v0+json", json!({})), &[("application/wasm", &module())]);
    for (fault, want) in [(Fault::Corrupt, "failed to verify digest"), (Fault::Longer, "the limit is")] {
        registry.contents.lock().fault = fault;
        let error = node.pull(&format!("{address}/app:v1")).await.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        assert_eq!((node.files("blobs"), node.files("partial")), (0, 0));
    }
    let wrong = format!("{address}/app@{}", digest(b"something else"));
    let manifest = registry.contents.lock().manifests["v1"].clone();
    registry.contents.lock().manifests.insert(digest(b"something else"), manifest);
    assert!(node.pull(&wrong).await.unwrap_err().to_string().contains("digest"));
    registry.contents.lock().fault = Fault::None;
    node.pull(&format!("{address}/app:v1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_line_is_gone_on_from() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    let big: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let layer = tar(&[("app.wasm", &module()), ("big", &big)]);
    registry.image("v1", (OCI_CONFIG, json!({"os": "wasi", "architecture": "wasm"})), &[("application/vnd.oci.image.layer.v1.tar", &layer)]);
    registry.contents.lock().fault = Fault::Truncate(2);
    let image = node.pull(&format!("{address}/app:v1")).await.unwrap();
    assert_eq!(std::fs::read(image.rootfs.as_ref().unwrap().join("big")).unwrap(), big);
    let sent = registry.contents.lock().sent;
    assert!(sent < layer.len() + 2_000, "{sent} bytes were sent for {}", layer.len());
    // The only module at the top is the image's own, though neither ENTRYPOINT nor CMD names it.
    assert_eq!(image.main.as_ref().unwrap().name, "/app.wasm");
}

#[tokio::test(flavor = "multi_thread")]
async fn pulls_are_shared() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    registry.image("v1", ("application/vnd.wasm.config.v0+json", json!({})), &[("application/wasm", &module())]);
    let reference = format!("{address}/app:v1");
    let pulls: Vec<_> = (0..20).map(|_| node.pull(&reference)).collect();
    for image in futures::future::join_all(pulls).await {
        image.unwrap();
    }
    assert!(registry.requests.load(Ordering::SeqCst) <= 8, "{:?}", registry.requests);
    assert_eq!(node.files("compiled"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_in_turn() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    registry.image("v1", ("application/vnd.wasm.config.v0+json", json!({})), &[("application/wasm", &module())]);
    registry.contents.lock().secret = Some("wharf:s3cret".into());
    let reference = format!("{address}/app:v1");
    let error = node.pull(&reference).await.unwrap_err();
    assert!(matches!(error, ImageError::Denied { .. }), "{error}");
    let mut keys = Keyring::new();
    keys.add(&address.to_string(), Credential { user: "wharf".into(), password: "wrong".into() });
    let error = node.images.ensure(&reference, &keys, PullPolicy::Always).await.unwrap_err();
    assert!(matches!(error, ImageError::Denied { .. }) && !error.to_string().contains("wrong"), "{error}");
    keys.add(&address.to_string(), Credential { user: "wharf".into(), password: "s3cret".into() });
    node.images.ensure(&reference, &keys, PullPolicy::Always).await.unwrap();
    let credential = Credential { user: "wharf".into(), password: "s3cret".into() };
    let to = format!("{address}/pushed:v2");
    push(&node.file(&module()), &to, Some(&credential), Transport::default()).await.unwrap();
    let error = push(&node.file(&module()), &to, None, Transport::default()).await.unwrap_err();
    assert!(matches!(error, ImageError::Push { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_fetched_and_nothing_is_read_without_end() {
    let (registry, address) = Registry::start().await;
    let node = node(options());
    registry.image("v1", ("application/vnd.wasm.config.v0+json", json!({})), &[("application/wasm", &module())]);
    let mut keys = Keyring::new();
    keys.add(&address.to_string(), Credential { user: "wharf".into(), password: "s3cret".into() });
    let pull = async |fault: Fault| {
        registry.contents.lock().fault = fault;
        let reference = format!("{address}/app:v1");
        let pulled = node.images.ensure(&reference, &keys, PullPolicy::Always);
        tokio::time::timeout(Duration::from_secs(60), pulled).await.expect("an end")
    };
    let limit = Limits::default().manifest;
    let error = pull(Fault::EndlessManifest).await.unwrap_err();
    assert!(matches!(error, ImageError::TooLarge { limit: l, .. } if l == limit), "{error}");
    let error = pull(Fault::EndlessError).await.unwrap_err();
    assert!(error.to_string().contains("500 Internal Server Error"), "{error}");
    registry.contents.lock().secret = Some("wharf:s3cret".into());
    registry.contents.lock().tokens = true;
    let error = pull(Fault::EndlessToken).await.unwrap_err();
    assert!(error.to_string().contains("authenticating: a token of more than"), "{error}");
    pull(Fault::None).await.unwrap();
    let asked = registry.requests.load(Ordering::SeqCst);
    pull(Fault::None).await.unwrap();
    assert_eq!(registry.requests.load(Ordering::SeqCst), asked + 1, "the token is kept, and the digest alone asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_and_imported_images_need_no_registry() {
    let wasm: &'static [u8] = module().leak();
    let mut options = options();
    options.aliases = Aliases::tutorials();
    options.builtin = vec![Builtin {
        name: "nginx".into(),
        wasm,
        config: ImageConfig { exposed_ports: vec![80], ..ImageConfig::default() },
        files: vec![("usr/share/nginx/html/index.html", b"<h1>Welcome to nginx!</h1>")],
    }];
    let node = node(options);
    let image = node.images.ensure("nginx:1.14.2", &Keyring::new(), PullPolicy::Always).await.unwrap();
    assert_eq!(image.reference, "docker.io/library/nginx:1.14.2");
    assert!(image.id.starts_with("wharf.local/builtin/nginx@sha256:"), "{}", image.id);
    assert!(image.alias_message().unwrap().contains("built-in image \"nginx\""));
    assert_eq!(std::fs::read(image.rootfs.as_ref().unwrap().join("usr/share/nginx/html/index.html")).unwrap(), b"<h1>Welcome to nginx!</h1>");
    let direct = node.images.ensure("wharf.local/builtin/nginx", &Keyring::new(), PullPolicy::Never).await.unwrap();
    assert_eq!((direct.alias_message(), &direct.digest), (None, &image.digest));

    let reference = "wharf.local/examples/hello:latest";
    assert!(matches!(node.pull(reference).await.unwrap_err(), ImageError::NotFound { .. }));
    let imported = node.images.import(&node.file(&module()), reference).await.unwrap();
    assert_eq!(imported.main.as_ref().unwrap().name, "hello.wasm");
    let found = node.images.ensure(reference, &Keyring::new(), PullPolicy::Always).await.unwrap();
    assert_eq!(found.digest, imported.digest);
    assert!(node.images.is_present(reference, PullPolicy::Always) && node.images.is_present("nginx", PullPolicy::Always));
}

#[tokio::test(flavor = "multi_thread")]
async fn compilation_is_bounded() {
    let mut slow = options();
    slow.compile = shell("exec /bin/sleep 60");
    slow.limits = Limits { compile_wall: Duration::from_millis(100), ..Limits::default() };
    let failing = || {
        let mut failing = options();
        failing.compile = shell("echo 'this cannot be compiled' >&2; echo junk > \"$2\"; exit 1");
        failing
    };
    let mut missing = options();
    missing.compile = CompileCommand { program: "/no/such/program".into(), args: Vec::new() };
    for (options, want) in
        [(slow, "takes longer to compile than this node allows"), (failing(), "this cannot be compiled"), (missing, "start /no/such/program")]
    {
        let node = node(options);
        let image = node.images.import(&node.file(&module()), "wharf.local/a").await.unwrap();
        let error = node.images.prepare(&image, &[], &[]).await.unwrap_err();
        assert!(error.to_string().contains(want), "{error}");
        let compiled = node.dir.path().join("images/compiled");
        let left: Vec<_> = std::fs::read_dir(compiled).unwrap().flat_map(|d| std::fs::read_dir(d.unwrap().path()).unwrap()).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_in_could_run() {
    let mut options = options();
    options.builtin = crate::builtin::all();
    let node = node(options);
    for (name, entry) in [("nginx", Entry::HttpP2), ("busybox", Entry::CliP2), ("pause", Entry::CliP2)] {
        let image = node.pull(&format!("wharf.local/builtin/{name}")).await.unwrap();
        assert_eq!(image.main.as_ref().unwrap().entries, [entry]);
    }
}

/// A registry that is not ours, for as long as it is held.
struct DockerRegistry {
    child: std::process::Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl DockerRegistry {
    /// `None`, and a word about it, where it is not installed.
    async fn start() -> Option<DockerRegistry> {
        let dir = tempfile::tempdir().unwrap();
        // A port that was free a moment ago: it takes none of its own choice.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let config = dir.path().join("config.yml");
        let root = dir.path().join("data");
        std::fs::write(&config, format!("version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n", root.display())).unwrap();
        let silent = std::process::Stdio::null;
        let child = std::process::Command::new("docker-registry").arg("serve").arg(&config).stdout(silent()).stderr(silent()).spawn();
        let Ok(child) = child else {
            eprintln!("docker-registry is not installed: passed over");
            return None;
        };
        let registry = DockerRegistry { child, address, _dir: dir };
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(&registry.address).await.is_ok() {
                return Some(registry);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("docker-registry does not answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_registry_keeps_what_is_pushed() {
    let Some(registry) = DockerRegistry::start().await else { return };
    let node = node(options());
    let reference = format!("{}/team/hello:v1", registry.address);
    let hello = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/hello/hello.wasm");
    let digest = push(&hello, &reference, None, Transport::default()).await.unwrap();
    let image = node.pull(&reference).await.unwrap();
    assert_eq!((&image.digest, &image.main.as_ref().unwrap().entries), (&digest, &vec![Entry::HttpP2]));
    let by_digest = node.pull(&format!("{}/team/hello@{digest}", registry.address)).await.unwrap();
    assert_eq!(by_digest.digest, digest);
    assert!(matches!(node.pull(&format!("{}/team/none:v1", registry.address)).await.unwrap_err(), ImageError::NotFound { .. }));
}
