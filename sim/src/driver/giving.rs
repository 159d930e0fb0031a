//! What giving was worth: continuity of those who give and of those who do not, and what became of shifts.

use std::collections::BTreeMap;

use incentives::store::Store as _;
use incentives::trust::Listed;
use serde::{Deserialize, Serialize};
use wire::PeerId;

use super::attack::RegionResult;
use super::world::World;
use crate::measure::{Distribution, Groups};
use crate::time::MS;

/// What giving was worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Giving {
    /// Mean continuity of those who pass chunks on.
    pub contributor_continuity: f64,
    /// Of those who only take, and have not given elsewhere.
    pub free_rider_continuity: f64,
    /// What became of shifts; absent where no accounts are signed.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<Shifts>,
    /// The greatest gain of a region of attackers, as a multiple of what it is entitled to; absent where nobody cheats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sybil_gain_ratio: Option<f64>,
    /// What came of each of these regions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionResult>,
}

/// What became of shifts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shifts {
    /// Shifts that were begun and ended.
    pub shifts: u64,
    /// Those that happened.
    pub committed: u64,
    /// Those that did not.
    pub aborted: u64,
    /// Bytes that moved.
    pub shifted_bytes: u64,
    /// What shifts took from peers' claims, over all their accounts, more than they gave.
    pub credit_lost_bytes: u64,
    /// How long they took, in mean round trips between those on the path.
    pub round_trips: Distribution,
}

/// Shifts as they end.
#[derive(Debug, Default)]
pub(super) struct ShiftCount {
    aborted: u64,
    bytes: u64,
    round_trips: Vec<f64>,
}

impl ShiftCount {
    pub(super) fn abort(&mut self) {
        self.aborted += 1;
    }
}

impl World {
    /// A shift of a peer's along `path` happened, after so long.
    pub(super) fn note_shift(&mut self, path: &[PeerId], amount: u64, took: std::time::Duration) {
        let numbers: Vec<u32> = path.iter().filter_map(|peer| self.ids.get(peer)).collect();
        // The requester and its new debtor speak to each other, too.
        let next = numbers.iter().cycle().skip(1);
        let legs = numbers.iter().zip(next);
        let round_trips_ns: u64 = legs.map(|(a, b)| 2 * self.space.one_way_ns(*a, *b)).sum();
        let mean_ns = round_trips_ns as f64 / numbers.len().max(1) as f64;
        self.shifts.bytes += amount;
        self.shifts
            .round_trips
            .push(took.as_nanos() as f64 / mean_ns.max(MS as f64));
    }

    /// What shifts took from each honest peer's claims more than they gave.
    fn credit_lost(&self) -> u64 {
        let honest = (0..)
            .zip(&self.peers)
            .filter(|(_, peer)| peer.spec.region.is_none());
        let books = honest.filter_map(|(number, peer)| {
            let id = self.ids.of(number);
            let records = peer.ledger.load().ok()?;
            Some((id, incentives::trust::list(id, &records).ok()?))
        });
        lost(&books.collect())
    }

    pub(super) fn giving(&self, groups: &Groups) -> Giving {
        let count = &self.shifts;
        let committed = count.round_trips.len() as u64;
        let regions = self.regions();
        Giving {
            sybil_gain_ratio: regions
                .iter()
                .map(|region| region.gain_ratio)
                .max_by(f64::total_cmp),
            regions,
            contributor_continuity: groups.contributors.continuity.mean,
            free_rider_continuity: groups.free_riders.continuity.mean,
            shifted: self.scenario.network.accounts.then(|| Shifts {
                shifts: committed + count.aborted,
                committed,
                aborted: count.aborted,
                shifted_bytes: count.bytes,
                credit_lost_bytes: self.credit_lost(),
                round_trips: Distribution::of(count.round_trips.clone()),
            }),
        }
    }
}

/// What these peers lost by shifts, by the books of all of them. Of an account that two of them have the newer state counts: who has the
/// older one gets the other when they meet again.
fn lost(books: &BTreeMap<PeerId, Vec<Listed>>) -> u64 {
    let mut gained: BTreeMap<(PeerId, PeerId), (u64, i64)> = BTreeMap::new();
    for (me, accounts) in books {
        for account in accounts {
            // What is under way still is nobody's loss.
            let mine = account.shifted + account.arriving as i64;
            let theirs = account.leaving as i64 - account.shifted;
            for (whose, bytes) in [((*me, account.peer), mine), ((account.peer, *me), theirs)] {
                let newest = gained.entry(whose).or_insert((account.state, bytes));
                *newest = (*newest).max((account.state, bytes));
            }
        }
    }
    let of = |id: &PeerId| {
        let all = gained.range((*id, PeerId::from_bytes([0; 32]))..=(*id, PeerId::from_bytes([0xff; 32])));
        all.map(|(_, (_, bytes))| bytes).sum::<i64>()
    };
    books.keys().map(|id| of(id).min(0).unsigned_abs()).sum()
}

#[cfg(test)]
#[path = "giving_tests.rs"]
mod tests;
