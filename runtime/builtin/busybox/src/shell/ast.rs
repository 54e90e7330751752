//! What a script is, once it was read.

use std::cell::OnceCell;
use std::rc::Rc;

/// Commands one after the other.
pub type List = Vec<Item>;

/// `AND-OR ;` or `AND-OR &`.
#[derive(Debug)]
pub struct Item {
    pub and_or: Rc<AndOr>,
    pub background: bool,
}

/// `a && b || c`
#[derive(Debug)]
pub struct AndOr {
    pub first: Pipeline,
    /// `true` is `&&`.
    pub rest: Vec<(bool, Pipeline)>,
}

impl AndOr {
    /// Whether it is neither a chain nor a pipeline.
    pub fn is_one_command(&self) -> bool {
        self.rest.is_empty() && self.first.stages.len() == 1
    }
}

/// `! a | b`
#[derive(Debug)]
pub struct Pipeline {
    pub negated: bool,
    pub stages: Vec<Rc<Command>>,
}

/// A command and where its descriptors lead.
#[derive(Debug)]
pub struct Command {
    pub kind: Kind,
    pub redirects: Vec<Redirect>,
    pub line: u32,
}

#[derive(Debug)]
pub enum Kind {
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    Group(List),
    Subshell(Rc<List>),
    If {
        arms: Vec<(List, List)>,
        otherwise: List,
    },
    /// No words: `"$@"`.
    For {
        name: String,
        words: Option<Vec<Word>>,
        body: List,
    },
    While {
        until: bool,
        condition: List,
        body: List,
    },
    Case {
        word: Word,
        arms: Vec<Arm>,
    },
    Function {
        name: String,
        body: Rc<Command>,
    },
    /// `[[ … ]]`
    Test(Condition),
}

/// What stands between `[[` and `]]`.
#[derive(Debug)]
pub enum Condition {
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    /// Whether a word is not empty.
    Word(Word),
    Unary(String, Word),
    Binary(Word, String, Word),
}

/// `pattern | pattern) list ;;`
#[derive(Debug)]
pub struct Arm {
    pub patterns: Vec<Word>,
    pub body: List,
    /// `;&`: the next arm's list, too.
    pub falls: bool,
}

#[derive(Debug)]
pub struct Redirect {
    /// The descriptor's number, where it is given.
    pub number: Option<u32>,
    pub to: To,
}

#[derive(Debug)]
pub enum To {
    Read(Word),
    Write {
        word: Word,
        clobber: bool,
    },
    Append(Word),
    ReadWrite(Word),
    /// `<&n`, `>&n`, `>&-`; the flag says `<`.
    Duplicate {
        word: Word,
        input: bool,
    },
    /// `&>file`
    Both(Word),
    /// `<<word`; filled when its line ends.
    Here(Rc<OnceCell<Word>>),
    /// `<<<word`
    HereString(Word),
}

/// A word: its parts one after the other.
pub type Word = Vec<Part>;

#[derive(Debug, Clone)]
pub enum Part {
    /// As it stands, unquoted.
    Literal(String),
    /// In single quotes, or behind a backslash.
    Quoted(String),
    /// In double quotes.
    Double(Word),
    Parameter(Rc<Parameter>),
    Command(Rc<List>),
    Arithmetic(Word),
}

/// `${name…}`
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    pub operation: Operation,
}

#[derive(Debug)]
pub enum Operation {
    Value,
    Length,
    /// `-`, `=`, `?` or `+`, and whether an empty value counts as none (`:`).
    Absent {
        operator: u8,
        null: bool,
        word: Word,
    },
    /// `#`, `##`, `%`, `%%`.
    Trim {
        suffix: bool,
        longest: bool,
        pattern: Word,
    },
    /// `/`, `//`.
    Replace {
        all: bool,
        pattern: Word,
        with: Word,
    },
    /// `:offset:length`
    Slice {
        offset: Word,
        length: Option<Word>,
    },
}

/// The text of a word that is nothing but unquoted text.
pub fn literal(word: &[Part]) -> Option<&str> {
    match word {
        [Part::Literal(text)] => Some(text),
        _ => None,
    }
}
