//! Earned in one stream and spent in another, with real programs: a donor gives to viewers, those to strangers in a second stream,
//! and in a third one nobody gives but the strangers. Between the streams everything is stopped, one program by SIGKILL, and one
//! ledger is lost.

mod accounts;
mod draw;
mod figures;
mod outcome;
mod plan;
mod session;
mod table;

use std::sync::atomic::AtomicBool;

use netlab::Lab;

use super::clock::Clock;
use super::network;
use super::processes::Launcher;
use super::{LabError, LabOptions, LabProgress};
use session::Session;

pub use draw::SpendDraw;
pub use outcome::{Agreement, SpendOutcome, Spent, SpentAt};
pub use plan::{SpendPlan, SpendScenario};
pub use table::table;

/// A scenario drawn and found possible.
pub struct SpendRun {
    scenario: SpendScenario,
    draw: SpendDraw,
}

impl SpendRun {
    /// Draws a scenario.
    ///
    /// # Errors
    /// [`LabError::Impossible`] and [`LabError::Scenario`]; nothing has been started.
    pub fn new(scenario: &SpendScenario) -> Result<Self, LabError> {
        scenario.check().map_err(LabError::Impossible)?;
        Lab::available().map_err(|error| LabError::Impossible(format!("{error:#}")))?;
        Ok(SpendRun {
            draw: SpendDraw::new(scenario)?,
            scenario: scenario.clone(),
        })
    }

    /// What was drawn.
    pub fn drawn(&self) -> &SpendDraw {
        &self.draw
    }

    /// Runs it in real time; whatever happens, nothing stays behind. `progress` is told four times a second.
    ///
    /// # Errors
    /// [`LabError`] when it did not come to its end. What went wrong but did not end it is in the outcome.
    pub fn run(
        &self,
        options: &LabOptions,
        interrupted: &AtomicBool,
        progress: &mut dyn FnMut(LabProgress),
    ) -> Result<SpendOutcome, LabError> {
        let (scenario, draw) = (&self.scenario, &self.draw);
        let failed = |error: anyhow::Error| LabError::Failed(format!("{error:#}"));
        let uplinks = draw.members.iter().map(|member| member.upload_bps);
        let network = network::emulated(
            scenario.seed,
            scenario.network.treatment(),
            uplinks,
            draw.one_way_ns.clone(),
        );
        let lab = Lab::start(&network.map_err(failed)?).map_err(failed)?;
        let launcher = Launcher {
            lab: &lab,
            clock: Clock::start(),
            program: &options.headwater,
            folder: &options.folder,
            stream: &scenario.stream,
            area: AREA,
        };
        let record = Session::begin(draw, scenario, launcher, interrupted, progress).run()?;
        Ok(figures::outcome(scenario, draw, &record))
    }
}

/// More than there are: each stream has one tracker.
const AREA: usize = 1000;

#[cfg(test)]
mod tests;
