use super::*;
use crate::{Message, SecretKey, Verifier};

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn verifier(n: u8) -> Verifier {
    Verifier::new(key(n).peer_id().as_bytes()).unwrap()
}

fn state(seq: u64, shifted: i64) -> AccountState {
    AccountState {
        seq,
        shifted,
        ..AccountState::empty(key(1).peer_id(), key(2).peer_id())
    }
}

fn receipt(seq: u64, bytes: u64) -> Receipt {
    Receipt {
        consumer: key(1).peer_id(),
        provider: key(2).peer_id(),
        stream: StreamId::from_bytes([9; 32]),
        epoch: 1,
        seq,
        bytes,
        in_stream: bytes,
    }
}

#[test]
fn both_signatures_of_a_cosigned_statement_count() {
    let one = Signed::new(&state(1, 5), &key(1));
    let both = Cosigned::join(&one, &one.also_by(&key(2))).unwrap();
    assert_eq!(both.open(&verifier(1), &verifier(2)).unwrap(), state(1, 5));
    assert_eq!(
        both.open(&verifier(2), &verifier(1)),
        Err(crate::SignatureError::Mismatch)
    );
    assert_eq!(
        both.open(&verifier(1), &verifier(3)),
        Err(crate::SignatureError::Mismatch)
    );
    assert!(Cosigned::join(&one, &Signed::new(&state(1, 6), &key(2))).is_none());
    assert_eq!(both.first(), one);
    assert_eq!(both.peek().unwrap(), state(1, 5));
}

#[test]
fn two_signatures_at_one_number_prove_fraud_and_nothing_else_does() {
    let by = key(1).peer_id();
    let states = |a: AccountState, b: AccountState, k| {
        FraudProof::States(by, Signed::new(&a, &key(1)), Signed::new(&b, &key(k))).check()
    };
    assert_eq!(states(state(3, 1), state(3, 2), 1), Ok(by));
    assert_eq!(
        states(state(3, 1), state(3, 1), 1),
        Err(crate::SignatureError::Subject)
    );
    assert_eq!(
        states(state(3, 1), state(4, 2), 1),
        Err(crate::SignatureError::Subject)
    );
    assert_eq!(
        states(state(3, 1), state(3, 2), 2),
        Err(crate::SignatureError::Mismatch)
    );
    // A stranger's signature under somebody else's account proves nothing.
    let foreign = AccountState::empty(key(2).peer_id(), key(3).peer_id());
    let other = AccountState {
        shifted: 1,
        ..foreign.clone()
    };
    assert_eq!(states(foreign, other, 1), Err(crate::SignatureError::Subject));
    let receipts =
        |a, b| FraudProof::Receipts(by, Signed::new(&a, &key(1)), Signed::new(&b, &key(1))).check();
    assert_eq!(receipts(receipt(1, 10), receipt(1, 11)), Ok(by));
    assert_eq!(
        receipts(receipt(1, 10), receipt(2, 11)),
        Err(crate::SignatureError::Subject)
    );
}

#[test]
fn receipts_only_add() {
    let none = Entered::default();
    let one = none.after(1, 100).unwrap();
    assert_eq!(one.total, 100);
    assert_eq!(one.after(1, 250).unwrap().total, 250);
    assert_eq!(one.after(1, 99), None);
    assert_eq!(one.after(0, 500), None);
    assert_eq!(one.after(2, 30).unwrap().total, 130);
    assert_eq!(one.after(2, u64::MAX), None);
}

#[test]
fn an_edge_never_says_more_than_is_owed() {
    for debt in [1u64, 2, 3, 255, 256, 1 << 40, u64::MAX] {
        let bucket = TrustEdge::bucket_of(debt.into()).unwrap();
        let edge = TrustEdge {
            debtor: key(1).peer_id(),
            creditor: key(2).peer_id(),
            bucket,
            seq: 0,
            expires: Time::ZERO,
        };
        assert!(edge.bytes() <= debt && debt / 2 < edge.bytes());
        assert_eq!(TrustEdge { bucket: 200, ..edge }.bytes(), 0);
    }
    assert_eq!(TrustEdge::bucket_of(0), None);
    assert_eq!(TrustEdge::bucket_of(-5), None);
}

#[test]
fn each_has_a_message_of_its_own_and_comes_back_from_it() {
    let one = Signed::new(&state(1, 5), &key(1));
    let both = Cosigned::join(&one, &one.also_by(&key(2))).unwrap();
    let edge = TrustEdge {
        debtor: key(1).peer_id(),
        creditor: key(2).peer_id(),
        bucket: 20,
        seq: 1,
        expires: Time::ZERO,
    };
    let edge = Signed::new(&edge, &key(1));
    let edges = Cosigned::join(&edge, &edge.also_by(&key(2))).unwrap();
    let order = ShiftOrder {
        path: (1..4).map(|n| key(n).peer_id()).collect(),
        amount: 1 << 20,
        base: 7,
        nonce: 8,
    };
    let note = Note {
        id: order.id(),
        debtor: key(3).peer_id(),
        amount: 1 << 20,
    };
    let proposal = AccountProposal {
        state: one.clone(),
        receipts: List::default(),
        notes: List::default(),
        orders: List::default(),
    };
    let messages = [
        TrustMessage::Receipt(Signed::new(&receipt(1, 2), &key(1))),
        TrustMessage::Propose(proposal),
        TrustMessage::Decline { seq: 3, floor: 9 },
        TrustMessage::Account(both),
        TrustMessage::Prepare(ShiftPrepare { order, left_ms: 900 }),
        TrustMessage::Abort(ShiftId([4; 32])),
        TrustMessage::Release(ShiftId([5; 32])),
        TrustMessage::Note(Signed::new(&note, &key(3))),
        TrustMessage::Advertise(edge),
        TrustMessage::Advertised(edges.clone()),
        TrustMessage::Walk([edges].into_iter().collect()),
        TrustMessage::Fraud(FraudProof::States(key(1).peer_id(), one.clone(), one)),
        TrustMessage::AskEdges { owed: true },
        TrustMessage::TellEdges(List::default()),
    ];
    let mut codes = Vec::new();
    for message in messages {
        let on_the_wire = Message::from(message.clone());
        assert!(on_the_wire.is_trust());
        codes.push(on_the_wire.code());
        assert_eq!(TrustMessage::try_from(on_the_wire), Ok(message));
    }
    let all = Message::CODES
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| *code >= 70);
    assert_eq!(codes, all.collect::<Vec<_>>());
    let other = Message::from(crate::message::Unchanged { up: true, level: 1 });
    assert!(!other.is_trust());
    assert_eq!(TrustMessage::try_from(other.clone()), Err(other));
}

#[test]
fn the_largest_account_and_proposal_fit_a_frame() {
    let pending = Pending {
        id: ShiftId([255; 32]),
        amount: u64::MAX,
        low_owes: true,
        raises: true,
        signer: key(3).peer_id(),
        hops: 255,
        base: u64::MAX,
    };
    let full = AccountState {
        pending: std::iter::repeat_n(pending, MAX_PENDING).collect(),
        ..state(u64::MAX, i64::MIN)
    };
    let order = ShiftOrder {
        path: std::iter::repeat_n(key(3).peer_id(), MAX_SHIFT_PEERS).collect(),
        amount: u64::MAX,
        base: u64::MAX,
        nonce: u64::MAX,
    };
    let note = Note {
        id: order.id(),
        debtor: key(1).peer_id(),
        amount: u64::MAX,
    };
    let prepare = ShiftPrepare {
        order,
        left_ms: u16::MAX,
    };
    let proposal = AccountProposal {
        state: Signed::new(&full, &key(1)),
        receipts: std::iter::repeat_n(Signed::new(&receipt(u64::MAX, u64::MAX), &key(1)), MAX_EVIDENCE)
            .collect(),
        notes: std::iter::repeat_n(Signed::new(&note, &key(1)), MAX_EVIDENCE).collect(),
        orders: std::iter::repeat_n(prepare, MAX_EVIDENCE).collect(),
    };
    let fits = |message: TrustMessage| {
        let frame = crate::codec::encode(&message.into());
        assert!(frame.len() <= crate::codec::MAX_FRAME, "{}", frame.len());
    };
    let state = proposal.state.clone();
    fits(TrustMessage::Propose(proposal));
    fits(TrustMessage::Fraud(FraudProof::States(
        key(1).peer_id(),
        state.clone(),
        state,
    )));
}
