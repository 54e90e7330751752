//! The server over its in-process client and over real TLS: what a client may rely on, end to end.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::Status;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wharf_server::pki::Pki;
use wharf_server::{ApiServer, Body, Config, DialError, Identity, NoNodes, NodeDialer};
use wharf_store::{Options, RedbStore, Store};

struct World {
    server: ApiServer,
    pki: Pki,
    store: Arc<RedbStore>,
    _dir: tempfile::TempDir,
}

async fn world() -> World {
    world_with(Arc::new(NoNodes)).await
}

async fn world_with(nodes: Arc<dyn NodeDialer>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(&dir.path().join("pki"), &["10.96.0.1".into()]).unwrap();
    let store = Arc::new(RedbStore::open(&dir.path().join("store.redb"), Options::default()).unwrap());
    let config = Config::new(store.clone(), pki.clone(), nodes, "10.88.0.1:6443".parse().unwrap());
    World { server: ApiServer::new(config).await.unwrap(), pki, store, _dir: dir }
}

fn object<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn status(error: kube::Error) -> Box<Status> {
    match error {
        kube::Error::Api(status) => status,
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_what_it_begins_with_and_keeps_it() {
    let world = world().await;
    let client = world.server.client(Identity::admin());
    let api: Service = Api::namespaced(client.clone(), "default").get("kubernetes").await.unwrap();
    assert_eq!(api.spec.unwrap().cluster_ip.as_deref(), Some("10.96.0.1"));
    let dns: Service = Api::namespaced(client.clone(), "kube-system").get("kube-dns").await.unwrap();
    assert_eq!(dns.spec.unwrap().cluster_ip.as_deref(), Some("10.96.0.10"));
    let before = world.store.cache().revision();
    // A second start changes nothing; the aggregation may still be writing the first time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let settled = world.store.cache().revision();
    assert!(settled - before <= 3, "only aggregated roles are written afterwards");
    let config = Config::new(world.store.clone(), world.pki.clone(), Arc::new(NoNodes), "10.88.0.1:6443".parse().unwrap());
    let again = ApiServer::new(config).await.unwrap();
    again.stop();
    assert_eq!(world.store.cache().revision(), settled);
    let admin: ClusterRole = Api::all(client).get("admin").await.unwrap();
    assert!(admin.rules.unwrap().len() > 5, "admin is aggregated of edit and view");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_of_the_api_comes_back() {
    let world = world().await;
    let services: Api<Service> = Api::namespaced(world.server.client(Identity::admin()), "default");
    services.delete("kubernetes", &DeleteParams::default()).await.unwrap();
    let back = async {
        while services.get_opt("kubernetes").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), back).await.unwrap();
    assert_eq!(services.get("kubernetes").await.unwrap().spec.unwrap().cluster_ip.as_deref(), Some("10.96.0.1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_made_changed_watched_and_deleted() {
    let world = world().await;
    let client = world.server.client(Identity::admin());
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let begin = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let made =
        maps.create(&PostParams::default(), &object(json!({"metadata": {"generateName": "m-", "labels": {"a": "1"}}, "data": {"k": "v"}}))).await.unwrap();
    let name = made.metadata.name.clone().unwrap();
    assert!(name.starts_with("m-") && name.len() == 7);
    let mut stale = made.clone();
    let patched = maps.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"a": "2"}}}))).await.unwrap();
    stale.data = None;
    let conflict = status(maps.replace(&name, &PostParams::default(), &stale).await.unwrap_err());
    assert_eq!((conflict.code, conflict.reason.as_str()), (409, "Conflict"));
    // Nothing changed, nothing written.
    let same = maps.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"metadata": {"labels": {"a": "2"}}}))).await.unwrap();
    assert_eq!(same.metadata.resource_version, patched.metadata.resource_version);
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    let params = WatchParams::default().labels("a=1").timeout(5);
    let events: Vec<String> = maps
        .watch(&params, &begin)
        .await
        .unwrap()
        .try_filter_map(|e| async move {
            Ok(match e {
                WatchEvent::Added(m) => Some(format!("added {}", m.metadata.labels.unwrap_or_default()["a"])),
                WatchEvent::Modified(_) => Some("modified".into()),
                WatchEvent::Deleted(m) => Some(format!("deleted {}", m.metadata.labels.unwrap_or_default()["a"])),
                _ => None,
            })
        })
        .take(2)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(events, ["added 1", "deleted 1"], "what leaves the selection is deleted for its watchers");
    let gone = status(maps.get(&name).await.unwrap_err());
    assert_eq!(gone.message, format!("configmaps {name:?} not found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_of_one_snapshot() {
    let world = world().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.server.client(Identity::admin()), "default");
    for name in ["a", "b", "c", "d"] {
        maps.create(&PostParams::default(), &object(json!({"metadata": {"name": name}}))).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (3, Some(1)));
    maps.delete("d", &DeleteParams::default()).await.unwrap();
    let rest = maps.list(&ListParams::default().continue_token(&first.metadata.continue_.unwrap())).await.unwrap();
    assert_eq!(rest.items[0].metadata.name.as_deref(), Some("d"));
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_events_end_with_a_bookmark() {
    let world = world().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(world.server.client(Identity::admin()), "kube-system");
    let params = WatchParams { send_initial_events: true, bookmarks: true, ..WatchParams::default() };
    let mut events = accounts.watch(&params, "0").await.unwrap().boxed();
    let mut names = Vec::new();
    loop {
        match events.next().await.unwrap().unwrap() {
            WatchEvent::Added(account) => names.push(account.metadata.name.unwrap()),
            WatchEvent::Bookmark(bookmark) => {
                assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(names, ["coredns", "ingress-nginx"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_get_what_they_are_bound_to_and_no_more() {
    let world = world().await;
    let admin = world.server.client(Identity::admin());
    let jane = world.server.client(Identity::new("jane", &[]));
    let pods: Api<Pod> = Api::namespaced(jane.clone(), "default");
    let refused = status(pods.list(&ListParams::default()).await.unwrap_err());
    assert_eq!(refused.message, r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#);
    let bindings: Api<RoleBinding> = Api::namespaced(admin, "default");
    let binding = |role: &str, user: &str| -> RoleBinding {
        object(json!({
            "metadata": {"name": format!("{user}-{role}")}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        }))
    };
    bindings.create(&PostParams::default(), &binding("admin", "jane")).await.unwrap();
    assert!(pods.list(&ListParams::default()).await.is_ok(), "a binding holds from the moment it is acknowledged");
    let mine: Api<RoleBinding> = Api::namespaced(jane, "default");
    mine.create(&PostParams::default(), &binding("view", "joe")).await.unwrap();
    let refused = status(mine.create(&PostParams::default(), &binding("cluster-admin", "joe")).await.unwrap_err());
    assert!(refused.message.contains("is attempting to grant RBAC permissions not currently held"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_read_what_their_pods_refer_to() {
    let world = world().await;
    let admin = world.server.client(Identity::admin());
    Api::<ServiceAccount>::namespaced(admin.clone(), "default")
        .create(&PostParams::default(), &object(json!({"metadata": {"name": "default"}})))
        .await
        .unwrap();
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), "default");
    for name in ["mine", "other"] {
        secrets.create(&PostParams::default(), &object(json!({"metadata": {"name": name}}))).await.unwrap();
    }
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x", "envFrom": [{"secretRef": {"name": "mine"}}]}]},
    });
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "default");
    pods.create(&PostParams::default(), &object(pod)).await.unwrap();
    let node = world.server.client(Identity::node("n"));
    let theirs: Api<Secret> = Api::namespaced(node.clone(), "default");
    assert!(theirs.get("mine").await.is_ok());
    let refused = status(theirs.get("other").await.unwrap_err());
    assert!(refused.message.contains("no relationship found between node"), "{}", refused.message);
    assert_eq!(Api::<Pod>::all(node.clone()).list(&ListParams::default().fields("spec.nodeName=n")).await.unwrap().items.len(), 1);
    assert!(Api::<Pod>::all(node.clone()).list(&ListParams::default()).await.is_err());
    // The Pod goes when the node has seen to it.
    let mine: Api<Pod> = Api::namespaced(node, "default");
    pods.delete("p", &DeleteParams::default()).await.unwrap();
    assert!(pods.get("p").await.unwrap().metadata.deletion_timestamp.is_some());
    mine.delete("p", &DeleteParams::default().grace_period(0)).await.unwrap();
    assert!(pods.get_opt("p").await.unwrap().is_none());
    assert!(theirs.get("mine").await.is_err(), "no Pod of the node refers to it any longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_made_together_get_addresses_of_their_own() {
    let world = world().await;
    let services: Api<Service> = Api::namespaced(world.server.client(Identity::admin()), "default");
    let params = PostParams::default();
    let made = futures::future::join_all((0..50).map(|i| {
        let (services, params) = (&services, &params);
        async move {
            services
                .create(params, &object(json!({"metadata": {"name": format!("s{i}")}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}})))
                .await
                .unwrap()
        }
    }))
    .await;
    let mut addresses: Vec<String> = made.iter().map(|s| s.spec.as_ref().unwrap().cluster_ip.clone().unwrap()).collect();
    let mut ports: Vec<i32> = made.iter().map(|s| s.spec.as_ref().unwrap().ports.as_ref().unwrap()[0].node_port.unwrap()).collect();
    addresses.sort();
    addresses.dedup();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!((addresses.len(), ports.len()), (50, 50));
    let taken = json!({"metadata": {"name": "again"}, "spec": {"clusterIP": addresses[0], "ports": [{"port": 80}]}});
    let refused = status(services.create(&params, &object(taken)).await.unwrap_err());
    assert!(refused.message.contains("provided IP is already allocated"), "{}", refused.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_goes_by_its_finalizer() {
    let world = world().await;
    let client = world.server.client(Identity::admin());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.create(&PostParams::default(), &object(json!({"metadata": {"name": "room"}}))).await.unwrap();
    namespaces.delete("room", &DeleteParams::default()).await.unwrap();
    let mut going = namespaces.get("room").await.unwrap();
    assert_eq!(going.status.as_ref().unwrap().phase.as_deref(), Some("Terminating"));
    let maps: Api<ConfigMap> = Api::namespaced(client, "room");
    let refused = status(maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "m"}}))).await.unwrap_err());
    assert!(refused.message.contains("unable to create new content in namespace room because it is being terminated"), "{}", refused.message);
    going.spec.as_mut().unwrap().finalizers = None;
    namespaces.replace_subresource("finalize", "room", &PostParams::default(), &going).await.unwrap();
    assert!(namespaces.get_opt("room").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_certificates_and_tokens_identify_and_nobody_else_gets_in() {
    let world = world().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn({
        let (server, stop) = (world.server.clone(), stop.clone());
        async move { server.serve(listener, stop).await }
    });
    let anonymous = ask(&world.pki, None, address, "/api/v1/namespaces", None).await;
    assert_eq!(anonymous.0, 401);
    assert_eq!(ask(&world.pki, None, address, "/readyz", None).await, (200, "ok".into()));
    let admin = world.pki.admin().clone();
    assert_eq!(ask(&world.pki, Some(&admin), address, "/api/v1/namespaces", None).await.0, 200);
    let joe = world.pki.client("joe", &["friends"]).unwrap();
    let (code, body) = ask(&world.pki, Some(&joe), address, "/api/v1/namespaces", None).await;
    assert_eq!(code, 403);
    assert!(body.contains(r#"User \"joe\" cannot list resource"#), "{body}");
    // A token of an account, until the account is gone.
    let client = world.server.client(Identity::admin());
    let request = http::Request::post("/api/v1/namespaces/kube-system/serviceaccounts/coredns/token").body(br#"{"spec":{}}"#.to_vec()).unwrap();
    let answer: serde_json::Value = client.request(request).await.unwrap();
    let token = answer["status"]["token"].as_str().unwrap().to_owned();
    let as_account = |path: &'static str| ask(&world.pki, None, address, path, Some(&token));
    assert_eq!(as_account("/api/v1/services").await.0, 200);
    assert_eq!(as_account("/api/v1/secrets").await.0, 403);
    Api::<ServiceAccount>::namespaced(client, "kube-system").delete("coredns", &DeleteParams::default()).await.unwrap();
    assert_eq!(as_account("/api/v1/services").await.0, 401);
    assert_eq!(ask(&world.pki, None, address, "/api/v1/services", Some("rubbish")).await.0, 401);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(30), serving).await.unwrap().unwrap().unwrap();
}

/// One request over TLS; the answer's code and body.
async fn ask(pki: &Pki, certificate: Option<&wharf_server::pki::Issued>, address: std::net::SocketAddr, path: &str, token: Option<&str>) -> (u16, String) {
    use http_body_util::BodyExt;
    let tls = tokio_rustls::TlsConnector::from(Arc::new(pki.client_tls(certificate).unwrap()));
    let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let stream = tls.connect("kubernetes.default.svc".try_into().unwrap(), tcp).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::get(path).header("host", "kubernetes");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_bodies_of_other_kinds() {
    let world = world().await;
    let client = world.server.client(Identity::admin());
    let table = http::Request::get("/api/v1/namespaces/default/services?includeObject=None")
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        .body(Vec::new())
        .unwrap();
    let table: serde_json::Value = client.request(table).await.unwrap();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][0]["cells"][0], "kubernetes");
    let yaml = http::Request::post("/api/v1/namespaces/default/configmaps")
        .header("content-type", "application/yaml")
        .body(b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {k: 'v'}\n".to_vec())
        .unwrap();
    let made: ConfigMap = client.request(yaml).await.unwrap();
    assert_eq!(made.data.unwrap()["k"], "v");
    let large = http::Request::post("/api/v1/namespaces/default/configmaps").header("content-type", "application/json").body(vec![b' '; 4 << 20]).unwrap();
    let refused = status(client.request::<serde_json::Value>(large).await.unwrap_err());
    assert_eq!((refused.code, refused.reason.as_str()), (413, "RequestEntityTooLarge"));
    let unknown = http::Request::post("/api/v1/namespaces/default/configmaps?fieldValidation=Strict")
        .header("content-type", "application/json")
        .body(br#"{"metadata":{"name":"x"},"daat":{}}"#.to_vec())
        .unwrap();
    let refused = status(client.request::<serde_json::Value>(unknown).await.unwrap_err());
    assert!(refused.message.contains(r#"unknown field "daat""#), "{}", refused.message);
}

/// A node that answers with what it was asked for.
struct Echo;

impl NodeDialer for Echo {
    fn call<'a>(
        &'a self,
        _node: &'a k8s_openapi::api::core::v1::Node,
        request: http::Request<Body>,
    ) -> futures::future::BoxFuture<'a, Result<http::Response<Body>, DialError>> {
        Box::pin(async move {
            let uri = request.uri().to_string();
            let code = if uri.contains("previous") { 400 } else { 200 };
            Ok(http::Response::builder().status(code).body(Body::from(format!("asked {uri}"))).unwrap())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_from_the_node() {
    let world = world_with(Arc::new(Echo)).await;
    let client = world.server.client(Identity::admin());
    Api::<ServiceAccount>::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &object(json!({"metadata": {"name": "default"}})))
        .await
        .unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let make = |name: &str, node: Option<&str>| -> Pod {
        object(json!({"metadata": {"name": name}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "x"}]}}))
    };
    pods.create(&PostParams::default(), &make("p", Some("n"))).await.unwrap();
    pods.create(&PostParams::default(), &make("waiting", None)).await.unwrap();
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client);
    nodes.create(&PostParams::default(), &object(json!({"metadata": {"name": "n"}}))).await.unwrap();
    let params = kube::api::LogParams { follow: true, tail_lines: Some(5), ..Default::default() };
    assert_eq!(pods.logs("p", &params).await.unwrap(), "asked /containerLogs/default/p/c?follow=true&tailLines=5");
    let refused = status(pods.logs("p", &kube::api::LogParams { previous: true, ..Default::default() }).await.unwrap_err());
    assert_eq!((refused.code, refused.message.as_str()), (400, "asked /containerLogs/default/p/c?previous=true"));
    assert_eq!(pods.logs("waiting", &Default::default()).await.unwrap(), "", "no node has it yet: there is nothing to read");
    let wrong = kube::api::LogParams { container: Some("d".into()), ..Default::default() };
    assert_eq!(status(pods.logs("p", &wrong).await.unwrap_err()).message, "container d is not valid for pod p");
}

#[tokio::test(flavor = "multi_thread")]
async fn dry_runs_preconditions_and_propagation() {
    let world = world().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.server.client(Identity::admin()), "default");
    let map: ConfigMap = object(json!({"metadata": {"name": "m"}, "data": {"k": "v"}}));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    assert!(maps.create(&dry, &map).await.unwrap().metadata.uid.is_some());
    assert!(maps.get_opt("m").await.unwrap().is_none());
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    let other = kube::api::Preconditions { uid: Some("other".into()), resource_version: None };
    let refused = status(maps.delete("m", &DeleteParams::default().preconditions(other)).await.unwrap_err());
    let uid = made.metadata.uid.unwrap();
    let words = format!("Operation cannot be fulfilled on configmaps \"m\": Precondition failed: UID in precondition: other, UID in object meta: {uid}");
    assert_eq!((refused.code, refused.message.as_str()), (409, words.as_str()));
    let foreground = maps.delete("m", &DeleteParams::foreground()).await.unwrap().left().unwrap();
    assert_eq!(foreground.metadata.finalizers.unwrap(), ["foregroundDeletion"]);
    let free = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("m", &PatchParams::default(), &free).await.unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none(), "the last finalizer gone, it goes");
}

#[tokio::test(flavor = "multi_thread")]
async fn applies_own_fields_and_conflict() {
    let world = world().await;
    let maps: Api<ConfigMap> = Api::namespaced(world.server.client(Identity::admin()), "default");
    let config = |value: &str| Patch::Apply(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": value}}));
    maps.patch("m", &PatchParams::apply("one"), &config("1")).await.unwrap();
    let refused = status(maps.patch("m", &PatchParams::apply("two"), &config("2")).await.unwrap_err());
    assert_eq!((refused.code, refused.message.as_str()), (409, "Apply failed with 1 conflict: conflict with \"one\": .data.k"));
    let forced = maps.patch("m", &PatchParams::apply("two").force(), &config("2")).await.unwrap();
    let managers: Vec<String> = forced.metadata.managed_fields.unwrap().into_iter().filter_map(|m| m.manager).collect();
    assert_eq!(managers, ["two"]);
}
