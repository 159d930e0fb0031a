//! What keys do.

use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use swarm::{PlayoutWish, Preference};

use super::State;

/// What the user looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Which pane has the lower part of the screen.
    pub tab: Tab,
    /// Whether the list of keys is shown.
    pub help: bool,
    /// Lines that the pane is scrolled by.
    pub scroll: usize,
}

/// The panes that share the lower part of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    /// Peers this node is connected to.
    #[default]
    Neighbours,
    /// Each substream with its supplier.
    Substreams,
    /// Where the picture goes.
    Outputs,
    /// The log.
    Log,
}

impl Tab {
    pub(super) const ALL: [Tab; 4] = [Tab::Neighbours, Tab::Substreams, Tab::Outputs, Tab::Log];

    pub(super) fn title(self) -> &'static str {
        match self {
            Tab::Neighbours => "neighbours",
            Tab::Substreams => "substreams",
            Tab::Outputs => "outputs",
            Tab::Log => "log",
        }
    }

    fn step(self, by: usize) -> Tab {
        let at = Tab::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        Tab::ALL[(at + by) % Tab::ALL.len()]
    }
}

/// What a key asks of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Leave, the stream was seen.
    Quit,
    /// Ctrl-C.
    Interrupt,
    /// Play in another way from now on.
    Wish(PlayoutWish),
}

/// A press of + or - moves the target by this much: two or three chunks, a step one can see.
const LAG_STEP: Duration = Duration::from_millis(25);

/// Targets that keys can reach. Below, no network keeps up; above, use `--target-lag`.
const LAG_MIN: Duration = Duration::from_millis(25);
const LAG_MAX: Duration = Duration::from_secs(30);

/// Acts on a key: changes the view, or tells what the program is to do.
pub(super) fn handle(key: KeyEvent, view: &mut View, state: &State) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Interrupt);
    }
    let was_help = std::mem::take(&mut view.help);
    match key.code {
        KeyCode::Char('q') => return Some(Action::Quit),
        // It closes what is open first.
        KeyCode::Esc if was_help => {}
        KeyCode::Esc => return Some(Action::Quit),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => view.help = !was_help,
        KeyCode::Tab | KeyCode::Right => select(view, view.tab.step(1)),
        KeyCode::BackTab | KeyCode::Left => select(view, view.tab.step(Tab::ALL.len() - 1)),
        KeyCode::Char('l') => {
            let back = if view.tab == Tab::Log {
                Tab::Neighbours
            } else {
                Tab::Log
            };
            select(view, back);
        }
        KeyCode::Down | KeyCode::Char('j') => view.scroll = (view.scroll + 1).min(rows(view.tab, state)),
        KeyCode::Up | KeyCode::Char('k') => view.scroll = view.scroll.saturating_sub(1),
        KeyCode::PageDown => view.scroll = (view.scroll + 10).min(rows(view.tab, state)),
        KeyCode::PageUp => view.scroll = view.scroll.saturating_sub(10),
        KeyCode::Home => view.scroll = 0,
        KeyCode::Char('+' | '=') => return Some(move_target(state, true)),
        KeyCode::Char('-' | '_') => return Some(move_target(state, false)),
        KeyCode::Char('a' | '0') => {
            return Some(Action::Wish(PlayoutWish {
                target_lag: None,
                ..state.wish
            }));
        }
        KeyCode::Char('p') => {
            let prefer = match state.wish.prefer {
                Preference::Live => Preference::Balanced,
                Preference::Balanced => Preference::Smooth,
                Preference::Smooth => Preference::Live,
            };
            return Some(Action::Wish(PlayoutWish { prefer, ..state.wish }));
        }
        _ => view.help = was_help,
    }
    None
}

/// How far there is something to scroll to.
fn rows(tab: Tab, state: &State) -> usize {
    let rows = match tab {
        Tab::Neighbours => state.neighbours.len(),
        Tab::Substreams => state.substreams().len(),
        Tab::Outputs => state.outputs.len(),
        Tab::Log => state.log.last(usize::MAX).len(),
    };
    rows.saturating_sub(1)
}

fn select(view: &mut View, tab: Tab) {
    *view = View {
        tab,
        ..View::default()
    };
}

/// From an adaptive target, the first step starts at where playout is.
fn move_target(state: &State, up: bool) -> Action {
    let now = state.wish.target_lag.unwrap_or_else(|| {
        let ms = state.stats.target_lag_ms.or(state.stats.lag_ms).unwrap_or(200.0);
        let step = LAG_STEP.as_millis() as f64;
        Duration::from_millis(((ms / step).round() * step).clamp(0.0, 1e6) as u64)
    });
    let next = if up {
        now + LAG_STEP
    } else {
        now.saturating_sub(LAG_STEP)
    };
    Action::Wish(PlayoutWish {
        target_lag: Some(next.clamp(LAG_MIN, LAG_MAX)),
        ..state.wish
    })
}
