use coords::{Coord, hcurve};
use proptest::prelude::*;
use wire::List;

use super::*;

/// A node about this far along the ring, of 256.
fn node(n: u8, at: u8) -> RingNode {
    let coord = Coord {
        height_ms: 2.0,
        ..hcurve::coord_at(u64::from(at) << 56)
    };
    RingNode::new(PeerId::from_bytes([n; 32]), &coord, List::default())
}

/// What the lists should be: all nodes sorted by the walk.
fn walked(me: &RingNode, nodes: &[RingNode], way: Way) -> Vec<PeerId> {
    let me = Place::of(me);
    let mut places: Vec<Place> = nodes
        .iter()
        .map(Place::of)
        .filter(|p| p.peer != me.peer)
        .collect();
    places.sort();
    let above = places.partition_point(|p| *p < me);
    places.rotate_left(above);
    if way == Way::Down {
        places.reverse();
    }
    places.into_iter().map(|p| p.peer).take(MAX_RING_LIST).collect()
}

#[test]
fn who_is_alone_has_nobody() {
    let me = node(1, 77);
    let mut ring = Ring::of_one(&me);
    assert_eq!(ring.me(), Place::of(&me));
    assert!(!ring.insert(&me) && !ring.lacks(&me));
    assert!(Way::BOTH.into_iter().all(|way| ring.next(way).is_none()));
}

proptest! {
    /// Whatever comes and goes in whatever order, the lists are the nearest of those that are there.
    #[test]
    fn the_lists_are_the_nearest_in_each_direction(
        places in prop::collection::vec(any::<u8>(), 1..40),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let nodes: Vec<RingNode> = places.iter().enumerate().map(|(n, &at)| node(n as u8 + 1, at)).collect();
        let (me, others) = nodes.split_first().expect("one at least");
        let mut ring = Ring::of_one(me);
        for other in others {
            let lacks = ring.lacks(other);
            prop_assert_eq!(ring.insert(other), lacks);
        }
        for way in Way::BOTH {
            let held: Vec<PeerId> = ring.list(way).iter().map(|node| node.peer).collect();
            prop_assert_eq!(held, walked(me, &nodes, way));
        }
        let mut left = nodes.clone();
        for index in gone.iter().filter(|_| others.len() < MAX_RING_LIST) {
            let peer = index.get(&nodes).peer;
            prop_assert_eq!(ring.remove(peer), peer != me.peer && left.iter().any(|n| n.peer == peer));
            left.retain(|n| n.peer != peer || n.peer == me.peer);
        }
        if others.len() < MAX_RING_LIST {
            for way in Way::BOTH {
                let held: Vec<PeerId> = ring.list(way).iter().map(|node| node.peer).collect();
                prop_assert_eq!(held, walked(me, &left, way));
            }
        }
    }

    /// Who moves is found at its new place only.
    #[test]
    fn who_moves_is_in_the_lists_once(at in any::<u8>(), from in any::<u8>(), to in any::<u8>()) {
        let me = node(1, at);
        let mut ring = Ring::of_one(&me);
        ring.insert(&node(3, at.wrapping_add(9)));
        ring.insert(&node(2, from));
        ring.insert(&node(2, to));
        for way in Way::BOTH {
            let held: Vec<PeerId> = ring.list(way).iter().map(|node| node.peer).collect();
            let all = [me.clone(), node(2, to), node(3, at.wrapping_add(9))];
            prop_assert_eq!(held, walked(&me, &all, way));
        }
    }
}
