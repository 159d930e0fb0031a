//! The result as a table of text.

use std::fmt::Write;

use super::outcome::OverlayOutcome;
use super::score::LookUps;

/// What a run showed.
pub fn table(outcome: &OverlayOutcome) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ = write_table(&mut text, outcome);
    text
}

fn write_table(out: &mut String, outcome: &OverlayOutcome) -> std::fmt::Result {
    writeln!(
        out,
        "{}, seed {}: {} peers, {} messages, {} events in {:.1} s",
        outcome.scenario, outcome.seed, outcome.peers, outcome.deliveries, outcome.events, outcome.wall_s
    )?;
    if !outcome.doat.is_empty() {
        writeln!(
            out,
            "\n{:<10}{:>6}{:>9}{:>9}{:>9}{:>9}{:>8}{:>16}{:>14}{:>8}{:>14}{:>7}{:>8}{:>9}{:>8}{:>8}",
            "space",
            "nodes",
            "trackers",
            "found",
            "correct",
            "nearest",
            "filter",
            "stretch",
            "extra, ms",
            "probes",
            "hops",
            "loops",
            "msg/s",
            "updates",
            "B/s",
            "wrong"
        )?;
        writeln!(
            out,
            "{:<10}{:>6}{:>9}{:>9}{:>9}{:>9}{:>8}{:>16}{:>14}{:>8}{:>14}{:>7}{:>8}{:>9}{:>8}{:>8}",
            "",
            "",
            "",
            "",
            "",
            "",
            "errs",
            "mean/p90/p99",
            "mean/p90",
            "mean",
            "mean/max",
            "",
            "a node",
            "",
            "a node",
            "lists"
        )?;
        for case in &outcome.doat {
            line(out, case)?;
        }
    }
    if let Some(errors) = &outcome.coords {
        writeln!(
            out,
            "\nrelative error of predicted round trips: median {:.4}, p90 {:.4}; newcomers {:.4}; among liars {:.4}",
            errors.median_rel_error, errors.p90_rel_error, errors.join_rel_error, errors.liars_rel_error
        )?;
    }
    writeln!(out, "\naudit {}", outcome.audit)
}

fn line(out: &mut String, case: &LookUps) -> std::fmt::Result {
    let stretch = format!(
        "{:.3}/{:.2}/{:.2}",
        case.stretch.mean, case.stretch.p90, case.stretch.p99
    );
    let extra = format!("{:.2}/{:.2}", case.extra_ms.mean, case.extra_ms.p90);
    let hops = format!("{:.2}/{:.0}", case.hops.mean, case.hops.max);
    writeln!(
        out,
        "{:<10}{:>6}{:>9}{:>9.5}{:>9.5}{:>9.4}{:>7.2}%{:>16}{:>14}{:>8.2}{:>14}{:>7}{:>8.2}{:>9.3}{:>8.0}{:>8}",
        case.space,
        case.nodes,
        case.trackers,
        case.found,
        case.correct,
        case.p_nearest,
        100.0 * case.bloom_fp,
        stretch,
        extra,
        case.probes.mean,
        hops,
        case.loops,
        case.messages_per_node_s,
        case.updates_per_node_s,
        case.bytes_per_node_s,
        case.lists_wrong
    )
}
