//! `cut -b|-c|-f LIST [-d CHAR] [-sn] [--output-delimiter TEXT] [FILE]…`

use crate::context::{Context, Error, Result};

pub async fn cut(cx: &mut Context) -> Result {
    let long =
        [("bytes", 'b'), ("characters", 'c'), ("fields", 'f'), ("delimiter", 'd'), ("only-delimited", 's'), ("output-delimiter", 'O'), ("complement", 'C')];
    let options = cx.options("b:c:f:d:snO:C", &long)?;
    let chosen: Vec<(char, &str)> = "bcf".chars().filter_map(|letter| options.value(letter).map(|value| (letter, value))).collect();
    let [(kind, list)] = chosen.as_slice() else {
        return Err(Error::usage(if chosen.is_empty() { "expected a list of bytes, characters, or fields" } else { "only one type of list may be specified" }));
    };
    let ranges = ranges(list)?;
    let inside = |index: usize| ranges.iter().any(|(from, to)| (*from..=*to).contains(&index)) != options.has('C');
    let delimiter = options.value('d').unwrap_or("\t");
    if *kind != 'f' && options.has('d') {
        return Err(Error::usage("-d DELIM makes sense only if -f is specified"));
    }
    let between = options.value('O').unwrap_or(delimiter);
    let mut code = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        while let Some(line) = input.read_line().await? {
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let mut out: Vec<u8> = match kind {
                'b' => line.iter().enumerate().filter(|(index, _)| inside(index + 1)).map(|(_, byte)| *byte).collect(),
                'c' => String::from_utf8_lossy(line)
                    .chars()
                    .enumerate()
                    .filter(|(index, _)| inside(index + 1))
                    .map(|(_, character)| character)
                    .collect::<String>()
                    .into_bytes(),
                _ => {
                    let fields: Vec<&[u8]> = split(line, delimiter.as_bytes());
                    if fields.len() == 1 {
                        if options.has('s') {
                            continue;
                        }
                        line.to_vec()
                    } else {
                        let kept: Vec<&[u8]> = fields.into_iter().enumerate().filter(|(index, _)| inside(index + 1)).map(|(_, field)| field).collect();
                        kept.join(between.as_bytes())
                    }
                }
            };
            out.push(b'\n');
            cx.stdout.write(out).await?;
        }
    }
    Ok(code)
}

fn split<'a>(line: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let mut fields = Vec::new();
    let mut rest = line;
    while let Some(at) = memchr::memmem::find(rest, delimiter).filter(|_| !delimiter.is_empty()) {
        fields.push(&rest[..at]);
        rest = &rest[at + delimiter.len()..];
    }
    fields.push(rest);
    fields
}

/// `1,3-5,7-,-2`
fn ranges(list: &str) -> Result<Vec<(usize, usize)>> {
    let wrong = || Error::usage(format!("invalid range {list}"));
    let number = |text: &str, default: usize| if text.is_empty() { Ok(default) } else { text.parse().map_err(|_| wrong()) };
    list.split([',', ' '])
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (from, to) = match part.split_once('-') {
                Some((from, to)) => (number(from, 1)?, number(to, usize::MAX)?),
                None => (number(part, 0)?, number(part, 0)?),
            };
            if from == 0 || to < from { Err(wrong()) } else { Ok((from, to)) }
        })
        .collect()
}
