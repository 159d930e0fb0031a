//! How much of their uplinks the classes of peers use.

use plotters::prelude::*;

use super::{BLUE, Canvas, Drawn, GREY, RED, legend, title};
use crate::Outcome;

/// A class of peers.
struct Class {
    name: String,
    /// How busy each member's uplink was, in per cent, sorted.
    busy: Vec<f64>,
}

/// The peercaster, consumers by their uplinks, donors.
fn classes(outcome: &Outcome) -> Vec<Class> {
    let mut groups: Vec<(&str, u64)> = outcome
        .rows
        .iter()
        .map(|row| (row.role, row.upload_bps))
        .collect();
    groups.sort_by_key(|(role, bps)| {
        (
            ["source", "consumer", "donor"].iter().position(|r| r == role),
            *bps,
        )
    });
    groups.dedup();
    let rate = outcome.params.stream.rate.as_bps() as f64;
    let class = |(role, bps): (&str, u64)| {
        let members = outcome
            .rows
            .iter()
            .filter(|row| row.role == role && row.upload_bps == bps);
        let mut busy: Vec<f64> = members.map(|row| 100.0 * row.uplink_busy).collect();
        busy.sort_by(f64::total_cmp);
        let name = if role == "source" { "peercaster" } else { role };
        Class {
            name: format!("{name} {:.2}x ({})", bps as f64 / rate, busy.len()),
            busy,
        }
    };
    groups.into_iter().map(class).collect()
}

/// More classes than fit in a row are drawn by somebody who gives each peer an uplink of its own: the widest apart are shown.
const MOST: usize = 12;

pub(super) fn draw(outcome: &Outcome, root: &Canvas<'_>) -> Drawn {
    let mut classes = classes(outcome);
    let apart = classes.len().div_ceil(MOST).max(1);
    classes = classes.into_iter().step_by(apart).collect();
    let names: Vec<String> = classes.iter().map(|class| class.name.clone()).collect();
    let title = title(outcome, "use of the uplinks while present");
    let height = classes.len() as f64;
    let mut chart = ChartBuilder::on(root)
        .caption(&title, ("sans-serif", 20))
        .margin(14)
        .margin_right(30)
        .x_label_area_size(46)
        .y_label_area_size(190)
        .build_cartesian_2d(0.0..100.0, -0.5..height + 0.6)?;
    chart
        .configure_mesh()
        .x_desc("share of the time that the uplink was busy, %")
        .disable_y_mesh()
        .y_labels(0)
        .x_label_formatter(&super::number)
        .axis_desc_style(("sans-serif", 16))
        .label_style(("sans-serif", 14))
        .bold_line_style(super::PALE)
        .light_line_style(WHITE)
        .draw()?;
    // Names beside the bars: the axis itself would have numbers.
    for (n, name) in names.iter().enumerate() {
        let (_, y) = chart.backend_coord(&(0.0, n as f64));
        let style = TextStyle::from(("sans-serif", 15).into_font());
        root.draw(&Text::new(name.clone(), (18, y - 8), style))?;
    }
    let at = |n: usize| n as f64;
    let share = |class: &Class, p: f64| class.busy[((class.busy.len() - 1) as f64 * p).round() as usize];
    let shown = || {
        classes
            .iter()
            .enumerate()
            .filter(|(_, class)| !class.busy.is_empty())
    };
    chart
        .draw_series(shown().map(|(n, class)| {
            let mean = class.busy.iter().sum::<f64>() / class.busy.len() as f64;
            Rectangle::new([(0.0, at(n) - 0.3), (mean, at(n) + 0.3)], BLUE.mix(0.5).filled())
        }))?
        .label("mean of the class")
        .legend(|(x, y)| Rectangle::new([(x + 4, y - 5), (x + 16, y + 5)], BLUE.mix(0.5).filled()));
    chart
        .draw_series(shown().map(|(n, class)| {
            PathElement::new(
                [(share(class, 0.1), at(n)), (share(class, 0.9), at(n))],
                RED.stroke_width(2),
            )
        }))?
        .label("10th to 90th percentile of its peers")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], RED.stroke_width(2)));
    chart.draw_series([PathElement::new([(100.0, -0.5), (100.0, height + 0.6)], GREY)])?;
    legend(&mut chart, SeriesLabelPosition::UpperRight)
}
