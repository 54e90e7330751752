//! What a worker is told, and what it notes of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use wharf_engine::ExitReason;
use wharf_rest::Kept;

use super::{Live, Task, Worker, after};
use crate::events::Kind;
use crate::logs::Stream;
use crate::pod::context::PodContext;
use crate::pod::create::{Created, Failure, Running};
use crate::pod::inbox::{Inbox, Letters, Message};
use crate::pod::prepare::{self, Unprepared};
use crate::pod::record::{Ended, Role, State, containers};
use crate::pod::sync::Activity;
use crate::probes::{self, ProbeKind, Report};

/// How long `ErrImagePull` is shown before it becomes `ImagePullBackOff`.
const FLIP: SignedDuration = SignedDuration::from_secs(2);
/// Until a container is tried again whose configuration or creation failed.
const RETRY: SignedDuration = SignedDuration::from_secs(10);
/// How much of a termination message is shown.
const MAX_MESSAGE: u64 = 4096;

impl Worker {
    pub(super) fn read(&mut self, letters: Letters) {
        let now = Timestamp::now();
        if let Some(pod) = letters.pod {
            self.update(pod);
        }
        self.gone |= letters.gone;
        self.outdated |= letters.changed;
        for message in letters.messages {
            match message {
                Message::Prepared(result) => self.on_prepared(result, now),
                Message::Refreshed(well) => {
                    self.refreshing = None;
                    // Unless something has changed since.
                    if well && self.refresh_at.is_some_and(|at| at > now) {
                        self.refresh_at = self.next_refresh(now);
                    }
                }
                Message::Created { container, run, result } if self.is_current(&container, run) => self.on_created(&container, run, *result, now),
                Message::Stopping { container, run, grace } if self.is_current(&container, run) => self.end(&container, grace),
                Message::Ended { container, run, code, reason, message } if self.is_current(&container, run) => {
                    self.on_ended(&container, code, &reason, message, now);
                }
                Message::Faults { container, run, out_of_memory, traps, words } if self.is_current(&container, run) => {
                    self.on_faults(&container, out_of_memory, traps, words, now);
                }
                Message::Probed { container, run, kind, report } if self.is_current(&container, run) => self.on_probed(&container, kind, report),
                // Of a run that is over; what it carries ends when it is dropped.
                Message::Created { .. } | Message::Stopping { .. } | Message::Ended { .. } | Message::Faults { .. } | Message::Probed { .. } => {}
                #[cfg(test)]
                Message::Panic => panic!("as a test wished"),
                Message::Deleted(Ok(())) => self.done = true,
                Message::Deleted(Err(error)) => {
                    tracing::warn!(namespace = self.context.namespace, name = self.context.name, error, "deleting an ended Pod failed, it will be tried again");
                    self.deleting = None;
                    self.delete_at = after(now, SignedDuration::from_secs(2));
                }
            }
        }
        if self.outdated && self.preparing.is_none() && self.refreshing.is_none() {
            // To be filled anew, or at last.
            self.outdated = false;
            let at = if self.prepared { &mut self.refresh_at } else { &mut self.prepare_at };
            *at = at.map(|_| now);
        }
    }

    fn is_current(&self, container: &str, run: u64) -> bool {
        self.slots.get(container).is_some_and(|s| s.run == run)
    }

    /// A new version of the Pod: what was waited for may be there now.
    fn update(&mut self, kept: Arc<Kept<Pod>>) {
        let pod = kept.look();
        let images = |p: &Pod| containers(p).map(|(_, c)| (c.name.clone(), c.image.clone())).collect::<HashMap<_, _>>();
        let (before, after) = (images(&self.pod), images(&pod));
        for (name, image) in &after {
            if before.get(name) != Some(image)
                && let Some(activity) = self.activity.get_mut(name)
            {
                activity.retry_at = None;
            }
        }
        let downward = |p: &Pod| (p.metadata.labels.clone(), p.metadata.annotations.clone());
        if downward(&pod) != downward(&self.pod) && self.refresh_at.is_some() {
            self.refresh_at = Some(Timestamp::now());
        }
        let grace = |p: &Pod| p.metadata.deletion_grace_period_seconds;
        let sooner = pod.metadata.deletion_timestamp.is_some() && grace(&pod) < grace(&self.pod).or(Some(i64::MAX));
        (self.pod, self.kept) = (pod, kept);
        if sooner {
            let names: Vec<String> = self.slots.iter().filter(|(_, s)| s.live.as_ref().is_some_and(|l| l.stopping.is_some())).map(|(n, _)| n.clone()).collect();
            let grace = self.grace();
            names.iter().for_each(|name| self.stop(name, grace));
        }
    }

    pub(super) fn on_prepared(&mut self, result: Result<(), Unprepared>, now: Timestamp) {
        self.preparing = None;
        match result {
            Ok(()) => {
                self.prepared = true;
                self.prepare_failures = 0;
                self.refresh_at = prepare::has_live_volumes(&self.pod).then(|| self.next_refresh(now)).flatten();
            }
            Err(Unprepared::Refused(verdict)) => {
                self.context.node.recorder.pod(&self.pod, None, Kind::Warning, "Failed", verdict.message.clone());
                self.record_mut().verdict = Some(verdict);
            }
            Err(Unprepared::NotYet) => {
                self.prepare_failures = (self.prepare_failures + 1).min(8);
                self.prepare_at = after(now, SignedDuration::from_millis(250 * 2i64.pow(self.prepare_failures)));
            }
        }
    }

    fn on_created(&mut self, name: &str, run: u64, result: Result<Created, Failure>, now: Timestamp) {
        let slot = self.slots.entry(name.to_owned()).or_default();
        slot.creating = None;
        let activity = self.activity.entry(name.to_owned()).or_default();
        **activity = Activity { waiting: activity.waiting.take(), ..Default::default() };
        match result {
            Ok(created) => {
                self.pulls.reset(&slot.image);
                let record = Arc::make_mut(&mut self.record).containers.entry(name.to_owned()).or_default();
                record.start(created.id.clone(), now);
                record.spec_image.clone_from(&slot.image);
                record.image.clone_from(&created.image);
                record.image_id.clone_from(&created.image_id);
                let (context, inbox) = (self.context.clone(), self.inbox.clone());
                let watcher = watch(&created, inbox, context, name.to_owned(), run);
                slot.held = created.held;
                slot.live = Some(Live {
                    running: created.running,
                    _ended: created.door.ended.clone().drop_guard(),
                    door: created.door,
                    message_file: created.message_file,
                    probers: vec![],
                    stopping: None,
                    _watcher: watcher,
                });
                let spec = containers(&self.pod).find(|(_, c)| c.name == name);
                let has = |kind: ProbeKind| spec.is_some_and(|(role, c)| role != Role::Init && kind.of(c).is_some());
                activity.waiting = None;
                activity.started = !has(ProbeKind::Startup);
                activity.ready = !has(ProbeKind::Readiness);
                activity.unhealthy = created.hook_failed.then(|| "FailedPostStartHook".to_owned());
                if activity.started {
                    self.probe(name, &[ProbeKind::Liveness, ProbeKind::Readiness]);
                } else {
                    self.probe(name, &[ProbeKind::Startup]);
                }
            }
            Err(failure) => {
                let image = slot.image.clone();
                let wait = if failure.reason == "ErrImagePull" {
                    self.pulls.next(&image, now);
                    slot.flip_at = after(now, FLIP);
                    SignedDuration::try_from(self.pulls.delay(&image)).unwrap_or(RETRY)
                } else {
                    slot.flip_at = None;
                    RETRY
                };
                activity.retry_at = after(now, wait);
                activity.waiting = Some((failure.reason.to_owned(), Some(failure.message)));
            }
        }
    }

    fn on_ended(&mut self, name: &str, code: i32, reason: &str, message: Option<String>, now: Timestamp) {
        let Some(slot) = self.slots.get_mut(name) else { return };
        let Some(live) = slot.live.take() else { return };
        self.context.node.logs.end(&live.door.log);
        let message = live.message_file.as_deref().and_then(termination_message).or(message);
        if let Some(record) = self.record_mut().containers.get_mut(name) {
            record.end(code, reason, message, now);
        }
        let activity = Activity { backoff_until: self.restarts.until(name, now, now), ..Default::default() };
        self.activity.insert(name.to_owned(), Box::new(activity));
    }

    /// Requests of a `wasi:http` container failed as a process would have: it goes on, but each counts as a restart.
    fn on_faults(&mut self, name: &str, out_of_memory: u64, traps: u64, words: Option<String>, now: Timestamp) {
        let Some(record) = self.record_mut().containers.get_mut(name) else { return };
        let all = out_of_memory + traps;
        let fresh = all.saturating_sub(record.faults);
        if fresh == 0 {
            return;
        }
        record.faults = all;
        if let State::Running { id, started_at } = &mut record.state {
            let oom = words.as_deref().is_some_and(|w| w.contains("memory")) || traps == 0;
            let (code, reason) = if oom { (137, "OOMKilled") } else { (134, "Error") };
            record.last = Some(Ended { id: id.clone(), exit_code: code, reason: reason.to_owned(), message: words, started_at: *started_at, finished_at: now });
            *started_at = now;
            record.restarts = record.restarts.saturating_add(i32::try_from(fresh).unwrap_or(i32::MAX));
        }
    }

    fn on_probed(&mut self, name: &str, kind: ProbeKind, report: Report) {
        let (recorder, what) = (&self.context.node.recorder, kind.as_str());
        match &report.answer {
            probes::Answer::Success => {}
            probes::Answer::Failure(words) => recorder.pod(&self.pod, Some(name), Kind::Warning, "Unhealthy", format!("{what} probe failed: {words}")),
            probes::Answer::Unknown(words) => {
                recorder.pod(&self.pod, Some(name), Kind::Warning, "Unhealthy", format!("{what} probe errored and resulted in unknown state: {words}"));
            }
        }
        let (Some(decided), Some(activity)) = (report.decided, self.activity.get_mut(name)) else { return };
        match (kind, decided) {
            (ProbeKind::Readiness, ready) => activity.ready = ready,
            (ProbeKind::Startup, true) => {
                activity.started = true;
                self.probe(name, &[ProbeKind::Liveness, ProbeKind::Readiness]);
            }
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                activity.unhealthy = Some(format!("Container {name} failed {} probe, will be restarted", what.to_lowercase()));
            }
            (ProbeKind::Liveness, true) => {}
        }
    }
}

/// Tells the worker how a container goes on and how it ends.
fn watch(created: &Created, inbox: Arc<Inbox>, context: Arc<PodContext>, name: String, run: u64) -> Task {
    let log = created.door.log.clone();
    match &created.running {
        Running::Command(command) => {
            let command = command.clone();
            Task::spawn(async move {
                let exit = command.wait().await;
                let reason = match &exit.reason {
                    ExitReason::OutOfMemory => "OOMKilled",
                    ExitReason::StartFailed(_) => "StartError",
                    _ if exit.code == 0 => "Completed",
                    _ => "Error",
                };
                let message = Some(exit.message().to_owned()).filter(|m| !m.is_empty());
                if let Some(words) = &message {
                    log.write(Stream::Stderr, format!("{words}\n").as_bytes());
                }
                inbox.send(Message::Ended { container: name, run, code: exit.code, reason: reason.to_owned(), message });
            })
        }
        Running::Native(native) => {
            let native = native.clone();
            Task::spawn(async move {
                let (code, message) = native.wait().await;
                let reason = if code == 0 { "Completed" } else { "Error" };
                if let Some(words) = &message {
                    log.write(Stream::Stderr, format!("{words}\n").as_bytes());
                }
                inbox.send(Message::Ended { container: name, run, code, reason: reason.to_owned(), message });
            })
        }
        Running::Http(container, _) => {
            let mut failures = container.failures();
            Task::spawn(async move {
                let _ = &context;
                while failures.changed().await.is_ok() {
                    let stats = failures.borrow_and_update().clone();
                    if let Some(words) = &stats.last_failure {
                        log.write(Stream::Stderr, format!("{words}\n").as_bytes());
                    }
                    inbox.send(Message::Faults {
                        container: name.clone(),
                        run,
                        out_of_memory: stats.out_of_memory,
                        traps: stats.traps,
                        words: stats.last_failure,
                    });
                    // However fast they fail, the status changes once a second.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            })
        }
    }
}

/// What the container left for us to say.
fn termination_message(file: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = vec![];
    std::fs::File::open(file).ok()?.take(MAX_MESSAGE).read_to_end(&mut text).ok()?;
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}
