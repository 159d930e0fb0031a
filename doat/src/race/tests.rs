use super::*;
use coords::Coord;
use coords::coord::distance_ms;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::siblings;

fn at(x_ms: f64, y_ms: f64) -> Coord {
    Coord {
        x_ms,
        y_ms,
        height_ms: 1.0,
    }
}

fn node(n: usize, coord: Coord) -> RingNode {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(n as u64).to_le_bytes());
    RingNode::new(PeerId::from_bytes(id), &coord, std::iter::empty().collect())
}

fn race_of(me: Coord, error: f64, nodes: &[RingNode]) -> Race {
    let mut race = Race::new(Estimator::new(me, error));
    for node in nodes {
        race.offer(node);
    }
    race
}

fn peers(nodes: &[RingNode]) -> Vec<PeerId> {
    nodes.iter().map(|node| node.peer).collect()
}

#[test]
fn three_at_once_and_the_fastest_is_best() {
    let nodes: Vec<RingNode> = (0..6).map(|n| node(n, at(20.0 * (6 - n) as f64, 0.0))).collect();
    let mut race = race_of(at(0.0, 0.0), 0.0, &nodes);
    assert!(race.best().is_none());
    let first = race.choose();
    assert_eq!(
        peers(&first),
        peers(&[nodes[5].clone(), nodes[4].clone(), nodes[3].clone()])
    );
    assert!(
        race.is_awaited() && race.choose().is_empty(),
        "answers are awaited"
    );
    race.answered(nodes[4].peer, 45.0);
    race.answered(nodes[5].peer, 70.0);
    assert_eq!(
        race.best().map(|(node, ms)| (node.peer, ms)),
        Some((nodes[4].peer, 45.0))
    );
    race.failed(nodes[3].peer);
    assert!(!race.is_awaited());
    // What is late counts, and who was not asked or never named does not.
    race.answered(nodes[3].peer, 30.0);
    race.answered(nodes[0].peer, 1.0);
    race.answered(node(77, at(0.0, 0.0)).peer, 1.0);
    race.answered(nodes[3].peer, f64::NAN);
    assert_eq!(
        race.best().map(|(node, ms)| (node.peer, ms)),
        Some((nodes[3].peer, 30.0))
    );
}

#[test]
fn whoever_fails_makes_room_for_the_next_ones() {
    let nodes: Vec<RingNode> = (0..12).map(|n| node(n, at(10.0 * n as f64, 0.0))).collect();
    let mut race = race_of(at(0.0, 0.0), 0.1, &nodes);
    let mut asked = Vec::new();
    loop {
        let next = race.choose();
        if next.is_empty() {
            break;
        }
        for node in &next {
            assert!(!asked.contains(&node.peer), "nobody is asked twice");
            asked.push(node.peer);
            race.failed(node.peer);
        }
    }
    assert_eq!((asked.len(), race.probes()), (MOST, MOST));
    assert!(race.best().is_none());
}

#[test]
fn nobody_is_probed_for_nothing() {
    let nodes = [
        node(1, at(2.0, 0.0)),
        node(2, at(50.0, 0.0)),
        node(3, at(60.0, 0.0)),
        node(4, at(70.0, 0.0)),
    ];
    let mut race = race_of(at(0.0, 0.0), 0.0, &nodes);
    for node in race.choose() {
        race.answered(node.peer, distance_ms(&at(0.0, 0.0), &node.coord));
    }
    assert!(race.choose().is_empty(), "the fourth is farther for sure");
    // A sibling that the winner names, and that is clearly nearer, is.
    race.offer(&node(5, at(1.9, 0.0)));
    assert!(race.choose().is_empty());
    race.offer(&node(6, at(0.0, 0.0)));
    assert_eq!(peers(&race.choose()), [node(6, at(0.0, 0.0)).peer]);
}

#[test]
fn where_coordinates_err_the_three_are_not_all_in_one_place() {
    // Four in one building seem nearest by little; two more are elsewhere.
    let mut nodes: Vec<RingNode> = (0..4).map(|n| node(n, at(100.0 + n as f64, 0.0))).collect();
    nodes.extend([node(4, at(-106.0, 0.0)), node(5, at(0.0, 107.0))]);
    let first = race_of(at(0.0, 0.0), 0.3, &nodes).choose();
    let building = first.iter().filter(|node| node.coord.x_ms >= 100.0).count();
    assert_eq!((first.len(), building), (3, 1), "{first:?}");
}

#[test]
fn a_liar_costs_a_probe_and_nothing_else() {
    let mut nodes: Vec<RingNode> = (0..5).map(|n| node(n, at(1.0, n as f64))).collect();
    nodes.extend([node(5, at(40.0, 0.0)), node(6, at(50.0, 0.0))]);
    let mut race = race_of(at(0.0, 0.0), 0.1, &nodes);
    for _ in 0..MOST {
        for node in race.choose() {
            let rtt_ms = if node.coord.x_ms < 10.0 {
                300.0
            } else {
                node.coord.x_ms
            };
            race.answered(node.peer, rtt_ms);
        }
    }
    assert_eq!(race.best().map(|(_, rtt_ms)| rtt_ms), Some(40.0));
}

#[test]
fn what_is_named_without_end_is_bounded() {
    let mut race = race_of(at(0.0, 0.0), 0.1, &[]);
    for n in 0..10_000 {
        race.offer(&node(n, at(n as f64 % 100.0, 0.0)));
    }
    assert_eq!(race.runners.len(), MAX_NAMED);
}

/// Of 300 askers anywhere, how many do not end at the nearest of 100 trackers when they are told of three, anywhere, and of those that each
/// one probed names.
fn missed(clustered: bool, named: impl Fn(&RingNode, &[RingNode]) -> Vec<RingNode>) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut place = || {
        let (centre, spread) = if clustered {
            let n = f64::from(rng.random_range(0..16u32));
            (at(60.0 * (n % 4.0) - 90.0, 60.0 * (n / 4.0).floor() - 90.0), 8.0)
        } else {
            (at(0.0, 0.0), 150.0)
        };
        at(
            centre.x_ms + rng.random_range(-spread..spread),
            centre.y_ms + rng.random_range(-spread..spread),
        )
    };
    let trackers: Vec<RingNode> = (0..100).map(|n| node(n, place())).collect();
    let ends_elsewhere = |asker: &usize| {
        let me = place();
        let away = |node: &RingNode| distance_ms(&me, &node.coord);
        let mut race = race_of(me, 0.0, &trackers[asker % 97..asker % 97 + 3]);
        loop {
            let chosen = race.choose();
            if chosen.is_empty() {
                break;
            }
            for node in chosen {
                race.answered(node.peer, away(&node));
                for sibling in named(&node, &trackers) {
                    race.offer(&sibling);
                }
            }
        }
        let nearest_ms = trackers.iter().map(away).fold(f64::INFINITY, f64::min);
        race.best()
            .is_none_or(|(_, best_ms)| CLEARLY * best_ms - AT_LEAST_MS > nearest_ms)
    };
    (0..300).filter(ends_elsewhere).count()
}

#[test]
fn going_from_sibling_to_sibling_ends_at_the_nearest() {
    let nearest_eight = |me: &RingNode, all: &[RingNode]| {
        let mut all = all.to_vec();
        all.retain(|other| other.peer != me.peer);
        all.sort_by(|a, b| distance_ms(&me.coord, &a.coord).total_cmp(&distance_ms(&me.coord, &b.coord)));
        all.truncate(8);
        all
    };
    let ours = |me: &RingNode, all: &[RingNode]| siblings(me, all).into_iter().cloned().collect();
    for (clustered, most) in [(false, 15), (true, 35)] {
        let (found, naive) = (missed(clustered, ours), missed(clustered, nearest_eight));
        assert!(
            found <= most && found < naive,
            "{found} of 300, with the nearest eight {naive}"
        );
    }
}

#[test]
fn a_round_trip_that_was_only_supposed_is_corrected() {
    let nodes: Vec<RingNode> = (0..2).map(|n| node(n, at(100.0, n as f64))).collect();
    let mut race = race_of(at(0.0, 0.0), 0.0, &nodes);
    assert_eq!(race.choose().len(), 2);
    race.answered(nodes[0].peer, 100.0);
    race.answered(nodes[1].peer, 106.0);
    assert_eq!(race.best().map(|(node, _)| node.peer), Some(nodes[0].peer));
    race.corrected(nodes[0].peer, 330.0);
    assert_eq!(race.best(), Some((&nodes[1], 106.0)));
    // Who has not answered has no round trip to correct.
    race.failed(nodes[0].peer);
    race.corrected(nodes[0].peer, 50.0);
    assert_eq!(race.best(), Some((&nodes[1], 106.0)));
}
