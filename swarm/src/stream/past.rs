//! What a joiner wants of the past: asked along with the first packet of those who have something to spare, so that it comes with the first
//! live chunks and not a round trip later.

use std::time::Duration;

use wire::message::{PeerRecord, Request, Role};
use wire::{PeerId, Seq};

use super::holders::{MAX_OPEN, UNPROMISED};
use super::repair::PAST_USEFUL;
use super::seats::SMALL_SWARM;
use super::{Ctx, Stream};

/// Most chunks asked of one peer with its first packet: as many as may be open at a peer later. Each takes five of the packet's 800 bytes.
const MOST_AT_ONE: usize = MAX_OPEN as usize;

/// A peer is asked for no more than it can send in so long beside what it has promised: what takes longer is better asked of somebody
/// whose advert has come by then.
const SENT_WITHIN: Duration = Duration::from_millis(400);

/// The answer to a first packet is waited for so long: a round trip over 300 ms, and a place in a queue.
const ANSWERED_WITHIN: Duration = Duration::from_millis(450);

/// One of those who are about to be dialled.
struct Spare {
    peer: PeerId,
    /// How long it takes to send one chunk more, in microseconds.
    chunk_us: f64,
    /// What is asked of it.
    seqs: Vec<Seq>,
}

impl Spare {
    /// When it would have sent one chunk more.
    fn next_us(&self) -> f64 {
        (self.seqs.len() + 1) as f64 * self.chunk_us
    }
}

impl Stream {
    /// The tracker has answered for the first time: shares the chunks between where playout will begin and `head` out among the peers that
    /// it named, by what each has to spare.
    pub(super) fn plan_past(&mut self, ctx: &Ctx<'_>, head: Seq) {
        if self.playout.is_none() {
            return;
        }
        // In a larger swarm those only are dialled where slots are held.
        let all = self.membership.members <= SMALL_SWARM;
        let mut spares: Vec<Spare> = Vec::new();
        for (peer, known) in &self.membership.known {
            let Some(record) = known.record.as_ref().filter(|record| has_past(record)) else {
                continue;
            };
            let seats = self.seats_at(*peer, ctx.now).len();
            if seats == 0 && !all {
                continue;
            }
            let free = (f64::from(record.free_slots) - f64::from(seats)).max(0.0);
            // A slot sends one chunk of its substream in each of its periods.
            let slots = free + UNPROMISED * f64::from(record.slots);
            spares.push(Spare {
                peer: *peer,
                chunk_us: self.period().as_micros() as f64 / slots.max(UNPROMISED),
                seqs: Vec::new(),
            });
        }
        let within_us = SENT_WITHIN.as_micros() as f64;
        let mut seq = self.begin_at;
        while seq <= head {
            let room = |spare: &&mut Spare| spare.seqs.len() < MOST_AT_ONE && spare.next_us() <= within_us;
            let soonest = spares
                .iter_mut()
                .filter(room)
                .min_by(|a, b| a.next_us().total_cmp(&b.next_us()));
            let Some(spare) = soonest else { break };
            spare.seqs.push(seq);
            seq = seq.plus(1);
        }
        for spare in spares {
            if let Some(known) = self.membership.known.get_mut(&spare.peer) {
                known.past = spare.seqs;
            }
        }
    }

    /// What is asked of the past with the first packet to a peer.
    pub(super) fn ask_for_past(&mut self, ctx: &Ctx<'_>, peer: PeerId) -> Option<Request> {
        let known = self.membership.known.get_mut(&peer)?;
        let mut seqs = std::mem::take(&mut known.past);
        seqs.retain(|&seq| seq >= self.window.base() && self.window.get(seq).is_none());
        self.repair.ask_of(peer, &mut seqs, ctx.now + ANSWERED_WITHIN);
        self.counters.repairs_requested += seqs.len() as u64;
        (!seqs.is_empty()).then(|| Request {
            stream_tag: self.id.tag(),
            seqs: seqs.into_iter().collect(),
            deadline_ms: PAST_USEFUL.as_millis() as u16,
        })
    }
}

/// Whether a peer has all substreams' chunks, and something to send them with.
fn has_past(record: &PeerRecord) -> bool {
    record.free_slots > 0 && record.lag_ms.is_some() && record.role != Role::Donor
}

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
