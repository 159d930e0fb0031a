use std::time::Duration;

use wire::message::Hold;
use wire::{Bitrate, Message, Substream, SubstreamSet};

use super::super::Stream;
use super::super::testing::{Bench, FIRST, K, peer, request_for, stream_id};

/// A viewer with free slots of which the tracker, peer 1, has just been told.
fn reported(bench: &mut Bench) -> Stream {
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    for seq in FIRST..FIRST + u64::from(K) {
        bench.push(&mut viewer, 1, seq);
    }
    viewer.slots = 16;
    viewer.primaries = SubstreamSet::all(K);
    viewer.membership.tracker = Some(peer(1));
    viewer.report(&mut bench.ctx());
    bench.out.clear();
    viewer
}

fn hold(bench: &mut Bench, viewer: &mut Stream, n: u8, slots: u8) {
    let hold = Hold {
        stream: stream_id(),
        peer: peer(n),
        substreams: SubstreamSet::all(slots),
    };
    viewer.on_hold(&mut bench.ctx(), peer(1), hold);
}

fn take(bench: &mut Bench, viewer: &mut Stream, n: u8, slots: u8) {
    bench.connect(n, 20);
    let request = request_for(SubstreamSet::all(slots), 0, true);
    viewer.on_subscribe(&mut bench.ctx(), peer(n), &request);
}

#[test]
fn what_the_tracker_promised_it_need_not_be_told_of() {
    let mut bench = Bench::new(Bitrate::from_kbps(8_000));
    let mut viewer = reported(&mut bench);
    assert!(!viewer.room_changed());
    hold(&mut bench, &mut viewer, 2, 3);
    assert!(!viewer.room_changed());
    take(&mut bench, &mut viewer, 2, 3);
    assert!(!viewer.room_changed());
}

#[test]
fn a_slot_that_somebody_else_took_is_news_and_one_that_came_free_is_not() {
    let mut bench = Bench::new(Bitrate::from_kbps(8_000));
    let mut viewer = reported(&mut bench);
    take(&mut bench, &mut viewer, 2, 1);
    assert!(viewer.room_changed());
    viewer.report(&mut bench.ctx());
    assert!(!viewer.room_changed());
    viewer.forget_peer(&mut bench.ctx(), peer(2));
    assert!(!viewer.room_changed());
    // But many are.
    take(&mut bench, &mut viewer, 3, 8);
    viewer.report(&mut bench.ctx());
    viewer.forget_peer(&mut bench.ctx(), peer(3));
    assert!(viewer.room_changed());
}

#[test]
fn a_report_says_which_promises_its_free_slots_count() {
    let mut bench = Bench::new(Bitrate::from_kbps(8_000));
    let mut viewer = reported(&mut bench);
    hold(&mut bench, &mut viewer, 2, 3);
    hold(&mut bench, &mut viewer, 3, 2);
    viewer.report(&mut bench.ctx());
    let said = bench.said();
    let Some((_, Message::Join(join))) = said.iter().find(|(to, _)| *to == peer(1)) else {
        panic!("{said:?}");
    };
    assert_eq!((join.promised, join.record.free_slots), (5, 11));
    // They took one of them each: the others are free again, and the promises are still counted.
    take(&mut bench, &mut viewer, 2, 1);
    assert!(
        viewer
            .sub(Substream(0))
            .is_some_and(|sub| sub.children.len() == 1)
    );
    assert_eq!(viewer.membership.promised, 5);
}

#[test]
fn the_first_substream_that_flows_is_told_at_once_and_more_soon_after_however_large_the_swarm() {
    let mut bench = Bench::new(Bitrate::from_kbps(8_000));
    let mut viewer = bench.viewer();
    viewer.slots = 16;
    viewer.primaries = SubstreamSet::all(K);
    viewer.membership.tracker = Some(peer(1));
    viewer.membership.members = 1_000;
    bench.connect(1, 20);
    viewer.report(&mut bench.ctx());
    let usual = viewer.report_wait();
    assert!(usual > Duration::from_millis(1_000), "{usual:?}");
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    assert!(!viewer.room_changed(), "nothing has come yet");
    bench.push(&mut viewer, 1, FIRST);
    assert!(viewer.room_changed());
    assert!(viewer.report_wait() <= Duration::from_millis(50));
    viewer.report(&mut bench.ctx());
    bench.push(&mut viewer, 1, FIRST + 1);
    assert!(!viewer.room_changed(), "one more is no news");
    for seq in FIRST + 2..FIRST + 6 {
        bench.push(&mut viewer, 1, seq);
    }
    assert!(viewer.room_changed());
    assert!(viewer.report_wait() <= Duration::from_millis(100));
    viewer.report(&mut bench.ctx());
    assert_eq!(viewer.report_wait(), usual);
}
