//! Tests of the tracker's host.

use std::time::Duration;

use coords::Coord;
use wire::message::{Appointment, Join, JoinAnswer, PeerRecord, Role, SiblingNews};
use wire::{Bitrate, List, Message, PeerId, SubstreamSet};

use super::super::Stream;
use super::super::testing::{Bench, K, addr, info, key, named, one, peer, request_for, stream_id};

fn joins(bench: &mut Bench, source: &mut Stream, n: u8) -> JoinAnswer {
    joins_with(bench, source, n, Bitrate::from_kbps(1_000))
}

fn joins_with(bench: &mut Bench, source: &mut Stream, n: u8, upload: Bitrate) -> JoinAnswer {
    bench.connect(n, 20);
    bench.said();
    let record = PeerRecord {
        peer: peer(n),
        addrs: std::iter::once(addr(n)).collect(),
        coord: Coord::default(),
        role: Role::Consumer,
        slots: 0,
        free_slots: 0,
        primaries: SubstreamSet::EMPTY,
        leaves: SubstreamSet::EMPTY,
        has: SubstreamSet::EMPTY,
        lag_ms: None,
    };
    let join = Join {
        stream: stream_id(),
        record,
        want: 24,
        need: SubstreamSet::all(K),
        upload,
        known: None,
        promised: 0,
    };
    source.on_join(&mut bench.ctx(), peer(n), join);
    let answer = bench.said().into_iter().find_map(|(to, message)| match message {
        Message::JoinAnswer(answer) if to == peer(n) => Some(answer),
        _ => None,
    });
    answer.expect("an answer")
}

fn seats_at_host(answer: &JoinAnswer) -> SubstreamSet {
    let host = answer.peers.iter().position(|r| r.role == Role::Peercaster);
    host.and_then(|at| answer.seats.get(at).copied())
        .unwrap_or(SubstreamSet::EMPTY)
}

#[test]
fn the_first_viewers_are_the_peercasters_own_as_long_as_it_has_room() {
    let mut bench = Bench::new(Bitrate::from_kbps(3_000));
    let mut source = bench.source();
    assert!((32..48).contains(&source.slots), "{}", source.slots);
    assert_eq!(
        seats_at_host(&joins(&mut bench, &mut source, 1)),
        SubstreamSet::all(K)
    );
    // What is kept for one is not promised to another.
    assert_eq!(
        seats_at_host(&joins(&mut bench, &mut source, 2)),
        SubstreamSet::all(K)
    );
    let left = seats_at_host(&joins(&mut bench, &mut source, 3));
    assert_eq!(left.len(), u32::from(source.slots) % u32::from(K));
    let stranger = request_for(SubstreamSet::all(K), 0, true);
    bench.connect(4, 20);
    source.on_subscribe(&mut bench.ctx(), peer(4), &stranger);
    assert_eq!(source.slots_used(), 0);
    let request = request_for(SubstreamSet::all(K), 0, true);
    source.on_subscribe(&mut bench.ctx(), peer(1), &request);
    assert_eq!(source.slots_used(), u16::from(K));
    for (n, substreams) in [(2, SubstreamSet::all(K)), (3, left)] {
        source.on_subscribe(&mut bench.ctx(), peer(n), &request_for(substreams, 0, true));
    }
    assert_eq!(source.slots_used(), source.slots);
    // Who is not to be its child hears of it all the same, for what it has to spare.
    let last = joins_with(&mut bench, &mut source, 5, Bitrate::ZERO);
    let host = last.peers.iter().find(|r| r.role == Role::Peercaster);
    let host = host.expect("named");
    assert_eq!(
        (host.free_slots, host.has, host.primaries),
        (0, SubstreamSet::EMPTY, SubstreamSet::EMPTY)
    );
}

#[test]
fn a_newcomer_sees_that_the_stream_appoints_its_tracker() {
    let mut bench = Bench::new(Bitrate::from_kbps(3_000));
    let mut source = bench.source();
    let answer = joins(&mut bench, &mut source, 1);
    let appointment = answer.appointment.expect("goes with the description");
    let host = answer.peers.first().expect("it has room").peer;
    let opened = Appointment::open(&appointment, stream_id(), host).expect("signed by the stream");
    assert_eq!(opened.tracker, host);
}

#[test]
fn who_does_not_answer_a_call_is_named_no_more() {
    let mut bench = Bench::new(Bitrate::from_kbps(3_000));
    let mut source = bench.source();
    for n in 1..=2 {
        joins(&mut bench, &mut source, n);
    }
    let members = |source: &Stream| source.tracking.as_ref().expect("it is one").tracker.members();
    bench.pass(200);
    let now = bench.now;
    bench.neighbours.call_roll(now, |_| true);
    bench.neighbours.hear(now + Duration::from_millis(20), &peer(1));
    bench.pass(500);
    assert_eq!(members(&source), 2);
    source.strike_off_gone(&bench.ctx());
    assert_eq!(members(&source), 1);
    // Nor who is connected no more.
    source.forget_peer(&mut bench.ctx(), peer(1));
    assert_eq!(members(&source), 0);
}

#[test]
fn a_busy_tracker_helps_who_lacks_suppliers_and_a_very_busy_one_only_newcomers() {
    // Shares of the peercaster's uplink that tracking takes, and how many peers are named to who asks again.
    for (share, named) in [(0.05, 4), (0.25, 2), (0.5, 0)] {
        let mut bench = Bench::new(Bitrate::from_kbps(20_000));
        let mut source = bench.source();
        for n in 1..=20 {
            bench.register(&mut source, n, 10);
        }
        bench.pass(2_000);
        let now = bench.now;
        // A new span begins; of it a quarter of a second is the shortest time that counts.
        bench.uplink.book_unpaced(now, 1);
        bench.uplink.book_unpaced(now, (share * 20e6 / 8.0 * 0.25) as u64);
        bench.said();
        let join = Join {
            stream: stream_id(),
            record: super::super::testing::record(1, 10),
            want: 4,
            need: one(0),
            upload: Bitrate::from_kbps(1_000),
            known: Some((info().session, info().revision)),
            promised: 0,
        };
        source.on_join(&mut bench.ctx(), peer(1), join);
        let answer = bench.said().into_iter().find_map(|(to, message)| match message {
            Message::JoinAnswer(answer) if to == peer(1) => Some(answer),
            _ => None,
        });
        let peers = answer.map_or(0, |answer| {
            answer.peers.iter().filter(|r| r.role != Role::Peercaster).count()
        });
        assert_eq!(peers, named, "{share}");
    }
}

/// What a member that comes back for its renewal is told of other trackers.
fn renews(bench: &mut Bench, source: &mut Stream, n: u8) -> Vec<PeerId> {
    bench.said();
    let join = Join {
        stream: stream_id(),
        record: super::super::testing::record(n, 10),
        want: 4,
        need: SubstreamSet::EMPTY,
        upload: Bitrate::from_kbps(1_000),
        known: Some((info().session, info().revision)),
        promised: 0,
    };
    source.on_join(&mut bench.ctx(), peer(n), join);
    let answer = bench.said().into_iter().find_map(|(to, message)| match message {
        Message::JoinAnswer(answer) if to == peer(n) => Some(answer),
        _ => None,
    });
    let siblings = answer.expect("an answer").siblings;
    siblings.iter().map(|node| node.peer).collect()
}

#[test]
fn members_are_told_once_of_a_tracker_that_has_come_since() {
    let mut bench = Bench::new(Bitrate::from_kbps(3_000));
    let mut source = bench.source();
    assert!(joins(&mut bench, &mut source, 1).siblings.is_empty());
    bench.pass(1_000);
    assert_eq!(renews(&mut bench, &mut source, 1), []);
    bench.connect(9, 30);
    let news = SiblingNews {
        stream: stream_id(),
        appointment: Appointment::sign(&key(), peer(9), 1),
        me: named(9),
        members: 3,
        short: 0,
        spare: List::default(),
        siblings: List::default(),
        answer: false,
    };
    source.on_sibling_news(&mut bench.ctx(), peer(9), news.clone());
    bench.pass(1_000);
    assert_eq!(renews(&mut bench, &mut source, 1), [peer(9)]);
    // It says its news every few seconds, and is the same all the time.
    source.on_sibling_news(&mut bench.ctx(), peer(9), news);
    bench.pass(1_000);
    assert_eq!(renews(&mut bench, &mut source, 1), []);
    assert_eq!(joins(&mut bench, &mut source, 2).siblings.len(), 1);
}
