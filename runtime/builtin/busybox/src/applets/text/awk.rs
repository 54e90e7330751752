//! `awk [-F SEPARATOR] [-v NAME=VALUE]… [-f FILE | PROGRAM] [FILE]…`
//!
//! [`parse`] makes a tree, [`code`] instructions, [`machine`] runs them.

mod arrays;
mod ast;
mod code;
mod format;
mod functions;
mod lex;
mod machine;
mod parse;
mod record;
mod streams;
mod value;

use std::collections::HashMap;
use std::rc::Rc;

use crate::context::{Context, Error, Result};
use machine::{Ended, Machine};
use value::Value;

pub async fn awk(cx: &mut Context) -> Result {
    let options = cx.options("+F:v:f:e:W:", &[("field-separator", 'F'), ("assign", 'v'), ("file", 'f')])?;
    let mut operands = options.operands.clone();
    let mut text = String::new();
    for (letter, value) in options.all() {
        match (letter, value) {
            ('f', Some(file)) => {
                let input = if file == "-" { cx.stdin.clone() } else { cx.open(file).map_err(|error| Error::about(file, &error))? };
                let bytes = input.read_to_end().await?;
                text += &String::from_utf8_lossy(&bytes);
                text.push('\n');
            }
            ('e', Some(part)) => {
                text += part;
                text.push('\n');
            }
            _ => {}
        }
    }
    if !options.has('f') && !options.has('e') {
        if operands.is_empty() {
            return Err(Error::usage("usage: awk [OPTIONS] [AWK_PROGRAM] [FILE]..."));
        }
        text = operands.remove(0);
    }
    let program = parse::parse(&text, machine::SPECIAL).map_err(Error::new)?;
    let code = code::compile(&program).map_err(|message| Error::new(format!("cmd. line:1: {message}")))?;
    let names: HashMap<Rc<str>, usize> = program.globals.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
    let reads = !program.rules.is_empty() || program.has_end;
    let mut arguments = vec!["awk".to_string()];
    arguments.append(&mut operands);
    let mut machine = Machine::new(code, names, arguments, &cx.env);
    if let Some(separator) = options.value('F') {
        let separator = if separator == "t" { "\t".into() } else { lex::unescape(separator) };
        machine.assign("FS", Value::text(separator));
    }
    for assignment in options.values('v') {
        let Some((name, value)) = assignment.split_once('=') else { return Err(Error::usage(format!("-v: '{assignment}' is no assignment"))) };
        machine.assign(name, Value::input(lex::unescape(value)));
    }
    let mut ended = machine.run(cx, machine.code.begin).await?;
    if reads && ended != Ended::Exit {
        while machine.next_record(cx).await? {
            ended = machine.run(cx, machine.code.rules).await?;
            match ended {
                Ended::Exit => break,
                Ended::NextFile => machine.skip_file(),
                Ended::Normally | Ended::Next => {}
            }
        }
    }
    machine.run(cx, machine.code.end).await?;
    machine.close_all(cx).await?;
    Ok(machine.exit_code & 0xff)
}
