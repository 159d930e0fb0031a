use std::time::Duration;

use wire::message::{Hold, RefuseReason, Role, Unsubscribe};
use wire::{Bitrate, Message, PeerId, Seq, Substream, SubstreamSet};

use super::super::Stream;
use crate::io::Class;
use crate::uplink::DIAL_BYTES;

use super::super::holds::HELD_FOR;
use super::super::leavers::{CHILD_SPEAKS, GRACE};
use super::super::paths::PATH_EVERY;
use super::super::testing::{Bench, FIRST, K, addr, chunk, offer, one, peer, request_for, stream_id};
use super::{SETTLED, SETTLED_AT_SOURCE, primaries_for, reserve};

/// Who was told that its place is given away.
fn displaced(bench: &mut Bench) -> Vec<PeerId> {
    let said = bench.said();
    let told = |(to, message): (PeerId, Message)| matches!(message, Message::Displaced(_)).then_some(to);
    said.into_iter().filter_map(told).collect()
}

/// A source whose places in substream 0 are taken by these peers, each with its round trip and its fanout.
fn full_source(bench: &mut Bench, children: &[(u8, u64, u16)]) -> Stream {
    let mut source = bench.source();
    source.slots = u16::from(K) * children.len() as u16;
    for &(n, rtt_ms, fanout) in children {
        bench.connect(n, rtt_ms);
        source.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(0), fanout, true));
    }
    assert_eq!(displaced(bench), []);
    assert_eq!(source.slots_used(), children.len() as u16);
    source
}

/// A viewer that peer 1 supplies with everything.
fn flowing(bench: &mut Bench) -> Stream {
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    for seq in FIRST..FIRST + u64::from(K) {
        bench.push(&mut viewer, 1, seq);
    }
    viewer
}

/// A viewer with much room that peer 1 supplies, the substream of whose first chunk flows; peer 2 is connected.
fn roomy(bench: &mut Bench) -> (Stream, Substream) {
    let mut viewer = bench.viewer();
    for n in 1..=2 {
        bench.connect(n, 20);
    }
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    bench.push(&mut viewer, 1, FIRST);
    viewer.slots = 100;
    let substream = Seq(FIRST).substream(K);
    (viewer, substream)
}

fn ask(bench: &mut Bench, stream: &mut Stream, n: u8, fanout: u16) {
    bench.connect(n, 20);
    stream.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(0), fanout, true));
}

#[test]
fn who_passes_on_more_takes_a_leafs_place_and_a_leaf_takes_nobodys() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &[(1, 20, 3), (2, 400, 0)]);
    ask(&mut bench, &mut source, 3, 0);
    let said = bench.said();
    assert!(
        matches!(&said[..], [(to, Message::Refused(m))] if *to == peer(3) && m.reason == RefuseReason::Full)
    );
    ask(&mut bench, &mut source, 4, 2);
    assert_eq!(displaced(&mut bench), [peer(2)]);
}

#[test]
fn a_child_that_passes_on_is_given_time_to_show_it() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &[(1, 20, 1)]);
    // At the peercaster a quarter of all hang on it.
    bench.now += SETTLED;
    source.on_advert(&mut bench.ctx(), peer(1), offer(20));
    bench.out.clear();
    ask(&mut bench, &mut source, 2, 9);
    assert_eq!(displaced(&mut bench), []);
    bench.now += SETTLED_AT_SOURCE;
    source.on_advert(&mut bench.ctx(), peer(1), offer(20));
    bench.out.clear();
    ask(&mut bench, &mut source, 2, 9);
    assert_eq!(displaced(&mut bench), [peer(1)]);
}

#[test]
fn who_is_a_little_better_takes_nobodys_place_at_the_peercaster() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &[(1, 20, 7)]);
    bench.now += SETTLED_AT_SOURCE;
    source.on_advert(&mut bench.ctx(), peer(1), offer(20));
    bench.out.clear();
    ask(&mut bench, &mut source, 2, 10);
    assert_eq!(displaced(&mut bench), []);
    ask(&mut bench, &mut source, 3, 12);
    assert_eq!(displaced(&mut bench), [peer(1)]);
}

#[test]
fn a_source_that_turns_out_slower_parts_with_children_of_substreams_that_have_too_many() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = bench.source();
    source.slots = 3 * u16::from(K);
    for s in 0..K {
        for n in 1..=3 {
            bench.connect(n, 20);
            // In substream 0 are the weakest.
            let fanout = if s == 0 { 0 } else { 5 };
            source.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(s), fanout, true));
        }
    }
    assert_eq!(source.slots_used(), 3 * u16::from(K));
    source.slots = 2 * u16::from(K);
    source.shed_excess(&mut bench.ctx());
    let left: Vec<u16> = (0..K).map(|s| source.children_of(Substream(s))).collect();
    assert_eq!(left, vec![2; usize::from(K)]);
    assert_eq!(displaced(&mut bench).len(), usize::from(K));
    // Who comes next takes no place that somebody is sent away from again.
    bench.connect(4, 20);
    source.on_subscribe(&mut bench.ctx(), peer(4), &request_for(one(0), 0, true));
    source.shed_excess(&mut bench.ctx());
    assert_eq!(displaced(&mut bench), []);
}

#[test]
fn a_sources_children_stay_while_a_crowd_takes_what_is_not_promised() {
    let mut bench = Bench::new(Bitrate::from_kbps(8_000));
    let mut source = bench.source();
    let slots = source.slots;
    for _ in 0..40 {
        // A twentieth of the uplink.
        bench.pass(100);
        bench.uplink.book_control(bench.now, 5_000);
    }
    source.count_slots(&mut bench.ctx());
    assert_eq!(source.slots, slots);
    for _ in 0..40 {
        // A quarter.
        bench.pass(100);
        bench.uplink.book_control(bench.now, 25_000);
    }
    source.count_slots(&mut bench.ctx());
    assert!(source.slots < slots * 9 / 10, "{} of {slots}", source.slots);
}

#[test]
fn a_storm_of_messages_takes_no_child_its_place() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = flowing(&mut bench);
    viewer.count_slots(&mut bench.ctx());
    let quiet = viewer.slots;
    for _ in 0..40 {
        // A fifth of the uplink.
        bench.pass(100);
        bench.uplink.book_control(bench.now, 10_000);
    }
    viewer.count_slots(&mut bench.ctx());
    assert!(viewer.slots >= quiet * 9 / 10, "{} of {quiet}", viewer.slots);
}

#[test]
fn whom_the_tracker_sent_finds_a_place_when_somebody_else_was_sooner() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = flowing(&mut bench);
    viewer.slots = 16;
    viewer.primaries = SubstreamSet::all(K);
    viewer.membership.tracker = Some(peer(1));
    for n in 10..26 {
        ask(&mut bench, &mut viewer, n, 0);
    }
    assert_eq!(viewer.slots_used(), 16);
    for n in [30, 31] {
        let hold = Hold {
            stream: stream_id(),
            peer: peer(n),
            substreams: one(0),
        };
        viewer.on_hold(&mut bench.ctx(), peer(1), hold);
        ask(&mut bench, &mut viewer, n, 0);
    }
    // The uplink bears a sixteenth more and not two.
    assert_eq!(viewer.slots_used(), 17);
    viewer.shed_excess(&mut bench.ctx());
    assert_eq!(viewer.slots_used(), 17);
}

#[test]
fn a_silent_child_holds_no_place_that_somebody_needs() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &[(1, 20, 9), (2, 20, 9)]);
    bench.now += CHILD_SPEAKS;
    source.on_advert(&mut bench.ctx(), peer(1), offer(20));
    bench.now += Duration::from_millis(1);
    bench.out.clear();
    // Neither passes on less than the newcomer, and one of them has said nothing.
    ask(&mut bench, &mut source, 3, 0);
    assert_eq!(displaced(&mut bench), []);
    let children: Vec<PeerId> = (0..K)
        .filter_map(|s| source.sub(Substream(s)))
        .flat_map(|sub| sub.children.iter().map(|child| child.peer))
        .collect();
    assert!(children.contains(&peer(1)) && children.contains(&peer(3)));
    assert!(!children.contains(&peer(2)));
}

#[test]
fn among_equals_who_gave_least_goes_and_then_the_farthest() {
    let three = [(1, 30, 0), (2, 40, 0), (3, 20, 0)];
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &three);
    ask(&mut bench, &mut source, 9, 5);
    assert_eq!(displaced(&mut bench), [peer(2)], "the farthest");

    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &three);
    let other = wire::StreamId::from_bytes([5; 32]);
    bench.accounts.received(bench.now, peer(2), other, 4 << 20);
    ask(&mut bench, &mut source, 9, 5);
    assert_eq!(
        displaced(&mut bench),
        [peer(1)],
        "who gives to other streams stays"
    );

    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &three);
    bench.accounts.received(bench.now, peer(2), other, 4 << 20);
    bench.accounts.received(bench.now, peer(1), stream_id(), 2 << 20);
    bench.accounts.received(bench.now, peer(3), stream_id(), 3 << 20);
    ask(&mut bench, &mut source, 9, 5);
    assert_eq!(
        displaced(&mut bench),
        [peer(2)],
        "what is given to this stream counts first"
    );

    // What was given to a child does not count against it: else the longest-served leaf would go first.
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = full_source(&mut bench, &three);
    bench.accounts.sent(bench.now, peer(3), stream_id(), 900 << 20);
    ask(&mut bench, &mut source, 9, 5);
    assert_eq!(displaced(&mut bench), [peer(2)]);
}

#[test]
fn accounts_follow_the_chunks() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for n in 1..=3 {
        bench.connect(n, 20);
    }
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    viewer.slots = 16;
    bench.push(&mut viewer, 1, FIRST);
    let wanted = SubstreamSet::one(Seq(FIRST).substream(K));
    viewer.on_subscribe(&mut bench.ctx(), peer(2), &request_for(wanted, 0, true));
    let next = FIRST + u64::from(K);
    bench.push(&mut viewer, 1, next);
    // A second copy counts for nobody.
    bench.push(&mut viewer, 3, next);
    let len = chunk(next).payload().len() as u64;
    bench.neighbours.enter_passed(&mut bench.accounts);
    let account = |n| bench.accounts.account(peer(n), stream_id());
    assert_eq!((account(1).to_me, account(1).by_me), (2 * len, 0));
    assert_eq!((account(2).to_me, account(2).by_me), (0, len));
    assert_eq!(account(3).to_me, 0);
}

#[test]
fn a_displaced_child_is_served_until_its_time_is_over() {
    let mut bench = Bench::new(Bitrate::from_kbps(40_000));
    let mut source = full_source(&mut bench, &[(1, 20, 0)]);
    ask(&mut bench, &mut source, 2, 5);
    assert_eq!(displaced(&mut bench), [peer(1)]);
    assert_eq!(source.slots_used(), 1, "it does not count any more");
    let serve = |bench: &mut Bench, source: &mut Stream, seq: u64| {
        bench.out.clear();
        source.forward(&mut bench.ctx(), None, &chunk(seq), 0, Class::Live);
        let mut to: Vec<PeerId> = bench.sent().into_iter().map(|(to, _)| to).collect();
        to.sort();
        to
    };
    let both = {
        let mut both = vec![peer(1), peer(2)];
        both.sort();
        both
    };
    bench.now += GRACE - Duration::from_millis(1);
    source.end_displaced(&mut bench.ctx());
    assert_eq!(serve(&mut bench, &mut source, FIRST), both);
    bench.now += Duration::from_millis(1);
    source.end_displaced(&mut bench.ctx());
    assert_eq!(serve(&mut bench, &mut source, FIRST + 16), [peer(2)]);
}

#[test]
fn the_reserve_is_for_those_who_have_nobody() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = flowing(&mut bench);
    viewer.slots = 16;
    viewer.primaries = one(0).or(one(1));
    let accepted = |bench: &mut Bench, viewer: &mut Stream, n: u8, orphan: bool| {
        bench.connect(n, 20);
        bench.out.clear();
        let before = viewer.slots_used();
        viewer.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(0), 0, orphan));
        viewer.slots_used() > before
    };
    let mut n = 10;
    while accepted(&mut bench, &mut viewer, n, false) {
        n += 1;
    }
    assert_eq!(viewer.free_slots(), reserve(16));
    assert!(viewer.free_slots() > 0);
    for held in 1..=viewer.free_slots() as u8 {
        assert!(accepted(&mut bench, &mut viewer, n + held, true));
    }
    assert!(!accepted(&mut bench, &mut viewer, n + 9, true), "full is full");
}

#[test]
fn an_uplink_that_is_booked_ahead_takes_only_who_was_sent_here() {
    let mut bench = Bench::new(Bitrate::from_kbps(1_000));
    let mut viewer = flowing(&mut bench);
    viewer.slots = 16;
    let now = bench.now;
    // Eight handshakes.
    bench.uplink.book_unpaced(now, 8 * DIAL_BYTES);
    for (n, orphan, used) in [(2, true, 0), (3, false, 1), (4, true, 1)] {
        bench.connect(n, 20);
        viewer.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(0), 0, orphan));
        assert_eq!(viewer.slots_used(), used, "peer {n}");
    }
    bench.pass(200);
    viewer.on_subscribe(&mut bench.ctx(), peer(4), &request_for(one(0), 0, true));
    assert_eq!(viewer.slots_used(), 2);
}

#[test]
fn who_asks_twice_gets_the_past_once() {
    let mut bench = Bench::new(Bitrate::from_kbps(400_000));
    let mut source = bench.source();
    source.slots = 160;
    for seq in 0..32 {
        source.window.insert(chunk(seq));
    }
    bench.connect(1, 20);
    let mut again = request_for(one(3), 0, true);
    again.from = Seq(0);
    source.on_subscribe(&mut bench.ctx(), peer(1), &again);
    assert_eq!(bench.sent(), [(peer(1), 3), (peer(1), 19)]);
    source.on_subscribe(&mut bench.ctx(), peer(1), &again);
    let said = bench.said();
    assert_eq!(said.len(), 1, "only that it is agreed: {said:?}");
    source.on_subscribe(&mut bench.ctx(), peer(1), &again);
    assert_eq!(bench.sent(), []);
    // Whoever left and comes back gets what it missed.
    let substreams = one(3);
    let stream = stream_id();
    source.on_unsubscribe(&mut bench.ctx(), peer(1), &Unsubscribe { stream, substreams });
    source.on_subscribe(&mut bench.ctx(), peer(1), &again);
    assert_eq!(bench.sent().len(), 2);
}

#[test]
fn an_ancestor_is_no_child() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let (mut viewer, substream) = roomy(&mut bench);
    viewer.sub_mut(substream).expect("one of K").path = vec![peer(1).tag(), peer(2).tag()];
    for n in 1..=2 {
        bench.out.clear();
        let wanted = SubstreamSet::one(substream);
        viewer.on_subscribe(&mut bench.ctx(), peer(n), &request_for(wanted, 0, true));
        let said = bench.said();
        assert!(
            matches!(&said[..], [(_, Message::Refused(m))] if m.reason == RefuseReason::Loop),
            "{n}: {said:?}"
        );
    }
}

#[test]
fn a_refusal_names_who_has_room() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for n in 1..=3 {
        bench.connect(n, 20);
    }
    viewer.on_advert(&mut bench.ctx(), peer(1), offer(50));
    let mut full = offer(50);
    full.free_slots = 0;
    viewer.on_advert(&mut bench.ctx(), peer(2), full);
    bench.out.clear();
    viewer.on_subscribe(&mut bench.ctx(), peer(3), &request_for(one(0), 0, true));
    let said = bench.said();
    let [(_, Message::Refused(refused))] = &said[..] else {
        panic!("{said:?}");
    };
    let named: Vec<_> = refused
        .instead
        .iter()
        .map(|r| (r.peer, r.addrs.to_vec()))
        .collect();
    assert_eq!(named, [(peer(1), vec![addr(1)])]);
}

#[test]
fn children_are_told_of_a_new_path_at_once_and_then_in_peace() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let (mut viewer, substream) = roomy(&mut bench);
    let wanted = SubstreamSet::one(substream);
    viewer.on_subscribe(&mut bench.ctx(), peer(2), &request_for(wanted, 0, true));
    bench.out.clear();
    let mut told = Vec::new();
    for n in 0..40u32 {
        let path = wire::message::Path {
            stream: stream_id(),
            substream,
            attached: true,
            ancestors: [peer(1).tag(), n].into_iter().collect(),
        };
        viewer.on_path(&mut bench.ctx(), peer(1), &path);
        told.extend(bench.said());
        bench.pass(10);
    }
    assert!(
        !told.is_empty() && told.len() <= 1 + 400 / PATH_EVERY.as_millis() as usize,
        "{}",
        told.len()
    );
    // The last word gets through.
    bench.now += PATH_EVERY;
    viewer.pass_paths_on(&mut bench.ctx());
    let said = bench.said();
    let [(to, Message::Path(path))] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((*to, path.substream), (peer(2), substream));
    assert_eq!(path.ancestors.last(), Some(&39));
}

#[test]
fn what_is_held_for_a_joiner_nobody_else_gets() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = flowing(&mut bench);
    viewer.slots = 2;
    viewer.primaries = one(0);
    let hold = |n: u8| Hold {
        stream: stream_id(),
        peer: peer(n),
        substreams: one(0).or(one(1)),
    };
    let serves = |viewer: &Stream, n: u8| {
        let children = &viewer.sub(Substream(0)).expect("one of K").children;
        children.iter().any(|child| child.peer == peer(n))
    };
    // A stranger's word holds nothing.
    viewer.on_hold(&mut bench.ctx(), peer(1), hold(2));
    assert_eq!(viewer.free_slots(), 2);
    viewer.membership.tracker = Some(peer(1));
    viewer.on_hold(&mut bench.ctx(), peer(1), hold(2));
    assert_eq!(viewer.free_slots(), 0);
    // And its connection is not closed, nor those of who is supplied or supplies.
    assert!(viewer.keeps_for(peer(2)) && viewer.needs(peer(2)) && viewer.needs(peer(1)));
    assert!(!viewer.needs(peer(3)));
    bench.connect(3, 20);
    viewer.on_subscribe(&mut bench.ctx(), peer(3), &request_for(one(0), 0, true));
    assert!(!serves(&viewer, 3));
    bench.connect(2, 20);
    viewer.on_subscribe(&mut bench.ctx(), peer(2), &request_for(one(0), 0, true));
    assert!(serves(&viewer, 2));
    assert_eq!((viewer.slots_used(), viewer.free_slots()), (1, 0));
    // It has found the other one elsewhere: then that is free for whoever asks.
    let (stream, substreams) = (stream_id(), one(1));
    viewer.on_unsubscribe(&mut bench.ctx(), peer(2), &Unsubscribe { stream, substreams });
    viewer.on_subscribe(&mut bench.ctx(), peer(3), &request_for(one(0), 0, true));
    assert!(serves(&viewer, 3));
}

#[test]
fn a_joiner_that_does_not_come_holds_nothing_for_long() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    viewer.slots = 2;
    viewer.membership.tracker = Some(peer(1));
    let hold = Hold {
        stream: stream_id(),
        peer: peer(2),
        substreams: one(0).or(one(1)),
    };
    viewer.on_hold(&mut bench.ctx(), peer(1), hold);
    viewer.end_holds(bench.now + HELD_FOR - Duration::from_millis(1));
    assert_eq!(viewer.free_slots(), 0);
    viewer.end_holds(bench.now + HELD_FOR);
    assert_eq!(viewer.free_slots(), 2);
}

#[test]
fn a_child_that_does_not_answer_a_call_gets_nothing_more() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = flowing(&mut bench);
    viewer.slots = 4;
    for n in 2..=3 {
        bench.connect(n, 20);
        viewer.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(0), 0, true));
    }
    assert_eq!(viewer.slots_used(), 2);
    bench.pass(200);
    let now = bench.now;
    bench.neighbours.call_roll(now, |_| true);
    bench.neighbours.hear(now + Duration::from_millis(20), &peer(3));
    viewer.evict_gone(&mut bench.ctx());
    assert_eq!(viewer.slots_used(), 2);
    bench.pass(400);
    viewer.evict_gone(&mut bench.ctx());
    let children = &viewer.sub(Substream(0)).expect("one of K").children;
    assert_eq!(
        children.iter().map(|child| child.peer).collect::<Vec<_>>(),
        [peer(3)]
    );
}

#[test]
fn a_donor_takes_as_many_substreams_as_the_swarm_has_children_for() {
    for (members, donors, consumers) in [
        (0, 8, 4),
        (3, 8, 4),
        (16, 8, 4),
        (24, 6, 4),
        (32, 4, 4),
        (1_000, 4, 4),
    ] {
        assert_eq!(primaries_for(Role::Donor, 32, members), donors, "{members}");
        assert_eq!(primaries_for(Role::Consumer, 32, members), consumers, "{members}");
    }
    assert_eq!(primaries_for(Role::Donor, 0, 8), 0);
}
