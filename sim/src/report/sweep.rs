//! A sweep's results: a table to read or to paste, and every run as comma-separated values.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;

use serde_json::Value;

use crate::sweep::{Point, Row, Spread, Summary, parts};

/// What a table of swarms shows unless told otherwise: heading and path.
const OF_SWARMS: [(&str, &str); 9] = [
    ("arrival p50", "arrival_ms.p50"),
    ("playout p50", "lag_ms.p50"),
    ("playout p99", "lag_ms.p99"),
    ("start-up p50", "startup_ms.p50"),
    ("start-up p99", "startup_ms.p99"),
    ("continuity", "continuity.mean"),
    ("its p1", "continuity.p1"),
    ("control", "control_share"),
    ("bound, mean", "bound_ms.mean"),
];

/// The same of look-ups in the ring.
const OF_RINGS: [(&str, &str); 7] = [
    ("found", "found"),
    ("nearest", "p_nearest"),
    ("stretch, mean", "stretch.mean"),
    ("stretch, p90", "stretch.p90"),
    ("extra ms", "extra_ms.mean"),
    ("hops", "hops.mean"),
    ("loops", "loops"),
];

/// And of coordinates.
const OF_COORDINATES: [(&str, &str); 4] = [
    ("median error", "median_rel_error"),
    ("p90", "p90_rel_error"),
    ("newcomers", "join_rel_error"),
    ("among liars", "liars_rel_error"),
];

/// A table in Markdown: a row for each point, and in it the median over the seeds with the least and the greatest. `show`
/// names other figures than the usual, by their path in a result below the protocol; milliseconds and shares as they stand there.
pub fn sweep_table(summary: &Summary, show: &[String]) -> String {
    let rows = &summary.points;
    let columns = columns(rows, show);
    let keys = keys(rows);
    let several = rows.iter().any(|row| row.of != "headwater");
    let mut heads: Vec<String> = keys;
    if several || heads.is_empty() {
        heads.push("of".to_owned());
    }
    let settings = heads.len();
    heads.extend(columns.iter().map(|(head, _)| head.clone()));
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let given = row.point.settings.iter().map(|(_, value)| value.clone());
            let of = (several || row.point.settings.is_empty()).then(|| row.of.clone());
            let cells = columns.iter().map(|(_, path)| cell(row, row.figures.get(path)));
            given.chain(of).chain(cells).collect()
        })
        .collect();
    let width = |at: usize| {
        let cells = lines.iter().map(|line| line[at].chars().count());
        cells.chain([heads[at].chars().count(), 3]).max().unwrap_or(3)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut out = String::new();
    let seeds: Vec<String> = summary.seeds.iter().map(ToString::to_string).collect();
    // Writing into a string cannot fail.
    let _ = writeln!(
        out,
        "{}, seeds {}: the median over the seeds (least to greatest)\n",
        summary.scenario,
        seeds.join(", ")
    );
    line(&mut out, &heads, &widths, settings);
    let rule: Vec<String> = widths
        .iter()
        .enumerate()
        .map(|(at, &width)| {
            let end = if at < settings { "-" } else { ":" };
            "-".repeat(width - 1) + end
        })
        .collect();
    line(&mut out, &rule, &widths, settings);
    for cells in &lines {
        line(&mut out, cells, &widths, settings);
    }
    let lacking = columns
        .iter()
        .filter(|(_, path)| rows.iter().all(|row| !row.figures.contains_key(path)));
    for (_, path) in lacking {
        let _ = writeln!(out, "\nno result has a figure {path}");
    }
    out
}

/// One row; settings stand to the left of their columns, figures to the right.
fn line(out: &mut String, cells: &[String], widths: &[usize], settings: usize) {
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = if at < settings {
            write!(out, "| {cell:<width$} ")
        } else {
            write!(out, "| {cell:>width$} ")
        };
    }
    out.push_str("|\n");
}

/// Heading and path of each column.
fn columns(rows: &[Row], show: &[String]) -> Vec<(String, String)> {
    if !show.is_empty() {
        return show.iter().map(|path| (path.clone(), path.clone())).collect();
    }
    let usual: &[(&str, &str)] = match rows.first().map(|row| row.of.as_str()) {
        Some("coords") => &OF_COORDINATES,
        Some(of) if of.starts_with("doat") => &OF_RINGS,
        _ => &OF_SWARMS,
    };
    usual
        .iter()
        .map(|(head, path)| ((*head).to_owned(), (*path).to_owned()))
        .collect()
}

fn keys(rows: &[Row]) -> Vec<String> {
    let first = rows.first().map(|row| row.point.settings.as_slice());
    first
        .unwrap_or_default()
        .iter()
        .map(|(key, _)| key.clone())
        .collect()
}

fn cell(row: &Row, spread: Option<&Spread>) -> String {
    let Some(spread) = spread else {
        return "–".to_owned();
    };
    let median = short(spread.median);
    if row.runs == 1 || spread.least.total_cmp(&spread.most).is_eq() {
        return median;
    }
    format!("{median} ({} to {})", short(spread.least), short(spread.most))
}

/// Milliseconds without decimals, shares with four.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small > 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Every run as a line of comma-separated values: its settings, its seed, the protocol or case, and all figures.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_sweep_csv(
    out: impl io::Write,
    points: &[Point],
    runs: &[(usize, u64, Value)],
) -> Result<(), csv::Error> {
    let lines: Vec<_> = runs
        .iter()
        .flat_map(|(point, seed, result)| {
            parts(result)
                .into_iter()
                .map(move |(of, figures)| (&points[*point].settings, *seed, of, figures))
        })
        .collect();
    let paths: BTreeSet<&String> = lines
        .iter()
        .flat_map(|(_, _, _, figures)| figures.keys())
        .collect();
    let keys = points
        .first()
        .into_iter()
        .flat_map(|point| point.settings.iter().map(|(key, _)| key.as_str()));
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(
        keys.chain(["seed", "of"])
            .chain(paths.iter().map(|path| path.as_str())),
    )?;
    for (settings, seed, of, figures) in &lines {
        let given = settings.iter().map(|(_, value)| value.clone());
        let cells = paths
            .iter()
            .map(|path| figures.get(*path).map_or(String::new(), ToString::to_string));
        writer.write_record(given.chain([seed.to_string(), of.clone()]).chain(cells))?;
    }
    writer.flush()?;
    Ok(())
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
