//! Expected values are those of the reference definition of the bound (an independent program), on inputs that both
//! draw with the same congruential generator.

use super::*;

struct Walk(u64);

impl Walk {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Distances to the centre of 224 x 168 ms, and uplinks from the four classes scaled to `ri`, at 4 Mbit/s.
fn world(n: usize, ri: f64) -> (Vec<f64>, Vec<f64>) {
    let mut walk = Walk(7);
    let distances = (0..n)
        .map(|_| {
            let x = walk.next() * 224.0 - 112.0;
            let y = walk.next() * 168.0 - 84.0;
            x.hypot(y)
        })
        .collect();
    let classes = [(0.2, 0.3), (0.4, 0.8), (0.25, 1.5), (0.15, 3.0)];
    let mean: f64 = classes.iter().map(|(share, x)| share * x).sum();
    let uplinks = (0..n)
        .map(|_| {
            let mut z = walk.next();
            let mut factor = 3.0;
            for (share, x) in classes {
                if z < share {
                    factor = x;
                    break;
                }
                z -= share;
            }
            factor / mean * ri * 4000.0
        })
        .collect();
    (distances, uplinks)
}

fn check(n: usize, chunk_ms: f64, source: f64, ri: f64, expected: [f64; 3]) {
    let (distances, uplinks) = world(n, ri);
    assert_bound(&distances, chunk_ms, source, &uplinks, expected);
}

fn assert_bound(distances: &[f64], chunk_ms: f64, source: f64, uplinks: &[f64], expected: [f64; 3]) {
    let bound = lower_bound(distances, chunk_ms * 4000.0, source * 4000.0, uplinks).unwrap();
    for (value, expected) in [bound.mean_ms, bound.max_ms, bound.last_ms]
        .into_iter()
        .zip(expected)
    {
        assert!((value - expected).abs() < 1e-6, "{bound:?}, expected {expected}");
    }
}

#[test]
fn agrees_with_the_reference() {
    check(1000, 2.3, 1.5, 1.2, [83.149225757, 138.268784827, 10.001805556]);
    check(1000, 8.0, 5.0, 1.2, [97.327957563, 139.405196659, 28.377777778]);
    check(
        1000,
        40.0,
        5.0,
        1.2,
        [187.939735341, 199.973872278, 141.888888889],
    );
    check(
        1000,
        200.0,
        1.5,
        1.2,
        [811.563068674, 914.906477913, 869.722222222],
    );
    check(17, 8.0, 1.5, 1.05, [95.926443163, 126.899095088, 20.634920635]);
    check(1, 8.0, 5.0, 1.2, [78.165900576, 78.165900576, 1.6]);
}

#[test]
fn peers_that_give_nothing_only_receive() {
    let (distances, mut uplinks) = world(50, 1.5);
    uplinks.iter_mut().step_by(3).for_each(|uplink| *uplink = 0.0);
    assert_bound(
        &distances,
        8.0,
        5.0,
        &uplinks,
        [88.141910105, 124.765761755, 16.053333333],
    );
}

#[test]
fn no_viewers_or_no_source_have_no_bound() {
    assert_eq!(lower_bound(&[], 1.0, 1.0, &[1.0]), None);
    assert_eq!(lower_bound(&[1.0], 1.0, 0.0, &[1.0]), None);
}
