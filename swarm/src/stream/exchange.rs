//! Chunks coming in and going on.

use std::sync::Arc;
use std::time::Duration;

use wire::message::Role;
use wire::{Chunk, PeerId, Seq, SubstreamSet, Time};

use super::{Ctx, Stream};
use crate::io::{Class, Event, Output};
use crate::uplink::{ACK_BYTES, Copy};
use crate::window::Inserted;

/// A live copy older than this on the uplink is of no use: its receiver has long asked somebody else for it.
const LIVE_EXPIRY: Duration = Duration::from_millis(400);

/// The peercaster's own copies are worth sending much longer: nobody else could.
const FIRST_HOP_EXPIRY: Duration = Duration::from_millis(1_500);

/// A copy for a child that was displaced is of use until it has another supplier.
const LEAVER_EXPIRY: Duration = Duration::from_millis(250);

/// What a new subscriber wants of the past may wait this long.
const PAST_EXPIRY: Duration = Duration::from_millis(1_500);

/// A subscriber that lacks no more than this goes with the repairs.
const RECENT: Duration = Duration::from_millis(300);

/// A new session is taken up with its first key frame as long as that is no longer ago than this: the time between two key frames, and what a
/// far peercaster's first connection takes. Where capacity is short what is missing comes too late, and the next key frame is the beginning.
const SESSION_YOUNG: Duration = Duration::from_millis(1_500);

/// Weight of a new delay in a substream's mean.
const DELAY_GAIN: f64 = 0.125;

/// Weight of a new size in the mean frame.
const FRAME_GAIN: f64 = 0.02;

impl Stream {
    /// A checked chunk from a peer.
    pub(crate) fn on_chunk(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: PeerId,
        chunk: &Arc<Chunk>,
        hops: u8,
        repair: bool,
    ) {
        if self.info.is_none() || self.source.is_some() || chunk.header().session < self.session {
            return;
        }
        if chunk.header().session > self.session {
            self.begin_session(ctx, chunk.header().session);
            self.begin_with(chunk);
        }
        ctx.uplink.book_unpaced(ctx.now, ACK_BYTES);
        let seq = chunk.seq();
        self.answered(seq);
        if !repair {
            self.observe_delivery(ctx.now, from, chunk, hops);
        } else {
            self.observe_repair(ctx.now, from, seq);
        }
        let len = chunk.payload().len() as u64;
        match self.window.insert(chunk.clone()) {
            Inserted::New => {}
            Inserted::Duplicate => {
                self.counters.bytes_duplicate += len;
                return;
            }
            Inserted::Outside => return,
        }
        self.counters.bytes_in += len;
        ctx.received(from, self.id, len);
        self.observe_size(chunk);
        self.repair.observe(seq, chunk.header().generated_at);
        self.report_arrival(ctx, chunk, hops);
        self.note_end(ctx, chunk);
        // What had to be fetched is late for the children, too, and says as little about the way here as about the way on.
        let settled = self.settled_from.is_some_and(|settled| seq >= settled);
        let class = if repair { Class::Repair } else { Class::Live };
        self.forward(ctx, Some(from), chunk, hops, class);
        let pushed_live = !repair && seq >= self.live_from;
        let telling = pushed_live || settled;
        if let Some(playout) = &mut self.playout {
            playout.on_arrival(ctx.now, chunk, telling);
            self.play(ctx);
        }
    }

    fn report_arrival(&mut self, ctx: &mut Ctx<'_>, chunk: &Chunk, hops: u8) {
        let offset = self.clock.estimate(ctx.now).map(|estimate| estimate.offset_us);
        let lag_us = offset.map(|us| {
            ctx.now
                .offset_by(us)
                .signed_micros_since(chunk.header().generated_at)
        });
        let live = chunk.seq() >= self.live_from;
        if live {
            self.counters.arrival_us = lag_us;
        }
        ctx.out.push(Output::Arrived {
            stream: self.id,
            seq: chunk.seq(),
            lag_us,
            hops,
            live,
        });
        if !self.first_chunk_seen {
            self.first_chunk_seen = true;
            ctx.out.push(Output::Event(Event::FirstChunk { stream: self.id }));
        }
    }

    /// A chunk that was fetched, here or by the supplier, says that the sender lives, and nothing about its lag.
    fn observe_repair(&mut self, now: Time, from: PeerId, seq: Seq) {
        let k = self.k();
        if let Some(state) = self.peers.get_mut(&from) {
            state.unanswered = 0;
        }
        if let Some(sub) = self.sub_mut(seq.substream(k))
            && sub.parent == Some(from)
            && sub.measured
        {
            sub.last_arrival = Some(now);
        }
    }

    /// What a pushed chunk says about its substream's supplier.
    fn observe_delivery(&mut self, now: Time, from: PeerId, chunk: &Chunk, hops: u8) {
        let k = self.k();
        let live = chunk.seq() >= self.live_from;
        let Some(sub) = self.sub_mut(chunk.seq().substream(k)) else {
            return;
        };
        if sub.parent != Some(from) {
            // What a former supplier still had under way, or what nobody asked for.
            return;
        }
        sub.last_arrival = Some(now);
        sub.last_seq = sub.last_seq.max(Some(chunk.seq()));
        sub.hops = hops;
        if !live {
            return;
        }
        let delay = now.signed_micros_since(chunk.header().generated_at) as f64;
        if sub.delay_samples == 0 {
            sub.delay_us = delay;
            sub.delay_dev_us = 5_000.0;
        } else {
            // The first few samples after a change of supplier count more.
            let gain = DELAY_GAIN.max(1.0 / f64::from(sub.delay_samples + 1));
            sub.delay_dev_us += gain * ((delay - sub.delay_us).abs() - sub.delay_dev_us);
            sub.delay_us += gain * (delay - sub.delay_us);
        }
        sub.delay_samples = sub.delay_samples.saturating_add(1);
        sub.measured = true;
    }

    pub(super) fn observe_size(&mut self, chunk: &Chunk) {
        let len = chunk.frame_len() as f64;
        if self.mean_frame == 0.0 {
            self.mean_frame = len;
        } else {
            self.mean_frame += FRAME_GAIN * (len - self.mean_frame);
        }
    }

    /// Passes a new chunk to the children of its substream.
    pub(super) fn forward(
        &mut self,
        ctx: &mut Ctx<'_>,
        from: Option<PeerId>,
        chunk: &Arc<Chunk>,
        hops: u8,
        class: Class,
    ) {
        let k = self.k();
        let Some(sub) = self.subs.get(usize::from(chunk.seq().substream(k).0)) else {
            return;
        };
        let len = chunk.payload().len() as u64;
        for child in &sub.children {
            if Some(child.peer) == from {
                continue;
            }
            // Its place is given to another already: it gets what the uplink has left over, or everybody's copies would
            // wait while a crowd sorts itself out.
            let (class, useful) = match child.leaves_at {
                Some(_) => (Class::Bulk, LEAVER_EXPIRY),
                None if hops == 0 => (class, FIRST_HOP_EXPIRY),
                None => (class, LIVE_EXPIRY),
            };
            let copy = Copy {
                to: child.peer,
                chunk: chunk.clone(),
                hops: hops.saturating_add(1),
                class,
                goes_on: child.fanout > 0,
                turn: child.turn,
                expires: ctx.now + useful,
            };
            if ctx.uplink.offer(ctx.now, copy, ctx.out) {
                self.counters.bytes_out += len;
                ctx.sent(child.peer, self.id, len);
            }
        }
    }

    /// Sends a new child what is held of its substreams from `from` on, oldest first.
    pub(super) fn send_past(&mut self, ctx: &mut Ctx<'_>, to: PeerId, substreams: SubstreamSet, from: Seq) {
        let k = self.k();
        let chunks: Vec<Arc<Chunk>> = self
            .window
            .slots_from(from)
            .filter(|(seq, _)| substreams.contains(seq.substream(k)))
            .filter_map(|(_, slot)| slot.cloned())
            .collect();
        let newest = self.repair.anchor.map(|(_, at)| at).unwrap_or_default();
        // Who changes its supplier lacks little and needs it now; who joins needs much and can wait for it.
        let recent = chunks
            .first()
            .is_some_and(|chunk| newest.since(chunk.header().generated_at) <= RECENT);
        let class = if recent { Class::Repair } else { Class::Bulk };
        let turn = self.turn(ctx, to);
        for chunk in chunks {
            let hops = self
                .sub(chunk.seq().substream(k))
                .map_or(0, |sub| sub.hops)
                .saturating_add(1);
            let expires = ctx.now + PAST_EXPIRY;
            self.offer_copy(
                ctx,
                Copy {
                    to,
                    chunk,
                    hops,
                    class,
                    goes_on: false,
                    turn,
                    expires,
                },
            );
        }
    }

    /// Hands a copy to the uplink and counts it.
    pub(super) fn offer_copy(&mut self, ctx: &mut Ctx<'_>, copy: Copy) -> bool {
        let (to, len) = (copy.to, copy.chunk.payload().len() as u64);
        let taken = ctx.uplink.offer(ctx.now, copy, ctx.out);
        if taken {
            self.counters.bytes_out += len;
            ctx.sent(to, self.id, len);
        }
        taken
    }

    /// The peercaster started again: its old chunks are history, numbers jump. What the neighbours last said of themselves holds on:
    /// they are supplied as they were, and who has nobody to ask would be waiting for their next adverts.
    pub(super) fn begin_session(&mut self, ctx: &mut Ctx<'_>, session: Seq) {
        self.session = session;
        self.window.reset(session);
        self.live_from = session;
        self.begin_at = session;
        self.settled_from = None;
        self.repair.reset();
        self.over_since = None;
        self.ended = false;
        for sub in &mut self.subs {
            sub.last_seq = None;
            sub.delay_samples = 0;
        }
        if let Some(playout) = &mut self.playout {
            playout.begin_session();
        }
        ctx.out.push(Output::Event(Event::SessionChanged {
            stream: self.id,
            session,
        }));
    }

    /// What a new session held long before this first chunk of it came is left alone: everybody lacks it, and only the
    /// peercaster has it.
    fn begin_with(&mut self, first: &Chunk) {
        let start = Seq(first.seq().0.saturating_sub(u64::from(self.k())));
        let young = SESSION_YOUNG.as_micros() / first.header().duration.as_micros().max(1);
        if u128::from(self.session.behind(start)) > young {
            self.window.reset(start);
            self.live_from = start;
            self.begin_at = start;
        }
    }

    /// Hands over what is due.
    pub(crate) fn play(&mut self, ctx: &mut Ctx<'_>) {
        let Some(playout) = &mut self.playout else { return };
        let offset_us = self.clock.estimate(ctx.now).map(|estimate| estimate.offset_us);
        let ended = playout.advance(ctx.now, self.id, &self.window, offset_us, ctx.out);
        if ended && !self.ended {
            self.ended = true;
            ctx.out.push(Output::Event(Event::Ended { stream: self.id }));
        }
    }

    /// Whether this node gives anything to others in this stream.
    pub(super) fn contributes(&self) -> bool {
        !matches!(self.role, Role::Passive)
    }
}
