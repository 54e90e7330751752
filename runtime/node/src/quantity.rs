//! Amounts of `resources`, as whole numbers: thousandths for CPU, bytes for memory.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The value in thousandths, rounded up; `None` for what is not a quantity.
pub fn millis(q: &Quantity) -> Option<i128> {
    let text = q.0.trim();
    let split = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    // A suffix is a power of two, a power of ten, or a decimal exponent.
    let (mul, div): (i128, i128) = match suffix {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            match exponent {
                -18..=-1 => (1000, 10i128.pow(exponent.unsigned_abs())),
                0..=18 => (1000 * 10i128.pow(exponent.unsigned_abs()), 1),
                _ => return None,
            }
        }
    };
    let (negative, number) = match number.strip_prefix('-') {
        Some(n) => (true, n),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || whole.len() + fraction.len() > 18 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let div = div * 10i128.pow(u32::try_from(fraction.len()).ok()?);
    let value = digits.checked_mul(mul)?;
    let value = value / div + i128::from(value % div != 0);
    Some(if negative { -value } else { value })
}

/// The value in units (bytes, cores), rounded up.
pub fn units(q: &Quantity) -> Option<i128> {
    let m = millis(q)?;
    Some(m.div_euclid(1000) + i128::from(m.rem_euclid(1000) != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, want) in [
            ("1", Some(1000)),
            ("100m", Some(100)),
            ("0.5", Some(500)),
            (".5", Some(500)),
            ("1.5Gi", Some(1_610_612_736_000)),
            ("64Mi", Some(67_108_864_000)),
            ("1e3", Some(1_000_000)),
            ("100n", Some(1)),
            ("12E", Some(12_000_000_000_000_000_000_000)),
            ("x", None),
            ("", None),
            ("1Zi", None),
        ] {
            assert_eq!(millis(&Quantity(text.into())), want, "{text}");
        }
        assert_eq!(units(&Quantity("1500m".into())), Some(2));
    }
}
