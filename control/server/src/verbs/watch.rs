//! `watch`: events as they happen. A watcher is a cursor in the shared history; what is sent are the bytes that the write made,
//! all that wait together in one chunk.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use rand::Rng;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wharf_api::field::{Error, Path};
use wharf_api::status::ApiError;
use wharf_store::{Cursor, Event, EventKind, Item};

use super::{fresh, view};
use crate::Body;
use crate::ask::Ask;
use crate::catalog::Served;
use crate::http::negotiate::View;
use crate::http::respond;
use crate::selection::Selection;

/// Between bookmarks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// The last bookmark comes so long before the end, so that a client resumes from there.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// The longest that a client may ask for, a year: the clock has an end.
const MAX_SECONDS: u64 = 365 * 24 * 3600;
/// How much is sent together.
const CHUNK: usize = 64 << 10;

pub(crate) async fn watch(ask: &Ask<'_>) -> Result<Response<Body>, ApiError> {
    let (query, cache) = (ask.query, ask.shared.cache());
    if ask.shared.stopping.is_cancelled() {
        // An error makes clients wait before they come again; a watch that ends at once would not.
        return Err(ApiError::unavailable("the server is shutting down"));
    }
    let selection = Selection::of(query, ask.served, &ask.path.name)?;
    let version = query.get("resourceVersion");
    let initial = initial_events(ask)?;
    fresh(ask, version).await?;
    let bookmarks = query.flag("allowWatchBookmarks");
    let storage = &ask.served.storage;
    let prefix = ask.served.prefix(ask.namespace());
    let (cursor, items) = if initial.unwrap_or(matches!(version, "" | "0")) {
        let snapshot = cache.snapshot(storage);
        let items: Vec<Arc<Item>> = snapshot.range(&prefix, None).filter(|i| selection.selects(ask.served, i)).cloned().collect();
        (cache.watch(storage, snapshot.revision()), items)
    } else {
        let from = if matches!(version, "" | "0") { cache.revision() } else { super::parse_revision(version)? };
        (cache.watch(storage, from), Vec::new())
    };
    let cursor = match cursor {
        Ok(cursor) => cursor,
        Err(expired) => {
            return Ok(respond::stream(Body::from(error_line(&ApiError::gone(expired.to_string())))));
        }
    };
    let seconds = query.number("timeoutSeconds").and_then(|s| u64::try_from(s).ok()).filter(|s| *s > 0).map(|s| s.min(MAX_SECONDS));
    let length = seconds.map_or_else(|| ask.shared.config.min_watch.mul_f64(1.0 + rand::rng().random::<f64>()), Duration::from_secs);
    let now = Instant::now();
    let watcher = Watcher {
        served: ask.served.clone(),
        selection,
        everything: false,
        prefix,
        view: ask.accepted.view,
        include: query.get("includeObject").to_owned(),
        columns_sent: false,
        cursor,
        initial: items.into_iter(),
        end_of_initial: initial == Some(true) && bookmarks,
        bookmarks,
        next_bookmark: now + BOOKMARK_EVERY.min(length.saturating_sub(BOOKMARK_BEFORE_END)),
        end: now + length,
        stopping: ask.shared.stopping.clone(),
        over: false,
    };
    let watcher = Watcher { everything: watcher.selection.is_everything() && watcher.view == View::Object && watcher.served.never_converts(), ..watcher };
    let chunks =
        futures::stream::unfold(
            watcher,
            |mut watcher| async move { watcher.next().await.map(|chunk| (Ok::<Bytes, std::convert::Infallible>(chunk), watcher)) },
        );
    Ok(respond::stream(Body::from_stream(chunks)))
}

/// Whether the objects that exist are sent first: `sendInitialEvents`, which has rules of its own.
fn initial_events(ask: &Ask<'_>) -> Result<Option<bool>, ApiError> {
    let query = ask.query;
    let matching = query.get("resourceVersionMatch");
    let wanted = query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents"));
    let refuse = |error: Error| Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", vec![error]));
    match (wanted, matching) {
        (Some(_), "NotOlderThan") | (None, "") => Ok(wanted),
        (Some(_), "") => {
            let at = Path::new("resourceVersionMatch");
            refuse(Error::forbidden(&at, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
        }
        (Some(_), other) => refuse(Error::not_supported(&Path::new("resourceVersionMatch"), other, &["NotOlderThan"])),
        (None, _) => {
            refuse(Error::forbidden(&Path::new("resourceVersionMatch"), "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"))
        }
    }
}

struct Watcher {
    served: Arc<Served>,
    selection: Selection,
    /// Every event of the prefix is sent as it is.
    everything: bool,
    prefix: String,
    view: View,
    include: String,
    columns_sent: bool,
    cursor: Cursor,
    initial: std::vec::IntoIter<Arc<Item>>,
    /// A bookmark has to tell that the initial events are over.
    end_of_initial: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    stopping: CancellationToken,
    over: bool,
}

impl Watcher {
    /// The next bytes to send; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        if let Some(chunk) = self.initial() {
            return Some(chunk);
        }
        loop {
            let batch = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return None,
                // What happened before its kind went is still told.
                () = self.served.gone.cancelled() => {
                    let last = self.cursor.poll().ok().and_then(|events| self.chunk(&events));
                    self.over = true;
                    return last;
                }
                batch = self.cursor.next() => batch,
                () = tokio::time::sleep_until(self.next_bookmark.min(self.end)) => {
                    if Instant::now() >= self.end {
                        return None;
                    }
                    if let Some(chunk) = self.bookmark() {
                        return Some(chunk);
                    }
                    continue;
                }
            };
            match batch {
                Ok(events) => {
                    if let Some(chunk) = self.chunk(&events) {
                        return Some(chunk);
                    }
                }
                Err(expired) => {
                    self.over = true;
                    return Some(error_line(&ApiError::gone(expired.to_string())));
                }
            }
        }
    }

    /// The objects that exist, then the bookmark that says so.
    fn initial(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        while chunk.len() < CHUNK {
            let Some(item) = self.initial.next() else { break };
            self.append(EventKind::Added, &item.json(), &mut chunk);
        }
        if self.initial.as_slice().is_empty() && std::mem::take(&mut self.end_of_initial) {
            let revision = self.cursor.position();
            self.append_bookmark(revision, true, &mut chunk);
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    fn bookmark(&mut self) -> Option<Bytes> {
        let now = Instant::now();
        self.next_bookmark =
            if self.end <= now + BOOKMARK_EVERY && now + BOOKMARK_BEFORE_END < self.end { self.end - BOOKMARK_BEFORE_END } else { now + BOOKMARK_EVERY };
        if !self.bookmarks {
            return None;
        }
        let revision = self.cursor.bookmark()?;
        let mut chunk = BytesMut::new();
        self.append_bookmark(revision, false, &mut chunk);
        Some(chunk.freeze())
    }

    /// A batch as one chunk: a single event as the very bytes that are shared, several copied together.
    fn chunk(&mut self, events: &[Arc<Event>]) -> Option<Bytes> {
        if self.everything {
            let mut matching = events.iter().filter(|e| e.item.key().starts_with(&self.prefix));
            let first = matching.next()?;
            let Some(second) = matching.next() else { return Some(first.frame()) };
            let mut chunk = BytesMut::new();
            for event in [first, second].into_iter().chain(matching) {
                chunk.extend_from_slice(&event.frame());
            }
            return Some(chunk.freeze());
        }
        let mut chunk = BytesMut::new();
        for event in events {
            if !event.item.key().starts_with(&self.prefix) {
                continue;
            }
            let Some(kind) = self.seen_as(event) else { continue };
            if self.view == View::Object && self.served.as_stored(&event.item) && !(kind == EventKind::Deleted && event.kind != EventKind::Deleted) {
                chunk.extend_from_slice(&event.frame_as(kind));
                continue;
            }
            let json = match (&event.previous, kind, event.kind) {
                // What leaves the selection is shown as it last was in it, under the revision that took it out.
                (Some(previous), EventKind::Deleted, EventKind::Modified) => previous.json_at(event.revision()).into(),
                _ => event.item.json(),
            };
            self.append(kind, &json, &mut chunk);
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    /// What an event is for this watcher's selection.
    fn seen_as(&self, event: &Event) -> Option<EventKind> {
        let before = event.previous.as_ref().is_some_and(|p| self.selection.selects(&self.served, p));
        match event.kind {
            EventKind::Deleted => (before || self.selection.selects(&self.served, &event.item)).then_some(EventKind::Deleted),
            EventKind::Added | EventKind::Modified => match (before, self.selection.selects(&self.served, &event.item)) {
                (false, true) => Some(EventKind::Added),
                (true, true) => Some(EventKind::Modified),
                (true, false) => Some(EventKind::Deleted),
                (false, false) => None,
            },
        }
    }

    /// One event of stored JSON, in this watcher's view.
    fn append(&mut self, kind: EventKind, stored: &[u8], chunk: &mut BytesMut) {
        let shown = self.show(stored);
        let object = match &shown {
            Ok(Some(bytes)) => bytes.as_slice(),
            Ok(None) => stored,
            Err(error) => {
                tracing::error!(%error, resource = self.served.storage, "an event cannot be shown");
                return;
            }
        };
        chunk.extend_from_slice(b"{\"type\":\"");
        chunk.extend_from_slice(kind.as_str().as_bytes());
        chunk.extend_from_slice(b"\",\"object\":");
        chunk.extend_from_slice(object);
        chunk.extend_from_slice(b"}\n");
    }

    fn show(&mut self, stored: &[u8]) -> Result<Option<Vec<u8>>, ApiError> {
        let failed = |e: serde_json::Error| ApiError::internal(e.to_string());
        let own = if !self.served.never_converts() {
            let object = self.served.decode_stored(stored)?;
            let mut json = Vec::new();
            object.encode(&mut json).map_err(failed)?;
            Some(json)
        } else {
            None
        };
        let json = own.as_deref().unwrap_or(stored);
        match self.view {
            View::Table => {
                let object = self.served.kind().decode(json).map_err(failed)?;
                let version = object.meta().resource_version.clone().unwrap_or_default();
                let mut table = view::table_head(&self.served, json!({"resourceVersion": version}), !std::mem::replace(&mut self.columns_sent, true));
                table["rows"] = Value::Array(vec![view::row(&self.served, &*object, json, &self.include)?]);
                Ok(Some(table.to_string().into_bytes()))
            }
            view => Ok(view::one(&self.served, view, &self.include, json)?.or(own)),
        }
    }

    fn append_bookmark(&self, revision: u64, initial: bool, chunk: &mut BytesMut) {
        let info = self.served.info();
        let mut metadata = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.view {
            View::Metadata => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}),
            View::Table => {
                let inner = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata});
                let mut table = view::table_head(&self.served, json!({"resourceVersion": revision.to_string()}), !self.columns_sent);
                table["rows"] = json!([{"cells": [], "object": inner}]);
                table
            }
            View::Object | View::Discovery => json!({"kind": info.kind, "apiVersion": info.api_version, "metadata": metadata}),
        };
        chunk.extend_from_slice(json!({"type": "BOOKMARK", "object": object}).to_string().as_bytes());
        chunk.extend_from_slice(b"\n");
    }
}

fn error_line(error: &ApiError) -> Bytes {
    Bytes::from(format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", crate::http::status::json(error, "")))
}
