//! Events are kept for an hour.

use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use wharf_store::{Expect, Item, Write};

use crate::server::Shared;

const EVENTS: &str = "core/events";
const LIFE: SignedDuration = SignedDuration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(60);
/// Deletes that run at the same time.
const AT_ONCE: usize = 64;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    metadata: Meta,
    #[serde(default)]
    last_timestamp: Option<Timestamp>,
    #[serde(default)]
    event_time: Option<Timestamp>,
    #[serde(default)]
    series: Option<Series>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    creation_timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Series {
    #[serde(default)]
    last_observed_time: Option<Timestamp>,
}

/// Deletes Events that nothing has been heard of for too long, again and again.
pub(crate) async fn keep(shared: &Shared) {
    loop {
        tokio::time::sleep(EVERY).await;
        let limit = Timestamp::now().checked_sub(LIFE).unwrap_or(Timestamp::MIN);
        let snapshot = shared.cache().snapshot(EVENTS);
        let old: Vec<Write> = snapshot
            .range("", None)
            .filter(|item| last_heard(item).is_some_and(|t| t < limit))
            .map(|item| Write { key: item.key().clone(), expect: Expect::Revision(item.revision()), value: None })
            .collect();
        futures::stream::iter(old)
            .for_each_concurrent(AT_ONCE, |write| async {
                // Changed or gone meanwhile: the next round will see.
                let _ = shared.config.store.write(write).await;
            })
            .await;
    }
}

fn last_heard(item: &Item) -> Option<Timestamp> {
    let times: Times = serde_json::from_slice(&item.json()).ok()?;
    let series = times.series.and_then(|s| s.last_observed_time);
    [times.metadata.creation_timestamp, times.last_timestamp, times.event_time, series].into_iter().flatten().max()
}
