//! `v1` LimitRange: bounds and defaults of what Pods of a namespace ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::field::{Error, Errors, Path};
use crate::k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use crate::k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use crate::kind::{Kind, Merge, Names, Scope};
use crate::kinds::amount;
use crate::kinds::checks::each;
use crate::kinds::{merge, names};
use crate::meta::qualified_name;

/// LimitRange of `v1`.
pub struct LimitRanges;

impl Kind for LimitRanges {
    type Object = LimitRange;

    const NAMES: Names = names("limitrange", &["limits"], &[]);
    const SCOPE: Scope = Scope::Namespaced;
    const MERGES: &[Merge] = MERGES;
    const ALLOW_CREATE_ON_UPDATE: bool = true;

    fn default(range: &mut LimitRange) {
        for item in range.spec.iter_mut().flat_map(|s| &mut s.limits).filter(|i| i.type_ == "Container") {
            let max = item.max.clone();
            let default = item.default.get_or_insert_default();
            fill_from(default, max.as_ref());
            let requests = item.default_request.get_or_insert_default();
            fill_from(requests, Some(default));
            fill_from(requests, item.min.as_ref());
            for list in [&mut item.default, &mut item.default_request] {
                if list.as_ref().is_some_and(BTreeMap::is_empty) {
                    *list = None;
                }
            }
        }
    }

    fn validate(range: &LimitRange) -> Errors {
        let at = Path::new("spec.limits");
        let mut errors = Errors::new();
        let mut types = BTreeSet::new();
        for (i, item) in range.spec.iter().flat_map(|s| &s.limits).enumerate() {
            let at = at.index(i);
            errors.extend(each(&at.child("type"), &item.type_, qualified_name(&item.type_)));
            if !types.insert(&item.type_) {
                errors.push(Error::duplicate(&at.child("type"), &item.type_));
            }
            errors.extend(bounds(item, &at));
        }
        errors
    }
}

fn fill_from(target: &mut BTreeMap<String, Quantity>, source: Option<&BTreeMap<String, Quantity>>) {
    for (name, amount) in source.into_iter().flatten() {
        target.entry(name.clone()).or_insert_with(|| amount.clone());
    }
}

/// min ≤ defaultRequest ≤ default ≤ max.
fn bounds(item: &LimitRangeItem, at: &Path) -> Errors {
    let mut errors = Errors::new();
    if item.type_ == "Pod" {
        for (given, field) in [(&item.default, "default"), (&item.default_request, "defaultRequest")] {
            if given.as_ref().is_some_and(|d| !d.is_empty()) {
                errors.push(Error::forbidden(&at.child(field), "may not be specified when `type` is 'Pod'"));
            }
        }
    }
    let order = [
        (&item.min, "min", "min"),
        (&item.default_request, "defaultRequest", "default request"),
        (&item.default, "default", "default"),
        (&item.max, "max", "max"),
    ];
    for (i, (low, field, low_word)) in order.iter().enumerate() {
        for (name, low) in low.iter().flatten() {
            for (high, _, high_word) in &order[i + 1..] {
                if let Some(high) = high.as_ref().and_then(|h| h.get(name)).filter(|high| amount::exceeds(low, high)) {
                    let words = format!("{low_word} value {} is greater than {high_word} value {}", low.0, high.0);
                    errors.push(Error::invalid(&at.child(field).key(name), &low.0, words));
                }
            }
        }
    }
    errors
}

/// How lists and maps of these types are merged, from the OpenAPI document.
const MERGES: &[Merge] = &[merge("io.k8s.api.core.v1.LimitRangeSpec", "limits", "", "", "atomic", &[])];

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::kinds::testing::{check_default, check_refused};

    #[test]
    fn fills_in_what_is_left_out() {
        check_default::<LimitRanges>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {limits: [{type: Container, max: {cpu: 1}, min: {memory: 1Mi}}, {type: Pod, max: {cpu: 1}}]}
"#,
            &expect![[r#"
                apiVersion: v1
                kind: LimitRange
                metadata:
                  creationTimestamp: 2026-01-01T00:00:00Z
                  name: p
                spec:
                  limits:
                  - default:
                      cpu: '1'
                    defaultRequest:
                      cpu: '1'
                      memory: 1Mi
                    max:
                      cpu: '1'
                    min:
                      memory: 1Mi
                    type: Container
                  - max:
                      cpu: '1'
                    type: Pod
            "#]],
        );
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        check_refused::<LimitRanges>(
            r#"
metadata: {name: p, creationTimestamp: 2026-01-01T00:00:00Z}
spec: {limits: [{type: Container, max: {cpu: 1}, min: {cpu: 2}}, {type: Container}, {type: Pod, default: {cpu: 1}}]}
"#,
            &expect![[r#"
                spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than default request value 1
                spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than default value 1
                spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1
                spec.limits[1].type: Duplicate value: "Container"
                spec.limits[2].default: Forbidden: may not be specified when `type` is 'Pod'
            "#]],
        );
    }
}
