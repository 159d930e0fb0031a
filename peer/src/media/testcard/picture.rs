//! A picture in planes (4:2:0), and drawing on it.

use std::ops::Range;

/// Samples of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    samples: Vec<u8>,
}

impl Plane {
    fn new(width: usize, height: usize, sample: u8) -> Self {
        Plane {
            width,
            height,
            samples: vec![sample; width * height],
        }
    }

    /// All samples, row by row.
    #[cfg(test)]
    pub(super) fn samples(&self) -> &[u8] {
        &self.samples
    }

    fn row(&self, x: usize, y: usize, len: usize) -> &[u8] {
        let from = y * self.width + x;
        &self.samples[from..from + len]
    }

    fn row_mut(&mut self, x: usize, y: usize, len: usize) -> &mut [u8] {
        let from = y * self.width + x;
        &mut self.samples[from..from + len]
    }

    /// The square of this side with its upper left corner at `x`, `y`, row by row.
    pub(super) fn square<const SAMPLES: usize>(&self, x: usize, y: usize, side: usize) -> [u8; SAMPLES] {
        let mut square = [0; SAMPLES];
        for (i, row) in square.chunks_exact_mut(side).enumerate() {
            row.copy_from_slice(self.row(x, y + i, side));
        }
        square
    }

    pub(super) fn put_square(&mut self, x: usize, y: usize, side: usize, square: &[u8]) {
        for (i, row) in square.chunks_exact(side).enumerate() {
            self.row_mut(x, y + i, side).copy_from_slice(row);
        }
    }

    /// The samples right above `x`, `y`, unless that is the upper edge.
    pub(super) fn above(&self, x: usize, y: usize, len: usize) -> Option<Vec<u8>> {
        Some(self.row(x, y.checked_sub(1)?, len).to_vec())
    }

    /// The samples to the left of `x`, `y` and below, unless that is the left edge.
    pub(super) fn left(&self, x: usize, y: usize, len: usize) -> Option<Vec<u8>> {
        let x = x.checked_sub(1)?;
        Some((y..y + len).map(|y| self.row(x, y, 1)[0]).collect())
    }

    fn same_square(&self, other: &Plane, x: usize, y: usize, side: usize) -> bool {
        (y..y + side).all(|y| self.row(x, y, side) == other.row(x, y, side))
    }
}

/// A colour: luma and both chroma components, limited range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour {
    y: u8,
    u: u8,
    v: u8,
}

impl Colour {
    /// From 8-bit R'G'B' by the BT.709 matrix.
    pub(super) fn rgb(r: u8, g: u8, b: u8) -> Self {
        let [r, g, b] = [r, g, b].map(|c| f64::from(c) / 255.0);
        let luma = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let chroma = |difference: f64, scale: f64| (128.0 + 224.0 * difference / scale).round() as u8;
        Colour {
            y: (16.0 + 219.0 * luma).round() as u8,
            u: chroma(b - luma, 1.8556),
            v: chroma(r - luma, 1.5748),
        }
    }
}

/// How much of each pixel of a rectangle is covered by a shape, in 255ths. Width and height are even.
#[derive(Clone, Debug)]
pub(super) struct Mask {
    width: usize,
    coverage: Vec<u8>,
    /// Of each pair of rows, the columns that are covered at all; even numbers.
    spans: Vec<Range<usize>>,
}

impl Mask {
    /// `coverage` gives the covered part, 0 to 1, of the pixel with its centre at these coordinates.
    pub(super) fn new(width: usize, height: usize, coverage: impl Fn(f32, f32) -> f32) -> Self {
        let pixel = |i: usize| {
            let covered = coverage((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
            (covered.clamp(0.0, 1.0) * 255.0).round() as u8
        };
        let coverage: Vec<u8> = (0..width * height).map(pixel).collect();
        let span = |rows: &[u8]| {
            let covered = |column: &usize| rows.iter().skip(*column).step_by(width).any(|&c| c > 0);
            let first = (0..width).find(covered).unwrap_or(0);
            let last = (0..width).rfind(covered).map_or(0, |last| last + 1);
            first & !1..last.next_multiple_of(2)
        };
        let spans = coverage.chunks_exact(2 * width).map(span).collect();
        Mask {
            width,
            coverage,
            spans,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// Luma at full size, chroma at half. Dimensions are multiples of 16; a decoder shows `visible_height` lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    pub(super) y: Plane,
    pub(super) u: Plane,
    pub(super) v: Plane,
    pub(super) visible_height: usize,
}

impl Picture {
    pub(super) fn new(width: usize, visible_height: usize, colour: Colour) -> Self {
        let (width, height) = (width.next_multiple_of(16), visible_height.next_multiple_of(16));
        Picture {
            y: Plane::new(width, height, colour.y),
            u: Plane::new(width / 2, height / 2, colour.u),
            v: Plane::new(width / 2, height / 2, colour.v),
            visible_height,
        }
    }

    /// Both chroma squares of a macroblock, by chroma coordinates.
    pub(super) fn chroma(&self, x: usize, y: usize) -> [[u8; 64]; 2] {
        [self.u.square(x, y, 8), self.v.square(x, y, 8)]
    }

    pub(super) fn same_macroblock(&self, other: &Picture, column: usize, row: usize) -> bool {
        self.y.same_square(&other.y, 16 * column, 16 * row, 16)
            && self.u.same_square(&other.u, 8 * column, 8 * row, 8)
            && self.v.same_square(&other.v, 8 * column, 8 * row, 8)
    }

    /// Fills a rectangle with even coordinates.
    pub(super) fn fill(&mut self, x: usize, y: usize, width: usize, height: usize, colour: Colour) {
        for row in y..y + height {
            self.y.row_mut(x, row, width).fill(colour.y);
        }
        for row in y / 2..(y + height) / 2 {
            self.u.row_mut(x / 2, row, width / 2).fill(colour.u);
            self.v.row_mut(x / 2, row, width / 2).fill(colour.v);
        }
    }

    /// Lays `colour` over the pixels of `mask`, whose upper left corner is at `x`, `y`; all these are even. What lies
    /// outside of the picture is left out.
    pub(super) fn paint(&mut self, mask: &Mask, x: usize, y: usize, colour: Colour) {
        let at = |column: usize, row: usize| u32::from(mask.coverage[row * mask.width + column]);
        let pairs = self.y.height.saturating_sub(y) / 2;
        for (pair, span) in mask.spans.iter().take(pairs).enumerate() {
            let (first, row) = (span.start, 2 * pair);
            let len = span.len().min(self.y.width.saturating_sub(x + first)) & !1;
            for row in row..row + 2 {
                let samples = self.y.row_mut(x + first, y + row, len);
                for (i, sample) in samples.iter_mut().enumerate() {
                    mix(sample, colour.y, at(first + i, row));
                }
            }
            for (plane, over) in [(&mut self.u, colour.u), (&mut self.v, colour.v)] {
                let samples = plane.row_mut((x + first) / 2, y / 2 + pair, len / 2);
                for (i, sample) in samples.iter_mut().enumerate() {
                    let column = first + 2 * i;
                    let upper = at(column, row) + at(column + 1, row);
                    let lower = at(column, row + 1) + at(column + 1, row + 1);
                    mix(sample, over, (upper + lower + 2) / 4);
                }
            }
        }
    }
}

/// Replaces `covered` 255ths of what is under by what is laid over it.
fn mix(under: &mut u8, over: u8, covered: u32) {
    let mixed = u32::from(*under) * (255 - covered) + u32::from(over) * covered;
    *under = ((mixed + 127) / 255) as u8;
}
