use super::*;

fn viewer(joins_ms: f64, to_source_ms: f64, slots: u32) -> Joiner {
    Joiner {
        joins_ms,
        to_source_ms,
        slots,
        passes_on: slots.div_ceil(8),
        plays: true,
    }
}

#[test]
fn one_viewer_takes_two_round_trips_and_what_has_passed_since_the_key_frame() {
    // Answered after 20 ms, first chunks after 40, when the newest here is from 30; 20 slots are left to send those 30 ms of 4
    // substreams.
    let soonest = soonest_starts(&[viewer(0.0, 10.0, 0)], 4, 24, 1000.0, |_, _| 0.0);
    assert_eq!(soonest.flowing_ms, [40.0]);
    assert_eq!(soonest.started_ms, [46.0]);
}

#[test]
fn without_spare_slots_the_next_key_frame_is_waited_for() {
    let soonest = soonest_starts(&[viewer(0.0, 10.0, 0)], 4, 4, 1000.0, |_, _| 0.0);
    assert_eq!(soonest.started_ms, [1010.0]);
}

#[test]
fn who_finds_no_slot_waits_for_a_joiner_that_has_some() {
    // The first takes all that the peercaster has.
    let two = [viewer(0.0, 10.0, 0), viewer(1.0, 10.0, 0)];
    let soonest = soonest_starts(&two, 4, 4, 1000.0, |_, _| 5.0);
    assert_eq!(soonest.flowing_ms, [40.0, f64::INFINITY]);
    // A donor takes its places, answered after 120 ms, and has its chunks from 140 on: the first moves below it without a loss,
    // the second has been waiting there.
    let donor = Joiner {
        plays: false,
        passes_on: 4,
        ..viewer(100.0, 10.0, 8)
    };
    let soonest = soonest_starts(&[two[0], two[1], donor], 4, 4, 1000.0, |_, _| 5.0);
    assert_eq!(soonest.flowing_ms, [40.0, 144.0], "the donor does not play");
}

#[test]
fn a_joiner_passes_on_what_it_only_waits_for() {
    // The second asks 26 ms after the first has joined, whose own first chunk comes after 40.
    let joiners = [viewer(0.0, 10.0, 1), viewer(1.0, 10.0, 0)];
    let soonest = soonest_starts(&joiners, 1, 1, 1000.0, |_, _| 5.0);
    assert_eq!(soonest.flowing_ms, [40.0, 44.0]);
}
