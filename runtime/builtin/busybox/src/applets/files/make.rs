//! What makes files: `mkdir`, `touch`, `ln`, `mktemp`, `truncate`, `install`; and `chmod`, `chown`, `chgrp`, `sync`, which have nothing to change.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;

use crate::calendar::{self, Zone};
use crate::context::{Context, Error, Result};
use crate::disk::{self, Kind};
use crate::io::reason;

/// `mkdir [-p] [-m MODE] FOLDER…`
pub async fn mkdir(cx: &mut Context) -> Result {
    let options = cx.options("pm:v", &[("parents", 'p'), ("mode", 'm'), ("verbose", 'v')])?;
    if options.operands.is_empty() {
        return Err(Error::usage("usage: mkdir [-m MODE] [-p] DIRECTORY..."));
    }
    let mut code = 0;
    for operand in &options.operands {
        let path = cx.path(operand);
        let made = if options.has('p') { fs::create_dir_all(&path) } else { fs::create_dir(&path) };
        if let Err(error) = made {
            cx.warn(format!("can't create directory '{operand}': {}", reason(&error))).await;
            code = 1;
        } else if options.has('v') {
            cx.stdout.write(format!("created directory: '{operand}'\n")).await?;
        }
    }
    Ok(code)
}

/// `touch [-cham] [-d DATE] [-t DATE] [-r FILE] FILE…`
pub async fn touch(cx: &mut Context) -> Result {
    let options = cx.options("chamfd:t:r:", &[("no-create", 'c'), ("no-dereference", 'h'), ("reference", 'r'), ("date", 'd')])?;
    if options.operands.is_empty() {
        return Err(Error::usage("usage: touch [-cham] [-d DATE] [-t DATE] [-r FILE] FILE..."));
    }
    let (mut accessed, mut modified) = (calendar::now(), calendar::now());
    if let Some(file) = options.value('r') {
        let stat = disk::stat(&cx.path(file), true).map_err(|error| Error::about(file, &error))?;
        (accessed, modified) = (stat.accessed, stat.modified);
    }
    if let Some(text) = options.value('d').or(options.value('t')) {
        let seconds = calendar::parse(text, &Zone::of(cx)).ok_or_else(|| Error::new(format!("invalid date '{text}'")))?;
        (accessed, modified) = ((seconds, 0), (seconds, 0));
    }
    let both = options.has('a') == options.has('m');
    let mut code = 0;
    for operand in &options.operands {
        let path = cx.path(operand);
        let follow = !options.has('h');
        let mut result = disk::stat(&path, follow).map(drop);
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            if options.has('c') || options.has('h') {
                continue;
            }
            result = OpenOptions::new().create(true).append(true).open(&path).map(drop);
        }
        let accessed = Some(accessed).filter(|_| both || options.has('a'));
        let modified = Some(modified).filter(|_| both || options.has('m'));
        if let Err(error) = result.and_then(|()| disk::set_times(&path, follow, accessed, modified)) {
            cx.warn(format!("{operand}: {}", reason(&error))).await;
            code = 1;
        }
    }
    Ok(code)
}

/// `ln [-sfnbv] TARGET… LINK|FOLDER`
pub async fn ln(cx: &mut Context) -> Result {
    let options = cx.options("sfnbvTrt:", &[("symbolic", 's'), ("force", 'f'), ("no-dereference", 'n'), ("verbose", 'v')])?;
    let mut targets = options.operands.clone();
    let place = match (options.value('t'), targets.len()) {
        (Some(folder), 1..) => folder.to_string(),
        (None, 1) => ".".into(),
        (None, 2..) => targets.pop().unwrap_or_default(),
        _ => return Err(Error::usage("usage: ln [-sfnbtv] [-S SUF] TARGET... LINK|DIR")),
    };
    let folder = match disk::stat(&cx.path(&place), !options.has('n')) {
        Ok(stat) => stat.kind == Kind::Folder && !options.has('T'),
        Err(_) => false,
    };
    if targets.len() > 1 && !folder {
        return Err(Error::new(format!("'{place}': not a directory")));
    }
    let mut code = 0;
    for target in &targets {
        let link = if folder { format!("{}/{}", place.trim_end_matches('/'), crate::applets::name_of(target.trim_end_matches('/'))) } else { place.clone() };
        let path = cx.path(&link);
        if options.has('f') {
            let _ = fs::remove_file(&path);
        }
        let made = if options.has('s') { disk::symlink(target, &path) } else { fs::hard_link(cx.path(target), &path) };
        if let Err(error) = made {
            let about = if error.kind() == ErrorKind::NotFound && !options.has('s') && disk::stat(&cx.path(target), false).is_err() { target } else { &link };
            cx.warn(format!("{about}: {}", reason(&error))).await;
            code = 1;
        } else if options.has('v') {
            cx.stdout.write(format!("'{link}' -> '{target}'\n")).await?;
        }
    }
    Ok(code)
}

/// `mktemp [-dqtu] [-p FOLDER] [TEMPLATE]`
pub async fn mktemp(cx: &mut Context) -> Result {
    let options = cx.options("dqtup:", &[("directory", 'd'), ("quiet", 'q'), ("dry-run", 'u'), ("tmpdir", 'p')])?;
    let temporary = || cx.env.get("TMPDIR").cloned().unwrap_or_else(|| "/tmp".into());
    let template = options.operands.first().cloned();
    let folder = options.value('p').map(String::from).or_else(|| (options.has('t') || template.is_none()).then(temporary));
    let template = template.unwrap_or_else(|| "tmp.XXXXXX".into());
    let places = template.len() - template.trim_end_matches('X').len();
    if places < 6 {
        return Err(Error::new(format!("{template}: Invalid argument")));
    }
    let stem = &template[..template.len() - places];
    for _ in 0..100 {
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let random = wasip2::random::random::get_random_bytes(places as u64);
        let suffix: String = random.iter().map(|byte| char::from(letters[usize::from(*byte) % letters.len()])).collect();
        let name = format!("{}{stem}{suffix}", folder.as_deref().map_or(String::new(), |folder| format!("{}/", folder.trim_end_matches('/'))));
        let path = cx.path(&name);
        let made = match () {
            () if options.has('u') => Ok(()),
            () if options.has('d') => fs::create_dir(&path),
            () => OpenOptions::new().write(true).create_new(true).open(&path).map(drop),
        };
        match made {
            Ok(()) => {
                cx.stdout.write(name + "\n").await?;
                return Ok(0);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(_) if options.has('q') => return Ok(1),
            Err(error) => return Err(Error::about(name, &error)),
        }
    }
    Err(Error::new(format!("{template}: File exists")))
}

/// `truncate [-c] -s SIZE FILE…`
pub async fn truncate(cx: &mut Context) -> Result {
    let options = cx.options("cs:", &[("no-create", 'c'), ("size", 's')])?;
    let Some(text) = options.value('s').filter(|_| !options.operands.is_empty()) else { return Err(Error::usage("usage: truncate [-c] -s SIZE FILE...")) };
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => (0, text),
    };
    let size = crate::applets::text::ends::size(digits)?;
    let mut code = 0;
    for operand in &options.operands {
        let opened = OpenOptions::new().write(true).create(!options.has('c')).truncate(false).open(cx.path(operand));
        let done = opened.and_then(|file| {
            let now = file.metadata()?.len();
            file.set_len(match sign {
                1 => now.saturating_add(size),
                -1 => now.saturating_sub(size),
                _ => size,
            })
        });
        match done {
            Err(error) if !(options.has('c') && error.kind() == ErrorKind::NotFound) => {
                cx.warn(format!("{operand}: {}", reason(&error))).await;
                code = 1;
            }
            _ => {}
        }
    }
    Ok(code)
}

/// `chmod [-R] MODE FILE…` and their like: there are no modes and owners to change, but the files have to be there.
pub async fn chmod(cx: &mut Context) -> Result {
    // `chmod -x file`: a mode may look like an option.
    let words: Vec<&String> =
        cx.args[1..].iter().filter(|word| !(word.starts_with('-') && word[1..].chars().all(|letter| "RvcfhHLP".contains(letter)))).collect();
    let [_, files @ ..] = words.as_slice() else { return Err(Error::usage(format!("usage: {} [-R] MODE|OWNER FILE...", cx.name()))) };
    if files.is_empty() {
        return Err(Error::usage(format!("usage: {} [-R] MODE|OWNER FILE...", cx.name())));
    }
    let mut code = 0;
    for file in files {
        if let Err(error) = disk::stat(&cx.path(file), false) {
            cx.warn(format!("{file}: {}", reason(&error))).await;
            code = 1;
        }
    }
    Ok(code)
}

/// `sync`: what is written is written.
pub async fn sync(_: &mut Context) -> Result {
    Ok(0)
}

/// `install [-dDv] [-m MODE] [-t FOLDER] SOURCE… TARGET`
pub async fn install(cx: &mut Context) -> Result {
    let options = cx.options("dDcpsvm:o:g:t:", &[("directory", 'd'), ("mode", 'm'), ("owner", 'o'), ("group", 'g')])?;
    let mut operands = options.operands.clone();
    if options.has('d') {
        for folder in &operands {
            fs::create_dir_all(cx.path(folder)).map_err(|error| Error::about(format!("can't create directory '{folder}'"), &error))?;
        }
        return Ok(0);
    }
    if let Some(folder) = options.value('t') {
        operands.push(folder.into());
    }
    let Some(target) = operands.last().filter(|_| operands.len() > 1) else { return Err(Error::usage("usage: install [-cdDsp] [-m MODE] SOURCE... DEST")) };
    let parent = if options.has('t') { Some(target.as_str()) } else { target.rsplit_once('/').map(|(parent, _)| parent) };
    if let Some(parent) = parent.filter(|parent| options.has('D') && !parent.is_empty()) {
        fs::create_dir_all(cx.path(parent)).map_err(|error| Error::about(parent, &error))?;
    }
    let words = ["cp".to_string(), "-f".into()].into_iter().chain(operands);
    Ok(cx.child(words).run().await)
}
