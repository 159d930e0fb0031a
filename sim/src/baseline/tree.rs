//! One tree: everybody sends the whole stream to as many children as its uplink has room for.
//!
//! Tuned as far as a single tree can be: a newcomer takes the place where it has the stream soonest; whoever can send on takes the
//! place of one who can send less, so that the peers at the top carry most; who was pushed aside is told where to go; lost chunks are
//! asked for again; and a child whose parent is gone notices by its silence.

use super::play::{PUSHED, Player};
use super::repair::Repair;
use super::store::Store;
use super::{Act, Facts, Happening, Note, Peer, Scene};
use crate::measure::Role;
use crate::time::{MS, SimTime};

/// Chunks kept for children who missed them: ten seconds.
const KEPT: usize = 1250;
/// The part of an uplink that is given away: the rest is for chunks sent again, and for messages.
const GIVEN: f64 = 0.94;
/// Nothing is sent again behind a queue that is longer.
const BUSY_NS: u64 = 50 * MS;
/// A parent that has sent nothing for so long is looked for: six chunks in a row are not lost.
const SILENCE_NS: u64 = 300 * MS;
/// Until one that found no parent looks again.
const AGAIN_NS: u64 = 250 * MS;

/// Where a peer hangs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// Nowhere; it looks again then.
    Nowhere(SimTime),
    /// It has asked this peer, and gives up then.
    Asking(u32, SimTime),
    /// There, and this was the last sign of life.
    Hangs(u32, SimTime),
}

/// A peer in the tree.
#[derive(Debug)]
pub(super) struct Tree {
    facts: Facts,
    capacity: u32,
    place: Place,
    /// Those connected.
    links: Vec<u32>,
    store: Store,
    player: Player,
    repair: Repair,
}

impl Tree {
    pub(super) fn new(facts: Facts) -> Self {
        Tree {
            facts,
            capacity: (facts.copies * GIVEN) as u32,
            place: Place::Nowhere(SimTime::START),
            links: Vec::new(),
            store: Store::new(KEPT),
            player: Player::new(facts, PUSHED),
            repair: Repair::default(),
        }
    }

    /// Looks for a parent, or asks this one.
    fn look(&mut self, instead: Option<u32>, scene: &mut Scene<'_>) {
        scene.register.set_parent(scene.me, None);
        let instead = instead.filter(|peer| scene.register.is_present(*peer));
        let found = instead.or_else(|| scene.register.best_parent(scene.me, self.capacity, scene.space));
        self.place = match found {
            Some(parent) => {
                if self.links.contains(&parent) {
                    self.ask(parent, scene);
                } else {
                    scene.acts.push(Act::Connect(parent));
                }
                Place::Asking(parent, scene.now.plus(4 * AGAIN_NS))
            }
            None => Place::Nowhere(scene.now.plus(AGAIN_NS)),
        };
    }

    fn ask(&self, parent: u32, scene: &mut Scene<'_>) {
        let capacity = self.capacity;
        scene.tell(parent, Note::Join { capacity });
    }

    /// Somebody wants to hang here.
    fn on_join(&mut self, child: u32, capacity: u32, scene: &mut Scene<'_>) {
        let me = scene.me;
        let hangs = self.facts.role == Role::Source || matches!(self.place, Place::Hangs(..));
        let full = scene.register.children(me).len() >= self.capacity as usize;
        let weakest = scene.register.weakest(me, capacity).filter(|_| self.capacity > 0);
        if !hangs || full && weakest.is_none() {
            scene.tell(child, Note::Refused { instead: None });
            return;
        }
        if let Some(weakest) = weakest.filter(|_| full) {
            scene.register.set_parent(weakest, None);
            if self.links.contains(&weakest) {
                scene.tell(weakest, Note::Refused { instead: Some(child) });
            }
        }
        scene.register.set_parent(child, Some(me));
        scene.tell(child, Note::Accepted);
    }

    fn on_note(&mut self, from: u32, note: &Note, scene: &mut Scene<'_>) {
        match note {
            Note::Join { capacity } => self.on_join(from, *capacity, scene),
            Note::Accepted => match self.place {
                Place::Asking(parent, _) if parent == from => self.place = Place::Hangs(parent, scene.now),
                Place::Hangs(parent, _) if parent == from => {}
                // It hangs elsewhere by now: that was too late.
                _ => scene.acts.push(Act::Disconnect(from)),
            },
            Note::Refused { instead } => match self.place {
                Place::Asking(parent, _) if parent == from => {
                    self.place = Place::Nowhere(scene.now.plus(AGAIN_NS));
                }
                Place::Hangs(parent, _) if parent == from => self.look(*instead, scene),
                _ => {}
            },
            Note::Resend(chunks) if scene.uplink_wait_ns < BUSY_NS => {
                for (chunk, hops) in chunks.iter().filter_map(|index| self.store.get(*index)) {
                    scene.acts.push(Act::Send {
                        to: from,
                        chunk: chunk.clone(),
                        hops: hops.saturating_add(1),
                    });
                }
            }
            _ => {}
        }
    }

    fn on_due(&mut self, scene: &mut Scene<'_>) {
        match self.place {
            Place::Nowhere(at) | Place::Asking(_, at) if at <= scene.now => self.look(None, scene),
            Place::Hangs(parent, heard) if scene.now.since(heard) >= SILENCE_NS => {
                if scene.register.is_present(parent) {
                    // It has nothing itself, and looks for a parent of its own.
                    self.place = Place::Hangs(parent, scene.now);
                } else {
                    self.look(None, scene);
                }
            }
            _ => {}
        }
        match self.place {
            Place::Hangs(parent, _) if self.links.contains(&parent) => {
                self.repair.ask(parent, self.player.wanted(), &self.store, scene);
            }
            _ => self.repair.put_off(scene.now),
        }
    }
}

impl Peer for Tree {
    fn handle(&mut self, happening: Happening<'_>, scene: &mut Scene<'_>) {
        match happening {
            Happening::Joined => {
                scene.register.enter(scene.me, self.capacity);
                if self.facts.role != Role::Source {
                    self.look(None, scene);
                }
            }
            Happening::Connected(peer) => {
                self.links.push(peer);
                if matches!(self.place, Place::Asking(parent, _) if parent == peer) {
                    self.ask(peer, scene);
                }
            }
            Happening::Disconnected(peer) => {
                self.links.retain(|link| *link != peer);
                let children = scene.register.children(scene.me);
                if children.iter().any(|(child, _)| *child == peer) {
                    scene.register.set_parent(peer, None);
                }
                match self.place {
                    Place::Asking(parent, _) | Place::Hangs(parent, _) if parent == peer => {
                        self.look(None, scene);
                    }
                    _ => {}
                }
            }
            Happening::Note { from, note } => self.on_note(from, note, scene),
            Happening::Chunk { index, hops, chunk } => {
                if let Place::Hangs(parent, _) = self.place {
                    self.place = Place::Hangs(parent, scene.now);
                }
                if self.store.insert(index, chunk, hops) {
                    for &(to, _) in scene.register.children(scene.me) {
                        if self.links.contains(&to) {
                            scene.acts.push(Act::Send {
                                to,
                                chunk: chunk.clone(),
                                hops: hops.saturating_add(1),
                            });
                        }
                    }
                }
                if self.facts.role != Role::Source {
                    self.repair.on_chunk(scene.now, index);
                }
                if self.facts.role == Role::Consumer {
                    self.player.on_chunk(scene.now, index);
                }
            }
            Happening::Due if self.facts.role == Role::Source => {}
            Happening::Due => self.on_due(scene),
        }
        self.player.run(&self.store, scene);
    }

    fn due(&self) -> Option<SimTime> {
        if self.facts.role == Role::Source {
            return None;
        }
        let place = match self.place {
            Place::Nowhere(at) | Place::Asking(_, at) => at,
            Place::Hangs(_, heard) => heard.plus(SILENCE_NS),
        };
        let others = [self.player.due(), self.repair.due()];
        others.into_iter().flatten().chain([place]).min()
    }
}
