use std::time::Duration;

use wire::message::{DontHave, Request};
use wire::{Bitrate, Message, PeerId, Seq, SubstreamSet, Time};

use super::super::Stream;
use crate::io::Class;
use crate::uplink::Turn;

use super::super::testing::{
    Bench, CHUNK_MS, FIRST, K, chunk, chunk_made, chunk_of, made_at, offer, one, peer, request_for, stream_id,
};
use super::{BURST_SECONDS, Missing, REPAIR_SHARE, Repair, UNANSWERED};

/// The chunks asked for one by one since the last look, and of whom.
fn requests(bench: &mut Bench) -> Vec<(PeerId, u64)> {
    let mut all = Vec::new();
    for (to, message) in bench.said() {
        if let Message::Request(request) = message {
            all.extend(request.seqs.iter().map(|seq| (to, seq.0)));
        }
    }
    all
}

/// A viewer that peer 1 supplies, with peers up to `helpers` that hold everything as well.
fn helped(bench: &mut Bench, helpers: u8) -> Stream {
    let mut viewer = bench.viewer();
    for n in 1..=helpers {
        bench.connect(n, 20);
    }
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    for n in 1..=helpers {
        advertise(bench, &mut viewer, n);
    }
    bench.out.clear();
    viewer
}

fn advertise(bench: &mut Bench, viewer: &mut Stream, n: u8) {
    let mut advert = offer(10);
    advert.head = Seq(FIRST + bench.now.since(made_at(FIRST)).as_millis() as u64 / CHUNK_MS);
    viewer.on_advert(&mut bench.ctx(), peer(n), advert);
}

/// Lets the chunks of `seqs` come as they are made, without those `lost`, and looks for holes.
fn flow(bench: &mut Bench, viewer: &mut Stream, seqs: std::ops::Range<u64>, lost: impl Fn(u64) -> bool) {
    for seq in seqs {
        if !lost(seq) {
            bench.push(viewer, 1, seq);
        }
        if viewer.next_repair_scan <= bench.now {
            viewer.repair_scan(&mut bench.ctx());
        }
        bench.pass(CHUNK_MS);
    }
}

#[test]
fn a_missing_chunk_is_asked_for_once_it_is_overdue() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = helped(&mut bench, 2);
    let hole = FIRST + 100;
    flow(&mut bench, &mut viewer, FIRST..hole + 7, |seq| seq == hole);
    assert_eq!(requests(&mut bench), [], "the transport may still bring it");
    flow(&mut bench, &mut viewer, hole + 7..hole + 20, |_| false);
    assert_eq!(
        requests(&mut bench),
        [(peer(2), hole)],
        "of the other one than who should have sent it"
    );
}

#[test]
fn of_a_new_session_a_missing_chunk_is_asked_of_those_who_had_the_last_one() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = helped(&mut bench, 2);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, |_| false);
    let session = FIRST + 500;
    bench.pass(400 * CHUNK_MS);
    let hole = session + 10;
    let mut asked = Vec::new();
    for seq in session..session + 40 {
        if seq != hole {
            viewer.on_chunk(&mut bench.ctx(), peer(1), &chunk_of(session, seq), 1, false);
        }
        viewer.repair_scan(&mut bench.ctx());
        asked.extend(requests(&mut bench));
        bench.pass(CHUNK_MS);
    }
    assert_eq!(asked.first(), Some(&(peer(2), hole)), "{asked:?}");
}

#[test]
fn chunks_of_a_slow_stream_are_not_missed_before_they_can_be_here() {
    const EVERY_MS: u64 = 10 * CHUNK_MS;
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = helped(&mut bench, 2);
    let start = bench.now;
    // Half of the substreams come by a way that is longer, so chunks that were made later are here before theirs.
    let way_ms = |n: u64| {
        if n % u64::from(K) < u64::from(K) / 2 {
            20
        } else {
            420
        }
    };
    let mut asked = Vec::new();
    for ms in 0..400 * EVERY_MS {
        if ms.is_multiple_of(EVERY_MS) {
            // Peer 2 would have it.
            let mut advert = offer(10);
            advert.head = Seq(FIRST + ms / EVERY_MS);
            viewer.on_advert(&mut bench.ctx(), peer(2), advert);
        }
        for n in (ms / EVERY_MS).saturating_sub(6)..=ms / EVERY_MS {
            if n * EVERY_MS + way_ms(n) == ms {
                let made = chunk_made(FIRST + n, start + Duration::from_millis(n * EVERY_MS));
                viewer.on_chunk(&mut bench.ctx(), peer(1), &made, 1, false);
            }
        }
        if viewer.next_repair_scan <= bench.now {
            viewer.repair_scan(&mut bench.ctx());
        }
        bench.pass(1);
        let found = requests(&mut bench);
        // How long each way is has to be learnt first.
        if ms > 20 * EVERY_MS {
            asked.extend(found);
        }
    }
    assert_eq!(asked, []);
}

#[test]
fn how_far_apart_chunks_are_is_known_after_two_and_still_when_the_peercaster_was_away() {
    let apart = Duration::from_millis(44);
    let mut repair = Repair::default();
    let made = |n: u64| Time::from_millis(1_000) + apart * n as u32;
    repair.observe(Seq(0), made(0));
    assert_eq!(repair.spacing(), Duration::ZERO);
    repair.observe(Seq(1), made(1));
    assert_eq!(repair.spacing(), apart);
    repair.observe(Seq(20), made(20));
    assert_eq!(repair.spacing(), apart);
    repair.reset();
    // The first chunk of the new session tells nothing, and the time between the two is no spacing.
    repair.observe(Seq(1_000), made(500));
    assert_eq!(repair.spacing(), apart);
    // Another rate is believed within seconds.
    for n in 1..200 {
        repair.observe(Seq(1_000 + n), made(500) + Duration::from_millis(8 * n));
    }
    let now = repair.spacing();
    assert!(now < Duration::from_micros(8_100), "{now:?}");
}

#[test]
fn no_more_is_asked_for_than_the_bucket_holds() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = helped(&mut bench, 6);
    flow(&mut bench, &mut viewer, FIRST..FIRST + 100, |_| false);
    assert_eq!(requests(&mut bench), []);
    // Then nothing comes for four seconds but one chunk in sixteen.
    let mut asked = 0;
    for round in 0..5 {
        for n in 1..=6 {
            advertise(&mut bench, &mut viewer, n);
        }
        let from = FIRST + 100 + round * 100;
        flow(&mut bench, &mut viewer, from..from + 100, |seq| seq % 16 != 0);
        asked += requests(&mut bench).len();
    }
    let per_second = 1000.0 / CHUNK_MS as f64;
    let seconds = 600.0 / per_second;
    let allowed = per_second * (BURST_SECONDS + seconds * REPAIR_SHARE);
    assert!(asked as f64 <= allowed, "{asked}, allowed are {allowed}");
    assert!(
        asked as f64 > allowed / 3.0,
        "{asked}: it must be the bucket that limits, not something else"
    );
}

#[test]
fn what_was_made_while_nobody_supplied_it_costs_no_allowance() {
    let asked = |free: bool| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = helped(&mut bench, 4);
        flow(&mut bench, &mut viewer, FIRST..FIRST + 40, |_| false);
        viewer.repair.tokens = 0.0;
        let missing = |n| Missing {
            seq: Seq(FIRST + 41 + n),
            slack: Some(Duration::from_millis(500)),
            free,
        };
        viewer.request(&mut bench.ctx(), (0..8).map(missing).collect());
        requests(&mut bench).len()
    };
    assert_eq!((asked(false), asked(true)), (0, 8));
}

#[test]
fn who_cannot_help_is_left_alone_for_longer_each_time() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = helped(&mut bench, 2);
    let mut paused = Vec::new();
    let mut seq = FIRST;
    for _ in 0..3 {
        let hole = seq + 50;
        flow(&mut bench, &mut viewer, seq..hole + 20, |seq| seq == hole);
        assert_eq!(requests(&mut bench), [(peer(2), hole)]);
        let refusal = DontHave {
            stream_tag: stream_id().tag(),
            seqs: std::iter::once(Seq(hole)).collect(),
        };
        viewer.on_dont_have(&mut bench.ctx(), peer(2), &refusal);
        paused.push(
            viewer
                .peers
                .get(&peer(2))
                .expect("known")
                .busy_until
                .since(bench.now),
        );
        // The next one is asked at once.
        viewer.repair_scan(&mut bench.ctx());
        assert_eq!(requests(&mut bench), [(peer(1), hole)]);
        viewer.on_chunk(&mut bench.ctx(), peer(1), &chunk(hole), 1, true);
        // And for the next chunk, too.
        viewer.request(
            &mut bench.ctx(),
            vec![Missing {
                seq: Seq(hole + 21),
                slack: None,
                free: false,
            }],
        );
        assert_eq!(requests(&mut bench), [(peer(1), hole + 21)]);
        seq = hole + 200;
        advertise(&mut bench, &mut viewer, 2);
        flow(&mut bench, &mut viewer, hole + 20..seq, |_| false);
    }
    assert!(
        paused[0] > Duration::ZERO && paused[1] == paused[0] * 2 && paused[2] == paused[1] * 2,
        "{paused:?}"
    );
}

#[test]
fn when_time_is_short_two_are_asked_at_once_and_no_third() {
    let missing = |slack: Duration| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = helped(&mut bench, 4);
        flow(&mut bench, &mut viewer, FIRST..FIRST + 40, |_| false);
        let hole = Seq(FIRST + 41);
        let mut asked = Vec::new();
        for _ in 0..4 {
            let missing = Missing {
                seq: hole,
                slack: Some(slack),
                free: false,
            };
            viewer.request(&mut bench.ctx(), vec![missing]);
            asked.extend(requests(&mut bench).into_iter().map(|(to, _)| to));
            bench.pass(1);
        }
        asked
    };
    let short = missing(Duration::from_millis(25));
    assert_eq!(short.len(), 2, "{short:?}");
    assert!(short[0] != short[1]);
    assert_eq!(missing(Duration::from_millis(500)).len(), 1);
}

#[test]
fn helpers_that_never_say_a_word_break_their_promise() {
    let silent = |answers: bool| {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = helped(&mut bench, 2);
        flow(&mut bench, &mut viewer, FIRST..FIRST + 100, |_| false);
        let mut seq = FIRST + 100;
        for _ in 0..40 {
            advertise(&mut bench, &mut viewer, 2);
            flow(&mut bench, &mut viewer, seq..seq + 50, |n| n % 25 == 0);
            seq += 50;
            for (to, hole) in requests(&mut bench) {
                if to == peer(1) {
                    viewer.on_chunk(&mut bench.ctx(), peer(1), &chunk(hole), 1, true);
                } else if answers && hole % 2 == 0 {
                    // Half of its answers are lost on the way.
                    viewer.on_chunk(&mut bench.ctx(), to, &chunk(hole), 1, true);
                }
            }
        }
        bench.standings.of(peer(2)).unreliability(bench.now)
    };
    assert!(u32::from(UNANSWERED) < 80);
    assert!(silent(false) > 0.0);
    assert_eq!(silent(true), 0.0);
}

#[test]
fn a_request_costs_no_more_than_is_left_of_the_uplink() {
    let mut bench = Bench::new(Bitrate::from_kbps(1_000));
    let mut source = bench.source();
    for seq in 0..128 {
        source.window.insert(chunk(seq));
    }
    bench.connect(2, 20);
    let request = Request {
        stream_tag: stream_id().tag(),
        seqs: (0..64).map(Seq).collect(),
        deadline_ms: u16::MAX,
    };
    source.peers.entry(peer(2)).or_default().supplied = SubstreamSet::all(K);
    let before = bench.uplink.backlog_for(Class::Bulk, Turn::Usual, bench.now, 1.0);
    source.on_request(&mut bench.ctx(), peer(2), &request);
    let added = bench.uplink.backlog_for(Class::Bulk, Turn::Usual, bench.now, 1.0) - before;
    assert!(added < Duration::from_millis(300), "{added:?}");
    let declined = bench
        .said()
        .into_iter()
        .any(|(_, m)| matches!(m, Message::DontHave(_)));
    assert!(declined);
}

#[test]
fn who_is_full_declines_a_joiner_sooner() {
    let taken = |full: bool| {
        let mut bench = Bench::new(Bitrate::from_kbps(8_000));
        let mut viewer = bench.viewer();
        viewer.count_slots(&mut bench.ctx());
        for seq in 0..64 {
            viewer.window.insert(chunk(FIRST + seq));
        }
        bench.connect(2, 20);
        if full {
            let request = request_for(SubstreamSet::all(K), 0, true);
            for n in 10..10 + u8::try_from(viewer.slots / u16::from(K)).expect("few") {
                bench.connect(n, 20);
                for sub in &mut viewer.subs {
                    sub.parent = Some(peer(1));
                    sub.measured = true;
                }
                viewer.on_subscribe(&mut bench.ctx(), peer(n), &request);
            }
        }
        let request = Request {
            stream_tag: stream_id().tag(),
            seqs: (FIRST..FIRST + 64).map(Seq).collect(),
            deadline_ms: u16::MAX,
        };
        bench.said();
        viewer.on_request(&mut bench.ctx(), peer(2), &request);
        let declined = bench.said().into_iter().map(|(_, message)| match message {
            Message::DontHave(m) => m.seqs.len(),
            _ => 0,
        });
        64 - declined.sum::<usize>()
    };
    let (idle, full) = (taken(false), taken(true));
    assert!(
        full > 0 && full * 2 < idle,
        "{full} of a full one, {idle} of an idle one"
    );
}

#[test]
fn in_a_small_swarm_the_source_helps_whoever_asks_and_in_a_crowd_its_children() {
    for (members, child, helps) in [(1, false, true), (101, false, false), (101, true, true)] {
        let mut bench = Bench::new(Bitrate::from_kbps(8_000));
        let mut source = bench.source();
        source.window.insert(chunk(0));
        for n in 1..=members {
            bench.register(&mut source, n, 0);
        }
        if child {
            source.peers.entry(peer(1)).or_default().supplied = one(3);
        }
        let request = Request {
            stream_tag: stream_id().tag(),
            seqs: std::iter::once(Seq(0)).collect(),
            deadline_ms: 100,
        };
        bench.out.clear();
        source.on_request(&mut bench.ctx(), peer(1), &request);
        assert_eq!(
            bench.sent() == [(peer(1), 0)],
            helps,
            "{members} members, child: {child}"
        );
    }
}
