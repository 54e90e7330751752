//! Worlds from YAML, plans as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use expect_test::Expect;
use k8s_openapi::jiff::Timestamp;
use k8s_openapi::jiff::tz::TimeZone;
use serde_json::Value;

use crate::Options;
use crate::action::Action;
use crate::controllers::Controller;
use crate::resource::Key;
use crate::world::{Failure, Turn, World};

/// The time in all tests.
pub(crate) const NOW: &str = "2026-01-01T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().expect("a timestamp")
}

fn options() -> Options {
    Options { ca_pem: "CA\n".to_owned(), time_zone: TimeZone::UTC, ..Options::default() }
}

/// The world that holds the objects of a multi-document YAML. uids and resourceVersions are filled in where missing (`KIND-NAME`, `1`).
pub(crate) fn world(yaml: &str) -> World {
    let world = World::new(options());
    for document in yaml.split("\n---\n") {
        let mut object: Value = serde_yaml::from_str(document).expect("valid YAML");
        if object.is_null() {
            continue;
        }
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let meta = object["metadata"].as_object_mut().expect("metadata");
        let name = meta["name"].as_str().unwrap_or_default().to_owned();
        meta.entry("uid").or_insert_with(|| format!("{}-{name}", kind.to_lowercase()).into());
        meta.entry("resourceVersion").or_insert_with(|| "1".into());
        if !matches!(kind.as_str(), "Namespace" | "Node" | "ClusterRole" | "CertificateSigningRequest" | "PersistentVolume") {
            meta.entry("namespace").or_insert_with(|| "default".into());
        }
        world.put(object);
    }
    world
}

pub(crate) fn plan(controller: &dyn Controller, world: &World, key: &str) -> Vec<Action> {
    plan_after(controller, world, key, None)
}

pub(crate) fn plan_after(controller: &dyn Controller, world: &World, key: &str, failure: Option<&Failure>) -> Vec<Action> {
    let (namespace, name) = key.split_once('/').map_or(("", key), |(ns, name)| (ns, name));
    controller.plan(&Turn { world, key: &Key::new(namespace, name), now: now(), failure })
}

/// The plan for a key (`namespace/name` or `name`) in a world, as text: each action, and the parts of its body that are named in `show`.
pub(crate) fn check(controller: &dyn Controller, yaml: &str, key: &str, show: &[&str], expect: Expect) {
    expect.assert_eq(&text(&plan(controller, &world(yaml), key), show));
}

pub(crate) fn text(actions: &[Action], show: &[&str]) -> String {
    let mut out = String::new();
    for action in actions {
        writeln!(out, "{action}").expect("text grows");
        if let Action::Create { object: body, .. } | Action::Update { object: body, .. } = action {
            let value: Value = serde_json::from_slice(&body.json).expect("JSON");
            for pointer in show {
                if let Some(part) = value.pointer(&format!("/{}", pointer.replace('.', "/"))) {
                    writeln!(out, "  {pointer}: {part}").expect("text grows");
                }
            }
        }
    }
    out
}

/// An API server of a few lines, with a kubelet: plans are performed, and the world sees at once what was done.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) objects: BTreeMap<(String, Key), Value>,
    pub(crate) events: Vec<String>,
    pub(crate) now: Timestamp,
    revision: u64,
}

impl Cluster {
    pub(crate) fn new(yaml: &str) -> Cluster {
        let mut cluster = Cluster { world: World::new(options()), objects: BTreeMap::new(), events: Vec::new(), now: now(), revision: 0 };
        for document in yaml.split("\n---\n") {
            cluster.create(serde_yaml::from_str(document).expect("valid YAML")).expect("a new object");
        }
        cluster
    }

    pub(crate) fn all(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|((k, _), _)| k == kind).map(|(_, o)| o).collect()
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> &Value {
        &self.objects[&(kind.to_owned(), Key::new("default", name))]
    }

    fn create(&mut self, mut object: Value) -> Result<(), String> {
        self.revision += 1;
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let meta = object["metadata"].as_object_mut().expect("metadata");
        if meta.get("name").is_none() {
            let name = format!("{}{:05}", meta["generateName"].as_str().expect("a name or generateName"), self.revision);
            meta.insert("name".to_owned(), name.into());
        }
        meta.insert("namespace".to_owned(), "default".into());
        meta.insert("uid".to_owned(), format!("uid-{}", self.revision).into());
        meta.insert("generation".to_owned(), 1.into());
        meta.insert("creationTimestamp".to_owned(), self.now.to_string().into());
        let key = Key::new("default", meta["name"].as_str().expect("a name"));
        if self.objects.contains_key(&(kind.clone(), key.clone())) {
            return Err(format!("{kind} {key} already exists"));
        }
        self.store(&kind, key, object);
        Ok(())
    }

    fn store(&mut self, kind: &str, key: Key, mut object: Value) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let old = self.objects.insert((kind.to_owned(), key.clone()), object.clone());
        if let Some(old) = old
            && old["spec"] != object["spec"]
        {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
            object["metadata"]["generation"] = generation.into();
            self.objects.insert((kind.to_owned(), key), object.clone());
        }
        self.world.put(object);
    }

    /// A user's, or a kubelet's, merge patch.
    pub(crate) fn patch(&mut self, kind: &str, name: &str, patch: &Value) {
        let key = Key::new("default", name);
        let mut object = self.objects[&(kind.to_owned(), key.clone())].clone();
        merge(&mut object, patch);
        self.store(kind, key, object);
    }

    pub(crate) fn remove(&mut self, kind: &str, name: &str) {
        let key = Key::new("default", name);
        self.objects.remove(&(kind.to_owned(), key.clone()));
        self.world.take(kind, &key);
    }

    /// Plans one key and performs the plan; gives how long it is until the plan wants to be made again.
    pub(crate) fn turn(&mut self, controller: &dyn Controller, name: &str) -> (usize, Option<std::time::Duration>) {
        self.turn_cut_off(controller, name, usize::MAX)
    }

    /// The same, when the controller dies after so many steps of the plan.
    pub(crate) fn turn_cut_off(&mut self, controller: &dyn Controller, name: &str, after: usize) -> (usize, Option<std::time::Duration>) {
        let key = Key::new("default", name);
        let actions = controller.plan(&Turn { world: &self.world, key: &key, now: self.now, failure: None });
        let (mut done, mut again) = (0, None);
        for action in actions.into_iter().take(after) {
            done += 1;
            match action {
                Action::Create { object, .. } => self.create(serde_json::from_slice(&object.json).expect("JSON")).expect("nothing has this name"),
                Action::Update { object, subresource } => {
                    let new: Value = serde_json::from_slice(&object.json).expect("JSON");
                    let (kind, name) = (object.target.resource.kind.to_string(), object.target.name);
                    let mut current = self.get(&kind, &name).clone();
                    assert_eq!(new["metadata"]["resourceVersion"], current["metadata"]["resourceVersion"], "{kind} {name}: conflict within one plan");
                    match subresource {
                        None => current = new,
                        Some(_) => {
                            current["status"] = new["status"].clone();
                            current["metadata"]["annotations"] = new["metadata"]["annotations"].clone();
                        }
                    }
                    self.store(&kind, Key::new("default", name), current);
                }
                Action::Patch { target, patch, .. } => {
                    let current = self.get(&target.resource.kind, &target.name);
                    assert_eq!(target.uid.as_deref(), current["metadata"]["uid"].as_str());
                    if let Some(version) = &target.resource_version {
                        assert_eq!(Some(version.as_str()), current["metadata"]["resourceVersion"].as_str());
                    }
                    self.patch(&target.resource.kind, &target.name, &patch);
                }
                Action::Delete { target, .. } if target.resource.kind == "Pod" => {
                    self.patch("Pod", &target.name, &serde_json::json!({"metadata": {"deletionTimestamp": self.now.to_string()}}));
                }
                Action::Delete { target, .. } => self.remove(&target.resource.kind, &target.name),
                Action::RequeueAfter(after) => {
                    done -= 1;
                    again = Some(again.map_or(after, |a: std::time::Duration| a.min(after)));
                }
                Action::Record(note) => {
                    done -= 1;
                    self.events.push(format!("{}: {}", note.reason, note.message));
                }
                other => assert!(matches!(other, Action::Barrier), "{other}"),
            }
        }
        (done, again)
    }
}

pub(crate) fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (target @ Value::Object(_), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.as_object_mut().map(|t| t.remove(key));
                } else {
                    merge(&mut target[key], value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}
