//! The local trackers that are registered with this member.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::message::{Lease, MAX_TRACKERS, RingNode, TrackerLease};
use wire::{PeerId, SignatureError, StreamId, Time, Verifier};

use crate::filter::Filter;

/// How long a lease holds at most. A tracker renews it after a third.
pub const LEASE: Duration = Duration::from_secs(30);

/// Most leases held: a member of an overlay with a tracker for each of 1000 members holds two on average.
const MAX_LEASES: usize = 4_096;

/// Most leases of one tracker: nobody tracks more streams, and nobody fills the table alone.
const MAX_OF_ONE: usize = 64;

/// Why a lease is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The signature or what it covers is wrong.
    #[error("the lease is not its tracker's: {0}")]
    Signature(#[from] SignatureError),
    /// It is older than what is held.
    #[error("a later lease of the same tracker is held")]
    Old,
    /// There is no room.
    #[error("there is no room for one more lease")]
    Full,
}

#[derive(Clone, Debug)]
struct Held {
    lease: TrackerLease,
    until: Time,
}

/// The leases, by stream.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<(StreamId, PeerId), Held>,
    filter: Filter,
}

impl Leases {
    /// The streams as a filter: U[0].
    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a lease or a renewal.
    pub(crate) fn take(&mut self, now: Time, message: &Lease) -> Result<(), LeaseError> {
        let verifier = Verifier::new(message.tracker.as_bytes())?;
        let lease = message.lease.open(&verifier)?;
        let key = (lease.stream, message.tracker);
        if lease.tracker.peer != message.tracker {
            return Err(LeaseError::Signature(SignatureError::Key));
        }
        if self
            .held
            .get(&key)
            .is_some_and(|held| held.lease.serial >= lease.serial)
        {
            return Err(LeaseError::Old);
        }
        if lease.ttl_ms == 0 {
            self.held.remove(&key);
            self.rebuild();
            return Ok(());
        }
        if !self.held.contains_key(&key) {
            let of_one = self.held.keys().filter(|(_, tracker)| *tracker == key.1).count();
            if self.held.len() >= MAX_LEASES || of_one >= MAX_OF_ONE {
                return Err(LeaseError::Full);
            }
        }
        let ttl = Duration::from_millis(lease.ttl_ms.into()).min(LEASE);
        self.filter.insert(lease.stream);
        self.held.insert(
            key,
            Held {
                until: now + ttl,
                lease,
            },
        );
        Ok(())
    }

    /// Lets go of what was not renewed; whether there was any.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        let before = self.held.len();
        self.held.retain(|_, held| held.until > now);
        let fewer = self.held.len() < before;
        if fewer {
            self.rebuild();
        }
        fewer
    }

    fn rebuild(&mut self) {
        self.filter = Filter::default();
        for (stream, _) in self.held.keys() {
            self.filter.insert(*stream);
        }
    }

    /// The trackers of a stream, each followed by its siblings, no one twice.
    pub(crate) fn trackers(&self, stream: StreamId) -> Vec<RingNode> {
        let first = (stream, PeerId::from_bytes([0; 32]));
        let of_stream = || {
            self.held
                .range(first..)
                .take_while(|((of, _), _)| *of == stream)
                .map(|(_, held)| &held.lease)
        };
        let mut named: Vec<RingNode> = Vec::new();
        let all = of_stream()
            .map(|lease| &lease.tracker)
            .chain(of_stream().flat_map(|lease| &lease.siblings));
        for node in all {
            if named.len() < MAX_TRACKERS && !named.iter().any(|known| known.peer == node.peer) {
                named.push(node.clone());
            }
        }
        named
    }
}

#[cfg(test)]
mod tests;
