//! The table of a lab: what can be seen of real programs.

use std::fmt::Write;

use super::table::{bound, head, in_time, line};
use crate::lab::LabFacts;
use crate::{Outcome, RoleResult};

pub(super) fn write(out: &mut String, outcome: &Outcome, lab: &LabFacts) -> std::fmt::Result {
    writeln!(
        out,
        "{}, seed {}: {} real programs, {} packets in {:.1} s",
        outcome.scenario, outcome.seed, outcome.peers, outcome.events, outcome.wall_s
    )?;
    for (protocol, results) in &outcome.results {
        writeln!(out)?;
        let consumers = &results.consumers;
        head(out, &format!("{protocol}, {} consumers", consumers.peers))?;
        line(out, "  arrival lag, ms", &consumers.arrival_ms)?;
        line(out, "  playout lag, ms", &consumers.lag_ms)?;
        bound(out, outcome)?;
        line(out, "  start-up, ms", &consumers.startup_ms)?;
        in_time(out, consumers)?;
        shares(out, consumers)?;
        if let Some(donors) = &results.donors {
            writeln!(out)?;
            head(out, &format!("{protocol}, {} donors", donors.peers))?;
            line(out, "  arrival lag, ms", &donors.arrival_ms)?;
            line(out, "  start-up, ms", &donors.startup_ms)?;
            shares(out, donors)?;
        }
    }
    writeln!(
        out,
        "\nsource's uplink busy {:.1} %; packets lost {}, dropped at a full uplink {}; {:.3} bytes of packets for each byte \
         put out, {} bytes wrong",
        100.0 * outcome.source_busy,
        outcome.lost,
        outcome.uplink_drops,
        lab.network_bytes_per_delivered_byte,
        lab.wrong_bytes
    )?;
    writeln!(
        out,
        "a viewer took {:.2} s of CPU a minute, and {:.0} MB at most; programs waited for a core {:.1} % of the time ({:.1} % \
         at most), packets late {:.2} %",
        lab.cpu_s_per_viewer_minute,
        lab.rss_bytes_max as f64 / 1e6,
        100.0 * lab.core_wait.mean,
        100.0 * lab.core_wait.max,
        100.0 * lab.late_packets
    )?;
    notes(out, &lab.warnings, &lab.problems)
}

/// Why not to trust the figures, and what must not have happened.
pub(crate) fn notes(out: &mut String, warnings: &[String], problems: &[String]) -> std::fmt::Result {
    for warning in warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for problem in problems {
        writeln!(out, "problem: {problem}")?;
    }
    Ok(())
}

fn shares(out: &mut String, result: &RoleResult) -> std::fmt::Result {
    writeln!(
        out,
        "  control {:.2} % of media, duplicates {:.2} %, copies from the source {:.2}",
        100.0 * result.control_share,
        100.0 * result.duplicate_share,
        result.source_copies
    )
}
