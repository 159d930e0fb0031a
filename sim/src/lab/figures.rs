//! From what was seen to a result.

use std::collections::BTreeMap;
use std::ops::Range;

use netlab::{Counters, NodeCounters};

use super::clock::Clock;
use super::content::PACKET;
use super::discovery::StreamsFacts;
use super::probe::Playout;
use super::processes::Remains;
use super::session::Record;
use super::statistics::Counted;
use super::{BUSY, CoreWait, LATE, LabFacts, NOT_FOLLOWED};
use crate::driver::{CURVE_POINTS, Outcome, Rehearsal, TrackerCount};
use crate::measure::{
    DEADLINES_MS, Distribution, Histogram, InTime, Results, Role, RoleResult, continuity_of,
};
use crate::time::ms;

/// What all figures need.
struct Facts<'a> {
    rehearsal: &'a Rehearsal,
    record: &'a Record,
    /// Of the lab's clock.
    window: Range<u64>,
    end_ns: u64,
}

/// The same window in the programs' Unix time.
impl Facts<'_> {
    fn unix_ms(&self) -> (f64, f64) {
        let clock = &self.record.clock;
        (clock.unix_ms(self.window.start), clock.unix_ms(self.window.end))
    }

    fn counted(&self, remains: &Remains) -> Counted {
        let (from, to) = self.unix_ms();
        remains.statistics.between(from, to)
    }

    fn playout<'a>(&'a self, remains: &'a Remains) -> Playout<'a> {
        Playout {
            seen: &remains.seen,
            sent: &self.record.sent,
            chunk_ns: ms(self.rehearsal.scenario.stream.chunk_ms),
        }
    }

    fn of(&self, role: Role) -> impl Iterator<Item = &Remains> {
        let peers = &self.rehearsal.peers;
        let all = self.record.remains.iter();
        all.filter(move |(number, _)| peers[**number as usize].role == role)
            .map(|(_, remains)| remains)
    }

    fn sent_in_window(&self) -> u64 {
        self.record.sent.within(&self.window) * PACKET as u64
    }

    /// Bytes of the window that viewers put out.
    fn delivered(&self) -> u64 {
        let came = self.of(Role::Consumer).filter_map(|remains| {
            let until = remains.left_ns.unwrap_or(self.end_ns);
            self.playout(remains).came_and_due(&self.window, until)
        });
        came.map(|(came, _)| came * PACKET as u64).sum()
    }
}

pub(super) fn outcome(rehearsal: &Rehearsal, record: &Record) -> Outcome {
    let facts = Facts {
        rehearsal,
        record,
        window: record.began_ns + rehearsal.window.from.0..record.began_ns + rehearsal.window.to.0,
        end_ns: record.began_ns + rehearsal.end.0,
    };
    let (mut lags, mut arrivals) = (Histogram::new(), Histogram::new());
    let consumers = role(&facts, Role::Consumer, &mut lags, &mut arrivals);
    let with_donors = facts.of(Role::Donor).next().is_some();
    let donors = with_donors.then(|| role(&facts, Role::Donor, &mut Histogram::new(), &mut Histogram::new()));
    let results = Results {
        headline: consumers.clone(),
        consumers,
        donors,
        groups: None,
    };
    let scenario = &rehearsal.scenario;
    let lines = record.remains.values().filter_map(|r| r.statistics.last());
    let media_in: u64 = lines.map(|line| line.bytes_in).sum();
    let chunk_bytes = scenario.stream.rate.as_bps() as f64 / 8000.0 * scenario.stream.chunk_ms;
    let source = record
        .counters
        .nodes
        .first()
        .map_or(0, |node| node.traffic.sent_bytes);
    let source_bits = rehearsal.peers[0].upload_bps as f64 * scenario.measure.length_s;
    Outcome {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        wall_s: 0.0,
        events: received(&record.counters),
        deliveries: (media_in as f64 / chunk_bytes) as u64,
        lost: drops(&record.counters, "loss"),
        uplink_drops: drops(&record.counters, "up_queue"),
        source_busy: source as f64 * 8.0 / source_bits,
        expired: 0,
        bans: 0,
        trackers: TrackerCount::default(),
        trust: None,
        control: BTreeMap::new(),
        peers: record.remains.len(),
        audit: String::new(),
        bound_ms: rehearsal.bound_ms,
        soonest_ms: rehearsal.soonest_ms,
        results: BTreeMap::from([("headwater".to_owned(), results)]),
        by_distance: Vec::new(),
        packet: None,
        lab: Some(lab(&facts)),
        rows: Vec::new(),
        trace: Vec::new(),
        others: Vec::new(),
        timeline: Vec::new(),
        depths: Vec::new(),
        map: Vec::new(),
        curves: [arrivals.curve(CURVE_POINTS), lags.curve(CURVE_POINTS)],
        params: scenario.clone(),
    }
}

fn role(facts: &Facts<'_>, role: Role, lags: &mut Histogram, arrivals: &mut Histogram) -> RoleResult {
    let mut result = RoleResult::default();
    let (mut startups, mut continuities) = (Vec::new(), Vec::new());
    let (mut in_time, mut arrived) = ([0u64; 3], 0u64);
    let mut sum = Counted::default();
    let (from_ms, to_ms) = facts.unix_ms();
    for remains in facts.of(role) {
        result.peers += 1;
        let counted = facts.counted(remains);
        sum.media_in += counted.media_in;
        sum.media_out += counted.media_out;
        sum.duplicate += counted.duplicate;
        sum.control += counted.control;
        for lag in remains.statistics.arrivals_ms(from_ms, to_ms) {
            arrivals.add(lag.max(0.0));
            arrived += 1;
            for (n, deadline) in DEADLINES_MS.into_iter().enumerate() {
                in_time[n] += u64::from(lag <= deadline);
            }
        }
        if role == Role::Donor {
            startups.extend(
                remains
                    .statistics
                    .last()
                    .and_then(|line| line.join_ms.first_chunk),
            );
            continue;
        }
        let playout = facts.playout(remains);
        let began = playout.began_ns();
        startups.extend(began.map(|at| at.saturating_sub(remains.started_ns) as f64 / 1e6));
        playout
            .lags_ms(&facts.window)
            .into_iter()
            .for_each(|lag| lags.add(lag));
        result.chunks_missed += counted.missed;
        result.chunks_late += counted.late;
        let there = remains.started_ns..remains.left_ns.unwrap_or(facts.end_ns);
        let continuity = playout.continuity(&facts.window, &there, &counted);
        result.never_started += u64::from(continuity.is_some() && began.is_none());
        continuities.extend(continuity);
    }
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    result.arrival_ms = arrivals.distribution();
    result.lag_ms = lags.distribution();
    result.startup_ms = Distribution::of(startups);
    result.continuity = continuity_of(continuities);
    result.in_time = InTime {
        ms500: share(in_time[0], arrived),
        ms750: share(in_time[1], arrived),
        ms1000: share(in_time[2], arrived),
    };
    result.control_share = share(sum.control, sum.media_in + sum.media_out);
    result.duplicate_share = share(sum.duplicate, sum.media_in);
    let sources = facts.record.remains.get(&0).into_iter();
    let sources = sources.chain(&facts.record.earlier_sources);
    let copies = sources.map(|remains| facts.counted(remains).media_out).sum();
    result.source_copies = share(copies, facts.sent_in_window());
    result
}

fn lab(facts: &Facts<'_>) -> LabFacts {
    let record = facts.record;
    let sent: u64 = record
        .counters
        .nodes
        .iter()
        .map(|node| node.traffic.sent_bytes)
        .sum();
    let cpu: Vec<f64> = facts
        .of(Role::Consumer)
        .filter_map(|remains| {
            let last = remains.statistics.last()?;
            let lived_min = (last.t_ms - record.clock.unix_ms(remains.started_ns)) / 60_000.0;
            (lived_min > 0.0).then(|| last.cpu_s / lived_min)
        })
        .collect();
    let memory = facts
        .of(Role::Consumer)
        .filter_map(|r| Some(r.statistics.last()?.rss_bytes));
    let wrong_bytes = facts.of(Role::Consumer).map(|remains| remains.seen.wrong).sum();
    let late_packets = record.counters.delivery.late_share();
    let mut problems = record.problems.clone();
    problems.extend(wrong_bytes_problem(wrong_bytes));
    LabFacts {
        core_wait: record.core_wait,
        late_packets,
        network_bytes_per_delivered_byte: sent as f64 / facts.delivered().max(1) as f64,
        wrong_bytes,
        cpu_s_per_viewer_minute: cpu.iter().sum::<f64>() / cpu.len().max(1) as f64,
        rss_bytes_max: memory.max().unwrap_or(0),
        not_followed: NOT_FOLLOWED.map(str::to_owned).to_vec(),
        warnings: warnings(record.core_wait, late_packets),
        problems,
    }
}

/// What is known of many programs, each of which ran for a while; the machine was as busy as it says.
pub(super) fn of_programs<'a>(
    lives: impl Iterator<Item = &'a Remains> + Clone,
    clock: &Clock,
    counters: &Counters,
    core_wait: CoreWait,
    problems: &[String],
) -> StreamsFacts {
    let cpu: Vec<f64> = lives
        .clone()
        .filter_map(|remains| {
            let last = remains.statistics.last()?;
            let lived_min = (last.t_ms - clock.unix_ms(remains.started_ns)) / 60_000.0;
            (lived_min > 0.0).then(|| last.cpu_s / lived_min)
        })
        .collect();
    let memory = lives
        .clone()
        .filter_map(|remains| Some(remains.statistics.last()?.rss_bytes));
    let wrong_bytes = lives.map(|remains| remains.seen.wrong).sum();
    let late_packets = counters.delivery.late_share();
    let mut problems = problems.to_vec();
    problems.extend(wrong_bytes_problem(wrong_bytes));
    StreamsFacts {
        core_wait,
        core_wait_later: None,
        late_packets,
        wrong_bytes,
        cpu_s_per_minute: cpu.iter().sum::<f64>() / cpu.len().max(1) as f64,
        rss_bytes_max: memory.max().unwrap_or(0),
        warnings: warnings(core_wait, late_packets),
        problems,
    }
}

/// How many packets arrived, at all nodes.
pub(super) fn received(counters: &Counters) -> u64 {
    counters
        .nodes
        .iter()
        .map(|node| node.traffic.received_packets)
        .sum()
}

/// How many packets were dropped for this cause, at all nodes.
pub(super) fn drops(counters: &Counters, cause: &str) -> u64 {
    let of = |node: &NodeCounters| node.traffic.drops().find(|drop| drop.0 == cause);
    counters.nodes.iter().filter_map(of).map(|drop| drop.1).sum()
}

/// Why figures of a run may not be trusted in which programs waited for a core and packets were late so much.
pub(super) fn warnings(core_wait: CoreWait, late_packets: f64) -> Vec<String> {
    let busy = (core_wait.mean > BUSY).then(|| {
        format!(
            "programs waited for a core {:.1} % of the time: this machine was too busy, and lags are too high",
            100.0 * core_wait.mean
        )
    });
    let late = (late_packets > LATE).then(|| {
        format!(
            "{:.1} % of the packets were delivered more than a millisecond late: this machine was too busy",
            100.0 * late_packets
        )
    });
    busy.into_iter().chain(late).collect()
}

/// What is wrong if viewers put out so many bytes that are not as they were sent.
pub(super) fn wrong_bytes_problem(wrong_bytes: u64) -> Option<String> {
    (wrong_bytes > 0).then(|| format!("viewers put out {wrong_bytes} bytes that are not as they were sent"))
}
