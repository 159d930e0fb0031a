//! Draws everything that a scenario leaves to chance before the run begins.

use std::fmt;

use rand::seq::SliceRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use wire::Bitrate;

use super::attack;
use super::earlier::{self, Stay};
use crate::measure::Role;
use crate::scenario::Scenario;
use crate::time::{SimTime, seconds};

/// Purposes of randomness, each with a stream of its own, so that one more draw for one does not change another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Space = 1,
    Population = 2,
    Weather = 3,
    Churn = 4,
    Baseline = 5,
    Attack = 6,
    Streams = 7,
    Meeting = 8,
    Claims = 9,
}

pub(crate) fn rng(seed: u64, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(purpose as u64);
    rng
}

/// A seed for whatever draws by itself.
pub(super) fn sub_seed(seed: u64, purpose: Purpose) -> u64 {
    rng(seed, purpose).next_u64()
}

/// A peer before it joins.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) role: Role,
    pub(super) passive: bool,
    pub(super) upload_bps: u64,
    /// What it says of its uplink, as a multiple of that.
    pub(super) claims_x: f64,
    pub(super) clock_offset_us: i64,
    pub(super) secret: [u8; 32],
    pub(super) node_seed: u64,
    /// Its place in the order in which faults take uplinks. Whoever comes instead of it has that place, too.
    pub(super) rank: u64,
    /// When it joins the scenario's stream.
    pub(super) joins: SimTime,
    /// Where it is before, or instead.
    pub(super) earlier: Option<Stay>,
    /// The region of attackers that it belongs to.
    pub(super) region: Option<usize>,
}

/// What was drawn, to be printed with the seed.
#[derive(Clone, Debug, Serialize)]
pub struct Drawn {
    /// The seed of all draws.
    pub seed: u64,
    /// Consumers.
    pub consumers: usize,
    /// Donors.
    pub donors: usize,
    /// The stream's rate.
    pub rate_bps: u64,
    /// The peercaster's uplink.
    pub source_bps: u64,
    /// Consumers' uplinks together.
    pub consumers_bps: u64,
    /// Donors' uplinks together.
    pub donors_bps: u64,
    /// Least, median and greatest uplink among the consumers.
    pub uplinks_bps: (u64, u64, u64),
    /// Mean and greatest one-way delay from the peercaster.
    pub distance_ms: (f64, f64),
}

impl Spec {
    /// What it says that an uplink of this rate carries.
    pub(super) fn claims(&self, upload: Bitrate) -> Bitrate {
        upload.scaled(self.claims_x)
    }
}

impl Drawn {
    /// All that can be sent, relative to what the consumers want.
    pub fn resource_index(&self) -> f64 {
        let upload = self.source_bps + self.consumers_bps + self.donors_bps;
        upload as f64 / (self.consumers as u64 * self.rate_bps) as f64
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = Bitrate::from_bps;
        let (least, median, greatest) = self.uplinks_bps;
        write!(
            f,
            "seed {}: {} consumers (uplinks {} to {}, median {}), {} donors, peercaster {}, stream {}, \
             resource index {:.3}, {:.1} ms one way from the peercaster on average and {:.1} ms at most",
            self.seed,
            self.consumers,
            rate(least),
            rate(greatest),
            rate(median),
            self.donors,
            rate(self.source_bps),
            rate(self.rate_bps),
            self.resource_index(),
            self.distance_ms.0,
            self.distance_ms.1,
        )
    }
}

/// The peercaster, then the consumers, then the donors, then those who are in another stream only, then attackers.
pub(super) fn population(scenario: &Scenario) -> Vec<Spec> {
    let mut rng = rng(scenario.seed, Purpose::Population);
    let rate = scenario.stream.rate;
    let upload = |x: f64| rate.scaled(x).as_bps();
    let mut specs = Vec::new();
    let source_bps = upload(scenario.source.upload_x);
    specs.push(spec(
        scenario,
        Role::Source,
        false,
        source_bps,
        SimTime::START,
        &mut rng,
    ));

    let count = scenario.peers.count;
    let classes: Vec<f64> = scenario.peers.classes.iter().map(|class| class.share).collect();
    let mut kinds: Vec<(f64, bool)> = quotas(&classes, count)
        .into_iter()
        .zip(&scenario.peers.classes)
        .flat_map(|(n, class)| std::iter::repeat_n((class.upload_x, false), n))
        .collect();
    kinds.shuffle(&mut rng);
    let passive = (scenario.peers.passive_share * count as f64).round() as usize;
    kinds.iter_mut().take(passive).for_each(|kind| kind.1 = true);
    kinds.shuffle(&mut rng);
    let active: f64 = kinds.iter().filter(|kind| !kind.1).map(|kind| kind.0).sum();
    let scale = match scenario.peers.ri {
        Some(ri) if active > 0.0 => (ri * count as f64 - scenario.source.upload_x) / active,
        _ => 1.0,
    };
    let joins = join_times(scenario, &mut rng);
    for ((upload_x, passive), joins) in kinds.into_iter().zip(joins) {
        let bps = upload(upload_x * scale);
        specs.push(spec(scenario, Role::Consumer, passive, bps, joins, &mut rng));
    }
    overstate(scenario, &mut specs[1..]);
    for _ in 0..scenario.donors.count {
        let joins = seconds(scenario.donors.at_s + scenario.donors.over_s * rng.random::<f64>());
        let bps = upload(scenario.donors.upload_x);
        specs.push(spec(scenario, Role::Donor, false, bps, SimTime(joins), &mut rng));
    }
    if let Some(before) = &scenario.earlier {
        earlier::populate(scenario, before, &mut specs, &mut rng);
        attack::populate(scenario, before, &mut specs);
    }
    specs
}

/// Draws which of the consumers claim more than is true.
fn overstate(scenario: &Scenario, consumers: &mut [Spec]) {
    let Some(overstate) = scenario.peers.overstate else {
        return;
    };
    let count = (overstate.share * consumers.len() as f64).round() as usize;
    let mut order: Vec<usize> = (0..consumers.len()).collect();
    order.shuffle(&mut rng(scenario.seed, Purpose::Claims));
    for at in order.into_iter().take(count) {
        consumers[at].claims_x = overstate.factor;
    }
}

/// A peer with clock, key and seed drawn.
pub(super) fn spec(
    scenario: &Scenario,
    role: Role,
    passive: bool,
    upload_bps: u64,
    joins: SimTime,
    rng: &mut ChaCha8Rng,
) -> Spec {
    let most_us = scenario.network.clock_offset_s * 1e6;
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    Spec {
        role,
        passive,
        upload_bps,
        claims_x: 1.0,
        clock_offset_us: ((2.0 * rng.random::<f64>() - 1.0) * most_us) as i64,
        secret,
        // As good as a draw of its own, and no other draw moves.
        rank: u64::from_le_bytes(std::array::from_fn(|at| secret[at + 8])),
        node_seed: rng.next_u64(),
        joins,
        earlier: None,
        region: None,
    }
}

/// Instants at which the consumers join, in no order.
fn join_times(scenario: &Scenario, rng: &mut ChaCha8Rng) -> Vec<SimTime> {
    let shares: Vec<f64> = scenario.joins.iter().map(|wave| wave.share).collect();
    let mut times = Vec::with_capacity(scenario.peers.count);
    for (n, wave) in quotas(&shares, scenario.peers.count)
        .into_iter()
        .zip(&scenario.joins)
    {
        for _ in 0..n {
            times.push(SimTime(seconds(wave.at_s + wave.over_s * rng.random::<f64>())));
        }
    }
    times
}

/// Splits `count` by shares that add up to 1, by the method of the largest remainder.
fn quotas(shares: &[f64], count: usize) -> Vec<usize> {
    let exact: Vec<f64> = shares.iter().map(|share| share * count as f64).collect();
    // A hair is added because 0.15 x 1000 may come out just below 150.
    let mut parts: Vec<usize> = exact.iter().map(|part| (part + 1e-9) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    by_remainder.sort_by(|a, b| {
        let remainder = |n: usize| exact[n] - parts[n] as f64;
        remainder(*b).total_cmp(&remainder(*a))
    });
    let missing = count.saturating_sub(parts.iter().sum());
    for n in by_remainder.into_iter().cycle().take(missing) {
        parts[n] += 1;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(name: &str, set: &[&str]) -> Scenario {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        Scenario::load(name, &set).unwrap()
    }

    fn consumers(specs: &[Spec]) -> impl Iterator<Item = &Spec> {
        specs.iter().filter(|s| s.role == Role::Consumer)
    }

    #[test]
    fn shares_are_met_to_the_peer() {
        assert_eq!(quotas(&[0.2, 0.4, 0.25, 0.15], 1000), [200, 400, 250, 150]);
        assert_eq!(quotas(&[0.2, 0.4, 0.25, 0.15], 7), [1, 3, 2, 1]);
        assert_eq!(quotas(&[1.0], 0), [0]);
    }

    #[test]
    fn figure_5_has_its_resource_index_without_the_donors() {
        let scenario = load("paper-fig5", &[]);
        let specs = population(&scenario);
        assert_eq!(specs.len(), 1101);
        let rate = 3_500_000.0;
        let upload: u64 = specs[0].upload_bps + consumers(&specs).map(|s| s.upload_bps).sum::<u64>();
        assert!((upload as f64 / (1000.0 * rate) - 1.2).abs() < 1e-5);
        let mut uplinks: Vec<u64> = consumers(&specs).map(|s| s.upload_bps).collect();
        uplinks.sort_unstable();
        assert!(
            (uplinks[999] as f64 / uplinks[0] as f64 - 10.0).abs() < 0.01,
            "3 to 0.3"
        );
        assert!(specs[1001..].iter().all(|s| s.upload_bps == 7_000_000));
        assert!(specs.iter().all(|s| s.joins <= SimTime(seconds(10.0))));
        assert!(specs.iter().any(|s| s.clock_offset_us > 100_000_000));
    }

    #[test]
    fn a_crowd_comes_in_waves_and_some_are_passive() {
        let specs = population(&load("flash-crowd", &["peers.passive_share=0.25"]));
        let early = consumers(&specs)
            .filter(|s| s.joins <= SimTime(seconds(5.0)))
            .count();
        let late = consumers(&specs)
            .filter(|s| s.joins >= SimTime(seconds(20.0)))
            .count();
        assert_eq!((early, late), (100, 900));
        assert_eq!(consumers(&specs).filter(|s| s.passive).count(), 250);
        let active: u64 = consumers(&specs)
            .filter(|s| !s.passive)
            .map(|s| s.upload_bps)
            .sum();
        let ri = (active + specs[0].upload_bps) as f64 / 3.5e9;
        assert!((ri - 1.2).abs() < 1e-5, "those that give make up for it: {ri}");
    }

    #[test]
    fn a_share_of_the_consumers_claims_too_much_and_nothing_else_changes() {
        let plain = population(&load("paper-fig5", &[]));
        assert!(plain.iter().all(|s| s.claims_x == 1.0));
        let specs = population(&load("paper-fig5", &["peers.overstate={share=0.25,factor=2.5}"]));
        let claims = consumers(&specs).filter(|s| s.claims_x == 2.5).count();
        assert_eq!(claims, 250);
        assert_eq!(specs.iter().filter(|s| s.claims_x != 1.0).count(), 250);
        assert!(
            plain
                .iter()
                .zip(&specs)
                .all(|(a, b)| a.secret == b.secret && a.upload_bps == b.upload_bps)
        );
    }

    #[test]
    fn one_purposes_draws_do_not_move_anothers() {
        let a = population(&load("paper-fig5", &["network.loss=0.1"]));
        let b = population(&load("paper-fig5", &["space.width_ms=10"]));
        assert!(
            a.iter()
                .zip(&b)
                .all(|(a, b)| a.secret == b.secret && a.joins == b.joins)
        );
        let c = population(&load("paper-fig5", &["seed=2"]));
        assert_ne!(a[1].secret, c[1].secret);
    }
}
