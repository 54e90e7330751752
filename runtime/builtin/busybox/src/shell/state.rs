//! A shell: variables, functions, options, and where it stands. A clone is a subshell.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::ast::Command;
use super::jobs::Job;
use super::parse::is_name;
use crate::context::Context;
use crate::signals;

/// How deep functions, `eval`, `.` and substitutions may call each other.
pub const DEEPEST: u32 = 200;

#[derive(Clone)]
pub struct Shell {
    /// Working directory, descriptors, signals. Its arguments and environment are those the shell was started with.
    pub cx: Context,
    /// `$0`
    pub name: String,
    /// `$1`…
    pub args: Rc<Vec<String>>,
    pub variables: Rc<BTreeMap<String, Variable>>,
    pub functions: Rc<BTreeMap<String, Rc<Command>>>,
    pub aliases: super::parse::Aliases,
    /// What `local` hides, one frame for each function that runs.
    pub locals: Vec<Vec<(String, Option<Variable>)>>,
    pub options: Options,
    pub traps: BTreeMap<i32, String>,
    pub jobs: Vec<Job>,
    /// `$!`
    pub last_job: Option<u32>,
    /// `$?`
    pub status: i32,
    /// The status of the command substitution that was expanded last.
    pub substituted: i32,
    /// In how many conditions (`if`, `&&`, `!`): `set -e` holds back there.
    pub tested: u32,
    /// In how many loops of this function.
    pub loops: u32,
    /// In how many functions, `eval` and `.`.
    pub depth: u32,
    /// How many of these return: functions and `.`.
    pub returns: u32,
    pub line: u32,
    /// Messages tell the line: the commands come from a file.
    pub tells_line: bool,
    /// A subshell, of whatever kind.
    pub is_subshell: bool,
    /// It runs one command and ends: what that command's redirections replace is let go of.
    pub ends: bool,
    /// Commands run so far.
    pub steps: u32,
    pub umask: u32,
    /// Where `getopts` is inside of an argument.
    pub getopts: usize,
    /// `$$`
    pub pid: u32,
}

#[derive(Clone, Default, Debug)]
pub struct Variable {
    pub value: Option<String>,
    pub exported: bool,
    pub readonly: bool,
}

/// `set -o`
#[derive(Clone, Copy, Default, Debug)]
pub struct Options {
    pub allexport: bool,
    pub errexit: bool,
    pub noglob: bool,
    pub noexec: bool,
    pub nounset: bool,
    pub verbose: bool,
    pub xtrace: bool,
    pub noclobber: bool,
    pub pipefail: bool,
    pub interactive: bool,
    pub stdin: bool,
    pub command: bool,
    /// Without effect: there is no job control.
    pub monitor: bool,
}

impl Options {
    pub const ALL: &[(&str, Option<char>)] = &[
        ("errexit", Some('e')),
        ("noglob", Some('f')),
        ("interactive", Some('i')),
        ("monitor", Some('m')),
        ("noexec", Some('n')),
        ("stdin", Some('s')),
        ("xtrace", Some('x')),
        ("verbose", Some('v')),
        ("noclobber", Some('C')),
        ("allexport", Some('a')),
        ("nounset", Some('u')),
        ("pipefail", None),
        ("command", Some('c')),
    ];

    pub fn get(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "allexport" => &mut self.allexport,
            "errexit" => &mut self.errexit,
            "noglob" => &mut self.noglob,
            "noexec" => &mut self.noexec,
            "nounset" => &mut self.nounset,
            "verbose" => &mut self.verbose,
            "xtrace" => &mut self.xtrace,
            "noclobber" => &mut self.noclobber,
            "pipefail" => &mut self.pipefail,
            "interactive" => &mut self.interactive,
            "stdin" => &mut self.stdin,
            "command" => &mut self.command,
            "monitor" => &mut self.monitor,
            _ => return None,
        })
    }

    pub fn by_letter(&mut self, letter: char) -> Option<&mut bool> {
        let name = Options::ALL.iter().find(|(_, known)| *known == Some(letter))?.0;
        self.get(name)
    }

    /// `$-`
    pub fn letters(mut self) -> String {
        let on = Options::ALL.iter().filter(|(name, _)| self.get(name).is_some_and(|on| *on));
        on.filter_map(|(_, letter)| *letter).collect()
    }
}

/// How a command ended, as far as those around it are concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    Next,
    Break(u32),
    Continue(u32),
    Return,
    Exit,
    /// An error that ends a script, and brings an interactive shell back to its prompt.
    Abort,
}

/// What goes wrong in an expansion, a redirection or a builtin.
#[derive(Debug)]
pub struct Fault {
    pub message: String,
    pub status: i32,
    /// It ends a shell that is not interactive.
    pub fatal: bool,
}

impl Fault {
    /// One that ends the shell.
    pub fn fatal(message: impl Into<String>) -> Fault {
        Fault { message: message.into(), status: 2, fatal: true }
    }

    /// One that only fails the command.
    pub fn new(status: i32, message: impl Into<String>) -> Fault {
        Fault { message: message.into(), status, fatal: false }
    }
}

impl Shell {
    pub fn new(cx: Context) -> Shell {
        let mut variables = BTreeMap::new();
        for (name, value) in cx.env.iter().filter(|(name, _)| is_name(name)) {
            variables.insert(name.clone(), Variable { value: Some(value.clone()), exported: true, readonly: false });
        }
        // The environment's IFS is nobody's business.
        for (name, value) in [("IFS", " \t\n"), ("OPTIND", "1")] {
            variables.insert(name.into(), Variable { value: Some(value.into()), ..Variable::default() });
        }
        for (name, value) in [("PS4", "+ "), ("PPID", "0"), ("HOSTNAME", "")] {
            if name != "HOSTNAME" {
                variables.entry(name.into()).or_insert(Variable { value: Some(value.into()), ..Variable::default() });
            }
        }
        let exported = variables.get("PWD").is_some_and(|pwd| pwd.exported);
        variables.insert("PWD".into(), Variable { value: Some(cx.cwd.clone()), exported, readonly: false });
        let pid = signals::register(&cx.signals);
        Shell {
            name: cx.args.first().cloned().unwrap_or_else(|| "sh".into()),
            cx,
            args: Rc::default(),
            variables: Rc::new(variables),
            functions: Rc::default(),
            aliases: Rc::default(),
            locals: Vec::new(),
            options: Options::default(),
            traps: BTreeMap::new(),
            jobs: Vec::new(),
            last_job: None,
            status: 0,
            substituted: 0,
            tested: 0,
            loops: 0,
            depth: 0,
            returns: 0,
            line: 1,
            tells_line: false,
            is_subshell: false,
            ends: false,
            steps: 0,
            umask: 0o022,
            getopts: 0,
            pid,
        }
    }

    /// A subshell: everything as here, except that it catches nothing and its changes stay its own.
    pub fn subshell(&self) -> Shell {
        let mut sub = self.clone();
        sub.cx.signals = self.cx.signals.inherited();
        sub.cx.stdout = crate::io::Output::new(self.cx.stdout.descriptor().clone());
        sub.traps.retain(|_, action| action.is_empty());
        sub.is_subshell = true;
        sub.options.interactive = false;
        sub
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).and_then(|variable| variable.value.as_deref())
    }

    /// Gives a variable a value.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), Fault> {
        let allexport = self.options.allexport;
        let variables = Rc::make_mut(&mut self.variables);
        match variables.get_mut(name) {
            Some(variable) if variable.readonly => return Err(Fault::fatal(format!("{name}: is read only"))),
            Some(variable) => {
                variable.value = Some(value.into());
                variable.exported |= allexport;
            }
            None => {
                variables.insert(name.into(), Variable { value: Some(value.into()), exported: allexport, readonly: false });
            }
        }
        if name == "OPTIND" {
            self.getopts = 0;
        }
        Ok(())
    }

    pub fn unset(&mut self, name: &str) -> Result<(), Fault> {
        if self.variables.get(name).is_some_and(|variable| variable.readonly) {
            return Err(Fault::fatal(format!("{name}: is read only")));
        }
        Rc::make_mut(&mut self.variables).remove(name);
        Ok(())
    }

    /// A variable's attributes; the variable is made (without a value) where there is none.
    pub fn attributes(&mut self, name: &str) -> &mut Variable {
        Rc::make_mut(&mut self.variables).entry(name.into()).or_default()
    }

    /// Puts back what a variable was.
    pub fn restore(&mut self, name: String, before: Option<Variable>) {
        let variables = Rc::make_mut(&mut self.variables);
        match before {
            Some(variable) => variables.insert(name, variable),
            None => variables.remove(&name),
        };
    }

    /// What is exported.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let exported = self.variables.iter().filter(|(_, variable)| variable.exported);
        exported.filter_map(|(name, variable)| Some((name.clone(), variable.value.clone()?))).collect()
    }

    /// A process for another command, with what is exported.
    pub fn process(&self, args: Vec<String>, env: BTreeMap<String, String>) -> Context {
        let mut child = self.cx.clone();
        child.args = args;
        child.env = env;
        child.stdout = crate::io::Output::new(self.cx.stdout.descriptor().clone());
        child.signals = self.cx.signals.inherited();
        child
    }

    /// Prints `NAME: line N: message`.
    pub async fn complain(&self, builtin: Option<&str>, message: &str) {
        let mut line = format!("{}: ", self.name);
        if let Some(builtin) = builtin {
            line += &format!("{builtin}: ");
        }
        if self.tells_line {
            line += &format!("line {}: ", self.line);
        }
        let _ = self.cx.stderr.write_all(format!("{line}{message}\n").as_bytes()).await;
    }

    /// Writes to standard output, and to nobody's buffer.
    pub async fn print(&self, text: impl AsRef<[u8]>) -> Result<i32, Fault> {
        let written = match self.cx.stdout.write(text).await {
            Ok(()) => self.cx.stdout.flush().await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => Ok(0),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Fault { message: String::new(), status: 141, fatal: true }),
            Err(error) => Err(Fault::new(1, format!("write error: {}", crate::io::reason(&error)))),
        }
    }

    /// Sets a trap (`None`: what the signal does by itself; empty: nothing).
    pub fn trap(&mut self, signal: i32, action: Option<String>) {
        let inbox = self.cx.signals.clone();
        match action {
            None => {
                self.traps.remove(&signal);
                inbox.reset(signal);
                if self.options.interactive && matches!(signal, signals::INT | signals::QUIT) {
                    inbox.catch(signal);
                }
            }
            Some(action) => {
                match action.is_empty() {
                    true => inbox.ignore(signal),
                    false => inbox.catch(signal),
                }
                self.traps.insert(signal, action);
            }
        }
    }
}
