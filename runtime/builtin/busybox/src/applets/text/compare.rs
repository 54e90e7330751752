//! `cmp` and `diff`.

use std::fs;

use crate::context::{Context, Error, Result};
use crate::options::Options;

/// More lines than this are not compared line by line.
const MOST: usize = 200_000;

/// `cmp [-ls] [-n COUNT] FILE1 [FILE2 [SKIP1 [SKIP2]]]`
pub async fn cmp(cx: &mut Context) -> Result {
    let options = cx.options("lsn:", &[("verbose", 'l'), ("quiet", 's'), ("silent", 's'), ("bytes", 'n')])?;
    let most = options.value('n').map_or(Ok(u64::MAX), super::ends::size).map_err(|error| error.with_code(2))?;
    let Some(first) = options.operands.first() else { return Err(Error::usage("usage: cmp [-ls] [-n NUM] FILE1 [FILE2]").with_code(2)) };
    let second = options.operands.get(1).map_or("-", String::as_str);
    let open = |path: &str| {
        if path == "-" { Ok(cx.stdin.clone()) } else { cx.open(path).map_err(|error| Error::about(format!("can't open '{path}'"), &error).with_code(2)) }
    };
    let (left, right) = match (open(first), open(second)) {
        (Ok(left), Ok(right)) => (left, right),
        (Err(error), _) | (_, Err(error)) => return if options.has('s') { Ok(2) } else { Err(error) },
    };
    let (mut at, mut line, mut code) = (0u64, 1u64, 0);
    let (mut a, mut b): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    loop {
        if a.is_empty() {
            a = left.read(32 << 10).await?;
        }
        if b.is_empty() {
            b = right.read(32 << 10).await?;
        }
        if a.is_empty() || b.is_empty() || at >= most {
            if a.is_empty() != b.is_empty() && at < most {
                if !options.has('s') {
                    cx.stdout.flush().await?;
                    cx.warn(format!("EOF on {}", if a.is_empty() { first } else { second })).await;
                }
                return Ok(1);
            }
            return Ok(code);
        }
        let count = a.len().min(b.len()).min(usize::try_from(most - at).unwrap_or(usize::MAX));
        for index in 0..count {
            if a[index] != b[index] {
                code = 1;
                if options.has('s') {
                    return Ok(1);
                }
                let place = at + index as u64 + 1;
                if !options.has('l') {
                    cx.stdout.write(format!("{first} {second} differ: char {place}, line {line}\n")).await?;
                    return Ok(1);
                }
                cx.stdout.write(format!("{place} {:3o} {:3o}\n", a[index], b[index])).await?;
            }
            line += u64::from(a[index] == b'\n');
        }
        at += count as u64;
        a.drain(..count);
        b.drain(..count);
    }
}

struct Differ<'a> {
    cx: &'a Context,
    options: Options,
    context: usize,
}

/// `diff [-abBdiNqrTstw] [-U LINES] [-L LABEL] FILE1 FILE2`
pub async fn diff(cx: &mut Context) -> Result {
    let long = [
        ("unified", 'u'),
        ("brief", 'q'),
        ("recursive", 'r'),
        ("new-file", 'N'),
        ("ignore-case", 'i'),
        ("ignore-all-space", 'w'),
        ("ignore-space-change", 'b'),
        ("ignore-blank-lines", 'B'),
        ("text", 'a'),
        ("label", 'L'),
        ("report-identical-files", 's'),
    ];
    let options = cx.options("abBdiL:NqrsS:tTU:uw", &long).map_err(|error| error.with_code(2))?;
    let [left, right] = options
        .operands
        .clone()
        .try_into()
        .map_err(|_| Error::usage("usage: diff [-abBdiNqrTstw] [-L LABEL] [-S FILE] [-U LINES] FILE1 FILE2").with_code(2))?;
    let context = options.value('U').map_or(Ok(3), |text| text.parse().map_err(|_| Error::new(format!("invalid number '{text}'")).with_code(2)))?;
    let differ = Differ { cx, options, context };
    let folder = |path: &str| path != "-" && fs::metadata(cx.path(path)).is_ok_and(|metadata| metadata.is_dir());
    let (mut left, mut right): (String, String) = (left, right);
    match (folder(&left), folder(&right)) {
        (true, true) => return differ.folders(left, right).await,
        (true, false) => left = format!("{left}/{}", crate::applets::name_of(&right)),
        (false, true) => right = format!("{right}/{}", crate::applets::name_of(&left)),
        (false, false) => {}
    }
    differ.files(&left, &right, None).await
}

impl Differ<'_> {
    async fn read(&self, path: &str) -> Result<Vec<u8>> {
        if self.options.has('N') && path != "-" && fs::metadata(self.cx.path(path)).is_err() {
            return Ok(Vec::new());
        }
        let input = if path == "-" {
            self.cx.stdin.clone()
        } else {
            self.cx.open(path).map_err(|error| Error::about(format!("can't stat '{path}'"), &error).with_code(2))?
        };
        Ok(input.read_to_end().await?)
    }

    async fn folders(&self, left: String, right: String) -> Result {
        let mut code = 0;
        let mut pending = vec![(left, right)];
        while let Some((left, right)) = pending.pop() {
            let names = |folder: &str| -> std::collections::BTreeSet<String> {
                fs::read_dir(self.cx.path(folder)).into_iter().flatten().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
            };
            let (ours, theirs) = (names(&left), names(&right));
            let mut inside = Vec::new();
            for name in ours.union(&theirs) {
                let (a, b) = (format!("{}/{name}", left.trim_end_matches('/')), format!("{}/{name}", right.trim_end_matches('/')));
                let is_folder = |path: &str| fs::metadata(self.cx.path(path)).is_ok_and(|metadata| metadata.is_dir());
                if !ours.contains(name) || !theirs.contains(name) {
                    if self.options.has('N') && !is_folder(&a) && !is_folder(&b) {
                        code = code.max(self.files(&a, &b, Some(())).await?);
                        continue;
                    }
                    let where_it_is = if ours.contains(name) { &left } else { &right };
                    self.cx.stdout.write(format!("Only in {where_it_is}: {name}\n")).await?;
                    code = code.max(1);
                } else if is_folder(&a) && is_folder(&b) {
                    if self.options.has('r') {
                        inside.push((a, b));
                    } else {
                        self.cx.stdout.write(format!("Common subdirectories: {a} and {b}\n")).await?;
                    }
                } else {
                    code = code.max(self.files(&a, &b, Some(())).await?);
                }
            }
            pending.extend(inside.into_iter().rev());
        }
        Ok(code)
    }

    async fn files(&self, left: &str, right: &str, within: Option<()>) -> Result {
        let (a, b) = (self.read(left).await?, self.read(right).await?);
        let stdout = &self.cx.stdout;
        let identical = async || -> Result {
            if self.options.has('s') {
                stdout.write(format!("Files {left} and {right} are identical\n")).await?;
            }
            Ok(0)
        };
        if a == b {
            return identical().await;
        }
        let binary = |bytes: &[u8]| bytes.iter().take(8192).any(|byte| *byte == 0);
        if self.options.has('q') || (binary(&a) || binary(&b)) && !self.options.has('a') {
            let kind = if self.options.has('q') { "Files" } else { "Binary files" };
            stdout.write(format!("{kind} {left} and {right} differ\n")).await?;
            return Ok(1);
        }
        let (a, b) = (lines(&a), lines(&b));
        if a.len() + b.len() > MOST {
            stdout.write(format!("Files {left} and {right} differ\n")).await?;
            return Ok(1);
        }
        let key = |line: &&[u8]| self.key(line);
        let (x, y): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (a.iter().map(key).collect(), b.iter().map(key).collect());
        let changes = changes(&x, &y).await;
        let changes: Vec<Change> = if self.options.has('B') {
            let blank = |lines: &[&[u8]]| lines.iter().all(|line| line.trim_ascii().is_empty());
            changes.into_iter().filter(|change| !(blank(&a[change.a.0..change.a.1]) && blank(&b[change.b.0..change.b.1]))).collect()
        } else {
            changes
        };
        if changes.is_empty() {
            return identical().await;
        }
        if within.is_some() {
            stdout
                .write(
                    format!("diff{} {left} {right}\n", if self.options.has('r') { " -r" } else { "" }).replace("diff -r", "diff -ur").replace("diff ", "diff "),
                )
                .await?;
        }
        let labels: Vec<&str> = self.options.values('L').collect();
        stdout.write(format!("--- {}\n+++ {}\n", labels.first().copied().unwrap_or(left), labels.get(1).copied().unwrap_or(right))).await?;
        let mut index = 0;
        while index < changes.len() {
            let mut last = index;
            while last + 1 < changes.len() && changes[last + 1].a.0 - changes[last].a.1 <= self.context * 2 {
                last += 1;
            }
            self.hunk(&a, &b, &changes[index..=last]).await?;
            index = last + 1;
        }
        Ok(1)
    }

    async fn hunk(&self, a: &[&[u8]], b: &[&[u8]], changes: &[Change]) -> Result<()> {
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(()) };
        let before = self.context.min(first.a.0);
        let after = self.context.min(a.len() - last.a.1);
        let (a_from, a_to) = (first.a.0 - before, last.a.1 + after);
        let (b_from, b_to) = (first.b.0 - before, last.b.1 + after);
        let range = |from: usize, to: usize| match to - from {
            1 => format!("{}", from + 1),
            0 => format!("{from},0"),
            count => format!("{},{count}", from + 1),
        };
        let stdout = &self.cx.stdout;
        stdout.write(format!("@@ -{} +{} @@\n", range(a_from, a_to), range(b_from, b_to))).await?;
        let mut at = a_from;
        let print = async |mark: &str, line: &[u8]| -> Result<()> {
            stdout.write([mark.as_bytes(), line].concat()).await?;
            if line.last() != Some(&b'\n') {
                stdout.write("\n\\ No newline at end of file\n").await?;
            }
            Ok(())
        };
        for change in changes {
            for line in &a[at..change.a.0] {
                print(" ", line).await?;
            }
            for line in &a[change.a.0..change.a.1] {
                print("-", line).await?;
            }
            for line in &b[change.b.0..change.b.1] {
                print("+", line).await?;
            }
            at = change.a.1;
        }
        for line in &a[at..a_to] {
            print(" ", line).await?;
        }
        Ok(())
    }

    /// What of a line is compared.
    fn key(&self, line: &[u8]) -> Vec<u8> {
        let mut key = line.to_vec();
        if self.options.has('w') {
            key.retain(|byte| !byte.is_ascii_whitespace());
        } else if self.options.has('b') {
            let words: Vec<&[u8]> = key.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
            let begins = key.first().is_some_and(|first| matches!(first, b' ' | b'\t'));
            key = [if begins { b" ".as_slice() } else { b"" }, &words.join(&b' ')].concat();
        }
        if self.options.has('i') {
            key.make_ascii_lowercase();
        }
        key
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n').collect()
}

/// Lines `a` became lines `b`.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    a: (usize, usize),
    b: (usize, usize),
}

/// The shortest edit, by Myers' algorithm, within a bound on how different the texts are.
async fn changes(a: &[Vec<u8>], b: &[Vec<u8>]) -> Vec<Change> {
    /// Edits beyond this are not looked for one by one.
    const FARTHEST: usize = 4000;
    let prefix = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let suffix = a[prefix..].iter().rev().zip(b[prefix..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (x, y) = (&a[prefix..a.len() - suffix], &b[prefix..b.len() - suffix]);
    let (n, m) = (x.len() as isize, y.len() as isize);
    let most = ((n + m) as usize).min(FARTHEST) as isize;
    let mut furthest: std::collections::BTreeMap<isize, isize> = [(1, 0)].into();
    let mut trace = Vec::new();
    let mut found = false;
    'search: for depth in 0..=most {
        if depth % 64 == 63 {
            crate::rt::pause().await;
        }
        let snapshot: Vec<isize> = (-depth..=depth).map(|k| furthest.get(&k).copied().unwrap_or(0)).collect();
        trace.push(snapshot);
        let mut k = -depth;
        while k <= depth {
            let get = |k: isize| furthest.get(&k).copied().unwrap_or(-1);
            let mut at = if k == -depth || k != depth && get(k - 1) < get(k + 1) { get(k + 1) } else { get(k - 1) + 1 };
            while at < n && at - k < m && at - k >= 0 && x[at as usize] == y[(at - k) as usize] {
                at += 1;
            }
            furthest.insert(k, at);
            if at >= n && at - k >= m {
                found = true;
                break 'search;
            }
            k += 2;
        }
    }
    if !found {
        return vec![Change { a: (prefix, prefix + x.len()), b: (prefix, prefix + y.len()) }];
    }
    let mut steps = Vec::new();
    let (mut at, mut to) = (n, m);
    for depth in (0..trace.len() as isize).rev() {
        let k = at - to;
        let row = &trace[depth as usize];
        let get = |k: isize| if k.abs() <= depth { row[(k + depth) as usize] } else { -1 };
        let down = k == -depth || k != depth && get(k - 1) < get(k + 1);
        let before_k = if down { k + 1 } else { k - 1 };
        let before = if depth == 0 { 0 } else { get(before_k) };
        let before_to = before - before_k;
        while at > before && to > before_to && at > 0 && to > 0 && (depth > 0 || at > 0) {
            if depth > 0 && (at == before + isize::from(!down)) && (to == before_to + isize::from(down)) {
                break;
            }
            at -= 1;
            to -= 1;
        }
        if depth > 0 {
            steps.push((before as usize, before_to as usize, down));
            (at, to) = (before, before_to);
        }
    }
    steps.reverse();
    let mut changes: Vec<Change> = Vec::new();
    for (at, to, down) in steps {
        let (at, to) = (at + prefix, to + prefix);
        let (a_end, b_end) = (at + usize::from(!down), to + usize::from(down));
        match changes.last_mut() {
            Some(last) if last.a.1 == at && last.b.1 == to => {
                last.a.1 = a_end;
                last.b.1 = b_end;
            }
            _ => changes.push(Change { a: (at, a_end), b: (to, b_end) }),
        }
    }
    changes
}
