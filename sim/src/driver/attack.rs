//! Attackers: regions of identities in one hand, what honest peers serve them, and what they owe them.
//!
//! Their nodes are the program's own. What makes them attackers is what is done to that which they send (`cheats.rs`), receipts that
//! they sign for each other and nothing, and that they know each other's places.

mod cheats;
mod forge;

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use wire::{Chunk, PeerId, Seq};

use super::actor::Actor;
use super::draw::{self, Purpose, Spec};
use super::earlier::{CHANGE_NS, Part, Stay};
use super::world::{Event, World};
use crate::measure::Role;
use crate::scenario::{Attackers, Cheat, Earlier, Scenario};
use crate::time::{SECOND, SimTime, seconds};

pub(super) use cheats::Again;

/// How often the hand moves: dials, forges, takes new names.
const MOVES_EVERY_NS: u64 = SECOND;

/// What the hand does later.
#[derive(Debug)]
pub(super) enum Move {
    /// What it does every second.
    Next,
    /// Something that was said is said again.
    Again(Box<Again>),
    /// An identity is gone in the middle of a shift.
    Vanish(u32),
}

/// What came of a region of attackers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionResult {
    /// Its name.
    pub name: String,
    /// Identities at once.
    pub identities: usize,
    /// Names in all.
    pub names: usize,
    /// Media that the region gave honest peers, in either stream, and that they did not have.
    pub gave_bytes: u64,
    /// Media that honest peers gave the region in the scenario's stream, and that the identity in question did not have.
    pub served_bytes: u64,
    /// That part of it that came while the supplier ranked the identity before those who only take.
    pub ahead_bytes: u64,
    /// What honest peers still owe the region at the end, by their own accounts.
    pub owed_bytes: u64,
    /// What one honest newcomer who gives nothing gets ahead of others who only take.
    pub allowance_bytes: u64,
    /// `(ahead + owed) / (gave + allowance)`.
    pub gain_ratio: f64,
    /// Shifts that the region began and that were committed, and their bytes.
    pub shifts: u64,
    /// Bytes of those.
    pub shifted_bytes: u64,
    /// How often an honest peer shut one of them out.
    pub shut_out: u64,
}

/// A region as it is now.
struct Region {
    params: Attackers,
    /// The peer that each identity is at present.
    names: Vec<u32>,
    /// Since when.
    since: Vec<SimTime>,
    /// Pairs of peers between whom receipts have been forged, the consumer first.
    forged: BTreeSet<(u32, u32)>,
    /// Whom each identity gives no receipts any more.
    silent: BTreeSet<(u32, u32)>,
    /// Who has vanished once.
    vanished: BTreeSet<u32>,
    /// What its donors gave whom.
    gave: BTreeMap<(u32, u32), u64>,
    served: u64,
    ahead: u64,
    shifts: u64,
    shifted: u64,
    shut_out: u64,
}

/// All attackers of a run, and what is counted for them.
pub(super) struct Attack {
    regions: Vec<Region>,
    rng: ChaCha8Rng,
    /// Which chunks who has had already.
    had: BTreeSet<(u32, bool, Seq)>,
    /// What honest newcomers who give nothing were served ahead of others who only take.
    newcomers_ahead: u64,
}

/// Adds the attackers to those who were drawn.
pub(super) fn populate(scenario: &Scenario, earlier: &Earlier, specs: &mut Vec<Spec>) {
    let rng = &mut draw::rng(scenario.seed, Purpose::Attack);
    for (region, params) in scenario.attackers.iter().enumerate() {
        for identity in 0..params.identities {
            let within = |from_s: f64, over_s: f64, rng: &mut ChaCha8Rng| {
                SimTime(seconds(from_s + over_s * rng.random::<f64>()))
            };
            let joins = within(earlier.donors_leave_s, earlier.over_s, rng).plus(CHANGE_NS);
            let donates = identity < params.donors;
            let from = within(0.0, earlier.joins_over_s, rng);
            let mut spec = new_name(scenario, region, donates, joins, rng);
            spec.earlier = donates.then_some(Stay {
                part: Part::Donate,
                from,
                until: Some(SimTime(joins.0 - CHANGE_NS)),
            });
            specs.push(spec);
        }
    }
}

/// An identity of a region.
fn new_name(scenario: &Scenario, region: usize, donates: bool, joins: SimTime, rng: &mut ChaCha8Rng) -> Spec {
    let params = &scenario.attackers[region];
    let claims = params.cheats.contains(&Cheat::EmptySlots);
    // Those who only take need no more than what they say takes.
    let upload_x = if donates || claims {
        params.donor_upload_x
    } else {
        1.0
    };
    let bps = scenario.stream.rate.scaled(upload_x).as_bps();
    let mut spec = draw::spec(scenario, Role::Attacker, !claims, bps, joins, rng);
    spec.region = Some(region);
    spec
}

impl World {
    /// Begins the attack, if there is one.
    pub(super) fn open_attack(&mut self) {
        let Some(earlier) = self
            .scenario
            .earlier
            .as_ref()
            .filter(|_| !self.scenario.attackers.is_empty())
        else {
            return;
        };
        let begins = SimTime(seconds(earlier.donors_leave_s));
        let region = |(at, params): (usize, &Attackers)| {
            let names: Vec<u32> = (0u32..)
                .zip(&self.peers)
                .filter(|(_, peer)| peer.spec.region == Some(at))
                .map(|(number, _)| number)
                .collect();
            Region {
                params: params.clone(),
                since: names
                    .iter()
                    .map(|number| self.peers[*number as usize].spec.joins)
                    .collect(),
                names,
                forged: BTreeSet::new(),
                silent: BTreeSet::new(),
                vanished: BTreeSet::new(),
                gave: BTreeMap::new(),
                served: 0,
                ahead: 0,
                shifts: 0,
                shifted: 0,
                shut_out: 0,
            }
        };
        self.attack = Some(Box::new(Attack {
            regions: self.scenario.attackers.iter().enumerate().map(region).collect(),
            rng: draw::rng(self.scenario.seed.wrapping_add(1), Purpose::Attack),
            had: BTreeSet::new(),
            newcomers_ahead: 0,
        }));
        self.queue.push(begins, Event::Attack(Move::Next));
    }

    pub(super) fn attack(&mut self, what: Move) {
        match what {
            Move::Next => {
                for region in 0..self.scenario.attackers.len() {
                    self.take_new_names(region);
                    self.forge(region);
                }
                self.queue
                    .push(self.now.plus(MOVES_EVERY_NS), Event::Attack(Move::Next));
            }
            Move::Again(again) => self.say_again(*again),
            Move::Vanish(number) => self.vanish(number),
        }
    }

    /// The region that a peer belongs to.
    pub(super) fn region_of(&self, number: u32) -> Option<usize> {
        self.peers[number as usize].spec.region
    }

    fn region(&mut self, at: usize) -> Option<&mut Region> {
        self.attack.as_mut()?.regions.get_mut(at)
    }

    /// Those who give nothing and have been here for long enough go, and come back as somebody else.
    fn take_new_names(&mut self, at: usize) {
        let Some(attack) = self.attack.as_mut() else {
            return;
        };
        let region = &attack.regions[at];
        let Some(after_s) = region.params.new_name_s else {
            return;
        };
        let due: Vec<usize> = (region.params.donors..region.names.len())
            .filter(|identity| self.now >= region.since[*identity].plus(seconds(after_s)))
            .collect();
        for identity in due {
            let Some(attack) = self.attack.as_mut() else {
                return;
            };
            let spec = new_name(&self.scenario, at, false, self.now, &mut attack.rng);
            let old = attack.regions[at].names[identity];
            if self.peers[old as usize].node.is_some() {
                self.gone(old, true);
            }
            self.space.add_instead_of(old);
            let new = self.add_peer(spec);
            let now = self.now;
            if let Some(region) = self.region(at) {
                region.names[identity] = new;
                region.since[identity] = now;
            }
        }
    }

    /// Counts a chunk that came, for whoever it counts. To be asked before its receiver is told.
    pub(super) fn count_served(&mut self, to: u32, from: u32, chunk: &Chunk) {
        if self.attack.is_none() {
            return;
        }
        let own = chunk.header().stream == self.stream;
        let (taker, giver) = (self.region_of(to), self.region_of(from));
        let Some(attack) = self.attack.as_mut() else {
            return;
        };
        if !attack.had.insert((to, own, chunk.seq())) {
            return;
        }
        let bytes = chunk.payload().len() as u64;
        match (taker, giver) {
            (None, Some(giver)) => {
                *attack.regions[giver].gave.entry((from, to)).or_default() += bytes;
            }
            (Some(taker), None) if own => {
                let ahead = self.ranks_ahead(from, to);
                if let Some(region) = self.region(taker) {
                    region.served += bytes;
                    region.ahead += if ahead { bytes } else { 0 };
                }
            }
            (None, None) if own && self.is_newcomer(to) && self.ranks_ahead(from, to) => {
                if let Some(attack) = self.attack.as_mut() {
                    attack.newcomers_ahead += bytes;
                }
            }
            _ => {}
        }
    }

    /// Whether a peer is honest, gives nothing, and never gave.
    fn is_newcomer(&self, number: u32) -> bool {
        let spec = &self.peers[number as usize].spec;
        spec.role == Role::Consumer && spec.passive && spec.earlier.is_none()
    }

    /// Whether a supplier ranks a peer before those who only take.
    fn ranks_ahead(&mut self, supplier: u32, peer: u32) -> bool {
        let id = self.ids.of(peer);
        let supplier = &mut self.peers[supplier as usize];
        match &mut supplier.node {
            Some(Actor::Node(node)) => !node.comes_last(supplier.clock.read(self.now), &self.stream, id),
            _ => false,
        }
    }

    /// What a peer owes another by its own accounts, if it is there.
    fn owes(&self, debtor: u32, creditor: PeerId) -> u64 {
        let debtor = &self.peers[debtor as usize];
        let node = debtor.node.as_ref().and_then(Actor::node);
        node.map_or(0, |node| node.owed(debtor.clock.read(self.now), creditor))
    }

    pub(super) fn note_attackers_shift(&mut self, region: usize, amount: u64) {
        if let Some(region) = self.region(region) {
            region.shifts += 1;
            region.shifted += amount;
        }
    }

    pub(super) fn note_shut_out(&mut self, region: usize) {
        if let Some(region) = self.region(region) {
            region.shut_out += 1;
        }
    }

    /// What came of the attackers.
    pub(super) fn regions(&self) -> Vec<RegionResult> {
        let Some(attack) = &self.attack else {
            return Vec::new();
        };
        let numbers = || 0..self.peers.len() as u32;
        let newcomers = numbers().filter(|number| self.is_newcomer(*number)).count();
        let allowance = attack.newcomers_ahead / newcomers.max(1) as u64;
        let result = |(at, region): (usize, &Region)| {
            let names: Vec<PeerId> = numbers()
                .filter(|number| self.region_of(*number) == Some(at))
                .map(|number| self.ids.of(number))
                .collect();
            let honest = numbers().filter(|number| self.region_of(*number).is_none());
            let owed: u64 = honest
                .map(|debtor| names.iter().map(|name| self.owes(debtor, *name)).sum::<u64>())
                .sum();
            let gave: u64 = region.gave.values().sum();
            RegionResult {
                name: region.params.name.clone(),
                identities: region.params.identities,
                names: names.len(),
                gave_bytes: gave,
                served_bytes: region.served,
                ahead_bytes: region.ahead,
                owed_bytes: owed,
                allowance_bytes: allowance,
                gain_ratio: (region.ahead + owed) as f64 / (gave + allowance).max(1) as f64,
                shifts: region.shifts,
                shifted_bytes: region.shifted,
                shut_out: region.shut_out,
            }
        };
        attack.regions.iter().enumerate().map(result).collect()
    }
}
