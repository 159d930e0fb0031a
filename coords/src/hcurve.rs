//! The closed H-index: a closed curve through every cell of a square, which makes a ring of the delay space.
//!
//! Cells that are d apart lie at least (d² + 2) / 4 steps apart along the ring: whoever is far in the plane
//! is far on the ring. It is the best such bound known for a closed curve, and the reason for this curve
//! instead of Hilbert's: the latter is open (its ends would be strangers) and stretches more.
//!
//! Source: Niedermeier, Reinhardt, Sanders, "Towards optimal locality in mesh-indexings", Discrete Applied
//! Mathematics 117 (2002). Of its symmetric images we froze the one that starts (0,0), (0,1) and ends in
//! (1,0).
//!
//! # How it is computed
//! The square is two right triangles, the second being the first turned by 180°. A triangle of side n is four
//! of side n/2: itself, one mirrored in y and walked backwards, one mirrored in x and walked backwards, and
//! itself again. So an index is one bit for the half, then one base-4 digit a level, then one bit for the two
//! cells of the smallest triangle. Walking backwards complements all further index bits, a mirror all further
//! bits of that component: each is one bit of state, and a level costs a few operations without arithmetic on
//! the numbers themselves.

use crate::coord::{Coord, HALF_SIDE_MS};

/// The number of levels: the grid has 2^k cells a side, k in 0..=32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Order(u8);

impl Order {
    /// The order of the ring: 2^32 cells a side (0.24 ns of delay each), whose 2^64 indices are exactly the
    /// `u64`.
    pub const RING: Self = Self(32);

    /// `k` levels; `None` above 32, where an index no longer fits `u64`.
    pub const fn new(k: u8) -> Option<Self> {
        if k <= 32 { Some(Self(k)) } else { None }
    }

    /// The number of levels.
    pub const fn k(self) -> u8 {
        self.0
    }
}

/// The position of cell (x, y) along the curve, 0 to 4^k − 1. Only the low k bits of `x` and `y` count.
pub fn index_of(order: Order, x: u32, y: u32) -> u64 {
    let k = u32::from(order.0);
    if k == 0 {
        return 0;
    }
    let mut mask = side_mask(k);
    let (mut x, mut y) = (x & mask, y & mask);
    // All ones while the walk is backwards.
    let mut backwards = 0u64;
    let second_half = x > (y & !1);
    if second_half {
        (x, y) = (x ^ mask, y ^ mask);
    }
    let mut index = u64::from(second_half);
    for level in (1..k).rev() {
        let (x_high, y_high) = ((x >> level) & 1, (y >> level) & 1);
        mask >>= 1;
        (x, y) = (x & mask, y & mask);
        // The two middle triangles share a quadrant; its anti-diagonal parts them.
        let below = u32::from(x <= ((y ^ mask) & !1));
        let middle = y_high & !x_high;
        let lower = middle & below;
        let upper = middle & !below;
        let quarter = lower | (upper << 1) | ((x_high & y_high) * 3);
        index = (index << 2) | ((u64::from(quarter) ^ backwards) & 3);
        y ^= lower.wrapping_neg() & mask;
        x ^= upper.wrapping_neg() & mask;
        backwards ^= u64::from(middle).wrapping_neg();
    }
    (index << 1) | ((u64::from(y) ^ backwards) & 1)
}

/// The cell (x, y) at a position along the curve. Only the low 2k bits of `index` count.
pub fn cell_at(order: Order, index: u64) -> (u32, u32) {
    let k = u32::from(order.0);
    if k == 0 {
        return (0, 0);
    }
    let second_half = ((index >> (2 * k - 1)) & 1) as u32;
    // All ones while that component is mirrored, or the walk is backwards.
    let (mut mirror_x, mut mirror_y) = (second_half.wrapping_neg(), second_half.wrapping_neg());
    let mut backwards = 0u32;
    let (mut x, mut y) = (0u32, 0u32);
    for level in (1..k).rev() {
        let quarter = ((index >> (2 * level - 1)) as u32 ^ backwards) & 3;
        let (low, high) = (quarter & 1, quarter >> 1);
        x = (x << 1) | ((low & high) ^ (mirror_x & 1));
        y = (y << 1) | ((low | high) ^ (mirror_y & 1));
        mirror_y ^= (low & !high).wrapping_neg();
        mirror_x ^= (high & !low).wrapping_neg();
        backwards ^= (low ^ high).wrapping_neg();
    }
    let last = (index as u32 ^ backwards) & 1;
    ((x << 1) | (mirror_x & 1), (y << 1) | (last ^ (mirror_y & 1)))
}

/// Cells in a millisecond: 2^32 over 1024 ms, a power of two, so scaling is exact.
const CELLS_PER_MS: f64 = (1u64 << 32) as f64 / (2.0 * HALF_SIDE_MS);

/// A coordinate's position on the ring: the index, at [`Order::RING`], of the cell it lies in. The height
/// does not count: it is the same in every direction.
pub fn position_of(coord: &Coord) -> u64 {
    // The cast saturates, so the upper edge, and whatever lies outside, belongs to the outermost cell.
    let cell = |ms: f64| ((ms + HALF_SIDE_MS) * CELLS_PER_MS) as u32;
    index_of(Order::RING, cell(coord.x_ms), cell(coord.y_ms))
}

/// The lower left corner, at height 0, of the cell at a position of the ring: `position_of(&coord_at(p)) ==
/// p`.
pub fn coord_at(position: u64) -> Coord {
    let (x, y) = cell_at(Order::RING, position);
    let ms = |cell: u32| f64::from(cell) / CELLS_PER_MS - HALF_SIDE_MS;
    Coord {
        x_ms: ms(x),
        y_ms: ms(y),
        height_ms: 0.0,
    }
}

/// The k low bits, k in 1..=32.
fn side_mask(k: u32) -> u32 {
    u32::MAX >> (32 - k)
}

#[cfg(test)]
mod tests;
