//! The commands. One file each (or each family), one line each in [`TABLE`].
//!
//! # How to write one
//!
//! ```ignore
//! //! `rev`: the characters of each line, backwards.
//!
//! use crate::context::{Context, Result};
//!
//! pub async fn rev(cx: &mut Context) -> Result {
//!     let options = cx.options("", &[])?;                       // getopt_long: "n:qv", [("quiet", 'q')]
//!     let mut code = 0;
//!     for operand in options.or_stdin() {                       // its operands, or "-"
//!         let Some(input) = cx.input(&operand).await else { code = 1; continue };
//!         while let Some(line) = input.read_line().await? {     // bytes, with the newline
//!             let text = String::from_utf8_lossy(&line);
//!             let reversed: String = text.trim_end_matches('\n').chars().rev().collect();
//!             cx.stdout.write(format!("{reversed}\n")).await?;
//!         }
//!     }
//!     Ok(code)
//! }
//! ```
//!
//! and in the table `("rev", |cx| Box::pin(rev::rev(cx))),`.
//!
//! - **All that may wait is awaited**: reading a descriptor, writing, [`Context::sleep`], sockets ([`crate::net`]). Never
//!   `std::net`, `std::thread`, `std::io::stdin`, `println!` or `std::process`: they stop every stage of the pipeline. Files are
//!   the exception: `std::fs` is right for metadata, folders, links and removal, with **every path through
//!   [`Context::path`]**, because the working directory belongs to the process. A loop that computes for long without
//!   reading or writing calls `rt::pause().await` now and then.
//! - **Input**: `cx.stdin`, [`Context::input`] (an operand; `-` is stdin; complains by itself), [`Context::open`] give a
//!   [`Descriptor`](crate::io::Descriptor): `read(max)`, `read_line()`, `read_until(0)`, `read_to_end()`, `seek(…)`.
//! - **Output**: `cx.stdout.write(…).await?` is buffered, and leaves by itself when the applet waits or ends. Other files:
//!   [`Context::create`] gives a descriptor with `write_all`; `Output::new(descriptor)` buffers one (then flush it
//!   yourself).
//! - **Errors**: `?` on an `io::Error` ends with `NAME: reason` and 1; a broken pipe ends silently, as SIGPIPE does. With
//!   a path: `.map_err(|error| Error::about(path, &error))?`. To go on with the next operand: `cx.warn(…).await` and
//!   remember the code. [`crate::io::reason`] has the system's words for an error. Words and codes are busybox's.
//! - **Other commands** (xargs, env, timeout, find -exec): `cx.child(["grep", "-q", "x"])`, change its `env`, `stdin`,
//!   `stdout`, `cwd`, then `child.run().await`. Flush your own `cx.stdout` before. [`rt::timeout`](crate::rt::timeout) and
//!   dropping the future kill it. [`crate::rt`] has `select`, `join`, `spawn` (a `Task` dies with its handle) too, and
//!   [`crate::io::pipe`] connects two of them.
//! - **State** is in the applet's own variables. Never in statics: other stages and shells run between two awaits.

mod basics;
mod cat;
mod env;
mod printf;
pub mod test;

pub use basics::duration;
pub use printf::unescape;

use crate::context::{Context, Result};
use crate::rt::Boxed;
use crate::shell;

/// What a table's line gives: an applet, running.
pub type Applet = for<'a> fn(&'a mut Context) -> Boxed<'a, Result>;

/// Names and what they run, sorted by name.
const TABLE: &[(&str, Applet)] = &[
    ("[", |cx| Box::pin(test::bracket(cx))),
    ("ash", |cx| Box::pin(shell::main(cx))),
    ("cat", |cx| Box::pin(cat::cat(cx))),
    ("echo", |cx| Box::pin(basics::echo(cx))),
    ("env", |cx| Box::pin(env::env(cx))),
    ("false", |cx| Box::pin(basics::no(cx))),
    ("printf", |cx| Box::pin(printf::printf(cx))),
    ("pwd", |cx| Box::pin(basics::pwd(cx))),
    ("sh", |cx| Box::pin(shell::main(cx))),
    ("sleep", |cx| Box::pin(basics::sleep(cx))),
    ("test", |cx| Box::pin(test::test(cx))),
    ("true", |cx| Box::pin(basics::yes(cx))),
];

/// The name by which a command was called, without folders.
pub fn name_of(command: &str) -> &str {
    command.rsplit('/').next().unwrap_or(command)
}

/// The applet of a command: `ls`, or `/bin/ls` and the other folders where programs are; not a file elsewhere that has an
/// applet's name.
pub fn find(command: &str) -> Option<Applet> {
    let name = match command.rsplit_once('/') {
        Some((folder, name)) if crate::context::APPLET_FOLDERS.contains(&folder) => name,
        Some(_) => return None,
        None => command,
    };
    TABLE.binary_search_by_key(&name, |(name, _)| name).ok().map(|index| TABLE[index].1)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _)| *name)
}
