//! How long programs waited for a core: what a machine that is too busy does to what is measured on it.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

/// Share of the time that programs waited for a core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CoreWait {
    /// Over all programs.
    pub mean: f64,
    /// Of the one that waited longest.
    pub max: f64,
}

/// Nanoseconds that each program's threads have waited so far, by process number.
pub(crate) type Waited = BTreeMap<u32, u64>;

/// Linux counts that; elsewhere nothing is known.
pub(crate) fn waited(processes: impl Iterator<Item = u32>) -> Waited {
    let of = |process: u32| {
        let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
        let each = threads.flatten().filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            waiting(&text)
        });
        Some((process, each.sum()))
    };
    processes.filter_map(of).collect()
}

/// Running, waiting, and how often, in nanoseconds.
fn waiting(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().nth(1)?.parse().ok()
}

/// Of the programs that were there at both instants, so many nanoseconds apart.
pub(crate) fn share(before: &Waited, after: &Waited, apart_ns: u64) -> CoreWait {
    let shares: Vec<f64> = before
        .iter()
        .filter_map(|(process, then)| Some(after.get(process)?.saturating_sub(*then)))
        .map(|ns| ns as f64 / apart_ns.max(1) as f64)
        .collect();
    CoreWait {
        mean: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
        max: shares.iter().copied().fold(0.0, f64::max),
    }
}

impl CoreWait {
    /// From look to look, because programs come and go: the mean of the means, and the greatest of all.
    pub(crate) fn over(looks: &[(u64, Waited)]) -> Self {
        let each: Vec<CoreWait> = looks
            .windows(2)
            .map(|pair| share(&pair[0].1, &pair[1].1, pair[1].0 - pair[0].0))
            .collect();
        CoreWait {
            mean: each.iter().map(|wait| wait.mean).sum::<f64>() / each.len().max(1) as f64,
            max: each.iter().map(|wait| wait.max).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_those_who_were_there_throughout() {
        let before = Waited::from([(1, 100), (2, 100), (3, 100)]);
        let after = Waited::from([(1, 200), (2, 400), (4, 900)]);
        let wait = share(&before, &after, 1000);
        assert!(
            (wait.mean - 0.2).abs() < 1e-9 && (wait.max - 0.3).abs() < 1e-9,
            "{wait:?}"
        );
        assert_eq!(share(&Waited::new(), &after, 1000), CoreWait::default());
        assert_eq!(waiting("12 345 6\n"), Some(345));
        assert_eq!(waiting(""), None);
    }
}
