//! Members through which a peer that is none itself asks the ring.

use wire::PeerId;
use wire::message::RingNode;

/// Most entries remembered: of sixteen that stay for ten minutes on average one is still there after twenty minutes in nine of ten
/// cases, and asking all of them one after the other takes seconds.
const MAX_ENTRIES: usize = 16;

/// Known members, those that answered last first.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    nodes: Vec<RingNode>,
}

impl Entries {
    /// Adds one that is only named. When there are many it takes the place of the last, so that names alone push nobody out
    /// who has answered.
    pub(crate) fn know(&mut self, node: &RingNode) {
        if let Some(known) = self.nodes.iter_mut().find(|known| known.peer == node.peer) {
            *known = node.clone();
            return;
        }
        self.nodes.truncate(MAX_ENTRIES - 1);
        self.nodes.push(node.clone());
    }

    /// One has answered.
    pub(crate) fn answered(&mut self, peer: PeerId) {
        if let Some(at) = self.nodes.iter().position(|node| node.peer == peer) {
            self.nodes[..=at].rotate_right(1);
        }
    }

    /// One has not: it is asked last, and is the first to be forgotten.
    pub(crate) fn failed(&mut self, peer: PeerId) {
        if let Some(at) = self.nodes.iter().position(|node| node.peer == peer) {
            self.nodes[at..].rotate_left(1);
        }
    }

    /// One is a member no more.
    pub(crate) fn remove(&mut self, peer: PeerId) {
        self.nodes.retain(|node| node.peer != peer);
    }

    /// All of them, in the order in which they are asked.
    pub(crate) fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests;
