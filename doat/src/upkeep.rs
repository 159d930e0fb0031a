//! What a member does by itself: asks its neighbours how they are, renews its entries, tells what changed, and looks for
//! those it has lost sight of.

use std::time::Duration;

use rand::RngExt;
use wire::message::{MAX_RING_LEVELS, RingNode, Watch};
use wire::{PeerId, Time};

use crate::Way;
use crate::node::{Doat, Outbox, Standing, reply, send};

/// Neighbours are asked this often. A crash of the next member is noticed by that and [`SILENT`] together.
const UPKEEP_EVERY: Duration = Duration::from_millis(1_000);

/// Entries are asked for again this often, though changes are told at once: a lost connection loses its changes.
const REFRESH: Duration = Duration::from_secs(10);

/// Whoever is asked for a sign of life and gives none for so long is gone.
const SILENT: Duration = Duration::from_millis(2_500);

/// The first change is told at once, and then at most this often (the paper's minimum interval)...
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(200);

/// ...or, while there is something new to tell each time, after twice as long each time, up to this: where members come and go all the
/// time each change would be told by itself to a dozen watchers, and by them to theirs.
const TELL_EVERY_MAX: Duration = Duration::from_millis(800);

/// Neighbours that say nothing but that their lists are the same are heard in full this often, one after the other: nobody's
/// mistake lasts. It takes 70 bytes a second.
const RETELL_EVERY: Duration = Duration::from_secs(30);

/// Somebody met long ago is asked who is around here this often, so that rings that came apart find one another.
const HEAL_EVERY: Duration = Duration::from_secs(10);

impl Doat {
    /// When [`Doat::handle_deadline`] has something to do even if no message comes.
    pub fn next_deadline(&self) -> Time {
        let mut next = self.next_upkeep;
        // Who is on its way in tells nobody yet.
        let tells = self.dirty && self.is_member();
        if let Some(at) = self.told_at.filter(|_| tells) {
            next = next.min(at + self.tell_every);
        }
        let retries = [
            self.walks.next_retry(),
            self.seeks.next_retry(),
            self.asked.next_retry(),
        ];
        retries.into_iter().flatten().fold(next, Time::min)
    }

    /// Does what is due.
    pub fn handle_deadline(&mut self, now: Time, out: &mut Outbox) {
        self.ask_others(now, out);
        if self.next_upkeep <= now {
            self.next_upkeep = now + UPKEEP_EVERY.mul_f64(self.rng.random_range(0.8..1.2));
            self.upkeep(now, out);
        }
        self.announce(now, out);
    }

    /// Sets the first round of duties to a moment of its own, so that a crowd does not do them all at once.
    pub(crate) fn schedule(&mut self, now: Time) {
        self.next_upkeep = now + UPKEEP_EVERY.mul_f64(self.rng.random_range(0.2..1.2));
        self.next_heal = now + HEAL_EVERY.mul_f64(self.rng.random_range(0.2..1.2));
    }

    fn upkeep(&mut self, now: Time, out: &mut Outbox) {
        self.walks.expire(now);
        self.seeks.expire(now);
        self.expire_searches(now, out);
        self.dead.retain(|_, until| *until > now);
        self.shunned.retain(|_, until| *until > now);
        if self.standing == Standing::Outside {
            return;
        }
        self.dirty |= self.leases.expire(now);
        for way in Way::BOTH {
            self.dirty |= self.ways[way].expire(now);
        }
        let silent: Vec<PeerId> = self
            .probed
            .iter()
            .filter(|(_, at)| now.since(**at) >= SILENT)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in silent {
            self.lose(now, peer, out);
        }
        let mute: Vec<PeerId> = Way::BOTH
            .into_iter()
            .flat_map(|way| self.ways[way].entries())
            .filter(|entry| entry.asked_at.is_some_and(|at| now.since(at) >= SILENT))
            .map(|entry| entry.finger.peer)
            .collect();
        for peer in mute {
            self.lose(now, peer, out);
        }
        // Fingers that stayed for a while may give way now.
        self.rechoose(now);
        if self.standing == Standing::Member {
            self.ask_neighbours(now, out);
            self.ask_entries(now, REFRESH, out);
            for way in Way::BOTH {
                let unfit = |peer: PeerId| self.is_unfit(peer);
                let broken = self.ways[way].breaks_off_at(&self.ring, way, unfit);
                // Each level waits for the one below: together they would take minutes at the usual pace.
                if let Some(level) = broken {
                    self.ask_entry(now, way, level, out);
                }
            }
        }
        let lost = self.standing == Standing::Joining && self.probed.is_empty();
        if self.next_heal <= now || lost {
            self.next_heal = now + HEAL_EVERY.mul_f64(self.rng.random_range(0.8..1.2));
            self.heal(now, out);
        }
    }

    /// The next members in both directions, and one of the others in the lists.
    fn ask_neighbours(&mut self, now: Time, out: &mut Outbox) {
        let mut asked: Vec<RingNode> = Way::BOTH
            .into_iter()
            .filter_map(|way| self.ring.next(way).cloned())
            .collect();
        let others: Vec<&RingNode> = Way::BOTH
            .into_iter()
            .flat_map(|way| self.ring.list(way))
            .collect();
        if !others.is_empty() {
            let any = others[self.rng.random_range(0..others.len())].clone();
            if self.next_retell <= now {
                self.next_retell = now + RETELL_EVERY.mul_f64(self.rng.random_range(0.8..1.2));
                self.forget_news(any.peer);
            }
            asked.push(any);
        }
        asked.dedup_by_key(|node| node.peer);
        for node in asked {
            self.probe(now, &node, out);
        }
    }

    /// Asks for entries that are new, or were not asked for since `every`.
    fn ask_entries(&mut self, now: Time, every: Duration, out: &mut Outbox) {
        for way in Way::BOTH {
            for level in 0..usize::from(MAX_RING_LEVELS) {
                let Some(entry) = self.ways[way].entries().get(level) else {
                    break;
                };
                let due = entry.renewed_at.is_none_or(|at| now.since(at) >= every);
                let new = entry.asked_at.is_none() && self.ways[way].state(level).is_none();
                if due || new {
                    self.ask_entry(now, way, level, out);
                }
            }
        }
    }

    /// Asks the finger of an entry for its filter and its own finger.
    pub(crate) fn ask_entry(&mut self, now: Time, way: Way, level: usize, out: &mut Outbox) {
        let have = self.ways[way].state(level);
        let Some(entry) = self.ways[way].entry_mut(level) else {
            return;
        };
        entry.asked_at.get_or_insert(now);
        entry.renewed_at = Some(now);
        let (finger, next) = (entry.finger.clone(), entry.next_tag());
        send(
            out,
            &finger,
            Watch {
                up: way.is_up(),
                level: level as u8,
                have,
                finger: next,
            },
        );
    }

    /// Asks for new entries, and tells those who watch what changed, if it is time.
    pub(crate) fn announce(&mut self, now: Time, out: &mut Outbox) {
        if self.standing != Standing::Member {
            return;
        }
        self.ask_entries(now, Duration::MAX, out);
        if !self.dirty || self.told_at.is_some_and(|at| now.since(at) < self.tell_every) {
            return;
        }
        self.dirty = false;
        let local = self.leases.filter().clone();
        let mut told = false;
        for way in Way::BOTH {
            for (to, message) in self.ways[way].update(self.epoch, &local, way) {
                told = true;
                reply(out, to, message);
            }
        }
        if told {
            let busy = self.told_at.is_some_and(|at| now.since(at) < 2 * self.tell_every);
            self.tell_every = if busy {
                (2 * self.tell_every).min(TELL_EVERY_MAX)
            } else {
                TELL_EVERY
            };
            self.told_at = Some(now);
        }
    }

    /// Asks somebody who is not near, and may not have been heard of for long, who is around here: a ring that came apart
    /// closes again, and who has not got in tries again.
    fn heal(&mut self, now: Time, out: &mut Outbox) {
        let far: Vec<&RingNode> = self
            .met
            .values()
            .filter(|node| !self.ring.holds(node.peer))
            .collect();
        if far.is_empty() {
            return;
        }
        let via = far[self.rng.random_range(0..far.len())].clone();
        self.seek_self(now, &via, out);
    }
}
