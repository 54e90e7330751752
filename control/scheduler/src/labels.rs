//! Label selectors over labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use wharf_rest::Pairs;

/// Whether labels match. No selector matches nothing; an empty one matches everything.
pub(crate) fn selected(selector: Option<&LabelSelector>, labels: &Pairs) -> bool {
    let Some(selector) = selector else { return false };
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value.as_str()));
    equal
        && selector.match_expressions.iter().flatten().all(|expression| {
            let value = labels.get(&expression.key);
            let values = expression.values.as_deref().unwrap_or_default();
            match expression.operator.as_str() {
                "In" => value.is_some_and(|v| values.iter().any(|one| one == v)),
                "NotIn" => value.is_none_or(|v| values.iter().all(|one| one != v)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
