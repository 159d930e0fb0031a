//! Peers that go, those that come instead, and what else goes wrong.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use swarm::Input;
use wire::Bitrate;

use super::actor::Actor;
use super::draw;
use super::world::{Event, Peer, World};
use crate::audit::What;
use crate::measure::Role;
use crate::scenario::{Churn, Fault};
use crate::time::{SimTime, seconds};

impl Peer {
    /// Its uplink as it is now.
    pub(super) fn upload(&self) -> Bitrate {
        Bitrate::from_bps(self.spec.upload_bps).scaled(self.upload_x)
    }
}

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
            let (claims_x, rank) = (spec.claims_x, spec.rank);
            let upload_x = self.peers[peer as usize].upload_x;
            let rng = &mut self.churn_rng;
            let mut newcomer = draw::spec(&self.scenario, role, passive, upload, self.now, rng);
            newcomer.claims_x = claims_x;
            newcomer.rank = rank;
            self.space.add_instead_of(peer);
            let number = self.add_peer(newcomer);
            self.set_upload(number, upload_x);
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
                for number in self.first_in_rank(share) {
                    self.set_upload(number, factor);
                    let rate = self.peers[number as usize].upload();
                    self.net.claim(number, rate);
                    self.input(number, Input::Upload { rate });
                }
            }
        }
    }

    /// The peers that keep a local tracker now.
    pub(super) fn trackers_there(&self) -> Vec<u32> {
        let keeps = |peer: &Peer| {
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

    /// A peer's uplink is this multiple of what it was drawn as.
    fn set_upload(&mut self, number: u32, factor: f64) {
        let peer = &mut self.peers[number as usize];
        peer.upload_x = factor;
        self.net.set_upload(number, peer.upload().as_bps());
    }

    /// A share of the consumers that are there, in an order that the seed decides: the same ones for the same share, and more for a larger
    /// one.
    fn first_in_rank(&self, share: f64) -> Vec<u32> {
        let mut present = self.consumers_there();
        present.sort_by_key(|number| self.peers[*number as usize].spec.rank);
        present.truncate((present.len() as f64 * share).round() as usize);
        present
    }

    fn consumers_there(&self) -> Vec<u32> {
        let is_there = |peer: &Peer| peer.node.is_some() && peer.spec.role == Role::Consumer;
        (0..self.peers.len() as u32)
            .filter(|n| is_there(&self.peers[*n as usize]))
            .collect()
    }

    /// A share of the consumers that are there, drawn.
    fn choose(&mut self, share: f64) -> Vec<u32> {
        choose(self.consumers_there(), share, &mut self.churn_rng)
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
