//! What `headwater trust show` says, and how far two sides agree.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::outcome::Agreement;
use crate::lab::LabError;

/// What two sides may differ by that were stopped in the midst of it: what is taken before a receipt is due (docs/INCENTIVES.md).
pub(crate) const RECEIPT_WINDOW: u64 = 256 * 1024;

/// A peer's accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Accounts {
    pub(crate) peer: String,
    accounts: Vec<Account>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Account {
    peer: String,
    /// What the other one owes, negative if it is the other way round.
    pub(crate) claim_bytes: i64,
    pub(crate) given_bytes: u64,
    pub(crate) taken_bytes: u64,
    pub(crate) shifted_bytes: i64,
    state: u64,
}

impl Account {
    /// What was taken of what had been shifted to the other one, by whoever has given it nothing.
    pub(crate) fn spent_bytes(&self) -> u64 {
        match self.given_bytes {
            0 => self.taken_bytes.min(self.shifted_bytes.max(0).unsigned_abs()),
            _ => 0,
        }
    }
}

impl Accounts {
    /// Asks the program, whether a node is running with the ledger or not.
    ///
    /// # Errors
    /// [`LabError::Failed`] when it says nothing that can be read.
    pub(crate) fn read(program: &Path, key: &Path, state: &Path) -> Result<Self, LabError> {
        let output = Command::new(program)
            .args(["trust", "show", "--json", "--identity"])
            .arg(key)
            .arg("--state")
            .arg(state)
            .output()
            .map_err(|error| LabError::Failed(format!("{} cannot be started: {error}", program.display())))?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            LabError::Failed(format!(
                "headwater trust show of {} said nothing that can be read ({error}): {}",
                state.display(),
                said.trim()
            ))
        })
    }

    pub(crate) fn with(&self, peer: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.peer == peer)
    }

    /// What this one owes, negative if it is owed.
    pub(crate) fn owed_by(&self, peer: &str) -> i64 {
        self.with(peer).map_or(0, |account| account.claim_bytes)
    }
}

/// Compares what any two of them say of each other.
pub(crate) fn agreement(of: &BTreeMap<u32, Accounts>) -> Agreement {
    let all: Vec<&Accounts> = of.values().collect();
    let mut found = Agreement::default();
    for (at, ours) in all.iter().enumerate() {
        for theirs in &all[..at] {
            let both = (ours.with(&theirs.peer), theirs.with(&ours.peer));
            if both == (None, None) {
                continue;
            }
            found.pairs += 1;
            let apart = ours.owed_by(&theirs.peer) + theirs.owed_by(&ours.peer);
            found.apart_bytes_max = found.apart_bytes_max.max(apart.unsigned_abs());
            found.within_receipt += usize::from(apart.unsigned_abs() <= RECEIPT_WINDOW);
            if let (Some(ours), Some(theirs)) = both
                && ours.state > 0
                && ours.state == theirs.state
            {
                found.same_state += 1;
                found.same_shifts += usize::from(ours.shifted_bytes == -theirs.shifted_bytes);
            }
        }
    }
    found
}
