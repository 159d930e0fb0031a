//! The simulator: the same [`swarm::Node`] as the program's, driven in virtual time over a modelled network.
//!
//! A run is a pure function of a [`Scenario`] and its seed: [`run()`] pops an event, calls the node it concerns,
//! queues what the node wants done, and folds the event into a running hash. Same scenario, same seed, same hash.

mod audit;
mod baseline;
pub mod bound;
mod driver;
pub mod lab;
mod measure;
mod net;
pub mod overlay;
mod queue;
pub mod report;
pub mod scenario;
mod space;
pub mod sweep;
mod time;
mod words;

pub use baseline::Baseline;
pub use driver::{
    BoundMs, Drawn, Giving, MessageCount, Moment, Outcome, PacketFacts, Progress, RegionResult, RunError,
    Shifts, Simulation, SoonestMs, Spot, run,
};
pub use measure::{
    Band, ClockError, Continuity, Distribution, Group, Groups, HopCount, InTime, PeerRow, Results,
    RoleResult, Stages, Start,
};
pub use scenario::{Plan, Scenario, ScenarioError};
pub use words::plain;
