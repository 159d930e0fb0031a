//! Proofs that somebody signed a contradiction: whose are kept, and who is told.
//!
//! A key costs nothing, and neither does a contradiction signed with it, so proofs about strangers are worth little and there may be
//! any number of them. What is proven about those with whom there is an account or a connection is always taken and kept; about
//! others so many, and of each neighbour no more than it has an allowance for. With whom there is an account is in the ledger. A proof goes on only to whom it may concern.

use std::collections::BTreeMap;
use std::time::Duration;

use wire::trust::{FraudProof, TrustMessage};
use wire::{PeerId, Time};

use super::state::Peer;
use super::walks::OwnEdge;
use super::{Event, Fault, Output, Trust, fault, records};
use crate::allowance::Rate;
use crate::store::Store;

/// Strangers that are remembered to have signed contradictions: half of what a view tells of. 50 kilobytes.
const MAX_STRANGERS: usize = 1024;

/// Proofs about strangers that a neighbour may pass on. Contradictions never happen by accident, so an honest one has none for hours;
/// each costs the check of two signatures, and half a kilobyte for each neighbour that is told.
const PROOFS: Rate = Rate {
    burst: 16,
    every: Duration::from_secs(30),
};

/// Peers without an account that were proven to contradict themselves. When there are too many, those go first with whom there
/// never was an account and of whom no advert told, of these the oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct Strangers {
    /// With what decides who goes: whether this peer knew of it, and a running number.
    by: BTreeMap<PeerId, (bool, u64)>,
    next: u64,
}

impl Strangers {
    fn insert(&mut self, peer: PeerId, known: bool) {
        self.by.insert(peer, (known, self.next));
        self.next += 1;
        if self.by.len() > MAX_STRANGERS {
            let least = self.by.iter().min_by_key(|(_, place)| **place);
            let least = least.map(|(peer, _)| *peer);
            least.map(|peer| self.by.remove(&peer));
        }
    }

    /// Takes out a peer; whether it was there.
    pub(super) fn remove(&mut self, peer: PeerId) -> bool {
        self.by.remove(&peer).is_some()
    }
}

impl<S: Store> Trust<S> {
    /// Whether a peer was proven to contradict itself.
    pub fn is_condemned(&self, peer: PeerId) -> bool {
        match self.peers.get(&peer) {
            Some(known) => known.condemned,
            None => self.strangers.by.contains_key(&peer),
        }
    }

    /// How many peers are remembered to have contradicted themselves, those without an account among them.
    pub fn condemned(&self) -> usize {
        self.strangers.by.len() + self.peers.values().filter(|peer| peer.condemned).count()
    }

    pub(super) fn on_fraud(&mut self, now: Time, from: PeerId, proof: FraudProof) -> Result<(), Fault> {
        let accused = proof.accused();
        if self.is_condemned(accused) {
            return Ok(());
        }
        let concerns = accused == self.me || self.peers.contains_key(&accused);
        let may = |peer: &mut Box<Peer>| peer.proofs.take(now, PROOFS);
        if !concerns && !self.peers.get_mut(&from).is_some_and(may) {
            return Err(Fault::TooMuch);
        }
        proof.check().map_err(fault)?;
        self.condemn(now, Some(from), proof);
        Ok(())
    }

    /// Shuns who signed a contradiction, and tells the neighbours if they may have to do with it: because this peer has, or has heard
    /// an advert about it. The proof has been checked, and came from `from` if this peer did not find it itself.
    pub(super) fn condemn(&mut self, now: Time, from: Option<PeerId>, proof: FraudProof) {
        let accused = proof.accused();
        if accused == self.me || self.is_condemned(accused) {
            return;
        }
        let known = self.view.tells_of(accused);
        let concerns = match self.peers.get_mut(&accused) {
            Some(peer) => {
                peer.condemned = true;
                // It is advertised no more.
                peer.edge = OwnEdge::default();
                if !peer.is_blank() {
                    peer.proof = Some(Box::new(proof.clone()));
                    self.write_soon(now, records::fraud(accused, Some(&proof)));
                }
                true
            }
            None => {
                self.strangers.insert(accused, known);
                known
            }
        };
        self.view.remove_peer(accused);
        let neighbours: Vec<_> = self.present.iter().copied().collect();
        for to in neighbours {
            if concerns && Some(to) != from {
                self.send(to, TrustMessage::Fraud(proof.clone()));
            }
        }
        self.out.push(Output::Event(Event::Fraud(proof)));
    }

    /// Keeps what was proven about a peer whose account is forgotten.
    pub(super) fn remember(&mut self, id: PeerId, peer: &Peer) {
        if peer.condemned {
            self.strangers.insert(id, !peer.is_blank());
        }
    }
}
