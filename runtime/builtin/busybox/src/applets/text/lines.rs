//! Whole lines: `tee`, `rev`, `tac`, `nl`, `comm`, `paste`, `fold`, `shuf`, `yes`, `split`.

use crate::context::{Context, Error, Result};
use crate::io::{Descriptor, Output};

/// What is held in memory.
const MOST: usize = 256 << 20;

/// `tee [-ai] [FILE]…`
pub async fn tee(cx: &mut Context) -> Result {
    let options = cx.options("ai", &[("append", 'a'), ("ignore-interrupts", 'i')])?;
    let (mut outputs, mut code) = (Vec::new(), 0);
    for operand in &options.operands {
        match if operand == "-" { Ok(cx.stdout.descriptor().clone()) } else { cx.create(operand, options.has('a')) } {
            Ok(output) => outputs.push(output),
            Err(error) => {
                cx.warn(format!("{operand}: {}", crate::io::reason(&error))).await;
                code = 1;
            }
        }
    }
    loop {
        let bytes = cx.stdin.read(64 << 10).await?;
        if bytes.is_empty() {
            return Ok(code);
        }
        for output in &outputs {
            output.write_all(&bytes).await?;
        }
        cx.stdout.write(bytes).await?;
    }
}

/// `rev [FILE]…`
pub async fn rev(cx: &mut Context) -> Result {
    let mut code = 0;
    for operand in cx.options("", &[])?.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        while let Some(line) = input.read_line().await? {
            let text = String::from_utf8_lossy(&line);
            let reversed: String = text.trim_end_matches('\n').chars().rev().collect();
            cx.stdout.write(reversed + if text.ends_with('\n') { "\n" } else { "" }).await?;
        }
    }
    Ok(code)
}

/// `tac [FILE]…`
pub async fn tac(cx: &mut Context) -> Result {
    let mut code = 0;
    for operand in cx.options("", &[])?.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        let mut lines = all_lines(&input).await?;
        while let Some(line) = lines.pop() {
            cx.stdout.write(line).await?;
        }
    }
    Ok(code)
}

async fn all_lines(input: &Descriptor) -> Result<Vec<Vec<u8>>> {
    let (mut lines, mut held) = (Vec::new(), 0);
    while let Some(line) = input.read_line().await? {
        held += line.len() + 24;
        if held > MOST {
            return Err(Error::new("out of memory"));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// `nl [-b a|t|n] [-s SEPARATOR] [-w WIDTH] [-v FIRST] [-i STEP] [FILE]…`
pub async fn nl(cx: &mut Context) -> Result {
    let options = cx.options(
        "b:s:w:v:i:",
        &[("body-numbering", 'b'), ("number-separator", 's'), ("number-width", 'w'), ("starting-line-number", 'v'), ("line-increment", 'i')],
    )?;
    let number =
        |letter, default| options.value(letter).map_or(Ok(default), |text| text.parse::<i64>().map_err(|_| Error::new(format!("invalid number '{text}'"))));
    let (width, mut next, step) = (number('w', 6)? as usize, number('v', 1)?, number('i', 1)?);
    let separator = options.value('s').unwrap_or("\t");
    let (all, none) = (options.value('b') == Some("a"), options.value('b') == Some("n"));
    let mut code = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        while let Some(line) = input.read_line().await? {
            let numbered = !none && (all || line != b"\n");
            let front = if numbered { format!("{next:width$}{separator}") } else { " ".repeat(width + separator.chars().count()) };
            next += if numbered { step } else { 0 };
            cx.stdout.write([front.as_bytes(), &line].concat()).await?;
            if line.last() != Some(&b'\n') {
                cx.stdout.write("\n").await?;
            }
        }
    }
    Ok(code)
}

/// `comm [-123] FILE1 FILE2`
pub async fn comm(cx: &mut Context) -> Result {
    let options = cx.options("123", &[])?;
    let [first, second] = options.operands.as_slice() else { return Err(Error::usage("usage: comm [-123] FILE1 FILE2")) };
    let (Some(first), Some(second)) = (cx.input(first).await, cx.input(second).await) else { return Ok(1) };
    let column = |index: usize| -> Option<String> {
        let letters = ['1', '2', '3'];
        (!options.has(letters[index])).then(|| "\t".repeat(letters[..index].iter().filter(|letter| !options.has(**letter)).count()))
    };
    let next = async |input: &Descriptor| -> Result<Option<Vec<u8>>> {
        Ok(input.read_line().await?.map(|mut line| {
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            line
        }))
    };
    let (mut left, mut right) = (next(&first).await?, next(&second).await?);
    loop {
        let index = match (&left, &right) {
            (None, None) => return Ok(0),
            (Some(_), None) => 0,
            (None, Some(_)) => 1,
            (Some(a), Some(b)) => match a.cmp(b) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Greater => 1,
                std::cmp::Ordering::Equal => 2,
            },
        };
        let line = if index == 1 { &right } else { &left };
        if let (Some(front), Some(line)) = (column(index), line) {
            cx.stdout.write([front.as_bytes(), line].concat()).await?;
        }
        if index != 1 {
            left = next(&first).await?;
        }
        if index != 0 {
            right = next(&second).await?;
        }
    }
}

/// `paste [-s] [-d LIST] [FILE]…`
pub async fn paste(cx: &mut Context) -> Result {
    let options = cx.options("sd:", &[("serial", 's'), ("delimiters", 'd')])?;
    let delimiters: Vec<u8> = match options.value('d') {
        None => vec![b'\t'],
        Some("") | Some("\\0") => vec![],
        Some(text) => crate::applets::unescape(text).0,
    };
    let between = |index: usize| if delimiters.is_empty() { None } else { Some(delimiters[index % delimiters.len()]) };
    let mut inputs = Vec::new();
    for operand in options.or_stdin() {
        match cx.input(&operand).await {
            Some(input) => inputs.push(Some(input)),
            None => return Ok(1),
        }
    }
    let strip = |mut line: Vec<u8>| {
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        line
    };
    if options.has('s') {
        for input in inputs.into_iter().flatten() {
            let mut index = 0;
            while let Some(line) = input.read_line().await? {
                if index > 0 {
                    cx.stdout.write(between(index - 1).as_slice()).await?;
                }
                cx.stdout.write(strip(line)).await?;
                index += 1;
            }
            cx.stdout.write("\n").await?;
        }
        return Ok(0);
    }
    loop {
        let mut line = Vec::new();
        let mut any = false;
        let count = inputs.len();
        for (index, input) in inputs.iter_mut().enumerate() {
            let part = match input {
                Some(open) => open.read_line().await?,
                None => None,
            };
            match part {
                Some(part) => {
                    any = true;
                    line.extend(strip(part));
                }
                None => *input = None,
            }
            if index + 1 < count {
                line.extend(between(index));
            }
        }
        if !any {
            return Ok(0);
        }
        line.push(b'\n');
        cx.stdout.write(line).await?;
    }
}

/// `fold [-bs] [-w WIDTH] [FILE]…`
pub async fn fold(cx: &mut Context) -> Result {
    let options = cx.options("bsw:", &[("bytes", 'b'), ("spaces", 's'), ("width", 'w')])?;
    let width = options
        .value('w')
        .map_or(Ok(80), |text| text.parse::<usize>().ok().filter(|width| *width > 0).ok_or_else(|| Error::new(format!("invalid number '{text}'"))))?;
    let mut code = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        while let Some(line) = input.read_line().await? {
            let text = String::from_utf8_lossy(&line);
            let mut rest: Vec<char> = text.chars().collect();
            while rest.iter().filter(|character| **character != '\n').count() > width {
                let mut cut = width;
                if options.has('s')
                    && let Some(blank) = rest[..width].iter().rposition(|character| character.is_whitespace())
                {
                    cut = blank + 1;
                }
                let begin: String = rest.drain(..cut).collect();
                cx.stdout.write(begin + "\n").await?;
            }
            cx.stdout.write(rest.into_iter().collect::<String>()).await?;
        }
    }
    Ok(code)
}

/// `shuf [-e | -i LOW-HIGH] [-n COUNT] [FILE | ARG…]`
pub async fn shuf(cx: &mut Context) -> Result {
    let options = cx.options("ei:n:z", &[("echo", 'e'), ("input-range", 'i'), ("head-count", 'n')])?;
    let mut lines: Vec<Vec<u8>> = if options.has('e') {
        options.operands.iter().map(|operand| format!("{operand}\n").into_bytes()).collect()
    } else if let Some(range) = options.value('i') {
        let bounds = range.split_once('-').and_then(|(low, high)| Some((low.parse::<u64>().ok()?, high.parse::<u64>().ok()?)));
        let (low, high) = bounds.filter(|(low, high)| low <= high && high - low < 10_000_000).ok_or_else(|| Error::new(format!("{range}: invalid range")))?;
        (low..=high).map(|number| format!("{number}\n").into_bytes()).collect()
    } else {
        let Some(input) = cx.input(options.operands.first().map_or("-", String::as_str)).await else { return Ok(1) };
        all_lines(&input).await?
    };
    for index in (1..lines.len()).rev() {
        let random = wasip2::random::random::get_random_u64() % (index as u64 + 1);
        lines.swap(index, random as usize);
    }
    let count = options.value('n').map_or(Ok(usize::MAX), |text| text.parse().map_err(|_| Error::new(format!("invalid number '{text}'"))))?;
    for mut line in lines.into_iter().take(count) {
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        cx.stdout.write(line).await?;
    }
    Ok(0)
}

/// `yes [ARG]…`
pub async fn yes(cx: &mut Context) -> Result {
    let text = if cx.args.len() > 1 { cx.args[1..].join(" ") } else { "y".into() };
    let many = format!("{text}\n").repeat((4096 / (text.len() + 1)).max(1));
    loop {
        cx.stdout.write(&many).await?;
    }
}

/// `split [-l LINES | -b BYTES] [-a LENGTH] [INPUT [PREFIX]]`
pub async fn split(cx: &mut Context) -> Result {
    let options = cx.options("l:b:a:", &[("lines", 'l'), ("bytes", 'b'), ("suffix-length", 'a')])?;
    let lines = super::ends::size(options.value('l').unwrap_or("1000"))?.max(1);
    let bytes = options.value('b').map(super::ends::size).transpose()?;
    let length = options
        .value('a')
        .map_or(Ok(2), |text| text.parse::<u32>().ok().filter(|length| (1..=8).contains(length)).ok_or_else(|| Error::new("invalid suffix length")))?;
    let Some(input) = cx.input(options.operands.first().map_or("-", String::as_str)).await else { return Ok(1) };
    let prefix = options.operands.get(1).map_or("x", String::as_str);
    for index in 0..26u64.pow(length) {
        let suffix: String = (0..length).rev().map(|place| char::from(b'a' + (index / 26u64.pow(place) % 26) as u8)).collect();
        let mut output: Option<Output> = None;
        let mut left = bytes.unwrap_or(lines);
        while left > 0 {
            let part = match bytes {
                Some(_) => input.read(left.min(64 << 10) as usize).await?,
                None => input.read_line().await?.unwrap_or_default(),
            };
            if part.is_empty() {
                break;
            }
            left -= if bytes.is_some() { part.len() as u64 } else { 1 };
            if output.is_none() {
                let path = format!("{prefix}{suffix}");
                output = Some(Output::new(cx.create(&path, false).map_err(|error| Error::about(&path, &error))?));
            }
            if let Some(output) = &output {
                output.write(part).await?;
            }
        }
        match output {
            Some(output) => output.flush().await?,
            None => return Ok(0),
        }
    }
    Err(Error::new("suffixes exhausted"))
}
