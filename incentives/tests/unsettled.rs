//! Creditors who get along without the settlement of what was shifted away from them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use net::{MIB, Net};
use wire::trust::TrustMessage;

/// Colluders 0 and 1, of whom 1 gave honest peer 2 sixty-four MiB. 1 will not hear of notes, so its account with 2 stays as it is.
fn colluders(seed: u64) -> Net {
    let mut net = Net::new(3, seed);
    // For nothing.
    net.owe(1, 0, 1000 * MIB);
    net.owe(2, 1, 64 * MIB);
    net.connect(0, 2);
    net.run_for(Duration::from_secs(15));
    net.drop_if = Some(|_, to, message| {
        let settles = match message {
            TrustMessage::Note(_) => true,
            TrustMessage::Propose(proposal) => !proposal.notes.is_empty(),
            _ => false,
        };
        to == 1 && settles
    });
    net
}

#[test]
fn what_was_shifted_away_is_not_owed_any_more_though_its_creditor_never_signs_that() {
    for seed in 0..6 {
        let mut net = colluders(seed);
        let ids = [net.id(0), net.id(1)];
        for round in 0..8 {
            let path = net.path(&[0, 1, 2]);
            let now = net.now;
            net.act(0, |trust, out| {
                let _ = trust.shift(now, &path, 24 * MIB, out);
            });
            net.run_for(Duration::from_secs(15));
            let now = net.now;
            let owed: Vec<u64> = ids.map(|id| net.trust(2).balance(now, id).owed()).to_vec();
            let sum: u64 = owed.iter().sum();
            assert!(sum <= 64 * MIB, "seed {seed}, round {round}: {owed:?}");
            assert!(owed[0] > 0, "seed {seed}: the first one is committed");
        }
        // Nor after a restart, with what is in the ledger.
        net.crash(2, Duration::from_secs(1));
        net.run_for(Duration::from_secs(15));
        let now = net.now;
        let owed: u64 = ids.iter().map(|id| net.trust(2).balance(now, *id).owed()).sum();
        assert!(owed <= 64 * MIB, "seed {seed}: {owed} after a restart");
    }
}
