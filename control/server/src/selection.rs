//! Which objects a list, watch or deletecollection means: label and field selectors over stored items.

use std::sync::OnceLock;

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use wharf_api::selector::{FieldSelector, LabelSelector};
use wharf_api::status::ApiError;
use wharf_rest::Pairs;
use wharf_store::Item;

use crate::catalog::Served;
use crate::http::query::Query;

/// The selectors of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
    /// `metadata.name`, when the field selector asks for one name.
    pub(crate) name: Option<String>,
}

/// What selectors need of an item; kept with it, for every version of every object that was looked at.
pub(crate) struct ItemAttributes {
    labels: Pairs,
    /// Of kinds that have fields to select by beside name and namespace.
    fields: OnceLock<Pairs>,
}

#[derive(Deserialize)]
struct Lean<'a> {
    #[serde(borrow, default)]
    metadata: LeanMeta<'a>,
}

#[derive(Default, Deserialize)]
struct LeanMeta<'a> {
    #[serde(borrow, default)]
    labels: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`; `path_name` is the name in the path of a watch on one object.
    pub(crate) fn of(query: &Query<'_>, served: &Served, path_name: &str) -> Result<Selection, ApiError> {
        let labels = match query.get("labelSelector") {
            "" => None,
            text => Some(LabelSelector::parse(text)?),
        };
        let fields = match query.get("fieldSelector") {
            "" => None,
            text => {
                let selector = FieldSelector::parse(text)?;
                selector.check(served.kind())?;
                Some(selector)
            }
        };
        let name = if path_name.is_empty() { crate::authz::single_name(query.get("fieldSelector")) } else { path_name };
        Ok(Selection { labels, fields, name: (!name.is_empty()).then(|| name.to_owned()) })
    }

    /// Whether everything is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none() && self.name.is_none()
    }

    /// Whether an item is selected.
    pub(crate) fn selects(&self, served: &Served, item: &Item) -> bool {
        if self.is_everything() {
            return true;
        }
        let (namespace, name) = split_key(served, item);
        if self.name.as_deref().is_some_and(|wanted| wanted != name) {
            return false;
        }
        if self.labels.is_none() && self.fields.is_none() {
            return true;
        }
        let Some(attributes) = item.attributes(attributes) else { return false };
        if let Some(selector) = &self.labels
            && !selector.matches_with(|label| attributes.labels.get(label))
        {
            return false;
        }
        let Some(selector) = &self.fields else { return true };
        let custom = OnceLock::new();
        selector.matches_with(|field| match field {
            "metadata.name" => name,
            "metadata.namespace" => namespace,
            // What a schema says may be selected by can change under an object.
            field if served.info().custom => custom.get_or_init(|| fields(served, item)).iter().find(|(f, _)| *f == field).map_or("", |(_, v)| v.as_str()),
            field => attributes.fields(served, item).get(field).unwrap_or_default(),
        })
    }
}

impl ItemAttributes {
    fn fields(&self, served: &Served, item: &Item) -> &Pairs {
        self.fields.get_or_init(|| fields(served, item).iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (&**name, value.as_str())).collect())
    }
}

fn fields(served: &Served, item: &Item) -> Vec<(Cow<'static, str>, String)> {
    served.decode_stored(&item.json()).map(|o| served.kind().selectable_fields(&*o)).unwrap_or_default()
}

fn attributes(json: &[u8]) -> ItemAttributes {
    let lean: Option<Lean<'_>> = serde_json::from_slice(json).ok();
    let labels = lean.and_then(|l| l.metadata.labels).unwrap_or_default();
    ItemAttributes { labels: labels.iter().map(|(k, v)| (&**k, &**v)).collect(), fields: OnceLock::new() }
}

/// Namespace (empty at the cluster scope) and name in an item's key.
pub(crate) fn split_key<'a>(served: &Served, item: &'a Item) -> (&'a str, &'a str) {
    let rest = item.key().get(served.storage.len() + 1..).unwrap_or_default();
    rest.split_once('/').unwrap_or(("", rest))
}
