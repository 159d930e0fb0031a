//! Figures as SVG.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use plotters::prelude::*;

use crate::Outcome;
use crate::words::plain;

const SIZE: (u32, u32) = (900, 540);
/// Colours that stay apart for the colour-blind (Okabe and Ito).
const ARRIVAL: RGBColor = RGBColor(0, 114, 178);
const PLAYOUT: RGBColor = RGBColor(213, 94, 0);
const BOUND: RGBColor = RGBColor(90, 90, 90);

/// Writes `SCENARIO-SEED-lag.svg` into a directory, which is made if it is not there: the cumulative distributions of
/// the consumers' arrival and playout lag, and the lower bound of mean and greatest lag as vertical lines.
///
/// # Errors
/// When the file cannot be written or drawn.
pub fn write_figures(outcome: &Outcome, directory: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory)
        .map_err(|error| anyhow!("cannot make {} ({})", directory.display(), plain(&error)))?;
    let path = directory.join(format!("{}-{}-lag.svg", outcome.scenario, outcome.seed));
    let mut svg = String::new();
    draw(outcome, &mut svg).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
    std::fs::write(&path, svg)
        .map_err(|error| anyhow!("cannot write {} ({})", path.display(), plain(&error)))?;
    Ok(path)
}

fn draw(outcome: &Outcome, svg: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let [arrival, playout] = &outcome.curves;
    let bound = outcome.bound_ms;
    // To the point where nearly all has arrived; the last hundredth may reach far beyond.
    let most = [arrival, playout]
        .into_iter()
        .flatten()
        .filter(|(_, share)| *share <= 0.995)
        .map(|(lag, _)| *lag)
        .chain(bound.map(|b| b.max))
        .fold(100.0, f64::max);
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title = format!(
        "{}, seed {}: lag of {} consumers' chunks",
        outcome.scenario,
        outcome.seed,
        outcome
            .results
            .get("headwater")
            .map_or(0, |results| results.consumers.peers)
    );
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..most * 1.05, 0.0..1.0)?;
    chart
        .configure_mesh()
        .x_desc("lag from the chunk's first byte, ms")
        .y_desc("share of chunks")
        .light_line_style(WHITE)
        .draw()?;
    for (name, colour, curve) in [
        ("arrival lag", ARRIVAL, arrival),
        ("playout lag", PLAYOUT, playout),
    ] {
        chart
            .draw_series(LineSeries::new(curve.iter().copied(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
    }
    for (name, lag, dash) in bound.into_iter().flat_map(|b| {
        [
            ("lower bound of the mean (dashed)", b.mean, 6),
            ("lower bound of the greatest (dotted)", b.max, 2),
        ]
    }) {
        chart
            .draw_series(DashedLineSeries::new(
                [(lag, 0.0), (lag, 1.0)],
                dash,
                4,
                BOUND.stroke_width(1),
            ))?
            .label(format!("{name}: {lag:.0} ms"))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BOUND));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BOUND)
        .draw()?;
    root.present()?;
    Ok(())
}
