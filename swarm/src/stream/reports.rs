//! Reports: the tracker hears between renewals how much room there is.

use std::time::Duration;

use wire::SubstreamSet;
use wire::message::Join;

use super::{Ctx, Stream};

/// Between two messages to the tracker when only the room has changed, in a small swarm; in one of a hundred twice as
/// long, and so on, because the tracker acknowledges every one.
const REPORT_SOONEST: Duration = Duration::from_millis(150);

/// News of room are so many slots more, and a quarter of those known. In the emulator with PlanetLab delays the
/// second slowest of twenty began a quarter of a second sooner than with five and a half, and reports half as often.
const ROOM_CHANGED: u16 = 2;

/// So many substreams more than the tracker knows of can be supplied from here.
const SUPPLY_GREW: u32 = 4;

/// A newcomer's slots are free, and nobody is sent to them until the tracker hears that something flows there. In a crowd of 330 the
/// slots of all who had come within the last second lay idle while others looked for some (docs/results/swarm.md, "What a crowd waits
/// for"): the first of its own substreams is worth a message at once...
const SUPPLY_BEGINS: Duration = Duration::from_millis(40);

/// ...and so are several more soon after.
const SUPPLY_GROWS: Duration = Duration::from_millis(100);

impl Stream {
    /// The tracker is being told of the room here.
    pub(super) fn note_reported(&mut self) {
        self.membership.reported_free = self.free_slots();
        self.membership.reported_has = self.flowing();
    }

    /// Whether the tracker would promise a slot that somebody has taken, or overlook a peer that has room. What it promised
    /// itself it knows of.
    pub(super) fn room_changed(&self) -> bool {
        let (now, believed) = (self.free_slots(), self.membership.reported_free);
        (now > 0 && (self.supply_begins() || self.supply_grew()))
            || now < believed
            || (now > 0 && believed == 0)
            || now.saturating_sub(believed) > (believed / 4).max(ROOM_CHANGED)
    }

    /// Whether one of its own substreams flows, and the tracker does not know of any.
    fn supply_begins(&self) -> bool {
        self.membership.reported_has.is_empty() && !self.flowing().and(self.primaries).is_empty()
    }

    fn supply_grew(&self) -> bool {
        self.flowing().minus(self.membership.reported_has).len() >= SUPPLY_GREW
    }

    /// The first news of room is worth most: until then nobody is sent to a newcomer.
    pub(super) fn report_wait(&self) -> Duration {
        if self.supply_begins() {
            return SUPPLY_BEGINS;
        }
        if self.supply_grew() {
            return SUPPLY_GROWS;
        }
        let crowd = 1.0 + f64::from(self.membership.members) / 100.0;
        let wait = REPORT_SOONEST.mul_f64(crowd);
        if self.membership.reported_free == 0 {
            wait / 2
        } else {
            wait
        }
    }

    /// Tells the tracker how much room there is, without asking for anything.
    pub(super) fn report(&mut self, ctx: &mut Ctx<'_>) {
        if self.membership.tracker.is_none() {
            return;
        }
        self.note_reported();
        self.membership.asked_at = Some(ctx.now);
        let join = Join {
            stream: self.id,
            record: self.own_record(ctx),
            want: 0,
            need: SubstreamSet::EMPTY,
            upload: ctx.uplink.rate(),
            known: None,
            promised: self.membership.promised,
        };
        self.ask_tracker(ctx, join);
    }
}

#[cfg(test)]
#[path = "reports_tests.rs"]
mod tests;
