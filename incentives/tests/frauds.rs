//! Proofs of fraud: free keys and proofs against them keep nobody from hearing of those it has to do with, and cost its neighbours
//! next to nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use headwater_incentives::store::{MemoryStore, Store as _, StoreError};
use headwater_incentives::trust::{Event, Fault, Output, Trust};
use net::{MIB, Net, START, STREAM};
use wire::trust::{AccountState, FraudProof, Receipt, TrustMessage};
use wire::{PeerId, SecretKey, Signed, Time};

/// Key number `n`.
fn key(n: u64) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    SecretKey::from_bytes(&bytes)
}

/// What anybody can make: two states with a peer that never heard of it, under one number.
fn contradiction(by: &SecretKey) -> FraudProof {
    let (me, other) = (by.peer_id(), key(u64::MAX).peer_id());
    let state = |total: u64| {
        let mut state = AccountState::empty(me.min(other), me.max(other));
        state.seq = 1;
        state.by_low = state.by_low.after(1, total).unwrap();
        Signed::new(&state, by)
    };
    FraudProof::States(me, state(1), state(2))
}

/// The first receipt of somebody for what key 0 gave it.
fn receipt(debtor: &SecretKey, bytes: u64) -> TrustMessage {
    let receipt = Receipt {
        consumer: debtor.peer_id(),
        provider: key(0).peer_id(),
        stream: STREAM,
        epoch: 1,
        seq: 1,
        bytes,
        in_stream: bytes,
    };
    TrustMessage::Receipt(Signed::new(&receipt, debtor))
}

/// A peer by hand, with neighbours.
struct One {
    trust: Trust<MemoryStore>,
    now: Time,
    out: Vec<Output>,
}

impl One {
    fn new(neighbours: &[PeerId]) -> Self {
        let trust = Trust::open(key(0), MemoryStore::new(), 1, START).unwrap();
        let mut one = One {
            trust,
            now: START,
            out: Vec::new(),
        };
        for peer in neighbours {
            one.trust.on_connected(START, *peer, &mut one.out);
        }
        one
    }

    /// A neighbour says something; to whom proofs went then.
    fn hear(&mut self, from: PeerId, message: TrustMessage) -> Vec<PeerId> {
        self.out.clear();
        self.trust.handle(self.now, from, message, &mut self.out);
        let told = self.out.iter().filter_map(|output| match output {
            Output::Send { to, message } if matches!(**message, TrustMessage::Fraud(_)) => Some(*to),
            _ => None,
        });
        told.collect()
    }

    fn prove(&mut self, from: PeerId, against: &SecretKey) -> Vec<PeerId> {
        self.hear(from, TrustMessage::Fraud(contradiction(against)))
    }

    fn refused(&self) -> u64 {
        self.trust.faults().get(&Fault::TooMuch).copied().unwrap_or(0)
    }

    /// A neighbour owes something: an account begins.
    fn is_owed_by(&mut self, debtor: &SecretKey) {
        self.hear(debtor.peer_id(), receipt(debtor, MIB));
        assert_eq!(
            self.trust.balance(self.now, debtor.peer_id()).claim,
            i128::from(MIB)
        );
    }
}

#[test]
fn proofs_against_free_keys_do_not_crowd_out_one_that_matters() {
    let (gossip, cheat) = (key(1).peer_id(), key(2));
    let mut one = One::new(&[gossip, cheat.peer_id()]);
    one.is_owed_by(&cheat);
    one.trust.on_disconnected(cheat.peer_id());
    // As many as there is an allowance for, for a day.
    for n in 0..1500 {
        one.now += Duration::from_secs(30);
        one.prove(gossip, &key(100 + n));
    }
    assert_eq!(one.refused(), 0);
    assert_eq!(
        one.trust.condemned(),
        1024,
        "what is known of strangers is bounded"
    );
    let condemned = |one: &One, n: u64| one.trust.is_condemned(key(100 + n).peer_id());
    assert!(!condemned(&one, 0) && condemned(&one, 1499), "the oldest go");
    assert_eq!(one.prove(gossip, &cheat), []);
    assert!(one.trust.is_condemned(cheat.peer_id()));
    // And it stays, whatever comes after it.
    for n in 1500..3000 {
        one.now += Duration::from_secs(30);
        one.prove(gossip, &key(100 + n));
    }
    assert!(one.trust.is_condemned(cheat.peer_id()));
    assert_eq!(one.trust.condemned(), 1025);
    // One that matters is not taken from them by coming and going either.
    one.trust.on_connected(one.now, cheat.peer_id(), &mut one.out);
    one.trust.on_disconnected(cheat.peer_id());
    assert!(one.trust.is_condemned(cheat.peer_id()));
}

#[test]
fn a_neighbour_may_not_pass_on_proofs_about_strangers_without_end() {
    let (gossip, other, cheat) = (key(1).peer_id(), key(2).peer_id(), key(3));
    let mut one = One::new(&[gossip, other, cheat.peer_id()]);
    for n in 0..100 {
        one.prove(gossip, &key(100 + n));
    }
    assert_eq!((one.trust.condemned(), one.refused()), (16, 84));
    // Nobody else is heard less for it.
    one.prove(other, &key(900));
    assert!(one.trust.is_condemned(key(900).peer_id()));
    // And what is about a neighbour always is.
    one.prove(gossip, &cheat);
    assert!(one.trust.is_condemned(cheat.peer_id()));
    one.now += Duration::from_secs(30);
    one.prove(gossip, &key(901));
    one.prove(gossip, &key(902));
    assert!(one.trust.is_condemned(key(901).peer_id()) && !one.trust.is_condemned(key(902).peer_id()));
}

#[test]
fn a_proof_goes_on_only_where_somebody_has_to_do_with_the_accused() {
    let (gossip, other, cheat) = (key(1).peer_id(), key(2).peer_id(), key(3));
    let mut one = One::new(&[gossip, other, cheat.peer_id()]);
    assert_eq!(one.prove(gossip, &key(100)), [], "nobody here knows it");
    assert_eq!(one.prove(gossip, &cheat), [other], "not to the one it came from");
    assert_eq!(one.prove(other, &cheat), [], "once");
    // With an account and no connection, too.
    let debtor = key(4);
    one.trust.on_connected(one.now, debtor.peer_id(), &mut one.out);
    one.is_owed_by(&debtor);
    one.trust.on_disconnected(debtor.peer_id());
    assert_eq!(one.prove(gossip, &debtor), [other]);
    let events = one
        .out
        .iter()
        .filter(|o| matches!(o, Output::Event(Event::Fraud(_))));
    assert_eq!(events.count(), 1);
}

#[test]
fn a_proof_goes_on_to_those_who_deal_with_somebody_an_advert_told_of() {
    // 0 owes 1, 1 owes 2, so 2 hears of 0 by a walk. 3 and 4 are connected with 2 and have heard of nobody.
    let mut net = Net::new(5, 3);
    net.owe(0, 1, 40 * MIB);
    net.owe(1, 2, 40 * MIB);
    net.connect(2, 3);
    net.connect(3, 4);
    net.run_for(Duration::from_secs(90));
    let (now, cheat) = (net.now, net.nodes[0].key.clone());
    assert!(net.trust(2).view().tells_of(cheat.peer_id()));
    let (from, proof) = (net.id(3), TrustMessage::Fraud(contradiction(&cheat)));
    net.act(2, |trust, out| trust.handle(now, from, proof, out));
    net.run_for(Duration::from_secs(1));
    let condemned = [1, 2, 4].map(|n| net.trust(n).is_condemned(cheat.peer_id()));
    assert_eq!(condemned, [true, true, false]);
    assert!(!net.trust(2).view().tells_of(cheat.peer_id()));
}

/// Opens the ledger of key 0 again.
fn reopened(disk: MemoryStore) -> Result<Trust<MemoryStore>, StoreError> {
    Trust::open(key(0), disk, 2, START + Duration::from_secs(60))
}

#[test]
fn a_restart_does_not_forgive_who_has_an_account() {
    let (gossip, cheat, passer, liar) = (key(1).peer_id(), key(2), key(3), key(4));
    let mut one = One::new(&[gossip, cheat.peer_id(), passer.peer_id(), liar.peer_id()]);
    one.is_owed_by(&cheat);
    // By a proof that a neighbour has, and by its own words.
    one.prove(gossip, &cheat);
    one.is_owed_by(&liar);
    one.hear(liar.peer_id(), receipt(&liar, MIB / 2));
    one.prove(gossip, &passer);
    let found_out = [cheat.peer_id(), liar.peer_id(), passer.peer_id()];
    assert!(found_out.iter().all(|peer| one.trust.is_condemned(*peer)));
    // Proofs wait to be written together, for a second.
    one.now += Duration::from_secs(2);
    one.trust.handle_deadline(one.now, &mut one.out);
    let mut again = reopened(one.trust.into_store()).unwrap();
    // With who only passed by there is no account.
    assert_eq!(
        found_out.map(|peer| again.is_condemned(peer)),
        [true, true, false]
    );
    let mut out = Vec::new();
    again.on_connected(START + Duration::from_secs(60), cheat.peer_id(), &mut out);
    let now = START + Duration::from_secs(61);
    again.handle(now, cheat.peer_id(), receipt(&cheat, 9 * MIB), &mut out);
    assert_eq!(out, [], "nothing is said to it, and nothing taken of it");
    again.on_disconnected(cheat.peer_id());
    assert!(again.is_condemned(cheat.peer_id()));
}

#[test]
fn a_proof_that_could_not_be_written_is_written_later() {
    let (gossip, cheat) = (key(1).peer_id(), key(2));
    let mut one = One::new(&[gossip, cheat.peer_id()]);
    one.is_owed_by(&cheat);
    one.trust.store_mut().fail_after(Some(0));
    one.prove(gossip, &cheat);
    one.now += Duration::from_secs(2);
    one.trust.handle_deadline(one.now, &mut one.out);
    let full = one
        .out
        .iter()
        .any(|o| matches!(o, Output::Event(Event::Ledger(_))));
    assert!(full && one.trust.is_condemned(cheat.peer_id()));
    one.trust.store_mut().fail_after(None);
    // As the driver does when a disk failed after it had taken the writes: all that waited is gone.
    one.trust.reload(one.now).unwrap();
    one.now += Duration::from_secs(2);
    one.trust.handle_deadline(one.now, &mut one.out);
    assert!(
        reopened(one.trust.into_store())
            .unwrap()
            .is_condemned(cheat.peer_id())
    );
}

#[test]
fn a_damaged_or_foreign_proof_in_the_ledger_is_an_error() {
    let (gossip, cheat) = (key(1).peer_id(), key(2));
    let mut one = One::new(&[gossip, cheat.peer_id()]);
    one.is_owed_by(&cheat);
    one.prove(gossip, &cheat);
    one.now += Duration::from_secs(2);
    one.trust.handle_deadline(one.now, &mut one.out);
    let disk = one.trust.into_store();
    let records = disk.load().unwrap();
    let (at, proof) = records.iter().find(|(at, _)| at[0] == b'C').unwrap();
    let with = |at: &[u8], value: Vec<u8>| {
        let mut other = disk.clone();
        other.records_mut().insert(at.to_vec(), value);
        reopened(other).err()
    };
    for byte in 0..proof.len() {
        let mut damaged = proof.clone();
        damaged[byte] ^= 0x10;
        let error = with(at, damaged);
        assert!(matches!(error, Some(StoreError::Corrupt(_))), "{byte}: {error:?}");
    }
    assert!(matches!(
        with(at, proof[1..].to_vec()),
        Some(StoreError::Corrupt(_))
    ));
    // Proof against one is none against another.
    let mut other = at.clone();
    other[1..].copy_from_slice(gossip.as_bytes());
    assert!(matches!(
        with(&other, proof.clone()),
        Some(StoreError::Corrupt(_))
    ));
}
