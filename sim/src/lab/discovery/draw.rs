//! Who is where, comes when and is killed in which order, drawn before anything starts.

use std::fmt;

use rand::RngExt;
use rand::seq::SliceRandom;
use wire::Bitrate;

use super::plan::{StreamsPlan, StreamsScenario};
use crate::driver::{Purpose, rng};
use crate::measure::Role;
use crate::space::DelaySpace;
use crate::time::{MS, SimTime, seconds};
use crate::{Distribution, ScenarioError};

/// Between the starts of two peercasters: the one before has entered the overlay by then.
const PEERCASTERS_APART_S: f64 = 2.0;

/// A node, as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) role: Role,
    pub(crate) stream: usize,
    /// One of those viewers that come late.
    pub(crate) late: bool,
    pub(crate) joins: SimTime,
}

/// When the parts of a run begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Phases {
    /// All who are not late have come.
    pub(crate) settled: SimTime,
    /// The late ones have been watched; nodes are killed from now on.
    pub(crate) kills: SimTime,
    pub(crate) end: SimTime,
}

/// All that is known of a run before it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Draw {
    seed: u64,
    rate: Bitrate,
    /// The peercasters, in the order of their streams, then viewers, then donors.
    pub(crate) members: Vec<Member>,
    /// One-way delays between all of them, row by row.
    pub(crate) one_way_ns: Vec<u64>,
    /// In which order nodes are killed, those first that keep a tracker by then.
    pub(crate) kill_order: Vec<u32>,
    /// In which order viewers are asked to end.
    pub(crate) end_order: Vec<u32>,
    /// How many are killed.
    pub(crate) kills: usize,
    pub(crate) phases: Phases,
}

impl Draw {
    /// Draws a scenario that has been checked.
    ///
    /// # Errors
    /// When its space cannot be read.
    pub(crate) fn new(scenario: &StreamsScenario) -> Result<Self, ScenarioError> {
        let plan = &scenario.streams;
        let mut space = DelaySpace::new(&scenario.space, rng(scenario.seed, Purpose::Space))?;
        (1..plan.nodes).for_each(|_| space.add());
        let one_way_ns = |a: u32, b: u32| space.one_way_ns(a, b);
        let mut rng = rng(scenario.seed, Purpose::Streams);
        let peercasters = far_apart(plan.nodes as u32, plan.count, one_way_ns);
        let mut others: Vec<u32> = (0..plan.nodes as u32)
            .filter(|place| !peercasters.contains(place))
            .collect();
        others.shuffle(&mut rng);
        let places = [peercasters, others].concat();

        let settled_s = PEERCASTERS_APART_S * plan.count as f64 + plan.over_s;
        let late_s = settled_s + plan.settle_s;
        let viewers = plan.viewers();
        let streams = [viewers, plan.donors()].map(|count| dealt(plan, count));
        let mut member = |number: usize| {
            let (role, nth) = match number.checked_sub(plan.count) {
                None => (Role::Source, number),
                Some(nth) if nth < viewers => (Role::Consumer, nth),
                Some(nth) => (Role::Donor, nth - viewers),
            };
            let late = (role == Role::Consumer).then(|| (nth + plan.late).checked_sub(viewers));
            let joins_s = match (role, late.flatten()) {
                (Role::Source, _) => PEERCASTERS_APART_S * number as f64,
                (_, Some(nth)) => late_s + plan.late_every_s * nth as f64,
                _ => settled_s - plan.over_s * rng.random::<f64>(),
            };
            Member {
                role,
                stream: match role {
                    Role::Source => number,
                    Role::Donor => streams[1][nth],
                    _ => streams[0][nth],
                },
                late: late.flatten().is_some(),
                joins: SimTime(seconds(joins_s)),
            }
        };
        let members: Vec<Member> = (0..plan.nodes).map(&mut member).collect();

        let mut kill_order: Vec<u32> = (0..plan.nodes as u32).collect();
        let mut end_order: Vec<u32> = kill_order[plan.count..][..viewers].to_vec();
        kill_order.shuffle(&mut rng);
        end_order.shuffle(&mut rng);
        let kill = &scenario.kill;
        let kills = match kill.every_s > 0.0 {
            true => kill.most.min(kill_order.len()),
            false => 0,
        };
        let watched_s = match plan.late.checked_sub(1) {
            Some(last) => late_s + plan.late_every_s * last as f64 + plan.watch_s,
            None => late_s,
        };
        let back_s = match kills.checked_sub(1) {
            Some(last) => watched_s + kill.every_s * last as f64 + kill.away_s,
            None => watched_s,
        };
        let last_s = scenario.end.map_or(back_s, |end| end.at_s.max(back_s));
        Ok(Draw {
            seed: scenario.seed,
            rate: scenario.stream.rate,
            members,
            one_way_ns: places
                .iter()
                .flat_map(|a| places.iter().map(move |b| one_way_ns(*a, *b)))
                .collect(),
            kill_order,
            end_order,
            kills,
            phases: Phases {
                settled: SimTime(seconds(settled_s)),
                kills: SimTime(seconds(watched_s)),
                end: SimTime(seconds(last_s + plan.drain_s)),
            },
        })
    }

    /// The round trip between two nodes by the matrix, in milliseconds.
    pub(crate) fn rtt_ms(&self, a: u32, b: u32) -> f64 {
        let row = a as usize * self.members.len();
        2.0 * self.one_way_ns[row + b as usize] as f64 / MS as f64
    }

    /// The median round trip between two of the nodes, in milliseconds.
    pub(crate) fn median_rtt_ms(&self) -> f64 {
        let all = self.members.len() as u32;
        let pairs = (0..all).flat_map(|a| (0..a).map(move |b| (a, b)));
        Distribution::of(pairs.map(|(a, b)| self.rtt_ms(a, b)).collect()).p50
    }

    /// What its programs and their files are called.
    pub(crate) fn name(&self, number: u32) -> String {
        let what = match self.members[number as usize].role {
            Role::Source => "source",
            Role::Donor => "donor",
            _ => "viewer",
        };
        format!("{what}{number}")
    }

    /// Numbers of the peercasters, one for each stream.
    pub(crate) fn sources(&self) -> impl Iterator<Item = u32> {
        let count = self.members.iter().filter(|member| member.role == Role::Source);
        0..count.count() as u32
    }

    fn count(&self, role: Role) -> usize {
        self.members.iter().filter(|member| member.role == role).count()
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = self.members.iter().filter(|member| member.late).count();
        write!(
            out,
            "seed {}: {} streams of {}, {} viewers, {late} of them late, {} donors, median round trip {:.1} ms, {} kills, {:.0} s",
            self.seed,
            self.count(Role::Source),
            self.rate,
            self.count(Role::Consumer),
            self.count(Role::Donor),
            self.median_rtt_ms(),
            self.kills,
            self.phases.end.as_seconds(),
        )
    }
}

/// The stream of each of so many, by the method of d'Hondt: always the one that has least for its share with one more.
fn dealt(plan: &StreamsPlan, count: usize) -> Vec<usize> {
    let share = |stream: usize| plan.shares.get(stream).copied().unwrap_or(1.0);
    let mut has = vec![0; plan.count];
    let mut next = |_| {
        let with_one_more = |stream: &usize| f64::from(has[*stream] + 1) / share(*stream);
        let least = |a: &usize, b: &usize| with_one_more(a).total_cmp(&with_one_more(b));
        let stream = (0..plan.count).min_by(least).unwrap_or_default();
        has[stream] += 1;
        stream
    };
    (0..count).map(&mut next).collect()
}

/// So many of these nodes, far from each other: the two that are farthest apart, then always the one whose nearest of those chosen
/// is farthest.
fn far_apart(nodes: u32, count: usize, way: impl Fn(u32, u32) -> u64) -> Vec<u32> {
    let pairs = (0..nodes).flat_map(|a| (0..a).map(move |b| (b, a)));
    let farthest = pairs.max_by_key(|(a, b)| way(*a, *b));
    let mut chosen: Vec<u32> = farthest.map_or_else(Vec::new, |(a, b)| vec![a, b]);
    chosen.truncate(count);
    while chosen.len() < count {
        let others = (0..nodes).filter(|node| !chosen.contains(node));
        let nearest = |node: &u32| chosen.iter().map(|one| way(*one, *node)).min();
        let Some(next) = others.max_by_key(nearest) else {
            break;
        };
        chosen.push(next);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;

    fn draw(set: &[&str]) -> Draw {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        match Plan::load("discovery", &set).unwrap() {
            Plan::Streams(scenario) => Draw::new(&scenario).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_one_does_not() {
        assert_eq!(draw(&[]), draw(&[]));
        assert_ne!(draw(&[]).one_way_ns, draw(&["seed=4"]).one_way_ns);
        assert_ne!(draw(&[]).kill_order, draw(&["seed=4"]).kill_order);
    }

    #[test]
    fn the_scenario_in_the_box_has_its_members() {
        let draw = draw(&["streams.shares=[]"]);
        let of = |role: Role| draw.members.iter().filter(move |member| member.role == role);
        assert_eq!(
            [Role::Source, Role::Consumer, Role::Donor].map(|role| of(role).count()),
            [3, 27, 10]
        );
        for stream in 0..3 {
            assert_eq!(of(Role::Consumer).filter(|m| m.stream == stream).count(), 9);
            assert!((3..=4).contains(&of(Role::Donor).filter(|m| m.stream == stream).count()));
            assert!(
                (3..=4).contains(
                    &of(Role::Consumer)
                        .filter(|m| m.stream == stream && m.late)
                        .count()
                )
            );
        }
        let at = |s: f64| SimTime(seconds(s));
        let late: Vec<SimTime> = draw.members.iter().filter(|m| m.late).map(|m| m.joins).collect();
        assert_eq!(
            late,
            [81, 86, 91, 96, 101, 106, 111, 116, 121, 126].map(|s| at(f64::from(s)))
        );
        let early = draw.members.iter().filter(|m| !m.late && m.role != Role::Source);
        assert!(early.clone().all(|m| (at(6.0)..=at(36.0)).contains(&m.joins)));
        assert_eq!(draw.kills, 40);
        // 40 s after the last late one 39 intervals of 5 s, 4 s away, and a rest of 10 s.
        let phases = [draw.phases.settled, draw.phases.kills, draw.phases.end];
        assert_eq!(phases, [36.0, 166.0, 375.0].map(at));
        let mut order = draw.kill_order.clone();
        order.sort_unstable();
        assert!(order.into_iter().eq(0..40));
        assert!(draw.end_order.iter().all(|n| (3..30).contains(n)));
        assert!((100.0..250.0).contains(&draw.median_rtt_ms()), "{draw}");
    }

    #[test]
    fn streams_have_their_shares() {
        let draw = draw(&[]);
        let of = |stream: usize, late: bool| {
            let members = draw.members.iter();
            let of_stream =
                members.filter(|m| m.stream == stream && (m.late || !late) && m.role != Role::Source);
            of_stream.count()
        };
        assert_eq!([0, 1, 2].map(|stream| of(stream, false)), [27, 5, 5]);
        assert!((6..=7).contains(&of(0, true)));
        // The first one is split before the late ones come.
        assert!(of(0, false) - of(0, true) > 16);
    }

    #[test]
    fn peercasters_are_far_apart() {
        let draw = draw(&[]);
        let nearest = [(0, 1), (0, 2), (1, 2)].map(|(a, b)| draw.rtt_ms(a, b));
        let least = nearest.into_iter().fold(f64::INFINITY, f64::min);
        assert!(least > 1.5 * draw.median_rtt_ms(), "{nearest:?}, {draw}");
        // On a line: the ends, then the middle.
        let line = |a: u32, b: u32| u64::from(a.abs_diff(b));
        assert_eq!(far_apart(9, 3, line), [0, 8, 4]);
        assert_eq!(far_apart(9, 1, line).len(), 1);
    }

    #[test]
    fn an_end_and_no_kills_move_the_end() {
        let draw = draw(&["kill.every_s=0", "end={share=0.6,at_s=300}", "streams.late=0"]);
        assert_eq!(draw.kills, 0);
        assert_eq!(draw.phases.kills, SimTime(seconds(81.0)));
        assert_eq!(draw.phases.end, SimTime(seconds(310.0)));
    }
}
