//! `find [-HL] [PATH]… [EXPRESSION]`

use std::fs;

use crate::calendar;
use crate::context::{Context, Error, Result};
use crate::disk::{self, Kind, Stat};
use crate::io::reason;
use crate::regex::{Regex, Syntax};
use crate::rt::Boxed;
use crate::shell;

/// How deep parentheses and folders may nest.
const DEEPEST: usize = 512;
/// Arguments that `-exec … +` gives at once.
const MANY: usize = 1000;

enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    True,
    False,
    Name {
        pattern: String,
        ignore_case: bool,
    },
    Path {
        pattern: String,
        ignore_case: bool,
    },
    Regex(Box<Regex>),
    Type(Vec<Kind>),
    /// In bytes, rounded up to a unit.
    Size {
        count: u64,
        unit: u64,
        order: Order,
    },
    Age {
        minutes: bool,
        of: char,
        count: i64,
        order: Order,
    },
    Newer((i64, u32)),
    Empty,
    Links(u64, Order),
    Inode(u64),
    Print {
        end: &'static str,
    },
    Formatted(String),
    Prune,
    Quit,
    Delete,
    Exec {
        command: Vec<String>,
        asks: bool,
    },
    ExecMany(usize),
}

#[derive(Clone, Copy)]
enum Order {
    Less,
    Same,
    More,
}

impl Order {
    fn holds<T: Ord>(self, left: T, right: T) -> bool {
        match self {
            Order::Less => left < right,
            Order::Same => left == right,
            Order::More => left > right,
        }
    }
}

struct Finder<'a> {
    cx: &'a Context,
    many: Vec<(Vec<String>, Vec<String>)>,
    prune: bool,
    quit: bool,
    code: i32,
    now: i64,
}

struct File<'a> {
    path: &'a str,
    stat: &'a Stat,
    start: &'a str,
}

struct Settings {
    most: usize,
    least: usize,
    depth_first: bool,
    acts: bool,
    many: Vec<Vec<String>>,
}

pub async fn find(cx: &mut Context) -> Result {
    let words = cx.args[1..].to_vec();
    let mut at = 0;
    let (mut follow_all, mut follow_first) = (false, false);
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "-L" => follow_all = true,
            "-H" => follow_first = true,
            "-P" => {}
            _ => break,
        }
        at += 1;
    }
    let mut starts = Vec::new();
    while let Some(word) = words.get(at).filter(|word| !word.starts_with('-') && !matches!(word.as_str(), "!" | "(" | ")")) {
        starts.push(word.clone());
        at += 1;
    }
    if starts.is_empty() {
        starts.push(".".into());
    }
    let mut parser =
        Parser { cx, words: &words, at, depth: 0, settings: Settings { most: usize::MAX, least: 0, depth_first: false, acts: false, many: Vec::new() } };
    let mut test = if at < words.len() { parser.or()? } else { Test::True };
    if parser.at < words.len() {
        return Err(Error::new(format!("unrecognized: {}", words[parser.at])));
    }
    let settings = parser.settings;
    if !settings.acts {
        test = Test::And(vec![test, Test::Print { end: "\n" }]);
    }
    let many = settings.many.iter().map(|command| (command.clone(), Vec::new())).collect();
    let mut finder = Finder { cx, many, prune: false, quit: false, code: 0, now: calendar::now().0 };
    for start in &starts {
        // A folder stays behind what is in it where that comes first.
        let mut pending = vec![(start.clone(), 0usize, false)];
        while let Some((path, depth, visited)) = pending.pop() {
            let full = cx.path(&path);
            let follow = follow_all || follow_first && depth == 0;
            let stat = match disk::stat(&full, follow) {
                Err(_) if follow => disk::stat(&full, false),
                other => other,
            };
            let stat = match stat {
                Ok(stat) => stat,
                Err(error) => {
                    cx.warn(format!("{path}: {}", reason(&error))).await;
                    finder.code = 1;
                    continue;
                }
            };
            let inside = stat.kind == Kind::Folder && depth < settings.most && depth < DEEPEST;
            let file = File { path: &path, stat: &stat, start };
            if visited || !settings.depth_first || !inside {
                finder.prune = false;
                if depth >= settings.least {
                    finder.check(&test, &file).await?;
                }
                if finder.quit {
                    break;
                }
            }
            if !inside || visited || finder.prune && !settings.depth_first {
                continue;
            }
            if settings.depth_first {
                pending.push((path.clone(), depth, true));
            }
            match fs::read_dir(&full) {
                Ok(entries) => {
                    let mut names: Vec<String> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                    names.sort_by(|a, b| b.cmp(a));
                    pending.extend(names.into_iter().map(|name| (format!("{}/{name}", path.trim_end_matches('/')), depth + 1, false)));
                }
                Err(error) => {
                    cx.warn(format!("{path}: {}", reason(&error))).await;
                    finder.code = 1;
                }
            }
            crate::rt::pause().await;
        }
        if finder.quit {
            break;
        }
    }
    for index in 0..finder.many.len() {
        finder.flush(index).await?;
    }
    Ok(finder.code)
}

impl Finder<'_> {
    fn check<'b>(&'b mut self, test: &'b Test, file: &'b File<'b>) -> Boxed<'b, Result<bool>> {
        Box::pin(async move {
            let stat = file.stat;
            let name = crate::applets::name_of(file.path.trim_end_matches('/'));
            let fits = |pattern: &str, text: &str, ignore_case: bool| {
                if ignore_case { shell::matches(&pattern.to_lowercase(), &text.to_lowercase()) } else { shell::matches(pattern, text) }
            };
            Ok(match test {
                Test::True => true,
                Test::False => false,
                Test::And(tests) => {
                    for test in tests {
                        if !self.check(test, file).await? {
                            return Ok(false);
                        }
                    }
                    true
                }
                Test::Or(tests) => {
                    for test in tests {
                        if self.check(test, file).await? {
                            return Ok(true);
                        }
                    }
                    false
                }
                Test::Not(test) => !self.check(test, file).await?,
                Test::Name { pattern, ignore_case } => fits(pattern, if name.is_empty() { "/" } else { name }, *ignore_case),
                Test::Path { pattern, ignore_case } => fits(pattern, file.path, *ignore_case),
                Test::Regex(regex) => regex.find_at(file.path.as_bytes(), 0).is_some_and(|groups| groups[0] == Some((0, file.path.len()))),
                Test::Type(kinds) => kinds.contains(&stat.kind),
                Test::Size { count, unit, order } => order.holds(stat.size.div_ceil(*unit), *count),
                Test::Age { minutes, of, count, order } => {
                    let time = match of {
                        'a' => stat.accessed.0,
                        'c' => stat.changed.0,
                        _ => stat.modified.0,
                    };
                    order.holds((self.now - time).div_euclid(if *minutes { 60 } else { 86_400 }), *count)
                }
                Test::Newer(time) => stat.modified > *time,
                Test::Empty => match stat.kind {
                    Kind::Folder => fs::read_dir(self.cx.path(file.path)).is_ok_and(|mut entries| entries.next().is_none()),
                    Kind::File => stat.size == 0,
                    _ => false,
                },
                Test::Links(count, order) => order.holds(stat.links, *count),
                Test::Inode(inode) => stat.inode == *inode,
                Test::Print { end } => {
                    self.cx.stdout.write(format!("{}{end}", file.path)).await?;
                    true
                }
                Test::Formatted(format) => {
                    self.cx.stdout.write(formatted(format, file, name)).await?;
                    true
                }
                Test::Prune => {
                    self.prune = true;
                    true
                }
                Test::Quit => {
                    self.quit = true;
                    true
                }
                Test::Delete => {
                    let path = self.cx.path(file.path);
                    if file.path == "." {
                        return Ok(true);
                    }
                    let removed = if stat.kind == Kind::Folder { fs::remove_dir(path) } else { fs::remove_file(path) };
                    if let Err(error) = &removed {
                        self.cx.warn(format!("{}: {}", file.path, reason(error))).await;
                        self.code = 1;
                    }
                    removed.is_ok()
                }
                Test::Exec { command, asks } => {
                    self.cx.stdout.flush().await?;
                    if *asks {
                        self.cx.stderr.write_all(format!("< {} ... {} > ? ", command[0], file.path).as_bytes()).await?;
                        if !super::copy::confirmed(self.cx).await? {
                            return Ok(false);
                        }
                    }
                    self.cx.child(command.iter().map(|word| word.replace("{}", file.path))).run().await == 0
                }
                Test::ExecMany(index) => {
                    self.many[*index].1.push(file.path.into());
                    if self.many[*index].1.len() >= MANY {
                        self.flush(*index).await?;
                    }
                    true
                }
            })
        })
    }

    async fn flush(&mut self, index: usize) -> Result<()> {
        let (command, files) = &mut self.many[index];
        if files.is_empty() {
            return Ok(());
        }
        let files = std::mem::take(files);
        let words: Vec<String> = command.iter().flat_map(|word| if word == "{}" { files.clone() } else { vec![word.clone()] }).collect();
        self.cx.stdout.flush().await?;
        if self.cx.child(words).run().await != 0 {
            self.code = 1;
        }
        Ok(())
    }
}

/// `-printf`: `%p %f %h %P %s %y %T@ %m %d` and escapes.
fn formatted(format: &str, file: &File, name: &str) -> Vec<u8> {
    let (text, _) = crate::applets::unescape(format);
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        match rest.next() {
            Some('p') => out += file.path,
            Some('f') => out += name,
            Some('h') => out += file.path.rsplit_once('/').map_or(".", |(folder, _)| folder),
            Some('P') => out += file.path.strip_prefix(file.start).unwrap_or(file.path).trim_start_matches('/'),
            Some('s') => out += &file.stat.size.to_string(),
            Some('y') => out.push(match file.stat.kind {
                Kind::File => 'f',
                other => other.letter(),
            }),
            Some('m') => out += &format!("{:o}", file.stat.kind.mode() & 0o777),
            Some('T') => {
                let letter = rest.next().unwrap_or('@');
                let (seconds, nanoseconds) = file.stat.modified;
                out += &if letter == '@' {
                    format!("{seconds}.{nanoseconds:09}0")
                } else {
                    calendar::Moment::new(seconds, nanoseconds, &calendar::Zone::utc()).format(&format!("%{letter}"))
                };
            }
            Some('d') => out += &file.path[file.start.len().min(file.path.len())..].matches('/').count().to_string(),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out.into_bytes()
}

struct Parser<'a> {
    cx: &'a Context,
    words: &'a [String],
    at: usize,
    depth: usize,
    settings: Settings,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn or(&mut self) -> Result<Test> {
        let mut tests = vec![self.and()?];
        while matches!(self.peek(), Some("-o" | "-or")) {
            self.at += 1;
            tests.push(self.and()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Or(tests) })
    }

    fn and(&mut self) -> Result<Test> {
        let mut tests = vec![self.not()?];
        while let Some(word) = self.peek() {
            match word {
                "-o" | "-or" | ")" => break,
                "-a" | "-and" => self.at += 1,
                _ => {}
            }
            tests.push(self.not()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::And(tests) })
    }

    fn not(&mut self) -> Result<Test> {
        if matches!(self.peek(), Some("!" | "-not")) {
            self.at += 1;
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(Error::new("too deep"));
            }
            return Ok(Test::Not(Box::new(self.not()?)));
        }
        self.primary()
    }

    fn value(&mut self, of: &str) -> Result<String> {
        let value = self.words.get(self.at).ok_or_else(|| Error::new(format!("option requires an argument -- '{}'", of.trim_start_matches('-'))))?;
        self.at += 1;
        Ok(value.clone())
    }

    /// `+3`, `-3`, `3`
    fn number(&mut self, of: &str) -> Result<(String, Order)> {
        let text = self.value(of)?;
        Ok(match text.as_bytes().first() {
            Some(b'+') => (text[1..].into(), Order::More),
            Some(b'-') => (text[1..].into(), Order::Less),
            _ => (text, Order::Same),
        })
    }

    fn primary(&mut self) -> Result<Test> {
        let Some(word) = self.words.get(self.at).cloned() else { return Err(Error::new("expression expected")) };
        self.at += 1;
        let invalid = |text: &str| Error::new(format!("invalid number '{text}'"));
        Ok(match word.as_str() {
            "(" => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return Err(Error::new("too deep"));
                }
                let test = self.or()?;
                if self.peek() != Some(")") {
                    return Err(Error::new("unmatched '('"));
                }
                self.at += 1;
                test
            }
            "-true" => Test::True,
            "-false" => Test::False,
            "-name" | "-iname" => Test::Name { pattern: self.value(&word)?, ignore_case: word == "-iname" },
            "-path" | "-ipath" | "-wholename" => Test::Path { pattern: self.value(&word)?, ignore_case: word == "-ipath" },
            "-regex" => {
                let pattern = self.value(&word)?;
                Test::Regex(Box::new(Regex::new(&pattern, Syntax::default()).map_err(|error| Error::new(format!("bad regex '{pattern}': {error}")))?))
            }
            "-type" => {
                let letters = self.value(&word)?;
                let kinds = letters.chars().filter(|letter| *letter != ',').map(|letter| match letter {
                    'f' => Ok(Kind::File),
                    'd' => Ok(Kind::Folder),
                    'l' => Ok(Kind::Link),
                    'c' => Ok(Kind::Device),
                    'b' => Ok(Kind::Block),
                    'p' => Ok(Kind::Pipe),
                    's' => Ok(Kind::Socket),
                    other => Err(Error::new(format!("invalid argument '{other}' to '-type'"))),
                });
                Test::Type(kinds.collect::<Result<_>>()?)
            }
            "-size" => {
                let (text, order) = self.number(&word)?;
                let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
                let unit = match &text[digits.len()..] {
                    "" | "b" => 512,
                    "c" => 1,
                    "w" => 2,
                    "k" => 1 << 10,
                    "M" => 1 << 20,
                    "G" => 1 << 30,
                    _ => return Err(invalid(&text)),
                };
                Test::Size { count: digits.parse().map_err(|_| invalid(&text))?, unit, order }
            }
            "-mtime" | "-atime" | "-ctime" | "-mmin" | "-amin" | "-cmin" => {
                let (text, order) = self.number(&word)?;
                let of = word.chars().nth(1).unwrap_or('m');
                Test::Age { minutes: word.ends_with("min"), of, count: text.parse().map_err(|_| invalid(&text))?, order }
            }
            "-newer" => {
                let file = self.value(&word)?;
                Test::Newer(disk::stat(&self.cx.path(&file), true).map_err(|error| Error::about(&file, &error))?.modified)
            }
            "-links" => {
                let (text, order) = self.number(&word)?;
                Test::Links(text.parse().map_err(|_| invalid(&text))?, order)
            }
            "-inum" => {
                let text = self.value(&word)?;
                Test::Inode(text.parse().map_err(|_| invalid(&text))?)
            }
            "-empty" => Test::Empty,
            // Everything is root's, and everybody may read it.
            "-user" | "-group" | "-perm" => {
                let value = self.value(&word)?;
                if word == "-perm" || matches!(value.as_str(), "root" | "0") { Test::True } else { Test::False }
            }
            "-maxdepth" | "-mindepth" => {
                let text = self.value(&word)?;
                let depth = text.parse().map_err(|_| invalid(&text))?;
                if word == "-maxdepth" {
                    self.settings.most = depth
                } else {
                    self.settings.least = depth
                }
                Test::True
            }
            "-depth" => {
                self.settings.depth_first = true;
                Test::True
            }
            "-xdev" | "-follow" | "-noleaf" => Test::True,
            "-prune" => Test::Prune,
            "-quit" => {
                self.settings.acts = true;
                Test::Quit
            }
            "-print" | "-print0" => {
                self.settings.acts = true;
                Test::Print { end: if word == "-print" { "\n" } else { "\0" } }
            }
            "-printf" => {
                self.settings.acts = true;
                Test::Formatted(self.value(&word)?)
            }
            "-delete" => {
                self.settings.acts = true;
                self.settings.depth_first = true;
                Test::Delete
            }
            "-exec" | "-ok" | "-execdir" => {
                self.settings.acts = true;
                let mut command = Vec::new();
                loop {
                    let part = self.value(&word)?;
                    if part == ";" {
                        break;
                    }
                    if part == "+" && command.last().is_some_and(|last| last == "{}") {
                        self.settings.many.push(command);
                        return Ok(Test::ExecMany(self.settings.many.len() - 1));
                    }
                    command.push(part);
                }
                if command.is_empty() {
                    return Err(Error::new("-exec requires an argument"));
                }
                Test::Exec { command, asks: word == "-ok" }
            }
            other => return Err(Error::new(format!("unrecognized: {other}"))),
        })
    }
}
