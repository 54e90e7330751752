//! What users, nodes and strangers try and must not get.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::{Value, json};
use wharf_server::pki::Pki;
use wharf_server::{ApiServer, Config, Identity, NoNodes};
use wharf_store::{Options, RedbStore};

struct World {
    server: ApiServer,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(&dir.path().join("pki"), &["10.96.0.1".into()]).unwrap();
    let store = Arc::new(RedbStore::open(&dir.path().join("store.redb"), Options::default()).unwrap());
    let config = Config::new(store, pki, Arc::new(NoNodes), "10.88.0.1:6443".parse().unwrap());
    World { server: ApiServer::new(config).await.unwrap(), _dir: dir }
}

fn object<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn status(error: kube::Error) -> Box<Status> {
    match error {
        kube::Error::Api(status) => status,
        other => panic!("{other}"),
    }
}

/// The code and body of any request.
async fn ask(client: &kube::Client, method: &str, uri: &str, content_type: &str, body: impl Into<Vec<u8>>) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(uri).header("content-type", content_type).body(body.into()).unwrap();
    match client.request::<Value>(request).await {
        Ok(value) => (200, value),
        Err(kube::Error::Api(status)) => (status.code, json!({"message": status.message})),
        Err(other) => panic!("{method} {uri}: {other}"),
    }
}

impl World {
    fn admin(&self) -> kube::Client {
        self.server.client(Identity::admin())
    }

    /// A user who may do what the rules say in `default`, and nothing else.
    async fn user(&self, name: &str, rules: Value) -> kube::Client {
        let roles: Api<Role> = Api::namespaced(self.admin(), "default");
        roles.create(&PostParams::default(), &object(json!({"metadata": {"name": name}, "rules": rules}))).await.unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(self.admin(), "default");
        let binding = json!({
            "metadata": {"name": name}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": name}],
        });
        bindings.create(&PostParams::default(), &object(binding)).await.unwrap();
        self.server.client(Identity::new(name, &[]))
    }

    async fn account(&self, namespace: &str, name: &str) {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        accounts.create(&PostParams::default(), &object(json!({"metadata": {"name": name}}))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_in_a_namespace_reach_no_other_namespace_object() {
    let world = world().await;
    let owner = world.user("owner", json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}])).await;
    let namespaces: Api<Namespace> = Api::all(world.admin());
    namespaces.create(&PostParams::default(), &object(json!({"metadata": {"name": "victim"}}))).await.unwrap();
    for (method, uri) in [
        ("GET", "/api/v1/namespaces/default/namespaces"),
        ("GET", "/api/v1/namespaces/default/namespaces/victim"),
        ("DELETE", "/api/v1/namespaces/default/namespaces/victim"),
        ("PUT", "/api/v1/namespaces/default/namespaces/victim/finalize"),
        ("POST", "/api/v1/namespaces/default/namespaces"),
        ("POST", "/apis/authentication.k8s.io/v1/namespaces/default/tokenreviews"),
        ("POST", "/apis/authorization.k8s.io/v1/namespaces/default/subjectaccessreviews"),
        ("GET", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles/admin"),
    ] {
        let (code, body) = ask(&owner, method, uri, "application/json", r#"{"metadata":{"name":"victim"}}"#).await;
        assert_eq!(code, 404, "{method} {uri}: {body}");
    }
    assert!(namespaces.get("victim").await.unwrap().metadata.deletion_timestamp.is_none());
    assert_eq!(ask(&owner, "GET", "/api/v1/namespaces/default", "application/json", "").await.0, 200, "its own it may read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_selector_names_nothing_for_a_create() {
    let world = world().await;
    let one = world.user("one", json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["*"]}])).await;
    for (method, uri) in [
        ("POST", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dmine"),
        ("DELETE", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dmine"),
    ] {
        assert_eq!(ask(&one, method, uri, "application/json", r#"{"metadata":{"name":"other"}}"#).await.0, 403, "{method}");
    }
    assert_eq!(ask(&one, "GET", "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dmine", "application/json", "").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_makes_no_way_to_secrets() {
    let world = world().await;
    let secrets: Api<Secret> = Api::namespaced(world.admin(), "kube-system");
    secrets.create(&PostParams::default(), &object(json!({"metadata": {"name": "crown"}}))).await.unwrap();
    let node = world.server.client(Identity::node("n"));
    let pods: Api<Pod> = Api::namespaced(node.clone(), "kube-system");
    let mirror = |extra: Value| -> Pod {
        let mut pod = json!({
            "metadata": {"name": "static-n", "annotations": {"kubernetes.io/config.mirror": "x"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]},
        });
        for (key, value) in extra.as_object().unwrap() {
            pod["spec"][key] = value.clone();
        }
        object(pod)
    };
    for (what, extra) in [
        ("secrets", json!({"volumes": [{"name": "v", "secret": {"secretName": "crown"}}]})),
        ("secrets", json!({"imagePullSecrets": [{"name": "crown"}]})),
        ("secrets", json!({"containers": [{"name": "c", "image": "x", "envFrom": [{"secretRef": {"name": "crown"}}]}]})),
        ("configmaps", json!({"volumes": [{"name": "v", "configMap": {"name": "kube-root-ca.crt"}}]})),
        ("persistentvolumeclaims", json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "p"}}]})),
        ("service account", json!({"serviceAccountName": "default"})),
    ] {
        let refused = status(pods.create(&PostParams::default(), &mirror(extra.clone())).await.unwrap_err());
        assert!(refused.code == 403 && refused.message.contains(what), "{extra}: {}", refused.message);
    }
    pods.create(&PostParams::default(), &mirror(json!({}))).await.unwrap();
    assert!(Api::<Secret>::namespaced(node.clone(), "kube-system").get("crown").await.is_err());
    let account = Api::<ServiceAccount>::namespaced(node, "kube-system").get("default").await;
    assert_eq!(status(account.unwrap_err()).code, 403, "a Pod without an account refers to none");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_sees_and_evicts_no_pod_of_another() {
    let world = world().await;
    world.account("default", "default").await;
    let pods: Api<Pod> = Api::namespaced(world.admin(), "default");
    let pod = json!({"metadata": {"name": "theirs", "labels": {"a": "1"}}, "spec": {"nodeName": "m", "containers": [{"name": "c", "image": "x"}]}});
    pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    let node = world.server.client(Identity::node("n"));
    let named = ListParams::default().fields("metadata.name=theirs");
    assert_eq!(status(Api::<Pod>::all(node.clone()).list(&named).await.unwrap_err()).code, 403);
    let future = ask(&node, "GET", "/api/v1/namespaces/default/pods/not-yet?watch=1&timeoutSeconds=1", "application/json", "").await;
    assert_eq!(future.0, 403, "a watch for what may come to another node");
    assert_eq!(ask(&node, "GET", "/api/v1/namespaces/default/pods/gone", "application/json", "").await.0, 404);
    let eviction = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"theirs"}}"#;
    let refused = ask(&node, "POST", "/api/v1/namespaces/default/pods/theirs/eviction", "application/json", eviction).await;
    assert_eq!(refused.0, 403, "{}", refused.1);
    // Of its own Pod it says how it is, not which labels it has.
    let owner = world.server.client(Identity::node("m"));
    let labels = Patch::Merge(json!({"metadata": {"labels": {"a": "2"}}, "status": {"message": "m"}}));
    let refused = Api::<Pod>::namespaced(owner.clone(), "default").patch_status("theirs", &PatchParams::default(), &labels).await;
    assert_eq!(status(refused.unwrap_err()).code, 403);
    let message = Patch::Merge(json!({"status": {"message": "m"}}));
    Api::<Pod>::namespaced(owner, "default").patch_status("theirs", &PatchParams::default(), &message).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_requests_are_of_who_made_them_and_approvals_are_not_certificates() {
    let world = world().await;
    let jane = Identity::new("jane", &["friends"]);
    let cluster = json!([{"apiGroups": ["certificates.k8s.io"], "resources": ["*"], "verbs": ["*"]}]);
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(world.admin());
    roles.create(&PostParams::default(), &object(json!({"metadata": {"name": "csr"}, "rules": cluster}))).await.unwrap();
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(world.admin());
    let binding = json!({
        "metadata": {"name": "csr"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "csr"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "friends"}],
    });
    bindings.create(&PostParams::default(), &object(binding)).await.unwrap();
    let client = world.server.client(jane);
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let request = json!({
        "metadata": {"name": "r"},
        "spec": {"request": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K", "signerName": "example.com/x", "usages": ["client auth"],
            "username": "kubernetes-admin", "groups": ["system:masters"], "uid": "u"},
        "status": {"conditions": [{"type": "Approved", "status": "True"}], "certificate": "eA=="},
    });
    let made = requests.create(&PostParams::default(), &object(request)).await.unwrap();
    assert_eq!((made.spec.username.as_deref(), made.spec.groups.clone()), (Some("jane"), Some(vec!["friends".to_owned(), "system:authenticated".to_owned()])));
    assert_eq!(made.spec.uid, None);
    // Through status goes no approval, through approval no certificate.
    let approved = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R", "message": "m"}], "certificate": "eA=="}});
    let by_status = requests.patch_status("r", &PatchParams::default(), &Patch::Merge(approved.clone())).await.unwrap().status.unwrap();
    assert_eq!(by_status.conditions.unwrap_or_default().len(), 0);
    let uri = "/apis/certificates.k8s.io/v1/certificatesigningrequests/r/approval";
    let other = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R", "message": "m"}], "certificate": "eQ=="}});
    let (code, by_approval) = ask(&client, "PATCH", uri, "application/merge-patch+json", other.to_string()).await;
    assert_eq!(code, 200, "{by_approval}");
    assert_eq!((by_approval["status"]["conditions"][0]["type"].as_str(), by_approval["status"]["certificate"].as_str()), (Some("Approved"), Some("eA==")));
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_out_of_range_end_no_connection() {
    let world = world().await;
    let client = world.admin();
    let uri = format!("/api/v1/namespaces/default/configmaps?watch=1&resourceVersion=0&timeoutSeconds={}", i64::MAX);
    let request = http::Request::get(uri).body(Vec::new()).unwrap();
    let mut lines = client.request_stream_frames(request).await;
    let _ = tokio::time::timeout(Duration::from_millis(100), lines.next()).await;
}

trait Frames {
    async fn request_stream_frames(&self, request: http::Request<Vec<u8>>) -> futures::stream::BoxStream<'static, String>;
}

impl Frames for kube::Client {
    async fn request_stream_frames(&self, request: http::Request<Vec<u8>>) -> futures::stream::BoxStream<'static, String> {
        use futures::AsyncBufReadExt;
        let reader = self.request_stream(request).await.unwrap();
        Box::pin(Box::pin(reader).lines().filter_map(|line| async move { line.ok() }))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patches_that_grow_without_end_are_refused() {
    let world = world().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.admin(), "default");
    maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "m"}, "data": {"k": "v".repeat(1000)}}))).await.unwrap();
    let copies: Vec<Value> = (0..14).map(|i| json!({"op": "copy", "from": "/data", "path": format!("/data/x{i}")})).collect();
    let uri = "/api/v1/namespaces/default/configmaps/m";
    assert_eq!(ask(&world.admin(), "PATCH", uri, "application/json-patch+json", json!(copies).to_string()).await.0, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_waits_for_the_default_account_of_a_new_namespace() {
    let world = world().await;
    let namespaces: Api<Namespace> = Api::all(world.admin());
    namespaces.create(&PostParams::default(), &object(json!({"metadata": {"name": "fresh"}}))).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(world.admin(), "fresh");
    let pod = |name: &str, account: Option<&str>| -> Pod {
        object(json!({"metadata": {"name": name}, "spec": {"serviceAccountName": account, "containers": [{"name": "c", "image": "x"}]}}))
    };
    let refused = status(pods.create(&PostParams::default(), &pod("a", Some("named"))).await.unwrap_err());
    assert!(refused.message.contains("error looking up service account fresh/named"), "{}", refused.message);
    let early = pod("a", None);
    let params = PostParams::default();
    let made = pods.create(&params, &early);
    let account = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.account("fresh", "default").await;
    };
    let (made, ()) = tokio::join!(made, account);
    assert_eq!(made.unwrap().spec.unwrap().service_account_name.as_deref(), Some("default"));
    let began = std::time::Instant::now();
    let accounts: Api<ServiceAccount> = Api::namespaced(world.admin(), "fresh");
    accounts.delete("default", &Default::default()).await.unwrap();
    assert_eq!(status(pods.create(&PostParams::default(), &pod("b", None)).await.unwrap_err()).code, 403);
    assert!(began.elapsed() < Duration::from_secs(60), "not forever");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_acts_as_nobody_is_nobody() {
    let world = world().await;
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .header("impersonate-user", "system:anonymous")
        .header("content-type", "application/json")
        .body(b"{}".to_vec())
        .unwrap();
    let answer = world.admin().request::<Value>(request).await;
    let refused = status(answer.unwrap_err());
    assert_eq!(refused.code, 403, "those without credentials may not even ask who they are: {}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn ephemeral_containers_are_all_that_their_subresource_changes() {
    let world = world().await;
    world.account("default", "default").await;
    let pods: Api<Pod> = Api::namespaced(world.admin(), "default");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    let patch = json!({"metadata": {"labels": {"sneaky": "1"}}, "spec": {"containers": [{"name": "c", "image": "evil"}]}});
    for subresource in ["ephemeralcontainers", "resize"] {
        let uri = format!("/api/v1/namespaces/default/pods/p/{subresource}");
        ask(&world.admin(), "PATCH", &uri, "application/strategic-merge-patch+json", patch.to_string()).await;
        let now = pods.get("p").await.unwrap();
        assert_eq!((now.metadata.labels, now.spec.unwrap().containers[0].image.as_deref()), (None, Some("x")), "{subresource}");
        // No Pod is made through them: most of admission looks at Pods only.
        let apply = format!("/api/v1/namespaces/default/pods/new/{subresource}?fieldManager=m");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "new"}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
        assert_eq!(ask(&world.admin(), "PATCH", &apply, "application/apply-patch+yaml", pod.to_string()).await.0, 404, "{subresource}");
    }
    let add = async |containers: Value| {
        let patch = json!({"spec": {"ephemeralContainers": containers}});
        ask(&world.admin(), "PATCH", "/api/v1/namespaces/default/pods/p/ephemeralcontainers", "application/strategic-merge-patch+json", patch.to_string()).await
    };
    let (code, now) = add(json!([{"name": "debugger", "image": "x", "stdin": true, "targetContainerName": "c"}])).await;
    assert_eq!((code, now["spec"]["ephemeralContainers"][0]["imagePullPolicy"].as_str()), (200, Some("Always")), "{now}");
    for (containers, why) in [
        (json!([{"name": "debugger", "image": "y"}]), "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debugger\" may not be changed"),
        (
            json!([{"name": "debugger", "$patch": "delete"}]),
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"debugger\" may not be removed",
        ),
        (json!([{"name": "c", "image": "y"}]), "spec.ephemeralContainers[0].name: Duplicate value: \"c\""),
    ] {
        let (code, refused) = add(containers).await;
        assert_eq!(code, 422);
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exact_list_is_of_that_revision() {
    let world = world().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.admin(), "default");
    maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "m"}}))).await.unwrap();
    let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    Api::<Service>::namespaced(world.admin(), "default")
        .create(&PostParams::default(), &object(json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})))
        .await
        .unwrap();
    let uri = format!("/api/v1/namespaces/default/configmaps?resourceVersion={version}&resourceVersionMatch=Exact");
    let (_, list) = ask(&world.admin(), "GET", &uri, "application/json", "").await;
    assert_eq!(list["metadata"]["resourceVersion"].as_str(), Some(version.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_read_what_runs_in_a_pod_may_not_run_it() {
    let world = world().await;
    let reader = world.user("reader", json!([{"apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"], "verbs": ["get"]}])).await;
    for subresource in ["exec?command=sh&stdout=1", "attach?stdout=1", "portforward?ports=80"] {
        let uri = format!("/api/v1/namespaces/default/pods/p/{subresource}");
        assert_eq!(ask(&reader, "GET", &uri, "application/json", "").await.0, 403, "{subresource}");
        assert_eq!(ask(&world.admin(), "GET", &uri, "application/json", "").await.0, 404, "{subresource}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_takes_nothing_else_along() {
    let world = world().await;
    world.account("default", "default").await;
    let template = json!({"metadata": {"labels": {"a": "d"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}});
    let deployment = json!({"metadata": {"name": "d", "labels": {"l": "1"}}, "spec": {"selector": {"matchLabels": {"a": "d"}}, "template": template}});
    let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(world.admin(), "default");
    deployments.create(&PostParams::default(), &object(deployment)).await.unwrap();
    let patch = Patch::Merge(json!({"metadata": {"labels": {"l": "2"}}, "spec": {"replicas": 7}, "status": {"observedGeneration": 1}}));
    let after = deployments.patch_status("d", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(after.metadata.labels.unwrap()["l"], "1");
    assert_eq!((after.spec.replicas, after.status.unwrap().observed_generation), (Some(1), Some(1)));
    let pods: Api<Pod> = Api::namespaced(world.admin(), "default");
    pods.create(&PostParams::default(), &object(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}))).await.unwrap();
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "gone"}]);
    let patch = Patch::Merge(json!({"metadata": {"ownerReferences": owner}, "status": {"message": "m"}}));
    let after = pods.patch_status("p", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((after.metadata.owner_references, after.status.unwrap().message.as_deref()), (None, Some("m")));
}
