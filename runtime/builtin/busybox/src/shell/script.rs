//! Files that are run: scripts, by their path or found in PATH.

use std::fs;

use super::state::{Fault, Shell};
use crate::applets;
use crate::context::Context;
use crate::io::reason;
use crate::rt::Boxed;

/// The path of a command that is no applet, or why there is none.
pub fn locate(cx: &Context, path: &str, command: &str) -> Result<String, Fault> {
    let missing = || Fault::new(127, format!("{command}: not found"));
    if command.is_empty() {
        return Err(missing());
    }
    if command.contains('/') {
        return match fs::metadata(cx.path(command)) {
            Ok(metadata) if metadata.is_dir() => Err(Fault::new(126, format!("{command}: Permission denied"))),
            Ok(_) => Ok(command.into()),
            Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Err(missing()),
            Err(error) => Err(Fault::new(126, format!("{command}: {}", reason(&error)))),
        };
    }
    let folders = path.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
    let mut candidates = folders.map(|folder| format!("{}/{command}", folder.trim_end_matches('/')));
    candidates.find(|candidate| fs::metadata(cx.path(candidate)).is_ok_and(|metadata| metadata.is_file())).ok_or_else(missing)
}

/// Runs a file: with the interpreter that its first line names, else as a shell script.
pub fn run(mut cx: Context, path: &str) -> Boxed<'static, i32> {
    let path = path.to_string();
    Box::pin(async move {
        let bytes = match fs::read(cx.path(&path)) {
            Ok(bytes) => bytes,
            Err(error) => {
                cx.warn(reason(&error)).await;
                return 126;
            }
        };
        if bytes.starts_with(b"\0asm") || bytes.starts_with(b"\x7fELF") || bytes.get(..256.min(bytes.len())).is_some_and(|head| head.contains(&0)) {
            cx.warn("Exec format error").await;
            return 126;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((program, argument)) = interpreter(&text) {
            let mut args: Vec<String> = vec![program.into()];
            args.extend(argument.map(String::from));
            if !is_shell(program) {
                args.push(path);
                args.extend(cx.args.drain(1..));
                if applets::find(program).is_none() {
                    cx.warn("not found").await;
                    return 127;
                }
                cx.args = args;
                return cx.run().await;
            }
            let mut shell = Shell::new(cx);
            if let Some(letters) = argument.and_then(|argument| argument.strip_prefix('-')) {
                for letter in letters.chars() {
                    if let Some(option) = shell.options.by_letter(letter) {
                        *option = true;
                    }
                }
            }
            return run_text(shell, &path, &text).await;
        }
        run_text(Shell::new(cx), &path, &text).await
    })
}

async fn run_text(mut shell: Shell, path: &str, text: &str) -> i32 {
    shell.args = shell.cx.args.get(1..).unwrap_or_default().to_vec().into();
    shell.name = path.into();
    shell.tells_line = true;
    shell.run_text(text).await;
    shell.finish().await
}

/// `#!program argument`
fn interpreter(text: &str) -> Option<(&str, Option<&str>)> {
    let line = text.strip_prefix("#!")?.lines().next()?.trim();
    match line.split_once([' ', '\t']) {
        Some((program, argument)) => Some((program, Some(argument.trim()).filter(|argument| !argument.is_empty()))),
        None => Some((line, None)).filter(|(program, _)| !program.is_empty()),
    }
}

fn is_shell(program: &str) -> bool {
    matches!(applets::name_of(program), "sh" | "ash" | "bash" | "dash")
}
