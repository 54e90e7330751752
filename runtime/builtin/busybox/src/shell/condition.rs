//! `[[ … ]]`: words are neither split nor matched against files; on the right of `==` is a pattern.

use super::ast::Condition;
use super::state::{Fault, Shell};
use crate::applets::test;
use crate::regex::{Regex, Syntax};
use crate::rt::Boxed;

impl Shell {
    /// Whether a condition holds.
    pub fn holds<'a>(&'a mut self, condition: &'a Condition) -> Boxed<'a, Result<bool, Fault>> {
        Box::pin(async move {
            let wrong = |error: crate::context::Error| Fault::new(2, error.message);
            Ok(match condition {
                Condition::Not(inner) => !self.holds(inner).await?,
                Condition::And(left, right) => self.holds(left).await? && self.holds(right).await?,
                Condition::Or(left, right) => self.holds(left).await? || self.holds(right).await?,
                Condition::Word(word) => !self.text(word).await?.is_empty(),
                Condition::Unary(operator, word) => {
                    let text = self.text(word).await?;
                    test::about(&self.cx, operator, &text).map_err(wrong)?
                }
                Condition::Binary(left, operator, right) => {
                    let left = self.text(left).await?;
                    match operator.as_str() {
                        "=" | "==" => self.pattern(right).await?.matches(&left),
                        "!=" => !self.pattern(right).await?.matches(&left),
                        "=~" => {
                            let pattern = self.text(right).await?;
                            let syntax = Syntax { extended: true, ..Syntax::default() };
                            Regex::new(&pattern, syntax).map_err(|error| Fault::new(2, format!("bad regex '{pattern}': {error}")))?.is_match(left.as_bytes())
                        }
                        operator => {
                            let right = self.text(right).await?;
                            test::compare(&self.cx, &left, operator, &right).map_err(wrong)?
                        }
                    }
                }
            })
        })
    }
}
