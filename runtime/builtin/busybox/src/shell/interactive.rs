//! A shell that reads its commands: from a terminal with a prompt, or from any other standard input.

use super::ast::{List, Part};
use super::lex::Lexer;
use super::parse::{Parser, Syntax};
use super::state::{Flow, Shell};
use crate::rt::{self, Either};
use crate::signals;

/// The longest command that is read.
const LONGEST: usize = 16 << 20;

/// Reads and runs commands to the end of standard input.
pub async fn run(shell: &mut Shell) -> i32 {
    if shell.options.interactive {
        for signal in [signals::INT, signals::QUIT] {
            shell.cx.signals.catch(signal);
        }
        if shell.get("PS1").is_none() {
            let _ = shell.set("PS1", "\\w \\$ ");
        }
        if shell.get("PS2").is_none() {
            let _ = shell.set("PS2", "> ");
        }
    }
    loop {
        match next(shell).await {
            Next::End => break,
            Next::Again => {}
            Next::Wrong => {
                if !shell.options.interactive {
                    break;
                }
            }
            Next::Commands(list) => {
                let flow = if shell.options.interactive { guarded(shell, &list).await } else { shell.list(&list).await };
                match flow {
                    Flow::Exit => break,
                    Flow::Abort if !shell.options.interactive => break,
                    _ => {}
                }
            }
        }
    }
    shell.finish().await
}

enum Next {
    End,
    Again,
    Wrong,
    Commands(List),
}

/// Reads lines until they are commands.
async fn next(shell: &mut Shell) -> Next {
    let mut text = String::new();
    loop {
        let line = if shell.options.interactive {
            prompt(shell, if text.is_empty() { "PS1" } else { "PS2" }).await;
            match rt::select(shell.cx.stdin.read_line(), shell.cx.signals.caught()).await {
                Either::Left(line) => line,
                Either::Right(()) => {
                    let _ = shell.cx.stderr.write_all(b"\n").await;
                    let interrupted = interrupted(shell).await;
                    shell.status = 130;
                    return if interrupted == Flow::Exit { Next::End } else { Next::Again };
                }
            }
        } else {
            shell.cx.stdin.read_line().await
        };
        let whole = match line {
            Ok(Some(line)) => {
                text.push_str(&String::from_utf8_lossy(&line));
                false
            }
            _ if text.is_empty() => {
                if shell.options.interactive {
                    let _ = shell.cx.stderr.write_all(b"\n").await;
                }
                return Next::End;
            }
            _ => true,
        };
        let mut parser = Parser::new(&text, 1, whole || text.len() > LONGEST);
        parser.set_aliases(&shell.aliases);
        let error = match parser.line_of_commands() {
            Ok(Some(list)) => return Next::Commands(list),
            Ok(None) => return Next::Again,
            Err(Syntax::Incomplete) if !whole => continue,
            Err(Syntax::Incomplete) => "syntax error: unexpected end of file".to_string(),
            Err(Syntax::Wrong { message, .. }) => message,
        };
        shell.complain(None, &error).await;
        shell.status = 2;
        return Next::Wrong;
    }
}

async fn prompt(shell: &mut Shell, which: &str) {
    let text = shell.get(which).unwrap_or_default().to_string();
    let text = escapes(shell, &text);
    let text = match Lexer::document(&text, 1) {
        Ok(word) => shell.text(&[Part::Double(word)]).await.unwrap_or(text),
        Err(_) => text,
    };
    let _ = shell.cx.stderr.write_all(text.as_bytes()).await;
}

/// `\w`, `\W`, `\$`, `\h`, `\u`.
fn escapes(shell: &Shell, text: &str) -> String {
    let home = shell.get("HOME").filter(|home| *home != "/").unwrap_or("\0");
    let cwd = match shell.cx.cwd.strip_prefix(home) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => shell.cx.cwd.clone(),
    };
    let mut out = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            out.push(character);
            continue;
        }
        match characters.next() {
            Some('w') => out.push_str(&cwd),
            Some('W') => out.push_str(cwd.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(&cwd)),
            Some('$') => out.push('#'),
            Some('h') => out.push_str(shell.get("HOSTNAME").unwrap_or("localhost").split('.').next().unwrap_or_default()),
            Some('H') => out.push_str(shell.get("HOSTNAME").unwrap_or("localhost")),
            Some('u') => out.push_str(shell.get("USER").unwrap_or("root")),
            Some('n') => out.push('\n'),
            Some('e') => out.push('\x1b'),
            Some('[' | ']') => {}
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

/// Runs commands until they end or are interrupted.
async fn guarded(shell: &mut Shell, list: &List) -> Flow {
    // What an interrupted command leaves in disorder is put back.
    let mut before = shell.clone();
    let inbox = shell.cx.signals.clone();
    let flow = match rt::select(shell.list(list), inbox.caught()).await {
        Either::Left(flow) => Some(flow),
        Either::Right(()) => None,
    };
    if let Some(flow) = flow {
        return flow;
    }
    before.variables = shell.variables.clone();
    before.functions = shell.functions.clone();
    before.aliases = shell.aliases.clone();
    before.jobs = shell.jobs.clone();
    before.last_job = shell.last_job;
    before.traps = shell.traps.clone();
    before.cx.cwd = shell.cx.cwd.clone();
    for frame in shell.locals.drain(before.locals.len()..).rev().collect::<Vec<_>>() {
        for (name, variable) in frame.into_iter().rev() {
            before.restore(name, variable);
        }
    }
    *shell = before;
    let _ = shell.cx.stderr.write_all(b"\n").await;
    let flow = interrupted(shell).await;
    shell.status = 130;
    flow
}

/// Runs what is trapped.
async fn interrupted(shell: &mut Shell) -> Flow {
    shell.run_traps().await
}
