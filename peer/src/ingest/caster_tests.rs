use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Observes an input whose clock has come to `elapsed_ms` at `now_ms`, for each pair; the holds that it caused.
fn holds(observations: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut hold = Hold::default();
    let mut all = Vec::new();
    for (now_ms, elapsed_ms) in observations {
        // An hour after the epoch: the first observation may lie before the input began.
        let now = Time::from_millis(3_600_000 + now_ms);
        hold.observe(now, Duration::from_millis(elapsed_ms));
        if let Some(until) = hold.until.take() {
            all.push((now_ms, u64::try_from(until.since(now).as_millis()).unwrap()));
        }
    }
    all
}

#[test]
fn a_live_input_is_never_held_back() {
    // Bursts of 400 ms, as from an encoder that writes a group of pictures at a time.
    assert_eq!(holds((0..10_000).map(|ms| (ms, ms / 400 * 400 + 400))), []);
}

#[test]
fn a_fast_encoder_clock_is_never_held_back() {
    // Ten hours with a clock that is fast by 100 parts per million.
    let hours = (0..36_000).map(|s| (s * 1000, s * 1000 + s / 10));
    assert_eq!(holds(hours), []);
}

#[test]
fn a_file_in_a_pipe_is_held_back_to_its_own_pace() {
    let held = holds([(0, 0), (1, 900), (2, 1500), (500, 2000)]);
    let near = |found: u64, expected: u64| found.abs_diff(expected) <= 2;
    assert_eq!(held.len(), 2, "{held:?}");
    assert!(near(held[0].1, 498) && near(held[1].1, 500), "{held:?}");
}

#[test]
fn a_pause_is_not_made_up_for_in_a_burst() {
    let held = holds([(0, 0), (1000, 1000), (61_000, 1500), (61_001, 20_000)]);
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].1.abs_diff(17_499) <= 70, "{held:?}");
}

#[test]
fn what_was_held_back_counts_as_read_then() {
    let mut hold = Hold::default();
    let start = Time::from_millis(3_600_000);
    hold.observe(start, Duration::ZERO);
    hold.observe(start, 3 * SECOND);
    assert_eq!(hold.released_at, start + 2 * SECOND);
}
