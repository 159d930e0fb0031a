//! The driver: pops an event, calls the node it concerns, does what the node wants done.

mod actor;
mod alarm;
mod attack;
mod draw;
mod earlier;
mod encoder;
mod faults;
mod giving;
mod ids;
mod ledger;
mod outcome;
mod outputs;
mod picture;
mod rehearsal;
mod trace;
mod wiring;
mod world;

use crate::measure::Histogram;
use crate::scenario::{Scenario, ScenarioError};

pub use attack::RegionResult;
pub use draw::Drawn;
pub(crate) use draw::{Purpose, rng};
pub(crate) use encoder::{KEYFRAME_MS, rates};
pub use giving::{Giving, Shifts};
pub use outcome::{BoundMs, MessageCount, Outcome, PacketFacts, SoonestMs};
pub(crate) use outcome::{CURVE_POINTS, TrackerCount};
pub use picture::{Moment, Spot};
pub(crate) use rehearsal::{Rehearsal, Step};

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Seconds simulated.
    pub done_s: f64,
    /// Seconds to simulate in all.
    pub of_s: f64,
    /// Events so far.
    pub events: u64,
    /// Chunk deliveries so far.
    pub deliveries: u64,
}

/// A run that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario cannot be drawn, such as a matrix file that cannot be read.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Something happened that must not: a defect of the protocol or of the simulator.
    #[error("an invariant is broken at {at_s:.6} s (event {event}, seed {seed}) at peer {peer}: {what}")]
    Violation {
        /// When, in seconds of the run.
        at_s: f64,
        /// At which event.
        event: u64,
        /// The run's seed.
        seed: u64,
        /// The number of the peer; 0 is the peercaster.
        peer: u32,
        /// What was broken.
        what: String,
    },
}

/// A scenario with everything drawn, ready to run.
pub struct Simulation {
    world: world::World,
}

impl Simulation {
    /// Draws places, uplinks, clocks and joins from the scenario's seed.
    ///
    /// # Errors
    /// [`RunError::Scenario`] when its delay space cannot be made.
    pub fn new(scenario: &Scenario) -> Result<Self, RunError> {
        Ok(Simulation {
            world: world::World::new(scenario, None)?,
        })
    }

    /// What was drawn.
    pub fn drawn(&self) -> &Drawn {
        &self.world.drawn
    }

    /// Who will join and go when, without running anything: for real processes to do the same.
    pub(crate) fn rehearse(self) -> Rehearsal {
        rehearsal::rehearse(self.world)
    }

    /// Writes down what these peers do and are told in so many seconds after joining: see [`Outcome::trace`].
    #[must_use]
    pub fn trace(mut self, peers: &[u32], for_s: f64) -> Self {
        self.world.trace = trace::Trace::new(peers, crate::time::seconds(for_s));
        self
    }

    /// Runs to the end; `progress` is told four times a simulated second.
    ///
    /// # Errors
    /// [`RunError::Violation`] when an invariant breaks.
    pub fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Outcome, RunError> {
        let bound_ms = outcome::bound(&self.world);
        let soonest_ms = outcome::soonest(&self.world);
        let scenario = self.world.scenario.clone();
        self.world.run(progress)?;
        let mut outcome = outcome::conclude(self.world, bound_ms, soonest_ms);
        for baseline in scenario.baselines.iter().copied() {
            let mut world = world::World::new(&scenario, Some(baseline))?;
            world.run(progress)?;
            let curve = world.lags.curve(outcome::CURVE_POINTS);
            outcome.others.push((baseline.name().to_owned(), curve));
            outcome.results.insert(
                baseline.name().to_owned(),
                outcome::results(&world, &mut Histogram::new()),
            );
        }
        Ok(outcome)
    }
}

/// Draws and runs a scenario.
///
/// # Errors
/// As for [`Simulation::new`] and [`Simulation::run`].
pub fn run(scenario: &Scenario) -> Result<Outcome, RunError> {
    Simulation::new(scenario)?.run(&mut |_| {})
}
