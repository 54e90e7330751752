//! `wc [-lwcmL] [FILE]…`

use crate::context::{Context, Result};

#[derive(Clone, Copy, Default)]
struct Counts {
    lines: u64,
    words: u64,
    characters: u64,
    bytes: u64,
    longest: u64,
}

pub async fn wc(cx: &mut Context) -> Result {
    let options = cx.options("lwcmL", &[("lines", 'l'), ("words", 'w'), ("bytes", 'c'), ("chars", 'm'), ("max-line-length", 'L')])?;
    let chosen: Vec<char> = "lwmcL".chars().filter(|letter| options.has(*letter)).collect();
    let chosen = if chosen.is_empty() { vec!['l', 'w', 'c'] } else { chosen };
    let from_stdin = options.operands.is_empty();
    let (mut total, mut code) = (Counts::default(), 0);
    let operands = options.or_stdin();
    for operand in &operands {
        let Some(input) = cx.input(operand).await else {
            code = 1;
            continue;
        };
        let mut counts = Counts::default();
        let (mut in_word, mut width) = (false, 0);
        loop {
            let bytes = input.read(64 << 10).await?;
            if bytes.is_empty() {
                break;
            }
            counts.bytes += bytes.len() as u64;
            for byte in bytes {
                let begins = byte & 0xc0 != 0x80;
                counts.characters += u64::from(begins);
                match byte {
                    b'\n' | b'\r' | 0x0c => {
                        counts.lines += u64::from(byte == b'\n');
                        counts.longest = counts.longest.max(width);
                        width = 0;
                    }
                    b'\t' => width = (width | 7) + 1,
                    0x20..=0x7e => width += 1,
                    128.. => width += u64::from(begins),
                    _ => {}
                }
                let space = matches!(byte, b' ' | b'\t'..=b'\r');
                counts.words += u64::from(!space && !in_word);
                in_word = !space;
            }
        }
        counts.longest = counts.longest.max(width);
        total.lines += counts.lines;
        total.words += counts.words;
        total.characters += counts.characters;
        total.bytes += counts.bytes;
        total.longest = total.longest.max(counts.longest);
        cx.stdout.write(line(&chosen, &counts, if from_stdin { None } else { Some(operand) })).await?;
    }
    if operands.len() > 1 {
        cx.stdout.write(line(&chosen, &total, Some("total"))).await?;
    }
    Ok(code)
}

fn line(chosen: &[char], counts: &Counts, name: Option<&str>) -> String {
    let value = |letter: &char| match letter {
        'l' => counts.lines,
        'w' => counts.words,
        'm' => counts.characters,
        'c' => counts.bytes,
        _ => counts.longest,
    };
    let mut line = match chosen {
        [one] => value(one).to_string(),
        several => several.iter().map(|letter| format!("{:9}", value(letter))).collect::<Vec<_>>().join(" "),
    };
    if let Some(name) = name {
        line += &format!(" {name}");
    }
    line + "\n"
}
