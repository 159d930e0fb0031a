//! Vivaldi in worlds whose round trips are known, after serf's `coordinate/phantom.go`, and on PlanetLab.

// What a failing test measured is in its output.
#![allow(clippy::print_stdout)]

mod support;

use std::f64::consts::TAU;

use support::{Swarm, World};

/// A cold swarm in this world predicts with at most this mean and largest error after 2000 samples each.
fn check(name: &str, world: &World, mean_max: f64, worst_max: f64) {
    for seed in 1..=3 {
        let mut swarm = Swarm::new(world, seed);
        swarm.run(2000);
        let errors = swarm.errors();
        println!("{name}: mean {:.4}, worst {:.4}", errors.mean(), errors.max());
        assert!(errors.mean() <= mean_max, "{name}: mean error {}", errors.mean());
        assert!(errors.max() <= worst_max, "{name}: worst error {}", errors.max());
    }
}

#[test]
fn a_line() {
    let points: Vec<_> = (0..10).map(|i| (20.0 * f64::from(i), 0.0)).collect();
    check("line", &World::plane(&points), 0.02, 0.15);
}

#[test]
fn a_grid() {
    let points: Vec<_> = (0..25)
        .map(|i| (30.0 * f64::from(i % 5), 30.0 * f64::from(i / 5)))
        .collect();
    check("grid", &World::plane(&points), 0.02, 0.15);
}

#[test]
fn a_circle() {
    let points: Vec<_> = (0..25)
        .map(|i| {
            let angle = TAU * f64::from(i) / 25.0;
            (100.0 * angle.cos(), 100.0 * angle.sin())
        })
        .collect();
    check("circle", &World::plane(&points), 0.02, 0.2);
}

#[test]
fn two_distant_clusters() {
    let cluster = |i: usize| i / 12;
    let world = World::new(24, |i, j| if cluster(i) == cluster(j) { 10.0 } else { 120.0 });
    check("split", &world, 0.03, 0.6);
}

#[test]
fn a_plane_behind_access_links() {
    // Homes at random places, each behind its own access delay: what the height is for.
    let access_ms = |i: usize| 2.0 + 3.0 * (i % 7) as f64;
    let place = |i: usize| ((i * 67 % 300) as f64, (i * 131 % 200) as f64);
    let world = World::new(40, |i, j| {
        let (dx, dy) = (place(i).0 - place(j).0, place(i).1 - place(j).1);
        (dx * dx + dy * dy).sqrt() + access_ms(i) + access_ms(j)
    });
    check("access", &world, 0.02, 1.0);
}

#[test]
fn planetlab() {
    let world = World::planetlab();
    let mut swarm = Swarm::new(&world, 1);
    swarm.run(400);
    let (settled, joined) = (swarm.errors().median(), swarm.join_errors(8).median());
    let republished = swarm.run(200) as f64 / (200.0 * world.len() as f64);
    let published = swarm.published_errors().median();
    println!(
        "settled {settled:.4}, joined {joined:.4}, published {published:.4}, republished {republished:.4}"
    );
    assert!(settled < 0.11, "median error {settled}");
    assert!(
        joined < 0.12,
        "median error of a newcomer after one round trip {joined}"
    );
    assert!(
        published < 0.11,
        "median error by published coordinates {published}"
    );
    assert!(
        republished < 0.04,
        "republished after {republished} of the samples"
    );
}

#[test]
fn same_seed_same_coordinates() {
    let world = World::planetlab();
    let run = |seed| {
        let mut swarm = Swarm::new(&world, seed);
        swarm.run(40);
        swarm
            .peers
            .iter()
            .map(|peer| (peer.coord(), peer.error()))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
