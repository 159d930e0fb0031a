//! What happened at one peer, and the invariants that must hold there.

use wire::Seq;

use super::{ChunkLog, StartLog, Window};
use crate::time::{MS, SimTime};

/// What a peer does, as far as results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Source,
    Consumer,
    Donor,
    /// In another stream only.
    Elsewhere,
    /// Cheats.
    Attacker,
}

impl Role {
    /// What it is called in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Source => "source",
            Role::Consumer => "consumer",
            Role::Donor => "donor",
            Role::Elsewhere => "elsewhere",
            Role::Attacker => "attacker",
        }
    }
}

/// A broken invariant, in a few words.
pub(crate) type Violation = String;

/// Arrival lags are kept in quarters of a millisecond, for they are many.
const ARRIVAL_UNIT_NS: u64 = MS / 4;
const NOT_ARRIVED: u16 = u16::MAX;

/// One peer's history.
#[derive(Debug)]
pub(crate) struct PeerLog {
    pub(crate) role: Role,
    pub(crate) joined: SimTime,
    pub(crate) left: Option<SimTime>,
    /// First chunk here.
    pub(crate) first_chunk: Option<SimTime>,
    /// First chunk handed to the output.
    pub(crate) started: Option<SimTime>,
    /// What led to it.
    pub(crate) start: StartLog,
    /// Index of the first chunk played, of the first one that was not played in the same instant, and of the next one that is
    /// due.
    pub(crate) first_played: usize,
    pub(crate) first_burst_end: usize,
    pub(crate) next_due: usize,
    pub(crate) last_lag_ns: u64,
    /// Of chunks in the window.
    pub(crate) played: u64,
    pub(crate) in_time: u64,
    pub(crate) lag_ns: u64,
    pub(crate) lag_ns_max: u64,
    pub(crate) hops: u64,
    pub(crate) hops_of: u64,
    pub(crate) hops_max: u8,
    /// How far the node's idea of its lag is off.
    pub(crate) clock_error_us: u64,
    pub(crate) clock_error_of: u64,
    pub(crate) clock_error_us_max: u64,
    /// Media payload and control (whole packets) during the window.
    pub(crate) media_in: u64,
    pub(crate) media_duplicate: u64,
    pub(crate) media_out: u64,
    pub(crate) copies_out: u64,
    pub(crate) control_in: u64,
    pub(crate) control_out: u64,
    /// Index of the chunk to which `arrivals[0]` and the lowest bit of `delivered[0]` belong.
    base: Option<usize>,
    arrivals: Vec<u16>,
    delivered: Vec<u64>,
}

/// Chunks before the first that came which may still come: 16 s of the default stream.
const EARLIER: usize = 2048;

impl PeerLog {
    pub(crate) fn new(role: Role, joined: SimTime) -> Self {
        PeerLog {
            role,
            joined,
            left: None,
            first_chunk: None,
            started: None,
            start: StartLog::default(),
            first_played: 0,
            first_burst_end: 0,
            next_due: 0,
            last_lag_ns: 0,
            played: 0,
            in_time: 0,
            lag_ns: 0,
            lag_ns_max: 0,
            hops: 0,
            hops_of: 0,
            hops_max: 0,
            clock_error_us: 0,
            clock_error_of: 0,
            clock_error_us_max: 0,
            media_in: 0,
            media_duplicate: 0,
            media_out: 0,
            copies_out: 0,
            control_in: 0,
            control_out: 0,
            base: None,
            arrivals: Vec::new(),
            delivered: Vec::new(),
        }
    }

    /// A copy of the chunk with this index reached the peer; whether it is the first.
    pub(crate) fn delivered(&mut self, index: usize) -> bool {
        let base = *self.base.get_or_insert(index.saturating_sub(EARLIER));
        let Some(at) = index.checked_sub(base) else {
            return false;
        };
        let (word, bit) = (at / 64, 1u64 << (at % 64));
        if word >= self.delivered.len() {
            self.delivered.resize(word + 1, 0);
        }
        let first = self.delivered[word] & bit == 0;
        self.delivered[word] |= bit;
        first
    }

    fn was_delivered(&self, index: usize) -> bool {
        let at = self.base.and_then(|base| index.checked_sub(base));
        at.and_then(|at| Some(self.delivered.get(at / 64)? >> (at % 64) & 1 == 1))
            .unwrap_or(false)
    }

    /// The node took the chunk in.
    pub(crate) fn arrived(
        &mut self,
        chunks: &ChunkLog,
        now: SimTime,
        seq: Seq,
        hops: u8,
        lag_us: Option<i64>,
        window: Window,
    ) -> Result<(), Violation> {
        let (index, generated) = chunks
            .find(seq)
            .ok_or_else(|| format!("chunk {seq} arrived, but was never made"))?;
        if !self.was_delivered(index) {
            return Err(format!("chunk {index} arrived without having been delivered"));
        }
        let at = index - self.base.unwrap_or(0);
        if at >= self.arrivals.len() {
            self.arrivals.resize(at + 1, NOT_ARRIVED);
        }
        if self.arrivals[at] != NOT_ARRIVED {
            return Err(format!("chunk {index} arrived a second time"));
        }
        let lag_ns = now.since(generated);
        self.arrivals[at] = (lag_ns / ARRIVAL_UNIT_NS).min(u64::from(NOT_ARRIVED) - 1) as u16;
        self.first_chunk.get_or_insert(now);
        if window.contains(generated) {
            self.hops += u64::from(hops);
            self.hops_of += 1;
            self.hops_max = self.hops_max.max(hops);
            if let Some(lag_us) = lag_us {
                let error = lag_us.abs_diff((lag_ns / 1000) as i64);
                self.clock_error_us += error;
                self.clock_error_of += 1;
                self.clock_error_us_max = self.clock_error_us_max.max(error);
            }
        }
        Ok(())
    }

    /// Whether the chunk with this index has arrived.
    pub(crate) fn has_arrived(&self, index: usize) -> bool {
        self.arrival_ms(index).is_some()
    }

    /// Arrival lag of a chunk in milliseconds.
    pub(crate) fn arrival_ms(&self, index: usize) -> Option<f64> {
        let lag = *self.arrivals.get(index.checked_sub(self.base?)?)?;
        // The middle of the unit.
        (lag != NOT_ARRIVED).then(|| (f64::from(lag) + 0.5) * ARRIVAL_UNIT_NS as f64 / MS as f64)
    }

    /// The node handed the chunk to the output. Gives its lag if it counts.
    pub(crate) fn plays(
        &mut self,
        chunks: &ChunkLog,
        now: SimTime,
        seq: Seq,
        in_time: bool,
        window: Window,
    ) -> Result<Option<f64>, Violation> {
        let (index, generated) = chunks
            .find(seq)
            .ok_or_else(|| format!("chunk {seq} is played, but was never made"))?;
        if self.arrival_ms(index).is_none() {
            return Err(format!("chunk {index} is played, but never arrived"));
        }
        if self.started.is_none() {
            self.started = Some(now);
            self.first_played = index;
            self.next_due = index;
        }
        if index < self.next_due {
            return Err(format!(
                "chunk {index} is played after chunk {}",
                self.next_due.saturating_sub(1)
            ));
        }
        if self.started == Some(now) {
            self.first_burst_end = index + 1;
        }
        self.next_due = index + 1;
        self.last_lag_ns = now.since(generated);
        if !window.contains(generated) {
            return Ok(None);
        }
        self.played += 1;
        self.in_time += u64::from(in_time);
        self.lag_ns += self.last_lag_ns;
        self.lag_ns_max = self.lag_ns_max.max(self.last_lag_ns);
        Ok(Some(self.last_lag_ns as f64 / MS as f64))
    }

    /// The node gave chunks up: they must be the next ones due.
    pub(crate) fn gap(&mut self, chunks: &ChunkLog, from: Seq, to: Seq) -> Result<(), Violation> {
        let bounds = chunks.index(from).zip(chunks.index(to));
        let Some((from, to)) = bounds.filter(|_| from < to) else {
            return Err(format!("a gap from {from} to {to} is none"));
        };
        if self.started.is_some() && from != self.next_due {
            return Err(format!(
                "chunk {from} is given up when chunk {} is due",
                self.next_due
            ));
        }
        self.next_due = self.next_due.max(to);
        Ok(())
    }

    /// The chunks that were due for playout, a range of indices within the window, for a run that ended at `end`: from
    /// the first one played to the last that would have been played by the end (or by the time the peer left) at the
    /// lag it had, so that a peer that stalls for ever misses all that follows. `None` if playout never began.
    pub(crate) fn due(&self, chunks: &ChunkLog, window: Window, end: SimTime) -> Option<(usize, usize)> {
        self.started?;
        let end = self.left.unwrap_or(end);
        let reached = chunks.first_since(SimTime(end.0.saturating_sub(self.last_lag_ns)));
        let to = reached.max(self.next_due).min(chunks.first_since(window.to));
        let from = self.first_played.max(chunks.first_since(window.from));
        Some((from, to.max(from)))
    }
}

#[cfg(test)]
mod tests;
