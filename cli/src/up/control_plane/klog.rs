//! What the parts of the control plane say, in the lines of klog: kept, within bounds, until the part's container takes it.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use wharf_node::NativeContainer;

/// Bytes of lines that wait for a container; the oldest go first.
const MAX_WAITING: usize = 256 << 10;
/// Bytes of one line.
const MAX_LINE: usize = 8 << 10;

/// The crates whose lines are kept.
const CRATES: [&str; 5] = ["wharf_store", "wharf_server", "wharf_controllers", "wharf_scheduler", "wharf_ingress"];

/// The logs of all parts, in the order of [`CRATES`]. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Logs(Arc<[Arc<PartLog>]>);

impl Logs {
    /// Empty ones.
    pub(crate) fn new() -> Logs {
        Logs(CRATES.iter().map(|_| Arc::new(PartLog::default())).collect())
    }

    /// Takes what is said from now on, at `Info` and above, whatever else is logged.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> {
        let targets = Targets::new().with_targets(CRATES.iter().map(|krate| (*krate, Level::INFO)));
        Klog(self.clone()).with_filter(targets)
    }

    /// The log of a crate; of one that is not kept, an empty one.
    pub(crate) fn of(&self, krate: &str) -> Arc<PartLog> {
        CRATES.iter().position(|one| *one == krate).map_or_else(Arc::default, |at| self.0[at].clone())
    }
}

/// One part's.
#[derive(Default)]
pub(crate) struct PartLog {
    waiting: Mutex<Waiting>,
    arrived: Notify,
    /// Held by the container that takes them.
    reader: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    bytes: usize,
    lost: u64,
}

impl PartLog {
    fn push(&self, line: String) {
        let mut waiting = self.waiting.lock();
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        while waiting.bytes > MAX_WAITING {
            let Some(oldest) = waiting.lines.pop_front() else { break };
            waiting.bytes -= oldest.len();
            waiting.lost += 1;
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Writes the lines to a container's log until it is told to stop, once no other one does.
    pub(crate) async fn copy_to(&self, container: &NativeContainer) {
        let stop = container.stopping();
        let copy = async {
            let _reading = self.reader.lock().await;
            loop {
                container.say(&self.next().await);
            }
        };
        stop.run_until_cancelled(copy).await;
    }

    /// The lines that came since the last call, once there are any.
    async fn next(&self) -> String {
        loop {
            let taken = std::mem::take(&mut *self.waiting.lock());
            if taken.lost > 0 {
                let mut text = format!("{} earlier lines were dropped", taken.lost);
                taken.lines.iter().for_each(|line| text.extend(["\n", line]));
                return text;
            }
            if !taken.lines.is_empty() {
                return Vec::from(taken.lines).join("\n");
            }
            self.arrived.notified().await;
        }
    }
}

struct Klog(Logs);

impl<S: Subscriber> Layer<S> for Klog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        let krate = target.split("::").next().unwrap_or(target);
        let Some(part) = CRATES.iter().position(|one| *one == krate) else { return };
        let mut line = Line::default();
        event.record(&mut line);
        self.0.0[part].push(line.finish(event.metadata(), Timestamp::now()));
    }
}

/// A line in the making.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    /// `I1128 19:08:33.000123       1 run.rs:320] "Successfully bound pod to node" pod="default/web" node="worker"`
    fn finish(self, of: &Metadata<'_>, now: Timestamp) -> String {
        let letter = match *of.level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            _ => 'I',
        };
        let time = now.to_zoned(TimeZone::UTC).strftime("%m%d %H:%M:%S%.6f").to_string();
        let file = of.file().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
        let mut line = format!("{letter}{time}       1 {file}:{}] {:?}{}", of.line().unwrap_or(0), self.message, self.fields);
        if line.len() > MAX_LINE {
            line.truncate(line.floor_char_boundary(MAX_LINE));
        }
        line
    }

    fn plain(&mut self, field: &Field, value: impl std::fmt::Display) {
        let _ = write!(self.fields, " {}={value}", name(field));
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            let _ = write!(self.fields, " {}={value:?}", name(field));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }
}

/// As klog has it.
fn name(field: &Field) -> &str {
    if field.name() == "error" { "err" } else { field.name() }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[tokio::test]
    async fn each_part_has_its_own_lines() {
        let logs = Logs::new();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(logs.layer()), || {
            tracing::info!(target: "wharf_scheduler::run", pod = "default/web", node = "worker", feasible = 3, "Successfully bound pod to node");
            tracing::error!(target: "wharf_scheduler", error = %"say \"no\"", "Refused");
            tracing::debug!(target: "wharf_scheduler", "too much");
            tracing::info!(target: "wharf_schedulers", "another's");
            tracing::warn!(target: "wharf_store::redb", "Slow");
        });
        let text = |krate: &str| {
            let log = logs.of(krate);
            async move {
                let all = log.next().await;
                let lines = all.lines().map(|line| {
                    let (head, rest) = line.split_once("] ").unwrap();
                    assert_eq!(head.split_whitespace().nth(2), Some("1"), "{head}");
                    format!("{} {rest}", &head[..1])
                });
                lines.collect::<Vec<_>>()
            }
        };
        assert_eq!(
            text("wharf_scheduler").await,
            [r#"I "Successfully bound pod to node" pod="default/web" node="worker" feasible=3"#, r#"E "Refused" err="say \"no\"""#]
        );
        assert_eq!(text("wharf_store").await, [r#"W "Slow""#]);
    }

    #[tokio::test]
    async fn what_nobody_takes_is_bounded() {
        let log = PartLog::default();
        for n in 0..100 {
            log.push(format!("{n:02}{}", "x".repeat(MAX_LINE - 2)));
        }
        let text = log.next().await;
        assert!(text.len() <= MAX_WAITING + 100);
        assert!(text.starts_with("68 earlier lines were dropped\n68x"), "{}", &text[..40]);
    }
}
