use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, bps: u64) {
    assert_eq!(text.parse(), Ok(Bitrate::from_bps(bps)));
}

#[track_caller]
fn check_error(text: &str) {
    let error = text.parse::<Bitrate>().unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{text:?} is not a rate: write a number and a unit, such as 20mbit, 500kbit or 1gbit")
    );
}

#[test]
fn rates_that_are_read() {
    check("20mbit", 20_000_000);
    check("1.5mbit", 1_500_000);
    check("500kbit", 500_000);
    check(" 1 Gbit ", 1_000_000_000);
    check("1gbps", 1_000_000_000);
    check("9600bit", 9600);
    check("9600", 9600);
    check("0", 0);
    check(".5k", 500);
}

#[test]
fn rates_that_are_not() {
    for text in [
        "",
        "mbit",
        "-1mbit",
        "20 mb",
        "20mbit/s",
        "1.2.3k",
        ".",
        "1e3k",
        "nan",
        "inf",
        "20µbit",
        "２0k",
        "99999999gbit",
    ] {
        check_error(text);
    }
}

#[test]
fn rates_for_people() {
    let shown = |bps| Bitrate::from_bps(bps).to_string();
    assert_eq!(shown(999), "999 bit/s");
    assert_eq!(shown(64_000), "64 kbit/s");
    assert_eq!(shown(3_500_000), "3.50 Mbit/s");
    assert_eq!(shown(1_250_000_000), "1.25 Gbit/s");
}

#[test]
fn times_are_rounded_up_and_bytes_down() {
    let rate = Bitrate::from_kbps(3_000);
    assert_eq!(rate.time_for(1), Duration::from_micros(3));
    assert_eq!(rate.bytes_in(Duration::from_micros(3)), 1);
    assert_eq!(rate.bytes_in(Duration::from_micros(2)), 0);
    assert_eq!(Bitrate::ZERO.time_for(1), Duration::MAX);
    assert_eq!(rate.scaled(0.5), Bitrate::from_bps(1_500_000));
    assert_eq!(Bitrate::from_kbps(u64::MAX).as_bps(), u64::MAX);
}

proptest! {
    #[test]
    fn what_was_sent_in_its_time_fits(bps in 1..10_000_000_000u64, bytes in 0..1_000_000_000u64) {
        let rate = Bitrate::from_bps(bps);
        prop_assert!(rate.bytes_in(rate.time_for(bytes)) >= bytes);
        // Rounding up costs less than a microsecond.
        let short = rate.time_for(bytes).saturating_sub(Duration::from_micros(1));
        prop_assert!(bytes == 0 || rate.bytes_in(short) <= bytes);
    }

    #[test]
    fn no_text_is_too_much(text in any::<String>()) {
        let _ = text.parse::<Bitrate>();
    }
}
