use super::*;
use crate::Vivaldi;
use proptest::prelude::*;

fn at(x_ms: f64, y_ms: f64) -> Coord {
    Coord {
        x_ms,
        y_ms,
        height_ms: 1.0,
    }
}

#[test]
fn where_predictions_are_exact_they_stay() {
    let estimator = Estimator::new(at(10.0, 0.0), 0.0);
    assert_eq!(
        estimator.estimate(&at(40.0, 40.0)),
        Estimate {
            rtt_ms: 52.0,
            spread_ms: 0.0
        }
    );
}

#[test]
fn what_missed_one_peer_is_expected_of_those_near_it() {
    let mut estimator = Estimator::new(at(0.0, 0.0), 0.1);
    estimator.measured(at(100.0, 0.0), 142.0);
    let [there, near, far] =
        [(100.0, 0.0), (110.0, 0.0), (-300.0, 0.0)].map(|(x, y)| estimator.estimate(&at(x, y)));
    assert!((there.rtt_ms - 142.0).abs() < 1.0, "{there:?}");
    assert!((near.rtt_ms - 112.0) > 30.0, "{near:?}");
    assert!((far.rtt_ms - 302.0) < 10.0, "{far:?}");
    assert!(
        there.spread_ms < near.spread_ms && near.spread_ms < far.spread_ms,
        "{there:?} {near:?} {far:?}"
    );
    assert!(near.at_best_ms(1.0) < near.rtt_ms && near.at_best_ms(1e9) == 0.0);
}

#[test]
fn two_who_contradict_each_other_at_one_place_are_averaged() {
    let mut estimator = Estimator::new(at(0.0, 0.0), 0.1);
    for rtt_ms in [90.0, 110.0] {
        estimator.measured(at(98.0, 0.0), rtt_ms);
    }
    let estimate = estimator.estimate(&at(98.0, 0.0));
    assert!((estimate.rtt_ms - 100.0).abs() < 0.5, "{estimate:?}");
}

#[test]
fn what_is_supposed_makes_surer_and_says_nothing_new() {
    let mut estimator = Estimator::new(at(0.0, 0.0), 0.2);
    estimator.measured(at(50.0, 50.0), 100.0);
    let before = estimator.estimate(&at(200.0, 10.0));
    estimator.suppose(at(200.0, 0.0));
    let after = estimator.estimate(&at(200.0, 10.0));
    assert!(
        (before.rtt_ms - after.rtt_ms).abs() < 1e-9,
        "{before:?} {after:?}"
    );
    assert!(after.spread_ms < 0.5 * before.spread_ms, "{before:?} {after:?}");
    // The next measurement counts as if nothing had been supposed.
    let mut without = Estimator::new(at(0.0, 0.0), 0.2);
    without.measured(at(50.0, 50.0), 100.0);
    for estimator in [&mut estimator, &mut without] {
        estimator.measured(at(-70.0, 0.0), 72.0);
    }
    let x = at(1.0, 2.0);
    assert_eq!(estimator.estimate(&x), without.estimate(&x));
}

#[test]
fn a_newcomer_finds_its_place_by_what_it_measures() {
    let me = at(20.0, -30.0);
    let mut estimator = Estimator::newcomer();
    let nowhere = estimator.estimate(&at(100.0, 0.0));
    assert_eq!(nowhere.rtt_ms, 0.0);
    assert_eq!(nowhere.spread_ms, estimator.estimate(&at(-50.0, 80.0)).spread_ms);
    for remote in [
        at(100.0, 0.0),
        at(-80.0, 10.0),
        at(0.0, 90.0),
        at(40.0, -120.0),
        at(-60.0, -70.0),
    ] {
        estimator.measured(remote, distance_ms(&me, &remote));
    }
    let other = at(70.0, 60.0);
    let estimate = estimator.estimate(&other);
    assert!(
        (estimate.rtt_ms - distance_ms(&me, &other)).abs() < 1.0,
        "{estimate:?}"
    );
}

#[test]
fn a_settled_peer_corrects_what_its_coordinate_gets_wrong() {
    // All peers in one corner are 40 ms farther than any plane could have it from here, and only from here.
    let corner = |n: u64| at(150.0 + (n % 4) as f64, 140.0 + (n % 3) as f64);
    let around = |n: u64| {
        let side = [(1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0), (0.3, -0.9)][n as usize % 4];
        at(side.0 * (60.0 + n as f64), side.1 * 80.0)
    };
    let mut vivaldi = Vivaldi::new(Config::default(), 3);
    let origin = at(0.0, 0.0);
    for sample in 0..4_000u64 {
        let n = sample % 24;
        let (remote, late_ms) = if n < 4 {
            (corner(n), 40.0)
        } else {
            (around(n), 0.0)
        };
        vivaldi.observe(n, remote, 0.05, distance_ms(&origin, &remote) + late_ms);
    }
    let unmet = at(153.5, 143.5);
    let rtt_ms = distance_ms(&origin, &unmet) + 40.0;
    let plain_ms = (vivaldi.predict_ms(&unmet) - rtt_ms).abs();
    let estimate = vivaldi.estimator().estimate(&unmet);
    let miss_ms = (estimate.rtt_ms - rtt_ms).abs();
    assert!(
        plain_ms > 15.0 && miss_ms < 3.0,
        "{plain_ms} {miss_ms} {estimate:?}"
    );
}

#[test]
fn liars_are_not_asked() {
    let mut vivaldi = Vivaldi::new(Config::default(), 3);
    let origin = at(0.0, 0.0);
    for sample in 0..2_100u64 {
        let n = sample % 21;
        let side = [(1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, 0.3)][n as usize % 4];
        let remote = at(side.0 * (40.0 + n as f64), side.1 * 60.0);
        if n < 20 {
            vivaldi.observe(n, remote, 0.05, distance_ms(&origin, &remote));
        } else {
            // It claims to be next door, and is not.
            vivaldi.observe(n, at(1.0, 1.0), 0.0, 400.0);
        }
    }
    let estimate = vivaldi.estimator().estimate(&at(2.0, 2.0));
    assert!(estimate.rtt_ms < 20.0, "{estimate:?}");
}

proptest! {
    #[test]
    fn any_measurements_give_finite_numbers(
        samples in proptest::collection::vec((-512.0..512.0f64, -512.0..512.0f64, 0.0..512.0f64, -1.0..20_000.0f64), 0..200),
        lost: bool,
        twice: bool,
    ) {
        let mut estimator = if lost { Estimator::newcomer() } else { Estimator::new(at(3.0, 4.0), 0.3) };
        for (x_ms, y_ms, height_ms, rtt_ms) in samples {
            let remote = Coord { x_ms, y_ms, height_ms };
            estimator.measured(remote, rtt_ms);
            estimator.suppose(remote);
            if twice {
                estimator.measured(remote, f64::NAN);
                estimator.measured(remote, rtt_ms / 2.0);
            }
            prop_assert!(estimator.measured.len() <= MEASURED_MAX);
            let estimate = estimator.estimate(&remote);
            prop_assert!(estimate.rtt_ms.is_finite() && estimate.rtt_ms >= 0.0);
            prop_assert!(estimate.spread_ms.is_finite() && estimate.spread_ms >= 0.0);
        }
    }
}
