//! Tests of calls, at the tracker and at the newcomer.

use std::time::Duration;

use wire::message::{Appointment, Guest, Join, JoinAnswer, JoinRefused, RefuseReason};
use wire::{Bitrate, List, Message, SecretKey, SubstreamSet};

use super::super::Stream;
use super::super::racing::ANEW;
use super::super::testing::{Bench, addr, answer, key, named, peer, record, stream_id};
use super::{CALLS, WANT_IN_A_CALL};
use crate::io::Output;

fn joining(n: u8) -> Join {
    Join {
        stream: stream_id(),
        record: record(n, 0),
        want: 24,
        need: SubstreamSet::EMPTY,
        upload: Bitrate::from_kbps(1_000),
        known: None,
        promised: 0,
    }
}

/// The word of newcomer `n`, which can be called.
fn guest(n: u8) -> Guest {
    Guest {
        addrs: std::iter::once(addr(n)).collect(),
        ..Guest::new(&joining(n), &SecretKey::from_bytes(&[n; 32]))
    }
}

fn comes(bench: &mut Bench, stream: &mut Stream, guest: &Guest) -> Vec<(Option<wire::PeerId>, Vec<Message>)> {
    let join = guest.open().expect("signed by itself");
    bench.out.clear();
    stream.call_guest(&mut bench.ctx(), guest, join);
    let call = |output| match output {
        Output::Connect { peer, opening, .. } => Some((peer, opening)),
        _ => None,
    };
    std::mem::take(&mut bench.out)
        .into_iter()
        .filter_map(call)
        .collect()
}

#[test]
fn a_guest_is_called_with_the_answer_in_the_first_packet() {
    let mut bench = Bench::new(Bitrate::from_kbps(9_000));
    let mut source = bench.source();
    for n in 1..20 {
        bench.register(&mut source, n, 20);
    }
    let calls = comes(&mut bench, &mut source, &guest(100));
    let [(Some(called), opening)] = calls.as_slice() else {
        panic!("one call, not {calls:?}");
    };
    assert_eq!(*called, peer(100));
    let [Message::JoinAnswer(answer)] = opening.as_slice() else {
        panic!("the answer, not {opening:?}");
    };
    assert!(answer.info.is_some() && answer.appointment.is_some());
    let named = answer.peers.len();
    assert!((1..=usize::from(WANT_IN_A_CALL) + 1).contains(&named), "{named}");
    assert!(wire::codec::encode(&opening[0]).len() < 1_700, "two packets");
    // It comes by both directions of the ring.
    assert_eq!(comes(&mut bench, &mut source, &guest(100)), []);
    // The answer did not go along.
    bench.connect(100, 20);
    source.on_called(&mut bench.ctx(), peer(100), false);
    let said = bench.said();
    assert!(
        matches!(said.as_slice(), [(to, Message::JoinAnswer(_))] if *to == peer(100)),
        "{said:?}"
    );
    source.on_called(&mut bench.ctx(), peer(100), false);
    assert!(bench.said().is_empty(), "once is enough");
}

#[test]
fn an_answer_that_went_along_is_not_said_again() {
    let mut bench = Bench::new(Bitrate::from_kbps(9_000));
    let mut source = bench.source();
    assert_eq!(comes(&mut bench, &mut source, &guest(100)).len(), 1);
    bench.connect(100, 20);
    source.on_called(&mut bench.ctx(), peer(100), true);
    assert!(bench.said().is_empty());
    // And who is here needs no call.
    assert_eq!(comes(&mut bench, &mut source, &guest(100)), []);
}

#[test]
fn who_cannot_be_called_is_not_named_to_others() {
    let mut bench = Bench::new(Bitrate::from_kbps(9_000));
    let mut source = bench.source();
    let members = |source: &Stream| source.tracking.as_ref().map(|t| t.tracker.members());
    comes(&mut bench, &mut source, &guest(100));
    assert_eq!(members(&source), Some(1));
    source.on_dial_failed(&mut bench.ctx(), Some(peer(100)), Some(addr(100)));
    assert_eq!(members(&source), Some(0));
    // Nor is anybody called whose address nobody has seen.
    let nowhere = Guest {
        addrs: List::default(),
        ..guest(101)
    };
    assert_eq!(comes(&mut bench, &mut source, &nowhere), []);
}

#[test]
fn a_tracker_calls_only_so_many() {
    let mut bench = Bench::new(Bitrate::from_kbps(9_000));
    let mut source = bench.source();
    let mut called = 0;
    for n in 1..100 {
        called += comes(&mut bench, &mut source, &guest(n)).len() as u32;
    }
    assert_eq!(called, CALLS.at_once);
    bench.now += CALLS.every;
    let later: usize = (100..110)
        .map(|n| comes(&mut bench, &mut source, &guest(n)).len())
        .sum();
    assert_eq!(later, 1);
}

#[test]
fn who_keeps_no_tracker_calls_nobody() {
    let mut bench = Bench::new(Bitrate::from_kbps(9_000));
    let mut viewer = bench.viewer();
    assert_eq!(comes(&mut bench, &mut viewer, &guest(100)), []);
}

#[test]
fn a_word_speaks_for_its_own_peer_only() {
    let foreign = Guest::new(&joining(2), &SecretKey::from_bytes(&[1; 32]));
    assert!(foreign.open().is_err(), "about somebody else");
    let stolen = Guest {
        peer: peer(2),
        ..guest(1)
    };
    assert!(stolen.open().is_err(), "in another's name");
}

#[test]
fn a_newcomer_takes_the_first_tracker_that_calls() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    let appointed = |n| Some(Appointment::sign(&key(), peer(n), 1));
    bench.connect(5, 20);
    // Whoever says it is one has to show that it may be.
    joiner.on_join_answer(&mut bench.ctx(), peer(5), answer(None));
    joiner.on_join_answer(&mut bench.ctx(), peer(5), answer(appointed(6)));
    assert_eq!(joiner.membership.tracker, None);
    bench.connect(6, 20);
    joiner.on_join_answer(&mut bench.ctx(), peer(6), answer(appointed(6)));
    assert_eq!(joiner.whom_to_ask(), Some(peer(6)));
    bench.connect(7, 10);
    joiner.on_join_answer(&mut bench.ctx(), peer(7), answer(appointed(7)));
    assert_eq!(joiner.whom_to_ask(), Some(peer(6)), "later ones come too late");
}

#[test]
fn siblings_of_a_tracker_that_called_are_measured_by_it_once_it_is_known_how_far_away_it_is() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench
        .neighbours
        .insert(bench.now, peer(6), addr(6), vec![addr(6)], None, false);
    let sibling = named(7);
    let answer = JoinAnswer {
        siblings: std::iter::once(sibling).collect(),
        ..answer(Some(Appointment::sign(&key(), peer(6), 1)))
    };
    bench.out.clear();
    joiner.on_join_answer(&mut bench.ctx(), peer(6), answer);
    assert_eq!(joiner.whom_to_ask(), Some(peer(6)));
    assert_eq!(bench.dialled(), [], "nothing to measure by");
    assert!(bench.neighbours.prove(&peer(6), Duration::from_millis(250)));
    joiner.on_proven(&mut bench.ctx(), peer(6));
    assert_eq!(bench.dialled(), [Some(peer(7))]);
}

#[test]
fn who_arrives_before_it_is_known_how_far_away_the_caller_is_is_compared_with_it_afterwards() {
    for (caller_ms, taken) in [(250, 7), (150, 6)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut joiner = bench.joiner();
        // Somebody who is no tracker has named one.
        bench.connect(5, 20);
        joiner.on_connected(&mut bench.ctx(), peer(5), addr(250), true, true);
        let refused = JoinRefused {
            stream: stream_id(),
            reason: RefuseReason::UnknownStream,
            trackers: std::iter::once(named(7)).collect(),
        };
        joiner.on_join_refused(&mut bench.ctx(), peer(5), refused);
        // Another one calls, before the connection to that one stands.
        bench
            .neighbours
            .insert(bench.now, peer(6), addr(6), vec![addr(6)], None, false);
        let answer = answer(Some(Appointment::sign(&key(), peer(6), 1)));
        joiner.on_join_answer(&mut bench.ctx(), peer(6), answer);
        assert_eq!(joiner.whom_to_ask(), Some(peer(6)));
        bench.connect(7, 190);
        joiner.on_connected(&mut bench.ctx(), peer(7), addr(7), true, false);
        assert_eq!(joiner.whom_to_ask(), Some(peer(6)), "nothing to compare it with");
        assert!(bench.neighbours.prove(&peer(6), Duration::from_millis(caller_ms)));
        joiner.on_proven(&mut bench.ctx(), peer(6));
        assert_eq!(joiner.whom_to_ask(), Some(peer(taken)), "{caller_ms}");
    }
}

/// Until then it passes for near.
#[test]
fn a_caller_that_was_named_before_is_no_nearer_than_it_proves_to_be() {
    for (caller_ms, taken) in [(350, 7), (150, 6)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut joiner = bench.joiner();
        bench.connect(5, 20);
        joiner.on_connected(&mut bench.ctx(), peer(5), addr(250), true, true);
        let refused = JoinRefused {
            stream: stream_id(),
            reason: RefuseReason::UnknownStream,
            trackers: [6, 7].into_iter().map(named).collect(),
        };
        joiner.on_join_refused(&mut bench.ctx(), peer(5), refused);
        bench
            .neighbours
            .insert(bench.now, peer(6), addr(6), vec![addr(6)], None, false);
        joiner.on_connected(&mut bench.ctx(), peer(6), addr(6), false, false);
        let answer = answer(Some(Appointment::sign(&key(), peer(6), 1)));
        joiner.on_join_answer(&mut bench.ctx(), peer(6), answer);
        bench.connect(7, 190);
        joiner.on_connected(&mut bench.ctx(), peer(7), addr(7), true, false);
        assert_eq!(joiner.whom_to_ask(), Some(peer(6)), "nothing to compare it with");
        assert!(bench.neighbours.prove(&peer(6), Duration::from_millis(caller_ms)));
        joiner.on_proven(&mut bench.ctx(), peer(6));
        assert_eq!(joiner.whom_to_ask(), Some(peer(taken)), "{caller_ms}");
    }
}

#[test]
fn siblings_that_were_named_once_are_raced_anew_though_a_later_answer_names_none() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.connect(250, 200);
    joiner.on_connected(&mut bench.ctx(), peer(250), addr(250), true, false);
    let sibling = named(7);
    let appointed = || Some(Appointment::sign(&key(), peer(250), 1));
    let first = JoinAnswer {
        siblings: std::iter::once(sibling).collect(),
        ..answer(appointed())
    };
    bench.out.clear();
    joiner.on_join_answer(&mut bench.ctx(), peer(250), first);
    assert_eq!(bench.dialled(), [Some(peer(7))]);
    joiner.on_dial_failed(&mut bench.ctx(), Some(peer(7)), Some(addr(7)));
    joiner.on_join_answer(&mut bench.ctx(), peer(250), answer(appointed()));
    assert_eq!(bench.dialled(), [], "not so soon");
    bench.now += ANEW.mul_f64(1.3);
    joiner.on_join_answer(&mut bench.ctx(), peer(250), answer(appointed()));
    assert_eq!(bench.dialled(), [Some(peer(7))]);
}
