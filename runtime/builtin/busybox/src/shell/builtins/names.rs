//! `alias`, `command` and `type`: what a name stands for.

use std::rc::Rc;

use super::{APPLETS, Done, always_quoted, find, is_special};
use crate::applets;
use crate::shell::script;
use crate::shell::state::{Fault, Flow, Shell};

const KEYWORDS: &[&str] = &["!", "case", "do", "done", "elif", "else", "esac", "fi", "for", "if", "in", "then", "until", "while", "{", "}"];

enum Meaning {
    Keyword,
    Alias(String),
    Function,
    Special,
    Builtin,
    File(String),
}

fn meaning(shell: &Shell, name: &str) -> Option<Meaning> {
    if KEYWORDS.contains(&name) {
        return Some(Meaning::Keyword);
    }
    if let Some(value) = shell.aliases.get(name) {
        return Some(Meaning::Alias(value.clone()));
    }
    if shell.functions.contains_key(name) {
        return Some(Meaning::Function);
    }
    if find(name).is_some() || APPLETS.contains(&name) {
        return Some(if is_special(name) { Meaning::Special } else { Meaning::Builtin });
    }
    if applets::find(name).is_some() {
        return Some(Meaning::File(if name.contains('/') { name.into() } else { format!("/bin/{name}") }));
    }
    script::locate(&shell.cx, shell.get("PATH").unwrap_or_default(), name).ok().map(Meaning::File)
}

fn describe(name: &str, meaning: &Meaning) -> String {
    match meaning {
        Meaning::Keyword => format!("{name} is a shell keyword\n"),
        Meaning::Alias(value) => format!("{name} is an alias for {value}\n"),
        Meaning::Function => format!("{name} is a function\n"),
        Meaning::Special => format!("{name} is a special shell builtin\n"),
        Meaning::Builtin => format!("{name} is a shell builtin\n"),
        Meaning::File(path) => format!("{name} is {path}\n"),
    }
}

/// `type NAME…`
pub async fn kind(shell: &mut Shell, args: &[String]) -> Done {
    let mut code = 0;
    for name in &args[1..] {
        let line = match meaning(shell, name) {
            Some(meaning) => describe(name, &meaning),
            None => {
                code = 127;
                format!("{name}: not found\n")
            }
        };
        shell.print(line).await?;
    }
    Ok((code, Flow::Next))
}

/// `command [-pvV] NAME [ARG]…`
pub async fn command(shell: &mut Shell, args: &[String]) -> Done {
    let (mut brief, mut verbose, mut rest) = (false, false, &args[1..]);
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "-p" => {}
            "-v" => brief = true,
            "-V" => verbose = true,
            "--" => {
                rest = others;
                break;
            }
            _ => break,
        }
        rest = others;
    }
    let Some(name) = rest.first() else { return Ok((0, Flow::Next)) };
    if brief || verbose {
        let Some(meaning) = meaning(shell, name) else {
            if verbose {
                shell.print(format!("{name}: not found\n")).await?;
            }
            return Ok((127, Flow::Next));
        };
        let line = match meaning {
            Meaning::File(path) if brief => format!("{path}\n"),
            Meaning::Alias(value) if brief => format!("alias {name}={}\n", always_quoted(&value)),
            _ if brief => format!("{name}\n"),
            meaning => describe(name, &meaning),
        };
        shell.print(line).await?;
        return Ok((0, Flow::Next));
    }
    match find(name) {
        // Its errors are not special any more.
        Some(builtin) => builtin(shell, rest).await.map_err(|fault| Fault { fatal: false, ..fault }),
        None => shell.external(rest, Vec::new()).await,
    }
}

/// `alias [NAME[=VALUE]…]`
pub async fn alias(shell: &mut Shell, args: &[String]) -> Done {
    if args.len() == 1 {
        let lines: String = shell.aliases.iter().map(|(name, value)| format!("{name}={}\n", always_quoted(value))).collect();
        shell.print(lines).await?;
    }
    let mut code = 0;
    for arg in &args[1..] {
        match arg.split_once('=').filter(|(name, _)| !name.is_empty()) {
            Some((name, value)) => _ = Rc::make_mut(&mut shell.aliases).insert(name.to_owned(), value.to_owned()),
            None => match shell.aliases.get(arg) {
                Some(value) => _ = shell.print(format!("{arg}={}\n", always_quoted(value))).await?,
                None => code = not_found(shell, "alias", arg).await,
            },
        }
    }
    Ok((code, Flow::Next))
}

/// `unalias [-a] [NAME…]`
pub async fn unalias(shell: &mut Shell, args: &[String]) -> Done {
    let mut code = 0;
    for arg in &args[1..] {
        let aliases = Rc::make_mut(&mut shell.aliases);
        if arg == "-a" {
            aliases.clear();
        } else if aliases.remove(arg).is_none() {
            code = not_found(shell, "unalias", arg).await;
        }
    }
    Ok((code, Flow::Next))
}

async fn not_found(shell: &Shell, builtin: &str, name: &str) -> i32 {
    let _ = shell.cx.stderr.write_all(format!("{builtin}: {name} not found\n").as_bytes()).await;
    1
}
