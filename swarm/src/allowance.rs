//! How often something may be done: so often in the long run, and so often at once.

use std::time::Duration;

use wire::Time;

/// So often in the long run, and so often at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Once in this time, in the long run.
    pub every: Duration,
    /// So often at once, after a pause.
    pub at_once: u32,
}

/// How far an [`Allowance`] is used up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// When all that was done would have been done at the pace of the long run.
    until: Time,
}

impl Used {
    /// Whether it may be done once more at `now`; it is counted then.
    pub(crate) fn take(&mut self, now: Time, allowance: Allowance) -> bool {
        let until = self.until.max(now) + allowance.every;
        let taken = until.since(now) <= allowance.every * allowance.at_once;
        if taken {
            self.until = until;
        }
        taken
    }
}

/// Counts what is done against an allowance that may change: for drivers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    allowance: Option<Allowance>,
    used: Used,
}

impl Meter {
    /// No more than this from now on; `None`: no limit.
    pub fn limit(&mut self, allowance: Option<Allowance>) {
        self.allowance = allowance;
    }

    /// Whether it may be done once more at `now`; it is counted then.
    pub fn admits(&mut self, now: Time) -> bool {
        self.allowance
            .is_none_or(|allowance| self.used.take(now, allowance))
    }
}

#[cfg(test)]
#[path = "allowance_tests.rs"]
mod tests;
