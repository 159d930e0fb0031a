//! What a viewer puts out, compared byte for byte with what was sent, and when it came.

use std::ops::Range;

use super::content::{Content, PACKET, SYNC};
use super::statistics::Counted;
use crate::measure::MUST_HAVE_STARTED_NS;

/// Packets with consecutive numbers that came in one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// When, in nanoseconds of the lab's clock.
    pub(crate) at_ns: u64,
    pub(crate) from: u64,
    /// One past the last.
    pub(crate) to: u64,
}

/// All that one viewer put out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) pieces: Vec<Piece>,
    /// Bytes in packets that are as they were sent, in order.
    pub(crate) right: u64,
    /// Bytes that are not: changed, twice, out of order, or never sent.
    pub(crate) wrong: u64,
    /// Bytes of the next packet at the very end, as they were sent: the rest of it did not come.
    pub(crate) cut: u64,
}

impl Seen {
    /// Who was made to vanish did so in the midst of a packet; anybody else should have put it out whole.
    pub(crate) fn of_ended(mut self, vanished: bool) -> Self {
        if !vanished {
            self.wrong += self.cut;
        }
        self
    }
}

/// Checks one viewer's output as it comes.
#[derive(Debug)]
pub(crate) struct Probe {
    content: Content,
    /// The beginning of a packet whose end has not come.
    rest: Vec<u8>,
    /// The least number that may come next.
    next: u64,
    seen: Seen,
}

impl Probe {
    pub(crate) fn new(content: Content) -> Self {
        Probe {
            content,
            rest: Vec::new(),
            next: 0,
            seen: Seen::default(),
        }
    }

    /// Takes what was read at `at_ns`.
    pub(crate) fn take(&mut self, at_ns: u64, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut done = 0;
        let mut piece: Option<Piece> = None;
        while let Some(packet) = self.rest[done..].first_chunk::<PACKET>() {
            let number = Content::claimed(packet)
                .filter(|number| *number >= self.next && *packet == self.content.packet(*number));
            let Some(number) = number else {
                let skip = self.skip(done);
                self.seen.wrong += skip as u64;
                done += skip;
                continue;
            };
            self.next = number + 1;
            self.seen.right += PACKET as u64;
            done += PACKET;
            match &mut piece {
                Some(piece) if piece.to == number => piece.to = self.next,
                _ => {
                    self.seen.pieces.extend(piece.replace(Piece {
                        at_ns,
                        from: number,
                        to: number + 1,
                    }));
                }
            }
        }
        self.seen.pieces.extend(piece);
        self.rest.drain(..done);
    }

    /// How many bytes to leave out at a place where no right packet begins: a whole packet if another one may follow it, or
    /// else to the next byte that may begin one.
    fn skip(&self, at: usize) -> usize {
        let begins = |at: usize| self.rest.get(at).is_none_or(|byte| *byte == SYNC);
        if begins(at) && begins(at + PACKET) {
            return PACKET;
        }
        let next = self.rest[at + 1..].iter().position(|byte| *byte == SYNC);
        1 + next.unwrap_or(self.rest.len() - at - 1)
    }

    /// The output has ended.
    pub(crate) fn finish(mut self) -> Seen {
        let rest = self.rest.len() as u64;
        if self.content.packet(self.next).starts_with(&self.rest) {
            self.seen.cut = rest;
        } else {
            self.seen.wrong += rest;
        }
        self.seen
    }
}

/// What follows from a viewer's output and the times at which packets were sent.
pub(crate) struct Playout<'a> {
    pub(crate) seen: &'a Seen,
    pub(crate) sent: &'a Sent,
    pub(crate) chunk_ns: u64,
}

/// What was handed to the peercaster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// When each packet was.
    pub(crate) at_ns: Vec<u64>,
    /// Packets that no encoder has made, because one ended and another began: their time above is when that one did.
    pub(crate) never: Vec<Range<u64>>,
}

impl Sent {
    /// Adds what an encoder has handed over that began at `began_ns` with packet `first`.
    pub(crate) fn go_on(&mut self, began_ns: u64, first: u64, at_ns: Vec<u64>) {
        let had = self.at_ns.len() as u64;
        if first > had {
            self.never.push(had..first);
            self.at_ns.resize(first as usize, began_ns);
        }
        self.at_ns.extend(at_ns);
    }

    /// The first packet that was sent at this time or after it.
    fn index(&self, ns: u64) -> u64 {
        self.at_ns.partition_point(|sent| *sent < ns) as u64
    }

    /// How many of these packets were made.
    fn made(&self, packets: Range<u64>) -> u64 {
        let lacking = |gap: &Range<u64>| {
            let (from, to) = (gap.start.max(packets.start), gap.end.min(packets.end));
            to.saturating_sub(from)
        };
        packets.end - packets.start - self.never.iter().map(lacking).sum::<u64>()
    }

    /// How many were sent within this time.
    pub(crate) fn within(&self, window: &Range<u64>) -> u64 {
        self.made(self.index(window.start)..self.index(window.end))
    }
}

/// The source hands over what is due once a millisecond; a chunk may be cut so much before its time is full.
pub(crate) const SOURCE_STEP_NS: u64 = 1_000_000;

impl Playout<'_> {
    /// When the first byte came.
    pub(crate) fn began_ns(&self) -> Option<u64> {
        self.seen.pieces.first().map(|piece| piece.at_ns)
    }

    fn sent(&self, number: u64) -> Option<u64> {
        self.sent.at_ns.get(number as usize).copied()
    }

    /// The lag of each chunk whose first byte was sent within `window`, in milliseconds. A viewer hands over whole chunks,
    /// so one begins where its output begins after a pause, and after each chunk's time within what came at once.
    pub(crate) fn lags_ms(&self, window: &Range<u64>) -> Vec<f64> {
        let mut lags = Vec::new();
        // Of the latest chunk: where it begins to be another one, and which packet would continue it.
        let (mut full_at, mut continued) = (0, u64::MAX);
        for piece in &self.seen.pieces {
            let mut at = piece.from;
            while let Some(sent) = self.sent(at).filter(|_| at < piece.to) {
                let same = at == continued && sent + 2 * SOURCE_STEP_NS < full_at;
                if !same {
                    full_at = sent + self.chunk_ns;
                    if window.contains(&sent) {
                        lags.push(piece.at_ns.saturating_sub(sent) as f64 / 1e6);
                    }
                }
                at = self.sent.index(full_at).max(at + 1).min(piece.to);
                continued = at;
            }
        }
        lags
    }

    /// The share that came in time of what was due within `window`, for a viewer that was there for all of `there`; 0 if nothing
    /// ever came to one that was there for long, and `None` if nothing was due. Chunks that the program `counted` as late are in
    /// the output, too, and are taken off.
    pub(crate) fn continuity(
        &self,
        window: &Range<u64>,
        there: &Range<u64>,
        counted: &Counted,
    ) -> Option<f64> {
        match self.came_and_due(window, there.end) {
            Some((came, due)) if due > 0 => {
                let late = counted.late as f64 / (counted.played + counted.missed).max(1) as f64;
                Some((came as f64 / due as f64 - late).max(0.0))
            }
            None if there.end.saturating_sub(there.start) >= MUST_HAVE_STARTED_NS => Some(0.0),
            _ => None,
        }
    }

    /// Packets that came and packets that were due, of those sent within `window`: from the first one that came to the last
    /// one that would have come by `end_ns` at the lag that it has, so that who stalls for ever misses what follows.
    pub(crate) fn came_and_due(&self, window: &Range<u64>, end_ns: u64) -> Option<(u64, u64)> {
        let (first, last) = (self.seen.pieces.first()?, self.seen.pieces.last()?);
        let lag = last.at_ns.saturating_sub(self.sent(last.to - 1)?);
        let from = first.from.max(self.sent.index(window.start));
        let to = self
            .sent
            .index(end_ns.saturating_sub(lag))
            .max(last.to)
            .min(self.sent.index(window.end))
            .max(from);
        let within = |piece: &Piece| piece.to.min(to).saturating_sub(piece.from.max(from));
        let came = self.seen.pieces.iter().map(within).sum();
        Some((came, self.sent.made(from..to)))
    }
}

#[cfg(test)]
mod tests;
