//! Chunk exchange, playout and the [`Node`] that owns every core, without input or output.
//!
//! A driver owns sockets and clocks: it calls [`Node::handle`] with what happened, [`Node::handle_deadline`] when
//! [`Node::next_deadline`] has come, and after each call does what the outbox says. The program (tokio, QUIC) and the
//! simulator (virtual time) are two such drivers of the same node.

mod allowance;
mod clock;
mod config;
mod io;
mod neighbour;
mod node;
mod playout;
mod stats;
mod stream;
mod uplink;
mod window;

pub use allowance::{Allowance, Meter};
pub use config::{NodeConfig, Preference, RING_AFTER, SPLIT_ABOVE, members_expected};
pub use io::{
    Class, Event, Input, NewChunk, Outbox, Output, Participation, PlayoutWish, Rejection, TrackingChange,
    Wanting,
};
pub use node::{Ledger, Node, RING_CONNECTIONS};
pub use stats::{LinkStats, MAX_AUDIENCE, NodeStats, RingStats, StreamStats, SubstreamStats, TrustStats};
