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

    /// What shifts took from each honest peer's claims more than they gave. An account counts as the one of the two has it who knows
    /// the newer state: the other one gets that when they meet again.
    fn credit_lost(&self) -> u64 {
        let honest = (0..)
            .zip(&self.peers)
            .filter(|(_, peer)| peer.spec.region.is_none());
        let books: BTreeMap<PeerId, Vec<Listed>> = honest
            .filter_map(|(number, peer)| {
                let id = self.ids.of(number);
                let records = peer.ledger.load().ok()?;
                Some((id, incentives::trust::list(id, &records).ok()?))
            })
            .collect();
        let with = |of: &PeerId, other: &PeerId| {
            let accounts = books.get(of).into_iter().flatten();
            accounts.copied().find(|account| account.peer == *other)
        };
        let lost = books.iter().map(|(id, accounts)| {
            let strangers = accounts
                .iter()
                .filter(|account| !books.contains_key(&account.peer));
            let alone = strangers.map(|account| account.shifted + account.arriving as i64);
            let honest = books.keys().filter_map(|other| {
                let (mine, theirs) = (with(id, other), with(other, id));
                let newer = theirs.filter(|theirs| mine.is_none_or(|mine| theirs.state > mine.state));
                // What is under way still is nobody's loss.
                newer
                    .map(|theirs| theirs.leaving as i64 - theirs.shifted)
                    .or(mine.map(|mine| mine.shifted + mine.arriving as i64))
            });
            alone.chain(honest).sum::<i64>().min(0).unsigned_abs()
        });
        lost.sum()
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
