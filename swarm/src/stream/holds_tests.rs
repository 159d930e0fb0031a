//! Tests of what a promise of the tracker is worth at the supplier.

use wire::message::RefuseReason;
use wire::{Bitrate, Message, SubstreamSet};

use super::super::Stream;
use super::super::testing::{Bench, FIRST, K, one, peer, request_for};

/// What peer 2 is answered when it asks for substream 0, a slot for it being `kept` or not.
fn answered(bench: &mut Bench, viewer: &mut Stream, kept: bool) -> Message {
    bench.connect(2, 20);
    viewer.slots = 100;
    if kept {
        viewer.take_hold(bench.now, peer(2), one(0));
    }
    bench.out.clear();
    viewer.on_subscribe(&mut bench.ctx(), peer(2), &request_for(one(0), 3, true));
    let said = bench.said().into_iter();
    let mut to_it = said.filter(|(to, _)| *to == peer(2)).map(|(_, message)| message);
    to_it.next().expect("an answer")
}

fn refused_for(message: &Message) -> Option<RefuseReason> {
    match message {
        Message::Refused(refused) => Some(refused.reason),
        Message::Subscribed(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whom_the_tracker_sends_is_let_in_while_the_uplink_is_booked_ahead() {
    for (kept, answer) in [(false, Some(RefuseReason::Full)), (true, None)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = bench.viewer();
        bench.connect(1, 20);
        bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
        for seq in FIRST..FIRST + u64::from(K) {
            bench.push(&mut viewer, 1, seq);
        }
        // 100 ms of the link.
        let now = bench.now;
        bench.uplink.book_unpaced(now, 50_000);
        assert_eq!(
            refused_for(&answered(&mut bench, &mut viewer, kept)),
            answer,
            "kept: {kept}"
        );
    }
}

#[test]
fn and_while_the_supplier_waits_for_its_own_supplier() {
    for (kept, answer) in [(false, Some(RefuseReason::NoData)), (true, None)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = bench.viewer();
        bench.connect(1, 20);
        bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
        assert_eq!(
            refused_for(&answered(&mut bench, &mut viewer, kept)),
            answer,
            "kept: {kept}"
        );
    }
}

#[test]
fn but_not_where_nobody_seeks_the_substream() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    assert_eq!(
        refused_for(&answered(&mut bench, &mut viewer, true)),
        Some(RefuseReason::NoData)
    );
}
