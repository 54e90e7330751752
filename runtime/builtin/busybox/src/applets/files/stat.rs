//! `stat [-Lt] [-c FORMAT] FILE…`

use crate::calendar::{Moment, Zone};
use crate::context::{Context, Error, Result};
use crate::disk::{self, Kind, Stat};
use crate::io::reason;

pub async fn stat(cx: &mut Context) -> Result {
    let options = cx.options("Ltfc:", &[("format", 'c'), ("dereference", 'L'), ("terse", 't')])?;
    if options.operands.is_empty() {
        return Err(Error::usage("usage: stat [-ltf] [-c FMT] FILE..."));
    }
    let zone = Zone::of(cx);
    let mut code = 0;
    for operand in &options.operands {
        let stat = match disk::stat(&cx.path(operand), options.has('L')) {
            Ok(stat) => stat,
            Err(error) => {
                cx.warn(format!("can't stat '{operand}': {}", reason(&error))).await;
                code = 1;
                continue;
            }
        };
        let target = if stat.kind == Kind::Link { std::fs::read_link(cx.path(operand)).ok().map(|target| target.to_string_lossy().into_owned()) } else { None };
        let format = match options.value('c') {
            Some(format) => format!("{format}\n"),
            None if options.has('t') => "%n %s %b %f %u %g %D %i %h %t %T %X %Y %Z %o\n".into(),
            None => "  File: %N\n  Size: %-10s\tBlocks: %-10b IO Block: %-6o %F\nDevice: %Dh/%dd\tInode: %-10i  Links: %-5h\nAccess: (%04a/%A)  Uid: (%5u/%8U)   Gid: (%5g/%8G)\nAccess: %x\nModify: %y\nChange: %z\n".into(),
        };
        cx.stdout.write(fill(&format, operand, &stat, target.as_deref(), &zone)).await?;
    }
    Ok(code)
}

fn fill(format: &str, name: &str, stat: &Stat, target: Option<&str>, zone: &Zone) -> String {
    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let left = rest.next_if_eq(&'-').is_some();
        let zero = rest.peek() == Some(&'0');
        let mut width = 0;
        while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(10)) {
            width = (width * 10 + digit as usize).min(1000);
            rest.next();
        }
        let Some(letter) = rest.next() else { break };
        let text = one(letter, name, stat, target, zone);
        out += &match (left, zero) {
            (true, _) => format!("{text:<width$}"),
            (false, true) => format!("{text:0>width$}"),
            (false, false) => format!("{text:>width$}"),
        };
    }
    out
}

fn one(letter: char, name: &str, stat: &Stat, target: Option<&str>, zone: &Zone) -> String {
    let time = |(seconds, nanoseconds): (i64, u32)| Moment::new(seconds, nanoseconds, zone).format("%Y-%m-%d %H:%M:%S.%N %z");
    match letter {
        'n' => name.into(),
        'N' => target.map_or_else(|| name.to_string(), |target| format!("'{name}' -> '{target}'")),
        's' => stat.size.to_string(),
        'b' => (stat.size.div_ceil(4096) * 8).to_string(),
        'B' => "512".into(),
        'o' => "4096".into(),
        'f' => format!("{:x}", stat.kind.mode()),
        'a' => format!("{:o}", stat.kind.mode() & 0o7777),
        'A' => stat.kind.permissions(),
        'F' => match stat.kind {
            Kind::File if stat.size == 0 => "regular empty file",
            Kind::File => "regular file",
            Kind::Folder => "directory",
            Kind::Link => "symbolic link",
            Kind::Device => "character special file",
            Kind::Block => "block special file",
            Kind::Pipe => "fifo",
            Kind::Socket => "socket",
        }
        .into(),
        'u' | 'g' | 't' | 'T' | 'd' | 'D' => "0".into(),
        'U' | 'G' => "root".into(),
        'i' => stat.inode.to_string(),
        'h' => stat.links.to_string(),
        'x' => time(stat.accessed),
        'y' => time(stat.modified),
        'z' => time(stat.changed),
        'X' => stat.accessed.0.to_string(),
        'Y' => stat.modified.0.to_string(),
        'Z' => stat.changed.0.to_string(),
        '%' => "%".into(),
        other => format!("%{other}"),
    }
}
