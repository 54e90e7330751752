//! `get`: one object, as the bytes that were stored.

use http::{Response, StatusCode};
use wharf_api::status::ApiError;

use super::{fresh, view};
use crate::Body;
use crate::ask::Ask;

pub(crate) async fn get(ask: &Ask<'_>) -> Result<Response<Body>, ApiError> {
    fresh(ask, ask.query.get("resourceVersion")).await?;
    let item = ask.shared.cache().get(&ask.key()).ok_or_else(|| ask.not_found())?;
    view::item(ask, StatusCode::OK, &item)
}
