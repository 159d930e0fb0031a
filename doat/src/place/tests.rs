use proptest::prelude::*;

use super::*;

fn place(position: u64, id: u8) -> Place {
    Place {
        position,
        peer: PeerId::from_bytes([id; 32]),
    }
}

fn any_place() -> impl Strategy<Value = Place> {
    // Few positions and ids, so that equal ones occur, and the ends of the range.
    let position = prop_oneof![0..4u64, u64::MAX - 3..=u64::MAX, any::<u64>()];
    (position, 0..3u8).prop_map(|(position, id)| place(position, id))
}

#[test]
fn arcs_go_over_the_top() {
    let (low, high) = (place(5, 1), place(u64::MAX - 4, 2));
    assert_eq!(low.arc_to(&high), u64::MAX - 9);
    assert_eq!(high.arc_to(&low), 10);
    assert_eq!(low.arc_back_to(&high), 10);
    assert_eq!(low.distance(&high), 10);
    assert_eq!(place(0, 1).distance(&place(1 << 63, 1)), 1 << 63);
}

#[test]
fn the_ring_follows_the_curve() {
    let at = |x_ms, y_ms| {
        Place::new(
            PeerId::from_bytes([1; 32]),
            &Coord {
                x_ms,
                y_ms,
                height_ms: 7.0,
            },
        )
    };
    // The curve starts in the lower left corner, goes up its first half and comes back below the diagonal.
    assert_eq!(at(-512.0, -512.0).position, 0);
    assert!(at(-400.0, 400.0).position < 1 << 63);
    assert!(at(400.0, -400.0).position >= 1 << 63);
    // Its ends meet.
    let last = at(-512.0 + 1024.0 / (1u64 << 32) as f64, -512.0);
    assert_eq!(last.position, u64::MAX);
    assert_eq!(last.arc_to(&at(-512.0, -512.0)), 1);
}

#[test]
fn peers_at_one_position_have_an_order() {
    let (a, b, c) = (place(9, 1), place(9, 2), place(9, 3));
    assert!(b.is_between(&a, &c) && !b.is_between(&c, &a));
    assert_eq!(a.distance(&c), 0);
}

proptest! {
    #[test]
    fn three_places_lie_in_one_of_two_orders(a in any_place(), b in any_place(), c in any_place()) {
        prop_assume!(a != b && b != c && a != c);
        prop_assert!(b.is_between(&a, &c) != b.is_between(&c, &a));
        prop_assert_eq!(b.is_between(&a, &c), c.is_between(&b, &a));
        prop_assert_eq!(b.is_between(&a, &c), a.is_between(&c, &b));
    }

    #[test]
    fn no_end_is_between(a in any_place(), b in any_place()) {
        prop_assert!(!a.is_between(&a, &b) && !b.is_between(&a, &b));
        prop_assert_eq!(a.is_between(&b, &b), a != b);
    }

    #[test]
    fn both_ways_make_the_whole_ring(a in any_place(), b in any_place()) {
        prop_assert_eq!(a.arc_to(&b), b.arc_back_to(&a));
        prop_assert_eq!(a.arc_to(&b).wrapping_add(a.arc_back_to(&b)), 0);
        prop_assert_eq!(a.distance(&b), b.distance(&a));
        prop_assert!(a.distance(&b) <= 1 << 63);
    }
}
