//! RTP (RFC 3550) that carries MPEG-TS (RFC 2250): what to take, and in which order.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rtp_types::RtpPacket;
use wire::Time;

/// The static payload type of MPEG-TS (RFC 3551, table 5).
const MP2T: u8 = 33;
/// Payload types from here on mean what the two sides agreed on; MPEG-TS is told by its sync byte then.
const DYNAMIC: u8 = 96;
const TS_PACKET: usize = 188;
const TS_SYNC: u8 = 0x47;

/// Packets that wait for an earlier one, at most: 50 ms at 20 Mbit/s.
const HELD_MAX: usize = 96;
/// How long a packet waits for an earlier one. What networks reorder arrives within some milliseconds; what comes later
/// was lost.
const PATIENCE: Duration = Duration::from_millis(50);
/// A jump of the sequence numbers beyond this is a new start (RFC 3550, A.1: MAX_DROPOUT).
const DROPOUT_MAX: u16 = 3000;
/// After this silence another sender may take over.
const TAKEOVER: Duration = Duration::from_secs(1);

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Refused {
    #[error("datagrams that are not RTP are ignored; send RTP, or read them with udp://")]
    NotRtp,
    #[error("RTP packets of type {0} that hold no MPEG-TS are ignored; send MPEG-TS (type 33)")]
    NotMpegTs(u8),
    #[error("RTP packets of a second sender are ignored while the first one sends")]
    OtherSender,
}

/// Puts packets into order within bounds.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    sender: Option<Sender>,
    held: BTreeMap<u64, (Time, Bytes)>,
    lost: u64,
}

#[derive(Debug)]
struct Sender {
    ssrc: u32,
    heard: Time,
    /// The number of the next packet, counted on beyond 16 bits.
    next: u64,
    /// The latest time given out: times never go backwards.
    read: Time,
}

impl Receiver {
    /// Takes a datagram; appends the payloads that are now in order to `out`, with the time by
    /// which they and all before them had arrived.
    ///
    /// # Errors
    /// [`Refused`] when it is not part of the stream.
    pub(super) fn push(
        &mut self,
        now: Time,
        datagram: &[u8],
        out: &mut Vec<(Time, Bytes)>,
    ) -> Result<(), Refused> {
        let packet = RtpPacket::parse(datagram).map_err(|_| Refused::NotRtp)?;
        let (kind, payload) = (packet.payload_type(), packet.payload());
        let looks_like_ts = payload.len().is_multiple_of(TS_PACKET)
            && payload
                .chunks(TS_PACKET)
                .all(|packet| packet.first() == Some(&TS_SYNC));
        if payload.is_empty() || !(kind == MP2T || kind >= DYNAMIC && looks_like_ts) {
            return Err(Refused::NotMpegTs(kind));
        }
        let number = packet.sequence_number();
        let sender = self.sender(now, packet.ssrc(), number, out)?;
        let ahead = number.wrapping_sub(sender.next as u16);
        if ahead >= 0x8000 {
            // Late or a second copy: its place has gone out already.
            return Ok(());
        }
        let at = sender.next + u64::from(ahead);
        self.held
            .entry(at)
            .or_insert_with(|| (now, Bytes::copy_from_slice(payload)));
        self.release(out);
        while self.held.len() > HELD_MAX {
            self.skip(out);
        }
        Ok(())
    }

    /// When [`Receiver::handle_deadline`] wants to be called.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.held
            .values()
            .map(|(arrived, _)| *arrived)
            .min()
            .map(|oldest| oldest + PATIENCE)
    }

    /// Gives up waiting for packets that are overdue.
    pub(super) fn handle_deadline(&mut self, now: Time, out: &mut Vec<(Time, Bytes)>) {
        while self.next_deadline().is_some_and(|at| at <= now) {
            self.skip(out);
        }
    }

    /// Packets that did not come.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    fn sender(
        &mut self,
        now: Time,
        ssrc: u32,
        number: u16,
        out: &mut Vec<(Time, Bytes)>,
    ) -> Result<&mut Sender, Refused> {
        let restart = match &self.sender {
            None => true,
            Some(known) if known.ssrc == ssrc => {
                let ahead = number.wrapping_sub(known.next as u16);
                (DROPOUT_MAX..=DROPOUT_MAX.wrapping_neg()).contains(&ahead)
            }
            Some(known) if now.since(known.heard) < TAKEOVER => return Err(Refused::OtherSender),
            Some(_) => true,
        };
        while restart && !self.held.is_empty() {
            self.skip(out);
        }
        let known = self.sender.get_or_insert(Sender {
            ssrc,
            heard: now,
            next: 0,
            read: Time::ZERO,
        });
        if restart {
            known.ssrc = ssrc;
            known.next = u64::from(number);
        }
        known.heard = now;
        Ok(known)
    }

    /// Gives out what continues the sequence.
    fn release(&mut self, out: &mut Vec<(Time, Bytes)>) {
        let Some(sender) = &mut self.sender else { return };
        while let Some((arrived, payload)) = self.held.remove(&sender.next) {
            // What waited for an earlier packet counts as read with it.
            sender.read = sender.read.max(arrived);
            out.push((sender.read, payload));
            sender.next += 1;
        }
    }

    /// Goes on with the first packet that is there.
    fn skip(&mut self, out: &mut Vec<(Time, Bytes)>) {
        if let (Some(sender), Some((&first, _))) = (&mut self.sender, self.held.first_key_value()) {
            self.lost += first.saturating_sub(sender.next);
            sender.next = first;
        }
        self.release(out);
    }
}

#[cfg(test)]
#[path = "rtp_tests.rs"]
mod tests;
