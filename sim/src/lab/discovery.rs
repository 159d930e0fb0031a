//! Several streams of real programs in one overlay: how newcomers find the nearest tracker of theirs by way of any node, and what
//! becomes of viewers when node after node is killed.

mod continuity;
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
use figures::Facts;
use session::Session;

pub use draw::Draw;
pub use outcome::{
    CoordFit, Discovery, JoinTimes, LateNearest, LifeShare, Lives, Low, Miss, Nearest, Restarts, Steps,
    StreamsFacts, StreamsOutcome, TrackersAt,
};
pub use plan::{EndPlan, KillPlan, LinesPlan, StreamsPlan, StreamsScenario};
pub(super) use table::machine;
pub use table::table;

/// A scenario drawn and found possible.
pub struct StreamsRun {
    scenario: StreamsScenario,
    draw: Draw,
}

impl StreamsRun {
    /// Draws a scenario.
    ///
    /// # Errors
    /// [`LabError::Impossible`] and [`LabError::Scenario`]; nothing has been started.
    pub fn new(scenario: &StreamsScenario) -> Result<Self, LabError> {
        scenario.check().map_err(LabError::Impossible)?;
        Lab::available().map_err(|error| LabError::Impossible(format!("{error:#}")))?;
        Ok(StreamsRun {
            draw: Draw::new(scenario)?,
            scenario: scenario.clone(),
        })
    }

    /// What was drawn.
    pub fn drawn(&self) -> &Draw {
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
    ) -> Result<StreamsOutcome, LabError> {
        let (scenario, draw) = (&self.scenario, &self.draw);
        let failed = |error: anyhow::Error| LabError::Failed(format!("{error:#}"));
        let uplinks = draw.members.iter().map(|_| scenario.streams.upload.as_bps());
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
            area: scenario.streams.area,
        };
        let record = Session::begin(draw, scenario, launcher, interrupted, progress).run()?;
        Ok(figures::outcome(&Facts {
            scenario,
            draw,
            record: &record,
        }))
    }
}

#[cfg(test)]
mod tests;
