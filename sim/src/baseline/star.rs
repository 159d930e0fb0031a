//! The peercaster sends every chunk to everybody.

use super::play::{PUSHED, Player};
use super::repair::Repair;
use super::store::Store;
use super::{Act, Facts, Happening, Note, Peer, Scene};
use crate::measure::Role;
use crate::time::{MS, SimTime};

/// Chunks kept for those who missed them: ten seconds.
const KEPT: usize = 1250;
/// Nothing is sent again behind a queue that is longer.
const BUSY_NS: u64 = 50 * MS;

/// The peercaster, or one of those it sends to.
#[derive(Debug)]
pub(super) struct Star {
    facts: Facts,
    viewers: Vec<u32>,
    /// Whose turn it is to be first, so that a full uplink is nobody's in particular.
    first: usize,
    store: Store,
    player: Player,
    repair: Repair,
    connected: bool,
}

impl Star {
    pub(super) fn new(facts: Facts) -> Self {
        Star {
            facts,
            viewers: Vec::new(),
            first: 0,
            store: Store::new(KEPT),
            player: Player::new(facts, PUSHED),
            repair: Repair::default(),
            connected: false,
        }
    }

    fn push(&mut self, index: usize, scene: &mut Scene<'_>) {
        let Some((chunk, _)) = self.store.get(index) else {
            return;
        };
        self.first = (self.first + 1) % self.viewers.len().max(1);
        let (later, sooner) = self.viewers.split_at(self.first.min(self.viewers.len()));
        for &to in sooner.iter().chain(later) {
            scene.acts.push(Act::Send {
                to,
                chunk: chunk.clone(),
                hops: 1,
            });
        }
    }
}

impl Peer for Star {
    fn handle(&mut self, happening: Happening<'_>, scene: &mut Scene<'_>) {
        match happening {
            Happening::Joined if self.facts.role == Role::Consumer => scene.acts.push(Act::Connect(0)),
            Happening::Joined => {}
            Happening::Connected(0) => {
                self.connected = true;
                scene.tell(0, Note::Join { capacity: 0 });
            }
            Happening::Connected(_) => {}
            Happening::Disconnected(0) => {
                self.connected = false;
                scene.acts.push(Act::Connect(0));
            }
            Happening::Disconnected(viewer) => self.viewers.retain(|v| *v != viewer),
            Happening::Note { from, note } => match note {
                Note::Join { .. } if !self.viewers.contains(&from) => self.viewers.push(from),
                Note::Resend(chunks) if scene.uplink_wait_ns < BUSY_NS => {
                    for (chunk, _) in chunks.iter().filter_map(|index| self.store.get(*index)) {
                        scene.acts.push(Act::Send {
                            to: from,
                            chunk: chunk.clone(),
                            hops: 1,
                        });
                    }
                }
                _ => {}
            },
            Happening::Chunk { index, hops, chunk } => {
                self.store.insert(index, chunk, hops);
                if self.facts.role == Role::Source {
                    self.push(index, scene);
                } else {
                    self.repair.on_chunk(scene.now, index);
                    self.player.on_chunk(scene.now, index);
                }
            }
            Happening::Due => {
                if self.connected {
                    self.repair.ask(0, self.player.wanted(), &self.store, scene);
                } else {
                    self.repair.put_off(scene.now);
                }
            }
        }
        self.player.run(&self.store, scene);
    }

    fn due(&self) -> Option<SimTime> {
        [self.player.due(), self.repair.due()].into_iter().flatten().min()
    }
}
