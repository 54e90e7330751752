//! Bytes to be seen: `od`, `hexdump`, `xxd`, `strings`.

use crate::context::{Context, Error, Result};
use crate::io::Descriptor;

/// A line's bytes.
const WIDTH: usize = 16;

/// All inputs, one after the other, in lines of `width` bytes.
struct Lines<'a> {
    cx: &'a Context,
    operands: std::vec::IntoIter<String>,
    current: Option<Descriptor>,
    kept: Vec<u8>,
    left: u64,
    skip: u64,
    failed: bool,
}

impl<'a> Lines<'a> {
    fn new(cx: &'a Context, operands: Vec<String>, skip: u64, most: u64) -> Lines<'a> {
        Lines { cx, operands: operands.into_iter(), current: None, kept: Vec::new(), left: most, skip, failed: false }
    }

    /// Empty at the end.
    async fn next(&mut self, width: usize) -> Result<Vec<u8>> {
        while self.kept.len() < width && (self.kept.len() as u64) < self.left {
            let Some(input) = &self.current else {
                let Some(operand) = self.operands.next() else { break };
                self.current = self.cx.input(&operand).await;
                self.failed |= self.current.is_none();
                continue;
            };
            let mut some = input.read(16 << 10).await?;
            if some.is_empty() {
                self.current = None;
                continue;
            }
            let skipped = self.skip.min(some.len() as u64);
            self.skip -= skipped;
            some.drain(..skipped as usize);
            self.kept.extend(some);
        }
        let count = width.min(self.kept.len()).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= count as u64;
        Ok(self.kept.drain(..count).collect())
    }
}

fn number(text: &str) -> Result<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(hex) => (hex, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => return super::ends::size(text),
    };
    u64::from_str_radix(digits, radix).map_err(|_| Error::new(format!("invalid number '{text}'")))
}

/// One kind of `od -t`.
#[derive(Clone, Copy)]
enum Kind {
    Character,
    Named,
    Integer { letter: char, size: usize },
}

impl Kind {
    fn size(self) -> usize {
        if let Kind::Integer { size, .. } = self { size } else { 1 }
    }

    fn width(self) -> usize {
        match self {
            Kind::Character | Kind::Named => 3,
            Kind::Integer { letter, size } => match (letter, size) {
                ('x', size) => size * 2,
                ('o', 1) => 3,
                ('o', 2) => 6,
                ('o', 4) => 11,
                ('o', _) => 22,
                ('u', 1) => 3,
                ('d', 1) => 4,
                ('u', 2) => 5,
                ('d', 2) => 6,
                ('u', 4) => 10,
                ('d', 4) => 11,
                _ => 20,
            },
        }
    }

    fn show(self, bytes: &[u8]) -> String {
        const NAMES: [&str; 33] = [
            "nul", "soh", "stx", "etx", "eot", "enq", "ack", "bel", "bs", "ht", "nl", "vt", "ff", "cr", "so", "si", "dle", "dc1", "dc2", "dc3", "dc4", "nak",
            "syn", "etb", "can", "em", "sub", "esc", "fs", "gs", "rs", "us", "sp",
        ];
        let value = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
        match self {
            Kind::Character => match bytes[0] {
                0 => "\\0".into(),
                7 => "\\a".into(),
                8 => "\\b".into(),
                9 => "\\t".into(),
                10 => "\\n".into(),
                11 => "\\v".into(),
                12 => "\\f".into(),
                13 => "\\r".into(),
                byte @ 32..127 => char::from(byte).to_string(),
                byte => format!("{byte:03o}"),
            },
            Kind::Named => match bytes[0] & 127 {
                byte @ 0..33 => NAMES[usize::from(byte)].into(),
                127 => "del".into(),
                byte => char::from(byte).to_string(),
            },
            Kind::Integer { letter, size } => match letter {
                'x' => format!("{value:0width$x}", width = self.width()),
                'o' => format!("{value:0width$o}", width = self.width()),
                'd' => {
                    let shift = 64 - 8 * size as u32;
                    (((value << shift) as i64) >> shift).to_string()
                }
                _ => value.to_string(),
            },
        }
    }
}

/// `od [-abcdfhilovxsx] [-t TYPE]… [-A doxn] [-j SKIP] [-N COUNT] [-w WIDTH] [-v] [FILE]…`
pub async fn od(cx: &mut Context) -> Result {
    let options = cx.options(
        "A:j:N:t:w:abcdhilosxvBDXO",
        &[("address-radix", 'A'), ("skip-bytes", 'j'), ("read-bytes", 'N'), ("format", 't'), ("width", 'w'), ("output-duplicates", 'v')],
    )?;
    let mut kinds = Vec::new();
    for (letter, value) in options.all() {
        let integer = |letter, size| Kind::Integer { letter, size };
        match letter {
            'a' => kinds.push(Kind::Named),
            'b' => kinds.push(integer('o', 1)),
            'c' => kinds.push(Kind::Character),
            'd' => kinds.push(integer('u', 2)),
            'D' => kinds.push(integer('u', 4)),
            'h' | 'x' => kinds.push(integer('x', 2)),
            'X' => kinds.push(integer('x', 4)),
            'i' => kinds.push(integer('d', 4)),
            'l' => kinds.push(integer('d', 8)),
            'o' | 'B' => kinds.push(integer('o', 2)),
            'O' => kinds.push(integer('o', 4)),
            's' => kinds.push(integer('d', 2)),
            't' => types(value.unwrap_or_default(), &mut kinds)?,
            _ => {}
        }
    }
    if kinds.is_empty() {
        kinds.push(Kind::Integer { letter: 'o', size: 2 });
    }
    let width = options.value('w').map_or(Ok(WIDTH as u64), number)?.clamp(1, 1024) as usize;
    let skip = options.value('j').map_or(Ok(0), number)?;
    let most = options.value('N').map_or(Ok(u64::MAX), number)?;
    let address = |at: u64| match options.value('A').unwrap_or("o") {
        "d" => format!("{at:07}"),
        "x" => format!("{at:06x}"),
        "n" => String::new(),
        _ => format!("{at:07o}"),
    };
    let mut lines = Lines::new(cx, options.or_stdin(), skip, most);
    // The widest of the kinds decides how far apart the bytes are.
    let space = |kind: Kind| (kind.width() + 1) * (width / kind.size()).max(1);
    let widest = kinds.iter().map(|kind| space(*kind)).max().unwrap_or(0);
    let (mut at, mut before, mut starred) = (skip, Vec::new(), false);
    loop {
        let line = lines.next(width).await?;
        if line.is_empty() {
            break;
        }
        if !options.has('v') && line == before && line.len() == width {
            if !starred {
                cx.stdout.write("*\n").await?;
            }
            starred = true;
            at += line.len() as u64;
            continue;
        }
        starred = false;
        for (index, kind) in kinds.iter().enumerate() {
            let size = kind.size();
            let each = widest / (width / size).max(1);
            let mut text = if index == 0 { address(at) } else { " ".repeat(address(at).len()) };
            for chunk in line.chunks(size) {
                let mut whole = chunk.to_vec();
                whole.resize(size, 0);
                text += &format!("{:>each$}", kind.show(&whole));
            }
            cx.stdout.write(text + "\n").await?;
        }
        at += line.len() as u64;
        before = line;
    }
    let end = address(at);
    if !end.is_empty() {
        cx.stdout.write(end + "\n").await?;
    }
    Ok(i32::from(lines.failed))
}

/// `x1`, `o2`, `d4z`, `c`, `a`, several in a row.
fn types(text: &str, kinds: &mut Vec<Kind>) -> Result<()> {
    let mut characters = text.chars().peekable();
    while let Some(letter) = characters.next() {
        match letter {
            'a' => kinds.push(Kind::Named),
            'c' => kinds.push(Kind::Character),
            'z' => {}
            'd' | 'o' | 'u' | 'x' => {
                let size = match characters.peek() {
                    Some('C' | '1') => 1,
                    Some('S' | '2') => 2,
                    Some('L' | '8') => 8,
                    _ => 4,
                };
                if matches!(characters.peek(), Some('C' | 'S' | 'I' | 'L' | '1' | '2' | '4' | '8')) {
                    characters.next();
                }
                kinds.push(Kind::Integer { letter, size });
            }
            _ => return Err(Error::new(format!("invalid type string '{text}'"))),
        }
    }
    Ok(())
}

/// `hexdump [-bcdoxCv] [-n COUNT] [-s SKIP] [FILE]…`, `hd`.
pub async fn hexdump(cx: &mut Context) -> Result {
    let options = cx.options("bcdoxCvn:s:e:f:", &[])?;
    let most = options.value('n').map_or(Ok(u64::MAX), number)?;
    let skip = options.value('s').map_or(Ok(0), number)?;
    let canonical = options.has('C') || cx.name() == "hd";
    let format = options.all().map(|(letter, _)| letter).find(|letter| "bcdox".contains(*letter)).unwrap_or('h');
    let mut lines = Lines::new(cx, options.or_stdin(), skip, most);
    let (mut at, mut before, mut starred) = (skip, Vec::new(), false);
    let digits = if canonical { 8 } else { 7 };
    loop {
        let line = lines.next(WIDTH).await?;
        if line.is_empty() {
            break;
        }
        if !options.has('v') && line == before && line.len() == WIDTH {
            if !starred {
                cx.stdout.write("*\n").await?;
            }
            starred = true;
            at += line.len() as u64;
            continue;
        }
        starred = false;
        let mut text = format!("{at:0digits$x}");
        if canonical {
            for index in 0..WIDTH {
                text += if index % 8 == 0 { "  " } else { " " };
                text += &line.get(index).map_or("  ".into(), |byte| format!("{byte:02x}"));
            }
            text += "  |";
            text.extend(line.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' }));
            text.push('|');
        } else {
            let size = if matches!(format, 'b' | 'c') { 1 } else { 2 };
            let cells = WIDTH / size;
            for index in 0..cells {
                let chunk = line.get(index * size..).map(|rest| &rest[..size.min(rest.len())]).unwrap_or_default();
                let value = chunk.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
                let cell = match format {
                    'b' => format!(" {value:03o}"),
                    'c' => chunk.first().map_or(String::new(), |byte| format!(" {:>3}", Kind::Character.show(&[*byte]))),
                    'd' => format!("   {value:05}"),
                    'o' => format!("  {value:06o}"),
                    'x' => format!("    {value:04x}"),
                    _ => format!(" {value:04x}"),
                };
                text += &if chunk.is_empty() { " ".repeat(cell_width(format)) } else { cell };
            }
        }
        cx.stdout.write(text + "\n").await?;
        at += line.len() as u64;
        before = line;
    }
    if at > skip || at > 0 {
        cx.stdout.write(format!("{at:0digits$x}\n")).await?;
    }
    Ok(i32::from(lines.failed))
}

fn cell_width(format: char) -> usize {
    match format {
        'b' | 'c' => 4,
        'd' | 'o' | 'x' => 8,
        _ => 5,
    }
}

/// `xxd [-pr] [-c COLUMNS] [-g BYTES] [-l LENGTH] [-s SKIP] [FILE]`
pub async fn xxd(cx: &mut Context) -> Result {
    let options = cx.options("prc:g:l:s:u", &[])?;
    let plain = options.has('p');
    if options.has('r') {
        let Some(input) = cx.input(options.operands.first().map_or("-", String::as_str)).await else { return Ok(1) };
        while let Some(line) = input.read_line().await? {
            let text = String::from_utf8_lossy(&line).into_owned();
            let hex = if plain { text.as_str() } else { text.split_once(':').map_or("", |(_, rest)| rest.trim_start().split("  ").next().unwrap_or_default()) };
            let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
            cx.stdout.write(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<u8>>()).await?;
        }
        return Ok(0);
    }
    let columns = options.value('c').map_or(Ok(if plain { 30 } else { 16 }), number)?.clamp(1, 256) as usize;
    let group = options.value('g').map_or(Ok(2), number)? as usize;
    let (skip, most) = (options.value('s').map_or(Ok(0), number)?, options.value('l').map_or(Ok(u64::MAX), number)?);
    let mut lines = Lines::new(cx, options.or_stdin(), skip, most);
    let mut at = skip;
    loop {
        let line = lines.next(columns).await?;
        if line.is_empty() {
            return Ok(i32::from(lines.failed));
        }
        let hex = |byte: &u8| if options.has('u') { format!("{byte:02X}") } else { format!("{byte:02x}") };
        let mut text = String::new();
        if plain {
            text.extend(line.iter().map(hex));
        } else {
            text += &format!("{at:08x}:");
            for index in 0..columns {
                if group > 0 && index % group == 0 || group == 0 && index == 0 {
                    text.push(' ');
                }
                text += &line.get(index).map_or("  ".into(), hex);
            }
            text += "  ";
            text.extend(line.iter().map(|byte| if (32..127).contains(byte) { char::from(*byte) } else { '.' }));
        }
        at += line.len() as u64;
        cx.stdout.write(text + "\n").await?;
    }
}

/// `strings [-n LENGTH] [-t dox] [-fao] [FILE]…`
pub async fn strings(cx: &mut Context) -> Result {
    let options = cx.options("afon:t:", &[])?;
    let least = options.value('n').map_or(Ok(4), number)? as usize;
    let radix = options.value('t').or(options.has('o').then_some("o"));
    let mut code = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else {
            code = 1;
            continue;
        };
        let (mut found, mut at) = (Vec::new(), 0u64);
        loop {
            let bytes = input.read(64 << 10).await?;
            let last = bytes.is_empty();
            for byte in bytes.into_iter().chain(last.then_some(0)) {
                if (32..127).contains(&byte) || byte == b'\t' {
                    found.push(byte);
                } else {
                    if found.len() >= least {
                        let begin = at - found.len() as u64;
                        let mut front = if options.has('f') { format!("{operand}: ") } else { String::new() };
                        front += &match radix {
                            Some("d") => format!("{begin:7} "),
                            Some("x") => format!("{begin:7x} "),
                            Some(_) => format!("{begin:7o} "),
                            None => String::new(),
                        };
                        cx.stdout.write([front.as_bytes(), &found, b"\n"].concat()).await?;
                    }
                    found.clear();
                }
                at += 1;
            }
            if last {
                break;
            }
        }
    }
    Ok(code)
}
