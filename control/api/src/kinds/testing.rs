//! Tests of kinds: YAML in, text out.

use expect_test::Expect;

use crate::field::Errors;
use crate::kind::{DynKind, DynObject, Kind, erase};
use crate::table::Now;

/// The object with what was left out filled in.
pub(crate) fn check_default<K: Kind>(yaml: &str, expected: &Expect) {
    let kind = erase::<K>();
    let mut object = parse(kind.as_ref(), yaml);
    kind.default(object.as_mut());
    kind.prepare_create(object.as_mut());
    expected.assert_eq(&serde_yaml::to_string(&object.to_value().unwrap()).unwrap());
}

/// What is wrong with an object: one line for each refusal, nothing where it is accepted.
pub(crate) fn check_refused<K: Kind>(yaml: &str, expected: &Expect) {
    let kind = erase::<K>();
    let mut object = parse(kind.as_ref(), yaml);
    kind.default(object.as_mut());
    kind.prepare_create(object.as_mut());
    expected.assert_eq(&lines(&kind.validate(object.as_ref())));
}

/// What is wrong with the second object as an update of the first.
pub(crate) fn check_update_refused<K: Kind>(old: &str, new: &str, expected: &Expect) {
    let kind = erase::<K>();
    let [mut old, mut new] = [old, new].map(|yaml| parse(kind.as_ref(), yaml));
    kind.default(old.as_mut());
    kind.prepare_create(old.as_mut());
    kind.default(new.as_mut());
    kind.prepare_update(new.as_mut(), old.as_ref());
    expected.assert_eq(&lines(&kind.validate_update(new.as_ref(), old.as_ref())));
}

/// The row of an object's table, a quarter of an hour into 2026.
pub(crate) fn check_row<K: Kind>(yaml: &str, expected: &Expect) {
    let kind = erase::<K>();
    let mut object = parse(kind.as_ref(), yaml);
    kind.default(object.as_mut());
    let now = Now("2026-01-01T00:15:00Z".parse().unwrap());
    let cells: Vec<String> = kind
        .columns()
        .iter()
        .zip(kind.row(object.as_ref(), now))
        .map(|(column, cell)| format!("{}: {}\n", column.name, cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)))
        .collect();
    assert_eq!(cells.len(), kind.columns().len());
    expected.assert_eq(&cells.concat());
}

fn lines(errors: &Errors) -> String {
    errors.iter().map(|e| format!("{e}\n")).collect()
}

fn parse(kind: &dyn DynKind, yaml: &str) -> Box<dyn DynObject> {
    kind.from_value(serde_yaml::from_str(yaml).unwrap()).unwrap()
}
