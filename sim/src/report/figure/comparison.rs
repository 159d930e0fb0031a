//! Lag against distance in several results.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use plotters::prelude::*;
use serde_json::Value;

use super::{BLUE, Canvas, Drawn, GREEN, GREY, PINK, RED, YELLOW, axes, legend, make, write};
use crate::Band;

/// Colours of results; after the last it begins anew.
const COLOURS: [RGBColor; 5] = [RED, BLUE, GREEN, PINK, YELLOW];

/// What a figure needs of one result.
struct Curve {
    name: String,
    bands: Vec<Band>,
    bound_ms: Option<f64>,
    chunk_ms: Option<f64>,
}

/// Of a result file as it was read; `None` if it does not say how lag goes with distance.
fn curve((name, result): &(String, Value)) -> Option<Curve> {
    let bands: Vec<Band> = serde_json::from_value(result.get("by_distance")?.clone()).ok()?;
    let number = |path: &str| result.pointer(path).and_then(Value::as_f64);
    (!bands.is_empty()).then(|| Curve {
        name: name.clone(),
        bands,
        bound_ms: number("/bound_ms/mean"),
        chunk_ms: number("/params/stream/chunk_ms"),
    })
}

/// Writes `compare-distance.svg` into a directory, which is made if it is not there: the consumers' lag against their distance from the
/// peercaster, all results over one another, with the lower bounds. Results that do not hold that are left out.
///
/// # Errors
/// When no result holds it, or the file cannot be written or drawn.
pub fn write_comparison(results: &[(String, Value)], directory: &Path) -> anyhow::Result<PathBuf> {
    let curves: Vec<Curve> = results.iter().filter_map(curve).collect();
    ensure!(
        !curves.is_empty(),
        "none of these results says how lag goes with distance: those of swarms that this version has run do"
    );
    make(directory)?;
    let path = directory.join("compare-distance.svg");
    write(&path, &|root| draw(&curves, root))?;
    Ok(path)
}

fn draw(curves: &[Curve], root: &Canvas<'_>) -> Drawn {
    let bands = || curves.iter().flat_map(|curve| &curve.bands);
    let far = bands().map(|band| band.distance_ms).fold(10.0, f64::max) * 1.05;
    // Room for the legend above.
    let late = bands().map(|band| band.lag_ms).fold(50.0, f64::max) * 1.5;
    let names = [
        "one way from the peercaster, ms",
        "mean lag from the chunk's first byte, ms",
    ];
    let mut chart = axes(
        root,
        "consumers' lag and their distance",
        0.0..far,
        0.0..late,
        names,
    )?;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle().copied()) {
        let points =
            |lag: fn(&Band) -> f64| curve.bands.iter().map(move |band| (band.distance_ms, lag(band)));
        chart
            .draw_series(LineSeries::new(
                points(|band| band.lag_ms),
                colour.stroke_width(2),
            ))?
            .label(format!("{}: playout lag", curve.name))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart
            .draw_series(DashedLineSeries::new(
                points(|band| band.arrival_ms),
                6,
                4,
                colour.stroke_width(2),
            ))?
            .label(format!("{}: arrival lag (dashed)", curve.name))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 8, y)], colour.stroke_width(2)));
        if let Some(bound) = curve.bound_ms {
            chart
                .draw_series(DashedLineSeries::new(
                    [(0.0, bound), (far, bound)],
                    2,
                    4,
                    colour.stroke_width(1),
                ))?
                .label(format!(
                    "{}: lower bound of the mean, {bound:.0} ms (dotted)",
                    curve.name
                ))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 3, y)], colour));
        }
    }
    let chunk = curves
        .iter()
        .filter_map(|curve| curve.chunk_ms)
        .fold(f64::MAX, f64::min);
    if chunk < f64::MAX {
        chart
            .draw_series(LineSeries::new(
                [(0.0, chunk), (far, far + chunk)],
                GREY.stroke_width(1),
            ))?
            .label("the way alone, and the chunk's duration")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], GREY));
    }
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}
