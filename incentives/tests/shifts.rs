//! Shifts among honest peers on a network that works: what one is owed here it is owed there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use headwater_incentives::trust::{KEEP, SHIFT_TIME, ShiftError};
use net::{MIB, Net};
use wire::trust::TrustMessage;

/// A line: 0 has a claim on 1, which has one on 2, ... and 0 is connected to the last.
fn line(nodes: usize, seed: u64) -> Net {
    let mut net = Net::new(nodes, seed);
    for n in 1..nodes {
        net.owe(n, n - 1, 64 * MIB);
    }
    net.connect(0, nodes - 1);
    net.run_for(Duration::from_secs(15));
    net
}

#[test]
fn what_was_served_is_owed_and_both_have_signed_it() {
    for seed in 0..4 {
        let mut net = Net::new(2, seed);
        net.connect(0, 1);
        net.serve(0, 1, 3 * MIB);
        net.serve(1, 0, MIB);
        net.run_for(Duration::from_secs(15));
        let id = net.id(1);
        assert_eq!(net.claim(0, 1), 2 * i128::from(MIB));
        assert_eq!(net.claim(1, 0), -2 * i128::from(MIB));
        let state = net.trust(0).account(id).unwrap().clone();
        assert_eq!(state.low_owes().unsigned_abs(), 2 * u128::from(MIB));
        net.assert_agreed("served");
    }
}

#[test]
fn a_shift_moves_the_claim_from_the_first_to_the_last() {
    for nodes in 3..=6 {
        for seed in 0..4 {
            let mut net = line(nodes, seed);
            let path: Vec<_> = (0..nodes).collect();
            let before: Vec<_> = (0..nodes).map(|n| net.worth(n)).collect();
            let began = net.now;
            let id = net.shift(&path, 8 * MIB).unwrap();
            while net.outcome(0, id).is_none() && net.now < began + SHIFT_TIME {
                net.run_for(Duration::from_millis(10));
            }
            assert_eq!(net.outcome(0, id), Some(true), "{nodes} peers, seed {seed}");
            // A round trip is 40 ms here.
            let took = net.now.since(began);
            assert!(
                took <= Duration::from_millis(40 * nodes as u64 + 80),
                "{nodes} peers: {took:?}"
            );
            net.run_for(Duration::from_secs(5));
            for n in 1..nodes {
                assert_eq!(net.claim(n - 1, n), 56 * i128::from(MIB));
            }
            assert_eq!(net.claim(0, nodes - 1), 8 * i128::from(MIB));
            let after: Vec<_> = (0..nodes).map(|n| net.worth(n)).collect();
            assert_eq!(before, after, "nobody gains or loses");
            assert_eq!(net.pending(), 0);
            net.assert_agreed("shifted");
        }
    }
}

#[test]
fn more_than_a_half_of_a_claim_is_not_locked_at_once() {
    let mut net = line(4, 1);
    let path = net.path(&[0, 1, 2, 3]);
    let now = net.now;
    let mut out = Vec::new();
    let mut ask = |net: &mut Net, mib: u64| net.trust(0).shift(now, &path, mib * MIB, &mut out);
    assert_eq!(ask(&mut net, 33), Err(ShiftError::Room));
    assert!(ask(&mut net, 20).is_ok());
    assert_eq!(
        ask(&mut net, 20),
        Err(ShiftError::Room),
        "what is wanted counts, too"
    );
    net.run_for(Duration::from_secs(12));
    assert_eq!(net.claim(0, 3), 20 * i128::from(MIB));
    assert_eq!(net.pending(), 0);
}

#[test]
fn a_path_that_is_none_is_refused() {
    let mut net = line(4, 1);
    let now = net.now;
    for (path, error) in [
        (vec![0, 1], ShiftError::Path),
        (vec![1, 2, 3], ShiftError::Path),
        (vec![0, 1, 2, 1], ShiftError::Path),
        (vec![0, 1, 2], ShiftError::NotConnected),
    ] {
        let path = net.path(&path);
        let result = net.trust(0).shift(now, &path, MIB, &mut Vec::new());
        assert_eq!(result, Err(error), "{path:?}");
    }
    let path = net.path(&[0, 1, 2, 3]);
    assert_eq!(
        net.trust(0).shift(now, &path, 100, &mut Vec::new()),
        Err(ShiftError::Small)
    );
}

#[test]
fn an_intermediary_with_too_small_a_claim_ends_it_for_all() {
    let mut net = Net::new(4, 3);
    for (debtor, creditor, mib) in [(1, 0, 64), (2, 1, 1), (3, 2, 64)] {
        net.owe(debtor, creditor, mib * MIB);
    }
    net.connect(0, 3);
    net.run_for(Duration::from_secs(15));
    let id = net.shift(&[0, 1, 2, 3], 8 * MIB).unwrap();
    net.run_for(Duration::from_secs(3));
    assert_eq!(
        net.outcome(0, id),
        Some(false),
        "and at once, not when time is over"
    );
    assert_eq!(net.pending(), 0);
    assert_eq!(net.claim(0, 1), 64 * i128::from(MIB));
}

#[test]
fn a_withheld_note_reaches_everybody_the_other_way_round() {
    for seed in 0..4 {
        let mut net = line(5, seed);
        // 3 hears of the commit from 4 and tells nobody.
        net.drop_if = Some(|from, to, message| {
            let settles = matches!(
                message,
                TrustMessage::Note(_) | TrustMessage::Propose(_) | TrustMessage::Account(_)
            );
            from == 3 && to == 2 && settles && COMMITTED.with(|committed| committed.get())
        });
        let id = net.shift(&[0, 1, 2, 3, 4], 8 * MIB).unwrap();
        while net.outcome(0, id).is_none() {
            net.run_for(Duration::from_millis(1));
            let committed = net.claim(0, 4) > 0;
            COMMITTED.with(|cell| cell.set(committed));
        }
        net.run_for(Duration::from_secs(3));
        assert_eq!(net.outcome(0, id), Some(true));
        assert_eq!(net.claim(1, 2), 56 * i128::from(MIB), "1 and 2 know it from 0");
        COMMITTED.with(|cell| cell.set(false));
    }
}

thread_local! {
    static COMMITTED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[test]
fn who_vanishes_in_mid_shift_for_good_costs_nobody_anything() {
    let mut unknown = 0;
    for seed in 0..6 {
        let mut net = line(5, seed);
        let before: Vec<_> = (0..5).map(|n| net.worth(n)).collect();
        // The last one never signs, and is gone.
        net.drop_if = Some(|from, _, message| {
            let advert = matches!(message, TrustMessage::Advertise(_) | TrustMessage::Walk(_));
            advert || from == 4 && !matches!(message, TrustMessage::Account(_))
        });
        let id = net.shift(&[0, 1, 2, 3, 4], 8 * MIB).unwrap();
        net.run_for(Duration::from_millis(150));
        net.crash(4, Duration::from_secs(400 * 24 * 3600));
        net.run_for(Duration::from_secs(30));
        // If the last one had its entry, nobody knows whether it was committed.
        assert_ne!(net.outcome(0, id), Some(true), "seed {seed}");
        unknown += u32::from(net.outcome(0, id).is_none());
        // What was locked does not count any longer.
        let (now, first) = (net.now, net.id(1));
        assert_eq!(net.trust(0).balance(now, first).pending, 0);
        assert_eq!(net.claim(0, 1), 64 * i128::from(MIB));
        // And in the end the entries go.
        net.run_for(KEEP + Duration::from_secs(200));
        assert_eq!(net.outcome(0, id), Some(false), "seed {seed}");
        for (n, before) in before.iter().take(4).enumerate() {
            assert_eq!(net.worth(n), *before, "peer {n}");
        }
    }
    assert!(unknown > 0, "the case this is about occurs");
}

#[test]
fn the_last_one_signs_nothing_before_both_its_entries_are_there() {
    for seed in 0..4 {
        let mut net = line(4, seed);
        // The path comes to 3, and what it would owe 0 for does not.
        net.drop_if = Some(|from, to, _| from.min(to) == 0 && from.max(to) == 3);
        net.shift(&[0, 1, 2, 3], 8 * MIB).unwrap();
        net.run_for(Duration::from_secs(60));
        assert!(net.committed.is_empty(), "seed {seed}");
        net.drop_if = None;
        net.run_for(Duration::from_secs(60));
        assert_eq!(
            (net.claim(0, 1), net.claim(0, 3)),
            (64 * i128::from(MIB), 0),
            "seed {seed}"
        );
        assert_eq!(net.pending(), 0, "seed {seed}");
    }
}

#[test]
fn the_requester_keeps_its_gain_until_its_payment_is_off() {
    for seed in 0..4 {
        let mut net = line(4, seed);
        let ids = [net.id(1), net.id(3)];
        let pending = |net: &mut Net, id| net.trust(0).account(id).map_or(0, |state| state.pending.len());
        // The path ends before 3, and as soon as 0 has its entry with 1 it hears no more from there.
        net.drop_if = Some(|from, to, _| from == 2 && to == 3);
        net.shift(&[0, 1, 2, 3], 8 * MIB).unwrap();
        while pending(&mut net, ids[0]) == 0 || pending(&mut net, ids[1]) == 0 {
            net.run_for(Duration::from_millis(1));
        }
        net.drop_if = Some(|from, to, _| (from == 2 && to == 3) || (from == 1 && to == 0));
        net.run_for(Duration::from_secs(60));
        // The word of 3 is given long since.
        assert_eq!(pending(&mut net, ids[0]), 1, "seed {seed}");
        assert_eq!(pending(&mut net, ids[1]), 1, "seed {seed}");
        net.drop_if = None;
        net.run_for(Duration::from_secs(60));
        assert_eq!(net.pending(), 0, "seed {seed}");
    }
}
