//! Tests of what is asked with a first packet.

use wire::message::{Appointment, JoinAnswer};
use wire::{Bitrate, Message, Seq, SubstreamSet};

use super::super::Stream;
use super::super::testing::{Bench, K, addr, answer, asked, ended, key, one, peer, record};
use crate::io::Output;

/// A joiner that was told of slots at peer 3, and what it says in its first packet there.
fn seated() -> (Bench, Stream, Vec<Message>) {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.connect(250, 20);
    joiner.on_connected(&mut bench.ctx(), peer(250), addr(250), true, false);
    bench.out.clear();
    let answer = JoinAnswer {
        peers: std::iter::once(record(3, 20)).collect(),
        seats: std::iter::once(one(1).or(one(4))).collect(),
        head: Seq(10),
        primaries: one(1),
        members: 3,
        ..answer(Some(Appointment::sign(&key(), peer(250), 1)))
    };
    joiner.on_join_answer(&mut bench.ctx(), peer(250), answer);
    let opening = std::mem::take(&mut bench.out)
        .into_iter()
        .find_map(|output| match output {
            Output::Connect {
                peer: Some(to),
                opening,
                ..
            } if to == peer(3) => Some(opening),
            _ => None,
        });
    let opening = opening.expect("it dials where slots are held");
    (bench, joiner, opening)
}

fn subscribed(opening: Vec<Message>) -> SubstreamSet {
    let said: Vec<_> = opening.into_iter().map(|message| (peer(3), message)).collect();
    asked(&said, peer(3))
}

#[test]
fn where_slots_are_held_they_are_asked_for_with_the_first_packet() {
    let (mut bench, mut joiner, opening) = seated();
    assert_eq!(subscribed(opening), one(1).or(one(4)));
    bench.connect(3, 20);
    joiner.on_connected(&mut bench.ctx(), peer(3), addr(3), true, true);
    let said = bench.said();
    let again = asked(&said, peer(3)).and(one(1).or(one(4)));
    assert_eq!(again, SubstreamSet::EMPTY, "not twice");
    bench.agree(&mut joiner, 3, one(1).or(one(4)));
    assert_eq!(joiner.orphans().and(one(1).or(one(4))), SubstreamSet::EMPTY);
    assert_eq!(ended(&bench.said(), peer(3)), SubstreamSet::EMPTY);
}

#[test]
fn what_did_not_go_along_is_asked_when_the_connection_stands() {
    let (mut bench, mut joiner, _) = seated();
    bench.connect(3, 20);
    joiner.on_connected(&mut bench.ctx(), peer(3), addr(3), true, false);
    let said = bench.said();
    assert_eq!(asked(&said, peer(3)).and(one(1).or(one(4))), one(1).or(one(4)));
}

#[test]
fn a_substream_that_has_a_supplier_by_then_is_declined() {
    let (mut bench, mut joiner, _) = seated();
    bench.connect(9, 5);
    bench.supplied_by(&mut joiner, 9, one(1));
    bench.connect(3, 20);
    joiner.on_connected(&mut bench.ctx(), peer(3), addr(3), true, true);
    bench.out.clear();
    bench.agree(&mut joiner, 3, one(1).or(one(4)));
    assert_eq!(ended(&bench.said(), peer(3)), one(1));
    let sub = |s: u8| joiner.sub(wire::Substream(s)).and_then(|sub| sub.parent);
    assert_eq!((sub(1), sub(4)), (Some(peer(9)), Some(peer(3))));
}

#[test]
fn who_holds_no_slot_is_only_dialled() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    viewer.hear(bench.now, peer(8), vec![addr(8)]);
    viewer.dial(&mut bench.ctx(), peer(8));
    let openings = std::mem::take(&mut bench.out);
    let nothing = |output: &Output| matches!(output, Output::Connect { opening, .. } if opening.is_empty());
    assert!(openings.iter().any(nothing), "{openings:?}");
    assert_eq!(viewer.wanted(), SubstreamSet::all(K));
}

#[test]
fn of_two_that_are_asked_for_the_same_the_first_to_agree_supplies_it() {
    for (first, second) in [(3, 9), (9, 3)] {
        let (mut bench, mut joiner, _) = seated();
        bench.connect(9, 5);
        joiner.ask(&mut bench.ctx(), peer(9), one(1));
        joiner.peers.entry(peer(9)).or_default().asked = one(1);
        bench.connect(3, 20);
        joiner.on_connected(&mut bench.ctx(), peer(3), addr(3), true, true);
        bench.out.clear();
        bench.agree(&mut joiner, first, one(1));
        assert_eq!(ended(&bench.said(), peer(first)), SubstreamSet::EMPTY);
        bench.agree(&mut joiner, second, one(1));
        assert_eq!(ended(&bench.said(), peer(second)), one(1));
        let parent = joiner.sub(wire::Substream(1)).and_then(|sub| sub.parent);
        assert_eq!(parent, Some(peer(first)));
    }
}
