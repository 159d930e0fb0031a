use coords::Coord;
use wire::List;

use super::*;

fn node(n: u8) -> RingNode {
    RingNode::new(PeerId::from_bytes([n; 32]), &Coord::default(), List::default())
}

fn order(entries: &Entries) -> Vec<u8> {
    entries
        .nodes()
        .iter()
        .map(|node| node.peer.as_bytes()[0])
        .collect()
}

#[test]
fn those_that_answered_last_come_first_and_those_that_did_not_last() {
    let mut entries = Entries::default();
    for n in 1..=4 {
        entries.know(&node(n));
    }
    entries.answered(node(3).peer);
    entries.answered(node(4).peer);
    entries.failed(node(1).peer);
    assert_eq!(order(&entries), [4, 3, 2, 1]);
    entries.know(&node(3));
    entries.remove(node(4).peer);
    assert_eq!(order(&entries), [3, 2, 1]);
}

#[test]
fn names_alone_push_nobody_out_who_has_answered() {
    let mut entries = Entries::default();
    for n in 1..=20 {
        entries.know(&node(n));
        if n <= 10 {
            entries.answered(node(n).peer);
        }
    }
    let order = order(&entries);
    assert_eq!(order.len(), MAX_ENTRIES);
    assert!((1..=10).all(|n| order.contains(&n)), "{order:?}");
    assert_eq!(order.last(), Some(&20));
}
