//! A first look at all members: who of them could be in an answer at all.
//!
//! Of ten thousand members a few hundred are looked at closely. The others are told apart here, from columns of single numbers: the
//! compiler makes vector instructions of that, and nothing depends on a branch that nobody can foresee.

use wire::PeerId;

use crate::best::least_us;
use crate::spot::{Sets, Spot};

/// Members looked at in one go: their results stay in the first-level cache, and the bars are seldom out of date.
pub(crate) const BLOCK: usize = 64;

/// What the sieve reads, a column for each number, filled up to whole blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns {
    blocks: Vec<Block>,
}

/// So many members.
#[derive(Clone, Debug)]
struct Block {
    /// Place in milliseconds.
    x: [f32; BLOCK],
    y: [f32; BLOCK],
    height: [f32; BLOCK],
    /// Arrival lag in microseconds.
    lag: [f32; BLOCK],
    /// Distance to the source in microseconds; infinite while the place is not known.
    to_source: [f32; BLOCK],
    /// What lag and distance are multiplied by: a donor's count half (see `favoured` in `pick.rs`).
    favour: [f32; BLOCK],
    /// [`FULL`] if it has no slot free, else zero.
    full: [f32; BLOCK],
    /// What help from it costs at least, beyond the lag through it; infinite if it can give none.
    help: [f32; BLOCK],
    /// Some number of its own, to be shuffled by.
    lot: [u32; BLOCK],
}

/// Comes on top of what a full member is ranked by, as in `rank` of `pick.rs`.
const FULL: f32 = (1u64 << 32) as f32;

/// What is good enough for each part of an answer: who is below one of them may be in it. In microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bars {
    /// For the round trip.
    pub(crate) near: f32,
    /// For the lag through it.
    pub(crate) soon: f32,
    /// For what help from it costs.
    pub(crate) help: f32,
    /// For the round trip of those nearer to the source than `toward_us`.
    pub(crate) toward: f32,
    pub(crate) toward_us: f32,
    /// For the draw of those nearer to the source than `jump_us`.
    pub(crate) jump: f32,
    pub(crate) jump_us: f32,
}

/// The draw for the member with this lot among those of one answer, which `shuffle`, an odd number, sets apart: of two members each is
/// as likely to come first.
pub(crate) fn draw(lot: u32, shuffle: u32) -> u32 {
    lot.wrapping_mul(shuffle)
}

/// The number to shuffle a peer by: part of its id, through the finaliser of MurmurHash3 in case ids follow one another.
pub(crate) fn lot(peer: PeerId) -> u32 {
    let [a, b, c, d, ..] = *peer.as_bytes();
    let mut lot = u32::from_be_bytes([a, b, c, d]);
    lot = (lot ^ (lot >> 16)).wrapping_mul(0x85eb_ca6b);
    lot = (lot ^ (lot >> 13)).wrapping_mul(0xc2b2_ae35);
    lot ^ (lot >> 16)
}

impl Block {
    const EMPTY: Block = Block {
        x: [0.0; BLOCK],
        y: [0.0; BLOCK],
        height: [0.0; BLOCK],
        lag: [f32::MAX; BLOCK],
        to_source: [f32::INFINITY; BLOCK],
        favour: [1.0; BLOCK],
        full: [0.0; BLOCK],
        help: [f32::INFINITY; BLOCK],
        lot: [0; BLOCK],
    };

    /// Marks those who may be in an answer.
    fn sift(&self, x: f32, y: f32, height: f32, shuffle: u32, bars: &Bars) -> [bool; BLOCK] {
        std::array::from_fn(|n| {
            let (x, y) = (self.x[n] - x, self.y[n] - y);
            let rtt = ((x * x + y * y).sqrt() + self.height[n] + height) * 1000.0;
            let through = (self.lag[n] + rtt) * self.favour[n];
            // Half of the draw, which is a signed number: vector instructions have no other.
            let draw = (draw(self.lot[n], shuffle) >> 1) as i32 as f32 * self.favour[n];
            (rtt <= bars.near)
                | (through + self.full[n] <= bars.soon)
                | (through + self.help[n] <= bars.help)
                | ((self.to_source[n] < bars.toward_us)
                    & (rtt * self.favour[n] + self.full[n] <= bars.toward))
                | ((self.to_source[n] < bars.jump_us) & (draw + self.full[n] * 0.5 <= bars.jump * 0.5))
        })
    }
}

impl Columns {
    /// Enters what is known of the member at `at`, which is one of them or the next.
    pub(crate) fn set(&mut self, at: usize, spot: &Spot, sets: &Sets) {
        if at / BLOCK == self.blocks.len() {
            self.blocks.push(Block::EMPTY);
        }
        let (block, n) = (&mut self.blocks[at / BLOCK], at % BLOCK);
        (block.x[n], block.y[n], block.height[n]) = spot.place();
        block.lag[n] = spot.lag_us().unwrap_or(u32::MAX) as f32;
        block.to_source[n] = if spot.is_placed() {
            spot.to_source_us() as f32
        } else {
            f32::INFINITY
        };
        block.favour[n] = if spot.is_donor() { 0.5 } else { 1.0 };
        block.full[n] = if spot.room() == 0 { FULL } else { 0.0 };
        block.help[n] = least_us(spot, sets).map_or(f32::INFINITY, |us| us as f32);
        block.lot[n] = spot.lot();
    }

    /// So many members are left.
    pub(crate) fn truncate(&mut self, members: usize) {
        self.blocks.truncate(members.div_ceil(BLOCK));
    }

    /// How many blocks there are.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Which of a block's members may be in an answer for `me`. Behind the last member of all anything may be marked.
    pub(crate) fn sift(&self, block: usize, me: &Spot, shuffle: u32, bars: &Bars) -> [bool; BLOCK] {
        let (x, y, height) = me.place();
        self.blocks[block].sift(x, y, height, shuffle, bars)
    }
}
