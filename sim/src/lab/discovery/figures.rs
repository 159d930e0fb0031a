//! From what was seen of several streams to a result.

use std::collections::BTreeMap;

use coords::Coord;
use coords::coord::distance_ms;

use super::continuity;
use super::draw::{Draw, Member};
use super::outcome::{
    Charge, CoordFit, Discovery, JoinTimes, LateNearest, Miss, Restarts, Steps, StreamsFacts, StreamsOutcome,
    TrackersAt,
};
use super::plan::StreamsScenario;
use super::session::{Life, Record};
use crate::Distribution;
use crate::lab::CoreWait;
use crate::lab::figures;
use crate::lab::statistics::{JoinMs, Line};
use crate::measure::Role;
use crate::time::{SECOND, SimTime};

/// A late viewer's tracker is looked at so long after it came, in milliseconds…
const AT_FIRST_MS: f64 = 4000.0;
/// …and so long: the race is run anew 30 s after the first answer, and takes a moment.
const AGAIN_MS: f64 = 35_000.0;

/// Two trackers that are equally near within this are both the nearest, in milliseconds.
const TIE_MS: f64 = 1.0;

/// A sample says how things are until the next one, which may be late on a busy machine.
const FRESH_MS: f64 = 2500.0;

/// Trackers are counted so often.
const COUNT_EVERY_S: u64 = 5;

/// What all figures need.
pub(super) struct Facts<'a> {
    pub(super) scenario: &'a StreamsScenario,
    pub(super) draw: &'a Draw,
    pub(super) record: &'a Record,
}

pub(super) fn outcome(facts: &Facts<'_>) -> StreamsOutcome {
    let (scenario, record) = (facts.scenario, facts.record);
    StreamsOutcome {
        scenario: scenario.name.clone(),
        seed: scenario.seed,
        params: scenario.clone(),
        wall_s: 0.0,
        events: figures::received(&record.counters),
        lost: figures::drops(&record.counters, "loss"),
        uplink_drops: figures::drops(&record.counters, "up_queue"),
        peers: record.lives.len(),
        audit: String::new(),
        discovery: Discovery {
            median_rtt_ms: facts.draw.median_rtt_ms(),
            join_ms: JoinTimes {
                late: facts.steps(|member| member.late),
                all: facts.steps(|_| true),
            },
            late_nearest: facts.late_nearest(),
            coords: facts.coords(),
            continuity: continuity::lives(facts),
            restarts: facts.restarts(),
            trackers_at: facts.trackers_at(),
            charged: facts.charged(),
        },
        lab: facts.lab(),
    }
}

impl Facts<'_> {
    pub(super) fn member(&self, life: &Life) -> &Member {
        &self.draw.members[life.node as usize]
    }

    /// An instant of the run on the lab's clock.
    pub(super) fn at_ns(&self, at: SimTime) -> u64 {
        self.record.began_ns + at.0
    }

    fn unix_ms(&self, at: SimTime) -> f64 {
        self.record.clock.unix_ms(self.at_ns(at))
    }

    /// What a node said at an instant, if it ran.
    fn said(&self, node: u32, unix_ms: f64) -> Option<&Line> {
        let clock = &self.record.clock;
        let there = |life: &&Life| {
            let left = life
                .remains
                .left_ns
                .is_none_or(|left| clock.unix_ms(left) > unix_ms);
            life.node == node && left && clock.unix_ms(life.remains.started_ns) <= unix_ms
        };
        let life = self.record.lives.iter().find(there)?;
        let line = life.remains.statistics.at(unix_ms)?;
        (line.t_ms + FRESH_MS >= unix_ms).then_some(line)
    }

    /// The trackers of a stream at an instant.
    fn trackers(&self, stream: usize, unix_ms: f64) -> impl Iterator<Item = u32> {
        let members = (0..).zip(&self.draw.members);
        let of_stream = members.filter(move |(_, member)| member.stream == stream);
        of_stream
            .map(|(number, _)| number)
            .filter(move |number| self.said(*number, unix_ms).is_some_and(|line| line.is_tracker))
    }

    fn first_lives(&self) -> impl Iterator<Item = &Life> {
        self.record.lives.iter().filter(|life| life.nth == 1)
    }

    fn steps(&self, which: impl Fn(&Member) -> bool) -> Steps {
        let viewers = self.first_lives().filter(|life| {
            let member = self.member(life);
            member.role == Role::Consumer && which(member)
        });
        let joins: Vec<JoinMs> = viewers.map(join_of).collect();
        let of = |step: fn(&JoinMs) -> Option<f64>| Distribution::of(joins.iter().filter_map(step).collect());
        let tracker = of(|join| join.tracker);
        Steps {
            viewers: joins.len(),
            unanswered: joins.iter().filter(|join| join.tracker.is_none()).count(),
            coord: of(|join| join.coord),
            doat: of(|join| join.doat),
            first_chunk: of(|join| join.first_chunk),
            tracker_x: tracker.p95 / self.draw.median_rtt_ms(),
            tracker,
        }
    }

    /// Whose key is whose.
    fn numbers(&self) -> BTreeMap<&str, u32> {
        let lives = self.record.lives.iter();
        lives
            .filter_map(|life| Some((life.remains.statistics.last()?.peer.as_str(), life.node)))
            .collect()
    }

    fn charged(&self) -> Vec<Charge> {
        let numbers = self.numbers();
        let name = |peer: &String| {
            let number = numbers.get(peer.as_str());
            number.map_or_else(|| peer.clone(), |number| self.draw.name(*number))
        };
        let lives = self.record.lives.iter();
        let charges = lives.flat_map(|life| {
            let by = self.draw.name(life.node);
            let charged = life.remains.statistics.charged().iter();
            charged.map(move |(peer, standing)| (by.clone(), peer, *standing))
        });
        charges
            .map(|(by, peer, standing)| Charge {
                by,
                of: name(peer),
                standing,
            })
            .collect()
    }

    fn late_nearest(&self) -> LateNearest {
        let numbers = self.numbers();
        let until_ns = match self.draw.kills {
            0 => self.record.ended_ns,
            _ => self.at_ns(self.draw.phases.kills),
        };
        let until_ms = self.record.clock.unix_ms(until_ns);
        let mut found = LateNearest::default();
        for life in self.first_lives().filter(|life| self.member(life).late) {
            let came_ms = self.record.clock.unix_ms(life.remains.started_ns);
            let rtt_ms = |other: u32| self.draw.rtt_ms(life.node, other);
            let there: Vec<u32> = self.trackers(self.member(life).stream, came_ms).collect();
            let nearest = there
                .iter()
                .copied()
                .min_by(|a, b| rtt_ms(*a).total_cmp(&rtt_ms(*b)));
            let Some(nearest) = nearest else {
                continue;
            };
            found.with_choice += usize::from(there.len() > 1);
            let looks = [(AT_FIRST_MS, &mut found.at_first), (AGAIN_MS, &mut found.again)];
            for (after_ms, hits) in looks
                .into_iter()
                .filter(|(after_ms, _)| came_ms + after_ms <= until_ms)
            {
                hits.of += 1;
                let line = self.said(life.node, came_ms + after_ms);
                let own = line.and_then(|line| line.tracker.as_ref());
                let own = own.and_then(|tracker| numbers.get(tracker.peer.as_str()).copied());
                let itself = line.is_some_and(|line| line.is_tracker);
                if itself || own.is_some_and(|own| rtt_ms(own) <= rtt_ms(nearest) + TIE_MS) {
                    hits.nearest += 1;
                    continue;
                }
                found.misses.push(Miss {
                    viewer: self.draw.name(life.node),
                    after_s: after_ms / 1e3,
                    tracker: own.map(|own| self.draw.name(own)),
                    rtt_ms: own.map(rtt_ms),
                    nearest: self.draw.name(nearest),
                    nearest_ms: rtt_ms(nearest),
                });
            }
        }
        found
    }

    fn coords(&self) -> CoordFit {
        let at_rest = self.unix_ms(self.draw.phases.kills);
        let place = |node: u32| {
            let place = self.said(node, at_rest)?.coord;
            let coord = Coord::checked(place.x_ms, place.y_ms, place.height_ms).ok()?;
            Some((node, coord))
        };
        let places: Vec<(u32, Coord)> = (0..self.draw.members.len() as u32).filter_map(place).collect();
        let pairs = places
            .iter()
            .enumerate()
            .flat_map(|(at, a)| places[..at].iter().map(move |b| (a, b)));
        let errors = pairs
            .map(|((a, here), (b, there))| {
                let rtt_ms = self.draw.rtt_ms(*a, *b);
                (distance_ms(here, there) - rtt_ms).abs() / rtt_ms
            })
            .collect();
        CoordFit {
            nodes: places.len(),
            median_rel_error: Distribution::of(errors).p50,
        }
    }

    fn restarts(&self) -> Restarts {
        // A peercaster keeps a tracker itself and asks for none.
        let asks = |life: &&Life| self.member(life).role != Role::Source;
        let again = self.record.lives.iter().filter(|life| life.nth > 1).filter(asks);
        let answers: Vec<Option<f64>> = again.map(|life| join_of(life).tracker).collect();
        Restarts {
            nodes: answers.len(),
            unanswered: answers.iter().filter(|answer| answer.is_none()).count(),
            tracker_ms: Distribution::of(answers.into_iter().flatten().collect()),
        }
    }

    fn trackers_at(&self) -> Vec<TrackersAt> {
        let to_s = (self.record.ended_ns - self.record.began_ns) / SECOND;
        (1..=to_s / COUNT_EVERY_S)
            .map(|n| {
                let at_s = n * COUNT_EVERY_S;
                let unix_ms = self.unix_ms(SimTime(at_s * SECOND));
                let count = |stream| self.trackers(stream, unix_ms).count();
                TrackersAt {
                    at_s,
                    trackers: (0..self.scenario.streams.count).map(count).collect(),
                }
            })
            .collect()
    }

    fn lab(&self) -> StreamsFacts {
        let record = self.record;
        let kills_ns = self.at_ns(self.draw.phases.kills);
        let split = record.waited.partition_point(|(at_ns, _)| *at_ns <= kills_ns);
        let (before, later) = record.waited.split_at(split);
        let lives = record.lives.iter().map(|life| &life.remains);
        let core_wait = CoreWait::over(before);
        let mut facts = StreamsFacts {
            core_wait_later: (self.draw.kills > 0).then(|| CoreWait::over(later)),
            ..figures::of_programs(
                lives,
                &record.clock,
                &record.counters,
                core_wait,
                &record.problems,
            )
        };
        facts.problems.extend(self.charged().iter().map(|charge| {
            format!(
                "{} took {} for a liar, whose standing fell to {:.2}",
                charge.by, charge.of, charge.standing
            )
        }));
        facts
    }
}

fn join_of(life: &Life) -> JoinMs {
    life.remains
        .statistics
        .last()
        .map_or_else(JoinMs::default, |line| line.join_ms)
}
