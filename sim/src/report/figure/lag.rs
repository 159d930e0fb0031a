//! The cumulative distributions of the lags, with the bound.

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREEN, GREY, PINK, RED, YELLOW, axes, legend, title};
use crate::Outcome;

pub(super) fn draw(outcome: &Outcome, root: &Canvas<'_>) -> Drawn {
    let [arrival, playout] = &outcome.curves;
    let bound = outcome.bound_ms;
    let mut curves = vec![
        ("arrival lag".to_owned(), BLUE, arrival),
        ("playout lag".to_owned(), RED, playout),
    ];
    for ((name, curve), colour) in outcome.others.iter().zip([GREEN, PINK, YELLOW]) {
        curves.push((format!("playout lag, {name}"), colour, curve));
    }
    // To the point where nearly all has arrived; the last hundredth may reach far beyond.
    let most = curves
        .iter()
        .flat_map(|(_, _, curve)| curve.iter())
        .filter(|(_, share)| *share <= 0.995)
        .map(|(lag, _)| *lag)
        .chain(bound.map(|b| b.max))
        .fold(100.0, f64::max);
    // The curves of baselines rise where the legend is.
    let room = if outcome.others.is_empty() { 1.05 } else { 1.5 };
    let consumers = outcome.results.get("headwater").map_or(0, |r| r.consumers.peers);
    let title = title(outcome, &format!("lag of {consumers} consumers' chunks"));
    let names = ["lag from the chunk's first byte, ms", "share of chunks"];
    let mut chart = axes(root, &title, 0.0..most * room, 0.0..1.0, names)?;
    for (name, colour, curve) in curves {
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
                GREY.stroke_width(1),
            ))?
            .label(format!("{name}: {lag:.0} ms"))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], GREY));
    }
    legend(&mut chart, SeriesLabelPosition::LowerRight)
}
