//! Room on disks: `du`, `df`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::ls::human;
use crate::context::{Context, Result};
use crate::disk::{self, Kind, Stat};
use crate::io::reason;

/// Bytes on disk.
fn used(stat: &Stat) -> u64 {
    if stat.kind == Kind::Link { 0 } else { stat.size.div_ceil(4096) * 4096 }
}

/// `du [-aschmkbxLH] [-d DEPTH] [FILE]…`
pub async fn du(cx: &mut Context) -> Result {
    let options = cx.options("aschmkbxlLHd:", &[("all", 'a'), ("summarize", 's'), ("total", 'c'), ("human-readable", 'h'), ("max-depth", 'd')])?;
    let depth_limit = if options.has('s') { 0 } else { options.value('d').and_then(|text| text.parse().ok()).unwrap_or(usize::MAX) };
    let show = |bytes: u64| match () {
        () if options.has('h') => human(bytes),
        () if options.has('b') => bytes.to_string(),
        () if options.has('m') => bytes.div_ceil(1 << 20).to_string(),
        () => bytes.div_ceil(1024).to_string(),
    };
    let operands = if options.operands.is_empty() { vec![".".to_string()] } else { options.operands.clone() };
    let (mut code, mut total) = (0, 0);
    let mut seen = BTreeSet::new();
    for operand in &operands {
        // Folders stay until what is in them is known.
        let mut pending = vec![(operand.clone(), 0usize, false)];
        let mut sums: BTreeMap<usize, u64> = BTreeMap::new();
        while let Some((path, depth, visited)) = pending.pop() {
            if visited {
                let sum = sums.remove(&(depth + 1)).unwrap_or(0) + 4096;
                *sums.entry(depth).or_default() += sum;
                if depth <= depth_limit {
                    cx.stdout.write(format!("{}\t{path}\n", show(sum))).await?;
                }
                continue;
            }
            let stat = match disk::stat(&cx.path(&path), options.has('L') || depth == 0 && options.has('H')) {
                Ok(stat) => stat,
                Err(error) => {
                    cx.warn(format!("{path}: {}", reason(&error))).await;
                    code = 1;
                    continue;
                }
            };
            if stat.kind == Kind::Folder {
                pending.push((path.clone(), depth, true));
                let entries = fs::read_dir(cx.path(&path)).into_iter().flatten().flatten();
                let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
                names.sort_by(|a, b| b.cmp(a));
                pending.extend(names.into_iter().map(|name| (format!("{}/{name}", path.trim_end_matches('/')), depth + 1, false)));
                crate::rt::pause().await;
                continue;
            }
            // A file with several names counts once.
            if stat.links > 1 && !options.has('l') && !seen.insert(stat.inode) {
                continue;
            }
            let size = if options.has('b') { stat.size } else { used(&stat) };
            *sums.entry(depth).or_default() += size;
            if depth == 0 || options.has('a') && depth <= depth_limit {
                cx.stdout.write(format!("{}\t{path}\n", show(size))).await?;
            }
        }
        total += sums.remove(&0).unwrap_or(0);
    }
    if options.has('c') {
        cx.stdout.write(format!("{}\ttotal\n", show(total))).await?;
    }
    Ok(code)
}

/// `df [-Pkmh] [FILE]…`: WASI tells nothing of the disk; what is there is a file system without numbers.
pub async fn df(cx: &mut Context) -> Result {
    let options = cx.options("PkmhTai", &[])?;
    let unit = if options.has('h') { "     Size      Used Available Use%" } else { " 1K-blocks      Used Available Use%" };
    cx.stdout.write(format!("Filesystem          {unit} Mounted on\n")).await?;
    cx.stdout.write(format!("{:<20} {:>9} {:>9} {:>9} {:>4} {}\n", "rootfs", "0", "0", "0", "0%", "/")).await?;
    let mut code = 0;
    for operand in &options.operands {
        if let Err(error) = disk::stat(&cx.path(operand), true) {
            cx.warn(format!("{operand}: {}", reason(&error))).await;
            code = 1;
        }
    }
    Ok(code)
}
