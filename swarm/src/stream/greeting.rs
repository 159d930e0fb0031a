//! The greeting: whom a newcomer may dial before the tracker has answered it.
//!
//! A handshake takes a round trip, the tracker's answer another, and the connections to those named a third. The greeting
//! comes along with the first, so the second and the third pass at the same time.

use std::time::Duration;

use bytes::Bytes;
use wire::message::{self, MAX_GREETED};
use wire::{Message, PeerId, Time, codec};

use super::candidates::DIALS_AT_ONCE;
use super::seats::SMALL_SWARM;
use super::tracking::BUSY_TRACKER;
use super::{Ctx, Stream};
use crate::io::Output;

/// The greeting is made anew this often: in a crowd, a tenth of a second brings some newcomers.
const GREETING_EVERY: Duration = Duration::from_millis(100);

/// What the host of a tracker says to whoever dials it.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    frame: Option<Bytes>,
    next: Time,
}

impl Stream {
    /// Makes the greeting anew, and hands it to the driver if it has changed.
    pub(super) fn renew_greeting(&mut self, ctx: &mut Ctx<'_>) {
        let stream = self.id;
        let Some(tracking) = &mut self.tracking else {
            return;
        };
        if tracking.greeting.next > ctx.now {
            return;
        }
        tracking.greeting.next = ctx.now + GREETING_EVERY;
        // In a crowd it would send everybody to the same few, and take the peercaster's uplink from the stream.
        let small = tracking.everybody() <= SMALL_SWARM as usize;
        let peers = if small && ctx.uplink.control_share(ctx.now) <= BUSY_TRACKER {
            tracking.tracker.foresee(MAX_GREETED)
        } else {
            Vec::new()
        };
        let message = (!peers.is_empty()).then(|| {
            let peers = peers.into_iter().collect();
            Message::from(message::Greeting { stream, peers })
        });
        let frame: Option<Bytes> = message.as_ref().map(|message| codec::encode(message).into());
        if frame == tracking.greeting.frame {
            return;
        }
        tracking.greeting.frame.clone_from(&frame);
        let greeting = message.map(Box::new).zip(frame);
        ctx.out.push(Output::Greeting { stream, greeting });
    }

    /// There is no tracker here any more.
    pub(super) fn end_greeting(&self, ctx: &mut Ctx<'_>) {
        let stream = self.id;
        ctx.out.push(Output::Greeting {
            stream,
            greeting: None,
        });
    }

    /// The tracker's host named peers along with its handshake.
    pub(crate) fn on_greeting(&mut self, ctx: &mut Ctx<'_>, from: PeerId, greeting: message::Greeting) {
        if self.membership.tracker != Some(from) || self.membership.answered || self.source.is_some() {
            return;
        }
        let most = DIALS_AT_ONCE.saturating_sub(self.dialling(ctx));
        for record in greeting.peers.into_iter().take(most) {
            let peer = record.peer;
            if peer == ctx.config.peer || ctx.neighbours.contains(&peer) || !self.bears_dial(ctx) {
                continue;
            }
            let addrs = record.addrs.to_vec();
            self.hear(ctx.now, peer, addrs).record = Some(Box::new(record));
            self.dial(ctx, peer);
        }
    }
}

#[cfg(test)]
#[path = "greeting_tests.rs"]
mod tests;
