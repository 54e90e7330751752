//! What plugins were asked, and how it went, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use parking_lot::Mutex;

use crate::plugin::CallError;

/// Upper bounds of the histogram's buckets, in seconds.
const BUCKETS: [f64; 12] = [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 1.0, 10.0];
/// Plugins that are counted at most.
const MAX_PLUGINS: usize = 1024;

/// Figures by plugin and hook.
#[derive(Default)]
pub struct Metrics {
    by_plugin: Mutex<BTreeMap<(String, &'static str), Figures>>,
}

#[derive(Clone, Default)]
struct Figures {
    calls: u64,
    denied: u64,
    failures: BTreeMap<&'static str, u64>,
    buckets: [u64; BUCKETS.len()],
    seconds: f64,
}

/// How a call went.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// The request goes on.
    Passed,
    /// It was refused, or answered by the plugin.
    Denied,
    /// There is no answer.
    Failed(&'a CallError),
}

impl Metrics {
    /// Counts a call.
    pub fn count(&self, plugin: &str, hook: &'static str, took: Duration, outcome: Outcome<'_>) {
        let mut all = self.by_plugin.lock();
        let key = (plugin.to_owned(), hook);
        if all.len() >= MAX_PLUGINS && !all.contains_key(&key) {
            return;
        }
        let figures = all.entry(key).or_default();
        figures.calls += 1;
        let seconds = took.as_secs_f64();
        figures.seconds += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            figures.buckets[bucket] += 1;
        }
        match outcome {
            Outcome::Passed => {}
            Outcome::Denied => figures.denied += 1,
            Outcome::Failed(error) => *figures.failures.entry(error.reason()).or_default() += 1,
        }
    }

    /// Forgets plugins that are no more.
    pub fn keep(&self, plugin: impl Fn(&str) -> bool) {
        self.by_plugin.lock().retain(|(name, _), _| plugin(name));
    }

    /// All of it as text.
    pub fn text(&self) -> String {
        let all = self.by_plugin.lock().clone();
        let mut out = String::new();
        if all.is_empty() {
            return out;
        }
        let mut counter = |name: &str, help: &str, lines: &dyn Fn(&mut String)| {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
            lines(&mut out);
        };
        counter("wharf_plugin_calls_total", "Calls of plugins.", &|out| {
            for ((plugin, hook), figures) in &all {
                let _ = writeln!(out, "wharf_plugin_calls_total{{plugin={plugin:?},hook={hook:?}}} {}", figures.calls);
            }
        });
        counter("wharf_plugin_denied_total", "Requests that plugins refused, or answered themselves.", &|out| {
            for ((plugin, hook), figures) in &all {
                let _ = writeln!(out, "wharf_plugin_denied_total{{plugin={plugin:?},hook={hook:?}}} {}", figures.denied);
            }
        });
        counter("wharf_plugin_failures_total", "Calls of plugins that had no answer, by reason.", &|out| {
            for ((plugin, hook), figures) in &all {
                for (reason, count) in &figures.failures {
                    let _ = writeln!(out, "wharf_plugin_failures_total{{plugin={plugin:?},hook={hook:?},reason={reason:?}}} {count}");
                }
            }
        });
        out.push_str("# HELP wharf_plugin_duration_seconds Duration of calls of plugins.\n# TYPE wharf_plugin_duration_seconds histogram\n");
        for ((plugin, hook), figures) in &all {
            let labels = format!("plugin={plugin:?},hook={hook:?}");
            let mut sum = 0;
            for (bound, count) in BUCKETS.iter().zip(figures.buckets) {
                sum += count;
                let _ = writeln!(out, "wharf_plugin_duration_seconds_bucket{{{labels},le=\"{bound}\"}} {sum}");
            }
            let _ = writeln!(out, "wharf_plugin_duration_seconds_bucket{{{labels},le=\"+Inf\"}} {}", figures.calls);
            let _ = writeln!(out, "wharf_plugin_duration_seconds_sum{{{labels}}} {}", figures.seconds);
            let _ = writeln!(out, "wharf_plugin_duration_seconds_count{{{labels}}} {}", figures.calls);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_and_told() {
        let metrics = Metrics::default();
        assert_eq!(metrics.text(), "");
        metrics.count("p", "validate", Duration::from_micros(80), Outcome::Passed);
        metrics.count("p", "validate", Duration::from_secs(60), Outcome::Failed(&CallError::Timeout(Duration::from_secs(60))));
        metrics.count("p", "validate", Duration::from_micros(80), Outcome::Denied);
        metrics.count("gone", "validate", Duration::ZERO, Outcome::Passed);
        metrics.keep(|name| name == "p");
        let text = metrics.text();
        for line in [
            r#"wharf_plugin_calls_total{plugin="p",hook="validate"} 3"#,
            r#"wharf_plugin_denied_total{plugin="p",hook="validate"} 1"#,
            r#"wharf_plugin_failures_total{plugin="p",hook="validate",reason="timeout"} 1"#,
            r#"wharf_plugin_duration_seconds_bucket{plugin="p",hook="validate",le="0.0001"} 2"#,
            r#"wharf_plugin_duration_seconds_bucket{plugin="p",hook="validate",le="10"} 2"#,
            r#"wharf_plugin_duration_seconds_bucket{plugin="p",hook="validate",le="+Inf"} 3"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("gone"));
    }
}
