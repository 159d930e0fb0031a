//! The few best of the many that are offered, and what would be good enough to be among them.

use std::collections::BinaryHeap;

use wire::{MAX_SUBSTREAMS, Substream, SubstreamSet};

use crate::spot::{Sets, Spot};

/// Helpers looked at for each substream that the joiner lacks: the best may have given their last slot to another of them.
const HELPERS_EACH: usize = 6;

/// The fewer slots a helper has, the likelier somebody else takes them meanwhile: this much lag, shared by its slots.
const LAST_US: u32 = 200_000;

/// What it costs, in microseconds of lag, to be helped by a peer that would rather pass on other substreams: it has few
/// children there, so its trees get deeper.
const AWAY_US: u32 = 30_000;

/// The same to be helped by a peer that waits for the substream itself: where newcomers hang on newcomers, one that fails
/// makes orphans of all.
const NOT_YET_US: u32 = 400_000;

/// The same for a substream that the joiner is to pass on: such a peer refuses it, because newcomers must not wait for one another.
const NOT_YET_TO_PASS_ON_US: u32 = 2_000_000;

/// Where a child that passes nothing on makes room, it has to find its way to the joiner: our judgement.
const LEAF_US: u32 = 60_000;

/// ...and each such promise that the member has not counted yet makes the next one there less likely to be kept.
const OVERBOOKED_US: u32 = 20_000;

/// A little more than `value` in single precision. The sieve's numbers are rounded: it may keep too many, not too few.
pub(crate) fn above(value: u64) -> f32 {
    value as f32 * (1.0 + 4.0 * f32::EPSILON) + 1.0
}

/// The `limit` lowest-ranked of what is offered, the place in the registry breaking ties.
pub(crate) struct Best {
    limit: usize,
    /// What is not below this is none of the best.
    bar: u64,
    /// Rank and place in one number.
    heap: BinaryHeap<u64>,
}

/// Bits of a place in the registry, below a rank of 33.
const PLACE_BITS: u32 = 31;

impl Best {
    pub(crate) fn new(limit: usize) -> Self {
        Best {
            limit,
            bar: u64::MAX,
            heap: BinaryHeap::with_capacity(limit),
        }
    }

    pub(crate) fn offer(&mut self, rank: u64, at: usize) {
        let key = rank << PLACE_BITS | at as u64;
        if key < self.bar {
            self.enter(key);
        }
    }

    /// What is above this is none of the best.
    pub(crate) fn bar_us(&self) -> f32 {
        match self.bar {
            u64::MAX => f32::MAX,
            bar => above(bar >> PLACE_BITS),
        }
    }

    fn enter(&mut self, key: u64) {
        if self.heap.len() < self.limit {
            self.heap.push(key);
        } else if let Some(mut worst) = self.heap.peek_mut() {
            *worst = key;
        }
        if self.heap.len() == self.limit {
            self.bar = self.heap.peek().copied().unwrap_or(0);
        }
    }

    pub(crate) fn into_ranked(self) -> Vec<usize> {
        let place = |key: u64| (key & ((1 << PLACE_BITS) - 1)) as usize;
        self.heap.into_sorted_vec().into_iter().map(place).collect()
    }
}

/// The substreams that a joiner lacks, and those of them that it is to pass on.
#[derive(Clone, Copy)]
pub(crate) struct Wants {
    pub(crate) need: SubstreamSet,
    pub(crate) passed_on: SubstreamSet,
}

/// The best helpers for each substream that the joiner lacks, best first.
pub(crate) struct Helpers {
    wants: Wants,
    /// Cost and place of each in one number; [`NOBODY`] where there are not so many.
    best: [[u64; HELPERS_EACH]; MAX_SUBSTREAMS as usize],
    /// The worst of all of them: what is not below this helps nobody.
    bar: u64,
}

/// After everybody.
const NOBODY: u64 = u64::MAX;

/// A cost and a place in one number, in the order of cost.
fn cost(cost_us: u32, at: usize) -> u64 {
    u64::from(cost_us) << 32 | at as u64
}

impl Helpers {
    pub(crate) fn new(wants: Wants) -> Self {
        Helpers {
            wants,
            best: [[NOBODY; HELPERS_EACH]; MAX_SUBSTREAMS as usize],
            bar: if wants.need.is_empty() { 0 } else { NOBODY },
        }
    }

    /// Whether a member through which a chunk takes so long can be among the best.
    pub(crate) fn may_take(&self, supply_us: u32, at: usize) -> bool {
        cost(supply_us, at) < self.bar
    }

    /// The same for the sieve.
    pub(crate) fn bar_us(&self) -> f32 {
        match self.bar {
            NOBODY => f32::MAX,
            bar => above(bar >> 32),
        }
    }

    /// Enters what a member could do for the joiner: supply one of the substreams it lacks from a free slot; or, in a substream
    /// that the joiner is to pass on, from the place of a child that passes nothing on and will be the joiner's.
    pub(crate) fn offer(&mut self, at: usize, spot: &Spot, sets: &Sets, supply_us: u32) {
        let Wants { need, passed_on } = self.wants;
        let Some(least_us) = least_us(spot, sets) else {
            return;
        };
        let least_us = supply_us.saturating_add(least_us);
        if spot.room() == 0 {
            for substream in sets.displaceable().and(passed_on).iter() {
                self.enter(substream, cost(least_us, at));
            }
            return;
        }
        let mut offered = sets.supplies().and(need);
        if !self.may_take(least_us.saturating_add(AWAY_US), at) {
            offered = offered.and(sets.primaries);
        }
        for substream in offered.iter() {
            let own = sets.primaries.contains(substream);
            let flows = sets.has.contains(substream);
            let away_us = if own { 0 } else { AWAY_US };
            let wait_us = match (flows, passed_on.contains(substream)) {
                (true, _) => 0,
                (false, false) => NOT_YET_US,
                (false, true) => NOT_YET_TO_PASS_ON_US,
            };
            self.enter(substream, cost(least_us.saturating_add(away_us + wait_us), at));
        }
    }

    fn enter(&mut self, substream: Substream, new: u64) {
        let best = &mut self.best[usize::from(substream.0)];
        let worst = best[HELPERS_EACH - 1];
        if new >= worst {
            return;
        }
        let mut place = HELPERS_EACH - 1;
        while place > 0 && best[place - 1] > new {
            best[place] = best[place - 1];
            place -= 1;
        }
        best[place] = new;
        if worst == self.bar {
            let worst = |substream: Substream| self.best[usize::from(substream.0)][HELPERS_EACH - 1];
            self.bar = self.wants.need.iter().map(worst).max().unwrap_or(0);
        }
    }

    /// Cost and place of each that can help with a substream.
    pub(crate) fn of(&self, substream: Substream) -> impl Iterator<Item = (u32, usize)> + '_ {
        let best = self.best[usize::from(substream.0)].iter();
        best.take_while(|&&key| key != NOBODY)
            .map(|&key| ((key >> 32) as u32, (key & u64::from(u32::MAX)) as usize))
    }
}

/// What help from a member costs at least, in microseconds on top of the lag through it; `None` if it cannot help anybody now.
pub(crate) fn least_us(spot: &Spot, sets: &Sets) -> Option<u32> {
    match spot.room() {
        0 if sets.displaceable().is_empty() => None,
        0 => Some(LEAF_US + OVERBOOKED_US * u32::from(spot.overbooked())),
        room => Some(LAST_US / u32::from(room)),
    }
}
