//! `status` of a Pod, from what the node knows of it. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodCondition, PodIP,
    PodStatus, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::record::{Ended, PodRecord, Record, Role, State, containers, ephemeral};
use super::sync::{Activities, Activity};
use crate::quantity;

/// The status that the Pod should have.
pub fn status(pod: &Pod, record: &PodRecord, activity: &Activities, prepared: bool, host_ip: IpAddr, now: Timestamp) -> PodStatus {
    let old = pod.status.clone().unwrap_or_default();
    let mut out = PodStatus {
        observed_generation: pod.metadata.generation,
        host_ip: Some(host_ip.to_string()),
        host_ips: Some(vec![HostIP { ip: host_ip.to_string() }]),
        qos_class: Some(old.qos_class.clone().unwrap_or_else(|| qos_class(pod).to_owned())),
        start_time: record.started_at.map(Time).or_else(|| old.start_time.clone()),
        resize: old.resize.clone(),
        resource_claim_statuses: old.resource_claim_statuses.clone(),
        ..Default::default()
    };
    if let Some(ip) = record.ip {
        out.pod_ip = Some(ip.to_string());
        out.pod_ips = Some(vec![PodIP { ip: ip.to_string() }]);
    }
    if let Some(verdict) = &record.verdict {
        out.phase = Some("Failed".to_owned());
        out.reason = Some(verdict.reason.clone());
        out.message = Some(verdict.message.clone());
        if record.containers.is_empty() {
            // Refused: nothing was ever done for it.
            out.host_ip = None;
            out.host_ips = None;
            out.conditions = keep_foreign(&old);
            return out;
        }
    }
    let waiting = if containers(pod).any(|(role, _)| role != Role::Main) { "PodInitializing" } else { "ContainerCreating" };
    let (mut init, mut main) = (vec![], vec![]);
    let mut all = vec![];
    for (role, c) in containers(pod) {
        let one = record.containers.get(&c.name).map(|r| &**r);
        let act = activity.get(&c.name).map(|a| &**a);
        all.push((role, one));
        let status = container_status(c, one, act, role, waiting);
        if role == Role::Main { main.push(status) } else { init.push(status) }
    }
    let debug = ephemeral(pod).map(|c| {
        let status = container_status(&c, record.containers.get(&c.name).map(|r| &**r), activity.get(&c.name).map(|a| &**a), Role::Ephemeral, waiting);
        ContainerStatus { started: None, ready: false, ..status }
    });
    let debug: Vec<_> = debug.collect();
    main.sort_by(|a, b| a.name.cmp(&b.name));
    let phase = match old.phase.as_deref() {
        Some(last @ ("Succeeded" | "Failed")) => last,
        _ if record.verdict.is_some() => "Failed",
        _ => phase(pod, &all),
    };
    out.conditions = Some(conditions(pod, &old, phase, prepared && record.ip.is_some(), &init, &main, now));
    out.phase = Some(phase.to_owned());
    out.container_statuses = Some(main);
    out.init_container_statuses = (!init.is_empty()).then_some(init);
    out.ephemeral_container_statuses = (!debug.is_empty()).then_some(debug);
    out
}

/// The status of one container.
fn container_status(c: &Container, record: Option<&Record>, activity: Option<&Activity>, role: Role, waiting: &str) -> ContainerStatus {
    let idle = Activity::default();
    let (record, activity) = (record.cloned().unwrap_or_default(), activity.unwrap_or(&idle));
    let running = record.running();
    let mut out = ContainerStatus {
        name: c.name.clone(),
        image: if record.image.is_empty() { c.image.clone().unwrap_or_default() } else { record.image.clone() },
        image_id: record.image_id.clone(),
        restart_count: record.restarts,
        started: Some(running && activity.started),
        ready: match (role, &record.state) {
            (Role::Init, State::Ended(e)) => e.exit_code == 0,
            (Role::Init, _) => false,
            _ => running && activity.started && activity.ready,
        },
        ..Default::default()
    };
    let mut state = ContainerState::default();
    let mut last = record.last.as_ref();
    let wait = |reason: &str, message: Option<String>| Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message });
    match (&record.state, &activity.waiting) {
        (State::Running { id, started_at }, _) => {
            out.container_id = Some(container_id(id));
            state.running = Some(ContainerStateRunning { started_at: Some(Time(*started_at)) });
            let resources = c.resources.clone().filter(|r| r.limits.is_some() || r.requests.is_some());
            out.allocated_resources = resources.as_ref().and_then(|r| r.requests.clone());
            out.resources = Some(resources.map_or_else(ResourceRequirements::default, |r| ResourceRequirements { claims: None, ..r }));
        }
        (State::Ended(ended), Some((reason, message))) => {
            out.container_id = Some(container_id(&ended.id));
            state.waiting = wait(reason, message.clone());
            last = Some(ended);
        }
        (State::Ended(ended), None) => {
            out.container_id = Some(container_id(&ended.id));
            state.terminated = Some(terminated(ended));
        }
        (State::Waiting, Some((reason, message))) => state.waiting = wait(reason, message.clone()),
        (State::Waiting, None) => state.waiting = wait(waiting, None),
    }
    out.state = Some(state);
    out.last_state = Some(ContainerState { terminated: last.map(terminated), ..Default::default() });
    out
}

fn container_id(id: &str) -> String {
    // Records of older versions have no scheme.
    if id.contains("://") { id.to_owned() } else { format!("wasmtime://{id}") }
}

fn terminated(e: &Ended) -> ContainerStateTerminated {
    ContainerStateTerminated {
        container_id: Some(container_id(&e.id)),
        exit_code: e.exit_code,
        reason: Some(e.reason.clone()),
        message: e.message.clone(),
        started_at: Some(Time(e.started_at)),
        finished_at: Some(Time(e.finished_at)),
        signal: None,
    }
}

/// The phase, as the kubelet counts it.
fn phase(pod: &Pod, all: &[(Role, Option<&Record>)]) -> &'static str {
    let policy = pod.spec.as_ref().and_then(|s| s.restart_policy.as_deref()).unwrap_or("Always");
    let (mut pending_init, mut failed_init) = (0, 0);
    let (mut running, mut waiting, mut stopped, mut succeeded) = (0, 0, 0, 0);
    let begun = all.iter().any(|(role, r)| *role == Role::Main && r.is_some_and(|r| r.state != State::Waiting));
    for (role, record) in all {
        let state = record.map(|r| &r.state).unwrap_or(&State::Waiting);
        match (role, state) {
            (Role::Init, State::Ended(e)) if e.exit_code == 0 => {}
            (Role::Init, State::Ended(_)) if policy == "Never" => failed_init += 1,
            (Role::Sidecar, State::Running { .. }) => {}
            (Role::Init | Role::Sidecar, _) => pending_init += usize::from(!begun),
            (Role::Main, State::Running { .. }) => running += 1,
            (Role::Main, State::Ended(e)) => {
                stopped += 1;
                succeeded += usize::from(e.exit_code == 0);
            }
            (Role::Main, State::Waiting) => waiting += 1,
            (Role::Ephemeral, _) => {}
        }
    }
    if failed_init > 0 && policy == "Never" {
        return "Failed";
    }
    if pending_init > 0 || waiting > 0 {
        return "Pending";
    }
    if running > 0 {
        return "Running";
    }
    match policy {
        _ if stopped == 0 => "Pending",
        "Always" => "Running",
        _ if stopped == succeeded => "Succeeded",
        "Never" => "Failed",
        _ => "Running",
    }
}

fn conditions(pod: &Pod, old: &PodStatus, phase: &str, sandbox: bool, init: &[ContainerStatus], main: &[ContainerStatus], now: Timestamp) -> Vec<PodCondition> {
    let pass = (true, None, None);
    let fail = |reason: &str, message: Option<String>| (false, Some(reason.to_owned()), message);
    let names = |list: &[&ContainerStatus]| format!("[{}]", list.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(" "));
    let done = phase == "Succeeded";

    let incomplete: Vec<_> = init.iter().filter(|c| !(c.ready || c.started == Some(true) && restartable(pod, &c.name))).collect();
    let begun = main.iter().any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some()));
    let initialized = match () {
        () if incomplete.is_empty() || begun => pass.clone(),
        () if done => (true, Some("PodCompleted".to_owned()), None),
        () => fail("ContainersNotInitialized", Some(format!("containers with incomplete status: {}", names(&incomplete)))),
    };
    let initialized = if done { (true, Some("PodCompleted".to_owned()), None) } else { initialized };

    let sidecars = init.iter().filter(|c| restartable(pod, &c.name));
    let unready: Vec<_> = sidecars.chain(main).filter(|c| !c.ready).collect();
    let containers_ready = match phase {
        "Succeeded" => fail("PodCompleted", None),
        "Failed" => fail("PodFailed", None),
        _ if unready.is_empty() => pass.clone(),
        _ => fail("ContainersNotReady", Some(format!("containers with unready status: {}", names(&unready)))),
    };

    let gates = pod.spec.as_ref().and_then(|s| s.readiness_gates.as_deref()).unwrap_or_default();
    let found = |kind: &str| old.conditions.iter().flatten().find(|c| c.type_ == kind);
    let open: Vec<_> = gates
        .iter()
        .filter_map(|g| match found(&g.condition_type) {
            None => Some(format!("corresponding condition of pod readiness gate \"{}\" does not exist.", g.condition_type)),
            Some(c) if c.status != "True" => Some(format!("the status of pod readiness gate \"{}\" is not \"True\", but {}", g.condition_type, c.status)),
            Some(_) => None,
        })
        .collect();
    let ready = match open.as_slice() {
        _ if !containers_ready.0 => containers_ready.clone(),
        [] => pass.clone(),
        [one] => fail("ReadinessGatesNotReady", Some(one.clone())),
        many => fail("ReadinessGatesNotReady", Some(format!("[{}]", many.join(", ")))),
    };

    let ended = matches!(phase, "Succeeded" | "Failed");
    let sandbox = if sandbox && !ended { pass.clone() } else { (false, None, None) };
    let mut out = vec![];
    for (kind, (ok, reason, message)) in
        [("PodReadyToStartContainers", sandbox), ("Initialized", initialized), ("Ready", ready), ("ContainersReady", containers_ready), ("PodScheduled", pass)]
    {
        let status = if ok { "True" } else { "False" };
        let before = found(kind);
        let since = before.filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
        out.push(PodCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason,
            message,
            last_probe_time: None,
            last_transition_time: Some(since.unwrap_or(Time(now))),
            observed_generation: pod.metadata.generation,
        });
    }
    out.extend(keep_foreign(old).into_iter().flatten());
    out
}

fn restartable(pod: &Pod, name: &str) -> bool {
    containers(pod).any(|(role, c)| role == Role::Sidecar && c.name == name)
}

/// Conditions that others write, `DisruptionTarget` and readiness gates say.
fn keep_foreign(old: &PodStatus) -> Option<Vec<PodCondition>> {
    const OWN: [&str; 5] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
    let kept: Vec<_> = old.conditions.iter().flatten().filter(|c| !OWN.contains(&c.type_.as_str())).cloned().collect();
    (!kept.is_empty()).then_some(kept)
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_class(pod: &Pod) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for (_, c) in containers(pod) {
        for name in ["cpu", "memory"] {
            let get = |map: Option<&BTreeMap<_, _>>| map.and_then(|m| m.get(name)).and_then(quantity::millis).filter(|v| *v > 0);
            let limit = get(c.resources.as_ref().and_then(|r| r.limits.as_ref()));
            let request = get(c.resources.as_ref().and_then(|r| r.requests.as_ref()));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request.is_none_or(|r| Some(r) == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn t(s: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + s).unwrap()
    }

    fn pod(spec: &str) -> Pod {
        serde_json::from_value(
            serde_json::json!({"metadata": {"name": "p", "generation": 2}, "spec": serde_json::from_str::<serde_json::Value>(spec).unwrap()}),
        )
        .unwrap()
    }

    /// One line for the phase, one a condition, one a container.
    fn check(spec: &str, world: &[(&str, Record, Activity)], want: Expect) {
        let pod = pod(spec);
        let record = PodRecord {
            ip: Some("10.244.0.5".parse().unwrap()),
            started_at: Some(t(0)),
            containers: world.iter().map(|(n, r, _)| ((*n).to_owned(), Box::new(r.clone()))).collect(),
            ..Default::default()
        };
        let activity = world.iter().map(|(n, _, a)| ((*n).to_owned(), Box::new(a.clone()))).collect();
        let s = status(&pod, &record, &activity, true, "10.88.0.1".parse().unwrap(), t(100));
        let mut text = format!("{} {}\n", s.phase.unwrap(), s.pod_ip.unwrap());
        for c in s.conditions.unwrap() {
            text += &format!(
                "{}={}{}{}\n",
                c.type_,
                c.status,
                c.reason.map(|r| format!(" {r}")).unwrap_or_default(),
                c.message.map(|m| format!(": {m}")).unwrap_or_default()
            );
        }
        for c in s.init_container_statuses.into_iter().flatten().chain(s.container_statuses.into_iter().flatten()) {
            let state = c.state.unwrap();
            let show = |s: &ContainerState| match (&s.waiting, &s.running, &s.terminated) {
                (Some(w), ..) => format!("waiting {}", w.reason.clone().unwrap()),
                (_, Some(_), _) => "running".to_owned(),
                (.., Some(t)) => format!("terminated {} {}", t.exit_code, t.reason.clone().unwrap()),
                _ => "-".to_owned(),
            };
            text += &format!(
                "{} ready={} started={:?} restarts={} {} last {}\n",
                c.name,
                c.ready,
                c.started.unwrap(),
                c.restart_count,
                show(&state),
                show(&c.last_state.unwrap())
            );
        }
        want.assert_eq(&text);
    }

    fn running() -> Record {
        let mut r = Record::default();
        r.start("id".into(), t(10));
        r
    }
    fn exited(code: i32) -> Record {
        let mut r = running();
        r.end(code, if code == 0 { "Completed" } else { "Error" }, None, t(20));
        r
    }
    fn up(ready: bool) -> Activity {
        Activity { started: true, ready, ..Default::default() }
    }
    fn waiting(reason: &str) -> Activity {
        Activity { waiting: Some((reason.into(), None)), ..Default::default() }
    }

    const TWO: &str = r#"{"containers": [{"name": "b", "image": "i"}, {"name": "a", "image": "i"}]}"#;
    const ONCE: &str = r#"{"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}"#;
    const INIT: &str = r#"{"initContainers": [{"name": "i", "image": "i"}], "containers": [{"name": "a", "image": "i"}]}"#;

    #[test]
    fn creating_then_running() {
        check(
            TWO,
            &[],
            expect![[r#"
                Pending 10.244.0.5
                PodReadyToStartContainers=True
                Initialized=True
                Ready=False ContainersNotReady: containers with unready status: [a b]
                ContainersReady=False ContainersNotReady: containers with unready status: [a b]
                PodScheduled=True
                a ready=false started=false restarts=0 waiting ContainerCreating last -
                b ready=false started=false restarts=0 waiting ContainerCreating last -
            "#]],
        );
        check(
            TWO,
            &[("a", running(), up(true)), ("b", running(), up(false))],
            expect![[r#"
                Running 10.244.0.5
                PodReadyToStartContainers=True
                Initialized=True
                Ready=False ContainersNotReady: containers with unready status: [b]
                ContainersReady=False ContainersNotReady: containers with unready status: [b]
                PodScheduled=True
                a ready=true started=true restarts=0 running last -
                b ready=false started=true restarts=0 running last -
            "#]],
        );
    }

    #[test]
    fn crash_loop() {
        check(
            r#"{"containers": [{"name": "a", "image": "i"}]}"#,
            &[("a", exited(1), waiting("CrashLoopBackOff"))],
            expect![[r#"
                Running 10.244.0.5
                PodReadyToStartContainers=True
                Initialized=True
                Ready=False ContainersNotReady: containers with unready status: [a]
                ContainersReady=False ContainersNotReady: containers with unready status: [a]
                PodScheduled=True
                a ready=false started=false restarts=0 waiting CrashLoopBackOff last terminated 1 Error
            "#]],
        );
    }

    #[test]
    fn completed_and_failed() {
        check(
            ONCE,
            &[("a", exited(0), Activity::default())],
            expect![[r#"
                Succeeded 10.244.0.5
                PodReadyToStartContainers=False
                Initialized=True PodCompleted
                Ready=False PodCompleted
                ContainersReady=False PodCompleted
                PodScheduled=True
                a ready=false started=false restarts=0 terminated 0 Completed last -
            "#]],
        );
        check(
            ONCE,
            &[("a", exited(7), Activity::default())],
            expect![[r#"
                Failed 10.244.0.5
                PodReadyToStartContainers=False
                Initialized=True
                Ready=False PodFailed
                ContainersReady=False PodFailed
                PodScheduled=True
                a ready=false started=false restarts=0 terminated 7 Error last -
            "#]],
        );
    }

    #[test]
    fn init() {
        check(
            INIT,
            &[("i", running(), up(false))],
            expect![[r#"
                Pending 10.244.0.5
                PodReadyToStartContainers=True
                Initialized=False ContainersNotInitialized: containers with incomplete status: [i]
                Ready=False ContainersNotReady: containers with unready status: [a]
                ContainersReady=False ContainersNotReady: containers with unready status: [a]
                PodScheduled=True
                i ready=false started=true restarts=0 running last -
                a ready=false started=false restarts=0 waiting PodInitializing last -
            "#]],
        );
    }

    #[test]
    fn qos() {
        for (resources, want) in [
            (r#"{}"#, "BestEffort"),
            (r#"{"requests": {"cpu": "1"}}"#, "Burstable"),
            (r#"{"limits": {"cpu": "1", "memory": "1Gi"}}"#, "Guaranteed"),
            (r#"{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}"#, "Guaranteed"),
            (r#"{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}"#, "Burstable"),
        ] {
            assert_eq!(qos_class(&pod(&format!(r#"{{"containers": [{{"name": "a", "resources": {resources}}}]}}"#))), want, "{resources}");
        }
    }

    #[test]
    fn a_transition_keeps_its_time() {
        let mut p = pod(TWO);
        let record = PodRecord { ip: Some("10.244.0.5".parse().unwrap()), started_at: Some(t(0)), ..Default::default() };
        let host = "10.88.0.1".parse().unwrap();
        let first = status(&p, &record, &Activities::new(), true, host, t(1));
        p.status = Some(first.clone());
        assert_eq!(status(&p, &record, &Activities::new(), true, host, t(2)), first, "nothing changed");
    }
}
