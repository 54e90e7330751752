//! Counters of requests, under kube-apiserver's names.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use ::http::StatusCode;
use parking_lot::Mutex;

use crate::http::path::RequestInfo;

/// Series that are kept at most: verbs, resources and codes are few, but clients choose paths.
const MAX_SERIES: usize = 4096;
/// Shards, so that requests that run together seldom meet.
const SHARDS: usize = 16;

#[derive(Default)]
pub(crate) struct Metrics {
    shards: [Mutex<BTreeMap<Series, Figures>>; SHARDS],
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    code: u16,
}

#[derive(Clone, Copy, Default)]
struct Figures {
    count: u64,
    seconds: f64,
}

impl Metrics {
    pub(crate) fn count(&self, info: &RequestInfo<'_>, status: StatusCode, elapsed: Duration) {
        let known = info.resource.as_ref().filter(|_| status != StatusCode::NOT_FOUND);
        let text = |get: fn(&crate::http::path::ResourcePath<'_>) -> String| known.map(get).unwrap_or_default();
        let series = Series {
            verb: info.verb,
            group: text(|r| r.group.to_owned()),
            version: text(|r| r.version.to_owned()),
            resource: text(|r| r.plural.to_owned()),
            subresource: text(|r| r.subresource.to_owned()),
            code: status.as_u16(),
        };
        let mut shard = self.shards[shard()].lock();
        if shard.len() >= MAX_SERIES / SHARDS && !shard.contains_key(&series) {
            return;
        }
        let figures = shard.entry(series).or_default();
        figures.count += 1;
        figures.seconds += elapsed.as_secs_f64();
    }

    /// Prometheus' text format.
    pub(crate) fn text(&self, objects: &[(String, usize)]) -> String {
        let mut all: BTreeMap<Series, Figures> = BTreeMap::new();
        for shard in &self.shards {
            for (series, figures) in shard.lock().iter() {
                let sum = all.entry(series.clone()).or_default();
                sum.count += figures.count;
                sum.seconds += figures.seconds;
            }
        }
        let labels = |s: &Series| {
            format!(
                "verb={:?},group={:?},version={:?},resource={:?},subresource={:?},code=\"{}\"",
                s.verb.to_uppercase(),
                s.group,
                s.version,
                s.resource,
                s.subresource,
                s.code
            )
        };
        let mut out = String::new();
        out.push_str(
            "# HELP apiserver_request_total Counter of apiserver requests broken out for each verb, group, version, resource and HTTP response code.\n",
        );
        out.push_str("# TYPE apiserver_request_total counter\n");
        for (series, figures) in &all {
            let _ = writeln!(out, "apiserver_request_total{{{}}} {}", labels(series), figures.count);
        }
        out.push_str("# HELP apiserver_request_duration_seconds Response latency in seconds.\n# TYPE apiserver_request_duration_seconds summary\n");
        for (series, figures) in &all {
            let _ = writeln!(out, "apiserver_request_duration_seconds_sum{{{}}} {}", labels(series), figures.seconds);
            let _ = writeln!(out, "apiserver_request_duration_seconds_count{{{}}} {}", labels(series), figures.count);
        }
        out.push_str(
            "# HELP apiserver_storage_objects Number of stored objects at the time of last check split by kind.\n# TYPE apiserver_storage_objects gauge\n",
        );
        for (resource, count) in objects {
            let _ = writeln!(out, "apiserver_storage_objects{{resource={resource:?}}} {count}");
        }
        out
    }
}

fn shard() -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    std::thread::current().id().hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)
}
