//! Programs of awk, read into trees.

use std::collections::HashMap;
use std::rc::Rc;

use super::ast::{Expr, Function, Operator, Program, Rule, Sink, Source, Statement, Target, Variable};
use super::lex::{BUILTINS, Lexer, Token};

/// How deep expressions and statements may nest.
const DEEPEST: u32 = 400;

type Result<T> = std::result::Result<T, String>;

/// Reads a program. `known` are the names that variables are given from outside, in the order of their numbers.
pub fn parse(text: &str, known: &[&str]) -> Result<Program> {
    let mut parser = Parser {
        lexer: Lexer::new(text),
        token: Token::End,
        program: Program::default(),
        globals: HashMap::new(),
        functions: HashMap::new(),
        locals: Vec::new(),
        no_greater: false,
        no_in: false,
        depth: 0,
    };
    for name in known {
        parser.global(name);
    }
    match parser.program() {
        Ok(()) => Ok(parser.program),
        Err(message) => Err(format!("cmd. line:{}: {message}", parser.lexer.line)),
    }
}

struct Parser {
    lexer: Lexer,
    token: Token,
    program: Program,
    globals: HashMap<Rc<str>, usize>,
    functions: HashMap<Rc<str>, usize>,
    /// Parameters of the function that is being read.
    locals: Vec<Rc<str>>,
    /// In `print`, a `>` is where to.
    no_greater: bool,
    /// In `for (`, an `in` is the loop's.
    no_in: bool,
    depth: u32,
}

impl Parser {
    fn advance(&mut self) -> Result<Token> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn is(&self, sign: &str) -> bool {
        matches!(&self.token, Token::Sign(found) | Token::Word(found) if *found == sign)
    }

    fn take(&mut self, sign: &str) -> Result<bool> {
        let found = self.is(sign);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take(sign)? { Ok(()) } else { Err("Unexpected token".into()) }
    }

    fn newlines(&mut self) -> Result<()> {
        while self.token == Token::Newline {
            self.advance()?;
        }
        Ok(())
    }

    fn terminators(&mut self) -> Result<()> {
        while self.token == Token::Newline || self.is(";") {
            self.advance()?;
        }
        Ok(())
    }

    fn global(&mut self, name: &str) -> usize {
        if let Some(index) = self.globals.get(name) {
            return *index;
        }
        let index = self.program.globals.len();
        self.program.globals.push(name.into());
        self.globals.insert(name.into(), index);
        index
    }

    fn variable(&mut self, name: &str) -> Variable {
        match self.locals.iter().position(|local| **local == *name) {
            Some(index) => Variable::Local(index),
            None => Variable::Global(self.global(name)),
        }
    }

    fn function(&mut self, name: &Rc<str>) -> usize {
        if let Some(index) = self.functions.get(name) {
            return *index;
        }
        let index = self.program.functions.len();
        self.program.functions.push(Function { name: name.clone(), ..Function::default() });
        self.functions.insert(name.clone(), index);
        index
    }

    fn program(&mut self) -> Result<()> {
        self.advance()?;
        loop {
            self.terminators()?;
            if self.token == Token::End {
                break;
            }
            if self.take("function")? {
                self.definition()?;
                continue;
            }
            if self.take("BEGIN")? {
                let body = self.block()?;
                self.program.begin.extend(body);
            } else if self.take("END")? {
                let body = self.block()?;
                self.program.end.extend(body);
                self.program.has_end = true;
            } else {
                let pattern = if self.is("{") { None } else { Some(self.expr()?) };
                let mut until = None;
                if pattern.is_some() && self.take(",")? {
                    self.newlines()?;
                    until = Some(self.expr()?);
                }
                let body = if self.is("{") { Some(self.block()?) } else { None };
                self.program.rules.push(Rule { pattern, until, body });
            }
        }
        match self.program.functions.iter().find(|function| !function.defined) {
            Some(function) => Err(format!("Call to undefined function '{}'", function.name)),
            None => Ok(()),
        }
    }

    fn definition(&mut self) -> Result<()> {
        let name = match self.advance()? {
            Token::Name(name) | Token::Function(name) => name,
            _ => return Err("Unexpected token".into()),
        };
        self.expect("(")?;
        let mut parameters = Vec::new();
        while let Token::Name(parameter) = self.token.clone() {
            self.advance()?;
            parameters.push(parameter);
            if !self.take(",")? {
                break;
            }
            self.newlines()?;
        }
        self.expect(")")?;
        self.newlines()?;
        let index = self.function(&name);
        self.locals.clone_from(&parameters);
        let body = self.block()?;
        self.locals.clear();
        self.program.functions[index] = Function { name, parameters, body, defined: true };
        Ok(())
    }

    fn block(&mut self) -> Result<Vec<Statement>> {
        self.expect("{")?;
        let mut statements = Vec::new();
        loop {
            self.terminators()?;
            if self.take("}")? {
                return Ok(statements);
            }
            if self.token == Token::End {
                return Err("Unexpected end of string".into());
            }
            statements.push(self.statement()?);
        }
    }

    /// The body of `if`, `while` and their like.
    fn body(&mut self) -> Result<Vec<Statement>> {
        self.newlines()?;
        if self.take(";")? {
            return Ok(Vec::new());
        }
        if self.is("{") { self.block() } else { Ok(vec![self.statement()?]) }
    }

    /// A `;` or newline behind a simple statement; a `}` ends it as well.
    fn end(&mut self) -> Result<()> {
        if self.token == Token::Newline || self.is(";") {
            self.advance()?;
            return Ok(());
        }
        if self.is("}") || self.token == Token::End { Ok(()) } else { Err("Unexpected token".into()) }
    }

    fn statement(&mut self) -> Result<Statement> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("Too deep".into());
        }
        let statement = self.statement_within();
        self.depth -= 1;
        statement
    }

    fn statement_within(&mut self) -> Result<Statement> {
        let Token::Word(word) = self.token else {
            if self.is("{") {
                return Ok(Statement::Block(self.block()?));
            }
            let statement = self.simple()?;
            self.end()?;
            return Ok(statement);
        };
        match word {
            "if" => {
                self.advance()?;
                self.expect("(")?;
                let condition = self.expr()?;
                self.expect(")")?;
                let then = self.body()?;
                // An `else` may follow behind separators.
                let before = (self.lexer_state(), self.token.clone());
                self.terminators()?;
                if self.take("else")? {
                    return Ok(Statement::If(condition, then, self.body()?));
                }
                self.restore(before);
                Ok(Statement::If(condition, then, Vec::new()))
            }
            "while" => {
                self.advance()?;
                self.expect("(")?;
                let condition = self.expr()?;
                self.expect(")")?;
                Ok(Statement::While(condition, self.body()?))
            }
            "do" => {
                self.advance()?;
                let body = self.body()?;
                self.terminators()?;
                self.expect("while")?;
                self.expect("(")?;
                let condition = self.expr()?;
                self.expect(")")?;
                self.end()?;
                Ok(Statement::Do(body, condition))
            }
            "for" => self.for_loop(),
            "break" | "continue" | "next" | "nextfile" => {
                self.advance()?;
                self.end()?;
                Ok(match word {
                    "break" => Statement::Break,
                    "continue" => Statement::Continue,
                    "next" => Statement::Next,
                    _ => Statement::NextFile,
                })
            }
            "exit" | "return" => {
                self.advance()?;
                let ends = self.token == Token::Newline || self.is(";") || self.is("}") || self.token == Token::End;
                let value = if ends { None } else { Some(self.expr()?) };
                self.end()?;
                Ok(if word == "exit" { Statement::Exit(value) } else { Statement::Return(value) })
            }
            _ => {
                let statement = self.simple()?;
                self.end()?;
                Ok(statement)
            }
        }
    }

    fn lexer_state(&self) -> (usize, u32) {
        self.lexer.state()
    }

    fn restore(&mut self, (state, token): ((usize, u32), Token)) {
        self.lexer.reset(state);
        self.token = token;
    }

    fn for_loop(&mut self) -> Result<Statement> {
        self.advance()?;
        self.expect("(")?;
        let mut first = None;
        if !self.is(";") {
            self.no_in = true;
            let statement = self.simple()?;
            self.no_in = false;
            if self.take("in")? {
                let Statement::Expr(Expr::Target(target)) = statement else { return Err("Unexpected token".into()) };
                let (Token::Name(array) | Token::Function(array)) = self.advance()? else { return Err("Unexpected token".into()) };
                let array = self.variable(&array);
                self.expect(")")?;
                return Ok(Statement::ForIn(target, array, self.body()?));
            }
            first = Some(Box::new(statement));
        }
        self.expect(";")?;
        self.newlines()?;
        let condition = if self.is(";") { None } else { Some(self.expr()?) };
        self.expect(";")?;
        self.newlines()?;
        let step = if self.is(")") { None } else { Some(Box::new(self.simple()?)) };
        self.expect(")")?;
        Ok(Statement::For(first, condition, step, self.body()?))
    }

    /// `print`, `printf`, `delete`, or an expression.
    fn simple(&mut self) -> Result<Statement> {
        if self.is("print") || self.is("printf") {
            let printf = self.is("printf");
            self.advance()?;
            self.no_greater = true;
            let values = self.print_values();
            self.no_greater = false;
            let values = values?;
            let sink = match () {
                () if self.is(">") => Some(Sink::File),
                () if self.is(">>") => Some(Sink::Append),
                () if self.is("|") => Some(Sink::Command),
                () => None,
            };
            let to = match sink {
                None => None,
                Some(sink) => {
                    self.advance()?;
                    self.no_greater = true;
                    let place = self.concatenation();
                    self.no_greater = false;
                    Some((sink, place?))
                }
            };
            return Ok(if printf { Statement::Printf { values, to } } else { Statement::Print { values, to } });
        }
        if self.take("delete")? {
            let (Token::Name(name) | Token::Function(name)) = self.advance()? else { return Err("Unexpected token".into()) };
            let array = self.variable(&name);
            let key = if self.take("[")? { Some(self.key()?) } else { None };
            return Ok(Statement::Delete(array, key));
        }
        Ok(Statement::Expr(self.expr()?))
    }

    fn print_values(&mut self) -> Result<Vec<Expr>> {
        let ends = self.token == Token::Newline || self.token == Token::End || [";", "}", ">", ">>", "|", ")"].iter().any(|sign| self.is(sign));
        if ends {
            return Ok(Vec::new());
        }
        let mut values = vec![self.expr()?];
        while self.take(",")? {
            self.newlines()?;
            values.push(self.expr()?);
        }
        match values.as_mut_slice() {
            [Expr::List(list)] => Ok(std::mem::take(list)),
            _ => Ok(values),
        }
    }

    fn list(&mut self, end: &str) -> Result<Vec<Expr>> {
        let before = (std::mem::take(&mut self.no_greater), std::mem::take(&mut self.no_in));
        let mut values = Vec::new();
        self.newlines()?;
        while !self.is(end) {
            values.push(self.expr()?);
            self.newlines()?;
            if !self.take(",")? {
                break;
            }
            self.newlines()?;
        }
        (self.no_greater, self.no_in) = before;
        self.expect(end)?;
        Ok(values)
    }

    fn key(&mut self) -> Result<Vec<Expr>> {
        let key = self.list("]")?;
        if key.is_empty() { Err("Unexpected token".into()) } else { Ok(key) }
    }

    pub fn expr(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("Too deep".into());
        }
        let expr = self.conditional();
        self.depth -= 1;
        expr
    }

    fn conditional(&mut self) -> Result<Expr> {
        let condition = self.or()?;
        if !self.take("?")? {
            return Ok(condition);
        }
        self.newlines()?;
        let then = self.expr()?;
        self.newlines()?;
        self.expect(":")?;
        self.newlines()?;
        let otherwise = self.expr()?;
        Ok(Expr::Conditional(Box::new(condition), Box::new(then), Box::new(otherwise)))
    }

    fn or(&mut self) -> Result<Expr> {
        let mut left = self.and()?;
        while self.take("||")? {
            self.newlines()?;
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr> {
        let mut left = self.membership()?;
        while self.take("&&")? {
            self.newlines()?;
            left = Expr::And(Box::new(left), Box::new(self.membership()?));
        }
        Ok(left)
    }

    fn membership(&mut self) -> Result<Expr> {
        let mut left = self.matching()?;
        while !self.no_in && self.take("in")? {
            let (Token::Name(array) | Token::Function(array)) = self.advance()? else { return Err("Unexpected token".into()) };
            let key = if let Expr::List(list) = left { list } else { vec![left] };
            left = Expr::In(key, self.variable(&array));
        }
        Ok(left)
    }

    fn matching(&mut self) -> Result<Expr> {
        let mut left = self.comparison()?;
        while self.is("~") || self.is("!~") {
            let negated = self.is("!~");
            self.advance()?;
            let regex = self.comparison()?;
            left = Expr::Match { negated, text: Box::new(left), regex: Box::new(regex) };
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expr> {
        let left = self.piped()?;
        let operator = match self.token {
            Token::Sign("<") => Operator::Less,
            Token::Sign("<=") => Operator::LessOrEqual,
            Token::Sign("==") => Operator::Equal,
            Token::Sign("!=") => Operator::NotEqual,
            Token::Sign(">") if !self.no_greater => Operator::Greater,
            Token::Sign(">=") => Operator::GreaterOrEqual,
            _ => return Ok(left),
        };
        self.advance()?;
        let right = self.piped()?;
        Ok(Expr::Binary(operator, Box::new(left), Box::new(right)))
    }

    /// `command | getline`
    fn piped(&mut self) -> Result<Expr> {
        let mut left = self.concatenation()?;
        while self.is("|") {
            let before = (self.lexer_state(), self.token.clone());
            self.advance()?;
            if !self.take("getline")? {
                self.restore(before);
                break;
            }
            let target = self.getline_target()?;
            left = Expr::Getline { target, source: Source::Command(Box::new(left)) };
        }
        Ok(left)
    }

    fn concatenation(&mut self) -> Result<Expr> {
        let mut left = self.additive()?;
        while self.begins_operand() {
            let right = self.additive()?;
            left = Expr::Binary(Operator::Concatenate, Box::new(left), Box::new(right));
        }
        Ok(left)
    }

    /// Whether an expression begins here that is not `+` or `-`.
    fn begins_operand(&self) -> bool {
        match &self.token {
            Token::Number(_) | Token::Text(_) | Token::Name(_) | Token::Function(_) => true,
            Token::Sign(sign) => matches!(*sign, "$" | "!" | "(" | "++" | "--"),
            Token::Word(word) => BUILTINS.contains(word),
            Token::Newline | Token::End => false,
        }
    }

    fn additive(&mut self) -> Result<Expr> {
        let mut left = self.multiplicative()?;
        loop {
            let operator = match self.token {
                Token::Sign("+") => Operator::Add,
                Token::Sign("-") => Operator::Subtract,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.multiplicative()?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn multiplicative(&mut self) -> Result<Expr> {
        let mut left = self.unary()?;
        loop {
            let operator = match self.token {
                Token::Sign("*") => Operator::Multiply,
                Token::Sign("/") => Operator::Divide,
                Token::Sign("%") => Operator::Modulo,
                _ => return Ok(left),
            };
            self.advance()?;
            let right = self.unary()?;
            left = Expr::Binary(operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Expr> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("Too deep".into());
        }
        let expr = if self.take("!")? {
            Expr::Not(Box::new(self.unary()?))
        } else if self.take("-")? {
            Expr::Negate(Box::new(self.unary()?))
        } else if self.take("+")? {
            Expr::Plus(Box::new(self.unary()?))
        } else {
            self.power()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn power(&mut self) -> Result<Expr> {
        let base = self.postfix(true)?;
        if !self.take("^")? {
            return Ok(base);
        }
        // It binds to the right, and more than a sign before it; a sign behind it is its own.
        let exponent = if self.is("-") || self.is("+") || self.is("!") { self.unary()? } else { self.power()? };
        Ok(Expr::Binary(Operator::Power, Box::new(base), Box::new(exponent)))
    }

    /// `assigns`: what stands here may be assigned to; not behind `$`, whose operand ends before the `=`.
    fn postfix(&mut self, assigns: bool) -> Result<Expr> {
        if self.is("++") || self.is("--") {
            let by = if self.is("++") { 1.0 } else { -1.0 };
            self.advance()?;
            let Expr::Target(target) = self.postfix(false)? else { return Err("Unexpected token".into()) };
            return Ok(Expr::Increment { target, by, before: true });
        }
        let primary = self.primary()?;
        let Expr::Target(target) = primary else { return Ok(primary) };
        if assigns && (self.is("++") || self.is("--")) {
            let by = if self.is("++") { 1.0 } else { -1.0 };
            self.advance()?;
            return Ok(Expr::Increment { target, by, before: false });
        }
        let operator = match self.token {
            Token::Sign("=") => None,
            Token::Sign("+=") => Some(Operator::Add),
            Token::Sign("-=") => Some(Operator::Subtract),
            Token::Sign("*=") => Some(Operator::Multiply),
            Token::Sign("/=") => Some(Operator::Divide),
            Token::Sign("%=") => Some(Operator::Modulo),
            Token::Sign("^=") => Some(Operator::Power),
            _ => return Ok(Expr::Target(target)),
        };
        if !assigns {
            return Ok(Expr::Target(target));
        }
        self.advance()?;
        self.newlines()?;
        let value = Box::new(self.expr()?);
        Ok(match operator {
            None => Expr::Assign(target, value),
            Some(operator) => Expr::Update(target, operator, value),
        })
    }

    fn primary(&mut self) -> Result<Expr> {
        if self.is("/") || self.is("/=") {
            let begun = if self.is("/=") { "=" } else { "" };
            let pattern = self.lexer.regex(begun)?;
            self.advance()?;
            return Ok(Expr::Regex(pattern.into()));
        }
        match self.advance()? {
            Token::Number(number) => Ok(Expr::Number(number)),
            Token::Text(text) => Ok(Expr::Text(text)),
            Token::Sign("$") => {
                let index = if self.is("-") || self.is("+") || self.is("!") { self.unary()? } else { self.postfix(false)? };
                Ok(Expr::Target(Target::Field(Box::new(index))))
            }
            Token::Sign("(") => {
                let mut list = self.list(")")?;
                match list.len() {
                    0 => Err("Unexpected token".into()),
                    // In parentheses it is a value, and nothing to assign to; but `($1)++` is understood.
                    1 => Ok(list.remove(0)),
                    _ => Ok(Expr::List(list)),
                }
            }
            Token::Name(name) => {
                let variable = self.variable(&name);
                if self.take("[")? {
                    return Ok(Expr::Target(Target::Element(variable, self.key()?)));
                }
                Ok(Expr::Target(Target::Variable(variable)))
            }
            Token::Function(name) => {
                self.expect("(")?;
                let arguments = self.list(")")?;
                Ok(Expr::Call(self.function(&name), arguments))
            }
            Token::Word("getline") => {
                let target = self.getline_target()?;
                let source = if self.take("<")? { Source::File(Box::new(self.postfix(false)?)) } else { Source::Input };
                Ok(Expr::Getline { target, source })
            }
            Token::Word(word) if BUILTINS.contains(&word) => {
                if self.take("(")? {
                    return Ok(Expr::Builtin(word, self.list(")")?));
                }
                if word == "length" { Ok(Expr::Builtin(word, Vec::new())) } else { Err("Unexpected token".into()) }
            }
            _ => Err("Unexpected token".into()),
        }
    }

    fn getline_target(&mut self) -> Result<Option<Target>> {
        if !self.is("$") && !matches!(self.token, Token::Name(_)) {
            return Ok(None);
        }
        match self.primary()? {
            Expr::Target(target) => Ok(Some(target)),
            _ => Err("Unexpected token".into()),
        }
    }
}
