//! Cuts what the peercaster reads into the payloads of its chunks.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use wire::Time;

use super::container::{Analyser, Container, Mark, Sink};
use super::notice::Notice;

#[cfg(test)]
mod tests;

/// Sizes and times of a [`Segmenter`].
#[derive(Clone, Debug)]
pub struct SegmenterConfig {
    /// How much time one segment covers. The default of 8 ms is what chunk duration costs in lag: every hop stores a
    /// chunk before it forwards it.
    pub duration: Duration,
    /// A segment is not closed on time before it holds this many bytes: below about one packet's worth, headers and
    /// signatures would weigh more than the media.
    pub min_bytes: usize,
    /// A segment is closed before it would exceed this many bytes. The largest payload of a chunk.
    pub max_bytes: usize,
    /// A segment that has not reached `min_bytes` is closed after this time all the same, so that trickling input
    /// (speech, a paused encoder's null packets) is not held back.
    pub patience: Duration,
    /// Nothing read for this long is reported as a paused encoder.
    pub pause: Duration,
}

impl Default for SegmenterConfig {
    fn default() -> Self {
        let duration = Duration::from_millis(8);
        SegmenterConfig {
            duration,
            min_bytes: 1200,
            max_bytes: 64 * 1024,
            // Four durations: late by less than a frame, and at most 31 tiny chunks a second.
            patience: duration * 4,
            // Longer than any gap of a healthy encoder (a frame, a segment of an HTTP origin's burst).
            pause: Duration::from_secs(2),
        }
    }
}

/// The payload of a future chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The bytes, never empty. All payloads of a segmenter, concatenated, are its input.
    pub payload: Bytes,
    /// When the first byte of `payload` was read.
    pub generated_at: Time,
    /// How long it took to read: until the next segment's first byte, or until this one was closed if nothing
    /// followed. Zero when a burst filled several segments at once.
    pub duration: Duration,
    /// A player that has [`Segmenter::tables`] can start with this segment's first byte.
    pub random_access: bool,
    /// The input's clock or packet grid breaks somewhere in this segment.
    pub discontinuity: bool,
}

/// How far the input's own clock has come, for pacing and for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Media time since the first clock reference, jumps left out.
    pub elapsed: Duration,
    /// Offset in the input of the packet that carried the latest clock reference, in bytes.
    pub offset: u64,
}

/// Bytes in, segments out. Call [`push`](Segmenter::push) with whatever was read, whenever it was read;
/// [`handle_deadline`](Segmenter::handle_deadline) at [`next_deadline`](Segmenter::next_deadline); and
/// [`finish`](Segmenter::finish) when the input ends.
///
/// Memory: at most one segment, plus what one push brought, plus a container header of at most 256 KiB.
#[derive(Debug)]
pub struct Segmenter {
    config: SegmenterConfig,
    /// What was read and not emitted yet.
    buf: BytesMut,
    /// Offset in the input of `buf`'s first byte.
    start: u64,
    /// `(offset, when)`: from this offset on, bytes were read at this time. Ascending; the first entry covers `start`.
    arrivals: VecDeque<(u64, Time)>,
    analyser: Analyser,
    sink: Sink,
    /// A player can start with the open segment, the one that begins at `start`.
    random_access: bool,
    /// Where the input breaks, as far as that was not emitted yet.
    discontinuities: VecDeque<u64>,
    last_read: Option<Time>,
    paused: bool,
}

impl Segmenter {
    /// A segmenter at the start of an input of unknown kind.
    pub fn new(config: SegmenterConfig) -> Self {
        Segmenter {
            config: SegmenterConfig {
                max_bytes: allowed(config.max_bytes),
                ..config
            },
            buf: BytesMut::new(),
            start: 0,
            arrivals: VecDeque::new(),
            analyser: Analyser::new(),
            sink: Sink::new(),
            random_access: false,
            discontinuities: VecDeque::new(),
            last_read: None,
            paused: false,
        }
    }

    /// Changes the most bytes that a segment may have. An encoder that writes in bursts would fill segments that stand
    /// for ten times the time they are meant to; who knows the rate says what is enough.
    pub fn set_max_bytes(&mut self, max_bytes: usize) {
        self.config.max_bytes = allowed(max_bytes);
    }

    /// Takes bytes read at `now`; appends the segments this closes to `out`.
    pub fn push(&mut self, now: Time, data: &[u8], out: &mut Vec<Segment>) {
        if data.is_empty() {
            return;
        }
        self.arrive(now, out);
        if self.buf.capacity() - self.buf.len() < data.len() {
            // A block for several segments: they share it, and only the open tail moves.
            self.buf.reserve(data.len().max(4 * self.config.max_bytes));
        }
        self.buf.extend_from_slice(data);
        self.advance(now, out);
    }

    /// As [`push`](Segmenter::push), without a copy when `data` has no other owner and nothing is waiting in front
    /// of it (large reads at high rates).
    pub fn push_bytes(&mut self, now: Time, data: Bytes, out: &mut Vec<Segment>) {
        if self.buf.len() == self.config.max_bytes && self.cut_max() == self.end() {
            // What comes now goes into another segment anyway.
            self.close_to(now, self.end(), out);
        }
        if !self.buf.is_empty() {
            return self.push(now, &data, out);
        }
        match data.try_into_mut() {
            Ok(owned) if !owned.is_empty() => {
                self.arrive(now, out);
                self.buf = owned;
                self.advance(now, out);
            }
            Ok(_) => {}
            Err(shared) => self.push(now, &shared, out),
        }
    }

    /// When [`handle_deadline`](Segmenter::handle_deadline) wants to be called, if ever.
    pub fn next_deadline(&self) -> Option<Time> {
        let close = self.first_arrival().and_then(|read| {
            let wait = self.wait()?;
            Some(read + wait)
        });
        let pause = self
            .last_read
            .filter(|_| !self.paused)
            .map(|read| read + self.config.pause);
        [close, pause].into_iter().flatten().min()
    }

    /// Closes the open segment if its time has come. Calling it early does nothing.
    pub fn handle_deadline(&mut self, now: Time, out: &mut Vec<Segment>) {
        if let Some(read) = self.first_arrival()
            && now.since(read) >= PROBE_PATIENCE
            && self.analyser.hurry()
        {
            self.advance(now, out);
        }
        self.close_if_due(now, out);
        if let Some(read) = self.last_read
            && !self.paused
            && now.since(read) >= self.config.pause
        {
            self.paused = true;
            self.sink.notices.push(Notice::EncoderPaused);
        }
    }

    /// The input has ended: everything that is still held comes out.
    pub fn finish(&mut self, now: Time, out: &mut Vec<Segment>) {
        if self.analyser.hurry() {
            self.advance(now, out);
        }
        let end = self.end();
        self.close_to(now, end, out);
        self.last_read = None;
    }

    /// What the input turned out to be; [`Container::Opaque`] as long as too little was read to tell.
    pub fn container(&self) -> Container {
        self.analyser.container()
    }

    /// What a player that joins at a random-access segment must be given first: the latest PAT and PMT packets, or
    /// the container's initialisation header. Empty when there is none.
    pub fn tables(&self) -> Bytes {
        self.analyser.tables()
    }

    /// How far the input's own clock has come; `None` for inputs without a clock that is understood here.
    pub fn progress(&self) -> Option<Progress> {
        self.analyser.progress()
    }

    /// What happened to the input since the last call, oldest first.
    pub fn drain_notices(&mut self) -> Vec<Notice> {
        self.sink.notices.drain()
    }

    /// Packets of an MPEG-TS input that were lost before they got here, by their continuity counters.
    pub fn continuity_errors(&self) -> u64 {
        self.analyser.continuity_errors()
    }

    fn end(&self) -> u64 {
        self.start + self.buf.len() as u64
    }

    fn first_arrival(&self) -> Option<Time> {
        self.arrivals.front().map(|&(_, read)| read)
    }

    /// Where the open segment may end at the moment, at most.
    fn cut_max(&self) -> u64 {
        match self.sink.undecided {
            // A random-access point that is not recognised yet must stay at a segment's beginning.
            Some(at) if at > self.start => at.min(self.sink.settled),
            _ => self.sink.settled,
        }
    }

    /// How long after its first byte the open segment is to be closed; `None` while there is nothing to close.
    fn wait(&self) -> Option<Duration> {
        if self.analyser.is_probing() {
            return Some(PROBE_PATIENCE);
        }
        let ready = self.cut_max().saturating_sub(self.start);
        if ready == 0 {
            return None;
        }
        // Waiting a little longer at an undecided point is what lets it become a random-access segment.
        let undecided_here = self.sink.undecided == Some(self.start);
        let enough = ready >= self.config.min_bytes as u64 && !undecided_here;
        Some(if enough {
            self.config.duration
        } else {
            self.config.patience
        })
    }

    /// Bytes are about to be appended.
    fn arrive(&mut self, now: Time, out: &mut Vec<Segment>) {
        if std::mem::take(&mut self.paused)
            && let Some(read) = self.last_read
        {
            self.sink.notices.push(Notice::EncoderResumed {
                after: now.since(read),
            });
        }
        self.last_read = Some(now);
        self.close_if_due(now, out);
        if self.arrivals.back().is_none_or(|&(_, read)| read != now) {
            self.arrivals.push_back((self.end(), now));
        }
    }

    /// Bytes were appended: look at them, and cut where they ask for it.
    fn advance(&mut self, now: Time, out: &mut Vec<Segment>) {
        self.analyser.scan(now, self.start, &self.buf, &mut self.sink);
        while let Some(mark) = self.sink.marks.pop_front() {
            match mark {
                Mark::Join(at) if at >= self.start => {
                    let tiny = at - self.start < self.config.min_bytes as u64;
                    // Input that is all random-access points must not become all tiny segments.
                    if at > self.start && self.random_access && tiny {
                        continue;
                    }
                    self.close_to(now, at, out);
                    self.random_access = true;
                }
                Mark::Grid { at, unit } if at >= self.start => {
                    self.close_to(now, at, out);
                    self.sink.unit = unit;
                }
                // Too late to begin a segment there: it went out as part of an earlier one.
                Mark::Join(_) | Mark::Grid { .. } => {}
                Mark::Discontinuity(at) => self.discontinuities.push_back(at),
            }
        }
        self.close_full(now, self.sink.settled, out);
        self.close_if_due(now, out);
    }

    fn close_if_due(&mut self, now: Time, out: &mut Vec<Segment>) {
        // Twice at most: what was held behind an undecided point may be due by itself.
        while let (Some(read), Some(wait)) = (self.first_arrival(), self.wait())
            && now.since(read) >= wait
            && !self.analyser.is_probing()
        {
            self.close_to(now, self.cut_max(), out);
        }
    }

    /// Closes full segments as long as those before `at` would exceed the maximum.
    fn close_full(&mut self, now: Time, at: u64, out: &mut Vec<Segment>) {
        let full = self.config.max_bytes / self.sink.unit * self.sink.unit;
        while at.saturating_sub(self.start) > self.config.max_bytes as u64 {
            self.close(now, full, out);
        }
    }

    /// Closes everything before `at`.
    fn close_to(&mut self, now: Time, at: u64, out: &mut Vec<Segment>) {
        self.close_full(now, at, out);
        let len = at.saturating_sub(self.start) as usize;
        if len > 0 {
            self.close(now, len, out);
        }
    }

    /// Emits the first `len` bytes of the buffer as a segment.
    fn close(&mut self, now: Time, len: usize, out: &mut Vec<Segment>) {
        let generated_at = self.first_arrival().unwrap_or(now);
        let payload = self.buf.split_to(len).freeze();
        self.start += len as u64;
        // The entry that covers the new first byte becomes the front; none when nothing is left.
        while self.arrivals.get(1).is_some_and(|&(from, _)| from <= self.start) {
            self.arrivals.pop_front();
        }
        if self.buf.is_empty() {
            self.arrivals.clear();
        }
        let mut discontinuity = false;
        while self.discontinuities.front().is_some_and(|&at| at < self.start) {
            self.discontinuities.pop_front();
            discontinuity = true;
        }
        let until = self.first_arrival().unwrap_or(now);
        out.push(Segment {
            payload,
            generated_at,
            duration: until.since(generated_at),
            random_access: std::mem::take(&mut self.random_access) || self.analyser.joins_everywhere(),
            discontinuity,
        });
    }
}

/// One packet grid unit must fit, and a payload's length must be representable on the wire.
fn allowed(max_bytes: usize) -> usize {
    max_bytes.clamp(super::ts::PACKET, 64 * 1024)
}

/// How long the first bytes of an input are held back while there are too few of them to tell what they are. Once
/// per input, and only when they trickle in.
const PROBE_PATIENCE: Duration = Duration::from_millis(250);
