//! What the process costs.

use std::fmt;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Asks the operating system for this process's processor time and memory: a read of one small file on Linux.
pub struct Usage {
    system: Option<System>,
    pid: Option<Pid>,
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl Usage {
    /// For this process.
    pub fn new() -> Self {
        Usage {
            system: System::new().ok(),
            pid: sysinfo::get_current_pid().ok(),
        }
    }

    /// Processor seconds used so far and bytes of memory in use; zeros where the system does not tell.
    pub fn read(&mut self) -> (f64, u64) {
        let (Some(system), Some(pid)) = (&mut self.system, self.pid) else {
            return (0.0, 0);
        };
        let what = ProcessRefreshKind::nothing()
            .with_cpu()
            .with_memory()
            .without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        system.process(pid).map_or((0.0, 0), |process| {
            (process.accumulated_cpu_time() as f64 / 1000.0, process.memory())
        })
    }
}

impl Default for Usage {
    fn default() -> Self {
        Usage::new()
    }
}
