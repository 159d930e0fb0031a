//! Peers that go, those that come instead, and what else goes wrong.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use swarm::Input;
use wire::Bitrate;

use super::actor::Actor;
use super::draw;
use super::world::{Event, World};
use crate::audit::What;
use crate::measure::Role;
use crate::scenario::{Churn, Fault};
use crate::time::{SimTime, seconds};

impl World {
    /// Draws when a consumer that just joined will go, if the scenario has churn.
    pub(super) fn draw_departure(&mut self, peer: u32) {
        let Some(churn) = self.scenario.churn else {
            return;
        };
        if self.peers[peer as usize].spec.role != Role::Consumer {
            return;
        }
        let (at, crash) = departure(&churn, self.now, &mut self.churn_rng);
        self.queue.push(at, Event::Depart { peer, crash });
    }

    /// A consumer goes; under churn another one comes.
    pub(super) fn depart(&mut self, peer: u32, crash: bool) {
        if self.peers[peer as usize].node.is_none() {
            return;
        }
        self.leave(peer, crash);
        if self.scenario.churn.is_some() {
            let spec = &self.peers[peer as usize].spec;
            let (role, passive, upload) = (spec.role, spec.passive, spec.upload_bps);
            let rng = &mut self.churn_rng;
            let newcomer = draw::spec(&self.scenario, role, passive, upload, self.now, rng);
            self.space.add_instead_of(peer);
            self.add_peer(newcomer);
        }
    }

    /// The peer is gone from now on.
    fn leave(&mut self, number: u32, crash: bool) {
        if !crash {
            let stream = self.stream;
            self.input(number, Input::LeaveStream { stream });
        }
        self.gone(number, crash);
    }

    /// The peer's node is over.
    pub(super) fn gone(&mut self, number: u32, crash: bool) {
        self.fold(What::Left, number, u64::from(crash));
        self.net.leave(self.now, number, crash);
        self.schedule();
        self.take_last_words(number);
        if let Some(crowd) = &mut self.crowd {
            crowd.register.leave(number);
        }
        let now = self.now;
        let peer = &mut self.peers[number as usize];
        peer.node = None;
        peer.log.left = Some(now);
        self.alarms[number as usize].end();
    }

    /// What the node says of itself, for the table of peers.
    pub(super) fn take_last_words(&mut self, number: u32) {
        let peer = &mut self.peers[number as usize];
        let Some(node) = peer.node.as_ref().and_then(Actor::node) else {
            return;
        };
        let stats = node.stats(peer.clock.read(self.now));
        let stream = stats.streams.first();
        peer.last_words = (
            stream.map_or(0, |s| s.slots),
            stream.map_or(0, |s| s.slots_used),
            stats.neighbours.len(),
            stream.map_or(0, |s| s.repairs_requested),
        );
    }

    pub(super) fn fault(&mut self, at: usize) {
        let fault = self.scenario.faults[at];
        self.fold(What::Fault, 0, at as u64);
        match fault {
            Fault::Crash { share, .. } => {
                for peer in self.choose(share) {
                    self.leave(peer, true);
                }
            }
            Fault::Leave { share, .. } => {
                for peer in self.choose(share) {
                    self.leave(peer, false);
                }
            }
            Fault::Trackers { share, .. } => {
                let mut hosts = self.trackers_there();
                hosts.retain(|host| self.peers[*host as usize].spec.role != Role::Source);
                hosts.shuffle(&mut self.churn_rng);
                hosts.truncate((hosts.len() as f64 * share).ceil() as usize);
                for peer in hosts {
                    self.leave(peer, true);
                }
            }
            Fault::Restart { away_s, .. } if self.peers[0].node.is_some() => {
                let peer = &self.peers[0];
                let now = peer.clock.read(self.now);
                let node = peer.node.as_ref().and_then(Actor::node);
                self.audience = node.map_or_else(Vec::new, |node| node.stats(now).audience());
                self.leave(0, true);
                self.queue.push(self.now.plus(seconds(away_s)), Event::Join(0));
            }
            Fault::Restart { .. } => {}
            Fault::Loss { loss, .. } => self.net.set_loss(loss),
            Fault::Upload { share, factor, .. } => {
                for number in self.choose(share) {
                    let peer = &mut self.peers[number as usize];
                    let rate = Bitrate::from_bps(peer.spec.upload_bps).scaled(factor);
                    peer.spec.upload_bps = rate.as_bps();
                    self.net.set_upload(number, rate.as_bps());
                    self.input(number, Input::Upload { rate });
                }
            }
        }
    }

    /// The peers that keep a local tracker now.
    pub(super) fn trackers_there(&self) -> Vec<u32> {
        let keeps = |peer: &super::world::Peer| {
            let here = peer.spec.role != Role::Elsewhere;
            here && peer
                .node
                .as_ref()
                .and_then(Actor::node)
                .is_some_and(|node| node.keeps_tracker())
        };
        (0..self.peers.len() as u32)
            .filter(|n| keeps(&self.peers[*n as usize]))
            .collect()
    }

    /// A share of the consumers that are there.
    fn choose(&mut self, share: f64) -> Vec<u32> {
        let present = (0..self.peers.len() as u32)
            .filter(|n| {
                let peer = &self.peers[*n as usize];
                peer.node.is_some() && peer.spec.role == Role::Consumer
            })
            .collect();
        choose(present, share, &mut self.churn_rng)
    }
}

/// When a consumer that joins at `now` will go, and whether without a word.
pub(super) fn departure(churn: &Churn, now: SimTime, rng: &mut ChaCha8Rng) -> (SimTime, bool) {
    let session_s = exponential(rng) * churn.mean_session_s;
    // An exponential session has no memory: to begin to count later is as good as to have begun then.
    let from = now.max(SimTime(seconds(churn.from_s)));
    let crash = rng.random_bool(churn.crash_share);
    (from.plus(seconds(session_s)), crash)
}

/// A share of those present.
pub(super) fn choose(mut present: Vec<u32>, share: f64, rng: &mut ChaCha8Rng) -> Vec<u32> {
    present.shuffle(rng);
    present.truncate((present.len() as f64 * share).round() as usize);
    present
}

/// An exponentially distributed value of mean 1.
fn exponential(rng: &mut ChaCha8Rng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}
