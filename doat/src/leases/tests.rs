use coords::Coord;
use wire::message::{Appointment, RingNode};
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
        members: 1,
        short: 0,
    }
}

/// Signed by a tracker that a stream has appointed.
fn signed_for(lease: &TrackerLease, by: u8, of: u8) -> Lease {
    let tracker = key(by).peer_id();
    Lease {
        lease: Signed::new(lease, &key(by)),
        tracker,
        appointment: Appointment::sign(&key(of), tracker, 1),
    }
}

/// A good one.
fn lease(tracker: u8, of: u8, serial: u64, ttl_ms: u32) -> Lease {
    signed_for(&lease_of(tracker, of, serial, ttl_ms), tracker, of)
}

#[test]
fn a_lease_holds_until_its_time_is_over_and_no_longer_than_allowed() {
    let mut leases = Leases::default();
    let needle = Needle::from(stream(7));
    for (serial, ttl_ms, holds_ms) in [(1, 5_000, 5_000), (2, u32::MAX, 30_000)] {
        let start = Time::from_millis(1_000 * serial);
        leases.take(start, &lease(1, 7, serial, ttl_ms)).expect("good");
        let end = start + Duration::from_millis(holds_ms);
        assert!(!leases.expire(end - Duration::from_millis(1)));
        assert!(leases.filter().contains(&needle));
        let (held, opened) = leases.nearest(stream(7), 0, &[]).expect("held");
        assert_eq!(*held, lease(1, 7, serial, ttl_ms), "as it came");
        assert_eq!(opened.trackers().count(), 2, "the tracker and its sibling");
        assert!(leases.expire(end));
        assert!(!leases.filter().contains(&needle));
        assert_eq!(leases.nearest(stream(7), 0, &[]), None);
        assert_eq!(leases.len(), 0);
    }
}

#[test]
fn what_is_not_signed_by_the_tracker_or_whom_the_stream_did_not_appoint_is_not_taken() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    let mut refused = |lease: &Lease, why: SignatureError| {
        assert_eq!(leases.take(now, lease), Err(LeaseError::Signature(why)));
        assert_eq!(leases.len(), 0);
    };
    // Signed by somebody else, in the name of the tracker or in his own.
    let mut forged = signed_for(&lease_of(1, 7, 1, 5_000), 2, 7);
    refused(&forged, SignatureError::Subject);
    forged.tracker = key(1).peer_id();
    refused(&forged, SignatureError::Mismatch);
    // Its own word, without the stream's: appointed by itself, for another stream, or another tracker's appointment.
    let good = lease(1, 7, 1, 5_000);
    for (appointed_by, tracker, why) in [
        (1, 1, SignatureError::Mismatch),
        (8, 1, SignatureError::Mismatch),
        (7, 2, SignatureError::Subject),
    ] {
        let appointment = Appointment::sign(&key(appointed_by), key(tracker).peer_id(), 1);
        let lease = Lease {
            appointment,
            ..good.clone()
        };
        refused(&lease, why);
    }
    leases.take(now, &good).expect("good");
}

#[test]
fn an_older_lease_changes_nothing_and_a_last_one_ends_it() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    leases.take(now, &lease(1, 7, 5, 5_000)).expect("good");
    for serial in [4, 5] {
        let again = leases.take(now, &lease(1, 7, serial, 9_000));
        assert_eq!(again, Err(LeaseError::Old));
    }
    leases.take(now, &lease(1, 7, 6, 0)).expect("good");
    assert_eq!(leases.len(), 0);
}

#[test]
fn nobody_fills_the_table_alone() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    for of in 0..64 {
        leases.take(now, &lease(1, of, 1, 5_000)).expect("room");
    }
    let more = leases.take(now, &lease(1, 64, 1, 5_000));
    assert_eq!(more, Err(LeaseError::Full));
    leases.take(now, &lease(2, 64, 1, 5_000)).expect("another's");
    // A renewal needs no room.
    leases.take(now, &lease(1, 63, 2, 5_000)).expect("a renewal");
    assert_eq!(leases.len(), 65);
}

#[test]
fn of_several_trackers_of_a_stream_the_nearest_is_named() {
    let mut leases = Leases::default();
    let now = Time::from_millis(1);
    for (tracker, x_ms) in [(1, -40.0), (2, 30.0), (3, 200.0)] {
        let mut of = lease_of(tracker, 7, 1, 5_000);
        of.tracker.coord.x_ms = x_ms;
        leases.take(now, &signed_for(&of, tracker, 7)).expect("good");
    }
    leases.take(now, &lease(4, 8, 1, 5_000)).expect("good");
    for (x_ms, nearest) in [(-100.0, 1), (0.0, 2), (120.0, 3)] {
        let at = Coord {
            x_ms,
            ..Coord::default()
        };
        let (_, lease) = leases
            .nearest(stream(7), coords::hcurve::position_of(&at), &[])
            .expect("held");
        assert_eq!(lease.tracker.peer, node(nearest).peer, "{x_ms}");
    }
}
