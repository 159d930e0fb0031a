//! Where a peer is: Vivaldi network coordinates, and the closed H-index that makes a ring of them. Pure maths.
//!
//! Distances are round-trip times in milliseconds, as `f64`; for a one-way delay take half.
//!
//! **Architecture invariants.** This crate knows no other crate of the workspace, no clock, no socket and no peer:
//! a neighbour is a number. It uses only operations that give the same bits on every platform (no sine, no
//! `hypot`), so the same seed and samples give the same coordinates everywhere. Whatever a remote peer reports
//! neither panics nor puts a coordinate outside the space.
//!
//! ```
//! use headwater_coords::hcurve::position_of;
//! use headwater_coords::vivaldi::{Config, Probe, Vivaldi};
//! use headwater_coords::Coord;
//!
//! let mut vivaldi = Vivaldi::new(Config::default(), 42);
//! // Four settled peers, probed in parallel, give a first coordinate...
//! let probe = |x, y, rtt_ms| Probe {
//!     remote: Coord::checked(x, y, 2.0).unwrap(),
//!     remote_error: 0.1,
//!     rtt_ms,
//! };
//! let probes =
//!     [probe(30.0, 0.0, 35.0), probe(0.0, 40.0, 45.0), probe(-50.0, 0.0, 55.0), probe(0.0, -60.0, 65.0)];
//! assert!(vivaldi.join(&probes));
//! assert!((vivaldi.predict_ms(&probes[2].remote) - 55.0).abs() < 1.0);
//! // ...which every later sample of any neighbour improves.
//! vivaldi.observe(7, Coord::checked(80.0, 10.0, 1.0).unwrap(), 0.2, 85.0);
//! // Its place on the ring moves only when the published coordinate does.
//! let position: u64 = position_of(&vivaldi.published());
//! # assert_ne!(position, 0);
//! ```

pub mod coord;
pub mod estimate;
pub mod hcurve;
pub mod vivaldi;

pub use coord::{Coord, InvalidCoord};
pub use estimate::{Estimate, Estimator};
pub use vivaldi::Vivaldi;
