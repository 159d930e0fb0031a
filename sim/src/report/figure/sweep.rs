//! What a sweep shows: figures against the setting that varies, and lag against what is missed.

use std::path::{Path, PathBuf};

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREEN, GREY, PINK, RED, YELLOW, axes, legend, make, write};
use crate::sweep::{Row, Spread, Summary};

/// The lines of the first figure: what they are called, the path, and the colour.
const LINES: [(&str, &str, RGBColor); 5] = [
    ("arrival lag, median", "arrival_ms.p50", BLUE),
    ("playout lag, median", "lag_ms.p50", RED),
    ("playout lag, 99th percentile", "lag_ms.p99", YELLOW),
    ("start-up, median", "startup_ms.p50", GREEN),
    ("lower bound, mean", "bound_ms.mean", GREY),
];

/// Colours of protocols in the second.
const PROTOCOLS: [RGBColor; 4] = [BLUE, RED, GREEN, PINK];

/// Writes `SCENARIO-sweep-….svg` into a directory, which is made if it is not there: `curve` if one setting varies and
/// all its values are numbers, and `tradeoff`.
///
/// # Errors
/// When there is nothing to draw, or a file cannot be written or drawn.
pub fn write_sweep_figures(summary: &Summary, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    make(directory)?;
    let mut written = Vec::new();
    let mut add = |name: &str, draw: &dyn Fn(&Canvas<'_>) -> Drawn| {
        let path = directory.join(format!("{}-sweep-{name}.svg", summary.scenario));
        write(&path, draw)?;
        written.push(path);
        anyhow::Ok(())
    };
    if let Some(steps) = steps(summary) {
        add("curve", &|root| curve(summary, &steps, root))?;
    }
    add("tradeoff", &|root| tradeoff(summary, root))?;
    Ok(written)
}

/// The values of the only setting that varies, with what came out of ours, if there are several and all are numbers.
fn steps(summary: &Summary) -> Option<Vec<(f64, &Row)>> {
    let ours = summary.points.iter().filter(|row| row.of == "headwater");
    let mut steps = ours
        .map(|row| match row.point.settings.as_slice() {
            [(_, value)] => Some((value.parse().ok().filter(|v: &f64| v.is_finite())?, row)),
            _ => None,
        })
        .collect::<Option<Vec<_>>>()?;
    steps.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    (steps.len() > 1).then_some(steps)
}

fn seeds(summary: &Summary) -> String {
    match summary.seeds.as_slice() {
        [only] => format!("seed {only}"),
        all => format!("{} seeds", all.len()),
    }
}

/// Milliseconds against the setting: medians over the seeds, with a bar from the least to the greatest.
fn curve(summary: &Summary, steps: &[(f64, &Row)], root: &Canvas<'_>) -> Drawn {
    let key = steps
        .first()
        .and_then(|(_, row)| row.point.settings.first())
        .map_or("", |(key, _)| key.as_str());
    let at = |path: &'static str| {
        let found = steps
            .iter()
            .filter_map(move |(x, row)| Some((*x, *row.figures.get(path)?)));
        found.collect::<Vec<(f64, Spread)>>()
    };
    let most = LINES
        .iter()
        .flat_map(|(_, path, _)| at(path))
        .map(|(_, spread)| spread.most)
        .fold(1.0, f64::max);
    let (first, last) = (steps[0].0, steps[steps.len() - 1].0);
    let margin = (last - first) * 0.03;
    let title = format!("{}, {}: what {key} does", summary.scenario, seeds(summary));
    let mut chart = axes(
        root,
        &title,
        first - margin..last + margin,
        // The legend stands above the lines.
        0.0..most * 1.35,
        [
            key,
            "median over the seeds, and from the least to the greatest, ms",
        ],
    )?;
    for (name, path, colour) in LINES {
        let found = at(path);
        if found.is_empty() {
            continue;
        }
        chart
            .draw_series(LineSeries::new(
                found.iter().map(|(x, spread)| (*x, spread.median)),
                colour.stroke_width(2),
            ))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(found.iter().map(|(x, spread)| {
            PathElement::new([(*x, spread.least), (*x, spread.most)], colour.stroke_width(1))
        }))?;
        chart.draw_series(
            found
                .iter()
                .map(|(x, spread)| Circle::new((*x, spread.median), 3, colour.filled())),
        )?;
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

/// Playout lag against what is missed, a dot for each point: down and left is better.
fn tradeoff(summary: &Summary, root: &Canvas<'_>) -> Drawn {
    let dots: Vec<(&str, f64, f64, String)> = summary
        .points
        .iter()
        .filter_map(|row| {
            let lag = row.figures.get("lag_ms.p50")?.median;
            let missed = 1.0 - row.figures.get("continuity.mean")?.median;
            let values: Vec<&str> = row
                .point
                .settings
                .iter()
                .map(|(_, value)| value.as_str())
                .collect();
            Some((row.of.as_str(), lag, 1000.0 * missed, values.join(", ")))
        })
        .collect();
    let keys: Vec<&str> = summary.points.first().map_or(Vec::new(), |row| {
        row.point.settings.iter().map(|(key, _)| key.as_str()).collect()
    });
    let most = |of: fn(&(&str, f64, f64, String)) -> f64| dots.iter().map(of).fold(0.0, f64::max);
    let (lag, missed) = (most(|dot| dot.1).max(1.0), most(|dot| dot.2).max(0.1));
    let title = format!(
        "{}, {}: lag and continuity{}{}",
        summary.scenario,
        seeds(summary),
        if keys.is_empty() { "" } else { " by " },
        keys.join(", ")
    );
    let mut chart = axes(
        root,
        &title,
        0.0..lag * 1.3,
        0.0..missed * 1.2,
        [
            "playout lag, median, ms",
            "chunks not played in time, in a thousand",
        ],
    )?;
    let mut protocols: Vec<&str> = dots.iter().map(|(of, ..)| *of).collect();
    protocols.dedup();
    protocols.sort_unstable();
    protocols.dedup();
    for (at, protocol) in protocols.iter().enumerate() {
        let colour = PROTOCOLS[at % PROTOCOLS.len()];
        let own = dots.iter().filter(|(of, ..)| of == protocol);
        chart
            .draw_series(own.map(|(_, lag, missed, name)| {
                EmptyElement::at((*lag, *missed))
                    + Circle::new((0, 0), 4, colour.filled())
                    + Text::new(name.clone(), (8, -6), ("sans-serif", 14))
            }))?
            .label(*protocol)
            .legend(move |(x, y)| Circle::new((x + 10, y), 4, colour.filled()));
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
