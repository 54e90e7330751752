//! `head` and `tail`: the beginning and the end of files.

use std::collections::VecDeque;
use std::io::SeekFrom;
use std::time::Duration;

use crate::context::{Context, Error, Result};
use crate::io::Descriptor;
use crate::options::Options;

/// What is kept of an input that has no end to seek from.
const MOST: usize = 64 << 20;

/// `head [-n LINES | -c BYTES] [-qv] [FILE]…`
pub async fn head(cx: &mut Context) -> Result {
    let options = parse(cx, "n:c:qv", &[("lines", 'n'), ("bytes", 'c'), ("quiet", 'q'), ("silent", 'q'), ("verbose", 'v')])?;
    let (bytes, text) = amount(&options);
    // A negative number leaves out that much of the end.
    let (drop_end, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let count = size(text)?;
    let operands = options.or_stdin();
    let mut code = 0;
    let mut titles = Titles::new(&options, operands.len());
    for operand in &operands {
        let Some(input) = cx.input(operand).await else {
            code = 1;
            continue;
        };
        titles.print(cx, operand).await?;
        match (bytes, drop_end) {
            (true, false) => copy(cx, &input, count).await?,
            (false, false) => {
                for _ in 0..count {
                    let Some(line) = input.read_line().await? else { break };
                    cx.stdout.write(line).await?;
                }
            }
            (true, true) => {
                let all = input.read_to_end().await?;
                cx.stdout.write(&all[..all.len().saturating_sub(count as usize)]).await?;
            }
            (false, true) => {
                let mut kept = VecDeque::new();
                while let Some(line) = input.read_line().await? {
                    kept.push_back(line);
                    if kept.len() as u64 > count
                        && let Some(line) = kept.pop_front()
                    {
                        cx.stdout.write(line).await?;
                    }
                }
            }
        }
    }
    Ok(code)
}

/// `tail [-n [+]LINES | -c [+]BYTES] [-fF] [-s SECONDS] [-qv] [FILE]…`
pub async fn tail(cx: &mut Context) -> Result {
    let options = parse(
        cx,
        "n:c:fFs:qvr",
        &[("lines", 'n'), ("bytes", 'c'), ("follow", 'f'), ("retry", 'F'), ("quiet", 'q'), ("verbose", 'v'), ("sleep-interval", 's')],
    )?;
    let (bytes, text) = amount(&options);
    let (from_start, text) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let count = size(text.strip_prefix('-').unwrap_or(text))?;
    let operands = options.or_stdin();
    let follows = options.has('f') || options.has('F');
    let mut code = 0;
    let mut titles = Titles::new(&options, operands.len());
    let mut followed = Vec::new();
    for operand in &operands {
        let Some(input) = cx.input(operand).await else {
            code = 1;
            if options.has('F') {
                followed.push((operand.clone(), None));
            }
            continue;
        };
        titles.print(cx, operand).await?;
        match (from_start, bytes) {
            (true, true) => {
                skip(&input, count.saturating_sub(1)).await?;
                copy(cx, &input, u64::MAX).await?;
            }
            (true, false) => {
                for _ in 1..count {
                    if input.read_line().await?.is_none() {
                        break;
                    }
                }
                copy(cx, &input, u64::MAX).await?;
            }
            (false, true) => {
                let _ = input.seek(SeekFrom::End(-i64::try_from(count).unwrap_or(i64::MAX)));
                let mut kept: VecDeque<u8> = VecDeque::new();
                loop {
                    let some = input.read(64 << 10).await?;
                    if some.is_empty() {
                        break;
                    }
                    kept.extend(some);
                    let surplus = kept.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
                    kept.drain(..surplus);
                }
                cx.stdout.write(kept.make_contiguous()).await?;
            }
            (false, false) => {
                seek_near_end(&input, count);
                let mut kept = VecDeque::new();
                let mut held = 0;
                while let Some(line) = input.read_line().await? {
                    held += line.len();
                    kept.push_back(line);
                    if kept.len() as u64 > count
                        && let Some(line) = kept.pop_front()
                    {
                        held -= line.len();
                    }
                    if held > MOST {
                        return Err(Error::new("out of memory"));
                    }
                }
                for line in kept {
                    cx.stdout.write(line).await?;
                }
            }
        }
        followed.push((operand.clone(), Some(input)));
    }
    if follows && !followed.is_empty() {
        let pause = options.value('s').map_or(Some(Duration::from_secs(1)), crate::applets::duration).ok_or_else(|| Error::new("invalid number"))?;
        follow(cx, followed, options.has('F'), pause, &mut titles).await?;
    }
    Ok(code)
}

/// A file's last lines are near its end: goes back as far as they can be.
fn seek_near_end(input: &Descriptor, lines: u64) {
    let Ok(end) = input.seek(SeekFrom::End(0)) else { return };
    let mut begin = end;
    let mut found = 0;
    while begin > 0 {
        let size = begin.min(32 << 10);
        begin -= size;
        let chunk = input.with_file(|file| {
            use std::io::{Read, Seek};
            let mut bytes = vec![0; size as usize];
            file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut bytes)).map(|()| bytes)
        });
        let Some(Ok(chunk)) = chunk else { break };
        found += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        if found > lines {
            break;
        }
    }
    let _ = input.seek(SeekFrom::Start(begin));
}

/// Shows what is added, for ever. With `by_name` a file that comes, or that is replaced, is opened (again).
async fn follow(cx: &mut Context, mut inputs: Vec<(String, Option<Descriptor>)>, by_name: bool, pause: Duration, titles: &mut Titles) -> Result<()> {
    loop {
        for (operand, input) in &mut inputs {
            if by_name
                && let Some(Some((position, length))) = input.as_ref().map(|open| {
                    let position = open.seek(SeekFrom::Current(0)).ok()?;
                    Some((position, std::fs::metadata(cx.path(operand)).map_or(u64::MAX, |metadata| metadata.len())))
                })
                && length < position
            {
                *input = None;
            }
            if input.is_none() {
                *input = cx.open(operand).ok();
            }
            let Some(open) = input else { continue };
            loop {
                let some = open.read(64 << 10).await?;
                if some.is_empty() {
                    break;
                }
                titles.print_again(cx, operand).await?;
                cx.stdout.write(some).await?;
            }
        }
        cx.stdout.flush().await?;
        cx.sleep(pause).await;
    }
}

/// `==> NAME <==`
struct Titles {
    shown: bool,
    last: Option<String>,
}

impl Titles {
    fn new(options: &Options, files: usize) -> Titles {
        Titles { shown: (files > 1 || options.has('v')) && !options.has('q'), last: None }
    }

    async fn print(&mut self, cx: &Context, operand: &str) -> Result<()> {
        if self.shown {
            let name = if operand == "-" { "standard input" } else { operand };
            cx.stdout.write(format!("{}==> {name} <==\n", if self.last.is_some() { "\n" } else { "" })).await?;
            self.last = Some(operand.into());
        }
        Ok(())
    }

    async fn print_again(&mut self, cx: &Context, operand: &str) -> Result<()> {
        if self.last.as_deref() != Some(operand) { self.print(cx, operand).await } else { Ok(()) }
    }
}

/// With `-5` for `-n 5`, and `+5` for `-n +5` as the first argument.
fn parse(cx: &Context, short: &str, long: &[(&str, char)]) -> Result<Options> {
    let mut arguments = Vec::new();
    for (index, argument) in cx.args.iter().skip(1).enumerate() {
        let digits = argument.strip_prefix(['-', '+']).unwrap_or_default();
        if !digits.is_empty()
            && digits.starts_with(|first: char| first.is_ascii_digit())
            && (argument.starts_with('-') || index == 0)
            && previous_takes_none(&arguments)
        {
            arguments.extend(["-n".to_string(), argument.strip_prefix('-').unwrap_or(argument).to_string()]);
        } else {
            arguments.push(argument.clone());
        }
    }
    Options::parse(&arguments, short, long)
}

fn previous_takes_none(arguments: &[String]) -> bool {
    !arguments.last().is_some_and(|last| last.starts_with('-') && !last.starts_with("--") && last.ends_with(['n', 'c', 's']))
}

/// Whether bytes are counted, and the number.
fn amount(options: &Options) -> (bool, &str) {
    let last = options.all().filter(|(letter, _)| matches!(letter, 'n' | 'c')).last();
    last.map_or((false, "10"), |(letter, value)| (letter == 'c', value.unwrap_or("10")))
}

/// `10`, `1k`, `2M`, `1b`.
pub fn size(text: &str) -> Result<u64> {
    let invalid = || Error::new(format!("invalid number '{text}'"));
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit {
        "" | "c" => 1,
        "b" => 512,
        "k" | "K" | "kB" | "KiB" => 1 << 10,
        "m" | "M" | "MB" | "MiB" => 1 << 20,
        "g" | "G" | "GB" | "GiB" => 1 << 30,
        _ => return Err(invalid()),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(invalid)
}

async fn copy(cx: &Context, input: &Descriptor, mut count: u64) -> Result<()> {
    while count > 0 {
        let some = input.read(usize::try_from(count.min(64 << 10)).unwrap_or(64 << 10)).await?;
        if some.is_empty() {
            break;
        }
        count -= some.len() as u64;
        cx.stdout.write(some).await?;
    }
    Ok(())
}

async fn skip(input: &Descriptor, mut count: u64) -> Result<()> {
    while count > 0 {
        let some = input.read(usize::try_from(count.min(64 << 10)).unwrap_or(64 << 10)).await?;
        if some.is_empty() {
            break;
        }
        count -= some.len() as u64;
    }
    Ok(())
}
