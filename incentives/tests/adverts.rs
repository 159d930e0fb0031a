//! Adverts travel, and what they say is enough to shift to a stranger.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use headwater_incentives::flow;
use headwater_incentives::store::Store as _;
use headwater_incentives::trust::{Event, Fault, SHIFT_TIME, adverts};
use net::{MIB, Net};
use rand::RngExt as _;
use wire::trust::TrustMessage;
use wire::{Message, codec};

/// Peers in a ring of debts with some across.
fn society(nodes: usize, seed: u64) -> Net {
    let mut net = Net::new(nodes, seed);
    for creditor in 0..nodes {
        net.owe((creditor + 1) % nodes, creditor, 40 * MIB);
        let other = net.rng.random_range(0..nodes);
        if other != creditor && other != (creditor + 1) % nodes {
            net.owe(other, creditor, 20 * MIB);
        }
    }
    net
}

#[test]
fn a_peer_learns_of_claims_it_can_use_with_strangers_and_uses_them() {
    let mut shifted = 0;
    for seed in 0..3 {
        let mut net = society(10, seed);
        net.run_for(Duration::from_secs(240));
        for n in 0..10 {
            assert!(
                !net.trust(n).view().is_empty(),
                "seed {seed}: {n} has heard of nobody"
            );
        }
        // Whoever is four away.
        for n in 0..10 {
            let target = (n + 4) % 10;
            let (now, id) = (net.now, net.id(target));
            let plan = net.trust(n).plan(now, id);
            let Some((path, bytes)) = plan.paths.first().cloned() else {
                continue;
            };
            if path.len() < 3 {
                continue;
            }
            net.connect(n, target);
            let before = net.claim(n, target);
            let mut shift = None;
            net.act(n, |trust, out| {
                shift = trust.shift(now, &path, bytes / 4, out).ok();
            });
            net.run_for(SHIFT_TIME);
            if shift.is_some_and(|shift| net.outcome(n, shift) == Some(true)) {
                assert_eq!(net.claim(n, target) - before, i128::from(bytes / 4));
                shifted += 1;
            }
        }
        assert!(
            net.nodes
                .iter()
                .all(|node| !node.events.iter().any(|e| matches!(e, Event::Fraud(_))))
        );
    }
    assert!(shifted >= 20, "{shifted} of 30");
}

#[test]
fn the_ledger_says_what_walks_brought_while_it_holds() {
    // Each owes the one before it, so all that is owed comes by to 0.
    let mut net = Net::new(5, 3);
    for n in 0..4 {
        net.owe(n + 1, n, 40 * MIB);
    }
    net.run_for(Duration::from_secs(200));
    let known = |net: &mut Net, later: u64| {
        let records = net.trust(0).store().load().unwrap();
        let now = net.now + Duration::from_secs(later);
        let mut pairs: Vec<_> = adverts(&records, now)
            .unwrap()
            .into_iter()
            .map(|advert| (advert.debtor, advert.creditor, advert.bytes))
            .collect();
        pairs.sort_unstable();
        pairs
    };
    let mut expected: Vec<_> = (1..4).map(|n| (net.id(n + 1), net.id(n), 32 * MIB)).collect();
    expected.sort_unstable();
    assert_eq!(known(&mut net, 0), expected, "while it runs");
    assert_eq!(known(&mut net, 700), [], "and not for ever");
    let (now, gone) = (net.now, net.id(4));
    net.act(0, |trust, out| trust.close(now, out));
    assert_eq!(known(&mut net, 0), expected, "and after it has ended");
    // With that it is known how somebody four edges away comes to owe it.
    let edges = expected.into_iter().chain([(net.id(1), net.id(0), 40 * MIB)]);
    let plan = flow::plan(&edges.collect::<Vec<_>>(), net.id(0), gone);
    assert_eq!(plan.paths, [(net.path(&[0, 1, 2, 3, 4]), 32 * MIB)]);
}

#[test]
fn adverts_cost_a_peer_the_same_however_many_there_are() {
    let mut rates = Vec::new();
    for nodes in [8, 32] {
        let mut net = society(nodes, 5);
        net.run_for(Duration::from_secs(60));
        net.keep_log = true;
        net.run_for(Duration::from_secs(120));
        let walks = net
            .log
            .iter()
            .filter(|(_, _, m)| matches!(m, TrustMessage::Walk(_)));
        let bytes: usize = walks
            .map(|(_, _, message)| codec::encode(&Message::from(message.clone())).len())
            .sum();
        rates.push(bytes as f64 / 120.0 / nodes as f64);
    }
    println!("{rates:?} bytes a second and peer");
    // Four walks of at most five edges of some 300 bytes in half a minute: 600 bytes a second.
    assert!(rates.iter().all(|&rate| rate < 800.0), "{rates:?}");
    assert!(rates[1] < 1.3 * rates[0], "{rates:?}");
}

#[test]
fn a_peer_that_is_asked_tells_whom_it_owes_and_who_owes_it() {
    // 1 owes 0, 2 owes 1, 3 owes 2.
    let mut net = Net::new(4, 3);
    for n in 0..3 {
        net.owe(n + 1, n, 40 * MIB);
    }
    net.connect(0, 2);
    net.run_for(Duration::from_secs(15));
    for (owed, debtor, creditor) in [(true, 2, 1), (false, 3, 2)] {
        let (now, asked) = (net.now, net.id(2));
        let edge = (net.id(debtor), net.id(creditor));
        net.act(0, |trust, out| trust.ask_edges(now, asked, owed, out));
        net.run_for(Duration::from_millis(100));
        let now = net.now;
        let known = |(from, to, bytes)| (from, to) == edge && bytes == 32 * MIB;
        assert!(
            net.trust(0).view().edges(now).any(known),
            "asked with owed = {owed}"
        );
    }
    // Nobody asked 3's creditor on behalf of 3.
    let (now, from) = (net.now, net.id(2));
    let edges = TrustMessage::TellEdges(Default::default());
    net.act(3, |trust, out| trust.handle(now, from, edges, out));
    let faults = net.trust(3).faults();
    assert_eq!(faults.get(&Fault::Unexpected), Some(&1), "{faults:?}");
}

#[test]
fn what_one_peer_is_told_of_is_kept_for_it_for_a_while() {
    // 1 owes 0 40 MiB: half may move at once. 2, 3 and 4 ask 1 whom it owes.
    let mut net = Net::new(5, 3);
    net.owe(1, 0, 40 * MIB);
    net.connect(0, 1);
    for n in 2..5 {
        net.connect(1, n);
    }
    net.run_for(Duration::from_secs(15));
    let told = |net: &mut Net, n: usize| {
        let (now, of) = (net.now, net.id(1));
        net.act(n, |trust, out| trust.ask_edges(now, of, true, out));
        net.run_for(Duration::from_millis(100));
        let now = net.now;
        net.trust(n).view().told(now).count()
    };
    // A quarter of 32 MiB each: two fit, and who asks twice is told again.
    assert_eq!([2, 3, 4, 2].map(|n| told(&mut net, n)), [1, 1, 0, 1]);
    net.run_for(Duration::from_secs(4));
    assert_eq!(told(&mut net, 4), 1);
}
