//! `sed [-nEri] [-e SCRIPT | -f FILE]… [FILE]…`: [`parse`] makes commands, [`Editor`] runs them on each line.

mod parse;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use crate::context::{Context, Error, Result};
use crate::io::{Descriptor, Output, reason};
use crate::regex::{Groups, Regex};
use parse::{Address, Command, Kind, Piece, Substitution};

/// Commands run for one line before others get their turn.
const TURNS: u32 = 1000;
/// What the pattern space and the hold space may grow to.
const MOST: usize = 64 << 20;

pub async fn sed(cx: &mut Context) -> Result {
    let long = [
        ("quiet", 'n'),
        ("silent", 'n'),
        ("expression", 'e'),
        ("file", 'f'),
        ("regexp-extended", 'E'),
        ("in-place", 'i'),
        ("null-data", 'z'),
        ("separate", 's'),
    ];
    // `-i.bak` takes its value only when it is attached.
    let mut arguments = cx.args[1..].to_vec();
    let mut suffix = None;
    for argument in &mut arguments {
        if argument == "--" {
            break;
        }
        if let Some(rest) = argument.strip_prefix("--in-place=") {
            suffix = Some(rest.to_string());
            *argument = "-i".into();
        } else if let Some(at) = argument.strip_prefix('-').filter(|letters| !letters.starts_with('-')).and_then(|letters| letters.find('i')) {
            if argument[1..=at].chars().all(|letter| "nErsz".contains(letter)) && argument.len() > at + 2 {
                suffix = Some(argument[at + 2..].to_string());
                argument.truncate(at + 2);
            }
        }
    }
    let options = crate::options::Options::parse(&arguments, "ne:f:Eriszu", &long)?;
    let mut operands = options.operands.clone();
    let mut script = String::new();
    for (letter, value) in options.all() {
        let text = match (letter, value) {
            ('e', Some(text)) => text.to_string(),
            ('f', Some(file)) => {
                let input = if file == "-" { cx.stdin.clone() } else { cx.open(file).map_err(|error| Error::about(file, &error))? };
                let bytes = input.read_to_end().await?;
                String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_string()
            }
            _ => continue,
        };
        if !script.is_empty() {
            script.push('\n');
        }
        script += &text;
    }
    if !options.has('e') && !options.has('f') {
        if operands.is_empty() {
            return Err(Error::usage("usage: sed [-i[SFX]] [-nrE] [-f FILE]... [-e CMD]... [FILE]..."));
        }
        script = operands.remove(0);
    }
    let quiet = options.has('n') || script.starts_with("#n\n") || script == "#n";
    let program = parse::parse(&script, options.has('E') || options.has('r')).map_err(Error::new)?;
    let mut outputs = BTreeMap::new();
    for command in &program {
        let path = match &command.kind {
            Kind::Write(path) => Some(path),
            Kind::Substitute(substitution) => substitution.write.as_ref(),
            _ => None,
        };
        if let Some(path) = path {
            let output =
                if path == "/dev/stdout" { cx.stdout.clone() } else { Output::new(cx.create(path, false).map_err(|error| Error::about(path, &error))?) };
            outputs.insert(path.clone(), output);
        }
    }
    if operands.is_empty() {
        operands.push("-".into());
    }
    let mut editor = Editor::new(program, quiet, outputs, if options.has('z') { 0 } else { b'\n' });
    let mut code = 0;
    if !options.has('i') {
        let mut inputs = Inputs { operands: operands.into(), ..Inputs::default() };
        let quit = editor.run(cx, &mut inputs, &cx.stdout.clone()).await?;
        editor.flush().await?;
        return Ok(quit.unwrap_or(i32::from(inputs.failed)));
    }
    for operand in operands {
        let mut inputs = Inputs { operands: [operand.clone()].into(), ..Inputs::default() };
        let partial = format!("{operand}.sed-new");
        if !inputs.open(cx).await {
            code = 1;
            continue;
        }
        let output = Output::new(cx.create(&partial, false).map_err(|error| Error::about(&partial, &error))?);
        editor.line = 0;
        let quit = editor.run(cx, &mut inputs, &output).await?;
        inputs.rest(&output).await?;
        output.flush().await?;
        if let Some(suffix) = &suffix {
            let backup = if suffix.contains('*') { suffix.replace('*', &operand) } else { format!("{operand}{suffix}") };
            std::fs::rename(cx.path(&operand), cx.path(&backup)).map_err(|error| Error::about(&backup, &error))?;
        }
        std::fs::rename(cx.path(&partial), cx.path(&operand)).map_err(|error| Error::about(&operand, &error))?;
        if quit.is_some() {
            code = quit.unwrap_or(0);
            break;
        }
    }
    editor.flush().await?;
    Ok(code)
}

/// All files as one, with a look ahead: `$` is the last line of the last one.
#[derive(Default)]
struct Inputs {
    operands: VecDeque<String>,
    current: Option<Descriptor>,
    ahead: Option<Vec<u8>>,
    failed: bool,
}

impl Inputs {
    async fn open(&mut self, cx: &Context) -> bool {
        while self.current.is_none() {
            let Some(operand) = self.operands.pop_front() else { return false };
            if operand == "-" {
                self.current = Some(cx.stdin.clone());
                continue;
            }
            match cx.open(&operand) {
                Ok(input) => self.current = Some(input),
                Err(error) => {
                    cx.warn(format!("{operand}: {}", reason(&error))).await;
                    self.failed = true;
                }
            }
        }
        true
    }

    async fn next(&mut self, cx: &Context, end: u8) -> Result<Option<Vec<u8>>> {
        if let Some(line) = self.ahead.take() {
            return Ok(Some(line));
        }
        while self.open(cx).await {
            let Some(input) = &self.current else { break };
            match input.read_until(end).await? {
                Some(line) => return Ok(Some(line)),
                None => self.current = None,
            }
        }
        Ok(None)
    }

    async fn is_last(&mut self, cx: &Context, end: u8) -> Result<bool> {
        if self.ahead.is_none() {
            self.ahead = self.next(cx, end).await?;
        }
        Ok(self.ahead.is_none())
    }

    /// What was not edited (after `q`) stays in a file that is edited in place.
    async fn rest(&mut self, output: &Output) -> Result<()> {
        if let Some(line) = self.ahead.take() {
            output.write(line).await?;
        }
        if let Some(input) = &self.current {
            loop {
                let some = input.read(64 << 10).await?;
                if some.is_empty() {
                    break;
                }
                output.write(some).await?;
            }
        }
        Ok(())
    }
}

struct Editor {
    program: Rc<Vec<Command>>,
    /// For each command with two addresses: where its range ends, while it is in it.
    ranges: Vec<Range>,
    quiet: bool,
    outputs: BTreeMap<String, Output>,
    end: u8,
    pattern: Vec<u8>,
    /// The last line had no newline.
    unended: bool,
    hold: Vec<u8>,
    line: u64,
    /// What is shown after the line.
    appended: Vec<Appended>,
    substituted: bool,
    last_regex: Option<Rc<Regex>>,
    /// A line without a newline was printed: it comes before the next.
    owes_newline: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Range {
    Outside,
    Inside,
    Until(u64),
    /// An address in numbers is never entered again.
    Over,
}

enum Appended {
    Text(String),
    File(String),
}

enum Next {
    Line {
        print: bool,
    },
    /// Again, without reading a line.
    Restart,
    Quit {
        code: i32,
        print: bool,
    },
}

impl Editor {
    fn new(program: Vec<Command>, quiet: bool, outputs: BTreeMap<String, Output>, end: u8) -> Editor {
        let ranges = vec![Range::Outside; program.len()];
        Editor {
            program: Rc::new(program),
            ranges,
            quiet,
            outputs,
            end,
            pattern: Vec::new(),
            unended: false,
            hold: Vec::new(),
            line: 0,
            appended: Vec::new(),
            substituted: false,
            last_regex: None,
            owes_newline: false,
        }
    }

    async fn flush(&self) -> Result<()> {
        for output in self.outputs.values() {
            output.flush().await?;
        }
        Ok(())
    }

    /// Edits all lines; the exit code when a command says to quit.
    async fn run(&mut self, cx: &Context, inputs: &mut Inputs, output: &Output) -> Result<Option<i32>> {
        self.ranges.fill(Range::Outside);
        let mut read = true;
        loop {
            if read {
                let Some(line) = inputs.next(cx, self.end).await? else { return Ok(None) };
                self.take(line);
                self.substituted = false;
            }
            let next = self.commands(cx, inputs, output).await?;
            let print = matches!(next, Next::Line { print: true } | Next::Quit { print: true, .. });
            if print && !self.quiet {
                self.print_pattern(output).await?;
            }
            self.show_appended(cx, output).await?;
            match next {
                Next::Line { .. } => read = true,
                Next::Restart => read = false,
                Next::Quit { code, .. } => return Ok(Some(code)),
            }
        }
    }

    fn take(&mut self, mut line: Vec<u8>) {
        self.unended = line.last() != Some(&self.end);
        if !self.unended {
            line.pop();
        }
        self.pattern = line;
        self.line += 1;
    }

    async fn print(&mut self, output: &Output, text: &[u8], unended: bool) -> Result<()> {
        if std::mem::take(&mut self.owes_newline) {
            output.write([self.end]).await?;
        }
        output.write(text).await?;
        if unended {
            self.owes_newline = true;
        } else {
            output.write([self.end]).await?;
        }
        Ok(())
    }

    async fn print_pattern(&mut self, output: &Output) -> Result<()> {
        let text = self.pattern.clone();
        self.print(output, &text, self.unended).await
    }

    async fn show_appended(&mut self, cx: &Context, output: &Output) -> Result<()> {
        for appended in std::mem::take(&mut self.appended) {
            match appended {
                Appended::Text(text) => self.print(output, text.as_bytes(), false).await?,
                Appended::File(path) => {
                    let Ok(input) = (if path == "/dev/stdin" { Ok(cx.stdin.clone()) } else { cx.open(&path) }) else { continue };
                    while let Some(mut line) = input.read_until(self.end).await? {
                        let unended = line.last() != Some(&self.end);
                        if !unended {
                            line.pop();
                        }
                        self.print(output, &line, unended).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn commands(&mut self, cx: &Context, inputs: &mut Inputs, output: &Output) -> Result<Next> {
        let program = self.program.clone();
        let (mut at, mut turns) = (0, 0);
        while let Some(command) = program.get(at) {
            at += 1;
            turns += 1;
            if turns % TURNS == 0 {
                crate::rt::pause().await;
            }
            if self.pattern.len() > MOST || self.hold.len() > MOST {
                return Err(Error::new("out of memory"));
            }
            let selected = self.selects(command, at - 1, cx, inputs).await? != command.negated;
            if !selected {
                if let Kind::Begin(end) = &command.kind {
                    at = *end;
                }
                continue;
            }
            match &command.kind {
                Kind::Begin(_) | Kind::Nothing => {}
                Kind::Substitute(substitution) => self.substitute(substitution, output).await?,
                Kind::Translate(map) => {
                    let text =
                        String::from_utf8_lossy(&self.pattern).chars().map(|character| map.get(&character).copied().unwrap_or(character)).collect::<String>();
                    self.pattern = text.into_bytes();
                }
                Kind::Print => self.print_pattern(output).await?,
                Kind::PrintFirst => {
                    let end = self.first_newline();
                    let first = self.pattern[..end.unwrap_or(self.pattern.len())].to_vec();
                    self.print(output, &first, false).await?;
                }
                Kind::Delete => return Ok(Next::Line { print: false }),
                Kind::DeleteFirst => match self.first_newline() {
                    Some(end) => {
                        self.pattern.drain(..=end);
                        return Ok(Next::Restart);
                    }
                    None => return Ok(Next::Line { print: false }),
                },
                Kind::Next => {
                    if inputs.is_last(cx, self.end).await? {
                        return Ok(Next::Quit { code: 0, print: true });
                    }
                    if !self.quiet {
                        self.print_pattern(output).await?;
                    }
                    self.show_appended(cx, output).await?;
                    if let Some(line) = inputs.next(cx, self.end).await? {
                        self.take(line);
                    }
                }
                Kind::AppendNext => {
                    if inputs.is_last(cx, self.end).await? {
                        return Ok(Next::Quit { code: 0, print: true });
                    }
                    self.show_appended(cx, output).await?;
                    if let Some(line) = inputs.next(cx, self.end).await? {
                        let mut all = std::mem::take(&mut self.pattern);
                        self.take(line);
                        all.push(b'\n');
                        all.append(&mut self.pattern);
                        self.pattern = all;
                    }
                }
                Kind::Hold => self.hold.clone_from(&self.pattern),
                Kind::HoldAppend => {
                    self.hold.push(b'\n');
                    self.hold.extend_from_slice(&self.pattern);
                }
                Kind::Get => self.pattern.clone_from(&self.hold),
                Kind::GetAppend => {
                    self.pattern.push(b'\n');
                    self.pattern.extend_from_slice(&self.hold);
                }
                Kind::Exchange => std::mem::swap(&mut self.pattern, &mut self.hold),
                Kind::Append(text) => self.appended.push(Appended::Text(text.clone())),
                Kind::Insert(text) => self.print(output, text.as_bytes(), false).await?,
                Kind::Change(text) => {
                    let in_range = command.second.is_some() && !command.negated;
                    if !in_range || !matches!(self.ranges[at - 1], Range::Inside | Range::Until(_)) {
                        self.print(output, text.as_bytes(), false).await?;
                    }
                    return Ok(Next::Line { print: false });
                }
                Kind::Read(path) => self.appended.push(Appended::File(path.clone())),
                Kind::Write(path) => {
                    if let Some(to) = self.outputs.get(path).cloned() {
                        to.write([self.pattern.as_slice(), b"\n"].concat()).await?;
                    }
                }
                Kind::Number => {
                    let text = self.line.to_string();
                    self.print(output, text.as_bytes(), false).await?;
                }
                Kind::List => {
                    let text = listed(&self.pattern);
                    self.print(output, text.as_bytes(), false).await?;
                }
                Kind::Branch(to) => at = *to,
                Kind::BranchIf(to) => {
                    if std::mem::take(&mut self.substituted) {
                        at = *to;
                    }
                }
                Kind::BranchUnless(to) => {
                    if !std::mem::take(&mut self.substituted) {
                        at = *to;
                    }
                }
                Kind::Quit(code) => return Ok(Next::Quit { code: *code, print: true }),
                Kind::QuitSilently(code) => return Ok(Next::Quit { code: *code, print: false }),
            }
        }
        Ok(Next::Line { print: true })
    }

    fn first_newline(&self) -> Option<usize> {
        self.pattern.iter().position(|byte| *byte == b'\n')
    }

    async fn selects(&mut self, command: &Command, index: usize, cx: &Context, inputs: &mut Inputs) -> Result<bool> {
        let Some(first) = &command.first else { return Ok(true) };
        let Some(second) = &command.second else { return self.is_at(first, cx, inputs).await };
        match self.ranges[index] {
            Range::Inside => {
                let ends = match second {
                    Address::Line(line) => self.line >= *line,
                    second => self.is_at(second, cx, inputs).await?,
                };
                if ends {
                    self.ranges[index] = if matches!(first, Address::Line(_)) { Range::Over } else { Range::Outside };
                }
                // A line behind the range's end, when it was jumped over, is not in it.
                Ok(!matches!(second, Address::Line(line) if self.line > *line))
            }
            Range::Until(line) => {
                if self.line >= line {
                    self.ranges[index] = Range::Outside;
                }
                Ok(self.line <= line)
            }
            Range::Over => Ok(false),
            Range::Outside => {
                let begins = matches!((first, second), (Address::Line(0), Address::Regex(_))) && self.line == 1;
                if begins {
                    if !self.is_at(second, cx, inputs).await? {
                        self.ranges[index] = Range::Inside;
                    }
                    return Ok(true);
                }
                if !self.is_at(first, cx, inputs).await? {
                    return Ok(false);
                }
                self.ranges[index] = match second {
                    Address::Line(line) if *line <= self.line => Range::Outside,
                    Address::More(0) => Range::Outside,
                    Address::More(count) => Range::Until(self.line + count),
                    Address::Multiple(0) => Range::Outside,
                    Address::Multiple(step) if self.line % step == 0 => Range::Outside,
                    Address::Multiple(step) => Range::Until(self.line.div_ceil(*step) * step),
                    Address::Last if inputs.is_last(cx, self.end).await? => Range::Outside,
                    _ => Range::Inside,
                };
                Ok(true)
            }
        }
    }

    async fn is_at(&mut self, address: &Address, cx: &Context, inputs: &mut Inputs) -> Result<bool> {
        Ok(match address {
            Address::Line(line) => self.line == *line,
            Address::Step(first, 0) => self.line == *first,
            Address::Step(first, step) => self.line >= *first && (self.line - first).is_multiple_of(*step),
            Address::Last => inputs.is_last(cx, self.end).await?,
            Address::Regex(regex) => self.regex(regex)?.is_match(&self.pattern),
            Address::More(_) | Address::Multiple(_) => false,
        })
    }

    /// The empty expression is the last one that was used.
    fn regex(&mut self, regex: &Option<Rc<Regex>>) -> Result<Rc<Regex>> {
        if let Some(regex) = regex {
            self.last_regex = Some(regex.clone());
        }
        self.last_regex.clone().ok_or_else(|| Error::new("no previous regexp"))
    }

    async fn substitute(&mut self, substitution: &Substitution, output: &Output) -> Result<()> {
        let regex = self.regex(&substitution.regex)?;
        let text = std::mem::take(&mut self.pattern);
        let mut out: Vec<u8> = Vec::new();
        let (mut at, mut copied, mut count, mut done, mut last_end) = (0, 0, 0, false, None);
        while at <= text.len() {
            let Some(groups) = regex.find_at(&text, at) else { break };
            let Some((from, to)) = groups[0] else { break };
            at = if to > from { to } else { from + step(&text, from) };
            // An empty match right behind another match is none.
            if from == to && last_end == Some(from) {
                continue;
            }
            last_end = Some(to);
            count += 1;
            if count < substitution.nth {
                continue;
            }
            out.extend_from_slice(&text[copied..from]);
            replace(&substitution.replacement, &text, &groups, &mut out);
            copied = to;
            done = true;
            if !substitution.global {
                break;
            }
        }
        if done {
            out.extend_from_slice(&text[copied..]);
            self.pattern = out;
            self.substituted = true;
            if substitution.print {
                self.print_pattern(output).await?;
            }
            if let Some(to) = substitution.write.as_ref().and_then(|path| self.outputs.get(path)) {
                to.write([self.pattern.as_slice(), b"\n"].concat()).await?;
            }
        } else {
            self.pattern = text;
        }
        Ok(())
    }
}

/// The length of the character at a place.
fn step(text: &[u8], at: usize) -> usize {
    1 + text.get(at + 1..).unwrap_or_default().iter().take_while(|byte| **byte & 0xc0 == 0x80).count()
}

fn replace(pieces: &[Piece], text: &[u8], groups: &Groups, out: &mut Vec<u8>) {
    let mut case = Case::default();
    for piece in pieces {
        match piece {
            Piece::Text(literal) => case.push(literal.as_bytes(), out),
            Piece::Group(index) => {
                if let Some(Some((from, to))) = groups.get(*index) {
                    case.push(&text[*from..*to], out);
                }
            }
            Piece::Case(letter) => case.set(*letter),
        }
    }
}

/// `\U`, `\L`, `\u`, `\l`, `\E`
#[derive(Default)]
struct Case {
    all: Option<char>,
    next: Option<char>,
}

impl Case {
    fn set(&mut self, letter: char) {
        match letter {
            'U' | 'L' => self.all = Some(letter),
            'E' => self.all = None,
            other => self.next = Some(other.to_ascii_uppercase()),
        }
    }

    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if self.all.is_none() && self.next.is_none() {
            out.extend_from_slice(text);
            return;
        }
        for character in String::from_utf8_lossy(text).chars() {
            let changed: String = match self.next.take().or(self.all) {
                Some('U') => character.to_uppercase().collect(),
                Some(_) => character.to_lowercase().collect(),
                None => character.to_string(),
            };
            out.extend(changed.bytes());
        }
    }
}

/// As `l` shows a line.
fn listed(text: &[u8]) -> String {
    const WIDTH: usize = 69;
    let mut lines = String::new();
    let mut column = 0;
    for byte in text {
        let shown = match byte {
            b'\\' => "\\\\".to_string(),
            0x07 => "\\a".into(),
            0x08 => "\\b".into(),
            0x0c => "\\f".into(),
            b'\n' => "\\n".into(),
            b'\r' => "\\r".into(),
            b'\t' => "\\t".into(),
            0x0b => "\\v".into(),
            32..127 => char::from(*byte).to_string(),
            other => format!("\\{other:03o}"),
        };
        if column + shown.len() > WIDTH {
            lines += "\\\n";
            column = 0;
        }
        column += shown.len();
        lines += &shown;
    }
    lines + "$"
}
