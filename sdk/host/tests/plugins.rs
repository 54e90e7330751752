//! Plugins as their callers meet them: the test guests, which do what they are told, and the examples.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use wharf_engine::{BoxFuture, Engine, EngineConfig};
use wharf_plugin_host::admission::{GroupVersionKind, GroupVersionResource, Operation, Phase, Request, Response, UserInfo};
use wharf_plugin_host::host::{FetchError, Fetched, ImageRequest, Source};
use wharf_plugin_host::ingress::{Decision, RequestHead};
use wharf_plugin_host::{CallError, LoadError, Plugin, PluginHost, Settings, Wanted, World, harness};

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(EngineConfig { max_instances: Some(64), ..EngineConfig::default() }).unwrap())
}

fn guest(path: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

const ADMISSION: &str = "tests/guests/plugin-admission/plugin-admission.wasm";
const INGRESS: &str = "tests/guests/plugin-ingress/plugin-ingress.wasm";

/// Compiled once for all tests; loaded with other settings each time.
fn compiled(path: &'static str) -> std::path::PathBuf {
    static DONE: OnceLock<(tempfile::TempDir, BTreeMap<&'static str, std::path::PathBuf>)> = OnceLock::new();
    let (_, all) = DONE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let compile = |path: &'static str, name: &str| {
            let file = folder.path().join(name);
            std::fs::write(&file, wharf_engine::compile(wharf_engine::Flavor::P2, &guest(path)).unwrap()).unwrap();
            (path, file)
        };
        let all = BTreeMap::from([compile(ADMISSION, "admission"), compile(INGRESS, "ingress")]);
        (folder, all)
    });
    all[path].clone()
}

fn plugin(change: impl FnOnce(&mut Settings)) -> Plugin {
    let mut settings = Settings::new("test", World::Admission);
    change(&mut settings);
    Plugin::load(engine(), &compiled(ADMISSION), settings).unwrap()
}

fn request(what: &str) -> Request {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "annotations": {"test/do": what}}});
    Request {
        uid: "u".into(),
        kind: GroupVersionKind { group: String::new(), version: "v1".into(), kind: "ConfigMap".into() },
        resource: GroupVersionResource { group: String::new(), version: "v1".into(), resource: "configmaps".into() },
        subresource: String::new(),
        name: "m".into(),
        namespace: "default".into(),
        operation: Operation::Create,
        user: UserInfo { username: "jane".into(), uid: String::new(), groups: vec!["staff".into()], extra: Vec::new() },
        object: Some(object.to_string()),
        old_object: None,
        options: None,
        dry_run: false,
    }
}

async fn ask(plugin: &Plugin, phase: Phase, what: &str) -> Result<Response, CallError> {
    plugin.review(phase, request(what)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_decides_changes_and_warns() {
    let plugin = plugin(|settings| settings.config = vec![("label".into(), "blue".into())]);
    assert!(ask(&plugin, Phase::Validate, "").await.unwrap().allowed);
    let denied = ask(&plugin, Phase::Validate, "deny not today").await.unwrap();
    let status = denied.status.unwrap();
    assert_eq!((denied.allowed, status.code, status.message.as_deref()), (false, Some(403), Some("not today")));
    let patch: Value = serde_json::from_str(&ask(&plugin, Phase::Mutate, "label").await.unwrap().patch.unwrap()).unwrap();
    assert_eq!(patch[0]["value"]["told"], "blue");
    let told = &ask(&plugin, Phase::Validate, "tell").await.unwrap().warnings[0];
    let told: Value = serde_json::from_str(told).unwrap();
    assert_eq!((&told["user"], &told["groups"][0], &told["object"], &told["old"]), (&"jane".into(), &"staff".into(), &true.into(), &false.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_computing_is_granted() {
    let seen = |plugin: Plugin| async move { ask(&plugin, Phase::Validate, "look-around").await.unwrap().warnings };
    assert_eq!(seen(plugin(|settings| settings.config = vec![("a".into(), "b".into())])).await, ["clock"]);
    let more = plugin(|settings| {
        settings.config = vec![("a".into(), "b".into())];
        settings.grants.environment = true;
        settings.grants.logging = true;
    });
    assert_eq!(seen(more).await, ["environment,clock"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_misbehaves_is_an_error_and_others_go_on() {
    let plugin = plugin(|settings| {
        settings.timeout = Duration::from_millis(300);
        settings.memory = 8 << 20;
    });
    let began = Instant::now();
    let looping: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn({
                let plugin = plugin.clone();
                async move { ask(&plugin, Phase::Validate, "loop").await }
            })
        })
        .collect();
    for looping in looping {
        assert_eq!(looping.await.unwrap().unwrap_err(), CallError::Timeout(Duration::from_millis(300)));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "it was stopped");
    let CallError::Trap(words) = ask(&plugin, Phase::Mutate, "trap").await.unwrap_err() else { panic!("it trapped") };
    assert!(words.contains("unreachable"), "{words}");
    assert_eq!(ask(&plugin, Phase::Validate, "allocate").await.unwrap_err(), CallError::Memory(8 << 20));
    for (phase, what) in [(Phase::Validate, "deny-as-200 x"), (Phase::Validate, "patch-anyway")] {
        assert!(matches!(ask(&plugin, phase, what).await.unwrap_err(), CallError::Nonsense(_)), "{what}");
    }
    assert!(ask(&plugin, Phase::Validate, "").await.unwrap().allowed, "the next call is a fresh instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_another_world_is_told_what_it_is() {
    let error = Plugin::load(engine(), &compiled(ADMISSION), Settings::new("x", World::Ingress)).err().unwrap();
    assert!(matches!(error, LoadError::World { .. }));
    let words = error.to_string();
    assert!(words.contains("wharf:plugin/middleware@0.1.0") && words.contains("it exports wharf:plugin/admission-review@0.1.0"), "{words}");
    let hello = Plugin::from_source(engine(), &guest("examples/hello/hello.wasm"), Settings::new("x", World::Admission)).err().unwrap();
    assert!(hello.to_string().contains("wasi:http/incoming-handler"), "{hello}");
    let broken = Plugin::from_source(engine(), b"nonsense", Settings::new("x", World::Admission)).err().unwrap();
    assert_eq!(broken.reason(), "LoadFailed");
}

fn head<'a>(headers: &'a HeaderMap) -> RequestHead<'a> {
    RequestHead { method: "GET", scheme: "https", authority: "a.test", path_with_query: "/x?y", headers, client: "192.0.2.9", ingress: "default/web" }
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_middleware_changes_answers_and_fails() {
    let mut settings = Settings::new("test", World::Ingress);
    settings.config = vec![("told".into(), "so".into())];
    settings.timeout = Duration::from_millis(300);
    let plugin = Plugin::load(engine(), &compiled(INGRESS), settings).unwrap();
    let ask = async |what: &'static str| plugin.on_request(head(&headers(&[("x-do", what), ("x-secret", "1")]))).await;
    let Decision::Proceed { changes, context: None } = ask("").await.unwrap() else { panic!("it goes on") };
    let mut changed = headers(&[("x-secret", "1")]);
    changes.apply(&mut changed);
    assert_eq!(changed, headers(&[("x-told", "so")]));
    let Decision::Answer { status, body, .. } = ask("answer").await.unwrap() else { panic!("it answers") };
    assert_eq!((status, &*body), (StatusCode::IM_A_TEAPOT, b"GET a.test/x?y\n".as_slice()));
    let Decision::Proceed { context: Some(context), .. } = ask("see").await.unwrap() else { panic!("it wants to see the response") };
    let changes = plugin.on_response(context, StatusCode::OK, &headers(&[("x-public", "1")])).await.unwrap();
    let mut changed = headers(&[("x-public", "1")]);
    changes.apply(&mut changed);
    assert_eq!(changed, headers(&[("x-context", "default/web"), ("x-status", "200")]));
    assert!(matches!(ask("trap").await.unwrap_err(), CallError::Trap(_)));
    assert!(matches!(ask("loop").await.unwrap_err(), CallError::Timeout(_)));
    assert!(matches!(ask("nonsense").await.unwrap_err(), CallError::Nonsense(_)));
}

/// Gives the test guest, once it may.
struct Gated(Arc<Semaphore>);

impl Source for Gated {
    fn fetch(&self, image: &ImageRequest) -> BoxFuture<'static, Result<Fetched, FetchError>> {
        let (gate, image) = (self.0.clone(), image.image.clone());
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            if image == "none" {
                return Err(FetchError { reason: "ErrImagePull".into(), message: "there is no such image".into() });
            }
            Ok(Fetched { compiled: compiled(ADMISSION), image_id: image.clone(), digest: image, hold: Arc::new(()) })
        })
    }
}

fn wanted(image: &str, what: &str) -> BTreeMap<String, Wanted> {
    let mut settings = Settings::new("p", World::Admission);
    settings.config = vec![("do".into(), what.into())];
    let image = ImageRequest { image: image.into(), pull_policy: "IfNotPresent".into(), credentials: Vec::new() };
    BTreeMap::from([("p".to_owned(), Wanted { generation: 1, image, settings: Ok(settings) })])
}

async fn until(host: &PluginHost, done: impl Fn(&PluginHost) -> bool) {
    let mut changes = host.changes();
    while !done(host) {
        tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("a change").unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_without_a_dropped_request() {
    let gate = Arc::new(Semaphore::new(1));
    let host = PluginHost::new(|| Ok(engine().clone()), Arc::new(Gated(gate.clone())));
    let warned = |response: Response| response.warnings[0].clone();
    let ask = || {
        let host = host.clone();
        async move { host.review("p", Phase::Validate, Request { object: Some("{}".into()), ..request("") }).await }
    };
    assert!(matches!(ask().await.unwrap_err(), CallError::NotReady(_)), "there is no plugin yet");
    host.set(wanted("v1", "warn one"));
    assert_eq!(warned(ask().await.unwrap()), "validate one", "the first call waits for it");
    host.set(wanted("v2", "warn two"));
    let serving = |host: &PluginHost| host.reports()["p"].serving.clone().map(|(image, _)| image);
    assert_eq!((serving(&host).as_deref(), host.reports()["p"].current.is_none()), (Some("v1"), true), "the old one serves until the new one is there");
    let calls: Vec<_> = (0..64).map(|_| tokio::spawn(ask())).collect();
    gate.add_permits(1);
    let mut seen: Vec<String> = Vec::new();
    for call in calls {
        seen.push(warned(call.await.unwrap().unwrap()));
    }
    until(&host, |host| serving(host).as_deref() == Some("v2")).await;
    assert_eq!(warned(ask().await.unwrap()), "validate two");
    assert!(seen.iter().all(|word| word == "validate one" || word == "validate two"), "{seen:?}");

    // Who answers each change with what there should be does not go round for ever.
    let changes = host.changes();
    let before = *changes.borrow();
    for _ in 0..10 {
        host.set(wanted("v2", "warn two"));
    }
    assert!(*changes.borrow() <= before + 1, "nothing is new; at most what was loaded is told of only now");

    // One that cannot be had changes nothing but what is said of it.
    host.set(wanted("none", "warn three"));
    gate.add_permits(1);
    until(&host, |host| matches!(host.reports()["p"].current, Some(Err(_)))).await;
    assert_eq!((serving(&host).as_deref(), warned(ask().await.unwrap())), (Some("v2"), "validate two".to_owned()));
    assert!(host.metrics().text().contains(r#"wharf_plugin_failures_total{plugin="p",hook="validate",reason="not_ready"} 1"#));
    let changes = host.changes();
    host.set(BTreeMap::new());
    assert!(changes.has_changed().unwrap(), "it is gone");
    assert!(matches!(ask().await.unwrap_err(), CallError::NotReady(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_do_what_they_say() {
    let policy = guest("examples/plugins/require-digest/require-digest.wasm");
    let digest = format!("registry.example.com/app@sha256:{}", "0".repeat(64));
    let review = |images: &[&str]| {
        let containers: Vec<Value> = images.iter().map(|image| json!({"name": "c", "image": image})).collect();
        let object = json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": containers}}}});
        json!({"request": {"uid": "1", "operation": "CREATE", "object": object}})
    };
    let settings = || Settings { config: vec![("allow".into(), "trusted.example.com/".into())], ..Settings::new("require-digest", World::Admission) };
    let good = harness::run(&policy, settings(), &review(&[&digest, "trusted.example.com/x:1"])).await.unwrap();
    assert_eq!(good["response"], json!({"uid": "1", "allowed": true}));
    let bad = harness::run(&policy, settings(), &review(&[&digest, "nginx:1.27"])).await.unwrap();
    assert_eq!(bad["response"]["status"]["message"], "the image nginx:1.27 is not named by its digest (…@sha256:…)");

    let middleware = guest("examples/plugins/api-key/api-key.wasm");
    let settings = || Settings { config: vec![("keys".into(), "alice one\nbob two\n".into())], ..Settings::new("api-key", World::Ingress) };
    let asked = async |headers: Value| harness::run(&middleware, settings(), &json!({"headers": headers})).await.unwrap();
    assert_eq!(asked(json!({})).await["answer"]["status"], 401);
    assert_eq!(asked(json!({"x-api-key": "three"})).await["answer"]["status"], 403);
    let proceeds = asked(json!({"authorization": "Bearer two"})).await;
    assert_eq!(proceeds["proceed"]["set"], json!({"x-api-user": "bob"}));
    assert_eq!(proceeds["response"]["set"], json!({"cache-control": "private"}));
}
