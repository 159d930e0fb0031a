use coords::Coord;
use wire::{SecretKey, Signed};

use super::*;
use crate::filter::Needle;

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn stream(n: u8) -> StreamId {
    key(n).stream_id()
}

fn node(n: u8) -> RingNode {
    RingNode::new(key(n).peer_id(), &Coord::default(), wire::List::default())
}

fn lease_of(tracker: u8, of: u8, serial: u64, ttl_ms: u32) -> TrackerLease {
    TrackerLease {
        stream: stream(of),
        tracker: node(tracker),
        siblings: std::iter::once(node(99)).collect(),
        serial,
        ttl_ms,
    }
}

fn signed(lease: &TrackerLease, by: u8) -> Lease {
    Lease {
        lease: Signed::new(lease, &key(by)),
        tracker: key(by).peer_id(),
    }
}

#[test]
fn a_lease_holds_until_its_time_is_over_and_no_longer_than_allowed() {
    let mut leases = Leases::default();
    let needle = Needle::from(stream(7));
    for (serial, ttl_ms, holds_ms) in [(1, 5_000, 5_000), (2, u32::MAX, 30_000)] {
        let start = Time::from_millis(1_000 * serial);
        leases
            .take(start, &signed(&lease_of(1, 7, serial, ttl_ms), 1))
            .expect("good");
        let end = start + Duration::from_millis(holds_ms);
        assert!(!leases.expire(end - Duration::from_millis(1)));
        assert!(leases.filter().contains(&needle));
        assert_eq!(leases.trackers(stream(7)).len(), 2, "the tracker and its sibling");
        assert!(leases.expire(end));
        assert!(!leases.filter().contains(&needle));
        assert_eq!((leases.trackers(stream(7)).len(), leases.len()), (0, 0));
    }
}

#[test]
fn what_is_not_signed_by_the_tracker_is_not_taken() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    // Signed by somebody else, in the name of the tracker or in his own.
    let mut forged = signed(&lease_of(1, 7, 1, 5_000), 2);
    assert_eq!(
        leases.take(now, &forged),
        Err(LeaseError::Signature(SignatureError::Key))
    );
    forged.tracker = key(1).peer_id();
    assert_eq!(
        leases.take(now, &forged),
        Err(LeaseError::Signature(SignatureError::Mismatch))
    );
    assert_eq!(leases.len(), 0);
}

#[test]
fn an_older_lease_changes_nothing_and_a_last_one_ends_it() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    leases
        .take(now, &signed(&lease_of(1, 7, 5, 5_000), 1))
        .expect("good");
    for serial in [4, 5] {
        let again = leases.take(now, &signed(&lease_of(1, 7, serial, 9_000), 1));
        assert_eq!(again, Err(LeaseError::Old));
    }
    leases.take(now, &signed(&lease_of(1, 7, 6, 0), 1)).expect("good");
    assert_eq!(leases.len(), 0);
}

#[test]
fn nobody_fills_the_table_alone() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    for of in 0..64 {
        leases
            .take(now, &signed(&lease_of(1, of, 1, 5_000), 1))
            .expect("room");
    }
    let more = leases.take(now, &signed(&lease_of(1, 64, 1, 5_000), 1));
    assert_eq!(more, Err(LeaseError::Full));
    leases
        .take(now, &signed(&lease_of(2, 64, 1, 5_000), 2))
        .expect("another's");
    // A renewal needs no room.
    leases
        .take(now, &signed(&lease_of(1, 63, 2, 5_000), 1))
        .expect("a renewal");
    assert_eq!(leases.len(), 65);
}

#[test]
fn several_trackers_of_a_stream_are_named_before_their_siblings_and_nobody_twice() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    for tracker in 1..=3 {
        leases
            .take(now, &signed(&lease_of(tracker, 7, 1, 5_000), tracker))
            .expect("good");
    }
    let named: Vec<PeerId> = leases.trackers(stream(7)).iter().map(|n| n.peer).collect();
    assert_eq!(named.len(), 4);
    assert_eq!(named[3], node(99).peer);
}
