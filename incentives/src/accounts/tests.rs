use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn stream(n: u8) -> StreamId {
    StreamId::from_bytes([n; 32])
}

fn at(seconds: u64) -> Time {
    Time::from_millis(seconds * 1000)
}

#[test]
fn what_was_given_and_taken_is_kept_for_each_stream() {
    let mut accounts = Accounts::new(100);
    accounts.received(at(0), peer(1), stream(1), 1000);
    accounts.sent(at(1), peer(1), stream(1), 400);
    accounts.sent(at(1), peer(1), stream(2), 700);
    accounts.received(at(1), peer(2), stream(1), 1);
    assert_eq!(
        accounts.account(peer(1), stream(1)),
        Account {
            to_me: 1000,
            by_me: 400
        }
    );
    assert_eq!(
        accounts.total(peer(1)),
        Account {
            to_me: 1000,
            by_me: 1100
        }
    );
    assert_eq!(accounts.total(peer(1)).balance(), -100);
    assert_eq!(accounts.total(peer(3)), Account::default());
}

#[test]
fn who_gives_to_the_stream_ranks_before_who_gave_elsewhere_before_who_only_takes() {
    let mut accounts = Accounts::new(100);
    accounts.received(at(0), peer(1), stream(1), 10);
    accounts.received(at(0), peer(2), stream(2), 1_000_000);
    accounts.sent(at(0), peer(4), stream(1), 1_000_000);
    let mut children = vec![peer(1), peer(2), peer(3), peer(4)];
    children.sort_by_key(|&child| accounts.contribution(child, stream(1)));
    assert_eq!(children, [peer(4), peer(3), peer(2), peer(1)]);
}

#[test]
fn small_newcomers_push_out_each_other_and_not_who_gave_much() {
    let mut accounts = Accounts::new(80);
    for n in 0..40 {
        accounts.received(at(0), peer(n), stream(1), 1_000_000);
    }
    for n in 0..255u8 {
        for s in 0..4 {
            accounts.received(at(1), PeerId::from_bytes([n; 32]), stream(s + 10), 1);
            assert!(accounts.len() <= 80);
        }
    }
    for n in 0..40 {
        assert_eq!(accounts.account(peer(n), stream(1)).to_me, 1_000_000);
    }
}

#[test]
fn what_is_not_in_use_gives_way_first() {
    let mut accounts = Accounts::new(8);
    for n in 0..8 {
        accounts.received(at(0), peer(n), stream(1), 1000 * u64::from(n));
    }
    for n in [0, 1, 2] {
        accounts.received(at(100), peer(n), stream(1), 1);
    }
    accounts.received(at(100), peer(9), stream(1), 1);
    // The least of those that rested, though 0 to 2 gave less.
    let gone = (0..8)
        .filter(|n| accounts.account(peer(*n), stream(1)) == Account::default())
        .collect::<Vec<_>>();
    assert_eq!(gone, [3]);
}

#[test]
fn sums_do_not_overflow() {
    let mut accounts = Accounts::new(8);
    accounts.received(at(0), peer(1), stream(1), u64::MAX);
    accounts.received(at(0), peer(1), stream(1), 1);
    accounts.received(at(0), peer(1), stream(2), u64::MAX);
    assert_eq!(accounts.total(peer(1)).to_me, u64::MAX);
    assert_eq!(accounts.total(peer(1)).balance(), i64::MAX);
    accounts.sent(at(0), peer(2), stream(1), u64::MAX);
    assert_eq!(accounts.total(peer(2)).balance(), i64::MIN);
}

#[test]
fn what_was_added_is_taken_once() {
    let mut accounts = Accounts::new(2);
    let gave = |to_me| Account { to_me, by_me: 1 };
    for (p, s, to_me) in [(1, 1, 10), (1, 2, 20), (1, 1, 5), (2, 1, 7)] {
        accounts.add(Time::ZERO, peer(p), stream(s), gave(to_me));
    }
    let news = accounts.take_news();
    let first = Account { to_me: 15, by_me: 2 };
    // There is no room for a third.
    assert_eq!(
        news,
        [(peer(1), stream(1), first), (peer(1), stream(2), gave(20))]
    );
    assert!(accounts.take_news().is_empty());
    accounts.add(Time::ZERO, peer(2), stream(1), gave(7));
    assert_eq!(accounts.take_news(), [(peer(2), stream(1), gave(7))]);
}

proptest! {
    #[test]
    fn books_are_right_while_there_is_room_and_never_overstated_after(
        limit in 1..40usize,
        entries in prop::collection::vec((0..12u8, 0..3u8, any::<bool>(), 0..10_000u64, 0..30u64), 0..300),
    ) {
        let mut accounts = Accounts::new(limit);
        let mut truth: BTreeMap<(u8, u8), Account> = BTreeMap::new();
        let mut now = Time::ZERO;
        for (p, s, to_me, bytes, seconds) in entries {
            now += Duration::from_secs(seconds);
            let account = truth.entry((p, s)).or_default();
            if to_me {
                accounts.received(now, peer(p), stream(s), bytes);
                account.to_me += bytes;
            } else {
                accounts.sent(now, peer(p), stream(s), bytes);
                account.by_me += bytes;
            }
            prop_assert!(accounts.len() <= limit);
        }
        for (&(p, s), account) in &truth {
            let kept = accounts.account(peer(p), stream(s));
            prop_assert!(kept.to_me <= account.to_me && kept.by_me <= account.by_me);
            prop_assert!(truth.len() > limit || kept == *account);
        }
    }
}
