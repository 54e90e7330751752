//! What a worker does: the actions of a plan.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{REFRESH, SELDOM, Task, Worker, after, jittered, unpanicked};
use crate::backoff::go_duration;
use crate::events::Kind;
use crate::pod::create::{self, Failure, Running};
use crate::pod::hooks;
use crate::pod::inbox::Message;
use crate::pod::prepare::{self, Unprepared};
use crate::pod::record::{Role, container, containers};
use crate::pod::report;
use crate::pod::status::status;
use crate::pod::stop;
use crate::pod::sync::{Action, Activity, Why};
use crate::probes::{self, ProbeKind};
use crate::volumes::changes;

/// What a container has for its end, whatever its hook took.
const MIN_GRACE: Duration = Duration::from_secs(2);

impl Worker {
    pub(super) fn perform(&mut self, action: Action, ending: bool, foreign: bool, now: Timestamp) {
        match action {
            Action::Prepare => self.prepare(now),
            Action::Start(name) => self.start(&name, now),
            Action::BackOff(name) => self.back_off(&name),
            Action::Stop(name, why) => {
                let message = match why {
                    Why::PodEnds => format!("Stopping container {name}"),
                    Why::Changed => format!("Container {name} definition changed, will be restarted"),
                    Why::Unhealthy(words) => words,
                };
                self.context.node.recorder.pod(&self.pod, Some(&name), Kind::Normal, "Killing", message);
                let grace = self.grace();
                self.stop(&name, grace);
            }
            Action::Fail(verdict) => {
                self.context.node.recorder.pod(&self.pod, None, Kind::Warning, "DeadlineExceeded", verdict.message.clone());
                self.record_mut().verdict = Some(verdict);
            }
            Action::Finish => self.finish(ending, foreign, now),
        }
    }

    fn prepare(&mut self, now: Timestamp) {
        if self.preparing.is_some() || self.prepare_at.is_some_and(|at| at > now) {
            return;
        }
        self.prepare_at = None;
        if let Err(not) = prepare::admit(&self.context, &self.pod, Arc::make_mut(&mut self.record)) {
            if let Unprepared::Refused(verdict) = &not {
                self.context.node.recorder.pod(&self.pod, None, Kind::Warning, reason(&verdict.reason), verdict.message.clone());
                self.record_mut().verdict = Some(verdict.clone());
                return;
            }
            return self.on_prepared(Err(not), now);
        }
        let (context, pod, inbox) = (self.context.clone(), self.pod.clone(), self.inbox.clone());
        if self.following.is_none() {
            let (sources, inbox) = (changes::sources(&pod), inbox.clone());
            self.following = Some(context.node.changes.follow(&context.namespace, &context.uid, sources, Arc::new(move || inbox.changed())));
        }
        self.preparing = Some(Task::spawn(async move {
            let prepared = unpanicked(prepare::prepare(&context, &pod)).await.unwrap_or_else(|words| {
                context.node.recorder.pod(&pod, None, Kind::Warning, "FailedCreatePodSandBox", format!("Failed to create pod sandbox: {words}"));
                Err(Unprepared::NotYet)
            });
            inbox.send(Message::Prepared(prepared));
        }));
    }

    fn start(&mut self, name: &str, now: Timestamp) {
        let record = self.record.containers.get(name);
        let mut log_run = record.map_or(0, |r| r.run);
        if record.is_some_and(|r| r.ended().is_some()) {
            self.restarts.next(name, now);
            log_run += 1;
        }
        let slot = self.slots.entry(name.to_owned()).or_default();
        slot.run += 1;
        slot.flip_at = None;
        slot.image = container(&self.pod, name).and_then(|(_, c)| c.image.clone()).unwrap_or_default();
        self.activity.entry(name.to_owned()).or_default().busy = true;
        let (context, pod, inbox, name, run) = (self.context.clone(), self.pod.clone(), self.inbox.clone(), name.to_owned(), slot.run);
        slot.creating = Some(Task::spawn(async move {
            let result = unpanicked(create::create(&context, &pod, &name, log_run)).await.unwrap_or_else(|message| {
                context.node.recorder.pod(&pod, Some(&name), Kind::Warning, "Failed", format!("Error: {message}"));
                Err(Failure { reason: "CreateContainerError", message })
            });
            inbox.send(Message::Created { container: name, run, result: Box::new(result) });
        }));
    }

    fn back_off(&mut self, name: &str) {
        let Some(activity) = self.activity.get_mut(name) else { return };
        if activity.waiting.as_ref().is_some_and(|(reason, _)| reason == "CrashLoopBackOff") {
            return;
        }
        let (pod, delay) = (self.context.long_name(), go_duration(self.restarts.delay(name)));
        activity.waiting = Some(("CrashLoopBackOff".to_owned(), Some(format!("back-off {delay} restarting failed container={name} pod={pod}"))));
        let message = format!("Back-off restarting failed container {name} in pod {pod}");
        self.context.node.recorder.pod(&self.pod, Some(name), Kind::Warning, "BackOff", message);
    }

    /// `ErrImagePull` becomes `ImagePullBackOff` after a while.
    pub(super) fn flip(&mut self, now: Timestamp) {
        for (name, slot) in self.slots.iter_mut().filter(|(_, s)| s.flip_at.is_some_and(|at| at <= now)) {
            slot.flip_at = None;
            let Some(Activity { waiting: Some((reason, message)), .. }) = self.activity.get_mut(name).map(|a| &mut **a) else { continue };
            let words = message.take().unwrap_or_default();
            *message = Some(format!("Back-off pulling image \"{}\": {reason}: {words}", slot.image));
            *reason = "ImagePullBackOff".to_owned();
            let recorder = &self.context.node.recorder;
            recorder.pod(&self.pod, Some(name), Kind::Normal, "BackOff", format!("Back-off pulling image \"{}\"", slot.image));
            recorder.pod(&self.pod, Some(name), Kind::Warning, "Failed", "Error: ImagePullBackOff");
        }
    }

    /// When volumes that are up to date are to be brought so again: in time for their tokens.
    pub(super) fn next_refresh(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.context.tokens.due().map(|due| due.max(after(now, REFRESH).unwrap_or(due)));
        jittered(now, SELDOM).into_iter().chain(due).min()
    }

    /// Brings volumes up to date now and then.
    pub(super) fn refresh(&mut self, now: Timestamp, ending: bool) {
        if ending || self.released || self.refreshing.is_some() || self.refresh_at.is_none_or(|at| at > now) {
            return;
        }
        self.refresh_at = jittered(now, REFRESH);
        let (context, pod, inbox) = (self.context.clone(), self.pod.clone(), self.inbox.clone());
        self.refreshing = Some(Task::spawn(async move {
            // Its failure is an Event; what is there stays.
            let filled = unpanicked(prepare::fill(&context, &pod, crate::volumes::is_live)).await;
            inbox.send(Message::Refreshed(matches!(filled, Ok(Ok(_)))));
        }));
    }

    pub(super) fn grace(&self) -> Duration {
        if self.gone {
            return Duration::ZERO;
        }
        let spec = self.pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
        let seconds = self.pod.metadata.deletion_grace_period_seconds.filter(|_| self.pod.metadata.deletion_timestamp.is_some()).or(spec).unwrap_or(30);
        Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    }

    /// Ends a container: its preStop hook, SIGTERM, SIGKILL, all within the grace period.
    pub(super) fn stop(&mut self, name: &str, grace: Duration) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let Some(live) = &mut slot.live else { return };
        if live.stopping.as_ref().is_some_and(|(before, _)| *before <= grace) {
            return;
        }
        live.probers.clear();
        let activity = self.activity.entry(name.to_owned()).or_default();
        activity.stopping = true;
        activity.unhealthy = None;
        activity.ready &= self.pod.metadata.deletion_timestamp.is_some();
        let container = containers(&self.pod).map(|(_, c)| c).find(|c| c.name == name);
        let hook = container.and_then(|c| Some((c.clone(), c.lifecycle.as_ref()?.pre_stop.clone()?)));
        // Told again, it has no time for a hook, or has had it.
        let Some((container, hook)) = hook.filter(|_| live.stopping.is_none() && !grace.is_zero()) else {
            return self.end(name, grace);
        };
        let (context, pod, inbox, door, run) = (self.context.clone(), self.pod.clone(), self.inbox.clone(), live.door.clone(), slot.run);
        let task = Task::spawn(async move {
            let began = Instant::now();
            let done = async {
                match context.target(&door) {
                    Some(target) => hooks::run(&hook, &container, &target).await,
                    None => Ok(()),
                }
            };
            if let Ok(Err(error)) = tokio::time::timeout(grace, done).await {
                tracing::debug!(namespace = context.namespace, name = context.name, container = container.name, error, "preStop hook");
                context.node.recorder.pod(&pod, Some(&container.name), Kind::Warning, "FailedPreStopHook", "PreStopHook failed");
            }
            let grace = grace.saturating_sub(began.elapsed()).max(MIN_GRACE);
            inbox.send(Message::Stopping { container: container.name, run, grace });
        });
        live.stopping = Some((grace, task));
    }

    /// Ends a container, its hook being done.
    pub(super) fn end(&mut self, name: &str, grace: Duration) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let (run, inbox) = (slot.run, self.inbox.clone());
        let Some(live) = &mut slot.live else { return };
        let name = name.to_owned();
        let task = match &mut live.running {
            Running::Command(command) => Task::spawn(stop::command(command.clone(), grace)),
            Running::Native(native) => Task::spawn(native.clone().stop(grace)),
            Running::Http(container, server) => {
                server.close();
                let container = container.clone();
                Task::spawn(async move {
                    let code = stop::http(container, grace).await;
                    let reason = if code == 0 { "Completed" } else { "Error" };
                    inbox.send(Message::Ended { container: name, run, code, reason: reason.to_owned(), message: None });
                })
            }
        };
        live.stopping = Some((grace, task));
    }

    /// Nothing runs any more, and nothing will.
    fn finish(&mut self, ending: bool, foreign: bool, now: Timestamp) {
        if !self.released {
            self.released = true;
            self.record_mut().released = true;
            self.preparing = None;
            self.following = None;
            self.slots.values_mut().for_each(|s| s.creating = None);
            self.context.node.dismiss(&self.context.uid);
            if let (Some(ip), Some(ipam)) = (self.record.ip, self.context.node.ipam.get()) {
                ipam.release(ip, &self.context.uid);
            }
        }
        if self.gone {
            self.done = true;
        }
        if !ending || self.done || self.deleting.is_some() || self.delete_at.is_some_and(|at| at > now) {
            return;
        }
        // The last state first, so that who watches sees how it ended.
        let wanted = status(&self.pod, &self.record, &self.activity, self.prepared, self.context.node.config.address.into(), now);
        if !foreign && !self.reporter.is_settled(&wanted) {
            return;
        }
        self.delete_at = None;
        let (context, inbox) = (self.context.clone(), self.inbox.clone());
        self.deleting = Some(Task::spawn(async move {
            let deleted = unpanicked(report::delete(&context)).await.unwrap_or_else(Err);
            inbox.send(Message::Deleted(deleted));
        }));
    }

    pub(super) fn probe(&mut self, name: &str, kinds: &[ProbeKind]) {
        let Some((role, container)) = containers(&self.pod).find(|(_, c)| c.name == name) else { return };
        let Some(slot) = self.slots.get_mut(name) else { return };
        let Some(live) = slot.live.as_mut().filter(|_| role != Role::Init) else { return };
        live.probers.clear();
        let Some(target) = self.context.target(&live.door).map(Arc::new) else { return };
        for &kind in kinds {
            let Some(probe) = kind.of(container) else { continue };
            let (target, inbox, name, run) = (target.clone(), self.inbox.clone(), name.to_owned(), slot.run);
            let report = move |report| inbox.send(Message::Probed { container: name.clone(), run, kind, report });
            live.probers.push(Task::spawn(Box::pin(probes::run(probe.clone(), kind, target, container.clone(), report))));
        }
    }
}

/// The reason of the Event that tells of a refusal.
fn reason(reason: &str) -> &'static str {
    match reason {
        "OutOfcpu" => "OutOfcpu",
        "OutOfmemory" => "OutOfmemory",
        "OutOfpods" => "OutOfpods",
        "OutOfephemeral-storage" => "OutOfephemeral-storage",
        _ => "FailedAdmission",
    }
}
