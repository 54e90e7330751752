//! Whether a text is a schedule of cron, in the words of the parser that Kubernetes uses.

/// Why the text is no schedule.
pub(crate) fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("empty spec string".to_owned());
    }
    if let Some(descriptor) = text.strip_prefix('@') {
        return match descriptor {
            "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly" => Ok(()),
            other if other.strip_prefix("every ").is_some_and(is_duration) => Ok(()),
            other if other.starts_with("every ") => Err(format!("failed to parse duration {text}")),
            _ => Err(format!("unrecognized descriptor: {text}")),
        };
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    fields.iter().zip(FIELDS).try_for_each(|(text, field)| text.split(',').filter(|part| !part.is_empty()).try_for_each(|part| field.check(part)))
}

fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        if digits == 0 || !matches!(&rest[digits..unit], "ns" | "us" | "µs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = &rest[unit..];
    }
    !text.is_empty()
}

struct Field {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { low: 0, high: 59, names: &[] },
    Field { low: 0, high: 23, names: &[] },
    Field { low: 1, high: 31, names: &[] },
    Field { low: 1, high: 12, names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] },
    Field { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

impl Field {
    /// One of `*`, `3`, `1-5`, each perhaps with `/step`.
    fn check(&self, text: &str) -> Result<(), String> {
        let mut parts = text.split('/');
        let range = parts.next().unwrap_or_default();
        let step = parts.next();
        if parts.next().is_some() {
            return Err(format!("too many slashes: {text}"));
        }
        let mut ends = range.split('-');
        let first = ends.next().unwrap_or_default();
        let (start, end) = if matches!(first, "*" | "?") {
            (self.low, self.high)
        } else {
            let start = self.number(first)?;
            match ends.next() {
                Some(end) => (start, self.number(end)?),
                None if step.is_some() => (start, self.high),
                None => (start, start),
            }
        };
        if ends.next().is_some() {
            return Err(format!("too many hyphens: {text}"));
        }
        let step = step.map_or(Ok(1), integer)?;
        if start < self.low {
            Err(format!("beginning of range ({start}) below minimum ({}): {text}", self.low))
        } else if end > self.high {
            Err(format!("end of range ({end}) above maximum ({}): {text}", self.high))
        } else if start > end {
            Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"))
        } else if step == 0 {
            Err(format!("step of range should be a positive number: {text}"))
        } else {
            Ok(())
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let name = text.to_lowercase();
        match self.names.iter().position(|n| *n == name) {
            Some(i) => Ok(self.low + u32::try_from(i).unwrap_or(0)),
            None => integer(text),
        }
    }
}

fn integer(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!("failed to parse int from {text}: strconv.Atoi: parsing \"{text}\": invalid syntax")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn schedules_are_read_as_cron_does() {
        for good in ["* * * * *", "*/5 0-6 1,15 jan-mar SUN", "@daily", "@every 1h30m", "0 0 ? * 1-5/2"] {
            assert_eq!(super::check(good), Ok(()), "{good}");
        }
        let table = [
            ("every day", "expected exactly 5 fields, found 2: [every day]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("@never", "unrecognized descriptor: @never"),
        ];
        for (bad, why) in table {
            assert_eq!(super::check(bad), Err(why.to_owned()));
        }
    }
}
