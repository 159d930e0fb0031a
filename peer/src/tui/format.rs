//! Numbers and foreign text as they stand on the screen.

use std::time::Duration;

/// What a stranger wrote, made harmless: no control characters, no marks that change the direction of what follows,
/// nothing invisible, and at most `max` characters.
pub(super) fn clean(text: &str, max: usize) -> String {
    let visible = |c: &char| {
        !c.is_control()
            && !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().filter(visible).take(max).collect()
}

/// A rate in five to eight characters: `3.50 M`, `812 k`.
pub(super) fn rate(bps: f64) -> String {
    match bps {
        b if b < 1.0 => "–".into(),
        b if b < 1e6 => format!("{:.0} kbit/s", b / 1e3),
        b if b < 1e9 => format!("{:.2} Mbit/s", b / 1e6),
        b => format!("{:.2} Gbit/s", b / 1e9),
    }
}

/// A number of bytes: `12.3 MB`.
pub(crate) fn bytes(count: u64) -> String {
    match count as f64 {
        b if b < 1e3 => format!("{b:.0} B"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.2} GB", b / 1e9),
    }
}

/// Milliseconds: `118 ms`, `2.50 s`.
pub(super) fn ms(value: f64) -> String {
    if value == 0.0 {
        "0 ms".into()
    } else if value.abs() < 10.0 {
        format!("{value:.1} ms")
    } else if value.abs() < 9_999.5 {
        format!("{value:.0} ms")
    } else {
        format!("{:.1} s", value / 1e3)
    }
}

/// The same where it may be unknown.
pub(super) fn maybe_ms(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), ms)
}

/// A share as a percentage that does not round a loss away: `100 %`, `99.98 %`.
pub(super) fn percent(share: f64) -> String {
    if share >= 1.0 {
        "100 %".into()
    } else {
        format!("{:.2} %", (share * 1e4).floor() / 1e2)
    }
}

/// `12:34` or `1:02:03`.
pub(super) fn clock(elapsed: Duration) -> String {
    let s = elapsed.as_secs();
    match s / 3600 {
        0 => format!("{:02}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

/// Numbers with their runs: `0-3,7`.
pub(super) fn runs(numbers: impl IntoIterator<Item = u8>) -> String {
    let mut runs: Vec<(u8, u8)> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let parts: Vec<String> = runs
        .iter()
        .map(|(from, to)| {
            if from == to {
                from.to_string()
            } else {
                format!("{from}-{to}")
            }
        })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_harmless() {
        assert_eq!(clean("a\x1b[31m\u{202e}b\nc\u{200b}", 10), "a[31mbc");
        assert_eq!(clean("ÄÖÜ", 2), "ÄÖ");
    }

    #[test]
    fn numbers_are_short_and_true() {
        assert_eq!(rate(0.0), "–");
        assert_eq!(rate(812_000.0), "812 kbit/s");
        assert_eq!(rate(3_500_000.0), "3.50 Mbit/s");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(12_300_000), "12.3 MB");
        assert_eq!(ms(0.0), "0 ms");
        assert_eq!(ms(1.25), "1.2 ms");
        assert_eq!(ms(118.4), "118 ms");
        assert_eq!(ms(12_500.0), "12.5 s");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.99999), "99.99 %");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(clock(Duration::from_secs(75)), "01:15");
        assert_eq!(runs([0, 1, 2, 7, 9, 10]), "0-2,7,9-10");
        assert_eq!(runs([]), "");
    }
}
