//! CustomResourceDefinitions and their objects over the in-process client: what kubectl and helm rely on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_server::pki::Pki;
use wharf_server::{ApiServer, Config, Identity, NoNodes};
use wharf_store::{Options, RedbStore};

struct World {
    client: kube::Client,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(&dir.path().join("pki"), &["10.96.0.1".into()]).unwrap();
    let store = Arc::new(RedbStore::open(&dir.path().join("store.redb"), Options::default()).unwrap());
    let config = Config::new(store, pki, Arc::new(NoNodes), "10.88.0.1:6443".parse().unwrap());
    let server = ApiServer::new(config).await.unwrap();
    World { client: server.client(Identity::admin()), _dir: dir }
}

impl World {
    async fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, (u16, String)> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(path).header("content-type", kind).body(bytes).unwrap();
        self.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) => (status.code, status.message.clone()),
            other => (0, other.to_string()),
        })
    }

    async fn get(&self, path: &str) -> Result<Value, (u16, String)> {
        self.call("GET", path, &Value::Null).await
    }

    /// Makes a definition and waits until it is established.
    async fn define(&self, definition: &Value) {
        self.call("POST", DEFINITIONS, definition).await.unwrap();
        let path = format!("{DEFINITIONS}/{}", definition["metadata"]["name"].as_str().unwrap());
        for _ in 0..500 {
            let found = self.get(&path).await.unwrap();
            if found["status"]["conditions"].as_array().is_some_and(|c| c.iter().any(|c| c["type"] == "Established" && c["status"] == "True")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never established");
    }
}

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["w"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size", "labelSelectorPath": ".status.selector"}},
                "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                "selectableFields": [{"jsonPath": ".spec.colour"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "size": {"type": "integer", "minimum": 1, "default": 3}, "colour": {"type": "string", "default": "red"},
                    }},
                    "status": {"type": "object", "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}}},
                }}},
            }],
        },
    })
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_comes_serves_and_goes_with_its_objects() {
    let world = world().await;
    assert_eq!(world.get(WIDGETS).await.unwrap_err().0, 404);
    world.define(&definition()).await;

    let made = world.call("POST", WIDGETS, &widget("a", &json!({"extra": 1}))).await.unwrap();
    assert_eq!((&made["spec"], &made["metadata"]["generation"]), (&json!({"colour": "red", "size": 3}), &json!(1)));
    let (code, words) = world.call("POST", WIDGETS, &widget("b", &json!({"size": 0}))).await.unwrap_err();
    assert_eq!(code, 422);
    assert_eq!(words, r#"Widget.example.com "b" is invalid: spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"#);
    world.call("POST", WIDGETS, &widget("blue", &json!({"colour": "blue"}))).await.unwrap();

    let patched = world.call("PATCH", &format!("{WIDGETS}/a"), &json!({"spec": {"size": 5}, "status": {"size": 9}})).await.unwrap();
    assert_eq!((&patched["metadata"]["generation"], patched.get("status")), (&json!(2), None));
    let told = world.call("PATCH", &format!("{WIDGETS}/a/status"), &json!({"spec": {"size": 7}, "status": {"size": 4, "selector": "a=b"}})).await.unwrap();
    assert_eq!((&told["spec"]["size"], &told["status"]["size"]), (&json!(5), &json!(4)));
    let scale = world.call("PATCH", &format!("{WIDGETS}/a/scale"), &json!({"spec": {"replicas": 6}})).await.unwrap();
    assert_eq!((&scale["spec"], &scale["status"]), (&json!({"replicas": 6}), &json!({"replicas": 4, "selector": "a=b"})));

    let list = world.get(&format!("{WIDGETS}?fieldSelector=spec.colour%3Dblue")).await.unwrap();
    assert_eq!(list["kind"], "WidgetList");
    assert_eq!(
        list["items"].as_array().map(|i| i.iter().map(|i| (i["kind"].clone(), i["metadata"]["name"].clone())).collect::<Vec<_>>()),
        Some(vec![(json!("Widget"), json!("blue"))])
    );
    assert_eq!(world.get(&format!("{WIDGETS}?fieldSelector=spec.size%3D1")).await.unwrap_err().1, "field label not supported: spec.size");

    let resources = world.get("/apis/example.com/v1").await.unwrap();
    let names: Vec<&str> = resources["resources"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert_eq!(names, ["widgets", "widgets/scale", "widgets/status"]);
    assert!(world.get("/openapi/v3").await.unwrap()["paths"].get("apis/example.com/v1").is_some());
    let document = world.get("/openapi/v3/apis/example.com/v1").await.unwrap();
    assert!(document["components"]["schemas"]["com.example.v1.Widget"]["properties"]["spec"].is_object());

    world.call("PATCH", &format!("{WIDGETS}/blue"), &json!({"metadata": {"finalizers": ["example.com/hold"]}})).await.unwrap();
    let going = world.call("DELETE", &format!("{DEFINITIONS}/widgets.example.com"), &Value::Null).await.unwrap();
    assert_eq!(going["metadata"]["finalizers"], json!(["customresourcecleanup.apiextensions.k8s.io"]));
    let gone = |path: String| {
        let world = &world;
        async move {
            for _ in 0..500 {
                if world.get(&path).await.is_err_and(|(code, _)| code == 404) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!("{path} is still there");
        }
    };
    gone(format!("{WIDGETS}/a")).await;
    let refused = world.call("POST", WIDGETS, &widget("late", &json!({}))).await.unwrap_err();
    assert_eq!(refused, (405, "create not allowed while custom resource definition is terminating".to_owned()));
    world.call("PATCH", &format!("{WIDGETS}/blue"), &json!({"metadata": {"finalizers": null}})).await.unwrap();
    gone(format!("{DEFINITIONS}/widgets.example.com")).await;
    gone("/apis/example.com/v1".to_owned()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_one_object() {
    let world = world().await;
    let mut definition = definition();
    let mut old = definition["spec"]["versions"][0].clone();
    old["name"] = "v1beta1".into();
    old["storage"] = false.into();
    old["deprecated"] = true.into();
    definition["spec"]["versions"].as_array_mut().unwrap().push(old);
    world.define(&definition).await;
    let beta = WIDGETS.replace("/v1/", "/v1beta1/");
    let mut made = widget("a", &json!({}));
    made["apiVersion"] = "example.com/v1beta1".into();
    assert_eq!(world.call("POST", &beta, &made).await.unwrap()["apiVersion"], "example.com/v1beta1");
    assert_eq!(world.get(&format!("{WIDGETS}/a")).await.unwrap()["apiVersion"], "example.com/v1");
    assert_eq!(world.get(&beta).await.unwrap()["items"][0]["apiVersion"], "example.com/v1beta1");
    assert_eq!(world.get("/apis/example.com").await.unwrap()["preferredVersion"]["version"], "v1");
    // A schema that is new fills in what old objects lack.
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let mut versions = world.get(&path).await.unwrap()["spec"]["versions"].clone();
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["shape"] = json!({"type": "string", "default": "round"});
    world.call("PATCH", &path, &json!({"spec": {"versions": versions}})).await.unwrap();
    for _ in 0..500 {
        if world.get(WIDGETS).await.unwrap()["items"][0]["spec"]["shape"] == "round" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the new default was never seen");
}
