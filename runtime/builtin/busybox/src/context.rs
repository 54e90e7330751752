//! What an applet is given: a process's arguments, environment, working directory and descriptors.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::future::poll_fn;
use std::io as std_io;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::applets;
use crate::io::{self, Descriptor, Output};
use crate::options::Options;
use crate::rt::{self, Boxed, Either};
use crate::shell;
use crate::signals::{self, Inbox};

/// Folders in which every applet seems to be.
pub const APPLET_FOLDERS: &[&str] = &["/bin", "/sbin", "/usr/bin", "/usr/sbin"];
/// PATH where the environment has none.
pub const DEFAULT_PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// A process: what an applet sees of the world. A clone is a new process with the same streams.
#[derive(Clone)]
pub struct Context {
    /// Arguments; the first is the applet's name as it was called.
    pub args: Vec<String>,
    /// Exported variables.
    pub env: BTreeMap<String, String>,
    /// The working directory: absolute.
    pub cwd: String,
    /// Standard input.
    pub stdin: Descriptor,
    /// Standard output, buffered (see [`Output`]: there is no need to flush it).
    pub stdout: Output,
    /// Standard error, not buffered.
    pub stderr: Descriptor,
    /// Descriptors from 3 on.
    pub others: BTreeMap<u32, Descriptor>,
    /// What the process is sent.
    pub signals: Rc<Inbox>,
    /// Whose name stands before messages, where it is not the applet's own.
    pub speaker: Option<&'static str>,
}

/// An exit code, or an error that ends the applet (`?`).
pub type Result<T = i32, E = Error> = std::result::Result<T, E>;

/// Why an applet ends early. An [`std::io::Error`] becomes one through `?`; a broken pipe ends it without words.
#[derive(Debug)]
pub struct Error {
    /// The exit code.
    pub code: i32,
    /// What is printed as `NAME: message`; nothing when empty.
    pub message: String,
}

impl Error {
    /// Exit code 1 and a message.
    pub fn new(message: impl Into<String>) -> Error {
        Error { code: 1, message: message.into() }
    }

    /// Wrong options or operands: exit code 1, as busybox has it.
    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(message)
    }

    /// `WHAT: No such file or directory`.
    pub fn about(what: impl std::fmt::Display, error: &std_io::Error) -> Error {
        if error.kind() == std_io::ErrorKind::BrokenPipe { broken_pipe() } else { Error::new(format!("{what}: {}", io::reason(error))) }
    }

    /// Another exit code.
    pub fn with_code(mut self, code: i32) -> Error {
        self.code = code;
        self
    }
}

impl From<std_io::Error> for Error {
    fn from(error: std_io::Error) -> Error {
        if error.kind() == std_io::ErrorKind::BrokenPipe { broken_pipe() } else { Error::new(io::reason(&error)) }
    }
}

/// What SIGPIPE does.
fn broken_pipe() -> Error {
    Error { code: 141, message: String::new() }
}

/// Applets that say of a file only why it cannot be opened.
const SHORT: &[&str] = &["base64", "cmp", "comm", "cut", "fold", "head", "hexdump", "nl", "od", "paste", "rev", "sort", "strings", "tac", "wc", "xxd"];

impl Context {
    /// The component's own process.
    pub(crate) fn initial() -> Context {
        let mut args: Vec<String> = wasip2::cli::environment::get_arguments();
        if args.is_empty() {
            args.push("busybox".into());
        }
        let mut env: BTreeMap<String, String> = wasip2::cli::environment::get_environment().into_iter().collect();
        env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        env.entry("HOME".into()).or_insert_with(|| "/root".into());
        let cwd = wasip2::cli::environment::initial_cwd().filter(|cwd| cwd.starts_with('/')).unwrap_or_else(|| "/".into());
        Context {
            args,
            env,
            cwd,
            stdin: Descriptor::stdin(),
            stdout: Output::new(Descriptor::stdout()),
            stderr: Descriptor::stderr(),
            others: BTreeMap::new(),
            signals: signals::root(),
            speaker: None,
        }
    }

    /// The applet's name, for messages.
    pub fn name(&self) -> &str {
        applets::name_of(self.args.first().map_or("", String::as_str))
    }

    /// Takes the arguments apart: see [`Options::parse`].
    pub fn options(&self, short: &str, long: &[(&str, char)]) -> Result<Options> {
        Options::parse(self.args.get(1..).unwrap_or_default(), short, long)
    }

    /// A path as std's functions need it: they know no working directory, so every path goes through this.
    /// `..` is left to the file system, a trailing `/` stays.
    pub fn path(&self, path: &str) -> PathBuf {
        if path.starts_with('/') { path.into() } else { format!("{}/{path}", self.cwd.trim_end_matches('/')).into() }
    }

    /// Opens a file for reading. `-` is *not* standard input here: see [`Context::input`].
    pub fn open(&self, path: &str) -> std_io::Result<Descriptor> {
        match self.device(path) {
            Some(device) => Ok(device),
            None => {
                let file = File::open(self.path(path))?;
                if file.metadata()?.is_dir() {
                    return Err(std_io::ErrorKind::IsADirectory.into());
                }
                Ok(Descriptor::file(file))
            }
        }
    }

    /// An operand as input: `-` is standard input. When it cannot be opened, that is printed in busybox's words
    /// (`cat: can't open 'x': No such file or directory`, `wc: x: No such file or directory`) and `None` returned: go on, and end with 1.
    pub async fn input(&self, operand: &str) -> Option<Descriptor> {
        if operand == "-" {
            return Some(self.stdin.clone());
        }
        match self.open(operand) {
            Ok(descriptor) => Some(descriptor),
            Err(error) => {
                let short = SHORT.contains(&self.name());
                let what = if short { operand.to_owned() } else { format!("can't open '{operand}'") };
                self.warn(format!("{what}: {}", io::reason(&error))).await;
                None
            }
        }
    }

    /// Makes a file, or empties it (or, with `append`, writes behind what it has).
    pub fn create(&self, path: &str, append: bool) -> std_io::Result<Descriptor> {
        let mut options = OpenOptions::new();
        options.create(true).write(true).append(append).truncate(!append);
        self.open_with(path, &options)
    }

    /// Opens a file, or a device, in any way.
    pub fn open_with(&self, path: &str, options: &OpenOptions) -> std_io::Result<Descriptor> {
        match self.device(path) {
            Some(device) => Ok(device),
            None => Ok(Descriptor::file(options.open(self.path(path))?)),
        }
    }

    /// What `/dev` has, whether or not the root file system has it.
    fn device(&self, path: &str) -> Option<Descriptor> {
        match path {
            "/dev/null" => Some(Descriptor::null()),
            "/dev/zero" => Some(Descriptor::zero()),
            "/dev/random" | "/dev/urandom" => Some(Descriptor::random()),
            "/dev/stdin" => Some(self.stdin.clone()),
            "/dev/stdout" => Some(self.stdout.descriptor().clone()),
            "/dev/stderr" => Some(self.stderr.clone()),
            "/proc/1/fd/1" => Some(Descriptor::stdout()),
            "/proc/1/fd/2" => Some(Descriptor::stderr()),
            _ => {
                let number = path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?;
                Some(self.descriptor(number.parse().ok()?))
            }
        }
    }

    /// A descriptor by its number; a closed one where there is none.
    pub fn descriptor(&self, number: u32) -> Descriptor {
        match number {
            0 => self.stdin.clone(),
            1 => self.stdout.descriptor().clone(),
            2 => self.stderr.clone(),
            other => self.others.get(&other).cloned().unwrap_or_else(Descriptor::closed),
        }
    }

    /// Puts another descriptor in a number's place.
    pub fn set_descriptor(&mut self, number: u32, descriptor: Descriptor) {
        match number {
            0 => self.stdin = descriptor,
            1 => self.stdout = Output::new(descriptor),
            2 => self.stderr = descriptor,
            other if descriptor.is_closed() => drop(self.others.remove(&other)),
            other => drop(self.others.insert(other, descriptor)),
        }
    }

    /// Prints `NAME: message` to standard error, after what was printed so far.
    pub async fn warn(&self, message: impl std::fmt::Display) {
        let _ = self.stdout.flush().await;
        let line = format!("{}: {message}\n", self.speaker.unwrap_or(self.name()));
        // Nobody is left to tell.
        let _ = self.stderr.write_all(line.as_bytes()).await;
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        rt::sleep(duration).await;
    }

    /// A new process for another command, with this one's environment, directory and streams. Change it as needed
    /// (`child.stdin = Descriptor::null()`), then [`Context::run`] it.
    pub fn child<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> Context {
        let mut child = self.clone();
        child.args = args.into_iter().map(Into::into).collect();
        child.stdout = Output::new(self.stdout.descriptor().clone());
        child.signals = self.signals.inherited();
        child.speaker = None;
        child
    }

    /// Runs the command that the arguments name (an applet, or a script by its path or in PATH), to its exit code: 127
    /// when there is none, 126 when it cannot be run. Dropping the future kills it. A caller with output of its own
    /// before it flushes that first.
    pub fn run(self) -> Boxed<'static, i32> {
        Box::pin(async move {
            let signals = self.signals.clone();
            match rt::select(self.run_to_end(), signals.killed()).await {
                Either::Left(code) => code,
                Either::Right(signal) => 128 + signal,
            }
        })
    }

    async fn run_to_end(self) -> i32 {
        let Some(command) = self.args.first().cloned() else { return 0 };
        if let Some(applet) = applets::find(&command) {
            return self.run_applet(applet).await;
        }
        shell::run_file(self, &command).await
    }

    /// Runs another command in this one's place; one that is not there is told in this one's name.
    pub async fn execute<S: Into<String>>(&self, args: impl IntoIterator<Item = S>) -> i32 {
        let child = self.child(args);
        let Some(command) = child.args.first().filter(|command| applets::find(command).is_none()) else { return child.run().await };
        if let Err(code) = shell::locate(&child, command) {
            let why = if code == 127 { "No such file or directory" } else { "Permission denied" };
            self.warn(format!("can't execute '{command}': {why}")).await;
            return code;
        }
        child.run().await
    }

    async fn run_applet(mut self, applet: applets::Applet) -> i32 {
        if self.args.len() == 2
            && self.args[1] == "--help"
            && let Some(help) = applets::help(self.name())
        {
            let _ = self.stderr.write_all(help.as_bytes()).await;
            return 0;
        }
        let output = self.stdout.clone();
        let result = {
            let mut running = applet(&mut self);
            poll_fn(|cx| match running.as_mut().poll(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => {
                    output.drain(cx);
                    Poll::Pending
                }
            })
            .await
        };
        let written = output.flush().await.map_err(|error| Error::about("write error", &error));
        match result.and_then(|code| written.map(|()| code)) {
            Ok(code) => code,
            Err(error) => {
                if !error.message.is_empty() {
                    self.warn(&error.message).await;
                }
                error.code
            }
        }
    }
}
