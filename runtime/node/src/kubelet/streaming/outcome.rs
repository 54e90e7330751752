//! How a command ended, as the error stream tells it: a `Status` since v4 of the protocol, words before.

use serde_json::json;
use wharf_engine::Exit;

use crate::streams::StreamError;

/// How an exec or attach ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    /// The command's exit code is not 0.
    ExitCode {
        code: i32,
        message: String,
    },
    /// It could not be done.
    Failed(String),
}

impl Outcome {
    /// Of a command that ran, or could not.
    pub(super) fn of_exec(command: &[String], result: Result<Exit, StreamError>) -> Self {
        match result {
            Ok(Exit { code: 0, .. }) => Outcome::Success,
            Ok(Exit { code, .. }) => {
                let message = format!("command terminated with non-zero exit code: error executing command [{}], exit code {code}", command.join(" "));
                Outcome::ExitCode { code, message }
            }
            Err(error) => Outcome::Failed(format!("error executing command in container: {error}")),
        }
    }

    /// Of streams that were joined, or could not be.
    pub(super) fn of_attach(result: Result<(), StreamError>) -> Self {
        match result {
            Ok(()) => Outcome::Success,
            Err(error) => Outcome::Failed(format!("error attaching to container: {error}")),
        }
    }

    /// As v4 of the protocol has it: a `Status` in JSON.
    pub(super) fn status(&self) -> String {
        match self {
            Outcome::Success => json!({"metadata": {}, "status": "Success"}),
            Outcome::ExitCode { code, message } => json!({
                "metadata": {},
                "status": "Failure",
                "message": message,
                "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Outcome::Failed(words) => json!({
                "metadata": {},
                "status": "Failure",
                "message": format!("Internal error occurred: {words}"),
                "reason": "InternalError",
                "details": {"causes": [{"message": words}]},
                "code": 500,
            }),
        }
        .to_string()
    }

    /// As it was before: words, and only of a failure.
    pub(super) fn words(&self) -> Option<String> {
        match self {
            Outcome::Success => None,
            Outcome::ExitCode { message, .. } => Some(message.clone()),
            Outcome::Failed(words) => Some(format!("Internal error occurred: {words}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use wharf_engine::ExitReason;

    use super::*;

    fn check(result: Result<i32, StreamError>, status: Expect, words: Expect) {
        let result = result.map(|code| Exit { code, reason: ExitReason::Exited });
        let outcome = Outcome::of_exec(&["sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()], result);
        status.assert_eq(&outcome.status());
        words.assert_eq(&outcome.words().unwrap_or_default());
    }

    #[test]
    fn outcomes() {
        check(Ok(0), expect![[r#"{"metadata":{},"status":"Success"}"#]], expect![""]);
        check(
            Ok(3),
            expect![[
                r#"{"details":{"causes":[{"message":"3","reason":"ExitCode"}]},"message":"command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3","metadata":{},"reason":"NonZeroExitCode","status":"Failure"}"#
            ]],
            expect!["command terminated with non-zero exit code: error executing command [sh -c exit 3], exit code 3"],
        );
        check(
            Err(StreamError::Failed("no".to_owned())),
            expect![[
                r#"{"code":500,"details":{"causes":[{"message":"error executing command in container: no"}]},"message":"Internal error occurred: error executing command in container: no","metadata":{},"reason":"InternalError","status":"Failure"}"#
            ]],
            expect!["Internal error occurred: error executing command in container: no"],
        );
    }
}
