//! Bounds that admission and evictions keep: quotas and disruption budgets.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Secret, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::json;
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
async fn evictions_keep_to_the_budget() {
    let world = world().await;
    let client = world.server.client(Identity::admin());
    let (pods, budgets) = (Api::<Pod>::namespaced(client.clone(), "default"), Api::<PodDisruptionBudget>::namespaced(client.clone(), "default"));
    Api::<ServiceAccount>::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &object(json!({"metadata": {"name": "default"}})))
        .await
        .unwrap();
    let spec = json!({"containers": [{"name": "c", "image": "i"}], "nodeName": "n"});
    for (name, ready) in [("ready", "True"), ("other", "True"), ("unready", "False")] {
        pods.create(&PostParams::default(), &object(json!({"metadata": {"name": name, "labels": {"app": "web"}}, "spec": spec}))).await.unwrap();
        let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
        pods.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }
    pods.create(&PostParams::default(), &object(json!({"metadata": {"name": "pending", "labels": {"app": "web"}}, "spec": spec}))).await.unwrap();
    let evict = |name: &'static str, options: serde_json::Value| {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options});
        let request = http::Request::post(format!("/api/v1/namespaces/default/pods/{name}/eviction")).body(serde_json::to_vec(&body).unwrap()).unwrap();
        let client = client.clone();
        async move { client.request::<serde_json::Value>(request).await }
    };
    let budget = json!({"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}});
    budgets.create(&PostParams::default(), &object(budget)).await.unwrap();
    let cause = |status: Box<Status>| (status.code, status.reason, status.message, status.details.unwrap().causes[0].message.clone());
    let words = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
    // The controller has not looked at the budget yet.
    let refused = status(evict("ready", json!({})).await.unwrap_err());
    assert_eq!(refused.details.as_ref().unwrap().retry_after_seconds, 10);
    let still = "The disruption budget b is still being processed by the server.".to_owned();
    assert_eq!(cause(refused), (429, "TooManyRequests".to_owned(), words.clone(), still));
    let seen = json!({"status": {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2}});
    budgets.patch_status("b", &PatchParams::default(), &Patch::Merge(seen)).await.unwrap();
    // A dry run and a Pod that does not count cost nothing, one that counts costs what there is.
    evict("ready", json!({"dryRun": ["All"]})).await.unwrap();
    for free in ["pending", "unready"] {
        evict(free, json!({"gracePeriodSeconds": 0})).await.unwrap();
        assert!(pods.get_opt(free).await.unwrap().is_none(), "{free}");
    }
    let stale = evict("ready", json!({"preconditions": {"resourceVersion": "1"}})).await.unwrap_err();
    assert_eq!(status(stale).code, 409);
    let left = budgets.get_status("b").await.unwrap().status.unwrap();
    assert_eq!((left.disruptions_allowed, left.disrupted_pods.unwrap().len()), (Some(0), 1));
    let allow = json!({"status": {"disruptionsAllowed": 1, "disruptedPods": null}});
    budgets.patch_status("b", &PatchParams::default(), &Patch::Merge(allow)).await.unwrap();
    evict("ready", json!({"gracePeriodSeconds": 7})).await.unwrap();
    let ending = pods.get("ready").await.unwrap();
    assert_eq!(ending.metadata.deletion_grace_period_seconds, Some(7));
    assert!(ending.status.unwrap().conditions.unwrap().iter().any(|c| c.type_ == "DisruptionTarget" && c.reason.as_deref() == Some("EvictionByEvictionAPI")));
    let spent = budgets.get_status("b").await.unwrap().status.unwrap();
    assert_eq!(spent.conditions.unwrap()[0].reason, "InsufficientPods");
    let needs = "The disruption budget b needs 1 healthy pods and has 2 currently".to_owned();
    assert_eq!(cause(status(evict("other", json!({})).await.unwrap_err())), (429, "TooManyRequests".to_owned(), words, needs));
    let second = json!({"metadata": {"name": "c"}, "spec": {"maxUnavailable": 1, "selector": {}}});
    budgets.create(&PostParams::default(), &object(second)).await.unwrap();
    let both = status(evict("other", json!({})).await.unwrap_err());
    let several = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!((both.code, both.message.as_str()), (500, several));
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_kept() {
    let world = world().await;
    let client = world.server.client(Identity::admin());
    let (pods, quotas) = (Api::<Pod>::namespaced(client.clone(), "default"), Api::<ResourceQuota>::namespaced(client.clone(), "default"));
    Api::<ServiceAccount>::namespaced(client.clone(), "default")
        .create(&PostParams::default(), &object(json!({"metadata": {"name": "default"}})))
        .await
        .unwrap();
    let hard = json!({"pods": "2", "requests.cpu": "1", "count/secrets": "1"});
    quotas.create(&PostParams::default(), &object(json!({"metadata": {"name": "q"}, "spec": {"hard": hard}}))).await.unwrap();
    let pod = |cpu: &str| {
        object::<Pod>(
            json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}}),
        )
    };
    let refused = |result: Result<Pod, kube::Error>| {
        let message = status(result.unwrap_err()).message.clone();
        message.split_once(" is forbidden: ").unwrap().1.to_owned()
    };
    let post = PostParams::default();
    assert_eq!(refused(pods.create(&post, &pod("1")).await), "status unknown for quota: q, resources: pods,requests.cpu");
    let counted = json!({"status": {"hard": hard, "used": {"pods": "0", "requests.cpu": "0", "count/secrets": "0"}}});
    quotas.patch_status("q", &PatchParams::default(), &Patch::Merge(counted)).await.unwrap();
    let mut silent = pod("1");
    silent.spec.as_mut().unwrap().containers[0].resources = None;
    assert_eq!(refused(pods.create(&post, &silent).await), "failed quota: q: must specify requests.cpu for: c");
    pods.create(&PostParams { dry_run: true, ..PostParams::default() }, &pod("1")).await.unwrap();
    // Of many that are made together no more get in than fit.
    let small = pod("100m");
    let made = futures::future::join_all((0..6).map(|_| pods.create(&post, &small))).await;
    assert_eq!(made.iter().filter(|m| m.is_ok()).count(), 2);
    let words = "exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    assert_eq!(refused(made.into_iter().find(Result::is_err).unwrap()), words);
    let both = "exceeded quota: q, requested: pods=1,requests.cpu=900m, used: pods=2,requests.cpu=200m, limited: pods=2,requests.cpu=1";
    assert_eq!(refused(pods.create(&post, &pod("900m")).await), both);
    let used = quotas.get_status("q").await.unwrap().status.unwrap().used.unwrap();
    assert_eq!((used["pods"].0.as_str(), used["requests.cpu"].0.as_str()), ("2", "200m"));
    let secrets = Api::<Secret>::namespaced(client, "default");
    secrets.create(&post, &object(json!({"metadata": {"name": "a"}}))).await.unwrap();
    let second = status(secrets.create(&post, &object(json!({"metadata": {"name": "b"}}))).await.unwrap_err());
    assert_eq!(second.message, "secrets \"b\" is forbidden: exceeded quota: q, requested: count/secrets=1, used: count/secrets=1, limited: count/secrets=1");
}
