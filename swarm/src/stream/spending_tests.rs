use wire::message::{Advert, Role};
use wire::{Bitrate, Seq, StreamId, Substream, SubstreamSet};

use super::super::Stream;
use super::super::holders::{Requests, Wanted, ask_best, holders};
use super::super::testing::{Bench, FIRST, K, asked, offer, peer};
use super::{LASTS, PLENTY};
use crate::node::Bookkeeping;

/// A viewer that gives nothing, has credit somewhere, and has everything from peer 1, whom nothing can be asked for.
fn spender(bench: &mut Bench) -> Stream {
    bench.signed = Bookkeeping::none().with_credit();
    let mut viewer = bench.viewer();
    viewer.role = Role::Passive;
    bench.connect(1, 20);
    bench.supplied_by(&mut viewer, 1, SubstreamSet::all(K));
    for seq in FIRST..FIRST + u64::from(K) {
        bench.push(&mut viewer, 1, seq);
    }
    bench.out.clear();
    viewer
}

/// Peer `n`, all whose places are taken, some of them by leaves, owes this node so much of another stream.
fn debtor(bench: &mut Bench, viewer: &mut Stream, n: u8, owes: u64) {
    let full = Advert {
        free_slots: 0,
        leaves: SubstreamSet::all(K),
        ..offer(50)
    };
    debtor_that_says(bench, viewer, n, owes, full);
}

/// Peer `n`, which says this, owes this node so much of another stream.
fn debtor_that_says(bench: &mut Bench, viewer: &mut Stream, n: u8, owes: u64, advert: Advert) {
    bench.connect(n, 20);
    viewer.on_advert(&mut bench.ctx(), peer(n), advert);
    bench
        .accounts
        .sent(bench.now, peer(n), StreamId::from_bytes([5; 32]), owes);
    bench.out.clear();
}

#[test]
fn who_spends_takes_of_its_debtors_what_they_can_pay_for_a_minute_and_with_plenty_everything() {
    for (owes, moves) in [(12 << 20, 16), (2 << 20, 3), (512 << 10, 0)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        let mut viewer = spender(&mut bench);
        assert_eq!(viewer.takes_in(PLENTY), 7_500_000);
        debtor(&mut bench, &mut viewer, 2, owes);
        viewer.spend(&mut bench.ctx());
        assert_eq!(asked(&bench.said(), peer(2)).len(), moves, "{owes} bytes");
    }
}

#[test]
fn no_more_is_taken_of_a_debtor_than_it_can_pay_for_a_while() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = spender(&mut bench);
    let each = viewer.takes_in(LASTS) / u64::from(K);
    debtor(&mut bench, &mut viewer, 2, super::CREDIT_ALIKE + 3 * each);
    assert!(viewer.can_pay(&bench.ctx(), peer(2), 2));
    assert!(!viewer.can_pay(&bench.ctx(), peer(2), 3));
    debtor(&mut bench, &mut viewer, 3, 0);
    assert!(!viewer.can_pay(&bench.ctx(), peer(3), 0));
}

#[test]
fn who_spends_asks_a_debtor_for_the_place_of_a_leaf_though_nobody_only_takes() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    bench.signed = Bookkeeping::none().with_credit();
    let mut viewer = bench.viewer();
    viewer.role = Role::Passive;
    debtor(&mut bench, &mut viewer, 3, 0);
    debtor(&mut bench, &mut viewer, 2, 4 << 20);
    viewer.seek_parents(&mut bench.ctx());
    assert!(!asked(&bench.said(), peer(2)).is_empty());
    assert!(asked(&bench.said(), peer(3)).is_empty());
}

#[test]
fn who_lacks_a_supplier_asks_a_debtor_for_the_place_of_a_taker_whatever_that_takes() {
    for takers in [None, Some(1)] {
        let mut bench = Bench::new(Bitrate::from_kbps(4_000));
        bench.signed = Bookkeeping::none().with_credit();
        let mut viewer = bench.viewer();
        viewer.role = Role::Passive;
        let full = Advert {
            free_slots: 0,
            leaves: SubstreamSet::EMPTY,
            takers,
            ..offer(50)
        };
        debtor_that_says(&mut bench, &mut viewer, 2, 4 << 20, full);
        viewer.seek_parents(&mut bench.ctx());
        let asked = asked(&bench.said(), peer(2));
        assert_eq!(
            u32::from(takers.unwrap_or(0)),
            asked.len(),
            "one place, one substream"
        );
    }
}

#[test]
fn credit_is_wished_where_somebody_only_takes_before_other_places() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    viewer.role = Role::Passive;
    for n in 2..12 {
        let full = Advert {
            free_slots: 0,
            primaries: if n == 11 {
                SubstreamSet::EMPTY
            } else {
                SubstreamSet::all(K)
            },
            takers: (n == 11).then_some(1),
            ..offer(50 + u16::from(n))
        };
        debtor_that_says(&mut bench, &mut viewer, n, 0, full);
    }
    let wished: Vec<_> = viewer
        .wishes(bench.now)
        .into_iter()
        .map(|(whom, _)| whom)
        .collect();
    let expected: Vec<_> = [11, 2, 3, 4, 5, 6, 7, 8].map(peer).into();
    assert_eq!(wished, expected);
}

#[test]
fn repairs_are_asked_of_debtors_first() {
    let mut bench = Bench::new(Bitrate::from_kbps(4_000));
    let mut viewer = bench.viewer();
    for (n, rtt_ms) in [(2, 20), (3, 60)] {
        bench.connect(n, rtt_ms);
        viewer.on_advert(&mut bench.ctx(), peer(n), offer(50));
    }
    let wanted = Wanted {
        seq: Seq(u64::from(K)),
        substream: Substream(0),
        parent: None,
        age_us: 200_000.0,
        not: None,
        spare_period_us: None,
        of_source: false,
    };
    for (spends, first) in [(true, peer(3)), (false, peer(2))] {
        let (neighbours, standings) = (&bench.neighbours, &bench.standings);
        let open = Requests::default();
        let owes = |of| !spends || of == peer(3);
        let mut found = holders(bench.now, &viewer.peers, neighbours, standings, &open, owes);
        assert_eq!(
            ask_best(&mut found, &wanted).map(|holder| holder.peer),
            Some(first)
        );
    }
}
