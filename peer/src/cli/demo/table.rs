//! The closing words of a demo.

use std::fmt::Write as _;
use std::time::Duration;

use swarm::StreamStats;
use wire::Bitrate;

use crate::error::Failure;
use crate::report::{Quantiles, Reporter};

/// What a node was in the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Viewer,
    Donor,
}

/// One node's figures.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) number: usize,
    pub(super) uplink: Bitrate,
    pub(super) startup: Option<Duration>,
    pub(super) lag: Option<Quantiles>,
    pub(super) continuity: f64,
    pub(super) missed: u64,
    pub(super) late: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Row {
    pub(super) fn new(
        kind: Kind,
        number: usize,
        uplink: Bitrate,
        stats: &StreamStats,
        reporter: &Reporter,
    ) -> Row {
        Row {
            kind,
            number,
            uplink,
            startup: reporter.startup(),
            lag: reporter.lag_quantiles(),
            continuity: stats.continuity(),
            missed: stats.chunks_missed,
            late: stats.chunks_late,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
        }
    }

    fn name(&self) -> String {
        match self.kind {
            Kind::Source => "source".into(),
            Kind::Viewer => format!("viewer {}", self.number),
            Kind::Donor => format!("donor {}", self.number),
        }
    }
}

/// All nodes' figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
}

impl Report {
    /// Whether every viewer was served.
    pub(super) fn verdict(&self, continuity_min: f64) -> Result<(), Failure> {
        for row in self.rows.iter().filter(|row| row.kind == Kind::Viewer) {
            if row.startup.is_none() {
                return Err(Failure::running(format!(
                    "{} never started to play; run again with --log debug",
                    row.name()
                )));
            }
            if row.continuity < continuity_min {
                return Err(Failure::running(format!(
                    "{} got only {:.2} % of the stream in time; run again with --log debug, or with a lower --rate if \
                     this machine is busy",
                    row.name(),
                    row.continuity * 100.0
                )));
            }
        }
        Ok(())
    }
}

/// The table as it is printed.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!(
        "\n{:<10} {:>13} {:>8} {:>8} {:>8} {:>8} {:>10} {:>6} {:>5} {:>8} {:>8}\n",
        "", "uplink", "start-up", "lag p50", "p95", "p99", "continuity", "missed", "late", "in MB", "out MB"
    );
    let megabytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1e6);
    for row in report.rows.iter().filter(|row| row.kind == Kind::Viewer) {
        let startup = row
            .startup
            .map_or_else(|| "never".into(), |d| format!("{:.0} ms", d.as_secs_f64() * 1e3));
        let lag = |pick: fn(&Quantiles) -> f64| {
            row.lag
                .as_ref()
                .map_or("–".into(), |lag| format!("{:.0} ms", pick(lag)))
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{:<10} {:>13} {:>8} {:>8} {:>8} {:>8} {:>9.3}% {:>6} {:>5} {:>8} {:>8}",
            row.name(),
            row.uplink.to_string(),
            startup,
            lag(|lag| lag.p50),
            lag(|lag| lag.p95),
            lag(|lag| lag.p99),
            // Rounded down: 100 % means all.
            (row.continuity * 1e5).floor() / 1e3,
            row.missed,
            row.late,
            megabytes(row.bytes_in),
            megabytes(row.bytes_out),
        );
    }
    for row in report.rows.iter().filter(|row| row.kind == Kind::Donor) {
        let times = if row.bytes_in == 0 {
            0.0
        } else {
            row.bytes_out as f64 / row.bytes_in as f64
        };
        let share = format!("each byte received was sent {times:.1} times");
        let _ = writeln!(
            text,
            "{:<10} {:>13}   {share:<56} {:>8} {:>8}",
            row.name(),
            row.uplink.to_string(),
            megabytes(row.bytes_in),
            megabytes(row.bytes_out)
        );
    }
    for row in report.rows.iter().filter(|row| row.kind == Kind::Source) {
        let played: u64 = report
            .rows
            .iter()
            .filter(|row| row.kind == Kind::Viewer)
            .map(|row| row.bytes_in)
            .max()
            .unwrap_or(0);
        let copies = if played == 0 {
            0.0
        } else {
            row.bytes_out as f64 / played as f64
        };
        let share = format!("sent {copies:.1} copies of the stream");
        let _ = writeln!(
            text,
            "{:<10} {:>13}   {share:<56} {:>8} {:>8}",
            row.name(),
            row.uplink.to_string(),
            "",
            megabytes(row.bytes_out)
        );
    }
    text
}
