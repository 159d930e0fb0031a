use std::time::Duration;

use wire::message::{Appointment, JoinAnswer, JoinRefused, RefuseReason};
use wire::{Bitrate, Message, SecretKey, Time};

use super::super::Stream;
use super::super::racing::{ANEW, Found};
use super::super::testing::{Bench, addr, answer, key, named, peer, stream_id};
use super::{MOST_SENT_ON, TRACKER_RETRY, TRACKER_RETRY_MAX};
use crate::io::{Event, Output};

/// The word of somebody who is no tracker, and names these.
fn refused(trackers: &[u8]) -> JoinRefused {
    JoinRefused {
        stream: stream_id(),
        reason: RefuseReason::UnknownStream,
        trackers: trackers.iter().copied().map(named).collect(),
    }
}

/// When a joiner whose every dial fails at once dials again: the waits between.
fn waits(seed: u64) -> Vec<Duration> {
    let mut bench = Bench::with_seed(Bitrate::from_kbps(4_000), seed);
    let mut joiner = bench.joiner();
    let mut dials: Vec<Time> = vec![bench.now];
    assert_eq!(bench.dialled(), [None]);
    joiner.on_dial_failed(&mut bench.ctx(), None, Some(addr(250)));
    while dials.len() < 9 {
        bench.pass(5);
        joiner.membership_tick(&mut bench.ctx());
        if !bench.dialled().is_empty() {
            dials.push(bench.now);
            joiner.on_dial_failed(&mut bench.ctx(), None, Some(addr(250)));
        }
    }
    dials.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

#[test]
fn the_tracker_is_dialled_again_after_ever_longer_waits() {
    let tolerance = Duration::from_millis(10);
    let mut nominal = TRACKER_RETRY;
    for wait in waits(1) {
        assert!(
            wait + tolerance >= nominal / 2 && wait <= nominal * 3 / 2 + tolerance,
            "{wait:?} for {nominal:?}"
        );
        nominal = (nominal * 2).min(TRACKER_RETRY_MAX);
    }
    assert_eq!(nominal, TRACKER_RETRY_MAX);
}

#[test]
fn and_not_by_everybody_at_the_same_moment() {
    let firsts: std::collections::BTreeSet<_> = (0..20).map(|seed| waits(seed)[0]).collect();
    assert!(firsts.len() > 10, "{firsts:?}");
    let (first, last) = (firsts.first().expect("some"), firsts.last().expect("some"));
    assert!(*last > *first + TRACKER_RETRY / 2);
}

#[test]
fn who_is_sent_in_circles_begins_anew_after_a_while() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.dialled();
    let mut at = 1;
    bench.connect(at, 20);
    joiner.on_connected(&mut bench.ctx(), peer(at), addr(250), true, false);
    let mut followed = 0;
    loop {
        bench.out.clear();
        let next = at + 1;
        let refused = refused(&[next]);
        // Others may say what they like.
        joiner.on_join_refused(&mut bench.ctx(), peer(99), refused.clone());
        assert_eq!(joiner.membership.tracker, Some(peer(at)));
        joiner.on_join_refused(&mut bench.ctx(), peer(at), refused);
        assert_eq!(joiner.membership.tracker, None);
        if bench.dialled() != [Some(peer(next))] {
            break;
        }
        followed += 1;
        at = next;
        bench.connect(at, 20);
        joiner.on_connected(&mut bench.ctx(), peer(at), addr(at), true, false);
        let asked = bench
            .said()
            .into_iter()
            .filter(|(to, message)| *to == peer(at) && matches!(message, Message::Join(_)));
        assert_eq!(asked.count(), 1);
    }
    assert_eq!(followed, MOST_SENT_ON);
    bench.pass(1_000);
    joiner.membership_tick(&mut bench.ctx());
    assert_eq!(bench.dialled(), [None], "the link's own address again");
}

#[test]
fn a_tracker_that_the_stream_did_not_appoint_is_none() {
    let appointed = |by: &SecretKey, n: u8| Some(Appointment::sign(by, peer(n), 1));
    let stranger = SecretKey::from_bytes(&[8; 32]);
    for (appointment, believed) in [
        (None, false),
        // By itself, by another stream, and instead of somebody else.
        (appointed(&SecretKey::from_bytes(&[1; 32]), 1), false),
        (appointed(&stranger, 1), false),
        (appointed(&key(), 2), false),
        (appointed(&key(), 1), true),
    ] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut joiner = bench.joiner();
        bench.connect(1, 20);
        joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
        joiner.on_join_answer(&mut bench.ctx(), peer(1), answer(appointment));
        assert_eq!(joiner.info.is_some(), believed);
        let tracker = believed.then(|| peer(1));
        assert_eq!(joiner.membership.tracker, tracker);
        bench.dialled();
        bench.pass(1_000);
        joiner.membership_tick(&mut bench.ctx());
        let dialled = bench.dialled();
        assert_eq!(dialled.is_empty(), believed, "{dialled:?}");
    }
}

/// A joiner that was sent to trackers 2 and 3; the first is connected and asked.
fn sent_to_two(bench: &mut Bench) -> Stream {
    let mut joiner = bench.joiner();
    bench.connect(1, 20);
    joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    let refused = refused(&[2, 3]);
    bench.out.clear();
    joiner.on_join_refused(&mut bench.ctx(), peer(1), refused);
    assert_eq!(bench.dialled().len(), 2);
    bench.connect(2, 90);
    joiner.on_connected(&mut bench.ctx(), peer(2), addr(2), true, false);
    assert_eq!(joiner.membership.tracker, Some(peer(2)));
    // The other's handshake is over before the first has answered.
    bench.pass(80);
    bench.connect(3, 170);
    joiner.on_connected(&mut bench.ctx(), peer(3), addr(3), true, false);
    joiner
}

#[test]
fn the_nearer_tracker_is_not_left_for_one_that_comes_before_its_answer() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = sent_to_two(&mut bench);
    assert_eq!(joiner.membership.tracker, Some(peer(2)));
    joiner.on_join_answer(
        &mut bench.ctx(),
        peer(2),
        answer(Some(Appointment::sign(&key(), peer(2), 1))),
    );
    assert!(joiner.membership.answered);
}

#[test]
fn the_farther_one_is_asked_when_the_nearer_refuses_or_is_silent() {
    for silent in [false, true] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut joiner = sent_to_two(&mut bench);
        if silent {
            bench.pass(1_000);
            joiner.membership_tick(&mut bench.ctx());
        } else {
            joiner.on_join_refused(&mut bench.ctx(), peer(2), refused(&[]));
        }
        assert_eq!(joiner.membership.tracker, Some(peer(3)), "silent: {silent}");
    }
}

#[test]
fn a_tracker_is_measured_against_its_siblings_again_later() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.connect(1, 90);
    joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    let sibling = named(2);
    let told = JoinAnswer {
        siblings: std::iter::once(sibling).collect(),
        ..answer(Some(Appointment::sign(&key(), peer(1), 1)))
    };
    let mut dials = Vec::new();
    bench.out.clear();
    let begun = bench.now;
    while dials.len() < 3 {
        joiner.on_join_answer(&mut bench.ctx(), peer(1), told.clone());
        if bench.dialled().contains(&Some(peer(2))) {
            dials.push(bench.now.since(begun));
            // The first two fail, so it is out of the race.
            if dials.len() < 3 {
                joiner.on_dial_failed(&mut bench.ctx(), Some(peer(2)), Some(addr(2)));
            }
        }
        bench.pass(1_000);
        assert!(bench.now.since(begun) < 10 * ANEW, "{dials:?}");
    }
    let waits: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        dials[0].is_zero() && waits[0] >= ANEW / 2 && waits[1] > waits[0],
        "{dials:?}"
    );
    bench.connect(2, 20);
    joiner.on_connected(&mut bench.ctx(), peer(2), addr(2), true, false);
    assert_eq!(joiner.membership.tracker, Some(peer(2)), "it is nearer");
}

#[test]
fn a_tracker_that_a_later_answer_names_is_measured_at_once() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.connect(1, 90);
    joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    let appointed = || Some(Appointment::sign(&key(), peer(1), 1));
    joiner.on_join_answer(&mut bench.ctx(), peer(1), answer(appointed()));
    bench.pass(1_000);
    bench.out.clear();
    let told = JoinAnswer {
        siblings: std::iter::once(named(2)).collect(),
        ..answer(appointed())
    };
    joiner.on_join_answer(&mut bench.ctx(), peer(1), told);
    assert_eq!(bench.dialled(), [Some(peer(2))]);
    bench.connect(2, 20);
    joiner.on_connected(&mut bench.ctx(), peer(2), addr(2), true, false);
    assert_eq!(joiner.membership.tracker, Some(peer(2)), "it is nearer");
}

#[test]
fn who_was_asked_with_the_first_packet_is_waited_for_before_the_overlay_is_asked() {
    for (opened, at_once) in [(true, false), (false, true)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut joiner = bench.joiner();
        bench.connect(1, 20);
        joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, opened);
        assert_eq!(joiner.take_look_up(bench.now), at_once, "opened: {opened}");
        bench.pass(250);
        assert_eq!(joiner.take_look_up(bench.now), !at_once, "opened: {opened}");
    }
}

#[test]
fn nobody_waits_for_one_to_come_back_that_was_lost_before_it_answered() {
    for answered in [false, true] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut joiner = bench.joiner();
        bench.connect(1, 20);
        joiner.on_connected(&mut bench.ctx(), peer(1), addr(1), true, true);
        joiner.register_with(&mut bench.ctx(), peer(1), Some(addr(1)));
        if answered {
            let welcome = answer(Some(Appointment::sign(&key(), peer(1), 1)));
            joiner.on_join_answer(&mut bench.ctx(), peer(1), welcome);
        }
        bench.neighbours.remove(&peer(1), &mut bench.accounts);
        joiner.forget_peer(&mut bench.ctx(), peer(1));
        assert_eq!(joiner.membership.tracker, None);
        bench.dialled();
        bench.pass(2 * TRACKER_RETRY.as_millis() as u64);
        joiner.membership_tick(&mut bench.ctx());
        assert_eq!(joiner.take_look_up(bench.now), !answered, "answered: {answered}");
    }
}

#[test]
fn who_is_dialled_in_vain_is_not_looked_for_again_until_there_are_no_others() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    let me = peer(200);
    bench.connect(1, 20);
    joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    joiner.on_join_refused(&mut bench.ctx(), peer(1), refused(&[2, 3]));
    assert_eq!(joiner.not_sought(me), [peer(1), me], "who is no tracker");
    bench.dialled();
    bench.pass(1_400);
    joiner.membership_tick(&mut bench.ctx());
    assert_eq!(bench.dialled(), [], "they may still answer");
    bench.pass(100);
    joiner.membership_tick(&mut bench.ctx());
    assert_eq!(joiner.not_sought(me), [peer(1), peer(2), peer(3), me]);
    // The way to others begins at once, not when the transport gives up.
    bench.pass(250);
    joiner.membership_tick(&mut bench.ctx());
    assert!(joiner.take_look_up(bench.now));
    assert_eq!(joiner.not_sought(me), [peer(1), peer(2), peer(3), me]);
    let nothing = |over| Found { lease: None, over };
    joiner.on_found(&mut bench.ctx(), nothing(false));
    joiner.on_found(&mut bench.ctx(), nothing(true));
    assert_eq!(joiner.not_sought(me), [me]);
}

#[test]
fn who_answers_later_than_it_is_waited_for_is_asked_all_the_same() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.connect(1, 20);
    joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    joiner.on_join_refused(&mut bench.ctx(), peer(1), refused(&[2]));
    bench.pass(1_500);
    joiner.membership_tick(&mut bench.ctx());
    bench.said();
    bench.connect(2, 1_600);
    joiner.on_connected(&mut bench.ctx(), peer(2), addr(2), true, false);
    assert_eq!(joiner.membership.tracker, Some(peer(2)));
    let asked = bench.said();
    assert!(
        asked
            .iter()
            .any(|(to, message)| *to == peer(2) && matches!(message, Message::Join(_)))
    );
}

/// Whom a joiner asks that is connected to all of these and whose every question is refused.
fn asked_in_turn(connected: &[u8], times: usize) -> Vec<Option<u8>> {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.dialled();
    joiner.on_dial_failed(&mut bench.ctx(), None, Some(addr(250)));
    for &n in connected {
        bench.connect(n, 20);
        joiner.membership.via.push(addr(n));
    }
    let mut asked = Vec::new();
    while asked.len() < times {
        bench.pass(5);
        joiner.membership_tick(&mut bench.ctx());
        match joiner.membership.tracker {
            Some(tracker) => {
                asked.push(connected.iter().copied().find(|&n| peer(n) == tracker));
                joiner.on_join_refused(&mut bench.ctx(), tracker, refused(&[]));
            }
            None if bench.dialled() == [None] => {
                asked.push(None);
                joiner.on_dial_failed(&mut bench.ctx(), None, Some(addr(250)));
            }
            None => {}
        }
        bench.out.clear();
    }
    asked
}

#[test]
fn whoever_is_connected_is_asked_in_turn_and_then_the_others_are_dialled() {
    let asked = asked_in_turn(&[1, 2], 6);
    for all in [Some(1), Some(2), None] {
        assert_eq!(asked.iter().filter(|&&one| one == all).count(), 2, "{asked:?}");
    }
}

#[test]
fn who_is_turned_away_on_the_way_in_says_so_and_tries_again() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    let told = |bench: &mut Bench| {
        let is_told = |output: &Output| matches!(output, Output::Event(Event::TurnedAway { .. }));
        std::mem::take(&mut bench.out)
            .iter()
            .filter(|output| is_told(output))
            .count()
    };
    joiner.on_turned_away(&mut bench.ctx(), None, Some(addr(250)));
    assert_eq!(told(&mut bench), 1);
    // Some other node's dial is not about this stream.
    joiner.on_turned_away(&mut bench.ctx(), Some(peer(7)), Some(addr(7)));
    assert_eq!(told(&mut bench), 0);
    joiner.on_dial_failed(&mut bench.ctx(), None, Some(addr(250)));
    bench.pass(250);
    joiner.membership_tick(&mut bench.ctx());
    assert_eq!(bench.dialled(), [None]);
    bench.connect(1, 20);
    joiner.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    let appointment = Some(Appointment::sign(&key(), peer(1), 1));
    joiner.on_join_answer(&mut bench.ctx(), peer(1), answer(appointment));
    bench.out.clear();
    joiner.on_turned_away(&mut bench.ctx(), None, Some(addr(250)));
    assert_eq!(told(&mut bench), 0, "it is in");
}
