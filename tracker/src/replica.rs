//! What a deputy is told, so that it could go on in the tracker's place.
//!
//! Only what lasts: who is registered, where, with how many slots. How many are free changes all the time, and whoever is
//! still there says it when it registers with the deputy.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use wire::message::{MAX_ADDRS, MAX_GONE, MAX_HANDED, PeerRecord, Role};
use wire::{List, PeerId, SubstreamSet};

use crate::Tracker;

/// Most members that a deputy remembers, at some 250 bytes each.
const MAX_MIRRORED: usize = 4096;

/// Coordinates are told again when they moved by about so much.
const CELL_MS: f64 = 20.0;

/// What a deputy has been told of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    addrs: List<SocketAddr, MAX_ADDRS>,
    role: Role,
    slots: u16,
    primaries: SubstreamSet,
    cell: (i32, i32),
}

impl Told {
    fn of(record: &PeerRecord) -> Told {
        let cell = |ms: f64| (ms / CELL_MS).floor() as i32;
        Told {
            addrs: record.addrs.clone(),
            role: record.role,
            slots: record.slots,
            primaries: record.primaries,
            cell: (cell(record.coord.x_ms), cell(record.coord.y_ms)),
        }
    }
}

/// What changed among the members, as much as one message tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// New or changed members, at most [`MAX_HANDED`].
    pub records: Vec<PeerRecord>,
    /// Those that are registered no more, at most [`MAX_GONE`].
    pub gone: Vec<PeerId>,
}

/// The tracker's side: what its deputy has been told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replica {
    told: BTreeMap<PeerId, Told>,
}

impl Replica {
    /// What the deputy has not been told yet; `None` when it knows everything. It counts as told from now on.
    pub fn news(&mut self, tracker: &Tracker) -> Option<Change> {
        let gone: Vec<PeerId> = self
            .told
            .keys()
            .copied()
            .filter(|peer| !tracker.is_member(*peer))
            .take(MAX_GONE)
            .collect();
        for peer in &gone {
            self.told.remove(peer);
        }
        let mut records = Vec::new();
        for record in tracker.records() {
            if records.len() == MAX_HANDED {
                break;
            }
            let now = Told::of(record);
            if self.told.get(&record.peer) != Some(&now) {
                self.told.insert(record.peer, now);
                records.push(record.clone());
            }
        }
        let change = Change { records, gone };
        (change != Change::default()).then_some(change)
    }
}

/// The deputy's side: the members as it was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mirror {
    records: BTreeMap<PeerId, PeerRecord>,
}

impl Mirror {
    /// Takes in what changed.
    pub fn apply(&mut self, change: Change) {
        for peer in &change.gone {
            self.records.remove(peer);
        }
        for record in change.records {
            if self.records.len() < MAX_MIRRORED || self.records.contains_key(&record.peer) {
                self.records.insert(record.peer, record);
            }
        }
    }

    /// The members.
    pub fn records(&self) -> impl Iterator<Item = &PeerRecord> {
        self.records.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
