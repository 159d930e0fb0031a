use super::*;
use crate::{SecretKey, Verifier};

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
fn messages_survive_the_wire_and_nonsense_is_refused() {
    let one = Signed::new(&state(1, 5), &key(1));
    let messages = [
        TrustMessage::Receipt(Signed::new(&receipt(1, 2), &key(1))),
        TrustMessage::Account(Cosigned::join(&one, &one.also_by(&key(2))).unwrap()),
        TrustMessage::Decline { seq: 3, floor: 9 },
        TrustMessage::Abort(ShiftId([4; 32])),
        TrustMessage::Fraud(FraudProof::States(key(1).peer_id(), one.clone(), one)),
    ];
    for message in messages {
        let bytes = message.encode();
        assert_eq!(TrustMessage::decode(&bytes).unwrap(), message);
        for at in 0..bytes.len() {
            assert!(TrustMessage::decode(&bytes[..at]).is_err());
        }
    }
    assert!(TrustMessage::decode(&[0; 40_000]).is_err());
    assert!(TrustMessage::decode(b"").is_err());
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
    let bytes = TrustMessage::Propose(proposal).encode();
    assert!(bytes.len() <= crate::codec::MAX_FRAME, "{}", bytes.len());
}
