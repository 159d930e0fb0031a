//! What strangers and cheats say: replays, forgeries, contradictions, nonsense. All of it is refused and counted, and moves nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod net;

use std::time::Duration;

use headwater_incentives::store::MemoryStore;
use headwater_incentives::trust::{Event, Fault, Output, Trust};
use net::{MIB, Net, START, STREAM};
use rand::RngExt as _;
use wire::trust::{
    AccountProposal, AccountState, FraudProof, Note, Receipt, ShiftId, TrustEdge, TrustMessage,
};
use wire::{Cosigned, List, Message, PeerId, SecretKey, Signed, Time, codec};

/// A line that has served, shifted, and advertised, with all that was said.
fn busy(seed: u64) -> Net {
    let mut net = Net::new(4, seed);
    net.keep_log = true;
    for n in 1..4 {
        net.owe(n, n - 1, 64 * MIB);
    }
    net.connect(0, 3);
    net.run_for(Duration::from_secs(15));
    for mib in [8, 3, 1] {
        net.shift(&[0, 1, 2, 3], mib * MIB).unwrap();
        net.run_for(Duration::from_secs(2));
    }
    net.run_for(Duration::from_secs(50));
    net.assert_agreed("busy");
    net.keep_log = false;
    net
}

fn claims(net: &mut Net) -> Vec<i128> {
    let pairs = (0..4).flat_map(|a| (0..4).filter(move |b| a != *b).map(move |b| (a, b)));
    pairs.map(|(a, b)| net.claim(a, b)).collect()
}

/// Says something to a node as if it came from another.
fn say(net: &mut Net, from: usize, to: usize, message: TrustMessage) {
    let (now, from) = (net.now, net.id(from));
    net.act(to, |trust, out| trust.handle(now, from, message, out));
}

fn faults(net: &mut Net, n: usize, fault: Fault) -> u64 {
    net.trust(n).faults().get(&fault).copied().unwrap_or(0)
}

#[test]
fn what_was_said_before_changes_nothing_when_it_is_said_again() {
    for seed in 0..4 {
        let mut net = busy(seed);
        let before = claims(&mut net);
        let log: Vec<_> = net.log.iter().cloned().collect();
        assert!(log.len() > 60, "{}", log.len());
        for _ in 0..3 * log.len() {
            let at = net.rng.random_range(0..log.len());
            let (from, to, message) = log[at].clone();
            say(&mut net, from, to, message);
        }
        net.run_for(Duration::from_secs(60));
        assert_eq!(claims(&mut net), before, "seed {seed}");
        assert_eq!(net.pending(), 0);
        net.assert_agreed("replayed");
    }
}

#[test]
fn what_was_said_before_changes_nothing_after_everybody_has_restarted() {
    for seed in 0..3 {
        let mut net = busy(seed);
        let before = claims(&mut net);
        let log: Vec<_> = net.log.iter().cloned().collect();
        for n in 0..4 {
            net.crash(n, Duration::from_secs(1));
        }
        // Past the time that ids are remembered, too.
        net.run_for(Duration::from_secs(700));
        for (from, to, message) in log.clone() {
            say(&mut net, from, to, message);
            let pause = net.rng.random_range(0..30);
            net.run_for(Duration::from_millis(pause));
        }
        net.run_for(Duration::from_secs(100));
        assert_eq!(claims(&mut net), before, "seed {seed}");
        assert_eq!(net.pending(), 0);
        net.assert_agreed("replayed");
    }
}

#[test]
fn what_is_damaged_or_comes_from_the_wrong_peer_changes_nothing() {
    let mut tried = 0;
    for seed in 0..4 {
        let mut net = busy(seed);
        let before = claims(&mut net);
        let log: Vec<_> = net.log.iter().cloned().collect();
        for _ in 0..4000 {
            let at = net.rng.random_range(0..log.len());
            let (_, to, message) = &log[at];
            let mut bytes = codec::encode(&Message::from(message.clone())).split_off(codec::LENGTH_LEN);
            for _ in 0..net.rng.random_range(0..4) {
                let at = net.rng.random_range(0..bytes.len());
                bytes[at] = net.rng.random();
            }
            let from = net.rng.random_range(0..4);
            // Most of it does not even decode.
            if let Ok(message) = codec::decode(&bytes)
                && let Ok(message) = TrustMessage::try_from(message)
                && from != *to
            {
                say(&mut net, from, *to, message);
                tried += 1;
            }
        }
        net.run_for(Duration::from_secs(60));
        assert_eq!(claims(&mut net), before, "seed {seed}");
        net.assert_agreed("damaged");
        let counted: u64 = (0..4).map(|n| net.trust(n).faults().values().sum::<u64>()).sum();
        assert!(counted > 100, "{counted}");
    }
    assert!(tried > 3000, "{tried}");
}

/// Two peers by hand: one honest, one whose key the test has.
struct Pair {
    honest: Trust<MemoryStore>,
    key: SecretKey,
    out: Vec<Output>,
}

impl Pair {
    /// `proposes`: whether the one whose key the test has is the lower one.
    fn new(proposes: bool) -> Self {
        let mut keys = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
        keys.sort_by_key(SecretKey::peer_id);
        if !proposes {
            keys.reverse();
        }
        let [key, own] = keys;
        let mut honest = Trust::open(own, MemoryStore::new(), 1, START).unwrap();
        honest.on_connected(START, key.peer_id(), &mut Vec::new());
        Pair {
            honest,
            key,
            out: Vec::new(),
        }
    }

    fn me(&self) -> PeerId {
        self.key.peer_id()
    }

    fn honest(&self) -> PeerId {
        let key = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]).peer_id());
        if key[0] == self.me() { key[1] } else { key[0] }
    }

    /// Says something; which faults came of it.
    fn say(&mut self, message: TrustMessage) -> Vec<Fault> {
        self.out.clear();
        self.honest
            .handle(START, self.key.peer_id(), message, &mut self.out);
        let faults = self.out.iter().filter_map(|output| match output {
            Output::Event(Event::Fault(_, fault)) => Some(*fault),
            _ => None,
        });
        faults.collect()
    }

    fn receipt(&self, seq: u64, bytes: u64) -> Receipt {
        Receipt {
            consumer: self.me(),
            provider: self.honest(),
            stream: STREAM,
            epoch: 5,
            seq,
            bytes,
            in_stream: bytes,
        }
    }

    fn signed_receipt(&self, receipt: &Receipt) -> TrustMessage {
        TrustMessage::Receipt(Signed::new(receipt, &self.key))
    }

    fn claim(&self) -> i128 {
        self.honest.balance(START, self.me()).claim
    }

    fn proposal(&self, change: impl FnOnce(&mut AccountState)) -> TrustMessage {
        let mut state = AccountState::empty(self.me(), self.honest());
        state.seq = 1;
        change(&mut state);
        TrustMessage::Propose(AccountProposal {
            state: Signed::new(&state, &self.key),
            receipts: List::default(),
            notes: List::default(),
            orders: List::default(),
        })
    }

    fn is_condemned(&self) -> bool {
        self.honest.is_condemned(self.me())
    }
}

fn stranger() -> SecretKey {
    SecretKey::from_bytes(&[9; 32])
}

#[test]
fn a_receipt_counts_once_and_only_from_who_signs_it() {
    let mut pair = Pair::new(false);
    let receipt = pair.receipt(1, 1000);
    let said = pair.signed_receipt(&receipt);
    assert_eq!(pair.say(said.clone()), []);
    assert_eq!(pair.say(said), [Fault::Stale]);
    assert_eq!(pair.claim(), 1000);
    let later = pair.signed_receipt(&pair.receipt(3, 3000));
    assert_eq!(pair.say(later), []);
    let overtaken = pair.signed_receipt(&pair.receipt(2, 2000));
    assert_eq!(pair.say(overtaken), [Fault::Stale]);
    assert_eq!(pair.claim(), 3000);
    let forged = TrustMessage::Receipt(Signed::new(&pair.receipt(4, 9000), &stranger()));
    assert_eq!(pair.say(forged), [Fault::Signature]);
    let to_others = Receipt {
        provider: stranger().peer_id(),
        ..pair.receipt(4, 9000)
    };
    let to_others = pair.signed_receipt(&to_others);
    assert_eq!(pair.say(to_others), [Fault::Foreign]);
    let more_in_one = Receipt {
        in_stream: 10_000,
        ..pair.receipt(4, 9000)
    };
    let more_in_one = pair.signed_receipt(&more_in_one);
    assert_eq!(pair.say(more_in_one), [Fault::TooMuch]);
    let less = pair.signed_receipt(&pair.receipt(4, 2000));
    assert_eq!(pair.say(less), [Fault::Stale]);
    assert_eq!((pair.claim(), pair.is_condemned()), (3000, false));
}

#[test]
fn two_receipts_at_one_number_are_the_end_of_it() {
    let mut pair = Pair::new(false);
    for bytes in [1000, 900] {
        let said = pair.signed_receipt(&pair.receipt(1, bytes));
        pair.say(said);
    }
    assert!(pair.is_condemned());
    let proof = pair.out.iter().find_map(|output| match output {
        Output::Event(Event::Fraud(proof)) => Some(proof.clone()),
        _ => None,
    });
    assert_eq!(proof.unwrap().check(), Ok(pair.me()));
    // Nothing is taken from it any more.
    let more = pair.signed_receipt(&pair.receipt(2, 5000));
    assert_eq!(pair.say(more), []);
    assert_eq!(pair.claim(), 1000);
}

#[test]
fn two_states_at_one_number_are_the_end_of_it_everywhere() {
    let mut pair = Pair::new(true);
    let first = pair.proposal(|state| state.by_high = state.by_high.after(1, 500).unwrap());
    assert_eq!(pair.say(first), []);
    assert_eq!(pair.claim(), 500, "who takes may say so itself");
    let second = pair.proposal(|state| state.by_high = state.by_high.after(1, 400).unwrap());
    pair.say(second);
    assert!(pair.is_condemned());
    let Some(Output::Event(Event::Fraud(proof))) = pair
        .out
        .iter()
        .find(|o| matches!(o, Output::Event(Event::Fraud(_))))
    else {
        panic!("{:?}", pair.out)
    };
    // Anybody believes the proof, and nobody a made-up one.
    let other = SecretKey::from_bytes(&[5; 32]);
    let mut third = Trust::open(SecretKey::from_bytes(&[6; 32]), MemoryStore::new(), 1, START).unwrap();
    let mut out = Vec::new();
    third.on_connected(START, other.peer_id(), &mut out);
    let honest = pair.honest();
    let FraudProof::States(_, one, two) = proof.clone() else {
        panic!()
    };
    for made_up in [
        FraudProof::States(honest, one.clone(), two.clone()),
        FraudProof::States(pair.me(), one.clone(), one.clone()),
        FraudProof::States(pair.me(), one, two.also_by(&other)),
    ] {
        third.handle(START, other.peer_id(), TrustMessage::Fraud(made_up), &mut out);
    }
    assert!(!third.is_condemned(honest) && !third.is_condemned(pair.me()));
    third.handle(
        START,
        other.peer_id(),
        TrustMessage::Fraud(proof.clone()),
        &mut out,
    );
    assert!(third.is_condemned(pair.me()));
}

#[test]
fn a_state_that_nothing_speaks_for_is_not_signed() {
    let not_signed = |change: fn(&mut AccountState), fault: Fault| {
        let mut pair = Pair::new(true);
        let said = pair.proposal(change);
        assert_eq!(pair.say(said), [fault]);
        assert_eq!(pair.claim(), 0);
        let declined = |output: &Output| match output {
            Output::Send { message, .. } => matches!(**message, TrustMessage::Decline { .. }),
            Output::Event(_) => false,
        };
        assert!(fault != Fault::Unexpected || pair.out.iter().any(declined));
    };
    not_signed(
        |state| state.by_low = state.by_low.after(1, 500).unwrap(),
        Fault::Unexpected,
    );
    not_signed(|state| state.shifted = -500, Fault::Unexpected);
    not_signed(|state| state.shifted = i64::MIN, Fault::Unexpected);
    not_signed(|state| state.seq = u64::MAX, Fault::Unexpected);
    not_signed(|state| state.previous = [1; 32], Fault::Unexpected);
    not_signed(|state| state.high = stranger().peer_id(), Fault::Foreign);
    not_signed(|state| state.closed = 7, Fault::Unexpected);
    // The higher one does not propose.
    let mut pair = Pair::new(false);
    let said = pair.proposal(|_| {});
    assert_eq!(pair.say(said), [Fault::Foreign]);
    // And nobody for somebody else.
    let mut pair = Pair::new(true);
    let TrustMessage::Propose(mut proposal) = pair.proposal(|_| {}) else {
        panic!()
    };
    proposal.state = proposal.state.also_by(&stranger());
    assert_eq!(pair.say(TrustMessage::Propose(proposal)), [Fault::Signature]);
}

#[test]
fn a_state_with_one_signature_too_few_is_not_taken() {
    let mut pair = Pair::new(true);
    let state = AccountState {
        seq: 3,
        shifted: -500,
        ..AccountState::empty(pair.me(), pair.honest())
    };
    let first = Signed::new(&state, &pair.key);
    let both = Cosigned::join(&first, &first.also_by(&stranger())).unwrap();
    assert_eq!(pair.say(TrustMessage::Account(both)), [Fault::Signature]);
    assert_eq!(
        pair.say(TrustMessage::Decline {
            seq: 1,
            floor: u64::MAX
        }),
        [Fault::Stale]
    );
    for message in [
        TrustMessage::Abort(ShiftId([1; 32])),
        TrustMessage::Release(ShiftId([1; 32])),
    ] {
        assert_eq!(pair.say(message), [Fault::Stale]);
    }
    let note = Note {
        id: ShiftId([1; 32]),
        debtor: pair.me(),
        amount: 5,
    };
    let note = Signed::new(&note, &pair.key);
    assert_eq!(pair.say(TrustMessage::Note(note)), [Fault::Stale]);
}

#[test]
fn numbers_cannot_be_used_up_by_who_has_both_keys() {
    let mut pair = Pair::new(false);
    let state = AccountState {
        seq: u64::MAX,
        ..AccountState::empty(pair.honest(), pair.me())
    };
    let own = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
    let own = own.iter().find(|key| key.peer_id() == pair.honest()).unwrap();
    let first = Signed::new(&state, own);
    let both = Cosigned::join(&first, &first.also_by(&pair.key)).unwrap();
    assert_eq!(pair.say(TrustMessage::Account(both)), [Fault::TooMuch]);
    let receipt = pair.signed_receipt(&pair.receipt(1, MIB));
    pair.say(receipt);
    let due = pair.honest.next_deadline();
    pair.honest.handle_deadline(due, &mut pair.out);
    assert_eq!(pair.claim(), i128::from(MIB));
}

#[test]
fn numbers_cannot_be_used_up_by_declining() {
    let mut pair = Pair::new(false);
    let receipt = pair.signed_receipt(&pair.receipt(1, MIB));
    pair.say(receipt);
    // The honest one proposes to enter the receipt.
    let due = pair.honest.next_deadline();
    let mut now = due;
    let mut proposed = None;
    while proposed.is_none() {
        pair.out.clear();
        pair.honest.handle_deadline(now, &mut pair.out);
        proposed = pair.out.iter().find_map(|output| match output {
            Output::Send { message, .. } => match &**message {
                TrustMessage::Propose(proposal) => Some(proposal.state.peek().unwrap().seq),
                _ => None,
            },
            Output::Event(_) => None,
        });
        now = pair.honest.next_deadline();
        assert!(now < START + Duration::from_secs(60));
    }
    let seq = proposed.unwrap();
    assert_eq!(
        pair.say(TrustMessage::Decline { seq, floor: u64::MAX }),
        [Fault::TooMuch]
    );
    assert_eq!(
        pair.say(TrustMessage::Decline {
            seq: seq + 1,
            floor: 9
        }),
        [Fault::Stale]
    );
    assert_eq!(pair.claim(), i128::from(MIB), "the claim stands by the receipt");
}

fn edge(debtor: &SecretKey, creditor: &SecretKey, expires: Time) -> Cosigned<TrustEdge> {
    let edge = TrustEdge {
        debtor: debtor.peer_id(),
        creditor: creditor.peer_id(),
        bucket: 25,
        seq: 1,
        expires,
    };
    let first = Signed::new(&edge, debtor);
    Cosigned::join(&first, &first.also_by(creditor)).unwrap()
}

#[test]
fn a_walk_counts_only_if_each_edge_does() {
    let mut pair = Pair::new(true);
    let own = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
    let own = own
        .into_iter()
        .find(|key| key.peer_id() == pair.honest())
        .unwrap();
    let (a, b) = (stranger(), SecretKey::from_bytes(&[8; 32]));
    let later = START + Duration::from_secs(600);
    let last = edge(&pair.key, &own, later);
    let mut walk =
        |edges: Vec<Cosigned<TrustEdge>>| pair.say(TrustMessage::Walk(edges.into_iter().collect()));
    assert_eq!(walk(vec![]), [Fault::Foreign]);
    assert_eq!(walk(vec![edge(&a, &b, later)]), [Fault::Foreign]);
    let to = |key: &SecretKey| SecretKey::from_bytes(&key.to_bytes());
    let me = to(&pair_key());
    let good = || vec![edge(&a, &b, later), edge(&b, &me, later), last.clone()];
    assert_eq!(walk(good()), []);
    let long_ago = START - Duration::from_secs(3600);
    assert_eq!(
        walk(vec![edge(&b, &me, long_ago), last.clone()]),
        [Fault::Expired]
    );
    let mut forged = good();
    let by_one = forged[0].first();
    forged[0] = Cosigned::join(&by_one, &by_one.also_by(&a)).unwrap();
    assert_eq!(walk(forged), [Fault::Signature]);
    let mut gap = good();
    gap.remove(1);
    assert_eq!(walk(gap), [Fault::Foreign]);
    // More than may come.
    let mut faults = Vec::new();
    for _ in 0..100 {
        faults.extend(walk(good()));
    }
    assert!(
        faults.contains(&Fault::TooMuch) && faults.len() > 40,
        "{}",
        faults.len()
    );
    assert_eq!(pair.honest.view().len(), 2);
}

/// The key of [`Pair::new`] with `proposes`.
fn pair_key() -> SecretKey {
    Pair::new(true).key
}

#[test]
fn an_advert_of_more_than_is_owed_is_not_signed() {
    let mut pair = Pair::new(true);
    let said = pair.proposal(|state| state.by_high = state.by_high.after(1, 4 * MIB).unwrap());
    assert_eq!(pair.say(said), []);
    let advert = |pair: &Pair, bucket: u8, debtor_is_me: bool| {
        let (me, honest) = (pair.me(), pair.honest());
        let (debtor, creditor) = if debtor_is_me { (me, honest) } else { (honest, me) };
        let edge = TrustEdge {
            debtor,
            creditor,
            bucket,
            seq: 1,
            expires: START + Duration::from_secs(600),
        };
        TrustMessage::Advertise(Signed::new(&edge, &pair.key))
    };
    for (bucket, debtor_is_me, faults) in [
        (22, true, vec![]),
        (23, true, vec![Fault::Unexpected]),
        (22, false, vec![Fault::Unexpected]),
        (64, true, vec![Fault::TooMuch]),
    ] {
        let said = advert(&pair, bucket, debtor_is_me);
        assert_eq!(pair.say(said), faults, "bucket {bucket}");
    }
}

#[test]
fn who_is_not_connected_is_not_heard() {
    let mut net = busy(1);
    let log: Vec<_> = net.log.iter().cloned().collect();
    let before = faults(&mut net, 2, Fault::Stale);
    // 0 and 2 have no connection.
    for (_, _, message) in log {
        say(&mut net, 0, 2, message);
    }
    assert_eq!(faults(&mut net, 2, Fault::Stale), before);
}
