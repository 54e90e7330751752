//! `ls [-1AaCxdLHRFplinshrSXvctu] [-w WIDTH] [FILE]…`

use std::fs;

use crate::calendar::{self, Moment, Zone};
use crate::context::{Context, Result};
use crate::disk::{self, Kind, Stat};
use crate::io::reason;
use crate::options::Options;

/// Half a year: older files show their year.
const RECENT: i64 = 15_552_000;

struct Entry {
    name: String,
    path: String,
    stat: Stat,
    link: Option<String>,
}

struct Lister<'a> {
    cx: &'a Context,
    options: Options,
    zone: Zone,
    now: i64,
    /// In columns, not one a line.
    columns: Option<usize>,
}

pub async fn ls(cx: &mut Context) -> Result {
    let long = [
        ("color", 'K'),
        ("all", 'a'),
        ("almost-all", 'A'),
        ("full-time", 'E'),
        ("human-readable", 'h'),
        ("recursive", 'R'),
        ("directory", 'd'),
        ("group-directories-first", 'G'),
        ("classify", 'F'),
    ];
    let arguments: Vec<String> = cx.args[1..].iter().filter(|argument| !argument.starts_with("--color")).cloned().collect();
    let options = Options::parse(&arguments, "1AaCxdLHRFplinshrSXvctuw:T:gokEGK", &long)?;
    let layout = options.all().filter(|(letter, _)| "1Cxlgo".contains(*letter)).last().map(|(letter, _)| letter);
    let terminal = cx.stdout.descriptor().is_terminal();
    let width = options.value('w').and_then(|text| text.parse().ok()).or_else(|| cx.env.get("COLUMNS")?.parse().ok()).unwrap_or(80);
    let columns = (matches!(layout, Some('C' | 'x')) || layout.is_none() && terminal).then_some(width);
    let lister = Lister { cx, zone: Zone::of(cx), now: calendar::now().0, columns, options };
    let operands = if lister.options.operands.is_empty() { vec![".".to_string()] } else { lister.options.operands.clone() };
    let (mut files, mut folders, mut code) = (Vec::new(), Vec::new(), 0);
    for operand in &operands {
        let follows = !lister.options.has('d') && !lister.long() || lister.options.has('L') || lister.options.has('H');
        match lister.entry(operand.clone(), operand, follows) {
            Ok(entry) if entry.stat.kind == Kind::Folder && !lister.options.has('d') => folders.push(entry),
            Ok(entry) => files.push(entry),
            Err(error) => {
                cx.warn(format!("{operand}: {}", reason(&error))).await;
                code = 1;
            }
        }
    }
    lister.sort(&mut files);
    lister.sort(&mut folders);
    let mut first = files.is_empty();
    if !files.is_empty() {
        lister.print(&files).await?;
    }
    let titled = operands.len() > 1 || lister.options.has('R');
    let mut pending: Vec<String> = folders.into_iter().rev().map(|folder| folder.path).collect();
    while let Some(folder) = pending.pop() {
        let (mut entries, failed) = match lister.folder(&folder) {
            Ok(found) => found,
            Err(error) => {
                cx.warn(format!("can't open '{folder}': {}", reason(&error))).await;
                code = 1;
                continue;
            }
        };
        if failed {
            code = 1;
        }
        if titled {
            cx.stdout.write(format!("{}{folder}:\n", if first { "" } else { "\n" })).await?;
        }
        first = false;
        lister.sort(&mut entries);
        if lister.long() || lister.options.has('s') {
            let blocks: u64 = entries.iter().map(|entry| blocks(&entry.stat)).sum();
            let total = if lister.options.has('h') { human(blocks * 1024) } else { blocks.to_string() };
            cx.stdout.write(format!("total {total}\n")).await?;
        }
        lister.print(&entries).await?;
        if lister.options.has('R') {
            let inside = entries.iter().filter(|entry| entry.stat.kind == Kind::Folder && !matches!(entry.name.as_str(), "." | ".."));
            pending.extend(inside.map(|entry| entry.path.clone()).rev());
        }
        crate::rt::pause().await;
    }
    Ok(code)
}

impl Lister<'_> {
    fn long(&self) -> bool {
        self.options.has('l') || self.options.has('g') || self.options.has('o')
    }

    fn entry(&self, name: String, path: &str, follow: bool) -> std::io::Result<Entry> {
        let full = self.cx.path(path);
        let stat = match disk::stat(&full, follow) {
            Err(_) if follow => disk::stat(&full, false)?,
            other => other?,
        };
        let link = if stat.kind == Kind::Link && self.long() { fs::read_link(&full).ok().map(|target| target.to_string_lossy().into_owned()) } else { None };
        Ok(Entry { name, path: path.into(), stat, link })
    }

    /// What is in a folder, and whether something of it could not be seen.
    fn folder(&self, folder: &str) -> std::io::Result<(Vec<Entry>, bool)> {
        let mut names: Vec<String> = Vec::new();
        let hidden = self.options.has('a') || self.options.has('A');
        if self.options.has('a') {
            names.extend([".".into(), "..".into()]);
        }
        for entry in fs::read_dir(self.cx.path(folder))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| hidden || !name.starts_with('.'));
        let mut failed = false;
        let mut entries = Vec::new();
        for name in names {
            let path = if folder.ends_with('/') { format!("{folder}{name}") } else { format!("{folder}/{name}") };
            let shown = self.entry(name.clone(), &path, self.options.has('L'));
            match shown {
                Ok(entry) => entries.push(entry),
                // The root has no folder above it.
                Err(_) if name == ".." => entries.extend(self.entry(name, folder, false)),
                Err(_) => failed = true,
            }
        }
        Ok((entries, failed))
    }

    fn sort(&self, entries: &mut [Entry]) {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let order = self.options.all().filter(|(letter, _)| "StXv".contains(*letter)).last().map(|(letter, _)| letter);
        match order {
            Some('S') => entries.sort_by_key(|entry| std::cmp::Reverse(entry.stat.size)),
            Some('t') => entries.sort_by_key(|entry| std::cmp::Reverse(self.time(&entry.stat))),
            Some('X') => entries.sort_by_key(|entry| entry.name.rsplit_once('.').map(|(_, extension)| extension.to_string()).unwrap_or_default()),
            _ => {}
        }
        if self.options.has('r') {
            entries.reverse();
        }
        if self.options.has('G') {
            entries.sort_by_key(|entry| entry.stat.kind != Kind::Folder);
        }
    }

    fn time(&self, stat: &Stat) -> (i64, u32) {
        match self.options.all().filter(|(letter, _)| "cu".contains(*letter)).last() {
            Some(('c', _)) => stat.changed,
            Some(('u', _)) => stat.accessed,
            _ => stat.modified,
        }
    }

    /// A name and the sign of its kind.
    fn shown(&self, entry: &Entry) -> String {
        let mut front = String::new();
        if self.options.has('i') {
            front += &format!("{:7} ", entry.stat.inode);
        }
        if self.options.has('s') {
            front += &format!("{:6} ", blocks(&entry.stat));
        }
        let mark = match entry.stat.kind {
            Kind::Folder if self.options.has('F') || self.options.has('p') => "/",
            Kind::Link if self.options.has('F') && !self.long() => "@",
            Kind::Pipe if self.options.has('F') => "|",
            _ => "",
        };
        format!("{front}{}{mark}", entry.name)
    }

    async fn print(&self, entries: &[Entry]) -> Result<()> {
        let stdout = &self.cx.stdout;
        if self.long() {
            for entry in entries {
                stdout.write(self.line(entry)).await?;
            }
            return Ok(());
        }
        let names: Vec<String> = entries.iter().map(|entry| self.shown(entry)).collect();
        let Some(width) = self.columns else {
            for name in names {
                stdout.write(name + "\n").await?;
            }
            return Ok(());
        };
        let cell = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
        let count = (width / cell).max(1);
        let rows = names.len().div_ceil(count);
        for row in 0..rows {
            let mut line = String::new();
            let indices: Vec<usize> =
                if self.options.has('x') { (row * count..((row + 1) * count).min(names.len())).collect() } else { (row..names.len()).step_by(rows).collect() };
            for (place, index) in indices.iter().enumerate() {
                line += &names[*index];
                if place + 1 < indices.len() {
                    line += &" ".repeat(cell - names[*index].chars().count());
                }
            }
            stdout.write(line + "\n").await?;
        }
        Ok(())
    }

    fn line(&self, entry: &Entry) -> String {
        let (seconds, nanoseconds) = self.time(&entry.stat);
        let moment = Moment::new(seconds, nanoseconds, &self.zone);
        let age = self.now - seconds;
        let date = if self.options.has('E') {
            moment.format("%Y-%m-%d %H:%M:%S %z")
        } else if (-RECENT..RECENT).contains(&age) {
            moment.format("%b %e %H:%M")
        } else {
            moment.format("%b %e  %Y")
        };
        let size = if self.options.has('h') { format!("{:>9}", human(entry.stat.size)) } else { format!("{:9}", entry.stat.size) };
        let owner = if self.options.has('n') { "0" } else { "root" };
        let mut front = String::new();
        if self.options.has('i') {
            front += &format!("{:7} ", entry.stat.inode);
        }
        if self.options.has('s') {
            front += &format!("{:6} ", blocks(&entry.stat));
        }
        let name = if self.options.has('F') && entry.stat.kind == Kind::Folder || self.options.has('p') && entry.stat.kind == Kind::Folder {
            format!("{}/", entry.name)
        } else {
            entry.name.clone()
        };
        let owner_column = if self.options.has('g') { String::new() } else { format!("{owner:<8} ") };
        let mut line = format!("{front}{} {:4} {owner_column}{owner:<8} {size} {date} {name}", entry.stat.kind.permissions(), entry.stat.links);
        if let Some(link) = &entry.link {
            line += &format!(" -> {link}");
        }
        line + "\n"
    }
}

/// Kilobytes on disk.
fn blocks(stat: &Stat) -> u64 {
    if stat.kind == Kind::Link { 0 } else { stat.size.div_ceil(4096) * 4 }
}

/// `1.5K`
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["", "K", "M", "G", "T", "P"].iter();
    let mut unit = units.next().copied().unwrap_or_default();
    while value >= 1024.0 {
        let Some(larger) = units.next() else { break };
        value /= 1024.0;
        unit = larger;
    }
    if unit.is_empty() { bytes.to_string() } else { format!("{value:.1}{unit}") }
}
