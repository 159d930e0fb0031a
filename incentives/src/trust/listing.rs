//! What a ledger says, for people who look into it without being its peer.

use std::collections::BTreeMap;

use wire::trust::{AccountState, Entered, Receipt};
use wire::{PeerId, Time};

use super::records::{self, Record};
use crate::store::{self, StoreError};
use crate::view::Advert;

/// An account as a ledger has it, in bytes of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// With whom.
    pub peer: PeerId,
    /// What the other owes, receipts that are not entered yet included; negative: what is owed to the other.
    pub claim: i128,
    /// What was given to the other.
    pub given: u64,
    /// What was taken of it.
    pub taken: u64,
    /// What shifts added to the claim, less what they took from it.
    pub shifted: i64,
    /// What shifts under way may still take from the claim.
    pub pending: u64,
    /// What shifts under way may still add to the claim, or take from the debt.
    pub arriving: u64,
    /// What shifts under way may still add to the debt, or take from the claim: what the other has `arriving`.
    pub leaving: u64,
    /// Shifts under way, those that wait for somebody's word included.
    pub shifts: usize,
    /// The number of the newest state that both have signed.
    pub state: u64,
}

/// What these records tell of accounts of others that still holds at `now`. Adverts came to the ledger's owner within ten minutes.
///
/// # Errors
/// [`StoreError::Corrupt`] when something in it cannot be read.
pub fn adverts(records: &[store::Record], now: Time) -> Result<Vec<Advert>, StoreError> {
    let mut adverts = Vec::new();
    for (key, value) in records {
        if let Record::View(known) = records::read(key, value)? {
            adverts.extend(known.into_iter().filter(|advert| now < advert.until));
        }
    }
    Ok(adverts)
}

/// The accounts of `me` in these records, those first by which most is owed to it. Signatures are not checked: it is for whoever
/// owns the ledger to look into it.
///
/// # Errors
/// [`StoreError::Corrupt`] when something in it cannot be read.
pub fn list(me: PeerId, records: &[store::Record]) -> Result<Vec<Listed>, StoreError> {
    let corrupt = |error: wire::SignatureError| StoreError::Corrupt(error.to_string());
    let mut states: BTreeMap<PeerId, AccountState> = BTreeMap::new();
    let mut held: BTreeMap<PeerId, Vec<Receipt>> = BTreeMap::new();
    let mut given_to: BTreeMap<PeerId, Vec<Receipt>> = BTreeMap::new();
    for (key, value) in records {
        match records::read(key, value)? {
            Record::Agreed(peer, agreed) => drop(states.insert(peer, agreed.peek().map_err(corrupt)?)),
            Record::Held(peer, _, receipt) => {
                held.entry(peer)
                    .or_default()
                    .push(receipt.peek().map_err(corrupt)?);
            }
            Record::Given(peer, _, receipt) => {
                given_to
                    .entry(peer)
                    .or_default()
                    .push(receipt.peek().map_err(corrupt)?);
            }
            _ => {}
        }
    }
    for peer in held.keys().chain(given_to.keys()) {
        states
            .entry(*peer)
            .or_insert_with(|| AccountState::empty(me, *peer));
    }
    let one = |(peer, state): (PeerId, AccountState)| {
        let low = me < peer;
        let (given, taken) = if low {
            (state.by_low, state.by_high)
        } else {
            (state.by_high, state.by_low)
        };
        let sign = if low { -1 } else { 1 };
        // Records come in the order of their epochs.
        let with = |entered: Entered, receipts: Option<&Vec<Receipt>>| {
            let receipts = receipts.into_iter().flatten();
            receipts.fold(entered, |entered, receipt| {
                entered.after(receipt.epoch, receipt.bytes).unwrap_or(entered)
            })
        };
        let now_given = with(given, held.get(&peer));
        let now_taken = with(taken, given_to.get(&peer));
        let more = i128::from(now_given.total - given.total) - i128::from(now_taken.total - taken.total);
        let arrives = state.pending.iter().filter(|p| p.raises == (p.low_owes != low));
        let leaves = state.pending.iter().filter(|p| p.raises == (p.low_owes == low));
        let takes = state.pending.iter().filter(|p| !p.raises && p.low_owes != low);
        Listed {
            peer,
            claim: state.low_owes() * sign + more,
            given: now_given.total,
            taken: now_taken.total,
            shifted: state.shifted.saturating_mul(sign as i64),
            pending: takes.map(|p| p.amount).sum(),
            arriving: arrives.map(|p| p.amount).sum(),
            leaving: leaves.map(|p| p.amount).sum(),
            shifts: state.pending.len(),
            state: state.seq,
        }
    };
    let mut listed: Vec<_> = states.into_iter().map(one).collect();
    listed.sort_by_key(|account| (std::cmp::Reverse(account.claim), account.peer));
    Ok(listed)
}
