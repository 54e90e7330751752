//! `xargs [-0rtpx] [-n N] [-s N] [-L N] [-I TEXT] [-P N] [-d CHAR] [-E TEXT] [PROG ARGS]`

use std::collections::VecDeque;

use crate::context::{Context, Error, Result};
use crate::io::Descriptor;
use crate::rt::{self, Task};

/// The longest command line.
const LONGEST: usize = 128 << 10;

pub async fn xargs(cx: &mut Context) -> Result {
    let options = cx.options(
        "+0rtn:s:L:l:I:i:P:d:E:e:xa:",
        &[
            ("null", '0'),
            ("no-run-if-empty", 'r'),
            ("max-args", 'n'),
            ("replace", 'I'),
            ("max-procs", 'P'),
            ("delimiter", 'd'),
            ("max-lines", 'L'),
            ("arg-file", 'a'),
        ],
    )?;
    let number = |letter: char| {
        options
            .value(letter)
            .map(|text| text.parse::<usize>().ok().filter(|number| *number > 0).ok_or_else(|| Error::new(format!("invalid number '{text}'"))))
            .transpose()
    };
    let replace = options.value('I').map(String::from);
    let lines = number('L')?;
    let most = number('n')?.unwrap_or(usize::MAX);
    let size = number('s')?.unwrap_or(LONGEST).min(LONGEST);
    let parallel = options.value('P').map_or(Ok(1), |text| text.parse::<usize>().map_err(|_| Error::new(format!("invalid number '{text}'"))))?;
    let parallel = if parallel == 0 { 100 } else { parallel };
    let command: Vec<String> = if options.operands.is_empty() { vec!["echo".into()] } else { options.operands.clone() };
    let input = match options.value('a') {
        Some(path) => cx.open(path).map_err(|error| Error::about(path, &error))?,
        None => cx.stdin.clone(),
    };
    let delimiter = match options.value('d') {
        Some(text) => crate::applets::unescape(text).0.first().copied(),
        None => options.has('0').then_some(0),
    };
    let mut words = Words { input, delimiter, by_line: replace.is_some(), end: options.value('E').map(String::from), rest: Vec::new(), ended: false };
    let mut runner = Runner { cx, running: VecDeque::new(), parallel, trace: options.has('t'), code: 0, stopped: false };
    let mut any = false;
    if let Some(mark) = replace {
        while let Some((word, _)) = words.next().await? {
            let arguments = command.iter().map(|part| part.replace(&mark, &word)).collect();
            runner.start(arguments).await?;
            if runner.stopped {
                break;
            }
        }
        return runner.finish().await;
    }
    let mut pending = words.next().await?;
    while !runner.stopped {
        let mut arguments = command.clone();
        let mut length: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
        let (mut count, mut line_count) = (0, 0);
        while let Some((word, ends_line)) = pending.take() {
            if count > 0 && (count >= most || length + word.len() + 1 > size || lines.is_some_and(|lines| line_count >= lines)) {
                pending = Some((word, ends_line));
                break;
            }
            length += word.len() + 1;
            count += 1;
            line_count += usize::from(ends_line);
            arguments.push(word);
            pending = words.next().await?;
        }
        if count == 0 && (any || options.has('r')) {
            break;
        }
        any = true;
        runner.start(arguments).await?;
        if pending.is_none() {
            break;
        }
    }
    runner.finish().await
}

struct Runner<'a> {
    cx: &'a Context,
    running: VecDeque<Task<i32>>,
    parallel: usize,
    trace: bool,
    code: i32,
    stopped: bool,
}

impl Runner<'_> {
    async fn start(&mut self, arguments: Vec<String>) -> Result<()> {
        if self.trace {
            self.cx.stderr.write_all(format!("{}\n", arguments.join(" ")).as_bytes()).await?;
        }
        while self.running.len() >= self.parallel {
            self.wait().await;
        }
        let mut child = self.cx.child(arguments);
        child.stdin = Descriptor::null();
        let name = child.args[0].clone();
        if crate::applets::find(&name).is_none() && crate::shell::locate(&child, &name).is_err() {
            self.cx.warn(format!("{name}: No such file or directory")).await;
            self.code = 127;
            self.stopped = true;
            return Ok(());
        }
        self.running.push_back(rt::spawn(child.run()));
        if self.parallel == 1 {
            self.wait().await;
        }
        Ok(())
    }

    async fn wait(&mut self) {
        let Some(task) = self.running.pop_front() else { return };
        match task.await {
            0 => {}
            255 => {
                self.code = 124;
                self.stopped = true;
            }
            code @ (126 | 127) => {
                self.code = code;
                self.stopped = true;
            }
            signal @ 129.. => {
                self.code = if signal == 141 { 125 } else { 123 };
            }
            _ => self.code = 123,
        }
    }

    async fn finish(mut self) -> Result {
        while !self.running.is_empty() {
            self.wait().await;
        }
        Ok(self.code)
    }
}

/// What is read, in words.
struct Words {
    input: Descriptor,
    delimiter: Option<u8>,
    by_line: bool,
    end: Option<String>,
    /// Words of a line that were not given yet.
    rest: Vec<String>,
    ended: bool,
}

impl Words {
    /// A word, and whether its line ends with it.
    async fn next(&mut self) -> Result<Option<(String, bool)>> {
        loop {
            if let Some(word) = self.rest.pop() {
                if self.end.as_ref() == Some(&word) {
                    self.ended = true;
                    self.rest.clear();
                    return Ok(None);
                }
                return Ok(Some((word, self.rest.is_empty())));
            }
            if self.ended {
                return Ok(None);
            }
            if let Some(delimiter) = self.delimiter {
                let Some(mut word) = self.input.read_until(delimiter).await? else { return Ok(None) };
                if word.last() == Some(&delimiter) {
                    word.pop();
                }
                return Ok(Some((String::from_utf8_lossy(&word).into_owned(), true)));
            }
            let Some(line) = self.input.read_line().await? else { return Ok(None) };
            let mut text = String::from_utf8_lossy(&line).into_owned();
            if self.by_line {
                let trimmed = text.trim_end_matches('\n').trim_start_matches([' ', '\t']);
                if trimmed.is_empty() {
                    continue;
                }
                let word = split(trimmed, true).map_err(Error::new)?;
                self.rest = word;
                continue;
            }
            // A backslash before the newline, or an open quote, goes on in the next line.
            while text.ends_with("\\\n") {
                let Some(more) = self.input.read_line().await? else { break };
                text += &String::from_utf8_lossy(&more);
            }
            self.rest = split(text.trim_end_matches('\n'), false).map_err(Error::new)?;
            self.rest.reverse();
        }
    }
}

/// Words of a line, with quotes and backslashes taken away; `whole` keeps blanks.
fn split(text: &str, whole: bool) -> std::result::Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' if !whole => words.extend(word.take()),
            quote @ ('"' | '\'') => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some(end) if end == quote => break,
                        Some(other) => word.push(other),
                        None => return Err(if quote == '"' { "unmatched double quote" } else { "unmatched single quote" }),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}
