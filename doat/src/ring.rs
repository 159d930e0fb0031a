//! The ring as one member sees it.

use coords::Coord;
use wire::PeerId;

use crate::Place;

/// Most neighbours remembered in each direction. With half of all members gone at once, all eight of a list are gone in
/// one case of 256.
pub const LIST: usize = 8;

/// A member of the ring with its nearest neighbours in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    me: Place,
    successors: Vec<Place>,
    predecessors: Vec<Place>,
}

impl Ring {
    /// The ring that `peer` starts: it is its own successor and predecessor, so every walk ends where it began and
    /// every position is its own.
    pub fn of_one(peer: PeerId, coord: &Coord) -> Self {
        let me = Place::new(peer, coord);
        Ring {
            me,
            successors: vec![me],
            predecessors: vec![me],
        }
    }

    /// This member.
    pub fn me(&self) -> Place {
        self.me
    }

    /// The next members upwards, the nearest first; 1 to [`LIST`]. In a ring with fewer members than that, the last is
    /// this one.
    pub fn successors(&self) -> &[Place] {
        &self.successors
    }

    /// The next members downwards, likewise.
    pub fn predecessors(&self) -> &[Place] {
        &self.predecessors
    }
}

#[cfg(test)]
mod tests;
