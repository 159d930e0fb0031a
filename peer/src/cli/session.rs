//! What commands do every second.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::node_args::RunningNode;
use crate::driver::{DriverStats, NodeEnded, NodeHandle};
use crate::error::Failure;
use crate::report::{Reporter, Statistics};

/// Ticks once a second, for the first time after one; ticks that were missed are left out.
pub(super) fn seconds() -> Interval {
    let mut ticks = tokio::time::interval_at(
        tokio::time::Instant::now() + Duration::from_secs(1),
        Duration::from_secs(1),
    );
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// Returns after `duration`; never, if there is none.
pub(super) async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// The failure that a node's end is to a command.
pub(super) fn node_ended(_: NodeEnded) -> Failure {
    Failure::running("the node ended; the log says why, start the command again")
}

/// Publishes a sample for each stream; returns what the driver counts.
pub(super) async fn sample<'a>(
    node: &NodeHandle,
    statistics: &Statistics,
    reporters: impl IntoIterator<Item = &'a mut Reporter>,
) -> Result<DriverStats, Failure> {
    let (stats, driver) = node.stats().await.map_err(node_ended)?;
    for reporter in reporters {
        statistics.publish(&reporter.sample(&stats));
    }
    Ok(driver)
}

/// The end of every command: the summaries, then goodbye to the neighbours, then the last bytes of the statistics.
pub(super) async fn close<'a>(
    running: RunningNode,
    statistics: Statistics,
    reporters: impl IntoIterator<Item = &'a mut Reporter>,
) -> Result<(), Failure> {
    // A node that has ended already has no last words.
    if let Ok((stats, _)) = running.node.stats().await {
        for reporter in reporters {
            statistics.publish(&reporter.summary(&stats));
        }
    }
    running.shutdown().await;
    statistics.finish().await
}
