//! Bits of an H.264 stream, and the variable-length codes for transform coefficients (ITU-T H.264, 9.1 and 9.2).

/// Writes bits, most significant first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits not in `bytes` yet, in the low `pending_len` bits.
    pending: u64,
    pending_len: u32,
}

impl BitWriter {
    /// The low `len` bits of `value`; `len` at most 32.
    pub(super) fn bits(&mut self, value: u32, len: u32) {
        self.pending = self.pending << len | u64::from(value) & ((1 << len) - 1);
        self.pending_len += len;
        while self.pending_len >= 8 {
            self.pending_len -= 8;
            self.bytes.push((self.pending >> self.pending_len) as u8);
        }
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// Unsigned Exp-Golomb code, `ue(v)`.
    pub(super) fn ue(&mut self, value: u32) {
        let len = 32 - (value + 1).leading_zeros();
        self.bits(0, len - 1);
        self.bits(value + 1, len);
    }

    /// Signed Exp-Golomb code, `se(v)`.
    pub(super) fn se(&mut self, value: i32) {
        let magnitude = 2 * value.unsigned_abs();
        self.ue(if value > 0 { magnitude - 1 } else { magnitude });
    }

    /// Ends a NAL unit's payload with the stop bit, and aligns.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.flag(true);
        if self.pending_len > 0 {
            self.bits(0, 8 - self.pending_len);
        }
        self.bytes
    }
}

/// Which table codes the number of coefficients.
#[derive(Clone, Copy, Debug)]
pub(super) enum Context {
    /// The mean number of coefficients in the blocks to the left and above.
    Neighbours(u8),
    /// The 2x2 block of chroma DC coefficients.
    ChromaDc,
}

/// Writes a block of coefficients in scan order; returns how many are not zero.
///
/// `levels` has 16 entries (a whole block), 15 (without DC) or 4 (chroma DC). No level may exceed 2063 in magnitude,
/// which is what the codes of the Baseline profile can express; quantisers of 16 and up guarantee it.
pub(super) fn residual_block(w: &mut BitWriter, levels: &[i16], context: Context) -> u8 {
    // Non-zero levels from the highest frequency down, each with the number of zeros right before it.
    let mut coded = [(0_i16, 0_u8); 16];
    let mut total = 0;
    let mut zeros_total = 0;
    for &level in levels {
        if level == 0 {
            zeros_total += 1;
        } else {
            coded[total] = (level, zeros_total);
            zeros_total = 0;
            total += 1;
        }
    }
    let coded = &mut coded[..total];
    coded.reverse();
    let ones = coded
        .iter()
        .take(3)
        .take_while(|(level, _)| level.abs() == 1)
        .count();

    let (len, code) = coeff_token(total, ones, context);
    w.bits(code, len);
    if total == 0 {
        return 0;
    }
    for &(level, _) in &coded[..ones] {
        w.flag(level < 0);
    }
    let mut suffix_len = u32::from(total > 10 && ones < 3);
    for (i, &(level, _)) in coded.iter().enumerate().skip(ones) {
        // With fewer than three trailing ones the first level that follows cannot be one.
        let first = if i == ones && ones < 3 { 2 } else { 0 };
        let magnitude = u32::from(level.unsigned_abs());
        let code = if level > 0 {
            2 * magnitude - 2
        } else {
            2 * magnitude - 1
        } - first;
        level_code(w, code, suffix_len);
        suffix_len = suffix_len.max(1);
        if magnitude > 3 << (suffix_len - 1) && suffix_len < 6 {
            suffix_len += 1;
        }
    }
    let mut zeros_left: u8 = coded.iter().map(|&(_, zeros)| zeros).sum();
    if total < levels.len() {
        let (len, code) = match context {
            Context::ChromaDc => CHROMA_TOTAL_ZEROS[total - 1][usize::from(zeros_left)],
            Context::Neighbours(_) => TOTAL_ZEROS[total - 1][usize::from(zeros_left)],
        };
        w.bits(code.into(), len.into());
    }
    for &(_, zeros) in &coded[..total - 1] {
        if zeros_left == 0 {
            break;
        }
        let (len, code) = RUN_BEFORE[usize::from(zeros_left.min(7)) - 1][usize::from(zeros)];
        w.bits(code.into(), len.into());
        zeros_left -= zeros;
    }
    total as u8
}

/// Prefix and suffix of a level (9.2.2.1).
fn level_code(w: &mut BitWriter, code: u32, suffix_len: u32) {
    let unary = |w: &mut BitWriter, zeros: u32| w.bits(1, zeros + 1);
    if suffix_len == 0 && code < 14 {
        unary(w, code);
    } else if suffix_len == 0 && code < 30 {
        unary(w, 14);
        w.bits(code - 14, 4);
    } else if suffix_len > 0 && code >> suffix_len < 15 {
        unary(w, code >> suffix_len);
        w.bits(code, suffix_len);
    } else {
        let escape = if suffix_len == 0 { 30 } else { 15 << suffix_len };
        unary(w, 15);
        w.bits((code - escape).min(0xfff), 12);
    }
}

/// Length and code of coeff_token (table 9-5).
fn coeff_token(total: usize, ones: usize, context: Context) -> (u32, u32) {
    let table = match context {
        Context::ChromaDc => return CHROMA_COEFF_TOKEN[total][ones],
        Context::Neighbours(0..=1) => &COEFF_TOKEN[0],
        Context::Neighbours(2..=3) => &COEFF_TOKEN[1],
        Context::Neighbours(4..=7) => &COEFF_TOKEN[2],
        Context::Neighbours(8..) => {
            let code = if total == 0 { 3 } else { (total - 1) << 2 | ones };
            return (6, code as u32);
        }
    };
    let (len, code) = table[total][ones];
    (len.into(), code.into())
}

// The tables below are (length, code) pairs as the standard gives them.

/// Table 9-5, columns 0 <= nC < 2, 2 <= nC < 4 and 4 <= nC < 8: by number of coefficients and of trailing ones.
#[rustfmt::skip]
const COEFF_TOKEN: [[[(u8, u8); 4]; 17]; 3] = [
    [
        [(1, 1), (0, 0), (0, 0), (0, 0)],
        [(6, 5), (2, 1), (0, 0), (0, 0)],
        [(8, 7), (6, 4), (3, 1), (0, 0)],
        [(9, 7), (8, 6), (7, 5), (5, 3)],
        [(10, 7), (9, 6), (8, 5), (6, 3)],
        [(11, 7), (10, 6), (9, 5), (7, 4)],
        [(13, 15), (11, 6), (10, 5), (8, 4)],
        [(13, 11), (13, 14), (11, 5), (9, 4)],
        [(13, 8), (13, 10), (13, 13), (10, 4)],
        [(14, 15), (14, 14), (13, 9), (11, 4)],
        [(14, 11), (14, 10), (14, 13), (13, 12)],
        [(15, 15), (15, 14), (14, 9), (14, 12)],
        [(15, 11), (15, 10), (15, 13), (14, 8)],
        [(16, 15), (15, 1), (15, 9), (15, 12)],
        [(16, 11), (16, 14), (16, 13), (15, 8)],
        [(16, 7), (16, 10), (16, 9), (16, 12)],
        [(16, 4), (16, 6), (16, 5), (16, 8)],
    ],
    [
        [(2, 3), (0, 0), (0, 0), (0, 0)],
        [(6, 11), (2, 2), (0, 0), (0, 0)],
        [(6, 7), (5, 7), (3, 3), (0, 0)],
        [(7, 7), (6, 10), (6, 9), (4, 5)],
        [(8, 7), (6, 6), (6, 5), (4, 4)],
        [(8, 4), (7, 6), (7, 5), (5, 6)],
        [(9, 7), (8, 6), (8, 5), (6, 8)],
        [(11, 15), (9, 6), (9, 5), (6, 4)],
        [(11, 11), (11, 14), (11, 13), (7, 4)],
        [(12, 15), (11, 10), (11, 9), (9, 4)],
        [(12, 11), (12, 14), (12, 13), (11, 12)],
        [(12, 8), (12, 10), (12, 9), (11, 8)],
        [(13, 15), (13, 14), (13, 13), (12, 12)],
        [(13, 11), (13, 10), (13, 9), (13, 12)],
        [(13, 7), (14, 11), (13, 6), (13, 8)],
        [(14, 9), (14, 8), (14, 10), (13, 1)],
        [(14, 7), (14, 6), (14, 5), (14, 4)],
    ],
    [
        [(4, 15), (0, 0), (0, 0), (0, 0)],
        [(6, 15), (4, 14), (0, 0), (0, 0)],
        [(6, 11), (5, 15), (4, 13), (0, 0)],
        [(6, 8), (5, 12), (5, 14), (4, 12)],
        [(7, 15), (5, 10), (5, 11), (4, 11)],
        [(7, 11), (5, 8), (5, 9), (4, 10)],
        [(7, 9), (6, 14), (6, 13), (4, 9)],
        [(7, 8), (6, 10), (6, 9), (4, 8)],
        [(8, 15), (7, 14), (7, 13), (5, 13)],
        [(8, 11), (8, 14), (7, 10), (6, 12)],
        [(9, 15), (8, 10), (8, 13), (7, 12)],
        [(9, 11), (9, 14), (8, 9), (8, 12)],
        [(9, 8), (9, 10), (9, 13), (8, 8)],
        [(10, 13), (9, 7), (9, 9), (9, 12)],
        [(10, 9), (10, 12), (10, 11), (10, 10)],
        [(10, 5), (10, 8), (10, 7), (10, 6)],
        [(10, 1), (10, 4), (10, 3), (10, 2)],
    ],
];

/// Table 9-5, column nC = -1.
#[rustfmt::skip]
const CHROMA_COEFF_TOKEN: [[(u32, u32); 4]; 5] = [
    [(2, 1), (0, 0), (0, 0), (0, 0)],
    [(6, 7), (1, 1), (0, 0), (0, 0)],
    [(6, 4), (6, 6), (3, 1), (0, 0)],
    [(6, 3), (7, 3), (7, 2), (6, 5)],
    [(6, 2), (8, 3), (8, 2), (7, 0)],
];

/// Tables 9-7 and 9-8: by number of coefficients minus one and number of zeros.
#[rustfmt::skip]
const TOTAL_ZEROS: [[(u8, u8); 16]; 15] = [
    [(1, 1), (3, 3), (3, 2), (4, 3), (4, 2), (5, 3), (5, 2), (6, 3), (6, 2), (7, 3), (7, 2), (8, 3), (8, 2), (9, 3), (9, 2), (9, 1)],
    [(3, 7), (3, 6), (3, 5), (3, 4), (3, 3), (4, 5), (4, 4), (4, 3), (4, 2), (5, 3), (5, 2), (6, 3), (6, 2), (6, 1), (6, 0), (0, 0)],
    [(4, 5), (3, 7), (3, 6), (3, 5), (4, 4), (4, 3), (3, 4), (3, 3), (4, 2), (5, 3), (5, 2), (6, 1), (5, 1), (6, 0), (0, 0), (0, 0)],
    [(5, 3), (3, 7), (4, 5), (4, 4), (3, 6), (3, 5), (3, 4), (4, 3), (3, 3), (4, 2), (5, 2), (5, 1), (5, 0), (0, 0), (0, 0), (0, 0)],
    [(4, 5), (4, 4), (4, 3), (3, 7), (3, 6), (3, 5), (3, 4), (3, 3), (4, 2), (5, 1), (4, 1), (5, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(6, 1), (5, 1), (3, 7), (3, 6), (3, 5), (3, 4), (3, 3), (3, 2), (4, 1), (3, 1), (6, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(6, 1), (5, 1), (3, 5), (3, 4), (3, 3), (2, 3), (3, 2), (4, 1), (3, 1), (6, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(6, 1), (4, 1), (5, 1), (3, 3), (2, 3), (2, 2), (3, 2), (3, 1), (6, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(6, 1), (6, 0), (4, 1), (2, 3), (2, 2), (3, 1), (2, 1), (5, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(5, 1), (5, 0), (3, 1), (2, 3), (2, 2), (2, 1), (4, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(4, 0), (4, 1), (3, 1), (3, 2), (1, 1), (3, 3), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(4, 0), (4, 1), (2, 1), (1, 1), (3, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(3, 0), (3, 1), (1, 1), (2, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(2, 0), (2, 1), (1, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(1, 0), (1, 1), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
];

/// Table 9-9 (a): the same for chroma DC.
#[rustfmt::skip]
const CHROMA_TOTAL_ZEROS: [[(u8, u8); 4]; 3] = [
    [(1, 1), (2, 1), (3, 1), (3, 0)],
    [(1, 1), (2, 1), (2, 0), (0, 0)],
    [(1, 1), (1, 0), (0, 0), (0, 0)],
];

/// Table 9-10: by zeros left (seven and more are alike) minus one, and run.
#[rustfmt::skip]
const RUN_BEFORE: [[(u8, u8); 15]; 7] = [
    [(1, 1), (1, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(1, 1), (2, 1), (2, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(2, 3), (2, 2), (2, 1), (2, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(2, 3), (2, 2), (2, 1), (3, 1), (3, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(2, 3), (2, 2), (3, 3), (3, 2), (3, 1), (3, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(2, 3), (3, 0), (3, 1), (3, 3), (3, 2), (3, 5), (3, 4), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0)],
    [(3, 7), (3, 6), (3, 5), (3, 4), (3, 3), (3, 2), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (8, 1), (9, 1), (10, 1), (11, 1)],
];
