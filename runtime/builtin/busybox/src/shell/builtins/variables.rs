//! `export`, `readonly`, `local`, `unset`, `set`, `shift`, `getopts`, `let`.

use super::{Done, always_quoted, count, status};
use crate::shell::arith;
use crate::shell::parse::is_name;
use crate::shell::state::{Fault, Flow, Options, Shell, Variable};

/// `export [-p] [NAME[=VALUE]]…`
pub async fn export(shell: &mut Shell, args: &[String]) -> Done {
    if let Some("-n") = args.get(1).map(String::as_str) {
        for name in &args[2..] {
            shell.attributes(name).exported = false;
        }
        return status(0);
    }
    declare(shell, args, |variable| variable.exported, |variable| variable.exported = true).await
}

/// `readonly [-p] [NAME[=VALUE]]…`
pub async fn readonly(shell: &mut Shell, args: &[String]) -> Done {
    declare(shell, args, |variable| variable.readonly, |variable| variable.readonly = true).await
}

async fn declare(shell: &mut Shell, args: &[String], is: fn(&Variable) -> bool, make: fn(&mut Variable)) -> Done {
    let names: Vec<&String> = args[1..].iter().filter(|arg| !matches!(arg.as_str(), "-p" | "--")).collect();
    if names.is_empty() {
        let mut lines = String::new();
        for (name, variable) in shell.variables.iter().filter(|(_, variable)| is(variable)) {
            let value = variable.value.as_deref().map(|value| format!("={}", always_quoted(value))).unwrap_or_default();
            lines += &format!("{} {name}{value}\n", args[0]);
        }
        return shell.print(lines).await.map(|code| (code, Flow::Next));
    }
    for argument in names {
        let (name, value) = argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
        if !is_name(name) {
            return Err(Fault::fatal(format!("{name}: bad variable name")));
        }
        if let Some(value) = value {
            shell.set(name, value)?;
        }
        make(shell.attributes(name));
    }
    status(0)
}

/// `local NAME[=VALUE]…`
pub async fn local(shell: &mut Shell, args: &[String]) -> Done {
    if shell.locals.is_empty() {
        return Err(Fault::fatal("not in a function"));
    }
    for argument in &args[1..] {
        let (name, value) = argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
        if !is_name(name) {
            return Err(Fault::fatal(format!("{name}: bad variable name")));
        }
        let before = shell.variables.get(name).cloned();
        if let Some(frame) = shell.locals.last_mut()
            && !frame.iter().any(|(known, _)| known == name)
        {
            frame.push((name.into(), before));
        }
        match value {
            Some(value) => shell.set(name, value)?,
            None => {
                shell.attributes(name).value = None;
                if name == "OPTIND" {
                    shell.getopts = 0;
                }
            }
        }
    }
    status(0)
}

/// `unset [-fv] NAME…`
pub async fn unset(shell: &mut Shell, args: &[String]) -> Done {
    let mut functions = false;
    for argument in &args[1..] {
        match argument.as_str() {
            "-f" => functions = true,
            "-v" => functions = false,
            name if functions => drop(std::rc::Rc::make_mut(&mut shell.functions).remove(name)),
            name if !is_name(name) => return Err(Fault::fatal(format!("{name}: bad variable name"))),
            name if shell.variables.contains_key(name) => shell.unset(name)?,
            name => drop(std::rc::Rc::make_mut(&mut shell.functions).remove(name)),
        }
    }
    status(0)
}

/// `set [-abCefmnuvx] [-o OPTION] [--] [ARG]…`
pub async fn set(shell: &mut Shell, args: &[String]) -> Done {
    if args.len() == 1 {
        let named = shell.variables.iter().filter_map(|(name, variable)| Some((name, variable.value.as_deref()?)));
        let lines: String = named.map(|(name, value)| format!("{name}={}\n", always_quoted(value))).collect();
        return shell.print(lines).await.map(|code| (code, Flow::Next));
    }
    let mut rest = &args[1..];
    while let Some((first, others)) = rest.split_first() {
        if first == "--" {
            shell.args = others.to_vec().into();
            return status(0);
        }
        if first == "-" {
            (shell.options.xtrace, shell.options.verbose) = (false, false);
            rest = others;
            if !rest.is_empty() {
                shell.args = rest.to_vec().into();
            }
            return status(0);
        }
        let Some(on) = first.strip_prefix('-').map(|_| true).or(first.strip_prefix('+').map(|_| false)) else { break };
        rest = others;
        for letter in first[1..].chars() {
            if letter == 'o' {
                let Some((name, others)) = rest.split_first() else {
                    return shell.print(options(shell.options, on)).await.map(|code| (code, Flow::Next));
                };
                rest = others;
                match shell.options.get(name) {
                    Some(option) => *option = on,
                    None => return Err(Fault::fatal(format!("illegal option {}o {name}", if on { '-' } else { '+' }))),
                }
                continue;
            }
            // How a shell was started is not changed later.
            match shell.options.by_letter(letter).filter(|_| !matches!(letter, 'i' | 's' | 'c')) {
                Some(option) => *option = on,
                None if matches!(letter, 'b' | 'h' | 'E' | 'I' | 'V') => {}
                None => return Err(Fault::fatal(format!("illegal option {}{letter}", if on { '-' } else { '+' }))),
            }
        }
        if rest.is_empty() {
            return status(0);
        }
    }
    shell.args = rest.to_vec().into();
    status(0)
}

fn options(mut options: Options, table: bool) -> String {
    let mut lines = String::new();
    if table {
        lines += "Current option settings\n";
    }
    for (name, _) in Options::ALL.iter().filter(|(name, _)| *name != "command") {
        let on = options.get(name).is_some_and(|on| *on);
        lines += &match (table, on) {
            (true, true) => format!("{name:<16}on\n"),
            (true, false) => format!("{name:<16}off\n"),
            (false, true) => format!("set -o {name}\n"),
            (false, false) => format!("set +o {name}\n"),
        };
    }
    lines
}

/// `shift [N]`
pub async fn shift(shell: &mut Shell, args: &[String]) -> Done {
    let by = match args.get(1) {
        Some(by) => count(by)? as usize,
        None => 1,
    };
    if by > shell.args.len() {
        return status(1);
    }
    shell.args = shell.args[by..].to_vec().into();
    status(0)
}

/// `let EXPRESSION…`
pub async fn arithmetic(shell: &mut Shell, args: &[String]) -> Done {
    let mut value = 0;
    for expression in &args[1..] {
        value = arith::evaluate(expression, shell).map_err(|message| Fault::new(1, message))?;
    }
    status(i32::from(value == 0))
}

/// `getopts OPTIONS NAME [ARG]…`
pub async fn getopts(shell: &mut Shell, args: &[String]) -> Done {
    let [_, letters, name, rest @ ..] = args else { return Err(Fault::new(2, "usage: getopts optstring var [arg]")) };
    let words: Vec<String> = if rest.is_empty() { shell.args.to_vec() } else { rest.to_vec() };
    let (silent, letters) = letters.strip_prefix(':').map_or((false, letters.as_str()), |rest| (true, rest));
    let mut index = shell.get("OPTIND").and_then(|text| text.parse::<usize>().ok()).filter(|index| *index > 0).unwrap_or(1);
    let mut at = shell.getopts;
    let ends = |word: Option<&String>| word.is_none_or(|word| !word.starts_with('-') || word == "-");
    if at == 0 {
        let word = words.get(index - 1);
        if ends(word) || word.is_some_and(|word| word == "--") {
            if !ends(word) {
                index += 1;
            }
            shell.set("OPTIND", index.to_string())?;
            shell.set(name, "?")?;
            return status(1);
        }
        at = 1;
    }
    let word: Vec<char> = words.get(index - 1).map_or(Vec::new(), |word| word.chars().collect());
    let letter = word.get(at).copied().unwrap_or('?');
    at += 1;
    let known = letters.find(letter).filter(|_| letter != ':');
    let takes = known.is_some_and(|place| letters[place + letter.len_utf8()..].starts_with(':'));
    let (mut found, mut argument, mut complaint) = (letter, None, None);
    if known.is_none() {
        found = '?';
        complaint = Some(format!("Illegal option -{letter}"));
        argument = Some(letter.to_string()).filter(|_| silent);
    } else if takes {
        if at < word.len() {
            argument = Some(word[at..].iter().collect());
        } else if let Some(value) = words.get(index) {
            argument = Some(value.clone());
            index += 1;
        } else {
            found = if silent { ':' } else { '?' };
            complaint = Some(format!("No arg for -{letter} option"));
            argument = Some(letter.to_string()).filter(|_| silent);
        }
        at = word.len();
    }
    if at >= word.len() {
        index += 1;
        at = 0;
    }
    if let Some(complaint) = complaint.filter(|_| !silent) {
        let _ = shell.cx.stderr.write_all(format!("{complaint}\n").as_bytes()).await;
    }
    shell.set("OPTIND", index.to_string())?;
    shell.getopts = at;
    match argument {
        Some(argument) => shell.set("OPTARG", argument)?,
        None => shell.unset("OPTARG")?,
    }
    shell.set(name, found.to_string())?;
    status(0)
}
