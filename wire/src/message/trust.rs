//! Messages about trust. What is said in them, and what it means, is in [`crate::trust`]; a statement that goes over the wire by
//! itself is its own message.

use serde::{Deserialize, Serialize};

use super::{Message, Referral};
use crate::trust::{
    AccountState, FraudProof, MAX_TOLD, MAX_WALK, Note, Receipt, ShiftId, TrustEdge, TrustMessage,
};
use crate::{Cosigned, List, Signed};

pub use crate::trust::{AccountProposal, ShiftPrepare};

/// The consumer's receipt; from a provider, the consumer's own, which it may have forgotten.
pub type ReceiptSigned = Signed<Receipt>;

/// The newest state of an account that both have signed: agrees to a proposal, or brings the other up to date.
pub type AccountAgreed = Cosigned<AccountState>;

/// The peer that does not propose does not sign the state with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountDecline {
    /// The number.
    pub seq: u64,
    /// The sender signs only above this.
    pub floor: u64,
}

/// The sender takes no further part in a shift unless it is committed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftAbort {
    /// The shift.
    pub id: ShiftId,
}

/// A debtor gives its word that it will not show the note: the entry can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftRelease {
    /// The shift.
    pub id: ShiftId,
}

/// Commits: every account with an entry of this shift settles.
pub type ShiftNote = Signed<Note>;

/// The peer of an account with the lower id asks the other to sign an advert too.
pub type EdgeOffer = Signed<TrustEdge>;

/// Both have signed the advert.
pub type EdgeAgreed = Cosigned<TrustEdge>;

/// A walk arrives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustWalk {
    /// The edges of its way, the last one from the sender to the receiver.
    pub edges: List<Cosigned<TrustEdge>, MAX_WALK>,
}

/// Asks for the receiver's own edges, without waiting for a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgesAsked {
    /// Whom it owes; else who owes it.
    pub owed: bool,
}

/// Answers with the greatest of them, to peers that are connected to the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgesTold {
    /// The edges.
    pub edges: List<Cosigned<TrustEdge>, MAX_TOLD>,
    /// Where those others can be reached.
    pub at: List<Referral, MAX_TOLD>,
}

/// Somebody signed two things that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fraud {
    /// Both of them.
    pub proof: FraudProof,
}

impl From<TrustMessage> for Message {
    fn from(message: TrustMessage) -> Message {
        match message {
            TrustMessage::Receipt(receipt) => receipt.into(),
            TrustMessage::Propose(proposal) => proposal.into(),
            TrustMessage::Decline { seq, floor } => AccountDecline { seq, floor }.into(),
            TrustMessage::Account(state) => state.into(),
            TrustMessage::Prepare(prepare) => prepare.into(),
            TrustMessage::Abort(id) => ShiftAbort { id }.into(),
            TrustMessage::Release(id) => ShiftRelease { id }.into(),
            TrustMessage::Note(note) => note.into(),
            TrustMessage::Advertise(edge) => edge.into(),
            TrustMessage::Advertised(edge) => edge.into(),
            TrustMessage::Walk(edges) => TrustWalk { edges }.into(),
            TrustMessage::AskEdges { owed } => EdgesAsked { owed }.into(),
            TrustMessage::TellEdges(edges) => EdgesTold {
                edges,
                at: List::default(),
            }
            .into(),
            TrustMessage::Fraud(proof) => Fraud { proof }.into(),
        }
    }
}

impl TryFrom<Message> for TrustMessage {
    /// The message, which is about something else.
    type Error = Message;

    fn try_from(message: Message) -> Result<TrustMessage, Message> {
        Ok(match message {
            Message::ReceiptSigned(receipt) => TrustMessage::Receipt(receipt),
            Message::AccountProposal(proposal) => TrustMessage::Propose(proposal),
            Message::AccountDecline(AccountDecline { seq, floor }) => TrustMessage::Decline { seq, floor },
            Message::AccountAgreed(state) => TrustMessage::Account(state),
            Message::ShiftPrepare(prepare) => TrustMessage::Prepare(prepare),
            Message::ShiftAbort(ShiftAbort { id }) => TrustMessage::Abort(id),
            Message::ShiftRelease(ShiftRelease { id }) => TrustMessage::Release(id),
            Message::ShiftNote(note) => TrustMessage::Note(note),
            Message::EdgeOffer(edge) => TrustMessage::Advertise(edge),
            Message::EdgeAgreed(edge) => TrustMessage::Advertised(edge),
            Message::TrustWalk(walk) => TrustMessage::Walk(walk.edges),
            Message::EdgesAsked(EdgesAsked { owed }) => TrustMessage::AskEdges { owed },
            Message::EdgesTold(told) => TrustMessage::TellEdges(told.edges),
            Message::Fraud(fraud) => TrustMessage::Fraud(fraud.proof),
            other => return Err(other),
        })
    }
}

impl Message {
    /// Whether it is about trust. Such a message may stand for something that must be written before it leaves.
    pub fn is_trust(&self) -> bool {
        (FIRST_TRUST..=LAST_TRUST).contains(&self.code())
    }
}

const FIRST_TRUST: u8 = 70;
const LAST_TRUST: u8 = 83;
