//! Other ways to stream in the same scenario: each does what it is known for, and the same again for the same seed.

#![allow(clippy::unwrap_used)] // Helpers of tests: to fail is to panic.

use headwater_sim::{Baseline, Outcome, RoleResult, Scenario, run};

/// Figure 5 with so few peers and seconds that it runs in a moment.
fn small(baseline: &str, more: &[&str]) -> Outcome {
    let mut set = vec![
        "peers.count=40".to_owned(),
        "joins.0.over_s=2".to_owned(),
        "measure.start_s=6".to_owned(),
        "measure.length_s=6".to_owned(),
        format!("baselines=[\"{baseline}\"]"),
    ];
    set.extend(more.iter().map(|s| (*s).to_owned()));
    run(&Scenario::load("paper-fig5-no-ncp", &set).unwrap()).unwrap()
}

fn of<'a>(outcome: &'a Outcome, name: &str) -> &'a RoleResult {
    &outcome.results[name].headline
}

#[test]
fn a_star_is_the_best_there_is_until_the_peercaster_can_no_more() {
    // The headers of packets take 9 % of an uplink, and what is sent again a little.
    let ample = small("star", &["source.upload_x=48", "peers.ri=2.5"]);
    let star = of(&ample, "star");
    assert!(star.continuity.min > 0.99, "{:?}", star.continuity);
    assert!(star.arrival_ms.mean < ample.bound_ms.unwrap().mean + 40.0);
    assert!(star.hops.max == 1 && star.never_started == 0);

    let scarce = small("star", &["source.upload_x=20", "peers.ri=2.5"]);
    let star = of(&scarce, "star");
    assert!(star.continuity.mean < 0.6, "{:?}", star.continuity);
    assert!(star.source_copies < 19.0, "{}", star.source_copies);
}

#[test]
fn a_tree_loses_nothing_where_everybody_can_send_on() {
    let ample = [
        "peers.ri=4",
        "peers.classes=[{share=1,upload_x=1}]",
        "network.loss=0.005",
    ];
    let outcome = small("tree", &ample);
    let tree = of(&outcome, "tree");
    assert_eq!(tree.never_started, 0);
    assert!(tree.continuity.mean > 0.998, "{:?}", tree.continuity);
    assert!(tree.hops.max > 1 && tree.duplicate_share < 0.02);

    // A peer with less than a whole copy of upload is of no use in a tree, whatever there is of it in all.
    let outcome = small("tree", &["peers.ri=1.2", "peers.classes=[{share=1,upload_x=1}]"]);
    let tree = of(&outcome, "tree");
    assert!(tree.continuity.mean < 0.9, "{:?}", tree.continuity);
}

#[test]
fn a_mesh_plays_everything_seconds_late() {
    let outcome = small("mesh_pull", &["peers.ri=1.5", "measure.start_s=15"]);
    let (mesh, ours) = (of(&outcome, "mesh_pull"), of(&outcome, "headwater"));
    assert!(mesh.continuity.mean > 0.99, "{:?}", mesh.continuity);
    assert_eq!(mesh.never_started, 0);
    assert!(mesh.arrival_ms.p50 > 3.0 * ours.arrival_ms.p50);
    assert!(mesh.lag_ms.p50 > 2.0 * ours.lag_ms.p50);
    assert!(mesh.duplicate_share < 0.03, "{}", mesh.duplicate_share);
}

#[test]
fn the_same_seed_makes_the_same_run_and_changes_nothing_of_the_swarm() {
    let all = |seed: &str| {
        let set = [
            seed,
            "baselines=[\"star\", \"tree\", \"mesh_pull\"]",
            "churn={mean_session_s=6}",
        ];
        small("star", &set)
    };
    let (a, b) = (all("seed=3"), all("seed=3"));
    assert_eq!(a.results, b.results);
    assert_eq!(
        a.params.baselines,
        [Baseline::Star, Baseline::Tree, Baseline::MeshPull]
    );
    let names: Vec<&str> = a.results.keys().map(String::as_str).collect();
    assert_eq!(names, ["headwater", "mesh_pull", "star", "tree"]);
    let peers = |name: &str| a.results[name].headline.peers;
    assert!(
        names.iter().all(|name| peers(name) == peers("headwater")),
        "the same newcomers"
    );
    assert_ne!(all("seed=4").results["mesh_pull"], a.results["mesh_pull"]);
    let without = small("star", &["seed=3", "baselines=[]", "churn={mean_session_s=6}"]);
    assert_eq!(without.audit, a.audit);
}
