//! `kubectl --as`: acting as another, where RBAC allows the verb `impersonate`.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use wharf_api::status::ApiError;

use crate::Identity;
use crate::authz::{Attributes, Authorizer};

/// The identity to act as: the user's own where no header asks for another.
pub(crate) fn impersonate(headers: &HeaderMap, identity: Arc<Identity>, authorizer: &Authorizer) -> Result<Arc<Identity>, ApiError> {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let user = text("impersonate-user");
    let groups: Vec<&str> = headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()).collect();
    let uid = text("impersonate-uid");
    let extra: Vec<(String, &str)> = headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().strip_prefix("impersonate-extra-")?, value.to_str().ok()?)))
        .map(|(key, value)| (crate::http::query::percent_decode(key, false).into_owned(), value))
        .collect();
    if user.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(identity);
        }
        return Err(ApiError::internal("requested impersonation without impersonating a user"));
    }
    let may = |group: &str, plural: &str, subresource: &str, namespace: &str, name: &str| {
        authorizer.authorize(&identity, &Attributes { verb: "impersonate", group, plural, subresource, namespace, name, ..Attributes::default() })
    };
    let account = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => may("", "serviceaccounts", "", namespace, name)?,
        None => may("", "users", "", "", user)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    for (key, value) in &extra {
        may("authentication.k8s.io", "userextras", key, "", value)?;
    }
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", uid)?;
    }
    let mut acting = match account {
        Some((namespace, name)) if groups.is_empty() => Identity::service_account(namespace, name),
        _ if user == crate::ANONYMOUS => {
            // Whoever acts as nobody is not authenticated.
            let mut nobody = Identity::anonymous();
            nobody.groups.extend(groups.iter().filter(|g| **g != crate::UNAUTHENTICATED).map(|g| (*g).to_owned()));
            nobody
        }
        _ => Identity::new(user, &groups),
    };
    acting.uid = uid.to_owned();
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in extra {
        values.entry(key).or_default().push(value.to_owned());
    }
    acting.extra = values;
    Ok(Arc::new(acting))
}
