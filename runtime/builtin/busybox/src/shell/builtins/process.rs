//! `jobs`, `kill`, `wait`, `times`, `ulimit`, `umask`.

use super::{Done, status};
use crate::rt::{self, Either};
use crate::shell::jobs::{self, Job};
use crate::shell::state::{Fault, Flow, Shell};
use crate::signals;

/// `jobs [-lp]`
pub async fn jobs(shell: &mut Shell, args: &[String]) -> Done {
    let flag = args.get(1).map(String::as_str);
    let count = shell.jobs.len();
    let mut lines = String::new();
    for (index, job) in shell.jobs.iter().enumerate() {
        let mark = match count - index {
            1 => '+',
            2 => '-',
            _ => ' ',
        };
        let state = match job.status() {
            None => "Running".to_string(),
            Some(0) => "Done".into(),
            Some(code) => format!("Done({code})"),
        };
        lines += &match flag {
            Some("-p") => format!("{}\n", job.pid()),
            Some("-l") => format!("[{}]{mark}  {:5} {state:<27}\n", index + 1, job.pid()),
            _ => format!("[{}]{mark}  {state:<27}\n", index + 1),
        };
    }
    shell.print(lines).await?;
    shell.jobs.retain(|job| job.status().is_none());
    status(0)
}

/// A job by `%1`, `%+`, `%-` or its process number.
fn find(shell: &Shell, name: &str) -> Option<Job> {
    match name.strip_prefix('%') {
        Some("" | "+" | "%") => shell.jobs.last().cloned(),
        Some("-") => shell.jobs.iter().rev().nth(1).cloned(),
        Some(index) => shell.jobs.get(index.parse::<usize>().ok()?.checked_sub(1)?).cloned(),
        None => {
            let pid: u32 = name.parse().ok()?;
            shell.jobs.iter().find(|job| job.pid() == pid).cloned()
        }
    }
}

async fn no_such_job(shell: &Shell, builtin: &str, name: &str) -> Done {
    shell.complain(Some(builtin), &format!("{name}: no such job")).await;
    status(2)
}

/// `kill [-SIGNAL | -s SIGNAL] PID…`, `kill -l [NUMBER]`
pub async fn kill(shell: &mut Shell, args: &[String]) -> Done {
    let mut signal = signals::TERM;
    let mut rest = &args[1..];
    let unknown = |name: &str| Fault::new(1, format!("bad signal name '{name}'"));
    match rest.first().map(String::as_str) {
        Some("-l") => return list(shell, rest.get(1).map(String::as_str)).await,
        Some("-s" | "-n") => {
            let name = rest.get(1).cloned().unwrap_or_default();
            signal = signals::number(&name).ok_or_else(|| unknown(&name))?;
            rest = &rest[2..];
        }
        Some("--") => rest = &rest[1..],
        Some(first) if first.len() > 1 && first.starts_with('-') => {
            signal = signals::number(&first[1..]).ok_or_else(|| unknown(&first[1..]))?;
            rest = &rest[1..];
        }
        _ => {}
    }
    if rest.is_empty() {
        return Err(Fault::new(1, "you need to specify whom to kill"));
    }
    let mut code = 0;
    for name in rest {
        let pid = match name.strip_prefix('%') {
            Some(_) => match find(shell, name) {
                Some(job) => Some(job.pid()),
                None => return no_such_job(shell, "kill", name).await,
            },
            None => name.parse().ok(),
        };
        let why = match pid {
            Some(pid) if jobs::send(pid, signal) => continue,
            Some(pid) => format!("can't kill pid {pid}: No such process"),
            None => format!("invalid number '{name}'"),
        };
        shell.cx.warn(why).await;
        code = 1;
    }
    // It may have been us.
    rt::pause().await;
    status(code)
}

async fn list(shell: &mut Shell, number: Option<&str>) -> Done {
    let text = match number {
        Some(text) => {
            // An exit code tells its signal, too.
            let number = signals::number(text).or_else(|| text.parse().ok().map(|code: i32| code - 128));
            let number = number.map(|number| if number > 128 { number - 128 } else { number });
            match number.and_then(signals::name) {
                Some(name) if text.parse::<i32>().is_ok() => format!("{name}\n"),
                Some(_) => format!("{}\n", number.unwrap_or_default()),
                None => return Err(Fault::new(1, format!("bad signal name '{text}'"))),
            }
        }
        None => signals::all().map(|(name, number)| format!("{number:2}) {name}\n")).collect(),
    };
    shell.print(text).await.map(|code| (code, Flow::Next))
}

/// `wait [PID…]`; a signal that is trapped ends it.
pub async fn wait(shell: &mut Shell, args: &[String]) -> Done {
    let mut code = 0;
    if let Some(name) = args.iter().skip(1).find(|name| name.starts_with('%') && find(shell, name).is_none()) {
        return no_such_job(shell, "wait", name).await;
    }
    let named: Vec<Option<Job>> =
        if args.len() > 1 { args[1..].iter().map(|name| find(shell, name)).collect() } else { shell.jobs.iter().cloned().map(Some).collect() };
    for job in named {
        let Some(job) = job else {
            code = 127;
            continue;
        };
        let signals = shell.cx.signals.clone();
        match rt::select(job.wait(), signals.caught()).await {
            Either::Left(status) => {
                code = if args.len() > 1 { status } else { 0 };
                if let Some(words) = job.obituary() {
                    let _ = shell.cx.stderr.write_all(format!("{words}\n").as_bytes()).await;
                }
                shell.jobs.retain(|other| other.pid() != job.pid());
            }
            Either::Right(()) => return status(128 + signals.first().unwrap_or_default()),
        }
    }
    status(code)
}

/// `times`: WASI tells no processor time.
pub async fn times(shell: &mut Shell, _: &[String]) -> Done {
    shell.print("0m0.000s 0m0.000s\n0m0.000s 0m0.000s\n").await.map(|code| (code, Flow::Next))
}

/// `ulimit [-HSa] [-RESOURCE [LIMIT]]`: nothing is limited here; the container's limits are not the shell's to change.
pub async fn ulimit(shell: &mut Shell, args: &[String]) -> Done {
    let all = args.iter().any(|arg| arg == "-a");
    let sets = args.last().is_some_and(|last| args.len() > 1 && !last.starts_with('-'));
    let text = match (all, sets) {
        (true, _) => [
            "-f: file size (blocks)",
            "-t: cpu time (seconds)",
            "-d: data seg size (kb)",
            "-s: stack size (kb)",
            "-c: core file size (blocks)",
            "-n: file descriptors",
            "-v: address space (kb)",
        ]
        .map(|name| format!("{name:<32} unlimited\n"))
        .concat(),
        (_, true) => String::new(),
        _ => "unlimited\n".into(),
    };
    shell.print(text).await.map(|code| (code, Flow::Next))
}

/// `umask [-S] [MODE]`: kept, though files have no modes here.
pub async fn umask(shell: &mut Shell, args: &[String]) -> Done {
    match args.get(1).map(String::as_str) {
        None => shell.print(format!("{:04o}\n", shell.umask)).await.map(|code| (code, Flow::Next)),
        Some("-S") => {
            let class = |shift: u32| -> String {
                let allowed = !(shell.umask >> shift) & 7;
                [(4, 'r'), (2, 'w'), (1, 'x')].iter().filter(|(bit, _)| allowed & bit != 0).map(|(_, letter)| *letter).collect()
            };
            let line = format!("u={},g={},o={}\n", class(6), class(3), class(0));
            shell.print(line).await.map(|code| (code, Flow::Next))
        }
        Some(mode) => match u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777) {
            Some(mode) => {
                shell.umask = mode;
                status(0)
            }
            None => Err(Fault::new(1, format!("Illegal number: {mode}"))),
        },
    }
}
