//! The 4x4 transform of H.264 and its quantiser (ITU-T H.264, 8.5), both ways.
//!
//! Blocks are in raster order. The forward direction is the customary one (the standard fixes only the inverse).

/// A 4x4 block.
pub(super) type Block = [i32; 16];

/// Raster position of each coefficient in scan order (figure 8-8).
pub(super) const ZIGZAG: [usize; 16] = [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15];

/// Forward quantiser by qp % 6, for positions (even, even), (odd, odd) and the rest.
const FORWARD: [[i32; 3]; 6] = [
    [13107, 5243, 8066],
    [11916, 4660, 7490],
    [10082, 4194, 6554],
    [9362, 3647, 5825],
    [8192, 3355, 5243],
    [7282, 2893, 4559],
];

/// Inverse quantiser (normAdjust4x4, 8.5.9) in the same order.
const INVERSE: [[i32; 3]; 6] = [
    [10, 16, 13],
    [11, 18, 14],
    [13, 20, 16],
    [14, 23, 18],
    [16, 25, 20],
    [18, 29, 23],
];

/// QP of chroma for luma QP 30 and up (table 8-15).
const CHROMA_QP: [u8; 22] = [
    29, 30, 31, 32, 32, 33, 34, 34, 35, 35, 36, 36, 37, 37, 37, 38, 38, 38, 39, 39, 39, 39,
];

fn chroma_qp(qp: u8) -> u8 {
    qp.checked_sub(30)
        .map_or(qp, |above| CHROMA_QP[usize::from(above).min(CHROMA_QP.len() - 1)])
}

/// Which of the three quantiser entries a position uses.
fn class(position: usize) -> usize {
    match (position % 4 % 2, position / 4 % 2) {
        (0, 0) => 0,
        (1, 1) => 1,
        _ => 2,
    }
}

/// One quantiser setting. `intra` rounds a little more towards larger levels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quantiser {
    qp: u8,
    intra: bool,
}

impl Quantiser {
    pub(super) fn new(qp: u8, intra: bool) -> Self {
        Quantiser { qp, intra }
    }

    /// The setting that goes with this one for chroma.
    pub(super) fn for_chroma(self) -> Self {
        Quantiser {
            qp: chroma_qp(self.qp),
            ..self
        }
    }

    fn quantise(self, value: i32, class: usize, extra_bits: u32) -> i32 {
        let shift = 15 + u32::from(self.qp / 6) + extra_bits;
        let rounding = (1_i64 << shift) / if self.intra { 3 } else { 6 };
        let factor = i64::from(FORWARD[usize::from(self.qp % 6)][class]);
        let level = (i64::from(value.abs()) * factor + rounding) >> shift;
        level as i32 * value.signum()
    }

    fn factor(self, class: usize) -> i32 {
        INVERSE[usize::from(self.qp % 6)][class]
    }

    /// Coefficients to levels.
    pub(super) fn levels(self, coefficients: &Block) -> Block {
        if *coefficients == [0; 16] {
            return [0; 16];
        }
        std::array::from_fn(|i| self.quantise(coefficients[i], class(i), 0))
    }

    /// Levels to coefficients (8.5.12.1).
    pub(super) fn coefficients(self, levels: &Block) -> Block {
        if *levels == [0; 16] {
            return [0; 16];
        }
        std::array::from_fn(|i| (levels[i] * self.factor(class(i))) << (self.qp / 6))
    }

    /// DC coefficients of the sixteen blocks of an Intra16x16 macroblock, in raster order, to levels.
    pub(super) fn luma_dc_levels(self, dc: &Block) -> Block {
        hadamard(dc).map(|value| self.quantise((value + 1) >> 1, 0, 1))
    }

    /// And back (8.5.10).
    pub(super) fn luma_dc(self, levels: &Block) -> Block {
        let scale = 16 * self.factor(0);
        let period = u32::from(self.qp / 6);
        hadamard(levels).map(|value| {
            if period >= 6 {
                (value * scale) << (period - 6)
            } else {
                (value * scale + (1 << (5 - period))) >> (6 - period)
            }
        })
    }

    /// DC coefficients of the four blocks of a chroma plane to levels.
    pub(super) fn chroma_dc_levels(self, dc: &[i32; 4]) -> [i32; 4] {
        hadamard_2x2(dc).map(|value| self.quantise(value, 0, 1))
    }

    /// And back (8.5.11).
    pub(super) fn chroma_dc(self, levels: &[i32; 4]) -> [i32; 4] {
        let scale = 16 * self.factor(0);
        hadamard_2x2(levels).map(|value| ((value * scale) << (self.qp / 6)) >> 5)
    }
}

fn hadamard_2x2(&[a, b, c, d]: &[i32; 4]) -> [i32; 4] {
    [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
}

/// Applies `f` to each row, then to each column.
fn rows_then_columns(block: &Block, f: impl Fn([i32; 4]) -> [i32; 4]) -> Block {
    let mut rows = [0; 16];
    for y in 0..4 {
        let row = f(std::array::from_fn(|x| block[4 * y + x]));
        rows[4 * y..4 * y + 4].copy_from_slice(&row);
    }
    let mut out = [0; 16];
    for x in 0..4 {
        let column = f(std::array::from_fn(|y| rows[4 * y + x]));
        for (y, value) in column.into_iter().enumerate() {
            out[4 * y + x] = value;
        }
    }
    out
}

fn hadamard(block: &Block) -> Block {
    rows_then_columns(block, |[a, b, c, d]| {
        [a + b + c + d, a + b - c - d, a - b - c + d, a - b + c - d]
    })
}

/// Residual samples to coefficients.
pub(super) fn forward(block: &Block) -> Block {
    rows_then_columns(block, |[a, b, c, d]| {
        let (sum, difference) = (a + d, a - d);
        let (inner_sum, inner_difference) = (b + c, b - c);
        [
            sum + inner_sum,
            2 * difference + inner_difference,
            sum - inner_sum,
            difference - 2 * inner_difference,
        ]
    })
}

/// Coefficients to residual samples (8.5.12.2).
pub(super) fn inverse(block: &Block) -> Block {
    rows_then_columns(block, |[a, b, c, d]| {
        let (e, f) = (a + c, a - c);
        let (g, h) = ((b >> 1) - d, b + (d >> 1));
        [e + h, f + g, f - g, e - h]
    })
    .map(|value| (value + 32) >> 6)
}
