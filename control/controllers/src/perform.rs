//! Performs plans: actions in, API calls out, and what the caches must have seen before the key is planned again.

use std::collections::HashMap;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::action::{Action, Announce, Body, Note};
use crate::events::Recorder;
use crate::resource::{Resource, Target};
use crate::world::{Failure, World};

/// Calls of one plan that run at a time.
const PARALLEL: usize = 64;
const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// Performs the plans of one controller under its own identity.
pub(crate) struct Performer {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
}

/// What became of a plan.
#[derive(Default)]
pub(crate) struct Outcome {
    /// The revision that each kind's cache must reach.
    writes: HashMap<Resource, u64>,
    /// Objects that each kind's cache must have lost.
    gone: Vec<(Resource, String)>,
    /// The first error that is not a mere conflict, or else the first.
    pub(crate) failure: Option<Failure>,
    pub(crate) requeue_after: Option<Duration>,
}

/// The part of an answer that is read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    kind: String,
    metadata: AnswerMeta,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnswerMeta {
    name: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
}

impl Performer {
    pub(crate) async fn perform(&self, actions: Vec<Action>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut actions = actions.into_iter().peekable();
        while let Some(action) = actions.next() {
            match action {
                Action::Create { .. } => {
                    let mut creates = vec![action];
                    while let Some(next) = actions.next_if(|a| matches!(a, Action::Create { .. })) {
                        creates.push(next);
                    }
                    self.slow_start(creates, &mut outcome).await;
                }
                Action::Delete { .. } | Action::Patch { .. } | Action::DeleteCollection { .. } => {
                    let sort = std::mem::discriminant(&action);
                    let mut calls = vec![action];
                    while let Some(next) = actions.next_if(|a| std::mem::discriminant(a) == sort) {
                        calls.push(next);
                    }
                    self.together(calls, &mut outcome).await;
                }
                Action::Barrier if outcome.failure.is_some() => break,
                Action::Barrier => {}
                Action::Record(note) => self.recorder.record(note),
                Action::RequeueAfter(after) => outcome.requeue_after = Some(outcome.requeue_after.map_or(after, |a| a.min(after))),
                other => {
                    self.one(other, &mut outcome).await;
                }
            }
        }
        outcome
    }

    /// Creates in batches of 1, 2, 4, … so that what is refused (a quota, an admission plugin) is refused a few times only.
    async fn slow_start(&self, creates: Vec<Action>, outcome: &mut Outcome) {
        let mut creates = creates.into_iter();
        let mut size = 1;
        loop {
            let batch: Vec<_> = creates.by_ref().take(size).collect();
            if batch.is_empty() || !self.together(batch, outcome).await {
                return;
            }
            size = (size * 2).min(PARALLEL);
        }
    }

    /// Whether all went well.
    async fn together(&self, calls: Vec<Action>, outcome: &mut Outcome) -> bool {
        let mut well = true;
        let mut calls = calls.into_iter();
        let mut running: FuturesUnordered<_> = calls.by_ref().take(PARALLEL).map(|c| self.call(c)).collect();
        while let Some(called) = running.next().await {
            well &= outcome.add(called);
            if let Some(next) = calls.next() {
                running.push(self.call(next));
            }
        }
        well
    }

    async fn one(&self, action: Action, outcome: &mut Outcome) -> bool {
        let called = self.call(action).await;
        outcome.add(called)
    }

    async fn call(&self, action: Action) -> Called {
        match action {
            Action::Create { object, announce } => {
                let answer = self.send("POST", object.target.resource.path(&object.target.namespace), JSON, object.json).await;
                let name = answer.as_ref().map_or(object.target.name.clone(), |a| a.metadata.name.clone());
                self.announce(announce, &name, &answer);
                written("create", object.target.resource, answer)
            }
            Action::Update { object, subresource } => {
                let answer = self.send("PUT", object.target.path(subresource), JSON, object.json).await;
                written("update", object.target.resource, answer)
            }
            Action::UpdateReviewed { choices, subresource } => self.update_reviewed(choices, subresource).await,
            Action::Patch { target, subresource, mut patch, announce } => {
                if let Value::Object(fields) = &mut patch {
                    let meta = fields.entry("metadata").or_insert_with(|| json!({}));
                    target.uid.iter().for_each(|uid| meta["uid"] = json!(uid));
                    target.resource_version.iter().for_each(|rv| meta["resourceVersion"] = json!(rv));
                }
                let answer = self.send("PATCH", target.path(subresource), MERGE_PATCH, patch.to_string().into_bytes()).await;
                self.announce(announce, &target.name, &answer);
                written("patch", target.resource, answer)
            }
            Action::Delete { target, propagation, grace, unless, announce } => self.delete(target, propagation, grace, unless, announce).await,
            Action::DeleteCollection { resource, namespace } => {
                let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
                match self.send("DELETE", resource.path(&namespace), JSON, options.to_string().into_bytes()).await {
                    Ok(_) => Called::Nothing,
                    // A kind without the verb, or one that went away meanwhile.
                    Err(error) if matches!(code(&error), 404 | 405) => Called::Nothing,
                    Err(error) => Called::Failed { verb: "delete", error },
                }
            }
            Action::FinalizeNamespace { object, resources } => self.finalize(object, resources).await,
            Action::Barrier | Action::Record(_) | Action::RequeueAfter(_) => Called::Nothing,
        }
    }

    async fn update_reviewed(&self, choices: Vec<(SubjectAccessReviewSpec, Body)>, subresource: &'static str) -> Called {
        let mut asked = Vec::new();
        for (review, object) in choices {
            asked.push(review.resource_attributes.as_ref().and_then(|a| a.subresource.clone()).unwrap_or_default());
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": review});
            let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews".to_owned();
            let request = http::Request::builder().method("POST").uri(path).header(http::header::CONTENT_TYPE, JSON).body(review.to_string().into_bytes());
            let answer = match request.map_err(kube::Error::HttpError) {
                Ok(request) => self.client.request::<SubjectAccessReview>(request).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(review) if review.status.as_ref().is_some_and(|s| s.allowed) => {
                    let answer = self.send("PUT", object.target.path(Some(subresource)), JSON, object.json).await;
                    return written("update", object.target.resource, answer);
                }
                Ok(_) => {}
                Err(error) => return Called::Failed { verb: "create", error },
            }
        }
        Called::Refused { verb: "update", message: format!("recognized as {asked:?} but subject access review was not approved") }
    }

    async fn delete(&self, target: Target, propagation: Option<&str>, grace: Option<i64>, unless: Vec<Target>, announce: Option<Announce>) -> Called {
        for owner in unless {
            match self.client.request::<Live>(bare("GET", owner.path(None))).await {
                Ok(live) if owner.uid.as_deref().is_none_or(|uid| uid == live.metadata.uid) => return Called::Later,
                Ok(_) => {}
                Err(error) if code(&error) == 404 => {}
                Err(error) => return Called::Failed { verb: "delete", error },
            }
        }
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(uid) = &target.uid {
            options["preconditions"]["uid"] = json!(uid);
        }
        if let Some(rv) = &target.resource_version {
            options["preconditions"]["resourceVersion"] = json!(rv);
        }
        propagation.iter().for_each(|p| options["propagationPolicy"] = json!(p));
        grace.iter().for_each(|g| options["gracePeriodSeconds"] = json!(g));
        let answer = self.send("DELETE", target.path(None), JSON, options.to_string().into_bytes()).await;
        if matches!(&answer, Err(error) if code(error) == 404) {
            return Called::Nothing;
        }
        self.announce(announce, &target.name, &answer);
        match answer {
            // It goes in its own time: what was written is the deletionTimestamp.
            Ok(answer) if answer.kind != "Status" && answer.metadata.deletion_timestamp.is_some() && grace != Some(0) => {
                written("delete", target.resource, Ok(answer))
            }
            Ok(_) => Called::Gone { resource: target.resource, uid: target.uid.unwrap_or_default() },
            Err(error) => Called::Failed { verb: "delete", error },
        }
    }

    async fn finalize(&self, object: Body, resources: Vec<Resource>) -> Called {
        let namespace = object.target.name.clone();
        for resource in resources {
            match self.client.request::<Listed>(bare("GET", format!("{}?limit=1", resource.path(&namespace)))).await {
                Ok(listed) if listed.items.is_empty() => {}
                Ok(_) => return Called::Later,
                Err(error) if matches!(code(&error), 404 | 405) => {}
                Err(error) => return Called::Failed { verb: "list", error },
            }
        }
        let answer = self.send("PUT", object.target.path(Some("finalize")), JSON, object.json).await;
        match answer {
            Ok(_) => Called::Gone { resource: object.target.resource, uid: object.target.uid.unwrap_or_default() },
            Err(error) if code(&error) == 404 => Called::Nothing,
            Err(error) => Called::Failed { verb: "update", error },
        }
    }

    async fn send(&self, method: &'static str, path: String, content_type: &'static str, body: Vec<u8>) -> Result<Answer, kube::Error> {
        let request = http::Request::builder().method(method).uri(path).header(http::header::CONTENT_TYPE, content_type).body(body);
        self.client.request(request.map_err(kube::Error::HttpError)?).await
    }

    fn announce<T>(&self, announce: Option<Announce>, name: &str, outcome: &Result<T, kube::Error>) {
        let Some(Announce { about, done, failed }) = announce else { return };
        let note = match outcome {
            Ok(_) => done.map(|(reason, message)| Note { about, warning: false, reason, message: message.replace("{name}", name) }),
            Err(error) if lost_race(error) || namespace_ends(error) => None,
            Err(error) => failed.map(|(reason, message)| Note {
                about,
                warning: true,
                reason,
                message: message.replace("{name}", name).replace("{error}", &words(error)),
            }),
        };
        note.into_iter().for_each(|n| self.recorder.record(n));
    }
}

#[derive(Deserialize)]
struct Live {
    metadata: LiveMeta,
}

#[derive(Deserialize)]
struct LiveMeta {
    #[serde(default)]
    uid: String,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default)]
    items: Vec<serde::de::IgnoredAny>,
}

/// What one call came to.
enum Called {
    Wrote {
        resource: Resource,
        revision: u64,
    },
    Gone {
        resource: Resource,
        uid: String,
    },
    Nothing,
    /// A condition does not hold yet.
    Later,
    /// It may not be done, yet.
    Refused {
        verb: &'static str,
        message: String,
    },
    Failed {
        verb: &'static str,
        error: kube::Error,
    },
}

fn written(verb: &'static str, resource: Resource, answer: Result<Answer, kube::Error>) -> Called {
    match answer {
        Ok(answer) => Called::Wrote { resource, revision: answer.metadata.resource_version.parse().unwrap_or_default() },
        Err(error) => Called::Failed { verb, error },
    }
}

fn bare(method: &'static str, path: String) -> http::Request<Vec<u8>> {
    http::Request::builder().method(method).uri(path).body(Vec::new()).expect("paths of resources are valid URIs")
}

fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn lost_race(error: &kube::Error) -> bool {
    matches!(code(error), 404 | 409)
}

/// What is created in a namespace that ends is refused, and that is well.
fn namespace_ends(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.details.iter().flat_map(|d| &d.causes).any(|c| c.reason == "NamespaceTerminating"))
}

impl Outcome {
    /// Whether it went well.
    fn add(&mut self, called: Called) -> bool {
        match called {
            Called::Wrote { resource, revision } => {
                let at = self.writes.entry(resource).or_default();
                *at = revision.max(*at);
                true
            }
            Called::Gone { resource, uid } => {
                self.gone.push((resource, uid));
                true
            }
            Called::Nothing => true,
            Called::Later => {
                self.fail(Failure { verb: "delete", message: "not yet".to_owned(), lost_race: true });
                false
            }
            Called::Refused { verb, message } => {
                self.fail(Failure { verb, message, lost_race: true });
                false
            }
            Called::Failed { error, .. } if namespace_ends(&error) => false,
            Called::Failed { verb, error } => {
                self.fail(Failure { verb, message: words(&error), lost_race: lost_race(&error) });
                false
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        if self.failure.as_ref().is_none_or(|f| f.lost_race && !failure.lost_race) {
            self.failure = Some(failure);
        }
    }

    /// Waits until the caches have seen all that was written.
    pub(crate) async fn seen(self, world: &World) {
        for (resource, revision) in self.writes {
            if let Some(progress) = world.progress(&resource) {
                // The sender lives as long as the progress that is held here.
                let _ = progress.subscribe().wait_for(|at| *at >= revision).await;
            }
        }
        for (resource, uid) in self.gone.into_iter().filter(|(_, uid)| !uid.is_empty()) {
            if let Some(progress) = world.progress(&resource) {
                let _ = progress.subscribe().wait_for(|_| world.graph.get(&uid).is_none_or(|n| n.deleting)).await;
            }
        }
    }
}
