//! Dates: of the clock, in the time zone that TZ names, as `strftime` writes them.

use wasip2::clocks::wall_clock;

use crate::context::Context;

const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const DAY: i64 = 86_400;

/// Seconds since 1970, and nanoseconds.
pub fn now() -> (i64, u32) {
    let now = wall_clock::now();
    (now.seconds as i64, now.nanoseconds)
}

/// The days from 1970-01-01 to a date; months and days may lie outside of a year and a month.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year + (month - 1).div_euclid(12);
    let month = (month - 1).rem_euclid(12) + 1;
    // Years begin in March here, so that a leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
fn date(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month as u32, day as u32)
}

/// A time zone as POSIX's TZ writes it: `KST-9`, `CET-1CEST,M3.5.0,M10.5.0/3`.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    /// Seconds east of Greenwich.
    offset: i64,
    summer: Option<Summer>,
}

#[derive(Clone, Debug)]
struct Summer {
    name: String,
    offset: i64,
    from: Rule,
    to: Rule,
}

/// The nth weekday of a month, and the second of that day.
#[derive(Clone, Debug)]
struct Rule {
    month: i64,
    week: i64,
    weekday: i64,
    second: i64,
}

impl Zone {
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), offset: 0, summer: None }
    }

    /// What TZ says.
    pub fn of(cx: &Context) -> Zone {
        cx.env.get("TZ").and_then(|text| Zone::parse(text)).unwrap_or_else(Zone::utc)
    }

    fn parse(text: &str) -> Option<Zone> {
        let mut rest = text;
        let name = zone_name(&mut rest)?;
        let offset = -clock(&mut rest)?;
        if rest.is_empty() {
            return Some(Zone { name, offset, summer: None });
        }
        let summer_name = zone_name(&mut rest)?;
        let summer_offset = if rest.starts_with([',']) || rest.is_empty() { offset + 3600 } else { -clock(&mut rest)? };
        let mut rules = rest.trim_start_matches(',').split(',');
        let from = rules.next().filter(|rule| !rule.is_empty()).map_or(Some(Rule { month: 3, week: 2, weekday: 0, second: 7200 }), rule)?;
        let to = rules.next().map_or(Some(Rule { month: 11, week: 1, weekday: 0, second: 7200 }), rule)?;
        Some(Zone { name, offset, summer: Some(Summer { name: summer_name, offset: summer_offset, from, to }) })
    }

    /// The offset and the name at a time.
    fn at(&self, seconds: i64) -> (i64, &str) {
        if let Some(summer) = &self.summer {
            let year = date((seconds + self.offset).div_euclid(DAY)).0;
            let from = summer.from.of(year) - self.offset;
            let to = summer.to.of(year) - summer.offset;
            let inside = if from < to { (from..to).contains(&seconds) } else { !(to..from).contains(&seconds) };
            if inside {
                return (summer.offset, &summer.name);
            }
        }
        (self.offset, &self.name)
    }

    /// The time at which the zone's clocks show this.
    pub fn to_utc(&self, local: i64) -> i64 {
        let guess = local - self.offset;
        local - self.at(local - self.at(guess).0).0
    }
}

impl Rule {
    /// In seconds of the zone's own clock.
    fn of(&self, year: i64) -> i64 {
        let first = days(year, self.month, 1);
        let weekday = (first + 4).rem_euclid(7);
        let mut day = first + (self.weekday - weekday).rem_euclid(7) + (self.week - 1) * 7;
        while day >= days(year, self.month + 1, 1) {
            day -= 7;
        }
        day * DAY + self.second
    }
}

fn zone_name(rest: &mut &str) -> Option<String> {
    let (name, behind) = match rest.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => rest.split_at(rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len())),
    };
    *rest = behind;
    (name.len() >= 3).then(|| name.to_string())
}

/// `-9`, `5:30`
fn clock(rest: &mut &str) -> Option<i64> {
    let end = rest.find(|character: char| !character.is_ascii_digit() && !matches!(character, '+' | '-' | ':')).unwrap_or(rest.len());
    let (text, behind) = rest.split_at(end);
    *rest = behind;
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut parts = text.trim_start_matches(['+', '-']).split(':').map(|part| part.parse::<i64>().ok());
    let hours = parts.next()??;
    let minutes = parts.next().flatten().unwrap_or(0);
    let seconds = parts.next().flatten().unwrap_or(0);
    Some(sign * (hours * 3600 + minutes * 60 + seconds))
}

fn rule(text: &str) -> Option<Rule> {
    let (place, time) = text.split_once('/').unwrap_or((text, "2"));
    let mut numbers = place.strip_prefix('M')?.split('.').map(|part| part.parse::<i64>().ok());
    let mut time = time;
    Some(Rule { month: numbers.next()??, week: numbers.next()??, weekday: numbers.next()??, second: clock(&mut time)? })
}

/// A time as calendars and clocks of a zone show it.
pub struct Moment {
    pub year: i64,
    pub month: u32,
    pub day: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
    weekday: u32,
    day_of_year: u32,
    seconds: i64,
    nanoseconds: u32,
    offset: i64,
    zone: String,
}

impl Moment {
    pub fn new(seconds: i64, nanoseconds: u32, zone: &Zone) -> Moment {
        let (offset, name) = zone.at(seconds);
        let local = seconds + offset;
        let day_number = local.div_euclid(DAY);
        let (year, month, day) = date(day_number);
        let of_day = local.rem_euclid(DAY) as u32;
        Moment {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            weekday: (day_number + 4).rem_euclid(7) as u32,
            day_of_year: (day_number - days(year, 1, 1)) as u32,
            seconds,
            nanoseconds,
            offset,
            zone: name.into(),
        }
    }

    /// As `strftime` writes it.
    pub fn format(&self, format: &str) -> String {
        let mut out = String::new();
        let mut rest = format.chars();
        while let Some(character) = rest.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let mut letter = rest.next();
            let flag = letter.filter(|letter| matches!(letter, '-' | '_' | '0' | '^' | 'E' | 'O'));
            if flag.is_some() {
                letter = rest.next();
            }
            let Some(letter) = letter else {
                out.push('%');
                break;
            };
            let text = self.one(letter);
            match flag {
                Some('-') => out += text.trim_start_matches(['0', ' ']).to_string().get(..).filter(|text| !text.is_empty()).unwrap_or("0"),
                Some('_') => {
                    let digits = text.trim_start_matches('0');
                    out += &format!("{digits:>width$}", width = text.len());
                }
                Some('^') => out += &text.to_uppercase(),
                _ => out += &text,
            }
        }
        out
    }

    fn one(&self, letter: char) -> String {
        let (month, weekday) = (MONTHS[self.month as usize - 1], WEEKDAYS[self.weekday as usize]);
        let hour12 = (self.hour + 11) % 12 + 1;
        match letter {
            'Y' => self.year.to_string(),
            'C' => format!("{:02}", self.year.div_euclid(100)),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => format!("{:02}", self.month),
            'd' => format!("{:02}", self.day),
            'e' => format!("{:2}", self.day),
            'H' => format!("{:02}", self.hour),
            'k' => format!("{:2}", self.hour),
            'I' => format!("{hour12:02}"),
            'l' => format!("{hour12:2}"),
            'M' => format!("{:02}", self.minute),
            'S' => format!("{:02}", self.second),
            'N' => format!("{:09}", self.nanoseconds),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.into(),
            'P' => if self.hour < 12 { "am" } else { "pm" }.into(),
            'a' => weekday[..3].into(),
            'A' => weekday.into(),
            'b' | 'h' => month[..3].into(),
            'B' => month.into(),
            'j' => format!("{:03}", self.day_of_year + 1),
            'u' => (if self.weekday == 0 { 7 } else { self.weekday }).to_string(),
            'w' => self.weekday.to_string(),
            'U' => format!("{:02}", (self.day_of_year + 7 - self.weekday) / 7),
            'W' => format!("{:02}", (self.day_of_year + 7 - (self.weekday + 6) % 7) / 7),
            'V' => format!("{:02}", self.iso_week().1),
            'G' => self.iso_week().0.to_string(),
            'g' => format!("{:02}", self.iso_week().0.rem_euclid(100)),
            's' => self.seconds.to_string(),
            'z' => {
                let minutes = self.offset.abs() / 60;
                format!("{}{:02}{:02}", if self.offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
            }
            'Z' => self.zone.clone(),
            'n' => "\n".into(),
            't' => "\t".into(),
            '%' => "%".into(),
            'c' => self.format("%a %b %e %H:%M:%S %Y"),
            'D' | 'x' => self.format("%m/%d/%y"),
            'F' => self.format("%Y-%m-%d"),
            'R' => self.format("%H:%M"),
            'T' | 'X' => self.format("%H:%M:%S"),
            'r' => self.format("%I:%M:%S %p"),
            other => format!("%{other}"),
        }
    }

    /// The year and the week of ISO 8601.
    fn iso_week(&self) -> (i64, i64) {
        let day = days(self.year, i64::from(self.month), i64::from(self.day));
        let thursday = day - i64::from((self.weekday + 6) % 7) + 3;
        let year = date(thursday).0;
        (year, (thursday - days(year, 1, 1)) / 7 + 1)
    }
}

/// A date as people write it for `date -d` and `touch -d`: `@SECONDS`, `YYYY-MM-DD[ hh:mm[:ss]]`, `hh:mm[:ss]`,
/// `YYYYMMDDhhmm[.ss]` and the other forms of busybox. Nanoseconds are given up.
pub fn parse(text: &str, zone: &Zone) -> Option<i64> {
    let text = text.trim();
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.split('.').next()?.parse().ok();
    }
    let (text, zone) = match text.strip_suffix('Z').or_else(|| text.strip_suffix(" UTC")) {
        Some(rest) => (rest, &Zone::utc()),
        None => (text, zone),
    };
    let today = Moment::new(now().0, 0, zone);
    let number = |part: &str| part.parse::<i64>().ok();
    let (mut year, mut month, mut day) = (today.year, i64::from(today.month), i64::from(today.day));
    let (date_part, time_part) = match text.split_once(['T', ' ']) {
        Some((date_part, time_part)) => (Some(date_part), Some(time_part.trim())),
        None if text.contains('-') => (Some(text), None),
        None if text.contains(':') => (None, Some(text)),
        None => {
            // [[CC]YY]MMDDhhmm[.ss]
            let (digits, seconds) = text.split_once('.').map_or((text, 0), |(digits, seconds)| (digits, number(seconds).unwrap_or(0)));
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let (years, rest) = digits.split_at(digits.len().checked_sub(8)?);
            year = match years.len() {
                0 => year,
                2 => number(years)? + if number(years)? < 69 { 2000 } else { 1900 },
                4 => number(years)?,
                _ => return None,
            };
            let part = |at: usize| number(&rest[at..at + 2]);
            let seconds_of_day = part(4)? * 3600 + part(6)? * 60 + seconds;
            return Some(zone.to_utc(days(year, part(0)?, part(2)?) * DAY + seconds_of_day));
        }
    };
    if let Some(date_part) = date_part {
        let mut parts = date_part.split(['-', '.', '/']).map(number);
        (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    }
    let mut of_day = 0;
    if let Some(time_part) = time_part {
        let mut parts = time_part.split(':').map(|part| number(part.split('.').next().unwrap_or(part)));
        of_day = parts.next()?? * 3600 + parts.next()?? * 60 + parts.next().unwrap_or(Some(0))?;
    }
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || of_day >= DAY + 1 {
        return None;
    }
    Some(zone.to_utc(days(year, month, day) * DAY + of_day))
}
