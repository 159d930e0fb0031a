//! Each peer's mean lag against its distance from the peercaster.

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREEN, GREY, RED, axes, legend, title};
use crate::{Outcome, PeerRow};

/// A peer as a point; `None` if it has no such lag.
type Point = fn(&PeerRow) -> Option<f64>;

pub(super) fn draw(outcome: &Outcome, root: &Canvas<'_>) -> Drawn {
    let series: [(&str, &str, RGBColor, Point); 3] = [
        ("consumer", "playout lag of consumers", RED, |row| {
            row.lag_ms.map(|(mean, _)| mean)
        }),
        ("consumer", "arrival lag of consumers", BLUE, |row| row.arrival_ms),
        ("donor", "arrival lag of donors", GREEN, |row| row.arrival_ms),
    ];
    let points = |role: &'static str, lag: Point| {
        let rows = outcome.rows.iter().filter(move |row| row.role == role);
        rows.filter_map(move |row| Some((row.distance_ms, lag(row)?)))
    };
    let all: Vec<(f64, f64)> = series
        .iter()
        .flat_map(|(role, _, _, lag)| points(role, *lag))
        .collect();
    let far = all.iter().map(|(x, _)| *x).fold(10.0, f64::max) * 1.05;
    // Some stragglers would press all others together; the top is room for the legend.
    let mut lags: Vec<f64> = all.iter().map(|(_, y)| *y).collect();
    lags.sort_by(f64::total_cmp);
    let late = lags.get(lags.len() * 99 / 100).copied().unwrap_or(100.0) * 1.5;
    let title = title(outcome, "each peer's mean lag and its distance");
    let names = [
        "one way from the peercaster, ms",
        "mean lag from the chunk's first byte, ms",
    ];
    let mut chart = axes(root, &title, 0.0..far, 0.0..late, names)?;
    for (role, name, colour, lag) in series {
        let mut shown = points(role, lag).filter(|(_, y)| *y <= late / 1.2).peekable();
        if shown.peek().is_none() {
            continue;
        }
        chart
            .draw_series(shown.map(|at| Circle::new(at, 2, colour.mix(0.7).filled())))?
            .label(name)
            .legend(move |(x, y)| Circle::new((x + 10, y), 4, colour.filled()));
    }
    let least = outcome.params.stream.chunk_ms;
    chart
        .draw_series(LineSeries::new(
            [(0.0, least), (far, far + least)],
            GREY.stroke_width(1),
        ))?
        .label("the way alone, and the chunk's duration")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], GREY));
    legend(&mut chart, SeriesLabelPosition::UpperLeft)
}
