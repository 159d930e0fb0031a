//! Receipts of several streams of one neighbour: how often they come and what they say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_incentives::store::Store as _;
use headwater_incentives::trust::{RECEIPT_BYTES, list};
use net::Net;
use wire::StreamId;
use wire::trust::{Receipt, TrustMessage};

fn stream(n: u8) -> StreamId {
    StreamId::from_bytes([n; 32])
}

/// The receipts that were sent, in their order.
fn receipts(net: &Net) -> Vec<Receipt> {
    let said = net.log.iter().filter_map(|(_, _, message)| match message {
        TrustMessage::Receipt(receipt) => Some(receipt.peek().unwrap()),
        _ => None,
    });
    said.collect()
}

/// Chunks of 1400 bytes, of so many streams in turn, one each 4 ms for ten seconds.
fn interleaved(streams: u8) -> (Net, BTreeMap<StreamId, u64>) {
    let mut net = Net::new(2, 7);
    net.connect(0, 1);
    net.keep_log = true;
    let mut served = BTreeMap::new();
    for n in 0..2500u64 {
        let of = stream((n % u64::from(streams)) as u8);
        net.serve_in(0, 1, of, 1400);
        *served.entry(of).or_insert(0) += 1400;
        net.run_for(Duration::from_millis(4));
        let at_stake = i128::from(served.values().sum::<u64>()) - net.claim(0, 1);
        // What is on its way when a receipt is due comes on top.
        let most = i128::from(RECEIPT_BYTES) + 100_000;
        assert!(at_stake <= most, "{at_stake} bytes without a receipt");
    }
    net.run_for(Duration::from_secs(2));
    (net, served)
}

#[test]
fn two_streams_at_once_cost_a_receipt_each_for_every_second_and_not_for_every_chunk() {
    let (one, _) = interleaved(1);
    let (mut two, served) = interleaved(2);
    let alone = receipts(&one).len();
    assert!((10..=24).contains(&alone), "{alone}");
    let both = receipts(&two);
    assert!(both.len() <= 24, "{} receipts in ten seconds", both.len());
    // Each stream's last receipt says all that came in it, and the last of all the sum.
    let mut last = BTreeMap::new();
    for receipt in &both {
        assert!(last.insert(receipt.stream, receipt.in_stream) <= Some(receipt.in_stream));
    }
    assert_eq!(last, served);
    assert_eq!(both.last().unwrap().bytes, served.values().sum::<u64>());
    assert_eq!(two.claim(0, 1), i128::from(served.values().sum::<u64>()));
    two.assert_agreed("two streams");
}

#[test]
fn more_streams_than_are_counted_still_add_up() {
    let (mut net, served) = interleaved(200);
    assert_eq!(served.len(), 200);
    let said = receipts(&net);
    // No more than there are streams that are counted, each second.
    assert!(said.len() <= 12 * 64, "{}", said.len());
    assert_eq!(net.claim(0, 1), i128::from(served.values().sum::<u64>()));
    net.run_for(Duration::from_secs(30));
    net.assert_agreed("many streams");
}

#[test]
fn what_came_while_a_neighbour_went_has_its_receipt_when_it_is_back() {
    let mut net = Net::new(2, 3);
    net.connect(0, 1);
    net.serve(0, 1, 10_000);
    net.run_for(Duration::from_secs(2));
    let (provider, consumer) = (net.id(0), net.id(1));
    net.trust(1).on_disconnected(provider);
    net.trust(0).on_disconnected(consumer);
    // Counted after the connection was gone.
    net.serve(0, 1, 5_000);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.claim(0, 1), 10_000);
    net.connect(0, 1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.claim(0, 1), 15_000);
}

#[test]
fn at_the_end_nothing_is_left_without_a_receipt() {
    let mut net = Net::new(2, 4);
    net.connect(0, 1);
    net.serve(0, 1, 10_000);
    let now = net.now;
    net.act(1, |trust, out| trust.close(now, out));
    net.run_for(Duration::from_millis(200));
    assert_eq!(net.claim(0, 1), 10_000);
}

#[test]
fn a_ledger_lists_what_its_peer_would_say() {
    let mut net = Net::new(3, 6);
    net.owe(1, 0, 40 << 20);
    net.owe(0, 2, 9 << 20);
    net.connect(1, 2);
    net.run_for(Duration::from_secs(30));
    // Not entered in a state yet, and written by now.
    net.serve(0, 1, 300_000);
    net.run_for(Duration::from_secs(3));
    for n in 0..3 {
        let me = net.id(n);
        let now = net.now;
        let records = net.trust(n).store().load().unwrap();
        let listed = list(me, &records).unwrap();
        for account in &listed {
            let balance = net.trust(n).balance(now, account.peer);
            assert_eq!(account.claim, balance.claim, "{account:?}");
            let other = (0..3).find(|&other| net.id(other) == account.peer).unwrap();
            assert_eq!(account.claim, -net.claim(other, n), "the other says the same");
            assert_eq!(
                account.claim,
                i128::from(account.given) - i128::from(account.taken)
            );
            assert!(account.state > 0 && account.shifts == 0 && account.pending == 0);
        }
        assert_eq!(listed.len(), [2, 1, 1][n]);
        assert!(listed.is_sorted_by_key(|account| -account.claim));
    }
    assert!(list(net.id(0), &[(vec![b'A'; 33], vec![1])]).is_err());
}

#[test]
fn who_signs_nothing_for_what_it_takes_of_a_debt_cannot_spend_that_debt_once_more() {
    const MIB: u64 = 1 << 20;
    for seed in 0..4 {
        let mut net = Net::new(3, seed);
        net.owe(1, 0, 64 * MIB);
        net.owe(2, 1, 64 * MIB);
        net.connect(0, 2);
        net.run_for(Duration::from_secs(15));
        net.drop_if = Some(|from, _, message| from == 0 && matches!(message, TrustMessage::Receipt(_)));
        net.serve(1, 0, 60 * MIB);
        net.run_for(Duration::from_secs(1));
        // Which of them proposes is chance: 0 may have to say it in a state that it wants signed.
        let (creditor, other) = (net.id(0), net.id(2));
        let owed = |net: &mut Net, debtor: usize| {
            let now = net.now;
            net.trust(debtor).balance(now, creditor).owed()
        };
        assert!(owed(&mut net, 1) <= 4 * MIB, "seed {seed}");
        for _ in 0..3 {
            let path = net.path(&[0, 1, 2]);
            let now = net.now;
            net.act(0, |trust, out| {
                let _ = trust.shift(now, &path, 8 * MIB, out);
            });
            net.run_for(Duration::from_secs(12));
        }
        let left = owed(&mut net, 1) + owed(&mut net, 2);
        assert!(left <= 4 * MIB, "seed {seed}: {left}");
        let now = net.now;
        assert_eq!(net.trust(0).balance(now, other).owed(), 0);
    }
}
