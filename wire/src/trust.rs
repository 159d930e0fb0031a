//! Statements and messages of trust: receipts, accounts between two peers, adverts, shifts (the paper, §6).
//!
//! `docs/INCENTIVES.md` says what they are for and in which order they come.

mod fraud;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sign::{Cosigned, Domain, Signed, Statement};
use crate::{List, PeerId, StreamId, Time};

pub use fraud::FraudProof;

/// Most peers along a shift: five edges (docs/INCENTIVES.md), the requester first.
pub const MAX_SHIFT_PEERS: usize = 6;
/// Most shifts under way in one account. Each takes some 110 bytes of the state that both sign.
pub const MAX_PENDING: usize = 32;
/// Most edges that a walk collects: its time to live.
pub const MAX_WALK: usize = 5;
/// Most edges told at once: as many as a viewer of sixteen substreams has suppliers.
pub const MAX_TOLD: usize = 16;
/// Most pieces of evidence of one kind with a proposal.
pub const MAX_EVIDENCE: usize = 8;

/// Names a shift: the hash of its order, so that nobody can use it for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShiftId(#[serde(with = "crate::bytes32")] pub [u8; 32]);

impl fmt::Debug for ShiftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ShiftId({:02x}{:02x}{:02x}{:02x})",
            self.0[0], self.0[1], self.0[2], self.0[3]
        )
    }
}

/// A consumer's word on what a provider has given it, cumulative, so that a lost one is made good by the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Who received, and signs.
    #[serde(rename = "c")]
    pub consumer: PeerId,
    /// Who gave.
    #[serde(rename = "p")]
    pub provider: PeerId,
    /// The stream that `in_stream` is about.
    #[serde(rename = "t")]
    pub stream: StreamId,
    /// The consumer's epoch: greater after each start, when counting begins anew.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Greater in each receipt of this epoch to this provider.
    #[serde(rename = "q")]
    pub seq: u64,
    /// Bytes of payload in this epoch, over all streams.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// Those of them in `stream`.
    #[serde(rename = "i")]
    pub in_stream: u64,
}

impl Statement for Receipt {
    const DOMAIN: Domain = Domain::RECEIPT;
}

/// How far one side's receipts are entered in an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entered {
    /// The epoch of the newest receipt entered.
    #[serde(rename = "e")]
    pub epoch: u64,
    /// Its bytes.
    #[serde(rename = "b")]
    pub bytes: u64,
    /// Bytes over all epochs.
    #[serde(rename = "t")]
    pub total: u64,
}

impl Entered {
    /// After entering a receipt; `None` if it is older than what is entered, or no number holds the sum.
    pub fn after(self, epoch: u64, bytes: u64) -> Option<Entered> {
        let more = if epoch == self.epoch {
            bytes.checked_sub(self.bytes)?
        } else if epoch > self.epoch {
            bytes
        } else {
            return None;
        };
        let total = self.total.checked_add(more)?;
        Some(Entered { epoch, bytes, total })
    }
}

/// A shift under way in an account: if the note is shown, the balance moves by `amount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The shift.
    #[serde(rename = "i")]
    pub id: ShiftId,
    /// Bytes.
    #[serde(rename = "a")]
    pub amount: u64,
    /// Whether the peer with the lower id is the debtor here.
    #[serde(rename = "l")]
    pub low_owes: bool,
    /// Whether the debt rises: true between the requester and its new debtor, false along the path.
    #[serde(rename = "r")]
    pub raises: bool,
    /// Who signs the note.
    #[serde(rename = "n")]
    pub signer: PeerId,
    /// Edges from the creditor here to the signer along the path; 0 where the debt rises.
    #[serde(rename = "h")]
    pub hops: u8,
    /// The number of the account's state when the shift was ordered; 0 along the path.
    #[serde(rename = "s")]
    pub base: u64,
}

impl Pending {
    /// What settling adds to what the lower peer owes the higher one.
    pub fn effect(&self) -> i128 {
        let amount = i128::from(self.amount);
        if self.low_owes == self.raises {
            amount
        } else {
            -amount
        }
    }
}

/// The account between two peers as both sign it. The lower of the two ids proposes, so no two states compete for a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// The lower id.
    #[serde(rename = "l")]
    pub low: PeerId,
    /// The higher id.
    #[serde(rename = "h")]
    pub high: PeerId,
    /// Greater than in the state before; numbers may be left out.
    #[serde(rename = "q")]
    pub seq: u64,
    /// What the lower one gave.
    #[serde(rename = "x")]
    pub by_low: Entered,
    /// What the higher one gave.
    #[serde(rename = "y")]
    pub by_high: Entered,
    /// What shifts added to what the lower one owes, less what they took from it.
    #[serde(rename = "f")]
    pub shifted: i64,
    /// The number of the last state in which an entry that raises a debt went. No entry of an order from before it comes in, so
    /// a note raises a debt once.
    #[serde(rename = "c")]
    pub closed: u64,
    /// Shifts under way.
    #[serde(rename = "p")]
    pub pending: List<Pending, MAX_PENDING>,
    /// The hash of the state before; zeros in the first.
    #[serde(rename = "v", with = "crate::bytes32")]
    pub previous: [u8; 32],
}

impl Statement for AccountState {
    const DOMAIN: Domain = Domain::ACCOUNT;
}

impl AccountState {
    /// The account of two peers that have never met, before its first state.
    pub fn empty(one: PeerId, other: PeerId) -> Self {
        AccountState {
            low: one.min(other),
            high: one.max(other),
            seq: 0,
            by_low: Entered::default(),
            by_high: Entered::default(),
            shifted: 0,
            closed: 0,
            pending: List::default(),
            previous: [0; 32],
        }
    }

    /// What the lower peer owes the higher one, in bytes; negative if it is the other way round.
    pub fn low_owes(&self) -> i128 {
        i128::from(self.by_high.total) - i128::from(self.by_low.total) + i128::from(self.shifted)
    }

    /// The entry of a shift.
    pub fn pending(&self, id: ShiftId) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.id == id)
    }
}

/// The commit point of a shift: "I owe its requester that much more". The id says to whom. With it every account along the path
/// settles, and there is nothing in it that one peer could take for right and another not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The shift.
    #[serde(rename = "i")]
    pub id: ShiftId,
    /// Who signs and owes.
    #[serde(rename = "d")]
    pub debtor: PeerId,
    /// Bytes.
    #[serde(rename = "a")]
    pub amount: u64,
}

impl Statement for Note {
    const DOMAIN: Domain = Domain::SHIFT_NOTE;
}

/// An advert: that much at least one peer owes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustEdge {
    /// Who owes, and signs first.
    #[serde(rename = "d")]
    pub debtor: PeerId,
    /// To whom; signs second.
    #[serde(rename = "c")]
    pub creditor: PeerId,
    /// The binary logarithm of the debt in bytes, rounded down: enough to plan with, and the account stays private.
    #[serde(rename = "b")]
    pub bucket: u8,
    /// The number of the account's state it was taken from; a later one replaces it.
    #[serde(rename = "q")]
    pub seq: u64,
    /// When it ends, on the debtor's clock in Unix time.
    #[serde(rename = "x")]
    pub expires: Time,
}

impl Statement for TrustEdge {
    const DOMAIN: Domain = Domain::TRUST_EDGE;
}

impl TrustEdge {
    /// Bytes that the debtor owes at least; 0 for a bucket that no balance has.
    pub fn bytes(&self) -> u64 {
        1u64.checked_shl(self.bucket.into()).unwrap_or(0)
    }

    /// The bucket of a debt; `None` if there is none.
    pub fn bucket_of(debt: i128) -> Option<u8> {
        let debt = u64::try_from(debt.min(i128::from(u64::MAX))).ok()?;
        debt.checked_ilog2().map(|log| log as u8)
    }
}

/// What is to be shifted along which path. Each peer but the last has a claim on the next one; in the end the first one has a
/// claim on the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftOrder {
    /// The requester, those between, the new debtor.
    #[serde(rename = "p")]
    pub path: List<PeerId, MAX_SHIFT_PEERS>,
    /// Bytes.
    #[serde(rename = "a")]
    pub amount: u64,
    /// The number of the newest state between the first and the last.
    #[serde(rename = "b")]
    pub base: u64,
    /// Makes orders of the same peers differ.
    #[serde(rename = "n")]
    pub nonce: u64,
}

impl ShiftOrder {
    /// Its name.
    pub fn id(&self) -> ShiftId {
        let hash = blake3::Hasher::new_derive_key("headwater 1 shift order")
            .update(&crate::codec::to_msgpack(self))
            .finalize();
        ShiftId(hash.into())
    }
}

/// A creditor asks its debtor to take part in a shift; the time in milliseconds is what is left for it there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftPrepare {
    /// The shift.
    #[serde(rename = "o")]
    pub order: ShiftOrder,
    /// After this it must not be committed.
    #[serde(rename = "l")]
    pub left_ms: u16,
}

/// The lower peer of an account proposes its next state, with the evidence for what the other has not signed itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountProposal {
    /// The state, signed by the lower peer.
    pub state: Signed<AccountState>,
    /// The other's receipts that are entered.
    pub receipts: List<Signed<Receipt>, MAX_EVIDENCE>,
    /// Notes of shifts that are settled.
    pub notes: List<Signed<Note>, MAX_EVIDENCE>,
    /// Orders of shifts that are new and that the other is to take part in.
    pub orders: List<ShiftPrepare, MAX_EVIDENCE>,
}

/// What peers say to each other about trust. On the wire each is a [`Message`](crate::Message) of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum TrustMessage {
    /// The consumer's receipt; from a provider, the consumer's own, which it may have forgotten.
    Receipt(Signed<Receipt>),
    /// See [`AccountProposal`].
    Propose(AccountProposal),
    /// The higher peer does not sign the state with this number.
    Decline {
        /// The number.
        seq: u64,
        /// The higher peer signs only above this.
        floor: u64,
    },
    /// The newest state that both have signed: agrees to a proposal, or brings the other up to date.
    Account(Cosigned<AccountState>),
    /// A creditor asks a debtor with the lower id, who proposes, to take part in a shift.
    Prepare(ShiftPrepare),
    /// The sender takes no further part in a shift unless it is committed already.
    Abort(ShiftId),
    /// A debtor gives its word that it will not show the note: the entry can go.
    Release(ShiftId),
    /// Commits: every account with an entry of this shift settles.
    Note(Signed<Note>),
    /// The debtor or creditor with the lower id asks the other to sign an advert too.
    Advertise(Signed<TrustEdge>),
    /// Both have signed.
    Advertised(Cosigned<TrustEdge>),
    /// A walk arrives: the edges of its way, the last one from the sender to the receiver.
    Walk(List<Cosigned<TrustEdge>, MAX_WALK>),
    /// Asks whom the receiver owes, or who owes it.
    AskEdges {
        /// Whom it owes; else who owes it.
        owed: bool,
    },
    /// The answer.
    TellEdges(List<Cosigned<TrustEdge>, MAX_TOLD>),
    /// Somebody signed two things that exclude each other.
    Fraud(FraudProof),
}

#[cfg(test)]
mod tests;
