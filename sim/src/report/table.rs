//! The result as a table of text.

use std::fmt::Write;

use crate::{Distribution, Group, MessageCount, Outcome, RoleResult};

/// What a run showed, with the physical lower bound beside it.
pub fn table(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_table(&mut text, outcome);
    text
}

fn write_table(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    if let Some(lab) = &outcome.lab {
        return super::lab::write(out, outcome, lab);
    }
    writeln!(
        out,
        "{}, seed {}: {} peers, {} chunk deliveries, {} events in {:.1} s ({:.0} deliveries/s)",
        outcome.scenario,
        outcome.seed,
        outcome.peers,
        outcome.deliveries,
        outcome.events,
        outcome.wall_s,
        outcome.deliveries as f64 / outcome.wall_s.max(1e-9),
    )?;
    for (protocol, results) in outcome.results.iter().filter(|(name, _)| *name == "headwater") {
        writeln!(out)?;
        role(out, outcome, protocol, "consumers", &results.consumers)?;
        if let Some(groups) = &results.groups {
            group(out, "contributors", &groups.contributors)?;
            group(out, "free-riders", &groups.free_riders)?;
            if let Some(earners) = &groups.earners {
                group(out, "earned elsewhere", earners)?;
            }
        }
        if let Some(donors) = &results.donors {
            writeln!(out)?;
            role(out, outcome, protocol, "donors", donors)?;
        }
    }
    if outcome.results.len() > 1 {
        writeln!(out)?;
        side_by_side(out, outcome)?;
    }
    writeln!(out)?;
    control(out, outcome)?;
    writeln!(
        out,
        "source's uplink busy {:.1} %; copies lost {}, {} of them at a full uplink, dropped unsent {}; honest peers \
         shut out {}",
        100.0 * outcome.source_busy,
        outcome.lost,
        outcome.uplink_drops,
        outcome.expired,
        outcome.bans
    )?;
    if let Some(shifts) = outcome
        .trust
        .as_ref()
        .and_then(|trust| trust.shifted.as_ref())
        .filter(|shifts| shifts.shifts > 0)
    {
        writeln!(
            out,
            "shifts {}, committed {} of {} bytes, aborted {}, round trips each median {:.1} p90 {:.1}; credit lost {} bytes",
            shifts.shifts,
            shifts.committed,
            shifts.shifted_bytes,
            shifts.aborted,
            shifts.round_trips.p50,
            shifts.round_trips.p90,
            shifts.credit_lost_bytes
        )?;
    }
    for region in outcome.trust.iter().flat_map(|trust| &trust.regions) {
        writeln!(
            out,
            "attackers {}: {} names gave {:.1} MB, were served {:.1}, {:.1} of them before others, and are owed {:.1}; gain {:.3} of what \
             they are entitled to",
            region.name,
            region.names,
            region.gave_bytes as f64 / 1e6,
            region.served_bytes as f64 / 1e6,
            region.ahead_bytes as f64 / 1e6,
            region.owed_bytes as f64 / 1e6,
            region.gain_ratio
        )?;
    }
    if let Some(packet) = &outcome.packet {
        writeln!(
            out,
            "packet level: {} packets in the window, {:.3} bytes of them for each byte delivered; lost and dropped are packets",
            packet.packets, packet.network_bytes_per_delivered_byte
        )?;
    }
    let trackers = &outcome.trackers;
    writeln!(
        out,
        "local trackers at most {}, {} at the end; splits {}, merges {}, take-overs {}",
        trackers.each_second.iter().max().copied().unwrap_or(0),
        trackers.each_second.last().copied().unwrap_or(0),
        trackers.splits,
        trackers.merges,
        trackers.take_overs
    )?;
    writeln!(out, "audit {}", outcome.audit)
}

fn role(
    out: &mut String,
    outcome: &Outcome,
    protocol: &str,
    role: &str,
    result: &RoleResult,
) -> std::fmt::Result {
    head(out, &format!("{protocol}, {} {role}", result.peers))?;
    line(out, "  arrival lag, ms", &result.arrival_ms)?;
    let consumers = role == "consumers";
    if consumers {
        line(out, "  playout lag, ms", &result.lag_ms)?;
        bound(out, outcome)?;
    }
    line(out, "  start-up, ms", &result.startup_ms)?;
    if consumers {
        if let Some(soonest) = &outcome.soonest_ms {
            line(out, "  conceivable, ms", &soonest.started)?;
            line(out, "    of it until flow", &soonest.flowing)?;
        }
        let stages = &result.start_stages_ms;
        for (name, stage) in [
            ("    tracker's answer", &stages.answer),
            ("    all suppliers", &stages.suppliers),
            ("    all flow", &stages.flow),
            ("    past, key frame", &stages.past),
            ("    margin", &stages.margin),
            ("    asked in vain", &stages.refused),
        ] {
            line(out, name, stage)?;
        }
        in_time(out, result)?;
    }
    writeln!(
        out,
        "  control {:.2} % of media, duplicates {:.2} %, hops mean {:.2} max {}, copies from the source {:.2}, \
         clock error mean {:.2} ms max {:.1} ms",
        100.0 * result.control_share,
        100.0 * result.duplicate_share,
        result.hops.mean,
        result.hops.max,
        result.source_copies,
        result.clock_error_ms.mean,
        result.clock_error_ms.max
    )
}

/// A part of the consumers in a line.
fn group(out: &mut String, name: &str, group: &Group) -> std::fmt::Result {
    let c = &group.continuity;
    writeln!(
        out,
        "  {} {name}: continuity mean {:.5}, 1st percentile {:.5}, worst {:.5}; each one's mean playout lag p50 {:.0} p95 {:.0} ms, \
         start-up p50 {:.0} p95 {:.0} ms; missed {}, never started {}",
        group.peers,
        c.mean,
        c.p1,
        c.min,
        group.lag_ms.p50,
        group.lag_ms.p95,
        group.startup_ms.p50,
        group.startup_ms.p95,
        group.chunks_missed,
        group.never_started
    )
}

/// The consumers' headline figures of all that ran in the scenario.
fn side_by_side(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(
        out,
        "{:<12}{:>22}{:>24}{:>16}{:>22}{:>9}{:>9}{:>8}",
        "consumers",
        "arrival p50/95/99 ms",
        "playout p50/95/99 ms",
        "start p50/99",
        "continuity mean/p1",
        "never",
        "control",
        "copies"
    )?;
    for (name, results) in &outcome.results {
        let r = &results.consumers;
        let three = |d: &Distribution| format!("{:.0}/{:.0}/{:.0}", d.p50, d.p95, d.p99);
        writeln!(
            out,
            "{name:<12}{:>22}{:>24}{:>16}{:>22}{:>9}{:>8.1}%{:>8.2}",
            three(&r.arrival_ms),
            three(&r.lag_ms),
            format!("{:.0}/{:.0}", r.startup_ms.p50, r.startup_ms.p99),
            format!("{:.5}/{:.5}", r.continuity.mean, r.continuity.p1),
            r.never_started,
            100.0 * r.control_share,
            r.source_copies
        )?;
    }
    Ok(())
}

/// The heads of the columns.
pub(crate) fn head(out: &mut String, name: &str) -> std::fmt::Result {
    writeln!(
        out,
        "{name:<24}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "mean", "p50", "p90", "p95", "p99", "max"
    )
}

pub(super) fn bound(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let Some(bound) = outcome.bound_ms else {
        return Ok(());
    };
    writeln!(
        out,
        "{:<24}{:>9.1}{:>9}{:>9}{:>9}{:>9}{:>9.1}",
        "  lower bound, ms", bound.mean, "", "", "", "", bound.max
    )
}

/// What was there when it was due.
pub(super) fn in_time(out: &mut String, result: &RoleResult) -> std::fmt::Result {
    let c = &result.continuity;
    writeln!(
        out,
        "  continuity mean {:.5}, 1st percentile {:.5}, worst {:.5}; missed {}, late {}, never started {}",
        c.mean, c.p1, c.min, result.chunks_missed, result.chunks_late, result.never_started
    )?;
    let t = &result.in_time;
    writeln!(
        out,
        "  arrived within 500 ms {:.3} %, 750 ms {:.3} %, 1 s {:.3} %",
        100.0 * t.ms500,
        100.0 * t.ms750,
        100.0 * t.ms1000
    )
}

/// The kinds of control messages that take most, of all and of what the peercaster sends.
fn control(out: &mut String, outcome: &Outcome) -> std::fmt::Result {
    const SHOWN: usize = 5;
    for (whose, part) in [
        ("control in all", (|c| c.bytes) as fn(&MessageCount) -> u64),
        ("from the source", |c| c.source_bytes),
    ] {
        let mut kinds: Vec<(&str, u64)> = outcome
            .control
            .iter()
            .map(|(name, count)| (name.as_str(), part(count)))
            .collect();
        kinds.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let total: u64 = kinds.iter().map(|(_, bytes)| bytes).sum();
        let rate = total as f64 * 8e-6 / outcome.params.measure.length_s;
        write!(out, "{whose} {:.1} MB ({rate:.2} Mbit/s):", total as f64 / 1e6)?;
        for (name, bytes) in kinds.into_iter().take(SHOWN) {
            write!(out, " {name} {:.0} %", 100.0 * bytes as f64 / total.max(1) as f64)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

pub(crate) fn line(out: &mut String, name: &str, d: &Distribution) -> std::fmt::Result {
    writeln!(
        out,
        "{name:<24}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>9.1}",
        d.mean, d.p50, d.p90, d.p95, d.p99, d.max
    )
}
