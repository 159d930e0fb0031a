//! Vivaldi network coordinates and the closed H-index: pure maths.
//!
//! Distances are round-trip times in milliseconds, as `f64`.

pub mod coord;
pub mod hcurve;
pub mod vivaldi;

pub use coord::{Coord, InvalidCoord};
pub use vivaldi::Vivaldi;
