use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(text.parse::<PeerId>().unwrap_err().to_string(), expected);
}

#[test]
fn an_id_is_52_characters_of_base32() {
    let id = PeerId::from_bytes(std::array::from_fn(|i| i as u8));
    let text = "aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypq";
    assert_eq!(id.to_string(), text);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse(), Ok(id));
    assert_eq!((id.short().as_str(), id.tag()), ("aaaqeaye", 0x0001_0203));
    assert_eq!(format!("{id:?}"), "PeerId(aaaqeaye)");
}

#[test]
fn each_mistake_in_an_id_is_named() {
    check_error("", "an id has 52 characters, this one has 0");
    check_error(&"a".repeat(53), "an id has 52 characters, this one has 53");
    check_error(&"ä".repeat(51), "an id has 52 characters, this one has 51");
    check_error(&"ä".repeat(52), "an id is written in the characters a-z and 2-7");
    check_error(&"1".repeat(52), "an id is written in the characters a-z and 2-7");
    check_error(&"b".repeat(52), "an id ends with a or q");
}

#[test]
fn substreams_take_turns() {
    let substreams: Vec<u8> = (14..18).map(|n| Seq(n).substream(16).0).collect();
    assert_eq!(substreams, [14, 15, 0, 1]);
    assert_eq!(Seq(5).behind(Seq(9)), 4);
    assert_eq!(Seq(9).behind(Seq(5)), 0);
    assert_eq!(Seq(u64::MAX).plus(1), Seq(u64::MAX));
}

#[test]
fn sets_at_their_edges() {
    assert_eq!(SubstreamSet::all(0), SubstreamSet::EMPTY);
    assert_eq!(SubstreamSet::all(1), SubstreamSet::one(Substream(0)));
    assert_eq!(SubstreamSet::all(64).len(), 64);
    assert_eq!(SubstreamSet::all(u8::MAX).len(), 64);
    assert!(!SubstreamSet::all(64).contains(Substream(64)));
}

proptest! {
    #[test]
    fn an_id_is_read_as_it_was_written(bytes in any::<[u8; 32]>()) {
        let id = StreamId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_set_behaves_like_a_set(a in prop::collection::btree_set(0..64u8, 0..64), b in any::<u64>()) {
        let set: SubstreamSet = a.iter().copied().map(Substream).collect();
        prop_assert_eq!(set.iter().map(|s| s.0).collect::<Vec<_>>(), a.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(set.len() as usize, a.len());
        let other = SubstreamSet(b);
        for substream in (0..64).map(Substream) {
            let (here, there) = (a.contains(&substream.0), other.contains(substream));
            prop_assert_eq!(set.contains(substream), here);
            prop_assert_eq!(set.and(other).contains(substream), here && there);
            prop_assert_eq!(set.or(other).contains(substream), here || there);
            prop_assert_eq!(set.minus(other).contains(substream), here && !there);
        }
        let mut changed = other;
        changed.insert(Substream(9));
        prop_assert!(changed.contains(Substream(9)));
        changed.remove(Substream(9));
        prop_assert_eq!(changed, other.minus(SubstreamSet::one(Substream(9))));
    }
}
