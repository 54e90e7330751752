//! Kubernetes' JSONPath templates: `{range .items[*]}{.metadata.name}{"\n"}{end}`. The dialect is older than
//! RFC 9535 and differs in what a path without a match means, in quoting, in unions and in `range`.

use serde_json::Value;

use super::json;

/// A parsed template.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Vec<Node>);

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Node>),
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Root,
    Current,
    Field(String),
    Wildcard,
    Recursive,
    Slice { from: Option<i64>, to: Option<i64>, step: Option<i64> },
    Filter { left: Operand, operator: String, right: Operand },
    Union(Vec<Vec<Step>>),
}

#[derive(Debug, Clone, PartialEq)]
enum Operand {
    Path(Vec<Step>),
    Constant(Value),
    Nothing,
}

impl Template {
    /// Parses a template; text outside braces stands for itself.
    pub fn parse(text: &str) -> Result<Template, String> {
        let mut parser = Parser { chars: text.chars().collect(), at: 0 };
        let (nodes, ended) = parser.nodes(false)?;
        if ended { Err("not in range, nothing to end".into()) } else { Ok(Template(nodes)) }
    }

    /// Parses a path that may lack its braces and its first dot: `metadata.name`.
    pub fn relaxed(text: &str) -> Result<Template, String> {
        Template::parse(&relax(text)?)
    }

    /// What the template makes of a value.
    pub fn render(&self, value: &Value, missing_allowed: bool, as_json: bool) -> Result<String, String> {
        let mut out = String::new();
        Evaluation { root: value, missing_allowed, as_json }.render(&self.0, value, &mut out)?;
        Ok(out)
    }

    /// The values of the template's paths, one list for each.
    pub fn find<'a>(&self, value: &'a Value) -> Result<Vec<Vec<&'a Value>>, String> {
        let evaluation = Evaluation { root: value, missing_allowed: true, as_json: false };
        self.0
            .iter()
            .filter_map(|node| match node {
                Node::Path(steps) => Some(evaluation.walk(steps, value)),
                _ => None,
            })
            .collect()
    }
}

/// `metadata.name`, `.metadata.name`, `{metadata.name}` → `{.metadata.name}`.
pub fn relax(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    if inner.contains(['{', '}']) || inner.is_empty() {
        return Err("unexpected path string, expected a 'name1.name2' or '.name1.name2' or '{name1.name2}' or '{.name1.name2}'".into());
    }
    Ok(format!("{{.{}}}", inner.strip_prefix('.').unwrap_or(inner)))
}

struct Parser {
    chars: Vec<char>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek();
        self.at += usize::from(c.is_some());
        c
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.chars[self.at..].iter().copied().take(word.len()).eq(word.chars());
        if found {
            self.at += word.len();
        }
        found
    }

    /// Nodes until the end, or until `{end}`; whether it was that.
    fn nodes(&mut self, in_range: bool) -> Result<(Vec<Node>, bool), String> {
        let mut nodes = Vec::new();
        let mut text = String::new();
        loop {
            match self.next() {
                None if in_range => return Err("unclosed range".into()),
                None => {
                    push_text(&mut nodes, &mut text);
                    return Ok((nodes, false));
                }
                Some('{') => {
                    push_text(&mut nodes, &mut text);
                    if self.action(&mut nodes)? {
                        return Ok((nodes, true));
                    }
                }
                Some(c) => text.push(c),
            }
        }
    }

    /// What is between braces; true for `end`.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<bool, String> {
        loop {
            self.skip_spaces();
            let start = self.at;
            match self.peek() {
                None => return Err("unclosed action".into()),
                Some('}') => {
                    self.at += 1;
                    return Ok(false);
                }
                Some(quote @ ('"' | '\'')) => {
                    self.at += 1;
                    let text = self.quoted(quote)?;
                    nodes.push(Node::Text(text));
                }
                _ if self.word("range") => {
                    self.skip_spaces();
                    let steps = self.path()?;
                    self.skip_spaces();
                    if self.next() != Some('}') {
                        return Err("unclosed action".into());
                    }
                    let (inside, _) = self.nodes(true)?;
                    nodes.push(Node::Range(steps, inside));
                    return Ok(false);
                }
                _ if self.word("end") => {
                    self.skip_spaces();
                    return if self.next() == Some('}') { Ok(true) } else { Err("unclosed action".into()) };
                }
                Some(_) => {
                    let steps = self.path()?;
                    if self.at == start {
                        return Err(format!("unrecognized character in action: {}", code(self.peek())));
                    }
                    nodes.push(Node::Path(steps));
                }
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err("unterminated quoted string".into()),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.next() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c) => text.push(c),
                    None => return Err("unterminated quoted string".into()),
                },
                Some(c) => text.push(c),
            }
        }
    }

    fn path(&mut self) -> Result<Vec<Step>, String> {
        let mut steps = Vec::new();
        loop {
            match self.peek() {
                Some('$') => {
                    self.at += 1;
                    steps.push(Step::Root);
                }
                Some('@') => {
                    self.at += 1;
                    steps.push(Step::Current);
                }
                Some('.') => {
                    self.at += 1;
                    if self.peek() == Some('.') {
                        self.at += 1;
                        steps.push(Step::Recursive);
                    }
                    match self.peek() {
                        Some('*') => {
                            self.at += 1;
                            steps.push(Step::Wildcard);
                        }
                        Some('[') | None => {}
                        Some(_) => {
                            let name = self.name();
                            if !name.is_empty() {
                                steps.push(Step::Field(name));
                            }
                        }
                    }
                }
                Some('[') => {
                    self.at += 1;
                    steps.push(self.brackets()?);
                }
                Some('*') => {
                    self.at += 1;
                    steps.push(Step::Wildcard);
                }
                Some(c) if (c.is_alphanumeric() || c == '_') && steps.is_empty() => {
                    let name = self.name();
                    steps.push(Step::Field(name));
                }
                _ => return Ok(steps),
            }
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        while let Some(c) = self.peek() {
            match c {
                '\\' => {
                    self.at += 1;
                    name.extend(self.next());
                }
                ' ' | '\t' | '\n' | '\r' | '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | '(' | ')' | '=' | '!' | '<' | '>' => break,
                c => {
                    name.push(c);
                    self.at += 1;
                }
            }
        }
        name
    }

    /// What is between brackets, which were just opened.
    fn brackets(&mut self) -> Result<Step, String> {
        let (start, mut depth, mut quote) = (self.at, 0, None);
        loop {
            let Some(c) = self.next() else { return Err("unterminated array".into()) };
            match quote {
                Some(open) => {
                    if c == '\\' {
                        self.at += 1;
                    } else if c == open {
                        quote = None;
                    }
                }
                None => match c {
                    '"' | '\'' => quote = Some(c),
                    '[' => depth += 1,
                    ']' if depth > 0 => depth -= 1,
                    ']' => break,
                    _ => {}
                },
            }
        }
        let inside: String = self.chars[start..self.at - 1].iter().collect();
        let inside = inside.trim();
        if let Some(filter) = inside.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
            return filter_step(filter);
        }
        let parts = split_outside_quotes(inside, ',');
        if parts.len() > 1 {
            let branches = parts.iter().map(|part| element(part.trim()).map(|step| vec![step])).collect::<Result<_, _>>()?;
            return Ok(Step::Union(branches));
        }
        element(inside)
    }
}

fn push_text(nodes: &mut Vec<Node>, text: &mut String) {
    if !text.is_empty() {
        nodes.push(Node::Text(std::mem::take(text)));
    }
}

fn code(c: Option<char>) -> String {
    c.map_or_else(String::new, |c| format!("U+{:04X} '{c}'", c as u32))
}

fn split_outside_quotes(text: &str, separator: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == separator => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

fn element(text: &str) -> Result<Step, String> {
    if text == "*" {
        return Ok(Step::Wildcard);
    }
    for quote in ['\'', '"'] {
        if let Some(name) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Ok(Step::Field(name.replace('\\', "")));
        }
    }
    let invalid = || format!("invalid array index {text}");
    let parts: Vec<&str> = text.split(':').collect();
    let number = |part: &str| -> Result<Option<i64>, String> { if part.is_empty() { Ok(None) } else { part.trim().parse().map(Some).map_err(|_| invalid()) } };
    match parts.as_slice() {
        [one] => {
            let index: i64 = one.parse().map_err(|_| invalid())?;
            // `[-1]` is the last one.
            let to = if index == -1 { None } else { Some(index + 1) };
            Ok(Step::Slice { from: Some(index), to, step: Some(0) })
        }
        [from, to] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: None }),
        [from, to, step] => Ok(Step::Slice { from: number(from)?, to: number(to)?, step: number(step)? }),
        _ => Err(invalid()),
    }
}

fn filter_step(text: &str) -> Result<Step, String> {
    let mut quote = None;
    let bytes: Vec<char> = text.chars().collect();
    for at in 0..bytes.len() {
        let c = bytes[at];
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => {
                let rest: String = bytes[at..].iter().take(2).collect();
                let operator = ["==", "!=", "<=", ">=", "<", ">"].into_iter().find(|operator| rest.starts_with(operator));
                if let Some(operator) = operator {
                    let left: String = bytes[..at].iter().collect();
                    let right: String = bytes[at + operator.len()..].iter().collect();
                    return Ok(Step::Filter { left: operand(&left)?, operator: operator.into(), right: operand(&right)? });
                }
            }
        }
    }
    Ok(Step::Filter { left: operand(text)?, operator: "exists".into(), right: Operand::Nothing })
}

fn operand(text: &str) -> Result<Operand, String> {
    let text = text.trim();
    for quote in ['\'', '"'] {
        if let Some(inside) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Ok(Operand::Constant(Value::String(inside.to_owned())));
        }
    }
    if matches!(text, "true" | "false") || text.parse::<f64>().is_ok() {
        return serde_json::from_str(text).map(Operand::Constant).map_err(|error| error.to_string());
    }
    let mut parser = Parser { chars: text.chars().collect(), at: 0 };
    let steps = parser.path()?;
    if parser.at == parser.chars.len() { Ok(Operand::Path(steps)) } else { Err(format!("unrecognized identifier {text}")) }
}

struct Evaluation<'a> {
    root: &'a Value,
    missing_allowed: bool,
    as_json: bool,
}

impl<'a> Evaluation<'a> {
    fn render(&self, nodes: &[Node], current: &'a Value, out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Path(steps) => self.print(&self.walk(steps, current)?, out),
                Node::Range(steps, inside) => {
                    for value in self.walk(steps, current)? {
                        self.render(inside, value, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn print(&self, values: &[&Value], out: &mut String) {
        if self.as_json {
            out.push_str(&json::pretty(&Value::Array(values.iter().map(|value| (*value).clone()).collect())));
            return;
        }
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(' ');
            }
            match value {
                Value::String(text) => out.push_str(text),
                Value::Object(_) | Value::Array(_) => out.push_str(&json::compact(value)),
                Value::Null => out.push_str("<nil>"),
                other => out.push_str(&other.to_string()),
            }
        }
    }

    fn walk(&self, steps: &[Step], current: &'a Value) -> Result<Vec<&'a Value>, String> {
        let mut values = vec![current];
        for (at, step) in steps.iter().enumerate() {
            values = match step {
                Step::Root => vec![self.root],
                Step::Current => values,
                Step::Field(name) => self.field(name, &values, at > 0 && steps[at - 1] == Step::Recursive)?,
                Step::Wildcard => values.into_iter().flat_map(children).collect(),
                Step::Recursive => {
                    let mut all = Vec::new();
                    values.into_iter().for_each(|value| descend(value, &mut all));
                    all
                }
                Step::Slice { from, to, step } => self.slice(&values, *from, *to, *step)?,
                Step::Filter { left, operator, right } => {
                    let mut kept = Vec::new();
                    for value in values {
                        for item in value.as_array().into_iter().flatten() {
                            if self.holds(left, operator, right, item)? {
                                kept.push(item);
                            }
                        }
                    }
                    kept
                }
                Step::Union(branches) => {
                    let mut all = Vec::new();
                    for branch in branches {
                        for value in &values {
                            all.extend(self.walk(branch, value)?);
                        }
                    }
                    all
                }
            };
        }
        Ok(values)
    }

    fn field(&self, name: &str, values: &[&'a Value], anywhere: bool) -> Result<Vec<&'a Value>, String> {
        let found: Vec<&Value> = values.iter().filter_map(|value| value.as_object()?.get(name)).collect();
        if found.is_empty() && !values.is_empty() && !self.missing_allowed && !anywhere {
            return Err(format!("{name} is not found"));
        }
        Ok(found)
    }

    fn slice(&self, values: &[&'a Value], from: Option<i64>, to: Option<i64>, step: Option<i64>) -> Result<Vec<&'a Value>, String> {
        let mut found = Vec::new();
        for value in values {
            let Some(items) = value.as_array() else {
                if value.is_null() && self.missing_allowed {
                    continue;
                }
                return Err(format!("{} is not array or slice", super::go(value)));
            };
            let length = items.len() as i64;
            let resolve = |at: i64| if at < 0 { at + length } else { at };
            if step == Some(0) {
                let index = from.unwrap_or(0);
                match usize::try_from(resolve(index)).ok().and_then(|at| items.get(at)) {
                    Some(item) => found.push(item),
                    None => return Err(format!("array index out of bounds: index {index}, length {length}")),
                }
                continue;
            }
            let (from, to, step) = (resolve(from.unwrap_or(0)).max(0), resolve(to.unwrap_or(length)).min(length), step.unwrap_or(1).max(1));
            let mut at = from;
            while at < to {
                found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
                at += step;
            }
        }
        Ok(found)
    }

    fn holds(&self, left: &Operand, operator: &str, right: &Operand, item: &Value) -> Result<bool, String> {
        let inner = Evaluation { root: item, missing_allowed: true, as_json: false };
        let value = |operand: &Operand| -> Result<Option<Value>, String> {
            Ok(match operand {
                Operand::Constant(value) => Some(value.clone()),
                Operand::Path(steps) => inner.walk(steps, item)?.first().map(|value| (*value).clone()),
                Operand::Nothing => None,
            })
        };
        let left = value(left)?;
        if operator == "exists" {
            return Ok(left.is_some());
        }
        let (Some(left), Some(right)) = (left, value(right)?) else { return Ok(false) };
        let order = match (&left, &right) {
            (Value::Number(a), Value::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            _ => None,
        };
        Ok(match operator {
            "==" => order.is_some_and(std::cmp::Ordering::is_eq),
            "!=" => order.is_none_or(std::cmp::Ordering::is_ne),
            "<" => order.is_some_and(std::cmp::Ordering::is_lt),
            ">" => order.is_some_and(std::cmp::Ordering::is_gt),
            "<=" => order.is_some_and(std::cmp::Ordering::is_le),
            _ => order.is_some_and(std::cmp::Ordering::is_ge),
        })
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    into.push(value);
    for child in children(value) {
        descend(child, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(template: &str, expected: &str) {
        let value = json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "a", "labels": {"app": "x", "k8s.io/y": "z"}}, "status": {"ready": true, "n": 1, "ports": [80, 443]}},
                {"metadata": {"name": "b"}, "status": {"ready": false, "n": 2, "ports": []}},
            ],
        });
        let got = Template::parse(template).and_then(|t| t.render(&value, true, false)).unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(got, expected, "{template}");
    }

    #[test]
    fn templates_render() {
        check("{.kind}", "List");
        check("kind: {.kind}!", "kind: List!");
        check("{.items[*].metadata.name}", "a b");
        check("{.items[0].metadata.labels}", r#"{"app":"x","k8s.io/y":"z"}"#);
        check(r"{.items[0].metadata.labels.k8s\.io/y}", "z");
        check("{.items[0].metadata.labels['k8s\\.io/y']}", "z");
        check("{.items[-1].metadata.name}", "b");
        check("{.items[0:2].status.n}", "1 2");
        check("{range .items[*]}{.metadata.name}{\"\\t\"}{.status.n}{\"\\n\"}{end}", "a\t1\nb\t2\n");
        check("{.items[?(@.metadata.name==\"b\")].status.n}", "2");
        check("{.items[?(@.status.ready==true)].metadata.name}", "a");
        check("{.items[?(@.status.n>=2)].metadata.name}", "b");
        check("{.items[?(@.metadata.labels)].metadata.name}", "a");
        check("{..name}", "a b");
        check("{.items[*]['metadata.name','status.n']}", "");
        check("{.items[0]['metadata','status']}", r#"{"labels":{"app":"x","k8s.io/y":"z"},"name":"a"} {"n":1,"ports":[80,443],"ready":true}"#);
        check("{.items[0].status.ports[0,1]}", "80 443");
        check("{.nothing.at.all}", "");
        check("{.items[5]}", "error: array index out of bounds: index 5, length 2");
        check("{range .items[*]}", "error: unclosed range");
        check("{.items", "error: unclosed action");
    }

    #[test]
    fn paths_may_be_relaxed() {
        for text in ["metadata.name", ".metadata.name", "{metadata.name}", "{.metadata.name}"] {
            assert_eq!(relax(text).unwrap(), "{.metadata.name}");
        }
        assert!(relax("{.a}{.b}").is_err());
    }

    #[test]
    fn a_missing_key_is_an_error_where_it_is_asked() {
        let template = Template::parse("{.a}").unwrap();
        assert_eq!(template.render(&json!({}), false, false), Err("a is not found".into()));
    }
}
