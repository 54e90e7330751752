//! Scripts of sed.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::regex::{Regex, Syntax};

/// A command and the lines that it is for.
pub struct Command {
    pub first: Option<Address>,
    pub second: Option<Address>,
    pub negated: bool,
    pub kind: Kind,
}

pub enum Address {
    Line(u64),
    /// `1~2`
    Step(u64, u64),
    Last,
    /// None: the expression that was used last.
    Regex(Option<Rc<Regex>>),
    /// `,+2`
    More(u64),
    /// `,~4`
    Multiple(u64),
}

pub enum Kind {
    Nothing,
    /// `{`, and where its `}` is.
    Begin(usize),
    Substitute(Box<Substitution>),
    Translate(BTreeMap<char, char>),
    Print,
    PrintFirst,
    Delete,
    DeleteFirst,
    Next,
    AppendNext,
    Hold,
    HoldAppend,
    Get,
    GetAppend,
    Exchange,
    Append(String),
    Insert(String),
    Change(String),
    Read(String),
    Write(String),
    Number,
    List,
    Branch(usize),
    BranchIf(usize),
    BranchUnless(usize),
    Quit(i32),
    QuitSilently(i32),
}

pub struct Substitution {
    pub regex: Option<Rc<Regex>>,
    pub replacement: Vec<Piece>,
    pub global: bool,
    pub nth: usize,
    pub print: bool,
    pub write: Option<String>,
}

pub enum Piece {
    Text(String),
    /// `\1`; `&` is 0.
    Group(usize),
    /// `\U`
    Case(char),
}

type Result<T> = std::result::Result<T, String>;

/// Reads a script. Branches are resolved to the places of their labels.
pub fn parse(script: &str, extended: bool) -> Result<Vec<Command>> {
    let mut parser = Parser { text: script.chars().collect(), at: 0, extended };
    let mut commands = Vec::new();
    let mut open = Vec::new();
    let mut labels = BTreeMap::new();
    let mut jumps = Vec::new();
    loop {
        parser.skip(|character| character.is_whitespace() || character == ';');
        if parser.peek().is_none() {
            break;
        }
        if parser.peek() == Some('#') {
            parser.skip(|character| character != '\n');
            continue;
        }
        let first = parser.address(true)?;
        let mut second = None;
        if first.is_some() {
            parser.skip(char::is_whitespace);
            if parser.peek() == Some(',') {
                parser.at += 1;
                parser.skip(char::is_whitespace);
                second = Some(parser.address(false)?.ok_or("no address after comma")?);
            }
        }
        parser.skip(char::is_whitespace);
        let mut negated = false;
        while parser.peek() == Some('!') {
            negated = true;
            parser.at += 1;
            parser.skip(char::is_whitespace);
        }
        let letter = parser.next().ok_or("missing command")?;
        let kind = match letter {
            '{' => {
                open.push(commands.len());
                Kind::Begin(0)
            }
            '}' => {
                let begin: usize = open.pop().ok_or("unexpected '}'")?;
                let end = commands.len();
                if let Some(Command { kind, .. }) = commands.get_mut(begin) {
                    *kind = Kind::Begin(end);
                }
                if first.is_some() {
                    return Err("unexpected ',' or address".into());
                }
                parser.end()?;
                continue;
            }
            ':' => {
                let label = parser.word();
                if label.is_empty() {
                    return Err("\":\" lacks a label".into());
                }
                labels.insert(label, commands.len());
                continue;
            }
            'b' | 't' | 'T' => {
                jumps.push((commands.len(), parser.word()));
                match letter {
                    'b' => Kind::Branch(0),
                    't' => Kind::BranchIf(0),
                    _ => Kind::BranchUnless(0),
                }
            }
            's' => Kind::Substitute(Box::new(parser.substitution()?)),
            'y' => parser.translation()?,
            'a' => Kind::Append(parser.text_argument()?),
            'i' => Kind::Insert(parser.text_argument()?),
            'c' => Kind::Change(parser.text_argument()?),
            'r' => Kind::Read(parser.file_name()?),
            'w' => Kind::Write(parser.file_name()?),
            'q' | 'Q' => {
                parser.skip(|character| character == ' ');
                let code = parser.number().unwrap_or(0) as i32;
                parser.end()?;
                if letter == 'q' { Kind::Quit(code) } else { Kind::QuitSilently(code) }
            }
            letter => {
                let kind = match letter {
                    'p' => Kind::Print,
                    'P' => Kind::PrintFirst,
                    'd' => Kind::Delete,
                    'D' => Kind::DeleteFirst,
                    'n' => Kind::Next,
                    'N' => Kind::AppendNext,
                    'h' => Kind::Hold,
                    'H' => Kind::HoldAppend,
                    'g' => Kind::Get,
                    'G' => Kind::GetAppend,
                    'x' => Kind::Exchange,
                    '=' => Kind::Number,
                    'l' => {
                        parser.number();
                        Kind::List
                    }
                    other => return Err(format!("unsupported command {other}")),
                };
                parser.end()?;
                kind
            }
        };
        commands.push(Command { first, second, negated, kind });
    }
    if !open.is_empty() {
        return Err("unterminated {".into());
    }
    let end = commands.len();
    for (index, label) in jumps {
        let to = if label.is_empty() { end } else { *labels.get(&label).ok_or_else(|| format!("can't find label for jump to '{label}'"))? };
        match &mut commands[index].kind {
            Kind::Branch(at) | Kind::BranchIf(at) | Kind::BranchUnless(at) => *at = to,
            _ => {}
        }
    }
    commands.push(Command { first: None, second: None, negated: false, kind: Kind::Nothing });
    Ok(commands)
}

struct Parser {
    text: Vec<char>,
    at: usize,
    extended: bool,
}

impl Parser {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek();
        self.at += usize::from(character.is_some());
        character
    }

    fn skip(&mut self, which: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&which) {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Option<u64> {
        let from = self.at;
        self.skip(|character| character.is_ascii_digit());
        self.text[from..self.at].iter().collect::<String>().parse().ok()
    }

    /// Nothing but a separator stands behind a command.
    fn end(&mut self) -> Result<()> {
        self.skip(|character| character == ' ' || character == '\t');
        match self.peek() {
            None | Some(';' | '\n' | '}' | '#') => Ok(()),
            Some(_) => Err("extra characters after command".into()),
        }
    }

    /// A label: up to the line's end or a `;`.
    fn word(&mut self) -> String {
        self.skip(|character| character == ' ' || character == '\t');
        let from = self.at;
        self.skip(|character| !character.is_whitespace() && character != ';' && character != '}');
        self.text[from..self.at].iter().collect()
    }

    fn file_name(&mut self) -> Result<String> {
        self.skip(|character| character == ' ' || character == '\t');
        let from = self.at;
        self.skip(|character| character != '\n');
        if from == self.at { Err("missing filename".into()) } else { Ok(self.text[from..self.at].iter().collect()) }
    }

    fn address(&mut self, is_first: bool) -> Result<Option<Address>> {
        let Some(character) = self.peek() else { return Ok(None) };
        Ok(Some(match character {
            '0'..='9' => {
                let line = self.number().ok_or("invalid line number")?;
                if self.peek() == Some('~') && is_first {
                    self.at += 1;
                    return Ok(Some(Address::Step(line, self.number().unwrap_or(0))));
                }
                Address::Line(line)
            }
            '+' if !is_first => {
                self.at += 1;
                Address::More(self.number().ok_or("expected number")?)
            }
            '~' if !is_first => {
                self.at += 1;
                Address::Multiple(self.number().ok_or("expected number")?)
            }
            '$' => {
                self.at += 1;
                Address::Last
            }
            '/' | '\\' => {
                self.at += 1;
                let delimiter = if character == '\\' { self.next().ok_or("unterminated address")? } else { '/' };
                let pattern = self.delimited(delimiter, true).ok_or_else(|| format!("unmatched '{delimiter}'"))?;
                let mut ignore_case = false;
                while let Some(flag @ ('I' | 'M')) = self.peek() {
                    ignore_case |= flag == 'I';
                    self.at += 1;
                }
                Address::Regex(self.regex(&pattern, ignore_case)?)
            }
            _ => return Ok(None),
        }))
    }

    fn regex(&self, pattern: &str, ignore_case: bool) -> Result<Option<Rc<Regex>>> {
        if pattern.is_empty() {
            return Ok(None);
        }
        let syntax = Syntax { extended: self.extended, ignore_case, escapes: true, awk: false };
        Regex::new(pattern, syntax).map(|regex| Some(Rc::new(regex))).map_err(|error| format!("bad regex '{pattern}': {error}"))
    }

    /// Up to a delimiter that has no backslash before it. An escaped delimiter is itself. In an expression, one within
    /// brackets is no delimiter.
    fn delimited(&mut self, delimiter: char, regex: bool) -> Option<String> {
        let mut out = String::new();
        let mut in_set = false;
        loop {
            let character = self.next()?;
            if character == '\\' && !in_set {
                let escaped = self.next()?;
                if escaped == delimiter && !matches!(delimiter, '\\') {
                    // Of a character that means something by itself, the meaning is taken.
                    if regex && matches!(delimiter, '.' | '*' | '[' | ']' | '^' | '$' | '+' | '?' | '(' | ')' | '{' | '}') {
                        out.push('\\');
                    }
                    if !regex && delimiter == '&' {
                        out.push('\\');
                    }
                    out.push(escaped);
                } else {
                    out.extend(['\\', escaped]);
                }
                continue;
            }
            if regex && in_set {
                if character == '['
                    && let Some(mark @ (':' | '.' | '=')) = self.peek()
                {
                    let rest: Vec<char> = self.text[self.at + 1..].to_vec();
                    if let Some(end) = rest.windows(2).position(|pair| pair == [mark, ']']) {
                        out.push('[');
                        out.extend(&self.text[self.at..self.at + 1 + end + 2]);
                        self.at += end + 3;
                        continue;
                    }
                }
                in_set = character != ']';
                out.push(character);
                continue;
            }
            if character == delimiter {
                return Some(out);
            }
            out.push(character);
            if regex && character == '[' {
                in_set = true;
                // A `]` that comes first does not close.
                if self.peek() == Some('^') {
                    out.extend(self.next());
                }
                if self.peek() == Some(']') {
                    out.extend(self.next());
                }
            }
        }
    }

    fn substitution(&mut self) -> Result<Substitution> {
        let delimiter = self.next().filter(|delimiter| !matches!(delimiter, '\n' | '\\')).ok_or("bad format in substitution expression")?;
        let unmatched = || format!("unmatched '{delimiter}'");
        let pattern = self.delimited(delimiter, true).ok_or_else(unmatched)?;
        let replacement = self.delimited(delimiter, false).ok_or_else(unmatched)?;
        let mut substitution = Substitution { regex: None, replacement: pieces(&replacement), global: false, nth: 1, print: false, write: None };
        let mut ignore_case = false;
        loop {
            match self.peek() {
                Some('g') => substitution.global = true,
                Some('p') => substitution.print = true,
                Some('i' | 'I') => ignore_case = true,
                Some('m' | 'M' | 'e') => {}
                Some('0'..='9') => {
                    substitution.nth = self.number().filter(|number| *number > 0).ok_or("bad option in substitution expression")? as usize;
                    continue;
                }
                Some('w') => {
                    self.at += 1;
                    substitution.write = Some(self.file_name()?);
                    break;
                }
                _ => {
                    self.end().map_err(|_| "bad option in substitution expression")?;
                    break;
                }
            }
            self.at += 1;
        }
        substitution.regex = self.regex(&pattern, ignore_case)?;
        if let (Some(regex), Some(most)) =
            (&substitution.regex, substitution.replacement.iter().filter_map(|piece| if let Piece::Group(index) = piece { Some(*index) } else { None }).max())
            && most >= regex.groups()
        {
            return Err(format!("invalid reference \\{most} on s command's RHS"));
        }
        Ok(substitution)
    }

    fn translation(&mut self) -> Result<Kind> {
        let delimiter = self.next().ok_or("unterminated 'y' command")?;
        let mut sets = Vec::new();
        for _ in 0..2 {
            let text = self.delimited(delimiter, false).ok_or_else(|| format!("unmatched '{delimiter}'"))?;
            let mut characters = Vec::new();
            let mut rest = text.chars();
            while let Some(character) = rest.next() {
                characters.push(match character {
                    '\\' => match rest.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('r') => '\r',
                        Some('\\') | None => '\\',
                        Some(other) => other,
                    },
                    other => other,
                });
            }
            sets.push(characters);
        }
        self.end()?;
        let to = sets.pop().unwrap_or_default();
        let from = sets.pop().unwrap_or_default();
        if from.len() != to.len() {
            return Err("strings for 'y' command are different lengths".into());
        }
        let mut map = BTreeMap::new();
        for (from, to) in from.into_iter().zip(to) {
            map.entry(from).or_insert(to);
        }
        Ok(Kind::Translate(map))
    }

    /// The text of `a`, `i`, `c`: on the same line, or behind `\` and a newline. A backslash before a newline goes on.
    fn text_argument(&mut self) -> Result<String> {
        self.skip(|character| character == ' ' || character == '\t');
        if self.peek() == Some('\\') {
            self.at += 1;
            let before = self.at;
            self.skip(|character| character == ' ' || character == '\t');
            if self.peek() == Some('\n') {
                self.at += 1;
            } else {
                // The blanks are the text's.
                self.at = before;
            }
        }
        if self.peek().is_none() {
            return Err("expected \\ after 'a', 'c' or 'i'".into());
        }
        let mut text = String::new();
        while let Some(character) = self.next() {
            match character {
                '\n' => break,
                '\\' => match self.next() {
                    Some('t') => text.push('\t'),
                    Some(escaped) => text.push(escaped),
                    None => break,
                },
                other => text.push(other),
            }
        }
        Ok(text)
    }
}

fn pieces(replacement: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = replacement.chars().peekable();
    while let Some(character) = rest.next() {
        let special = match character {
            '&' => Some(Piece::Group(0)),
            '\\' => match rest.next() {
                Some(digit @ '0'..='9') => Some(Piece::Group(digit as usize - '0' as usize)),
                Some(letter @ ('U' | 'L' | 'u' | 'l' | 'E')) => Some(Piece::Case(letter)),
                Some('n') => {
                    literal.push('\n');
                    None
                }
                Some('t') => {
                    literal.push('\t');
                    None
                }
                Some('r') => {
                    literal.push('\r');
                    None
                }
                Some('f') => {
                    literal.push('\x0c');
                    None
                }
                Some('v') => {
                    literal.push('\x0b');
                    None
                }
                Some('a') => {
                    literal.push('\x07');
                    None
                }
                Some(other) => {
                    literal.push(other);
                    None
                }
                None => None,
            },
            other => {
                literal.push(other);
                None
            }
        };
        if let Some(special) = special {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(special);
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    pieces
}
