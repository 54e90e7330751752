//! What a node remembers of a Pod, in its folder, so that a restart of the node finds the Pod again.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use litemap::LiteMap;
use serde::{Deserialize, Serialize};

/// A Pod's record: the file `state.json` of its folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodRecord {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The Pod's address, once it has one.
    pub ip: Option<Ipv4Addr>,
    /// It has ended, and its address may be another Pod's by now.
    #[serde(default)]
    pub released: bool,
    /// When the node took the Pod.
    pub started_at: Option<Timestamp>,
    /// Containers by name, init containers among them. (Boxed: the map begins with room for four.)
    pub containers: LiteMap<String, Box<Record>>,
    /// Why the node refused the Pod or ended it before its time; its phase is `Failed` then.
    pub verdict: Option<Verdict>,
}

/// Why a Pod failed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `status.reason`: `OutOfcpu`, `DeadlineExceeded`, …
    pub reason: String,
    /// `status.message`.
    pub message: String,
}

/// What is known of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where it is in its life.
    pub state: State,
    /// How it ended the time before.
    pub last: Option<Ended>,
    /// How many times it was started again, failed requests of a `wasi:http` container counted with them.
    pub restarts: i32,
    /// Number of its log file: how many times it really was started again.
    #[serde(default)]
    pub run: i32,
    /// `image` of the Pod's spec that it was started with; another one there now means a restart.
    pub spec_image: String,
    /// `status.image`.
    pub image: String,
    /// `status.imageID`.
    pub image_id: String,
    /// Ends it had to be told of: `wasi:http` requests that ran out of memory or trapped, counted as restarts.
    #[serde(default)]
    pub faults: u64,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Not started yet.
    #[default]
    Waiting,
    /// Runs.
    Running {
        /// Its containerID: `wasmtime://…`, or `native://…` for code of the node itself.
        id: String,
        /// Since when.
        started_at: Timestamp,
    },
    /// Ran.
    Ended(Ended),
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its containerID.
    pub id: String,
    /// 0 to 255.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, …
    pub reason: String,
    /// More words, where there are.
    pub message: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl Record {
    /// The end that a restart follows: this run's, if it ended.
    pub fn ended(&self) -> Option<&Ended> {
        match &self.state {
            State::Ended(ended) => Some(ended),
            _ => None,
        }
    }

    /// Whether it runs.
    pub fn running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Notes a new run that began at `now`.
    pub fn start(&mut self, id: String, now: Timestamp) {
        if let State::Ended(ended) = std::mem::replace(&mut self.state, State::Running { id, started_at: now }) {
            self.last = Some(ended);
            self.restarts = self.restarts.saturating_add(1);
            self.run = self.run.saturating_add(1);
        }
        self.faults = 0;
    }

    /// Notes the end of the current run.
    pub fn end(&mut self, exit_code: i32, reason: &str, message: Option<String>, now: Timestamp) {
        if let State::Running { id, started_at } = &self.state {
            let (id, started_at) = (id.clone(), *started_at);
            self.state = State::Ended(Ended { id, exit_code, reason: reason.to_owned(), message, started_at, finished_at: now });
        }
    }
}

impl PodRecord {
    /// After a restart of the node: what ran is gone with the process that ran it.
    pub fn recover(&mut self, now: Timestamp) {
        for (_, record) in self.containers.iter_mut() {
            record.end(255, "Unknown", Some("The node was restarted while the container ran".to_owned()), now);
        }
    }
}

/// Which of a Pod's lists a container stands in, and how it is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An init container: runs to its end before the next.
    Init,
    /// A restartable init container: the next begins once it has started, and it ends after the main ones.
    Sidecar,
    /// A main container.
    Main,
    /// Added to a running Pod (`kubectl debug`): started once, and nothing waits for it.
    Ephemeral,
}

/// All containers of a Pod's own with their roles, init containers first; without the ephemeral ones.
pub fn containers(pod: &Pod) -> impl Iterator<Item = (Role, &Container)> {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
    let main = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
    let role = |c: &Container| if c.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init };
    init.iter().map(move |c| (role(c), c)).chain(main.iter().map(|c| (Role::Main, c)))
}

/// A Pod's ephemeral containers, as ordinary ones.
pub fn ephemeral(pod: &Pod) -> impl Iterator<Item = Container> {
    pod.spec.iter().flat_map(|s| s.ephemeral_containers.iter().flatten()).map(|c| Container {
        args: c.args.clone(),
        command: c.command.clone(),
        env: c.env.clone(),
        env_from: c.env_from.clone(),
        image: c.image.clone(),
        image_pull_policy: c.image_pull_policy.clone(),
        name: c.name.clone(),
        security_context: c.security_context.clone(),
        stdin: c.stdin,
        stdin_once: c.stdin_once,
        termination_message_path: c.termination_message_path.clone(),
        termination_message_policy: c.termination_message_policy.clone(),
        tty: c.tty,
        volume_mounts: c.volume_mounts.clone(),
        working_dir: c.working_dir.clone(),
        ..Default::default()
    })
}

/// A container by its name, an ephemeral one too.
pub fn container<'p>(pod: &'p Pod, name: &str) -> Option<(Role, Cow<'p, Container>)> {
    let found = containers(pod).find(|(_, c)| c.name == name).map(|(role, c)| (role, Cow::Borrowed(c)));
    found.or_else(|| ephemeral(pod).find(|c| c.name == name).map(|c| (Role::Ephemeral, Cow::Owned(c))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_restarts_and_survives_a_node_restart() {
        let t = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let mut r = Record::default();
        r.start("a".into(), t(0));
        assert_eq!((r.restarts, r.last.is_some()), (0, false));
        r.end(1, "Error", None, t(5));
        r.start("b".into(), t(6));
        assert_eq!((r.restarts, r.last.as_ref().unwrap().exit_code), (1, 1));
        let mut pod = PodRecord { containers: [("c".to_owned(), Box::new(r))].into_iter().collect(), ..Default::default() };
        let text = serde_json::to_string(&pod).unwrap();
        let again: PodRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(again, pod);
        pod.recover(t(9));
        let r = pod.containers.get("c").unwrap();
        assert_eq!(r.ended().map(|e| (e.exit_code, e.reason.as_str(), e.started_at)), Some((255, "Unknown", t(6))));
        let before = pod.clone();
        pod.recover(t(10));
        assert_eq!(pod, before, "what ended stays as it ended");
    }
}
