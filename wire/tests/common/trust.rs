//! Examples of what is said about trust, with no field left out, zero or empty.

use headwater_wire::message::*;
use headwater_wire::trust::*;
use headwater_wire::{Cosigned, Message, PeerId, SecretKey, Signed, Time};

use super::{key, list};

fn other() -> SecretKey {
    SecretKey::from_bytes(&[8; 32])
}

fn third() -> PeerId {
    SecretKey::from_bytes(&[9; 32]).peer_id()
}

/// The keys of the two peers, the one with the lower id first.
fn pair() -> [SecretKey; 2] {
    let mut keys = [key(), other()];
    keys.sort_by_key(SecretKey::peer_id);
    keys
}

pub(crate) fn receipt() -> Receipt {
    Receipt {
        consumer: key().peer_id(),
        provider: other().peer_id(),
        stream: key().stream_id(),
        epoch: 1_700_000_000_000_000,
        seq: 7,
        bytes: 5 << 20,
        in_stream: 3 << 20,
    }
}

pub(crate) fn entered() -> Entered {
    Entered {
        epoch: 1_700_000_000_000_000,
        bytes: 5 << 20,
        total: 9 << 20,
    }
}

pub(crate) fn pending() -> Pending {
    Pending {
        id: order().id(),
        amount: 1 << 20,
        low_owes: true,
        raises: false,
        signer: third(),
        hops: 2,
        base: 0,
    }
}

pub(crate) fn account() -> AccountState {
    let [low, high] = pair().map(|key| key.peer_id());
    AccountState {
        low,
        high,
        seq: 12,
        by_low: entered(),
        by_high: Entered {
            total: 2 << 20,
            ..entered()
        },
        shifted: -(1 << 20),
        closed: 4,
        pending: list([pending()]),
        previous: [3; 32],
    }
}

pub(crate) fn note() -> Note {
    Note {
        id: order().id(),
        debtor: third(),
        amount: 1 << 20,
    }
}

pub(crate) fn edge() -> TrustEdge {
    TrustEdge {
        debtor: key().peer_id(),
        creditor: other().peer_id(),
        bucket: 22,
        seq: 12,
        expires: Time::from_micros(1_700_000_600_000_000),
    }
}

pub(crate) fn order() -> ShiftOrder {
    ShiftOrder {
        path: list([key().peer_id(), other().peer_id(), third()]),
        amount: 1 << 20,
        base: 3,
        nonce: 0xdead_beef_dead_beef,
    }
}

fn prepare() -> ShiftPrepare {
    ShiftPrepare {
        order: order(),
        left_ms: 9500,
    }
}

fn both<T: headwater_wire::Statement>(statement: &T, keys: [SecretKey; 2]) -> Cosigned<T> {
    let first = Signed::new(statement, &keys[0]);
    Cosigned::join(&first, &first.also_by(&keys[1])).unwrap()
}

pub(crate) fn cosigned() -> Cosigned<AccountState> {
    both(&account(), pair())
}

/// One of each message about trust.
pub(super) fn examples() -> Vec<Message> {
    let state = Signed::new(&account(), &pair()[0]);
    let receipt = Signed::new(&receipt(), &key());
    let note = Signed::new(&note(), &SecretKey::from_bytes(&[9; 32]));
    let id = order().id();
    let edge = both(&edge(), [key(), other()]);
    let told = edge.clone();
    vec![
        receipt.clone().into(),
        AccountProposal {
            state: state.clone(),
            receipts: list([receipt]),
            notes: list([note.clone()]),
            orders: list([prepare()]),
        }
        .into(),
        AccountDecline { seq: 12, floor: 15 }.into(),
        cosigned().into(),
        prepare().into(),
        ShiftAbort { id }.into(),
        ShiftRelease { id }.into(),
        note.into(),
        edge.first().into(),
        edge.clone().into(),
        TrustWalk { edges: list([edge]) }.into(),
        Fraud {
            proof: FraudProof::States(account().low, state.clone(), state),
        }
        .into(),
        EdgesAsked { owed: true }.into(),
        EdgesTold {
            edges: list([told]),
            at: list([super::referral()]),
        }
        .into(),
    ]
}
