//! From words and operators to commands.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::ast::{AndOr, Arm, Command, Condition, Item, Kind, List, Part, Pipeline, Redirect, To, Word, literal};
use super::lex::{DEEPEST, Lexer, Token};

/// Why a text is no script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syntax {
    /// It may become one when more is read.
    Incomplete,
    Wrong {
        message: String,
        line: u32,
    },
}

type Result<T> = std::result::Result<T, Syntax>;

pub struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Tokens that were read and not taken yet: one, or what an alias stands for.
    ahead: VecDeque<Token>,
    aliases: Aliases,
}

/// What `alias` has named.
pub type Aliases = Rc<BTreeMap<String, String>>;

impl<'a> Parser<'a> {
    /// `whole`: the text's end is the script's.
    pub fn new(text: &'a str, line: u32, whole: bool) -> Parser<'a> {
        Parser { lexer: Lexer::new(text, line, whole), ahead: VecDeque::new(), aliases: Rc::default() }
    }

    /// Where the next command begins.
    pub fn at(&self) -> usize {
        self.lexer.at
    }

    pub fn line(&self) -> u32 {
        self.lexer.line
    }

    /// What first words of commands stand for, from here on.
    pub fn set_aliases(&mut self, aliases: &Aliases) {
        self.aliases = aliases.clone();
    }

    pub fn set_depth(&mut self, depth: u32) {
        self.lexer.depth = depth;
    }

    /// The commands up to the end of a line; `None` at the end of the text.
    pub fn line_of_commands(&mut self) -> Result<Option<List>> {
        loop {
            match self.peek()? {
                Token::Newline => self.skip(),
                Token::End => return Ok(None),
                _ => break,
            }
        }
        let list = self.list(true)?;
        match self.peek()? {
            Token::Newline | Token::End => {
                self.skip();
                Ok(Some(list))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// All of the text.
    pub fn script(&mut self) -> Result<List> {
        let list = self.list(false)?;
        if matches!(self.peek()?, Token::End) { Ok(list) } else { Err(self.unexpected()) }
    }

    /// Up to the parenthesis that closes `$(`.
    pub fn substitution(&mut self) -> Result<List> {
        let list = self.list(false)?;
        self.expect(")")?;
        Ok(list)
    }

    fn peek(&mut self) -> Result<&Token> {
        if self.ahead.is_empty() {
            self.ahead.push_back(self.lexer.token()?);
        }
        Ok(self.ahead.front().unwrap_or(&Token::End))
    }

    fn skip(&mut self) {
        self.ahead.pop_front();
    }

    fn next(&mut self) -> Result<Token> {
        self.peek()?;
        Ok(self.ahead.pop_front().unwrap_or(Token::End))
    }

    fn is(&mut self, operator: &str) -> Result<bool> {
        Ok(matches!(self.peek()?, Token::Operator(found) if *found == operator))
    }

    fn take(&mut self, operator: &str) -> Result<bool> {
        let found = self.is(operator)?;
        if found {
            self.skip();
        }
        Ok(found)
    }

    fn expect(&mut self, operator: &str) -> Result<()> {
        if self.take(operator)? { Ok(()) } else { Err(self.expected(operator)) }
    }

    fn reserved(&mut self) -> Result<Option<&str>> {
        Ok(match self.peek()? {
            Token::Word(word) => literal(word),
            _ => None,
        })
    }

    fn take_reserved(&mut self, name: &str) -> Result<bool> {
        let found = self.reserved()? == Some(name);
        if found {
            self.skip();
        }
        Ok(found)
    }

    fn expect_reserved(&mut self, name: &str) -> Result<()> {
        if self.take_reserved(name)? { Ok(()) } else { Err(self.expected(name)) }
    }

    fn newlines(&mut self) -> Result<()> {
        while matches!(self.peek()?, Token::Newline) {
            self.skip();
        }
        Ok(())
    }

    /// The next token is wrong here.
    fn unexpected(&mut self) -> Syntax {
        let name = match self.peek() {
            Err(error) => return error,
            Ok(Token::End) => return self.lexer.unfinished("unexpected end of file"),
            Ok(Token::Newline) => "newline".into(),
            Ok(Token::Operator(operator)) => format!("\"{operator}\""),
            Ok(Token::Number(number)) => format!("\"{number}\""),
            Ok(Token::Word(word)) => literal(word).map_or("word".into(), |text| format!("\"{text}\"")),
        };
        self.lexer.error(format!("syntax error: unexpected {name}"))
    }

    fn expected(&mut self, what: &str) -> Syntax {
        match self.unexpected() {
            Syntax::Wrong { message, line } => Syntax::Wrong { message: format!("{message} (expecting \"{what}\")"), line },
            incomplete => incomplete,
        }
    }

    fn list(&mut self, line: bool) -> Result<List> {
        let mut list = List::new();
        loop {
            if !line {
                self.newlines()?;
            }
            let ends = match self.peek()? {
                Token::End | Token::Operator(")" | ";;" | ";&") => true,
                Token::Newline => line,
                Token::Word(word) => {
                    matches!(literal(word), Some("then" | "else" | "elif" | "fi" | "do" | "done" | "esac" | "}"))
                }
                _ => false,
            };
            if ends {
                return Ok(list);
            }
            let and_or = Rc::new(self.and_or()?);
            let background = self.take("&")?;
            let separated = background || self.take(";")? || (!line && matches!(self.peek()?, Token::Newline));
            list.push(Item { and_or, background });
            if !separated {
                return Ok(list);
            }
        }
    }

    /// A list that may not be empty.
    fn body(&mut self) -> Result<List> {
        let list = self.list(false)?;
        if list.is_empty() { Err(self.unexpected()) } else { Ok(list) }
    }

    fn and_or(&mut self) -> Result<AndOr> {
        let first = self.pipeline()?;
        let mut rest = Vec::new();
        loop {
            let and = if self.take("&&")? {
                true
            } else if self.take("||")? {
                false
            } else {
                return Ok(AndOr { first, rest });
            };
            self.newlines()?;
            rest.push((and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline> {
        let mut negated = false;
        while self.take_reserved("!")? {
            negated = !negated;
        }
        let mut stages = vec![Rc::new(self.command()?)];
        while self.take("|")? {
            self.newlines()?;
            stages.push(Rc::new(self.command()?));
        }
        Ok(Pipeline { negated, stages })
    }

    fn command(&mut self) -> Result<Command> {
        self.lexer.depth += 1;
        if self.lexer.depth > DEEPEST {
            return Err(self.lexer.error("syntax error: too deeply nested"));
        }
        self.peek()?;
        let line = self.lexer.line;
        self.substitute_aliases()?;
        let kind = match self.compound()? {
            Some(kind) => kind,
            None => {
                let command = self.simple(line)?;
                self.lexer.depth -= 1;
                return Ok(command);
            }
        };
        let mut redirects = Vec::new();
        if !matches!(kind, Kind::Function { .. }) {
            while let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
            }
        }
        self.lexer.depth -= 1;
        Ok(Command { kind, redirects, line })
    }

    /// Puts in place of a command's first word what it is an alias of, and of the next one where the alias ends with a blank.
    fn substitute_aliases(&mut self) -> Result<()> {
        if self.aliases.is_empty() {
            return Ok(());
        }
        let aliases = self.aliases.clone();
        // Where it looks, what was used there (nothing stands for itself), and where it looks afterwards.
        let (mut at, mut used, mut after) = (0, Vec::new(), None);
        loop {
            if at == self.ahead.len() {
                self.ahead.push_back(self.lexer.token()?);
            }
            let name = self.ahead.get(at).and_then(|token| if let Token::Word(word) = token { literal(word) } else { None });
            let found = name.and_then(|name| aliases.get_key_value(name)).filter(|(name, _)| !used.contains(name));
            let Some((name, value)) = found else {
                let Some(next) = after.take() else { return Ok(()) };
                (at, used) = (next, Vec::new());
                continue;
            };
            used.push(name);
            let behind = self.ahead.split_off(at + 1);
            self.ahead.truncate(at);
            let mut lexer = Lexer::new(value, self.lexer.line, true);
            loop {
                match lexer.token()? {
                    Token::End => break,
                    token => self.ahead.push_back(token),
                }
            }
            let end = self.ahead.len();
            self.ahead.extend(behind);
            after = if value.ends_with([' ', '\t']) { Some(end) } else { after.map(|after: usize| after + end - at - 1) };
        }
    }

    fn compound(&mut self) -> Result<Option<Kind>> {
        if self.take("(")? {
            let list = self.body()?;
            self.expect(")")?;
            return Ok(Some(Kind::Subshell(Rc::new(list))));
        }
        let Some(word) = self.reserved()?.map(str::to_string) else { return Ok(None) };
        if !matches!(word.as_str(), "{" | "if" | "for" | "while" | "until" | "case" | "function" | "[[") {
            return Ok(None);
        }
        self.skip();
        Ok(Some(match word.as_str() {
            "{" => {
                let list = self.body()?;
                self.expect_reserved("}")?;
                Kind::Group(list)
            }
            "if" => self.conditional()?,
            "for" => self.repetition()?,
            "while" | "until" => {
                let condition = self.body()?;
                Kind::While { until: word == "until", condition, body: self.block()? }
            }
            "case" => self.selection()?,
            "[[" => {
                let condition = self.alternatives()?;
                self.expect_reserved("]]")?;
                Kind::Test(condition)
            }
            _ => {
                let name = self.name()?;
                if self.take("(")? {
                    self.expect(")")?;
                }
                self.function(name)?
            }
        }))
    }

    /// `a || b` within `[[ ]]`.
    fn alternatives(&mut self) -> Result<Condition> {
        let mut left = self.conjunction()?;
        while self.take("||")? {
            left = Condition::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        Ok(left)
    }

    fn conjunction(&mut self) -> Result<Condition> {
        let mut left = self.test()?;
        while self.take("&&")? {
            left = Condition::And(Box::new(left), Box::new(self.test()?));
        }
        Ok(left)
    }

    fn test(&mut self) -> Result<Condition> {
        self.lexer.depth += 1;
        if self.lexer.depth > DEEPEST {
            return Err(self.lexer.error("syntax error: too deeply nested"));
        }
        self.newlines()?;
        let condition = if self.take("(")? {
            let inner = self.alternatives()?;
            self.expect(")")?;
            inner
        } else if self.take_reserved("!")? {
            Condition::Not(Box::new(self.test()?))
        } else {
            let first = self.word()?;
            let operator = match self.peek()? {
                Token::Operator(operator @ ("<" | ">")) => Some(operator.to_string()),
                Token::Word(word) => literal(word).filter(|text| *text != "]]").map(str::to_string),
                _ => None,
            };
            match (operator, literal(&first)) {
                (Some(operator), _) if crate::applets::test::is_binary(&operator) || operator == "=~" => {
                    self.skip();
                    Condition::Binary(first, operator, self.word()?)
                }
                (_, Some(unary)) if crate::applets::test::is_unary(unary) && matches!(self.peek()?, Token::Word(word) if literal(word) != Some("]]")) => {
                    let unary = unary.to_string();
                    Condition::Unary(unary, self.word()?)
                }
                _ => Condition::Word(first),
            }
        };
        self.newlines()?;
        self.lexer.depth -= 1;
        Ok(condition)
    }

    fn conditional(&mut self) -> Result<Kind> {
        let mut arms = Vec::new();
        let mut otherwise = List::new();
        loop {
            let condition = self.body()?;
            self.expect_reserved("then")?;
            arms.push((condition, self.body()?));
            if self.take_reserved("elif")? {
                continue;
            }
            if self.take_reserved("else")? {
                otherwise = self.body()?;
            }
            self.expect_reserved("fi")?;
            return Ok(Kind::If { arms, otherwise });
        }
    }

    fn block(&mut self) -> Result<List> {
        self.expect_reserved("do")?;
        let body = self.body()?;
        self.expect_reserved("done")?;
        Ok(body)
    }

    fn name(&mut self) -> Result<String> {
        match self.peek()? {
            Token::Word(word) if literal(word).is_some_and(is_name) => {}
            _ => return Err(self.unexpected()),
        }
        match self.next()? {
            Token::Word(word) => Ok(literal(&word).unwrap_or_default().to_string()),
            _ => Err(self.unexpected()),
        }
    }

    fn repetition(&mut self) -> Result<Kind> {
        let name = self.name()?;
        let mut words = None;
        let separated = self.take(";")?;
        self.newlines()?;
        if !separated && self.take_reserved("in")? {
            let mut all = Vec::new();
            while matches!(self.peek()?, Token::Word(_)) {
                if let Token::Word(word) = self.next()? {
                    all.push(word);
                }
            }
            words = Some(all);
            if !self.take(";")? && !matches!(self.peek()?, Token::Newline) {
                return Err(self.unexpected());
            }
            self.newlines()?;
        }
        if self.take_reserved("{")? {
            let body = self.body()?;
            self.expect_reserved("}")?;
            return Ok(Kind::For { name, words, body });
        }
        Ok(Kind::For { name, words, body: self.block()? })
    }

    fn word(&mut self) -> Result<Word> {
        match self.peek()? {
            Token::Word(_) => {}
            _ => return Err(self.unexpected()),
        }
        match self.next()? {
            Token::Word(word) => Ok(word),
            _ => Err(self.unexpected()),
        }
    }

    fn selection(&mut self) -> Result<Kind> {
        let word = self.word()?;
        self.newlines()?;
        self.expect_reserved("in")?;
        let mut arms = Vec::new();
        loop {
            self.newlines()?;
            if self.take_reserved("esac")? {
                return Ok(Kind::Case { word, arms });
            }
            self.take("(")?;
            let mut patterns = vec![self.word()?];
            while self.take("|")? {
                patterns.push(self.word()?);
            }
            self.expect(")")?;
            let body = self.list(false)?;
            let falls = self.take(";&")?;
            arms.push(Arm { patterns, body, falls });
            if !falls && !self.take(";;")? {
                self.expect_reserved("esac")?;
                return Ok(Kind::Case { word, arms });
            }
        }
    }

    fn function(&mut self, name: String) -> Result<Kind> {
        self.newlines()?;
        let body = Rc::new(self.command()?);
        Ok(Kind::Function { name, body })
    }

    fn simple(&mut self, line: u32) -> Result<Command> {
        let (mut assignments, mut words, mut redirects) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            if let Some(redirect) = self.redirect()? {
                redirects.push(redirect);
                continue;
            }
            if words.len() == 1 && assignments.is_empty() && redirects.is_empty() && self.is("(")? {
                let Some(name) = words.first().and_then(|word: &Word| literal(word)).map(str::to_string) else { return Err(self.unexpected()) };
                self.skip();
                self.expect(")")?;
                let kind = self.function(name)?;
                return Ok(Command { kind, redirects: Vec::new(), line });
            }
            if !matches!(self.peek()?, Token::Word(_)) {
                break;
            }
            let word = self.word()?;
            match if words.is_empty() { assignment(&word) } else { None } {
                Some(assignment) => assignments.push(assignment),
                None => words.push(word),
            }
        }
        if assignments.is_empty() && words.is_empty() && redirects.is_empty() {
            return Err(self.unexpected());
        }
        Ok(Command { kind: Kind::Simple { assignments, words }, redirects, line })
    }

    fn redirect(&mut self) -> Result<Option<Redirect>> {
        let number = match self.peek()? {
            Token::Number(number) => {
                let number = *number;
                self.skip();
                Some(number)
            }
            _ => None,
        };
        let operator = match self.peek()? {
            Token::Operator(operator @ ("<" | ">" | ">|" | ">>" | "<>" | "<&" | ">&" | "&>" | "<<" | "<<-" | "<<<")) => *operator,
            _ => return Ok(None),
        };
        self.skip();
        let word = self.word()?;
        let to = match operator {
            "<" => To::Read(word),
            ">" => To::Write { word, clobber: false },
            ">|" => To::Write { word, clobber: true },
            ">>" => To::Append(word),
            "<>" => To::ReadWrite(word),
            "<&" => To::Duplicate { word, input: true },
            ">&" => To::Duplicate { word, input: false },
            "&>" => To::Both(word),
            "<<<" => To::HereString(word),
            _ => To::Here(self.lexer.here(&word, operator == "<<-")),
        };
        Ok(Some(Redirect { number, to }))
    }
}

/// Whether a text can be a variable's name.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `name=…`
pub fn assignment(word: &Word) -> Option<(String, Word)> {
    let Some(Part::Literal(first)) = word.first() else { return None };
    let (name, value) = first.split_once('=').filter(|(name, _)| is_name(name))?;
    let mut parts = Word::new();
    if !value.is_empty() {
        parts.push(Part::Literal(value.into()));
    }
    parts.extend(word[1..].iter().cloned());
    Some((name.into(), parts))
}
