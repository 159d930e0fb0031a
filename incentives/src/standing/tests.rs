use proptest::prelude::*;

use super::*;

fn peer(n: u16) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

/// Asserts after how many offences, each `seconds` after the one before, a peer is shut out; `None` for not in 1000.
#[track_caller]
fn check(offence: Offence, seconds: u64, expected: Option<u64>) {
    let mut standing = Standing::default();
    let banned = (0..1000).find(|n| standing.penalise(at(n * seconds), offence) == Verdict::Ban);
    assert_eq!(banned.map(|n| n + 1), expected);
}

#[test]
fn offences_that_shut_out() {
    check(Offence::WrongSignature, 0, Some(2));
    check(Offence::WrongSignature, 120, Some(2));
    check(Offence::WrongSignature, 360, None);
    check(Offence::Malformed, 0, Some(4));
    check(Offence::Malformed, 150, None);
    check(Offence::Flood, 0, Some(10));
    check(Offence::Flood, 60, None);
    check(Offence::NeverSent, 0, Some(20));
    check(Offence::NeverSent, 30, None);
}

#[test]
fn a_ban_ends_and_leaves_a_clean_record() {
    let mut standing = Standing::default();
    let _ = standing.penalise(at(0), Offence::WrongSignature);
    assert!(!standing.is_banned(at(0)));
    assert_eq!(standing.penalise(at(0), Offence::WrongSignature), Verdict::Ban);
    assert!(standing.is_banned(at(599)));
    assert_eq!(standing.misbehaviour(at(599)), 1.0);
    assert!(!standing.is_banned(at(600)));
    assert_eq!(standing.misbehaviour(at(600)), 0.0);
    assert_eq!(standing.penalise(at(600), Offence::WrongSignature), Verdict::Keep);
}

#[test]
fn broken_promises_cost_a_supplier_its_preference_first() {
    let mut standing = Standing::default();
    for _ in 0..4 {
        assert_eq!(standing.penalise(at(10), Offence::NeverSent), Verdict::Keep);
    }
    assert_eq!(standing.unreliability(at(10)), 0.2);
    assert_eq!(
        standing.unreliability(at(70)),
        0.1,
        "half of it is forgiven after a minute"
    );
    assert_eq!(standing.unreliability(at(130)), 0.0);
    let mut other = Standing::default();
    let _ = other.penalise(at(10), Offence::Malformed);
    assert_eq!(
        other.unreliability(at(10)),
        0.0,
        "nonsense says nothing about promises"
    );
    assert_eq!(other.misbehaviour(at(10)), 0.25);
}

#[test]
fn bans_outlive_crowds_of_small_offenders() {
    let mut standings = Standings::new(64);
    for n in 0..32 {
        while standings.penalise(at(0), peer(n), Offence::WrongSignature) == Verdict::Keep {}
    }
    for n in 100..2000 {
        let _ = standings.penalise(at(1), peer(n), Offence::Flood);
        assert!(standings.len() <= 64);
    }
    assert!((0..32).all(|n| standings.is_banned(at(1), peer(n))));
    assert!(!standings.is_banned(at(1), peer(999)));
}

fn any_offence() -> impl Strategy<Value = Offence> {
    prop::sample::select(vec![
        Offence::WrongSignature,
        Offence::Malformed,
        Offence::Flood,
        Offence::NeverSent,
    ])
}

proptest! {
    #[test]
    fn scores_stay_in_range_and_are_forgiven(
        offences in prop::collection::vec((any_offence(), 0..100u64), 1..100),
    ) {
        let mut standing = Standing::default();
        let mut now = at(5);
        for (offence, seconds) in offences {
            now += Duration::from_secs(seconds);
            let before = standing.misbehaviour(now);
            let verdict = standing.penalise(now, offence);
            let after = standing.misbehaviour(now);
            prop_assert!((0.0..=1.0).contains(&after) && after > 0.0);
            prop_assert!((0.0..=1.0).contains(&standing.unreliability(now)));
            prop_assert!(after > before || before == 1.0);
            prop_assert!(verdict == Verdict::Keep || standing.is_banned(now));
        }
        let later = now + Duration::from_secs(1200);
        prop_assert_eq!((standing.misbehaviour(later), standing.unreliability(later)), (0.0, 0.0));
    }
}
