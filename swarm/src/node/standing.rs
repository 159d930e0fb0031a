//! What misbehaviour leads to: standing falls, and at its end the peer is shut out.

use std::time::Duration;

use incentives::{Offence, Verdict};
use wire::message::ByeReason;
use wire::{PeerId, Time};

use super::Node;
use crate::io::{Event, Outbox, Output, Rejection};

/// Peers whose bad standing is remembered: many times the neighbours a node ever has at once, at 80 bytes each.
pub(super) const MAX_STANDINGS: usize = 1024;

/// Accounts kept, one for each peer and stream, at 120 bytes each.
pub(super) const MAX_ACCOUNTS: usize = 4096;

/// Subscriptions that a neighbour may send in the long run are this far apart: a joiner whose every request is refused
/// asks one supplier for all its substreams some three times a second. Each answer takes from the uplink what children
/// would get, so this is less than the transport lets through.
const SUBSCRIBE_EVERY: Duration = Duration::from_millis(50);

/// ...and so many may come at once: one for each of the most substreams there can be.
const SUBSCRIBE_BURST: u32 = 64;

/// What is beyond is told apart from an accident by lasting: one offence in this time, as the transport reports floods.
const FLOOD_EVERY: Duration = Duration::from_millis(100);

impl From<Rejection> for Offence {
    fn from(why: Rejection) -> Offence {
        match why {
            Rejection::Signature(_) => Offence::WrongSignature,
            Rejection::Malformed => Offence::Malformed,
            Rejection::Flood => Offence::Flood,
        }
    }
}

impl Node {
    /// Counts an offence of a connected peer.
    pub(super) fn penalise(&mut self, now: Time, peer: PeerId, offence: Offence) {
        let connected = self.neighbours.contains(&peer);
        if connected && self.standings.penalise(now, peer, offence) == Verdict::Ban {
            self.banned.push((peer, offence));
        }
    }

    /// Closes the connections of those whose standing is used up.
    pub(super) fn shut_out(&mut self, now: Time, out: &mut Outbox) {
        while let Some((peer, offence)) = self.banned.pop() {
            // It may have done two things at once.
            if !self.neighbours.contains(&peer) {
                continue;
            }
            self.send_away(now, peer, ByeReason::Misbehaved, out);
            out.push(Output::Event(Event::Banned { peer, offence }));
        }
    }

    /// Whether a neighbour's subscription is looked at: each may cost a whole buffer to be sent. This is the generic cell
    /// rate algorithm, with one instant as its state.
    pub(super) fn admits_subscribe(&mut self, now: Time, from: PeerId) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&from) else {
            return false;
        };
        let ready = neighbour.subscribe_ready.max(now);
        if ready <= now + SUBSCRIBE_EVERY * SUBSCRIBE_BURST {
            neighbour.subscribe_ready = ready + SUBSCRIBE_EVERY;
            return true;
        }
        if neighbour.flood_until <= now {
            neighbour.flood_until = now + FLOOD_EVERY;
            self.penalise(now, from, Offence::Flood);
        }
        false
    }
}
