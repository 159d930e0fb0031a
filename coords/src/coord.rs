//! A point of the delay space.

use serde::{Deserialize, Serialize};

/// Half the side of the delay space, in milliseconds: x and y lie in ±512 ms.
///
/// The square is fixed, because a position on the ring is a cell of it and everybody must mean the same cell.
/// 1024 ms across exceeds every round trip of the measured matrices (675 ms at most on PlanetLab), and a
/// power of two makes the mapping to cells exact.
pub const HALF_SIDE_MS: f64 = 512.0;

/// A peer's place in the delay space: a point of the plane (the wide-area part of a delay) and a height above
/// it (the access link, which every packet crosses whatever its direction).
///
/// Read from outside (serde, [`Coord::checked`]) it is always finite, inside ±[`HALF_SIDE_MS`] and of a
/// height in 0..=[`HALF_SIDE_MS`]. The fields are public for reading and for literals in the program itself.
///
/// Source: Dabek, Cox, Kaashoek, Morris, "Vivaldi: a decentralized network coordinate system", SIGCOMM 2004
/// (height vectors).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct Coord {
    /// First planar component, milliseconds, ±512.
    pub x_ms: f64,
    /// Second planar component, milliseconds, ±512.
    pub y_ms: f64,
    /// Height above the plane, milliseconds, 0 to 512.
    pub height_ms: f64,
}

/// Why three numbers are no coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCoord {
    /// One of them is NaN or infinite.
    #[error("a coordinate component is not a finite number")]
    NotFinite,
    /// The height is below zero: a negative access delay.
    #[error("a coordinate's height is negative")]
    NegativeHeight,
}

impl Coord {
    /// The middle of the square: where a peer that knows nothing yet is.
    pub const ORIGIN: Self = Self {
        x_ms: 0.0,
        y_ms: 0.0,
        height_ms: 0.0,
    };

    /// Makes a coordinate of numbers that come from outside. What lies outside the space is moved to its
    /// edge.
    ///
    /// # Errors
    /// [`InvalidCoord`] when a component is NaN or infinite or the height is negative.
    pub fn checked(x_ms: f64, y_ms: f64, height_ms: f64) -> Result<Self, InvalidCoord> {
        if !(x_ms.is_finite() && y_ms.is_finite() && height_ms.is_finite()) {
            return Err(InvalidCoord::NotFinite);
        }
        if height_ms < 0.0 {
            return Err(InvalidCoord::NegativeHeight);
        }
        Ok(Self {
            x_ms,
            y_ms,
            height_ms,
        }
        .clamped(0.0))
    }

    /// The nearest point of the space whose height is at least `height_min_ms`.
    pub(crate) fn clamped(self, height_min_ms: f64) -> Self {
        Self {
            x_ms: self.x_ms.clamp(-HALF_SIDE_MS, HALF_SIDE_MS),
            y_ms: self.y_ms.clamp(-HALF_SIDE_MS, HALF_SIDE_MS),
            height_ms: self.height_ms.clamp(height_min_ms, HALF_SIDE_MS),
        }
    }

    /// Whether every component is finite and inside the space. False only for a literal that broke the rule.
    pub(crate) fn is_valid(&self) -> bool {
        // Comparisons with NaN are false, so this also refuses NaN.
        self.x_ms.abs() <= HALF_SIDE_MS
            && self.y_ms.abs() <= HALF_SIDE_MS
            && (0.0..=HALF_SIDE_MS).contains(&self.height_ms)
    }
}

/// The predicted round trip between two peers, milliseconds: the planar distance and both heights.
pub fn distance_ms(a: &Coord, b: &Coord) -> f64 {
    planar_distance_ms(a, b) + a.height_ms + b.height_ms
}

/// The distance of the two points in the plane, without the heights, milliseconds.
pub fn planar_distance_ms(a: &Coord, b: &Coord) -> f64 {
    let (dx, dy) = (a.x_ms - b.x_ms, a.y_ms - b.y_ms);
    // Not `hypot`: its last bit differs between platforms, and the same seed must give the same run
    // everywhere.
    (dx * dx + dy * dy).sqrt()
}

/// The same three numbers before they are checked.
#[derive(Deserialize)]
#[serde(rename = "Coord")]
struct Raw {
    x_ms: f64,
    y_ms: f64,
    height_ms: f64,
}

impl TryFrom<Raw> for Coord {
    type Error = InvalidCoord;

    fn try_from(raw: Raw) -> Result<Self, InvalidCoord> {
        Self::checked(raw.x_ms, raw.y_ms, raw.height_ms)
    }
}

#[cfg(test)]
mod tests;
