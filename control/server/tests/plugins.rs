//! Admission plugins as a client meets them; what runs them is the test's own.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;
use wharf_api::kinds::plugin::Plugin;
use wharf_server::pki::Pki;
use wharf_server::{ApiServer, Body, Config, Identity, NoNodes, PluginError, PluginPhase, PluginReview, PluginRunner, PluginVerdict};
use wharf_store::{Options, RedbStore};

/// Does what a plugin's name says, and notes what it was asked.
#[derive(Default)]
struct Named(Mutex<Vec<(String, PluginPhase, PluginReview)>>);

impl PluginRunner for Named {
    fn review<'a>(&'a self, plugin: &'a str, phase: PluginPhase, review: PluginReview) -> BoxFuture<'a, Result<PluginVerdict, PluginError>> {
        self.0.lock().push((plugin.to_owned(), phase, review));
        let allow = PluginVerdict { allowed: true, ..PluginVerdict::default() };
        let patch = |operations: Value| PluginVerdict { patch: Some(operations.to_string()), ..allow.clone() };
        let (mutate, word) = (phase == PluginPhase::Mutate, plugin.split('.').next().unwrap_or_default());
        let verdict = match word {
            "broken" => Err(PluginError("it trapped".to_owned())),
            "deny" if !mutate => Ok(PluginVerdict { allowed: false, code: Some(403), reason: Some("Forbidden".into()), message: Some("no".into()), ..allow }),
            "first" if mutate => Ok(patch(json!([{"op": "add", "path": "/data", "value": {"order": "first"}}]))),
            "second" if mutate => Ok(patch(json!([{"op": "replace", "path": "/data/order", "value": "first, second"}]))),
            "rename" if mutate => Ok(patch(json!([{"op": "replace", "path": "/metadata/name", "value": "x"}]))),
            "unknown" if mutate => Ok(patch(json!([{"op": "add", "path": "/nonsense", "value": 1}]))),
            "garbage" if mutate => Ok(PluginVerdict { patch: Some("{".to_owned()), ..allow }),
            "warn" => Ok(PluginVerdict { warnings: vec![format!("{phase:?}")], ..allow }),
            _ => Ok(allow),
        };
        Box::pin(async move { verdict })
    }

    fn metrics(&self) -> String {
        "wharf_plugin_test 1\n".to_owned()
    }
}

struct World {
    server: ApiServer,
    client: kube::Client,
    asked: Arc<Named>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::open(&dir.path().join("pki"), &["10.96.0.1".into()]).unwrap();
        let store = Arc::new(RedbStore::open(&dir.path().join("store.redb"), Options::default()).unwrap());
        let asked = Arc::new(Named::default());
        let mut config = Config::new(store, pki, Arc::new(NoNodes), "10.88.0.1:6443".parse().unwrap());
        config.plugins = asked.clone();
        let server = ApiServer::new(config).await.unwrap();
        World { client: server.client(Identity::admin()), server, asked, _dir: dir }
    }

    /// A plugin about all ConfigMaps, with more in its specification.
    async fn plugin(&self, name: &str, more: Value) {
        let rule = json!({"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
        let mut spec = json!({"image": "wharf.local/x", "world": "admission", "match": {"rules": [rule]}});
        for (field, value) in more.as_object().into_iter().flatten() {
            if let (Some(wanted), Some(given)) = (spec[field].as_object_mut(), value.as_object()) {
                wanted.extend(given.clone());
            } else {
                spec[field] = value.clone();
            }
        }
        let plugin = json!({"apiVersion": "plugins.wharf.dev/v1", "kind": "Plugin", "metadata": {"name": name}, "spec": spec});
        Api::<Plugin>::all(self.client.clone()).create(&PostParams::default(), &serde_json::from_value(plugin).unwrap()).await.unwrap();
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), "default")
    }

    async fn create(&self, name: &str) -> Result<ConfigMap, Box<Status>> {
        self.maps().create(&PostParams::default(), &map(name)).await.map_err(status)
    }

    fn names(&self) -> Vec<String> {
        self.asked.0.lock().drain(..).map(|(name, phase, _)| format!("{name} {phase:?}")).collect()
    }
}

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"a": "b"}}})).unwrap()
}

fn status(error: kube::Error) -> Box<Status> {
    match error {
        kube::Error::Api(status) => status,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_asked_in_order_and_see_what_the_others_made() {
    let world = World::new().await;
    world.plugin("second.b", json!({"order": 1})).await;
    world.plugin("first.z", json!({})).await;
    world.plugin("third.a", json!({"order": 1})).await;
    world.plugin("away", json!({"world": "ingress", "match": null})).await;
    let created = world.create("m").await.unwrap();
    assert_eq!(created.data.unwrap()["order"], "first, second");
    let asked = world.asked.0.lock().clone();
    let object = asked.last().unwrap().2.object.clone().unwrap();
    assert!(object.contains(r#""order":"first, second""#) && object.contains(r#""uid""#), "{object}");
    let review = &asked[0].2;
    assert_eq!((review.operation, &*review.name, &*review.namespace), ("CREATE", "m", "default"));
    assert_eq!((&review.kind, &review.resource), (&["", "v1", "ConfigMap"].map(str::to_owned), &["", "v1", "configmaps"].map(str::to_owned)));
    assert_eq!((&*review.user.user, review.old_object.is_none(), review.dry_run), ("kubernetes-admin", true, false));
    assert!(review.options.contains(r#""kind":"CreateOptions""#));
    assert_eq!(world.names(), ["first.z Mutate", "second.b Mutate", "third.a Mutate", "first.z Validate", "second.b Validate", "third.a Validate"]);
    world.maps().delete("m", &DeleteParams::default()).await.unwrap();
    assert_eq!(world.names(), ["first.z Validate", "second.b Validate", "third.a Validate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reads_like_a_webhooks() {
    let world = World::new().await;
    world.plugin("deny.all", json!({})).await;
    let error = world.create("m").await.unwrap_err();
    assert_eq!((error.code, &*error.reason, &*error.message), (403, "Forbidden", r#"admission plugin "deny.all" denied the request: no"#));
    // The way out: no plugin is asked about plugins.
    let plugins = Api::<Plugin>::all(world.client.clone());
    plugins.delete("deny.all", &DeleteParams::default()).await.unwrap();
    world.create("m").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_may_be_refused_but_plugins() {
    let world = World::new().await;
    let rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]});
    world.plugin("deny.all", json!({"match": {"rules": [rule]}})).await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let error = status(namespaces.patch("default", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}}))).await.unwrap_err());
    assert_eq!(error.code, 403);
    let plugins = Api::<Plugin>::all(world.client.clone());
    plugins.patch("deny.all", &PatchParams::default(), &Patch::Merge(json!({"spec": {"failurePolicy": "Ignore"}}))).await.unwrap();
    plugins.patch_status("deny.all", &PatchParams::default(), &Patch::Merge(json!({"status": {"digest": "x"}}))).await.unwrap();
    plugins.delete("deny.all", &DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_for_its_policy() {
    let world = World::new().await;
    for name in ["broken", "rename", "unknown", "garbage"] {
        let plugins = Api::<Plugin>::all(world.client.clone());
        world.plugin(name, json!({"failurePolicy": "Ignore"})).await;
        world.create(name).await.unwrap();
        plugins.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": {"failurePolicy": "Fail"}}))).await.unwrap();
        let error = world.create("other").await.unwrap_err();
        assert_eq!((error.code, &*error.reason), (500, "InternalError"), "{error:?}");
        let words = format!("Internal error occurred: failed calling plugin {name:?}: ");
        assert!(error.message.starts_with(&words), "{}", error.message);
        plugins.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn selectors_choose_objects_and_namespaces() {
    let world = World::new().await;
    world.plugin("objects", json!({"match": {"objectSelector": {"matchLabels": {"a": "c"}}}})).await;
    world.plugin("namespaces", json!({"match": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}})).await;
    world.create("m").await.unwrap();
    assert_eq!(world.names(), Vec::<String>::new());
    world.maps().patch("m", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"a": "c"}}}))).await.unwrap();
    assert_eq!(world.names(), ["objects Mutate", "objects Validate"]);
    // One of the two suffices: the old object still has the label.
    world.maps().patch("m", &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"a": null}}}))).await.unwrap();
    assert_eq!(world.names(), ["objects Mutate", "objects Validate"]);
    Api::<ConfigMap>::namespaced(world.client.clone(), "kube-system").create(&PostParams::default(), &map("m")).await.unwrap();
    assert_eq!(world.names(), ["namespaces Mutate", "namespaces Validate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_reach_the_client_also_with_a_refusal() {
    let world = World::new().await;
    world.plugin("warn", json!({})).await;
    world.plugin("deny", json!({"order": 1})).await;
    let body = Body::from(serde_json::to_vec(&map("m")).unwrap());
    let request = http::Request::post("/api/v1/namespaces/default/configmaps?dryRun=All").header("content-type", "application/json");
    let mut request = request.body(body).unwrap();
    request.extensions_mut().insert(Arc::new(Identity::admin()));
    let response = world.server.service().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 403);
    let warnings: Vec<&str> = response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap()).collect();
    assert_eq!(warnings, [r#"299 - "Mutate""#, r#"299 - "Validate""#]);
    assert!(world.asked.0.lock().iter().all(|(_, _, review)| review.dry_run && review.options.contains("dryRun")));
}
