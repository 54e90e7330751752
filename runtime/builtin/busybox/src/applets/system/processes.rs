//! Processes, such as there are: `ps`, `top`, `free`, `kill`, `timeout`, `time`, `nohup`, `nice`, `watch`.

use std::time::Duration;

use wasip2::clocks::monotonic_clock;

use crate::applets::duration;
use crate::calendar::{self, Moment, Zone};
use crate::context::{Context, Error, Result};
use crate::io::Output;
use crate::rt::{self, Either};
use crate::shell::jobs;
use crate::signals;

/// The component's own process, and the one that asks.
fn list(cx: &Context) -> Vec<(u32, String)> {
    let first = wasip2::cli::environment::get_arguments().join(" ");
    let mut all = vec![(1, first.clone())];
    let own = cx.args.join(" ");
    if own != first {
        all.push((signals::next_pid(), own));
    }
    all
}

/// `ps [-o COLUMN[=HEADER]…]`
pub async fn ps(cx: &mut Context) -> Result {
    // `ps aux`, `ps -ef`: all that there is, whatever is asked for.
    let mut columns = Vec::new();
    let mut words = cx.args[1..].iter();
    while let Some(word) = words.next() {
        if let Some(value) = word.strip_prefix("-o") {
            let value = if value.is_empty() { words.next().map_or("", String::as_str) } else { value };
            columns.extend(
                value
                    .split(',')
                    .map(|column| column.split_once('=').map_or((column.to_string(), None), |(name, title)| (name.to_string(), Some(title.to_string())))),
            );
        }
    }
    if columns.is_empty() {
        cx.stdout.write("PID   USER     TIME  COMMAND\n").await?;
        for (pid, command) in list(cx) {
            cx.stdout.write(format!("{pid:5} root      0:00 {command}\n")).await?;
        }
        return Ok(0);
    }
    let title = |name: &str| match name {
        "args" | "cmd" => "COMMAND".to_string(),
        "comm" => "COMMAND".into(),
        other => other.to_uppercase(),
    };
    let width = |name: &str| match name {
        "user" | "group" => 8,
        "comm" => 16,
        "pid" | "ppid" | "pgid" => 5,
        "time" => 5,
        _ => 0,
    };
    let line = |cells: Vec<(String, usize)>| {
        let last = cells.len() - 1;
        let cells: Vec<String> =
            cells.into_iter().enumerate().map(|(index, (text, width))| if index == last { text } else { format!("{text:<width$}") }).collect();
        cells.join(" ") + "\n"
    };
    cx.stdout.write(line(columns.iter().map(|(name, header)| (header.clone().unwrap_or_else(|| title(name)), width(name))).collect())).await?;
    for (pid, command) in list(cx) {
        let cells = columns.iter().map(|(name, _)| {
            let text = match name.as_str() {
                "pid" | "pgid" => format!("{pid:5}"),
                "ppid" => format!("{:5}", u32::from(pid != 1)),
                "user" | "group" | "ruser" => "root".into(),
                "comm" => crate::applets::name_of(command.split(' ').next().unwrap_or_default()).to_string(),
                "args" | "cmd" => command.clone(),
                "time" | "etime" => "0:00".into(),
                _ => "0".into(),
            };
            (text, width(name))
        });
        cx.stdout.write(line(cells.collect())).await?;
    }
    Ok(0)
}

/// `top [-b] [-n COUNT] [-d SECONDS]`
pub async fn top(cx: &mut Context) -> Result {
    let options = cx.options("bn:d:mH", &[])?;
    let count = options.value('n').map_or(Ok(if options.has('b') { u64::MAX } else { u64::MAX }), |text| {
        text.parse::<u64>().map_err(|_| Error::new(format!("invalid number '{text}'")))
    })?;
    let pause = options.value('d').map_or(Some(Duration::from_secs(5)), duration).ok_or_else(|| Error::new("invalid number"))?;
    for turn in 0..count {
        if turn > 0 {
            rt::sleep(pause).await;
        }
        let memory = memory() / 1024;
        let front = if options.has('b') || !cx.stdout.descriptor().is_terminal() { "" } else { "\x1b[H\x1b[J" };
        cx.stdout.write(format!("{front}Mem: {memory}K used, 0K free, 0K shrd, 0K buff, 0K cached\nCPU:   0% usr   0% sys   0% nic 100% idle   0% io   0% irq   0% sirq\nLoad average: 0.00 0.00 0.00 1/1 1\n  PID  PPID USER     STAT   VSZ %VSZ CPU %CPU COMMAND\n")).await?;
        for (pid, command) in list(cx) {
            cx.stdout
                .write(format!("{pid:5} {:5} root     {}    {memory:5}   0%   0   0% {command}\n", u32::from(pid != 1), if pid == 1 { 'S' } else { 'R' }))
                .await?;
        }
        cx.stdout.flush().await?;
    }
    Ok(0)
}

/// Bytes of memory that this component has.
fn memory() -> usize {
    #[cfg(target_arch = "wasm32")]
    let pages = core::arch::wasm32::memory_size(0);
    #[cfg(not(target_arch = "wasm32"))]
    let pages = 0;
    pages << 16
}

/// `free [-bkmgh]`: of this component.
pub async fn free(cx: &mut Context) -> Result {
    let options = cx.options("bkmghtw", &[])?;
    let used = memory();
    let show = |bytes: usize| match () {
        () if options.has('h') => crate::applets::files::ls::human(bytes as u64),
        () if options.has('b') => bytes.to_string(),
        () if options.has('m') => (bytes >> 20).to_string(),
        () if options.has('g') => (bytes >> 30).to_string(),
        () => (bytes >> 10).to_string(),
    };
    let (used, none) = (show(used), show(0));
    cx.stdout.write("              total        used        free      shared  buff/cache   available\n").await?;
    cx.stdout.write(format!("Mem:    {used:>11} {used:>11} {none:>11} {none:>11} {none:>11} {none:>11}\nSwap:   {none:>11} {none:>11} {none:>11}\n")).await?;
    Ok(0)
}

/// `kill [-l] [-SIGNAL] PID…`, outside of a shell.
pub async fn kill(cx: &mut Context) -> Result {
    let mut words = &cx.args[1..];
    let mut signal = signals::TERM;
    if let [first, rest @ ..] = words
        && let Some(name) = first.strip_prefix('-')
    {
        if name == "l" {
            for (name, number) in signals::all() {
                cx.stdout.write(format!("{number:2}) {name}\n")).await?;
            }
            return Ok(0);
        }
        let (name, rest) = if name == "s" { (rest.first().map_or("", String::as_str), rest.get(1..).unwrap_or_default()) } else { (name, rest) };
        signal = signals::number(name).ok_or_else(|| Error::new(format!("bad signal name '{name}'")))?;
        words = rest;
    }
    if words.is_empty() {
        return Err(Error::usage("you need to specify whom to kill"));
    }
    let mut code = 0;
    for word in words {
        let Ok(pid) = word.parse() else { return Err(Error::new(format!("invalid number '{word}'"))) };
        if !jobs::send(pid, signal) {
            cx.warn(format!("can't kill pid {pid}: No such process")).await;
            code = 1;
        }
    }
    rt::pause().await;
    Ok(code)
}

/// `timeout [-s SIGNAL] [-k SECONDS] SECONDS PROG ARGS`
pub async fn timeout(cx: &mut Context) -> Result {
    let options = cx.options("+s:k:", &[("signal", 's'), ("kill-after", 'k'), ("preserve-status", 'p'), ("foreground", 'f')])?;
    let signal = options.value('s').map_or(Ok(signals::TERM), |name| signals::number(name).ok_or_else(|| Error::new(format!("unknown signal '{name}'"))))?;
    let [limit, command @ ..] = options.operands.as_slice() else { return Err(Error::usage("usage: timeout [-s SIG] [-k KILL_SECS] SECS PROG ARGS")) };
    if command.is_empty() {
        return Err(Error::usage("usage: timeout [-s SIG] [-k KILL_SECS] SECS PROG ARGS"));
    }
    let limit = duration(limit).ok_or_else(|| Error::new(format!("invalid number '{limit}'")))?;
    if crate::applets::find(&command[0]).is_none() && crate::shell::locate(cx, &command[0]).is_err() {
        return Ok(cx.execute(command.iter().cloned()).await);
    }
    let child = cx.child(command.iter().cloned());
    let inbox = child.signals.clone();
    let mut running = child.run();
    match rt::select(&mut running, rt::sleep(limit)).await {
        Either::Left(code) => return Ok(code),
        Either::Right(()) => {}
    }
    // What catches the signal ends by itself, or is killed later.
    if inbox.deliver(signal) == signals::Delivered::Fatal {
        return Ok(128 + signal);
    }
    match options.value('k').and_then(duration) {
        None => Ok(running.await),
        Some(grace) => Ok(rt::timeout(grace, running).await.unwrap_or(128 + signals::KILL)),
    }
}

/// `time [-p] PROG ARGS`
pub async fn time(cx: &mut Context) -> Result {
    let options = cx.options("+pvo:f:a", &[])?;
    let begin = monotonic_clock::now();
    let code = cx.execute(options.operands.iter().cloned()).await;
    let seconds = (monotonic_clock::now() - begin) as f64 / 1e9;
    let text = if options.has('p') {
        format!("real {seconds:.2}\nuser 0.00\nsys 0.00\n")
    } else {
        let (minutes, rest) = ((seconds / 60.0) as u64, seconds % 60.0);
        format!("real\t{minutes}m {rest:.2}s\nuser\t0m 0.00s\nsys\t0m 0.00s\n")
    };
    cx.stderr.write_all(text.as_bytes()).await?;
    Ok(code)
}

/// `nohup PROG ARGS`, `nice [-n N] PROG ARGS`, `setsid PROG ARGS`, `ionice`: just the program.
pub async fn just_run(cx: &mut Context) -> Result {
    let options = cx.options("+n:c:", &[])?;
    if options.operands.is_empty() {
        return if cx.name() == "nice" {
            cx.stdout.write("0\n").await?;
            Ok(0)
        } else {
            Err(Error::usage(format!("usage: {} PROG ARGS", cx.name())))
        };
    }
    if cx.name() == "nohup" {
        cx.signals.ignore(signals::HUP);
    }
    Ok(cx.execute(options.operands.iter().cloned()).await)
}

/// `usleep MICROSECONDS`
pub async fn usleep(cx: &mut Context) -> Result {
    let operands = cx.options("", &[])?.operands;
    let microseconds = operands.first().and_then(|text| text.parse().ok()).ok_or_else(|| Error::usage("usage: usleep N"))?;
    cx.sleep(Duration::from_micros(microseconds)).await;
    Ok(0)
}

/// `watch [-n SECONDS] [-t] PROG ARGS`
pub async fn watch(cx: &mut Context) -> Result {
    let options = cx.options("+n:t", &[("interval", 'n'), ("no-title", 't')])?;
    let pause = options.value('n').map_or(Some(Duration::from_secs(2)), duration).ok_or_else(|| Error::new("invalid number"))?;
    let command = options.operands.join(" ");
    if command.is_empty() {
        return Err(Error::usage("usage: watch [-n SEC] [-t] PROG ARGS"));
    }
    loop {
        cx.stdout.write("\x1b[H\x1b[J").await?;
        if !options.has('t') {
            let now = Moment::new(calendar::now().0, 0, &Zone::of(cx)).format("%Y-%m-%d %H:%M:%S");
            cx.stdout.write(format!("Every {:.1}s: {command}  {now}\n\n", pause.as_secs_f64())).await?;
        }
        cx.stdout.flush().await?;
        let mut child = cx.child(["sh", "-c", &command]);
        child.stdout = Output::new(cx.stdout.descriptor().clone());
        child.run().await;
        rt::sleep(pause).await;
    }
}
