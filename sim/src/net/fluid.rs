//! The network in plain words.
//!
//! A peer has an uplink of a fixed rate with a queue before it. Whatever the peer sends goes into that queue and leaves
//! it in the same order, one byte after the other at the uplink's rate. Bytes are those of IP packets: a chunk or
//! message is cut into packets, and each packet costs its headers besides. If a copy would have to wait longer than the
//! queue is long (100 ms unless the scenario says otherwise), it is dropped whole at the tail, and sent again when the sender notices.
//!
//! What has left the uplink arrives after the one-way delay between the two peers plus a jitter drawn anew for each
//! delivery from an exponential distribution. A copy of a chunk loses one of its packets with a fixed probability. QUIC sends that packet
//! again, unless the chunk is too late by then: 1.25 round trips after the first if others of the chunk followed it, and otherwise a round
//! trip after the next chunk that went the same way, or after a probe (`flow/copies.rs`).
//! Control messages run over an ordered, reliable stream: a lost (or tail-dropped) one arrives a round trip later, and
//! none overtakes another on the same connection. Chunks overtake freely.
//!
//! A scenario may give peers a downlink: a second queue of the same kind at the receiver, after the propagation.
//!
//! A connection takes one round trip to set up for the side that dials and half of one more for the other side; the
//! packets of the handshake occupy the uplinks like everything else. The end of a connection travels behind everything
//! sent before. A peer that crashes says nothing: others notice when the idle timeout has passed.
//!
//! Not modelled: congestion control (peers pace themselves under their own uplink), losses in bursts, delays that
//! change over time, cross traffic, NAT, and the time that computing takes.

use crate::time::{SECOND, SimTime};

/// Bytes of one packet above its payload: IPv4 and UDP headers (28), QUIC's short header with an 8-byte connection id
/// and a 2-byte packet number (11), the tag (16), and the stream frame's header (8).
pub(crate) const PACKET_OVERHEAD: u64 = 28 + 11 + 16 + 8;

/// Payload of a full packet: 1452 bytes of UDP payload (what fits 1500 with either IP version) without QUIC's part.
pub(crate) const PACKET_PAYLOAD: u64 = 1452 - (PACKET_OVERHEAD - 28);

/// An acknowledgement: IP and UDP headers (28), short header and tag (27), and a frame with two ranges (about 12).
const ACK_BYTES: u64 = 28 + 27 + 12;
/// QUIC acknowledges every second packet.
const PACKETS_PER_ACK: u64 = 2;

/// Bytes on the wire for `payload` bytes sent at once.
pub(crate) fn wire_bytes(payload: u64) -> u64 {
    payload + packets(payload) * PACKET_OVERHEAD
}

/// Bytes that the receiver sends back to acknowledge `payload` bytes.
pub(crate) fn ack_bytes(payload: u64) -> u64 {
    packets(payload).div_ceil(PACKETS_PER_ACK) * ACK_BYTES
}

/// Packets for so many bytes sent at once.
pub(crate) fn packets(payload: u64) -> u64 {
    payload.div_ceil(PACKET_PAYLOAD).max(1)
}

/// The loss of packets with which a copy of so many is damaged with this probability.
pub(crate) fn packet_loss(packets: u64, copy_loss: f64) -> f64 {
    1.0 - (1.0 - copy_loss).powf(1.0 / packets.max(1) as f64)
}

/// A line of a fixed rate with a queue before it; an uplink, or a downlink.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    rate_bps: u64,
    /// When the last byte accepted so far will have left.
    free_at: SimTime,
    /// Since when it exists, for [`Line::within_rate`].
    since: SimTime,
    /// How long it has been or will be busy with what it accepted.
    busy_ns: u64,
    /// Bytes accepted.
    pub(crate) bytes: u64,
    /// Copies dropped because the queue was full.
    pub(crate) dropped: u64,
}

impl Line {
    pub(crate) fn new(rate_bps: u64, now: SimTime) -> Self {
        Line {
            rate_bps,
            free_at: now,
            since: now,
            busy_ns: 0,
            bytes: 0,
            dropped: 0,
        }
    }

    /// The rate changes; what is queued already keeps its time.
    pub(crate) fn set_rate(&mut self, rate_bps: u64) {
        self.rate_bps = rate_bps;
    }

    /// How long something sent now would wait before its first byte leaves.
    pub(crate) fn wait_ns(&self, now: SimTime) -> u64 {
        self.free_at.since(now)
    }

    /// Sends `bytes` if they wait no longer than `queue_ns`: when the last byte leaves. `None` = dropped.
    pub(crate) fn offer(&mut self, now: SimTime, bytes: u64, queue_ns: u64) -> Option<SimTime> {
        if self.wait_ns(now) > queue_ns || self.rate_bps == 0 {
            self.dropped += 1;
            return None;
        }
        Some(self.push(now, bytes))
    }

    /// Sends `bytes` however long the queue is: when the last byte leaves. A line without a rate passes small things
    /// (a peer that gives nothing must still ask) as if it were a modem.
    pub(crate) fn push(&mut self, now: SimTime, bytes: u64) -> SimTime {
        /// 56 kbit/s.
        const LEAST_BPS: u64 = 56_000;
        let takes = (bytes * 8 * SECOND).div_ceil(self.rate_bps.max(LEAST_BPS));
        self.free_at = self.free_at.max(now).plus(takes);
        self.busy_ns += takes;
        self.bytes += bytes;
        self.free_at
    }

    /// Share of the time up to `now` that it was sending.
    pub(crate) fn busy_share(&self, now: SimTime) -> f64 {
        let sent = self.busy_ns.saturating_sub(self.wait_ns(now));
        sent as f64 / now.since(self.since).max(1) as f64
    }

    /// The invariant: what was accepted fits into the time until the queue is empty.
    pub(crate) fn within_rate(&self) -> bool {
        self.busy_ns <= self.free_at.since(self.since)
    }
}

#[cfg(test)]
mod tests;
