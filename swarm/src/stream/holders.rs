//! Requests for single chunks under way, and the neighbours that could be asked for one.

use std::time::Duration;

use incentives::Standings;
use wire::message::{Advert, NO_LAG, PeerRecord, Role};
use wire::{PeerId, PeerMap, Seq, Substream, Time};

use super::StreamPeer;
use crate::neighbour::Neighbours;

/// Most chunks asked of one peer at a time.
pub(super) const MAX_OPEN: u16 = 16;

/// A peer without a free slot has only the unpromised rest of its uplink for repairs.
const FULL_US: f64 = 100_000.0;

/// What the peercaster alone can give is for its children, and in a small swarm for who gets it nowhere else. With 100 ms those
/// who play took it from joiners: the second slowest of twenty began 0.06 s later (simulated with PlanetLab delays, 120 seeds).
const OF_SOURCE_US: f64 = 300_000.0;

/// Share of a peer's slots that it has to spare beside the free ones: most of what it does not promise to children.
pub(super) const UNPROMISED: f64 = 0.05;
const UNPROMISED_BY_SOURCE: f64 = 0.15;

/// A peer that has been called and has not answered may be gone: asking it in vain costs about this.
const IN_DOUBT_US: f64 = 150_000.0;

/// Who owes this node nothing answers it last, if it gives nothing itself.
const CREDITLESS_US: f64 = 100_000.0;

/// One copy's time on the uplink of a peer that has not said it: 3.8 KB at 6 Mbit/s.
const TYPICAL_COPY_US: f64 = 5_000.0;

/// A peer that has not kept its word lately is asked last: a delay added in proportion.
const UNRELIABLE_US: f64 = 4_000_000.0;

/// A chunk asked for.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) seq: Seq,
    pub(super) to: PeerId,
    pub(super) until: Time,
    pub(super) tries: u8,
    /// Whether a second peer is being asked at the same time.
    pub(super) hedged: bool,
    /// It was declined, or its time ran out and that is noted.
    pub(super) closed: bool,
    /// Whether it took a token.
    pub(super) paid: bool,
}

/// The chunks asked for.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Sorted by number.
    list: Vec<Open>,
    /// None of those that are not closed runs out before.
    runs_out: Option<Time>,
}

impl Requests {
    fn find(&self, seq: Seq) -> Result<usize, usize> {
        self.list.binary_search_by_key(&seq, |open| open.seq)
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Open> {
        Some(&self.list[self.find(seq).ok()?])
    }

    pub(super) fn get_mut(&mut self, seq: Seq) -> Option<&mut Open> {
        let at = self.find(seq).ok()?;
        Some(&mut self.list[at])
    }

    /// Enters a request, in place of one for the same chunk.
    pub(super) fn insert(&mut self, open: Open) {
        self.runs_out = Some(self.runs_out.map_or(open.until, |at| at.min(open.until)));
        match self.find(open.seq) {
            Ok(at) => self.list[at] = open,
            Err(at) => self.list.insert(at, open),
        }
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<Open> {
        Some(self.list.remove(self.find(seq).ok()?))
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.runs_out = None;
    }

    /// What was asked of a peer is waited for no longer than this.
    pub(super) fn hasten(&mut self, to: PeerId, until: Time) {
        for open in self.list.iter_mut().filter(|open| open.to == to) {
            open.until = open.until.min(until);
            self.runs_out = Some(self.runs_out.map_or(open.until, |at| at.min(open.until)));
        }
    }

    /// Forgets what was asked of a peer.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.list.retain(|open| open.to != peer);
    }

    /// Forgets chunks before this one.
    pub(super) fn drop_before(&mut self, seq: Seq) {
        let gone = self.list.partition_point(|open| open.seq < seq);
        self.list.drain(..gone);
    }

    /// Closes the requests whose time is over and tells of whom they were made.
    pub(super) fn run_out(&mut self, now: Time, mut tell: impl FnMut(PeerId)) {
        if self.runs_out.is_none_or(|at| at > now) {
            return;
        }
        self.runs_out = None;
        for open in self.list.iter_mut().filter(|open| !open.closed) {
            if open.until <= now {
                open.closed = true;
                tell(open.to);
            } else {
                self.runs_out = Some(self.runs_out.map_or(open.until, |at| at.min(open.until)));
            }
        }
    }
}

/// What a neighbour says, or the tracker of it until it speaks for itself.
enum Word<'a> {
    Own(&'a Advert),
    Tracker(&'a PeerRecord),
}

/// A neighbour that could be asked now.
pub(super) struct Holder<'a> {
    pub(super) peer: PeerId,
    /// Time after which an answer is overdue.
    pub(super) timeout: Duration,
    word: Word<'a>,
    rtt_us: f64,
    /// Added because it may not answer.
    doubt_us: f64,
    /// Requests that it has not answered.
    open: u16,
}

/// What is asked for.
pub(super) struct Wanted {
    pub(super) seq: Seq,
    pub(super) substream: Substream,
    pub(super) parent: Option<PeerId>,
    pub(super) age_us: f64,
    /// A peer that is not to be asked: it was before.
    pub(super) not: Option<PeerId>,
    /// A joiner asks for a second of the stream at once, which takes what a peer has to spare: a slot sends one chunk of its
    /// substream in each of its periods. `None` for who plays already.
    pub(super) spare_period_us: Option<f64>,
    /// Whether the peercaster may be asked by who is not its child: in a small swarm it has something left over.
    pub(super) of_source: bool,
}

/// All neighbours that can be asked at `now`. Made once for all chunks that are missing at that moment.
pub(super) fn holders<'a>(
    now: Time,
    peers: &'a PeerMap<StreamPeer>,
    neighbours: &Neighbours,
    standings: &Standings,
    requests: &Requests,
    owes: impl Fn(PeerId) -> bool,
) -> Vec<Holder<'a>> {
    let mut holders: Vec<Holder<'a>> = Vec::with_capacity(peers.len());
    for (peer, state, neighbour) in peers.joined(neighbours.map()) {
        if state.busy_until > now || neighbour.is_mute(now) {
            continue;
        }
        let word = match (&state.advert, &state.record) {
            (Some((advert, _)), _) if advert.slots > 0 => Word::Own(advert),
            (None, Some(record)) if record.slots > 0 => Word::Tracker(record),
            _ => continue,
        };
        holders.push(Holder {
            peer: *peer,
            timeout: neighbour.timeout(),
            word,
            rtt_us: neighbour.rtt_us(),
            doubt_us: UNRELIABLE_US * standings.of(*peer).unreliability(now)
                + if neighbour.is_in_doubt() { IN_DOUBT_US } else { 0.0 }
                + if owes(*peer) { 0.0 } else { CREDITLESS_US },
            open: 0,
        });
    }
    for open in requests.list.iter().filter(|open| open.until > now) {
        if let Ok(at) = holders.binary_search_by_key(&open.to, |holder| holder.peer) {
            holders[at].open += 1;
        }
    }
    holders
}

impl Holder<'_> {
    /// In how many microseconds an answer is to be expected; `None` if it has not got the chunk or cannot be asked.
    fn cost_us(&self, wanted: &Wanted) -> Option<f64> {
        if self.open >= MAX_OPEN || Some(self.peer) == wanted.not {
            return None;
        }
        let substream = wanted.substream;
        let (lag_ms, backlog_ms, copy_us, free, slots, role) = match self.word {
            Word::Own(advert) => {
                let oldest = Seq(advert.head.0.saturating_sub(u64::from(advert.held)));
                if wanted.seq <= oldest {
                    return None;
                }
                let lag = *advert.lags_ms.get(usize::from(substream.0))?;
                if lag == NO_LAG {
                    return None;
                }
                let copy_us = f64::from(advert.copy_time_10us) * 10.0;
                (
                    lag,
                    advert.backlog_ms,
                    copy_us,
                    advert.free_slots,
                    advert.slots,
                    advert.role,
                )
            }
            Word::Tracker(record) => {
                let carries = record.role != Role::Donor || record.primaries.contains(substream);
                let lag = record.lag_ms.filter(|_| carries)?;
                (
                    lag,
                    0,
                    TYPICAL_COPY_US,
                    record.free_slots,
                    record.slots,
                    record.role,
                )
            }
        };
        let is_parent = wanted.parent == Some(self.peer);
        let is_source = role == Role::Peercaster;
        if is_source && !is_parent && !wanted.of_source {
            return None;
        }
        let wait_us = (f64::from(lag_ms) * 1000.0 + self.rtt_us * 0.5 - wanted.age_us).max(0.0);
        let open = f64::from(self.open);
        let queue_us = f64::from(backlog_ms) * 1000.0
            + match wanted.spare_period_us {
                None => open * copy_us,
                Some(period_us) => {
                    let unpromised = if is_source {
                        UNPROMISED_BY_SOURCE
                    } else {
                        UNPROMISED
                    };
                    let spare = f64::from(free) + unpromised * f64::from(slots);
                    (open + 1.0) * period_us / spare.max(UNPROMISED)
                }
            };
        // The one that should have sent it had its chance, and may be the reason.
        let blame_us = if is_parent { 20_000.0 } else { 0.0 };
        let full_us = match (is_source, free) {
            (false, 0) => FULL_US,
            // Everybody can ask it: it comes after who has something to spare.
            (true, _) if !is_parent && wanted.spare_period_us.is_none() => OF_SOURCE_US,
            _ => 0.0,
        };
        Some(self.rtt_us + wait_us + queue_us + blame_us + full_us + self.doubt_us)
    }
}

/// The neighbour that probably holds a chunk and would answer first; it counts as asked.
pub(super) fn ask_best<'h, 'a>(holders: &'h mut [Holder<'a>], wanted: &Wanted) -> Option<&'h Holder<'a>> {
    let mut best: Option<(usize, f64)> = None;
    for (at, holder) in holders.iter().enumerate() {
        if let Some(us) = holder.cost_us(wanted)
            && best.is_none_or(|(_, held)| us < held)
        {
            best = Some((at, us));
        }
    }
    let chosen = &mut holders[best?.0];
    chosen.open = chosen.open.saturating_add(1);
    Some(chosen)
}

#[cfg(test)]
#[path = "holders_tests.rs"]
mod tests;
