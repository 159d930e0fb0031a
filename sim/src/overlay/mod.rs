//! Scenarios of the overlay by itself, without streams: rings with their look-ups, and coordinates on measured delays.
//!
//! The members are [`doat::Doat`] and [`coords::Vivaldi`], as in the program. Messages take half of a round trip and keep
//! their order; uplinks are not modelled, because what the ring says is a few kilobytes a minute.

mod coordinates;
mod delays;
mod liars;
mod net;
mod outcome;
mod plan;
mod ring;
mod rings;
mod score;
mod table;

pub use coordinates::CoordErrors;
pub use outcome::OverlayOutcome;
pub use plan::{CoordsPlan, OverlayScenario, Partition, RingChurn, RingPlan, RingSpace};
pub use score::{Count, Extra, Hops, LookUps, Quality, Stretch};
pub use table::table;

use crate::driver::Progress;

/// Runs a scenario of the overlay; `progress` hears of it now and then.
///
/// # Errors
/// What is wrong with the scenario, in one sentence; nothing has run then.
pub fn run(
    scenario: &OverlayScenario,
    progress: &mut dyn FnMut(Progress),
) -> Result<OverlayOutcome, crate::ScenarioError> {
    scenario.check()?;
    let mut outcome = OverlayOutcome::new(scenario);
    if let Some(plan) = &scenario.ring {
        rings::run(plan, scenario.seed, &mut outcome, progress);
    }
    if let Some(plan) = &scenario.coords {
        coordinates::run(plan, scenario.seed, &mut outcome, progress);
    }
    outcome.finish();
    Ok(outcome)
}

#[cfg(test)]
mod tests;
