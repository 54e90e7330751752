//! Patterns: `*`, `?`, `[a-z]`, `[!…]`, `[[:alpha:]]`; a backslash takes the meaning from what follows.

#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Vec<Element>);

#[derive(Debug, Clone, PartialEq)]
enum Element {
    One(char),
    Any,
    Star,
    Set { negated: bool, items: Vec<SetItem> },
}

#[derive(Debug, Clone, PartialEq)]
enum SetItem {
    Range(char, char),
    Class(String),
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let characters: Vec<char> = text.chars().collect();
        let mut elements = Vec::new();
        let mut at = 0;
        while at < characters.len() {
            let element = match characters[at] {
                '*' if elements.last() == Some(&Element::Star) => {
                    at += 1;
                    continue;
                }
                '*' => Element::Star,
                '?' => Element::Any,
                '\\' if at + 1 < characters.len() => {
                    at += 1;
                    Element::One(characters[at])
                }
                '[' => match set(&characters[at + 1..]) {
                    Some((element, length)) => {
                        at += length;
                        element
                    }
                    None => Element::One('['),
                },
                other => Element::One(other),
            };
            elements.push(element);
            at += 1;
        }
        Pattern(elements)
    }

    pub fn matches(&self, text: &str) -> bool {
        match self.0.as_slice() {
            [Element::Star] => true,
            _ => self.matches_all(&text.chars().collect::<Vec<_>>()),
        }
    }

    /// Without recursion: after a failure only the last star takes one character more.
    pub fn matches_all(&self, text: &[char]) -> bool {
        let (mut element, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            match self.0.get(element) {
                Some(Element::Star) => {
                    star = Some((element, at));
                    element += 1;
                    continue;
                }
                None if at == text.len() => return true,
                Some(one) if at < text.len() && one.is(text[at]) => {
                    element += 1;
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match star {
                Some((place, from)) if from < text.len() => {
                    star = Some((place, from + 1));
                    (element, at) = (place + 1, from + 1);
                }
                _ => return false,
            }
        }
    }

    /// What is left of a text without its shortest or longest beginning or end that matches.
    pub fn trim(&self, text: &str, suffix: bool, longest: bool) -> String {
        let characters: Vec<char> = text.chars().collect();
        let count = characters.len();
        let cuts: Box<dyn Iterator<Item = usize>> = if suffix == longest { Box::new(0..=count) } else { Box::new((0..=count).rev()) };
        for cut in cuts {
            let (before, behind) = characters.split_at(cut);
            if self.matches_all(if suffix { behind } else { before }) {
                return if suffix { before } else { behind }.iter().collect();
            }
        }
        text.into()
    }

    /// The text with the first (or each) longest match replaced.
    pub fn replace(&self, text: &str, with: &str, all: bool) -> String {
        let characters: Vec<char> = text.chars().collect();
        let mut out = String::new();
        let mut at = 0;
        while at < characters.len() {
            match (at + 1..=characters.len()).rev().find(|end| self.matches_all(&characters[at..*end])) {
                Some(end) => {
                    out.push_str(with);
                    at = end;
                    if !all {
                        break;
                    }
                }
                None => {
                    out.push(characters[at]);
                    at += 1;
                }
            }
        }
        out.extend(&characters[at..]);
        out
    }
}

impl Element {
    fn is(&self, character: char) -> bool {
        match self {
            Element::One(one) => *one == character,
            Element::Any => true,
            Element::Star => false,
            Element::Set { negated, items } => {
                let inside = items.iter().any(|item| match item {
                    SetItem::Range(from, to) => (*from..=*to).contains(&character),
                    SetItem::Class(name) => is_of(name, character),
                });
                inside != *negated
            }
        }
    }
}

fn is_of(class: &str, character: char) -> bool {
    match class {
        "alpha" => character.is_alphabetic(),
        "digit" => character.is_ascii_digit(),
        "alnum" => character.is_alphanumeric(),
        "upper" => character.is_uppercase(),
        "lower" => character.is_lowercase(),
        "space" => character.is_whitespace(),
        "blank" => matches!(character, ' ' | '\t'),
        "punct" => character.is_ascii_punctuation(),
        "print" => !character.is_control(),
        "graph" => !character.is_control() && character != ' ',
        "cntrl" => character.is_control(),
        "xdigit" => character.is_ascii_hexdigit(),
        _ => false,
    }
}

/// A set behind its `[`, and its length with the `]`; `None` where it never closes.
fn set(text: &[char]) -> Option<(Element, usize)> {
    let mut at = 0;
    let negated = matches!(text.first(), Some('!' | '^'));
    at += usize::from(negated);
    let first = at;
    let mut items = Vec::new();
    loop {
        let character = *text.get(at)?;
        if character == ']' && at > first {
            return Some((Element::Set { negated, items }, at + 1));
        }
        if character == '[' && text.get(at + 1) == Some(&':') {
            let rest = &text[at + 2..];
            if let Some(end) = rest.windows(2).position(|pair| pair == [':', ']']) {
                items.push(SetItem::Class(rest[..end].iter().collect()));
                at += end + 4;
                continue;
            }
        }
        let (from, mut next) = literal(text, at)?;
        let mut to = from;
        if text.get(next) == Some(&'-') && text.get(next + 1).is_some_and(|end| *end != ']') {
            (to, next) = literal(text, next + 1)?;
        }
        items.push(SetItem::Range(from, to));
        at = next;
    }
}

fn literal(text: &[char], at: usize) -> Option<(char, usize)> {
    match *text.get(at)? {
        '\\' => text.get(at + 1).map(|escaped| (*escaped, at + 2)),
        other => Some((other, at + 1)),
    }
}

/// Whether a text may match anything but itself: a `[` without its `]` does not.
pub fn is_special(text: &str) -> bool {
    text.contains(['*', '?']) || text.find('[').is_some_and(|at| text[at..].contains(']'))
}

/// A text as a pattern that matches only itself.
pub fn escape(text: &str, to: &mut String) {
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '-' | '!' | '^') {
            to.push('\\');
        }
        to.push(character);
    }
}
