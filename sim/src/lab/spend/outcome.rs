//! The result. The fields are described in `docs/SIMULATION.md`.

use serde::Serialize;

use super::plan::SpendScenario;
use crate::lab::discovery::StreamsFacts;

/// A result file.
#[derive(Clone, Debug, Serialize)]
pub struct SpendOutcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The whole scenario after overrides.
    pub params: SpendScenario,
    /// Wall-clock time of the run in seconds; whoever ran it fills it in.
    pub wall_s: f64,
    /// Packets that arrived in the third stream.
    pub events: u64,
    /// Packets lost, of the same.
    pub lost: u64,
    /// And dropped at full uplinks.
    pub uplink_drops: u64,
    /// Programs started.
    pub peers: usize,
    /// Empty: no two runs of real programs are the same.
    pub audit: String,
    /// What was earned and spent.
    pub spend: Spent,
    /// What is known of real programs.
    pub lab: StreamsFacts,
}

/// What was earned and spent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Spent {
    /// What the viewers owed the donor after the first stream.
    pub earned_bytes: u64,
    /// What the strangers owed the viewers after the second one.
    pub between_bytes: u64,
    /// From the start of the donor's program in the third stream until it had spent something at a stranger; absent if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_spent_s: Option<f64>,
    /// What it had spent in the end, at all strangers.
    pub spent_bytes: u64,
    /// At each of them.
    pub at: Vec<SpentAt>,
    /// Continuity in the third stream: the donor's…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub donor_continuity: Option<f64>,
    /// …and the mean of those to whom nobody owes anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idler_continuity: Option<f64>,
    /// Whether the viewer that lost its ledger and the donor say the same of each other in the end.
    pub lost_is_back: bool,
    /// After each stream, between those who took part in it.
    pub agreement: Vec<Agreement>,
}

/// What the donor had of a stranger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpentAt {
    /// Who.
    pub stranger: String,
    /// What this one came to owe the donor by shifts.
    pub shifted_bytes: i64,
    /// What the donor took.
    pub taken_bytes: u64,
    /// The lesser of the two.
    pub spent_bytes: u64,
}

/// How far two sides of each account agree by `headwater trust show`, everybody stopped at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Accounts between two of those who took part.
    pub pairs: usize,
    /// Most that the two sides of one differ by.
    pub apart_bytes_max: u64,
    /// How many differ by no more than what is taken before a receipt is due.
    pub within_receipt: usize,
    /// How many have the same state on both sides, signed by both…
    pub same_state: usize,
    /// …and of those how many the same shifted bytes.
    pub same_shifts: usize,
}
