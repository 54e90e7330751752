//! Who and where: `id`, `whoami`, `groups`, `hostname`, `uname`, `arch`, `nproc`, `printenv`, `logname`, `hostid`.

use std::fs;

use crate::context::{Context, Error, Result};

/// A line of `/etc/passwd` or `/etc/group`: its name and number.
fn entry(cx: &Context, file: &str, wanted: impl Fn(&str, u32) -> bool) -> Option<(String, u32, Vec<String>)> {
    let text = fs::read_to_string(cx.path(file)).ok()?;
    text.lines().find_map(|line| {
        let parts: Vec<String> = line.split(':').map(String::from).collect();
        let number = parts.get(2)?.parse().ok()?;
        wanted(&parts[0], number).then(|| (parts[0].clone(), number, parts))
    })
}

fn name(cx: &Context, file: &str, number: u32) -> Option<String> {
    entry(cx, file, |_, known| known == number).map(|(name, ..)| name)
}

/// `id [-ugGnr] [USER]`: WASI knows no users, so the container's is root.
pub async fn id(cx: &mut Context) -> Result {
    let options = cx.options("ugGnr", &[("user", 'u'), ("group", 'g'), ("groups", 'G'), ("name", 'n'), ("real", 'r')])?;
    let (user, group) = match options.operands.first() {
        None => (0, 0),
        Some(wanted) => {
            let (_, number, parts) = entry(cx, "/etc/passwd", |name, _| name == wanted).ok_or_else(|| Error::new(format!("unknown user {wanted}")))?;
            (number, parts.get(3).and_then(|group| group.parse().ok()).unwrap_or(0))
        }
    };
    let user_name = name(cx, "/etc/passwd", user).or((user == 0).then(|| "root".into()));
    let group_name = name(cx, "/etc/group", group).or((group == 0).then(|| "root".into()));
    let shown = |number: u32, name: &Option<String>| if options.has('n') { name.clone().unwrap_or_else(|| number.to_string()) } else { number.to_string() };
    let text = if options.has('u') {
        shown(user, &user_name)
    } else if options.has('g') || options.has('G') {
        shown(group, &group_name)
    } else {
        let full = |number: u32, name: &Option<String>| name.as_ref().map_or(number.to_string(), |name| format!("{number}({name})"));
        let (user, group) = (full(user, &user_name), full(group, &group_name));
        if options.operands.is_empty() { format!("uid={user} gid={group} groups={group}") } else { format!("uid={user} gid={group} groups={group}") }
    };
    cx.stdout.write(text + "\n").await?;
    Ok(0)
}

/// `whoami`, `logname`
pub async fn whoami(cx: &mut Context) -> Result {
    let name = name(cx, "/etc/passwd", 0).unwrap_or_else(|| "root".into());
    cx.stdout.write(name + "\n").await?;
    Ok(0)
}

/// `groups`
pub async fn groups(cx: &mut Context) -> Result {
    let name = name(cx, "/etc/group", 0).unwrap_or_else(|| "root".into());
    cx.stdout.write(name + "\n").await?;
    Ok(0)
}

/// The host's name: of `/etc/hostname`, or HOSTNAME.
pub fn host(cx: &Context) -> String {
    let file = fs::read_to_string("/etc/hostname").ok().map(|text| text.trim().to_string()).filter(|name| !name.is_empty());
    file.or_else(|| cx.env.get("HOSTNAME").cloned()).unwrap_or_else(|| "localhost".into())
}

/// `hostname [-sfid]`
pub async fn hostname(cx: &mut Context) -> Result {
    let options = cx.options("sfidF:", &[])?;
    if !options.operands.is_empty() || options.has('F') {
        return Err(Error::new("sethostname: Operation not permitted"));
    }
    let name = host(cx);
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let line = hosts.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|words| words.iter().skip(1).any(|word| *word == name));
    let full = line.as_ref().and_then(|words| words.get(1)).map_or(name.clone(), |full| full.to_string());
    let text = if options.has('i') {
        line.as_ref().and_then(|words| words.first()).map_or("127.0.0.1".to_string(), |address| address.to_string())
    } else if options.has('f') {
        full
    } else if options.has('d') {
        full.split_once('.').map_or(String::new(), |(_, domain)| domain.to_string())
    } else if options.has('s') {
        name.split('.').next().unwrap_or_default().to_string()
    } else {
        name
    };
    cx.stdout.write(text + "\n").await?;
    Ok(0)
}

/// `uname [-amnrspvio]`, `arch`
pub async fn uname(cx: &mut Context) -> Result {
    let options = cx.options(
        "asnrvmpio",
        &[("all", 'a'), ("kernel-name", 's'), ("nodename", 'n'), ("kernel-release", 'r'), ("kernel-version", 'v'), ("machine", 'm'), ("operating-system", 'o')],
    )?;
    if cx.name() == "arch" {
        cx.stdout.write("wasm32\n").await?;
        return Ok(0);
    }
    let parts = [
        ('s', "WASI".to_string()),
        ('n', host(cx)),
        ('r', "0.2".into()),
        ('v', concat!("wharf-busybox-", env!("CARGO_PKG_VERSION")).into()),
        ('m', "wasm32".into()),
        ('o', "Wharf".into()),
    ];
    let any = options.all().next().is_some();
    let chosen: Vec<String> =
        parts.into_iter().filter(|(letter, _)| options.has('a') || options.has(*letter) || !any && *letter == 's').map(|(_, text)| text).collect();
    cx.stdout.write(chosen.join(" ") + "\n").await?;
    Ok(0)
}

/// `nproc`: a component has one thread.
pub async fn nproc(cx: &mut Context) -> Result {
    cx.stdout.write("1\n").await?;
    Ok(0)
}

/// `printenv [NAME]…`
pub async fn printenv(cx: &mut Context) -> Result {
    let operands = cx.options("", &[])?.operands;
    if operands.is_empty() {
        for (name, value) in &cx.env {
            cx.stdout.write(format!("{name}={value}\n")).await?;
        }
        return Ok(0);
    }
    let mut code = 0;
    for name in &operands {
        match cx.env.get(name) {
            Some(value) => cx.stdout.write(format!("{value}\n")).await?,
            None => code = 1,
        }
    }
    Ok(code)
}
