//! From the peers' logs to a result.

use serde::{Deserialize, Serialize};

use super::distribution::rank;
use super::{ChunkLog, Distribution, Groups, Histogram, PeerLog, Role, Stages, Start, Window};
use crate::time::{MS, SECOND, SimTime};

/// Deadlines for which the share of arrivals in time is reported, in milliseconds.
pub(crate) const DEADLINES_MS: [f64; 3] = [500.0, 750.0, 1000.0];

/// A consumer that was there for so long without ever playing has a continuity of zero; one that was there for less
/// does not count.
pub(crate) const MUST_HAVE_STARTED_NS: u64 = 5 * SECOND;

/// Continuity over the peers of a role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Continuity {
    /// Mean over the peers.
    pub mean: f64,
    /// That of the peer one per cent from the worst.
    pub p1: f64,
    /// That of the worst peer.
    pub min: f64,
}

/// Share of chunks that arrived within so many milliseconds of their generation, of all that were to arrive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InTime {
    /// Within 500 ms.
    #[serde(rename = "500")]
    pub ms500: f64,
    /// Within 750 ms.
    #[serde(rename = "750")]
    pub ms750: f64,
    /// Within 1000 ms.
    #[serde(rename = "1000")]
    pub ms1000: f64,
}

/// Hops from the peercaster, as carried by the chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HopCount {
    /// Mean over all arrivals.
    pub mean: f64,
    /// Most.
    pub max: u8,
}

/// How far the arrival lags that nodes report are from the true ones, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClockError {
    /// Mean of the absolute error.
    pub mean: f64,
    /// Greatest.
    pub max: f64,
}

/// The result for the peers of one role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoleResult {
    /// How many there were, all told.
    pub peers: u64,
    /// From the peercaster reading a chunk's first byte to the chunk being here; all chunks of all peers.
    pub arrival_ms: Distribution,
    /// The same to handing the chunk to the output.
    pub lag_ms: Distribution,
    /// From joining to the first chunk handed to the output (a donor: received); one value a peer.
    pub startup_ms: Distribution,
    /// Where that time went: how long each stage of the consumers' starts took.
    #[serde(default)]
    pub start_stages_ms: Stages,
    /// Chunks handed over in time of those due.
    pub continuity: Continuity,
    /// Arrivals within a deadline. Zero for donors, who do not want every chunk.
    pub in_time: InTime,
    /// Control bytes (whole packets, handshakes included) sent and received, relative to media payload sent and received.
    pub control_share: f64,
    /// Media received a second time, relative to all media received.
    pub duplicate_share: f64,
    /// Copies of each chunk that the peercaster sent, on average.
    pub source_copies: f64,
    /// Hops.
    pub hops: HopCount,
    /// Consumers that never played although they were there for long enough.
    pub never_started: u64,
    /// Chunks due that were not handed over.
    pub chunks_missed: u64,
    /// Chunks handed over after their time.
    pub chunks_late: u64,
    /// Error of the nodes' clock estimates.
    pub clock_error_ms: ClockError,
}

/// Results of one protocol: those of the consumers, which are the headline, and those of each role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The consumers' once more, so that `results.headwater.lag_ms` is where one looks for it.
    #[serde(flatten)]
    pub headline: RoleResult,
    /// Consumers.
    pub consumers: RoleResult,
    /// Donors, if there were any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub donors: Option<RoleResult>,
    /// The consumers once more, parted by what they give, if some give nothing.
    #[serde(default, flatten, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
}

/// One line of the per-peer table.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerRow {
    /// The peer's number in the run; 0 is the peercaster.
    pub number: usize,
    /// `source`, `consumer`, `donor`, `elsewhere` or `attacker`.
    pub role: &'static str,
    /// Uplink.
    pub upload_bps: u64,
    /// One way to the peercaster.
    pub distance_ms: f64,
    /// Seconds into the run.
    pub joined_s: f64,
    /// Seconds into the run; `None` = stayed to the end.
    pub left_s: Option<f64>,
    /// From joining to the first output (donor: first chunk).
    pub startup_ms: Option<f64>,
    /// Where that time went (consumers).
    pub start: Option<Start>,
    /// In time of due.
    pub continuity: Option<f64>,
    /// Mean arrival lag.
    pub arrival_ms: Option<f64>,
    /// Mean and greatest playout lag.
    pub lag_ms: Option<(f64, f64)>,
    /// Mean hops.
    pub hops: Option<f64>,
    /// Chunks due, played, and played late.
    pub chunks: (u64, u64, u64),
    /// Media payload in, in twice, and out, during the window.
    pub media: (u64, u64, u64),
    /// Control bytes in and out, during the window.
    pub control: (u64, u64),
    /// Copies that its uplink's queue had no room for.
    pub uplink_drops: u64,
    /// Share of its time here that its uplink was busy.
    pub uplink_busy: f64,
    /// What the node says at the end: slots, slots in use, neighbours, chunks asked for one by one.
    pub node: (u16, u16, usize, u64),
}

/// What a summary needs beside a peer's log.
pub(crate) struct Facts<'a> {
    pub(crate) chunks: &'a ChunkLog,
    pub(crate) window: Window,
    /// When the run ended.
    pub(crate) end: SimTime,
    /// Copies that the peercaster sent during the window.
    pub(crate) source_copies: u64,
}

impl Facts<'_> {
    fn window_chunks(&self) -> (usize, usize) {
        (
            self.chunks.first_since(self.window.from),
            self.chunks.first_since(self.window.to),
        )
    }

    /// Chunks in the window that were generated while the peer was ready for them.
    pub(crate) fn expected(&self, log: &PeerLog) -> std::ops::Range<usize> {
        let since = match log.role {
            Role::Donor => log.first_chunk,
            Role::Source | Role::Consumer | Role::Elsewhere | Role::Attacker => log.started,
        };
        let (from, to) = self.window_chunks();
        match since {
            Some(since) => from.max(self.chunks.first_since(since)).min(to)..to,
            None => to..to,
        }
    }

    pub(crate) fn startup_ms(log: &PeerLog) -> Option<f64> {
        let ready = match log.role {
            Role::Donor => log.first_chunk,
            Role::Source | Role::Consumer | Role::Elsewhere | Role::Attacker => log.started,
        }?;
        Some(ready.since(log.joined) as f64 / MS as f64)
    }

    /// Where the time of a consumer's start went.
    pub(crate) fn start(&self, log: &PeerLog) -> Option<Start> {
        (log.role == Role::Consumer).then(|| log.start(self.chunks))?
    }

    /// Continuity with the chunks due; `None` when it does not count.
    pub(crate) fn continuity(&self, log: &PeerLog) -> Option<(f64, u64)> {
        if log.role != Role::Consumer {
            return None;
        }
        match log.due(self.chunks, self.window, self.end) {
            Some((from, to)) if to > from => {
                let due = (to - from) as u64;
                Some((log.in_time as f64 / due as f64, due))
            }
            Some(_) => None,
            None => {
                let present = log.left.unwrap_or(self.end).since(log.joined);
                (present >= MUST_HAVE_STARTED_NS).then_some((0.0, 0))
            }
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Sums up the peers of one role. `lag` holds the playout lags of the consumers, pooled while the run went on; `arrival`
/// is filled with the arrival lags.
pub(crate) fn summarise<'a>(
    facts: &Facts<'_>,
    logs: impl Iterator<Item = &'a PeerLog>,
    lag: &Histogram,
    arrival: &mut Histogram,
) -> RoleResult {
    let mut result = RoleResult::default();
    let mut startups = Vec::new();
    let mut starts = Vec::new();
    let mut continuities = Vec::new();
    let (mut in_time, mut in_time_of) = ([0u64; 3], [0u64; 3]);
    let (mut hops, mut hops_of, mut errors, mut errors_of) = (0, 0, 0, 0);
    let (mut control, mut media, mut media_in, mut duplicate) = (0, 0, 0, 0);
    for log in logs {
        result.peers += 1;
        startups.extend(Facts::startup_ms(log));
        starts.extend(facts.start(log));
        if let Some((continuity, due)) = facts.continuity(log) {
            continuities.push(continuity);
            result.never_started += u64::from(log.started.is_none());
            result.chunks_missed += due.saturating_sub(log.played);
            result.chunks_late += log.played - log.in_time;
        }
        let left = log.left.unwrap_or(facts.end);
        for index in facts.expected(log) {
            let lag = log.arrival_ms(index);
            if let Some(lag) = lag {
                arrival.add(lag);
            }
            if log.role == Role::Consumer {
                let had_ms = left.since(facts.chunks.generated(index)) as f64 / MS as f64;
                for (n, deadline) in DEADLINES_MS.into_iter().enumerate() {
                    if had_ms >= deadline {
                        in_time_of[n] += 1;
                        in_time[n] += u64::from(lag.is_some_and(|lag| lag <= deadline));
                    }
                }
            }
        }
        hops += log.hops;
        hops_of += log.hops_of;
        result.hops.max = result.hops.max.max(log.hops_max);
        errors += log.clock_error_us;
        errors_of += log.clock_error_of;
        result.clock_error_ms.max = result
            .clock_error_ms
            .max
            .max(log.clock_error_us_max as f64 / 1000.0);
        control += log.control_in + log.control_out;
        media += log.media_in + log.media_out;
        media_in += log.media_in;
        duplicate += log.media_duplicate;
    }
    let (from, to) = facts.window_chunks();
    result.arrival_ms = arrival.distribution();
    result.lag_ms = lag.distribution();
    result.startup_ms = Distribution::of(startups);
    result.start_stages_ms = Stages::of(&starts);
    result.continuity = continuity_of(continuities);
    let in_time = |n: usize| share(in_time[n], in_time_of[n]);
    result.in_time = InTime {
        ms500: in_time(0),
        ms750: in_time(1),
        ms1000: in_time(2),
    };
    result.control_share = share(control, media);
    result.duplicate_share = share(duplicate, media_in);
    result.source_copies = share(facts.source_copies, (to - from) as u64);
    result.hops.mean = share(hops, hops_of);
    result.clock_error_ms.mean = share(errors, errors_of) / 1000.0;
    result
}

pub(crate) fn continuity_of(mut values: Vec<f64>) -> Continuity {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    if n == 0 {
        return Continuity::default();
    }
    Continuity {
        mean: values.iter().sum::<f64>() / n as f64,
        p1: values[rank(0.01, n as u64) as usize - 1],
        min: values[0],
    }
}
