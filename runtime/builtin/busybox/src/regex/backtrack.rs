//! Matching with back-references: tries one way after the other, the greedy one first.

use super::Groups;
use super::parse::{Assertion, Node};

/// Steps after which a match is given up.
const PATIENCE: u32 = 5_000_000;

/// The leftmost match that begins at `from` or later.
pub fn find(node: &Node, text: &[u8], from: usize, groups: usize, ignore_case: bool) -> Option<Groups> {
    let mut matcher = Matcher { text, groups: vec![None; groups], ignore_case, steps: 0 };
    let mut begin = from;
    loop {
        matcher.groups.fill(None);
        let mut end = None;
        if matcher.run(node, begin, &mut |_, at| {
            end = Some(at);
            true
        }) {
            matcher.groups[0] = Some((begin, end?));
            return Some(matcher.groups);
        }
        if begin >= text.len() || matcher.steps > PATIENCE {
            return None;
        }
        begin += character(text, begin).map_or(1, |(_, length)| length);
    }
}

struct Matcher<'a> {
    text: &'a [u8],
    groups: Groups,
    ignore_case: bool,
    steps: u32,
}

/// What has to match behind a node.
type Next<'n, 'a> = &'n mut dyn FnMut(&mut Matcher<'a>, usize) -> bool;

impl<'a> Matcher<'a> {
    fn run(&mut self, node: &Node, at: usize, next: Next<'_, 'a>) -> bool {
        self.steps += 1;
        if self.steps > PATIENCE {
            return false;
        }
        match node {
            Node::Empty => next(self, at),
            Node::Char(expected) => self.one(at, |found, same| same(found, *expected), next),
            Node::Any => self.one(at, |_, _| true, next),
            Node::Set { negated, ranges } => self.one(
                at,
                |found, same| ranges.iter().any(|(from, to)| (*from..=*to).contains(&found) || same(found, *from) || same(found, *to)) != *negated,
                next,
            ),
            Node::Assert(assertion) => self.holds(*assertion, at) && next(self, at),
            Node::Group(index, inner) => {
                let before = self.groups[*index];
                let index = *index;
                let matched = self.run(inner, at, &mut |matcher, end| {
                    let inside = matcher.groups[index];
                    matcher.groups[index] = Some((at, end));
                    let matched = next(matcher, end);
                    if !matched {
                        matcher.groups[index] = inside;
                    }
                    matched
                });
                if !matched {
                    self.groups[index] = before;
                }
                matched
            }
            Node::Concat(nodes) => self.sequence(nodes, at, next),
            Node::Alternate(nodes) => nodes.iter().any(|node| self.run(node, at, next)),
            Node::Repeat { inner, min, max } => self.repeat(inner, *min, *max, at, next),
            Node::Back(index) => {
                let Some((from, to)) = self.groups[*index] else { return false };
                let length = to - from;
                let Some(found) = self.text.get(at..at + length) else { return false };
                let expected = &self.text[from..to];
                let same = if self.ignore_case { found.eq_ignore_ascii_case(expected) } else { found == expected };
                same && next(self, at + length)
            }
        }
    }

    fn sequence(&mut self, nodes: &[Node], at: usize, next: Next<'_, 'a>) -> bool {
        match nodes.split_first() {
            None => next(self, at),
            Some((first, rest)) => self.run(first, at, &mut |matcher, end| matcher.sequence(rest, end, next)),
        }
    }

    fn repeat(&mut self, inner: &Node, min: u32, max: Option<u32>, at: usize, next: Next<'_, 'a>) -> bool {
        if matches!(inner, Node::Char(_) | Node::Any | Node::Set { .. }) {
            return self.repeat_one(inner, min, max, at, next);
        }
        if max != Some(0) {
            let more = self.run(inner, at, &mut |matcher, end| {
                // A turn that takes nothing would go on for ever.
                (end > at || min > 0) && matcher.repeat(inner, min.saturating_sub(1), max.map(|max| max - 1), end, next)
            });
            if more {
                return true;
            }
        }
        min == 0 && next(self, at)
    }

    /// Of single characters, without recursion.
    fn repeat_one(&mut self, inner: &Node, min: u32, max: Option<u32>, at: usize, next: Next<'_, 'a>) -> bool {
        let mut ends = vec![at];
        let mut end = at;
        while max.is_none_or(|max| (ends.len() as u32) <= max) {
            let mut after = None;
            if !self.run(inner, end, &mut |_, at| {
                after = Some(at);
                true
            }) {
                break;
            }
            end = after.unwrap_or(end);
            ends.push(end);
        }
        ends.iter().skip(min as usize).rev().any(|end| next(self, *end))
    }

    fn one(&mut self, at: usize, accepts: impl Fn(char, &dyn Fn(char, char) -> bool) -> bool, next: Next<'_, 'a>) -> bool {
        let Some((found, length)) = character(self.text, at) else { return false };
        let ignore_case = self.ignore_case;
        let same = |a: char, b: char| a == b || ignore_case && a.to_lowercase().eq(b.to_lowercase());
        accepts(found, &same) && next(self, at + length)
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let before = at.checked_sub(1).is_some_and(|at| word(self.text.get(at)));
        let behind = word(self.text.get(at));
        match assertion {
            Assertion::Start => at == 0,
            Assertion::End => at == self.text.len(),
            Assertion::Word => before != behind,
            Assertion::NotWord => before == behind,
            Assertion::WordStart => !before && behind,
            Assertion::WordEnd => before && !behind,
        }
    }
}

/// The character at a place, and its length.
fn character(text: &[u8], at: usize) -> Option<(char, usize)> {
    let rest = text.get(at..)?;
    let first = *rest.first()?;
    if first < 0x80 {
        return Some((char::from(first), 1));
    }
    let longest = &rest[..rest.len().min(4)];
    let valid = match std::str::from_utf8(longest) {
        Ok(valid) => valid,
        Err(error) => std::str::from_utf8(&longest[..error.valid_up_to()]).ok()?,
    };
    valid.chars().next().map(|character| (character, character.len_utf8()))
}
