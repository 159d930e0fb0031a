//! The top of the screen: title, state, link and where to open the picture.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::format;
use super::state::{Phase, State};

/// Longer titles than this are cut even on the widest screen.
const TITLE_MAX: usize = 100;

pub(super) fn draw(state: &State, frame: &mut Frame<'_>, area: Rect) {
    let [first, second, third] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
    let status = state_line(state);
    let [left, right] = Layout::horizontal([
        Constraint::Fill(1),
        Constraint::Length(u16::try_from(status.width()).unwrap_or(u16::MAX)),
    ])
    .areas(first);
    let bar = Style::new().bg(Color::Blue).fg(Color::White);
    let title = format::clean(&state.title, TITLE_MAX);
    let name = Line::from(vec![
        Span::raw(" headwater ").bold(),
        Span::raw(if title.is_empty() {
            String::new()
        } else {
            format!("· {title}")
        }),
    ]);
    frame.render_widget(Paragraph::new(name).style(bar), left);
    frame.render_widget(
        Paragraph::new(status).alignment(Alignment::Right).style(bar),
        right,
    );
    frame.render_widget(link_line(state, second.width), second);
    frame.render_widget(picture_line(state), third);
}

/// What is going on, and for how long.
pub(super) fn state_line(state: &State) -> Line<'static> {
    let (sign, text, color) = match &state.phase {
        Phase::Joining => ("◌", "joining", Color::Yellow),
        Phase::Playing => ("●", "playing", Color::LightGreen),
        Phase::Waiting(_) => ("◌", "waiting", Color::Yellow),
        Phase::Ended => ("■", "ended", Color::White),
    };
    Line::from(vec![
        Span::styled(format!(" {sign} {text} "), Style::new().fg(color).bold()),
        Span::raw(format!("{} ", format::clock(state.elapsed))),
    ])
}

fn link_line(state: &State, width: u16) -> Paragraph<'static> {
    let link = format::clean(&state.link, 4096);
    let room = usize::from(width).saturating_sub(7);
    // The id tells streams apart by its beginning.
    let shown = if link.chars().count() > room {
        let cut: String = link.chars().take(room.saturating_sub(1)).collect();
        format!("{cut}…")
    } else {
        link
    };
    Paragraph::new(Line::from(vec![
        Span::raw(" link ").dark_gray(),
        Span::raw(shown),
    ]))
}

fn picture_line(state: &State) -> Paragraph<'static> {
    if let Phase::Waiting(why) = &state.phase {
        return Paragraph::new(Line::from(format!(" {}", format::clean(why, 300))).yellow());
    }
    let line = match state.outputs.iter().find_map(|output| output.url.as_deref()) {
        Some(url) => vec![
            Span::raw(" open ").dark_gray(),
            Span::raw(format!("mpv {url}")).cyan().bold(),
            Span::raw("  (or vlc, ffplay)").dark_gray(),
        ],
        None => {
            let names: Vec<String> = state
                .outputs
                .iter()
                .map(|output| format::clean(&output.name, 40))
                .collect();
            let text = if names.is_empty() {
                "nowhere: statistics only".into()
            } else {
                names.join(", ")
            };
            vec![Span::raw(" to   ").dark_gray(), Span::raw(text)]
        }
    };
    Paragraph::new(Line::from(line))
}
