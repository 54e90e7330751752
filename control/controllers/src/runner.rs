//! The one runner that all controllers share: informers in, queues, plans, actions out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::discovery::{Discovery, Scope, verbs};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::controllers::Controller;
use crate::events::Recorder;
use crate::informer;
use crate::perform::Performer;
use crate::queue::Queue;
use crate::resource::Resource;
use crate::world::{Failure, Place, StartInformer, Turn, World};
use crate::{Clients, SHARED_INFORMERS};

/// Keys of one controller that are planned and performed at a time.
const WORKERS: usize = 16;
/// How often the kinds that the server has are looked up again.
const REDISCOVER: Duration = Duration::from_secs(30);
const TOGETHER: Duration = Duration::from_millis(500);
/// How long nobody has to read an object until it rests, and how often that is looked at.
const UNREAD: Duration = Duration::from_secs(2);
const REST: Duration = Duration::from_secs(1);

pub(crate) async fn run(clients: Clients, world: Arc<World>, controllers: Vec<Arc<dyn Controller>>, token: CancellationToken) {
    let shared = clients(SHARED_INFORMERS);
    let mut tasks = JoinSet::new();
    for controller in controllers {
        let queue = Arc::new(Queue::default());
        controller.triggers(&world, &queue);
        let client = clients(controller.account());
        let (recorder, writer) = Recorder::new(client.clone(), controller.component());
        tasks.spawn(writer);
        let performer = Arc::new(Performer { client, recorder });
        tasks.spawn(work(controller, world.clone(), queue, performer, token.clone()));
    }
    // The informers begin only now, so that no controller misses a change.
    world.start_informers(&mut Start { client: &shared, tasks: &mut tasks, token: &token });
    tasks.spawn(rest(world.clone(), token.clone()));
    tasks.spawn(discover(shared, world, token));
    while tasks.join_next().await.is_some() {}
}

struct Start<'a> {
    client: &'a Client,
    tasks: &'a mut JoinSet<()>,
    token: &'a CancellationToken,
}

impl StartInformer for Start<'_> {
    fn informer<K: Place>(&mut self, world: &Arc<World>) {
        world.declare(&Arc::new(Resource::of::<K>()));
        self.tasks.spawn(informer::whole::<K>(self.client.clone(), world.clone(), self.token.clone()));
    }
}

/// Plans and performs the keys of one controller until the token is cancelled; what was begun is finished.
async fn work(controller: Arc<dyn Controller>, world: Arc<World>, queue: Arc<Queue>, performer: Arc<Performer>, token: CancellationToken) {
    // Until the caches have seen everything once, what is missing in them means nothing.
    if token.run_until_cancelled(listed(&world)).await.is_none() {
        return;
    }
    tracing::info!(controller = controller.name(), "Started controller");
    let permits = Arc::new(Semaphore::new(WORKERS));
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let begin = async {
            let permit = permits.clone().acquire_owned().await;
            (permit, queue.next().await)
        };
        let Some((permit, key)) = token.run_until_cancelled(begin).await else { break };
        let (controller, world, queue, performer, token) = (controller.clone(), world.clone(), queue.clone(), performer.clone(), token.clone());
        running.spawn(async move {
            let failure = queue.failure(&key);
            let (actions, pace) = {
                let turn = Turn { world: &world, key: &key, now: Timestamp::now(), failure: failure.as_ref() };
                (controller.plan(&turn), controller.pace(&turn))
            };
            if actions.is_empty() {
                queue.done(key, None);
                return;
            }
            let outcome = performer.perform(actions).await;
            let (failure, requeue) = (outcome.failure.clone(), outcome.requeue_after);
            drop(permit); // others may go on while this key waits for the caches
            if token.run_until_cancelled(async { tokio::join!(outcome.seen(&world), tokio::time::sleep(pace)) }).await.is_none() {
                return;
            }
            if let Some(Failure { verb, message, lost_race }) = &failure {
                if *lost_race {
                    tracing::debug!(controller = controller.name(), %key, verb, message, "Requeuing");
                } else {
                    tracing::error!(controller = controller.name(), %key, verb, message, "Reconciler error");
                }
            }
            if let (None, Some(after)) = (&failure, requeue) {
                queue.add_after(key.clone(), after);
            }
            queue.done(key, failure);
        });
    }
    while running.join_next().await.is_some() {}
}

/// Lets objects rest that nobody reads.
async fn rest(world: Arc<World>, token: CancellationToken) {
    while token.run_until_cancelled(tokio::time::sleep(REST)).await.is_some() {
        if let Some(since) = Instant::now().checked_sub(UNREAD) {
            world.rest(since);
        }
    }
}

/// Waits until every kind that is cached whole was listed to its end, also those whose informers have not begun yet.
async fn listed(world: &World) {
    for resource in World::cached() {
        let progress = world.declare(&Arc::new(resource));
        let _ = progress.subscribe().wait_for(|at| *at > 0).await;
    }
}

/// Keeps one metadata informer for each kind that the server has and no cache holds whole.
async fn discover(client: Client, world: Arc<World>, token: CancellationToken) {
    let whole: Vec<String> = World::cached().iter().map(Resource::group_resource).collect();
    let mut running: HashMap<String, (Arc<Resource>, CancellationToken)> = HashMap::new();
    let mut informers = JoinSet::new();
    loop {
        match token.run_until_cancelled(Discovery::new(client.clone()).run()).await {
            None => break,
            Some(Err(error)) => tracing::warn!(%error, "unable to retrieve the complete list of server APIs"),
            Some(Ok(discovery)) => {
                let mut served = Vec::new();
                for (api, capabilities) in discovery.groups().flat_map(|g| g.recommended_resources()) {
                    let resource = Resource {
                        group: api.group.into(),
                        version: api.version.into(),
                        plural: api.plural.into(),
                        kind: api.kind.into(),
                        namespaced: capabilities.scope == Scope::Namespaced,
                    };
                    let collectable = [verbs::LIST, verbs::WATCH, verbs::DELETE].iter().all(|v| capabilities.supports_operation(v));
                    if collectable && resource.plural != "events" && !whole.contains(&resource.group_resource()) {
                        served.push(Arc::new(resource));
                    }
                }
                running.retain(|name, (resource, stop)| {
                    let stays = served.contains(resource);
                    if !stays {
                        tracing::debug!(resource = name, "No longer served");
                        stop.cancel();
                        world.forget(resource);
                    }
                    stays
                });
                for resource in served {
                    running.entry(resource.group_resource()).or_insert_with(|| {
                        let stop = token.child_token();
                        world.declare(&resource);
                        informers.spawn(informer::metadata(client.clone(), world.clone(), resource.clone(), stop.clone()));
                        (resource, stop)
                    });
                }
                world.discovered();
            }
        }
        let wait = if running.is_empty() { Duration::from_secs(1) } else { REDISCOVER };
        // What comes in a burst, such as the kinds of one chart, is looked up together.
        let changed = async {
            let _ = tokio::time::timeout(wait, world.kinds_changed.notified()).await;
            tokio::time::sleep(TOGETHER).await;
        };
        if token.run_until_cancelled(changed).await.is_none() {
            break;
        }
    }
    while informers.join_next().await.is_some() {}
}

#[cfg(test)]
mod tests {

    use serde_json::{Value, json};

    use super::*;
    use crate::fake_api::Api;
    use crate::{Options, controllers};

    /// All controllers on a server whose watches are late.
    struct Running {
        api: Api,
        token: CancellationToken,
        task: tokio::task::JoinHandle<Result<(), crate::Error>>,
    }

    fn start(delay: Duration) -> Running {
        start_on(Api::new(delay))
    }

    fn start_on(api: Api) -> Running {
        let token = CancellationToken::new();
        let client = api.client();
        let clients: Clients = Arc::new(move |_| client.clone());
        let options = Options { ca_pem: "CA".to_owned(), ..Options::default() };
        let task = tokio::spawn(crate::run(clients, options, token.clone()));
        Running { api, token, task }
    }

    impl Running {
        async fn call(&self, method: &str, path: &str, body: Value) -> Value {
            let request = http::Request::builder().method(method).uri(path).body(serde_json::to_vec(&body).unwrap()).unwrap();
            self.api.client().request(request).await.unwrap()
        }

        async fn stop(self) {
            self.token.cancel();
            tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("ends when told to").unwrap().unwrap();
        }
    }

    fn deployment(replicas: i32) -> Value {
        json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_namespace_comes_with_its_account_and_ca_and_goes_empty() {
        let running = start(Duration::from_millis(5));
        running.call("POST", "/api/v1/namespaces", json!({"metadata": {"name": "a"}, "spec": {"finalizers": ["kubernetes"]}})).await;
        running
            .api
            .until("account and CA", |api| api.get("serviceaccounts", "a", "default").is_some() && api.get("configmaps", "a", "kube-root-ca.crt").is_some())
            .await;
        running.call("POST", "/api/v1/namespaces/a/secrets", json!({"metadata": {"name": "s"}})).await;
        running.call("POST", "/apis/apps/v1/namespaces/a/deployments", deployment(3)).await;
        running.api.until("Pods", |api| api.all("pods").len() == 3).await;
        running.call("DELETE", "/api/v1/namespaces/a", json!({})).await;
        running.api.until("an end", |api| api.get("namespaces", "", "a").is_none()).await;
        for kind in ["secrets", "configmaps", "serviceaccounts", "deployments", "replicasets", "pods", "events"] {
            assert_eq!(running.api.all(kind), Vec::<Value>::new(), "{kind}");
        }
        running.stop().await;
    }

    /// With caches that lag behind, a plan that did not wait for them would make Pods twice.
    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_made_twice_and_owners_take_theirs_along() {
        let running = start(Duration::from_millis(40));
        running.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(20)).await;
        running.api.until("Pods", |api| api.all("pods").len() >= 20).await;
        running.api.until("status", |api| api.get("deployments", "default", "web").unwrap()["status"]["replicas"] == 20).await;
        assert_eq!((running.api.all("pods").len(), running.api.all("replicasets").len()), (20, 1));
        let events: Vec<Value> = running.api.all("events");
        let of = |reason: &str| events.iter().filter(|e| e["reason"] == reason).count();
        assert_eq!(of("ScalingReplicaSet"), 1);
        assert!((1..=11).contains(&of("SuccessfulCreate")), "similar ones are combined: {}", of("SuccessfulCreate"));
        running.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/web", json!({"propagationPolicy": "Foreground"})).await;
        running.api.until("all gone", |api| ["pods", "replicasets", "deployments"].iter().all(|k| api.all(k).is_empty())).await;
        running.stop().await;
    }

    /// Over what an earlier process left, whose Pods come late, page by page.
    async fn restarted(api: impl Fn(Api) -> Api) {
        let running = start(Duration::ZERO);
        running.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(900)).await;
        running.api.until("Pods", |api| api.all("pods").len() == 900).await;
        running.api.until("status", |api| api.get("deployments", "default", "web").unwrap()["status"]["replicas"] == 900).await;
        let left = running.api.clone();
        running.stop().await;
        let running = start_on(api(left));
        // A new Deployment's Pods come when everything is planned again.
        let mut other = deployment(1);
        other["metadata"]["name"] = "other".into();
        other["spec"]["selector"]["matchLabels"]["app"] = "other".into();
        other["spec"]["template"]["metadata"]["labels"]["app"] = "other".into();
        running.call("POST", "/apis/apps/v1/namespaces/default/deployments", other).await;
        let of = |api: &Api, app: &str| api.all("pods").iter().filter(|p| p["metadata"]["labels"]["app"] == app).count();
        running
            .api
            .until("the other's Pod", |api| {
                assert_eq!(of(api, "web"), 900, "none is made, none is deleted");
                of(api, "other") == 1
            })
            .await;
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_planned_before_the_last_page_of_the_first_list() {
        restarted(|api| api.with_slow_list("pods", Duration::from_millis(300))).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_list_that_is_forbidden_at_first_is_waited_for() {
        restarted(|api| api.with_forbidden_list("pods").with_slow_list("pods", Duration::from_millis(300))).await;
    }

    #[tokio::test]
    async fn a_world_without_informers_is_not_listed() {
        use futures::FutureExt;
        let world = World::new(Options::default());
        // What tokio lets one task do at a time is no part of the question.
        let listed = |world| tokio::task::unconstrained(listed(world));
        assert!(listed(&world).now_or_never().is_none(), "nothing is known yet, not even what to wait for");
        for resource in World::cached() {
            assert!(listed(&world).now_or_never().is_none());
            world.declare(&Arc::new(resource)).reach(1);
        }
        assert!(listed(&world).now_or_never().is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn orphans_stay() {
        let running = start(Duration::ZERO);
        running.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(2)).await;
        running.api.until("Pods", |api| api.all("pods").len() == 2).await;
        running.call("DELETE", "/apis/apps/v1/namespaces/default/deployments/web", json!({"propagationPolicy": "Orphan"})).await;
        running.api.until("the owner gone", |api| api.all("deployments").is_empty()).await;
        assert_eq!(running.api.all("replicasets")[0]["metadata"]["ownerReferences"], json!([]));
        assert_eq!(running.api.all("pods").len(), 2);
        // Once the caches have seen the set without an owner (a later change of it has its effect), one that comes takes it over.
        let set = running.api.all("replicasets")[0]["metadata"]["name"].as_str().unwrap().to_owned();
        running.call("PATCH", &format!("/apis/apps/v1/namespaces/default/replicasets/{set}"), json!({"spec": {"replicas": 3}})).await;
        running.api.until("another Pod", |api| api.all("pods").len() == 3).await;
        running.call("POST", "/apis/apps/v1/namespaces/default/deployments", deployment(3)).await;
        running.api.until("adoption", |api| api.all("replicasets").iter().any(|set| set["metadata"]["ownerReferences"][0]["kind"] == "Deployment")).await;
        assert_eq!((running.api.all("replicasets").len(), running.api.all("pods").len()), (1, 3));
        running.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_gets_its_range_at_once() {
        let running = start(Duration::ZERO);
        tokio::time::sleep(Duration::from_millis(200)).await;
        running.call("POST", "/api/v1/nodes", json!({"metadata": {"name": "control-plane"}, "spec": {}})).await;
        running.api.until("a range", |api| api.get("nodes", "", "control-plane").unwrap()["spec"]["podCIDR"] == "10.244.0.0/24").await;
        running.stop().await;
    }

    #[test]
    fn every_controller_has_a_name_of_its_own() {
        let all = controllers::all();
        let mut names: Vec<_> = all.iter().map(|c| c.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
