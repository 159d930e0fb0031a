use std::time::Duration;

use wire::Time;

use super::{BIN_US, Delays};

fn filled(delays_ms: impl IntoIterator<Item = i64>) -> Delays {
    let mut delays = Delays::default();
    for ms in delays_ms {
        delays.record(Time::from_millis(1), ms * 1000);
    }
    delays
}

#[test]
fn a_quantile_is_an_upper_bound_within_one_bin() {
    let delays = filled((0..1000).map(|i| 100 + i % 100));
    for (share, ms) in [(0.5, 150), (0.9, 190), (0.99, 199)] {
        let got = delays.quantile_us(share).expect("filled");
        assert!(
            (ms * 1000 - BIN_US..=ms * 1000 + 2 * BIN_US).contains(&got),
            "{share}: {got}"
        );
    }
}

#[test]
fn offsets_of_any_size_do_not_matter() {
    for offset_ms in [-1_700_000_000_000, 0, 1_700_000_000_000] {
        let delays = filled((0..100).map(|i| offset_ms + i));
        let got = delays.quantile_us(0.9).expect("filled") - offset_ms * 1000;
        assert!((86_000..=98_000).contains(&got), "{got}");
    }
}

#[test]
fn a_spike_is_forgotten() {
    let mut delays = filled(std::iter::repeat_n(50, 1000));
    delays.record(Time::from_millis(2), 900_000);
    delays.record(Time::from_millis(2), 900_000);
    assert!(delays.quantile_us(0.999).expect("filled") > 890_000);
    for ms in (3..60_000).step_by(8) {
        delays.record(Time::ZERO + Duration::from_millis(ms), 50_000);
    }
    assert!(delays.quantile_us(0.999).expect("filled") < 60_000);
}

#[test]
fn before_the_first_chunk_there_is_no_quantile() {
    assert_eq!(Delays::default().quantile_us(0.9), None);
}
