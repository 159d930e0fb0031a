use std::time::Duration;

use wire::Time;

use super::{Allowance, Meter, Used};

const ALLOWANCE: Allowance = Allowance {
    every: Duration::from_millis(50),
    at_once: 4,
};

fn taken(used: &mut Used, at_ms: u64) -> usize {
    (0..100)
        .filter(|_| used.take(Time::from_millis(at_ms), ALLOWANCE))
        .count()
}

#[test]
fn so_many_at_once_and_then_one_in_each_period() {
    let mut used = Used::default();
    assert_eq!(taken(&mut used, 1_000), 4);
    assert_eq!(taken(&mut used, 1_000), 0);
    assert_eq!(taken(&mut used, 1_049), 0);
    assert_eq!(taken(&mut used, 1_050), 1);
    assert_eq!(taken(&mut used, 1_150), 2);
}

#[test]
fn a_pause_allows_no_more_than_what_may_be_done_at_once() {
    let mut used = Used::default();
    assert_eq!(taken(&mut used, 0), 4);
    assert_eq!(taken(&mut used, 60_000), 4);
}

#[test]
fn a_meter_without_a_limit_admits_all_and_one_that_is_limited_later_begins_then() {
    let mut meter = Meter::default();
    let now = Time::from_millis(1_000);
    assert!((0..1_000).all(|_| meter.admits(now)));
    meter.limit(Some(ALLOWANCE));
    assert_eq!((0..100).filter(|_| meter.admits(now)).count(), 4);
    meter.limit(None);
    assert!(meter.admits(now));
}
