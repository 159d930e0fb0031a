//! What a trial costs, and what else the machine had to do meanwhile.

use std::time::{Duration, Instant};

use headwater::report::Usage;
use sysinfo::System;

/// Other programs may take so many cores before what was measured counts as disturbed.
const QUIET: f64 = 0.2;

/// Measures from its making to [`Meter::stop`].
#[derive(Debug)]
pub(crate) struct Meter {
    usage: Usage,
    cpu_before: f64,
    machine: System,
    began: Instant,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// This process.
    pub(crate) cpu_seconds: f64,
    pub(crate) measured: Duration,
    /// Cores that were busy with anything else on average. The kernel's work for our own packets counts here in part: less
    /// than a tenth.
    pub(crate) others: f64,
}

impl Cost {
    /// Whether other programs took what a chain might have needed.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.others > QUIET
    }
}

impl Meter {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut usage = Usage::new();
        let (cpu_before, _) = usage.read();
        let mut machine = System::new()?;
        machine.refresh_cpu_usage();
        Ok(Meter {
            usage,
            cpu_before,
            machine,
            began: Instant::now(),
        })
    }

    pub(crate) fn stop(mut self) -> Cost {
        let measured = self.began.elapsed();
        let (cpu_after, _) = self.usage.read();
        self.machine.refresh_cpu_usage();
        let cpu_seconds = cpu_after - self.cpu_before;
        let cores = self.machine.cpus().len() as f64;
        let busy = f64::from(self.machine.global_cpu_usage()) / 100.0 * cores;
        Cost {
            cpu_seconds,
            measured,
            others: (busy - cpu_seconds / measured.as_secs_f64()).max(0.0),
        }
    }
}
