//! Slots that are promised: to whom, where, and how they are counted.

use super::*;

/// The seats of an answer: which substream with whom.
fn seats(answer: &Answer) -> Vec<(u8, u32)> {
    let mut seats: Vec<(u8, u32)> = answer
        .peers
        .iter()
        .flat_map(|(peer, set)| set.iter().map(|s| (s.0, number(peer.peer))))
        .collect();
    seats.sort_unstable();
    seats
}

#[test]
fn a_seat_is_held_for_each_substream_that_is_needed() {
    let mut tracker = line(1000);
    let need = SubstreamSet::all(16);
    let joiner = member(2000, 500.4);
    let answer = tracker
        .join(Time::ZERO, joiner.peer, at(joiner.peer), &ask(joiner, 40, need))
        .unwrap();
    let substreams: Vec<u8> = seats(&answer).iter().map(|(s, _)| *s).collect();
    assert_eq!(substreams, (0..16).collect::<Vec<u8>>());
    // Who holds seats comes first, and has as many slots.
    let holders = answer.peers.iter().take_while(|(_, set)| !set.is_empty()).count();
    for (at, (peer, set)) in answer.peers.iter().enumerate() {
        assert_eq!(!set.is_empty(), at < holders);
        assert_eq!(
            u32::from(peer.free_slots) + set.len(),
            4,
            "what is held is not free"
        );
    }
}

#[test]
fn what_a_member_passes_on_is_had_from_there_rather_than_from_others() {
    let mut tracker = line(32);
    let joiner = member(2000, 16.4);
    let need = SubstreamSet::one(Substream(3));
    let answer = tracker
        .join(Time::ZERO, joiner.peer, at(joiner.peer), &ask(joiner, 8, need))
        .unwrap();
    assert!(matches!(seats(&answer)[..], [(3, 3 | 19)]), "{answer:?}");
}

#[test]
fn a_peer_that_has_not_got_a_substream_holds_no_seat_for_it() {
    let mut tracker = tracker();
    let mut record = member(1, 10.0);
    record.has = [Substream(4), Substream(5)].into_iter().collect();
    register(&mut tracker, Time::ZERO, record);
    let joiner = member(2, 11.0);
    let answer = tracker
        .join(
            Time::ZERO,
            joiner.peer,
            at(joiner.peer),
            &ask(joiner, 8, SubstreamSet::all(16)),
        )
        .unwrap();
    assert_eq!(seats(&answer), [(1, 1), (4, 1), (5, 1)]);
}

#[test]
fn a_member_without_free_slots_is_no_help() {
    let mut tracker = line(50);
    for n in 1..=50 {
        let mut record = member(n, f64::from(n));
        record.free_slots = u16::from(n == 45);
        register(&mut tracker, Time::ZERO, record);
    }
    let need = SubstreamSet::one(Substream(45 % 16));
    assert_eq!(named(&mut tracker, member(99, 10.0), 20, need)[0], 45);
}

#[test]
fn slots_that_are_promised_are_not_promised_again() {
    let mut tracker = tracker();
    for n in [16, 32] {
        register(&mut tracker, Time::ZERO, member(n, f64::from(n)));
    }
    let need = SubstreamSet::one(Substream(0));
    let seat = |tracker: &mut Tracker, n: u32, now: Time| {
        let mut joiner = member(n, 10.0);
        joiner.slots = 0;
        let answer = tracker
            .join(now, joiner.peer, at(joiner.peer), &ask(joiner, 1, need))
            .unwrap();
        seats(&answer).first().map(|(_, at)| *at)
    };
    // Two can help, with 4 free slots each, the nearer one first while it has more than a last one or two.
    let mut given: Vec<Option<u32>> = (100..109).map(|n| seat(&mut tracker, n, Time::ZERO)).collect();
    assert_eq!(given[0], Some(16));
    assert_eq!(given.pop(), Some(None), "none is left for a ninth");
    given.sort_unstable();
    assert_eq!(given, [[Some(16); 4], [Some(32); 4]].concat());
    // A report that does not count the promises yet changes nothing, however late it comes; one that counts them says what is left.
    register(&mut tracker, Time::from_millis(900), member(16, 16.0));
    assert_eq!(seat(&mut tracker, 110, Time::from_millis(900)), None);
    let mut report = ask(member(16, 16.0), 0, SubstreamSet::EMPTY);
    report.promised = 3;
    report.record.free_slots = 2;
    tracker
        .join(
            Time::from_millis(950),
            report.record.peer,
            at(report.record.peer),
            &report,
        )
        .unwrap();
    let again: Vec<_> = (111..113)
        .map(|n| seat(&mut tracker, n, Time::from_millis(950)))
        .collect();
    assert_eq!(again, [Some(16), None], "one of its two was promised since");
}

#[test]
fn who_comes_back_with_promises_of_an_earlier_registration_owes_none() {
    let mut tracker = tracker();
    let need = SubstreamSet::one(Substream(0));
    let mut report = ask(member(16, 16.0), 0, SubstreamSet::EMPTY);
    report.promised = u32::MAX;
    tracker
        .join(Time::ZERO, report.record.peer, at(report.record.peer), &report)
        .unwrap();
    let seats_of = |tracker: &mut Tracker| {
        let seated = (100..110).filter(|&n| {
            let mut joiner = member(n, 10.0);
            joiner.slots = 0;
            let answer = tracker.join(
                Time::from_millis(900),
                joiner.peer,
                at(joiner.peer),
                &ask(joiner, 1, need),
            );
            answer.unwrap().peers.iter().any(|(_, set)| !set.is_empty())
        });
        seated.count()
    };
    assert_eq!(seats_of(&mut tracker), 4);
    // The count goes round.
    report.promised = 3;
    tracker
        .join(
            Time::from_millis(500),
            report.record.peer,
            at(report.record.peer),
            &report,
        )
        .unwrap();
    assert_eq!(seats_of(&mut tracker), 4);
    // It claims more than there were: what it says of its free slots counts.
    report.promised = 3_000;
    tracker
        .join(
            Time::from_millis(900),
            report.record.peer,
            at(report.record.peer),
            &report,
        )
        .unwrap();
    assert_eq!(seats_of(&mut tracker), 4);
}

#[test]
fn who_passes_on_is_sent_to_where_a_leaf_makes_room_and_a_leaf_is_not() {
    let mut tracker = tracker();
    let mut full = member(3, 5.0);
    full.free_slots = 0;
    full.leaves = SubstreamSet::one(Substream(3));
    register(&mut tracker, Time::ZERO, full);
    let mut empty = member(19, 5.0);
    empty.has = SubstreamSet::EMPTY;
    register(&mut tracker, Time::ZERO, empty);
    let need = SubstreamSet::one(Substream(3));
    let mut seat = |n: u32| {
        let mut joiner = member(n, 10.0);
        joiner.slots = 0;
        let answer = tracker.join(Time::ZERO, joiner.peer, at(joiner.peer), &ask(joiner, 8, need));
        seats(&answer.unwrap())
    };
    // It passes on substream 3: whoever waits for that itself would refuse it.
    assert_eq!(seat(35), [(3, 3)]);
    // It passes on substream 4: it may wait below a newcomer.
    assert_eq!(seat(36), [(3, 19)]);
}

#[test]
fn what_is_foreseen_for_a_stranger_is_what_it_would_get_and_nothing_is_held() {
    let mut tracker = line(1000);
    let foreseen = tracker.foresee(8);
    assert_eq!(foreseen.len(), 8);
    assert!(foreseen.iter().all(|record| record.free_slots == 4));
    assert_eq!(tracker.foresee(8), foreseen);
    let mut stranger = member(2000, 0.0);
    stranger.coord = Coord::ORIGIN;
    let ask = ask(stranger.clone(), 12, SubstreamSet::all(16));
    let answer = tracker
        .join(Time::ZERO, stranger.peer, at(stranger.peer), &ask)
        .unwrap();
    let seated = answer.peers.iter().filter(|(_, set)| !set.is_empty());
    let both = seated.filter(|(peer, _)| foreseen.iter().any(|record| record.peer == peer.peer));
    assert!(both.count() >= 6, "{answer:?}");
}
