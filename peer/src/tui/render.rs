//! Lays the panes out for the size of the terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};
use swarm::Preference;

use super::keys::{Tab, View};
use super::state::{Phase, State};
use super::{format, header, panes, swarm_panes};

/// Below this there is no room for frames: a few lines say the most important things.
const PANES_MIN: (u16, u16) = (50, 14);
/// From here on the log has a place of its own below the chosen pane.
const TALL: u16 = 34;
/// From here on what is above each other stands side by side.
const WIDE: u16 = 120;

/// Draws everything. Pure: what is drawn depends on `state`, `view` and the frame's size alone.
pub fn render(state: &State, view: &View, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < PANES_MIN.0 || area.height < PANES_MIN.1 {
        return tiny(state, frame, area);
    }
    let strip_height = if area.height < 20 { 0 } else { 4 };
    let [top, middle, strip, bottom, keys] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(middle_height(area)),
        Constraint::Length(strip_height),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header::draw(state, frame, top);
    upper(state, frame, middle);
    swarm_panes::strip(state, frame, strip);
    lower(state, view, frame, bottom);
    frame.render_widget(key_line(state, area.width), keys);
    if view.help {
        help(frame, area);
    }
}

fn middle_height(area: Rect) -> u16 {
    match area.height {
        0..20 => 5,
        // Graph and figures in five lines each.
        20..28 => 7,
        // The graph gets a third of a tall screen.
        height => (height / 3).clamp(9, 17),
    }
}

fn upper(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let side = if area.width >= WIDE { 46 } else { 34 };
    let [graph, figures] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(side)]).areas(area);
    panes::graph(state, frame, graph);
    panes::side(state, frame, figures);
}

fn lower(state: &State, view: &View, frame: &mut Frame<'_>, area: Rect) {
    let screen = frame.area();
    let with_log = screen.height >= TALL && view.tab != Tab::Log;
    if !with_log {
        return pane(state, view, frame, area);
    }
    if screen.width >= WIDE {
        // The neighbours' table is as wide as it needs; the log takes what is left.
        let [left, right] = Layout::horizontal([
            Constraint::Length(100.min(screen.width * 3 / 5)),
            Constraint::Fill(1),
        ])
        .areas(area);
        pane(state, view, frame, left);
        panes::log(state, 0, panel("log"), frame, right);
    } else {
        let [above, below] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(area);
        pane(state, view, frame, above);
        panes::log(state, 0, panel("log"), frame, below);
    }
}

/// The chosen pane, with the tabs as its title.
fn pane(state: &State, view: &View, frame: &mut Frame<'_>, area: Rect) {
    let mut title = vec![Span::raw(" ")];
    for tab in Tab::ALL {
        let mut text = tab.title().to_owned();
        if tab == Tab::Neighbours {
            text = format!("{text} {}", state.neighbours.len());
        }
        let style = if tab == view.tab {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        } else {
            Style::new().dark_gray()
        };
        title.extend([Span::styled(text, style), Span::raw("  ")]);
    }
    let block = panel("").title(Line::from(title));
    match view.tab {
        Tab::Neighbours => swarm_panes::neighbours(state, view.scroll, block, frame, area),
        Tab::Substreams => swarm_panes::substreams(state, view.scroll, block, frame, area),
        Tab::Outputs => panes::outputs(state, view.scroll, block, frame, area),
        Tab::Log => panes::log(state, view.scroll, block, frame, area),
    }
}

/// A pane's frame.
pub(super) fn panel(title: &str) -> Block<'_> {
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(Style::new().dark_gray());
    if title.is_empty() {
        block
    } else {
        block.title(Line::from(format!(" {title} ")).bold())
    }
}

pub(super) fn preference(prefer: Preference) -> &'static str {
    match prefer {
        Preference::Live => "live",
        Preference::Balanced => "balanced",
        Preference::Smooth => "smooth",
    }
}

fn key_line(state: &State, width: u16) -> Paragraph<'static> {
    let key = |key: &'static str, does: String| {
        [
            Span::raw(" "),
            Span::raw(key).bold().cyan(),
            Span::raw(format!(" {does} ")).dark_gray(),
        ]
    };
    let mut spans = Vec::new();
    if let Some(notice) = state.current_notice() {
        spans.push(Span::raw(format!(" {} ", format::clean(notice, 60))).yellow());
    }
    for (name, does) in [
        ("q", "quit".to_owned()),
        ("?", "help".to_owned()),
        ("tab", "next pane".to_owned()),
        ("+/-", "target lag".to_owned()),
        ("p", format!("prefer {}", preference(state.wish.prefer))),
        ("l", "log".to_owned()),
    ] {
        let next = key(name, does);
        let taken: usize = spans.iter().chain(&next).map(Span::width).sum();
        // A key that is cut off in the middle helps nobody.
        if taken <= usize::from(width) {
            spans.extend(next);
        }
    }
    Paragraph::new(Line::from(spans))
}

const HELP: &[(&str, &str)] = &[
    ("q, Esc", "quit"),
    ("Ctrl-C", "interrupt"),
    ("tab, arrows", "next or previous pane"),
    ("j k, PgUp PgDn", "scroll the pane"),
    ("+ -", "target lag 25 ms up or down"),
    ("a", "target lag automatic"),
    ("p", "prefer live, balanced, smooth"),
    ("l", "log, and back"),
    ("?", "this list"),
];

fn help(frame: &mut Frame<'_>, area: Rect) {
    let width = 52.min(area.width);
    let height = (HELP.len() as u16 + 2).min(area.height);
    let at = Rect {
        x: (area.width - width) / 2,
        y: (area.height - height) / 2,
        width,
        height,
    };
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, does)| {
            Line::from(vec![
                Span::raw(format!("  {key:<16}")).bold().cyan(),
                Span::raw(*does),
            ])
        })
        .collect();
    frame.render_widget(Clear, at);
    frame.render_widget(
        Paragraph::new(lines).block(panel("keys").border_style(Style::new().cyan())),
        at,
    );
}

fn tiny(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let lag = format!("lag {}", format::maybe_ms(state.stats.lag_ms));
    let mut lines = vec![
        header::state_line(state),
        Line::from(lag),
        Line::from(format!(
            "continuity {}",
            format::percent(state.stats.continuity())
        )),
        Line::from(format!(
            "peers {}  in {}",
            state.neighbours.len(),
            format::rate(state.in_bps)
        )),
    ];
    if let Some(url) = state.outputs.iter().find_map(|output| output.url.as_deref()) {
        lines.insert(1, Line::from(url.to_owned()).cyan());
    }
    if let Phase::Waiting(why) = &state.phase {
        lines.insert(1, Line::from(format::clean(why, 200)).yellow());
    }
    frame.render_widget(Paragraph::new(lines), area);
}
