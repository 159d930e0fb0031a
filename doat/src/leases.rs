//! The local trackers that are registered with this member.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use coords::coord::distance_ms;
use coords::hcurve;
use wire::message::{Lease, TrackerLease};
use wire::{PeerId, SignatureError, StreamId, Time};

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
    /// A signature or what it covers is wrong: the tracker's, or that of the stream's key, which appoints it.
    #[error("the lease is not its tracker's, or the stream has not appointed that: {0}")]
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
    crowd: Crowd,
    lease: TrackerLease,
    /// As it came: whoever hears of it wants to see the signatures.
    signed: Lease,
    until: Time,
}

/// The leases, by stream.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: BTreeMap<(StreamId, PeerId), Held>,
    /// How many there are of each crowd.
    crowds: BTreeMap<Crowd, usize>,
    filter: Filter,
}

/// Those who are reached at the same host, as far as they say: an IPv4 address, or the half of an IPv6 address that names the
/// network. Keys are free, addresses are not.
type Crowd = Option<IpAddr>;

fn crowd(lease: &TrackerLease) -> Crowd {
    lease.tracker.addrs.first().map(|addr| match addr.ip() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    })
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
        let lease = message.open()?;
        let key = (lease.stream, message.tracker);
        if self
            .held
            .get(&key)
            .is_some_and(|held| held.lease.serial >= lease.serial)
        {
            return Err(LeaseError::Old);
        }
        if lease.ttl_ms == 0 {
            self.remove(&key);
            self.rebuild();
            return Ok(());
        }
        if !self.held.contains_key(&key) {
            let of_one = self.held.keys().filter(|(_, tracker)| *tracker == key.1).count();
            if of_one >= MAX_OF_ONE {
                return Err(LeaseError::Full);
            }
            if self.held.len() >= MAX_LEASES {
                self.make_room(crowd(&lease))?;
            }
        }
        self.remove(&key);
        let ttl = Duration::from_millis(lease.ttl_ms.into()).min(LEASE);
        self.filter.insert(lease.stream);
        let crowd = crowd(&lease);
        *self.crowds.entry(crowd).or_default() += 1;
        self.held.insert(
            key,
            Held {
                crowd,
                until: now + ttl,
                lease,
                signed: message.clone(),
            },
        );
        Ok(())
    }

    /// Lets go of what was not renewed; whether there was any.
    pub(crate) fn expire(&mut self, now: Time) -> bool {
        let over = self.held.iter().filter(|(_, held)| held.until <= now);
        let over: Vec<_> = over.map(|(key, _)| *key).collect();
        for key in &over {
            self.remove(key);
        }
        if !over.is_empty() {
            self.rebuild();
        }
        !over.is_empty()
    }

    fn remove(&mut self, key: &(StreamId, PeerId)) {
        if let Some(held) = self.held.remove(key)
            && let Some(count) = self.crowds.get_mut(&held.crowd)
        {
            *count -= 1;
            if *count == 0 {
                self.crowds.remove(&held.crowd);
            }
        }
    }

    /// Lets go of one of the greatest crowd for somebody of a smaller one: whoever fills the table from one host takes its own
    /// room only.
    fn make_room(&mut self, newcomer: Crowd) -> Result<(), LeaseError> {
        let greatest = self.crowds.iter().max_by_key(|(_, count)| **count);
        let (greatest, most) = greatest
            .map(|(crowd, count)| (*crowd, *count))
            .ok_or(LeaseError::Full)?;
        let own = self.crowds.get(&newcomer).copied().unwrap_or(0);
        if most <= own + 1 {
            return Err(LeaseError::Full);
        }
        let of_it = self.held.iter().filter(|(_, held)| held.crowd == greatest);
        let first = of_it.min_by_key(|(_, held)| held.until).map(|(key, _)| *key);
        self.remove(&first.ok_or(LeaseError::Full)?);
        self.rebuild();
        Ok(())
    }

    fn rebuild(&mut self) {
        self.filter = Filter::default();
        for (stream, _) in self.held.keys() {
            self.filter.insert(*stream);
        }
    }

    /// All that are held.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &TrackerLease> {
        self.held.values().map(|held| &held.lease)
    }

    /// One of each stream, that of the tracker whose area lacks most; those that lack most first.
    pub(crate) fn shortest(&self, most: usize) -> Vec<Lease> {
        let mut of_streams: Vec<&Held> = Vec::new();
        for held in self.held.values() {
            match of_streams
                .last_mut()
                .filter(|last| last.lease.stream == held.lease.stream)
            {
                Some(last) if last.lease.short < held.lease.short => *last = held,
                Some(_) => {}
                None => of_streams.push(held),
            }
        }
        // Stable: of equals those with the smaller id, so that the answer is the same everywhere.
        of_streams.sort_by_key(|held| Reverse((held.lease.short, held.lease.members)));
        of_streams
            .iter()
            .take(most)
            .map(|held| held.signed.clone())
            .collect()
    }

    /// Of a stream's trackers, but for these, the one that is nearest to a position of the ring; it names its siblings.
    pub(crate) fn nearest(
        &self,
        stream: StreamId,
        position: u64,
        except: &[PeerId],
    ) -> Option<(&Lease, &TrackerLease)> {
        let first = (stream, PeerId::from_bytes([0; 32]));
        let mut of_stream = self
            .held
            .range(first..)
            .take_while(|((of, _), _)| *of == stream)
            .filter(|((_, tracker), _)| !except.contains(tracker))
            .map(|(_, held)| held)
            .peekable();
        of_stream.peek()?;
        // The height at that position is not known, and adds the same to all.
        let to = hcurve::coord_at(position);
        let away = |held: &Held| distance_ms(&held.lease.tracker.coord, &to);
        let nearest = of_stream.min_by(|a, b| away(a).total_cmp(&away(b)));
        nearest.map(|held| (&held.signed, &held.lease))
    }
}

#[cfg(test)]
mod tests;
