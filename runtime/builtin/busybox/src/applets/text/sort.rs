//! `sort [-nrughMcszbdfiVtko] [FILE]…` and `uniq [-cdui] [-fsw N] [INPUT [OUTPUT]]`

use std::cmp::Ordering;

use crate::context::{Context, Error, Result};
use crate::io::Output;

/// What is held in memory.
const MOST: usize = 512 << 20;

/// How to compare.
#[derive(Clone, Copy, Default, PartialEq)]
struct Order {
    numeric: bool,
    general: bool,
    human: bool,
    month: bool,
    version: bool,
    reverse: bool,
    fold: bool,
    blanks: bool,
    dictionary: bool,
    printable: bool,
}

impl Order {
    fn set(&mut self, letter: char) -> bool {
        match letter {
            'n' => self.numeric = true,
            'g' => self.general = true,
            'h' => self.human = true,
            'M' => self.month = true,
            'V' => self.version = true,
            'r' => self.reverse = true,
            'f' => self.fold = true,
            'b' => self.blanks = true,
            'd' => self.dictionary = true,
            'i' => self.printable = true,
            _ => return false,
        }
        true
    }

    fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        let ordering = if self.numeric || self.human {
            let (left, right) = (numeric(left, self.human), numeric(right, self.human));
            left.partial_cmp(&right).unwrap_or(Ordering::Equal)
        } else if self.general {
            let value = |text: &[u8]| String::from_utf8_lossy(text).trim().parse::<f64>().unwrap_or(f64::NEG_INFINITY);
            value(left).partial_cmp(&value(right)).unwrap_or(Ordering::Equal)
        } else if self.month {
            month(left).cmp(&month(right))
        } else if self.version {
            version(left, right)
        } else {
            let skip = |text: &mut &[u8]| {
                if self.blanks {
                    *text = text.trim_ascii_start();
                }
            };
            let (mut left, mut right) = (left, right);
            skip(&mut left);
            skip(&mut right);
            let keep = |byte: &u8| {
                (!self.dictionary || byte.is_ascii_alphanumeric() || *byte == b' ' || *byte == b'\t' || *byte >= 128)
                    && (!self.printable || (32..127).contains(byte))
            };
            let case = |byte: u8| if self.fold { byte.to_ascii_uppercase() } else { byte };
            if !self.dictionary && !self.printable && !self.fold {
                left.cmp(right)
            } else {
                left.iter().copied().filter(keep).map(case).cmp(right.iter().copied().filter(keep).map(case))
            }
        };
        if self.reverse { ordering.reverse() } else { ordering }
    }
}

/// From one field (and character) to another, counted from 0.
#[derive(Clone, Copy)]
struct Key {
    from: (usize, usize),
    /// The last field and, if it is given, how many of its characters.
    to: Option<(usize, usize)>,
    order: Order,
}

struct Sorter {
    keys: Vec<Key>,
    order: Order,
    separator: Option<u8>,
    stable: bool,
    unique: bool,
}

pub async fn sort(cx: &mut Context) -> Result {
    let long = [
        ("numeric-sort", 'n'),
        ("reverse", 'r'),
        ("unique", 'u'),
        ("general-numeric-sort", 'g'),
        ("human-numeric-sort", 'h'),
        ("month-sort", 'M'),
        ("version-sort", 'V'),
        ("key", 'k'),
        ("field-separator", 't'),
        ("output", 'o'),
        ("check", 'c'),
        ("stable", 's'),
        ("zero-terminated", 'z'),
        ("ignore-case", 'f'),
        ("ignore-leading-blanks", 'b'),
        ("dictionary-order", 'd'),
    ];
    let options = cx.options("nrughMVk:t:o:csCzfbdimS:T:", &long)?;
    let mut order = Order::default();
    options.all().for_each(|(letter, _)| {
        order.set(letter);
    });
    let keys = options.values('k').map(|text| key(text, order)).collect::<Result<Vec<_>>>()?;
    let separator = match options.value('t') {
        None => None,
        Some("\\0") => Some(0),
        Some(text) if text.len() == 1 => text.bytes().next(),
        Some(_) => return Err(Error::new("bad -t parameter").with_code(2)),
    };
    let sorter = Sorter { keys, order, separator, stable: options.has('s'), unique: options.has('u') };
    let end = if options.has('z') { 0 } else { b'\n' };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    let mut held = 0;
    for operand in options.or_stdin() {
        let Some(input) = cx.input(&operand).await else { return Ok(2) };
        while let Some(mut line) = input.read_until(end).await? {
            if line.last() == Some(&end) {
                line.pop();
            }
            held += line.len() + 16;
            if held > MOST {
                return Err(Error::new("out of memory").with_code(2));
            }
            lines.push(line);
        }
    }
    if options.has('c') || options.has('C') {
        for (index, pair) in lines.windows(2).enumerate() {
            let ordering = sorter.compare(&pair[0], &pair[1]);
            if ordering.is_gt() || sorter.unique && ordering.is_eq() {
                if options.has('c') {
                    cx.stdout.write(format!("Check line {}\n", index + 1)).await?;
                }
                return Ok(1);
            }
        }
        return Ok(0);
    }
    lines.sort_by(|left, right| sorter.compare(left, right));
    if sorter.unique {
        lines.dedup_by(|left, right| sorter.compare_keys(right, left).is_eq());
    }
    let output = match options.value('o') {
        Some(path) => Output::new(cx.create(path, false).map_err(|error| Error::about(path, &error).with_code(2))?),
        None => cx.stdout.clone(),
    };
    for mut line in lines {
        line.push(end);
        output.write(line).await?;
    }
    output.flush().await?;
    Ok(0)
}

impl Sorter {
    fn compare(&self, left: &[u8], right: &[u8]) -> Ordering {
        let ordering = self.compare_keys(left, right);
        if ordering.is_eq() && !self.stable && !self.unique {
            let last = left.cmp(right);
            return if self.order.reverse { last.reverse() } else { last };
        }
        ordering
    }

    fn compare_keys(&self, left: &[u8], right: &[u8]) -> Ordering {
        if self.keys.is_empty() {
            return self.order.compare(left, right);
        }
        let compared = self.keys.iter().map(|key| key.order.compare(self.field(key, left), self.field(key, right)));
        compared.into_iter().find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
    }

    fn field<'a>(&self, key: &Key, line: &'a [u8]) -> &'a [u8] {
        let begin = self.begin(line, key.from.0);
        let mut from = begin;
        if key.order.blanks {
            from += line[from..].len() - line[from..].trim_ascii_start().len();
        }
        from = (from + key.from.1).min(line.len());
        let to = match key.to {
            None => line.len(),
            Some((field, 0)) => self.end(line, field),
            Some((field, count)) => (self.begin(line, field) + count).min(line.len()),
        };
        line.get(from..to).unwrap_or_default()
    }

    /// Where a field begins; without a separator it takes the blanks before it with it.
    fn begin(&self, line: &[u8], field: usize) -> usize {
        let mut at = 0;
        for _ in 0..field {
            at = match self.separator {
                Some(separator) => match line[at..].iter().position(|byte| *byte == separator) {
                    Some(distance) => at + distance + 1,
                    None => return line.len(),
                },
                None => self.end_of_blank_field(line, at),
            };
        }
        at
    }

    fn end(&self, line: &[u8], field: usize) -> usize {
        let begin = self.begin(line, field);
        match self.separator {
            Some(separator) => line[begin..].iter().position(|byte| *byte == separator).map_or(line.len(), |distance| begin + distance),
            None => self.end_of_blank_field(line, begin),
        }
    }

    fn end_of_blank_field(&self, line: &[u8], from: usize) -> usize {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let mut at = from;
        while line.get(at).is_some_and(blank) {
            at += 1;
        }
        while line.get(at).is_some_and(|byte| !blank(byte)) {
            at += 1;
        }
        at
    }
}

/// `2`, `2,3`, `2.1,2.5nr`
fn key(text: &str, global: Order) -> Result<Key> {
    let wrong = || Error::new(format!("bad field specification '{text}'")).with_code(2);
    let (first, second) = text.split_once(',').map_or((text, None), |(first, second)| (first, Some(second)));
    let mut order = Order::default();
    let mut place = |part: &str| -> Result<(usize, usize)> {
        let letters = part.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(part.len());
        if !part[letters..].chars().all(|letter| order.set(letter)) {
            return Err(wrong());
        }
        let (field, character) = part[..letters].split_once('.').unwrap_or((&part[..letters], "0"));
        Ok((field.parse().map_err(|_| wrong())?, character.parse().map_err(|_| wrong())?))
    };
    let from = place(first)?;
    let to = second.map(&mut place).transpose()?;
    if from.0 == 0 {
        return Err(wrong());
    }
    let order = if order == Order::default() { global } else { order };
    Ok(Key { from: (from.0 - 1, from.1.saturating_sub(1)), to: to.map(|(field, count)| (field.saturating_sub(1), count)), order })
}

/// The number a text begins with; with `human`, its unit comes first.
fn numeric(text: &[u8], human: bool) -> (i32, f64) {
    let text = text.trim_ascii_start();
    let mut end = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let mut point = false;
    while let Some(byte) = text.get(end) {
        match byte {
            b'0'..=b'9' => {}
            b'.' if !point => point = true,
            _ => break,
        }
        end += 1;
    }
    let value: f64 = std::str::from_utf8(&text[..end]).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0.0);
    let unit = if human {
        text.get(end).and_then(|unit| b"KMGTPEZY".iter().position(|known| *known == unit.to_ascii_uppercase())).map_or(0, |index| index as i32 + 1)
    } else {
        0
    };
    (if value < 0.0 { -unit } else { unit }, value)
}

fn month(text: &[u8]) -> usize {
    const NAMES: [&[u8]; 12] = [b"JAN", b"FEB", b"MAR", b"APR", b"MAY", b"JUN", b"JUL", b"AUG", b"SEP", b"OCT", b"NOV", b"DEC"];
    let begin: Vec<u8> = text.trim_ascii_start().iter().take(3).map(u8::to_ascii_uppercase).collect();
    NAMES.iter().position(|name| *name == begin).map_or(0, |index| index + 1)
}

/// Numbers in texts count as numbers.
fn version(left: &[u8], right: &[u8]) -> Ordering {
    let (mut a, mut b) = (left, right);
    loop {
        match (a.first(), b.first()) {
            (None, None) => return left.cmp(right),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let take = |text: &mut &[u8]| {
                    let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
                    let (digits, rest) = text.split_at(count);
                    *text = rest;
                    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
                    digits[zeros..].to_vec()
                };
                let (x, y) = (take(&mut a), take(&mut b));
                let ordering = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
                if ordering.is_ne() {
                    return ordering;
                }
            }
            (Some(x), Some(y)) => {
                if x != y {
                    return x.cmp(y);
                }
                (a, b) = (&a[1..], &b[1..]);
            }
        }
    }
}

pub async fn uniq(cx: &mut Context) -> Result {
    let long = [
        ("count", 'c'),
        ("repeated", 'd'),
        ("unique", 'u'),
        ("ignore-case", 'i'),
        ("skip-fields", 'f'),
        ("skip-chars", 's'),
        ("check-chars", 'w'),
        ("zero-terminated", 'z'),
    ];
    let options = cx.options("cduif:s:w:z", &long)?;
    let number = |letter| options.value(letter).map(|text| super::ends::size(text).map(|value| value as usize)).transpose();
    let (fields, characters, width) = (number('f')?.unwrap_or(0), number('s')?.unwrap_or(0), number('w')?.unwrap_or(usize::MAX));
    let end = if options.has('z') { 0 } else { b'\n' };
    let input = match options.operands.first() {
        Some(operand) => match cx.input(operand).await {
            Some(input) => input,
            None => return Ok(1),
        },
        None => cx.stdin.clone(),
    };
    let output = match options.operands.get(1).filter(|path| *path != "-") {
        Some(path) => Output::new(cx.create(path, false).map_err(|error| Error::about(path, &error))?),
        None => cx.stdout.clone(),
    };
    let part = |line: &[u8]| -> Vec<u8> {
        let mut rest = line;
        for _ in 0..fields {
            rest = rest.trim_ascii_start();
            let word = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
            rest = &rest[word..];
        }
        let rest = rest.get(characters..).unwrap_or_default();
        let rest = &rest[..rest.len().min(width)];
        if options.has('i') { rest.to_ascii_lowercase() } else { rest.to_vec() }
    };
    let shown = |count: u64| if count > 1 { !options.has('u') } else { !options.has('d') };
    let mut before: Option<(Vec<u8>, Vec<u8>, u64)> = None;
    loop {
        let line = input.read_until(end).await?.map(|mut line| {
            if line.last() == Some(&end) {
                line.pop();
            }
            line
        });
        let key = line.as_deref().map(part);
        if let (Some((_, last, count)), Some(key)) = (&mut before, &key)
            && last == key
        {
            *count += 1;
            continue;
        }
        if let Some((text, _, count)) = before.take()
            && shown(count)
        {
            if options.has('c') {
                output.write(format!("{count:7} ")).await?;
            }
            output.write([text, vec![end]].concat()).await?;
        }
        match (line, key) {
            (Some(line), Some(key)) => before = Some((line, key, 1)),
            _ => break,
        }
    }
    output.flush().await?;
    Ok(0)
}
