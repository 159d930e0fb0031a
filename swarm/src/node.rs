//! The node.

use wire::Time;

use crate::{Input, NodeConfig, NodeStats, Outbox};

/// A peer of the overlay: owns every core and translates between them.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
}

impl Node {
    /// A node that knows nobody yet. `now` is its clock at this moment.
    pub fn new(config: NodeConfig, now: Time) -> Self {
        let _ = now;
        Node { config }
    }

    /// Acts on something that happened.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Outbox) {
        let _ = (now, input, out, &self.config);
    }

    /// Acts on time having passed. Call when [`Node::next_deadline`] has come; calling it early does no harm.
    pub fn handle_deadline(&mut self, now: Time, out: &mut Outbox) {
        let _ = (now, out);
    }

    /// When [`Node::handle_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// Counters and state for people. Not for the hot path.
    pub fn stats(&self, now: Time) -> NodeStats {
        let _ = now;
        NodeStats::default()
    }
}
