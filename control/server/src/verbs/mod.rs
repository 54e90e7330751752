//! What can be done with objects, the same for all kinds.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod snapshots;
pub(crate) mod update;
pub(crate) mod view;
pub(crate) mod watch;

use std::sync::Arc;

use wharf_api::status::ApiError;
use wharf_store::{Item, Write, WriteError};

use crate::ask::Ask;
use crate::catalog::Served;
use crate::server::Shared;

/// Writes to the store, and tells those in this server who have to know at once.
pub(crate) async fn write(shared: &Shared, served: &Served, write: Write) -> Result<Arc<Item>, WriteError> {
    let item = shared.config.store.write(write).await?;
    if served.info().group == "rbac.authorization.k8s.io" {
        shared.authorizer.rbac.changed();
    }
    if served.info().group == wharf_api::kinds::plugin::GROUP {
        shared.plugins.changed();
    }
    Ok(item)
}

/// The answer to a write that the store refused; conflicts are of the object's name.
pub(crate) fn refused(error: WriteError, served: &Served, name: &str) -> ApiError {
    let info = served.info();
    match error {
        WriteError::Exists(_) => ApiError::already_exists(&info.group, &info.plural, name),
        WriteError::NotFound => ApiError::not_found(&info.group, &info.plural, name),
        WriteError::Conflict(_) => ApiError::modified(&info.group, &info.plural, name),
        WriteError::Closed => ApiError::unavailable("the server is shutting down"),
        error @ (WriteError::Malformed | WriteError::Unavailable(_)) => ApiError::internal(error),
    }
}

/// Reads a `resourceVersion`.
pub(crate) fn parse_revision(text: &str) -> Result<u64, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax")))
}

/// Waits (three seconds at most) until the cache shows the revision that a read must not be older than.
pub(crate) async fn fresh(ask: &Ask<'_>, version: &str) -> Result<u64, ApiError> {
    let store = &ask.shared.config.store;
    match version {
        "" => store.refresh().await.map_err(|e| refused(e, ask.served, &ask.path.name)),
        "0" => Ok(0),
        text => {
            let wanted = parse_revision(text)?;
            let cache = store.cache();
            if cache.revision() < wanted && tokio::time::timeout(std::time::Duration::from_secs(3), cache.reached(wanted)).await.is_err() {
                return Err(ApiError::resource_version_too_large(wanted, cache.revision()));
            }
            Ok(wanted)
        }
    }
}
