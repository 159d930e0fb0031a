use std::time::Duration;

use wire::message::{Advert, Join, PeerRecord, RefuseReason, Request, Role};
use wire::{Bitrate, Message, PeerId, Seq, StreamId, Substream, SubstreamSet};

use super::super::Stream;
use super::super::supply::{NEW_HERE, SETTLED};
use super::super::testing::{
    Bench, FIRST, K, asked, nothing, offer, one, peer, record, request_for, stream_id,
};
use super::{NEWCOMER_LINE, RANK_EVERY};
use crate::uplink::Turn;

/// Who says that it gives nothing.
fn taker() -> Advert {
    Advert {
        role: Role::Passive,
        ..nothing()
    }
}

/// Who is full.
fn full() -> Advert {
    Advert {
        free_slots: 0,
        leaves: SubstreamSet::all(K),
        ..offer(50)
    }
}

/// A viewer with so many slots that peer 1 supplies with everything.
fn supplier(bench: &mut Bench, slots: u16) -> Stream {
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    for seq in FIRST..FIRST + u64::from(K) {
        bench.push(&mut viewer, 1, seq);
    }
    viewer.slots = slots;
    viewer.primaries = one(0).or(one(1));
    viewer
}

/// A peer comes, says what it is, and asks for substream `s` as a leaf.
fn ask(bench: &mut Bench, stream: &mut Stream, n: u8, rtt_ms: u64, advert: Advert, s: u8) {
    bench.connect(n, rtt_ms);
    stream.on_advert(&mut bench.ctx(), peer(n), advert);
    bench.out.clear();
    stream.on_subscribe(&mut bench.ctx(), peer(n), &request_for(one(s), 0, true));
}

/// Whose copies those for a child in substream 0 wait for.
fn turn(stream: &Stream, n: u8) -> Turn {
    let mut children = stream.subs[0].children.iter();
    children.find(|child| child.peer == peer(n)).unwrap().turn
}

/// Who was told that its place is given away, and who that there is none.
fn losers(bench: &mut Bench) -> (Vec<PeerId>, Vec<PeerId>) {
    let (mut displaced, mut refused) = (Vec::new(), Vec::new());
    for (to, message) in bench.said() {
        match message {
            Message::Displaced(_) => displaced.push(to),
            Message::Refused(m) => {
                assert_eq!(m.reason, RefuseReason::Full);
                refused.push(to);
            }
            _ => {}
        }
    }
    (displaced, refused)
}

#[test]
fn while_there_is_room_nobody_is_asked_what_he_gives() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 4);
    for n in 10..14 {
        ask(&mut bench, &mut viewer, n, 20, taker(), 0);
        assert_eq!(losers(&mut bench), (vec![], vec![]), "peer {n}");
    }
    assert_eq!(viewer.slots_used(), 4);
}

#[test]
fn who_only_takes_gives_way_to_who_has_nobody_and_gives() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 4);
    ask(&mut bench, &mut viewer, 10, 20, taker(), 0);
    ask(&mut bench, &mut viewer, 11, 90, taker(), 0);
    ask(&mut bench, &mut viewer, 12, 200, taker(), 1);
    ask(&mut bench, &mut viewer, 13, 300, offer(50), 0);
    ask(&mut bench, &mut viewer, 14, 20, taker(), 0);
    assert_eq!(
        losers(&mut bench),
        (vec![], vec![peer(14)]),
        "takers take nobody's place"
    );
    // In the same substream first, then the farthest.
    for (n, goes) in [(20, 11), (21, 10), (22, 12)] {
        ask(&mut bench, &mut viewer, n, 20, offer(50), 0);
        assert_eq!(losers(&mut bench), (vec![peer(goes)], vec![]), "for {n}");
    }
    ask(&mut bench, &mut viewer, 23, 20, offer(50), 0);
    assert_eq!(
        losers(&mut bench),
        (vec![], vec![peer(23)]),
        "those who give stay"
    );
    assert_eq!(viewer.slots_used(), 4);
}

#[test]
fn who_has_a_supplier_takes_nobodys_place() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 1);
    ask(&mut bench, &mut viewer, 10, 20, taker(), 0);
    bench.connect(11, 20);
    viewer.on_advert(&mut bench.ctx(), peer(11), offer(50));
    bench.out.clear();
    viewer.on_subscribe(&mut bench.ctx(), peer(11), &request_for(one(0), 0, false));
    assert_eq!(losers(&mut bench), (vec![], vec![peer(11)]));
}

#[test]
fn who_has_said_nothing_yet_is_not_sent_away() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 1);
    bench.connect(10, 20);
    viewer.on_subscribe(&mut bench.ctx(), peer(10), &request_for(one(0), 0, true));
    ask(&mut bench, &mut viewer, 11, 20, offer(50), 0);
    assert_eq!(losers(&mut bench), (vec![], vec![peer(11)]));
}

#[test]
fn who_has_not_counted_its_slots_yet_is_not_sent_away() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 1);
    ask(&mut bench, &mut viewer, 10, 20, nothing(), 0);
    ask(&mut bench, &mut viewer, 11, 20, offer(50), 0);
    assert_eq!(losers(&mut bench), (vec![], vec![peer(11)]));
    bench.now += NEW_HERE + Duration::from_millis(1);
    viewer.on_advert(&mut bench.ctx(), peer(10), nothing());
    ask(&mut bench, &mut viewer, 11, 20, offer(50), 0);
    assert_eq!(
        losers(&mut bench),
        (vec![peer(10)], vec![]),
        "it will never have any"
    );
}

#[test]
fn what_was_given_elsewhere_counts_as_much_as_giving_here() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 1);
    let other = wire::StreamId::from_bytes([5; 32]);
    ask(&mut bench, &mut viewer, 10, 20, taker(), 0);
    bench.accounts.received(bench.now, peer(11), other, 4 << 20);
    ask(&mut bench, &mut viewer, 11, 20, taker(), 0);
    assert_eq!(losers(&mut bench), (vec![peer(10)], vec![]));
    ask(&mut bench, &mut viewer, 12, 20, offer(50), 0);
    assert_eq!(losers(&mut bench), (vec![], vec![peer(12)]), "and is kept");
}

#[test]
fn where_accounts_are_signed_they_say_what_is_owed() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 1);
    ask(&mut bench, &mut viewer, 10, 20, taker(), 0);
    // In a run before this one, or shifted here: no chunk of it came to this node as it is.
    bench.signs_for(11, 4 << 20);
    ask(&mut bench, &mut viewer, 11, 20, taker(), 0);
    assert_eq!(losers(&mut bench), (vec![peer(10)], vec![]));
    // And what came and was not signed for is owed to nobody.
    let other = wire::StreamId::from_bytes([5; 32]);
    bench.accounts.received(bench.now, peer(12), other, 64 << 20);
    assert_eq!(
        viewer.rank(&bench.ctx(), peer(12)),
        viewer.rank(&bench.ctx(), peer(99))
    );
}

#[test]
fn what_is_owed_is_served_once_with_a_receipt_for_it_or_without() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 2);
    bench.signs_for(11, 4 << 20);
    ask(&mut bench, &mut viewer, 11, 20, taker(), 0);
    assert!(!viewer.only_takes(&bench.ctx(), peer(11)));
    // It takes what it is owed, and signs nothing for it.
    let (trust, _) = bench.signed.awake().unwrap();
    trust.sent(peer(11), (4 << 20) - 1);
    assert!(viewer.only_takes(&bench.ctx(), peer(11)));
    assert_eq!(
        viewer.rank(&bench.ctx(), peer(11)),
        viewer.rank(&bench.ctx(), peer(99))
    );
}

#[test]
fn who_gives_to_this_stream_ranks_above_who_is_owed_and_both_above_the_rest() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 4);
    let other = wire::StreamId::from_bytes([5; 32]);
    for n in 10..14 {
        bench.connect(n, 20);
    }
    viewer.on_advert(&mut bench.ctx(), peer(11), offer(50));
    bench.accounts.received(bench.now, peer(12), other, 64 << 20);
    bench.accounts.received(bench.now, peer(13), stream_id(), 2 << 20);
    // What it was given counts against nobody: a new name would else be worth more than an old one.
    bench.accounts.sent(bench.now, peer(10), stream_id(), 900 << 20);
    let ranks: Vec<_> = (10..14).map(|n| viewer.rank(&bench.ctx(), peer(n))).collect();
    assert!(
        ranks.is_sorted() && ranks[0] < ranks[1] && ranks[2] < ranks[3],
        "{ranks:?}"
    );
    assert_eq!(ranks[0], viewer.rank(&bench.ctx(), peer(99)), "a stranger");
}

#[test]
fn the_peercaster_has_it_from_its_register_who_gives_nothing() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut source = bench.source();
    for (n, role) in [(10, Role::Passive), (11, Role::Consumer)] {
        bench.connect(n, 20);
        let join = Join {
            stream: stream_id(),
            record: PeerRecord { role, ..record(n, 0) },
            want: 0,
            need: SubstreamSet::EMPTY,
            upload: Bitrate::from_kbps(1_000),
            known: None,
            promised: 0,
        };
        source.on_join(&mut bench.ctx(), peer(n), join);
        // Neither is a child of its, and says to it what it gives.
        if let Some(state) = source.peers.get_mut(&peer(n)) {
            (state.advert, state.record) = (None, None);
        }
    }
    assert!(source.only_takes(&bench.ctx(), peer(10)));
    // Who has registered with no room may have some by now.
    bench.now += NEW_HERE + Duration::from_secs(1);
    assert!(!source.only_takes(&bench.ctx(), peer(11)));
}

#[test]
fn only_who_gives_and_knows_of_takers_asks_for_the_place_of_a_leaf() {
    for (slots, seen) in [(0, true), (16, false), (16, true)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = bench.viewer();
        viewer.slots = slots;
        bench.connect(2, 20);
        viewer.on_advert(&mut bench.ctx(), peer(2), full());
        if seen {
            bench.connect(3, 20);
            viewer.on_advert(&mut bench.ctx(), peer(3), taker());
        }
        let leaves = SubstreamSet::all(K).minus(viewer.primaries);
        viewer.seek_parents(&mut bench.ctx());
        let places = asked(&bench.said(), peer(2)).and(leaves);
        assert_eq!(!places.is_empty(), slots > 0 && seen, "{slots} slots, {seen}");
    }
}

#[test]
fn a_free_place_is_asked_for_before_that_of_a_leaf() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    viewer.slots = 16;
    bench.connect(2, 20);
    bench.connect(3, 400);
    bench.connect(4, 20);
    for (n, advert) in [(2, full()), (3, offer(400)), (4, taker())] {
        viewer.peers.entry(peer(n)).or_default().advert = Some((advert, bench.now));
    }
    viewer.primaries = one(0);
    viewer.seek_parents(&mut bench.ctx());
    assert!(asked(&bench.said(), peer(3)).contains(Substream(5)));
}

#[test]
fn repairs_of_who_only_takes_wait_for_those_of_others() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 16);
    let request = |seq: u64| Request {
        stream_tag: stream_id().tag(),
        seqs: std::iter::once(Seq(seq)).collect(),
        deadline_ms: 500,
    };
    for (n, advert) in [(10, taker()), (11, offer(50))] {
        bench.connect(n, 20);
        viewer.on_advert(&mut bench.ctx(), peer(n), advert);
    }
    bench.out.clear();
    let now = bench.now;
    bench.uplink.book_unpaced(now, 2_000);
    viewer.on_request(&mut bench.ctx(), peer(10), &request(FIRST));
    viewer.on_request(&mut bench.ctx(), peer(11), &request(FIRST + 1));
    while let Some(deadline) = bench.uplink.next_deadline() {
        bench.uplink.release(deadline, &mut bench.out);
    }
    let (first, then) = ((peer(11), FIRST + 1), (peer(10), FIRST));
    assert_eq!(bench.sent(), [first, then]);
}

#[test]
fn live_copies_of_who_only_takes_wait_for_repairs_of_others() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 16);
    ask(&mut bench, &mut viewer, 10, 20, taker(), 0);
    ask(&mut bench, &mut viewer, 11, 20, offer(50), 0);
    let turns = |viewer: &Stream| [10, 11].map(|n| turn(viewer, n));
    assert_eq!(turns(&viewer), [Turn::Taker, Turn::Usual]);
    // What was a viewer with room is one without, and the other way round.
    viewer.on_advert(&mut bench.ctx(), peer(10), offer(50));
    viewer.on_advert(&mut bench.ctx(), peer(11), taker());
    bench.now += RANK_EVERY;
    viewer.rank_children(&bench.ctx());
    assert_eq!(turns(&viewer), [Turn::Usual, Turn::Taker]);
}

#[test]
fn of_those_who_only_take_who_took_more_than_a_newcomer_may_comes_last() {
    for signs in [false, true] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = supplier(&mut bench, 3);
        if signs {
            bench.signs_for(99, 1);
        }
        let takes = |bench: &mut Bench, n: u8, bytes: u64| {
            if signs {
                // It gives no receipts for it, which makes no difference.
                let (trust, said) = bench.signed.awake().unwrap();
                trust.on_connected(bench.now, peer(n), said);
                trust.sent(peer(n), bytes);
            } else {
                bench.accounts.sent(bench.now, peer(n), stream_id(), bytes);
            }
        };
        ask(&mut bench, &mut viewer, 10, 200, taker(), 0);
        ask(&mut bench, &mut viewer, 11, 20, taker(), 1);
        ask(&mut bench, &mut viewer, 12, 20, offer(50), 0);
        takes(&mut bench, 10, NEWCOMER_LINE - 1);
        takes(&mut bench, 11, NEWCOMER_LINE);
        takes(&mut bench, 12, 9 * NEWCOMER_LINE);
        let turns =
            |viewer: &Stream, bench: &mut Bench| [10, 11, 12].map(|n| viewer.turn(&bench.ctx(), peer(n)));
        let expected = [Turn::Taker, Turn::BeyondLine, Turn::Usual];
        assert_eq!(turns(&viewer, &mut bench), expected, "signed: {signs}");
        bench.now += RANK_EVERY;
        viewer.rank_children(&bench.ctx());
        assert_eq!(turn(&viewer, 10), Turn::Taker);
        let ranks = [11, 10, 12].map(|n| viewer.rank(&bench.ctx(), peer(n)));
        assert!(ranks[0] < ranks[1] && ranks[1] < ranks[2], "{ranks:?}");
        // Though 10 is farther, and in the substream that is asked for.
        for (n, goes) in [(20, 11), (21, 10)] {
            ask(&mut bench, &mut viewer, n, 20, offer(50), 0);
            assert_eq!(losers(&mut bench), (vec![peer(goes)], vec![]), "for {n}");
        }
    }
}

#[test]
fn whom_this_node_owes_takes_the_place_of_a_leaf_that_gave_it_nothing() {
    for (owed, gave, settled, goes) in [
        (2 << 20, 0, true, true),
        (0, 0, true, false),
        (2 << 20, 2 << 20, true, false),
        (2 << 20, 0, false, false),
    ] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = supplier(&mut bench, 1);
        ask(&mut bench, &mut viewer, 10, 20, offer(50), 0);
        bench.accounts.received(bench.now, peer(10), stream_id(), gave);
        bench
            .accounts
            .received(bench.now, peer(11), StreamId::from_bytes([7; 32]), owed);
        if settled {
            bench.now += SETTLED;
        }
        ask(&mut bench, &mut viewer, 11, 20, taker(), 0);
        let (displaced, refused) = losers(&mut bench);
        let expected = if goes {
            (vec![peer(10)], vec![])
        } else {
            (vec![], vec![peer(11)])
        };
        assert_eq!(
            (displaced, refused),
            expected,
            "owed {owed}, gave {gave}, settled {settled}"
        );
    }
}

#[test]
fn nobody_is_sent_to_who_took_its_place_and_passes_nothing_on() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = supplier(&mut bench, 1);
    ask(&mut bench, &mut viewer, 10, 20, taker(), 0);
    ask(&mut bench, &mut viewer, 11, 20, full(), 0);
    let named = bench.said().into_iter().find_map(|(_, message)| match message {
        Message::Displaced(message) => Some(message.instead),
        _ => None,
    });
    assert!(named.unwrap().iter().all(|referral| referral.peer != peer(11)));
}
