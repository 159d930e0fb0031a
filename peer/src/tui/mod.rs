//! The terminal interface: what one viewer's node is doing, in a terminal.
//!
//! [`State`] is what is known, [`View`] what the user looks at, [`render`] draws one as the other asks: pure, so a test
//! draws into memory. [`Interface`] owns the terminal on a thread of its own: a terminal that is stopped or slow blocks
//! that thread and nothing else.

pub(crate) mod format;
mod header;
mod history;
mod keys;
mod panes;
mod render;
mod state;
mod swarm_panes;
mod terminal;

pub use history::History;
pub use keys::{Action, Tab, View};
pub use render::render;
pub use state::{Phase, State, Step};
pub use terminal::Interface;

#[cfg(test)]
mod tests;
