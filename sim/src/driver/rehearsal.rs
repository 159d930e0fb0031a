//! Who joins and goes when: the draws of a run without the run, in the same order and so with the same outcome.

use super::draw::{self, Drawn};
use super::faults::{choose, departure};
use super::outcome::{self, BoundMs, SoonestMs};
use super::world::World;
use crate::measure::{Role, Window};
use crate::queue::Calendar;
use crate::scenario::{Fault, Scenario};
use crate::time::{SimTime, seconds};

/// A peer as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) passive: bool,
    pub(crate) upload_bps: u64,
    /// What its program is told of that.
    pub(crate) claims_bps: u64,
    pub(crate) joins: SimTime,
}

/// Something that happens at an instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// A consumer or donor joins.
    Join(u32),
    /// A consumer goes, and maybe another one comes instead. If it is gone already, nothing happens.
    Leave {
        peer: u32,
        crash: bool,
        newcomer: Option<u32>,
    },
    /// The loss changes.
    Loss(f64),
    /// A share of those that keep a tracker, whoever that is by then, vanishes.
    Trackers(f64),
    /// The peercaster is killed.
    SourceDies,
    /// It is started again, with its key and a new encoder.
    SourceReturns,
}

/// All that is known of a run before it begins.
#[derive(Debug)]
pub(crate) struct Rehearsal {
    pub(crate) scenario: Scenario,
    pub(crate) drawn: Drawn,
    pub(crate) bound_ms: Option<BoundMs>,
    pub(crate) soonest_ms: Option<SoonestMs>,
    pub(crate) window: Window,
    pub(crate) end: SimTime,
    /// The peercaster first.
    pub(crate) peers: Vec<Part>,
    /// One-way delays between all of them, row by row.
    pub(crate) one_way_ns: Vec<u64>,
    /// In order.
    pub(crate) steps: Vec<(SimTime, Step)>,
}

/// What is still to come while the draws are made.
enum Coming {
    Join(u32),
    Depart { peer: u32, crash: bool },
    Fault(usize),
    SourceReturns,
}

pub(super) fn rehearse(mut world: World) -> Rehearsal {
    let (bound_ms, soonest_ms) = (outcome::bound(&world), outcome::soonest(&world));
    let mut peers: Vec<Part> = world
        .peers
        .iter()
        .map(|peer| Part {
            role: peer.spec.role,
            passive: peer.spec.passive,
            upload_bps: peer.spec.upload_bps,
            claims_bps: peer.spec.claims(peer.upload()).as_bps(),
            joins: peer.spec.joins,
        })
        .collect();
    let scenario = world.scenario.clone();
    let mut coming = Calendar::new();
    for (number, part) in (0..).zip(&peers) {
        coming.push(part.joins, Coming::Join(number));
    }
    for (at, fault) in scenario.faults.iter().enumerate() {
        coming.push(SimTime(seconds(fault.at_s())), Coming::Fault(at));
    }
    let (mut present, mut steps) = (vec![false; peers.len()], Vec::new());
    while let Some((now, what)) = coming.pop_until(world.end) {
        match what {
            Coming::Join(peer) => {
                present[peer as usize] = true;
                match (peers[peer as usize].role, scenario.churn) {
                    // There from the beginning.
                    (Role::Source, _) => continue,
                    (Role::Consumer, Some(churn)) => {
                        let (at, crash) = departure(&churn, now, &mut world.churn_rng);
                        coming.push(at, Coming::Depart { peer, crash });
                    }
                    _ => {}
                }
                steps.push((now, Step::Join(peer)));
            }
            Coming::Depart { peer, crash } => {
                if !std::mem::take(&mut present[peer as usize]) {
                    continue;
                }
                let newcomer = peers.len() as u32;
                let gone = peers[peer as usize];
                let rng = &mut world.churn_rng;
                let spec = draw::spec(&scenario, gone.role, gone.passive, gone.upload_bps, now, rng);
                world.space.add_instead_of(peer);
                peers.push(Part {
                    joins: spec.joins,
                    ..gone
                });
                present.push(false);
                coming.push(spec.joins, Coming::Join(newcomer));
                let step = Step::Leave {
                    peer,
                    crash,
                    newcomer: Some(newcomer),
                };
                steps.push((now, step));
            }
            Coming::SourceReturns => {
                present[0] = true;
                steps.push((now, Step::SourceReturns));
            }
            Coming::Fault(at) => match scenario.faults[at] {
                Fault::Crash { share, .. } | Fault::Leave { share, .. } => {
                    let crash = matches!(scenario.faults[at], Fault::Crash { .. });
                    let there = (0..peers.len() as u32)
                        .filter(|n| present[*n as usize] && peers[*n as usize].role == Role::Consumer)
                        .collect();
                    for peer in choose(there, share, &mut world.churn_rng) {
                        present[peer as usize] = false;
                        let step = Step::Leave {
                            peer,
                            crash,
                            newcomer: None,
                        };
                        steps.push((now, step));
                    }
                }
                Fault::Trackers { share, .. } => steps.push((now, Step::Trackers(share))),
                Fault::Loss { loss, .. } => steps.push((now, Step::Loss(loss))),
                Fault::Restart { away_s, .. } if present[0] => {
                    present[0] = false;
                    steps.push((now, Step::SourceDies));
                    coming.push(now.plus(seconds(away_s)), Coming::SourceReturns);
                }
                // One that is away already cannot go. Scenarios in which uplinks change are refused before.
                Fault::Restart { .. } | Fault::Upload { .. } => {}
            },
        }
    }
    let all = peers.len() as u32;
    let ways = (0..all).flat_map(|a| (0..all).map(move |b| (a, b)));
    Rehearsal {
        drawn: world.drawn.clone(),
        bound_ms,
        soonest_ms,
        window: world.window,
        end: world.end,
        one_way_ns: ways.map(|(a, b)| world.space.one_way_ns(a, b)).collect(),
        peers,
        steps,
        scenario,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(set: &[&str]) -> World {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        World::new(&Scenario::load("planetlab", &set).unwrap(), None).unwrap()
    }

    #[test]
    fn a_rehearsal_has_the_joins_and_departures_of_the_run() {
        let set = [
            "peers.count=12",
            "peers.ri=2",
            "donors.count=2",
            "joins.0.over_s=2",
            "measure.start_s=2",
            "measure.length_s=6",
            "churn={mean_session_s=6}",
            "faults=[{kind='crash',at_s=4,share=0.25},{kind='loss',at_s=5,loss=0.02},\
                {kind='restart',at_s=6,away_s=1.5},{kind='restart',at_s=7,away_s=9}]",
        ];
        let rehearsal = rehearse(world(&set));
        let mut run = world(&set);
        run.run(&mut |_| {}).unwrap();
        let left = |number: usize| {
            let gone = |(at, step): &(SimTime, Step)| match step {
                Step::Leave { peer, .. } if *peer as usize == number => Some(*at),
                _ => None,
            };
            rehearsal.steps.iter().find_map(gone)
        };
        assert_eq!(rehearsal.peers.len(), run.peers.len());
        assert!(run.peers.len() > 18, "some were replaced");
        for (number, (part, peer)) in rehearsal.peers.iter().zip(&run.peers).enumerate() {
            assert_eq!(
                (part.joins, part.upload_bps),
                (peer.spec.joins, peer.spec.upload_bps)
            );
            assert_eq!(left(number), peer.log.left, "{number}");
            let one_way_ns = rehearsal.one_way_ns[number];
            assert_eq!(one_way_ns, run.space.one_way_ns(0, number as u32));
        }
        assert!(rehearsal.steps.is_sorted_by_key(|step| step.0));
        assert!(rehearsal.steps.iter().any(|step| step.1 == Step::Loss(0.02)));
        let of_source = |step: &&(SimTime, Step)| matches!(step.1, Step::SourceDies | Step::SourceReturns);
        let of_source: Vec<_> = rehearsal.steps.iter().filter(of_source).collect();
        let at = |s: f64| SimTime(seconds(s));
        assert_eq!(
            of_source,
            [&(at(6.0), Step::SourceDies), &(at(7.5), Step::SourceReturns)],
            "it cannot go while it is away"
        );
    }
}
