use super::*;
use crate::vivaldi::Vivaldi;
use proptest::prelude::*;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

fn at(x_ms: f64, y_ms: f64, height_ms: f64) -> Coord {
    Coord {
        x_ms,
        y_ms,
        height_ms,
    }
}

/// Eight settled peers all around, and not on a line.
fn peers() -> [Coord; 8] {
    [
        at(-120.0, 40.0, 4.0),
        at(90.0, 110.0, 9.0),
        at(150.0, -60.0, 2.0),
        at(-30.0, -140.0, 12.0),
        at(20.0, 35.0, 6.0),
        at(-200.0, -90.0, 1.0),
        at(60.0, -20.0, 15.0),
        at(-50.0, 180.0, 3.0),
    ]
}

/// Probes from `true_place` to these peers, each round trip changed by `noise`.
fn probes(true_place: &Coord, peers: &[Coord], mut noise: impl FnMut(f64) -> f64) -> Vec<Probe> {
    let probe = |remote: &Coord| Probe {
        remote: *remote,
        remote_error: 0.1,
        rtt_ms: noise(distance_ms(true_place, remote)),
    };
    peers.iter().map(probe).collect()
}

fn joined(probes: &[Probe]) -> Vivaldi {
    let mut vivaldi = Vivaldi::new(Config::default(), 1);
    assert!(vivaldi.join(probes));
    vivaldi
}

#[test]
fn exact_probes_give_the_exact_place() {
    for place in [
        at(0.0, 0.0, 5.0),
        at(-80.0, 130.0, 30.0),
        at(210.0, -170.0, 0.5),
        at(20.0, 35.0, 8.0),
    ] {
        let vivaldi = joined(&probes(&place, &peers(), |rtt_ms| rtt_ms));
        let found = vivaldi.coord();
        assert!(
            planar_distance_ms(&found, &place) < 1.0,
            "{found:?} is not {place:?}"
        );
        assert!(
            (found.height_ms - place.height_ms).abs() < 1.0,
            "{found:?} is not {place:?}"
        );
        assert_eq!(vivaldi.error(), Config::default().error_min);
        assert_eq!(vivaldi.published(), found);
    }
}

#[test]
fn noisy_probes_predict_others_about_as_well_as_they_are() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
    let (mut misses, mut errors) = (Vec::new(), Vec::new());
    for _ in 0..200 {
        let place = at(
            rng.random_range(-150.0..150.0),
            rng.random_range(-150.0..150.0),
            8.0,
        );
        let vivaldi = joined(&probes(&place, &peers(), |rtt_ms| {
            rtt_ms * rng.random_range(0.9..1.1)
        }));
        let stranger = at(
            rng.random_range(-150.0..150.0),
            rng.random_range(-150.0..150.0),
            5.0,
        );
        let rtt_ms = distance_ms(&place, &stranger);
        misses.push(relative(vivaldi.predict_ms(&stranger) - rtt_ms, rtt_ms));
        errors.push(vivaldi.error());
    }
    misses.sort_by(f64::total_cmp);
    errors.sort_by(f64::total_cmp);
    let (miss, error) = (misses[100], errors[100]);
    assert!(miss < 0.08, "median miss {miss} of probes with up to 10 % noise");
    assert!(
        (0.5..2.0).contains(&(error / miss)),
        "claims {error}, misses {miss}"
    );
}

#[test]
fn two_liars_of_eight_move_the_place_little() {
    let place = at(-40.0, 70.0, 6.0);
    let mut probes = probes(&place, &peers(), |rtt_ms| rtt_ms);
    // One claims to be elsewhere, with certainty; the other answers late.
    probes[1].remote = at(-500.0, -500.0, 0.0);
    probes[1].remote_error = 0.0;
    probes[5].rtt_ms += 2000.0;
    let found = joined(&probes).coord();
    assert!(
        planar_distance_ms(&found, &place) < 5.0,
        "{found:?} is not {place:?}"
    );
}

#[test]
fn few_probes_are_met_and_known_to_say_little() {
    for count in 1..=3 {
        let place = at(70.0, 20.0, 5.0);
        let probes = probes(&place, &peers()[..count], |rtt_ms| rtt_ms);
        let vivaldi = joined(&probes);
        assert_eq!(vivaldi.error(), UNDETERMINED_ERROR);
        for probe in &probes {
            let miss_ms = vivaldi.predict_ms(&probe.remote) - probe.rtt_ms;
            assert!(miss_ms.abs() < 1.0, "{count} probes, one missed by {miss_ms}");
        }
    }
}

#[test]
fn no_measurement_changes_nothing() {
    let mut vivaldi = Vivaldi::new(Config::default(), 1);
    let good = Probe {
        remote: at(1.0, 2.0, 3.0),
        remote_error: 0.1,
        rtt_ms: 20.0,
    };
    assert!(!vivaldi.join(&[]));
    assert!(!vivaldi.join(&[
        Probe {
            remote: at(f64::NAN, 0.0, 0.0),
            ..good
        },
        Probe {
            remote: at(0.0, 600.0, 0.0),
            ..good
        },
        Probe {
            remote_error: f64::NAN,
            ..good
        },
        Probe { rtt_ms: -1.0, ..good },
        Probe {
            rtt_ms: f64::INFINITY,
            ..good
        },
    ]));
    assert_eq!((vivaldi.coord().x_ms, vivaldi.error()), (0.0, ERROR_MAX));
}

#[test]
fn only_the_first_eight_measurements_count() {
    let place = at(-40.0, 70.0, 6.0);
    let mut many = vec![Probe {
        remote: place,
        remote_error: 0.1,
        rtt_ms: f64::NAN,
    }];
    many.extend(probes(&place, &peers(), |rtt_ms| rtt_ms));
    let expected = joined(&many).coord();
    many.extend((0..100).map(|_| Probe {
        remote: Coord::ORIGIN,
        remote_error: 0.0,
        rtt_ms: 900.0,
    }));
    assert_eq!(joined(&many).coord(), expected);
}

#[test]
fn the_median_is_of_the_weight() {
    assert_eq!(weighted_median(&mut []), 0.0);
    assert_eq!(weighted_median(&mut [(3.0, 1.0)]), 3.0);
    assert_eq!(weighted_median(&mut [(9.0, 1.0), (1.0, 1.0), (5.0, 1.0)]), 5.0);
    assert_eq!(weighted_median(&mut [(9.0, 5.0), (1.0, 1.0), (5.0, 1.0)]), 9.0);
}

proptest! {
    #[test]
    fn any_probes_give_a_place_in_the_space(
        raw in prop::collection::vec((any::<[u64; 5]>(), any::<bool>()), 0..12),
    ) {
        let probes: Vec<Probe> = raw.iter().map(|(bits, tame)| {
            let [x, y, h, error, rtt] = bits.map(f64::from_bits);
            let tamed = |value: f64, size: f64| if *tame && value.is_finite() { value % size } else { value };
            Probe {
                remote: at(tamed(x, 512.0), tamed(y, 512.0), tamed(h, 512.0).abs()),
                remote_error: tamed(error, 1.0).abs(),
                rtt_ms: tamed(rtt, 10_000.0).abs(),
            }
        }).collect();
        let mut vivaldi = Vivaldi::new(Config::default(), 1);
        vivaldi.join(&probes);
        prop_assert!(vivaldi.coord().is_valid());
        prop_assert!((0.0..=ERROR_MAX).contains(&vivaldi.error()));
    }
}
