//! The substreams and the neighbours.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use swarm::SubstreamStats;
use wire::message::Role;

use super::format;
use super::render::panel;
use super::state::State;

/// All substreams in two lines: how late each is, and whom it comes from.
pub(super) fn strip(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let substreams = state.substreams();
    let held = substreams.iter().filter(|one| one.parent.is_some()).count();
    let block = panel("").title(Line::from(vec![
        Span::raw(" substreams ").bold(),
        Span::raw(format!("{held}/{} ", substreams.len())),
    ]));
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if substreams.is_empty() {
        frame.render_widget(Paragraph::new(" none yet").dark_gray(), inner);
        return;
    }
    let cell = (usize::from(inner.width) / substreams.len()).clamp(1, 9);
    let mut lags = Vec::new();
    let mut parents = Vec::new();
    for one in substreams {
        let width = if cell > 2 { cell - 1 } else { cell };
        let gap = " ".repeat(cell - width);
        let lag = one
            .lag_ms
            .filter(|_| width >= 3)
            .map(|ms| format!("{ms:.0}"))
            .unwrap_or_default();
        let lag: String = lag.chars().take(width).collect();
        lags.push(Span::styled(
            format!("{lag:^width$}"),
            Style::new().fg(Color::Black).bg(color(one)),
        ));
        lags.push(Span::raw(gap.clone()));
        let parent = one.parent.map(|peer| state.name_of(peer)).unwrap_or_default();
        let parent: String = parent.chars().take(width).collect();
        parents.push(Span::raw(format!("{parent:^width$}{gap}")).dark_gray());
    }
    frame.render_widget(Paragraph::new(vec![Line::from(lags), Line::from(parents)]), inner);
}

/// Green up to what a good network gives, yellow up to what still feels live, red beyond; grey when nothing comes.
fn color(substream: &SubstreamStats) -> Color {
    match (substream.parent, substream.lag_ms) {
        (None, _) => Color::DarkGray,
        (Some(_), None) => Color::Gray,
        (Some(_), Some(ms)) if ms < 250.0 => Color::Green,
        (Some(_), Some(ms)) if ms < 750.0 => Color::Yellow,
        (Some(_), Some(_)) => Color::Red,
    }
}

/// Every substream, one a line.
pub(super) fn substreams(state: &State, scroll: usize, block: Block<'_>, frame: &mut Frame<'_>, area: Rect) {
    let rows = state
        .substreams()
        .iter()
        .enumerate()
        .skip(scroll)
        .map(|(number, one)| {
            Row::new([
                Cell::from(Line::from(number.to_string()).right_aligned()),
                Cell::from("██").fg(color(one)),
                Cell::from(Line::from(format::maybe_ms(one.lag_ms)).right_aligned()),
                Cell::from(
                    one.parent
                        .map_or_else(|| "nobody".into(), |peer| state.name_of(peer)),
                ),
                Cell::from(Line::from(one.hops.to_string()).right_aligned()),
                Cell::from(Line::from(one.children.to_string()).right_aligned()),
            ])
        });
    let widths = [3, 2, 9, 10, 5, 9].map(Constraint::Length);
    let head = Row::new(["no", "", "     lag", "from", " hops", "supplied"]).dark_gray();
    frame.render_widget(
        Table::new(rows, widths)
            .column_spacing(2)
            .header(head)
            .block(block),
        area,
    );
}

/// The table of neighbours.
pub(super) fn neighbours(state: &State, scroll: usize, block: Block<'_>, frame: &mut Frame<'_>, area: Rect) {
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let rows = state.neighbours.iter().skip(scroll).map(|one| {
        let (role, color) = match one.role {
            Role::Peercaster => ("source", Color::Cyan),
            Role::Donor => ("donor", Color::Magenta),
            Role::Consumer => ("viewer", Color::Reset),
            Role::Passive => ("passive", Color::DarkGray),
            Role::Unknown => ("?", Color::DarkGray),
        };
        Row::new([
            Cell::from(one.peer.short()),
            Cell::from(role).fg(color),
            Cell::from(one.addr.to_string()),
            right(format::ms(one.rtt_ms)),
            right(short_rate(one.in_bps)),
            right(short_rate(one.out_bps)),
            Cell::from(format::runs(one.supplies.iter().map(|s| s.0))).green(),
            Cell::from(format::runs(one.supplied.iter().map(|s| s.0))).blue(),
        ])
    });
    let widths = [
        Constraint::Length(8),
        Constraint::Length(7),
        // An IPv6 address may be cut; the peer tells who it is.
        Constraint::Length(21),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Fill(3),
        Constraint::Fill(2),
    ];
    let head = Row::new([
        "peer", "role", "address", "    rtt", " in k/s", "out k/s", "gives", "takes",
    ])
    .dark_gray();
    frame.render_widget(Table::new(rows, widths).header(head).block(block), area);
}

/// Kilobits a second without the unit, which stands above.
fn short_rate(bps: f64) -> String {
    if bps < 1.0 {
        "–".into()
    } else {
        format!("{:.0}", bps / 1e3)
    }
}
