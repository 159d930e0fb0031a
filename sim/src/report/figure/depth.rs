//! How deep the tree of each substream is.

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREY, RED, axes, legend, title};
use crate::Outcome;

/// Hops below which a share of the arrivals is.
fn quantile(counts: &[u64], share: f64) -> f64 {
    let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil().max(1.0) as u64;
    let mut seen = 0;
    let at = counts.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    at.unwrap_or(0) as f64
}

pub(super) fn draw(outcome: &Outcome, root: &Canvas<'_>) -> Drawn {
    let depths = &outcome.depths;
    let deepest = depths.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let title = title(outcome, "hops from the peercaster, by substream");
    // A quarter more is room for the legend.
    let width = depths.len() as f64;
    let mut chart = axes(
        root,
        &title,
        -0.6..width - 0.4,
        0.0..(deepest + 1.0) * 1.25,
        ["substream", "hops of the chunks that arrived"],
    )?;
    let at = |n: usize| n as f64;
    let counted = || {
        depths
            .iter()
            .enumerate()
            .filter(|(_, counts)| counts.iter().any(|n| *n > 0))
    };
    chart
        .draw_series(counted().map(|(n, counts)| {
            let (low, high) = (quantile(counts, 0.1), quantile(counts, 0.9));
            Rectangle::new(
                [(at(n) - 0.3, low - 0.08), (at(n) + 0.3, high + 0.08)],
                BLUE.mix(0.35).filled(),
            )
        }))?
        .label("from the 10th to the 90th percentile")
        .legend(|(x, y)| Rectangle::new([(x + 4, y - 5), (x + 16, y + 5)], BLUE.mix(0.35).filled()));
    chart
        .draw_series(counted().map(|(n, counts)| {
            let sum: f64 = counts
                .iter()
                .enumerate()
                .map(|(hops, n)| hops as f64 * *n as f64)
                .sum();
            let mean = sum / counts.iter().sum::<u64>() as f64;
            PathElement::new([(at(n) - 0.3, mean), (at(n) + 0.3, mean)], BLUE.stroke_width(3))
        }))?
        .label("mean")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], BLUE.stroke_width(3)));
    chart
        .draw_series(counted().map(|(n, counts)| {
            let most = counts.iter().rposition(|n| *n > 0).unwrap_or(0) as f64;
            TriangleMarker::new((at(n), most), 6, RED.filled())
        }))?
        .label("most")
        .legend(|(x, y)| TriangleMarker::new((x + 10, y), 6, RED.filled()));
    chart.draw_series([PathElement::new(
        [(-0.6, 1.0), (width - 0.4, 1.0)],
        GREY.stroke_width(1),
    )])?;
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}
