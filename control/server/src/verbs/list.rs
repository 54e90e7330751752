//! `list`: many objects, from one snapshot, as shared bytes in chunks.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode};
use serde_json::{Value, json};
use wharf_api::status::ApiError;
use wharf_store::{Item, Snapshot};

use super::snapshots::Token;
use super::{fresh, parse_revision, view};
use crate::Body;
use crate::ask::Ask;
use crate::http::negotiate::{Format, View};
use crate::http::respond;
use crate::selection::Selection;

/// How much of a list is copied together at a time.
const CHUNK: usize = 64 << 10;

/// What of a snapshot a list shows.
pub(crate) struct Page {
    pub(crate) revision: u64,
    pub(crate) items: Vec<Arc<Item>>,
    next: Option<String>,
    remaining: Option<usize>,
}

pub(crate) async fn list(ask: &Ask<'_>) -> Result<Response<Body>, ApiError> {
    let selection = Selection::of(ask.query, ask.served, &ask.path.name)?;
    if let Some(response) = expired(ask)? {
        return Ok(response);
    }
    let page = page(ask, &selection).await?;
    if ask.accepted.format == Format::Json && ask.accepted.view == View::Object && page.items.iter().all(|item| ask.served.as_stored(item)) {
        return Ok(stream(ask, page));
    }
    respond_whole(ask, &page)
}

/// Reads the parameters and selects.
pub(crate) async fn page(ask: &Ask<'_>, selection: &Selection) -> Result<Page, ApiError> {
    let limit = match ask.query.get("limit") {
        "" => 0,
        text => text.parse::<i64>().map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))?,
    };
    let limit = usize::try_from(limit).ok().filter(|l| *l > 0);
    let (snapshot, after) = snapshot(ask).await?;
    Ok(select(ask, selection, &snapshot, after.as_deref(), limit))
}

/// The snapshot that the parameters mean, and behind which key it goes on.
async fn snapshot(ask: &Ask<'_>) -> Result<(Snapshot, Option<String>), ApiError> {
    let (query, cache, storage) = (ask.query, ask.shared.cache(), &ask.served.storage);
    let (version, matching) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
    let token = query.get("continue");
    if !token.is_empty() {
        if !matching.is_empty() {
            return Err(refused_option("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"));
        }
        if !version.is_empty() && version != "0" {
            return Err(ApiError::bad_request("specifying resource version is not allowed when using continue"));
        }
        let token = Token::decode(token)?;
        let after = Some(format!("{storage}/{}", token.start));
        let Ok(revision) = u64::try_from(token.rv) else { return Ok((cache.snapshot(storage), after)) };
        return match ask.shared.snapshots.at(cache, storage, revision) {
            Some(snapshot) => Ok((snapshot, after)),
            None => Err(ApiError::gone(EXPIRED)),
        };
    }
    match matching {
        "" | "NotOlderThan" | "Exact" => {}
        other => {
            let error = wharf_api::field::Error::not_supported(&wharf_api::field::Path::new("resourceVersionMatch"), other, &["Exact", "NotOlderThan", ""]);
            return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", vec![error]));
        }
    }
    if !matching.is_empty() && version.is_empty() {
        return Err(refused_option("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"));
    }
    if matching == "Exact" && version == "0" {
        return Err(refused_option("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""));
    }
    fresh(ask, version).await?;
    if matching == "Exact" {
        let revision = parse_revision(version)?;
        let snapshot = ask.shared.snapshots.at(cache, storage, revision);
        return Ok((snapshot.ok_or_else(|| ApiError::gone("The resourceVersion for the provided list is too old."))?, None));
    }
    Ok((cache.snapshot(storage), None))
}

fn refused_option(field: &str, why: &str) -> ApiError {
    let error = wharf_api::field::Error::forbidden(&wharf_api::field::Path::new(field), why);
    ApiError::invalid("meta.k8s.io", "ListOptions", "", vec![error])
}

/// 410 for a `continue` token whose snapshot is gone, with another token to go on without consistency.
fn expired(ask: &Ask<'_>) -> Result<Option<Response<Body>>, ApiError> {
    let token = ask.query.get("continue");
    if token.is_empty() {
        return Ok(None);
    }
    let token = Token::decode(token)?;
    let Ok(revision) = u64::try_from(token.rv) else { return Ok(None) };
    if ask.shared.snapshots.at(ask.shared.cache(), &ask.served.storage, revision).is_some() {
        return Ok(None);
    }
    let status = crate::http::status::json(&ApiError::gone(EXPIRED), &Token::new(-1, &token.start).encode());
    Ok(Some(respond::bytes(StatusCode::GONE, status.into(), ask.accepted.format)))
}

const EXPIRED: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue \
    parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an \
    inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

fn select(ask: &Ask<'_>, selection: &Selection, snapshot: &Snapshot, after: Option<&str>, limit: Option<usize>) -> Page {
    let served = ask.served;
    let prefix = served.prefix(ask.namespace());
    let revision = snapshot.revision();
    // One name in one namespace is a get.
    if let (Some(name), false) = (&selection.name, served.info().namespaced() && ask.namespace().is_empty()) {
        let key = format!("{prefix}{name}");
        let items = snapshot.range(&key, after).take(1).filter(|i| **i.key() == *key && selection.selects(served, i)).cloned().collect();
        return Page { revision, items, next: None, remaining: None };
    }
    let mut found = snapshot.range(&prefix, after).filter(|i| selection.selects(served, i));
    let Some(limit) = limit else {
        return Page { revision, items: found.cloned().collect(), next: None, remaining: None };
    };
    let items: Vec<Arc<Item>> = found.by_ref().take(limit).cloned().collect();
    let more = found.next().is_some();
    drop(found);
    let Some(last) = items.last().filter(|_| more) else { return Page { revision, items, next: None, remaining: None } };
    ask.shared.snapshots.keep(&served.storage, snapshot);
    let start = last.key().get(served.storage.len() + 1..).unwrap_or_default();
    let token = Token::new(i64::try_from(revision).unwrap_or(-1), start).encode();
    let remaining = selection.is_everything().then(|| snapshot.range(&prefix, Some(last.key())).count());
    Page { revision, items, next: Some(token), remaining }
}

impl Page {
    /// The list's metadata.
    fn metadata(&self) -> Value {
        let mut metadata = json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            metadata["continue"] = Value::from(next.as_str());
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = Value::from(remaining);
        }
        metadata
    }
}

/// The list as JSON: the head, then copies of the shared bytes, a chunk at a time.
fn stream(ask: &Ask<'_>, page: Page) -> Response<Body> {
    let served = ask.served.clone();
    let info = served.info();
    let head = format!("{{\"kind\":{:?},\"apiVersion\":{:?},\"metadata\":{},\"items\":[", info.list_kind, info.api_version, page.metadata());
    let about = head.len() + 2 + page.items.iter().map(|i| i.json_len() + 1).sum::<usize>();
    if about <= CHUNK {
        let mut whole = BytesMut::with_capacity(about);
        whole.extend_from_slice(head.as_bytes());
        append(&served, &page.items, 0, usize::MAX, &mut whole);
        whole.extend_from_slice(b"]}");
        respond::stream(Body::from(whole.freeze()))
    } else {
        let state = (Some(head), page.items, 0_usize, false);
        let chunks = futures::stream::unfold(state, move |(head, items, mut at, done)| {
            let served = served.clone();
            async move {
                if done {
                    return None;
                }
                let mut chunk = BytesMut::with_capacity(CHUNK + (4 << 10));
                if let Some(head) = head {
                    chunk.extend_from_slice(head.as_bytes());
                }
                at = append(&served, &items, at, CHUNK, &mut chunk);
                let done = at == items.len();
                if done {
                    chunk.extend_from_slice(b"]}");
                }
                Some((Ok::<Bytes, std::convert::Infallible>(chunk.freeze()), (None, items, at, done)))
            }
        });
        respond::stream(Body::from_stream(chunks))
    }
}

/// Copies items from `at` on until there are `enough` bytes; returns where it stopped.
fn append(served: &crate::catalog::Served, items: &[Arc<Item>], mut at: usize, enough: usize, into: &mut BytesMut) -> usize {
    while at < items.len() && into.len() < enough {
        into.extend_from_slice(if at > 0 { b",{" } else { b"{" });
        into.extend_from_slice(served.in_list(&items[at].json()));
        at += 1;
    }
    at
}

/// Tables, metadata, YAML and kinds that are stored as another: made whole.
pub(crate) fn respond_whole(ask: &Ask<'_>, page: &Page) -> Result<Response<Body>, ApiError> {
    let (served, info) = (ask.served, ask.served.info());
    let failed = |e: serde_json::Error| ApiError::internal(e.to_string());
    let list = match ask.accepted.view {
        View::Table => {
            let mut table = view::table_head(served, page.metadata(), true);
            let include = ask.query.get("includeObject");
            let rows = page.items.iter().map(|item| {
                let json = served.present(item)?;
                let object = served.kind().decode(&json).map_err(failed)?;
                view::row(served, &*object, &json, include)
            });
            table["rows"] = Value::Array(rows.collect::<Result<_, _>>()?);
            table
        }
        View::Metadata => {
            let items = page.items.iter().map(|item| serde_json::from_slice::<Value>(&view::metadata(&item.json())?).map_err(failed));
            let items = items.collect::<Result<Vec<_>, _>>()?;
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": page.metadata(), "items": items})
        }
        View::Object | View::Discovery => {
            let items = page.items.iter().map(|item| {
                let mut tree: Value = serde_json::from_slice(&served.present(item)?).map_err(failed)?;
                if let Some(map) = tree.as_object_mut().filter(|_| !info.custom) {
                    map.remove("kind");
                    map.remove("apiVersion");
                }
                Ok(tree)
            });
            let items = items.collect::<Result<Vec<_>, ApiError>>()?;
            json!({"kind": info.list_kind, "apiVersion": info.api_version, "metadata": page.metadata(), "items": items})
        }
    };
    Ok(respond::value(StatusCode::OK, &list, ask.accepted.format))
}
