//! Figures as SVG.

mod comparison;
mod depth;
mod distance;
mod lag;
mod map;
mod sweep;
mod time;
mod upload;

pub use comparison::write_comparison;
pub use sweep::write_sweep_figures;

use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::Outcome;
use crate::words::plain;

const SIZE: (u32, u32) = (900, 540);
/// Colours that stay apart for the colour-blind (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0, 114, 178);
const RED: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const PINK: RGBColor = RGBColor(204, 121, 167);
const YELLOW: RGBColor = RGBColor(230, 159, 0);
const GREY: RGBColor = RGBColor(90, 90, 90);
const PALE: RGBColor = RGBColor(225, 225, 225);

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn Error>>;

/// A figure: its name in the file's name, whether there is something to show, and what draws it.
type Figure = (
    &'static str,
    fn(&Outcome) -> bool,
    fn(&Outcome, &Canvas<'_>) -> Drawn,
);

const FIGURES: [Figure; 6] = [
    ("lag", |_| true, lag::draw),
    ("distance", |outcome| !outcome.rows.is_empty(), distance::draw),
    ("continuity", |outcome| !outcome.timeline.is_empty(), time::draw),
    ("depth", |outcome| !outcome.depths.is_empty(), depth::draw),
    ("upload", |outcome| !outcome.rows.is_empty(), upload::draw),
    ("overlay", |outcome| !outcome.map.is_empty(), map::draw),
];

/// Writes `SCENARIO-SEED-FIGURE.svg` into a directory, which is made if it is not there: the distribution of the lags with the bound,
/// lag against distance, continuity over time, tree depth, use of the uplinks, and the overlay where peers have places in a plane.
///
/// # Errors
/// When a file cannot be written or drawn.
pub fn write_figures(outcome: &Outcome, directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    make(directory)?;
    let mut written = Vec::new();
    for (name, has, draw) in FIGURES.iter().filter(|(_, has, _)| has(outcome)) {
        debug_assert!(has(outcome), "as filtered");
        let path = directory.join(format!("{}-{}-{name}.svg", outcome.scenario, outcome.seed));
        write(&path, &|root| draw(outcome, root))?;
        written.push(path);
    }
    Ok(written)
}

fn make(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .map_err(|error| anyhow!("cannot make {} ({})", directory.display(), plain(&error)))
}

fn write(path: &Path, draw: &dyn Fn(&Canvas<'_>) -> Drawn) -> anyhow::Result<()> {
    let mut svg = String::new();
    paint(draw, &mut svg).map_err(|error| anyhow!("cannot draw {}: {error}", path.display()))?;
    std::fs::write(path, svg).map_err(|error| anyhow!("cannot write {} ({})", path.display(), plain(&error)))
}

fn paint(draw: &dyn Fn(&Canvas<'_>) -> Drawn, svg: &mut String) -> Drawn {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    draw(&root)?;
    root.present()?;
    Ok(())
}

/// What a figure is about, after the run's name.
fn title(outcome: &Outcome, what: &str) -> String {
    format!("{}, seed {}: {what}", outcome.scenario, outcome.seed)
}

/// A number on an axis: no more digits than it has.
fn number(value: &f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Axes with a title.
fn axes<'a, 'b>(
    root: &'a Canvas<'b>,
    title: &str,
    x: Range<f64>,
    y: Range<f64>,
    names: [&str; 2],
) -> Result<Chart<'a, 'b>, Box<dyn Error>> {
    let mut chart = ChartBuilder::on(root)
        .caption(title, ("sans-serif", 20))
        .margin(14)
        .margin_right(30)
        .x_label_area_size(46)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc(names[0])
        .y_desc(names[1])
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .axis_desc_style(("sans-serif", 16))
        .label_style(("sans-serif", 14))
        .bold_line_style(PALE)
        .light_line_style(WHITE)
        .draw()?;
    Ok(chart)
}

/// The legend in a corner.
fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, corner: SeriesLabelPosition) -> Drawn {
    chart
        .configure_series_labels()
        .position(corner)
        .margin(12)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.85))
        .border_style(GREY)
        .draw()?;
    Ok(())
}

#[cfg(test)]
#[path = "figure_tests.rs"]
mod tests;
