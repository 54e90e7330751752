//! What only a shell can do itself.

mod control;
mod directory;
mod input;
mod names;
mod process;
mod variables;

use super::state::{Fault, Flow, Shell};
use crate::rt::Boxed;

/// A command's status, and what becomes of those around it.
pub type Done = Result<(i32, Flow), Fault>;

/// What a table's line gives.
pub type Builtin = for<'a> fn(&'a mut Shell, &'a [String]) -> Boxed<'a, Done>;

/// Names and what they run, sorted by name.
const TABLE: &[(&str, Builtin)] = &[
    (".", |sh, args| Box::pin(control::source(sh, args))),
    (":", |_, _| Box::pin(std::future::ready(status(0)))),
    ("alias", |sh, args| Box::pin(names::alias(sh, args))),
    ("bg", |_, _| Box::pin(std::future::ready(no_job_control()))),
    ("break", |sh, args| Box::pin(control::leave(sh, args))),
    ("cd", |sh, args| Box::pin(directory::cd(sh, args))),
    ("chdir", |sh, args| Box::pin(directory::cd(sh, args))),
    ("command", |sh, args| Box::pin(names::command(sh, args))),
    ("continue", |sh, args| Box::pin(control::leave(sh, args))),
    ("eval", |sh, args| Box::pin(control::eval(sh, args))),
    ("exec", |sh, args| Box::pin(control::exec(sh, args))),
    ("exit", |sh, args| Box::pin(control::exit(sh, args))),
    ("export", |sh, args| Box::pin(variables::export(sh, args))),
    ("fg", |_, _| Box::pin(std::future::ready(no_job_control()))),
    ("getopts", |sh, args| Box::pin(variables::getopts(sh, args))),
    ("hash", |_, _| Box::pin(std::future::ready(status(0)))),
    ("jobs", |sh, args| Box::pin(process::jobs(sh, args))),
    ("kill", |sh, args| Box::pin(process::kill(sh, args))),
    ("let", |sh, args| Box::pin(variables::arithmetic(sh, args))),
    ("local", |sh, args| Box::pin(variables::local(sh, args))),
    ("read", |sh, args| Box::pin(input::read(sh, args))),
    ("readonly", |sh, args| Box::pin(variables::readonly(sh, args))),
    ("return", |sh, args| Box::pin(control::give_back(sh, args))),
    ("set", |sh, args| Box::pin(variables::set(sh, args))),
    ("shift", |sh, args| Box::pin(variables::shift(sh, args))),
    ("source", |sh, args| Box::pin(control::source(sh, args))),
    ("times", |sh, args| Box::pin(process::times(sh, args))),
    ("trap", |sh, args| Box::pin(control::trap(sh, args))),
    ("type", |sh, args| Box::pin(names::kind(sh, args))),
    ("ulimit", |sh, args| Box::pin(process::ulimit(sh, args))),
    ("umask", |sh, args| Box::pin(process::umask(sh, args))),
    ("unalias", |sh, args| Box::pin(names::unalias(sh, args))),
    ("unset", |sh, args| Box::pin(variables::unset(sh, args))),
    ("wait", |sh, args| Box::pin(process::wait(sh, args))),
];

/// Applets that a shell counts as its own.
pub const APPLETS: &[&str] = &["[", "echo", "false", "printf", "pwd", "test", "true"];

pub fn find(name: &str) -> Option<Builtin> {
    TABLE.binary_search_by_key(&name, |(name, _)| name).ok().map(|index| TABLE[index].1)
}

/// POSIX's special builtins: their errors end the shell, assignments before them stay.
pub fn is_special(name: &str) -> bool {
    matches!(
        name,
        "." | ":"
            | "break"
            | "continue"
            | "eval"
            | "exec"
            | "exit"
            | "export"
            | "readonly"
            | "return"
            | "set"
            | "shift"
            | "source"
            | "times"
            | "trap"
            | "unset"
    )
}

fn status(status: i32) -> Done {
    Ok((status, Flow::Next))
}

fn no_job_control() -> Done {
    Err(Fault::new(1, "no job control"))
}

/// A number that is not negative.
fn count(text: &str) -> Result<i32, Fault> {
    text.trim().parse().ok().filter(|number| *number >= 0).ok_or_else(|| Fault::fatal(format!("Illegal number: {text}")))
}

/// A text as the shell reads it, in quotes only where it needs them.
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=%+,@".contains(c);
    if text.chars().all(plain) { text.into() } else { always_quoted(text) }
}

/// In single quotes.
fn always_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}
