//! `cat [-nbeEtTvsA] [FILE]…`

use crate::context::{Context, Result};

pub async fn cat(cx: &mut Context) -> Result {
    let options = cx.options("nbeEtTvsAu", &[("number", 'n'), ("number-nonblank", 'b'), ("show-all", 'A'), ("squeeze-blank", 's')])?;
    let any = |letters: &str| letters.chars().any(|letter| options.has(letter));
    let marks = Marks { ends: any("eEA"), tabs: any("tTA"), visible: any("eEtTvA") };
    let plain = !any("nbeEtTvsA");
    let (mut number, mut blanks, mut code) = (0, 0, 0);
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        if plain {
            loop {
                let bytes = input.read(64 << 10).await?;
                if bytes.is_empty() {
                    break;
                }
                cx.stdout.write(bytes).await?;
            }
            continue;
        }
        while let Some(line) = input.read_line().await? {
            let empty = line == b"\n";
            blanks = if empty { blanks + 1 } else { 0 };
            if options.has('s') && blanks > 1 {
                continue;
            }
            let mut shown = Vec::new();
            if options.has('b') && !empty || options.has('n') && !options.has('b') {
                number += 1;
                shown.extend(format!("{number:6}\t").bytes());
            }
            marks.show(&line, &mut shown);
            if line.last() != Some(&b'\n') && any("nb") {
                shown.push(b'\n');
            }
            cx.stdout.write(shown).await?;
        }
    }
    Ok(code)
}

struct Marks {
    ends: bool,
    tabs: bool,
    visible: bool,
}

impl Marks {
    fn show(&self, line: &[u8], shown: &mut Vec<u8>) {
        for &byte in line {
            match byte {
                b'\n' if self.ends => shown.extend(b"$\n"),
                b'\t' if self.tabs => shown.extend(b"^I"),
                b'\n' | b'\t' => shown.push(byte),
                _ if !self.visible => shown.push(byte),
                _ => {
                    let mut low = byte;
                    if byte >= 128 {
                        shown.extend(b"M-");
                        low -= 128;
                    }
                    match low {
                        127 => shown.extend(b"^?"),
                        0..32 => shown.extend([b'^', low + 64]),
                        _ => shown.push(low),
                    }
                }
            }
        }
    }
}
