//! `date [-uR] [-d TIME] [-r FILE] [-I[SPEC]] [-D FORMAT] [+FORMAT]`, `uptime`.

use crate::calendar::{self, Moment, Zone};
use crate::context::{Context, Error, Result};
use crate::disk;

pub async fn date(cx: &mut Context) -> Result {
    // `-I` takes its value only when it is attached.
    let mut arguments = cx.args[1..].to_vec();
    let mut precision = None;
    arguments.retain(|argument| {
        let rest = argument.strip_prefix("-I").or_else(|| argument.strip_prefix("--iso-8601").map(|rest| rest.trim_start_matches('=')));
        precision = rest.map(String::from).or(precision.take());
        rest.is_none()
    });
    let options = crate::options::Options::parse(
        &arguments,
        "ud:r:s:D:R",
        &[("utc", 'u'), ("universal", 'u'), ("date", 'd'), ("reference", 'r'), ("rfc-2822", 'R'), ("rfc-email", 'R'), ("set", 's')],
    )?;
    let zone = if options.has('u') { Zone::utc() } else { Zone::of(cx) };
    let (mut seconds, mut nanoseconds) = calendar::now();
    if let Some(text) = options.value('d') {
        seconds = relative(text, seconds).or_else(|| calendar::parse(text, &zone)).ok_or_else(|| Error::new(format!("invalid date '{text}'")))?;
        nanoseconds = 0;
    }
    if let Some(file) = options.value('r') {
        (seconds, nanoseconds) = disk::stat(&cx.path(file), true).map_err(|error| Error::about(file, &error))?.modified;
    }
    if options.has('s') || options.operands.first().is_some_and(|operand| !operand.starts_with('+')) {
        return Err(Error::new("can't set date: Operation not permitted"));
    }
    let moment = Moment::new(seconds, nanoseconds, &zone);
    let format = match (options.operands.first().and_then(|operand| operand.strip_prefix('+')), precision.as_deref()) {
        (Some(format), _) => format,
        (None, Some("" | "date")) => "%Y-%m-%d",
        (None, Some("hours")) => "%Y-%m-%dT%H%z",
        (None, Some("minutes")) => "%Y-%m-%dT%H:%M%z",
        (None, Some("ns")) => "%Y-%m-%dT%H:%M:%S,%N%z",
        (None, Some(_)) => "%Y-%m-%dT%H:%M:%S%z",
        (None, None) if options.has('R') => "%a, %d %b %Y %H:%M:%S %z",
        (None, None) => "%a %b %e %H:%M:%S %Z %Y",
    };
    let mut text = moment.format(format);
    if precision.is_some() && text.contains('T') {
        // `+0900` becomes `+09:00`.
        text.insert(text.len() - 2, ':');
    }
    cx.stdout.write(text + "\n").await?;
    Ok(0)
}

/// `now`, `yesterday`, `1 hour ago`, `+2 days`.
fn relative(text: &str, now: i64) -> Option<i64> {
    match text.trim() {
        "now" | "today" => return Some(now),
        "yesterday" => return Some(now - 86_400),
        "tomorrow" => return Some(now + 86_400),
        _ => {}
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let (amount, unit, ago) = match words.as_slice() {
        [amount, unit] => (amount, unit, false),
        [amount, unit, "ago"] => (amount, unit, true),
        _ => return None,
    };
    let amount: i64 = amount.trim_start_matches('+').parse().ok()?;
    let unit = match unit.trim_end_matches('s') {
        "second" | "sec" => 1,
        "minute" | "min" => 60,
        "hour" => 3600,
        "day" => 86_400,
        "week" => 7 * 86_400,
        _ => return None,
    };
    Some(now + amount * unit * if ago { -1 } else { 1 })
}

/// `uptime`: since this component was started.
pub async fn uptime(cx: &mut Context) -> Result {
    let seconds = wasip2::clocks::monotonic_clock::now() / 1_000_000_000;
    let now = Moment::new(calendar::now().0, 0, &Zone::of(cx));
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let since = match (days, hours) {
        (0, 0) => format!("{minutes} min"),
        (0, _) => format!("{hours:2}:{minutes:02}"),
        (1, _) => format!("1 day, {hours:2}:{minutes:02}"),
        _ => format!("{days} days, {hours:2}:{minutes:02}"),
    };
    cx.stdout.write(format!(" {} up {since},  load average: 0.00, 0.00, 0.00\n", now.format("%H:%M:%S"))).await?;
    Ok(0)
}
