use wire::List;

use super::*;

fn id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn node(n: u8, x_ms: f64) -> RingNode {
    let coord = Coord {
        x_ms,
        ..Coord::ORIGIN
    };
    let addr = std::net::SocketAddr::from(([10, 0, 0, n], 4000));
    RingNode::new(id(n), &coord, [addr].into_iter().collect())
}

fn news(n: u8, x_ms: f64, members: u32) -> News {
    News {
        node: node(n, x_ms),
        members,
        short: 0,
    }
}

const HOME: Coord = Coord::ORIGIN;

#[test]
fn the_nearest_are_told_of_and_the_farthest_forgotten() {
    let mut siblings = Siblings::default();
    for n in 1..=16u8 {
        assert!(siblings.hear(Time::ZERO, &HOME, None, news(n, f64::from(n) * 10.0, 1)));
    }
    let nearest = siblings.nearest(&HOME);
    let peers: Vec<PeerId> = nearest.iter().map(|sibling| sibling.news.node.peer).collect();
    assert_eq!(peers, (1..=8).map(id).collect::<Vec<_>>());
    assert!(!siblings.hear(Time::ZERO, &HOME, None, news(20, 300.0, 1)));
    assert!(siblings.hear(Time::ZERO, &HOME, None, news(21, 5.0, 1)));
    assert_eq!(siblings.peers().count(), 16);
    assert!(siblings.get(id(16)).is_none(), "the farthest made room");
    // The peercaster stays however far it is.
    assert!(siblings.hear(Time::ZERO, &HOME, Some(id(22)), news(22, 400.0, 1)));
    assert!(siblings.hear(Time::ZERO, &HOME, Some(id(22)), news(23, 6.0, 1)));
    assert!(siblings.get(id(22)).is_some());
}

#[test]
fn it_is_known_when_somebody_new_was_met_last() {
    let at = Time::from_micros;
    let mut siblings = Siblings::default();
    siblings.hear(at(1), &HOME, None, news(1, 10.0, 1));
    siblings.hear(at(2), &HOME, None, news(1, 10.0, 5));
    assert_eq!(siblings.met_at(), at(1), "its own news again are nothing new");
    for n in 2..=16u8 {
        siblings.hear(at(3), &HOME, None, news(n, 10.0, 1));
    }
    siblings.hear(at(4), &HOME, None, news(20, 300.0, 1));
    assert_eq!(siblings.met_at(), at(3), "one too far is none");
    siblings.hear(at(5), &HOME, None, news(21, 5.0, 1));
    assert_eq!(siblings.met_at(), at(5));
}

#[test]
fn whoever_says_nothing_is_forgotten() {
    let mut siblings = Siblings::default();
    siblings.hear(Time::ZERO, &HOME, None, news(1, 1.0, 1));
    siblings.hear(Time::from_millis(5_000), &HOME, None, news(2, 1.0, 1));
    assert_eq!(siblings.expire(Time::from_millis(10_000)), []);
    assert_eq!(siblings.expire(Time::from_millis(10_001)), [id(1)]);
    assert_eq!(siblings.peers().collect::<Vec<_>>(), [id(2)]);
}

#[test]
fn who_is_only_heard_of_is_met_once_in_a_while_if_it_is_near_enough() {
    let mut siblings = Siblings::default();
    siblings.hear_of(Time::ZERO, id(9), &[node(1, 50.0), node(2, 20.0), node(9, 0.0)]);
    assert_eq!(siblings.to_meet(Time::ZERO, &HOME), Some(node(2, 20.0)));
    assert_eq!(siblings.to_meet(Time::ZERO, &HOME), Some(node(1, 50.0)));
    assert_eq!(siblings.to_meet(Time::ZERO, &HOME), None);
    siblings.hear(Time::ZERO, &HOME, None, news(2, 20.0, 1));
    let later = Time::ZERO + ASK_AGAIN;
    assert_eq!(siblings.to_meet(later, &HOME), Some(node(1, 50.0)));
    for n in 30..38 {
        siblings.hear(Time::ZERO, &HOME, None, news(n, 30.0, 1));
    }
    assert_eq!(
        siblings.to_meet(later + ASK_AGAIN, &HOME),
        None,
        "eight are nearer"
    );
    let many: Vec<RingNode> = (100..200).map(|n| node(n, 1.0)).collect();
    siblings.hear_of(Time::ZERO, id(9), &many);
    assert!(siblings.heard.len() <= MAX_HEARD);
    let unreachable = RingNode::new(id(99), &HOME, List::default());
    let mut empty = Siblings::default();
    empty.hear_of(Time::ZERO, id(9), &[unreachable]);
    assert_eq!(empty.to_meet(Time::ZERO, &HOME), None);
}

#[test]
fn the_heir_is_the_nearest_with_room() {
    let mut siblings = Siblings::default();
    siblings.hear(Time::ZERO, &HOME, None, news(1, 10.0, 70));
    siblings.hear(Time::ZERO, &HOME, None, news(2, 20.0, 50));
    siblings.hear(Time::ZERO, &HOME, None, news(3, 30.0, 0));
    assert_eq!(siblings.heir(&HOME, 24, 100), Some(id(2)));
    assert_eq!(siblings.heir(&HOME, 5, 100), Some(id(1)));
    assert_eq!(siblings.heir(&HOME, 80, 100), None);
}
