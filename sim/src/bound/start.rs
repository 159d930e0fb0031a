//! How soon a crowd could start if somebody knew everything: who is there, where, and what each uplink has left.
//!
//! No search, no crossed promises, no loss, no queue. What remains is what distance, capacity and the protocol's own steps cost:
//!
//! 1. A handshake, and the answer to what went with its first packet: a round trip to the peercaster.
//! 2. A handshake with each supplier, asked with its first packet: a round trip more, chunks coming with it. Suppliers are chosen
//!    one joiner after the other, each the one from which the substream flows soonest of those with a slot left. A joiner's
//!    slots count from its answer on, so others may wait below it until its own suppliers' chunks pass through. Where all slots
//!    are taken, who passes the substream on takes the place of a child that does not, which hangs below it from then on.
//! 3. The key frame: either the last one, and all chunks from there to the present one, sent out of what is left of everybody's
//!    promised share, first come, first served; or the next one, as late as the slowest substream.
//!
//! It is no lower bound in the strict sense, because a greedy choice need not be the best; it says what can be had.

use wire::{Substream, SubstreamSet};

/// One who joins.
#[derive(Clone, Copy, Debug)]
pub struct Joiner {
    /// When, in milliseconds.
    pub joins_ms: f64,
    /// Delay to the peercaster, one way.
    pub to_source_ms: f64,
    /// Copies of a substream that its uplink is good for.
    pub slots: u32,
    /// How many substreams it passes on.
    pub passes_on: u32,
    /// Whether it wants all substreams and plays them. A donor takes what it passes on.
    pub plays: bool,
}

impl Joiner {
    fn answered_ms(&self) -> f64 {
        self.joins_ms + 2.0 * self.to_source_ms
    }
}

/// When each of the viewers could start, in milliseconds from joining, in the order in which they were given. Infinite for who
/// finds no slot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Soonest {
    /// Chunks of all substreams flow.
    pub flowing_ms: Vec<f64>,
    /// Playout begins.
    pub started_ms: Vec<f64>,
}

/// Since when a substream flows somewhere, and how late.
#[derive(Clone, Copy, Debug)]
struct Flow {
    since_ms: f64,
    lag_ms: f64,
}

#[derive(Debug)]
struct Supplier {
    /// `None`: the peercaster.
    who: Option<usize>,
    free: u32,
    /// Children of each substream that pass it on to nobody.
    leaves: Vec<u32>,
    flows: Vec<Option<Flow>>,
}

/// The crowd's viewers; `one_way_ms` gives the delay between two joiners.
pub fn soonest_starts(
    joiners: &[Joiner],
    substreams: u8,
    source_slots: u32,
    gop_ms: f64,
    one_way_ms: impl Fn(usize, usize) -> f64,
) -> Soonest {
    let k = usize::from(substreams);
    let mut order: Vec<usize> = (0..joiners.len()).collect();
    order.sort_by(|&a, &b| {
        let (first, second) = (joiners[a].answered_ms(), joiners[b].answered_ms());
        first.total_cmp(&second).then(a.cmp(&b))
    });
    let mut suppliers: Vec<Supplier> = (0..k)
        .map(|s| {
            let mut flows = vec![None; k];
            flows[s] = Some(Flow {
                since_ms: f64::NEG_INFINITY,
                lag_ms: 0.0,
            });
            let more = u32::from((s as u32) < source_slots % k as u32);
            Supplier {
                who: None,
                free: source_slots / k as u32 + more,
                leaves: vec![0; k],
                flows,
            }
        })
        .collect();
    let mut flows: Vec<Vec<Option<Flow>>> = vec![vec![None; k]; joiners.len()];
    let mut passed_on = vec![SubstreamSet::EMPTY; joiners.len()];
    let mut waiting: Vec<(usize, Substream)> = Vec::new();
    for &at in &order {
        let me = &joiners[at];
        passed_on[at] = scarcest(&suppliers, k, me.passes_on);
        let wanted = if me.plays {
            SubstreamSet::all(substreams)
        } else {
            passed_on[at]
        };
        // What it passes on comes first: those who wait may hang on it.
        waiting.splice(0..0, passed_on[at].iter().map(|s| (at, s)));
        waiting.extend(wanted.minus(passed_on[at]).iter().map(|s| (at, s)));
        suppliers.push(Supplier {
            who: Some(at),
            free: me.slots,
            leaves: vec![0; k],
            flows: vec![None; k],
        });
        let now_ms = me.answered_ms();
        waiting.retain(|&(joiner, substream)| {
            let s = usize::from(substream.0);
            let asker = &joiners[joiner];
            let passes_on = passed_on[joiner].contains(substream) && asker.slots > 1;
            let through = |(n, supplier): (usize, &Supplier)| {
                let room = supplier.free > 0 || passes_on && supplier.leaves[s] > 0;
                let flow = supplier.flows[s].filter(|_| room)?;
                let way = match supplier.who {
                    Some(who) if who == joiner => return None,
                    Some(who) => one_way_ms(joiner, who),
                    None => asker.to_source_ms,
                };
                let asked_ms = asker.answered_ms().max(now_ms) + way;
                let since_ms = asked_ms.max(flow.since_ms) + way;
                Some((
                    n,
                    Flow {
                        since_ms,
                        lag_ms: flow.lag_ms + way,
                    },
                ))
            };
            let best = suppliers.iter().enumerate().filter_map(through);
            let best = best.min_by(|a, b| a.1.since_ms.total_cmp(&b.1.since_ms));
            let Some((n, flow)) = best else { return true };
            let moved = suppliers[n].free == 0;
            if moved {
                suppliers[n].leaves[s] -= 1;
            } else {
                suppliers[n].free -= 1;
            }
            suppliers[n].leaves[s] += u32::from(!passes_on);
            flows[joiner][s] = Some(flow);
            let own = suppliers.iter_mut().find(|supplier| supplier.who == Some(joiner));
            if let Some(own) = own.filter(|_| passed_on[joiner].contains(substream)) {
                own.flows[s] = Some(flow);
                // The leaf whose place it took hangs here now; it loses nothing meanwhile.
                own.free -= u32::from(moved && own.free > 0);
                own.leaves[s] += u32::from(moved);
            }
            false
        });
    }
    let mut soonest = Soonest::default();
    let slots = f64::from(source_slots);
    for (at, flowing_ms, started_ms) in with_the_past(joiners, &flows, slots, gop_ms) {
        let since = |ms: f64| ms - joiners[at].joins_ms;
        soonest.flowing_ms.push(since(flowing_ms));
        soonest.started_ms.push(since(started_ms));
    }
    soonest
}

/// The `count` substreams of which least can be had.
fn scarcest(suppliers: &[Supplier], k: usize, count: u32) -> SubstreamSet {
    let mut supply: Vec<(u32, usize)> = (0..k)
        .map(|s| {
            let carries = suppliers.iter().filter(|supplier| supplier.flows[s].is_some());
            (carries.map(|supplier| supplier.free).sum(), s)
        })
        .collect();
    supply.sort_unstable();
    let chosen = supply.into_iter().take(count as usize);
    chosen.map(|(_, s)| Substream(s as u8)).collect()
}

/// For each viewer when all substreams flow and when it starts.
fn with_the_past(
    joiners: &[Joiner],
    flows: &[Vec<Option<Flow>>],
    source_slots: f64,
    gop_ms: f64,
) -> Vec<(usize, f64, f64)> {
    let k = flows.first().map_or(1, Vec::len) as f64;
    // What changes the number of slots that are left: somebody begins to pass on, or a substream begins to flow.
    let mut changes: Vec<(f64, f64)> = Vec::new();
    for (joiner, flows) in joiners.iter().zip(flows) {
        let since = flows.iter().flatten().map(|flow| flow.since_ms);
        let first = since.clone().fold(f64::INFINITY, f64::min);
        changes.push((first, f64::from(joiner.slots)));
        changes.extend(since.map(|ms| (ms, -1.0)));
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let all = |at: usize| {
        flows[at].iter().try_fold((0.0f64, 0.0f64), |(since, lag), flow| {
            let flow = (*flow)?;
            Some((since.max(flow.since_ms), lag.max(flow.lag_ms)))
        })
    };
    let mut viewers: Vec<(usize, f64, f64)> = (0..joiners.len())
        .filter(|&at| joiners[at].plays)
        .map(|at| {
            let (flowing_ms, lag_ms) = all(at).unwrap_or((f64::INFINITY, 0.0));
            (at, flowing_ms, lag_ms)
        })
        .collect();
    viewers.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let mut spare = Spare {
        changes: &changes,
        next: 0,
        now_ms: f64::NEG_INFINITY,
        slots: source_slots,
    };
    // Up to when what is left of the uplinks is given away.
    let mut given_ms = f64::NEG_INFINITY;
    let mut starts: Vec<(usize, f64, f64)> = viewers
        .into_iter()
        .map(|(at, flowing_ms, lag_ms)| {
            if !flowing_ms.is_finite() {
                return (at, flowing_ms, flowing_ms);
            }
            let age_ms = (flowing_ms - lag_ms).rem_euclid(gop_ms);
            let by_next_ms = flowing_ms + gop_ms - age_ms;
            let begun = spare.clone();
            let by_past_ms = spare.send(flowing_ms.max(given_ms), age_ms * k, by_next_ms);
            match by_past_ms {
                Some(ms) => {
                    given_ms = ms;
                    (at, flowing_ms, ms)
                }
                None => {
                    spare = begun;
                    (at, flowing_ms, by_next_ms)
                }
            }
        })
        .collect();
    starts.sort_by_key(|&(at, _, _)| at);
    starts
}

/// What is left of all uplinks, in copies of a substream at a time.
#[derive(Clone, Debug)]
struct Spare<'a> {
    changes: &'a [(f64, f64)],
    next: usize,
    now_ms: f64,
    slots: f64,
}

impl Spare<'_> {
    /// Sends so much of the past, in milliseconds of a substream, from `from_ms` on: when it is done, unless that is later than
    /// `until_ms`.
    fn send(&mut self, from_ms: f64, past_ms: f64, until_ms: f64) -> Option<f64> {
        self.pass(from_ms);
        let mut left = past_ms;
        loop {
            let until = self
                .changes
                .get(self.next)
                .map_or(f64::INFINITY, |change| change.0);
            let sent = self.slots.max(0.0) * (until.min(until_ms) - self.now_ms);
            if sent >= left {
                let done_ms = self.now_ms + left / self.slots.max(f64::MIN_POSITIVE);
                return Some(done_ms);
            }
            if until >= until_ms {
                return None;
            }
            left -= sent;
            self.pass(until);
        }
    }

    /// Goes on to `ms`, what changes then included.
    fn pass(&mut self, ms: f64) {
        while let Some(&(at, by)) = self.changes.get(self.next).filter(|change| change.0 <= ms) {
            self.slots += by;
            self.next += 1;
            self.now_ms = at;
        }
        self.now_ms = self.now_ms.max(ms);
    }
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
