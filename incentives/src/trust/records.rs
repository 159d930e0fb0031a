//! How the ledger's records are keyed and read.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wire::trust::{AccountState, FraudProof, Note, Receipt, ShiftId};
use wire::{Cosigned, PeerId, Signed, codec};

use crate::store::{StoreError, Write};
use crate::view::Advert;

const EPOCH: u8 = b'E';
const AGREED: u8 = b'A';
const PROPOSED: u8 = b'P';
const FLOOR: u8 = b'F';
const HELD: u8 = b'R';
const GIVEN: u8 = b'G';
const NOTE: u8 = b'N';
const WRITTEN_OFF: u8 = b'W';
const FRAUD: u8 = b'C';
const VIEW: u8 = b'V';

/// A proposal as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptProposal {
    pub(crate) state: Signed<AccountState>,
    pub(crate) at_risk: BTreeSet<ShiftId>,
}

/// One record, read.
pub(crate) enum Record {
    Epoch(u64),
    Agreed(PeerId, Cosigned<AccountState>),
    Proposed(PeerId, KeptProposal),
    Floor(PeerId, u64),
    /// A receipt of the other.
    Held(PeerId, u64, Signed<Receipt>),
    /// A receipt to the other.
    Given(PeerId, u64, Signed<Receipt>),
    Note(ShiftId, Signed<Note>),
    WrittenOff(PeerId, ShiftId),
    /// Proof that it contradicted itself.
    Fraud(PeerId, FraudProof),
    /// What was known of accounts of others.
    View(Vec<Advert>),
}

/// Whether the record with this key is a step of a shift.
pub(crate) fn is_of_shift(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(NOTE | WRITTEN_OFF)))
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn set<T: Serialize>(key: Vec<u8>, value: &T) -> Write {
    Write {
        key,
        value: Some(codec::to_record(value)),
    }
}

fn gone(key: Vec<u8>) -> Write {
    Write { key, value: None }
}

pub(crate) fn epoch(epoch: u64) -> Write {
    set(key(EPOCH, &[]), &epoch)
}

pub(crate) fn agreed(peer: PeerId, state: &Cosigned<AccountState>) -> Write {
    set(key(AGREED, &[peer.as_bytes()]), state)
}

pub(crate) fn forget_agreed(peer: PeerId) -> Write {
    gone(key(AGREED, &[peer.as_bytes()]))
}

pub(crate) fn proposed(peer: PeerId, proposal: Option<&KeptProposal>) -> Write {
    let key = key(PROPOSED, &[peer.as_bytes()]);
    match proposal {
        Some(proposal) => set(key, proposal),
        None => gone(key),
    }
}

pub(crate) fn floor(peer: PeerId, floor: u64) -> Write {
    set(key(FLOOR, &[peer.as_bytes()]), &floor)
}

pub(crate) fn held(peer: PeerId, epoch: u64, receipt: Option<&Signed<Receipt>>) -> Write {
    a_receipt(HELD, peer, epoch, receipt)
}

pub(crate) fn given(peer: PeerId, epoch: u64, receipt: Option<&Signed<Receipt>>) -> Write {
    a_receipt(GIVEN, peer, epoch, receipt)
}

fn a_receipt(kind: u8, peer: PeerId, epoch: u64, receipt: Option<&Signed<Receipt>>) -> Write {
    let key = key(kind, &[peer.as_bytes(), &epoch.to_be_bytes()]);
    match receipt {
        Some(receipt) => set(key, receipt),
        None => gone(key),
    }
}

pub(crate) fn note(id: ShiftId, note: Option<&Signed<Note>>) -> Write {
    let key = key(NOTE, &[&id.0]);
    match note {
        Some(note) => set(key, note),
        None => gone(key),
    }
}

pub(crate) fn written_off(peer: PeerId, id: ShiftId, is: bool) -> Write {
    let key = key(WRITTEN_OFF, &[peer.as_bytes(), &id.0]);
    if is { set(key, &()) } else { gone(key) }
}

pub(crate) fn fraud(peer: PeerId, proof: Option<&FraudProof>) -> Write {
    let key = key(FRAUD, &[peer.as_bytes()]);
    match proof {
        Some(proof) => set(key, proof),
        None => gone(key),
    }
}

pub(crate) fn view(adverts: &[Advert]) -> Write {
    set(key(VIEW, &[]), &adverts)
}

/// Reads a record.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Record, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("{what} in a record of kind {:?}", key.first()));
    let (&kind, rest) = key.split_first().ok_or_else(|| corrupt("no key"))?;
    let peer = || {
        let bytes = rest.first_chunk::<32>().ok_or_else(|| corrupt("a short key"))?;
        Ok(PeerId::from_bytes(*bytes))
    };
    let epoch = || {
        let epoch = rest.get(32..).and_then(|rest| rest.try_into().ok());
        epoch.map(u64::from_be_bytes).ok_or_else(|| corrupt("no epoch"))
    };
    let shift = |at: usize| {
        let bytes = rest.get(at..).and_then(|rest| rest.try_into().ok());
        bytes.map(ShiftId).ok_or_else(|| corrupt("no shift"))
    };
    fn value_of<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Result<T, StoreError> {
        codec::from_record(value).map_err(|error| StoreError::Corrupt(error.to_string()))
    }
    match kind {
        EPOCH => Ok(Record::Epoch(value_of(value)?)),
        AGREED => Ok(Record::Agreed(peer()?, value_of(value)?)),
        PROPOSED => Ok(Record::Proposed(peer()?, value_of(value)?)),
        FLOOR => Ok(Record::Floor(peer()?, value_of(value)?)),
        HELD => Ok(Record::Held(peer()?, epoch()?, value_of(value)?)),
        GIVEN => Ok(Record::Given(peer()?, epoch()?, value_of(value)?)),
        NOTE => Ok(Record::Note(shift(0)?, value_of(value)?)),
        WRITTEN_OFF => Ok(Record::WrittenOff(peer()?, shift(32)?)),
        FRAUD => Ok(Record::Fraud(peer()?, value_of(value)?)),
        VIEW => Ok(Record::View(value_of(value)?)),
        _ => Err(corrupt("an unknown kind")),
    }
}
