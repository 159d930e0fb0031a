//! Whom a joiner is told of.
//!
//! The paper (§3, "A QoS-Based Overlay") has peers connect to their closest peers in the direction of the peercaster,
//! to a few farther on as jumps, and finds that a cluster also needs some long connections out of it. So:
//!
//! | part | of 40 | who | ranked by |
//! | --- | --- | --- | --- |
//! | help | up to two thirds, in a crowd all | has a slot for a substream the joiner lacks, which is then held for it; or, for one that the joiner passes on, a child there that passes nothing on | its lag and the round trip |
//! | near | 8 | anybody | round trip |
//! | toward | 16 | nearer to the source than the joiner | free slot first, then round trip |
//! | jumps | 10 | under 0.6 of the joiner's distance to the source | free slot first, then at random, donors twice as likely |
//! | random | 6 | anybody | at random |
//!
//! What one part cannot fill, the nearest others fill. A joiner that does not know its place yet is told of low lags
//! instead of near and toward.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::message::{MAX_PEERS, PeerRecord};
use wire::{Substream, SubstreamSet};

use crate::best::{Best, Helpers, Wants, above};
use crate::registry::Registry;
use crate::sieve::{BLOCK, Bars, draw};
use crate::spot::{Sets, Spot};

/// The parts of an answer of [`FULL`] peers. In a model of 1000 peers this mix gave shallow trees and few dead ends.
const NEAR: usize = 8;
const TOWARD: usize = 16;
const JUMPS: usize = 10;
const RANDOM: usize = 6;
const FULL: usize = NEAR + TOWARD + JUMPS + RANDOM;

/// What a further slot at a peer that helps already saves: a connection, 4 KB and its share of two uplinks.
const SAME_US: u32 = 10_000;

/// The same where there are more than [`MANY`] members: what a crowd spends on connections and promises it lacks for chunks.
/// With 10 ms and half as many peers named more, chunks were 0.4 s late at all of a crowd (docs/results/swarm.md).
const SAME_IN_A_CROWD_US: u32 = 100_000;
const MANY: usize = 100;

/// Attempts for each random peer: with half of the members not nameable, one in 256 picks fails.
const RANDOM_ATTEMPTS: usize = 8;

/// Names up to `want` peers to the member at `joiner`, most useful first, and holds a slot with some of them for each
/// substream of `need`, as far as there are any.
pub(crate) fn pick(
    registry: &mut Registry,
    rng: &mut ChaCha8Rng,
    joiner: usize,
    want: u8,
    need: SubstreamSet,
) -> Vec<(PeerRecord, SubstreamSet)> {
    let want = usize::from(want).min(MAX_PEERS);
    if want == 0 {
        return Vec::new();
    }
    let me = registry.spots()[joiner].clone();
    let passed_on = need.and(registry.sets()[joiner].primaries);
    let wants = Wants { need, passed_on };
    let candidates = Candidates::scan(registry, rng, &me, Some(joiner), want, wants);
    let seats = candidates.seat(registry, passed_on, most_seats(registry, want));
    for &(at, substreams) in &seats {
        registry.hold(at, substreams.len());
    }
    let mut taken: BTreeSet<usize> = seats.iter().map(|&(at, _)| at).collect();
    let others = candidates.choose(registry, rng, joiner, want - seats.len(), &mut taken);
    seats
        .into_iter()
        .chain(others.into_iter().map(|at| (at, SubstreamSet::EMPTY)))
        .map(|(at, substreams)| (registry.record(at), substreams))
        .collect()
}

/// With how many different peers slots are held for a joiner: in a crowd all that are named to it, in a small swarm others, too, are
/// worth to know.
fn most_seats(registry: &Registry, want: usize) -> usize {
    if registry.len() > MANY {
        want
    } else {
        (want * 2).div_ceil(3)
    }
}

/// Up to `want` peers that a stranger who needs everything would be sent to now, those with a slot for most substreams
/// first.
pub(crate) fn foresee(registry: &Registry, rng: &mut ChaCha8Rng, want: usize) -> Vec<PeerRecord> {
    let wants = Wants {
        need: SubstreamSet::all(registry.substreams()),
        passed_on: SubstreamSet::EMPTY,
    };
    let candidates = Candidates::scan(registry, rng, &Spot::stranger(), None, want, wants);
    let mut seats = candidates.seat(registry, SubstreamSet::EMPTY, want);
    seats.sort_by_key(|(at, substreams)| (Reverse(substreams.len()), *at));
    seats.into_iter().map(|(at, _)| registry.record(at)).collect()
}

/// The best of each part, each with enough reserve for what other parts take from it.
struct Candidates {
    near: Best,
    toward: Best,
    jumps: Best,
    helpers: Helpers,
    /// Jumps are nearer to the source than this...
    jump_us: u32,
    /// ...and in an order that this makes.
    shuffle: u32,
}

impl Candidates {
    /// `joiner` is where `me` is among the members, if it is one.
    ///
    /// Most members of a large area are in no part. So each part says first what would be good enough for it, and that is all that
    /// is asked of most.
    fn scan(
        registry: &Registry,
        rng: &mut ChaCha8Rng,
        me: &Spot,
        joiner: Option<usize>,
        want: usize,
        wants: Wants,
    ) -> Self {
        let mut found = Candidates::new(rng, me, want, wants);
        for block in 0..registry.columns().blocks() {
            let marks = registry.columns().sift(block, me, found.shuffle, &found.bars(me));
            let from = block * BLOCK;
            for (at, spot) in registry.spots().iter().enumerate().skip(from).take(BLOCK) {
                if marks[at - from] && Some(at) != joiner {
                    found.consider(at, spot, me, &registry.sets()[at]);
                }
            }
        }
        found
    }

    fn new(rng: &mut ChaCha8Rng, me: &Spot, want: usize, wants: Wants) -> Self {
        let jump_us = (u64::from(me.to_source_us()) * 6).div_ceil(10);
        Candidates {
            near: Best::new(want),
            toward: Best::new(want),
            jumps: Best::new(want),
            helpers: Helpers::new(wants),
            jump_us: u32::try_from(jump_us).unwrap_or(u32::MAX),
            shuffle: rng.random::<u32>() | 1,
        }
    }

    /// What is good enough for each part now, as a sieve.
    fn bars(&self, me: &Spot) -> Bars {
        let (near, help) = (self.near.bar_us(), self.helpers.bar_us());
        if me.is_placed() {
            Bars {
                near,
                soon: f32::NEG_INFINITY,
                help,
                toward: self.toward.bar_us(),
                toward_us: above(u64::from(me.to_source_us())),
                jump: self.jumps.bar_us(),
                jump_us: above(u64::from(self.jump_us)),
            }
        } else {
            Bars {
                near: f32::NEG_INFINITY,
                soon: near,
                help,
                toward: f32::NEG_INFINITY,
                toward_us: 0.0,
                jump: f32::NEG_INFINITY,
                jump_us: 0.0,
            }
        }
    }

    /// Enters a member in each part that it is good enough for.
    fn consider(&mut self, at: usize, spot: &Spot, me: &Spot, sets: &Sets) {
        if !spot.is_nameable_to(me) {
            return;
        }
        let free = spot.room() > 0;
        let rtt_us = me.rtt_us(spot);
        let supply_us = through_us(spot, rtt_us);
        if self.helpers.may_take(supply_us, at) {
            self.helpers.offer(at, spot, sets, supply_us);
        }
        if !me.is_placed() {
            self.near.offer(rank(free, supply_us), at);
            return;
        }
        // Who does not know its place yet is near only by accident, so it comes after all others.
        self.near.offer(rank(spot.is_placed(), rtt_us), at);
        if !spot.is_placed() {
            return;
        }
        if spot.to_source_us() < me.to_source_us() {
            self.toward.offer(rank(free, favoured(spot, rtt_us)), at);
        }
        if spot.to_source_us() < self.jump_us {
            let drawn = draw(spot.lot(), self.shuffle);
            self.jumps.offer(rank(free, favoured(spot, drawn)), at);
        }
    }

    fn choose(
        self,
        registry: &Registry,
        rng: &mut ChaCha8Rng,
        joiner: usize,
        want: usize,
        taken: &mut BTreeSet<usize>,
    ) -> Vec<usize> {
        let share = |part: usize| (part * want).div_ceil(FULL);
        let near = self.near.into_ranked();
        // Each part's picks, with how far down its part each stands: so the first few of an answer hold the mix, too.
        let mut parts: Vec<(usize, usize)> = Vec::with_capacity(want + 3);
        for (ranked, quota) in [
            (self.toward.into_ranked(), share(TOWARD)),
            (near.clone(), share(NEAR)),
            (self.jumps.into_ranked(), share(JUMPS)),
            (
                random(registry.spots(), rng, joiner, share(RANDOM)),
                share(RANDOM),
            ),
        ] {
            let picks = ranked.into_iter().filter(|&at| taken.insert(at)).take(quota);
            parts.extend(
                picks
                    .enumerate()
                    .map(|(nth, at)| ((2 * nth + 1) * FULL / quota, at)),
            );
        }
        parts.sort_by_key(|&(depth, _)| depth);
        let fill = near.into_iter().filter(|at| !taken.contains(at));
        let mut chosen: Vec<usize> = parts.into_iter().map(|(_, at)| at).chain(fill).collect();
        chosen.truncate(want);
        chosen
    }

    /// A slot for each needed substream, those that the joiner passes on and then the scarcest first, with `most` different peers
    /// at most.
    fn seat(&self, registry: &Registry, passed_on: SubstreamSet, most: usize) -> Vec<(usize, SubstreamSet)> {
        let supply = registry.supply();
        let same_us = if registry.len() > MANY {
            SAME_IN_A_CROWD_US
        } else {
            SAME_US
        };
        let mut substreams: Vec<u8> = (0..registry.substreams()).collect();
        substreams.sort_by_key(|&substream| {
            (
                !passed_on.contains(Substream(substream)),
                supply[usize::from(substream)],
            )
        });
        let mut seats: Vec<(usize, SubstreamSet)> = Vec::new();
        for substream in substreams {
            let held = |at: usize| {
                let seat = seats.iter().find(|(seated, _)| *seated == at);
                seat.map_or(0, |(_, set)| set.len())
            };
            let best = self
                .helpers
                .of(Substream(substream))
                .filter(|&(_, at)| {
                    let moves = passed_on.and(registry.sets()[at].displaceable());
                    u32::from(registry.spots()[at].room()) > held(at) || moves.contains(Substream(substream))
                })
                .filter(|&(_, at)| seats.len() < most || held(at) > 0)
                .min_by_key(|&(cost_us, at)| {
                    (cost_us.saturating_sub(if held(at) > 0 { same_us } else { 0 }), at)
                })
                .map(|(_, at)| at);
            let Some(at) = best else { continue };
            match seats.iter_mut().find(|(seated, _)| *seated == at) {
                Some((_, set)) => set.insert(Substream(substream)),
                None => seats.push((at, SubstreamSet::one(Substream(substream)))),
            }
        }
        seats
    }
}

/// How late the first chunk would be here if it were asked for from `spot`: its own lag and a round trip. Who has no lag
/// yet comes last.
fn through_us(spot: &Spot, rtt_us: u32) -> u32 {
    match spot.lag_us() {
        Some(lag) => favoured(spot, lag.saturating_add(rtt_us)),
        None => u32::MAX,
    }
}

/// A donor counts as if it were at half its distance: it is there to send, and the paper (§5) puts donors near the source
/// so that consumers inherit their low lag. The factor is our judgement.
fn favoured(spot: &Spot, value: u32) -> u32 {
    if spot.is_donor() { value / 2 } else { value }
}

/// An order with all `first` before all others.
fn rank(first: bool, value: u32) -> u64 {
    u64::from(value) | if first { 0 } else { 1 << 32 }
}

/// Up to `count` different members that the joiner may be told of, in random order.
fn random(spots: &[Spot], rng: &mut ChaCha8Rng, joiner: usize, count: usize) -> Vec<usize> {
    let mut drawn = Vec::with_capacity(count);
    for _ in 0..count * RANDOM_ATTEMPTS {
        let at = rng.random_range(0..spots.len());
        if at != joiner && spots[at].is_nameable_to(&spots[joiner]) && !drawn.contains(&at) {
            drawn.push(at);
            if drawn.len() == count {
                break;
            }
        }
    }
    drawn
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
