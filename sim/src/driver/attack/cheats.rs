//! What is done to that which an attacker's node wants to send to honest peers, and to what reaches it.

use bytes::Bytes;
use wire::trust::TrustMessage;
use wire::{Message, PeerId, Signed};

use super::super::world::{Event, World, node_key};
use super::Move;
use crate::net::{Letter, Mail};
use crate::scenario::Cheat;
use crate::time::{SECOND, SimTime};

/// Something old is said again after so long: the account has moved on by then.
const AGAIN_NS: u64 = 2 * SECOND;

/// So much later an identity that vanished is back: a shift's ten seconds are over.
const BACK_NS: u64 = 15 * SECOND;

/// What is owed at least before no receipts are given any more: two steps of the rank (`swarm/src/stream/rank.rs`).
const WORTH_KEEPING: u64 = 512 * 1024;

/// What is said once more, to whom.
#[derive(Debug)]
pub(in crate::driver) struct Again {
    from: u32,
    to: u32,
    message: Message,
}

impl World {
    /// Whether an attacker's message goes out; and what else does instead or beside.
    pub(in crate::driver) fn lets_out(&mut self, from: u32, to: &PeerId, message: &Message) -> bool {
        let (Some(at), Some(to)) = (self.region_of(from), self.ids.get(to)) else {
            return true;
        };
        if self.region_of(to).is_some() || !message.is_trust() {
            return true;
        }
        let Some(region) = self.region(at) else {
            return true;
        };
        let cheats = region.params.cheats.clone();
        let gave = region.gave.range((from, 0)..=(from, u32::MAX)).next().is_some();
        cheats
            .into_iter()
            .all(|cheat| self.passes(at, cheat, gave, from, to, message))
    }

    fn passes(&mut self, at: usize, cheat: Cheat, gave: bool, from: u32, to: u32, message: &Message) -> bool {
        match cheat {
            Cheat::Replay => {
                self.later(AGAIN_NS, from, to, message.clone());
                true
            }
            Cheat::Equivocation => {
                if !gave && let Some(other) = self.contradiction(from, message) {
                    self.later(0, from, to, other);
                }
                true
            }
            Cheat::NoReceipts => {
                let tells = matches!(message, Message::ReceiptSigned(_) | Message::AccountProposal(_));
                if !tells {
                    return true;
                }
                let worth = self.owes(to, self.ids.of(from)) >= WORTH_KEEPING;
                let Some(region) = self.region(at) else {
                    return true;
                };
                if worth {
                    region.silent.insert((from, to));
                }
                !region.silent.contains(&(from, to))
            }
            Cheat::NoNotes => !matches!(message, Message::ShiftNote(_)),
            Cheat::Vanishing => {
                let orders = match message {
                    Message::ShiftPrepare(_) => true,
                    Message::AccountProposal(proposal) => !proposal.orders.is_empty(),
                    _ => false,
                };
                let now = self.now;
                if orders
                    && !gave
                    && let Some(region) = self.region(at)
                    && region.vanished.insert(from)
                {
                    self.queue.push(now, Event::Attack(Move::Vanish(from)));
                }
                true
            }
            Cheat::EmptySlots | Cheat::Unsettled => true,
        }
    }

    /// Whether an attacker's node is told what reaches it.
    pub(in crate::driver) fn lets_in(&mut self, to: u32, message: &Message) -> bool {
        let settles = match message {
            Message::ShiftNote(_) => true,
            Message::AccountProposal(proposal) => !proposal.notes.is_empty(),
            _ => false,
        };
        let Some(at) = self.region_of(to).filter(|_| settles) else {
            return true;
        };
        self.region(at).is_none_or(|region| {
            let gave = region.gave.range((to, 0)..=(to, u32::MAX)).next().is_some();
            !(gave && region.params.cheats.contains(&Cheat::Unsettled))
        })
    }

    /// Whether an attacker's copy of a chunk goes out.
    pub(in crate::driver) fn lets_chunk_out(&mut self, from: u32, to: &PeerId) -> bool {
        let (Some(at), Some(to)) = (self.region_of(from), self.ids.get(to)) else {
            return true;
        };
        let honest = self.region_of(to).is_none();
        let joined = self.peers[from as usize].spec.joins;
        let empty = self
            .region(at)
            .is_some_and(|region| region.params.cheats.contains(&Cheat::EmptySlots));
        // As a donor of the other stream it gave.
        !(empty && honest && self.now >= joined)
    }

    fn later(&mut self, after_ns: u64, from: u32, to: u32, message: Message) {
        let again = Box::new(Again { from, to, message });
        let at: SimTime = self.now.plus(after_ns);
        self.queue.push(at, Event::Attack(Move::Again(again)));
    }

    /// A receipt that says less under the same number.
    fn contradiction(&self, from: u32, message: &Message) -> Option<Message> {
        let Message::ReceiptSigned(signed) = message else {
            return None;
        };
        let mut receipt = signed.peek().ok()?;
        if receipt.consumer != self.ids.of(from) {
            return None;
        }
        receipt.bytes /= 2;
        receipt.in_stream = receipt.in_stream.min(receipt.bytes);
        let key = node_key(&self.peers[from as usize].spec.secret);
        Some(TrustMessage::Receipt(Signed::new(&receipt, &key)).into())
    }

    pub(super) fn say_again(&mut self, again: Again) {
        let Again { from, to, message } = again;
        if self.peers[from as usize].node.is_none() || !self.net.is_open(from, to) {
            return;
        }
        let frame = Bytes::from(wire::codec::encode(&message));
        let mail = Mail {
            bytes: frame.len() as u64,
            letter: Letter::Message(Box::new(message)),
            frame,
        };
        self.post(from, to, mail);
        self.schedule();
    }

    /// An identity is gone without a word, and comes back with its ledger.
    pub(super) fn vanish(&mut self, number: u32) {
        if self.peers[number as usize].node.is_none() {
            return;
        }
        self.gone(number, true);
        self.queue.push(self.now.plus(BACK_NS), Event::Join(number));
    }
}
