use std::time::Duration;

use incentives::Offence;
use wire::message::{Displaced, Path, RefuseReason, Refused};
use wire::{Bitrate, Message, Seq, Substream, SubstreamSet, Time};

use super::super::Stream;
use super::super::testing::{
    Bench, CHUNK_MS, FIRST, K, addr, asked, ended, no_referrals, nothing, offer, one, peer, request_for,
    stream_id,
};
use super::super::watch::{DETACHED, DISTRUST, FIRST_CHUNK};

/// A viewer that peer 1 supplies with everything but substream 5, and peer 2 with that.
fn supplied(bench: &mut Bench) -> Stream {
    let mut viewer = bench.viewer();
    for n in 1..=3 {
        bench.connect(n, 20);
    }
    let rest = SubstreamSet::all(K).minus(one(5));
    bench.supplied_by(&mut viewer, 1, rest);
    bench.supplied_by(&mut viewer, 2, one(5));
    bench.out.clear();
    viewer
}

/// Lets the chunks of `seqs` come as they are made, but for those of `silent`, and the viewer look at itself.
fn flow(bench: &mut Bench, viewer: &mut Stream, seqs: std::ops::Range<u64>, silent: SubstreamSet) {
    flow_without(bench, viewer, seqs, silent, None);
}

/// The same while one of the peers is gone; the others answer when they are called.
fn flow_without(
    bench: &mut Bench,
    viewer: &mut Stream,
    seqs: std::ops::Range<u64>,
    silent: SubstreamSet,
    gone: Option<u8>,
) {
    for seq in seqs {
        let now = bench.now;
        for n in (1..=3).filter(|&n| Some(n) != gone) {
            bench.neighbours.hear(now, &peer(n));
        }
        let substream = Seq(seq).substream(K);
        if !silent.contains(substream) {
            let from = if substream == Substream(5) { 2 } else { 1 };
            bench.push(viewer, from, seq);
        }
        viewer.watch_parents(&mut bench.ctx());
        bench.pass(CHUNK_MS);
    }
}

fn parent(viewer: &Stream, s: u8) -> Option<wire::PeerId> {
    viewer.sub(Substream(s)).and_then(|sub| sub.parent)
}

fn unreliability(bench: &Bench, n: u8) -> f64 {
    bench.standings.of(peer(n)).unreliability(bench.now)
}

#[test]
fn a_path_through_oneself_ends_the_supply() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    let path = |substream: u8, ancestors: &[u32]| Path {
        stream: stream_id(),
        substream: Substream(substream),
        attached: true,
        ancestors: ancestors.iter().copied().collect(),
    };
    let me = peer(200).tag();
    viewer.on_path(&mut bench.ctx(), peer(1), &path(0, &[peer(1).tag(), 7]));
    assert_eq!(parent(&viewer, 0), Some(peer(1)));
    // Whoever does not supply it has no say.
    viewer.on_path(&mut bench.ctx(), peer(3), &path(0, &[peer(3).tag(), me]));
    assert_eq!(parent(&viewer, 0), Some(peer(1)));
    viewer.on_path(&mut bench.ctx(), peer(1), &path(0, &[peer(1).tag(), me, 7]));
    assert_eq!(parent(&viewer, 0), None);
    assert_eq!(ended(&bench.said(), peer(1)), one(0));
}

#[test]
fn a_supplier_that_goes_silent_is_left_for_a_while() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
    assert_eq!(ended(&bench.said(), peer(2)), SubstreamSet::EMPTY);
    flow(&mut bench, &mut viewer, FIRST + 100..FIRST + 180, one(5));
    assert_eq!(parent(&viewer, 5), None);
    assert_eq!(ended(&bench.said(), peer(2)), one(5));
    assert_eq!(parent(&viewer, 4), Some(peer(1)), "the others go on");
    assert_eq!(
        unreliability(&bench, 2),
        0.0,
        "it did send, until something happened"
    );
    // Its offer, however good, is not taken before its time.
    bench.now += Duration::from_millis(100);
    viewer.on_advert(&mut bench.ctx(), peer(2), offer(1));
    viewer.seek_parents(&mut bench.ctx());
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::EMPTY);
    bench.now += DISTRUST;
    viewer.seek_parents(&mut bench.ctx());
    assert_eq!(asked(&bench.said(), peer(2)), one(5));
}

#[test]
fn who_agrees_and_never_sends_breaks_a_promise_once() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    let two = one(5).or(one(6));
    bench.supplied_by(&mut viewer, 3, two);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 60, two);
    assert_eq!(
        parent(&viewer, 5),
        Some(peer(3)),
        "a newcomer's first chunk may take longer"
    );
    assert!(Duration::from_millis(60 * CHUNK_MS) < FIRST_CHUNK);
    flow(&mut bench, &mut viewer, FIRST + 60..FIRST + 140, two);
    assert_eq!((parent(&viewer, 5), parent(&viewer, 6)), (None, None));
    let mut once = incentives::Standing::default();
    let _ = once.penalise(bench.now, Offence::NeverSent);
    assert!(unreliability(&bench, 3) > 0.0);
    assert!(
        unreliability(&bench, 3) <= once.unreliability(bench.now),
        "two substreams, one promise"
    );
    assert_eq!(unreliability(&bench, 1), 0.0);
}

#[test]
fn a_pause_of_the_encoder_is_nobodys_fault() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
    for _ in 0..60 {
        bench.pass(50);
        viewer.watch_parents(&mut bench.ctx());
    }
    assert_eq!(parent(&viewer, 0), Some(peer(1)));
    // When it goes on, a whole round of substreams has to pass first.
    flow(
        &mut bench,
        &mut viewer,
        FIRST + 100..FIRST + 200,
        SubstreamSet::EMPTY,
    );
    assert!(viewer.orphans().is_empty());
    assert_eq!(ended(&bench.said(), peer(1)), SubstreamSet::EMPTY);
}

#[test]
fn when_the_only_supplier_is_silent_others_adverts_tell() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
    for _ in 0..20 {
        bench.pass(50);
        let mut advert = offer(20);
        advert.head = Seq(FIRST
            + 100
            + bench
                .now
                .since(super::super::testing::made_at(FIRST + 100))
                .as_millis() as u64
                / CHUNK_MS);
        viewer.on_advert(&mut bench.ctx(), peer(3), advert);
        viewer.watch_parents(&mut bench.ctx());
    }
    assert_eq!(parent(&viewer, 0), None);
}

#[test]
fn a_better_supplier_is_there_before_the_old_one_is_left() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
    // All chunks come with 8 ms of lag: nobody is much better, and nobody is asked.
    viewer.on_advert(&mut bench.ctx(), peer(3), offer(1));
    viewer.improve_one(&mut bench.ctx());
    assert_eq!(asked(&bench.said(), peer(3)), SubstreamSet::EMPTY);
    // Now they come 200 ms late, and somebody has them at once.
    bench.pass(200);
    flow(
        &mut bench,
        &mut viewer,
        FIRST + 100..FIRST + 260,
        SubstreamSet::EMPTY,
    );
    viewer.on_advert(&mut bench.ctx(), peer(3), offer(1));
    viewer.improve_one(&mut bench.ctx());
    let said = bench.said();
    let moved = asked(&said, peer(3));
    assert_eq!(moved.len(), 1, "one at a time");
    assert_eq!(
        ended(&said, peer(1)).or(ended(&said, peer(2))),
        SubstreamSet::EMPTY
    );
    let s = moved.iter().next().expect("one").0;
    let old = parent(&viewer, s).expect("still supplied");
    bench.agree(&mut viewer, 3, moved);
    assert_eq!(parent(&viewer, s), Some(peer(3)));
    assert_eq!(ended(&bench.said(), old), moved);
}

#[test]
fn who_does_not_keep_its_word_is_chosen_last() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for n in 1..=2 {
        bench.connect(n, 20);
    }
    viewer.on_advert(&mut bench.ctx(), peer(2), nothing());
    let _ = bench.standings.penalise(bench.now, peer(1), Offence::NeverSent);
    viewer.orphans();
    // 1 looks better by 300 ms, and has once agreed and not sent.
    viewer.subs.iter_mut().for_each(|sub| sub.pending = Some(peer(9)));
    viewer.on_advert(&mut bench.ctx(), peer(1), offer(20));
    viewer.on_advert(&mut bench.ctx(), peer(2), offer(320));
    viewer.subs.iter_mut().for_each(|sub| sub.pending = None);
    bench.out.clear();
    viewer.seek_parents(&mut bench.ctx());
    let said = bench.said();
    assert_eq!(asked(&said, peer(2)).len(), u32::from(K));
    // Alone it is better than nobody.
    let refused = Refused {
        stream: stream_id(),
        substreams: SubstreamSet::all(K),
        reason: RefuseReason::Full,
        instead: no_referrals(),
    };
    viewer.on_refused(&mut bench.ctx(), peer(2), &refused);
    assert_eq!(asked(&bench.said(), peer(1)).len(), u32::from(K));
}

#[test]
fn storms_leave_no_heap_of_notes() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    for _ in 0..1_000 {
        let substreams = SubstreamSet(u64::MAX);
        let refused = Refused {
            stream: stream_id(),
            substreams,
            reason: RefuseReason::Full,
            instead: no_referrals(),
        };
        viewer.on_refused(&mut bench.ctx(), peer(1), &refused);
        let displaced = Displaced {
            stream: stream_id(),
            substreams,
            instead: no_referrals(),
            grace_ms: 0,
        };
        viewer.on_displaced(&mut bench.ctx(), peer(1), &displaced);
    }
    assert!(viewer.peers.get(&peer(1)).expect("known").refused.len() <= 64);
}

#[test]
fn below_a_supplier_that_looks_for_its_own_everybody_waits() {
    let silence = |attached: bool| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = supplied(&mut bench);
        flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
        let path = Path {
            stream: stream_id(),
            substream: Substream(5),
            ancestors: [peer(2).tag()].into_iter().collect(),
            attached,
        };
        viewer.on_path(&mut bench.ctx(), peer(2), &path);
        let from = bench.now;
        let mut seq = FIRST + 100;
        while parent(&viewer, 5) == Some(peer(2)) {
            flow(&mut bench, &mut viewer, seq..seq + 8, one(5));
            seq += 8;
        }
        bench.now.since(from)
    };
    let (usual, detached) = (silence(true), silence(false));
    assert!(detached >= usual + DETACHED / 2, "{usual:?}, {detached:?}");
    assert!(detached <= usual + DETACHED * 2, "{usual:?}, {detached:?}");
}

#[test]
fn a_child_is_told_at_once_that_the_way_is_broken() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
    bench.connect(7, 20);
    viewer.slots = 8;
    viewer.on_subscribe(&mut bench.ctx(), peer(7), &request_for(one(5), 0, true));
    let told = |bench: &mut Bench| {
        bench.said().into_iter().find_map(|(to, message)| match message {
            Message::Path(path) if to == peer(7) => Some(path.attached),
            _ => None,
        })
    };
    assert_eq!(told(&mut bench), Some(true));
    bench.now += Duration::from_secs(1);
    viewer.forget_peer(&mut bench.ctx(), peer(2));
    viewer.pass_paths_on(&mut bench.ctx());
    assert_eq!(told(&mut bench), Some(false));
}

#[test]
fn a_newcomer_waits_for_its_seat_and_nobody_else_does() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    for substream in 0..K {
        viewer.sub_mut(Substream(substream)).expect("one of K").seat = Some((peer(2), bench.now));
    }
    let mut little = offer(20);
    little.free_slots = little.slots / 4;
    viewer.on_advert(&mut bench.ctx(), peer(1), little);
    viewer.seek_parents(&mut bench.ctx());
    assert_eq!(asked(&bench.said(), peer(1)), SubstreamSet::EMPTY);
    // The connection is made, and there it asks.
    bench.connect(2, 20);
    viewer.peers.entry(peer(2)).or_default();
    viewer.seek_parents(&mut bench.ctx());
    let said = bench.said();
    assert_eq!(asked(&said, peer(2)), SubstreamSet::all(K));
    assert_eq!(asked(&said, peer(1)), SubstreamSet::EMPTY);
    // Who was supplied before asks whoever there is.
    let mut viewer = supplied(&mut bench);
    viewer.settled_from = Some(Seq(FIRST));
    bench.connect(3, 20);
    viewer.on_advert(&mut bench.ctx(), peer(3), offer(20));
    viewer.sub_mut(Substream(5)).expect("one of K").seat = Some((peer(9), bench.now));
    bench.said();
    viewer.forget_peer(&mut bench.ctx(), peer(2));
    viewer.seek_parents(&mut bench.ctx());
    assert!(asked(&bench.said(), peer(3)).contains(Substream(5)));
}

#[test]
fn who_has_plenty_of_room_is_asked_while_the_seat_is_dialled() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    viewer.sub_mut(Substream(3)).expect("one of K").seat = Some((peer(2), bench.now));
    viewer.on_advert(&mut bench.ctx(), peer(1), offer(20));
    viewer.seek_parents(&mut bench.ctx());
    assert!(asked(&bench.said(), peer(1)).contains(Substream(3)));
    // It agrees, and the seat is given back.
    bench.agree(&mut viewer, 1, one(3));
    bench.connect(2, 20);
    assert_eq!(parent(&viewer, 3), Some(peer(1)));
    assert!(viewer.sub(Substream(3)).expect("one of K").seat.is_none());
}

#[test]
fn a_supplier_that_does_not_answer_a_call_is_left_before_its_patience_ends() {
    let gone_after = |answers: bool| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = supplied(&mut bench);
        viewer.began = Time::ZERO;
        flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
        let from = bench.now;
        let mut seq = FIRST + 100;
        while parent(&viewer, 5) == Some(peer(2)) {
            let gone = (!answers).then_some(2);
            flow_without(&mut bench, &mut viewer, seq..seq + 2, one(5), gone);
            seq += 2;
        }
        bench.now.since(from)
    };
    let (alive, dead) = (gone_after(true), gone_after(false));
    assert!(dead + Duration::from_millis(80) < alive, "{dead:?}, {alive:?}");
}

#[test]
fn whom_the_peercaster_supplied_it_supplies_again() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplied(&mut bench);
    // Nobody is above it.
    viewer.sub_mut(Substream(5)).expect("one of K").path = vec![peer(2).tag()];
    viewer.membership.tracker = Some(peer(2));
    viewer.membership.tracker_addr = Some(addr(2));
    viewer.forget_peer(&mut bench.ctx(), peer(2));
    bench.said();
    bench.connect(2, 20);
    viewer.return_to_source(&mut bench.ctx(), peer(2), addr(2));
    assert_eq!(asked(&bench.said(), peer(2)), one(5));
    // Once.
    viewer.return_to_source(&mut bench.ctx(), peer(2), addr(2));
    assert_eq!(asked(&bench.said(), peer(2)), SubstreamSet::EMPTY);
}

#[test]
fn a_move_skips_what_the_old_supplier_sends_meanwhile() {
    let from = |rtt_ms: u64| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = supplied(&mut bench);
        flow(&mut bench, &mut viewer, FIRST..FIRST + 100, SubstreamSet::EMPTY);
        bench.connect(9, rtt_ms);
        viewer.subscribe_from(&bench.ctx(), peer(9), Substream(5))
    };
    let period = CHUNK_MS * u64::from(K);
    assert!(from(2 * period + 10) >= from(20).plus(u64::from(K)));
}

#[test]
fn what_nobody_has_room_for_is_known_until_somebody_has() {
    let mut bench = Bench::new(Bitrate::from_kbps(10_000));
    let mut viewer = supplied(&mut bench);
    assert!(viewer.without_room().is_empty());
    viewer.leave_parent(&mut bench.ctx(), Substream(5), Duration::from_secs(2));
    assert!(viewer.without_room().is_empty(), "nobody was asked yet");
    let mut refuse = |bench: &mut Bench, reason| {
        viewer.ask(&mut bench.ctx(), peer(3), one(5));
        let refused = Refused {
            stream: stream_id(),
            substreams: one(5),
            reason,
            instead: no_referrals(),
        };
        viewer.on_refused(&mut bench.ctx(), peer(3), &refused);
        viewer.without_room()
    };
    assert!(refuse(&mut bench, RefuseReason::NoData).is_empty());
    assert_eq!(refuse(&mut bench, RefuseReason::Full), one(5));
    assert_eq!(refuse(&mut bench, RefuseReason::Loop), one(5), "it is still so");
    bench.supplied_by(&mut viewer, 3, one(5));
    assert!(viewer.without_room().is_empty());
    viewer.leave_parent(&mut bench.ctx(), Substream(5), Duration::from_secs(2));
    assert!(viewer.without_room().is_empty(), "what was is forgotten");
}
