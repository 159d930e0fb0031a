//! The nearest neighbours on the ring, as one member sees them.

use wire::PeerId;
use wire::message::{MAX_RING_LIST, RingNode};

use crate::way::Both;
use crate::{Place, Way};

/// A member of the ring with its nearest neighbours in both directions.
#[derive(Clone, Debug, PartialEq)]
pub struct Ring {
    me: Place,
    lists: Both<Neighbours>,
}

/// The next members in one direction, the nearest first.
#[derive(Clone, Debug, Default, PartialEq)]
struct Neighbours {
    /// Worked out once: a place takes longer to compute than to compare.
    places: Vec<Place>,
    nodes: Vec<RingNode>,
}

impl Neighbours {
    fn remove(&mut self, peer: PeerId) -> bool {
        let Some(at) = self.places.iter().position(|place| place.peer == peer) else {
            return false;
        };
        self.places.remove(at);
        self.nodes.remove(at);
        true
    }
}

impl Ring {
    /// The ring that a peer starts: nobody else is there, so every walk ends where it began and every position is its own.
    pub fn of_one(me: &RingNode) -> Self {
        Ring {
            me: Place::of(me),
            lists: Both::default(),
        }
    }

    /// This member.
    pub fn me(&self) -> Place {
        self.me
    }

    /// The next members in a direction, the nearest first; at most [`MAX_RING_LIST`]. In a ring with fewer members both
    /// lists name all of them.
    pub fn list(&self, way: Way) -> &[RingNode] {
        &self.lists[way].nodes
    }

    /// Where those in the list are on the ring.
    pub(crate) fn places(&self, way: Way) -> &[Place] {
        &self.lists[way].places
    }

    /// The next member in a direction; `None` for who is alone.
    pub fn next(&self, way: Way) -> Option<&RingNode> {
        self.lists[way].nodes.first()
    }

    /// Whether this node is in one of the lists.
    pub fn holds(&self, peer: PeerId) -> bool {
        Way::BOTH
            .into_iter()
            .any(|way| self.lists[way].places.iter().any(|place| place.peer == peer))
    }

    /// Where a place would be in a list, if it is near enough for it.
    fn slot(&self, way: Way, place: &Place) -> Option<usize> {
        let places = &self.lists[way].places;
        let at = places.partition_point(|held| place.comes_after(way, &self.me, held));
        (at < MAX_RING_LIST).then_some(at)
    }

    /// Whether this node is not in the lists and would be taken into one.
    pub fn lacks(&self, node: &RingNode) -> bool {
        if node.peer == self.me.peer || self.holds(node.peer) {
            return false;
        }
        self.has_room_for(&Place::of(node))
    }

    /// Whether a place is near enough for one of the lists.
    pub(crate) fn has_room_for(&self, place: &Place) -> bool {
        Way::BOTH.into_iter().any(|way| self.slot(way, place).is_some())
    }

    /// Those of the nodes, not yet in the lists, that would be in them if all of the nodes were there: as many as there is room for,
    /// the nearest.
    pub(crate) fn wanted<'a>(&self, nodes: &[&'a RingNode]) -> Vec<&'a RingNode> {
        let new: Vec<&RingNode> = nodes.iter().copied().filter(|node| self.lacks(node)).collect();
        let mut then = self.clone();
        for node in &new {
            then.insert(node);
        }
        new.into_iter().filter(|node| then.holds(node.peer)).collect()
    }

    /// Takes a node that is known to be there into the lists, as far as it is near enough. Whether they changed.
    pub fn insert(&mut self, node: &RingNode) -> bool {
        let place = Place::of(node);
        if place.peer == self.me.peer {
            return false;
        }
        let mut changed = false;
        for way in Way::BOTH {
            let list = &mut self.lists[way];
            if let Some(at) = list.places.iter().position(|held| held.peer == place.peer) {
                if list.places[at] == place {
                    // It may be reached somewhere else now.
                    list.nodes[at].addrs = node.addrs.clone();
                    continue;
                }
                // It has moved in the delay space.
                list.remove(place.peer);
                changed = true;
            }
            if let Some(at) = self.slot(way, &place) {
                let list = &mut self.lists[way];
                list.places.insert(at, place);
                list.nodes.insert(at, node.clone());
                list.places.truncate(MAX_RING_LIST);
                list.nodes.truncate(MAX_RING_LIST);
                changed = true;
            }
        }
        changed
    }

    /// Forgets a node. Whether it was in the lists.
    pub fn remove(&mut self, peer: PeerId) -> bool {
        let [up, down] = Way::BOTH.map(|way| self.lists[way].remove(peer));
        up || down
    }
}

#[cfg(test)]
mod tests;
