//! When each piece of a file is due: by its own clock, as if it came from a live encoder.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wire::Time;

use super::ts::{Clock, Grid, PACKET, Packet, Psi, find_grid};

#[cfg(test)]
mod tests;

/// Pieces cover about this much time: half a default chunk, so that chunks are evenly filled.
const PIECE: Duration = Duration::from_millis(4);

/// So many bytes without a clock reference are released at the latest known rate. References come every 100 ms at
/// the least, so this is 300 Mbit/s.
const WITHOUT_CLOCK_MAX: usize = 4 * 1024 * 1024;

/// Bytes and when they are due, counted from the beginning of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Due this long after the first piece.
    pub at: Duration,
    /// Never empty. All pieces, concatenated, are the file.
    pub bytes: Bytes,
}

/// Turns a file into pieces with due times: at a given rate, or MPEG-TS by its PCR, interpolated between references.
#[derive(Debug)]
pub struct Pacer {
    /// Bits a second, whatever the file itself says.
    given_bps: Option<u64>,
    buf: BytesMut,
    /// How much of `buf` was looked at.
    scanned: usize,
    kind: Kind,
    psi: Psi,
    clock: Clock,
    /// Bytes looked at before `buf`.
    offset: u64,
    /// When `buf`'s first byte is due; known once there was a reference.
    due: Option<Duration>,
    /// Bytes and time of the latest interval between references.
    rate: Option<(usize, Duration)>,
    ready: VecDeque<Piece>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unknown,
    Ts,
    Plain,
}

impl Pacer {
    /// A pacer at the beginning of a file. With `given_bps`, in bits a second, the file goes at that rate; without it by its own
    /// clock, and all of it is due at once if it has none that is understood here.
    pub fn new(given_bps: Option<u64>) -> Self {
        let given_bps = given_bps.filter(|&bps| bps > 0);
        Pacer {
            given_bps,
            buf: BytesMut::new(),
            scanned: 0,
            // What happens to look like MPEG-TS has a clock that says anything.
            kind: given_bps.map_or(Kind::Unknown, |_| Kind::Plain),
            psi: Psi::default(),
            clock: Clock::default(),
            offset: 0,
            due: None,
            rate: None,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes of the file. Push more only when [`next_piece`](Pacer::next_piece) has nothing left, so
    /// that no more than the bytes between two clock references are held.
    pub fn push(&mut self, data: &[u8]) {
        self.buf.extend_from_slice(data);
        if self.kind == Kind::Unknown {
            self.kind = match find_grid(&self.buf) {
                Grid::At(_) => Kind::Ts,
                Grid::NotBefore(at) if at > PACKET => Kind::Plain,
                Grid::NotBefore(_) => return,
            };
        }
        match self.kind {
            Kind::Ts => self.scan(),
            Kind::Plain | Kind::Unknown => self.release_plain(),
        }
    }

    /// The file has ended: what is held becomes due at the latest rate.
    pub fn finish(&mut self) {
        match self.kind {
            Kind::Ts => self.release_at_latest_rate(self.buf.len()),
            Kind::Plain | Kind::Unknown => self.release_plain(),
        }
    }

    /// The next piece; `None` when more of the file is needed.
    pub fn next_piece(&mut self) -> Option<Piece> {
        self.ready.pop_front()
    }

    /// Whether the file has shown a clock of its own that goes: what only looks like references leads from nowhere to nowhere.
    pub fn has_clock(&self) -> bool {
        self.kind == Kind::Ts && self.rate.is_some()
    }

    /// Whether it may still show one: it looks like MPEG-TS, or too little of it is known.
    pub fn may_have_clock(&self) -> bool {
        self.kind != Kind::Plain && self.offset + self.buf.len() as u64 <= WITHOUT_CLOCK_MAX as u64
    }

    fn scan(&mut self) {
        loop {
            let Some(packet) = Packet::at(&self.buf[self.scanned..]) else {
                let rest = &self.buf[self.scanned..];
                if rest.len() < PACKET {
                    break;
                }
                match find_grid(rest) {
                    Grid::At(skip) => {
                        self.scanned += skip;
                        continue;
                    }
                    Grid::NotBefore(skip) => {
                        self.scanned += skip;
                        break;
                    }
                }
            };
            let pcr = if self.psi.is_clock_pid(packet.pid()) {
                packet.pcr()
            } else {
                None
            };
            self.psi.packet(packet);
            if let Some(pcr) = pcr {
                // Time stands still here: a file is read at once, so only the file's own clock tells a jump.
                self.clock
                    .observe(Time::ZERO, self.offset + self.scanned as u64, pcr);
                self.release_until_reference();
            }
            self.scanned += PACKET;
        }
        if self.buf.len() > WITHOUT_CLOCK_MAX {
            self.release_at_latest_rate(self.scanned);
        }
    }

    /// A clock reference is at `scanned`: everything before it is due by then.
    fn release_until_reference(&mut self) {
        let until = self.clock.elapsed();
        match self.due {
            // What comes before the first reference has nothing to go by.
            None => self.release(self.scanned, Duration::ZERO, Duration::ZERO),
            Some(from) => {
                let span = until.saturating_sub(from);
                if !span.is_zero() && self.scanned > 0 {
                    self.rate = Some((self.scanned, span));
                }
                self.release(self.scanned, from, span);
            }
        }
        self.due = Some(until);
    }

    fn release_at_latest_rate(&mut self, len: usize) {
        let from = self.due.unwrap_or_default();
        let span = match self.rate {
            Some((bytes, time)) => scale(time, len, bytes),
            None => Duration::ZERO,
        };
        self.release(len, from, span);
        self.due = self.due.map(|due| due + span);
    }

    fn release_plain(&mut self) {
        let len = self.buf.len();
        let from = self.due.unwrap_or_default();
        let span = match self.given_bps {
            Some(bps) => Duration::from_secs_f64(len as f64 * 8.0 / bps as f64),
            None => Duration::ZERO,
        };
        self.release(len, from, span);
        self.due = Some(from + span);
    }

    /// Makes the first `len` bytes due, spread evenly from `from` on over `span`.
    fn release(&mut self, len: usize, from: Duration, span: Duration) {
        if len == 0 {
            return;
        }
        let mut rest = self.buf.split_to(len).freeze();
        self.scanned = self.scanned.saturating_sub(len);
        self.offset += len as u64;
        let pieces = (span.as_micros() / PIECE.as_micros()).clamp(1, 1 << 16) as usize;
        let step = len.div_ceil(pieces).next_multiple_of(PACKET);
        let mut done = 0;
        while !rest.is_empty() {
            let bytes = rest.split_to(step.min(rest.len()));
            let at = from + scale(span, done, len);
            done += bytes.len();
            self.ready.push_back(Piece { at, bytes });
        }
    }
}

/// `time * numerator / denominator`.
fn scale(time: Duration, numerator: usize, denominator: usize) -> Duration {
    let micros = time.as_micros() * numerator as u128 / denominator.max(1) as u128;
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
