//! The distributed overlay anycast table: a ring of peers ordered along the H-curve.
//!
//! The ring is the delay space laid out on a line (see [`coords::hcurve`]), so that who is near on the ring is near in
//! delay, and a query for a stream's local tracker that walks the ring outwards finds a near one first (the paper, §4).
//!
//! [`Doat`] is one member, or a peer on its way in: a value that takes messages and the time and says what to send. It
//! knows no socket and no clock. A network of one is a ring of one: the first peercaster starts it and needs nothing else.
//!
//! # For the node
//!
//! Every node owns a [`Doat`], member or not. A node that is none [`know`](Doat::know)s some members, or other nodes of the
//! overlay, and asks through them: [`Doat::find`], [`Doat::seek`] and [`Doat::place_lease`] work the same, and questions of
//! others are passed on to them, so that a newcomer may ask any node. It becomes a member with [`Doat::start`] or
//! [`Doat::join`], moves with [`Doat::move_to`], and goes with [`Doat::leave`].
//!
//! [`Output::Send`] goes to a peer on the connection that there is, or on a new one to the addresses given; if there is none and
//! no address, or dialling fails, or the connection is lost with messages under way, [`Doat::on_unreachable`] is told.
//!
//! Where this departs from the paper's text, it is because of what was measured: fingers are chosen by rank along the ring,
//! not by distance on the curve; a member tells others of a tracker whenever it is the first *here*; look-ups run in both
//! directions; and a filter's false positive shrinks the arc that is searched instead of starting a loop.

mod entries;
mod filter;
mod leases;
mod levels;
mod look;
mod news;
mod node;
mod pending;
mod place;
pub mod race;
mod ring;
mod search;
mod siblings;
mod upkeep;
mod way;

pub use filter::Filter;
pub use leases::{LEASE, LeaseError};
pub use look::closest;
pub use node::{Doat, Event, Outbox, Output};
pub use place::Place;
pub use race::Race;
pub use ring::Ring;
pub use siblings::siblings;
pub use way::Way;
