//! Schedules of CronJobs, read and reckoned as the parser that Kubernetes uses (robfig/cron's standard form) does.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At the minutes that five fields, or a descriptor such as `@daily`, allow.
    Fields(Fields),
    /// `@every DURATION`, whole seconds.
    Every(Duration),
}

/// The five fields, each a set of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    minutes: Set,
    hours: Set,
    days_of_month: Set,
    months: Set,
    days_of_week: Set,
}

/// A schedule that is due in none of so many years is never due.
const YEARS: i16 = 5;

impl Schedule {
    /// Reads a schedule, or says why the text is none.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        if let Some(descriptor) = text.strip_prefix('@') {
            return described(descriptor, text);
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days_of_month, months, days_of_week] = fields[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
        };
        Ok(Schedule::Fields(Fields {
            minutes: MINUTE.parse(minutes)?,
            hours: HOUR.parse(hours)?,
            days_of_month: DAY_OF_MONTH.parse(days_of_month)?,
            months: MONTH.parse(months)?,
            days_of_week: DAY_OF_WEEK.parse(days_of_week)?,
        }))
    }

    /// The first time after `after`, if there is one within five years. An hour that the clock leaves out in spring has
    /// no minutes, one that it has twice in autumn has them twice.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Schedule::Every(interval) => second(after.as_second()).checked_add(*interval).ok(),
            Schedule::Fields(fields) => fields.next(after, zone),
        }
    }
}

fn described(descriptor: &str, text: &str) -> Result<Schedule, String> {
    if let Some(interval) = descriptor.strip_prefix("every ") {
        let interval = duration(interval).ok_or_else(|| format!("failed to parse duration {text}"))?;
        return Ok(Schedule::Every(Duration::from_secs(interval.as_secs().max(1))));
    }
    Schedule::parse(match descriptor {
        "yearly" | "annually" => "0 0 1 1 *",
        "monthly" => "0 0 1 * *",
        "weekly" => "0 0 * * 0",
        "daily" | "midnight" => "0 0 * * *",
        "hourly" => "0 * * * *",
        _ => return Err(format!("unrecognized descriptor: {text}")),
    })
}

/// A duration as Go writes it, such as `1h30m` or `1.5s`; one that is negative is as good as none.
fn duration(text: &str) -> Option<Duration> {
    let (negative, mut rest) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|n| *n > 0)?;
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.').map_or(rest.len(), |n| digits + n);
        let of = match &rest[digits..unit] {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += rest[..digits].parse::<f64>().ok()? * of;
        rest = &rest[unit..];
    }
    // What Go can count in nanoseconds.
    let longest = 9_223_372_036.0;
    (seconds <= longest).then(|| if negative { Duration::ZERO } else { Duration::from_secs_f64(seconds) })
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let last_year = after.to_zoned(zone.clone()).year().saturating_add(YEARS);
        let mut at = second(after.as_second().div_euclid(60) * 60 + 60);
        loop {
            let local = at.to_zoned(zone.clone());
            if local.year() > last_year {
                return None;
            }
            at = if !self.months.has(local.month()) {
                local.date().last_of_month().tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp()
            } else if !self.day(&local) {
                local.date().tomorrow().ok()?.to_zoned(zone.clone()).ok()?.timestamp()
            } else if !self.hours.has(local.hour()) {
                second(at.as_second() + 60 * (60 - i64::from(local.minute())))
            } else if !self.minutes.has(local.minute()) {
                second(at.as_second() + 60)
            } else {
                return Some(at);
            };
        }
    }

    /// Where both fields of days say something, one of them is enough.
    fn day(&self, local: &Zoned) -> bool {
        let by_month = self.days_of_month.has(local.day());
        let by_week = self.days_of_week.has(local.weekday().to_sunday_zero_offset());
        if self.days_of_month.any || self.days_of_week.any { by_month && by_week } else { by_month || by_week }
    }
}

/// A time in whole seconds; times that cannot be are the last one that can.
fn second(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// The numbers that a field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Set {
    bits: u64,
    /// `*` stood in the field.
    any: bool,
}

impl Set {
    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|n| self.bits >> n & 1 == 1)
    }
}

struct Field {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = Field { low: 0, high: 59, names: &[] };
const HOUR: Field = Field { low: 0, high: 23, names: &[] };
const DAY_OF_MONTH: Field = Field { low: 1, high: 31, names: &[] };
const MONTH: Field = Field { low: 1, high: 12, names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"] };
const DAY_OF_WEEK: Field = Field { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    /// A list of parts.
    fn parse(&self, text: &str) -> Result<Set, String> {
        let mut all = Set { bits: 0, any: false };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let set = self.part(part)?;
            all = Set { bits: all.bits | set.bits, any: all.any | set.any };
        }
        Ok(all)
    }

    /// One of `*`, `3`, `1-5`, each perhaps with `/step`.
    fn part(&self, text: &str) -> Result<Set, String> {
        let mut parts = text.split('/');
        let range = parts.next().unwrap_or_default();
        let step = parts.next();
        if parts.next().is_some() {
            return Err(format!("too many slashes: {text}"));
        }
        let mut ends = range.split('-');
        let first = ends.next().unwrap_or_default();
        let every = matches!(first, "*" | "?");
        let (start, end) = if every {
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
            let bits = (start..=end).filter(|n| (n - start).is_multiple_of(step)).fold(0, |bits, n| bits | 1 << n);
            Ok(Set { bits, any: every && step == 1 })
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
    use super::*;

    #[test]
    fn schedules_are_read_as_cron_does() {
        for good in ["* * * * *", "*/5 0-6 1,15 jan-mar SUN", "@daily", "@every 1h30m", "@every 1.5s", "@every 0", "@every -1h", "0 0 ? * 1-5/2"] {
            assert!(Schedule::parse(good).is_ok(), "{good}");
        }
        let table = [
            ("every day", "expected exactly 5 fields, found 2: [every day]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every day", "failed to parse duration @every day"),
            ("@every ", "failed to parse duration @every "),
            ("@every 1", "failed to parse duration @every 1"),
        ];
        for (bad, why) in table {
            assert_eq!(Schedule::parse(bad), Err(why.to_owned()), "{bad}");
        }
    }

    /// The next times of a schedule, written in its zone.
    fn next(schedule: &str, zone: &str, after: &str, times: usize) -> String {
        let (schedule, zone) = (Schedule::parse(schedule).unwrap(), TimeZone::get(zone).unwrap());
        let mut at: Timestamp = after.parse().unwrap();
        let mut all = Vec::new();
        for _ in 0..times {
            match schedule.next(at, &zone) {
                Some(next) => at = next,
                None => return "never".to_owned(),
            }
            all.push(at.to_zoned(zone.clone()).strftime("%a %F %H:%M:%S%:z").to_string());
        }
        all.join(", ")
    }

    #[test]
    fn the_next_time() {
        let table = [
            ("* * * * *", "Thu 2026-01-01 12:00:00+00:00, Thu 2026-01-01 12:01:00+00:00"),
            ("*/15 * * * *", "Thu 2026-01-01 12:00:00+00:00, Thu 2026-01-01 12:15:00+00:00"),
            ("5/20 * * * *", "Thu 2026-01-01 12:05:00+00:00, Thu 2026-01-01 12:25:00+00:00"),
            ("0 9-17/2 * * *", "Thu 2026-01-01 13:00:00+00:00, Thu 2026-01-01 15:00:00+00:00"),
            ("0 23 * * 0,6", "Sat 2026-01-03 23:00:00+00:00, Sun 2026-01-04 23:00:00+00:00"),
            // One field of days is enough, where both say something.
            ("0 0 13 * FRI", "Fri 2026-01-02 00:00:00+00:00, Fri 2026-01-09 00:00:00+00:00"),
            ("0 0 5,13 * FRI", "Fri 2026-01-02 00:00:00+00:00, Mon 2026-01-05 00:00:00+00:00"),
            // A star, but not one with a step, says nothing.
            ("0 0 */2 * MON", "Sat 2026-01-03 00:00:00+00:00, Mon 2026-01-05 00:00:00+00:00"),
            ("0 0 1-15 * *", "Fri 2026-01-02 00:00:00+00:00, Sat 2026-01-03 00:00:00+00:00"),
            ("0 0 29 feb ?", "Tue 2028-02-29 00:00:00+00:00, Sun 2032-02-29 00:00:00+00:00"),
            ("0 0 31 4,6 *", "never"),
            ("@yearly", "Fri 2027-01-01 00:00:00+00:00, Sat 2028-01-01 00:00:00+00:00"),
            ("@monthly", "Sun 2026-02-01 00:00:00+00:00, Sun 2026-03-01 00:00:00+00:00"),
            ("@weekly", "Sun 2026-01-04 00:00:00+00:00, Sun 2026-01-11 00:00:00+00:00"),
            ("@midnight", "Fri 2026-01-02 00:00:00+00:00, Sat 2026-01-03 00:00:00+00:00"),
            ("@hourly", "Thu 2026-01-01 12:00:00+00:00, Thu 2026-01-01 13:00:00+00:00"),
            ("@every 1h30m", "Thu 2026-01-01 13:29:07+00:00, Thu 2026-01-01 14:59:07+00:00"),
            ("@every 10ms", "Thu 2026-01-01 11:59:08+00:00, Thu 2026-01-01 11:59:09+00:00"),
        ];
        for (schedule, times) in table {
            assert_eq!(next(schedule, "UTC", "2026-01-01T11:59:07.5Z", 2), times, "{schedule}");
        }
    }

    #[test]
    fn zones_and_their_clock_changes() {
        assert_eq!(next("0 9 * * *", "Asia/Seoul", "2026-01-01T00:00:00Z", 1), "Fri 2026-01-02 09:00:00+09:00");
        assert_eq!(next("15,45 * * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", 2), "Thu 2026-01-01 05:45:00+05:30, Thu 2026-01-01 06:15:00+05:30");
        // The hour that is left out has no minutes, the one that comes twice has them twice.
        assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 1), "Mon 2026-03-30 02:30:00+02:00");
        assert_eq!(
            next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
            "Sun 2026-10-25 02:30:00+02:00, Sun 2026-10-25 02:30:00+01:00, Mon 2026-10-26 02:30:00+01:00"
        );
        // A day that begins at one o'clock.
        assert_eq!(next("0 1 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 1), "Sun 2026-09-06 01:00:00-03:00");
        assert_eq!(next("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 1), "Mon 2026-09-07 00:00:00-03:00");
    }
}
