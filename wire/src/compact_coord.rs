//! A coordinate in six bytes instead of fifty: lists of peers are most of what a tracker sends.
//!
//! Two signed and one unsigned number of 16 bits, big-endian, in units of 1/32 ms: the space reaches to ±512 ms, and
//! 0.03 ms is far below what a round trip can be measured to.

use coords::Coord;
use serde::de::Error;
use serde::{Deserializer, Serializer};

/// Units in a millisecond.
const UNITS: f64 = 32.0;

/// Writes the coordinate as `bin`.
pub(crate) fn serialize<S: Serializer>(coord: &Coord, serializer: S) -> Result<S::Ok, S::Error> {
    let (x, y, height) = units(coord);
    let mut bytes = [0; 6];
    bytes[..2].copy_from_slice(&x.to_be_bytes());
    bytes[2..4].copy_from_slice(&y.to_be_bytes());
    bytes[4..].copy_from_slice(&height.to_be_bytes());
    serializer.serialize_bytes(&bytes)
}

fn units(coord: &Coord) -> (i16, i16, u16) {
    let signed = |ms: f64| {
        (ms * UNITS)
            .round()
            .clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
    };
    let height = (coord.height_ms * UNITS).round().clamp(0.0, f64::from(u16::MAX)) as u16;
    (signed(coord.x_ms), signed(coord.y_ms), height)
}

/// The coordinate as whoever reads it will have it.
pub(crate) fn rounded(coord: &Coord) -> Coord {
    let (x, y, height) = units(coord);
    Coord {
        x_ms: f64::from(x) / UNITS,
        y_ms: f64::from(y) / UNITS,
        height_ms: f64::from(height) / UNITS,
    }
}

/// Reads it; whatever the bytes are, the coordinate is inside the space.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Coord, D::Error> {
    let [x0, x1, y0, y1, h0, h1] = crate::bytes32::deserialize(deserializer)?;
    let signed = |bytes| f64::from(i16::from_be_bytes(bytes)) / UNITS;
    let height_ms = f64::from(u16::from_be_bytes([h0, h1])) / UNITS;
    Coord::checked(signed([x0, x1]), signed([y0, y1]), height_ms).map_err(D::Error::custom)
}
