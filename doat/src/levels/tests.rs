use std::time::Duration;

use coords::Coord;
use wire::message::{FilterChange, MAX_FLIPS};
use wire::{List, SecretKey, StreamId};

use super::*;

/// The nodes are numbered in the order of the ring.
fn node(n: u8) -> RingNode {
    let scattered = |i: u32| {
        let coord = Coord {
            x_ms: f64::from(i * 37 % 101) * 9.0 - 450.0,
            y_ms: f64::from(i * 53 % 103) * 8.0 - 400.0,
            height_ms: 2.0,
        };
        RingNode::new(PeerId::from_bytes([0; 32]), &coord, List::default())
    };
    let mut nodes: Vec<RingNode> = (0..64).map(scattered).collect();
    nodes.sort_by_key(RingNode::position);
    RingNode {
        peer: PeerId::from_bytes([n; 32]),
        ..nodes.swap_remove(usize::from(n))
    }
}

fn stream(n: u8) -> StreamId {
    SecretKey::from_bytes(&[n; 32]).stream_id()
}

fn filter(streams: impl IntoIterator<Item = u8>) -> Filter {
    let mut filter = Filter::default();
    for n in streams {
        filter.insert(stream(n));
    }
    filter
}

/// The entries of member 1 in a ring of so many, and that ring's lists.
fn levels(members: u8) -> (Levels, Ring) {
    let mut ring = Ring::of_one(&node(1));
    for n in 2..=members {
        ring.insert(&node(n));
    }
    let mut levels = Levels::default();
    assert!(levels.choose(NOW, &ring, Way::Up, |_| false));
    assert!(!levels.choose(NOW, &ring, Way::Up, |_| false), "nothing new");
    (levels, ring)
}

/// What finger `from` says: its finger, and its filter as a change.
fn says(
    level: u8,
    finger: Option<u8>,
    seq: u32,
    since: Option<u32>,
    before: &Filter,
    after: &Filter,
) -> Watched {
    Watched {
        up: true,
        level,
        finger: finger.map(node),
        state: FilterState { epoch: 5, seq },
        since,
        change: after.change_from(before),
        check: after.check(),
    }
}

const NOW: Time = Time::from_millis(1_000);

fn fingers(levels: &Levels) -> Vec<PeerId> {
    levels.entries().iter().map(|entry| entry.finger.peer).collect()
}

fn ids(nodes: impl IntoIterator<Item = u8>) -> Vec<PeerId> {
    nodes.into_iter().map(|n| node(n).peer).collect()
}

#[test]
fn the_lists_give_fingers_of_up_to_eight_ranks_and_each_finger_the_next() {
    for (members, expected) in [
        (1, vec![]),
        (2, vec![2]),
        (5, vec![2, 3, 5]),
        (9, vec![2, 3, 5, 9]),
    ] {
        assert_eq!(fingers(&levels(members).0), ids(expected), "{members}");
    }
    let (mut levels, ring) = levels(40);
    let none = Filter::default();
    assert_eq!(fingers(&levels), ids([2, 3, 5, 9]));
    // The finger at rank 8 says who is at rank 8 from there.
    levels.apply(NOW, node(9).peer, &says(3, Some(17), 0, None, &none, &none));
    assert!(levels.choose(NOW, &ring, Way::Up, |_| false));
    assert_eq!(fingers(&levels), ids([2, 3, 5, 9, 17]));
    // Who is dead is not taken, though the finger names it; then it is asked again.
    let dead = |peer: PeerId| peer == node(17).peer;
    assert_eq!(
        levels.breaks_off_at(&ring, Way::Up, dead),
        Some(4),
        "the newest has said nothing yet"
    );
    assert!(levels.choose(NOW, &ring, Way::Up, dead));
    assert_eq!(fingers(&levels), ids([2, 3, 5, 9]));
    assert_eq!(levels.breaks_off_at(&ring, Way::Up, dead), Some(3));
    assert_eq!(levels.breaks_off_at(&ring, Way::Up, |_| false), None);
    assert!(levels.choose(NOW, &ring, Way::Up, |_| false));
    // One that lies once around adds nothing.
    for behind in [1, 4, 17] {
        levels.apply(NOW, node(17).peer, &says(4, Some(behind), 0, None, &none, &none));
        levels.choose(NOW, &ring, Way::Up, |_| false);
        assert_eq!(fingers(&levels), ids([2, 3, 5, 9, 17]), "{behind}");
    }
}

#[test]
fn only_the_finger_itself_is_heard_and_what_is_missing_is_noticed() {
    let (mut levels, _) = levels(9);
    let (none, one, two) = (filter([]), filter([1]), filter([1, 2]));
    let first = says(1, None, 4, None, &none, &one);
    assert_eq!(levels.apply(NOW, node(2).peer, &first), Applied::Foreign);
    assert_eq!(
        levels.apply(NOW, node(9).peer, &says(20, None, 4, None, &none, &one)),
        Applied::Foreign
    );
    assert_eq!(
        levels.apply(NOW, node(3).peer, &first),
        Applied::Taken { news: true }
    );
    assert_eq!(levels.state(1), Some(FilterState { epoch: 5, seq: 4 }));
    // A change was lost; the next one fits again.
    assert_eq!(
        levels.apply(NOW, node(3).peer, &says(1, None, 6, Some(5), &one, &two)),
        Applied::Gap
    );
    assert_eq!(
        levels.apply(NOW, node(3).peer, &says(1, None, 5, Some(4), &one, &two)),
        Applied::Taken { news: true }
    );
    // Applied to something else it does not give what its sender has.
    let wrong = says(1, None, 6, Some(5), &one, &none);
    assert_eq!(levels.apply(NOW, node(3).peer, &wrong), Applied::Gap);
    assert_eq!(levels.state(1), None, "all of it is asked for");
}

#[test]
fn what_is_told_makes_the_same_filter_at_whoever_watches() {
    let (mut owner, _) = levels(9);
    let (mut watcher, _) = levels(9);
    let owner_id = node(2).peer;
    assert!(owner.watch(NOW, 0, node(40).peer));
    let mut local = filter([]);
    for n in 0..200u8 {
        local.insert(stream(n));
        for (to, message) in owner.update(9, &local, Way::Up) {
            assert_eq!(to, node(40).peer);
            // Every fifth is lost, and asked for again with the next.
            if n % 5 == 0 {
                continue;
            }
            if watcher.apply(NOW, owner_id, &message) == Applied::Gap {
                let have = watcher.state(0);
                let whole = owner.tell(9, 0, have, Way::Up).expect("there");
                assert!(matches!(
                    watcher.apply(NOW, owner_id, &whole),
                    Applied::Taken { .. }
                ));
            }
        }
    }
    let have = watcher.state(0).expect("in step");
    let again = owner.tell(9, 0, Some(have), Way::Up).expect("there");
    assert_eq!(
        again.change,
        FilterChange::Flips(List::default()),
        "nothing is said twice"
    );
    let whole = owner.tell(9, 0, None, Way::Up).expect("there");
    assert!(local.ones() as usize > MAX_FLIPS && matches!(whole.change, FilterChange::Whole(_)));
}

#[test]
fn an_entry_leads_to_the_nearest_that_has_the_stream_and_not_beyond_the_end() {
    let (mut levels, ring) = levels(9);
    let none = Filter::default();
    for (level, from, streams) in [
        (0, 2, vec![]),
        (1, 3, vec![7]),
        (2, 5, vec![7, 8]),
        (3, 9, vec![8]),
    ] {
        levels.apply(
            NOW,
            node(from).peer,
            &says(level, None, 0, None, &none, &filter(streams)),
        );
    }
    let me = ring.me();
    let to = |n: u8, until: u8, dead: &[u8]| {
        let shunned = |peer: PeerId| dead.iter().any(|&d| node(d).peer == peer);
        let until = Place::of(&node(until));
        levels
            .towards(Way::Up, &me, &Needle::from(stream(n)), &until, shunned)
            .map(|finger| finger.peer)
    };
    assert_eq!(to(7, 1, &[]), Some(node(3).peer));
    assert_eq!(to(7, 1, &[3]), Some(node(5).peer));
    assert_eq!(to(8, 1, &[]), Some(node(5).peer));
    assert_eq!(to(8, 5, &[]), None, "the arc ends there");
    assert_eq!(to(8, 6, &[]), Some(node(5).peer));
    assert_eq!(to(9, 1, &[]), None);
}

#[test]
fn what_is_not_said_again_is_forgotten_and_watchers_are_bounded() {
    let (mut levels, _) = levels(9);
    levels.apply(
        NOW,
        node(2).peer,
        &says(0, None, 0, None, &filter([]), &filter([7])),
    );
    assert!(!levels.expire(NOW + WATCHED_FOR));
    assert!(levels.expire(NOW + WATCHED_FOR + Duration::from_millis(1)));
    assert_eq!(levels.state(0), None);
    for n in 20..60 {
        assert!(levels.watch(NOW, 0, node(n).peer));
    }
    assert!(!levels.watch(NOW, 40, node(3).peer), "there is no such level");
    assert_eq!(levels.update(9, &filter([1]), Way::Up).len(), MAX_WATCHERS);
}

#[test]
fn a_finger_that_was_changed_a_moment_ago_stays_unless_it_dies() {
    let (mut levels, ring) = levels(40);
    let none = Filter::default();
    let names = |levels: &mut Levels, n: u8| {
        levels.apply(NOW, node(9).peer, &says(3, Some(n), 0, None, &none, &none));
    };
    names(&mut levels, 17);
    levels.choose(NOW, &ring, Way::Up, |_| false);
    // The first change is made at once, the next one waits.
    names(&mut levels, 18);
    assert!(levels.choose(NOW, &ring, Way::Up, |_| false));
    names(&mut levels, 19);
    assert!(!levels.choose(NOW + STAYS / 2, &ring, Way::Up, |_| false));
    assert_eq!(fingers(&levels), ids([2, 3, 5, 9, 18]));
    assert!(levels.choose(NOW + STAYS, &ring, Way::Up, |_| false));
    assert_eq!(fingers(&levels), ids([2, 3, 5, 9, 19]));
    // Who is gone does not wait.
    names(&mut levels, 20);
    let dead = |peer: PeerId| peer == node(19).peer;
    assert!(levels.choose(NOW + STAYS, &ring, Way::Up, dead));
    assert_eq!(fingers(&levels), ids([2, 3, 5, 9, 20]));
}

#[test]
fn the_entries_beyond_a_new_finger_stay_until_it_says_who_comes_next() {
    let (mut levels, mut ring) = levels(40);
    let none = Filter::default();
    levels.apply(NOW, node(9).peer, &says(3, Some(17), 0, None, &none, &none));
    levels.choose(NOW, &ring, Way::Up, |_| false);
    levels.apply(NOW, node(17).peer, &says(4, None, 0, None, &none, &none));
    // The member at rank 8 goes, and the next one takes its place.
    ring.remove(node(9).peer);
    ring.insert(&node(10));
    assert!(levels.choose(NOW, &ring, Way::Up, |peer| peer == node(9).peer));
    assert_eq!(fingers(&levels), ids([2, 3, 5, 10, 17]));
    levels.apply(NOW, node(10).peer, &says(3, None, 0, None, &none, &none));
    assert!(levels.choose(NOW + STAYS, &ring, Way::Up, |_| false));
    assert_eq!(
        fingers(&levels),
        ids([2, 3, 5, 10]),
        "it says that there is nobody"
    );
}

#[test]
fn a_range_holds_so_many_streams_and_a_wide_one_more_only_if_the_next_does() {
    // What so many streams turn on, by the formula of the filter.
    let ones = |streams: f64| {
        let share = 1.0 - (-7.0 * streams / 16_384.0).exp();
        (share * 16_384.0) as u32
    };
    for (level, streams) in [(0, 2_048.0), (4, 2_048.0), (5, 3_072.0), (6, 5_120.0)] {
        assert!(!is_poisoned(ones(streams), level, 0), "{level}");
        assert!(is_poisoned(ones(streams * 1.02), level, 16_384), "{level}");
    }
    assert!(is_poisoned(16_384, 9, 1_000));
    assert!(!is_poisoned(16_384, 9, 12_000), "a large overlay");
    assert!(!is_poisoned(9_000, 9, 0));
}
