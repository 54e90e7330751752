//! What can go wrong, said as kubectl says it, with kubectl's exit codes.

use kube::core::Status;

/// The outcome of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, in the form in which it is told.
#[derive(Debug)]
pub enum Error {
    /// The server refused.
    Status(Box<Status>),
    /// A line that stands as it is.
    Plain(String),
    /// `error: …`
    Message(String),
    /// A wrong call: `error: …` and where the help is.
    Usage(String),
    /// Several, each on a line of its own.
    Many(Vec<Error>),
    /// Told already; only the exit code is left.
    Exit(u8),
    /// A line and an exit code that means something.
    Code(String, u8),
}

impl Error {
    /// `error: …`
    pub fn message(text: impl Into<String>) -> Error {
        Error::Message(text.into())
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Status(status) if status.reason == "NotFound" || status.code == 404)
    }

    /// Whether somebody else wrote first.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Status(status) if status.reason == "Conflict")
    }

    /// Whether the object is there already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Error::Status(status) if status.reason == "AlreadyExists")
    }

    /// None, one, or all of them together.
    pub fn all(mut errors: Vec<Error>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.swap_remove(0)),
            _ => Err(Error::Many(errors)),
        }
    }

    /// With what was being done to what: `error when creating "pod.yaml": …`.
    #[must_use]
    pub fn while_(self, verb: &str, source: &str) -> Error {
        if source.is_empty() {
            return self;
        }
        match self {
            Error::Status(mut status) => {
                status.message = format!("error when {verb} {source:?}: {}", status.message);
                Error::Status(status)
            }
            other => Error::Message(format!("error when {verb} {source:?}: {}", other.text())),
        }
    }

    /// The bare text, without `error: ` before it.
    pub fn text(&self) -> String {
        match self {
            Error::Status(status) => status.message.clone(),
            Error::Plain(text) | Error::Message(text) | Error::Usage(text) | Error::Code(text, _) => text.clone(),
            Error::Many(errors) => format!("[{}]", errors.iter().map(Error::text).collect::<Vec<_>>().join(", ")),
            Error::Exit(_) => "exit".into(),
        }
    }

    /// As one of several.
    fn in_a_list(&self) -> String {
        match self {
            Error::Status(status) => from_server(status),
            Error::Many(errors) => errors.iter().map(Error::in_a_list).collect::<Vec<_>>().join("\n"),
            other => other.text(),
        }
    }

    /// What is written to stderr, and the exit code. `command` is how the verb was called (`wharf get`).
    pub fn told(&self, command: &str) -> (String, u8) {
        match self {
            Error::Exit(code) => (String::new(), *code),
            Error::Code(text, code) => (line(text), *code),
            Error::Plain(text) => (line(text), 1),
            Error::Usage(text) => (format!("error: {text}\nSee '{command} -h' for help and examples\n"), 1),
            Error::Status(status) if status.reason == "Invalid" => (line(&invalid(status)), 1),
            Error::Status(status) => (line(&from_server(status)), 1),
            Error::Message(text) if text.starts_with("error: ") => (line(text), 1),
            Error::Message(text) => (line(&format!("error: {text}")), 1),
            Error::Many(errors) => (errors.iter().map(|error| line(&error.in_a_list())).collect(), 1),
        }
    }
}

fn line(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}

fn from_server(status: &Status) -> String {
    match status.reason.as_str() {
        "Unauthorized" => format!("error: You must be logged in to the server ({})", status.message),
        "" => format!("Error from server: {}", status.message),
        reason => format!("Error from server ({reason}): {}", status.message),
    }
}

fn invalid(status: &Status) -> String {
    let Some(details) = &status.details else {
        return if status.message.is_empty() { "The request is invalid".into() } else { format!("The request is invalid: {}", status.message) };
    };
    let head = if !details.kind.is_empty() || !details.name.is_empty() {
        format!("The {} {:?} is invalid", details.kind, details.name)
    } else if !status.message.is_empty() && details.causes.is_empty() {
        format!("The request is invalid: {}", status.message)
    } else {
        "The request is invalid".into()
    };
    let mut causes: Vec<String> = Vec::new();
    for cause in &details.causes {
        let text = format!("{}: {}", cause.field, cause.message);
        if !causes.contains(&text) {
            causes.push(text);
        }
    }
    match causes.as_slice() {
        [] => head,
        [one] => format!("{head}: {one}\n"),
        many => format!("{head}: \n{}", many.iter().map(|cause| format!("* {cause}\n")).collect::<String>()),
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) => Error::Status(status),
            other => Error::Plain(format!("Unable to connect to the server: {}", innermost(&other))),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::Message(error.to_string())
    }
}

/// The last cause of an error, which is the one that says something.
pub fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The I/O error somewhere below, if that is what it was.
pub fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    fn check(status: serde_json::Value, expect: Expect) {
        let status: Status = serde_json::from_value(status).unwrap();
        expect.assert_eq(&Error::Status(Box::new(status)).told("wharf get").0);
    }

    #[test]
    fn refusals_are_told_in_kubectls_words() {
        check(
            json!({"reason": "NotFound", "message": "pods \"x\" not found", "code": 404}),
            expect![[r#"
            Error from server (NotFound): pods "x" not found
        "#]],
        );
        check(
            json!({"reason": "Unauthorized", "message": "Unauthorized", "code": 401}),
            expect![[r#"
            error: You must be logged in to the server (Unauthorized)
        "#]],
        );
        let cause = |field: &str| json!({"field": field, "message": "Required value", "reason": "FieldValueRequired"});
        check(
            json!({"reason": "Invalid", "message": "…", "details": {"kind": "Pod", "name": "x", "causes": [cause("spec.a")]}}),
            expect![[r#"
            The Pod "x" is invalid: spec.a: Required value
        "#]],
        );
        check(
            json!({"reason": "Invalid", "message": "…", "details": {"kind": "Pod", "name": "x", "causes": [cause("spec.a"), cause("spec.b"), cause("spec.a")]}}),
            expect![[r#"
            The Pod "x" is invalid: 
            * spec.a: Required value
            * spec.b: Required value
        "#]],
        );
    }

    #[test]
    fn several_stand_on_lines_of_their_own() {
        let errors = vec![Error::message("a"), Error::Plain("b".into())];
        assert_eq!(Error::Many(errors).told("wharf get"), ("a\nb\n".to_owned(), 1));
        assert_eq!(Error::Usage("no".into()).told("wharf get").0, "error: no\nSee 'wharf get -h' for help and examples\n");
    }
}
