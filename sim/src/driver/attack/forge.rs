//! Receipts for nothing, and the connections that make use of them.

use swarm::Input;
use wire::Signed;
use wire::trust::{Receipt, TrustMessage};

use super::super::world::{World, node_key};
use crate::net::addr_of;

/// Honest debtors that a donor calls at a time: those who owe it are the region's only way to others.
const CALLS: usize = 8;

/// What a forged receipt says in bytes for each `forged_mb`.
const MB: f64 = 1e6;

impl World {
    /// Has partners connected, and receipts forged between those who are. Those who owe a donor are called, too.
    pub(super) fn forge(&mut self, at: usize) {
        let Some(region) = self.region(at) else { return };
        let (names, params) = (region.names.clone(), region.params.clone());
        let forged = region.forged.clone();
        for (place, &provider) in names.iter().enumerate() {
            // Those before it, the donors first.
            for &consumer in &names[..place.min(params.partners)] {
                if forged.contains(&(consumer, provider)) {
                    continue;
                }
                if self.is_linked(consumer, provider) {
                    self.forge_receipt(at, consumer, provider);
                } else {
                    self.call(provider, consumer);
                }
            }
        }
        for &donor in &names[..params.donors] {
            self.call_debtors(at, donor);
        }
        if params.believed {
            self.make_believe(at, &names);
        }
    }

    fn is_there(&self, number: u32) -> bool {
        self.peers[number as usize].node.is_some()
    }

    /// Whether two who are there are connected, as both know.
    fn is_linked(&self, a: u32, b: u32) -> bool {
        let there = self.is_there(a) && self.is_there(b);
        there && self.net.is_open(a, b) && self.net.is_open(b, a)
    }

    fn call(&mut self, from: u32, to: u32) {
        if self.is_there(from) && self.is_there(to) && !self.net.is_open(from, to) {
            let id = self.ids.of(to);
            self.connect(from, Some(id), &[addr_of(to)], Vec::new());
        }
    }

    /// A donor calls honest peers that owe it.
    fn call_debtors(&mut self, at: usize, donor: u32) {
        let Some(region) = self.region(at) else { return };
        let whom: Vec<u32> = region
            .gave
            .range((donor, 0)..=(donor, u32::MAX))
            .map(|((_, to), _)| *to)
            .collect();
        let far = whom.into_iter().filter(|to| !self.net.is_open(donor, *to));
        for to in far.take(CALLS).collect::<Vec<_>>() {
            self.call(donor, to);
        }
    }

    /// A world without a defence: each honest peer that an identity is connected to takes it for its own word that it was given much.
    fn make_believe(&mut self, at: usize, names: &[u32]) {
        let honest: Vec<u32> = (0..self.peers.len() as u32)
            .filter(|number| self.region_of(*number).is_none())
            .collect();
        for &name in names {
            for &peer in &honest {
                let done = self
                    .region(at)
                    .is_none_or(|region| region.forged.contains(&(peer, name)));
                if !done && self.is_linked(peer, name) {
                    self.forge_receipt(at, peer, name);
                }
            }
        }
    }

    /// Both sides get a receipt of the consumer's that stands for nothing; the consumer, as if it had forgotten it.
    fn forge_receipt(&mut self, at: usize, consumer: u32, provider: u32) {
        let Some(region) = self.region(at) else { return };
        region.forged.insert((consumer, provider));
        let bytes = (region.params.forged_mb * MB) as u64;
        if bytes == 0 {
            return;
        }
        let signer = &self.peers[consumer as usize];
        let epoch = signer.clock.read(self.now).as_micros();
        let receipt = Receipt {
            consumer: self.ids.of(consumer),
            provider: self.ids.of(provider),
            stream: self.stream,
            // Above what it signs by itself in this run.
            epoch,
            seq: 1,
            bytes,
            in_stream: bytes,
        };
        let signed = Signed::new(&receipt, &node_key(&signer.spec.secret));
        for (to, from) in [(provider, consumer), (consumer, provider)] {
            let message = TrustMessage::Receipt(signed.clone()).into();
            // They are in one hand, so it takes no way.
            let from = self.ids.of(from);
            self.input(
                to,
                Input::Message {
                    from,
                    message,
                    bytes: 0,
                },
            );
        }
    }
}
