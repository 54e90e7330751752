use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn schema(yaml: &str) -> JSONSchemaProps {
    serde_yaml::from_str(yaml).unwrap()
}

fn run(yaml: &str, new: &Value, old: Option<&Value>) -> String {
    let props = schema(yaml);
    let errors = Rules::of(&props).unwrap().check(new, old, &Schema::of(&props));
    errors.iter().map(|e| format!("{e}\n")).collect()
}

fn check(rule: &str, new: &Value, expected: &Expect) {
    let yaml = json!({"type": "object", "x-kubernetes-validations": [{"rule": rule}], "properties": {
        "n": {"type": "integer"}, "f": {"type": "number"}, "s": {"type": "string"}, "t": {"type": "string", "format": "date-time"},
        "l": {"type": "array", "items": {"type": "integer"}}, "m": {"type": "object", "additionalProperties": {"type": "string"}},
        "namespace": {"type": "string"}, "a-b": {"type": "string"}, "e": {"x-kubernetes-int-or-string": true},
    }});
    expected.assert_eq(&run(&yaml.to_string(), new, None));
}

#[test]
fn rules_hold_or_not() {
    let good = json!({"n": 3, "f": 1.5, "s": "abc", "t": "2026-01-01T00:00:00Z", "l": [1, 2, 3], "m": {"a.b": "x"}, "namespace": "ns", "a-b": "x", "e": "50%"});
    for rule in [
        "self.n == 3 && self.n > 2 && self.f < 2.0",
        "self.s.size() == 3 && self.s.startsWith('a') && self.s.matches('^[a-c]+$')",
        "self.l.all(x, x > 0) && self.l.exists(x, x == 2) && self.l.exists_one(x, x == 3)",
        "self.l.map(x, x * 2) == [2, 4, 6] && self.l.filter(x, x > 1).size() == 2",
        "'a.b' in self.m && self.m['a.b'] == 'x' && self.m.all(k, k.contains('.'))",
        "has(self.n) && !has(self.m.z)",
        "self.__namespace__ == 'ns' && self.a__dash__b == 'x'",
        "self.t < timestamp('2027-01-01T00:00:00Z') && self.t + duration('1h') > self.t",
        "type(self.e) == string ? self.e.endsWith('%') : self.e < 9",
        "quantity('1Gi').isGreaterThan(quantity('500Mi'))",
        "self.l.sum() == 6 && self.l.isSorted()",
        "self.nothing == 1 || true",
    ] {
        check(rule, &good, &expect![[""]]);
    }
    check(
        "self.n < 3",
        &good,
        &expect![["
        <nil>: Invalid value: failed rule: self.n < 3
    "]],
    );
    check(
        "self.l[7] == 1",
        &good,
        &expect![[r#"
        <nil>: Invalid value: "object": index out of bounds: 7 evaluating rule: self.l[7] == 1
    "#]],
    );
    check(
        "self.n / 0 == 1",
        &good,
        &expect![[r#"
        <nil>: Invalid value: "object": division by zero evaluating rule: self.n / 0 == 1
    "#]],
    );
    check(
        "self.m.none == 'x'",
        &good,
        &expect![[r#"
        <nil>: Invalid value: "object": no such key: none evaluating rule: self.m.none == 'x'
    "#]],
    );
    check(
        "self.e > 3",
        &good,
        &expect![[r#"
        <nil>: Invalid value: "object": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.e > 3
    "#]],
    );
}

#[test]
fn changes_have_rules_too() {
    let yaml = "
type: object
properties:
  a:
    type: string
    x-kubernetes-validations: [{rule: self == oldSelf, message: is immutable, reason: FieldValueForbidden}]
  b:
    type: integer
    x-kubernetes-validations: [{rule: 'oldSelf.hasValue() ? self >= oldSelf.value() : self == 1', optionalOldSelf: true, messageExpression: '\"not \" + string(self)'}]
  list:
    type: array
    x-kubernetes-list-type: map
    x-kubernetes-list-map-keys: [k]
    items: {type: object, properties: {k: {type: string}, v: {type: integer}}, x-kubernetes-validations: [{rule: self.v >= oldSelf.v, fieldPath: .v}]}
";
    assert_eq!(run(yaml, &json!({"a": "x", "b": 1}), None), "");
    assert_eq!(run(yaml, &json!({"a": "x", "b": 2}), None), "b: Invalid value: 2: not 2\n");
    let old = json!({"a": "x", "b": 3, "list": [{"k": "p", "v": 2}, {"k": "q", "v": 2}]});
    assert_eq!(
        run(yaml, &json!({"a": "y", "b": 2, "list": [{"k": "q", "v": 1}, {"k": "p", "v": 3}]}), Some(&old)),
        "a: Forbidden: is immutable\nb: Invalid value: 2: not 2\nlist[0].v: Invalid value: failed rule: self.v >= oldSelf.v\n"
    );
}

#[test]
fn what_was_wrong_and_is_as_it_was_is_let_be() {
    let yaml = "
type: object
properties:
  spec: {type: object, properties: {n: {type: integer}, o: {type: integer}}, x-kubernetes-validations: [{rule: self.n < 3}]}
";
    let old = json!({"spec": {"n": 9}, "metadata": {}});
    assert_eq!(run(yaml, &json!({"spec": {"n": 9}, "metadata": {"labels": {}}}), Some(&old)), "");
    assert_eq!(run(yaml, &json!({"spec": {"n": 9, "o": 1}}), Some(&old)), "spec: Invalid value: failed rule: self.n < 3\n");
}

#[test]
fn no_rule_runs_for_long() {
    let many: Vec<i64> = (0..2000).collect();
    check(
        "self.l.all(x, self.l.all(y, x + y >= 0))",
        &json!({"l": many}),
        &expect![[r#"
        <nil>: Invalid value: "object": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: self.l.all(x, self.l.all(y, x + y >= 0))
    "#]],
    );
    let long = "x".repeat(100_000);
    for rule in [
        "[self.s].map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a).map(a, a + a)[0].size() > 0",
        "self.s.replace('', self.s).size() > 0",
        "self.s.replace('x', self.s).size() > 0",
    ] {
        let yaml = json!({"type": "object", "properties": {"s": {"type": "string"}}, "x-kubernetes-validations": [{"rule": rule, "message": "m"}]});
        assert!(run(&yaml.to_string(), &json!({"s": long}), None).contains("cost limit exceeded"), "{rule}");
    }
    // A list that is gathered grows where it is.
    assert_eq!(
        run(
            "{type: object, properties: {l: {type: array, items: {type: integer}}}, x-kubernetes-validations: [{rule: 'self.l.map(x, x + 1).size() == 20000'}]}",
            &json!({"l": (0..20_000).collect::<Vec<i64>>()}),
            None
        ),
        ""
    );
}

#[test]
fn rules_are_read_beside_their_schema() {
    let yaml = "{type: object, properties: {spec: {type: object, properties: {n: {type: integer}, s: {type: string}, l: {type: array, items: {type: object, properties: {a: {type: string}}}}}}}}";
    let props = schema(yaml);
    let told = |rule: &str| match parse(rule) {
        Ok(expression) => types::check_rule(rule, &expression, &props, true, false).err().unwrap_or_default(),
        Err(why) => why,
    };
    for good in [
        "self.spec.n > 1 && self.metadata.name == 'x'",
        "self.spec.l.all(i, i.a == self.spec.s)",
        "size(self.spec.l) < 3",
        "self.spec.s in ['a', 'b']",
        "!has(self.spec.n) || self.spec.n > 1.5",
        "self.spec.?n.orValue(1) == 1",
        "math.greatest(self.spec.n, 2) == 2",
    ] {
        assert_eq!(told(good), "", "{good}");
    }
    expect![[r"
        compilation failed: ERROR: <input>:1:10: undefined field 'nope'
         | self.spec.nope == 1
         | .........^"]]
    .assert_eq(&told("self.spec.nope == 1"));
    expect![[r"
        compilation failed: ERROR: <input>:1:1: undeclared reference to 'spec' (in container '')
         | spec.n == 1
         | ^"]]
    .assert_eq(&told("spec.n == 1"));
    expect![[r"
        compilation failed: ERROR: <input>:1:13: found no matching overload for '_==_' applied to '(int, string)'
         | self.spec.n == 'a'
         | ............^"]]
    .assert_eq(&told("self.spec.n == 'a'"));
    assert_eq!(told("self.spec.n"), "cel expression must evaluate to a bool");
    assert!(told("self.spec.n ==").starts_with("ERROR: <input>:1:15: Syntax error: "), "{}", told("self.spec.n =="));
    assert!(parse(&"(".repeat(5000)).is_err());
}
