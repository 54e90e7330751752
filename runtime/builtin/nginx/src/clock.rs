//! Dates as HTTP and logs write them, always UTC.

/// Year, month (1 to 12), day, hour, minute, second, weekday (0 is Sunday).
fn civil(seconds: u64) -> (u64, u64, u64, u64, u64, u64, u64) {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days from 0000-03-01, in eras of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day, rest / 3600, rest / 60 % 60, rest % 60, (days + 4) % 7)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// `Tue, 24 Nov 2026 16:20:00 GMT`
pub fn http(seconds: u64) -> String {
    let (year, month, day, hour, minute, second, weekday) = civil(seconds);
    format!("{}, {day:02} {} {year} {hour:02}:{minute:02}:{second:02} GMT", DAYS[weekday as usize], MONTHS[month as usize - 1])
}

/// `24/Nov/2026:16:20:00 +0000`
pub fn access(seconds: u64) -> String {
    let (year, month, day, hour, minute, second, _) = civil(seconds);
    format!("{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month as usize - 1])
}

/// `2026/11/24 16:20:00`
pub fn notice(seconds: u64) -> String {
    let (year, month, day, hour, minute, second, _) = civil(seconds);
    format!("{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// A number that is another one for the next request: whose turn it is among several.
pub fn turn() -> usize {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.subsec_micros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(http(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http(1_709_210_096), "Thu, 29 Feb 2024 12:34:56 GMT");
        assert_eq!(access(1_795_537_200), "24/Nov/2026:16:20:00 +0000");
        assert_eq!(notice(1_795_537_200), "2026/11/24 16:20:00");
    }
}
