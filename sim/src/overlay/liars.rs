//! Members of a ring that lie: what the honest have to live with.

use std::collections::BTreeSet;

use doat::{Doat, Filter};
use wire::message::{Appointment, FilterChange, Find, Found, Lease, RingSeen, TrackerLease};
use wire::{List, Message, SecretKey, Signed, StreamId};

/// Liars. All keep their place on the ring as the honest do, pass no look-up on, name only themselves to whoever looks for
/// members, and register for streams that have not appointed them. Beyond that there are four kinds by their numbers:
/// every second answers look-ups with itself, the others with nothing; and of both every second claims to lead to everything.
#[derive(Debug, Default)]
pub(super) struct Liars(BTreeSet<u32>);

impl Liars {
    pub(super) fn insert(&mut self, member: u32) {
        self.0.insert(member);
    }

    pub(super) fn contains(&self, member: u32) -> bool {
        self.0.contains(&member)
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.0.iter().copied().collect()
    }

    /// A lease of a liar that only itself has appointed.
    pub(super) fn forge(node: &Doat, key: &SecretKey, stream: StreamId) -> Lease {
        let tracker = node.me().peer;
        let lease = TrackerLease {
            stream,
            tracker: node.me().clone(),
            siblings: List::default(),
            serial: u64::MAX,
            ttl_ms: doat::LEASE.as_millis() as u32,
            members: 1,
            short: 0,
        };
        let appointment = Appointment {
            stream,
            tracker,
            serial: u64::MAX,
        };
        Lease {
            lease: Signed::new(&lease, key),
            tracker,
            appointment: Signed::new(&appointment, key),
        }
    }

    /// What a liar answers; nothing if it answers as an honest one.
    pub(super) fn answers(&self, liar: u32, node: &Doat, key: &SecretKey, message: &Message) -> Vec<Message> {
        match message {
            Message::Find(find) => {
                let ways = find.up.map_or(vec![true, false], |up| vec![up]);
                let lease = |find: &Find| {
                    liar.is_multiple_of(2)
                        .then(|| Self::forge(node, key, find.stream))
                };
                let found = |up| Found {
                    nonce: find.nonce,
                    up,
                    hops: find.hops,
                    lease: lease(find),
                };
                ways.into_iter().map(|up| found(up).into()).collect()
            }
            Message::RingSeek(seek) => {
                let seen = RingSeen {
                    nonce: seek.nonce,
                    hops: seek.hops,
                    nodes: std::iter::once(node.me().clone()).collect(),
                };
                vec![seen.into()]
            }
            _ => Vec::new(),
        }
    }

    /// Makes a filter that a liar tells of lead to everything.
    pub(super) fn poison(&self, from: u32, message: &mut Message) {
        let claims = self.contains(from) && (from / 2).is_multiple_of(2);
        if let (true, Message::Watched(watched)) = (claims, message) {
            let all = FilterChange::Whole(Filter::default().to_bytes().iter().map(|_| u8::MAX).collect());
            if let Some(filter) = Filter::default().changed(&all) {
                (watched.check, watched.since, watched.change) = (filter.check(), None, all);
            }
        }
    }
}
