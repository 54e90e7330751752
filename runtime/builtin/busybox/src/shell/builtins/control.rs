//! `.`, `break`, `continue`, `eval`, `exec`, `exit`, `return`, `trap`.

use super::{Done, count, status};
use crate::applets;
use crate::io::reason;
use crate::shell::state::{DEEPEST, Fault, Flow, Shell};
use crate::shell::{script, state};
use crate::signals;

/// `break [N]`, `continue [N]`
pub async fn leave(shell: &mut Shell, args: &[String]) -> Done {
    let levels = match args.get(1) {
        Some(levels) => count(levels)?.max(1) as u32,
        None => 1,
    };
    if shell.loops == 0 {
        return status(0);
    }
    let levels = levels.min(shell.loops);
    Ok((0, if args[0] == "break" { Flow::Break(levels) } else { Flow::Continue(levels) }))
}

/// `return [N]`
pub async fn give_back(shell: &mut Shell, args: &[String]) -> Done {
    let status = match args.get(1) {
        Some(status) => count(status)? & 0xff,
        None => shell.status,
    };
    // Outside of functions it ends the script.
    Ok((status, if shell.returns > 0 { Flow::Return } else { Flow::Exit }))
}

/// `exit [N]`
pub async fn exit(shell: &mut Shell, args: &[String]) -> Done {
    let status = match args.get(1) {
        Some(status) => count(status)? & 0xff,
        None => shell.status,
    };
    shell.status = status;
    Ok((status, Flow::Exit))
}

/// `eval ARG…`
pub async fn eval(shell: &mut Shell, args: &[String]) -> Done {
    let text = args[1..].join(" ");
    if text.trim().is_empty() {
        return status(0);
    }
    nested(shell, &text).await
}

async fn nested(shell: &mut Shell, text: &str) -> Done {
    if shell.depth >= DEEPEST {
        return Err(Fault::fatal("too deep recursion"));
    }
    let line = shell.line;
    shell.depth += 1;
    let flow = shell.run_text(text).await;
    shell.depth -= 1;
    shell.line = line;
    Ok((shell.status, flow))
}

/// `. FILE [ARG]…`
pub async fn source(shell: &mut Shell, args: &[String]) -> Done {
    let Some(name) = args.get(1) else { return Err(Fault::fatal("filename argument required")) };
    let path =
        if name.contains('/') { name.clone() } else { script::locate(&shell.cx, shell.get("PATH").unwrap_or_default(), name).unwrap_or_else(|_| name.clone()) };
    let input = shell.cx.open(&path).map_err(|error| Fault::fatal(format!("can't open '{name}': {}", reason(&error))))?;
    let text = input.read_to_end().await.map_err(|error| Fault::fatal(format!("{name}: {}", reason(&error))))?;
    let before = (args.len() > 2).then(|| std::mem::replace(&mut shell.args, args[2..].to_vec().into()));
    let tells_line = std::mem::replace(&mut shell.tells_line, true);
    shell.returns += 1;
    let loops = std::mem::take(&mut shell.loops);
    shell.status = 0;
    let done = nested(shell, &String::from_utf8_lossy(&text)).await;
    shell.loops = loops;
    shell.returns -= 1;
    shell.tells_line = tells_line;
    if let Some(args) = before {
        shell.args = args;
    }
    done.map(|(status, flow)| (status, if flow == Flow::Return { Flow::Next } else { flow }))
}

/// `exec [COMMAND [ARG]…]`
pub async fn exec(shell: &mut Shell, args: &[String]) -> Done {
    let mut words = &args[1..];
    let mut name = None;
    loop {
        match words {
            [first, rest @ ..] if first == "--" => words = rest,
            [first, given, rest @ ..] if first == "-a" => (name, words) = (Some(given.clone()), rest),
            _ => break,
        }
    }
    let Some(command) = words.first() else { return status(0) };
    let mut child = shell.process(words.to_vec(), shell.environment());
    // It is this process that goes on as another program.
    child.signals = shell.cx.signals.clone();
    let path = match applets::find(command) {
        Some(_) => None,
        None => match script::locate(&child, shell.get("PATH").unwrap_or_default(), command) {
            Ok(path) => Some(path),
            Err(fault) => {
                shell.complain(Some("exec"), &fault.message).await;
                return Ok((fault.status, if shell.options.interactive { Flow::Next } else { Flow::Exit }));
            }
        },
    };
    shell.traps.remove(&0);
    child.signals.reset_caught();
    // Its descriptors are the only ones that are left.
    shell.cx.stdin = crate::io::Descriptor::closed();
    shell.cx.stdout = crate::io::Output::new(crate::io::Descriptor::closed());
    shell.cx.others.clear();
    let code = match path {
        Some(path) => script::run(child, &path).await,
        None => {
            if let Some(name) = name.filter(|_| applets::find(command).is_none()) {
                child.args[0] = name;
            }
            child.run().await
        }
    };
    shell.status = code;
    Ok((code, Flow::Exit))
}

/// `trap [ACTION] [SIGNAL]…`
pub async fn trap(shell: &mut Shell, args: &[String]) -> Done {
    let args = match args.get(1).map(String::as_str) {
        Some("--") => &args[2..],
        Some("-l") => {
            let lines: String = signals::all().map(|(name, number)| format!("{number:2}) SIG{name}\n")).collect();
            return shell.print(lines).await.map(|code| (code, Flow::Next));
        }
        Some("-p") => &args[args.len()..],
        _ => &args[1..],
    };
    let Some((action, names)) = args.split_first() else {
        let mut lines = String::new();
        for (signal, action) in &shell.traps {
            lines += &format!("trap -- {} {}\n", super::always_quoted(action), signals::name(*signal).unwrap_or("?"));
        }
        return shell.print(lines).await.map(|code| (code, Flow::Next));
    };
    // One argument, or a number in front: what follows is reset.
    let (action, names) = match () {
        () if names.is_empty() || action.parse::<u32>().is_ok() => (None, args),
        () if action == "-" => (None, names),
        () => (Some(action.clone()), names),
    };
    let mut code = 0;
    for name in names {
        match signals::number(name) {
            Some(signal) => state::Shell::trap(shell, signal, action.clone()),
            None => {
                shell.complain(Some("trap"), &format!("{name}: invalid signal specification")).await;
                code = 1;
            }
        }
    }
    status(code)
}
