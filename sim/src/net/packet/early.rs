//! What is said along with a first packet, as in the program (`peer/src/net/link/early.rs`).

use std::sync::Arc;

use bytes::Bytes;
use quic::Heard;
use wire::{Message, Opening, PeerId, SecretKey};

use super::Shared;
use super::control::hello;
use super::link::Link;
use crate::net::{Arrival, Letter};

/// Messages said with a first packet, and their lengths as frames.
pub(super) type Said = Vec<(Box<Message>, u32)>;

/// Listens to one handshake.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) heard: Arc<Heard>,
    pub(super) own: PeerId,
    /// Who lives at the address that the packet came from.
    pub(super) other: PeerId,
}

impl Ear {
    /// What was said, once the first packet is read.
    pub(super) fn said(&self) -> Option<Said> {
        let opening = Opening::unseal(self.heard.opening()?, self.own).ok()?;
        let (_, messages) = opening.read().ok().filter(|_| opening.from == self.other)?;
        let said = messages
            .into_iter()
            .filter_map(|(message, bytes)| Some((Box::new(message.ok()?), bytes as u32)));
        Some(said.collect())
    }
}

/// What goes along with the first packet; `None` if there is nothing to say, or too much.
pub(super) fn seal(key: &SecretKey, own: u32, to: PeerId, messages: &[Bytes]) -> Option<Vec<u8>> {
    if messages.is_empty() {
        return None;
    }
    Opening::seal(
        key,
        Some(to),
        &hello(own, None),
        messages.iter().map(|frame| &frame[..]),
    )
}

/// A connection is ready at `peer`.
pub(super) fn connected(peer: u32, link: &Link) -> Arrival {
    Arrival::Connected {
        peer,
        other: link.other,
        dialled: link.dialled,
        rtt: link.proven.then(|| link.conn.rtt()),
        opened: link.opening_taken,
    }
}

/// The handshake of one is over that was ready before.
pub(super) fn proven(peer: u32, link: &Link) -> Arrival {
    Arrival::Proven {
        peer,
        other: link.other,
        rtt: link.conn.rtt(),
    }
}

/// Hands over what somebody said with its first packet.
pub(super) fn tell(shared: &mut Shared, peer: u32, from: u32, said: &Said) {
    for (message, bytes) in said {
        shared.ether.arrive(Arrival::Letter {
            peer,
            from,
            bytes: *bytes,
            letter: Letter::Message(message.clone()),
        });
    }
}
