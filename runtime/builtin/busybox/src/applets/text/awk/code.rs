//! Trees into instructions of a stack machine: the machine waits for input and output in one place, whatever calls what.

use std::rc::Rc;

use super::ast::{Expr, Operator, Program, Sink, Source, Statement, Target, Variable};
use super::value::Value;
use crate::regex::{Regex, Syntax};

#[derive(Clone, Debug)]
pub enum Op {
    Push(Value),
    /// Whether the record matches.
    Matches(Rc<Compiled>),
    Load(Variable),
    /// Stores what is on top, and leaves it there.
    Store(Variable),
    Field,
    StoreField,
    Element(Variable),
    StoreElement(Variable),
    /// An array as an argument.
    Array(Variable),
    Increment(Variable, f64, bool),
    IncrementField(f64, bool),
    IncrementElement(Variable, f64, bool),
    /// Copies what is on top.
    Duplicate,
    Pop,
    /// Makes one key of several values.
    JoinKey(usize),
    Binary(Operator),
    Not,
    Negate,
    ToNumber,
    /// Text and expression, the latter a text itself.
    MatchDynamic,
    MatchText(Rc<Compiled>),
    In(Variable),
    Delete(Variable),
    Clear(Variable),
    Jump(usize),
    JumpIf(usize),
    JumpUnless(usize),
    Keys(Variable),
    /// The next key, or away from the loop.
    NextKey(usize),
    EndKeys,
    Call(usize, usize),
    Return,
    Builtin(&'static str, usize),
    /// A regular expression as an argument.
    Regex(Rc<Compiled>),
    Print(usize, Option<Sink>),
    Printf(usize, Option<Sink>),
    Getline(From),
    /// Jumps when the last `getline` gave no line.
    JumpIfNoLine(usize),
    /// What the last `getline` said.
    LineStatus,
    SetRecord,
    Next,
    NextFile,
    Exit(bool),
    /// Where a range (`/a/,/b/`) was entered already.
    JumpIfInRange(usize, usize),
    SetRange(usize, bool),
    End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum From {
    Input,
    File,
    Command,
}

pub struct Compiled {
    pub text: Rc<str>,
    pub regex: Regex,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "/{}/", self.text)
    }
}

pub fn regex(text: &str) -> Result<Rc<Compiled>> {
    let syntax = Syntax { extended: true, escapes: true, awk: true, ignore_case: false };
    let regex = Regex::new(text, syntax).map_err(|error| format!("bad regex '{text}': {error}"))?;
    Ok(Rc::new(Compiled { text: text.into(), regex }))
}

/// Instructions, and where things begin.
#[derive(Default)]
pub struct Code {
    pub ops: Vec<Op>,
    pub begin: usize,
    pub rules: usize,
    pub end: usize,
    /// Where each function begins, its parameters, and which of them are arrays.
    pub functions: Vec<(usize, Vec<bool>)>,
    pub ranges: usize,
}

/// Places to fill in once they are known.
#[derive(Default)]
struct Loop {
    breaks: Vec<usize>,
    continues: Vec<usize>,
}

struct Compiler<'a> {
    code: Code,
    program: &'a Program,
    arrays: Vec<Vec<bool>>,
    loops: Vec<Loop>,
}

type Result<T> = std::result::Result<T, String>;

pub fn compile(program: &Program) -> Result<Code> {
    let mut compiler = Compiler { code: Code::default(), program, arrays: super::arrays::parameters(program), loops: Vec::new() };
    for (index, function) in program.functions.iter().enumerate() {
        let at = compiler.code.ops.len();
        let arrays = compiler.arrays[index].clone();
        compiler.code.functions.push((at, arrays));
        compiler.statements(&function.body)?;
        compiler.emit(Op::Push(Value::Unset));
        compiler.emit(Op::Return);
    }
    compiler.code.begin = compiler.code.ops.len();
    compiler.statements(&program.begin)?;
    compiler.emit(Op::End);
    compiler.code.rules = compiler.code.ops.len();
    for rule in &program.rules {
        let mut over = None;
        match (&rule.pattern, &rule.until) {
            (Some(pattern), Some(until)) => {
                let range = compiler.code.ranges;
                compiler.code.ranges += 1;
                let inside = compiler.emit(Op::JumpIfInRange(range, 0));
                compiler.expr(pattern)?;
                over = Some(compiler.emit(Op::JumpUnless(0)));
                compiler.emit(Op::SetRange(range, true));
                let here = compiler.here();
                compiler.set(inside, here);
                compiler.expr(until)?;
                let on = compiler.emit(Op::JumpUnless(0));
                compiler.emit(Op::SetRange(range, false));
                let here = compiler.here();
                compiler.set(on, here);
            }
            (Some(pattern), None) => {
                compiler.expr(pattern)?;
                over = Some(compiler.emit(Op::JumpUnless(0)));
            }
            _ => {}
        }
        match &rule.body {
            Some(body) => compiler.statements(body)?,
            None => {
                compiler.emit(Op::Print(0, None));
            }
        }
        if let Some(over) = over {
            let here = compiler.here();
            compiler.set(over, here);
        }
    }
    compiler.emit(Op::End);
    compiler.code.end = compiler.code.ops.len();
    compiler.statements(&program.end)?;
    compiler.emit(Op::End);
    Ok(compiler.code)
}

impl Compiler<'_> {
    fn emit(&mut self, op: Op) -> usize {
        self.code.ops.push(op);
        self.code.ops.len() - 1
    }

    fn here(&self) -> usize {
        self.code.ops.len()
    }

    /// Fills in where a jump goes.
    fn set(&mut self, at: usize, to: usize) {
        match &mut self.code.ops[at] {
            Op::Jump(place) | Op::JumpIf(place) | Op::JumpUnless(place) | Op::NextKey(place) | Op::JumpIfNoLine(place) | Op::JumpIfInRange(_, place) => {
                *place = to
            }
            _ => {}
        }
    }

    fn statements(&mut self, statements: &[Statement]) -> Result<()> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::Expr(expr) => {
                self.expr(expr)?;
                self.emit(Op::Pop);
            }
            Statement::Print { values, to } | Statement::Printf { values, to } => {
                for value in values {
                    self.expr(value)?;
                }
                if let Some((_, place)) = to {
                    self.expr(place)?;
                }
                let sink = to.as_ref().map(|(sink, _)| *sink);
                self.emit(if matches!(statement, Statement::Print { .. }) { Op::Print(values.len(), sink) } else { Op::Printf(values.len(), sink) });
            }
            Statement::If(condition, then, otherwise) => {
                self.expr(condition)?;
                let over = self.emit(Op::JumpUnless(0));
                self.statements(then)?;
                if otherwise.is_empty() {
                    let here = self.here();
                    self.set(over, here);
                } else {
                    let end = self.emit(Op::Jump(0));
                    let here = self.here();
                    self.set(over, here);
                    self.statements(otherwise)?;
                    let here = self.here();
                    self.set(end, here);
                }
            }
            Statement::While(condition, body) => {
                let begin = self.here();
                self.expr(condition)?;
                let out = self.emit(Op::JumpUnless(0));
                self.repeat(body)?;
                self.emit(Op::Jump(begin));
                let here = self.here();
                self.set(out, here);
                self.leave(begin, here);
            }
            Statement::Do(body, condition) => {
                let begin = self.here();
                self.repeat(body)?;
                let test = self.here();
                self.expr(condition)?;
                self.emit(Op::JumpIf(begin));
                let here = self.here();
                self.leave(test, here);
            }
            Statement::For(first, condition, step, body) => {
                if let Some(first) = first {
                    self.statement(first)?;
                }
                let begin = self.here();
                let out = match condition {
                    Some(condition) => {
                        self.expr(condition)?;
                        Some(self.emit(Op::JumpUnless(0)))
                    }
                    None => None,
                };
                self.repeat(body)?;
                let next = self.here();
                if let Some(step) = step {
                    self.statement(step)?;
                }
                self.emit(Op::Jump(begin));
                let here = self.here();
                if let Some(out) = out {
                    self.set(out, here);
                }
                self.leave(next, here);
            }
            Statement::ForIn(target, array, body) => {
                self.emit(Op::Keys(*array));
                let begin = self.here();
                let out = self.emit(Op::NextKey(0));
                match target {
                    Target::Variable(variable) => {
                        self.emit(Op::Store(*variable));
                        self.emit(Op::Pop);
                    }
                    _ => return Err("Unexpected token".into()),
                }
                self.repeat(body)?;
                self.emit(Op::Jump(begin));
                let broken = self.here();
                self.emit(Op::EndKeys);
                let here = self.here();
                self.set(out, here);
                self.leave(begin, broken);
            }
            Statement::Block(statements) => self.statements(statements)?,
            Statement::Break => {
                let at = self.emit(Op::Jump(0));
                self.loops.last_mut().ok_or("'break' not in a loop")?.breaks.push(at);
            }
            Statement::Continue => {
                let at = self.emit(Op::Jump(0));
                self.loops.last_mut().ok_or("'continue' not in a loop")?.continues.push(at);
            }
            Statement::Next => {
                self.emit(Op::Next);
            }
            Statement::NextFile => {
                self.emit(Op::NextFile);
            }
            Statement::Exit(code) => {
                if let Some(code) = code {
                    self.expr(code)?;
                }
                self.emit(Op::Exit(code.is_some()));
            }
            Statement::Return(value) => {
                match value {
                    Some(value) => self.expr(value)?,
                    None => {
                        self.emit(Op::Push(Value::Unset));
                    }
                }
                self.emit(Op::Return);
            }
            Statement::Delete(array, None) => {
                self.emit(Op::Clear(*array));
            }
            Statement::Delete(array, Some(key)) => {
                self.key(key)?;
                self.emit(Op::Delete(*array));
            }
        }
        Ok(())
    }

    fn repeat(&mut self, body: &[Statement]) -> Result<()> {
        self.loops.push(Loop::default());
        self.statements(body)
    }

    fn leave(&mut self, next: usize, end: usize) {
        let Some(ended) = self.loops.pop() else { return };
        ended.breaks.into_iter().for_each(|at| self.set(at, end));
        ended.continues.into_iter().for_each(|at| self.set(at, next));
    }

    fn key(&mut self, key: &[Expr]) -> Result<()> {
        for part in key {
            self.expr(part)?;
        }
        self.emit(Op::JoinKey(key.len()));
        Ok(())
    }

    /// What has to be on the stack before a value is stored.
    fn place(&mut self, target: &Target) -> Result<()> {
        match target {
            Target::Variable(_) => Ok(()),
            Target::Field(index) => self.expr(index),
            Target::Element(_, key) => self.key(key),
        }
    }

    fn store(&mut self, target: &Target) {
        self.emit(match target {
            Target::Variable(variable) => Op::Store(*variable),
            Target::Field(_) => Op::StoreField,
            Target::Element(array, _) => Op::StoreElement(*array),
        });
    }

    fn load(&mut self, target: &Target) {
        self.emit(match target {
            Target::Variable(variable) => Op::Load(*variable),
            Target::Field(_) => Op::Field,
            Target::Element(array, _) => Op::Element(*array),
        });
    }

    fn expr(&mut self, expr: &Expr) -> Result<()> {
        match expr {
            Expr::Number(number) => {
                self.emit(Op::Push(Value::Number(*number)));
            }
            Expr::Text(text) => {
                self.emit(Op::Push(Value::Text(text.clone())));
            }
            Expr::Regex(text) => {
                let op = Op::Matches(regex(text)?);
                self.emit(op);
            }
            Expr::Target(target) => {
                self.place(target)?;
                self.load(target);
            }
            Expr::Assign(target, value) => {
                self.place(target)?;
                self.expr(value)?;
                self.store(target);
            }
            Expr::Update(target, operator, value) => {
                self.place(target)?;
                if !matches!(target, Target::Variable(_)) {
                    self.emit(Op::Duplicate);
                }
                self.load(target);
                self.expr(value)?;
                self.emit(Op::Binary(*operator));
                self.store(target);
            }
            Expr::Increment { target, by, before } => {
                self.place(target)?;
                self.emit(match target {
                    Target::Variable(variable) => Op::Increment(*variable, *by, *before),
                    Target::Field(_) => Op::IncrementField(*by, *before),
                    Target::Element(array, _) => Op::IncrementElement(*array, *by, *before),
                });
            }
            Expr::Conditional(condition, then, otherwise) => {
                self.expr(condition)?;
                let over = self.emit(Op::JumpUnless(0));
                self.expr(then)?;
                let end = self.emit(Op::Jump(0));
                let here = self.here();
                self.set(over, here);
                self.expr(otherwise)?;
                let here = self.here();
                self.set(end, here);
            }
            Expr::And(left, right) | Expr::Or(left, right) => {
                let and = matches!(expr, Expr::And(..));
                let jump = |to| if and { Op::JumpUnless(to) } else { Op::JumpIf(to) };
                self.expr(left)?;
                let first = self.emit(jump(0));
                self.expr(right)?;
                let second = self.emit(jump(0));
                self.emit(Op::Push(Value::Number(f64::from(u8::from(and)))));
                let end = self.emit(Op::Jump(0));
                let here = self.here();
                self.set(first, here);
                self.set(second, here);
                self.emit(Op::Push(Value::Number(f64::from(u8::from(!and)))));
                let here = self.here();
                self.set(end, here);
            }
            Expr::Not(inner) => {
                self.expr(inner)?;
                self.emit(Op::Not);
            }
            Expr::Negate(inner) => {
                self.expr(inner)?;
                self.emit(Op::Negate);
            }
            Expr::Plus(inner) => {
                self.expr(inner)?;
                self.emit(Op::ToNumber);
            }
            Expr::Binary(operator, left, right) => {
                self.expr(left)?;
                self.expr(right)?;
                self.emit(Op::Binary(*operator));
            }
            Expr::Match { negated, text, regex: pattern } => {
                self.expr(text)?;
                match &**pattern {
                    Expr::Regex(pattern) => {
                        let op = Op::MatchText(regex(pattern)?);
                        self.emit(op);
                    }
                    dynamic => {
                        self.expr(dynamic)?;
                        self.emit(Op::MatchDynamic);
                    }
                }
                if *negated {
                    self.emit(Op::Not);
                }
            }
            Expr::In(key, array) => {
                self.key(key)?;
                self.emit(Op::In(*array));
            }
            Expr::List(list) => self.key(list)?,
            Expr::Call(function, arguments) => {
                let parameters = self.arrays[*function].clone();
                if arguments.len() > parameters.len() {
                    return Err(format!("function '{}' called with more args than declared", self.program.functions[*function].name));
                }
                for (argument, array) in arguments.iter().zip(parameters) {
                    match argument {
                        Expr::Target(Target::Variable(variable)) if array => {
                            self.emit(Op::Array(*variable));
                        }
                        other => self.expr(other)?,
                    }
                }
                self.emit(Op::Call(*function, arguments.len()));
            }
            Expr::Builtin(name, arguments) => self.builtin(name, arguments)?,
            Expr::Getline { target, source } => {
                if let Some(target) = target {
                    self.place(target)?;
                }
                let from = match source {
                    Source::Input => From::Input,
                    Source::File(place) => {
                        self.expr(place)?;
                        From::File
                    }
                    Source::Command(command) => {
                        self.expr(command)?;
                        From::Command
                    }
                };
                self.emit(Op::Getline(from));
                let none = self.emit(Op::JumpIfNoLine(0));
                match target {
                    Some(target) => self.store(target),
                    None => {
                        self.emit(Op::SetRecord);
                    }
                }
                let end = self.emit(Op::Jump(0));
                let here = self.here();
                self.set(none, here);
                // The line that is none; the place stays below it, and goes first.
                if target.as_ref().is_some_and(|target| !matches!(target, Target::Variable(_))) {
                    self.emit(Op::Pop);
                }
                let here = self.here();
                self.set(end, here);
                self.emit(Op::Pop);
                self.emit(Op::LineStatus);
            }
        }
        Ok(())
    }

    fn builtin(&mut self, name: &'static str, arguments: &[Expr]) -> Result<()> {
        let bounds = match name {
            "length" | "srand" | "fflush" => 0..=1,
            "rand" | "systime" => 0..=0,
            "strftime" => 0..=3,
            "int" | "sqrt" | "exp" | "log" | "sin" | "cos" | "tolower" | "toupper" | "system" | "compl" | "mktime" => 1..=1,
            "close" => 1..=2,
            "index" | "atan2" | "and" | "or" | "xor" | "lshift" | "rshift" => 2..=2,
            "match" | "sub" | "gsub" | "split" | "substr" => 2..=4,
            "gensub" => 3..=4,
            _ => 1..=usize::MAX,
        };
        if !bounds.contains(&arguments.len()) {
            return Err("Too few arguments".into());
        }
        let pattern_at = match name {
            "match" => Some(1),
            "sub" | "gsub" | "gensub" => Some(0),
            "split" => Some(2),
            _ => None,
        };
        // `sub` and `gsub` store what they made: their target comes first, then its value.
        let into = if matches!(name, "sub" | "gsub") { Some(arguments.get(2)) } else { None };
        let mut stored = None;
        match into {
            None => {}
            Some(None) => {
                self.emit(Op::Push(Value::Number(0.0)));
                self.emit(Op::Duplicate);
                self.emit(Op::Field);
                stored = Some(Op::StoreField);
            }
            Some(Some(Expr::Target(target))) => {
                self.place(target)?;
                if !matches!(target, Target::Variable(_)) {
                    self.emit(Op::Duplicate);
                }
                self.load(target);
                stored = Some(match target {
                    Target::Variable(variable) => Op::Store(*variable),
                    Target::Field(_) => Op::StoreField,
                    Target::Element(array, _) => Op::StoreElement(*array),
                });
            }
            Some(Some(other)) => self.expr(other)?,
        }
        for (index, argument) in arguments.iter().enumerate() {
            if into.is_some() && index == 2 {
                continue;
            }
            let is_array = name == "split" && index == 1 || name == "match" && index == 2 || name == "length" && self.is_array(argument);
            match argument {
                Expr::Target(Target::Variable(variable)) if is_array => {
                    self.emit(Op::Array(*variable));
                }
                Expr::Regex(text) if pattern_at == Some(index) => {
                    let op = Op::Regex(regex(text)?);
                    self.emit(op);
                }
                other => self.expr(other)?,
            }
        }
        if into.is_none() {
            self.emit(Op::Builtin(name, arguments.len()));
            return Ok(());
        }
        // Leaves the new text on top, and how many there were in the status.
        self.emit(Op::Builtin(name, 3));
        let none = self.emit(Op::JumpIfNoLine(0));
        if let Some(stored) = stored.clone() {
            self.emit(stored);
        }
        let end = self.emit(Op::Jump(0));
        let here = self.here();
        self.set(none, here);
        if matches!(stored, Some(Op::StoreField | Op::StoreElement(_))) {
            self.emit(Op::Pop);
        }
        let here = self.here();
        self.set(end, here);
        self.emit(Op::Pop);
        self.emit(Op::LineStatus);
        Ok(())
    }

    /// Whether a bare name stands for an array here.
    fn is_array(&self, argument: &Expr) -> bool {
        match argument {
            Expr::Target(Target::Variable(Variable::Global(index))) => super::arrays::is_global_array(self.program, *index),
            // Locals may turn out to be either; the machine looks.
            Expr::Target(Target::Variable(Variable::Local(_))) => true,
            _ => false,
        }
    }
}
