//! What a program of awk is.

use std::rc::Rc;

#[derive(Debug, Default)]
pub struct Program {
    pub begin: Vec<Statement>,
    pub end: Vec<Statement>,
    pub has_end: bool,
    pub rules: Vec<Rule>,
    pub functions: Vec<Function>,
    /// Names of global variables; an index is a variable.
    pub globals: Vec<Rc<str>>,
}

#[derive(Debug)]
pub struct Rule {
    pub pattern: Option<Expr>,
    /// With it, the rule is a range.
    pub until: Option<Expr>,
    /// None prints the record.
    pub body: Option<Vec<Statement>>,
}

#[derive(Debug, Default)]
pub struct Function {
    pub name: Rc<str>,
    pub parameters: Vec<Rc<str>>,
    pub body: Vec<Statement>,
    pub defined: bool,
}

#[derive(Debug)]
pub enum Statement {
    Expr(Expr),
    Print { values: Vec<Expr>, to: Option<(Sink, Expr)> },
    Printf { values: Vec<Expr>, to: Option<(Sink, Expr)> },
    If(Expr, Vec<Statement>, Vec<Statement>),
    While(Expr, Vec<Statement>),
    Do(Vec<Statement>, Expr),
    For(Option<Box<Statement>>, Option<Expr>, Option<Box<Statement>>, Vec<Statement>),
    ForIn(Target, Variable, Vec<Statement>),
    Block(Vec<Statement>),
    Break,
    Continue,
    Next,
    NextFile,
    Exit(Option<Expr>),
    Return(Option<Expr>),
    Delete(Variable, Option<Vec<Expr>>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sink {
    File,
    Append,
    Command,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Variable {
    Global(usize),
    Local(usize),
}

/// What can be assigned to.
#[derive(Debug)]
pub enum Target {
    Variable(Variable),
    Field(Box<Expr>),
    Element(Variable, Vec<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Concatenate,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub enum Expr {
    Number(f64),
    Text(Rc<str>),
    /// By itself: whether the record matches.
    Regex(Rc<str>),
    Target(Target),
    Assign(Target, Box<Expr>),
    Update(Target, Operator, Box<Expr>),
    Increment {
        target: Target,
        by: f64,
        before: bool,
    },
    Conditional(Box<Expr>, Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Binary(Operator, Box<Expr>, Box<Expr>),
    Match {
        negated: bool,
        text: Box<Expr>,
        regex: Box<Expr>,
    },
    In(Vec<Expr>, Variable),
    /// `(a, b)`: the arguments of `print`, or the key of `in`.
    List(Vec<Expr>),
    Call(usize, Vec<Expr>),
    Builtin(&'static str, Vec<Expr>),
    Getline {
        target: Option<Target>,
        source: Source,
    },
}

#[derive(Debug)]
pub enum Source {
    Input,
    File(Box<Expr>),
    Command(Box<Expr>),
}
