use super::*;
use coords::Coord;
use proptest::prelude::*;
use wire::PeerId;

fn node(n: usize, x_ms: f64, y_ms: f64) -> RingNode {
    let coord = Coord {
        x_ms,
        y_ms,
        height_ms: 1.0,
    };
    RingNode::new(
        PeerId::from_bytes([n as u8; 32]),
        &coord,
        std::iter::empty().collect(),
    )
}

#[test]
fn a_crowd_leaves_room_for_who_is_elsewhere() {
    let me = node(0, 0.0, 0.0);
    // Twelve next door on one side, and one far on the other.
    let mut known: Vec<RingNode> = (1..=12).map(|n| node(n, 10.0 + n as f64, 0.0)).collect();
    known.push(node(13, -90.0, 0.0));
    known.push(me.clone());
    let named = siblings(&me, &known);
    assert_eq!(named.len(), MAX_RING_LIST);
    assert_eq!(named[0].peer, known[0].peer, "the nearest first");
    assert_eq!(named[MAX_RING_LIST - 1].peer, known[12].peer, "{named:?}");
    assert!(named.iter().all(|sibling| sibling.peer != me.peer));
}

#[test]
fn of_few_all_are_named() {
    let me = node(0, 0.0, 0.0);
    let known: Vec<RingNode> = (1..=8).map(|n| node(n, n as f64, 0.0)).collect();
    assert_eq!(siblings(&me, &known).len(), 8);
    assert!(siblings(&me, &[]).is_empty());
    assert!(siblings(&me, [&me]).is_empty());
}

proptest! {
    #[test]
    fn from_any_tracker_a_sibling_leads_nearer_to_any_other(
        places in proptest::collection::vec((-200.0..200.0f64, -200.0..200.0f64), 2..60),
    ) {
        let nodes: Vec<RingNode> = places.iter().enumerate().map(|(n, &(x, y))| node(n, x, y)).collect();
        let named = siblings(&nodes[0], &nodes);
        for target in &nodes[1..] {
            let away = |from: &RingNode| if from.peer == target.peer { 0.0 } else { distance_ms(&from.coord, &target.coord) };
            prop_assert!(named.iter().any(|sibling| away(sibling) < away(&nodes[0])), "{target:?}");
        }
    }
}
