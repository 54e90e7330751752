//! `sh`: a POSIX shell.
//!
//! [`lex`] and [`parse`] make an [`ast`]; [`expand`] makes fields of words; [`exec`] runs commands on a [`state::Shell`].

mod arith;
mod ast;
mod builtins;
mod condition;
mod exec;
mod expand;
mod fields;
mod glob;
mod interactive;
pub mod jobs;
mod lex;
mod parse;
mod pattern;
mod redirect;
mod script;
mod state;

use state::Shell;

use crate::context::{Context, Error, Result};
use crate::io;

/// `sh [-eux…] [-c COMMANDS [NAME [ARG]…] | FILE [ARG]…]`
pub async fn main(cx: &mut Context) -> Result {
    let mut shell = Shell::new(cx.clone());
    let (mut at, mut command) = (1, false);
    while let Some(argument) = cx.args.get(at) {
        let Some(on) = argument.strip_prefix('-').map(|_| true).or(argument.strip_prefix('+').map(|_| false)).filter(|_| argument.len() > 1) else {
            if argument == "-" {
                at += 1;
            }
            break;
        };
        at += 1;
        if argument == "--" {
            break;
        }
        for letter in argument[1..].chars() {
            match letter {
                'l' => {}
                'o' => {
                    let name = cx.args.get(at).cloned().unwrap_or_default();
                    at += 1;
                    match shell.options.get(&name) {
                        Some(option) => *option = on,
                        None => return Err(Error::new(format!("illegal option -o {name}")).with_code(2)),
                    }
                }
                letter => match shell.options.by_letter(letter) {
                    Some(option) => {
                        *option = on;
                        command |= letter == 'c';
                    }
                    None => return Err(Error::new(format!("illegal option -{letter}")).with_code(2)),
                },
            }
        }
    }
    let rest = cx.args.get(at..).unwrap_or_default();
    if command {
        let Some((text, rest)) = rest.split_first() else { return Err(Error::new("-c requires an argument").with_code(2)) };
        if let Some((name, args)) = rest.split_first() {
            shell.name = name.clone();
            shell.args = args.to_vec().into();
        }
        shell.run_text(text).await;
        return Ok(shell.finish().await);
    }
    if let Some((file, args)) = rest.split_first().filter(|_| !shell.options.stdin) {
        let bytes = match cx.open(file) {
            Ok(input) => input.read_to_end().await,
            Err(error) => Err(error),
        };
        let bytes = bytes.map_err(|error| Error::new(format!("can't open '{file}': {}", io::reason(&error))).with_code(2))?;
        shell.name = file.clone();
        shell.args = args.to_vec().into();
        shell.tells_line = true;
        shell.run_text(&String::from_utf8_lossy(&bytes)).await;
        return Ok(shell.finish().await);
    }
    shell.args = rest.to_vec().into();
    shell.options.stdin = true;
    shell.options.interactive |= cx.stdin.is_terminal() && cx.stderr.is_terminal();
    Ok(interactive::run(&mut shell).await)
}

/// Runs a script that is no applet: by its path, or found in PATH.
pub async fn run_file(cx: Context, command: &str) -> i32 {
    let path = cx.env.get("PATH").map_or(crate::context::DEFAULT_PATH, String::as_str);
    match script::locate(&cx, path, command) {
        Ok(path) => script::run(cx, &path).await,
        Err(fault) => {
            let _ = cx.stderr.write_all(format!("{}\n", fault.message).as_bytes()).await;
            fault.status
        }
    }
}

/// Whether a name matches a pattern of the shell.
pub fn matches(pattern: &str, name: &str) -> bool {
    pattern::Pattern::new(pattern).matches(name)
}

/// Where the file of a command that is no applet is.
pub fn locate(cx: &Context, command: &str) -> std::result::Result<String, i32> {
    let path = cx.env.get("PATH").map_or(crate::context::DEFAULT_PATH, String::as_str);
    script::locate(cx, path, command).map_err(|fault| fault.status)
}
