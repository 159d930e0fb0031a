//! A small H.264 encoder (Constrained Baseline) for pictures that are drawn, not filmed.
//!
//! Key frames are Intra16x16 macroblocks; in between, a macroblock whose picture did not change is skipped, and one
//! that did is coded as the difference from what is on the screen, without motion. That is all a test card needs, and
//! costs a millisecond a frame. The pure-Rust encoder on crates.io (`rusty_h264-encoder` 0.17) was tried: it took
//! 8.5 ms, a fifth of a core at 25 frames a second beside the swarm that is to be observed, and it is tuned through
//! environment variables.
//!
//! Numbers in comments refer to ITU-T Recommendation H.264.

use super::cavlc::{BitWriter, Context, residual_block};
use super::picture::{Picture, Plane};
use super::predict::{best, chroma_predictions, luma_predictions};
use super::transform::{Block, Quantiser, ZIGZAG, forward, inverse};

/// Coarsest quantiser there is.
pub(super) const QP_MAX: u8 = 51;
/// Finest used here: levels always fit the Baseline codes, and finer is not visible.
pub(super) const QP_MIN: u8 = 18;

/// coded_block_pattern of Inter macroblocks by codeNum (table 9-4).
const CBP_INTER: [u8; 48] = [
    0, 16, 1, 2, 4, 8, 32, 3, 5, 10, 12, 15, 47, 7, 11, 13, 14, 6, 9, 31, 35, 37, 42, 44, 33, 34, 36, 40, 39,
    43, 45, 46, 17, 18, 20, 24, 19, 21, 26, 28, 23, 27, 29, 30, 22, 25, 38, 41,
];

/// Column and row, in blocks, of the blocks of a macroblock in coding order (6.4.3).
const BLOCK_ORDER: [(usize, usize); 16] = [
    (0, 0),
    (1, 0),
    (0, 1),
    (1, 1),
    (2, 0),
    (3, 0),
    (2, 1),
    (3, 1),
    (0, 2),
    (1, 2),
    (0, 3),
    (1, 3),
    (2, 2),
    (3, 2),
    (2, 3),
    (3, 3),
];

/// Numbers of coefficients of a plane's blocks, the context of their neighbours' codes.
#[derive(Debug)]
struct Counts {
    columns: usize,
    counts: Vec<u8>,
}

impl Counts {
    fn new(plane: &Plane) -> Self {
        Counts {
            columns: plane.width / 4,
            counts: vec![0; plane.width / 4 * (plane.height / 4)],
        }
    }

    /// 9.2.1: the rounded mean of left and above, or whichever there is.
    fn context(&self, x: usize, y: usize) -> Context {
        let left = x.checked_sub(1).map(|x| self.counts[y * self.columns + x]);
        let above = y.checked_sub(1).map(|y| self.counts[y * self.columns + x]);
        Context::Neighbours(match (left, above) {
            (Some(left), Some(above)) => (left + above).div_ceil(2),
            (one, other) => one.or(other).unwrap_or(0),
        })
    }

    fn set(&mut self, x: usize, y: usize, count: u8) {
        self.counts[y * self.columns + x] = count;
    }
}

/// What is sent of one macroblock.
struct Levels {
    /// Only of Intra16x16 macroblocks, whose blocks in `luma` then have no DC of their own.
    luma_dc: Option<Block>,
    luma: [Block; 16],
    chroma_dc: [[i32; 4]; 2],
    chroma: [[Block; 4]; 2],
}

/// Encodes one picture after the other.
#[derive(Debug)]
pub(super) struct Encoder {
    fps: u32,
    /// What a decoder has on the screen.
    shown: Picture,
    /// The picture that was drawn for it.
    drawn: Picture,
    counts: [Counts; 3],
    /// Frames since the key frame.
    frame_num: u32,
}

impl Encoder {
    /// `size` gives the dimensions: multiples of 16, of which the lowest eight lines are cut off at the decoder if the
    /// height is an odd multiple of eight.
    pub(super) fn new(size: &Picture, fps: u32) -> Self {
        let counts = [Counts::new(&size.y), Counts::new(&size.u), Counts::new(&size.v)];
        Encoder {
            fps,
            shown: size.clone(),
            drawn: size.clone(),
            counts,
            frame_num: 0,
        }
    }

    /// What a decoder has on the screen.
    #[cfg(test)]
    pub(super) fn shown(&self) -> &Picture {
        &self.shown
    }

    /// An access unit that needs no other: delimiter, parameter sets, IDR picture. Two in a row must differ in `id`,
    /// 0 or 1.
    pub(super) fn key_frame(&mut self, picture: &Picture, qp: u8, id: u32) -> Vec<u8> {
        let mut unit = Vec::new();
        self.frame_num = 0;
        nal(&mut unit, 0x09, &[0x10]);
        nal(&mut unit, 0x67, &self.sequence_parameters());
        nal(&mut unit, 0x68, &picture_parameters());

        let mut w = BitWriter::default();
        slice_header(&mut w, 7, 0, qp, Some(id));
        for row in 0..picture.y.height / 16 {
            for column in 0..picture.y.width / 16 {
                self.intra_macroblock(&mut w, picture, column, row, qp);
            }
        }
        nal(&mut unit, 0x65, &w.finish());
        self.drawn.clone_from(picture);
        unit
    }

    /// An access unit that changes what is on the screen into `picture`; `None` repeats the picture as it is.
    pub(super) fn delta_frame(&mut self, picture: Option<&Picture>, qp: u8) -> Vec<u8> {
        let mut unit = Vec::new();
        nal(&mut unit, 0x09, &[0x30]);
        // Modulo MaxFrameNum, 256.
        self.frame_num = (self.frame_num + 1) % 256;

        let mut w = BitWriter::default();
        slice_header(&mut w, 5, self.frame_num, qp, None);
        let mut skipped = 0;
        for row in 0..self.shown.y.height / 16 {
            for column in 0..self.shown.y.width / 16 {
                let changed = picture.filter(|picture| !self.drawn.same_macroblock(picture, column, row));
                let coded = changed.is_some_and(|picture| {
                    self.difference_macroblock(&mut w, picture, column, row, qp, skipped)
                });
                if coded {
                    skipped = 0;
                } else {
                    skipped += 1;
                    self.clear_counts(column, row);
                }
            }
        }
        if skipped > 0 {
            w.ue(skipped);
        }
        nal(&mut unit, 0x41, &w.finish());
        if let Some(picture) = picture {
            self.drawn.clone_from(picture);
        }
        unit
    }

    /// 7.3.2.1.1.
    fn sequence_parameters(&self) -> Vec<u8> {
        let mut w = BitWriter::default();
        w.bits(66, 8); // profile_idc: Baseline,
        w.bits(0b1110_0000, 8); // constrained, so that Main and Extended decoders take it too
        w.bits(31, 8); // level 3.1: 640x368 at up to 60 frames a second
        w.ue(0); // seq_parameter_set_id
        w.ue(4); // log2_max_frame_num - 4
        w.ue(2); // pic_order_cnt_type: output in the order of decoding
        w.ue(1); // max_num_ref_frames
        w.flag(false); // gaps_in_frame_num_value_allowed_flag
        w.ue((self.shown.y.width / 16) as u32 - 1);
        w.ue((self.shown.y.height / 16) as u32 - 1);
        w.flag(true); // frame_mbs_only_flag
        w.flag(true); // direct_8x8_inference_flag
        let cropped = (self.shown.y.height - self.shown.visible_height) as u32;
        w.flag(cropped > 0);
        if cropped > 0 {
            w.ue(0);
            w.ue(0);
            w.ue(0);
            w.ue(cropped / 2);
        }
        w.flag(true); // vui_parameters_present_flag
        w.flag(false); // aspect_ratio_info_present_flag
        w.flag(false); // overscan_info_present_flag
        w.flag(true); // video_signal_type_present_flag
        w.bits(5, 3); // video_format: unspecified
        w.flag(false); // limited range
        w.flag(true); // BT.709 primaries, transfer and matrix
        w.bits(1, 8);
        w.bits(1, 8);
        w.bits(1, 8);
        w.flag(false); // chroma_loc_info_present_flag
        w.flag(true); // timing_info_present_flag: two ticks a frame
        w.bits(1, 32);
        w.bits(2 * self.fps, 32);
        w.flag(true); // fixed_frame_rate_flag
        w.flag(false); // nal_hrd_parameters_present_flag
        w.flag(false); // vcl_hrd_parameters_present_flag
        w.flag(false); // pic_struct_present_flag
        w.flag(true); // bitstream_restriction_flag: nothing is reordered, so a decoder need not wait
        w.flag(true); // motion_vectors_over_pic_boundaries_flag
        w.ue(0); // max_bytes_per_pic_denom: no limit stated
        w.ue(0); // max_bits_per_mb_denom
        w.ue(0); // log2_max_mv_length_horizontal
        w.ue(0); // log2_max_mv_length_vertical
        w.ue(0); // max_num_reorder_frames
        w.ue(1); // max_dec_frame_buffering
        w.finish()
    }

    fn clear_counts(&mut self, column: usize, row: usize) {
        for (counts, blocks) in self.counts.iter_mut().zip([4, 2, 2]) {
            for y in 0..blocks {
                for x in 0..blocks {
                    counts.set(column * blocks + x, row * blocks + y, 0);
                }
            }
        }
    }

    fn intra_macroblock(&mut self, w: &mut BitWriter, picture: &Picture, column: usize, row: usize, qp: u8) {
        let (x, y) = (16 * column, 16 * row);
        let wanted = picture.y.square::<256>(x, y, 16);
        let (mode, predicted) = best(&wanted, luma_predictions(&self.shown.y, x, y));
        let quantiser = Quantiser::new(qp, true);
        let mut luma = transformed::<16>(&wanted, &predicted, 16);
        let dc = quantiser.luma_dc_levels(&std::array::from_fn(|i| luma[i][0]));
        for block in &mut luma {
            *block = quantiser.levels(block);
            block[0] = 0;
        }

        let wanted = picture.chroma(8 * column, 8 * row);
        let predictions = [&self.shown.u, &self.shown.v].map(|p| chroma_predictions(p, 8 * column, 8 * row));
        // One mode for both planes: joined, they are compared as one.
        let joined = |planes: [[u8; 64]; 2]| -> [u8; 128] { std::array::from_fn(|i| planes[i / 64][i % 64]) };
        let [u, v] = predictions;
        let pairs = u
            .into_iter()
            .zip(v)
            .map(|((mode, u), (_, v))| (mode, joined([u, v])));
        let (chroma_mode, both) = best(&joined(wanted), pairs);
        let chroma_predicted = [0, 64].map(|from| std::array::from_fn::<u8, 64, _>(|i| both[from + i]));
        let levels = chroma_levels(qp, true, &wanted, &chroma_predicted, Some(dc), luma);

        let (luma_pattern, chroma_pattern) = levels.patterns();
        let all_luma = luma_pattern != 0;
        // Table 7-11: mode, chroma pattern and luma pattern in one number.
        w.ue(1 + mode + 4 * chroma_pattern + if all_luma { 12 } else { 0 });
        w.ue(chroma_mode);
        w.se(0); // mb_qp_delta
        let patterns = (if all_luma { 15 } else { 0 }, chroma_pattern);
        self.residual(w, &levels, column, row, patterns);
        self.reconstruct(
            &levels,
            &predicted,
            &chroma_predicted,
            column,
            row,
            Quantiser::new(qp, true),
        );
    }

    /// False if nothing is left to send after quantising.
    fn difference_macroblock(
        &mut self,
        w: &mut BitWriter,
        picture: &Picture,
        column: usize,
        row: usize,
        qp: u8,
        skipped: u32,
    ) -> bool {
        let (x, y) = (16 * column, 16 * row);
        let predicted = self.shown.y.square::<256>(x, y, 16);
        let chroma_predicted = self.shown.chroma(8 * column, 8 * row);
        let quantiser = Quantiser::new(qp, false);
        let luma = transformed::<16>(&picture.y.square::<256>(x, y, 16), &predicted, 16);
        let luma = luma.map(|block| quantiser.levels(&block));
        let wanted = picture.chroma(8 * column, 8 * row);
        let levels = chroma_levels(qp, false, &wanted, &chroma_predicted, None, luma);

        let patterns @ (luma_pattern, chroma_pattern) = levels.patterns();
        let pattern = luma_pattern as u8 | (chroma_pattern << 4) as u8;
        if pattern == 0 {
            return false;
        }
        w.ue(skipped); // mb_skip_run
        w.ue(0); // P_L0_16x16
        w.se(0); // the motion vector is zero, as is what is predicted from others that are zero
        w.se(0);
        w.ue(CBP_INTER.iter().position(|&cbp| cbp == pattern).unwrap_or(0) as u32);
        w.se(0); // mb_qp_delta
        self.residual(w, &levels, column, row, patterns);
        self.reconstruct(&levels, &predicted, &chroma_predicted, column, row, quantiser);
        true
    }

    /// 7.3.5.3.
    fn residual(
        &mut self,
        w: &mut BitWriter,
        levels: &Levels,
        column: usize,
        row: usize,
        patterns: (u32, u32),
    ) {
        let scan = |block: &Block| ZIGZAG.map(|position| block[position] as i16);
        let [luma_counts, chroma_counts @ ..] = &mut self.counts;
        if let Some(dc) = &levels.luma_dc {
            residual_block(w, &scan(dc), luma_counts.context(4 * column, 4 * row));
        }
        let from = usize::from(levels.luma_dc.is_some());
        for (i, (x, y)) in BLOCK_ORDER.into_iter().enumerate() {
            let (at_x, at_y) = (4 * column + x, 4 * row + y);
            let count = if patterns.0 & 1 << (i / 4) != 0 {
                let block = scan(&levels.luma[4 * y + x]);
                residual_block(w, &block[from..], luma_counts.context(at_x, at_y))
            } else {
                0
            };
            luma_counts.set(at_x, at_y, count);
        }
        if patterns.1 > 0 {
            for dc in &levels.chroma_dc {
                residual_block(w, &dc.map(|level| level as i16), Context::ChromaDc);
            }
        }
        for (counts, blocks) in chroma_counts.iter_mut().zip(&levels.chroma) {
            for (i, block) in blocks.iter().enumerate() {
                let (at_x, at_y) = (2 * column + i % 2, 2 * row + i / 2);
                let count = if patterns.1 == 2 {
                    residual_block(w, &scan(block)[1..], counts.context(at_x, at_y))
                } else {
                    0
                };
                counts.set(at_x, at_y, count);
            }
        }
    }

    /// Does what a decoder will do.
    fn reconstruct(
        &mut self,
        levels: &Levels,
        luma: &[u8; 256],
        chroma: &[[u8; 64]; 2],
        column: usize,
        row: usize,
        quantiser: Quantiser,
    ) {
        let dc = levels.luma_dc.map(|dc| quantiser.luma_dc(&dc));
        let mut blocks = levels.luma.map(|block| quantiser.coefficients(&block));
        if let Some(dc) = dc {
            for (block, dc) in blocks.iter_mut().zip(dc) {
                block[0] = dc;
            }
        }
        self.shown
            .y
            .put_square(16 * column, 16 * row, 16, &added(luma, &blocks, 16));
        let quantiser = quantiser.for_chroma();
        for (i, plane) in [&mut self.shown.u, &mut self.shown.v].into_iter().enumerate() {
            let mut blocks = levels.chroma[i].map(|block| quantiser.coefficients(&block));
            for (block, dc) in blocks.iter_mut().zip(quantiser.chroma_dc(&levels.chroma_dc[i])) {
                block[0] = dc;
            }
            plane.put_square(8 * column, 8 * row, 8, &added(&chroma[i], &blocks, 8));
        }
    }
}

impl Levels {
    /// One bit for each 8x8 square of luma with anything in it; 1 for chroma with DC only, 2 with more.
    fn patterns(&self) -> (u32, u32) {
        let any = |block: &Block| block.iter().any(|&level| level != 0);
        let mut luma = 0;
        for (i, (x, y)) in BLOCK_ORDER.into_iter().enumerate() {
            luma |= u32::from(any(&self.luma[4 * y + x])) << (i / 4);
        }
        let chroma = if self.chroma.iter().flatten().any(any) {
            2
        } else {
            u32::from(self.chroma_dc.iter().flatten().any(|&level| level != 0))
        };
        (luma, chroma)
    }
}

/// Adds what is sent of chroma to what is sent of luma.
fn chroma_levels(
    qp: u8,
    intra: bool,
    wanted: &[[u8; 64]; 2],
    predicted: &[[u8; 64]; 2],
    luma_dc: Option<Block>,
    luma: [Block; 16],
) -> Levels {
    let quantiser = Quantiser::new(qp, intra).for_chroma();
    let mut levels = Levels {
        luma_dc,
        luma,
        chroma_dc: [[0; 4]; 2],
        chroma: [[[0; 16]; 4]; 2],
    };
    for i in 0..2 {
        let blocks = transformed::<4>(&wanted[i], &predicted[i], 8);
        levels.chroma_dc[i] = quantiser.chroma_dc_levels(&std::array::from_fn(|b| blocks[b][0]));
        levels.chroma[i] = blocks.map(|block| {
            let mut levels = quantiser.levels(&block);
            levels[0] = 0;
            levels
        });
    }
    levels
}

/// Coefficients of a square's 4x4 blocks, in raster order.
fn transformed<const BLOCKS: usize>(wanted: &[u8], predicted: &[u8], side: usize) -> [Block; BLOCKS] {
    std::array::from_fn(|b| {
        let (x, y) = (b % (side / 4) * 4, b / (side / 4) * 4);
        let residual: Block = std::array::from_fn(|i| {
            let at = (y + i / 4) * side + x + i % 4;
            i32::from(wanted[at]) - i32::from(predicted[at])
        });
        // Most of a drawing does not change, or is flat.
        if residual == [0; 16] {
            residual
        } else {
            forward(&residual)
        }
    })
}

/// A predicted square with the residual of its 4x4 blocks added.
fn added<const SAMPLES: usize>(predicted: &[u8; SAMPLES], blocks: &[Block], side: usize) -> [u8; SAMPLES] {
    let mut out = *predicted;
    for (b, block) in blocks.iter().enumerate() {
        if *block == [0; 16] {
            continue;
        }
        let (x, y) = (b % (side / 4) * 4, b / (side / 4) * 4);
        for (i, residual) in inverse(block).into_iter().enumerate() {
            let sample = &mut out[(y + i / 4) * side + x + i % 4];
            *sample = (i32::from(*sample) + residual).clamp(0, 255) as u8;
        }
    }
    out
}

/// 7.3.3. `kind` is the slice type; an `idr_id` makes it an IDR picture's.
fn slice_header(w: &mut BitWriter, kind: u32, frame_num: u32, qp: u8, idr_id: Option<u32>) {
    w.ue(0); // first_mb_in_slice
    w.ue(kind);
    w.ue(0); // pic_parameter_set_id
    w.bits(frame_num, 8);
    if let Some(id) = idr_id {
        w.ue(id);
        w.flag(false); // no_output_of_prior_pics_flag
        w.flag(false); // long_term_reference_flag
    } else {
        w.flag(false); // num_ref_idx_active_override_flag
        w.flag(false); // ref_pic_list_modification_flag_l0
        w.flag(false); // adaptive_ref_pic_marking_mode_flag
    }
    w.se(i32::from(qp) - 26);
    w.ue(1); // disable_deblocking_filter_idc: a drawing's edges are meant
}

/// 7.3.2.2.
fn picture_parameters() -> Vec<u8> {
    let mut w = BitWriter::default();
    w.ue(0); // pic_parameter_set_id
    w.ue(0); // seq_parameter_set_id
    w.flag(false); // entropy_coding_mode_flag: CAVLC
    w.flag(false); // bottom_field_pic_order_in_frame_present_flag
    w.ue(0); // num_slice_groups_minus1
    w.ue(0); // num_ref_idx_l0_default_active_minus1
    w.ue(0); // num_ref_idx_l1_default_active_minus1
    w.flag(false); // weighted_pred_flag
    w.bits(0, 2); // weighted_bipred_idc
    w.se(0); // pic_init_qp_minus26
    w.se(0); // pic_init_qs_minus26
    w.se(0); // chroma_qp_index_offset
    w.flag(true); // deblocking_filter_control_present_flag
    w.flag(false); // constrained_intra_pred_flag
    w.flag(false); // redundant_pic_cnt_present_flag
    w.finish()
}

/// Appends a NAL unit in byte stream format (annex B), with emulation of start codes prevented (7.3.1).
fn nal(unit: &mut Vec<u8>, header: u8, payload: &[u8]) {
    unit.extend_from_slice(&[0, 0, 0, 1, header]);
    let mut zeros = 0;
    for &byte in payload {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        unit.push(byte);
        zeros = if byte == 0 { zeros + 1 } else { 0 };
    }
}
