//! Patterns as trees.

use super::Syntax;

/// The most that a counted repetition may ask for: RE_DUP_MAX.
const MOST: u32 = 32767;
/// How deep groups may nest.
const DEEPEST: usize = 200;

/// A pattern, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Empty,
    Char(char),
    /// `.`
    Any,
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Assert(Assertion),
    Group(usize, Box<Node>),
    Concat(Vec<Node>),
    Alternate(Vec<Node>),
    Repeat {
        inner: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
    /// `\1`
    Back(usize),
}

/// What holds between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assertion {
    Start,
    End,
    Word,
    NotWord,
    WordStart,
    WordEnd,
}

/// Reads a pattern: its tree, and how many groups it has.
pub fn parse(pattern: &str, syntax: Syntax) -> Result<(Node, usize), String> {
    let mut parser = Parser { text: pattern.chars().collect(), at: 0, syntax, groups: 0, closed: Vec::new(), depth: 0 };
    let node = parser.alternatives()?;
    if parser.at < parser.text.len() {
        return Err("Unmatched ) or \\)".into());
    }
    Ok((node, parser.groups))
}

pub fn has_back_reference(node: &Node) -> bool {
    match node {
        Node::Back(_) => true,
        Node::Group(_, inner) | Node::Repeat { inner, .. } => has_back_reference(inner),
        Node::Concat(nodes) | Node::Alternate(nodes) => nodes.iter().any(has_back_reference),
        _ => false,
    }
}

/// The same letter in the other cases.
pub fn other_cases(character: char) -> impl Iterator<Item = char> {
    let mut lower = character.to_lowercase();
    let mut upper = character.to_uppercase();
    let lower = lower.next().filter(|_| lower.next().is_none());
    let upper = upper.next().filter(|_| upper.next().is_none());
    lower.into_iter().chain(upper).filter(move |other| *other != character)
}

/// The ranges of a class such as `alpha`.
pub fn class(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alpha" => &[
            ('A', 'Z'),
            ('a', 'z'),
            ('\u{aa}', '\u{aa}'),
            ('\u{b5}', '\u{b5}'),
            ('\u{ba}', '\u{ba}'),
            ('\u{c0}', '\u{d6}'),
            ('\u{d8}', '\u{f6}'),
            ('\u{f8}', '\u{1fff}'),
            ('\u{2c00}', '\u{2fef}'),
            ('\u{3040}', '\u{d7ff}'),
            ('\u{f900}', '\u{fdff}'),
        ],
        "digit" => &[('0', '9')],
        "alnum" => &[
            ('0', '9'),
            ('A', 'Z'),
            ('a', 'z'),
            ('\u{aa}', '\u{aa}'),
            ('\u{b5}', '\u{b5}'),
            ('\u{ba}', '\u{ba}'),
            ('\u{c0}', '\u{d6}'),
            ('\u{d8}', '\u{f6}'),
            ('\u{f8}', '\u{1fff}'),
            ('\u{2c00}', '\u{2fef}'),
            ('\u{3040}', '\u{d7ff}'),
            ('\u{f900}', '\u{fdff}'),
        ],
        "upper" => &[('A', 'Z'), ('\u{c0}', '\u{d6}'), ('\u{d8}', '\u{de}'), ('\u{391}', '\u{3a9}'), ('\u{410}', '\u{42f}')],
        "lower" => &[('a', 'z'), ('\u{df}', '\u{f6}'), ('\u{f8}', '\u{ff}'), ('\u{3b1}', '\u{3c9}'), ('\u{430}', '\u{44f}')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "print" => &[(' ', '~'), ('\u{a0}', '\u{10ffff}')],
        "graph" => &[('!', '~'), ('\u{a1}', '\u{10ffff}')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const SPACE: &[(char, char)] = &[('\t', '\r'), (' ', ' ')];

struct Parser {
    text: Vec<char>,
    at: usize,
    syntax: Syntax,
    groups: usize,
    /// Groups that are complete: what may be referred back to.
    closed: Vec<usize>,
    depth: usize,
}

impl Parser {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// Whether an operator stands here: a bare character in an extended expression, one with a backslash in a basic one.
    fn operator(&self, character: char) -> bool {
        if self.syntax.extended { self.peek(0) == Some(character) } else { self.peek(0) == Some('\\') && self.peek(1) == Some(character) }
    }

    fn skip_operator(&mut self) {
        self.at += if self.syntax.extended { 1 } else { 2 };
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut nodes = vec![self.branch()?];
        while self.operator('|') {
            self.skip_operator();
            nodes.push(self.branch()?);
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Alternate(nodes) })
    }

    fn branch(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        while self.at < self.text.len() && !self.operator('|') {
            if self.operator(')') && (self.depth > 0 || !self.syntax.extended) {
                break;
            }
            let node = self.atom(nodes.is_empty())?;
            let node = self.repeated(node)?;
            nodes.push(node);
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.remove(0),
            _ => Node::Concat(nodes),
        })
    }

    /// `first`: nothing stands before it in its branch. A `*` that comes here has nothing to repeat, and is itself.
    fn atom(&mut self, first: bool) -> Result<Node, String> {
        let Some(character) = self.peek(0) else { return Ok(Node::Empty) };
        if self.operator('(') {
            self.skip_operator();
            return self.group();
        }
        self.at += 1;
        Ok(match character {
            '\\' => return self.escape(),
            '[' => return self.set(),
            '.' => Node::Any,
            '^' if self.syntax.extended || first => Node::Assert(Assertion::Start),
            '$' if self.syntax.extended || self.at == self.text.len() || self.operator(')') || self.operator('|') => Node::Assert(Assertion::End),
            other => Node::Char(other),
        })
    }

    fn group(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("Regular expression too big".into());
        }
        self.groups += 1;
        let index = self.groups;
        let inner = self.alternatives()?;
        if !self.operator(')') {
            return Err("Unmatched ( or \\(".into());
        }
        self.skip_operator();
        self.depth -= 1;
        self.closed.push(index);
        Ok(Node::Group(index, Box::new(inner)))
    }

    fn repeated(&mut self, mut node: Node) -> Result<Node, String> {
        let anchor = matches!(node, Node::Assert(Assertion::Start)) && !self.syntax.extended;
        loop {
            let extended = self.syntax.extended;
            let (min, max) = match self.peek(0) {
                Some('*') if !anchor => {
                    self.at += 1;
                    (0, None)
                }
                _ if self.operator('+') => {
                    self.skip_operator();
                    (1, None)
                }
                _ if self.operator('?') => {
                    self.skip_operator();
                    (0, Some(1))
                }
                _ if self.operator('{') => {
                    let before = self.at;
                    self.skip_operator();
                    match self.interval()? {
                        Some(bounds) => bounds,
                        // No interval: the brace is itself.
                        None if extended => {
                            self.at = before;
                            return Ok(node);
                        }
                        None => return Err("Invalid content of \\{\\}".into()),
                    }
                }
                _ => return Ok(node),
            };
            node = Node::Repeat { inner: Box::new(node), min, max };
        }
    }

    /// `2}`, `2,}`, `2,5}`, `,5}`.
    fn interval(&mut self) -> Result<Option<(u32, Option<u32>)>, String> {
        let min = self.number();
        let max = if self.peek(0) == Some(',') {
            self.at += 1;
            self.number()
        } else if min.is_none() {
            return Ok(None);
        } else {
            min
        };
        if !self.operator('}') {
            return if self.syntax.extended { Ok(None) } else { Err("Unmatched \\{".into()) };
        }
        let ends_open = self.text.get(self.at - 1) == Some(&',');
        self.skip_operator();
        let max = if ends_open { None } else { max };
        let min = min.unwrap_or(0);
        if min > MOST || max.is_some_and(|max| max > MOST || max < min) {
            return Err("Invalid content of \\{\\}".into());
        }
        Ok(Some((min, max)))
    }

    fn number(&mut self) -> Option<u32> {
        let mut value = None;
        while let Some(digit) = self.peek(0).and_then(|character| character.to_digit(10)) {
            self.at += 1;
            value = Some(value.unwrap_or(0u32).saturating_mul(10).saturating_add(digit));
        }
        value
    }

    /// Behind a backslash that begins no operator.
    fn escape(&mut self) -> Result<Node, String> {
        let Some(character) = self.peek(0) else { return Err("Trailing backslash".into()) };
        self.at += 1;
        let set = |negated, ranges: &[(char, char)]| Node::Set { negated, ranges: ranges.to_vec() };
        Ok(match character {
            '1'..='9' if !self.syntax.escapes || self.closed.contains(&(character as usize - '0' as usize)) => {
                let index = character as usize - '0' as usize;
                if !self.closed.contains(&index) {
                    return Err("Invalid back reference".into());
                }
                Node::Back(index)
            }
            'w' => set(false, WORD),
            'W' => set(true, WORD),
            's' => set(false, SPACE),
            'S' => set(true, SPACE),
            'b' => Node::Assert(Assertion::Word),
            'B' => Node::Assert(Assertion::NotWord),
            '<' => Node::Assert(Assertion::WordStart),
            '>' => Node::Assert(Assertion::WordEnd),
            '`' => Node::Assert(Assertion::Start),
            '\'' => Node::Assert(Assertion::End),
            // In a basic expression these would be operators where they stand.
            '{' | '}' | '(' | ')' | '|' | '+' | '?' => Node::Char(character),
            other => Node::Char(self.simple_escape(other)),
        })
    }

    /// `\n`, `\t`, `\x41`, `\101`, where the syntax has them.
    fn simple_escape(&mut self, character: char) -> char {
        if !self.syntax.escapes {
            return character;
        }
        match character {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\x0c',
            'v' => '\x0b',
            'a' => '\x07',
            'x' => self.digits(16, 2).unwrap_or('x'),
            '0'..='7' => {
                self.at -= 1;
                self.digits(8, 3).unwrap_or(character)
            }
            other => other,
        }
    }

    fn digits(&mut self, radix: u32, most: usize) -> Option<char> {
        let mut value = None;
        for _ in 0..most {
            let Some(digit) = self.peek(0).and_then(|character| character.to_digit(radix)) else { break };
            self.at += 1;
            value = Some(value.unwrap_or(0) * radix + digit);
        }
        value.and_then(char::from_u32)
    }

    /// A bracket expression behind its `[`.
    fn set(&mut self) -> Result<Node, String> {
        let unmatched = || "Unmatched [, [^, [:, [., or [=".to_string();
        let negated = self.peek(0) == Some('^');
        self.at += usize::from(negated);
        let mut ranges = Vec::new();
        let mut first = true;
        loop {
            let character = self.peek(0).ok_or_else(unmatched)?;
            if character == ']' && !first {
                self.at += 1;
                return Ok(Node::Set { negated, ranges });
            }
            first = false;
            if character == '[' && self.peek(1) == Some(':') {
                let name = self.delimited(':').ok_or_else(unmatched)?;
                ranges.extend(class(&name).ok_or_else(|| "Invalid character class name".to_string())?);
                continue;
            }
            let from = self.member().ok_or_else(unmatched)?;
            let mut to = from;
            if self.peek(0) == Some('-') && self.peek(1).is_some_and(|next| next != ']') {
                self.at += 1;
                to = self.member().ok_or_else(unmatched)?;
            }
            if from > to {
                return Err("Invalid range end".into());
            }
            ranges.push((from, to));
        }
    }

    /// A character of a set: itself, `[.x.]`, `[=x=]`, or an escape where the syntax has them.
    fn member(&mut self) -> Option<char> {
        let character = self.peek(0)?;
        if character == '['
            && let Some(mark @ ('.' | '=')) = self.peek(1)
        {
            return self.delimited(mark)?.chars().next();
        }
        self.at += 1;
        if character == '\\'
            && self.syntax.escapes
            && let Some(next) = self.peek(0)
        {
            if matches!(next, 'n' | 't' | 'r' | 'f' | 'v' | 'a' | 'x' | '0'..='7') || self.syntax.awk {
                self.at += 1;
                return Some(self.simple_escape(next));
            }
        }
        Some(character)
    }

    /// What stands between `[:` and `:]`.
    fn delimited(&mut self, mark: char) -> Option<String> {
        let rest = &self.text[self.at + 2..];
        let end = rest.windows(2).position(|pair| pair == [mark, ']'])?;
        let name = rest[..end].iter().collect();
        self.at += end + 4;
        Some(name)
    }
}
