//! Runs instructions.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::ast::{Operator, Sink, Variable};
use super::code::{self, Code, Compiled, From, Op};
use super::format;
use super::record::{Record, Separator};
use super::streams::{Ending, Reader, Writer};
use super::value::{Array, Value};
use crate::context::{Context, Error, Result};
use crate::io::Output;
use crate::rt;

/// Variables that mean something, at the beginning of the globals.
pub const SPECIAL: &[&str] =
    &["NF", "NR", "FNR", "FS", "OFS", "ORS", "RS", "FILENAME", "SUBSEP", "RSTART", "RLENGTH", "CONVFMT", "OFMT", "ENVIRON", "ARGC", "ARGV"];
const NF: usize = 0;
const NR: usize = 1;
const FNR: usize = 2;
const FS: usize = 3;
const OFS: usize = 4;
const ORS: usize = 5;
const RS: usize = 6;
const FILENAME: usize = 7;
const SUBSEP: usize = 8;
pub const RSTART: usize = 9;
pub const RLENGTH: usize = 10;
const CONVFMT: usize = 11;
const OFMT: usize = 12;
const ENVIRON: usize = 13;
const ARGC: usize = 14;
const ARGV: usize = 15;

/// Instructions between two pauses.
const TURNS: u32 = 20_000;
/// Functions that may wait for each other.
const DEEPEST: usize = 20_000;
/// Open files and commands.
const MOST_STREAMS: usize = 1000;
/// Fields of a record.
const MOST_FIELDS: usize = 1 << 20;

/// How a run of the instructions ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    Normally,
    Next,
    NextFile,
    Exit,
}

struct Frame {
    back: usize,
    base: usize,
    loops: usize,
}

pub struct Machine {
    pub code: Rc<Code>,
    names: HashMap<Rc<str>, usize>,
    pub globals: Vec<Value>,
    stack: Vec<Value>,
    frames: Vec<Frame>,
    loops: Vec<std::vec::IntoIter<Rc<str>>>,
    ranges: Vec<bool>,
    record: Record,
    separator: Option<Separator>,
    ending: Option<Rc<Ending>>,
    regexes: HashMap<Rc<str>, Rc<Compiled>>,
    /// What `getline` said, or how often `sub` replaced.
    pub status: f64,
    input: Option<Reader>,
    next_argument: usize,
    had_file: bool,
    readers: BTreeMap<Rc<str>, Reader>,
    writers: BTreeMap<Rc<str>, Writer>,
    pub exit_code: i32,
    pub seed: u64,
    pub random: u64,
}

impl Machine {
    pub fn new(code: Code, names: HashMap<Rc<str>, usize>, arguments: Vec<String>, env: &BTreeMap<String, String>) -> Machine {
        let ranges = vec![false; code.ranges];
        let mut globals = vec![Value::Unset; names.len()];
        for (index, text) in [(FS, " "), (OFS, " "), (ORS, "\n"), (RS, "\n"), (SUBSEP, "\x1c"), (CONVFMT, "%.6g"), (OFMT, "%.6g")] {
            globals[index] = Value::text(text);
        }
        for index in [NF, NR, FNR] {
            globals[index] = Value::Number(0.0);
        }
        let mut environ = Array::default();
        env.iter().for_each(|(name, value)| environ.set(name.as_str().into(), Value::input(value.as_str())));
        globals[ENVIRON] = Value::Array(Rc::new(RefCell::new(environ)));
        globals[ARGC] = Value::Number(arguments.len() as f64);
        let mut argv = Array::default();
        arguments.into_iter().enumerate().for_each(|(index, argument)| argv.set(index.to_string().into(), Value::input(argument)));
        globals[ARGV] = Value::Array(Rc::new(RefCell::new(argv)));
        Machine {
            code: Rc::new(code),
            names,
            globals,
            stack: Vec::new(),
            frames: Vec::new(),
            loops: Vec::new(),
            ranges,
            record: Record::default(),
            separator: None,
            ending: None,
            regexes: HashMap::new(),
            status: 0.0,
            input: None,
            next_argument: 1,
            had_file: false,
            readers: BTreeMap::new(),
            writers: BTreeMap::new(),
            exit_code: 0,
            seed: 1,
            random: 1,
        }
    }

    /// An assignment from outside; to a name that the program does not use, it has no effect.
    pub fn assign(&mut self, name: &str, value: Value) {
        if let Some(index) = self.names.get(name).copied() {
            self.store(Variable::Global(index), value);
        }
    }

    pub fn convfmt(&self) -> Rc<str> {
        self.globals[CONVFMT].to_text("%.6g")
    }

    pub fn text_of(&self, value: &Value) -> Rc<str> {
        match value {
            Value::Number(number) if number.fract() != 0.0 => value.to_text(&self.convfmt()),
            other => other.to_text("%.6g"),
        }
    }

    fn global_text(&self, index: usize) -> Rc<str> {
        self.text_of(&self.globals[index])
    }

    // The record.

    pub fn separator(&mut self) -> Result<Separator> {
        if self.separator.is_none() {
            let text = self.global_text(FS);
            let paragraph = self.global_text(RS).is_empty();
            let separator = self.separator_of(&text)?;
            self.separator = Some(match separator {
                // With paragraphs, a newline always separates.
                Separator::Character(character) if paragraph => {
                    Separator::Regex(self.regex(&format!("[{}\n]", if character == '\\' { "\\\\".into() } else { character.to_string() }).into())?)
                }
                Separator::Regex(regex) if paragraph => Separator::Regex(self.regex(&format!("({})|\n", regex.text).into())?),
                other => other,
            });
        }
        self.separator.clone().ok_or_else(|| Error::new("no separator"))
    }

    pub fn separator_of(&mut self, text: &Rc<str>) -> Result<Separator> {
        let mut characters = text.chars();
        Ok(match (characters.next(), characters.next()) {
            (None, _) => Separator::Nothing,
            (Some(' '), None) => Separator::Blank,
            (Some(character), None) if character != '\\' => Separator::Character(character),
            _ => Separator::Regex(self.regex(text)?),
        })
    }

    fn split_record(&mut self) -> Result<()> {
        if self.record.needs_split() {
            let separator = self.separator()?;
            self.record.split(&separator);
        }
        Ok(())
    }

    pub fn record_text(&mut self) -> Rc<str> {
        let (between, format) = (self.global_text(OFS), self.convfmt());
        self.record.text(&between, &format)
    }

    fn field(&mut self, index: f64) -> Result<Value> {
        if index < 0.0 || index as usize > MOST_FIELDS {
            return Err(Error::new("Access to negative field"));
        }
        if index < 1.0 {
            return Ok(Value::input(self.record_text()));
        }
        self.split_record()?;
        Ok(self.record.field(index as usize))
    }

    fn set_field(&mut self, index: f64, value: Value) -> Result<()> {
        if index < 0.0 || index as usize > MOST_FIELDS {
            return Err(Error::new("Access to negative field"));
        }
        if index < 1.0 {
            let text = self.text_of(&value);
            self.record.set(text);
            return Ok(());
        }
        self.split_record()?;
        self.record.set_field(index as usize, value);
        Ok(())
    }

    pub fn regex(&mut self, text: &Rc<str>) -> Result<Rc<Compiled>> {
        if let Some(known) = self.regexes.get(text) {
            return Ok(known.clone());
        }
        if self.regexes.len() > 500 {
            self.regexes.clear();
        }
        let compiled = code::regex(text).map_err(Error::new)?;
        self.regexes.insert(text.clone(), compiled.clone());
        Ok(compiled)
    }

    pub fn regex_of(&mut self, value: &Value) -> Result<Rc<Compiled>> {
        match value {
            Value::Regex(compiled) => Ok(compiled.clone()),
            other => {
                let text = self.text_of(other);
                self.regex(&text)
            }
        }
    }

    // Variables.

    fn slot(&mut self, variable: Variable) -> &mut Value {
        match variable {
            Variable::Global(index) => &mut self.globals[index],
            Variable::Local(index) => {
                let base = self.frames.last().map_or(0, |frame| frame.base);
                &mut self.stack[base + index]
            }
        }
    }

    fn load(&mut self, variable: Variable) -> Result<Value> {
        if variable == Variable::Global(NF) {
            self.split_record()?;
            return Ok(Value::Number(self.record.count() as f64));
        }
        Ok(self.slot(variable).clone())
    }

    pub fn store(&mut self, variable: Variable, value: Value) {
        match variable {
            Variable::Global(NF) => {
                if self.split_record().is_ok() {
                    self.record.set_count((value.number().max(0.0) as usize).min(MOST_FIELDS));
                }
                return;
            }
            Variable::Global(FS) => {
                // The record that was read is split as things were.
                let _ = self.split_record();
                self.separator = None;
            }
            Variable::Global(RS) => {
                self.ending = None;
                self.separator = None;
            }
            _ => {}
        }
        *self.slot(variable) = value;
    }

    pub fn array(&mut self, variable: Variable) -> Rc<RefCell<Array>> {
        let slot = self.slot(variable);
        if let Value::Array(array) = slot {
            return array.clone();
        }
        let array = Rc::new(RefCell::new(Array::default()));
        *slot = Value::Array(array.clone());
        array
    }

    pub fn pop(&mut self) -> Value {
        self.stack.pop().unwrap_or_default()
    }

    fn push(&mut self, value: Value) {
        self.stack.push(value);
    }

    fn pop_text(&mut self) -> Rc<str> {
        let value = self.pop();
        self.text_of(&value)
    }

    /// Runs from a place on to its end.
    pub async fn run(&mut self, cx: &Context, from: usize) -> Result<Ended> {
        let code = self.code.clone();
        self.stack.clear();
        self.frames.clear();
        self.loops.clear();
        let (mut at, mut turns) = (from, 0u32);
        loop {
            let op = &code.ops[at];
            at += 1;
            turns += 1;
            if turns.is_multiple_of(TURNS) {
                rt::pause().await;
            }
            match op {
                Op::Push(value) => self.push(value.clone()),
                Op::Matches(compiled) => {
                    let text = self.record_text();
                    self.push(truth(compiled.regex.is_match(text.as_bytes())));
                }
                Op::Load(variable) => {
                    let value = self.load(*variable)?;
                    self.push(value);
                }
                Op::Store(variable) => {
                    let value = self.stack.last().cloned().unwrap_or_default();
                    self.store(*variable, value);
                }
                Op::Field => {
                    let index = self.pop().number();
                    let value = self.field(index)?;
                    self.push(value);
                }
                Op::StoreField => {
                    let value = self.pop();
                    let index = self.pop().number();
                    self.set_field(index, value.clone())?;
                    self.push(value);
                }
                Op::Element(array) => {
                    let key = self.pop_text();
                    let value = self.array(*array).borrow_mut().get(&key);
                    self.push(value);
                }
                Op::StoreElement(array) => {
                    let value = self.pop();
                    let key = self.pop_text();
                    self.array(*array).borrow_mut().set(key, value.clone());
                    self.push(value);
                }
                Op::Array(variable) => {
                    let value = match self.slot(*variable) {
                        Value::Unset => Value::Array(self.array(*variable)),
                        other => other.clone(),
                    };
                    self.push(value);
                }
                Op::Increment(variable, by, before) => {
                    let old = self.load(*variable)?.number();
                    self.store(*variable, Value::Number(old + by));
                    self.push(Value::Number(if *before { old + by } else { old }));
                }
                Op::IncrementField(by, before) => {
                    let index = self.pop().number();
                    let old = self.field(index)?.number();
                    self.set_field(index, Value::Number(old + by))?;
                    self.push(Value::Number(if *before { old + by } else { old }));
                }
                Op::IncrementElement(array, by, before) => {
                    let key = self.pop_text();
                    let array = self.array(*array);
                    let old = array.borrow_mut().get(&key).number();
                    array.borrow_mut().set(key, Value::Number(old + by));
                    self.push(Value::Number(if *before { old + by } else { old }));
                }
                Op::Duplicate => {
                    let value = self.stack.last().cloned().unwrap_or_default();
                    self.push(value);
                }
                Op::Pop => drop(self.pop()),
                Op::JoinKey(1) => {}
                Op::JoinKey(count) => {
                    let parts = self.stack.split_off(self.stack.len().saturating_sub(*count));
                    let parts: Vec<Rc<str>> = parts.iter().map(|part| self.text_of(part)).collect();
                    let key = parts.join(&self.global_text(SUBSEP));
                    self.push(Value::text(key));
                }
                Op::Binary(operator) => {
                    let right = self.pop();
                    let left = self.pop();
                    let value = self.binary(*operator, &left, &right)?;
                    self.push(value);
                }
                Op::Not => {
                    let value = self.pop();
                    self.push(truth(!value.truth()));
                }
                Op::Negate => {
                    let value = self.pop().number();
                    self.push(Value::Number(-value));
                }
                Op::ToNumber => {
                    let value = self.pop().number();
                    self.push(Value::Number(value));
                }
                Op::MatchDynamic => {
                    let pattern = self.pop();
                    let compiled = self.regex_of(&pattern)?;
                    let text = self.pop_text();
                    self.push(truth(compiled.regex.is_match(text.as_bytes())));
                }
                Op::MatchText(compiled) => {
                    let text = self.pop_text();
                    self.push(truth(compiled.regex.is_match(text.as_bytes())));
                }
                Op::In(array) => {
                    let key = self.pop_text();
                    let has = self.array(*array).borrow().has(&key);
                    self.push(truth(has));
                }
                Op::Delete(array) => {
                    let key = self.pop_text();
                    self.array(*array).borrow_mut().remove(&key);
                }
                Op::Clear(array) => self.array(*array).borrow_mut().clear(),
                Op::Jump(to) => at = *to,
                Op::JumpIf(to) => {
                    if self.pop().truth() {
                        at = *to;
                    }
                }
                Op::JumpUnless(to) => {
                    if !self.pop().truth() {
                        at = *to;
                    }
                }
                Op::Keys(array) => {
                    let keys = self.array(*array).borrow().keys();
                    self.loops.push(keys.into_iter());
                }
                Op::NextKey(to) => match self.loops.last_mut().and_then(Iterator::next) {
                    Some(key) => self.push(Value::input(key)),
                    None => {
                        self.loops.pop();
                        at = *to;
                    }
                },
                Op::EndKeys => drop(self.loops.pop()),
                Op::Call(function, count) => {
                    let (begin, parameters) = &code.functions[*function];
                    if self.frames.len() >= DEEPEST {
                        return Err(Error::new("too deep recursion"));
                    }
                    self.frames.push(Frame { back: at, base: self.stack.len() - count, loops: self.loops.len() });
                    for _ in *count..parameters.len() {
                        self.push(Value::Unset);
                    }
                    at = *begin;
                }
                Op::Return => {
                    let value = self.pop();
                    let Some(frame) = self.frames.pop() else { return Ok(Ended::Normally) };
                    self.stack.truncate(frame.base);
                    self.loops.truncate(frame.loops);
                    self.push(value);
                    at = frame.back;
                }
                Op::Builtin("system", _) => {
                    let command = self.pop_text();
                    let code = self.system(cx, &command).await?;
                    self.push(Value::Number(f64::from(code)));
                }
                Op::Builtin("close", count) => {
                    let arguments = self.stack.split_off(self.stack.len() - count);
                    let name = self.text_of(&arguments[0]);
                    let code = self.close(&name).await?;
                    self.push(Value::Number(f64::from(code)));
                }
                Op::Builtin("fflush", count) => {
                    self.stack.truncate(self.stack.len() - count);
                    self.flush(cx).await?;
                    self.push(Value::Number(0.0));
                }
                Op::Builtin(name, count) => {
                    let arguments = self.stack.split_off(self.stack.len() - count);
                    let value = self.builtin(name, arguments, cx)?;
                    self.push(value);
                }
                Op::Regex(compiled) => self.push(Value::Regex(compiled.clone())),
                Op::Print(count, sink) => {
                    let name = if sink.is_some() { self.pop_text() } else { "".into() };
                    let values = self.stack.split_off(self.stack.len() - count);
                    let mut line = String::new();
                    if values.is_empty() {
                        line += &self.record_text();
                    } else {
                        let (between, format) = (self.global_text(OFS), self.globals[OFMT].to_text("%.6g"));
                        for (index, value) in values.iter().enumerate() {
                            if index > 0 {
                                line += &between;
                            }
                            line += &value.to_text(&format);
                        }
                    }
                    line += &self.global_text(ORS);
                    self.write(cx, *sink, &name, line).await?;
                }
                Op::Printf(count, sink) => {
                    let name = if sink.is_some() { self.pop_text() } else { "".into() };
                    let values = self.stack.split_off(self.stack.len() - count);
                    let Some((pattern, values)) = values.split_first() else { return Err(Error::new("Too few arguments")) };
                    let text = format::format(&self.text_of(pattern), values, &self.convfmt());
                    self.write(cx, *sink, &name, text).await?;
                }
                Op::Getline(from) => {
                    let line = self.getline(cx, *from).await?;
                    self.push(line);
                }
                Op::JumpIfNoLine(to) => {
                    if self.status <= 0.0 {
                        at = *to;
                    }
                }
                Op::LineStatus => self.push(Value::Number(self.status)),
                Op::SetRecord => {
                    let text = self.stack.last().map(|value| self.text_of(value)).unwrap_or_default();
                    self.record.set(text);
                }
                Op::Next => return Ok(Ended::Next),
                Op::NextFile => return Ok(Ended::NextFile),
                Op::Exit(with_code) => {
                    if *with_code {
                        self.exit_code = self.pop().number() as i32;
                    }
                    return Ok(Ended::Exit);
                }
                Op::JumpIfInRange(range, to) => {
                    if self.ranges[*range] {
                        at = *to;
                    }
                }
                Op::SetRange(range, on) => self.ranges[*range] = *on,
                Op::End => return Ok(Ended::Normally),
            }
        }
    }

    fn binary(&self, operator: Operator, left: &Value, right: &Value) -> Result<Value> {
        let numbers = || (left.number(), right.number());
        let ordering = || left.compare(right, &self.convfmt());
        Ok(match operator {
            Operator::Add => Value::Number(left.number() + right.number()),
            Operator::Subtract => Value::Number(left.number() - right.number()),
            Operator::Multiply => Value::Number(left.number() * right.number()),
            Operator::Divide | Operator::Modulo => {
                let (left, right) = numbers();
                if right == 0.0 {
                    return Err(Error::new("cmd. line:1: Division by zero"));
                }
                Value::Number(if operator == Operator::Divide { left / right } else { left % right })
            }
            Operator::Power => {
                let (left, right) = numbers();
                Value::Number(left.powf(right))
            }
            Operator::Concatenate => {
                let (left, right) = (self.text_of(left), self.text_of(right));
                Value::Text([&*left, &*right].concat().into())
            }
            Operator::Less => truth(ordering().is_lt()),
            Operator::LessOrEqual => truth(ordering().is_le()),
            Operator::Equal => truth(ordering().is_eq()),
            Operator::NotEqual => truth(ordering().is_ne()),
            Operator::Greater => truth(ordering().is_gt()),
            Operator::GreaterOrEqual => truth(ordering().is_ge()),
        })
    }

    // Input.

    fn ending(&mut self) -> Result<Rc<Ending>> {
        if self.ending.is_none() {
            self.ending = Some(Rc::new(Ending::new(&self.global_text(RS))?));
        }
        self.ending.clone().ok_or_else(|| Error::new("no separator"))
    }

    /// Reads the next record of the input; false at its end.
    pub async fn next_record(&mut self, cx: &Context) -> Result<bool> {
        match self.next_line(cx).await? {
            Some(line) => {
                self.record.set(line.into());
                Ok(true)
            }
            None => Ok(false),
        }
    }

    async fn next_line(&mut self, cx: &Context) -> Result<Option<String>> {
        loop {
            if self.input.is_none() && !self.open_next(cx).await? {
                return Ok(None);
            }
            let ending = self.ending()?;
            let Some(input) = &mut self.input else { return Ok(None) };
            if let Some(line) = input.record(&ending).await? {
                for counter in [NR, FNR] {
                    let count = self.globals[counter].number() + 1.0;
                    self.globals[counter] = Value::Number(count);
                }
                return Ok(Some(line));
            }
            self.input = None;
        }
    }

    /// The next file of ARGV; assignments among them are made.
    async fn open_next(&mut self, cx: &Context) -> Result<bool> {
        loop {
            let count = self.globals[ARGC].number() as usize;
            if self.next_argument >= count {
                if self.had_file {
                    return Ok(false);
                }
                self.had_file = true;
                self.input = Some(Reader::new(cx.stdin.clone()));
                return Ok(true);
            }
            let key: Rc<str> = self.next_argument.to_string().into();
            self.next_argument += 1;
            let argument = {
                let array = self.array(Variable::Global(ARGV));
                let array = &mut *array.borrow_mut();
                if !array.has(&key) {
                    continue;
                }
                array.get(&key)
            };
            let argument = self.text_of(&argument);
            if argument.is_empty() {
                continue;
            }
            if let Some((name, value)) = argument.split_once('=').filter(|(name, _)| is_name(name)) {
                self.assign(name, Value::input(super::lex::unescape(value)));
                continue;
            }
            self.had_file = true;
            let input = if *argument == *"-" { cx.stdin.clone() } else { cx.open(&argument).map_err(|error| Error::about(&argument, &error))? };
            self.globals[FILENAME] = Value::Text(argument);
            self.globals[FNR] = Value::Number(0.0);
            self.input = Some(Reader::new(input));
            return Ok(true);
        }
    }

    /// The rest of the file is not read.
    pub fn skip_file(&mut self) {
        self.input = None;
    }

    async fn getline(&mut self, cx: &Context, from: From) -> Result<Value> {
        let line = match from {
            From::Input => self.next_line(cx).await,
            From::File | From::Command => {
                let name = self.pop_text();
                if !self.readers.contains_key(&name) {
                    if self.readers.len() >= MOST_STREAMS {
                        return Err(Error::new("Too many open files"));
                    }
                    let reader = if from == From::Command {
                        self.flush(cx).await?;
                        Reader::of_command(cx, &name)
                    } else {
                        let input = if *name == *"-" { Ok(cx.stdin.clone()) } else { cx.open(&name) };
                        let Ok(input) = input else {
                            self.status = -1.0;
                            return Ok(Value::Unset);
                        };
                        Reader::new(input)
                    };
                    self.readers.insert(name.clone(), reader);
                }
                let ending = self.ending()?;
                let Some(reader) = self.readers.get_mut(&name) else { return Ok(Value::Unset) };
                let line = reader.record(&ending).await;
                if from == From::Command && matches!(line, Ok(Some(_))) {
                    let count = self.globals[NR].number() + 1.0;
                    self.globals[NR] = Value::Number(count);
                }
                line
            }
        };
        self.status = match &line {
            Ok(Some(_)) => 1.0,
            Ok(None) => 0.0,
            Err(_) => -1.0,
        };
        Ok(line.ok().flatten().map_or(Value::Unset, Value::input))
    }

    // Output.

    async fn write(&mut self, cx: &Context, sink: Option<Sink>, name: &Rc<str>, text: String) -> Result<()> {
        let Some(sink) = sink else { return Ok(cx.stdout.write(text).await?) };
        if !self.writers.contains_key(name) {
            if self.writers.len() >= MOST_STREAMS {
                return Err(Error::new("Too many open files"));
            }
            let writer = match sink {
                Sink::Command => {
                    self.flush(cx).await?;
                    Writer::of_command(cx, name)
                }
                _ if **name == *"/dev/stdout" || **name == *"-" => Writer::new(cx.stdout.clone()),
                _ => Writer::new(Output::new(cx.create(name, sink == Sink::Append).map_err(|error| Error::about(name, &error))?)),
            };
            self.writers.insert(name.clone(), writer);
        }
        let Some(writer) = self.writers.get(name) else { return Ok(()) };
        writer.output().write(text).await?;
        if **name == *"/dev/stderr" {
            writer.output().flush().await?;
        }
        Ok(())
    }

    async fn flush(&self, cx: &Context) -> Result<()> {
        for writer in self.writers.values() {
            // Nobody may read it any more; its own writes tell.
            let _ = writer.output().flush().await;
        }
        Ok(cx.stdout.flush().await?)
    }

    async fn system(&mut self, cx: &Context, command: &str) -> Result<i32> {
        self.flush(cx).await?;
        Ok(cx.child(["sh", "-c", command]).run().await)
    }

    async fn close(&mut self, name: &Rc<str>) -> Result<i32> {
        if let Some(reader) = self.readers.remove(name) {
            return Ok(reader.close().await);
        }
        match self.writers.remove(name) {
            Some(writer) => writer.close().await,
            None => Ok(-1),
        }
    }

    pub async fn close_all(&mut self, cx: &Context) -> Result<()> {
        cx.stdout.flush().await?;
        for (_, writer) in std::mem::take(&mut self.writers) {
            writer.close().await?;
        }
        // What still prints is not read any more.
        self.readers.clear();
        Ok(())
    }
}

fn truth(holds: bool) -> Value {
    Value::Number(f64::from(u8::from(holds)))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}
