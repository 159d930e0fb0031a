//! How many of those who dial a peercaster are answered.
//!
//! Everybody who comes by its link dials it first. Each costs its uplink a handshake, an answer and promises, and all of that goes
//! before the stream: ten thousand who came within 20 s left nothing of it for a single chunk (docs/results/settings.md).

use std::time::Duration;

use super::Node;
use crate::Allowance;
use crate::io::{Outbox, Output};
use crate::uplink::ACCEPT_BYTES;

/// Share of the peercaster's uplink that its part of handshakes may take. What follows on each takes two and a half times as much
/// again (docs/results/swarm.md, "How soon a crowd could start"): so half of the uplink is left to the stream. With 0.1 a crowd waits longer to come in, with
/// 0.2 all chunks are later (docs/results/settings.md, "The number of viewers").
const SHARE: f64 = 0.15;

/// Dials answered at once, after a pause: as many as take so long of the link, and no more than [`MOST_AT_ONCE`], which is a room full of
/// viewers who were sent the same link.
const BURST: Duration = Duration::from_millis(250);
const LEAST_AT_ONCE: u64 = 8;
const MOST_AT_ONCE: u64 = 64;

/// However little uplink there is, somebody is answered each second.
const LONGEST: Duration = Duration::from_secs(1);

impl Node {
    /// Tells the driver how many of those who dial it should answer, when that is another number than before.
    pub(super) fn limit_strangers(&mut self, out: &mut Outbox) {
        let publishes = self.streams.iter().any(|stream| stream.source.is_some());
        let rate = self.uplink.rate();
        let in_a_burst = rate.bytes_in(BURST) / ACCEPT_BYTES;
        let allowance = publishes.then(|| Allowance {
            every: rate.scaled(SHARE).time_for(ACCEPT_BYTES).min(LONGEST),
            at_once: in_a_burst.clamp(LEAST_AT_ONCE, MOST_AT_ONCE) as u32,
        });
        if self.strangers != allowance {
            self.strangers = allowance;
            out.push(Output::Strangers(allowance));
        }
    }
}

#[cfg(test)]
#[path = "strangers_tests.rs"]
mod tests;
