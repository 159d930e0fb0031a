//! Tests of what is asked of the past with a first packet.

use std::time::Duration;

use wire::message::{Appointment, JoinAnswer, PeerRecord, Request};
use wire::{Bitrate, Message, PeerId, Seq, SubstreamSet};

use super::super::Stream;
use super::super::testing::{Bench, addr, answer, key, one, peer, record};
use crate::io::Output;

/// A joiner that was told of peers 3, 4 and 5, with a slot held at the first two, so many slots free at each, and a key frame
/// twenty chunks ago. What it says to each with the first packet.
fn told(free: [u16; 3], members: u32) -> (Bench, Stream, Vec<(PeerId, Vec<Message>)>) {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut joiner = bench.joiner();
    bench.connect(250, 20);
    joiner.on_connected(&mut bench.ctx(), peer(250), addr(250), true, false);
    bench.out.clear();
    let named = [3, 4, 5].into_iter().zip(free);
    let named = named.map(|(n, free_slots)| PeerRecord {
        slots: 20,
        free_slots,
        ..record(n, 20)
    });
    let answer = JoinAnswer {
        peers: named.collect(),
        seats: [one(1), one(2), SubstreamSet::EMPTY].into_iter().collect(),
        head: Seq(120),
        random_access: Some(Seq(101)),
        random_access_every_ms: Some(4_000),
        primaries: one(1),
        members,
        ..answer(Some(Appointment::sign(&key(), peer(250), 1)))
    };
    joiner.on_join_answer(&mut bench.ctx(), peer(250), answer);
    let said = std::mem::take(&mut bench.out)
        .into_iter()
        .filter_map(|output| match output {
            Output::Connect {
                peer: Some(to),
                opening,
                ..
            } => Some((to, opening)),
            _ => None,
        });
    let said = said.collect();
    (bench, joiner, said)
}

/// The chunks asked of a peer.
fn wanted(said: &[(PeerId, Vec<Message>)], n: u8) -> Vec<u64> {
    let to = said.iter().filter(|(to, _)| *to == peer(n));
    let requests = to
        .flat_map(|(_, opening)| opening)
        .filter_map(|message| match message {
            Message::Request(Request { seqs, .. }) => Some(seqs),
            _ => None,
        });
    requests.flatten().map(|seq| seq.0).collect()
}

#[test]
fn the_past_is_shared_out_among_those_who_have_something_to_spare() {
    let (_, _, said) = told([9, 5, 0], 3);
    let (most, less) = (wanted(&said, 3), wanted(&said, 4));
    // Eight slots and the twentieth part of twenty are left at the one, four and that at the other.
    assert!(most.len() > less.len() && !less.is_empty(), "{most:?}, {less:?}");
    assert_eq!(wanted(&said, 5), [0; 0], "it has nothing to spare");
    let mut all = [most, less].concat();
    all.sort_unstable();
    assert_eq!(
        all,
        (101..=120).collect::<Vec<_>>(),
        "each once, from the key frame on"
    );
}

#[test]
fn in_a_large_swarm_only_those_are_asked_where_a_slot_is_held() {
    let (_, _, said) = told([0, 9, 9], 1_000);
    assert_eq!(wanted(&said, 4).len(), 16, "no more than may be open at a peer");
    assert!(
        said.iter().all(|(to, _)| *to != peer(5)),
        "it is not even dialled"
    );
    let (_, _, said) = told([0, 9, 9], 3);
    assert!(!wanted(&said, 5).is_empty());
}

#[test]
fn nobody_is_asked_for_more_than_it_can_send_soon() {
    // One slot is held, and of the twentieth part of twenty 128 ms a chunk are left.
    let (_, _, said) = told([1, 0, 0], 3);
    assert_eq!(wanted(&said, 3), [101, 102, 103]);
}

#[test]
fn what_went_along_is_under_way_and_what_did_not_is_not() {
    for opened in [true, false] {
        let (mut bench, mut joiner, said) = told([9, 0, 0], 3);
        assert_eq!(wanted(&said, 3).len(), 16);
        bench.connect(3, 20);
        joiner.on_connected(&mut bench.ctx(), peer(3), addr(3), true, opened);
        let until = joiner.repair.asked_until(Seq(105));
        // How long an answer takes is known with the connection.
        let soon = bench.now + Duration::from_millis(200);
        assert_eq!(until.is_some_and(|until| until <= soon), opened, "{until:?}");
    }
}
