//! The connection of each peer: one for each pair, even when both dial at once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
    /// In the place of one whose handshake is still under way: that one decides again when it is over.
    Overtaken,
    /// It was before.
    Already,
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
        Some(verdict(own, old, true))
    }

    /// Registers a connection whose handshake is under way, if there is no other. Nothing that is not proved to come from the
    /// peer now takes a place away.
    pub(super) fn register_early(&mut self, new: &Arc<Link>) -> bool {
        match self.links.entry(new.peer) {
            Entry::Vacant(place) => {
                place.insert(Arc::clone(new));
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Whether it is its peer's current one.
    pub(super) fn has(&self, link: &Arc<Link>) -> bool {
        self.links
            .get(&link.peer)
            .is_some_and(|current| Arc::ptr_eq(current, link))
    }

    pub(super) fn register(&mut self, own: PeerId, new: &Arc<Link>) -> Registered {
        let Some(old) = self.links.get(&new.peer) else {
            self.links.insert(new.peer, Arc::clone(new));
            return Registered::New;
        };
        if Arc::ptr_eq(old, new) {
            return Registered::Already;
        }
        let verdict = verdict(own, old, new.dialled);
        if verdict == Verdict::Yield {
            return Registered::Yielded;
        }
        let old = Arc::clone(old);
        self.links.insert(new.peer, Arc::clone(new));
        match verdict {
            Verdict::Supersede if !old.is_proven() => Registered::Overtaken,
            Verdict::Supersede => Registered::Superseded(old),
            _ => Registered::Replaced(old),
        }
    }

    /// Takes `link` out if it is its peer's current one. Returns whether it was.
    pub(super) fn unregister(&mut self, link: &Arc<Link>) -> bool {
        let current = self.has(link);
        if current {
            self.links.remove(&link.peer);
        }
        current
    }
}

/// What a connection that has just been proved means for the one that there is. One that is not proved yet gives way; if both
/// dialled at once, it has its say when it is.
fn verdict(own: PeerId, old: &Link, new_dialled: bool) -> Verdict {
    match (old.is_proven(), new_dialled) {
        (true, _) => decide(own, old.peer, old.dialled, old.opened.elapsed(), new_dialled),
        (false, true) => Verdict::Supersede,
        (false, false) => Verdict::Replace,
    }
}
