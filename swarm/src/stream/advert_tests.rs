use wire::message::{Advert, NO_LAG};
use wire::{Bitrate, Message, Seq, SubstreamSet};

use super::super::Stream;
use super::super::testing::{
    Bench, CHUNK_MS, FIRST, K, chunk_of, key_frame, made_at, nothing, offer, one, peer,
};

/// The last advert said.
fn advert(bench: &mut Bench) -> Option<Advert> {
    let said = bench.said();
    said.into_iter().rev().find_map(|(_, message)| match message {
        Message::Advert(advert) => Some(advert),
        _ => None,
    })
}

#[test]
fn a_lag_grows_with_the_silence_and_an_orphan_has_none() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for n in 1..=2 {
        bench.connect(n, 20);
    }
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K).minus(one(7)));
    for seq in FIRST..FIRST + 64 {
        if Seq(seq).substream(K) != wire::Substream(7) {
            bench.push(&mut viewer, 1, seq);
        }
        bench.pass(CHUNK_MS);
    }
    viewer.on_advert(&mut bench.ctx(), peer(2), offer(10));
    let fresh = advert(&mut bench).expect("answered");
    assert_eq!(fresh.lags_ms.len(), usize::from(K));
    for (s, &lag) in fresh.lags_ms.iter().enumerate() {
        assert_eq!(lag == NO_LAG, s == 7, "substream {s}: {lag}");
    }
    assert!(fresh.lags_ms[0] < 50);
    bench.pass(3_000);
    viewer.send_advert(&mut bench.ctx(), peer(2));
    let old = advert(&mut bench).expect("sent");
    for s in (0..usize::from(K)).filter(|&s| s != 7) {
        let grown = old.lags_ms[s] - fresh.lags_ms[s];
        assert!(
            (2_700..=3_000).contains(&grown),
            "substream {s} grew by {grown} ms"
        );
    }
}

#[test]
fn who_waits_for_its_first_picture_has_nothing_to_give_but_after_a_return_it_has() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    let held = |viewer: &mut Stream, bench: &mut Bench| {
        viewer.send_advert(&mut bench.ctx(), peer(1));
        advert(bench).expect("sent").held
    };
    for seq in FIRST..FIRST + 64 {
        bench.pass(CHUNK_MS);
        bench.push(&mut viewer, 1, seq);
    }
    assert!(
        viewer.playout.as_ref().is_some_and(|p| p.point().is_none()),
        "no key frame"
    );
    assert_eq!(held(&mut viewer, &mut bench), 0);
    viewer.on_chunk(&mut bench.ctx(), peer(1), &key_frame(FIRST + 64), 1, false);
    for seq in FIRST + 65..FIRST + 164 {
        bench.pass(CHUNK_MS);
        bench.push(&mut viewer, 1, seq);
    }
    assert!(held(&mut viewer, &mut bench) > 64);
    let session = FIRST + 500;
    bench.now = made_at(session);
    for seq in session..session + 8 {
        bench.pass(CHUNK_MS);
        viewer.on_chunk(&mut bench.ctx(), peer(1), &chunk_of(session, seq), 1, false);
    }
    assert!(viewer.playout.as_ref().is_some_and(|p| p.point().is_none()));
    assert_eq!(held(&mut viewer, &mut bench), 8);
}

#[test]
fn a_head_beyond_what_the_clock_allows_is_not_believed() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for n in 1..=2 {
        bench.connect(n, 20);
    }
    bench.push(&mut viewer, 1, FIRST);
    bench.now = made_at(FIRST + 50);
    let claim = |head| Advert {
        head: Seq(head),
        ..offer(10)
    };
    viewer.on_advert(&mut bench.ctx(), peer(1), claim(FIRST + 50));
    assert_eq!(viewer.head(), Seq(FIRST + 50));
    for absurd in [FIRST + 500, u64::MAX] {
        viewer.on_advert(&mut bench.ctx(), peer(2), claim(absurd));
        assert_eq!(viewer.head(), Seq(FIRST + 50));
        let held = viewer
            .peers
            .get(&peer(2))
            .expect("known")
            .advert
            .as_ref()
            .map(|(advert, _)| advert.head);
        assert_eq!(held, Some(Seq(FIRST + 50)));
    }
}

#[test]
fn an_advert_with_another_number_of_substreams_is_dropped() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    bench.connect(1, 20);
    for lags in [0, 1, K - 1, K + 1, 64] {
        let lags_ms = (0..lags).map(|_| 1).collect();
        viewer.on_advert(&mut bench.ctx(), peer(1), Advert { lags_ms, ..offer(1) });
        assert!(viewer.peers.is_empty(), "{lags}");
    }
    viewer.on_advert(&mut bench.ctx(), peer(1), offer(1));
    assert!(viewer.peers.get(&peer(1)).expect("known").advert.is_some());
}

#[test]
fn each_neighbour_hears_the_news_however_lately_it_was_told_something() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for n in 1..=3 {
        bench.connect(n, 20);
    }
    viewer.count_slots(&mut bench.ctx());
    viewer.on_advert(&mut bench.ctx(), peer(2), nothing());
    bench.pass(70);
    viewer.on_advert(&mut bench.ctx(), peer(3), nothing());
    assert!(advert(&mut bench).is_some_and(|advert| advert.lags_ms.iter().all(|&lag| lag == NO_LAG)));
    bench.supplied_by(&mut viewer, 1, one(5));
    bench.push(&mut viewer, 1, FIRST + 5);
    let mut told = Vec::new();
    for _ in 0..12 {
        bench.pass(20);
        viewer.advert_tick(&mut bench.ctx());
        for (to, message) in bench.said() {
            if let Message::Advert(advert) = message {
                assert!(advert.lags_ms[5] != NO_LAG);
                told.push(to);
            }
        }
    }
    told.retain(|&to| to != peer(1));
    assert_eq!(told, [peer(2), peer(3)], "once each: nothing more happened");
}
