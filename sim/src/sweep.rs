//! Many runs of one scenario: what a setting does, over several seeds.
//!
//! A [`Sweep`] is every combination of the settings that vary, each with every seed. Whoever runs it hands the results
//! to [`summarise`], which takes the median over the seeds and says how far they are apart: a difference between two
//! settings that is smaller than that between two seeds says nothing.

mod summary;
mod words;

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

pub(crate) use summary::parts;
pub use summary::{Row, Spread, Summary, summarise};
pub use words::{Axis, Seeds};

use crate::overlay;
use crate::scenario::Fidelity;
use crate::{Plan, RunError, ScenarioError, Simulation};

/// Runs in one sweep: more are a slip of the finger.
pub const MAX_RUNS: usize = 10_000;

/// What one value of each setting that varies makes, in the order of the axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Keys and values, as given.
    #[serde(serialize_with = "as_map")]
    pub settings: Vec<(String, String)>,
}

fn as_map<S: Serializer>(settings: &[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(settings.iter().map(|(key, value)| (key, value)))
}

impl fmt::Display for Point {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.settings.iter().enumerate() {
            let gap = if at == 0 { "" } else { ", " };
            write!(out, "{gap}{key}={value}")?;
        }
        Ok(())
    }
}

/// One run to make.
pub struct Job {
    /// Which of [`Sweep::points`].
    pub point: usize,
    /// The seed.
    pub seed: u64,
    plan: Plan,
}

/// A sweep, checked as a whole before anything runs.
pub struct Sweep {
    /// The scenario's name.
    pub scenario: String,
    /// All combinations of the settings.
    pub points: Vec<Point>,
    /// All runs: the points in their order, with each of the seeds.
    pub jobs: Vec<Job>,
}

/// A sweep that cannot be run, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// One of the scenarios is none.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Too much at once.
    #[error("{0} runs are too many for one sweep ({MAX_RUNS} at most): vary less, or take fewer seeds")]
    TooMany(usize),
    /// Real programs take their time, and there is one emulated network.
    #[error("the scenario's fidelity is lab: a sweep simulates; leave the key out")]
    Lab,
}

impl Sweep {
    /// All runs of the scenario `name` with `set` applied and the axes varied.
    ///
    /// # Errors
    /// When one of them could not be run, before the first is.
    pub fn new(name: &str, set: &[String], axes: &[Axis], seeds: &Seeds) -> Result<Self, SweepError> {
        let runs = axes
            .iter()
            .map(|axis| axis.values.len())
            .fold(seeds.len(), usize::saturating_mul);
        if runs > MAX_RUNS {
            return Err(SweepError::TooMany(runs));
        }
        let points = points(axes);
        let mut jobs = Vec::with_capacity(runs);
        let mut scenario = name.to_owned();
        for (point, Point { settings }) in points.iter().enumerate() {
            for seed in seeds.iter() {
                let mut set = set.to_vec();
                set.extend(settings.iter().map(|(key, value)| format!("{key}={value}")));
                set.push(format!("seed={seed}"));
                let plan = Plan::load(name, &set)?;
                let named = match &plan {
                    Plan::Swarm(scenario) if scenario.fidelity == Fidelity::Lab => {
                        return Err(SweepError::Lab);
                    }
                    Plan::Swarm(scenario) => &scenario.name,
                    Plan::Overlay(scenario) => &scenario.name,
                    Plan::Streams(scenario) => return Err(scenario.for_the_lab().into()),
                    Plan::Spend(scenario) => return Err(scenario.for_the_lab().into()),
                };
                scenario.clone_from(named);
                jobs.push(Job { point, seed, plan });
            }
        }
        Ok(Sweep {
            scenario,
            points,
            jobs,
        })
    }

    /// Whether there are peers that play.
    pub fn plays(&self) -> bool {
        self.jobs.iter().any(|job| matches!(job.plan, Plan::Swarm(_)))
    }
}

/// Every combination; the last axis changes fastest.
fn points(axes: &[Axis]) -> Vec<Point> {
    let mut points = vec![Point { settings: Vec::new() }];
    for Axis { key, values } in axes {
        let with = |point: &Point, value: &String| {
            let mut settings = point.settings.clone();
            settings.push((key.clone(), value.clone()));
            Point { settings }
        };
        points = points
            .iter()
            .flat_map(|point| values.iter().map(move |value| with(point, value)))
            .collect();
    }
    points
}

impl Job {
    /// The whole scenario after overrides, as it stands in a result.
    pub fn params(&self) -> Value {
        let params = match &self.plan {
            Plan::Swarm(scenario) => serde_json::to_value(scenario),
            Plan::Overlay(scenario) => serde_json::to_value(scenario),
            Plan::Streams(scenario) => serde_json::to_value(scenario),
            Plan::Spend(scenario) => serde_json::to_value(scenario),
        };
        // A scenario is plain data, which always has a form in JSON.
        params.unwrap_or_default()
    }

    /// Runs it; `progress` hears the share that is done. The result is as in a result file, without `wall_s`, which only
    /// who has a clock knows.
    ///
    /// # Errors
    /// As for [`Simulation::run`].
    pub fn run(&self, progress: &mut dyn FnMut(f64)) -> Result<Value, RunError> {
        let mut share = |done: crate::Progress| progress(done.done_s / done.of_s.max(f64::MIN_POSITIVE));
        let result = match &self.plan {
            Plan::Swarm(scenario) => serde_json::to_value(Simulation::new(scenario)?.run(&mut share)?),
            Plan::Overlay(scenario) => serde_json::to_value(overlay::run(scenario, &mut share)?),
            Plan::Streams(scenario) => return Err(scenario.for_the_lab().into()),
            Plan::Spend(scenario) => return Err(scenario.for_the_lab().into()),
        };
        Ok(result.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests;
