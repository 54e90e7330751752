//! The formats of texts that a schema may ask for, and that are checked.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use regex::Regex;

/// Formats of texts, without dashes.
const OF_STRINGS: [&str; 26] = [
    "bsonobjectid",
    "uri",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "cidr",
    "mac",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
    "isbn",
    "isbn10",
    "isbn13",
    "creditcard",
    "ssn",
    "hexcolor",
    "rgbcolor",
    "byte",
    "password",
    "date",
    "duration",
    "datetime",
    "k8sshortname",
    "k8slongname",
];

/// The format, if values of the type are checked for it.
pub(crate) fn supported<'a>(kind: &str, format: &'a str) -> Option<&'a str> {
    let known = match kind {
        "" | "string" => OF_STRINGS.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    };
    (known && !format.is_empty()).then_some(format)
}

macro_rules! pattern {
    ($name:ident, $pattern:expr) => {
        static $name: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());
    };
}
pattern!(UUID, "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?([0-9a-f])[0-9a-f]{3}-?([0-9a-f])[0-9a-f]{3}-?[0-9a-f]{12}$");
pattern!(SSN, r"^\d{3}[- ]?\d{2}[- ]?\d{4}$");
pattern!(HEX_COLOR, "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$");
pattern!(RGB_COLOR, r"^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$");
pattern!(HOST_NAME, r"^([a-zA-Z0-9\p{L}]([a-zA-Z0-9\p{L}-]{0,61}[a-zA-Z0-9\p{L}])?)(\.[a-zA-Z0-9\p{L}]([a-zA-Z0-9\p{L}-]{0,61}[a-zA-Z0-9\p{L}])?)*$");
pattern!(
    CARD,
    r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$"
);
pattern!(EMAIL, r#"^(?:[^@<>]*<[^@\s<>]+@[^@\s<>]+>|[^@\s<>,;:"]+@[^@\s<>,;:"]+)$"#);
pattern!(MAC, "^(?:[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){5}|(?:[0-9a-fA-F]{2}(?:[:-][0-9a-fA-F]{2}){7})|[0-9a-fA-F]{4}(?:\\.[0-9a-fA-F]{4}){2,3})$");
pattern!(
    DURATION,
    r"^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)\s*(?:ns|us|µs|μs|ms|s|m|h|d|w|nanos?|micros?|millis?|secs?|seconds?|mins?|minutes?|hours?|days?|weeks?)\s*)+)$"
);

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_none_or(|p| p.is_match(text))
}

/// Whether a text is in the format.
pub(crate) fn holds(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        "uri" => is_uri(text),
        "email" => matches(&EMAIL, text),
        "hostname" => text.len() <= 255 && matches(&HOST_NAME, text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => matches(&MAC, text),
        "uuid" => matches(&UUID, text),
        "uuid3" => is_uuid(text, '3'),
        "uuid4" => is_uuid(text, '4'),
        "uuid5" => is_uuid(text, '5'),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_card(text),
        "ssn" => matches(&SSN, text),
        "hexcolor" => matches(&HEX_COLOR, text),
        "rgbcolor" => RGB_COLOR.as_ref().and_then(|p| p.captures(text)).is_some_and(|c| (1..=3).all(|i| c[i].parse::<u16>().is_ok_and(|n| n <= 255))),
        "byte" => is_base64(text),
        "date" => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => matches(&DURATION, text),
        "datetime" => is_date_time(text),
        "k8sshortname" => crate::meta::dns_label_name(text, false).is_empty(),
        "k8slongname" => crate::meta::dns_subdomain_name(text, false).is_empty(),
        _ => true,
    }
}

fn is_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let well = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    well && !rest.is_empty()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.bytes().all(|b| b.is_ascii_digit()) && bits.parse::<u8>().is_ok_and(|b| b <= most)
}

fn is_uuid(text: &str, version: char) -> bool {
    let Some(found) = UUID.as_ref().and_then(|p| p.captures(text)) else { return false };
    found[1].starts_with(version) && (version == '3' || found[2].starts_with(['8', '9', 'a', 'b', 'A', 'B']))
}

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_digit(10).unwrap_or(if matches!(c, 'x' | 'X') { 10 } else { 99 })).collect()
}

fn is_isbn10(text: &str) -> bool {
    let digits = digits(text);
    digits.len() == 10
        && digits[..9].iter().all(|d| *d < 10)
        && digits[9] <= 10
        && digits.iter().zip((1..=10).rev()).map(|(d, w)| d * w).sum::<u32>().is_multiple_of(11)
}

fn is_isbn13(text: &str) -> bool {
    let digits = digits(text);
    digits.len() == 13
        && digits.iter().all(|d| *d < 10)
        && digits.iter().enumerate().map(|(i, d)| if i % 2 == 0 { *d } else { 3 * d }).sum::<u32>().is_multiple_of(10)
}

fn is_card(text: &str) -> bool {
    let plain: String = text.chars().filter(char::is_ascii_digit).collect();
    let sum: u32 = digits(&plain)
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| {
            if i % 2 == 0 {
                *d
            } else {
                let double = d * 2;
                double / 10 + double % 10
            }
        })
        .sum();
    matches(&CARD, &plain) && sum.is_multiple_of(10)
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    !plain.is_empty() && base64::engine::general_purpose::STANDARD.decode(plain).is_ok()
}

/// RFC 3339, with a time.
fn is_date_time(text: &str) -> bool {
    text.len() > 10 && matches!(text.as_bytes()[10], b'T' | b't' | b' ') && text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_or_not() {
        let table = [
            ("ipv4", "10.0.0.1", "10.0.0.256"),
            ("ipv6", "::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("mac", "01:02:03:04:05:ab", "01:02"),
            ("uri", "https://example.com/a?b", "no uri"),
            ("email", "a@example.com", "example.com"),
            ("hostname", "a-b.example.com", "-a.example.com"),
            ("uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae"),
            ("uuid4", "c6da8b1b-5a4c-4b0e-9a35-2a0c1ad5a1f6", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
            ("isbn", "978-0321751041", "978-0321751042"),
            ("isbn10", "0321751043", "0321751044"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("ssn", "111-11-1111", "111"),
            ("hexcolor", "#FFFFFF", "#GG"),
            ("rgbcolor", "rgb(255, 0, 1)", "rgb(256,0,1)"),
            ("byte", "aGVsbG8=", "a b"),
            ("date", "2026-01-31", "2026-02-31"),
            ("date-time", "2014-12-15T19:30:20.000Z", "2014-12-15"),
            ("duration", "22 ns", "soon"),
            ("duration", "1h30m", "1x"),
            ("k8s-short-name", "a-b", "A.b"),
        ];
        for (format, good, bad) in table {
            assert_eq!(supported("string", format), Some(format));
            assert!(holds(format, good), "{format} {good}");
            assert!(!holds(format, bad), "{format} {bad}");
        }
        assert_eq!(supported("string", "my-own"), None);
        assert_eq!(supported("integer", "int32"), Some("int32"));
    }
}
