//! From counters and events to lines.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use swarm::{Event, LinkStats, NodeStats, StreamStats, TrustStats};
use tokio::time::Instant;
use wire::{PeerId, StreamId};

use super::line::{
    Command, CoordLine, DoatLine, JoinLine, Kind, Lag, Line, NeighbourLine, Quantiles, TrackerLine,
    TrustLine, role_name,
};
use super::process::Usage;
use super::shortage::{Shortage, ShortageNews};
use crate::driver::Lags;

/// Collects what one stream's statistics need and makes their lines.
///
/// Tell it of every chunk handed over ([`Reporter::handed_over`]) and every [`Event`], and ask for a
/// [`Reporter::sample`] once a second and one [`Reporter::summary`] at the end. Arrival lags it reads where the driver
/// records them.
#[derive(Debug)]
pub struct Reporter {
    command: Command,
    peer: PeerId,
    stream: StreamId,
    started: Instant,
    startup: Option<Duration>,
    join: JoinLine,
    lag: Lags,
    /// The latest playout lag since the last line, so that a sample never repeats an old one.
    latest_lag_us: Option<i64>,
    arrivals: Lags,
    /// Media bytes per neighbour at the last line, and when that was.
    traffic: BTreeMap<PeerId, (u64, u64)>,
    traffic_at: Instant,
    usage: Usage,
    shortage: Shortage,
}

impl Reporter {
    /// For `stream` at the node `peer`. `arrivals` are those of the stream's
    /// [`StreamEvents`](crate::driver::StreamEvents); `started` is when the command started: start-up counts from there.
    pub fn new(command: Command, peer: PeerId, stream: StreamId, arrivals: Lags, started: Instant) -> Self {
        Reporter {
            command,
            peer,
            stream,
            started,
            startup: None,
            join: JoinLine::default(),
            lag: Lags::new(),
            latest_lag_us: None,
            arrivals,
            traffic: BTreeMap::new(),
            traffic_at: started,
            usage: Usage::new(),
            shortage: Shortage::default(),
        }
    }

    /// The stream it reports on.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// From the command's start to the first byte handed over.
    pub fn startup(&self) -> Option<Duration> {
        self.startup
    }

    /// When each step of joining was done.
    pub fn join(&self) -> JoinLine {
        self.join
    }

    /// Quantiles of the playout lag over the run so far.
    pub fn lag_quantiles(&self) -> Option<Quantiles> {
        quantiles(&self.lag)
    }

    /// Something happened at the node; events of other streams are ignored.
    pub fn event(&mut self, event: &Event) {
        let elapsed = Some(self.at(Instant::now()));
        match event {
            Event::TrackerAnswered { stream, .. } if *stream == self.stream => {
                self.join.tracker = self.join.tracker.or(elapsed);
            }
            Event::Located => self.join.coord = self.join.coord.or(elapsed),
            Event::LookedUp { stream, .. } if *stream == self.stream => {
                self.join.doat = self.join.doat.or(elapsed);
            }
            Event::FirstChunk { stream } if *stream == self.stream => {
                self.join.first_chunk = self.join.first_chunk.or(elapsed);
            }
            _ => {}
        }
    }

    /// This node knew where it is in the delay space at this instant, before its stream was joined.
    pub fn located(&mut self, at: Instant) {
        self.join.coord = self.join.coord.or(Some(self.at(at)));
    }

    /// Milliseconds from the command's start.
    fn at(&self, instant: Instant) -> f64 {
        round3(instant.saturating_duration_since(self.started).as_secs_f64() * 1e3)
    }

    /// A chunk was handed to the output, with this playout lag.
    pub fn handed_over(&mut self, lag_us: i64) {
        if self.startup.is_none() {
            self.startup = Some(self.started.elapsed());
        }
        self.lag.record(lag_us);
        self.latest_lag_us = Some(lag_us);
    }

    /// The line of this second.
    pub fn sample(&mut self, stats: &NodeStats) -> Line {
        let lag = Lag::Now(self.latest_lag_us.take().map(|us| us as f64 / 1e3));
        let arrival = Lag::Now(self.of_stream(stats).and_then(|own| own.arrival_ms).map(round3));
        if let Some(own) = self.of_stream(stats) {
            self.shortage.look(Instant::now(), own);
        }
        self.line(Kind::Sample, lag, arrival, stats)
    }

    /// Whether a shortage of upload has begun or is over, if users have not been told yet. Samples tell.
    pub fn shortage_news(&mut self) -> Option<ShortageNews> {
        self.shortage.take_news()
    }

    /// The last line: lags over the whole run.
    pub fn summary(&mut self, stats: &NodeStats) -> Line {
        let lag = Lag::Run(quantiles(&self.lag));
        let arrival = Lag::Run(quantiles(&self.arrivals));
        self.line(Kind::Summary, lag, arrival, stats)
    }

    fn line(&mut self, kind: Kind, lag_ms: Lag, arrival_ms: Lag, stats: &NodeStats) -> Line {
        let none = StreamStats::default();
        let own = self.of_stream(stats).unwrap_or(&none);
        let (cpu_s, rss_bytes) = self.usage.read();
        Line {
            kind,
            t_ms: unix_ms(),
            role: self.command,
            peer: self.peer,
            stream: self.stream,
            startup_ms: self.startup.map(|d| round3(d.as_secs_f64() * 1e3)),
            lag_ms,
            arrival_ms,
            clock_error_ms: own.clock_error_ms.map(round3),
            continuity: own.continuity(),
            chunks_played: own.chunks_played,
            chunks_missed: own.chunks_missed,
            chunks_late: own.chunks_late,
            bytes_in: own.bytes_in,
            bytes_out: own.bytes_out,
            bytes_duplicate: own.bytes_duplicate,
            bytes_control: stats.bytes_control,
            bytes_rejected: stats.bytes_rejected,
            multiplication: (own.bytes_in > 0).then(|| round3(own.bytes_out as f64 / own.bytes_in as f64)),
            buffer_ms: own.buffer_ms,
            target_lag_ms: own.target_lag_ms.map(round3),
            repairs_requested: own.repairs_requested,
            shortage: self.shortage.lasts(),
            no_room: own.no_room,
            lacking: own.short.map(|per_mille| f64::from(per_mille) / 1e3),
            neighbours: self.neighbours(&stats.neighbours),
            coord: CoordLine {
                x_ms: round3(stats.coord.x_ms),
                y_ms: round3(stats.coord.y_ms),
                height_ms: round3(stats.coord.height_ms),
                error: round3(stats.coord_error),
            },
            tracker: own
                .tracker
                .map(|(peer, addr, members)| TrackerLine { peer, addr, members }),
            is_tracker: own.is_tracker,
            doat: DoatLine {
                member: stats.ring.member,
                h: stats.ring.position,
                successor: stats.ring.successor,
                predecessor: stats.ring.predecessor,
                entries: stats.ring.entries,
            },
            trust: stats.trust.map(trust_line),
            join_ms: self.join,
            cpu_s,
            rss_bytes,
            lines_dropped: 0,
        }
    }

    fn of_stream<'a>(&self, stats: &'a NodeStats) -> Option<&'a StreamStats> {
        stats.streams.iter().find(|own| own.stream == Some(self.stream))
    }

    fn neighbours(&mut self, links: &[LinkStats]) -> Vec<NeighbourLine> {
        let seconds = self.traffic_at.elapsed().as_secs_f64().max(1e-3);
        self.traffic_at = Instant::now();
        let before = std::mem::take(&mut self.traffic);
        links
            .iter()
            .map(|link| {
                // A neighbour that came back counts from zero again.
                let (had_in, had_out) = before.get(&link.peer).copied().unwrap_or_default();
                let bps = |now: u64, had: u64| (now.saturating_sub(had) as f64 * 8.0 / seconds) as u64;
                self.traffic.insert(link.peer, (link.bytes_in, link.bytes_out));
                NeighbourLine {
                    peer: link.peer,
                    addr: link.addr,
                    rtt_ms: round3(link.rtt_ms),
                    in_bps: bps(link.bytes_in, had_in),
                    out_bps: bps(link.bytes_out, had_out),
                    role: role_name(link.role),
                    trust: link.trust,
                    standing: round3(link.standing),
                }
            })
            .collect()
    }
}

fn trust_line(trust: TrustStats) -> TrustLine {
    TrustLine {
        earned_bytes: trust.owed_to_me,
        owed_bytes: trust.owed_by_me,
        spendable_bytes: trust.spendable,
        pending_bytes: trust.pending,
        shifts: trust.shifts,
        accounts: trust.accounts,
        control_bytes: trust.bytes,
        paused: trust.rests,
    }
}

/// The summary's form; `None` if nothing was measured.
fn quantiles(lags: &Lags) -> Option<Quantiles> {
    let summary = lags.summary();
    (summary.count > 0).then(|| Quantiles {
        p50: round3(summary.p50),
        p95: round3(summary.p95),
        p99: round3(summary.p99),
        max: round3(summary.max),
    })
}

/// Three decimals: microseconds where the unit is milliseconds.
fn round3(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
