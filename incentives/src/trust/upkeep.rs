//! What time does to shifts: they are given up, forgotten, and in the end written off.

use std::time::Duration;

use wire::Time;
use wire::trust::{MAX_SHIFT_PEERS, ShiftId};

use super::{Trust, records};
use crate::store::Store;

/// How long, for each edge from here to the end, a debtor may be silent about a shift that may be committed. Whoever is switched off
/// for a night comes back in time; nearer to the requester it is longer, so nobody between loses by it.
pub const KEEP: Duration = Duration::from_secs(8 * 3600);

/// How long a note is insisted on. Longer than anybody waits for it.
const INSIST: Duration = Duration::from_secs(8 * 3600 * (MAX_SHIFT_PEERS as u64 + 1));

/// How long notes that settled everything here, and ids of shifts that are over, are remembered for those who missed it.
const REMEMBER: Duration = Duration::from_secs(600);

/// How often what is past is looked for: all times above are many times longer.
const FORGET_EVERY: Duration = Duration::from_secs(60);

impl<S: Store> Trust<S> {
    /// Gives up what has run out of time.
    pub(crate) fn end_shifts(&mut self, now: Time) {
        let over = self
            .shifts
            .iter()
            .filter(|(_, shift)| !shift.aborted && now >= shift.until);
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.give_up(now, id);
            if let Some(shift) = self.shifts.get_mut(&id) {
                shift.aborted = true;
            }
        }
    }

    fn note_time(&self, id: ShiftId) -> Duration {
        let pending = self.peers.values().any(|peer| peer.pair.possibly_locked(id));
        if pending { INSIST } else { REMEMBER }
    }

    /// Forgets what is past, and writes off entries whose debtor has been silent for too long.
    pub(crate) fn forget(&mut self, now: Time) {
        if now < self.forget_at {
            return;
        }
        self.forget_at = now + FORGET_EVERY;
        self.done.retain(|_, at| now < *at + REMEMBER);
        let over = self
            .notes_since
            .iter()
            .filter(|(id, since)| now >= **since + self.note_time(**id));
        let over: Vec<_> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.notes.remove(&id);
            self.notes_since.remove(&id);
            self.writes.push(records::note(id, None));
            self.advance(now, id);
        }
        let mut silent = Vec::new();
        for (with, peer) in self.peers.iter_mut() {
            let pair = &mut peer.pair;
            for (id, hops) in pair.open_claims() {
                let since = pair.known_since.get(&id);
                if since.is_none_or(|&since| now < since + KEEP * hops.into()) {
                    continue;
                }
                pair.written_off.insert(id);
                silent.push((*with, id));
            }
        }
        for (with, id) in silent {
            self.writes.push(records::written_off(with, id, true));
            self.advance(now, id);
        }
    }
}
