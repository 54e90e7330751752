//! Rules as they run: the expressions of the `cel` crate, walked here so that every step is paid for, with its functions and those of
//! `kube-cel` called for what is not an operator.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, SelectExpr, operators};
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use kube_cel::cel::{Context, Value};
use regex::Regex;

use super::ops::{TYPES, as_key, compare, field, index, of_literal, of_optional, optional, told, type_name, weight};
use crate::custom::schema::compile;

/// What one expression may cost.
const PER_CALL: u64 = 1_000_000;
/// Scopes in one another, and functions in arguments of functions.
const MAX_DEPTH: usize = 200;
/// So many bytes are looked at for one step.
const BYTES: usize = 10;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// In words.
    Error(String),
    /// It took too long.
    Cost,
}

pub(super) type Result<T> = std::result::Result<T, Stop>;

thread_local! {
    /// All functions there are.
    static LIBRARY: Context<'static> = Context::default().with_all();
}

/// One evaluation of an expression.
pub(crate) struct Evaluation<'e> {
    variables: Vec<(&'e str, Value)>,
    patterns: HashMap<Arc<String>, Regex>,
    spent: u64,
    depth: usize,
}

/// The value of an expression, and what it cost.
pub(crate) fn evaluate<'e>(expression: &'e IdedExpr, variables: &[(&'e str, Value)]) -> (Result<Value>, u64) {
    let mut evaluation = Evaluation { variables: variables.to_vec(), patterns: HashMap::new(), spent: 0, depth: 0 };
    let value = evaluation.value(expression);
    let value = if evaluation.spent > PER_CALL { Err(Stop::Cost) } else { value };
    (value, evaluation.spent.min(PER_CALL + 1))
}

pub(super) fn error<T>(words: impl Into<String>) -> Result<T> {
    Err(Stop::Error(words.into()))
}

pub(super) fn no_overload<T>() -> Result<T> {
    error("no such overload")
}

impl<'e> Evaluation<'e> {
    fn pay(&mut self, cost: u64) -> Result<()> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > PER_CALL { Err(Stop::Cost) } else { Ok(()) }
    }

    fn pay_for(&mut self, value: &Value) -> Result<()> {
        let cost = weight(value, PER_CALL as usize * BYTES) / BYTES;
        self.pay(cost as u64)
    }

    fn value(&mut self, expression: &'e IdedExpr) -> Result<Value> {
        self.pay(1)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Stop::Cost);
        }
        let value = match &expression.expr {
            Expr::Literal(literal) => Ok(of_literal(literal)),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(all) => self.comprehension(all),
            Expr::List(list) => {
                let mut values = Vec::with_capacity(list.elements.len());
                for (i, element) in list.elements.iter().enumerate() {
                    let value = self.value(element)?;
                    match optional(&value).filter(|_| list.optional_indices.contains(&i)) {
                        Some(inside) => values.extend(inside.value().cloned()),
                        None => values.push(value),
                    }
                }
                Ok(Value::List(values.into()))
            }
            Expr::Map(entries) => {
                let mut map = HashMap::new();
                for entry in &entries.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else { return no_overload() };
                    let key = as_key(&self.value(&entry.key)?)?;
                    let value = self.value(&entry.value)?;
                    match optional(&value).filter(|_| entry.optional) {
                        Some(inside) => map.extend(inside.value().cloned().map(|v| (key, v))),
                        None => {
                            map.insert(key, value);
                        }
                    }
                }
                Ok(Value::Map(Map { map: map.into() }))
            }
            Expr::Struct(_) | Expr::Unspecified => no_overload(),
        };
        self.depth -= 1;
        value
    }

    fn variable(&self, name: &str) -> Result<Value> {
        let found = self.variables.iter().rev().find(|(n, _)| *n == name);
        match found {
            Some((_, value)) => Ok(value.clone()),
            // Types are values, too.
            None if TYPES.contains(&name) => Ok(Value::from(name)),
            None => error(format!("undeclared reference to '{name}'")),
        }
    }

    fn select(&mut self, select: &'e SelectExpr) -> Result<Value> {
        let operand = self.value(&select.operand)?;
        if let Some(inside) = optional(&operand) {
            return Ok(of_optional(inside.value().and_then(|v| field(v, &select.field))));
        }
        let Value::Map(map) = &operand else { return no_overload() };
        let found = map.map.get(&Key::from(select.field.as_str()));
        if select.test {
            return Ok(Value::Bool(found.is_some()));
        }
        found.cloned().map_or_else(|| error(format!("no such key: {}", select.field)), Ok)
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Value> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => match self.value(condition)? {
                Value::Bool(true) => self.value(yes),
                Value::Bool(false) => self.value(no),
                _ => no_overload(),
            },
            (operators::LOGICAL_AND, [left, right]) => self.logic(left, right, false),
            (operators::LOGICAL_OR, [left, right]) => self.logic(left, right, true),
            (operators::LOGICAL_NOT, [one]) => match self.value(one)? {
                Value::Bool(b) => Ok(Value::Bool(!b)),
                _ => no_overload(),
            },
            (operators::NOT_STRICTLY_FALSE, [one]) => match self.value(one) {
                Err(Stop::Cost) => Err(Stop::Cost),
                value => Ok(Value::Bool(value != Ok(Value::Bool(false)))),
            },
            (operators::NEGATE, [one]) => match self.value(one)? {
                Value::Int(i) => i.checked_neg().map_or_else(|| error("integer overflow"), |i| Ok(Value::Int(i))),
                Value::Float(f) => Ok(Value::Float(-f)),
                _ => no_overload(),
            },
            (operators::ADD, [left, right]) => self.add(left, right),
            (
                operators::EQUALS | operators::NOT_EQUALS | operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                [left, right],
            ) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.pay_for(&left)?;
                compare(name, &left, &right)
            }
            (operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [left, right]) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                match name {
                    operators::SUBSTRACT => left - right,
                    operators::MULTIPLY => left * right,
                    operators::DIVIDE => left / right,
                    _ => left % right,
                }
                .map_err(told)
            }
            (operators::IN, [item, of]) => {
                let (item, of) = (self.value(item)?, self.value(of)?);
                match &of {
                    Value::List(list) => {
                        self.pay_for(&of)?;
                        Ok(Value::Bool(list.contains(&item)))
                    }
                    Value::Map(map) => Ok(Value::Bool(as_key(&item).is_ok_and(|k| map.map.contains_key(&k)))),
                    _ => no_overload(),
                }
            }
            (operators::INDEX, [of, at]) => {
                let (of, at) = (self.value(of)?, self.value(at)?);
                match optional(&of) {
                    Some(inside) => Ok(of_optional(inside.value().and_then(|v| index(v, &at).ok()))),
                    None => index(&of, &at),
                }
            }
            (operators::OPT_INDEX | operators::OPT_SELECT, [of, at]) => {
                let (of, at) = (self.value(of)?, self.value(at)?);
                let inside = match optional(&of) {
                    Some(inside) => inside.value().cloned(),
                    None => Some(of),
                };
                Ok(of_optional(inside.and_then(|v| index(&v, &at).ok())))
            }
            _ => self.function(call),
        }
    }

    /// `&&` and `||`: what is sure on one side does not depend on the other.
    fn logic(&mut self, left: &'e IdedExpr, right: &'e IdedExpr, decides: bool) -> Result<Value> {
        let left = self.value(left);
        if matches!(left, Err(Stop::Cost)) || left == Ok(Value::Bool(decides)) {
            return left;
        }
        let right = self.value(right);
        match (left, right) {
            (_, Err(Stop::Cost)) => Err(Stop::Cost),
            (_, Ok(Value::Bool(b))) if b == decides => Ok(Value::Bool(decides)),
            (Ok(Value::Bool(_)), Ok(Value::Bool(b))) => Ok(Value::Bool(b)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            _ => no_overload(),
        }
    }

    fn add(&mut self, left: &'e IdedExpr, right: &'e IdedExpr) -> Result<Value> {
        // What a macro gathers is taken out of its place, so that it grows there instead of being copied.
        let gathered = match &left.expr {
            Expr::Ident(name) if name.starts_with('@') => self.variables.iter().rposition(|(n, _)| n == name),
            _ => None,
        };
        let right = self.value(right)?;
        let left = match gathered {
            Some(at) => std::mem::replace(&mut self.variables[at].1, Value::Null),
            None => {
                let left = self.value(left)?;
                self.pay_for(&left)?;
                left
            }
        };
        self.pay_for(&right)?;
        (left + right).map_err(told)
    }

    fn comprehension(&mut self, all: &'e ComprehensionExpr) -> Result<Value> {
        let range = self.value(&all.iter_range)?;
        let items: Vec<Value> = match &range {
            Value::List(list) => list.to_vec(),
            Value::Map(map) => map.map.keys().map(Value::from).collect(),
            _ => return no_overload(),
        };
        self.pay(items.len() as u64)?;
        let start = self.value(&all.accu_init)?;
        self.variables.push((&all.accu_var, start));
        let at = self.variables.len() - 1;
        let result = self.gather(all, items, at);
        let result = result.and_then(|()| self.value(&all.result));
        self.variables.truncate(at);
        result
    }

    fn gather(&mut self, all: &'e ComprehensionExpr, items: Vec<Value>, at: usize) -> Result<()> {
        for item in items {
            match self.value(&all.loop_cond)? {
                Value::Bool(true) => {}
                Value::Bool(false) => break,
                _ => return no_overload(),
            }
            self.variables.push((&all.iter_var, item));
            // What a step cannot tell, another may make sure.
            let step = self.value(&all.loop_step);
            self.variables.truncate(at + 1);
            self.variables[at].1 = step?;
        }
        Ok(())
    }

    /// Anything that has a name: from the libraries, with its arguments as variables.
    fn function(&mut self, call: &'e CallExpr) -> Result<Value> {
        const NAMES: [&str; 9] = ["@0", "@1", "@2", "@3", "@4", "@5", "@6", "@7", "@8"];
        let space = call.target.as_ref().and_then(|t| match &t.expr {
            Expr::Ident(name) if !self.variables.iter().any(|(n, _)| n == name) => Some(name.as_str()),
            _ => None,
        });
        let target = match (&call.target, space) {
            (Some(target), None) => Some(self.value(target)?),
            _ => None,
        };
        if call.args.len() > NAMES.len() {
            return no_overload();
        }
        let args = call.args.iter().map(|a| self.value(a)).collect::<Result<Vec<_>>>()?;
        self.pay_for_call(&call.func_name, space, target.as_ref(), &args)?;
        match (call.func_name.as_str(), &target, args.as_slice()) {
            ("matches", Some(Value::String(text)), [Value::String(pattern)]) | ("matches", None, [Value::String(text), Value::String(pattern)]) => {
                return self.matches(text, pattern);
            }
            ("orValue", Some(of), [default]) if optional(of).is_some() => {
                return Ok(optional(of).and_then(OptionalValue::value).unwrap_or(default).clone());
            }
            ("hasValue", Some(of), []) if optional(of).is_some() => return Ok(Value::Bool(optional(of).is_some_and(|o| o.value().is_some()))),
            ("value", Some(of), []) if optional(of).is_some() => {
                return optional(of).and_then(|o| o.value().cloned()).map_or_else(|| error("optional.none() dereference"), Ok);
            }
            ("type", None, [value]) => return Ok(Value::from(type_name(value))),
            ("dyn", None, [value]) => return Ok(value.clone()),
            _ => {}
        }
        let ident = |name: &str| IdedExpr { id: 0, expr: Expr::Ident(name.to_owned()) };
        let receiver = match (space, &target) {
            (Some(space), _) => Some(Box::new(ident(space))),
            (None, Some(_)) => Some(Box::new(ident("@this"))),
            (None, None) => None,
        };
        let plain = CallExpr { func_name: call.func_name.clone(), target: receiver, args: NAMES[..args.len()].iter().map(|n| ident(n)).collect() };
        let expression = IdedExpr { id: 0, expr: Expr::Call(plain) };
        let result = LIBRARY.with(|library| {
            let mut scope = library.new_inner_scope();
            for (name, value) in NAMES.iter().zip(args) {
                scope.add_variable_from_value(*name, value);
            }
            if let Some(target) = target {
                scope.add_variable_from_value("@this", target);
            }
            Value::resolve(&expression, &scope)
        });
        let value = result.map_err(told)?;
        self.pay_for(&value)?;
        Ok(value)
    }

    /// A function looks at all that it is given, some more than once; what makes much of little is paid for before.
    fn pay_for_call(&mut self, name: &str, space: Option<&str>, target: Option<&Value>, args: &[Value]) -> Result<()> {
        self.pay(10)?;
        for value in target.iter().copied().chain(args) {
            self.pay_for(value)?;
        }
        let length = |value: Option<&Value>| match value {
            Some(Value::String(text)) => text.len() as u64,
            Some(Value::List(list)) => list.len() as u64,
            _ => 0,
        };
        let more = match name {
            "replace" => (length(target) + 1).saturating_mul(length(args.get(1))) / length(args.first()).max(1) / BYTES as u64,
            "join" => length(target).saturating_mul(length(args.first())) / BYTES as u64,
            "find" | "findAll" => 1000,
            "distinct" => length(target).saturating_mul(length(target)),
            "sum" | "min" | "max" | "isSorted" | "indexOf" | "lastIndexOf" => length(target),
            _ if space == Some("sets") => length(args.first()).saturating_mul(length(args.get(1))),
            _ => 0,
        };
        self.pay(more)
    }

    fn matches(&mut self, text: &str, pattern: &Arc<String>) -> Result<Value> {
        if !self.patterns.contains_key(pattern) {
            self.pay(1000)?;
            match compile(pattern) {
                Ok(compiled) => self.patterns.insert(pattern.clone(), compiled),
                Err(why) => return error(why),
            };
        }
        Ok(Value::Bool(self.patterns.get(pattern).is_some_and(|p| p.is_match(text))))
    }
}

/// One function of the libraries, of one value.
pub(crate) fn function(name: &str, value: Value) -> Option<Value> {
    let ident = IdedExpr { id: 0, expr: Expr::Ident("@0".to_owned()) };
    let call = IdedExpr { id: 0, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args: vec![ident] }) };
    LIBRARY.with(|library| {
        let mut scope = library.new_inner_scope();
        scope.add_variable_from_value("@0", value);
        Value::resolve(&call, &scope).ok()
    })
}
