use super::*;

/// The filtered round trip after each of these samples.
fn filtered(samples_ms: &[f64]) -> Vec<f64> {
    let mut neighbour = Neighbour::EMPTY;
    samples_ms
        .iter()
        .map(|&rtt_ms| neighbour.sample(rtt_ms, Coord::ORIGIN))
        .collect()
}

#[test]
fn the_filter_is_the_25th_percentile_by_nearest_rank() {
    // The least of up to four, the second least of five to eight.
    assert_eq!(filtered(&[50.0, 40.0, 60.0, 30.0]), [50.0, 40.0, 40.0, 30.0]);
    assert_eq!(filtered(&[50.0, 40.0, 60.0, 30.0, 70.0, 20.0])[4..], [40.0, 30.0]);
    assert_eq!(filtered(&[7.0; 12]), [7.0; 12]);
}

#[test]
fn the_filter_forgets_what_is_older_than_eight_samples() {
    let mut samples = vec![10.0; 8];
    samples.extend([80.0; 8]);
    let after = filtered(&samples);
    // Two samples of the old route are enough to keep it, one is not.
    assert_eq!(after[8..], [10.0, 10.0, 10.0, 10.0, 10.0, 10.0, 80.0, 80.0]);
}

#[test]
fn queueing_spikes_do_not_pass_the_filter() {
    let spiky = [31.0, 400.0, 30.0, 900.0, 32.0, 250.0, 1000.0, 33.0];
    assert_eq!(filtered(&spiky).last(), Some(&31.0));
}

#[test]
fn the_filter_equals_sorting() {
    use proptest::prelude::*;
    proptest!(|(samples in prop::collection::vec(0.0..1e4f64, 1..40))| {
        for (i, filtered) in filtered(&samples).into_iter().enumerate() {
            let mut window = samples[(i + 1).saturating_sub(RTT_WINDOW)..=i].to_vec();
            window.sort_by(f64::total_cmp);
            prop_assert_eq!(filtered, window[window.len().div_ceil(4) - 1]);
        }
    });
}

#[test]
fn the_neighbour_not_heard_for_longest_makes_room() {
    let mut neighbours = Neighbours::new(3);
    for key in [1, 2, 3, 1] {
        neighbours.heard(key).sample(key as f64, Coord::ORIGIN);
    }
    neighbours.heard(4).sample(4.0, Coord::ORIGIN);
    let known: Vec<_> = (1..=4).map(|key| neighbours.rtt_ms(key)).collect();
    assert_eq!(known, [Some(1.0), None, Some(3.0), Some(4.0)]);
}

#[test]
fn a_flood_of_keys_stays_within_the_bound() {
    let mut neighbours = Neighbours::new(64);
    for key in 0..10_000 {
        neighbours.heard(key).sample(1.0, Coord::ORIGIN);
    }
    assert_eq!(neighbours.by_key.len(), 64);
    assert_eq!(*neighbours.by_key.keys().next().unwrap(), 10_000 - 64);
}

#[test]
fn a_bound_of_zero_is_one() {
    let mut neighbours = Neighbours::new(0);
    neighbours.heard(1).sample(5.0, Coord::ORIGIN);
    neighbours.heard(2).sample(6.0, Coord::ORIGIN);
    assert_eq!((neighbours.rtt_ms(1), neighbours.rtt_ms(2)), (None, Some(6.0)));
}

#[test]
fn a_jury_of_three_condemns_nobody() {
    let mut neighbours = Neighbours::new(8);
    for key in 0..3 {
        neighbours.heard(key).residual(0.1);
        assert_eq!(neighbours.median_residual(), f64::INFINITY);
    }
    neighbours.heard(3).residual(9.0);
    assert_eq!(neighbours.median_residual(), 0.1);
    neighbours.forget_residuals();
    assert_eq!(neighbours.median_residual(), f64::INFINITY);
}

#[test]
fn the_residual_is_an_average_that_forgets() {
    let mut neighbour = Neighbour::EMPTY;
    assert_eq!(neighbour.residual(8.0), 8.0);
    for _ in 0..20 {
        neighbour.residual(0.0);
    }
    assert!(neighbour.residual(0.0) < 0.05);
}

#[test]
fn nearest_is_the_least_filtered_round_trip() {
    let mut neighbours = Neighbours::new(8);
    assert_eq!(neighbours.nearest_rtt_ms(), None);
    for (key, rtt_ms) in [(1, 30.0), (2, 12.0), (3, 25.0)] {
        neighbours.heard(key).sample(rtt_ms, Coord::ORIGIN);
    }
    assert_eq!(neighbours.nearest_rtt_ms(), Some(12.0));
    neighbours.forget(2);
    assert_eq!(neighbours.nearest_rtt_ms(), Some(25.0));
}

#[test]
fn the_typical_round_trip_is_a_recent_median() {
    let mut neighbours = Neighbours::new(8);
    let hear = |neighbours: &mut Neighbours, keys: u64, rtt_ms: f64| {
        for sample in 0..TYPICAL_PERIOD * keys {
            neighbours
                .heard(sample % keys)
                .sample(rtt_ms + (sample % keys) as f64, Coord::ORIGIN);
        }
    };
    hear(&mut neighbours, 3, 10.0);
    neighbours.heard(0);
    assert_eq!(neighbours.typical_rtt_ms(), None);
    hear(&mut neighbours, 5, 10.0);
    assert_eq!(neighbours.typical_rtt_ms(), Some(12.0));
    hear(&mut neighbours, 5, 50.0);
    assert_eq!(neighbours.typical_rtt_ms(), Some(52.0));
}
