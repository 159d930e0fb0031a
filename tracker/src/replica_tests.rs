use std::net::IpAddr;

use coords::Coord;
use wire::message::Join;
use wire::{Bitrate, StreamId, Time};

use super::*;
use crate::{Tracker, TrackerConfig};

fn id(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn record(n: u8) -> PeerRecord {
    PeerRecord {
        peer: id(n),
        addrs: [SocketAddr::from(([10, 0, 0, n], 4000))].into_iter().collect(),
        coord: Coord {
            x_ms: f64::from(n),
            ..Coord::ORIGIN
        },
        role: Role::Consumer,
        slots: 16,
        free_slots: 4,
        primaries: SubstreamSet::EMPTY,
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::all(16),
        lag_ms: Some(100),
    }
}

fn register(tracker: &mut Tracker, now: Time, record: PeerRecord) {
    let join = Join {
        stream: StreamId::from_bytes([1; 32]),
        want: 0,
        need: SubstreamSet::EMPTY,
        upload: Bitrate::ZERO,
        known: None,
        promised: 0,
        record,
    };
    let peer = join.record.peer;
    tracker
        .join(now, peer, IpAddr::from([10, 0, 0, 1]), &join)
        .unwrap();
}

/// Tells a deputy everything, and says in how many messages.
fn tell(tracker: &Tracker, replica: &mut Replica, mirror: &mut Mirror) -> usize {
    let mut messages = 0;
    while let Some(change) = replica.news(tracker) {
        assert!(change.records.len() <= MAX_HANDED && change.gone.len() <= MAX_GONE);
        mirror.apply(change);
        messages += 1;
    }
    messages
}

fn peers(mirror: &Mirror) -> Vec<PeerId> {
    mirror.records().map(|record| record.peer).collect()
}

#[test]
fn a_deputy_is_told_what_lasts_and_nothing_twice() {
    let mut tracker = Tracker::new(TrackerConfig::new(id(200), 16, 1));
    let (mut replica, mut mirror) = (Replica::default(), Mirror::default());
    assert_eq!(tell(&tracker, &mut replica, &mut mirror), 0);
    for n in 1..=60 {
        register(&mut tracker, Time::ZERO, record(n));
    }
    assert_eq!(tell(&tracker, &mut replica, &mut mirror), 3);
    assert_eq!(peers(&mirror), (1..=60).map(id).collect::<Vec<_>>());
    // Room comes and goes.
    let mut busy = record(1);
    (busy.free_slots, busy.lag_ms) = (0, Some(900));
    register(&mut tracker, Time::ZERO, busy);
    assert_eq!(tell(&tracker, &mut replica, &mut mirror), 0);
    let mut more = record(2);
    more.slots = 32;
    register(&mut tracker, Time::ZERO, more);
    tracker.leave(Time::ZERO, id(3));
    register(&mut tracker, Time::ZERO, record(61));
    assert_eq!(tell(&tracker, &mut replica, &mut mirror), 1);
    assert_eq!((mirror.len(), mirror.is_empty()), (60, false));
    let two = mirror.records().find(|record| record.peer == id(2)).unwrap();
    assert_eq!(two.slots, 32);
    assert!(!peers(&mirror).contains(&id(3)) && peers(&mirror).contains(&id(61)));
}

#[test]
fn what_a_deputy_remembers_has_a_bound() {
    let mut mirror = Mirror::default();
    for n in 0..MAX_MIRRORED + 100 {
        let mut peer = [0; 32];
        peer[..8].copy_from_slice(&(n as u64).to_be_bytes());
        let mut one = record(1);
        one.peer = PeerId::from_bytes(peer);
        mirror.apply(Change {
            records: vec![one],
            gone: Vec::new(),
        });
    }
    assert_eq!(mirror.len(), MAX_MIRRORED);
}
