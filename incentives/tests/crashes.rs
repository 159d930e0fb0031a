//! A crash at every single write, a full disk, a lost one, a damaged one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use headwater_incentives::store::{MemoryStore, StoreError};
use headwater_incentives::trust::{Event, RECEIPT_BYTES, Trust};
use net::{MIB, Net};

/// 0 has a claim on 1, which has one on 2, which has one on 3.
fn line(seed: u64) -> Net {
    let mut net = Net::new(4, seed);
    for n in 1..4 {
        net.owe(n, n - 1, 64 * MIB);
    }
    net.connect(0, 3);
    net.run_for(Duration::from_secs(12));
    net
}

/// What came of a shift of 8 MiB along the line: whether it is committed, after all timers ran out.
fn check(net: &mut Net, context: &str) -> bool {
    let committed = check_whole(net, context);
    assert_eq!(
        committed,
        !net.committed.is_empty(),
        "{context}: whoever has seen the note"
    );
    committed
}

/// Whether it happened everywhere; if not, it happened nowhere.
fn check_whole(net: &mut Net, context: &str) -> bool {
    net.assert_agreed(context);
    assert_eq!(net.pending(), 0, "{context}");
    let committed = net.claim(0, 3) > 0;
    let moved = if committed { 8 * i128::from(MIB) } else { 0 };
    for n in 1..4 {
        assert_eq!(
            net.claim(n - 1, n),
            64 * i128::from(MIB) - moved,
            "{context}: {} on {n}",
            n - 1
        );
    }
    assert_eq!(net.claim(0, 3), moved, "{context}: the new debtor");
    committed
}

#[test]
fn a_crash_at_any_write_of_any_peer_breaks_nothing() {
    let mut outcomes = [0, 0];
    for seed in 0..2 {
        for node in 0..4 {
            for (write, written) in (0..9).flat_map(|write| [(write, false), (write, true)]) {
                for down_ms in [100, 15_000] {
                    let mut net = line(seed);
                    net.down_for = Duration::from_millis(down_ms);
                    net.crash_at_write(node, write, written);
                    net.shift(&[0, 1, 2, 3], 8 * MIB);
                    // After a minute each writes what it has heard of others, and may crash only then.
                    net.run_for(Duration::from_secs(100));
                    let context =
                        format!("seed {seed}, peer {node}, write {write} ({written}), {down_ms} ms");
                    outcomes[usize::from(check(&mut net, &context))] += 1;
                }
            }
        }
    }
    assert!(
        outcomes.iter().all(|&times| times > 30),
        "both occur: {outcomes:?}"
    );
}

#[test]
fn with_a_full_disk_nothing_is_signed_and_it_goes_on_when_there_is_room() {
    for node in 0..4 {
        let mut net = line(1);
        let id = net.shift_on_full_disk(&[0, 1, 2, 3], 8 * MIB, node, Duration::from_secs(20));
        let full = net.nodes[node]
            .events
            .iter()
            .any(|event| matches!(event, Event::Ledger(StoreError::Write(_))));
        assert!(full, "the user is told");
        net.run_for(Duration::from_secs(60));
        check(&mut net, &format!("peer {node}"));
        assert_ne!(net.outcome(0, id.unwrap()), Some(true));
        let again = net.shift(&[0, 1, 2, 3], 4 * MIB).unwrap();
        net.run_for(Duration::from_secs(20));
        assert_eq!(net.outcome(0, again), Some(true), "peer {node}");
    }
}

#[test]
fn a_lost_disk_takes_the_other_sides_copy() {
    for node in 0..4 {
        for seed in 0..3 {
            let mut net = line(seed);
            let id = net.shift(&[0, 1, 2, 3], 8 * MIB).unwrap();
            net.run_for(Duration::from_secs(5));
            assert_eq!(net.outcome(0, id), Some(true));
            net.lose_disk(node, Duration::from_secs(2));
            net.run_for(Duration::from_secs(30));
            check(&mut net, &format!("seed {seed}, peer {node}"));
            // And the account goes on, above any number that may have been used.
            net.serve(0, 1, MIB);
            net.serve(1, 2, MIB);
            net.serve(2, 3, MIB);
            net.run_for(Duration::from_secs(60));
            net.assert_agreed("after more was served");
            for n in 1..4 {
                assert_eq!(
                    net.claim(n - 1, n),
                    57 * i128::from(MIB),
                    "seed {seed}, peer {node}"
                );
            }
            assert!(
                net.nodes
                    .iter()
                    .all(|node| !node.events.iter().any(|e| matches!(e, Event::Fraud(_))))
            );
            let again = net.shift(&[0, 1, 2, 3], 8 * MIB).unwrap();
            net.run_for(Duration::from_secs(5));
            assert_eq!(net.outcome(0, again), Some(true), "seed {seed}, peer {node}");
        }
    }
}

#[test]
fn a_disk_lost_in_mid_shift_costs_nobody_anything() {
    let mut outcomes = [0, 0];
    for node in 1..4 {
        for ms in (10..300).step_by(20) {
            let mut net = line(ms);
            let before: Vec<_> = (0..4).map(|n| net.worth(n)).collect();
            net.shift(&[0, 1, 2, 3], 8 * MIB);
            net.run_for(Duration::from_millis(ms));
            net.lose_disk(node, Duration::from_secs(1));
            net.run_for(Duration::from_secs(60));
            let after: Vec<_> = (0..4).map(|n| net.worth(n)).collect();
            assert_eq!(before, after, "peer {node} after {ms} ms");
            // A note that was lost with the disk of its signer before anybody else had it is none.
            outcomes[usize::from(check_whole(&mut net, &format!("peer {node} after {ms} ms")))] += 1;
        }
    }
    assert!(
        outcomes.iter().all(|&times| times > 5),
        "both occur: {outcomes:?}"
    );
}

#[test]
fn no_claim_shrinks_by_more_than_a_receipt_window_in_a_crash() {
    for seed in 0..40 {
        let mut net = Net::new(2, seed);
        net.connect(0, 1);
        let mut served = 0;
        let crashed = (seed % 2) as usize;
        for step in 0..200u64 {
            net.serve(0, 1, 20_000);
            served += 20_000;
            net.run_for(Duration::from_millis(30));
            if step == 60 + seed {
                net.crash(crashed, Duration::from_millis(500));
                net.run_for(Duration::from_secs(2));
            }
        }
        net.run_for(Duration::from_secs(30));
        let claim = net.claim(0, 1);
        let lost = i128::from(served) - claim;
        // One who crashes forgets what it has not signed a receipt for; the provider's crash costs nothing.
        let most = if crashed == 1 {
            i128::from(RECEIPT_BYTES)
        } else {
            0
        };
        assert!((0..=most).contains(&lost), "seed {seed}: {lost} lost");
        net.assert_agreed("after the crash");
    }
}

#[test]
fn a_damaged_ledger_is_an_error_and_nothing_is_guessed() {
    let mut net = line(2);
    net.run_for(Duration::from_secs(1));
    let key = net.nodes[1].key.clone();
    let disk = net.trust(1).store().clone();
    let open = |disk: MemoryStore| Trust::open(key.clone(), disk, 1, net::START).err();
    assert_eq!(open(disk.clone()), None);
    let keys: Vec<_> = disk.clone().records_mut().keys().cloned().collect();
    assert!(keys.len() >= 3);
    for record in keys {
        let value = disk.clone().records_mut()[&record].clone();
        for at in 0..value.len() {
            let mut damaged = disk.clone();
            damaged.records_mut().get_mut(&record).unwrap()[at] ^= 0x10;
            let error = open(damaged);
            // The epoch is a number and any one will do.
            if record[0] != b'E' {
                assert!(
                    matches!(error, Some(StoreError::Corrupt(_))),
                    "{:?} at {at}: {error:?}",
                    record[0]
                );
            }
        }
        let mut cut = disk.clone();
        cut.records_mut().get_mut(&record).unwrap().pop();
        assert!(matches!(open(cut), Some(StoreError::Corrupt(_))));
    }
    let mut foreign = disk.clone();
    foreign.records_mut().insert(b"?".to_vec(), vec![]);
    assert!(matches!(open(foreign), Some(StoreError::Corrupt(_))));
    assert!(matches!(
        Trust::open(net.nodes[2].key.clone(), disk, 1, net::START).err(),
        Some(StoreError::Corrupt(_))
    ));
}
