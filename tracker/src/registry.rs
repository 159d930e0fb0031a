//! Who is registered: records in sane bounds, expiry, supply. And who is registered elsewhere, with room for this area.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use coords::Coord;
use wire::message::{PeerRecord, Role};
use wire::{PeerId, SubstreamSet, Time};

use crate::origins::{Origin, Origins};
use crate::sieve::Columns;
use crate::spot::{Sets, Spot};

/// Most slots a member is believed to have: a thousand whole copies of a stream of 16 substreams, 3.5 Gbit/s of upload
/// for a stream of 3.5 Mbit/s. Who claims more still gets as many children as it can serve.
pub(crate) const MAX_SLOTS: u16 = 16 * 1024;

#[derive(Clone, Debug)]
struct Member {
    record: PeerRecord,
    /// Slots promised to joiners since it registered, wrapping round, on top of what it counted then.
    promised: u32,
    joined_at: Time,
    expires: Time,
    ready: Time,
    /// The address that it came from, where registrations from one are counted.
    origin: Option<Origin>,
    /// The tracker that it is registered with, if that is another one.
    area: Option<PeerId>,
    /// Whether it has registered itself, and was not only handed over.
    itself: bool,
    /// When it was told of the stream's other trackers last.
    told_at: Option<Time>,
}

/// When a registration ends, how far its allowance of joins is used up, and where it came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) expires: Time,
    pub(crate) ready: Time,
    pub(crate) origin: Option<Origin>,
    /// Whether it registers itself, and is not only handed over.
    pub(crate) itself: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Registry {
    source: Coord,
    substreams: u8,
    /// `spots[i]`, `columns[i]`, `sets[i]` and `members[i]` are the same peer, and `at` says which.
    spots: Vec<Spot>,
    columns: Columns,
    sets: Vec<Sets>,
    members: Vec<Member>,
    at: BTreeMap<PeerId, usize>,
    expiries: BTreeSet<(Time, PeerId)>,
    /// For each substream the free slots of the nameable members that pass it on.
    supply: Vec<u32>,
    /// Peers that left before their allowance was whole again.
    left: BTreeMap<PeerId, Time>,
    /// How many of the members are those of other areas.
    abroad: usize,
    origins: Origins,
}

impl Registry {
    pub(crate) fn new(substreams: u8) -> Self {
        Registry {
            source: Coord::ORIGIN,
            substreams,
            spots: Vec::new(),
            columns: Columns::default(),
            sets: Vec::new(),
            members: Vec::new(),
            at: BTreeMap::new(),
            expiries: BTreeSet::new(),
            supply: vec![0; usize::from(substreams)],
            left: BTreeMap::new(),
            abroad: 0,
            origins: Origins::default(),
        }
    }

    /// How many peers are registered here.
    pub(crate) fn len(&self) -> usize {
        self.members.len() - self.abroad
    }

    /// How many registrations came from there.
    pub(crate) fn count_from(&self, origin: Origin) -> u32 {
        self.origins.count(origin)
    }

    pub(crate) fn substreams(&self) -> u8 {
        self.substreams
    }

    pub(crate) fn spots(&self) -> &[Spot] {
        &self.spots
    }

    /// The same again as the sieve wants it.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What each of them has and passes on.
    pub(crate) fn sets(&self) -> &[Sets] {
        &self.sets
    }

    /// The records of those who are registered here.
    pub(crate) fn records(&self) -> impl Iterator<Item = &PeerRecord> {
        let own = self.members.iter().filter(|member| member.area.is_none());
        own.map(|member| &member.record)
    }

    /// Those who are registered here, each with its record and since when.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&Spot, &PeerRecord, Time)> {
        let all = self.spots.iter().zip(&self.members);
        all.filter(|(_, member)| member.area.is_none())
            .map(|(spot, member)| (spot, &member.record, member.joined_at))
    }

    /// Where a peer is among the members, if it is registered here.
    pub(crate) fn place_of(&self, peer: PeerId) -> Option<usize> {
        let at = self.at.get(&peer).copied()?;
        self.members[at].area.is_none().then_some(at)
    }

    /// Whether a peer has registered itself here.
    pub(crate) fn came_itself(&self, peer: PeerId) -> bool {
        self.place_of(peer).is_some_and(|at| self.members[at].itself)
    }

    /// When a peer that is registered here was told of the stream's other trackers last.
    pub(crate) fn told_at(&self, peer: PeerId) -> Option<Time> {
        self.members[self.place_of(peer)?].told_at
    }

    /// Notes that it is told of them.
    pub(crate) fn note_told(&mut self, now: Time, peer: PeerId) {
        if let Some(at) = self.place_of(peer) {
            self.members[at].told_at = Some(now);
        }
    }

    /// The other tracker that a peer is registered with, as far as that told of it.
    pub(crate) fn area_of(&self, peer: PeerId) -> Option<PeerId> {
        self.members[*self.at.get(&peer)?].area
    }

    /// Replaces what is known of another area's members that have room there.
    pub(crate) fn set_abroad(&mut self, area: PeerId, records: &[PeerRecord]) {
        let before = self.members.iter().filter(|member| member.area == Some(area));
        let before: Vec<PeerId> = before.map(|member| member.record.peer).collect();
        for peer in before {
            self.remove(peer);
        }
        for record in records {
            if self.at.contains_key(&record.peer) {
                // Registered here, or told of by somebody else already.
                continue;
            }
            let record = sane(record.peer, record, self.substreams);
            let mut spot = Spot::of(&record, &self.source);
            spot.set_abroad();
            self.at.insert(record.peer, self.members.len());
            let sets = Sets::of(&record);
            self.columns.set(self.spots.len(), &spot, &sets);
            self.spots.push(spot);
            self.sets.push(sets);
            self.abroad += 1;
            self.members.push(Member {
                record,
                promised: 0,
                joined_at: Time::ZERO,
                expires: Time::NEVER,
                ready: Time::ZERO,
                origin: None,
                area: Some(area),
                itself: false,
                told_at: None,
            });
        }
    }

    /// Who is at `at`.
    pub(crate) fn peer(&self, at: usize) -> PeerId {
        self.members[at].record.peer
    }

    /// Where the member at `at` is.
    pub(crate) fn coord(&self, at: usize) -> &Coord {
        &self.members[at].record.coord
    }

    /// The record of the member at `at`, as room is left there now.
    pub(crate) fn record(&self, at: usize) -> PeerRecord {
        let mut record = self.members[at].record.clone();
        record.free_slots = self.spots[at].room();
        record
    }

    /// Promises so many slots of the member at `at` to a joiner.
    pub(crate) fn hold(&mut self, at: usize, slots: u32) {
        let promised = &mut self.members[at].promised;
        *promised = promised.wrapping_add(slots);
        self.spots[at].hold(u16::try_from(slots).unwrap_or(u16::MAX));
        self.columns.set(at, &self.spots[at], &self.sets[at]);
    }

    pub(crate) fn set_source(&mut self, coord: Coord) {
        if self.source == coord {
            return;
        }
        self.source = coord;
        for (at, (spot, member)) in self.spots.iter_mut().zip(&self.members).enumerate() {
            spot.set_source(&member.record.coord, &coord);
            self.columns.set(at, spot, &self.sets[at]);
        }
    }

    pub(crate) fn joined_at(&self, peer: PeerId) -> Option<Time> {
        self.place_of(peer).map(|at| self.members[at].joined_at)
    }

    /// Up to when the peer has used up its allowance of joins.
    pub(crate) fn ready(&self, peer: PeerId) -> Time {
        match self.place_of(peer) {
            Some(at) => self.members[at].ready,
            None => self.left.get(&peer).copied().unwrap_or(Time::ZERO),
        }
    }

    /// Enters or replaces a record, and says where it is now. `counted` is how many slots of all promises it knew of when it
    /// counted its free ones.
    pub(crate) fn renew(
        &mut self,
        now: Time,
        peer: PeerId,
        (record, counted): (&PeerRecord, u32),
        terms: Terms,
    ) -> usize {
        let Terms {
            expires,
            ready,
            origin,
            itself,
        } = terms;
        if self.area_of(peer).is_some() {
            self.remove(peer);
        }
        let record = sane(peer, record, self.substreams);
        let mut spot = Spot::of(&record, &self.source);
        let sets = Sets::of(&record);
        let promised = self
            .at
            .get(&peer)
            .map_or(counted, |&at| self.members[at].promised);
        // More than was promised can only be from an earlier registration.
        let held = u16::try_from(promised.wrapping_sub(counted)).ok();
        spot.hold(held.unwrap_or(0));
        self.add_supply(&spot, sets);
        self.expiries.insert((expires, peer));
        let member = Member {
            record,
            promised: if held.is_some() { promised } else { counted },
            joined_at: self.joined_at(peer).unwrap_or(now),
            expires,
            ready,
            origin,
            area: None,
            itself,
            told_at: self.told_at(peer),
        };
        self.origins.enter(origin);
        match self.at.get(&peer) {
            Some(&at) => {
                let old_sets = std::mem::replace(&mut self.sets[at], sets);
                self.columns.set(at, &spot, &sets);
                let old = std::mem::replace(&mut self.spots[at], spot);
                self.take_supply(&old, old_sets);
                let old = std::mem::replace(&mut self.members[at], member);
                self.origins.remove(old.origin);
                if old.expires != expires {
                    self.expiries.remove(&(old.expires, peer));
                }
                at
            }
            None => {
                self.left.remove(&peer);
                self.at.insert(peer, self.members.len());
                self.columns.set(self.spots.len(), &spot, &sets);
                self.spots.push(spot);
                self.sets.push(sets);
                self.members.push(member);
                self.members.len() - 1
            }
        }
    }

    /// Forgets a member, but not its use of the allowance, as far as `max_left` peers.
    pub(crate) fn leave(&mut self, now: Time, peer: PeerId, max_left: usize) {
        if self.place_of(peer).is_none() {
            return;
        }
        let Some(member) = self.remove(peer) else { return };
        if self.left.len() >= max_left {
            self.left.retain(|_, ready| *ready > now);
        }
        if member.ready > now && self.left.len() < max_left {
            self.left.insert(peer, member.ready);
        }
    }

    pub(crate) fn expire(&mut self, now: Time) -> Vec<PeerId> {
        let mut expired = Vec::new();
        while let Some(&(expires, peer)) = self.expiries.first() {
            if expires > now {
                break;
            }
            self.remove(peer);
            expired.push(peer);
        }
        expired
    }

    pub(crate) fn next_expiry(&self) -> Option<Time> {
        self.expiries.first().map(|&(expires, _)| expires)
    }

    pub(crate) fn supply(&self) -> Vec<u16> {
        let saturated = |&slots: &u32| u16::try_from(slots).unwrap_or(u16::MAX);
        self.supply.iter().map(saturated).collect()
    }

    fn remove(&mut self, peer: PeerId) -> Option<Member> {
        let at = self.at.remove(&peer)?;
        let spot = self.spots.swap_remove(at);
        let sets = self.sets.swap_remove(at);
        if let Some(moved) = self.spots.get(at) {
            self.columns.set(at, moved, &self.sets[at]);
        }
        self.columns.truncate(self.spots.len());
        let member = self.members.swap_remove(at);
        if let Some(moved) = self.members.get(at) {
            self.at.insert(moved.record.peer, at);
        }
        if member.area.is_some() {
            self.abroad -= 1;
            return Some(member);
        }
        self.take_supply(&spot, sets);
        self.origins.remove(member.origin);
        self.expiries.remove(&(member.expires, peer));
        Some(member)
    }

    fn add_supply(&mut self, spot: &Spot, sets: Sets) {
        for substream in offered(spot, sets).iter() {
            self.supply[usize::from(substream.0)] += u32::from(spot.free_slots());
        }
    }

    fn take_supply(&mut self, spot: &Spot, sets: Sets) {
        for substream in offered(spot, sets).iter() {
            self.supply[usize::from(substream.0)] -= u32::from(spot.free_slots());
        }
    }
}

/// In which substreams a member's slots count as supply.
fn offered(spot: &Spot, sets: Sets) -> SubstreamSet {
    if spot.is_nameable() {
        sets.passes_on()
    } else {
        SubstreamSet::EMPTY
    }
}

/// The record as far as it is believed: the id is the connection's, the numbers lie in bounds that make sense together.
fn sane(peer: PeerId, record: &PeerRecord, substreams: u8) -> PeerRecord {
    let slots = match record.role {
        Role::Passive => 0,
        _ => record.slots.min(MAX_SLOTS),
    };
    PeerRecord {
        peer,
        addrs: record.addrs.iter().copied().filter(can_be_dialled).collect(),
        coord: record.coord,
        role: record.role,
        slots,
        free_slots: record.free_slots.min(slots),
        primaries: record.primaries.and(SubstreamSet::all(substreams)),
        leaves: record.leaves.and(SubstreamSet::all(substreams)),
        has: record.has.and(SubstreamSet::all(substreams)),
        lag_ms: record.lag_ms,
    }
}

/// Whether the address can belong to one peer: it has a port and is nobody's group or wildcard.
fn can_be_dialled(addr: &SocketAddr) -> bool {
    let ip = addr.ip().to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
