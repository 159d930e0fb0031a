//! The connection of each peer: one for each pair, even when both dial at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use quic::{Verdict, decide};
use wire::PeerId;

use super::link::Link;

/// What became of a new connection.
#[derive(Debug)]
pub(super) enum Registered {
    /// The peer's only connection.
    New,
    /// See [`Verdict`]; with the old connection.
    Superseded(Arc<Link>),
    /// See [`Verdict`]; with the old connection.
    Replaced(Arc<Link>),
    /// Not registered: the old one stays.
    Yielded,
}

/// The current connection of each peer.
#[derive(Debug, Default)]
pub(super) struct Table {
    links: BTreeMap<PeerId, Arc<Link>>,
}

impl Table {
    pub(super) fn get(&self, peer: &PeerId) -> Option<&Arc<Link>> {
        self.links.get(peer)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.values()
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    /// What would become of a connection that this side has just dialled; `None` if it is the first.
    pub(super) fn verdict_on_dialled(&self, own: PeerId, peer: PeerId) -> Option<Verdict> {
        let old = self.links.get(&peer)?;
        Some(decide(own, peer, old.dialled, old.opened.elapsed(), true))
    }

    pub(super) fn register(&mut self, own: PeerId, new: &Arc<Link>) -> Registered {
        let Some(old) = self.links.get(&new.peer) else {
            self.links.insert(new.peer, Arc::clone(new));
            return Registered::New;
        };
        let verdict = decide(own, new.peer, old.dialled, old.opened.elapsed(), new.dialled);
        if verdict == Verdict::Yield {
            return Registered::Yielded;
        }
        let old = Arc::clone(old);
        self.links.insert(new.peer, Arc::clone(new));
        match verdict {
            Verdict::Supersede => Registered::Superseded(old),
            _ => Registered::Replaced(old),
        }
    }

    /// Takes `link` out if it is its peer's current one. Returns whether it was.
    pub(super) fn unregister(&mut self, link: &Arc<Link>) -> bool {
        let current = self
            .links
            .get(&link.peer)
            .is_some_and(|current| Arc::ptr_eq(current, link));
        if current {
            self.links.remove(&link.peer);
        }
        current
    }
}
