//! The graph of lag and continuity, the figures beside it, the outputs and the log.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Axis, Block, Cell, Chart, Dataset, GraphType, LegendPosition, LineGauge, Paragraph, Row, Sparkline,
    SparklineBar, Table,
};
use swarm::TrustStats;
use tracing::Level;

use super::format;
use super::history::Point;
use super::render::{panel, preference};
use super::state::State;

/// Lag and continuity over the last minutes.
pub(super) fn graph(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let title = Line::from(vec![
        Span::raw(" lag ").bold(),
        Span::raw(format::maybe_ms(state.stats.lag_ms)).cyan().bold(),
        Span::raw("  arrival ").dark_gray(),
        Span::raw(format::maybe_ms(state.stats.arrival_ms)).green(),
        Span::raw("  target ").dark_gray(),
        Span::raw(format!("{} ", format::maybe_ms(state.stats.target_lag_ms))),
    ]);
    let block = panel("").title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    if state.history.is_empty() {
        frame.render_widget(Paragraph::new(" measuring…").dark_gray(), inner);
        return;
    }
    let [chart, strip] = if inner.height >= 4 {
        Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(inner)
    } else {
        [inner, Rect::ZERO]
    };
    lag_chart(state, frame, chart);
    continuity_strip(state, frame, strip);
}

/// Columns on the left of the graph that the labels take.
const LABELS: u16 = 8;

fn lag_chart(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let seconds = seconds_shown(area);
    let points: Vec<&Point> = state.history.last(seconds).collect();
    let series = |value: fn(&Point) -> Option<f64>| -> Vec<Vec<(f64, f64)>> {
        let start = seconds - points.len();
        let at = |index: usize| (start + index) as f64 - (seconds - 1) as f64;
        // A second without a value breaks the line.
        let runs = points.split(|point| value(point).is_none());
        let mut index = 0;
        let mut lines = Vec::new();
        for run in runs {
            let line = run
                .iter()
                .enumerate()
                .filter_map(|(n, point)| Some((at(index + n), value(point)?)));
            lines.push(line.collect());
            index += run.len() + 1;
        }
        lines
    };
    let (lag, arrival) = (series(|point| point.lag_ms), series(|point| point.arrival_ms));
    let highest = lag
        .iter()
        .chain(&arrival)
        .flatten()
        .map(|&(_, ms)| ms)
        .fold(0.0, f64::max);
    let top = round_up(highest);
    let set = |data, color| {
        Dataset::default()
            .data(data)
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(Style::new().fg(color))
    };
    let lines = arrival
        .iter()
        .map(|line| set(line, Color::Green))
        .chain(lag.iter().map(|line| set(line, Color::Cyan)));
    let label = |ms: f64| Line::from(format!("{:>6} ", format::ms(ms))).dark_gray();
    let chart = Chart::new(lines.collect())
        .legend_position(None::<LegendPosition>)
        .x_axis(Axis::default().bounds([-((seconds - 1) as f64), 0.0]))
        .y_axis(
            Axis::default()
                .bounds([0.0, top])
                .labels([label(0.0), label(top / 2.0), label(top)])
                .style(Style::new().dark_gray()),
        );
    frame.render_widget(chart, area);
}

/// One column holds one second of continuity, and the chart above has the same width.
fn seconds_shown(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(LABELS)).max(2)
}

/// The next higher of 1, 2, 5 times a power of ten, at least 50 ms: a scale that stays while the lag wanders.
fn round_up(ms: f64) -> f64 {
    let scales = (1..=8).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    scales
        .filter(|&scale| scale >= 50.0)
        .find(|&scale| scale >= ms)
        .unwrap_or(1e9)
}

/// A column for each second: full and green when everything was in time, the lower and redder the more was missing.
fn continuity_strip(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let [label, bars] = Layout::horizontal([Constraint::Length(LABELS), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(" intime ").dark_gray(), label);
    let count = usize::from(bars.width);
    let empty = count.saturating_sub(state.history.len());
    let blank = (0..empty).map(|_| SparklineBar::from(None::<u64>));
    let points = state.history.last(count).map(|point| match point.continuity {
        None => SparklineBar::from(None::<u64>),
        Some(share) if share >= 1.0 => SparklineBar::from(8).style(Some(Style::new().green())),
        // A second with a single chunk missing must be seen.
        Some(share) => SparklineBar::from((share * 7.0).floor().max(1.0) as u64).style(Some(
            Style::new().fg(if share >= 0.99 { Color::Yellow } else { Color::Red }),
        )),
    });
    let bars_data: Vec<SparklineBar> = blank.chain(points).collect();
    let strip = Sparkline::default()
        .data(bars_data)
        .max(8)
        .absent_value_symbol(" ");
    frame.render_widget(strip, bars);
}

/// Start-up, continuity, buffer and rates.
pub(super) fn side(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let block = panel("start-up");
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let shown = || {
        let steps = state.steps.iter();
        steps.filter(|step| step.done.is_some() || !step.optional)
    };
    let mut lines: Vec<Line<'_>> = shown().map(step_line).collect();
    // On a low screen the start-up is a matter of the first seconds, the rest of always.
    let started = shown().all(|step| step.done.is_some());
    if started && usize::from(inner.height) < lines.len() + 5 {
        lines.drain(..lines.len() - 1);
    }
    // What is still to come is seen on a low screen, too.
    let room = usize::from(inner.height).saturating_sub(2).max(1);
    lines.drain(..lines.len().saturating_sub(room));
    let stats = &state.stats;
    let lost = stats.chunks_missed + stats.chunks_late;
    let lost = if lost > 0 {
        format!("  {lost} missed")
    } else {
        String::new()
    };
    let figure = |name: &'static str, value: String| {
        Line::from(vec![
            Span::raw(format!(" {name:<11}")).dark_gray(),
            Span::raw(value),
        ])
    };
    let continuity = stats.continuity();
    let color = match continuity {
        c if c >= 0.999 => Color::Green,
        c if c >= 0.99 => Color::Yellow,
        _ => Color::Red,
    };
    lines.push(Line::from(vec![
        Span::raw(format!(" {:<11}", "continuity")).dark_gray(),
        Span::styled(
            format::percent(continuity),
            Style::new().fg(color).add_modifier(Modifier::BOLD),
        ),
        Span::raw(lost).dark_gray(),
    ]));
    let [text, gauge, rest] = Layout::vertical([
        Constraint::Length(lines.len() as u16),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(inner);
    frame.render_widget(Paragraph::new(lines), text);
    buffer_gauge(state, frame, gauge);
    let media = stats.info.as_ref().map(|info| info.rate.as_bps() as f64);
    let mut more = vec![
        figure("in", format::rate(state.in_bps)),
        figure("out", format::rate(state.out_bps)),
        figure("stream", media.map_or_else(|| "–".into(), format::rate)),
        figure("prefer", preference(state.wish.prefer).to_owned()),
        figure("slots", format!("{} of {} in use", stats.slots_used, stats.slots)),
        figure(
            "missed",
            format!("{} lost, {} late", stats.chunks_missed, stats.chunks_late),
        ),
        figure("received", format::bytes(stats.bytes_in)),
        figure("sent", format::bytes(stats.bytes_out)),
        figure("duplicates", share(stats.bytes_duplicate, stats.bytes_in)),
        figure(
            "control",
            share(state.control.0, stats.bytes_in + stats.bytes_out),
        ),
    ];
    if state.shortage {
        let lacking = format!(
            "too little for all: {} of {} substreams",
            stats.no_room,
            stats.substreams.len()
        );
        more.insert(0, figure("upload", lacking).yellow());
    }
    if let Some(trust) = state.trust {
        more.push(figure("owed to you", earned(trust)));
        more.push(figure("you owe", format::bytes(trust.owed_by_me)));
    }
    if let Some(error) = stats.clock_error_ms {
        more.push(figure("clock", format!("± {}", format::ms(error))));
    }
    if let Some((peer, _, members)) = stats.tracker {
        more.push(figure(
            "tracker",
            format!("{}, {members} peers", state.name_of(peer)),
        ));
    }
    if state.ring.member {
        more.push(figure("ring", format!("member, {} entries", state.ring.entries)));
    }
    more.push(figure("this peer", state.peer.short()));
    frame.render_widget(Paragraph::new(more), rest);
}

/// What the user gave and may still take, in words: most of it, all of it or none of it here.
fn earned(trust: TrustStats) -> String {
    let all = format::bytes(trust.owed_to_me);
    let mut words = match trust.spendable {
        0 => all,
        here if here == trust.owed_to_me => format!("{all} here"),
        here => format!("{all}, {} here", format::bytes(here)),
    };
    if trust.shifts > 0 {
        words += ", moving";
    }
    words
}

fn step_line(step: &super::Step) -> Line<'static> {
    match step.done {
        Some(at) => Line::from(vec![
            Span::raw(" ✔ ").green(),
            Span::raw(format!("{:<13}", step.name)),
            Span::raw(format!("{:>7.3} s", at.as_secs_f64())).dark_gray(),
        ]),
        None => Line::from(vec![Span::raw(" ○ ").yellow(), Span::raw(step.name).dark_gray()]),
    }
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        "–".into()
    } else {
        format!("{:.1} %", part as f64 * 100.0 / whole as f64)
    }
}

/// Full at twice the target: the buffer is what the target keeps it at, and a little more or less.
fn buffer_gauge(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let buffer = f64::from(state.stats.buffer_ms);
    let full = (state.stats.target_lag_ms.unwrap_or(250.0) * 2.0).max(100.0);
    let label = Line::from(vec![
        Span::raw(" buffer     ").dark_gray(),
        Span::raw(format!("{:<7}", format::ms(buffer))),
    ]);
    let color = if buffer > 0.0 { Color::Blue } else { Color::Red };
    let gauge = LineGauge::default()
        .label(label)
        .filled_symbol("█")
        .unfilled_symbol("░")
        .ratio((buffer / full).clamp(0.0, 1.0))
        .filled_style(Style::new().fg(color))
        .unfilled_style(Style::new().dark_gray());
    frame.render_widget(gauge, area);
}

/// Where the picture goes.
pub(super) fn outputs(state: &State, scroll: usize, block: Block<'_>, frame: &mut Frame<'_>, area: Rect) {
    let rows = state.outputs.iter().skip(scroll).map(|output| {
        let (doing, color) = match (&output.failure, output.closed, output.players) {
            (Some(_), ..) => ("failed".to_owned(), Color::Red),
            (None, true, _) => ("ended".to_owned(), Color::DarkGray),
            (None, false, 0) => ("no player".to_owned(), Color::Yellow),
            (None, false, 1) => ("open".to_owned(), Color::Green),
            (None, false, players) => (format!("{players} players"), Color::Green),
        };
        let name = output.url.as_deref().unwrap_or(&output.name);
        let remark = match (&output.failure, output.skipped) {
            (Some(failure), _) => format::clean(failure, 200),
            (None, 0) => String::new(),
            (None, skipped) => format!("{skipped} chunks left out: it does not follow"),
        };
        Row::new([
            Cell::from(format::clean(name, 80)),
            Cell::from(doing).fg(color),
            Cell::from(format::bytes(output.bytes)),
            Cell::from(remark).yellow(),
        ])
    });
    let widths = [
        Constraint::Min(32),
        Constraint::Length(10),
        Constraint::Length(10),
        Constraint::Fill(1),
    ];
    let table = Table::new(rows, widths)
        .header(Row::new(["output", "state", "written", ""]).dark_gray())
        .block(block);
    frame.render_widget(table, area);
}

/// The log's newest lines, `scroll` lines back.
pub(super) fn log(state: &State, scroll: usize, block: Block<'_>, frame: &mut Frame<'_>, area: Rect) {
    let room = usize::from(block.inner(area).height);
    let all = state.log.last(room.saturating_add(scroll));
    let lines: Vec<Line<'_>> = all
        .iter()
        .take(room)
        .map(|line| {
            let (sign, color) = match line.level {
                Level::ERROR => ("✖", Color::Red),
                Level::WARN => ("!", Color::Yellow),
                Level::INFO => ("·", Color::Reset),
                _ => (" ", Color::DarkGray),
            };
            Line::from(vec![
                Span::styled(format!(" {sign} "), Style::new().fg(color)),
                Span::styled(format::clean(&line.text, 400), Style::new().fg(color)),
            ])
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
