//! What adverts cost a peer does not grow with the number of peers: the measurement of `examples/adverts`, small.

#![allow(clippy::print_stdout, reason = "figures belong to the result")]

#[path = "../examples/adverts/society.rs"]
mod society;

use std::time::Duration;

use society::{NEIGHBOURS, Society, spread};

/// Bytes of adverts that a peer sends in a second, on average, and adverts in its view at the end.
fn cost(peers: usize) -> (f64, f64) {
    let mut society = Society::new(peers, 1);
    society.run_for(Duration::from_secs(40));
    let tallies = society.run_for(Duration::from_secs(60));
    let accounts = society.accounts() as f64 / peers as f64;
    assert!(accounts > 0.8 * NEIGHBOURS as f64, "{accounts} accounts each");
    let received: u64 = tallies.iter().map(|tally| tally.received.adverts).sum();
    let sent: u64 = tallies.iter().map(|tally| tally.sent.adverts).sum();
    assert_eq!((sent, society.faults()), (received, 0));
    let (bytes, _, most) = spread(
        tallies
            .iter()
            .map(|tally| tally.sent.bytes as f64 / 60.0)
            .collect(),
    );
    let (view, ..) = spread(society.views().into_iter().map(|len| len as f64).collect());
    println!("{peers} peers: {bytes:.0} bytes a second each, {most:.0} at most, {view:.0} adverts in a view");
    (bytes, view)
}

#[test]
fn adverts_cost_a_peer_the_same_among_64_and_among_512() {
    let ((few, small), (many, large)) = (cost(64), cost(512));
    assert!(
        few > 100.0 && small > 10.0 && large > 10.0,
        "adverts travel: {few}, {small}, {large}"
    );
    let ratio = many / few;
    assert!(
        (1.0 / 1.2..=1.2).contains(&ratio),
        "{few} and {many} bytes a second"
    );
}
