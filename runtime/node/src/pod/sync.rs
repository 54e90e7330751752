//! What to do next for a Pod: pure and level-triggered. The same world gives the same plan, whatever happened before.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use litemap::LiteMap;

use super::record::{Ended, PodRecord, Record, Role, State, Verdict, containers, ephemeral};

/// All that a plan depends on.
pub struct World<'a> {
    /// The Pod as the API has it.
    pub pod: &'a Pod,
    /// What the node remembers of it.
    pub record: &'a PodRecord,
    /// What goes on right now, by container; nothing for a container that is at rest.
    pub activity: &'a Activities,
    /// Address, volumes and folders are there.
    pub prepared: bool,
    /// The Pod is to end: since when it was told to.
    pub ending: bool,
    /// The time.
    pub now: Timestamp,
}

/// What goes on with the containers, by name. (Boxed, as the records are.)
pub type Activities = LiteMap<String, Box<Activity>>;

/// What goes on with one container, beyond its record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Activity {
    /// It is being pulled, configured or started.
    pub busy: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// Not to be started before this: image or configuration could not be had.
    pub retry_at: Option<Timestamp>,
    /// Not to be restarted before this: it ends too often.
    pub backoff_until: Option<Timestamp>,
    /// The startup probe succeeded, or there is none.
    pub started: bool,
    /// The readiness probe succeeded, or there is none.
    pub ready: bool,
    /// The liveness or startup probe gave up: why, in the words of the Event.
    pub unhealthy: Option<String>,
    /// What `state.waiting` says while it does not run: reason and message.
    pub waiting: Option<(String, Option<String>)>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make ready: admit, address, folders, volumes.
    Prepare,
    /// Pull, configure and start a container.
    Start(String),
    /// Say that a container waits before it is restarted.
    BackOff(String),
    /// End a container, and why.
    Stop(String, Why),
    /// End the whole Pod as failed.
    Fail(Verdict),
    /// All containers have ended for good: release what the Pod holds, and when it is being deleted, delete it.
    Finish,
}

/// Why a container is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The Pod ends.
    PodEnds,
    /// Its image changed in the Pod's spec.
    Changed,
    /// A probe gave up.
    Unhealthy(String),
}

/// What to do now, and when to look again although nothing happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub actions: Vec<Action>,
    /// The next time that changes the plan.
    pub wake: Option<Timestamp>,
}

/// Plans.
pub fn sync(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    if world.ending || world.record.verdict.is_some() {
        stop_all(world, &mut plan);
        return plan;
    }
    if over(world) {
        stop_all(world, &mut plan);
        return plan;
    }
    if let Some(end) = deadline(world) {
        if world.now >= end {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            plan.actions.push(Action::Fail(Verdict { reason: "DeadlineExceeded".to_owned(), message }));
            return plan;
        }
        plan.wake_at(end);
    }
    if !world.prepared {
        plan.actions.push(Action::Prepare);
        return plan;
    }
    for c in ephemeral(world.pod).filter(|c| !world.activity(&c.name).busy) {
        if world.record(&c.name).is_none_or(|r| r.state == State::Waiting) {
            start(&mut plan, &world.activity(&c.name), &c.name, world.now);
        }
    }
    if run_init(world, &mut plan) {
        for (_, c) in containers(world.pod).filter(|(role, _)| *role == Role::Main) {
            keep(world, &mut plan, Role::Main, &c.name, c.image.as_deref().unwrap_or_default());
        }
    }
    plan
}

/// Whether the init containers have done their work; if not, plans the next of them. Sidecars are kept running on the way.
fn run_init(world: &World<'_>, plan: &mut Plan) -> bool {
    // Once a main container ran, its init containers' work is done, also when their records are gone.
    let begun = containers(world.pod).any(|(role, c)| role == Role::Main && world.record(&c.name).is_some_and(|r| r.state != State::Waiting));
    for (role, c) in containers(world.pod).filter(|(role, _)| *role != Role::Main) {
        let image = c.image.as_deref().unwrap_or_default();
        let record = world.record(&c.name);
        match role {
            Role::Sidecar => {
                keep(world, plan, role, &c.name, image);
                let up = record.is_some_and(|r| r.running()) && world.activity(&c.name).started;
                if !up && !begun {
                    return false;
                }
            }
            _ if begun || record.and_then(|r| r.ended()).is_some_and(|e| e.exit_code == 0) => {}
            _ => {
                keep(world, plan, role, &c.name, image);
                return false;
            }
        }
    }
    true
}

/// Starts, restarts, or ends one container as its state asks for.
fn keep(world: &World<'_>, plan: &mut Plan, role: Role, name: &str, image: &str) {
    let activity = world.activity(name);
    if activity.busy {
        return;
    }
    match world.record(name).map(|r| (&r.state, r)) {
        Some((State::Running { .. }, record)) => {
            if activity.stopping {
            } else if record.spec_image != image && role != Role::Init {
                plan.actions.push(Action::Stop(name.to_owned(), Why::Changed));
            } else if let Some(why) = &activity.unhealthy {
                plan.actions.push(Action::Stop(name.to_owned(), Why::Unhealthy(why.clone())));
            }
        }
        Some((State::Ended(ended), record)) => {
            let changed = record.spec_image != image && role != Role::Init;
            if changed || restarts(world.pod, role, ended) {
                match activity.backoff_until.filter(|end| *end > world.now && !changed) {
                    Some(end) => {
                        plan.actions.push(Action::BackOff(name.to_owned()));
                        plan.wake_at(end);
                    }
                    None => start(plan, &activity, name, world.now),
                }
            }
        }
        _ => start(plan, &activity, name, world.now),
    }
}

fn start(plan: &mut Plan, activity: &Activity, name: &str, now: Timestamp) {
    match activity.retry_at.filter(|at| *at > now) {
        Some(at) => plan.wake_at(at),
        None => plan.actions.push(Action::Start(name.to_owned())),
    }
}

/// Whether a container that ended this way runs again.
pub fn restarts(pod: &Pod, role: Role, ended: &Ended) -> bool {
    let policy = pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()).unwrap_or("Always");
    match (role, policy) {
        (Role::Sidecar, _) => true,
        (_, "Never") => false,
        (Role::Main, "Always") => true,
        _ => ended.exit_code != 0,
    }
}

/// Whether the Pod's work is over by itself: every main container ended for good, or an init container did without success.
fn over(world: &World<'_>) -> bool {
    let ended_for_good = |role: Role, name: &str, image: &str| {
        world.record(name).is_some_and(|r| r.ended().is_some_and(|e| !restarts(world.pod, role, e) && (role == Role::Init || r.spec_image == image)))
    };
    let mut mains = 0;
    let mut done = 0;
    for (role, c) in containers(world.pod) {
        let image = c.image.as_deref().unwrap_or_default();
        match role {
            Role::Init if ended_for_good(role, &c.name, image) && world.record(&c.name).and_then(|r| r.ended()).is_some_and(|e| e.exit_code != 0) => {
                return true;
            }
            Role::Main => {
                mains += 1;
                done += usize::from(ended_for_good(role, &c.name, image) && !world.activity(&c.name).busy);
            }
            _ => {}
        }
    }
    mains > 0 && mains == done
}

/// Ends the main and the ephemeral containers, then the sidecars from the last to the first; then it is finished.
fn stop_all(world: &World<'_>, plan: &mut Plan) {
    let alive = |name: &str| world.record(name).is_some_and(Record::running);
    let mut waits = false;
    let own = containers(world.pod).filter(|(role, _)| *role != Role::Sidecar).map(|(_, c)| c.name.clone());
    for name in own.chain(ephemeral(world.pod).map(|c| c.name)) {
        let activity = world.activity(&name);
        waits |= activity.busy || alive(&name);
        if alive(&name) && !activity.stopping {
            plan.actions.push(Action::Stop(name, Why::PodEnds));
        }
    }
    let sidecars: Vec<_> = containers(world.pod).filter(|(role, _)| *role == Role::Sidecar).collect();
    for (_, c) in sidecars.into_iter().rev() {
        if waits {
            return;
        }
        let activity = world.activity(&c.name);
        waits = activity.busy || alive(&c.name);
        if alive(&c.name) && !activity.stopping {
            plan.actions.push(Action::Stop(c.name.clone(), Why::PodEnds));
        }
    }
    if !waits {
        plan.actions.push(Action::Finish);
    }
}

fn deadline(world: &World<'_>) -> Option<Timestamp> {
    let seconds = world.pod.spec.as_ref()?.active_deadline_seconds?;
    let seconds = u64::try_from(seconds).ok()?;
    world.record.started_at?.checked_add(SignedDuration::try_from(Duration::from_secs(seconds)).ok()?).ok()
}

impl World<'_> {
    fn record(&self, name: &str) -> Option<&Record> {
        self.record.containers.get(name).map(|r| &**r)
    }
    fn activity(&self, name: &str) -> Activity {
        self.activity.get(name).map(|a| (**a).clone()).unwrap_or_default()
    }
}

impl Plan {
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |w| w.min(at)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn t(s: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + s).unwrap()
    }

    /// `spec` is the Pod's; `world` one line a container: `name state [activity…]`; the time is 100.
    fn check(spec: &str, world: &str, want: Expect) {
        let mut spec: serde_json::Value = serde_json::from_str(spec).unwrap();
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for c in spec.get_mut(list).and_then(|l| l.as_array_mut()).into_iter().flatten() {
                if c.get("image").is_none() {
                    c["image"] = "i".into();
                }
            }
        }
        let pod: Pod = serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        let mut record = PodRecord { started_at: Some(t(0)), ..Default::default() };
        let mut activity = Activities::new();
        let (mut ending, mut prepared) = (false, true);
        for line in world.split(';').map(str::trim).filter(|l| !l.is_empty()) {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap();
            match name {
                "ending" => {
                    ending = true;
                    continue;
                }
                "unprepared" => {
                    prepared = false;
                    continue;
                }
                _ => {}
            }
            let mut r = Record { spec_image: "i".into(), ..Default::default() };
            let mut a = Activity { started: true, ..Default::default() };
            for word in words {
                match word.split_once('=').unwrap_or((word, "")) {
                    ("running", _) => r.start("id".into(), t(50)),
                    ("exit", code) => {
                        r.start("id".into(), t(50));
                        r.end(code.parse().unwrap(), "x", None, t(90));
                    }
                    ("image", image) => r.spec_image = image.into(),
                    ("busy", _) => a.busy = true,
                    ("stopping", _) => a.stopping = true,
                    ("starting", _) => a.started = false,
                    ("backoff", until) => a.backoff_until = Some(t(until.parse().unwrap())),
                    ("retry", at) => a.retry_at = Some(t(at.parse().unwrap())),
                    ("sick", _) => a.unhealthy = Some("sick".into()),
                    other => panic!("{other:?}"),
                }
            }
            record.containers.insert(name.to_owned(), Box::new(r));
            activity.insert(name.to_owned(), Box::new(a));
        }
        let plan = sync(&World { pod: &pod, record: &record, activity: &activity, prepared, ending, now: t(100) });
        let mut text = plan.actions.iter().map(|a| format!("{a:?}")).collect::<Vec<_>>().join(", ");
        if let Some(wake) = plan.wake {
            text += &format!(" wake {}", wake.as_second() - 1_800_000_000);
        }
        want.assert_eq(&text);
    }

    const ONE: &str = r#"{"containers": [{"name": "a"}]}"#;
    const NEVER: &str = r#"{"restartPolicy": "Never", "containers": [{"name": "a"}, {"name": "b"}]}"#;
    const ON_FAILURE: &str = r#"{"restartPolicy": "OnFailure", "containers": [{"name": "a"}]}"#;
    const INIT: &str = r#"{"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}, {"name": "j"}], "containers": [{"name": "a"}]}"#;

    #[test]
    fn begins() {
        check(ONE, "unprepared", expect!["Prepare"]);
        check(ONE, "", expect![[r#"Start("a")"#]]);
        check(ONE, "a busy", expect![""]);
        check(ONE, "a running", expect![""]);
        check(ONE, "a retry=110", expect![" wake 110"]);
        check(ONE, "a retry=100", expect![[r#"Start("a")"#]]);
    }

    #[test]
    fn restarts_by_policy() {
        check(ONE, "a exit=0", expect![[r#"Start("a")"#]]);
        check(ONE, "a exit=1 backoff=120", expect![[r#"BackOff("a") wake 120"#]]);
        check(ONE, "a exit=1 backoff=100", expect![[r#"Start("a")"#]]);
        check(ON_FAILURE, "a exit=1", expect![[r#"Start("a")"#]]);
        check(ON_FAILURE, "a exit=0", expect!["Finish"]);
        check(NEVER, "a exit=0; b running", expect![""]);
        check(NEVER, "a exit=0; b exit=3", expect!["Finish"]);
    }

    #[test]
    fn a_changed_image_restarts_the_container() {
        check(ONE, "a running image=old", expect![[r#"Stop("a", Changed)"#]]);
        check(ONE, "a running image=old stopping", expect![""]);
        check(ONE, "a exit=0 image=old backoff=200", expect![[r#"Start("a")"#]]);
        check(NEVER, "a exit=0 image=old; b exit=0", expect![[r#"Start("a")"#]]);
    }

    #[test]
    fn an_unhealthy_one_is_ended() {
        check(ONE, "a running sick", expect![[r#"Stop("a", Unhealthy("sick"))"#]]);
        check(ONE, "a running sick stopping", expect![""]);
    }

    #[test]
    fn init_containers_in_order() {
        check(INIT, "", expect![[r#"Start("i")"#]]);
        check(INIT, "i running", expect![""]);
        check(INIT, "i exit=1 backoff=105", expect![[r#"BackOff("i") wake 105"#]]);
        check(INIT, "i exit=0", expect![[r#"Start("s")"#]]);
        check(INIT, "i exit=0; s running starting", expect![""]);
        check(INIT, "i exit=0; s running", expect![[r#"Start("j")"#]]);
        check(INIT, "i exit=0; s exit=1; j running", expect![[r#"Start("s")"#]]);
        check(INIT, "i exit=0; s running; j exit=0", expect![[r#"Start("a")"#]]);
        check(INIT, "s exit=1; a running", expect![[r#"Start("s")"#]]);
        check(r#"{"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}"#, "i exit=1", expect!["Finish"]);
    }

    #[test]
    fn ephemeral_containers_start_once_and_hold_nothing_up() {
        const DEBUGGED: &str =
            r#"{"restartPolicy": "Never", "initContainers": [{"name": "i"}], "containers": [{"name": "a"}], "ephemeralContainers": [{"name": "e"}]}"#;
        check(DEBUGGED, "i running", expect![[r#"Start("e")"#]]);
        check(DEBUGGED, "i exit=0; a running; e busy", expect![""]);
        check(DEBUGGED, "i exit=0; a running; e exit=1", expect![""]);
        check(DEBUGGED, "i exit=0; a exit=0; e running", expect![[r#"Stop("e", PodEnds)"#]]);
        check(DEBUGGED, "ending; i exit=0; a running; e running", expect![[r#"Stop("a", PodEnds), Stop("e", PodEnds)"#]]);
        check(DEBUGGED, "i exit=0; a exit=0; e exit=0", expect!["Finish"]);
    }

    #[test]
    fn ends_in_order() {
        check(ONE, "ending; a running", expect![[r#"Stop("a", PodEnds)"#]]);
        check(ONE, "ending; a running stopping", expect![""]);
        check(ONE, "ending; a busy", expect![""]);
        check(ONE, "ending; a exit=143", expect!["Finish"]);
        check(ONE, "ending", expect!["Finish"]);
        check(INIT, "ending; s running; a running", expect![[r#"Stop("a", PodEnds)"#]]);
        check(INIT, "ending; s running; a exit=0", expect![[r#"Stop("s", PodEnds)"#]]);
        check(
            r#"{"restartPolicy": "Never", "initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "a"}]}"#,
            "s running; a exit=0",
            expect![[r#"Stop("s", PodEnds)"#]],
        );
    }

    #[test]
    fn deadline() {
        check(
            r#"{"activeDeadlineSeconds": 100, "containers": [{"name": "a"}]}"#,
            "a running",
            expect![[r#"Fail(Verdict { reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline" })"#]],
        );
        check(r#"{"activeDeadlineSeconds": 150, "containers": [{"name": "a"}]}"#, "a running", expect![" wake 150"]);
    }
}
