use std::collections::BTreeSet;
use std::time::Duration;

use wire::message::{Appointment, JoinAnswer, Path, Referral, RefuseReason, Refused, Role};
use wire::{Bitrate, List, PeerId, Seq, Substream, SubstreamSet};

use super::super::Stream;
use super::super::candidates::{DIALS_AT_ONCE, REDIAL};
use super::super::testing::{
    Bench, FIRST, K, addr, answer, chunk_of, key, nothing, offer, one, peer, record, stream_id,
};

fn referral(n: u8) -> Referral {
    Referral {
        peer: peer(n),
        addrs: std::iter::once(addr(n)).collect(),
    }
}

fn refuse(
    bench: &mut Bench,
    viewer: &mut Stream,
    by: u8,
    instead: impl Iterator<Item = u8>,
) -> Vec<Option<PeerId>> {
    let refused = Refused {
        stream: stream_id(),
        substreams: SubstreamSet::all(K),
        reason: RefuseReason::Full,
        instead: instead.map(referral).collect::<List<_, _>>(),
    };
    bench.out.clear();
    viewer.on_refused(&mut bench.ctx(), peer(by), &refused);
    bench.dialled()
}

/// A viewer that has asked peer 1 for everything.
fn asking(bench: &mut Bench) -> Stream {
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    viewer.on_advert(&mut bench.ctx(), peer(1), offer(10));
    assert_eq!(
        viewer.peers.get(&peer(1)).expect("known").asked,
        SubstreamSet::all(K)
    );
    viewer
}

#[test]
fn whom_a_refusal_names_is_dialled_and_not_again_before_its_time() {
    let mut bench = Bench::new(Bitrate::from_kbps(40_000));
    let mut viewer = asking(&mut bench);
    assert_eq!(
        refuse(&mut bench, &mut viewer, 1, 10..12),
        [Some(peer(10)), Some(peer(11))]
    );
    viewer.peers.get_mut(&peer(1)).expect("asked").asked = SubstreamSet::all(K);
    assert_eq!(refuse(&mut bench, &mut viewer, 1, 10..12), []);
    let mut again = Vec::new();
    let begun = bench.now;
    while bench.now.since(begun) < REDIAL + Duration::from_millis(200) {
        bench.pass(50);
        viewer.membership_tick(&mut bench.ctx());
        let dialled = bench.dialled().into_iter().flatten();
        again.extend(dialled.map(|peer| (peer, bench.now.since(begun))));
    }
    assert!(!again.is_empty());
    assert!(again.iter().all(|(_, after)| *after >= REDIAL), "{again:?}");
}

#[test]
fn a_refusal_of_what_was_not_asked_names_nobody() {
    let mut bench = Bench::new(Bitrate::from_kbps(40_000));
    let mut viewer = asking(&mut bench);
    bench.connect(2, 20);
    assert_eq!(refuse(&mut bench, &mut viewer, 2, 10..12), []);
    viewer.peers.entry(peer(2)).or_default();
    assert_eq!(refuse(&mut bench, &mut viewer, 2, 10..12), []);
}

#[test]
fn dials_at_a_time_are_bounded_however_many_are_named() {
    let mut bench = Bench::new(Bitrate::from_kbps(400_000));
    let mut viewer = asking(&mut bench);
    let mut dials = 0;
    for round in 0..10 {
        viewer.peers.get_mut(&peer(1)).expect("asked").asked = SubstreamSet::all(K);
        let from = 10 + 8 * round;
        dials += refuse(&mut bench, &mut viewer, 1, from..from + 8).len();
        viewer.membership_tick(&mut bench.ctx());
        dials += bench.dialled().len();
    }
    assert_eq!(dials, DIALS_AT_ONCE);
}

#[test]
fn the_slowest_uplink_dials_too_one_after_the_other() {
    let mut bench = Bench::new(Bitrate::from_kbps(100));
    let mut viewer = asking(&mut bench);
    let mut dials = refuse(&mut bench, &mut viewer, 1, 10..14);
    assert!(dials.len() <= 1, "{dials:?}");
    let begun = bench.now;
    while bench.now.since(begun) < Duration::from_secs(2) {
        bench.pass(50);
        viewer.membership_tick(&mut bench.ctx());
        let at_once = bench.dialled();
        assert!(at_once.len() <= 1, "{at_once:?}");
        dials.extend(at_once);
    }
    let named: BTreeSet<_> = (10..14).map(|n| Some(peer(n))).collect();
    assert_eq!(dials.iter().copied().collect::<BTreeSet<_>>(), named);
    assert_eq!(dials.len(), named.len(), "none twice");
}

#[test]
fn who_is_shut_out_is_not_dialled() {
    let mut bench = Bench::new(Bitrate::from_kbps(40_000));
    let mut viewer = asking(&mut bench);
    for _ in 0..2 {
        let _ = bench
            .standings
            .penalise(bench.now, peer(10), incentives::Offence::WrongSignature);
    }
    assert_eq!(refuse(&mut bench, &mut viewer, 1, 10..12), [Some(peer(11))]);
}

#[test]
fn the_trackers_word_that_the_source_has_room_counts() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = asking(&mut bench);
    viewer.membership.tracker = Some(peer(1));
    refuse(&mut bench, &mut viewer, 1, 0..0);
    assert!(!viewer.peers.get(&peer(1)).expect("known").refused.is_empty());
    let mut record = viewer.own_record(&bench.ctx());
    record.peer = peer(1);
    viewer.meet(&mut bench.ctx(), peer(1), Some(record.clone()));
    assert!(
        !viewer.peers.get(&peer(1)).expect("known").refused.is_empty(),
        "an old word of any other"
    );
    record.role = Role::Peercaster;
    viewer.meet(&mut bench.ctx(), peer(1), Some(record));
    assert!(viewer.peers.get(&peer(1)).expect("known").refused.is_empty());
}

#[test]
fn of_a_new_session_only_what_is_recent_is_asked_for() {
    let first_of = |behind: u64| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = bench.viewer();
        bench.connect(1, 20);
        viewer.on_chunk(
            &mut bench.ctx(),
            peer(1),
            &chunk_of(5_000, 5_000 + behind),
            1,
            false,
        );
        assert_eq!(viewer.session, Seq(5_000));
        assert!(viewer.window.get(Seq(5_000 + behind)).is_some());
        viewer.live_from.0 - 5_000
    };
    // A second and a half, and what all suppliers together may be ahead.
    assert_eq!(first_of(180), 0);
    assert_eq!(first_of(300), 300 - u64::from(K));
}

#[test]
fn the_silent_peercaster_is_called_by_its_children_though_others_feed_them() {
    let called = |from_source: bool| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = bench.viewer();
        for n in [1, 2] {
            bench.connect(n, 20);
        }
        bench.supplied_by(&mut viewer, 1, one(0));
        bench.supplied_by(&mut viewer, 2, one(1));
        if from_source {
            let path = Path {
                stream: stream_id(),
                substream: Substream(0),
                ancestors: std::iter::once(peer(1).tag()).collect(),
                attached: true,
            };
            viewer.on_path(&mut bench.ctx(), peer(1), &path);
        }
        let mut pings = 0;
        for round in 0..40 {
            bench.pass(50);
            bench.push(&mut viewer, 2, FIRST + 1 + u64::from(K) * round);
            assert!(bench.neighbours.hear(bench.now, &peer(2)));
            viewer.membership_tick(&mut bench.ctx());
            let due = bench.neighbours.due_pings(bench.now);
            pings += due.iter().filter(|(to, _)| *to == peer(1)).count();
        }
        pings
    };
    let (source, other) = (called(true), called(false));
    assert!(source >= other + 3, "{source} and {other} pings in 2 s");
}

#[test]
fn where_the_tracker_holds_a_slot_is_dialled_however_many_are_connected() {
    let mut bench = Bench::new(Bitrate::from_kbps(40_000));
    let mut viewer = bench.viewer();
    for n in 1..=40 {
        bench.connect(n, 20);
        viewer.on_advert(&mut bench.ctx(), peer(n), nothing());
    }
    viewer.membership.tracker = Some(peer(1));
    viewer.membership.answered = true;
    let answer = JoinAnswer {
        peers: [record(50, 5), record(51, 5)].into_iter().collect(),
        seats: [one(3), SubstreamSet::EMPTY].into_iter().collect(),
        ..answer(Some(Appointment::sign(&key(), peer(1), 1)))
    };
    bench.out.clear();
    viewer.on_join_answer(&mut bench.ctx(), peer(1), answer);
    assert_eq!(bench.dialled(), [Some(peer(50))]);
}

#[test]
fn the_tracker_is_asked_for_what_another_peer_only_may_have() {
    let mut bench = Bench::new(Bitrate::from_kbps(40_000));
    let mut viewer = asking(&mut bench);
    assert_eq!(viewer.forlorn(bench.now), SubstreamSet::all(K));
    // Unless it holds a slot.
    viewer.sub_mut(Substream(3)).expect("one of K").seat = Some((peer(2), bench.now));
    assert_eq!(viewer.forlorn(bench.now), SubstreamSet::all(K).minus(one(3)));
}
