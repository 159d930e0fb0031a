//! Continuity over time, and how many were watching.

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREY, RED, axes, legend, title};
use crate::{Moment, Outcome};

pub(super) fn draw(outcome: &Outcome, root: &Canvas<'_>) -> Drawn {
    let moments: Vec<&Moment> = outcome.timeline.iter().filter(|moment| moment.due > 0).collect();
    let (from, to) = match (moments.first(), moments.last()) {
        (Some(first), Some(last)) => (first.at_s, last.at_s + 0.5),
        _ => (0.0, 1.0),
    };
    let share = |moment: &Moment| moment.in_time as f64 / moment.due as f64;
    // Above 1 is room for the legend; enough room below the worst to see it, and never less than a hundredth in all.
    let worst = moments.iter().map(|moment| share(moment)).fold(1.0, f64::min);
    let low = (1.0 - (1.0 - worst) * 1.15).clamp(0.0, 0.99);
    let most = moments.iter().map(|moment| moment.watching).max().unwrap_or(0);
    let title = title(outcome, "continuity over time");
    let names = [
        "time at which chunks were made, s",
        "chunks played in time, of those due",
    ];
    let mut chart = axes(root, &title, from..to, low..1.0 + (1.0 - low) * 0.3, names)?;
    // The number of viewers on the same height: it has no scale of its own, but the legend says what is the most.
    let height = |watching: u64| low + (1.0 - low) * watching as f64 / most.max(1) as f64;
    chart
        .draw_series(LineSeries::new(
            moments
                .iter()
                .map(|moment| (moment.at_s, height(moment.watching))),
            GREY.mix(0.6).stroke_width(1),
        ))?
        .label(format!("viewers that play; the top is {most}, the bottom none"))
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], GREY.mix(0.6)));
    chart
        .draw_series(LineSeries::new(
            moments.iter().map(|moment| (moment.at_s, share(moment))),
            BLUE.stroke_width(2),
        ))?
        .label("continuity, all viewers, each quarter of a second")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLUE.stroke_width(2)));
    let mut events: Vec<f64> = outcome.params.faults.iter().map(|fault| fault.at_s()).collect();
    events.retain(|at| (from..to).contains(at));
    if !events.is_empty() {
        let lines = events
            .into_iter()
            .map(|at| PathElement::new([(at, low), (at, 1.0)], RED.stroke_width(1)));
        chart
            .draw_series(lines)?
            .label("a fault of the scenario")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], RED));
    }
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}
