use super::{OverlayScenario, run};
use crate::scenario::{OVERLAY_NAMES, Plan};

/// A scenario in the box, so small that it runs in a moment.
fn small(name: &str, more: &[&str]) -> OverlayScenario {
    let mut set = Vec::new();
    let plan = Plan::load(name, &[]).unwrap();
    let Plan::Overlay(full) = plan else {
        panic!("{name}")
    };
    if let Some(ring) = &full.ring {
        set.extend(
            [
                "ring.nodes=60",
                "ring.trackers=[1, 6]",
                "ring.queries=100",
                "ring.settle_s=20",
            ]
            .map(str::to_owned),
        );
        if ring.other_streams > 0 {
            set.push("ring.other_streams=20".to_owned());
        }
        if ring.churn.is_some() {
            set.push("ring.churn.length_s=40".to_owned());
        }
        if ring.partition.is_some() {
            set.push("ring.partition.for_s=30".to_owned());
        }
    }
    if full.coords.is_some() {
        set.push("coords.samples=40".to_owned());
    }
    set.extend(more.iter().map(|s| (*s).to_owned()));
    match Plan::load(name, &set).unwrap() {
        Plan::Overlay(scenario) => *scenario,
        _ => panic!("{name}"),
    }
}

#[test]
fn each_scenario_runs_the_same_twice_and_another_seed_another_way() {
    for name in OVERLAY_NAMES {
        let scenario = small(name, &[]);
        let (a, b) = (
            run(&scenario, &mut |_| ()).unwrap(),
            run(&scenario, &mut |_| ()).unwrap(),
        );
        assert_eq!(
            (&a.audit, &a.doat, a.coords),
            (&b.audit, &b.doat, b.coords),
            "{name}"
        );
        let other = run(&small(name, &["seed=2"]), &mut |_| ()).unwrap();
        assert_ne!(a.audit, other.audit, "{name}");
    }
}

#[test]
fn a_ring_at_rest_finds_the_nearest_and_nothing_goes_in_circles() {
    let outcome = run(&small("doat-1k", &[]), &mut |_| ()).unwrap();
    assert_eq!(outcome.doat.len(), 4, "two spaces, two numbers of trackers");
    for case in &outcome.doat {
        assert_eq!(
            (case.found, case.correct, case.loops, case.lists_wrong),
            (1.0, 1.0, 0, 0),
            "{case:?}"
        );
        assert!(case.p_nearest >= 0.95 && case.stretch.mean <= 1.05, "{case:?}");
        assert!(
            case.hops.max <= 8.0 && case.messages_per_node_s < 30.0,
            "{case:?}"
        );
        assert!(
            case.p_nearest >= case.at_once.p_nearest && case.probes.max <= 8 && case.rounds.mean <= 1.2,
            "where coordinates are exact hardly anybody is probed in vain: {case:?}"
        );
        assert_eq!(case.bloom_fp, 0.0, "one stream is no crowd: {case:?}");
    }
}

#[test]
fn where_coordinates_err_more_probes_come_nearer() {
    let outcome = run(&small("doat-planetlab", &["ring.trackers=[12]"]), &mut |_| ()).unwrap();
    let case = &outcome.doat[0];
    assert!(
        case.extra_ms.mean < case.at_once.extra_ms.mean && case.p_nearest > case.at_once.p_nearest,
        "{case:?}"
    );
    assert!(
        case.rounds.mean > 1.0 && case.probes.mean < 4.5 && case.probes.max <= 8,
        "{case:?}"
    );
}

#[test]
fn filters_that_err_make_ways_longer_and_nothing_worse() {
    let full = small(
        "doat-1k",
        &["ring.other_streams=3600", "ring.spaces=[\"clustered\"]"],
    );
    let outcome = run(&full, &mut |_| ()).unwrap();
    for case in &outcome.doat {
        assert!(case.bloom_fp > 0.002, "{case:?}");
        assert_eq!((case.found, case.correct, case.loops), (1.0, 1.0, 0), "{case:?}");
    }
}

#[test]
fn a_ring_that_was_cut_in_half_finds_what_was_registered_on_the_other_side() {
    let outcome = run(&small("doat-churn", &[]), &mut |_| ()).unwrap();
    let healed = &outcome.doat[0];
    assert_eq!(
        (healed.trackers, healed.found, healed.correct, healed.lists_wrong),
        (1, 1.0, 1.0, 0),
        "{healed:?}"
    );
    // Then they crash: of the nodes that were asked, all but a few knew somebody who was there.
    for case in &outcome.doat[1..] {
        assert!(case.queries > 50 && case.correct > 0.9, "{case:?}");
    }
}

#[test]
fn one_liar_in_ten_hides_hardly_anything() {
    let outcome = run(&small("doat-hostile", &["ring.nodes=120"]), &mut |_| ()).unwrap();
    for case in &outcome.doat {
        assert!(case.correct >= 0.99, "{case:?}");
    }
}

#[test]
fn a_ring_at_rest_costs_less_than_a_kilobyte_a_second() {
    // Hardly any look-ups: those come on top.
    let set = ["ring.spaces=[\"clustered\"]", "ring.queries=5"];
    let outcome = run(&small("doat-1k", &set), &mut |_| ()).unwrap();
    for case in &outcome.doat {
        assert!((50.0..1_000.0).contains(&case.bytes_per_node_s), "{case:?}");
    }
}

#[test]
fn coordinates_come_from_the_delays() {
    let outcome = run(&small("coords-planetlab", &["coords.samples=400"]), &mut |_| ()).unwrap();
    let errors = outcome.coords.unwrap();
    assert!(
        errors.median_rel_error > 0.01 && errors.p90_rel_error > errors.median_rel_error,
        "{errors:?}"
    );
    let blind = run(&small("coords-planetlab", &["coords.samples=1"]), &mut |_| ()).unwrap();
    assert!(
        blind.coords.unwrap().median_rel_error > 3.0 * errors.median_rel_error,
        "{blind:?}"
    );
}

#[test]
fn what_cannot_be_is_said_in_a_sentence() {
    for (set, part) in [
        ("ring.nodes=0", "ring.nodes is 0"),
        ("ring.trackers=[2000]", "ring.trackers is 2000"),
        ("ring.trackers=[]", "must not be empty"),
        ("ring.spaces=[\"planetlab\"]", "PlanetLab has 245"),
        ("ring.spaces=[\"moon\"]", "moon"),
        ("ring.growth=nan", "ring.growth is NaN"),
        ("ring.node=3", "node"),
        ("peers.count=3", "peers"),
    ] {
        let error = Plan::load("doat-1k", &[set.to_owned()]).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains('\n'), "{set}: {error}");
    }
}
