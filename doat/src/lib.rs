//! The distributed overlay anycast table: a ring of peers ordered along the H-curve.
//!
//! The ring is the delay space laid out on a line (see [`coords::hcurve`]), so that who is near on the ring is near in
//! delay, and a query for a stream's local tracker that walks the ring outwards finds a near one first (the paper, §4).
//!
//! What is here so far is the order of the ring and a membership of one. A network of one is a ring of one: the first
//! peercaster starts it and needs nothing else.

mod place;
mod ring;

pub use place::Place;
pub use ring::{LIST, Ring};
