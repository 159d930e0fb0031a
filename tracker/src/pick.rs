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
use std::collections::{BTreeSet, BinaryHeap};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::message::{MAX_PEERS, PeerRecord};
use wire::{MAX_SUBSTREAMS, Substream, SubstreamSet};

use crate::registry::{Registry, Spot};

/// The parts of an answer of [`FULL`] peers. In a model of 1000 peers this mix gave shallow trees and few dead ends.
const NEAR: usize = 8;
const TOWARD: usize = 16;
const JUMPS: usize = 10;
const RANDOM: usize = 6;
const FULL: usize = NEAR + TOWARD + JUMPS + RANDOM;

/// Helpers looked at for each substream that the joiner lacks: the best may have given their last slot to another of them.
const HELPERS_EACH: usize = 6;

/// What a further slot at a peer that helps already saves: a connection, 4 KB and its share of two uplinks.
const SAME_US: u32 = 10_000;

/// The same where there are more than [`MANY`] members: what a crowd spends on connections and promises it lacks for chunks.
/// With 10 ms and half as many peers named more, chunks were 0.4 s late at all of a crowd (docs/results/swarm.md).
const SAME_IN_A_CROWD_US: u32 = 100_000;
const MANY: usize = 100;

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
    let candidates = Candidates::scan(registry.spots(), rng, &me, Some(joiner), want, need);
    let seats = candidates.seat(registry, need.and(me.primaries()), most_seats(registry, want));
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
    let all = SubstreamSet::all(registry.substreams());
    let candidates = Candidates::scan(registry.spots(), rng, &Spot::stranger(), None, want, all);
    let mut seats = candidates.seat(registry, SubstreamSet::EMPTY, want);
    seats.sort_by_key(|(at, substreams)| (Reverse(substreams.len()), *at));
    seats.into_iter().map(|(at, _)| registry.record(at)).collect()
}

/// The best of each part, each with enough reserve for what other parts take from it.
struct Candidates {
    near: Best,
    toward: Best,
    jumps: Best,
    helpers: Vec<Helpers>,
}

impl Candidates {
    /// `joiner` is where `me` is among the members, if it is one.
    fn scan(
        spots: &[Spot],
        rng: &mut ChaCha8Rng,
        me: &Spot,
        joiner: Option<usize>,
        want: usize,
        need: SubstreamSet,
    ) -> Self {
        let mut found = Candidates {
            near: Best::new(want),
            toward: Best::new(want),
            jumps: Best::new(want),
            helpers: vec![Helpers::default(); usize::from(MAX_SUBSTREAMS)],
        };
        for (at, spot) in spots.iter().enumerate() {
            if Some(at) == joiner || !spot.is_nameable_to(me) {
                continue;
            }
            let free = spot.room() > 0;
            let rtt_us = me.rtt_us(spot);
            let supply_us = through_us(spot, rtt_us);
            found.offer_help(at, spot, need, need.and(me.primaries()), supply_us);
            if !me.is_placed() {
                found.near.offer(rank(free, supply_us), at);
                continue;
            }
            // Who does not know its place yet is near only by accident, so it comes after all others.
            found.near.offer(rank(spot.is_placed(), rtt_us), at);
            if !spot.is_placed() {
                continue;
            }
            if spot.to_source_us() < me.to_source_us() {
                found.toward.offer(rank(free, favoured(spot, rtt_us)), at);
            }
            if u64::from(spot.to_source_us()) * 10 < u64::from(me.to_source_us()) * 6 {
                found
                    .jumps
                    .offer(rank(free, favoured(spot, rng.random::<u32>())), at);
            }
        }
        found
    }

    /// Enters what a member could do for the joiner: supply one of the substreams it lacks from a free slot; or, in a substream
    /// that the joiner is to pass on, from the place of a child that passes nothing on and will be the joiner's.
    fn offer_help(
        &mut self,
        at: usize,
        spot: &Spot,
        need: SubstreamSet,
        passed_on: SubstreamSet,
        supply_us: u32,
    ) {
        if spot.room() == 0 {
            let moved_us = LEAF_US + OVERBOOKED_US * u32::from(spot.overbooked());
            for substream in spot.displaceable().and(passed_on).iter() {
                self.helpers[usize::from(substream.0)].offer(supply_us.saturating_add(moved_us), at);
            }
            return;
        }
        let scarce_us = LAST_US / u32::from(spot.room());
        for substream in spot.supplies().and(need).iter() {
            let own = spot.primaries().contains(substream);
            let flows = spot.has().contains(substream);
            let away_us = if own { 0 } else { AWAY_US };
            let wait_us = match (flows, passed_on.contains(substream)) {
                (true, _) => 0,
                (false, false) => NOT_YET_US,
                (false, true) => NOT_YET_TO_PASS_ON_US,
            };
            let cost_us = supply_us.saturating_add(scarce_us + away_us + wait_us);
            self.helpers[usize::from(substream.0)].offer(cost_us, at);
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
            let best = self.helpers[usize::from(substream)]
                .0
                .iter()
                .flatten()
                .filter(|&&(_, at)| {
                    let spot = &registry.spots()[at];
                    let moves = passed_on.and(spot.displaceable()).contains(Substream(substream));
                    u32::from(spot.room()) > held(at) || moves
                })
                .filter(|&&(_, at)| seats.len() < most || held(at) > 0)
                .min_by_key(|&&(cost_us, at)| {
                    (cost_us.saturating_sub(if held(at) > 0 { same_us } else { 0 }), at)
                })
                .map(|&(_, at)| at);
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

/// The `limit` lowest-ranked of what is offered, the place in the registry breaking ties.
struct Best {
    limit: usize,
    heap: BinaryHeap<(u64, usize)>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Best {
            limit,
            heap: BinaryHeap::with_capacity(limit + 1),
        }
    }

    fn offer(&mut self, rank: u64, at: usize) {
        if self.heap.len() == self.limit {
            if self.heap.peek().is_some_and(|&worst| (rank, at) >= worst) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push((rank, at));
    }

    fn into_ranked(self) -> Vec<usize> {
        self.heap
            .into_sorted_vec()
            .into_iter()
            .map(|(_, at)| at)
            .collect()
    }
}

/// The best helpers for one substream, best first.
#[derive(Clone, Default)]
struct Helpers([Option<(u32, usize)>; HELPERS_EACH]);

impl Helpers {
    fn offer(&mut self, rank: u32, at: usize) {
        let mut new = (rank, at);
        for place in &mut self.0 {
            match place {
                None => {
                    *place = Some(new);
                    return;
                }
                Some(old) if new < *old => std::mem::swap(old, &mut new),
                Some(_) => {}
            }
        }
    }
}
