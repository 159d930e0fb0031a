//! What figures show beside the results: how it went over time, how deep the trees are, and where everybody is.

use wire::Seq;

use super::actor::Actor;
use super::world::World;
use crate::measure::{Role, Window};
use crate::time::{MS, SimTime};

/// Chunks made within so long are one moment: short enough to see how long a gap is.
const MOMENT_NS: u64 = 250 * MS;

/// How well the chunks of a short time were played.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// When it begins, in seconds of the run.
    pub at_s: f64,
    /// Consumers whose playout reached it.
    pub watching: u64,
    /// Chunks due at them, all together.
    pub due: u64,
    /// Those of them that were played in time.
    pub in_time: u64,
}

/// Where a peer is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// Its number in the run.
    pub number: usize,
    /// `source`, `consumer` or `donor`.
    pub role: &'static str,
    /// Its place.
    pub x_ms: f64,
    /// Its place.
    pub y_ms: f64,
    /// Who supplies it with substream 0.
    pub parent: Option<usize>,
}

/// The moment of an instant.
fn moment(at: SimTime) -> usize {
    (at.0 / MOMENT_NS) as usize
}

impl World {
    /// A chunk was played in time.
    pub(super) fn note_in_time(&mut self, seq: Seq) {
        let Some((_, generated)) = self.chunks.find(seq) else {
            return;
        };
        let at = moment(generated);
        if at >= self.played_in_time.len() {
            self.played_in_time.resize(at + 1, 0);
        }
        self.played_in_time[at] += 1;
    }

    /// A chunk came to a peer over so many hops.
    pub(super) fn note_depth(&mut self, number: u32, seq: Seq, hops: u8) {
        let consumer = self.peers[number as usize].spec.role == Role::Consumer;
        let counts = self
            .chunks
            .find(seq)
            .is_some_and(|(_, generated)| self.window.contains(generated));
        if consumer && counts {
            let substream = seq.substream(self.scenario.stream.substreams);
            let depths = &mut self.depths[usize::from(substream.0)];
            if usize::from(hops) >= depths.len() {
                depths.resize(usize::from(hops) + 1, 0);
            }
            depths[usize::from(hops)] += 1;
        }
    }

    /// The whole run, from the first chunk on.
    pub(super) fn timeline(&self) -> Vec<Moment> {
        let whole = Window {
            from: SimTime::START,
            to: self.end,
        };
        let chunks = self.chunks.first_since(self.end);
        // By how much the number of those who are due a chunk changes with it.
        let mut changes = vec![0i64; chunks + 1];
        for peer in self.peers.iter().filter(|peer| peer.spec.role == Role::Consumer) {
            if let Some((from, to)) = peer.log.due(&self.chunks, whole, self.end) {
                changes[from.min(chunks)] += 1;
                changes[to.min(chunks)] -= 1;
            }
        }
        let mut moments = vec![Moment::default(); moment(self.end) + 1];
        let mut watching = 0;
        for (index, change) in changes.into_iter().take(chunks).enumerate() {
            watching += change;
            let watching = watching.unsigned_abs();
            let moment = &mut moments[moment(self.chunks.generated(index))];
            moment.due += watching;
            moment.watching = moment.watching.max(watching);
        }
        for (n, moment) in moments.iter_mut().enumerate() {
            moment.at_s = SimTime(n as u64 * MOMENT_NS).as_seconds();
            moment.in_time = self.played_in_time.get(n).copied().unwrap_or(0).min(moment.due);
        }
        moments
    }

    /// Where those are who are there now.
    pub(super) fn map(&self) -> Vec<Spot> {
        let spot = |number: usize| {
            let peer = &self.peers[number];
            let node = peer.node.as_ref().and_then(Actor::node)?;
            let (x_ms, y_ms) = self.space.place_ms(number as u32)?;
            let stats = node.stats(peer.clock.read(self.now));
            let supply = stats.streams.first().and_then(|stream| stream.substreams.first());
            let parent = supply.and_then(|substream| substream.parent);
            Some(Spot {
                number,
                role: peer.spec.role.name(),
                x_ms,
                y_ms,
                parent: parent.and_then(|id| Some(self.ids.get(&id)? as usize)),
            })
        };
        (0..self.peers.len()).filter_map(spot).collect()
    }
}
