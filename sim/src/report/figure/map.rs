//! The overlay in the delay space: who has the first substream from whom.

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREEN, GREY, RED, title};
use crate::{Outcome, Spot};

pub(super) fn draw(outcome: &Outcome, root: &Canvas<'_>) -> Drawn {
    let spots = &outcome.map;
    let bound = |value: fn(&Spot) -> f64| {
        let values = || spots.iter().map(value);
        let (low, high) = (
            values().fold(f64::MAX, f64::min),
            values().fold(f64::MIN, f64::max),
        );
        let margin = ((high - low) * 0.04).max(1.0);
        low - margin..high + margin
    };
    let (x, y) = (bound(|spot| spot.x_ms), bound(|spot| spot.y_ms));
    // Room for the legend.
    let y = y.start..y.end + (y.end - y.start) * 0.28;
    let title = title(outcome, "the tree of substream 0 at the end of the run");
    let mut chart = super::axes(
        root,
        &title,
        x,
        y,
        ["one-way delay along x, ms", "one-way delay along y, ms"],
    )?;
    let at = |spot: &Spot| (spot.x_ms, spot.y_ms);
    let edges = spots.iter().filter_map(|spot| {
        let parent = spots.iter().find(|other| Some(other.number) == spot.parent)?;
        Some((spot, parent))
    });
    chart
        .draw_series(edges.map(|(spot, parent)| {
            // What comes from the peercaster itself stands out.
            let style = if parent.role == "source" {
                RED.mix(0.8).stroke_width(2)
            } else {
                GREY.mix(0.45).stroke_width(1)
            };
            PathElement::new([at(parent), at(spot)], style)
        }))?
        .label("from its supplier (thick: from the peercaster)")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], GREY.mix(0.6)));
    for (role, name, colour, size) in [
        ("consumer", "consumers", BLUE, 2),
        ("donor", "donors", GREEN, 4),
        ("source", "peercaster", RED, 7),
    ] {
        let mut of_role = spots.iter().filter(|spot| spot.role == role).peekable();
        if of_role.peek().is_some() {
            chart
                .draw_series(of_role.map(|spot| Circle::new(at(spot), size, colour.filled())))?
                .label(name)
                .legend(move |(x, y)| Circle::new((x + 10, y), size.max(3), colour.filled()));
        }
    }
    super::legend(&mut chart, SeriesLabelPosition::UpperRight)
}
