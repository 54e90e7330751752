//! `resource.Quantity`: its values, and the canonical form that Kubernetes writes back.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// The family of suffixes that a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `Ki`, `Mi`, …
    Binary,
    /// `m`, `k`, `M`, …
    Decimal,
    /// `e3`
    Exponent,
}

/// A fixed-point number with at most nine decimal places, as Kubernetes reads it.
/// Equality and order are of the value; how it was written does not matter.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// In units of 10⁻⁹.
    nanos: i128,
    format: Format,
}

/// Greater values are capped: 2⁶³ − 1.
const MAX: i128 = i64::MAX as i128;
const NANO: i128 = 1_000_000_000;

impl Quantity {
    /// The value in units of 10⁻⁹.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// The value, rounded up: Kubernetes' `Value()`.
    pub fn value(&self) -> i64 {
        clamp(div_up(self.nanos, NANO))
    }

    /// Thousandths, rounded up: Kubernetes' `MilliValue()`.
    pub fn milli_value(&self) -> i64 {
        clamp(div_up(self.nanos, NANO / 1000))
    }

    /// The quantity without anything below thousandths, rounded up: what Kubernetes keeps of a `ResourceList`.
    #[must_use]
    pub fn round_up_to_milli(self) -> Quantity {
        Quantity { nanos: div_up(self.nanos, NANO / 1000).saturating_mul(NANO / 1000), format: self.format }
    }

    /// Whether the value is an integer.
    pub fn is_integer(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// −1, 0 or 1.
    pub fn sign(&self) -> i32 {
        self.nanos.signum() as i32
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The canonical form of a quantity's text. `None`: it is canonical already.
pub fn canonical(text: &str) -> Result<Option<String>, QuantityError> {
    // What most quantities look like: digits without a leading zero that no larger suffix can shorten.
    let bytes = text.as_bytes();
    if !bytes.is_empty() && bytes.len() <= 3 && bytes[0] != b'0' && bytes.iter().all(u8::is_ascii_digit) {
        return Ok(None);
    }
    let canonical = text.parse::<Quantity>()?.to_string();
    Ok((canonical != text).then_some(canonical))
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Format);
        }
        let (base, exponent, format) = parse_suffix(suffix)?;
        let magnitude = magnitude(whole, fraction, base, exponent);
        // A binary suffix on a number below 1024 that is no integer is written in decimal.
        let format = if format == Format::Binary && magnitude < 1024 * NANO && magnitude != 0 { Format::Decimal } else { format };
        Ok(Quantity { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

/// (base, exponent, format) of a suffix.
fn parse_suffix(suffix: &str) -> Result<(i128, i32, Format), QuantityError> {
    let decimal = |exponent| Ok((10, exponent, Format::Decimal));
    let binary = |exponent| Ok((2, exponent, Format::Binary));
    match suffix {
        "" => decimal(0),
        "n" => decimal(-9),
        "u" => decimal(-6),
        "m" => decimal(-3),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(10),
        "Mi" => binary(20),
        "Gi" => binary(30),
        "Ti" => binary(40),
        "Pi" => binary(50),
        "Ei" => binary(60),
        _ => {
            let digits = suffix.strip_prefix(['e', 'E']).ok_or_else(|| bad_suffix(suffix))?;
            let exponent: i64 = digits.parse().map_err(|_| bad_suffix(suffix))?;
            Ok((10, exponent.clamp(-100, 100) as i32, Format::Exponent))
        }
    }
}

fn bad_suffix(suffix: &str) -> QuantityError {
    let allowed = |c: char| "eEinumkKMGTP+-".contains(c) || c.is_ascii_digit();
    if suffix.chars().all(allowed) { QuantityError::Suffix } else { QuantityError::Format }
}

/// The number in units of 10⁻⁹, rounded up below them. Numbers of many digits are capped at 2⁶³ − 1.
fn magnitude(whole: &str, fraction: &str, base: i128, exponent: i32) -> i128 {
    const KEPT: i128 = i128::MAX / 100;
    let places = i32::try_from(whole.len() + fraction.len()).unwrap_or(i32::MAX);
    let few = if base == 2 { fraction.is_empty() && 14 - exponent * 3 / 10 >= places } else { places <= 18 };
    let (mut mantissa, mut rounded, mut dropped) = (0_i128, false, 0_i32);
    for digit in whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0')) {
        if mantissa > KEPT / 10 {
            // More digits than any value keeps.
            rounded |= digit != 0;
            dropped = dropped.saturating_add(1);
        } else {
            mantissa = mantissa * 10 + digit;
        }
    }
    if mantissa == 0 {
        return 0;
    }
    // The value is mantissa × 10^scale nanos.
    let mut scale = 9_i32.saturating_add(dropped).saturating_sub(i32::try_from(fraction.len()).unwrap_or(i32::MAX));
    let mut factor = 1;
    if base == 2 {
        factor = 1_i128 << exponent;
    } else {
        scale = scale.saturating_add(exponent);
    }
    while scale < 0 && mantissa > 0 && (factor == 1 || mantissa.checked_mul(factor).is_none()) {
        rounded |= mantissa % 10 != 0;
        mantissa /= 10;
        scale += 1;
    }
    let Some(mut nanos) = mantissa.checked_mul(factor) else { return MAX * NANO };
    while scale < 0 && nanos > 0 {
        rounded |= nanos % 10 != 0;
        nanos /= 10;
        scale += 1;
    }
    while scale > 0 {
        match nanos.checked_mul(10) {
            Some(product) => nanos = product,
            None => return MAX * NANO,
        }
        scale -= 1;
    }
    let nanos = nanos.saturating_add(i128::from(rounded));
    if few { nanos } else { nanos.min(MAX * NANO) }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.nanos < 0 {
            f.write_str("-")?;
        }
        let nanos = self.nanos.unsigned_abs();
        let nano = NANO.unsigned_abs();
        if self.format == Format::Binary && nanos.is_multiple_of(nano) {
            let (mut number, mut power) = (nanos / nano, 0);
            while number % 1024 == 0 && power < 6 {
                number /= 1024;
                power += 1;
            }
            return write!(f, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][power]);
        }
        let (mut number, mut exponent) = (nanos, -9_i32);
        while number % 1000 == 0 && exponent < 18 {
            number /= 1000;
            exponent += 3;
        }
        if self.format == Format::Exponent {
            return if exponent == 0 { write!(f, "{number}") } else { write!(f, "{number}e{exponent}") };
        }
        let suffix = match exponent {
            -9 => "n",
            -6 => "u",
            -3 => "m",
            0 => "",
            3 => "k",
            6 => "M",
            9 => "G",
            12 => "T",
            15 => "P",
            _ => "E",
        };
        write!(f, "{number}{suffix}")
    }
}

fn div_up(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    // Away from zero, as Kubernetes rounds.
    if a % b == 0 { quotient } else { quotient + a.signum() }
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn canonical_forms() {
        let table = [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("100u", "100u"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1.5Gi", "1536Mi"),
            ("0", "0"),
            ("-1", "-1"),
            ("+1", "1"),
            ("0.0", "0"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("0.5Ki", "512"),
            (".5", "500m"),
            ("5.", "5"),
            ("0.1n", "1n"),
            ("1e-3", "1e-3"),
            ("100Ei", "9223372036854775807"),
            ("12e1", "120"),
            ("007", "7"),
            ("0.0001", "100u"),
            ("1500m", "1500m"),
            ("1000k", "1M"),
            ("10000P", "10E"),
            ("0.00000000000000000000000000000000000001Gi", "1n"),
            ("1.00000000000000000000000000000000000000Gi", "1Gi"),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Quantity>().map(|q| q.to_string()).as_deref(), Ok(expected), "{text}");
            assert_eq!(canonical(text).unwrap(), (text != expected).then(|| expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in ["", "lots", "1 ", "1.2.3", "-", "1Zi", ".", "é", "1ié"] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError::Format), "{text}");
        }
        for text in ["1mm", "1iK", "1e", "1K"] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError::Suffix), "{text}");
        }
    }

    #[test]
    fn values_round_up() {
        let q = |text: &str| text.parse::<Quantity>().unwrap();
        assert_eq!((q("1500m").value(), q("1500m").milli_value(), q("1u").milli_value()), (2, 1500, 1));
        assert_eq!((q("1Gi").value(), q("-1500m").value(), q("100Ei").value()), (1 << 30, -2, i64::MAX));
        assert_eq!((q("100u").round_up_to_milli().to_string(), q("1e3").round_up_to_milli().to_string()), ("1m".to_owned(), "1e3".to_owned()));
        assert!(q("2").is_integer() && !q("0.5").is_integer());
    }

    proptest! {
        #[test]
        fn canonical_forms_are_canonical(text in r"[+-]?[0-9]{0,30}\.?[0-9]{0,12}(|n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|e-?[0-9]{1,4})") {
            if let Ok(quantity) = text.parse::<Quantity>() {
                let canonical = quantity.to_string();
                let again: Quantity = canonical.parse().unwrap();
                // Above 2⁶³ it depends on the number of digits whether a value is capped.
                if quantity.nanos().abs() <= MAX * NANO {
                    prop_assert_eq!(again.nanos(), quantity.nanos());
                    prop_assert_eq!(again.to_string(), canonical);
                }
            }
        }

        #[test]
        fn never_panics(text in any::<String>()) {
            let _ = canonical(&text);
        }
    }
}
