use wire::message::{Appointment, JoinAnswer, ReplicaNews};
use wire::{Bitrate, List, Message, PeerId};

use super::super::Stream;
use super::super::testing::{Bench, addr, answer, key, named, peer, stream_id};

/// What a tracker answers to who is new there.
fn welcome(n: u8) -> JoinAnswer {
    answer(Some(Appointment::sign(&key(), peer(n), 1)))
}

/// What it answers to its members.
fn to_member() -> JoinAnswer {
    JoinAnswer {
        info: None,
        ..answer(None)
    }
}

/// A viewer registered with tracker 1, which is far away.
fn registered(bench: &mut Bench) -> Stream {
    let mut viewer = bench.joiner();
    bench.connect(1, 90);
    viewer.on_connected(&mut bench.ctx(), peer(1), addr(250), true, false);
    let told = JoinAnswer {
        siblings: std::iter::once(named(2)).collect(),
        ..welcome(1)
    };
    viewer.on_join_answer(&mut bench.ctx(), peer(1), told);
    assert_eq!(viewer.membership.trusted.last(), Some(peer(1)));
    viewer
}

/// A nearer tracker, 2, turns up.
fn turns_up(bench: &mut Bench, viewer: &mut Stream) {
    bench.connect(2, 20);
    viewer.on_connected(&mut bench.ctx(), peer(2), addr(2), true, false);
    assert_eq!(viewer.membership.tracker, Some(peer(2)));
}

/// Who was told that this node has moved.
fn moved(bench: &mut Bench) -> Vec<PeerId> {
    let said = bench.said().into_iter();
    said.filter(|(_, message)| matches!(message, Message::Moved(_)))
        .map(|(to, _)| to)
        .collect()
}

/// Whether each registration that was sent to a tracker says that the description is known.
fn joins(bench: &mut Bench, n: u8) -> Vec<bool> {
    let said = bench.said().into_iter().filter(|(to, _)| *to == peer(n));
    said.filter_map(|(_, message)| match message {
        Message::Join(join) => Some(join.known.is_some()),
        _ => None,
    })
    .collect()
}

#[test]
fn a_tracker_hears_that_a_nearer_one_took_its_place_when_that_has_answered() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = registered(&mut bench);
    turns_up(&mut bench, &mut viewer);
    assert_eq!(moved(&mut bench), []);
    viewer.on_join_answer(&mut bench.ctx(), peer(2), welcome(2));
    assert_eq!(moved(&mut bench), [peer(1)]);
    bench.out.clear();
    viewer.on_join_answer(&mut bench.ctx(), peer(2), to_member());
    assert_eq!(moved(&mut bench), []);
}

#[test]
fn a_tracker_that_is_come_back_to_hears_nothing_of_it() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = registered(&mut bench);
    turns_up(&mut bench, &mut viewer);
    viewer.register_with(&mut bench.ctx(), peer(1), Some(addr(1)));
    viewer.on_join_answer(&mut bench.ctx(), peer(1), to_member());
    assert_eq!(moved(&mut bench), [peer(2)]);
}

#[test]
fn a_tracker_whose_appointment_was_seen_before_is_believed() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = registered(&mut bench);
    turns_up(&mut bench, &mut viewer);
    viewer.on_join_answer(&mut bench.ctx(), peer(2), welcome(2));
    viewer.register_with(&mut bench.ctx(), peer(1), Some(addr(1)));
    viewer.on_join_answer(&mut bench.ctx(), peer(1), to_member());
    assert_eq!(viewer.membership.trusted.last(), Some(peer(1)));
    assert_eq!(viewer.membership.tracker, Some(peer(1)));
}

#[test]
fn an_appointment_that_was_not_seen_is_asked_for_once_and_charged_to_nobody() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = registered(&mut bench);
    turns_up(&mut bench, &mut viewer);
    bench.out.clear();
    // It has answered before, on a connection that was lost.
    viewer.on_join_answer(&mut bench.ctx(), peer(2), to_member());
    assert_eq!(viewer.membership.trusted.last(), Some(peer(1)));
    assert_eq!(joins(&mut bench, 2), [false]);
    bench.out.clear();
    viewer.on_join_answer(&mut bench.ctx(), peer(2), to_member());
    assert_eq!(joins(&mut bench, 2), []);
    viewer.on_join_answer(&mut bench.ctx(), peer(2), welcome(2));
    assert_eq!(viewer.membership.trusted.last(), Some(peer(2)));
    assert_eq!(bench.standings.of(peer(2)).misbehaviour(bench.now), 0.0);
    bench.out.clear();
    viewer.send_join(&mut bench.ctx());
    assert_eq!(joins(&mut bench, 2), [true]);
}

#[test]
fn who_takes_this_node_for_its_member_hears_that_it_is_none() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = registered(&mut bench);
    bench.connect(3, 20);
    let news = ReplicaNews {
        stream: stream_id(),
        appointment: None,
        peercaster: None,
        siblings: List::default(),
        records: List::default(),
        gone: List::default(),
    };
    bench.out.clear();
    viewer.on_replica_news(&mut bench.ctx(), peer(3), news);
    assert_eq!(moved(&mut bench), [peer(3)]);
    assert!(bench.standings.of(peer(3)).misbehaviour(bench.now) > 0.0);
}
