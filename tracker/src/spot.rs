//! What the choice looks at for each member, apart from its record so that a scan over all members stays in the cache.

use std::net::SocketAddr;

use coords::Coord;
use coords::coord::planar_distance_ms;
use wire::SubstreamSet;
use wire::message::{PeerRecord, Role};

use crate::sieve::lot;

/// The lag of a member that has not received a chunk yet.
const UNKNOWN_LAG: u32 = u32::MAX;

/// Where a member is and what room it has.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    /// In milliseconds; single precision is exact to a microsecond where round trips are.
    x: f32,
    y: f32,
    height: f32,
    /// See [`lot`].
    lot: u32,
    to_source_us: u32,
    lag_us: u32,
    free_slots: u16,
    /// Slots promised to joiners that its last report cannot have counted yet.
    held: u16,
    families: Families,
    donor: bool,
    placed: bool,
    nameable: bool,
    /// Registered in another area.
    abroad: bool,
}

/// What a member has and passes on. Read only for the few members that an answer may name for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sets {
    /// The substreams it passes on.
    pub(crate) primaries: SubstreamSet,
    /// The substreams that come to it.
    pub(crate) has: SubstreamSet,
    /// Those in which a child that passes nothing on holds a place.
    leaves: SubstreamSet,
}

/// IPv4, IPv6 or both, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Families(u8);

impl Families {
    fn of(addrs: &[SocketAddr]) -> Self {
        let bits = addrs.iter().map(|addr| if addr.is_ipv4() { 1 } else { 2 });
        Families(bits.fold(0, |all, bit| all | bit))
    }
}

impl Spot {
    /// That of a record that is believed, with the source at `source`.
    pub(crate) fn of(record: &PeerRecord, source: &Coord) -> Spot {
        let coord = &record.coord;
        Spot {
            x: coord.x_ms as f32,
            y: coord.y_ms as f32,
            height: coord.height_ms as f32,
            lot: lot(record.peer),
            to_source_us: micros(planar_distance_ms(coord, source)),
            lag_us: record.lag_ms.map_or(UNKNOWN_LAG, |ms| u32::from(ms) * 1000),
            free_slots: record.free_slots,
            held: 0,
            families: Families::of(&record.addrs),
            donor: record.role == Role::Donor,
            placed: (coord.x_ms, coord.y_ms) != (0.0, 0.0),
            nameable: record.role != Role::Passive && record.slots > 0 && !record.addrs.is_empty(),
            abroad: false,
        }
    }

    /// Somebody of whom nothing is known.
    pub(crate) fn stranger() -> Spot {
        Spot {
            x: 0.0,
            y: 0.0,
            height: 0.0,
            lot: 0,
            to_source_us: 0,
            lag_us: UNKNOWN_LAG,
            free_slots: 0,
            held: 0,
            families: Families(0),
            donor: false,
            placed: false,
            nameable: false,
            abroad: false,
        }
    }

    /// The source has moved to `source`; this member is at `coord`.
    pub(crate) fn set_source(&mut self, coord: &Coord, source: &Coord) {
        self.to_source_us = micros(planar_distance_ms(coord, source));
    }

    /// It is a member of another area.
    pub(crate) fn set_abroad(&mut self) {
        self.abroad = true;
    }

    /// Promises so many more of its slots.
    pub(crate) fn hold(&mut self, slots: u16) {
        self.held = self.held.saturating_add(slots);
    }

    /// Predicted round trip to `other` in microseconds.
    pub(crate) fn rtt_us(&self, other: &Spot) -> u32 {
        let (x, y) = (self.x - other.x, self.y - other.y);
        let ms = (x * x + y * y).sqrt() + self.height + other.height;
        (ms * 1000.0) as u32
    }

    /// Coordinates and height, in milliseconds.
    pub(crate) fn place(&self) -> (f32, f32, f32) {
        (self.x, self.y, self.height)
    }

    /// What random picks are shuffled by.
    pub(crate) fn lot(&self) -> u32 {
        self.lot
    }

    /// Whether somebody may be sent here at all: it accepts connections and passes something on.
    pub(crate) fn is_nameable(&self) -> bool {
        self.nameable
    }

    /// Whether it is registered in another area.
    pub(crate) fn is_abroad(&self) -> bool {
        self.abroad
    }

    /// Planar distance to the source in microseconds: how far along the way from the source it is. Heights do not
    /// count here, or a member on a slow access link would seem to lie behind one that is farther away.
    pub(crate) fn to_source_us(&self) -> u32 {
        self.to_source_us
    }

    /// Arrival lag in microseconds, `None` before the first chunk.
    pub(crate) fn lag_us(&self) -> Option<u32> {
        (self.lag_us != UNKNOWN_LAG).then_some(self.lag_us)
    }

    /// Whether it carries the stream for others only.
    pub(crate) fn is_donor(&self) -> bool {
        self.donor
    }

    /// Whether its coordinate was measured: peers that know nothing yet are all in the middle of the space.
    pub(crate) fn is_placed(&self) -> bool {
        self.placed
    }

    /// Slots that it had left when it last reported.
    pub(crate) fn free_slots(&self) -> u16 {
        self.free_slots
    }

    /// Slots left, as far as can be known between two reports: those promised to joiners are gone.
    pub(crate) fn room(&self) -> u16 {
        self.free_slots.saturating_sub(self.held)
    }

    /// Places that joiners were promised beyond its free slots, where children that pass nothing on make room.
    pub(crate) fn overbooked(&self) -> u16 {
        self.held.saturating_sub(self.free_slots)
    }

    /// Whether `joiner` can be sent here: it accepts connections and passes something on, over an address family that
    /// the joiner has. A joiner that names no address only dials out, and nothing is known of its families.
    pub(crate) fn is_nameable_to(&self, joiner: &Spot) -> bool {
        self.nameable && (joiner.families.0 == 0 || joiner.families.0 & self.families.0 != 0)
    }
}

impl Sets {
    /// Those of a record that is believed.
    pub(crate) fn of(record: &PeerRecord) -> Sets {
        Sets {
            primaries: record.primaries,
            has: record.has,
            leaves: record.leaves,
        }
    }

    /// The substreams it can supply, or will be able to by the time a joiner asks: who has just joined passes on its own.
    pub(crate) fn supplies(&self) -> SubstreamSet {
        self.has.or(self.primaries)
    }

    /// Those of its own substreams that it has, or, if it has only just joined, will have.
    pub(crate) fn passes_on(&self) -> SubstreamSet {
        if self.has.is_empty() {
            self.primaries
        } else {
            self.primaries.and(self.has)
        }
    }

    /// The substreams it passes on in which a child that passes nothing on holds a place.
    pub(crate) fn displaceable(&self) -> SubstreamSet {
        self.primaries.and(self.has).and(self.leaves)
    }
}

fn micros(ms: f64) -> u32 {
    // Distances are at most a few seconds; the cast saturates.
    (ms * 1000.0) as u32
}
