//! Where on the ring a peer is, and what comes after what.

use coords::Coord;
use coords::hcurve;
use wire::PeerId;
use wire::message::RingNode;

use crate::Way;

/// A peer's place on the ring: its position, and its id for the case that another peer has the same position.
///
/// The order of places is that of positions from 0, then of ids. A ring has no beginning, so for most purposes the
/// question is [`Place::is_between`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Position on the H-curve of 2^64 cells, which is closed: 0 follows [`u64::MAX`].
    pub position: u64,
    /// Who is there.
    pub peer: PeerId,
}

impl Place {
    /// The place of `peer` at `coord`. The height does not count: it is the same in every direction.
    pub fn new(peer: PeerId, coord: &Coord) -> Self {
        Place {
            position: hcurve::position_of(coord),
            peer,
        }
    }

    /// The place of a node.
    pub fn of(node: &RingNode) -> Self {
        Place {
            position: node.position(),
            peer: node.peer,
        }
    }

    /// Whether someone who walks from `start` in a direction comes by `first` before coming here.
    pub fn comes_after(&self, way: Way, start: &Place, first: &Place) -> bool {
        match way {
            Way::Up => first.is_between(start, self),
            Way::Down => first.is_between(self, start),
        }
    }

    /// Steps along the ring from here to `other`, upwards and over the top: 0 to 2^64 − 1. Zero if the positions are
    /// equal, also for different peers.
    pub const fn arc_to(&self, other: &Place) -> u64 {
        other.position.wrapping_sub(self.position)
    }

    /// Steps from here to `other` downwards.
    pub const fn arc_back_to(&self, other: &Place) -> u64 {
        self.position.wrapping_sub(other.position)
    }

    /// Steps to `other` in the direction in which there are fewer: at most 2^63.
    pub fn distance(&self, other: &Place) -> u64 {
        self.arc_to(other).min(self.arc_back_to(other))
    }

    /// Whether someone who walks upwards from `after` comes by here before `before`; neither end counts. From a place
    /// once around to itself everybody else is between.
    pub fn is_between(&self, after: &Place, before: &Place) -> bool {
        if after < before {
            after < self && self < before
        } else {
            after < self || self < before
        }
    }
}

#[cfg(test)]
mod tests;
