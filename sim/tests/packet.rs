//! The packet level: whole swarms over real QUIC connections in virtual time.

#![allow(clippy::unwrap_used)] // Helpers of tests: to fail is to panic.

use headwater_sim::{Outcome, Scenario, run};

/// A small swarm that plays for some seconds.
fn small(more: &[&str]) -> Scenario {
    let set = [
        "fidelity=packet",
        "peers.count=12",
        "donors.count=2",
        "donors.over_s=2",
        "joins.0.over_s=2",
        "measure.start_s=3",
        "measure.length_s=4",
        "measure.drain_s=2",
    ];
    let set: Vec<String> = set.iter().chain(more).map(|s| (*s).to_owned()).collect();
    Scenario::load("paper-fig5", &set).unwrap()
}

fn outcome(scenario: &Scenario) -> Outcome {
    run(scenario).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn it_plays_and_the_same_happens_twice() {
    let scenario = small(&[]);
    let (a, b) = (outcome(&scenario), outcome(&scenario));
    assert_eq!(a.audit, b.audit);
    assert_eq!((a.events, a.packet, &a.results), (b.events, b.packet, &b.results));
    let result = &a.results["headwater"].headline;
    assert_eq!(result.never_started, 0);
    assert!(result.continuity.mean > 0.99, "{:?}", result.continuity);
    assert!(result.arrival_ms.p50 < 400.0, "{:?}", result.arrival_ms);
    assert_eq!(a.bans, 0);
    let bytes = a.packet.unwrap().network_bytes_per_delivered_byte;
    // Donors get some, too, and a small swarm has much to say for each byte.
    assert!((1.05..1.4).contains(&bytes), "{bytes}");
    assert_ne!(outcome(&small(&["seed=2"])).audit, a.audit);
}

#[test]
fn what_is_lost_is_repaired() {
    let lossy = outcome(&small(&["network.loss=0.05"]));
    let result = &lossy.results["headwater"].headline;
    assert!(lossy.lost > 100, "{}", lossy.lost);
    assert!(result.continuity.mean > 0.98, "{:?}", result.continuity);
}

#[test]
fn peers_come_and_go() {
    let churn = outcome(&small(&[
        "churn.mean_session_s=6",
        "churn.from_s=2",
        "churn.crash_share=0.5",
        "faults=[{kind=\"restart\",at_s=5,away_s=0.5}]",
    ]));
    let result = &churn.results["headwater"].headline;
    assert!(churn.peers > 15, "somebody came: {}", churn.peers);
    assert!(result.continuity.mean > 0.5, "{:?}", result.continuity);
}

#[test]
fn baselines_have_no_packets() {
    let set = ["fidelity=packet", "baselines=[\"star\"]"].map(str::to_owned);
    let error = Scenario::load("paper-fig5", &set).unwrap_err().to_string();
    assert!(error.contains("--packet"), "{error}");
}
