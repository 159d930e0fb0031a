//! What a joiner asks along with its first packet: where the tracker holds slots for it, for those, and who has something to spare, for
//! the past. So the first chunk is here after one round trip to its supplier instead of two.

use wire::{Message, PeerId, SubstreamSet};

use super::{Ctx, Stream};

impl Stream {
    /// Dials a peer that was heard of.
    pub(super) fn dial_known(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, addrs: Vec<std::net::SocketAddr>) {
        let opening = self.first_asks(ctx, peer);
        ctx.dial(Some(peer), addrs, opening);
    }

    fn first_asks(&mut self, ctx: &mut Ctx<'_>, peer: PeerId) -> Vec<Message> {
        let mut set = SubstreamSet::EMPTY;
        if !self.ended && self.seated_at(peer, ctx.now) {
            self.choose_primaries(ctx);
            set = self.seats_at(peer, ctx.now).and(self.wanted());
        }
        if let Some(known) = self.membership.known.get_mut(&peer) {
            known.asked = set;
        }
        let asks = self.subscriptions(ctx, peer, set);
        let past = self.ask_for_past(ctx, peer);
        let asks = asks.into_iter().map(Message::from);
        asks.chain(past.map(Message::from)).collect()
    }

    /// A connection stands. What was asked with the first packet is under way if that went along, and is asked now if not.
    pub(super) fn note_first_asks(&mut self, ctx: &mut Ctx<'_>, peer: PeerId, opened: bool) {
        if opened {
            self.repair_hasten(ctx, peer);
        } else {
            self.repair_forget(peer);
        }
        let known = self.membership.known.get_mut(&peer);
        let asked = known.map(|known| std::mem::take(&mut known.asked));
        let Some(asked) = asked.filter(|asked| opened && !asked.is_empty()) else {
            return;
        };
        let free = |sub: &super::SubstreamState| sub.parent.is_none();
        let set = asked.iter().filter(|&s| self.sub(s).is_some_and(free)).collect();
        // Where another supplier has agreed, this one's answer is declined when it comes.
        self.note_asked(ctx, peer, set);
    }
}

#[cfg(test)]
#[path = "first_asks_tests.rs"]
mod tests;
