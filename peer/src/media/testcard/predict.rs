//! What the samples above and to the left let one expect of an Intra macroblock (ITU-T H.264, 8.3).

use super::picture::Plane;

/// The prediction that is closest to what is wanted.
pub(super) fn best<const SAMPLES: usize>(
    wanted: &[u8; SAMPLES],
    predictions: impl IntoIterator<Item = (u32, [u8; SAMPLES])>,
) -> (u32, [u8; SAMPLES]) {
    let distance = |predicted: &[u8; SAMPLES]| -> u32 {
        wanted
            .iter()
            .zip(predicted)
            .map(|(&a, &b)| u32::from(a.abs_diff(b)))
            .sum()
    };
    let closest = predictions
        .into_iter()
        .min_by_key(|(_, predicted)| distance(predicted));
    closest.expect("the DC prediction is always there")
}

fn mean(samples: impl ExactSizeIterator<Item = u8>) -> u8 {
    let count = samples.len() as u32;
    ((samples.map(u32::from).sum::<u32>() + count / 2) / count) as u8
}

/// Intra_16x16 predictions of a macroblock with their modes: DC, vertical, horizontal (8.3.3).
pub(super) fn luma_predictions(plane: &Plane, x: usize, y: usize) -> Vec<(u32, [u8; 256])> {
    let above = plane.above(x, y, 16);
    let left = plane.left(x, y, 16);
    let both = left
        .iter()
        .flatten()
        .chain(above.iter().flatten())
        .copied()
        .collect::<Vec<u8>>();
    let dc = if both.is_empty() {
        128
    } else {
        mean(both.into_iter())
    };
    let mut predictions = vec![(2, [dc; 256])];
    predictions.extend(above.map(|above| (0, std::array::from_fn(|i| above[i % 16]))));
    predictions.extend(left.map(|left| (1, std::array::from_fn(|i| left[i / 16]))));
    predictions
}

/// Chroma predictions with their modes: DC, horizontal, vertical (8.3.4). As many for either plane of a macroblock.
pub(super) fn chroma_predictions(plane: &Plane, x: usize, y: usize) -> Vec<(u32, [u8; 64])> {
    let above = plane.above(x, y, 8);
    let left = plane.left(x, y, 8);
    // Each quarter has its own mean: of both sides on the diagonal, else preferably of the side it touches.
    let dc = |right: usize, below: usize| {
        let above = above.as_ref().map(|above| &above[4 * right..4 * right + 4]);
        let left = left.as_ref().map(|left| &left[4 * below..4 * below + 4]);
        let sides = match (right, below) {
            (1, 0) if above.is_some() => [above, None],
            (0, 1) if left.is_some() => [left, None],
            _ => [above, left],
        };
        let samples = sides
            .into_iter()
            .flatten()
            .flatten()
            .copied()
            .collect::<Vec<u8>>();
        if samples.is_empty() {
            128
        } else {
            mean(samples.into_iter())
        }
    };
    let quarters = [[dc(0, 0), dc(1, 0)], [dc(0, 1), dc(1, 1)]];
    let mut predictions = vec![(0, std::array::from_fn(|i| quarters[i / 32][i % 8 / 4]))];
    predictions.extend(
        left.as_ref()
            .map(|left| (1, std::array::from_fn(|i| left[i / 8]))),
    );
    predictions.extend(
        above
            .as_ref()
            .map(|above| (2, std::array::from_fn(|i| above[i % 8]))),
    );
    predictions
}
