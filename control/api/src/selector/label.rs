//! Label selectors: `a=b,c!=d,e in (f,g),!h`, and `metav1.LabelSelector`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta_v1;

use crate::field::{Error, Path, quoted};
use crate::meta::names;
use crate::status::ApiError;

/// Labels of an object.
type Labels = BTreeMap<String, String>;

/// All requirements must be met; [`LabelSelector::nothing`] never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Option<Vec<Requirement>>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Key of the label.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what; empty for [`Operator::Exists`] and [`Operator::DoesNotExist`].
    pub values: BTreeSet<String>,
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    GreaterThan,
    LessThan,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Selects all.
    pub fn everything() -> LabelSelector {
        LabelSelector { requirements: Some(Vec::new()) }
    }

    /// Selects none.
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: None }
    }

    /// From the text of a `labelSelector` parameter; errors are a 400 in Kubernetes' words.
    pub fn parse(text: &str) -> Result<LabelSelector, ApiError> {
        let mut requirements = super::parse::requirements(text).map_err(ApiError::bad_request)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements: Some(requirements) })
    }

    /// From the object form. `None` selects nothing, an empty one everything.
    pub fn from_object(selector: Option<&meta_v1::LabelSelector>) -> Result<LabelSelector, String> {
        let Some(selector) = selector else { return Ok(LabelSelector::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(requirement(key, Operator::Equals, [value.clone()].into())?);
        }
        for expression in selector.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", quoted(other))),
            };
            requirements.push(requirement(&expression.key, operator, expression.values.iter().flatten().cloned().collect())?);
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(LabelSelector { requirements: Some(requirements) })
    }

    /// From a plain map, as `spec.selector` of Services and ReplicationControllers: all must be equal.
    pub fn from_map(labels: &Labels) -> LabelSelector {
        let equal = |(key, value): (&String, &String)| Requirement { key: key.clone(), operator: Operator::Equals, values: [value.clone()].into() };
        LabelSelector { requirements: Some(labels.iter().map(equal).collect()) }
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: Option<&Labels>) -> bool {
        self.matches_with(|key| labels.and_then(|l| l.get(key)).map(String::as_str))
    }

    /// The same with a look-up for the labels.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.as_ref().is_some_and(|all| all.iter().all(|r| r.matches(label(&r.key))))
    }

    /// Whether all objects are selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.as_ref().is_some_and(Vec::is_empty)
    }

    /// The conditions, by key; none at all of [`LabelSelector::nothing`], too.
    pub fn requirements(&self) -> &[Requirement] {
        self.requirements.as_deref().unwrap_or_default()
    }
}

impl Requirement {
    /// Whether a label with this value (or none) meets it.
    pub fn matches(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let Some(value) = value.and_then(|v| v.parse::<i64>().ok()) else { return false };
                let Some(bound) = self.values.first().and_then(|v| v.parse::<i64>().ok()) else { return false };
                if self.operator == Operator::GreaterThan { value > bound } else { value < bound }
            }
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements().iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        match self.operator {
            Operator::Exists => write!(f, "{}", self.key),
            Operator::DoesNotExist => write!(f, "!{}", self.key),
            Operator::Equals => write!(f, "{}={values}", self.key),
            Operator::DoubleEquals => write!(f, "{}=={values}", self.key),
            Operator::NotEquals => write!(f, "{}!={values}", self.key),
            Operator::GreaterThan => write!(f, "{}>{values}", self.key),
            Operator::LessThan => write!(f, "{}<{values}", self.key),
            Operator::In => write!(f, "{} in ({values})", self.key),
            Operator::NotIn => write!(f, "{} notin ({values})", self.key),
        }
    }
}

/// A requirement that is sound, or what is wrong with it.
pub(super) fn requirement(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Requirement, String> {
    let (key_path, values_path) = (Path::new("key"), Path::new("values"));
    let mut errors = Vec::new();
    errors.extend(key_error(key, &key_path));
    let mut refuse = |detail: &str| {
        let list = serde_json::Value::from(values.iter().cloned().collect::<Vec<_>>());
        errors.push(Error::invalid(&values_path, list, detail));
    };
    match operator {
        Operator::In | Operator::NotIn if values.is_empty() => refuse("for 'in', 'notin' operators, values set can't be empty"),
        Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
            refuse("exact-match compatibility requires one single value");
        }
        Operator::Exists | Operator::DoesNotExist if !values.is_empty() => refuse("values set must be empty for exists and does not exist"),
        Operator::GreaterThan | Operator::LessThan if values.len() != 1 => refuse("for 'Gt', 'Lt' operators, exactly one value is required"),
        Operator::GreaterThan | Operator::LessThan => {
            for (i, value) in values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err()) {
                errors.push(Error::invalid(&values_path.index(i), value, "for 'Gt', 'Lt' operators, the value must be an integer"));
            }
        }
        _ => {}
    }
    for (i, value) in values.iter().enumerate() {
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.push(Error::invalid(&values_path.index(i).key(key), value, wrong.join("; ")));
        }
    }
    match errors.as_slice() {
        [] => Ok(Requirement { key: key.to_owned(), operator, values }),
        [one] => Err(one.to_string()),
        many => Err(format!("[{}]", many.iter().map(Error::to_string).collect::<Vec<_>>().join(", "))),
    }
}

pub(super) fn key_error(key: &str, at: &Path) -> Option<Error> {
    let wrong = names::qualified_name(key);
    (!wrong.is_empty()).then(|| Error::invalid(at, key, wrong.join("; ")))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn labels(text: &str) -> Labels {
        text.split(',').filter_map(|p| p.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
    }

    #[test]
    fn matches() {
        let table = [
            ("", "", true),
            ("x", "x=1", true),
            ("x", "y=1", false),
            ("!x", "y=1", true),
            ("!x", "x=1", false),
            ("x=1", "x=1", true),
            ("x==1", "x=2", false),
            ("x!=1", "x=2", true),
            ("x!=1", "", true),
            ("x in (1,2)", "x=2", true),
            ("x in (1,2)", "x=3", false),
            ("x notin (1)", "", true),
            ("x notin (1),y", "y=1", true),
            ("x>2", "x=3", true),
            ("x<2", "x=3", false),
            ("x>2", "x=a", false),
            ("x=", "x=", true),
            ("in in (in,notin)", "in=notin", true),
            ("x in (,a)", "x=", true),
        ];
        for (selector, object, expected) in table {
            assert_eq!(LabelSelector::parse(selector).unwrap().matches(Some(&labels(object))), expected, "{selector} {object}");
        }
        assert!(!LabelSelector::nothing().matches(None));
        assert!(LabelSelector::everything().matches(None));
    }

    fn refused(text: &str, expected: Expect) {
        expected.assert_eq(LabelSelector::parse(text).unwrap_err().message());
    }

    #[test]
    fn refuses_in_kubernetes_words() {
        refused("x,", expect!["found '', expected: identifier after ','"]);
        refused(",x", expect!["found ',', expected: !, identifier, or 'end of string'"]);
        refused("x y", expect!["unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt, exists, !"]);
        refused("x in y", expect!["unable to parse requirement: found 'y' expected: '('"]);
        refused("x in (a b)", expect!["unable to parse requirement: found 'b', expected: ',' or ')'"]);
        refused("x in ()", expect!["unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"]);
        refused("x>a", expect![[r#"unable to parse requirement: values[0]: Invalid value: "a": for 'Gt', 'Lt' operators, the value must be an integer"#]]);
        refused("!", expect!["unable to parse requirement: found '', expected: identifier"]);
        refused("x=1 y", expect!["found 'y', expected: ',' or 'end of string'"]);
        refused(
            "-x",
            expect![[
                r#"unable to parse requirement: <nil>: Invalid value: "-x": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#
            ]],
        );
        refused(
            "x=-",
            expect![[
                r#"unable to parse requirement: values[0][x]: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#
            ]],
        );
    }

    #[test]
    fn object_form() {
        let object = |v| serde_json::from_value::<meta_v1::LabelSelector>(v).unwrap();
        let selector = object(json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]}, {"key": "d", "operator": "DoesNotExist"}]}));
        assert_eq!(LabelSelector::from_object(Some(&selector)).unwrap().to_string(), "a=1,b=2,c in (x,y),!d");
        assert!(LabelSelector::from_object(Some(&object(json!({})))).unwrap().is_everything());
        assert_eq!(LabelSelector::from_object(None).unwrap(), LabelSelector::nothing());
        let bad = object(json!({"matchExpressions": [{"key": "c", "operator": "Like"}]}));
        assert_eq!(LabelSelector::from_object(Some(&bad)).unwrap_err(), "\"Like\" is not a valid label selector operator");
    }

    proptest! {
        #[test]
        fn text_survives(text in r"[a-c!=<>(), innot1]{0,20}") {
            if let Ok(selector) = LabelSelector::parse(&text) {
                let again = LabelSelector::parse(&selector.to_string());
                prop_assert_eq!(again.map(|s| s.to_string()).map_err(|e| e.to_string()), Ok(selector.to_string()));
            }
        }
    }
}
