//! Rates, shares and times as scenarios and commands write them.

use anyhow::{Context, Result, ensure};

/// Longest time in a setting: an hour, a guard against slips.
const MAX_MS: f64 = 3.6e6;

/// `20mbit`, `500kbit`, `1gbit`, plain bits a second, or `none` (0, which is no limit).
pub(crate) fn rate(text: &str) -> Result<u64> {
    let text = text.trim().to_ascii_lowercase();
    if text == "none" {
        return Ok(0);
    }
    let digits = text.strip_suffix("bit").unwrap_or(&text);
    let (number, unit) = match digits.chars().last() {
        Some('k') => (&digits[..digits.len() - 1], 1e3),
        Some('m') => (&digits[..digits.len() - 1], 1e6),
        Some('g') => (&digits[..digits.len() - 1], 1e9),
        _ => (digits, 1.0),
    };
    let value: f64 = number
        .trim()
        .parse()
        .with_context(|| format!("{text:?} is no rate, such as 20mbit"))?;
    ensure!(value >= 0.0, "{text:?}: a rate is not negative");
    Ok((value * unit) as u64)
}

/// `1%` or `0.01`.
pub(crate) fn share(text: &str) -> Result<f64> {
    let (number, of) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (text, 1.0),
    };
    let value: f64 = number
        .trim()
        .parse()
        .with_context(|| format!("{text:?} is no share, such as 1%"))?;
    let value = value / of;
    ensure!((0.0..=1.0).contains(&value), "{text:?} is not within 0 to 1");
    Ok(value)
}

/// Milliseconds, `12.5` or `12.5ms`, as nanoseconds.
pub(crate) fn ms(text: &str) -> Result<u64> {
    let value: f64 = text
        .trim()
        .trim_end_matches("ms")
        .trim()
        .parse()
        .with_context(|| format!("{text:?} is no time in milliseconds"))?;
    ensure!(
        (0.0..=MAX_MS).contains(&value),
        "{text:?} ms is not within 0 to {MAX_MS}"
    );
    Ok((value * 1e6) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood_or_refused() {
        for (text, value) in [
            ("20mbit", 20_000_000),
            ("1.5gbit", 1_500_000_000),
            ("500kbit", 500_000),
            ("9000", 9000),
            ("none", 0),
        ] {
            assert_eq!(rate(text).unwrap(), value, "{text}");
        }
        assert!(rate("fast").is_err() && rate("-1").is_err());
        assert_eq!(share("2.5%").unwrap(), 0.025);
        assert!(share("2").is_err() && share("x").is_err());
        assert_eq!(ms("1.5ms").unwrap(), 1_500_000);
        assert!(ms("-1").is_err() && ms("NaN").is_err());
    }
}
