//! `tar -c|-x|-t [-zvkOmhpo] [-f FILE] [-C FOLDER] [-T FILE] [-X FILE] [--exclude PATTERN] [--strip-components N] [FILE]…`

use std::collections::BTreeMap;
use std::fs;

use super::gzip::{Deflater, Inflater};
use crate::calendar::{Moment, Zone};
use crate::context::{Context, Error, Result};
use crate::disk::{self, Kind, Stat};
use crate::io::{Descriptor, Output, reason};
use crate::options::Options;

const BLOCK: usize = 512;
/// The longest head of POSIX's extensions, or name of GNU's.
const LONGEST: u64 = 1 << 20;
/// How deep folders are followed.
const DEEPEST: usize = 256;

const LONG: &[(&str, char)] = &[
    ("create", 'c'),
    ("extract", 'x'),
    ("get", 'x'),
    ("list", 't'),
    ("file", 'f'),
    ("directory", 'C'),
    ("gzip", 'z'),
    ("verbose", 'v'),
    ("keep-old-files", 'k'),
    ("overwrite", 'w'),
    ("to-stdout", 'O'),
    ("touch", 'm'),
    ("dereference", 'h'),
    ("files-from", 'T'),
    ("exclude-from", 'X'),
    ("exclude", 'E'),
    ("strip-components", 'S'),
    ("no-same-owner", 'o'),
    ("no-same-permissions", 'P'),
    ("preserve-permissions", 'p'),
    ("same-permissions", 'p'),
    ("numeric-owner", 'n'),
    ("no-recursion", 'N'),
    ("auto-compress", 'a'),
    ("warning", 'W'),
    ("owner", 'U'),
    ("group", 'G'),
];

pub async fn tar(cx: &mut Context) -> Result {
    let arguments = dashed(&cx.args[1..]);
    let options = Options::parse(&arguments, "cxtf:C:zvkwOmhT:X:E:S:opPnNaW:U:G:", LONG)?;
    let modes: Vec<char> = "cxt".chars().filter(|letter| options.has(*letter)).collect();
    let [mode] = modes.as_slice() else { return Err(Error::usage("usage: tar c|x|t [-zvkO] [-f TARFILE] [-C DIR] [FILE]...")) };
    let mut excluded: Vec<String> = options.values('E').map(String::from).collect();
    for list in options.values('X') {
        excluded.extend(lines(cx, list).await?);
    }
    let mut operands = options.operands.clone();
    for list in options.values('T') {
        operands.extend(lines(cx, list).await?);
    }
    let folder = options.value('C').map(|folder| cx.path(folder).to_string_lossy().into_owned());
    let mut within = cx.clone();
    if let Some(folder) = folder {
        if !fs::metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(Error::new(format!("can't change directory to '{}': No such file or directory", options.value('C').unwrap_or_default())));
        }
        within.cwd = folder;
    }
    let file = options.value('f').unwrap_or("-");
    match mode {
        'c' => {
            if operands.is_empty() {
                return Err(Error::usage("empty archive"));
            }
            let output = if file == "-" {
                cx.stdout.clone()
            } else {
                Output::new(cx.create(file, false).map_err(|error| Error::about(format!("can't open '{file}'"), &error))?)
            };
            let compressed = options.has('z') || options.has('a') && (file.ends_with(".gz") || file.ends_with(".tgz"));
            let sink = if compressed { Sink::Gzip(Box::new(Deflater::new(output, 6).await?)) } else { Sink::Plain(output) };
            Writer { cx: &within, options: &options, excluded, sink, to_stdout: file == "-", seen: BTreeMap::new(), code: 0 }.run(&operands).await
        }
        mode => {
            let input = if file == "-" { cx.stdin.clone() } else { cx.open(file).map_err(|error| Error::about(format!("can't open '{file}'"), &error))? };
            let source = Source::new(input).await?;
            let mut reader = Reader {
                cx: &within,
                options: &options,
                excluded,
                wanted: operands,
                source,
                lists: *mode == 't',
                links: Vec::new(),
                folders: Vec::new(),
                code: 0,
            };
            reader.run().await
        }
    }
}

/// The first word may be options without a dash, whose values follow in order: `tar czf FILE`.
fn dashed(words: &[String]) -> Vec<String> {
    let Some((first, rest)) = words.split_first().filter(|(first, _)| !first.starts_with('-')) else { return words.to_vec() };
    let mut rest = rest.iter();
    let mut all = Vec::new();
    for letter in first.chars() {
        all.push(format!("-{letter}"));
        if "fCTX".contains(letter) {
            all.extend(rest.next().cloned());
        }
    }
    all.extend(rest.cloned());
    all
}

async fn lines(cx: &Context, path: &str) -> Result<Vec<String>> {
    let input = if path == "-" { cx.stdin.clone() } else { cx.open(path).map_err(|error| Error::about(path, &error))? };
    let bytes = input.read_to_end().await?;
    Ok(String::from_utf8_lossy(&bytes).lines().filter(|line| !line.is_empty()).map(String::from).collect())
}

fn is_excluded(patterns: &[String], name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    // A pattern may match the whole name or any last part of it, and folders take what is in them along.
    patterns.iter().any(|pattern| {
        let pattern = pattern.trim_end_matches('/');
        (0..parts.len()).any(|from| (from + 1..=parts.len()).any(|to| crate::shell::matches(pattern, &parts[from..to].join("/"))))
    })
}

enum Sink {
    Plain(Output),
    Gzip(Box<Deflater>),
}

impl Sink {
    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Sink::Plain(output) => Ok(output.write(bytes).await?),
            Sink::Gzip(deflater) => deflater.write(bytes).await,
        }
    }
}

struct Writer<'a> {
    cx: &'a Context,
    options: &'a Options,
    excluded: Vec<String>,
    sink: Sink,
    to_stdout: bool,
    /// Files with several names: what they are stored as.
    seen: BTreeMap<u64, String>,
    code: i32,
}

impl Writer<'_> {
    async fn run(mut self, operands: &[String]) -> Result {
        let mut stripped = false;
        for operand in operands {
            let mut pending = vec![(operand.clone(), 0)];
            while let Some((path, depth)) = pending.pop() {
                let stored = path.trim_start_matches('/');
                if stored.len() < path.len() && !std::mem::replace(&mut stripped, true) {
                    self.cx.warn("removing leading '/' from member names").await;
                }
                let stored = if stored.is_empty() { "./" } else { stored };
                if is_excluded(&self.excluded, stored) {
                    continue;
                }
                let full = self.cx.path(&path);
                let stat = match disk::stat(&full, self.options.has('h')) {
                    Ok(stat) => stat,
                    Err(error) => {
                        self.cx.warn(format!("{path}: {}", reason(&error))).await;
                        self.code = 1;
                        continue;
                    }
                };
                self.member(&path, stored, &stat).await?;
                if stat.kind == Kind::Folder && depth < DEEPEST && !self.options.has('N') {
                    let entries = fs::read_dir(&full).into_iter().flatten().flatten();
                    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                    names.sort_by(|a, b| b.cmp(a));
                    pending.extend(names.into_iter().map(|name| (format!("{}/{name}", path.trim_end_matches('/')), depth + 1)));
                }
            }
        }
        self.sink.write(&[0; BLOCK * 2]).await?;
        match self.sink {
            Sink::Plain(output) => output.flush().await?,
            Sink::Gzip(deflater) => deflater.finish().await?,
        }
        if self.code != 0 {
            self.cx.warn("error exit delayed from previous errors").await;
        }
        Ok(self.code)
    }

    async fn member(&mut self, path: &str, stored: &str, stat: &Stat) -> Result<()> {
        let mut name = stored.to_string();
        let (kind, link) = match stat.kind {
            Kind::Folder => {
                name = format!("{}/", name.trim_end_matches('/'));
                (b'5', String::new())
            }
            Kind::Link => (b'2', fs::read_link(self.cx.path(path)).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()),
            Kind::File => match self.seen.get(&stat.inode).filter(|_| stat.links > 1) {
                Some(first) => (b'1', first.clone()),
                None => (b'0', String::new()),
            },
            _ => {
                self.cx.warn(format!("{path}: unknown file type")).await;
                self.code = 1;
                return Ok(());
            }
        };
        let input = if kind == b'0' {
            match self.cx.open(path) {
                Ok(input) => Some(input),
                Err(error) => {
                    self.cx.warn(format!("{path}: {}", reason(&error))).await;
                    self.code = 1;
                    return Ok(());
                }
            }
        } else {
            None
        };
        if stat.links > 1 && kind == b'0' {
            self.seen.insert(stat.inode, name.clone());
        }
        if self.options.has('v') {
            let line = format!("{name}\n");
            if self.to_stdout { self.cx.stderr.write_all(line.as_bytes()).await? } else { self.cx.stdout.write(line).await? }
        }
        for (letter, text) in [(b'K', &link), (b'L', &name)] {
            if text.len() > 99 {
                let bytes = [text.as_bytes(), &[0]].concat();
                self.sink.write(&header("././@LongLink", letter, bytes.len() as u64, "", 0, 0o644)).await?;
                self.padded(&bytes).await?;
            }
        }
        let size = if kind == b'0' { stat.size } else { 0 };
        self.sink.write(&header(&name, kind, size, &link, stat.modified.0, stat.kind.mode() & 0o7777)).await?;
        let Some(input) = input else { return Ok(()) };
        let mut left = size;
        while left > 0 {
            let mut bytes = input.read(usize::try_from(left.min(64 << 10)).unwrap_or(64 << 10)).await?;
            if bytes.is_empty() {
                // It became shorter meanwhile.
                self.cx.warn(format!("short read from '{path}'")).await;
                self.code = 1;
                bytes = vec![0; usize::try_from(left.min(64 << 10)).unwrap_or(64 << 10)];
            }
            left -= bytes.len() as u64;
            self.sink.write(&bytes).await?;
        }
        let rest = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
        self.sink.write(&vec![0; rest]).await
    }

    async fn padded(&mut self, bytes: &[u8]) -> Result<()> {
        let mut all = bytes.to_vec();
        all.resize(bytes.len().next_multiple_of(BLOCK), 0);
        self.sink.write(&all).await
    }
}

fn header(name: &str, kind: u8, size: u64, link: &str, time: i64, mode: u32) -> [u8; BLOCK] {
    let mut head = [0u8; BLOCK];
    let mut put = |at: usize, most: usize, bytes: &[u8]| {
        let count = bytes.len().min(most);
        head[at..at + count].copy_from_slice(&bytes[..count]);
    };
    put(0, 100, name.as_bytes());
    put(100, 8, format!("{mode:07o}").as_bytes());
    put(108, 8, b"0000000");
    put(116, 8, b"0000000");
    if size < 1 << 33 {
        put(124, 12, format!("{size:011o}").as_bytes());
    } else {
        put(124, 12, &[&[0x80, 0, 0, 0][..], &size.to_be_bytes()].concat());
    }
    put(136, 12, format!("{:011o}", time.max(0)).as_bytes());
    put(148, 8, b"        ");
    put(156, 1, &[kind]);
    put(157, 100, link.as_bytes());
    put(257, 8, b"ustar  \0");
    put(265, 32, b"root");
    put(297, 32, b"root");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    head
}

/// The archive's bytes, decompressed where they are compressed.
struct Source {
    input: Descriptor,
    inflater: Option<Box<Inflater>>,
    buffer: Vec<u8>,
    at: usize,
}

impl Source {
    async fn new(input: Descriptor) -> Result<Source> {
        let mut begun = Vec::new();
        while begun.len() < 3 {
            let bytes = input.read(64 << 10).await?;
            if bytes.is_empty() {
                break;
            }
            begun.extend(bytes);
        }
        if begun.starts_with(&[0x1f, 0x8b]) {
            let inflater = Some(Box::new(Inflater::new(input.clone(), begun)));
            return Ok(Source { input, inflater, buffer: Vec::new(), at: 0 });
        }
        Ok(Source { input, inflater: None, buffer: begun, at: 0 })
    }

    /// At most so many bytes; empty at the end.
    async fn some(&mut self, most: u64) -> Result<Vec<u8>> {
        if self.at >= self.buffer.len() {
            self.at = 0;
            self.buffer = match &mut self.inflater {
                Some(inflater) => inflater.read().await?,
                None => self.input.read(64 << 10).await?,
            };
        }
        let count = (self.buffer.len() - self.at).min(usize::try_from(most).unwrap_or(usize::MAX));
        let bytes = self.buffer[self.at..self.at + count].to_vec();
        self.at += count;
        Ok(bytes)
    }

    /// So many bytes; None at the end.
    async fn exactly(&mut self, count: usize) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            let some = self.some((count - bytes.len()) as u64).await?;
            if some.is_empty() {
                return if bytes.is_empty() { Ok(None) } else { Err(Error::new("short read")) };
            }
            bytes.extend(some);
        }
        Ok(Some(bytes))
    }
}

#[derive(Default)]
struct Member {
    name: String,
    kind: u8,
    size: u64,
    link: String,
    time: i64,
    mode: u32,
}

struct Reader<'a> {
    cx: &'a Context,
    options: &'a Options,
    excluded: Vec<String>,
    wanted: Vec<String>,
    source: Source,
    lists: bool,
    /// Symbolic links are made at the end, so that nothing is written through them.
    links: Vec<(String, String)>,
    folders: Vec<(String, i64)>,
    code: i32,
}

impl Reader<'_> {
    async fn run(&mut self) -> Result {
        let strip: usize = self.options.value('S').map_or(Ok(0), |text| text.parse().map_err(|_| Error::new(format!("invalid number '{text}'"))))?;
        let mut found = vec![false; self.wanted.len()];
        while let Some(member) = self.next().await? {
            let name = member.name.trim_end_matches('/');
            let hit = self.wanted.iter().position(|wanted| {
                let wanted = wanted.trim_end_matches('/');
                name == wanted || name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/')) || crate::shell::matches(wanted, name)
            });
            if let Some(index) = hit {
                found[index] = true;
            }
            let skipped = !self.wanted.is_empty() && hit.is_none() || is_excluded(&self.excluded, name);
            let target: Vec<&str> = name.split('/').filter(|part| !part.is_empty()).collect();
            if skipped || target.len() <= strip && strip > 0 {
                self.skip(member.size).await?;
                continue;
            }
            if self.lists || self.options.has('v') {
                let line = if self.lists && self.options.has('v') { self.long(&member) } else { format!("{}\n", member.name) };
                if self.options.has('O') { self.cx.stderr.write_all(line.as_bytes()).await? } else { self.cx.stdout.write(line).await? }
            }
            if self.lists {
                self.skip(member.size).await?;
                continue;
            }
            if target.contains(&"..") {
                self.cx.warn(format!("name with '..' skipped: '{}'", member.name)).await;
                self.code = 1;
                self.skip(member.size).await?;
                continue;
            }
            let target = target[strip.min(target.len())..].join("/");
            self.extract(&member, if target.is_empty() { "." } else { &target }).await?;
        }
        for (target, path) in std::mem::take(&mut self.links) {
            let full = self.cx.path(&path);
            if !self.options.has('k') {
                let _ = fs::remove_file(&full);
            }
            if let Err(error) = disk::symlink(&target, &full) {
                self.cx.warn(format!("can't create symlink '{path}' to '{target}': {}", reason(&error))).await;
                self.code = 1;
            }
        }
        for (path, time) in self.folders.iter().rev().filter(|_| !self.options.has('m')) {
            let _ = disk::set_times(&self.cx.path(path), true, None, Some((*time, 0)));
        }
        for (wanted, _) in self.wanted.iter().zip(found).filter(|(_, found)| !found) {
            self.cx.warn(format!("{wanted}: not found in archive")).await;
            self.code = 1;
        }
        Ok(self.code)
    }

    /// The next member's head; what its extensions say is in it.
    async fn next(&mut self) -> Result<Option<Member>> {
        let (mut long_name, mut long_link, mut size) = (None, None, None);
        loop {
            let Some(head) = self.source.exactly(BLOCK).await? else { return Ok(None) };
            if head.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            let sum: u32 = head.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
            if number(&head[148..156]) != Some(u64::from(sum)) {
                return Err(Error::new("invalid tar magic"));
            }
            let kind = head[156];
            let length = number(&head[124..136]).ok_or_else(|| Error::new("corrupted octal value in tar header"))?;
            if matches!(kind, b'L' | b'K' | b'x' | b'g') {
                if length > LONGEST {
                    return Err(Error::new("corrupted octal value in tar header"));
                }
                let bytes = self.source.exactly((length as usize).next_multiple_of(BLOCK)).await?.unwrap_or_default();
                let bytes = &bytes[..(length as usize).min(bytes.len())];
                match kind {
                    b'L' => long_name = Some(text(bytes)),
                    b'K' => long_link = Some(text(bytes)),
                    b'x' => {
                        for (key, value) in records(bytes) {
                            match key.as_str() {
                                "path" => long_name = Some(value),
                                "linkpath" => long_link = Some(value),
                                "size" => size = value.parse().ok(),
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
                continue;
            }
            let mut name = text(&head[..100]);
            let prefix = text(&head[345..500]);
            if head[257..262] == *b"ustar" && head[262] == 0 && !prefix.is_empty() {
                name = format!("{prefix}/{name}");
            }
            let kind = if matches!(kind, 0 | b'7') { b'0' } else { kind };
            return Ok(Some(Member {
                name: long_name.unwrap_or(name),
                kind,
                size: if matches!(kind, b'1' | b'2' | b'5') { 0 } else { size.unwrap_or(length) },
                link: long_link.unwrap_or_else(|| text(&head[157..257])),
                time: number(&head[136..148]).unwrap_or(0) as i64,
                mode: number(&head[100..108]).unwrap_or(0o644) as u32,
            }));
        }
    }

    async fn skip(&mut self, size: u64) -> Result<()> {
        let mut left = size.next_multiple_of(BLOCK as u64);
        while left > 0 {
            let some = self.source.some(left).await?;
            if some.is_empty() {
                return Err(Error::new("short read"));
            }
            left -= some.len() as u64;
        }
        Ok(())
    }

    async fn extract(&mut self, member: &Member, path: &str) -> Result<()> {
        let full = self.cx.path(path);
        if member.kind == b'5' || member.kind == b'0' && member.name.ends_with('/') {
            if let Err(error) = fs::create_dir_all(&full) {
                self.cx.warn(format!("can't make dir {path}: {}", reason(&error))).await;
                self.code = 1;
            }
            self.folders.push((path.into(), member.time));
            return self.skip(member.size).await;
        }
        let to_stdout = self.options.has('O');
        if !to_stdout && let Some((folder, _)) = path.rsplit_once('/') {
            let _ = fs::create_dir_all(self.cx.path(folder));
        }
        match member.kind {
            b'2' if !to_stdout => self.links.push((member.link.clone(), path.into())),
            b'1' if !to_stdout => {
                let _ = fs::remove_file(&full);
                if let Err(error) = fs::hard_link(self.cx.path(member.link.trim_start_matches('/')), &full) {
                    self.cx.warn(format!("can't create hardlink '{path}' to '{}': {}", member.link, reason(&error))).await;
                    self.code = 1;
                }
            }
            b'0' => {
                let output = if to_stdout {
                    Some(self.cx.stdout.clone())
                } else if self.options.has('k') && disk::stat(&full, false).is_ok() {
                    self.cx.warn(format!("can't open '{path}': File exists")).await;
                    self.code = 1;
                    None
                } else {
                    // A link that stands there is not followed.
                    if disk::stat(&full, false).is_ok_and(|stat| stat.kind != Kind::Folder) {
                        let _ = fs::remove_file(&full);
                    }
                    match self.cx.create(path, false) {
                        Ok(created) => Some(Output::new(created)),
                        Err(error) => {
                            self.cx.warn(format!("can't open '{path}': {}", reason(&error))).await;
                            self.code = 1;
                            None
                        }
                    }
                };
                let Some(output) = output else { return self.skip(member.size).await };
                let mut left = member.size;
                while left > 0 {
                    let some = self.source.some(left).await?;
                    if some.is_empty() {
                        return Err(Error::new("short read"));
                    }
                    left -= some.len() as u64;
                    output.write(some).await?;
                }
                output.flush().await?;
                let rest = (BLOCK as u64 - member.size % BLOCK as u64) % BLOCK as u64;
                self.source.exactly(rest as usize).await?;
                if !to_stdout && !self.options.has('m') {
                    let _ = disk::set_times(&full, true, None, Some((member.time, 0)));
                }
            }
            _ => {
                self.skip(member.size).await?;
            }
        }
        Ok(())
    }

    fn long(&self, member: &Member) -> String {
        let letter = match member.kind {
            b'5' => 'd',
            b'2' => 'l',
            _ => '-',
        };
        let mut permissions = String::from(letter);
        for shift in [6, 3, 0] {
            for (bit, letter) in [(4, 'r'), (2, 'w'), (1, 'x')] {
                permissions.push(if member.mode >> shift & bit != 0 { letter } else { '-' });
            }
        }
        let date = Moment::new(member.time, 0, &Zone::of(self.cx)).format("%Y-%m-%d %H:%M:%S");
        let link = match member.kind {
            b'2' | b'1' => format!(" -> {}", member.link),
            _ => String::new(),
        };
        format!("{permissions} root/root {:9} {date} {}{link}\n", member.size, member.name)
    }
}

/// Octal digits, or GNU's big-endian numbers.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return Some(field[field.len() - 8..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte)));
    }
    let digits: Vec<u8> = field.iter().copied().skip_while(|byte| *byte == b' ').take_while(|byte| byte.is_ascii_digit()).collect();
    if digits.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(std::str::from_utf8(&digits).ok()?, 8).ok()
}

fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

/// `LENGTH KEY=VALUE\n`
fn records(bytes: &[u8]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let Some(length) = std::str::from_utf8(&rest[..space]).ok().and_then(|digits| digits.parse::<usize>().ok()) else { break };
        let Some(record) = rest.get(space + 1..length) else { break };
        let record = String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record)).into_owned();
        if let Some((key, value)) = record.split_once('=') {
            all.push((key.into(), value.into()));
        }
        rest = &rest[length..];
    }
    all
}
