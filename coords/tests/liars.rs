//! PlanetLab with 10 % liars: what honest peers still predict of each other.

// What a failing test measured is in its output.
#![allow(clippy::print_stdout)]

mod support;

use headwater_coords::vivaldi::{Config, Probe};
use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use support::{Lie, Swarm, World};

/// The algorithm as published, without what headwater adds against liars.
fn undefended() -> Config {
    Config {
        force_max_ms: f64::MAX,
        error_min: 1e-6,
        liar_residual_min: f64::INFINITY,
        ..Config::default()
    }
}

/// Median error among the honest after 400 samples each, undefended and defended, is within these bounds;
/// newcomers, who probe liars too, are within the last.
fn check(name: &str, lie: Lie, undefended_min: f64, defended_max: f64, joined_max: f64) {
    let world = World::planetlab();
    let run = |config| {
        let mut swarm = Swarm::with_liars(&world, 1, config, 0.1, lie);
        swarm.run(400);
        swarm
    };
    let open = run(undefended()).errors().median();
    let mut swarm = run(Config::default());
    let (defended, joined) = (swarm.errors().median(), swarm.join_errors(8).median());
    let [liars, honest] = swarm.excluded;
    println!(
        "{name}: {open:.3} undefended, {defended:.3} defended, {joined:.3} joined; ignored {liars} {honest}"
    );
    assert!(
        open > undefended_min,
        "{name}: no attack, {open} without any defence"
    );
    assert!(defended < defended_max, "{name}: {defended}");
    assert!(joined < joined_max, "{name}: newcomers {joined}");
}

fn anywhere(rng: &mut Xoshiro256PlusPlus, probe: &mut Probe) {
    probe.remote.x_ms = rng.random_range(-512.0..512.0);
    probe.remote.y_ms = rng.random_range(-512.0..512.0);
    probe.remote_error = 0.0;
}

fn in_one_corner(_: &mut Xoshiro256PlusPlus, probe: &mut Probe) {
    (probe.remote.x_ms, probe.remote.y_ms) = (500.0, 500.0);
    probe.remote_error = 0.0;
}

fn high_above(rng: &mut Xoshiro256PlusPlus, probe: &mut Probe) {
    anywhere(rng, probe);
    probe.remote.height_ms = 400.0;
}

/// Answers late, so that others flee from where it says it is.
fn late(rng: &mut Xoshiro256PlusPlus, probe: &mut Probe) {
    probe.rtt_ms += rng.random_range(0.0..1000.0);
    probe.remote_error = 0.0;
}

#[test]
fn who_claim_to_be_anywhere() {
    check("anywhere", anywhere, 0.3, 0.12, 0.15);
}

#[test]
fn who_all_claim_one_corner() {
    check("corner", in_one_corner, 0.11, 0.12, 0.15);
}

#[test]
fn who_claim_a_great_height() {
    check("height", high_above, 0.3, 0.12, 0.15);
}

#[test]
fn who_answer_late() {
    check("late", late, 0.13, 0.12, 0.13);
}
