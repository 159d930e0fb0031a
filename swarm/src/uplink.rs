//! The uplink's pacer: which copy goes next, and when.
//!
//! Everything this node sends of a stream passes here, so a child's copy never waits in a modem where nothing can
//! overtake it. Live copies go first, then repairs, then both of those who only take, then what joiners want of the past. A copy
//! that would be of no use on arrival is dropped instead of sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use wire::{Bitrate, Chunk, PeerId, StreamId, Time};

use crate::io::{Class, Outbox, Output};

/// What one packet costs beside the stream's bytes: 28 bytes of IPv4 and UDP, about 12 of QUIC's header and packet
/// number, 16 of its seal, and 6 of the stream frame.
pub(crate) const PACKET_OVERHEAD: usize = 62;

/// Bytes of a stream that fit into one packet of the usual path (1500 bytes less the overhead).
pub(crate) const PACKET_PAYLOAD: usize = 1438;

/// What the side that dials sends before a connection is ready: two datagrams padded to QUIC's 1200 bytes, and headers.
pub(crate) const DIAL_BYTES: u64 = 2 * 1228;

/// What the other side sends: one padded datagram and its proof of identity.
pub(crate) const ACCEPT_BYTES: u64 = 1228 + 700;

/// The acknowledgement of one chunk. Measured: 1.9 % of the media where each of 16 substreams comes from another peer.
pub(crate) const ACK_BYTES: u64 = 66;

/// Percent of the link that is filled: what the transport repeats by itself passes here unseen, and a link that is booked
/// to its last byte never gets rid of the queue it leaves.
const FILLED: u64 = 98;

/// How far the link may be booked ahead before copies wait here: timers are good to about 1 ms, so a shorter allowance
/// would leave the link idle between two wake-ups.
const AHEAD: Duration = Duration::from_micros(2_000);

/// The longest the queue of live copies may get, in time on the link. What comes after is not sent at all: it would
/// arrive later than a repair from somebody who has room.
const LIVE_QUEUE: Duration = Duration::from_millis(150);

/// The same for the peercaster's own copies: nobody else has the chunk, so a copy that is not sent is a gap for everybody.
const FIRST_HOP_QUEUE: Duration = Duration::from_millis(600);

/// How long live copies may queue that will have gone so many hops.
fn live_queue(hops: u8) -> Duration {
    if hops <= 1 { FIRST_HOP_QUEUE } else { LIVE_QUEUE }
}

/// The longest the queue of repairs and of the past may get.
const SLOW_QUEUE: Duration = Duration::from_millis(1_500);

/// What was booked and has not left after so long never will: a copy was dropped by the transport, or a guess at what the
/// transport sends by itself was too high.
const LEAVES_WITHIN: Duration = Duration::from_millis(30);

/// Control traffic is averaged over this time.
const CONTROL_SPAN: Duration = Duration::from_secs(1);

/// Children are promised what control messages leave, but these count for no more than this share of the link: where chunks are
/// missing everywhere, requests for them would take places from children, who would ask for more (docs/results/swarm.md, "What is
/// promised").
const MOST_FOR_CONTROL: f64 = 0.05;

/// What live copies leave of the link at the least: it is never promised to its last byte.
const LEAST_LEFT: f64 = 0.04;

/// Bytes on the link for a chunk frame of `frame_len` bytes.
pub(crate) fn bytes_on_link(frame_len: usize) -> u64 {
    (frame_len + frame_len.div_ceil(PACKET_PAYLOAD) * PACKET_OVERHEAD) as u64
}

/// Whose copies go first where there is not room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// Who gives, is owed, or is not known yet.
    Usual,
    /// Who only takes: after the repairs of others.
    Taker,
    /// Who only takes and has taken more than a newcomer's line: after other takers.
    BeyondLine,
}

/// One copy to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) to: PeerId,
    pub(crate) chunk: Arc<Chunk>,
    pub(crate) hops: u8,
    pub(crate) class: Class,
    /// Whether it goes on from there: a live one is sent before those that do not.
    pub(crate) goes_on: bool,
    /// Whose copies it waits for.
    pub(crate) turn: Turn,
    pub(crate) expires: Time,
}

impl Copy {
    /// The stream it belongs to.
    pub(crate) fn stream(&self) -> StreamId {
        self.chunk.header().stream
    }
}

/// Copies that wait for the same, in the order of their coming.
#[derive(Debug, Default)]
struct Queue {
    copies: VecDeque<Copy>,
    /// What waits, in bytes on the link. Not in time, because the rate may change.
    bytes: u64,
}

/// So many queues: live copies that go on from where they go, other live ones, repairs, both of those who only take, both of those
/// among them who are beyond the line, the past.
const QUEUES: usize = 6;

/// The live ones of them: what waits there is ahead of everything else. What goes on comes first, because its wait is everybody's
/// below; where one child in eight passes on what it gets, the others wait hardly longer for that (docs/results/swarm.md).
const LIVE_QUEUES: usize = 2;

/// In which queue a copy waits: whatever is in one before it goes first.
fn queue_of(class: Class, turn: Turn, goes_on: bool) -> usize {
    match (class, turn) {
        (Class::Bulk, _) => 5,
        (_, Turn::BeyondLine) => 4,
        (_, Turn::Taker) => 3,
        (Class::Repair, Turn::Usual) => 2,
        (Class::Control | Class::Live, Turn::Usual) => usize::from(!goes_on),
    }
}

/// The pacer.
#[derive(Debug)]
pub(crate) struct Uplink {
    rate: Bitrate,
    /// The link is booked until then.
    free_at: Time,
    /// Bytes that were booked and have not left yet.
    to_leave: u64,
    queues: [Queue; QUEUES],
    /// Copies dropped: too late, or no room.
    pub(crate) dropped: u64,
    /// Bytes of control since `control_since`, and the rate before that.
    control_bytes: u64,
    control_since: Time,
    control_rate: f64,
}

impl Uplink {
    pub(crate) fn new(rate: Bitrate) -> Self {
        Uplink {
            rate,
            free_at: Time::ZERO,
            to_leave: 0,
            queues: Default::default(),
            dropped: 0,
            control_bytes: 0,
            control_since: Time::ZERO,
            control_rate: 0.0,
        }
    }

    pub(crate) fn rate(&self) -> Bitrate {
        self.rate
    }

    /// The link turned out faster or slower: what it is booked for takes less or more time.
    pub(crate) fn set_rate(&mut self, now: Time, rate: Bitrate) {
        let booked = self.bytes_in(self.free_at.since(now));
        self.rate = rate;
        self.free_at = now + self.time_for(booked);
    }

    /// Nothing takes no time, whatever the rate.
    fn time_for(&self, bytes: u64) -> Duration {
        if bytes == 0 {
            Duration::ZERO
        } else {
            Bitrate::from_bps(self.rate.as_bps() / 100 * FILLED).time_for(bytes)
        }
    }

    fn bytes_in(&self, time: Duration) -> u64 {
        Bitrate::from_bps(self.rate.as_bps() / 100 * FILLED).bytes_in(time)
    }

    /// Time until a live copy handed in now would be on the link.
    pub(crate) fn backlog(&self, now: Time) -> Duration {
        self.free_at
            .since(now)
            .saturating_add(self.time_for(self.queues[..LIVE_QUEUES].iter().map(|queue| queue.bytes).sum()))
    }

    /// How far the link is booked ahead.
    pub(crate) fn booked(&self, now: Time) -> Duration {
        self.free_at.since(now)
    }

    /// Time until a copy of this class, for somebody whose turn it is then, handed in now would be on the link, while live copies to
    /// come leave this share of the link.
    pub(crate) fn backlog_for(&self, class: Class, turn: Turn, now: Time, left: f64) -> Duration {
        let slower = self
            .queues
            .iter()
            .take(queue_of(class, turn, false) + 1)
            .skip(LIVE_QUEUES);
        let behind = self.time_for(slower.map(|queue| queue.bytes).sum()).as_secs_f64();
        let behind = behind / left.clamp(LEAST_LEFT, 1.0);
        self.backlog(now)
            .saturating_add(Duration::try_from_secs_f64(behind).unwrap_or(Duration::MAX))
    }

    /// How long one copy of `frame_len` bytes takes.
    pub(crate) fn copy_time(&self, frame_len: usize) -> Duration {
        self.time_for(bytes_on_link(frame_len))
    }

    /// Sends the copy at once if the link is free, queues it otherwise. False when there is no room for it.
    pub(crate) fn offer(&mut self, now: Time, copy: Copy, out: &mut Outbox) -> bool {
        if self.rate == Bitrate::ZERO {
            self.dropped += 1;
            return false;
        }
        let bytes = bytes_on_link(copy.chunk.frame_len());
        let at = queue_of(copy.class, copy.turn, copy.goes_on);
        let nothing_before = self.queues[..=at].iter().all(|queue| queue.copies.is_empty());
        if nothing_before && self.free_at <= now + AHEAD {
            self.book(now, bytes);
            out.push(send(copy));
            return true;
        }
        let longest = match copy.class {
            Class::Control | Class::Live => live_queue(copy.hops),
            Class::Repair | Class::Bulk => SLOW_QUEUE,
        };
        if self.time_for(self.queues[at].bytes) > longest {
            self.dropped += 1;
            return false;
        }
        self.queues[at].bytes += bytes;
        self.queues[at].copies.push_back(copy);
        true
    }

    /// Books the link for a control message, which is never held back.
    pub(crate) fn book_control(&mut self, now: Time, bytes: usize) {
        self.book_unpaced(now, bytes_on_link(bytes));
    }

    /// Books the link for so many bytes on it that go by themselves: handshakes and acknowledgements.
    pub(crate) fn book_unpaced(&mut self, now: Time, bytes: u64) {
        self.control_bytes += bytes;
        if self.rate != Bitrate::ZERO {
            self.book(now, bytes);
        }
        let passed = now.since(self.control_since);
        if passed >= CONTROL_SPAN {
            let rate = self.control_bytes as f64 * 8.0 / passed.as_secs_f64();
            // The first span began with the clock's epoch, not with the first message.
            let known = self.control_since != Time::ZERO;
            self.control_rate = if known {
                (self.control_rate + rate) / 2.0
            } else {
                0.0
            };
            self.control_bytes = 0;
            self.control_since = now;
        }
    }

    /// So many bytes have left since the last call. What was not booked is booked now, above all what the transport
    /// repeats: were it not, a link whose queue overflows would be sent ever more.
    pub(crate) fn reconcile(&mut self, now: Time, bytes: u64) {
        let unbooked = bytes.saturating_sub(self.to_leave);
        if unbooked > 0 {
            self.book_unpaced(now, unbooked);
        }
        let booked_ahead = self.bytes_in(self.free_at.since(now) + LEAVES_WITHIN);
        self.to_leave = self.to_leave.saturating_sub(bytes).min(booked_ahead);
    }

    /// Share of the link that control messages took of late, 0 to 1 and above.
    pub(crate) fn control_share(&self, now: Time) -> f64 {
        // Of the span that is not over, what has come already: a crowd comes in less than a second.
        let passed = now.since(self.control_since).max(CONTROL_SPAN / 4);
        let rate = self.control_bytes as f64 * 8.0 / passed.as_secs_f64();
        rate.max(self.control_rate) / (self.rate.as_bps() as f64).max(1.0)
    }

    /// What is left of the rate for chunks, after control messages as they were of late.
    pub(crate) fn rate_for_chunks(&self) -> Bitrate {
        Bitrate::from_bps((self.rate.as_bps() as f64 - self.control_rate).max(0.0) as u64)
    }

    /// The rate of which children are promised their share.
    pub(crate) fn rate_for_children(&self) -> Bitrate {
        let rate = self.rate.as_bps() as f64;
        Bitrate::from_bps((rate - self.control_rate.min(rate * MOST_FOR_CONTROL)) as u64)
    }

    fn book(&mut self, now: Time, bytes: u64) {
        self.to_leave += bytes;
        self.free_at = self.free_at.max(now) + self.time_for(bytes);
    }

    /// Sends what may go at `now`.
    pub(crate) fn release(&mut self, now: Time, out: &mut Outbox) {
        while self.free_at <= now + AHEAD {
            let Some(queue) = self.queues.iter_mut().find(|queue| !queue.copies.is_empty()) else {
                return;
            };
            let Some(copy) = queue.copies.pop_front() else {
                return;
            };
            let bytes = bytes_on_link(copy.chunk.frame_len());
            queue.bytes -= bytes;
            if copy.expires < now {
                self.dropped += 1;
                continue;
            }
            self.book(now, bytes);
            out.push(send(copy));
        }
    }

    /// When [`Uplink::release`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let waits = self.queues.iter().any(|queue| !queue.copies.is_empty());
        waits.then(|| self.free_at - AHEAD)
    }

    /// Forgets what waits for a peer that is gone or does not want it any more.
    pub(crate) fn forget(&mut self, unwanted: impl Fn(&Copy) -> bool) {
        for queue in &mut self.queues {
            let freed = &mut queue.bytes;
            queue.copies.retain(|copy| {
                let keep = !unwanted(copy);
                if !keep {
                    *freed -= bytes_on_link(copy.chunk.frame_len());
                }
                keep
            });
        }
    }
}

fn send(copy: Copy) -> Output {
    Output::SendChunk {
        to: copy.to,
        chunk: copy.chunk,
        hops: copy.hops,
        class: copy.class,
        expires: copy.expires,
    }
}

#[cfg(test)]
#[path = "uplink_tests.rs"]
mod tests;
