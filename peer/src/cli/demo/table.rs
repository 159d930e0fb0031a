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

/// The table as it is printed: 80 columns at most.
pub(super) fn table(report: &Report) -> String {
    let mut text = format!(
        "\n{:<10} {:>7} {:>8}  {:<20} {:>7} {:>6} {:>7} {:>7}\n{:<10} {:>7} {:>8}  {:>6} {:>6} {:>6} {:>7} {:>6} {:>7} {:>7}\n",
        "",
        "uplink",
        "start-up",
        "playout lag in ms",
        "in time",
        "missed",
        "in",
        "out",
        "",
        "Mbit/s",
        "ms",
        "p50",
        "p95",
        "p99",
        "%",
        "chunks",
        "MB",
        "MB",
    );
    let of = |kind| report.rows.iter().filter(move |row| row.kind == kind);
    for row in of(Kind::Viewer) {
        viewer_line(&mut text, row);
    }
    for row in of(Kind::Donor) {
        let times = ratio(row.bytes_out, row.bytes_in);
        line(&mut text, row, &format!("sent each byte it got {times:.1} times"));
    }
    for row in of(Kind::Source) {
        let stream = of(Kind::Viewer).map(|viewer| viewer.bytes_in).max().unwrap_or(0);
        line(
            &mut text,
            row,
            &format!("sent {:.1} copies of the stream", ratio(row.bytes_out, stream)),
        );
    }
    text
}

fn viewer_line(text: &mut String, row: &Row) {
    let lag = |pick: fn(&Quantiles) -> f64| {
        row.lag
            .as_ref()
            .map_or("–".into(), |lag| format!("{:.0}", pick(lag)))
    };
    // Writing into a string cannot fail.
    let _ = writeln!(
        text,
        "{:<10} {:>7.2} {:>8}  {:>6} {:>6} {:>6} {:>7.3} {:>6} {:>7.2} {:>7.2}",
        row.name(),
        megabits(row.uplink),
        row.startup
            .map_or_else(|| "never".into(), |d| format!("{:.0}", d.as_secs_f64() * 1e3)),
        lag(|lag| lag.p50),
        lag(|lag| lag.p95),
        lag(|lag| lag.p99),
        // Rounded down: 100 % means all.
        (row.continuity * 1e5).floor() / 1e3,
        row.missed + row.late,
        row.bytes_in as f64 / 1e6,
        row.bytes_out as f64 / 1e6,
    );
}

fn line(text: &mut String, row: &Row, words: &str) {
    let _ = writeln!(
        text,
        "{:<10} {:>7.2}   {words:<43} {:>7.2} {:>7.2}",
        row.name(),
        megabits(row.uplink),
        row.bytes_in as f64 / 1e6,
        row.bytes_out as f64 / 1e6,
    );
}

fn megabits(rate: Bitrate) -> f64 {
    rate.as_bps() as f64 / 1e6
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
