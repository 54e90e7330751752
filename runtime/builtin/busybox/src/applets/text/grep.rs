//! `grep [-EFivnclLoqsHhwxrRmABC] PATTERN [FILE]…`, and `egrep`, `fgrep`.

use std::collections::VecDeque;
use std::fs;

use crate::context::{Context, Error, Result};
use crate::io::{Descriptor, reason};
use crate::options::Options;
use crate::regex::{Regex, Syntax};

const SHORT: &str = "lnqvscFiHhe:f:Lorm:wxA:B:C:EaRGzy";
const LONG: &[(&str, char)] = &[
    ("extended-regexp", 'E'),
    ("fixed-strings", 'F'),
    ("basic-regexp", 'G'),
    ("ignore-case", 'i'),
    ("invert-match", 'v'),
    ("line-number", 'n'),
    ("count", 'c'),
    ("files-with-matches", 'l'),
    ("files-without-match", 'L'),
    ("only-matching", 'o'),
    ("quiet", 'q'),
    ("silent", 'q'),
    ("no-messages", 's'),
    ("with-filename", 'H'),
    ("no-filename", 'h'),
    ("word-regexp", 'w'),
    ("line-regexp", 'x'),
    ("recursive", 'r'),
    ("max-count", 'm'),
    ("after-context", 'A'),
    ("before-context", 'B'),
    ("context", 'C'),
    ("regexp", 'e'),
    ("file", 'f'),
    ("text", 'a'),
    ("color", 'Z'),
    ("include", 'I'),
];

struct Search {
    patterns: Vec<Regex>,
    words: bool,
    whole: bool,
    invert: bool,
    options: Options,
    names: bool,
    after: usize,
    before: usize,
    most: u64,
}

pub async fn grep(cx: &mut Context) -> Result {
    run(cx).await.map_err(|error| if error.code == 1 { error.with_code(2) } else { error })
}

async fn run(cx: &mut Context) -> Result {
    // `--color` says nothing to us.
    let arguments: Vec<String> =
        cx.args.iter().skip(1).filter(|argument| !argument.starts_with("--color") && !argument.starts_with("--colour")).cloned().collect();
    let options = Options::parse(&arguments, SHORT, LONG)?;
    let mut operands = options.operands.clone();
    let mut texts: Vec<String> = options.values('e').flat_map(|text| text.split('\n').map(String::from).collect::<Vec<_>>()).collect();
    for file in options.values('f') {
        let input = if file == "-" { cx.stdin.clone() } else { cx.open(file).map_err(|error| Error::about(file, &error))? };
        let bytes = input.read_to_end().await?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        texts.extend(text.lines().map(String::from));
    }
    if !options.has('e') && !options.has('f') {
        if operands.is_empty() {
            return Err(Error::usage("usage: grep [-HhnlLoqvsrRiwFE] [-m N] [-A|B|C N] { PATTERN | -e PATTERN... | -f FILE... } [FILE]..."));
        }
        texts = operands.remove(0).split('\n').map(String::from).collect();
    }
    let kind = options.all().filter(|(letter, _)| matches!(letter, 'E' | 'F' | 'G')).last().map(|(letter, _)| letter);
    let fixed = kind == Some('F') || kind.is_none() && cx.name() == "fgrep";
    let syntax = Syntax {
        extended: kind == Some('E') || kind.is_none() && cx.name() == "egrep",
        ignore_case: options.has('i') || options.has('y'),
        ..Syntax::default()
    };
    let patterns = texts
        .iter()
        .map(|text| {
            if fixed {
                return Regex::new(&quote(text), Syntax { extended: false, ..syntax });
            }
            Regex::new(text, syntax)
        })
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|error| Error::new(format!("bad regex '{}': {error}", texts.join("\n"))))?;
    let number = |letter: char| -> Result<Option<u64>> {
        let Some(text) = options.value(letter) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Error::new(format!("invalid number '{text}'")))
    };
    let around = number('C')?.unwrap_or(0);
    let recursive = options.has('r') || options.has('R');
    if operands.is_empty() {
        operands.push(if recursive { "." } else { "-" }.into());
    }
    let search = Search {
        patterns,
        words: options.has('w'),
        whole: options.has('x'),
        invert: options.has('v'),
        names: options.has('H') || !options.has('h') && (operands.len() > 1 || recursive),
        after: number('A')?.unwrap_or(around) as usize,
        before: number('B')?.unwrap_or(around) as usize,
        most: number('m')?.unwrap_or(u64::MAX),
        options,
    };
    let (mut found, mut failed) = (false, false);
    let quiet = search.options.has('s');
    let mut pending: VecDeque<(String, bool)> = operands.into_iter().map(|operand| (operand, true)).collect();
    while let Some((operand, named)) = pending.pop_front() {
        let metadata = fs::metadata(cx.path(&operand));
        if operand != "-" && metadata.is_ok_and(|metadata| metadata.is_dir()) {
            if recursive {
                let inside = entries(cx, &operand, named && operand == ".");
                inside.into_iter().rev().for_each(|path| pending.push_front((path, false)));
            }
            continue;
        }
        if !named && search.options.has('I') && !search.options.values('I').any(|pattern| crate::shell::matches(pattern, crate::applets::name_of(&operand))) {
            continue;
        }
        let input = match if operand == "-" { Ok(cx.stdin.clone()) } else { cx.open(&operand) } {
            Ok(input) => input,
            Err(error) => {
                if !quiet {
                    cx.warn(format!("{operand}: {}", reason(&error))).await;
                }
                failed = true;
                continue;
            }
        };
        let name = if operand == "-" { "(standard input)" } else { &operand };
        let matched = search.file(cx, &input, name).await?;
        found |= matched;
        if found && search.options.has('q') {
            return Ok(0);
        }
    }
    Ok(if failed { 2 } else { i32::from(!found) })
}

fn entries(cx: &Context, folder: &str, bare: bool) -> Vec<String> {
    let entries = fs::read_dir(cx.path(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let _ = bare;
    names.into_iter().map(|name| format!("{}/{name}", folder.trim_end_matches('/'))).collect()
}

/// A text as a basic expression that matches only itself.
fn quote(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if matches!(character, '.' | '[' | '*' | '^' | '$' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

impl Search {
    async fn file(&self, cx: &Context, input: &Descriptor, name: &str) -> Result<bool> {
        let options = &self.options;
        let (mut count, mut number) = (0, 0);
        let mut earlier: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        let (mut still, mut last_shown) = (0, 0);
        let silent = options.has('q') || options.has('l') || options.has('L') || options.has('c');
        let end = if options.has('z') { 0 } else { b'\n' };
        while count < self.most || still > 0 {
            let Some(mut line) = input.read_until(end).await? else { break };
            if line.last() == Some(&end) {
                line.pop();
            }
            number += 1;
            let hit = count < self.most && self.selects(&line);
            if hit {
                count += 1;
                if options.has('q') || options.has('l') || options.has('L') {
                    break;
                }
            }
            if silent {
                continue;
            }
            if hit {
                let context = self.before > 0 || self.after > 0;
                if context && last_shown > 0 && number - earlier.len() as u64 > last_shown + 1 {
                    cx.stdout.write("--\n").await?;
                }
                for (number, line) in earlier.drain(..) {
                    self.print(cx, name, number, '-', &line, end).await?;
                }
                if options.has('o') {
                    for (from, to) in self.matches(&line) {
                        self.print(cx, name, number, ':', &line[from..to], end).await?;
                    }
                } else {
                    self.print(cx, name, number, ':', &line, end).await?;
                }
                last_shown = number;
                still = self.after;
            } else if still > 0 {
                still -= 1;
                if !options.has('o') {
                    self.print(cx, name, number, '-', &line, end).await?;
                }
                last_shown = number;
            } else if self.before > 0 {
                earlier.push_back((number, line));
                if earlier.len() > self.before {
                    earlier.pop_front();
                }
            }
        }
        if options.has('q') {
            return Ok(count > 0);
        }
        if options.has('c') && !options.has('l') && !options.has('L') {
            let name = if self.names { format!("{name}:") } else { String::new() };
            cx.stdout.write(format!("{name}{count}\n")).await?;
        }
        if options.has('l') && count > 0 || options.has('L') && count == 0 {
            cx.stdout.write(format!("{name}\n")).await?;
        }
        Ok(if options.has('L') { count == 0 } else { count > 0 })
    }

    async fn print(&self, cx: &Context, name: &str, number: u64, mark: char, text: &[u8], end: u8) -> Result<()> {
        let mut line = Vec::new();
        if self.names {
            line.extend(format!("{name}{mark}").bytes());
        }
        if self.options.has('n') {
            line.extend(format!("{number}{mark}").bytes());
        }
        line.extend_from_slice(text);
        line.push(end);
        Ok(cx.stdout.write(line).await?)
    }

    fn selects(&self, line: &[u8]) -> bool {
        let matched = if self.words || self.whole { self.first(line, 0).is_some() } else { self.patterns.iter().any(|pattern| pattern.is_match(line)) };
        matched != self.invert
    }

    /// All matches of a line that are not empty.
    fn matches(&self, line: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut at = 0;
        while at <= line.len() && !self.invert {
            let Some((from, to)) = self.first(line, at) else { break };
            if to > from {
                found.push((from, to));
            }
            at = if to > from { to } else { to + 1 };
        }
        found
    }

    /// The first match of any pattern that is a word (or the line), if that is asked for.
    fn first(&self, line: &[u8], from: usize) -> Option<(usize, usize)> {
        let word = |at: Option<&u8>| at.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 128);
        let fits = |(from, to): (usize, usize)| {
            if self.whole {
                return from == 0 && to == line.len();
            }
            !self.words || !(from > 0 && word(line.get(from - 1)) || word(line.get(to)))
        };
        let one = |pattern: &Regex| {
            let mut at = from;
            while at <= line.len() {
                let found = pattern.find_at(line, at)?[0]?;
                if fits(found) {
                    return Some(found);
                }
                if self.whole && pattern.groups() > 0 && found.0 > 0 {
                    return None;
                }
                at = found.0 + 1;
            }
            None
        };
        self.patterns.iter().filter_map(one).min_by_key(|(from, to)| (*from, line.len() - to))
    }
}
