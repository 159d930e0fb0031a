use std::time::Duration;

use wire::Time;

use super::{ClockEstimate, SourceClock};

fn at(ms: u64) -> Time {
    Time::from_millis(ms)
}

#[test]
fn a_symmetric_round_trip_gives_the_exact_offset() {
    // The peercaster's clock runs 5000 ms ahead; 40 ms there and back.
    let mut clock = SourceClock::default();
    clock.observe(
        at(1040),
        at(1000),
        at(6020),
        ClockEstimate {
            offset_us: 0,
            error_us: 0,
        },
    );
    assert_eq!(
        clock.estimate(at(1040)),
        Some(ClockEstimate {
            offset_us: 5_000_000,
            error_us: 20_000
        })
    );
}

#[test]
fn bounds_add_up_and_the_smallest_wins() {
    let mut clock = SourceClock::default();
    clock.observe(
        at(1100),
        at(1000),
        at(1050),
        ClockEstimate {
            offset_us: 7,
            error_us: 10_000,
        },
    );
    assert_eq!(
        clock.estimate(at(1100)),
        Some(ClockEstimate {
            offset_us: 7,
            error_us: 60_000
        })
    );
    // A worse one changes nothing, a better one replaces.
    clock.observe(
        at(1400),
        at(1200),
        at(1300),
        ClockEstimate {
            offset_us: 99,
            error_us: 0,
        },
    );
    assert_eq!(clock.estimate(at(1100)).map(|e| e.offset_us), Some(7));
    clock.observe(
        at(1510),
        at(1500),
        at(1505),
        ClockEstimate {
            offset_us: 8,
            error_us: 1_000,
        },
    );
    assert_eq!(
        clock.estimate(at(1510)),
        Some(ClockEstimate {
            offset_us: 8,
            error_us: 6_000
        })
    );
}

#[test]
fn an_asymmetric_path_stays_within_its_bound() {
    for there in [0, 10, 50, 99] {
        let mut clock = SourceClock::default();
        let back = 100 - there;
        let remote = at(1000 + there + 3000);
        clock.observe(
            at(1000 + there + back),
            at(1000),
            remote,
            ClockEstimate {
                offset_us: 0,
                error_us: 0,
            },
        );
        let estimate = clock.estimate(at(1100)).expect("observed");
        assert!((estimate.offset_us - 3_000_000).unsigned_abs() <= u64::from(estimate.error_us));
    }
}

#[test]
fn the_bound_grows_with_age_until_a_fresh_reading_wins() {
    let mut clock = SourceClock::default();
    clock.observe(
        at(20),
        at(0),
        at(10),
        ClockEstimate {
            offset_us: 0,
            error_us: 0,
        },
    );
    let later = at(20) + Duration::from_secs(600);
    assert_eq!(clock.estimate(later).map(|e| e.error_us), Some(10_000 + 60_000));
    clock.observe(
        later,
        later - Duration::from_millis(100),
        later,
        ClockEstimate {
            offset_us: 0,
            error_us: 0,
        },
    );
    assert_eq!(clock.estimate(later).map(|e| e.error_us), Some(50_000));
}
