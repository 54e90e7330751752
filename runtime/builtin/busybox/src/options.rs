//! Options and operands, as `getopt_long` takes them: `-ab`, `-n 5`, `-n5`, `--long`, `--long=value`, `--`.

use crate::context::{Error, Result};

/// What an applet's arguments say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    given: Vec<(char, Option<String>)>,
    /// What is no option.
    pub operands: Vec<String>,
}

impl Options {
    /// Takes arguments apart (without the name in front). `short` is `getopt`'s: `"ab:c"` has a flag `a`, a `b` with a
    /// value and a flag `c`; a `+` in front ends the options at the first operand (as `xargs`, `env` and POSIX do it),
    /// else they may stand anywhere. `long` gives the letter that a long name stands for.
    pub fn parse(arguments: &[String], short: &str, long: &[(&str, char)]) -> Result<Options> {
        let (strict, short) = short.strip_prefix('+').map_or((false, short), |rest| (true, rest));
        let valued = |letter: char| -> Option<bool> { short.find(letter).filter(|_| letter != ':').map(|at| short[at + letter.len_utf8()..].starts_with(':')) };
        let mut options = Options::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--" {
                options.operands.extend(rest.cloned());
                break;
            }
            if let Some(name) = argument.strip_prefix("--") {
                let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value.to_string())));
                let exact = long.iter().find(|(known, _)| *known == name);
                let (known, letter) = exact
                    .or_else(|| long.iter().find(|(known, _)| known.starts_with(name)))
                    .ok_or_else(|| Error::usage(format!("unrecognized option '--{name}'")))?;
                let value = match (valued(*letter) == Some(true), value) {
                    (true, None) => Some(rest.next().cloned().ok_or_else(|| Error::usage(format!("option '--{known}' requires an argument")))?),
                    (false, Some(_)) => return Err(Error::usage(format!("option '--{known}' doesn't allow an argument"))),
                    (_, value) => value,
                };
                options.given.push((*letter, value));
            } else if let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                let mut at = letters.char_indices();
                while let Some((index, letter)) = at.next() {
                    match valued(letter) {
                        None => return Err(Error::usage(format!("invalid option -- '{letter}'"))),
                        Some(false) => options.given.push((letter, None)),
                        Some(true) => {
                            let attached = &letters[index + letter.len_utf8()..];
                            let value = if attached.is_empty() { rest.next().cloned() } else { Some(attached.to_string()) };
                            let value = value.ok_or_else(|| Error::usage(format!("option requires an argument -- '{letter}'")))?;
                            options.given.push((letter, Some(value)));
                            break;
                        }
                    }
                }
            } else {
                options.operands.push(argument.clone());
                if strict {
                    options.operands.extend(rest.cloned());
                    break;
                }
            }
        }
        Ok(options)
    }

    /// The operands, or `-` (standard input) where there are none.
    pub fn or_stdin(&self) -> Vec<String> {
        if self.operands.is_empty() { vec!["-".into()] } else { self.operands.clone() }
    }

    /// Whether a flag was given.
    pub fn has(&self, letter: char) -> bool {
        self.given.iter().any(|(given, _)| *given == letter)
    }

    /// An option's value: the last one given.
    pub fn value(&self, letter: char) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == letter).and_then(|(_, value)| value.as_deref())
    }

    /// All values that an option was given, in order.
    pub fn values(&self, letter: char) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == letter).filter_map(|(_, value)| value.as_deref())
    }

    /// All options in the order in which they were given (for those where the last one wins).
    pub fn all(&self) -> impl Iterator<Item = (char, Option<&str>)> {
        self.given.iter().map(|(letter, value)| (*letter, value.as_deref()))
    }
}
