//! Expansion: from the words of a script to the fields of a command.

use std::rc::Rc;

use super::arith::{self, Variables};
use super::ast::{List, Operation, Parameter, Part, Word};
use super::fields::{Field, Fields};
use super::parse::is_name;
use super::pattern::Pattern;
use super::state::{DEEPEST, Fault, Shell};
use crate::io::{Output, pipe};
use crate::rt::{self, Boxed};

/// Where a word stands.
#[derive(Clone, Copy)]
struct How {
    /// Unquoted expansions are split.
    split: bool,
    /// In double quotes.
    quoted: bool,
    /// In the braces of an expansion: its text is split, too.
    inside: bool,
}

const SPLIT: How = How { split: true, quoted: false, inside: false };
const WHOLE: How = How { split: false, quoted: false, inside: false };

/// The longest value that an expansion makes.
const LONGEST: usize = 256 << 20;

impl Shell {
    /// A command's words: expanded, split, with file names for patterns.
    pub async fn words(&mut self, words: &[Word]) -> Result<Vec<String>, Fault> {
        let mut all = Vec::with_capacity(words.len());
        for word in words {
            // What most words are.
            if let [Part::Literal(text)] = word.as_slice()
                && !text.contains('~')
                && !super::pattern::is_special(text)
            {
                all.push(text.clone());
                continue;
            }
            let mut fields = Fields::default();
            self.parts(word, SPLIT, &mut fields).await?;
            for field in fields.finish() {
                match field
                    .pattern
                    .as_deref()
                    .filter(|pattern| !self.options.noglob && super::pattern::is_special(pattern))
                    .map(|pattern| super::glob::files(&self.cx, pattern))
                {
                    Some(names) if !names.is_empty() => all.extend(names),
                    _ => all.push(field.text),
                }
            }
        }
        Ok(all)
    }

    /// A word as one text: neither split nor matched.
    pub async fn text(&mut self, word: &[Part]) -> Result<String, Fault> {
        if let [Part::Literal(text)] = word
            && !text.contains('~')
        {
            return Ok(text.clone());
        }
        let mut fields = Fields::default();
        self.parts(word, WHOLE, &mut fields).await?;
        Ok(fields.into_text())
    }

    /// What is assigned: as [`Shell::text`], with a `~` behind each colon.
    pub async fn assigned(&mut self, word: &[Part]) -> Result<String, Fault> {
        let tilde = |part: &Part| matches!(part, Part::Literal(text) if text.contains(":~"));
        if !word.iter().any(tilde) {
            return self.text(word).await;
        }
        let mut parts = Word::new();
        for part in word {
            match part {
                Part::Literal(text) => {
                    for (index, piece) in text.split(':').enumerate() {
                        if index > 0 {
                            parts.push(Part::Literal(":".into()));
                        }
                        match self.tilde(piece, true).filter(|_| index > 0 || parts.is_empty()) {
                            Some((home, rest)) => parts.extend([Part::Quoted(home), Part::Literal(rest.into())]),
                            None => parts.push(Part::Literal(piece.into())),
                        }
                    }
                }
                other => parts.push(other.clone()),
            }
        }
        self.text(&parts).await
    }

    /// A word as a pattern.
    pub async fn pattern(&mut self, word: &[Part]) -> Result<Pattern, Fault> {
        let mut fields = Fields::default();
        self.parts(word, WHOLE, &mut fields).await?;
        let patterns: Vec<String> = fields.finish().into_iter().map(Field::into_pattern).collect();
        Ok(Pattern::new(&patterns.join(" ")))
    }

    async fn parts(&mut self, word: &[Part], how: How, to: &mut Fields) -> Result<(), Fault> {
        for (index, part) in word.iter().enumerate() {
            match part {
                Part::Literal(text) if how.quoted => to.quoted(text),
                Part::Literal(text) => {
                    let text = match self.tilde(text, index + 1 == word.len()).filter(|_| index == 0) {
                        Some((home, rest)) => {
                            to.quoted(&home);
                            rest
                        }
                        None => text,
                    };
                    if how.split && how.inside { to.split(text, &self.ifs()) } else { to.unquoted(text) }
                }
                Part::Quoted(text) => to.quoted(text),
                Part::Double(inner) => {
                    // `"$@"` without arguments is nothing at all.
                    let vanishes = self.args.is_empty() && !inner.is_empty() && inner.iter().all(is_all_arguments);
                    if !vanishes {
                        to.touch();
                        Box::pin(self.parts(inner, How { quoted: true, ..how }, to)).await?;
                    }
                }
                Part::Parameter(parameter) => match &parameter.operation {
                    Operation::Value => self.value_of(&parameter.name, how, to)?,
                    _ => self.operate(parameter, how, to).await?,
                },
                Part::Command(list) => {
                    let output = self.substitute(list.clone()).await?;
                    self.put(&output, how, to);
                }
                Part::Arithmetic(expression) => {
                    let value = Box::pin(self.arithmetic(expression)).await?;
                    self.put(&value.to_string(), how, to);
                }
            }
        }
        Ok(())
    }

    /// Puts an expansion's value into the fields.
    fn put(&self, value: &str, how: How, to: &mut Fields) {
        match (how.quoted, how.split) {
            (true, _) => to.quoted(value),
            (_, true) => to.split(value, &self.ifs()),
            _ => to.unquoted(value),
        }
    }

    fn ifs(&self) -> Rc<str> {
        self.get("IFS").unwrap_or(" \t\n").into()
    }

    /// `~` and `~/…`: the home folder, and what follows. `last`: the text ends where the word does.
    fn tilde<'t>(&self, text: &'t str, last: bool) -> Option<(String, &'t str)> {
        let rest = text.strip_prefix('~')?;
        let end = rest.find(['/', ':']).unwrap_or(rest.len());
        if end == rest.len() && !last {
            return None;
        }
        let home = match &rest[..end] {
            "" => self.get("HOME")?.to_string(),
            "root" => "/root".into(),
            _ => return None,
        };
        Some((home, &rest[end..]))
    }

    /// The value of a parameter, if it is set.
    pub fn parameter(&self, name: &str) -> Option<String> {
        Some(match name {
            "@" | "*" if self.args.is_empty() => return None,
            "@" => self.args.join(" "),
            "*" => self.joined(),
            "#" => self.args.len().to_string(),
            "?" => self.status.to_string(),
            "-" => self.options.letters(),
            "$" => self.pid.to_string(),
            "!" => self.last_job?.to_string(),
            "0" => self.name.clone(),
            "LINENO" => self.line.to_string(),
            "RANDOM" => (wasip2::random::insecure::get_insecure_random_u64() & 0x7fff).to_string(),
            _ if name.starts_with(|first: char| first.is_ascii_digit()) => self.args.get(name.parse::<usize>().ok()?.checked_sub(1)?)?.clone(),
            _ => self.get(name)?.to_string(),
        })
    }

    /// `"$*"`
    fn joined(&self) -> String {
        let separator = self.get("IFS").map_or(Some(' '), |ifs| ifs.chars().next());
        self.args.join(&separator.map(String::from).unwrap_or_default())
    }

    fn value_of(&mut self, name: &str, how: How, to: &mut Fields) -> Result<(), Fault> {
        if let "@" | "*" = name {
            let args = self.args.clone();
            self.spread(name, &args, how, to);
            return Ok(());
        }
        if let Some(value) = self.get(name) {
            match (how.quoted, how.split) {
                (true, _) => to.quoted(value),
                (_, true) => to.split(value, self.get("IFS").unwrap_or(" \t\n")),
                _ => to.unquoted(value),
            }
            return Ok(());
        }
        match self.parameter(name) {
            Some(value) => self.put(&value, how, to),
            None => self.require(name)?,
        }
        Ok(())
    }

    /// `set -u`
    fn require(&self, name: &str) -> Result<(), Fault> {
        if self.options.nounset && !matches!(name, "@" | "*") { Err(Fault::fatal(format!("{name}: parameter not set"))) } else { Ok(()) }
    }

    /// `$@` or `$*`.
    fn spread(&self, name: &str, values: &[String], how: How, to: &mut Fields) {
        if (name == "*" && how.quoted) || !how.split {
            let separator = self.get("IFS").map_or(Some(' '), |ifs| ifs.chars().next()).filter(|_| name == "*").or(Some(' ').filter(|_| name == "@"));
            let joined = values.join(&separator.map(String::from).unwrap_or_default());
            if how.quoted {
                to.quoted(&joined)
            } else {
                to.unquoted(&joined)
            }
            return;
        }
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                to.close();
            }
            if how.quoted { to.quoted(value) } else { self.put(value, how, to) }
        }
    }

    fn operate<'a>(&'a mut self, parameter: &'a Parameter, how: How, to: &'a mut Fields) -> Boxed<'a, Result<(), Fault>> {
        Box::pin(async move {
            let name = parameter.name.as_str();
            if let Operation::Absent { operator, null, word } = &parameter.operation {
                return self.absent(name, *operator, *null, word, how, to).await;
            }
            if let Operation::Length = parameter.operation {
                let length = match name {
                    "@" | "*" => self.args.len(),
                    _ => self.needed(name)?.chars().count(),
                };
                self.put(&length.to_string(), how, to);
                return Ok(());
            }
            let values = match name {
                "@" | "*" => self.args.to_vec(),
                _ => vec![self.needed(name)?],
            };
            let mut changed = Vec::new();
            match &parameter.operation {
                Operation::Trim { suffix, longest, pattern } => {
                    let pattern = self.pattern(pattern).await?;
                    changed.extend(values.iter().map(|value| pattern.trim(value, *suffix, *longest)));
                }
                Operation::Replace { all, pattern, with } => {
                    let (pattern, anchor) = self.anchored(pattern).await?;
                    let with = self.text(with).await?;
                    for value in &values {
                        let result = match anchor {
                            Some(suffix) if pattern.trim(value, suffix, true) != *value || pattern.matches("") => {
                                let rest = pattern.trim(value, suffix, true);
                                if suffix { rest + &with } else { with.clone() + &rest }
                            }
                            Some(_) => value.clone(),
                            None => pattern.replace(value, &with, *all),
                        };
                        if result.len() > LONGEST {
                            return Err(Fault::fatal("out of memory"));
                        }
                        changed.push(result);
                    }
                }
                Operation::Slice { offset, length } => {
                    let offset = self.arithmetic(offset).await?;
                    let length = match length {
                        Some(length) => Some(self.arithmetic(length).await?),
                        None => None,
                    };
                    changed.extend(values.iter().map(|value| slice(value, offset, length)));
                }
                _ => {}
            }
            match name {
                "@" | "*" => self.spread(name, &changed, how, to),
                _ => self.put(changed.first().map_or("", String::as_str), how, to),
            }
            Ok(())
        })
    }

    fn needed(&self, name: &str) -> Result<String, Fault> {
        match self.parameter(name) {
            Some(value) => Ok(value),
            None => self.require(name).map(|()| String::new()),
        }
    }

    /// `${x/#a/b}` and `${x/%a/b}` are held to the beginning and the end.
    async fn anchored(&mut self, pattern: &Word) -> Result<(Pattern, Option<bool>), Fault> {
        let anchor = match pattern.first() {
            Some(Part::Literal(text)) if text.starts_with('#') => Some(false),
            Some(Part::Literal(text)) if text.starts_with('%') => Some(true),
            _ => None,
        };
        if anchor.is_none() {
            return Ok((self.pattern(pattern).await?, None));
        }
        let mut rest = pattern.clone();
        if let Some(Part::Literal(text)) = rest.first_mut() {
            text.remove(0);
        }
        Ok((self.pattern(&rest).await?, anchor))
    }

    async fn absent(&mut self, name: &str, operator: u8, null: bool, word: &Word, how: How, to: &mut Fields) -> Result<(), Fault> {
        let value = self.parameter(name).filter(|value| !(null && value.is_empty()));
        let inside = How { inside: true, ..how };
        match (operator, value) {
            (b'+', None) => Ok(()),
            (b'+', Some(_)) | (b'-', None) => self.parts(word, inside, to).await,
            (_, Some(_)) => self.value_of(name, how, to),
            (b'=', None) => {
                if !is_name(name) {
                    return Err(Fault::fatal(format!("{name}: bad variable name")));
                }
                let value = self.quoted_text(word, how).await?;
                self.set(name, value.clone())?;
                self.put(&value, how, to);
                Ok(())
            }
            _ => {
                let message = self.quoted_text(word, how).await?;
                let message = match (message.is_empty(), null) {
                    (false, _) => message,
                    (true, true) => "parameter not set or null".into(),
                    (true, false) => "parameter not set".into(),
                };
                Err(Fault::fatal(format!("{name}: {message}")))
            }
        }
    }

    async fn quoted_text(&mut self, word: &Word, how: How) -> Result<String, Fault> {
        let mut fields = Fields::default();
        self.parts(word, How { split: false, inside: true, ..how }, &mut fields).await?;
        Ok(fields.into_text())
    }

    /// `$((…))`
    pub async fn arithmetic(&mut self, expression: &Word) -> Result<i64, Fault> {
        let text = match expression.as_slice() {
            [Part::Literal(text)] => text.clone(),
            word => {
                let mut fields = Fields::default();
                self.parts(word, How { quoted: true, ..WHOLE }, &mut fields).await?;
                fields.into_text().replace('"', "")
            }
        };
        arith::evaluate(&text, self).map_err(Fault::fatal)
    }

    /// `$(…)`: what the commands print, without the newlines at its end.
    fn substitute<'a>(&'a mut self, list: Rc<List>) -> Boxed<'a, Result<String, Fault>> {
        Box::pin(async move {
            if self.depth >= DEEPEST {
                return Err(Fault::fatal("too deep recursion"));
            }
            let (reader, writer) = pipe();
            let mut sub = self.subshell();
            sub.depth += 1;
            sub.cx.stdout = Output::new(writer);
            let running = async move { sub.run_subshell(&list).await };
            let (status, output) = rt::join(running, reader.read_to_end()).await;
            self.status = status;
            self.substituted = status;
            let output = output.map_err(|error| Fault::fatal(crate::io::reason(&error)))?;
            let mut text = String::from_utf8(output).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            text.retain(|character| character != '\0');
            text.truncate(text.trim_end_matches('\n').len());
            Ok(text)
        })
    }
}

fn is_all_arguments(part: &Part) -> bool {
    matches!(part, Part::Parameter(parameter) if parameter.name == "@" && matches!(parameter.operation, Operation::Value))
}

/// `${x:offset:length}`, in characters; from the end where negative.
fn slice(text: &str, offset: i64, length: Option<i64>) -> String {
    let characters: Vec<char> = text.chars().collect();
    let count = characters.len() as i64;
    let start = if offset < 0 { offset + count } else { offset.min(count) };
    if start < 0 {
        return String::new();
    }
    let end = match length {
        None => count,
        Some(length) if length < 0 => count + length,
        Some(length) => start.saturating_add(length).min(count),
    };
    characters.get(start as usize..end.max(start) as usize).map_or(String::new(), |slice| slice.iter().collect())
}

impl Variables for Shell {
    fn value(&self, name: &str) -> Result<Option<String>, String> {
        let value = self.parameter(name);
        match value {
            None if self.options.nounset => Err(format!("{name}: parameter not set")),
            value => Ok(value),
        }
    }

    fn assign(&mut self, name: &str, value: i64) -> Result<(), String> {
        self.set(name, value.to_string()).map_err(|fault| fault.message)
    }
}
