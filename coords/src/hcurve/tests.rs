use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(serde::Deserialize)]
struct Vectors {
    orders: BTreeMap<String, Vec<(u32, u32)>>,
    samples: BTreeMap<String, Vec<(String, u32, u32)>>,
}

fn order(k: u8) -> Order {
    Order::new(k).unwrap()
}

/// Both directions agree that `cell` is at `index`.
fn check(k: u8, index: u64, cell: (u32, u32)) {
    assert_eq!(cell_at(order(k), index), cell, "cell at {index}, k = {k}");
    assert_eq!(
        index_of(order(k), cell.0, cell.1),
        index,
        "index of {cell:?}, k = {k}"
    );
}

/// The definition as the literature has it: triangles of triangles. `index` counts within the triangle of
/// side `n`.
fn triangle(n: u64, index: u64) -> (u64, u64) {
    if n == 2 {
        return (0, index);
    }
    let (cells, half) = (n * n / 2, n / 2);
    match 4 * index / cells {
        0 => triangle(half, index),
        1 => {
            let (x, y) = triangle(half, cells / 2 - 1 - index);
            (x, n - 1 - y)
        }
        2 => {
            let (x, y) = triangle(half, 3 * cells / 4 - 1 - index);
            (half - 1 - x, half + y)
        }
        _ => {
            let (x, y) = triangle(half, index - 3 * cells / 4);
            (half + x, half + y)
        }
    }
}

/// The whole cycle by the definition, for k of 1 to 15.
fn defined(k: u8, index: u64) -> (u32, u32) {
    let n = 1u64 << k;
    let cells = n * n / 2;
    let (x, y) = if index < cells {
        triangle(n, index)
    } else {
        let (x, y) = triangle(n, index - cells);
        (n - 1 - x, n - 1 - y)
    };
    (x as u32, y as u32)
}

fn squared(a: (u32, u32), b: (u32, u32)) -> u128 {
    let (dx, dy) = (u128::from(a.0.abs_diff(b.0)), u128::from(a.1.abs_diff(b.1)));
    dx * dx + dy * dy
}

/// Steps between two positions along the closed curve, the shorter way.
fn steps(k: u8, a: u64, b: u64) -> u128 {
    let apart = u128::from(a.abs_diff(b));
    apart.min((1u128 << (2 * u32::from(k))) - apart)
}

#[test]
fn reference_vectors() {
    let vectors: Vectors =
        serde_json::from_str(include_str!("../../tests/data/hcurve_vectors.json")).unwrap();
    assert_eq!(vectors.orders.len(), 3);
    assert!(vectors.samples.contains_key("32") && vectors.samples.contains_key("31"));
    for (k, cells) in vectors.orders {
        let k: u8 = k.parse().unwrap();
        assert_eq!(cells.len(), 1 << (2 * k));
        for (index, cell) in cells.into_iter().enumerate() {
            check(k, index as u64, cell);
        }
    }
    for (k, samples) in vectors.samples {
        for (index, x, y) in samples {
            check(k.parse().unwrap(), index.parse().unwrap(), (x, y));
        }
    }
}

#[test]
fn every_cell_once_each_beside_the_last_and_closed() {
    for k in 1..=7 {
        let n = 1u32 << k;
        let cycle: Vec<_> = (0..u64::from(n) * u64::from(n))
            .map(|index| cell_at(order(k), index))
            .collect();
        let mut visited = vec![false; cycle.len()];
        for (index, &(x, y)) in cycle.iter().enumerate() {
            assert!(x < n && y < n);
            let seen = &mut visited[(x * n + y) as usize];
            assert!(!*seen, "cell ({x}, {y}) twice, k = {k}");
            *seen = true;
            assert_eq!(
                squared((x, y), cycle[(index + 1) % cycle.len()]),
                1,
                "a jump after {index}, k = {k}"
            );
            check(k, index as u64, defined(k, index as u64));
        }
        assert_eq!(
            (cycle[0], cycle[1], cycle[cycle.len() - 1]),
            ((0, 0), (0, 1), (1, 0))
        );
    }
}

#[test]
fn locality_bound_holds_for_every_pair() {
    for k in 1..=7 {
        let cells = 1u64 << (2 * k);
        let cycle: Vec<_> = (0..cells).map(|index| cell_at(order(k), index)).collect();
        // The second half is the first turned by 180°, so pairs that start there are the same pairs again.
        for a in 0..cells / 2 {
            let point = |index: u64| cycle[((index + cells / 2) % cells) as usize];
            let (n, turned) = (1 << k, point(a));
            assert_eq!((n - 1 - turned.0, n - 1 - turned.1), cycle[a as usize]);
            for apart in 1..=cells / 2 {
                let b = (a + apart) % cells;
                let d2 = squared(cycle[a as usize], cycle[b as usize]);
                // Neighbours along the curve are 1 apart; 4Δ − 2 holds for them with room.
                assert!(d2 <= u128::from(4 * apart - 2), "k = {k}, {a} and {b}: {d2}");
            }
        }
    }
}

#[test]
fn order_zero_is_one_cell_and_more_than_32_is_none() {
    check(0, 0, (0, 0));
    assert_eq!(cell_at(order(0), u64::MAX), (0, 0));
    assert_eq!(index_of(order(0), 7, 9), 0);
    assert_eq!(Order::new(33), None);
    assert_eq!(Order::new(32), Some(Order::RING));
    assert_eq!(Order::RING.k(), 32);
}

#[test]
fn corners_of_the_delay_space() {
    let at = |x_ms, y_ms| {
        position_of(&Coord {
            x_ms,
            y_ms,
            height_ms: 3.0,
        })
    };
    assert_eq!(at(-512.0, -512.0), 0);
    assert_eq!(at(512.0, 512.0), 1 << 63);
    assert_eq!(at(-512.0, 512.0), (1 << 62) - 1);
    assert_eq!(at(512.0, -512.0), (1 << 63) + (1 << 62) - 1);
    // Outside is the edge, and no number is no panic.
    assert_eq!(at(f64::INFINITY, 1e300), 1 << 63);
    assert_eq!(at(-1e9, f64::NEG_INFINITY), 0);
    assert_eq!(at(f64::NAN, f64::NAN), 0);
}

proptest! {
    #[test]
    fn index_is_the_inverse_of_cell(k in 0u8..=32, index: u64) {
        let index = if k == 32 { index } else { index & ((1 << (2 * k)) - 1) };
        let (x, y) = cell_at(order(k), index);
        prop_assert_eq!(index_of(order(k), x, y), index);
    }

    #[test]
    fn cell_is_the_inverse_of_index(x: u32, y: u32) {
        prop_assert_eq!(cell_at(Order::RING, index_of(Order::RING, x, y)), (x, y));
    }

    #[test]
    fn bits_above_the_order_do_not_count(k in 1u8..=31, index: u64, x: u32, y: u32) {
        let mask = (1u32 << k) - 1;
        prop_assert_eq!(index_of(order(k), x, y), index_of(order(k), x & mask, y & mask));
        prop_assert_eq!(cell_at(order(k), index), cell_at(order(k), index & ((1 << (2 * k)) - 1)));
    }

    #[test]
    fn the_next_position_is_the_cell_beside(index: u64) {
        prop_assert_eq!(squared(cell_at(Order::RING, index), cell_at(Order::RING, index.wrapping_add(1))), 1);
    }

    #[test]
    fn agrees_with_the_definition(k in 8u8..=15, index: u64) {
        let index = index & ((1 << (2 * k)) - 1);
        prop_assert_eq!(cell_at(order(k), index), defined(k, index));
    }

    #[test]
    fn locality_bound(a: u64, apart: u64, scale in 0u32..64) {
        let b = a.wrapping_add((apart >> scale).max(1));
        let d2 = squared(cell_at(Order::RING, a), cell_at(Order::RING, b));
        prop_assert!(d2 <= 4 * steps(32, a, b) - 2);
    }

    #[test]
    fn ring_positions_round_trip(position: u64) {
        prop_assert_eq!(position_of(&coord_at(position)), position);
    }
}
