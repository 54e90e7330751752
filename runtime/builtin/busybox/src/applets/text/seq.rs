//! `seq [-w] [-s SEPARATOR] [FIRST [STEP]] LAST`

use crate::context::{Context, Error, Result};

pub async fn seq(cx: &mut Context) -> Result {
    // Negative numbers are no options.
    let (mut words, mut numbers) = (Vec::new(), Vec::new());
    let mut rest = cx.args.iter().skip(1);
    while let Some(word) = rest.next() {
        if word.starts_with('-') && word[1..].starts_with(|first: char| first.is_ascii_digit() || first == '.') || !word.starts_with('-') {
            numbers.push(word.clone());
            numbers.extend(rest.by_ref().cloned());
        } else {
            words.push(word.clone());
            if word == "-s" {
                words.extend(rest.next().cloned());
            }
        }
    }
    let options = crate::options::Options::parse(&words, "ws:", &[("equal-width", 'w'), ("separator", 's')])?;
    let separator = options.value('s').unwrap_or("\n");
    let parse = |text: &String| text.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(|| Error::new(format!("invalid number '{text}'")));
    let (first, step, last) = match numbers.as_slice() {
        [last] => ("1".to_string(), "1".to_string(), last.clone()),
        [first, last] => (first.clone(), "1".into(), last.clone()),
        [first, step, last] => (first.clone(), step.clone(), last.clone()),
        _ => return Err(Error::usage("usage: seq [-w] [-s SEP] [FIRST [INC]] LAST")),
    };
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let precision = decimals(&first).max(decimals(&step));
    let (begin, by, end) = (parse(&first)?, parse(&step)?, parse(&last)?);
    if by == 0.0 {
        return Err(Error::new(format!("invalid number '{step}'")));
    }
    let show = |value: f64| format!("{value:.precision$}");
    let width = if options.has('w') { show(begin).len().max(show(begin + ((end - begin) / by).floor().max(0.0) * by).len()) } else { 0 };
    let mut index = 0.0;
    loop {
        let value = begin + index * by;
        // A step of 0.1 does not hit the end exactly.
        let slack = by.abs() * 1e-9;
        if by > 0.0 && value > end + slack || by < 0.0 && value < end - slack {
            break;
        }
        let text = show(value);
        let padded = match text.strip_prefix('-') {
            Some(digits) => format!("-{digits:0>width$}", width = width.saturating_sub(1)),
            None => format!("{text:0>width$}"),
        };
        cx.stdout.write(if index > 0.0 { format!("{separator}{padded}") } else { padded }).await?;
        index += 1.0;
    }
    if index > 0.0 {
        cx.stdout.write("\n").await?;
    }
    Ok(0)
}
