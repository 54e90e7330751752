//! POSIX regular expressions: basic and extended, leftmost-longest, with the common extensions (`\+ \? \| \w \s \b \<`).
//!
//! [`parse`] makes a tree of a pattern. `regex-automata` runs it, in time linear in the text. What no automaton can do,
//! back-references, is done by [`backtrack`].

mod backtrack;
mod parse;

use std::cell::RefCell;

use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{self, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

pub use parse::class;
use parse::{Assertion, Node};

/// What an automaton may take.
const LARGEST: usize = 16 << 20;

/// How a pattern is to be read.
#[derive(Clone, Copy, Default, Debug)]
pub struct Syntax {
    /// An extended expression, not a basic one.
    pub extended: bool,
    /// Upper case is lower case.
    pub ignore_case: bool,
    /// `\n`, `\t` and their like stand for characters, as in sed and awk.
    pub escapes: bool,
    /// A backslash takes the meaning from any character of a bracket expression, as in awk.
    pub awk: bool,
}

/// Where a match and its groups are: bytes of the text; the match itself comes first.
pub type Groups = Vec<Option<(usize, usize)>>;

/// A compiled pattern.
pub struct Regex {
    engine: Engine,
    groups: usize,
}

enum Engine {
    /// A text that stands for itself.
    Literal(Box<memchr::memmem::Finder<'static>>, usize),
    Automaton(Box<Automaton>),
    Backtracking(Node, bool),
}

/// The first machine finds where the leftmost match begins, the second where the longest one from there ends.
struct Automaton {
    leftmost: PikeVM,
    longest: PikeVM,
    caches: RefCell<(pikevm::Cache, pikevm::Cache)>,
}

impl Regex {
    /// Compiles a pattern.
    pub fn new(pattern: &str, syntax: Syntax) -> Result<Regex, String> {
        let (node, groups) = parse::parse(pattern, syntax)?;
        let engine = if parse::has_back_reference(&node) {
            Engine::Backtracking(node, syntax.ignore_case)
        } else if let Some(text) = literal(&node).filter(|text| !text.is_empty() && !syntax.ignore_case) {
            let length = text.len();
            Engine::Literal(Box::new(memchr::memmem::Finder::new(&text).into_owned()), length)
        } else {
            Engine::Automaton(Box::new(Automaton::new(&node, syntax.ignore_case)?))
        };
        Ok(Regex { engine, groups: groups + 1 })
    }

    /// How many groups a match has, itself included.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether it is found anywhere.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match &self.engine {
            Engine::Literal(finder, _) => finder.find(text).is_some(),
            Engine::Automaton(automaton) => automaton.leftmost.is_match(&mut automaton.caches.borrow_mut().0, Input::new(text)),
            Engine::Backtracking(..) => self.find_at(text, 0).is_some(),
        }
    }

    /// The leftmost match that begins at `from` or later, the longest of those. `^` is the beginning of the text, not `from`.
    pub fn find_at(&self, text: &[u8], from: usize) -> Option<Groups> {
        match &self.engine {
            Engine::Literal(finder, length) => finder.find(&text[from..]).map(|at| vec![Some((from + at, from + at + length))]),
            Engine::Automaton(automaton) => automaton.find(text, from, self.groups),
            Engine::Backtracking(node, ignore_case) => backtrack::find(node, text, from, self.groups, *ignore_case),
        }
    }
}

impl Automaton {
    fn new(node: &Node, ignore_case: bool) -> Result<Automaton, String> {
        let nfa = compile(&translate(node, ignore_case))?;
        let build = |kind| {
            let mut builder = PikeVM::builder();
            builder.configure(pikevm::Config::new().match_kind(kind));
            builder.build_from_nfa(nfa.clone()).map_err(|error| error.to_string())
        };
        let (leftmost, longest) = (build(MatchKind::LeftmostFirst)?, build(MatchKind::All)?);
        let caches = RefCell::new((leftmost.create_cache(), longest.create_cache()));
        Ok(Automaton { leftmost, longest, caches })
    }

    fn find(&self, text: &[u8], from: usize, groups: usize) -> Option<Groups> {
        let caches = &mut *self.caches.borrow_mut();
        let mut slots: Vec<Option<NonMaxUsize>> = vec![None; 2];
        self.leftmost.search_slots(&mut caches.0, &Input::new(text).span(from..text.len()), &mut slots)?;
        let begin = slots[0]?.get();
        slots = vec![None; groups * 2];
        let input = Input::new(text).span(begin..text.len()).anchored(Anchored::Yes);
        self.longest.search_slots(&mut caches.1, &input, &mut slots)?;
        Some(slots.chunks(2).map(|pair| Some((pair[0]?.get(), pair[1]?.get()))).collect())
    }
}

fn compile(hir: &Hir) -> Result<NFA, String> {
    let config = thompson::Config::new().utf8(false).nfa_size_limit(Some(LARGEST));
    thompson::Compiler::new().configure(config).build_from_hir(hir).map_err(|_| "Regular expression too big".to_string())
}

fn literal(node: &Node) -> Option<String> {
    match node {
        Node::Char(character) => Some(character.to_string()),
        Node::Concat(nodes) => nodes.iter().map(literal).collect(),
        _ => None,
    }
}

fn translate(node: &Node, ignore_case: bool) -> Hir {
    let of = |node: &Node| translate(node, ignore_case);
    match node {
        Node::Empty => Hir::empty(),
        Node::Char(character) if ignore_case && character.is_alphabetic() => set(false, &[(*character, *character)], true),
        Node::Char(character) => Hir::literal(character.to_string().into_bytes()),
        Node::Any => set(true, &[], false),
        Node::Set { negated, ranges } => set(*negated, ranges, ignore_case),
        Node::Assert(assertion) => Hir::look(match assertion {
            Assertion::Start => Look::Start,
            Assertion::End => Look::End,
            Assertion::Word => Look::WordAscii,
            Assertion::NotWord => Look::WordAsciiNegate,
            Assertion::WordStart => Look::WordStartAscii,
            Assertion::WordEnd => Look::WordEndAscii,
        }),
        Node::Group(index, inner) => Hir::capture(hir::Capture { index: *index as u32, name: None, sub: Box::new(of(inner)) }),
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(of).collect()),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(of).collect()),
        Node::Repeat { inner, min, max } => Hir::repetition(Repetition { min: *min, max: *max, greedy: true, sub: Box::new(of(inner)) }),
        Node::Back(_) => Hir::fail(),
    }
}

fn set(negated: bool, ranges: &[(char, char)], ignore_case: bool) -> Hir {
    let mut all = ClassUnicode::new(ranges.iter().map(|(from, to)| ClassUnicodeRange::new(*from, *to)));
    if ignore_case {
        for (from, to) in ranges {
            // Ranges of letters that have two cases are short.
            for character in (*from..=*to).take(4096) {
                for other in parse::other_cases(character) {
                    all.push(ClassUnicodeRange::new(other, other));
                }
            }
        }
    }
    if negated {
        all.negate();
    }
    Hir::class(Class::Unicode(all))
}
