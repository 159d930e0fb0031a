//! Proofs of fraud: free keys and proofs against them keep nobody from hearing of those it has to do with, and cost its neighbours
//! next to nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use headwater_incentives::store::MemoryStore;
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
        let receipt = Receipt {
            consumer: debtor.peer_id(),
            provider: key(0).peer_id(),
            stream: STREAM,
            epoch: 1,
            seq: 1,
            bytes: MIB,
            in_stream: MIB,
        };
        let receipt = TrustMessage::Receipt(Signed::new(&receipt, debtor));
        self.hear(debtor.peer_id(), receipt);
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
