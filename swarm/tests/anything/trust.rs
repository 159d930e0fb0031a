//! What a stranger may say about trust: signed by one of the peers or not, about one of them or not.

use arbitrary::{Result, Unstructured};
use wire::message::*;
use wire::trust::*;
use wire::{Cosigned, List, Message, PeerId, SecretKey, Signed, Statement};

use super::draw::{list, peer, somebody, stream, time};
use super::{PEERS, key};

fn signer(u: &mut Unstructured<'_>) -> Result<SecretKey> {
    Ok(key(u.int_in_range(0..=PEERS)?))
}

fn signed<T: Statement>(u: &mut Unstructured<'_>, statement: &T) -> Result<Signed<T>> {
    Ok(Signed::new(statement, &signer(u)?))
}

fn cosigned<T: Statement>(u: &mut Unstructured<'_>, statement: &T) -> Result<Cosigned<T>> {
    let first = signed(u, statement)?;
    let second = first.also_by(&signer(u)?);
    Ok(Cosigned::join(&first, &second).expect("both are over the same bytes"))
}

/// Mostly small, so that numbers follow one another; now and then the end of the range.
fn number(u: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match u.int_in_range(0..=7u8)? {
        0 => u.arbitrary()?,
        1 => u64::MAX - u64::from(u.arbitrary::<u8>()?),
        2 => u64::from(u.arbitrary::<u32>()?) << 8,
        _ => u.int_in_range(0..=4)?,
    })
}

fn receipt(u: &mut Unstructured<'_>) -> Result<Signed<Receipt>> {
    let receipt = Receipt {
        consumer: peer(u)?,
        provider: peer(u)?,
        stream: stream(u)?,
        epoch: number(u)?,
        seq: number(u)?,
        bytes: number(u)?,
        in_stream: number(u)?,
    };
    signed(u, &receipt)
}

fn order(u: &mut Unstructured<'_>) -> Result<ShiftOrder> {
    Ok(ShiftOrder {
        path: list(u, MAX_SHIFT_PEERS, somebody)?,
        // Few values, so that notes and orders meet.
        amount: 1 << 20,
        base: u.int_in_range(0..=1)?,
        nonce: u.int_in_range(0..=1)?,
    })
}

fn pending(u: &mut Unstructured<'_>) -> Result<Pending> {
    Ok(Pending {
        id: order(u)?.id(),
        amount: number(u)?,
        low_owes: u.arbitrary()?,
        raises: u.arbitrary()?,
        signer: peer(u)?,
        hops: u.arbitrary()?,
        base: number(u)?,
    })
}

fn entered(u: &mut Unstructured<'_>) -> Result<Entered> {
    Ok(Entered {
        epoch: number(u)?,
        bytes: number(u)?,
        total: number(u)?,
    })
}

fn account(u: &mut Unstructured<'_>) -> Result<AccountState> {
    let (one, other): (PeerId, PeerId) = (peer(u)?, peer(u)?);
    let sorted = u.ratio(7, 8)?;
    Ok(AccountState {
        low: if sorted { one.min(other) } else { one },
        high: one.max(other),
        seq: number(u)?,
        by_low: entered(u)?,
        by_high: entered(u)?,
        shifted: u.arbitrary()?,
        closed: number(u)?,
        pending: list(u, 3, pending)?,
        previous: [0; 32],
    })
}

fn note(u: &mut Unstructured<'_>) -> Result<Signed<Note>> {
    let note = Note {
        id: order(u)?.id(),
        debtor: peer(u)?,
        amount: 1 << 20,
    };
    signed(u, &note)
}

fn edge(u: &mut Unstructured<'_>) -> Result<TrustEdge> {
    Ok(TrustEdge {
        debtor: somebody(u)?,
        creditor: somebody(u)?,
        bucket: u.arbitrary()?,
        seq: number(u)?,
        expires: time(u)?,
    })
}

fn prepare(u: &mut Unstructured<'_>) -> Result<ShiftPrepare> {
    Ok(ShiftPrepare {
        order: order(u)?,
        left_ms: u.arbitrary()?,
    })
}

pub(super) fn message(u: &mut Unstructured<'_>) -> Result<Message> {
    Ok(match u.int_in_range(0..=13u8)? {
        0 => receipt(u)?.into(),
        1 => {
            let state = account(u)?;
            AccountProposal {
                state: signed(u, &state)?,
                receipts: list(u, 2, receipt)?,
                notes: list(u, 2, note)?,
                orders: list(u, 2, prepare)?,
            }
            .into()
        }
        2 => AccountDecline {
            seq: number(u)?,
            floor: number(u)?,
        }
        .into(),
        3 => {
            let state = account(u)?;
            cosigned(u, &state)?.into()
        }
        4 => prepare(u)?.into(),
        5 => ShiftAbort { id: order(u)?.id() }.into(),
        6 => ShiftRelease { id: order(u)?.id() }.into(),
        7 => note(u)?.into(),
        8 => {
            let edge = edge(u)?;
            signed(u, &edge)?.into()
        }
        9 => {
            let edge = edge(u)?;
            cosigned(u, &edge)?.into()
        }
        10 => TrustWalk {
            edges: list(u, MAX_WALK, |u| {
                let edge = edge(u)?;
                cosigned(u, &edge)
            })?,
        }
        .into(),
        11 => EdgesAsked { owed: u.arbitrary()? }.into(),
        12 => EdgesTold {
            edges: list(u, MAX_TOLD, |u| {
                let edge = edge(u)?;
                cosigned(u, &edge)
            })?,
            at: List::default(),
        }
        .into(),
        _ => {
            let (one, other) = (account(u)?, account(u)?);
            let proof = FraudProof::States(peer(u)?, signed(u, &one)?, signed(u, &other)?);
            Fraud { proof }.into()
        }
    })
}
