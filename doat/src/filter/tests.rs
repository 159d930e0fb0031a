use proptest::prelude::*;

use super::*;

fn stream(n: u64) -> StreamId {
    StreamId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn with(streams: impl IntoIterator<Item = u64>) -> Filter {
    let mut filter = Filter::default();
    for n in streams {
        filter.insert(stream(n));
    }
    filter
}

fn holds(filter: &Filter, n: u64) -> bool {
    filter.contains(&Needle::from(stream(n)))
}

/// Frozen: another version of the program must turn the same bits.
#[test]
fn the_bits_of_a_stream_never_change() {
    assert_eq!(
        bits_of(StreamId::from_bytes([0; 32])),
        [16_012, 2_333, 6_803, 1_390, 3_107, 1_057, 8_140],
        "of the stream whose id is zeros"
    );
}

#[test]
fn of_a_thousand_streams_few_others_seem_to_be_there() {
    let filter = with(0..1_000);
    assert!((0..1_000).all(|n| holds(&filter, n)));
    let wrong = (1_000..101_000).filter(|&n| holds(&filter, n)).count();
    // 0.06 % expected.
    assert!((20..120).contains(&wrong), "{wrong} of 100000");
}

proptest! {
    #[test]
    fn a_change_makes_one_of_the_other(
        a in prop::collection::vec(any::<u64>(), 0..300),
        b in prop::collection::vec(any::<u64>(), 0..300),
    ) {
        let (before, after) = (with(a), with(b));
        let change = after.change_from(&before);
        let came = before.changed(&change);
        prop_assert_eq!(came.as_ref(), Some(&after));
        prop_assert_eq!(came.map(|filter| filter.check()), Some(after.check()));
        if let FilterChange::Whole(bytes) = &change {
            prop_assert_eq!(bytes.len(), BITS / 8);
        }
    }

    #[test]
    fn a_merged_filter_holds_what_both_held(a in prop::collection::vec(any::<u64>(), 0..50), b in prop::collection::vec(any::<u64>(), 0..50)) {
        let mut merged = with(a.clone());
        merged.merge(&with(b.clone()));
        prop_assert_eq!(merged, with(a.into_iter().chain(b)));
    }
}

#[test]
fn nonsense_changes_nothing() {
    let filter = with(0..3);
    for change in [
        FilterChange::Flips(std::iter::once(BITS as u16).collect()),
        FilterChange::Whole(vec![0; BITS / 8 - 1]),
        FilterChange::Whole(Vec::new()),
    ] {
        assert_eq!(filter.changed(&change), None);
    }
}
