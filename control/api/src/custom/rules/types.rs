//! Expressions beside the schema that they speak of: what is not there, and what cannot be compared, is found before any object comes.

use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::located;
use super::values::escaped;
use crate::k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use crate::kinds::custom_resource_definition::structural::{items, values};
use crate::kinds::normal::text;

/// Names that stand before functions.
const SPACES: [&str; 9] = ["optional", "math", "sets", "base64", "ip", "cidr", "format", "jsonpatch", "strings"];
/// Names of types, which are values.
const TYPES: [&str; 13] = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type", "google", "timestamp", "duration"];

/// As far as types are known.
#[derive(Clone, Debug)]
enum Ty<'s> {
    Dyn,
    Bool,
    Int,
    Double,
    Text,
    Bytes,
    Time,
    Duration,
    Null,
    List(Box<Ty<'s>>),
    Map(Box<Ty<'s>>),
    /// An object of a schema; whether it is one of the API.
    Object(&'s JSONSchemaProps, bool),
}

/// What is wrong with a rule, in `cel-go`'s words: a bool about `self` and, if it changes, `oldSelf`.
pub(crate) fn check_rule(source: &str, expression: &IdedExpr, schema: &JSONSchemaProps, resource: bool, optional: bool) -> Result<(), String> {
    check(source, expression, schema, resource, optional, "bool")
}

/// The same of the expression of a message.
pub(crate) fn check_message(source: &str, expression: &IdedExpr, schema: &JSONSchemaProps, resource: bool, optional: bool) -> Result<(), String> {
    check(source, expression, schema, resource, optional, "string")
}

fn check(source: &str, expression: &IdedExpr, schema: &JSONSchemaProps, resource: bool, optional: bool, wanted: &str) -> Result<(), String> {
    let this = of_schema(schema, resource);
    let old = if optional { Ty::Dyn } else { this.clone() };
    let mut checker = Checker { source, variables: vec![("self".to_owned(), this), ("oldSelf".to_owned(), old)], errors: Vec::new() };
    let found = checker.infer(expression);
    if let Some(errors) = (!checker.errors.is_empty()).then(|| checker.errors.join("\n")) {
        return Err(format!("compilation failed: {errors}"));
    }
    let fits = matches!((wanted, &found), (_, Ty::Dyn) | ("bool", Ty::Bool) | ("string", Ty::Text));
    match (fits, wanted) {
        (true, _) => Ok(()),
        (false, "bool") => Err("cel expression must evaluate to a bool".to_owned()),
        (false, _) => Err("messageExpression must evaluate to a string".to_owned()),
    }
}

/// Whether an expression speaks of a variable.
pub(crate) fn mentions(expression: &IdedExpr, name: &str) -> bool {
    match &expression.expr {
        Expr::Ident(ident) => ident == name,
        _ => children(expression).into_iter().any(|e| mentions(e, name)),
    }
}

/// How deep expressions stand in one another.
pub(crate) fn depth(expression: &IdedExpr) -> usize {
    let (mut deepest, mut open) = (0, vec![(expression, 1)]);
    while let Some((one, at)) = open.pop() {
        deepest = deepest.max(at);
        open.extend(children(one).into_iter().map(|c| (c, at + 1)));
    }
    deepest
}

fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Comprehension(all) => vec![&all.iter_range, &all.accu_init, &all.loop_cond, &all.loop_step, &all.result],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => map
            .entries
            .iter()
            .flat_map(|e| match &e.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            })
            .collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Struct(of) => of.entries.iter().filter_map(|e| if let EntryExpr::StructField(f) = &e.expr { Some(&f.value) } else { None }).collect(),
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn of_schema(schema: &JSONSchemaProps, resource: bool) -> Ty<'_> {
    if schema.x_kubernetes_int_or_string == Some(true) {
        return Ty::Dyn;
    }
    let embedded = |s: &JSONSchemaProps| s.x_kubernetes_embedded_resource == Some(true);
    match text(&schema.type_) {
        "boolean" => Ty::Bool,
        "integer" => Ty::Int,
        "number" => Ty::Double,
        "string" => match text(&schema.format) {
            "byte" => Ty::Bytes,
            "date" | "date-time" => Ty::Time,
            "duration" => Ty::Duration,
            _ => Ty::Text,
        },
        "array" => Ty::List(Box::new(items(schema).map_or(Ty::Dyn, |s| of_schema(s, embedded(s))))),
        "object" => match values(schema) {
            Some(of) => Ty::Map(Box::new(of_schema(of, embedded(of)))),
            None if schema.additional_properties.is_some() && schema.properties.is_none() => Ty::Map(Box::new(Ty::Dyn)),
            None => Ty::Object(schema, resource || embedded(schema)),
        },
        _ => Ty::Dyn,
    }
}

struct Checker<'s, 'a> {
    source: &'a str,
    variables: Vec<(String, Ty<'s>)>,
    errors: Vec<String>,
}

impl<'s> Checker<'s, '_> {
    fn infer(&mut self, expression: &IdedExpr) -> Ty<'s> {
        match &expression.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => Ty::Bool,
                LiteralValue::Bytes(_) => Ty::Bytes,
                LiteralValue::Double(_) => Ty::Double,
                LiteralValue::Int(_) => Ty::Int,
                LiteralValue::Null => Ty::Null,
                LiteralValue::String(_) => Ty::Text,
                LiteralValue::UInt(_) => Ty::Dyn,
            },
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => {
                let of = self.infer(&select.operand);
                let found = self.select(of, &select.field);
                if select.test { Ty::Bool } else { found }
            }
            Expr::List(list) => {
                let mut all: Vec<Ty> = list.elements.iter().map(|e| self.infer(e)).collect();
                let same = all.windows(2).all(|w| kind(&w[0]) == kind(&w[1]));
                Ty::List(Box::new(if same { all.pop().unwrap_or(Ty::Dyn) } else { Ty::Dyn }))
            }
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                children(expression).into_iter().for_each(|e| {
                    self.infer(e);
                });
                if matches!(expression.expr, Expr::Struct(_)) {
                    self.errors.push("ERROR: <input>:1:1: undeclared reference to a message type".to_owned());
                }
                Ty::Dyn
            }
            Expr::Comprehension(all) => {
                let range = self.infer(&all.iter_range);
                let item = match &range {
                    Ty::List(item) => (**item).clone(),
                    Ty::Map(_) => Ty::Text,
                    Ty::Dyn => Ty::Dyn,
                    other => {
                        let words = format!("expression of type '{}' cannot be range of a comprehension (must be list, map, or dynamic)", kind(other));
                        self.fault(0, &words);
                        Ty::Dyn
                    }
                };
                let start = self.infer(&all.accu_init);
                self.variables.push((all.accu_var.clone(), Ty::Dyn));
                self.variables.push((all.iter_var.clone(), item));
                self.infer(&all.loop_cond);
                let step = self.infer(&all.loop_step);
                self.variables.pop();
                let result = self.infer(&all.result);
                self.variables.pop();
                match (start, result, step) {
                    (Ty::Bool, ..) | (_, Ty::Bool, _) => Ty::Bool,
                    (Ty::List(_), _, Ty::List(item)) => Ty::List(item),
                    (Ty::List(_), ..) => Ty::List(Box::new(Ty::Dyn)),
                    _ => Ty::Dyn,
                }
            }
            Expr::Call(call) => {
                let space = call.target.as_ref().is_some_and(|t| matches!(&t.expr, Expr::Ident(n) if SPACES.contains(&n.as_str()) && !self.knows(n)));
                let target = call.target.as_ref().filter(|_| !space).map(|t| self.infer(t));
                let args: Vec<Ty> = call.args.iter().map(|a| self.infer(a)).collect();
                self.call(&call.func_name, target, &args)
            }
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.variables.iter().any(|(n, _)| n == name)
    }

    fn ident(&mut self, name: &str) -> Ty<'s> {
        if let Some((_, ty)) = self.variables.iter().rev().find(|(n, _)| n == name) {
            return ty.clone();
        }
        if !TYPES.contains(&name) {
            let at = word(self.source, name).unwrap_or(0);
            self.fault(at, &format!("undeclared reference to '{name}' (in container '')"));
        }
        Ty::Dyn
    }

    fn select(&mut self, of: Ty<'s>, field: &str) -> Ty<'s> {
        match of {
            Ty::Map(values) => *values,
            Ty::Object(schema, resource) => {
                if resource && matches!(field, "apiVersion" | "kind") {
                    return Ty::Text;
                }
                if resource && field == "metadata" {
                    return Ty::Dyn;
                }
                let named = schema.properties.iter().flatten().find(|(name, _)| escaped(name).is_some_and(|n| n == field));
                match named {
                    Some((_, found)) => of_schema(found, false),
                    None => {
                        let at = selection(self.source, field).unwrap_or(0);
                        self.fault(at, &format!("undefined field '{field}'"));
                        Ty::Dyn
                    }
                }
            }
            Ty::Dyn | Ty::Null => Ty::Dyn,
            other => {
                let at = selection(self.source, field).unwrap_or(0);
                self.fault(at, &format!("type '{}' does not support field selection", kind(&other)));
                Ty::Dyn
            }
        }
    }

    fn call(&mut self, name: &str, target: Option<Ty<'s>>, args: &[Ty<'s>]) -> Ty<'s> {
        match (name, args) {
            (operators::CONDITIONAL, [_, yes, no]) => {
                if kind(yes) == kind(no) {
                    yes.clone()
                } else {
                    Ty::Dyn
                }
            }
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [a, b]) => {
                self.overload(name, &[a, b], |t| matches!(t, Ty::Bool | Ty::Dyn));
                Ty::Bool
            }
            (operators::LOGICAL_NOT, [a]) => {
                self.overload(name, &[a], |t| matches!(t, Ty::Bool | Ty::Dyn));
                Ty::Bool
            }
            (operators::EQUALS | operators::NOT_EQUALS, [a, b]) => {
                self.alike(name, a, b, true);
                Ty::Bool
            }
            (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [a, b]) => {
                self.alike(name, a, b, false);
                Ty::Bool
            }
            (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [a, b]) => match (a, b) {
                (Ty::Dyn, _) | (_, Ty::Dyn) => Ty::Dyn,
                (Ty::Time, Ty::Time) => Ty::Duration,
                (Ty::Time, Ty::Duration) | (Ty::Duration, Ty::Time) => Ty::Time,
                (a, b) if kind(a) == kind(b) && !matches!(a, Ty::Bool | Ty::Object(..) | Ty::Map(_)) => a.clone(),
                (a, b) => {
                    self.mismatch(name, &[a, b]);
                    Ty::Dyn
                }
            },
            (operators::IN | operators::NOT_STRICTLY_FALSE, _) => Ty::Bool,
            (operators::INDEX, [of, _]) => match of {
                Ty::List(item) | Ty::Map(item) => (**item).clone(),
                _ => Ty::Dyn,
            },
            ("size" | "int" | "indexOf" | "lastIndexOf" | "getFullYear" | "getMonth" | "getHours" | "getMinutes" | "getSeconds", _) => Ty::Int,
            ("double", _) => Ty::Double,
            ("string" | "lowerAscii" | "upperAscii" | "trim" | "join" | "replace" | "substring" | "charAt" | "format", _) => Ty::Text,
            ("matches" | "startsWith" | "endsWith" | "contains" | "hasValue" | "isURL" | "isIP" | "isCIDR" | "isQuantity" | "isSorted" | "isSemver", _) => {
                Ty::Bool
            }
            ("split" | "findAll", _) => Ty::List(Box::new(Ty::Text)),
            ("timestamp", _) => Ty::Time,
            ("duration", _) => Ty::Duration,
            _ => {
                let _ = target;
                Ty::Dyn
            }
        }
    }

    fn overload(&mut self, name: &str, args: &[&Ty<'s>], fits: impl Fn(&Ty) -> bool) {
        if !args.iter().all(|a| fits(a)) {
            self.mismatch(name, args);
        }
    }

    /// Both sides of a comparison are of one type; numbers may be of any where they are ordered.
    fn alike(&mut self, name: &str, a: &Ty<'s>, b: &Ty<'s>, equal: bool) {
        let numbers = |t: &Ty| matches!(t, Ty::Int | Ty::Double);
        let open = |t: &Ty| matches!(t, Ty::Dyn) || equal && matches!(t, Ty::Null | Ty::Object(..) | Ty::List(_) | Ty::Map(_));
        if open(a) || open(b) || kind(a) == kind(b) && (equal || !matches!(a, Ty::Object(..) | Ty::List(_) | Ty::Map(_))) || !equal && numbers(a) && numbers(b)
        {
            return;
        }
        self.mismatch(name, &[a, b]);
    }

    fn mismatch(&mut self, name: &str, args: &[&Ty<'s>]) {
        let given: Vec<String> = args.iter().map(|a| kind(a)).collect();
        let symbol = name.trim_matches('_');
        let at = self.source.find(symbol).unwrap_or(0);
        self.fault(at, &format!("found no matching overload for '{name}' applied to '({})'", given.join(", ")));
    }

    fn fault(&mut self, at: usize, words: &str) {
        let before = &self.source[..at.min(self.source.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        let told = located(self.source, isize::try_from(line).unwrap_or(1), isize::try_from(column).unwrap_or(1), words);
        if !self.errors.contains(&told) {
            self.errors.push(told);
        }
    }
}

fn kind(ty: &Ty) -> String {
    match ty {
        Ty::Dyn => "dyn".to_owned(),
        Ty::Bool => "bool".to_owned(),
        Ty::Int => "int".to_owned(),
        Ty::Double => "double".to_owned(),
        Ty::Text => "string".to_owned(),
        Ty::Bytes => "bytes".to_owned(),
        Ty::Time => "timestamp".to_owned(),
        Ty::Duration => "duration".to_owned(),
        Ty::Null => "null".to_owned(),
        Ty::List(item) => format!("list({})", kind(item)),
        Ty::Map(values) => format!("map(string, {})", kind(values)),
        Ty::Object(..) => "object".to_owned(),
    }
}

/// Where a name stands alone.
fn word(source: &str, name: &str) -> Option<usize> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    source.match_indices(name).map(|(at, _)| at).find(|at| {
        let before = source[..*at].chars().next_back();
        let behind = source[at + name.len()..].chars().next();
        !before.is_some_and(|c| part(c) || c == '.') && !behind.is_some_and(part)
    })
}

/// Where a field is selected: its dot.
fn selection(source: &str, field: &str) -> Option<usize> {
    let wanted = format!(".{field}");
    source
        .match_indices(&wanted)
        .map(|(at, _)| at)
        .find(|at| !source[at + wanted.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '('))
}
