//! The watch over suppliers: who went silent, who never answered.

use std::time::Duration;

use incentives::Offence;
use wire::{PeerId, Substream, Time};

use super::supply::NEW_HERE;
use super::{Ctx, Stream, StreamPeer};

/// A supplier is silent after so many of its substream's periods: two chunks lost in a row and some jitter. With 2.2, one
/// lost copy in two hundred made a hundred peers change suppliers without need in a minute...
const SILENT_PERIODS: f64 = 3.2;

/// ...and after no less than this: a lost packet and its repair by the transport take two round trips.
const SILENT_MIN: Duration = Duration::from_millis(280);

/// It is suspected after so many, and after no less than this.
const SUSPICIOUS_PERIODS: f64 = 1.6;
const SUSPICIOUS_MIN: Duration = Duration::from_millis(120);

/// How much longer a silent supplier is borne with that has said why it is silent: what it takes to find another.
pub(super) const DETACHED: Duration = Duration::from_millis(500);

/// How long after a pause trees may take to grow together again: two connections, two answers, and some hops.
const RESUMED: Duration = Duration::from_millis(1_500);

/// All below a supplier that fails hear nothing at the same time. The nearest acts first, and its children hear of that
/// before they act, because each hop makes a peer more patient by this much...
const DEEPER: Duration = Duration::from_millis(40);

/// ...up to so many hops.
const DEEPEST: u8 = 10;

/// How long a silent supplier is not asked again.
pub(super) const DISTRUST: Duration = Duration::from_secs(3);

/// A newcomer's supplier gets this long for its first chunk: handshake, queue, and its own supplier's first chunk.
pub(super) const FIRST_CHUNK: Duration = Duration::from_millis(700);

/// Beyond the round trip, an answer may take this long to be made.
const ANSWER_SLACK: Duration = Duration::from_millis(80);

impl Stream {
    /// For each supplier when it was last heard in any substream, and how many of them flow.
    fn heard_from_suppliers(&self) -> Vec<(PeerId, Time, u32)> {
        let mut heard: Vec<(PeerId, Time, u32)> = Vec::new();
        for sub in &self.subs {
            let Some((parent, at)) = sub.parent.zip(sub.last_arrival) else {
                continue;
            };
            if at < sub.parent_since {
                continue;
            }
            match heard.iter_mut().find(|(peer, _, _)| *peer == parent) {
                Some((_, newest, substreams)) => {
                    *newest = at.max(*newest);
                    *substreams += 1;
                }
                None => heard.push((parent, at, 1)),
            }
        }
        heard
    }

    /// Asks the neighbours for a sign of life; the peercaster, who knows everybody, calls its children only, and only they call
    /// it. Who is only just finding its suppliers has other reasons to miss something.
    pub(super) fn call_roll(&self, ctx: &mut Ctx<'_>) {
        // Who keeps a tracker has many neighbours, and calls those only that it has to do with itself.
        let (now, source) = (ctx.now, self.tracking.is_some());
        if !source && now.since(self.began) < NEW_HERE {
            return;
        }
        let shares = |peer: &PeerId| {
            let shared = |state: &StreamPeer| !state.supplied.or(state.supplies).is_empty();
            self.peers.get(peer).is_some_and(shared)
        };
        let tracker = self.membership.tracker;
        ctx.neighbours
            .call_roll(now, |peer| (!source && tracker != Some(*peer)) || shares(peer));
    }

    /// A supplier that is silent for so long makes one call the roll: one chunk of those it supplies is well overdue.
    fn suspicious(&self, heard: &[(PeerId, Time, u32)], parent: PeerId) -> Duration {
        let substreams = heard
            .iter()
            .find(|(peer, _, _)| *peer == parent)
            .map_or(1, |heard| heard.2);
        (self.period().mul_f64(SUSPICIOUS_PERIODS) / substreams.max(1)).max(SUSPICIOUS_MIN)
    }

    /// Finds suppliers that went silent, and requests that were never answered.
    pub(super) fn watch_parents(&mut self, ctx: &mut Ctx<'_>) {
        if self.source.is_some() {
            return;
        }
        let now = ctx.now;
        let patience = self.period().mul_f64(SILENT_PERIODS).max(SILENT_MIN);
        // When nothing at all is known to be newer, the encoder pauses: nobody is to blame, nor before the first chunks
        // of all substreams can be here again. Half the patience, because the substreams' last chunks came up to a
        // period before the last one of all.
        let newest = self.subs.iter().filter_map(|sub| sub.last_arrival).max();
        let seen = self.repair.anchor.map_or(self.session, |(seq, _)| seq);
        let ahead = |state: &StreamPeer| {
            let head = state.advert.as_ref().map(|(advert, _)| advert.head);
            head.is_some_and(|head| head > seen.plus(u64::from(self.k())))
        };
        let flowing = newest.is_some_and(|at| now.since(at) < patience / 2) || self.peers.values().any(ahead);
        if flowing && self.flowing_since.is_none() {
            self.flowing_since = Some(now);
        } else if !flowing {
            self.has_paused |= self.flowing_since.take().is_some();
        }
        let heard = self.heard_from_suppliers();
        for s in 0..self.k() {
            let substream = Substream(s);
            let Some(sub) = self.sub(substream) else { continue };
            let Some((parent, flowing_since)) = sub.parent.zip(self.flowing_since) else {
                continue;
            };
            let quiet_since = sub
                .last_arrival
                .map_or(sub.parent_since, |at| at.max(sub.parent_since));
            let first = sub.last_arrival.is_none_or(|at| at < sub.parent_since);
            let quiet = now.since(quiet_since.max(flowing_since));
            if !first && quiet <= SUSPICIOUS_MIN {
                // Nothing is suspected sooner, whatever else is the case.
                continue;
            }
            let spread = Duration::from_micros((4.0 * sub.delay_dev_us) as u64);
            let usual = if first {
                patience.max(FIRST_CHUNK)
            } else {
                patience
            };
            // Somebody above looks for a supplier already; if all below did, too, the whole tree would fall apart.
            let told = !sub.attached && !sub.path.is_empty();
            // After a pause of the whole stream the trees grow from the root again, and take longer for it: who leaves a supplier that
            // has not heard of its own yet finds others that have not either. A newcomer may have chosen badly.
            let resumed = self.flowing_since.is_some_and(|at| now.since(at) < RESUMED);
            let detached = match (resumed && (told || self.has_paused), told) {
                (true, _) => RESUMED,
                (false, true) => DETACHED,
                (false, false) => Duration::ZERO,
            };
            let allowed = usual + detached + spread + DEEPER * u32::from(sub.hops.min(DEEPEST));
            if quiet > self.suspicious(&heard, parent) + spread {
                self.call_roll(ctx);
            }
            // Who supplies several is silent in all of them at once, and sooner known to be gone.
            let gone = heard.iter().any(|&(peer, at, substreams)| {
                let silent =
                    || now.since(at.max(flowing_since)) > (patience / substreams).max(SILENT_MIN) + spread;
                peer == parent && substreams > 1 && silent()
            });
            let mute = quiet > SILENT_MIN && ctx.neighbours.is_mute(&parent, now);
            if gone || mute || quiet > allowed {
                let displaced = sub.orphan_since.is_some();
                if let Some(state) = self.peers.get_mut(&parent) {
                    // Who agreed and sent nothing did not keep its word: once, however many substreams it was.
                    if first && !displaced && state.distrusted_until <= now {
                        ctx.penalise(parent, Offence::NeverSent);
                    }
                    state.distrusted_until = now + DISTRUST;
                }
                self.note_source_silent(now, substream);
                self.leave_parent(ctx, substream, DISTRUST);
            }
        }
        let mut overdue: Vec<PeerId> = Vec::new();
        for (peer, state) in &self.peers {
            if state.asked.is_empty() {
                continue;
            }
            let timeout = ctx
                .neighbours
                .get(peer)
                .map_or(Duration::ZERO, |n| n.timeout() + ANSWER_SLACK);
            if now.since(state.asked_at) > timeout {
                overdue.push(*peer);
            }
        }
        for peer in overdue {
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            for substream in std::mem::take(&mut state.asked).iter() {
                state.pause(substream, now + Duration::from_secs(1));
            }
            // Not even a no: it is gone, or busy beyond use.
            state.distrusted_until = now + DISTRUST;
            for sub in &mut self.subs {
                if sub.pending == Some(peer) {
                    sub.pending = None;
                    sub.seat = None;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
