//! `x-kubernetes-validations`: rules in CEL beside a schema, run against an object and what it was before.

mod eval;
mod ops;
pub(crate) mod types;
mod values;

use std::collections::BTreeMap;

use kube_cel::cel::Value as Cel;
use kube_cel::cel::common::ast::IdedExpr;
use kube_cel::cel::parser::Parser;
use serde_json::Value;

use super::check::same_element;
use super::schema::Schema;
use crate::field::{Error, ErrorType, Errors, Path, Printed};
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{JSONSchemaProps, ValidationRule};
use crate::kinds::custom_resource_definition::structural::{items, values as values_of};
use crate::kinds::normal::text;
use eval::{Stop, evaluate};
use ops::of_optional;

/// What all rules of an object may cost together.
const BUDGET: u64 = 10_000_000;
/// The longest message that a rule may make.
const LONGEST_MESSAGE: usize = 5 << 10;
/// The longest expression.
const LONGEST_RULE: usize = 16 << 10;
/// How deep expressions may stand in one another.
const MAX_NESTING: usize = 150;
/// For the parser, which goes as deep as an expression is long.
const PARSER_STACK: usize = 128 << 20;

/// The rules of a schema and of what is in it; a tree with no more branches than have rules.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    own: Vec<Rule>,
    properties: BTreeMap<String, Rules>,
    items: Option<Box<Rules>>,
    values: Option<Box<Rules>>,
}

#[derive(Debug)]
struct Rule {
    said: ValidationRule,
    /// Or why it has none, in words.
    expression: Result<IdedExpr, String>,
    message: Option<IdedExpr>,
    uses_old: bool,
}

/// Reads an expression; errors are in the words of the parser.
pub(crate) fn parse(source: &str) -> Result<IdedExpr, String> {
    if source.len() > LONGEST_RULE {
        return Err(format!("expression code point size exceeds limit: size: {}, limit {LONGEST_RULE}", source.len()));
    }
    let owned = source.to_owned();
    // What is nested deep is read by recursion; it is refused only afterwards.
    let reader = std::thread::Builder::new().name("rule".to_owned()).stack_size(PARSER_STACK).spawn(move || read(&owned));
    match reader.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err("the expression cannot be read".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn read(source: &str) -> Result<IdedExpr, String> {
    let parsed = Parser::new().enable_optional_syntax(true).max_recursion_depth(250).parse(source);
    let expression = parsed.map_err(|errors| {
        let told: Vec<String> =
            errors.errors.iter().map(|e| located(source, e.pos.0, e.pos.1, &format!("Syntax error: {}", e.msg.trim_start_matches("Syntax error: ")))).collect();
        told.join("\n")
    })?;
    if types::depth(&expression) > MAX_NESTING {
        return Err("ERROR: <input>:1:1: expression recursion limit exceeded: 250".to_owned());
    }
    Ok(expression)
}

/// An error as `cel-go` prints it, with the line that it is in. Lines and columns begin with 1.
pub(crate) fn located(source: &str, line: isize, column: isize, message: &str) -> String {
    let shown = usize::try_from(line - 1).ok().and_then(|l| source.lines().nth(l)).unwrap_or_default();
    let dots = ".".repeat(usize::try_from(column - 1).unwrap_or(0));
    format!("ERROR: <input>:{line}:{column}: {message}\n | {shown}\n | {dots}^")
}

impl Rules {
    /// Of a schema; `None` if there are none.
    pub(crate) fn of(schema: &JSONSchemaProps) -> Option<Rules> {
        Rules::at(schema, 0)
    }

    fn at(schema: &JSONSchemaProps, depth: usize) -> Option<Rules> {
        if depth > super::schema::MAX_DEPTH {
            return None;
        }
        let inside = |s: Option<&JSONSchemaProps>| s.and_then(|s| Rules::at(s, depth + 1)).map(Box::new);
        let rules = Rules {
            own: schema.x_kubernetes_validations.iter().flatten().map(Rule::of).collect(),
            properties: schema.properties.iter().flatten().filter_map(|(name, s)| Some((name.clone(), Rules::at(s, depth + 1)?))).collect(),
            items: inside(items(schema)),
            values: inside(values_of(schema)),
        };
        let none = rules.own.is_empty() && rules.properties.is_empty() && rules.items.is_none() && rules.values.is_none();
        (!none).then_some(rules)
    }

    /// What the rules refuse of an object.
    pub(crate) fn check(&self, tree: &Value, old: Option<&Value>, schema: &Schema) -> Errors {
        let mut run = Run { budget: BUDGET, errors: Errors::new() };
        run.node(self, tree, old, schema, &Path::default(), true, false);
        run.errors
    }
}

impl Rule {
    fn of(said: &ValidationRule) -> Rule {
        let expression = parse(&said.rule);
        let uses_old = expression.as_ref().is_ok_and(|e| types::mentions(e, "oldSelf"));
        let message = said.message_expression.as_deref().and_then(|m| parse(m).ok());
        Rule { said: said.clone(), expression, message, uses_old }
    }

    /// How it is called in errors.
    fn name(&self) -> &str {
        let message = text(&self.said.message).trim();
        if message.is_empty() { self.said.rule.trim() } else { message }
    }
}

struct Run {
    budget: u64,
    errors: Errors,
}

impl Run {
    /// Whether there is more to check.
    #[expect(clippy::too_many_arguments, reason = "what a value is, was, is called, and where it stands")]
    fn node(&mut self, rules: &Rules, value: &Value, old: Option<&Value>, schema: &Schema, at: &Path, resource: bool, same: bool) -> bool {
        if value.is_null() {
            return true;
        }
        let same = same || old == Some(value);
        if !rules.own.is_empty() && !self.own(rules, value, old, schema, at, resource, same) {
            return false;
        }
        match value {
            Value::Array(list) => {
                let (Some(inside), Some(items)) = (&rules.items, &schema.items) else { return true };
                let before = old.and_then(Value::as_array);
                list.iter().enumerate().all(|(i, item)| {
                    let old = before.and_then(|b| same_element(item, b, schema));
                    self.node(inside, item, old, items, &at.index(i), items.embedded, same)
                })
            }
            Value::Object(map) => map.iter().all(|(name, value)| {
                let old = old.and_then(|o| o.get(name));
                if let (Some(inside), Some(field)) = (rules.properties.get(name), schema.properties.get(name)) {
                    return self.node(inside, value, old, field, &at.child(name), field.embedded, same);
                }
                match (&rules.values, schema.values()) {
                    (Some(inside), Some(values)) if !schema.properties.contains_key(name) => {
                        self.node(inside, value, old, values, &at.key(name), values.embedded, same)
                    }
                    _ => true,
                }
            }),
            _ => true,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "likewise")]
    fn own(&mut self, rules: &Rules, value: &Value, old: Option<&Value>, schema: &Schema, at: &Path, resource: bool, same: bool) -> bool {
        let this = values::of(value, schema, resource);
        let before = old.filter(|o| !o.is_null()).map(|o| values::of(o, schema, resource));
        let invalid = |words: String| Error::invalid(at, &schema.kind, words);
        for rule in &rules.own {
            let expression = match &rule.expression {
                Ok(expression) => expression,
                Err(why) => {
                    self.errors.push(invalid(format!("rule compile error: compilation failed: {why}")));
                    continue;
                }
            };
            let optional = rule.said.optional_old_self == Some(true);
            if rule.uses_old && before.is_none() && !optional {
                continue;
            }
            if self.budget == 0 {
                self.errors.push(invalid(OUT_OF_BUDGET.to_owned()));
                return false;
            }
            let mut variables = vec![("self", this.clone())];
            if optional {
                variables.push(("oldSelf", of_optional(before.clone())));
            } else if let Some(before) = &before {
                variables.push(("oldSelf", before.clone()));
            }
            let (result, cost) = evaluate(expression, &variables);
            if cost > self.budget {
                self.errors.push(invalid(OUT_OF_BUDGET.to_owned()));
                return false;
            }
            self.budget -= cost;
            match result {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => {
                    // What was refused before, and is as it was, is let be.
                    if same && !rule.uses_old {
                        continue;
                    }
                    let words = self.message(rule, &variables);
                    self.errors.push(refusal(rule, value, schema, at, words));
                }
                Ok(_) => self.errors.push(invalid(format!("no such overload evaluating rule: {}", rule.name()))),
                Err(Stop::Cost) => {
                    let why = "operation cancelled: actual cost limit exceeded";
                    let words = format!("'{why}': no further validation rules will be run due to call cost exceeds limit for rule: {}", rule.name());
                    self.errors.push(invalid(words));
                    return false;
                }
                Err(Stop::Error(why)) if why.starts_with("no such overload") => {
                    let words = "call arguments did not match a supported operator, function or macro signature for rule";
                    self.errors.push(invalid(format!("'{why}': {words}: {}", rule.name())));
                }
                Err(Stop::Error(why)) => self.errors.push(invalid(format!("{why} evaluating rule: {}", rule.name()))),
            }
        }
        true
    }

    /// What is told of a rule that does not hold.
    fn message(&mut self, rule: &Rule, variables: &[(&str, Cel)]) -> String {
        let made = rule.message.as_ref().and_then(|expression| {
            let (result, cost) = evaluate(expression, variables);
            self.budget = self.budget.saturating_sub(cost);
            match result {
                Ok(Cel::String(made)) => Some(made.trim().to_owned()),
                _ => None,
            }
        });
        let said = text(&rule.said.message).trim();
        made.filter(|m| !m.is_empty() && m.len() <= LONGEST_MESSAGE && !m.contains('\n'))
            .unwrap_or_else(|| if said.is_empty() { format!("failed rule: {}", rule.said.rule.trim()) } else { said.to_owned() })
    }
}

const OUT_OF_BUDGET: &str = "validation failed due to running out of cost budget, no further validation rules will be run";

fn refusal(rule: &Rule, value: &Value, schema: &Schema, at: &Path, words: String) -> Error {
    let path = text(&rule.said.field_path);
    let at = if path.is_empty() { at.clone() } else { below(at, path) };
    // Objects and lists are not repeated.
    let printed = if matches!(schema.kind.as_str(), "object" | "array") { String::new() } else { value.printed() };
    match text(&rule.said.reason) {
        "FieldValueForbidden" => Error::forbidden(&at, words),
        "FieldValueRequired" => Error::required(&at, words),
        "FieldValueDuplicate" => Error { kind: ErrorType::Duplicate, path: at, value: printed, detail: String::new() },
        _ => Error { kind: ErrorType::Invalid, path: at, value: printed, detail: words },
    }
}

/// A path that a rule gives, below its own.
fn below(at: &Path, path: &str) -> Path {
    let path = path.trim_start_matches('.');
    let plain = path.replace("['", "[").replace("']", "]");
    if plain.starts_with('[') { at.key(plain.trim_start_matches('[').trim_end_matches(']')) } else { at.child(&plain) }
}

#[cfg(test)]
mod tests;
