//! The lab: a scenario with real programs over an emulated network, in real time. What a run draws is drawn here, too; what
//! it measures is measured from outside, and what only the programs know is taken from their statistics.

mod clock;
mod content;
mod cores;
pub mod discovery;
mod figures;
mod limits;
mod network;
mod pace;
mod probe;
mod processes;
mod session;
pub mod spend;
mod statistics;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use netlab::Lab;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::driver::{Drawn, Outcome, Rehearsal, RunError, Simulation};
use crate::scenario::{Fidelity, Scenario, ScenarioError};
use processes::Launcher;
use session::Session;

pub use cores::CoreWait;

/// Beyond this share of waiting for a core the machine is part of what was measured.
const BUSY: f64 = 0.05;
/// And beyond this share of packets that the emulator delivered late.
const LATE: f64 = 0.01;

/// What a lab needs beside its scenario.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The program `headwater`.
    pub headwater: PathBuf,
    /// An existing folder for statistics, logs and states.
    pub folder: PathBuf,
}

/// How far a lab is.
#[derive(Clone, Copy, Debug)]
pub struct LabProgress {
    /// Seconds since the stream began.
    pub done_s: f64,
    /// Seconds in all.
    pub of_s: f64,
    /// Viewers and donors there.
    pub running: usize,
}

/// A lab that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The scenario cannot be drawn.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Real programs cannot do what it says, or this machine has no place for them.
    #[error("{0}")]
    Impossible(String),
    /// Something failed while it ran.
    #[error("{0}")]
    Failed(String),
    /// The user wants no more.
    #[error("interrupted")]
    Interrupted,
}

impl From<RunError> for LabError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Scenario(error) => LabError::Scenario(error),
            RunError::Violation { .. } => LabError::Failed(error.to_string()),
        }
    }
}

/// What is known of a run of real programs only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LabFacts {
    /// Share of the window that programs waited for a core.
    pub core_wait: CoreWait,
    /// Share of the window's packets that the emulator delivered more than a millisecond late.
    pub late_packets: f64,
    /// Bytes of IP packets that were sent for each byte of the stream that a viewer put out, in the window.
    pub network_bytes_per_delivered_byte: f64,
    /// Bytes that viewers put out which are not as they were sent.
    pub wrong_bytes: u64,
    /// CPU time of a viewer for each minute, in seconds, on average.
    pub cpu_s_per_viewer_minute: f64,
    /// Memory of the largest viewer.
    pub rss_bytes_max: u64,
    /// Keys of the scenario that real programs do not follow, and need not.
    pub not_followed: Vec<String>,
    /// Why the figures may not be trusted.
    pub warnings: Vec<String>,
    /// What must not happen and did.
    pub problems: Vec<String>,
}

/// Keys that have no effect: all programs read the machine's clock, and all acknowledge.
const NOT_FOLLOWED: [&str; 2] = ["network.clock_offset_s", "network.acks"];

/// A scenario drawn and found possible.
pub struct LabRun {
    rehearsal: Rehearsal,
}

impl LabRun {
    /// Draws a scenario.
    ///
    /// # Errors
    /// [`LabError::Impossible`] and [`LabError::Scenario`]; nothing has been started.
    pub fn new(scenario: &Scenario) -> Result<Self, LabError> {
        limits::check(scenario).map_err(LabError::Impossible)?;
        Lab::available().map_err(|error| LabError::Impossible(format!("{error:#}")))?;
        let mut rehearsal = Simulation::new(scenario)?.rehearse();
        rehearsal.scenario.fidelity = Fidelity::Lab;
        Ok(LabRun { rehearsal })
    }

    /// What was drawn.
    pub fn drawn(&self) -> &Drawn {
        &self.rehearsal.drawn
    }

    /// Runs it in real time; whatever happens, nothing stays behind. `progress` is told four times a second.
    ///
    /// # Errors
    /// [`LabError`] when it did not come to its end. What went wrong but did not end it is in the outcome.
    pub fn run(
        self,
        options: &LabOptions,
        interrupted: &AtomicBool,
        progress: &mut dyn FnMut(LabProgress),
    ) -> Result<Outcome, LabError> {
        let rehearsal = &self.rehearsal;
        let failed = |error: anyhow::Error| LabError::Failed(format!("{error:#}"));
        let lab = Lab::start(&network::network(rehearsal).map_err(failed)?).map_err(failed)?;
        let launcher = Launcher {
            lab: &lab,
            clock: clock::Clock::start(),
            program: &options.headwater,
            folder: &options.folder,
            stream: &rehearsal.scenario.stream,
            area: rehearsal.scenario.tracker.split_above,
        };
        let record = Session::begin(rehearsal, launcher, interrupted, progress)?.run()?;
        Ok(figures::outcome(&self.rehearsal, &record))
    }
}

/// Where `headwater` is when nobody says: beside this program.
///
/// # Errors
/// One sentence when it is not there.
pub fn program_beside(own: &Path) -> Result<PathBuf, String> {
    let path = own.with_file_name(format!("headwater{}", std::env::consts::EXE_SUFFIX));
    if path.is_file() {
        return Ok(path);
    }
    Err(format!(
        "there is no {}; build it with cargo build --release, or name it with --headwater",
        path.display()
    ))
}

/// Figures of a result that nobody can see from outside, by path.
const UNSEEN: [&[&str]; 13] = [
    &["expired"],
    &["bans"],
    &["trackers"],
    &["control"],
    &["results", "headwater", "start_stages_ms"],
    &["results", "headwater", "hops"],
    &["results", "headwater", "clock_error_ms"],
    &["results", "headwater", "consumers", "start_stages_ms"],
    &["results", "headwater", "consumers", "hops"],
    &["results", "headwater", "consumers", "clock_error_ms"],
    &["results", "headwater", "donors", "start_stages_ms"],
    &["results", "headwater", "donors", "hops"],
    &["results", "headwater", "donors", "clock_error_ms"],
];

/// Takes out of a lab's result what was not measured: a zero would be a lie.
pub fn without_unseen(mut result: Value) -> Value {
    for path in UNSEEN {
        let Some((last, parents)) = path.split_last() else {
            continue;
        };
        let mut at = Some(&mut result);
        for key in parents {
            at = at.and_then(|value| value.get_mut(key));
        }
        if let Some(Value::Object(map)) = at {
            map.remove(*last);
        }
    }
    result
}

#[allow(clippy::disallowed_methods)] // Real programs run in real time, and the lab waits with them.
fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_not_measured_is_left_out() {
        let result = json!({"bans": 0, "lost": 3, "results": {"headwater": {"hops": {"mean": 0}, "lag_ms": {"p50": 3},
            "consumers": {"hops": 0}}}});
        let left = json!({"lost": 3, "results": {"headwater": {"lag_ms": {"p50": 3}, "consumers": {}}}});
        assert_eq!(without_unseen(result), left);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = program_beside(Path::new("/nowhere/headwater-sim")).unwrap_err();
        assert!(
            error.contains("/nowhere/headwater") && error.contains("--headwater"),
            "{error}"
        );
    }
}
