//! Which names are arrays: those that are used as one, or handed to a function that does.

use super::ast::{Expr, Program, Source, Statement, Target, Variable};

/// For each function, which of its parameters are arrays.
pub fn parameters(program: &Program) -> Vec<Vec<bool>> {
    let mut known: Vec<Vec<bool>> = program.functions.iter().map(|function| vec![false; function.parameters.len()]).collect();
    loop {
        let before = known.clone();
        for (index, function) in program.functions.iter().enumerate() {
            let mut found = Vec::new();
            let mut finder = Finder { known: &before, found: &mut |variable| found.push(variable) };
            finder.statements(&function.body);
            for variable in found {
                if let Variable::Local(local) = variable
                    && let Some(slot) = known[index].get_mut(local)
                {
                    *slot = true;
                }
            }
        }
        if known == before {
            return known;
        }
    }
}

pub fn is_global_array(program: &Program, global: usize) -> bool {
    let known = parameters(program);
    let mut is_array = false;
    let mut finder = Finder { known: &known, found: &mut |variable| is_array |= variable == Variable::Global(global) };
    finder.statements(&program.begin);
    finder.statements(&program.end);
    for rule in &program.rules {
        rule.pattern.iter().chain(&rule.until).for_each(|expr| finder.expr(expr));
        finder.statements(rule.body.as_deref().unwrap_or_default());
    }
    program.functions.iter().for_each(|function| finder.statements(&function.body));
    is_array
}

struct Finder<'a> {
    known: &'a [Vec<bool>],
    found: &'a mut dyn FnMut(Variable),
}

impl Finder<'_> {
    fn statements(&mut self, statements: &[Statement]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Expr(expr) | Statement::Exit(Some(expr)) | Statement::Return(Some(expr)) => self.expr(expr),
            Statement::Print { values, to } | Statement::Printf { values, to } => {
                values.iter().for_each(|value| self.expr(value));
                to.iter().for_each(|(_, place)| self.expr(place));
            }
            Statement::If(condition, then, otherwise) => {
                self.expr(condition);
                self.statements(then);
                self.statements(otherwise);
            }
            Statement::While(condition, body) | Statement::Do(body, condition) => {
                self.expr(condition);
                self.statements(body);
            }
            Statement::For(first, condition, step, body) => {
                first.iter().chain(step).for_each(|statement| self.statement(statement));
                condition.iter().for_each(|condition| self.expr(condition));
                self.statements(body);
            }
            Statement::ForIn(target, array, body) => {
                (self.found)(*array);
                self.target(target);
                self.statements(body);
            }
            Statement::Block(statements) => self.statements(statements),
            Statement::Delete(array, key) => {
                (self.found)(*array);
                key.iter().flatten().for_each(|part| self.expr(part));
            }
            Statement::Break | Statement::Continue | Statement::Next | Statement::NextFile | Statement::Exit(None) | Statement::Return(None) => {}
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Variable(_) => {}
            Target::Field(index) => self.expr(index),
            Target::Element(array, key) => {
                (self.found)(*array);
                key.iter().for_each(|part| self.expr(part));
            }
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Number(_) | Expr::Text(_) | Expr::Regex(_) => {}
            Expr::Target(target) | Expr::Increment { target, .. } => self.target(target),
            Expr::Assign(target, value) | Expr::Update(target, _, value) => {
                self.target(target);
                self.expr(value);
            }
            Expr::Conditional(a, b, c) => [a, b, c].into_iter().for_each(|part| self.expr(part)),
            Expr::And(a, b) | Expr::Or(a, b) | Expr::Binary(_, a, b) | Expr::Match { text: a, regex: b, .. } => {
                self.expr(a);
                self.expr(b);
            }
            Expr::Not(inner) | Expr::Negate(inner) | Expr::Plus(inner) => self.expr(inner),
            Expr::In(key, array) => {
                (self.found)(*array);
                key.iter().for_each(|part| self.expr(part));
            }
            Expr::List(list) => list.iter().for_each(|part| self.expr(part)),
            Expr::Call(function, arguments) => {
                for (index, argument) in arguments.iter().enumerate() {
                    match argument {
                        Expr::Target(Target::Variable(variable)) if self.known[*function].get(index) == Some(&true) => (self.found)(*variable),
                        other => self.expr(other),
                    }
                }
            }
            Expr::Builtin(name, arguments) => {
                for (index, argument) in arguments.iter().enumerate() {
                    match argument {
                        Expr::Target(Target::Variable(variable)) if *name == "split" && index == 1 || *name == "match" && index == 2 => (self.found)(*variable),
                        other => self.expr(other),
                    }
                }
            }
            Expr::Getline { target, source } => {
                target.iter().for_each(|target| self.target(target));
                if let Source::File(place) | Source::Command(place) = source {
                    self.expr(place);
                }
            }
        }
    }
}
