//! The end of a stream at a donor: it plays nothing, so it goes by the peercaster's word and by what its children still take.

use std::time::Duration;

use wire::Chunk;

use super::{Ctx, Stream};
use crate::io::{Event, Output};

/// Viewers play to the end behind the head by some seconds at most, and lose nobody who supplies them until then.
const STAYS: Duration = Duration::from_secs(5);

/// Who has no child left goes sooner, but not before a child that has lost its own supplier has had time to ask.
const STAYS_ALONE: Duration = Duration::from_secs(1);

impl Stream {
    /// The peercaster says with this chunk that nothing follows.
    pub(super) fn note_end(&mut self, ctx: &Ctx<'_>, chunk: &Chunk) {
        if chunk.header().flags.end && self.playout.is_none() {
            self.over_since.get_or_insert(ctx.now);
        }
    }

    /// Ends carrying a stream that is over.
    pub(super) fn end_carrying(&mut self, ctx: &mut Ctx<'_>) {
        let stays = if self.slots_used() == 0 {
            STAYS_ALONE
        } else {
            STAYS
        };
        let over = self.over_since.is_some_and(|at| ctx.now.since(at) >= stays);
        if over && !self.ended {
            self.ended = true;
            ctx.out.push(Output::Event(Event::Ended { stream: self.id }));
        }
    }
}
