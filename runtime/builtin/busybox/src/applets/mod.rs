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
//! and in the table `"rev" rev::rev, "[FILE]...", "Turn lines around";`.
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

mod archive;
mod basics;
mod cat;
mod env;
mod files;
mod network;
pub mod printf;
mod system;
pub mod test;
mod text;

pub use basics::duration;
pub use printf::unescape;

use crate::context::{Context, Result};
use crate::rt::Boxed;
use crate::shell;

/// What a table's line gives: an applet, running.
pub type Applet = for<'a> fn(&'a mut Context) -> Boxed<'a, Result>;

/// A command: its name, what it runs, its options and operands, and what it is for.
struct Entry {
    name: &'static str,
    run: Applet,
    usage: &'static str,
    about: &'static str,
}

macro_rules! table {
    ($($name:literal $run:path, $usage:literal, $about:literal;)*) => {
        &[$(Entry { name: $name, run: |cx| Box::pin($run(cx)), usage: $usage, about: $about }),*]
    };
}

/// All commands, sorted by name.
const TABLE: &[Entry] = table! {
    "[" test::bracket, "EXPRESSION ]", "Check file types, compare values";
    "arch" system::identity::uname, "", "Print the machine's architecture";
    "ash" shell::main, "[-eux] [-c COMMANDS | FILE] [ARG]...", "A POSIX shell";
    "awk" text::awk::awk, "[-F SEP] [-v VAR=VAL] [-f FILE | PROGRAM] [FILE]...", "Process lines by patterns and actions";
    "base64" text::base64::base64, "[-d] [-w COL] [FILE]", "Encode or decode base 64";
    "basename" files::names::basename, "FILE [SUFFIX] | -a FILE... | -s SUFFIX FILE...", "Print the last part of a path";
    "busybox" basics::busybox, "[--list | APPLET [ARG]...]", "Run a command by its name";
    "cat" cat::cat, "[-nbvteA] [FILE]...", "Print files";
    "chgrp" files::make::chmod, "[-R] GROUP FILE...", "Change groups (of which there is one)";
    "chmod" files::make::chmod, "[-R] MODE FILE...", "Change permissions (of which WASI has none)";
    "chown" files::make::chmod, "[-R] OWNER[:GROUP] FILE...", "Change owners (of which there is one)";
    "cksum" text::digest::cksum, "[FILE]...", "Print POSIX checksums and sizes";
    "clear" system::terminal::clear, "", "Clear the screen";
    "cmp" text::compare::cmp, "[-ls] [-n NUM] FILE1 [FILE2]", "Compare files byte by byte";
    "comm" text::lines::comm, "[-123] FILE1 FILE2", "Compare sorted files line by line";
    "cp" files::copy::cp, "[-arPLHpfinlsTuv] [-t DIR] SOURCE... DEST", "Copy files";
    "curl" network::curl::curl, "[-sSfiIvLkGO] [-o FILE] [-w FMT] [-H HDR] [-X METHOD] [-d DATA] [-u USER] [-m SEC] URL...", "Transfer data over HTTP";
    "cut" text::cut::cut, "{-b|-c|-f LIST} [-d SEP] [-s] [FILE]...", "Print fields of lines";
    "date" system::date::date, "[-uR] [-d TIME] [-r FILE] [-I[SPEC]] [+FMT]", "Print the time";
    "dd" files::dd::dd, "[if=FILE] [of=FILE] [bs=N] [count=N] [skip=N] [seek=N] [conv=notrunc|sync] [status=none]", "Copy a file, in blocks";
    "df" files::space::df, "[-Pkmh] [FILE]...", "Print file systems";
    "diff" text::compare::diff, "[-abBdiNqrsw] [-L LABEL] [-U LINES] FILE1 FILE2", "Compare files line by line";
    "dirname" files::names::dirname, "FILE", "Print a path without its last part";
    "du" files::space::du, "[-aschmkb] [-d N] [FILE]...", "Print what files take";
    "echo" basics::echo, "[-neE] [ARG]...", "Print arguments";
    "egrep" text::grep::grep, "[OPTIONS] PATTERN [FILE]...", "Search lines for an extended regular expression";
    "env" env::env, "[-i0] [-u NAME]... [NAME=VALUE]... [PROG ARGS]", "Print the environment, or run a program in another";
    "expr" text::expr::expr, "EXPRESSION", "Print the value of an expression";
    "false" basics::no, "", "Fail";
    "fgrep" text::grep::grep, "[OPTIONS] TEXT [FILE]...", "Search lines for a text";
    "find" files::find::find, "[-HL] [PATH]... [OPTIONS] [ACTIONS]", "Search for files";
    "fold" text::lines::fold, "[-bs] [-w WIDTH] [FILE]...", "Wrap lines";
    "free" system::processes::free, "[-bkmgh]", "Print memory";
    "grep" text::grep::grep, "[-EFivnclLoqsHhwxr] [-m N] [-A|B|C N] {PATTERN | -e PATTERN | -f FILE} [FILE]...", "Search lines for a pattern";
    "groups" system::identity::groups, "", "Print the user's groups";
    "gunzip" archive::gzip::gzip, "[-cfkt] [FILE]...", "Decompress files";
    "gzip" archive::gzip::gzip, "[-cfkdt123456789] [FILE]...", "Compress files";
    "hd" text::dump::hexdump, "[-n LEN] [-s SKIP] [FILE]...", "hexdump -C";
    "head" text::ends::head, "[-n LINES | -c BYTES] [-qv] [FILE]...", "Print the beginning of files";
    "hexdump" text::dump::hexdump, "[-bcdoxCv] [-n LEN] [-s SKIP] [FILE]...", "Print bytes";
    "hostname" system::identity::hostname, "[-sfid]", "Print the host's name";
    "httpd" network::httpd::httpd, "[-fv] [-p [IP:]PORT] [-h DIR]", "Serve a folder over HTTP";
    "id" system::identity::id, "[-ugGnr] [USER]", "Print the user and groups";
    "install" files::make::install, "[-dD] [-m MODE] [-t DIR] SOURCE... DEST", "Copy files, making folders";
    "kill" system::processes::kill, "[-l] [-SIG] PID...", "Send signals";
    "ln" files::make::ln, "[-sfnTv] TARGET... LINK|DIR", "Make links";
    "logname" system::identity::whoami, "", "Print the user's name";
    "ls" files::ls::ls, "[-1AaCxdLHRFplinshrSXvctu] [-w WIDTH] [FILE]...", "List folders";
    "md5sum" text::digest::sum, "[-c[sw]] [FILE]...", "Print or check MD5 sums";
    "mkdir" files::make::mkdir, "[-m MODE] [-p] DIRECTORY...", "Make folders";
    "mktemp" files::make::mktemp, "[-dqtu] [-p DIR] [TEMPLATE]", "Make a temporary file";
    "mv" files::copy::mv, "[-finTv] [-t DIR] SOURCE... DEST", "Move files";
    "nc" network::nc::nc, "[-nuvz] [-w SEC] HOST PORT | -l [-k] -p PORT [-e PROG ARGS]", "Talk over TCP and UDP";
    "nice" system::processes::just_run, "[-n N] PROG ARGS", "Run a program";
    "nl" text::lines::nl, "[-b a|t|n] [-s SEP] [-w WIDTH] [-v N] [-i N] [FILE]...", "Number lines";
    "nohup" system::processes::just_run, "PROG ARGS", "Run a program that does not mind hangups";
    "nproc" system::identity::nproc, "", "Print the number of processors";
    "nslookup" network::nslookup::nslookup, "[-type=TYPE] HOST [SERVER]", "Ask a name server";
    "od" text::dump::od, "[-abcdoxv] [-t TYPE] [-A RADIX] [-j SKIP] [-N LEN] [-w WIDTH] [FILE]...", "Print bytes";
    "paste" text::lines::paste, "[-s] [-d LIST] [FILE]...", "Join lines side by side";
    "pause" basics::pause, "", "Wait until told to end";
    "printenv" system::identity::printenv, "[VAR]...", "Print the environment";
    "printf" printf::printf, "FORMAT [ARG]...", "Print arguments by a format";
    "ps" system::processes::ps, "[-o COL[=HEADER]]", "List processes";
    "pwd" basics::pwd, "[-LP]", "Print the working directory";
    "readlink" files::names::readlink, "[-fnv] FILE...", "Print where a link leads";
    "realpath" files::names::realpath, "FILE...", "Print a path without links";
    "reset" system::terminal::reset, "", "Reset the terminal";
    "rev" text::lines::rev, "[FILE]...", "Turn lines around";
    "rm" files::remove::rm, "[-irf] FILE...", "Remove files";
    "rmdir" files::remove::rmdir, "[-p] DIRECTORY...", "Remove empty folders";
    "sed" text::sed::sed, "[-nEri] [-e CMD | -f FILE | CMD] [FILE]...", "Edit lines";
    "seq" text::seq::seq, "[-w] [-s SEP] [FIRST [INC]] LAST", "Print numbers";
    "setsid" system::processes::just_run, "PROG ARGS", "Run a program";
    "sh" shell::main, "[-eux] [-c COMMANDS | FILE] [ARG]...", "A POSIX shell";
    "sha1sum" text::digest::sum, "[-c[sw]] [FILE]...", "Print or check SHA-1 sums";
    "sha256sum" text::digest::sum, "[-c[sw]] [FILE]...", "Print or check SHA-256 sums";
    "sha512sum" text::digest::sum, "[-c[sw]] [FILE]...", "Print or check SHA-512 sums";
    "shuf" text::lines::shuf, "[-e | -i LOW-HIGH] [-n NUM] [FILE | ARG]...", "Print lines in any order";
    "sleep" basics::sleep, "N[smhd]...", "Wait";
    "sort" text::sort::sort, "[-nrughMcszbdfiV] [-o FILE] [-k KEY] [-t CHAR] [FILE]...", "Sort lines";
    "split" text::lines::split, "[-l LINES | -b BYTES] [-a LEN] [INPUT [PREFIX]]", "Split a file";
    "stat" files::stat::stat, "[-Lt] [-c FMT] FILE...", "Print what is known of files";
    "strings" text::dump::strings, "[-fo] [-t o|d|x] [-n LEN] [FILE]...", "Print texts in files";
    "sync" files::make::sync, "", "Write what is not written yet (nothing)";
    "tac" text::lines::tac, "[FILE]...", "Print lines, the last one first";
    "tail" text::ends::tail, "[-n LINES | -c BYTES] [-fF] [-s SECONDS] [-qv] [FILE]...", "Print the end of files";
    "tar" archive::tar::tar, "c|x|t [-zvkOmh] [-f FILE] [-C DIR] [-T FILE] [-X FILE] [--exclude PATTERN] [FILE]...", "Make, unpack or list archives";
    "tee" text::lines::tee, "[-ai] [FILE]...", "Copy standard input to files and standard output";
    "test" test::test, "EXPRESSION", "Check file types, compare values";
    "time" system::processes::time, "[-p] PROG ARGS", "Run a program and tell how long it took";
    "timeout" system::processes::timeout, "[-s SIG] [-k SECS] SECS PROG ARGS", "Run a program for a time at most";
    "top" system::processes::top, "[-b] [-n COUNT] [-d SECONDS]", "Show processes";
    "touch" files::make::touch, "[-cham] [-d DATE] [-t DATE] [-r FILE] FILE...", "Set times of files";
    "tr" text::tr::tr, "[-cds] STRING1 [STRING2]", "Translate, squeeze or delete characters";
    "true" basics::yes, "", "Succeed";
    "truncate" files::make::truncate, "[-c] -s SIZE FILE...", "Set sizes of files";
    "tty" system::terminal::tty, "[-s]", "Print the terminal's name";
    "uname" system::identity::uname, "[-asnrvmo]", "Print what this system is";
    "uniq" text::sort::uniq, "[-cdui] [-f,s,w N] [INPUT [OUTPUT]]", "Drop repeated lines";
    "unlink" files::remove::unlink, "FILE", "Remove a file";
    "uptime" system::date::uptime, "", "Print since when the system runs";
    "usleep" system::processes::usleep, "N", "Wait N microseconds";
    "watch" system::processes::watch, "[-n SEC] [-t] PROG ARGS", "Run a program again and again";
    "wc" text::wc::wc, "[-lwcmL] [FILE]...", "Count lines, words and bytes";
    "wget" network::wget::wget, "[-cqS] [--spider] [-O FILE] [--header STR] [--post-data STR] [-P DIR] [-T SEC] URL...", "Fetch files over HTTP";
    "which" files::names::which, "[-a] COMMAND...", "Print where a command is";
    "whoami" system::identity::whoami, "", "Print the user's name";
    "xargs" text::xargs::xargs, "[-0rt] [-n N] [-L N] [-I TEXT] [-P N] [PROG ARGS]", "Run a program with arguments from standard input";
    "xxd" text::dump::xxd, "[-pr] [-c N] [-g N] [-l LEN] [-s SKIP] [FILE]", "Print bytes";
    "yes" text::lines::yes, "[ARG]...", "Print a line for ever";
    "zcat" archive::gzip::gzip, "[FILE]...", "Decompress to standard output";
};

/// Those to which `--help` is an argument like any other.
const WITHOUT_HELP: &[&str] = &["[", "busybox", "echo", "false", "printf", "test", "true", "sh", "ash"];

/// What `--help` prints.
pub fn help(name: &str) -> Option<String> {
    let entry = TABLE.iter().find(|entry| entry.name == name).filter(|entry| !WITHOUT_HELP.contains(&entry.name))?;
    Some(format!("Usage: {} {}\n\n{}\n", entry.name, entry.usage, entry.about))
}

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
    TABLE.binary_search_by_key(&name, |entry| entry.name).ok().map(|index| TABLE[index].run)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|entry| entry.name)
}
