//! Statistics: JSON lines for programs, and Prometheus metrics.
//!
//! A [`Reporter`] per stream turns what a node counts and what a command hands over into [`Line`]s; [`Statistics`] puts
//! them where the user asked, and never makes the swarm wait for a slow reader.

mod line;
mod metrics;
mod process;
mod reporter;
mod shortage;
mod sink;

pub use line::{
    Command, CoordLine, DoatLine, JoinLine, Kind, Lag, Line, NeighbourLine, Quantiles, TrackerLine, TrustLine,
};
pub use metrics::Metrics;
pub use process::Usage;
pub use reporter::Reporter;
pub use shortage::ShortageNews;
pub use sink::{StatsSink, StatsTarget};

use std::net::SocketAddr;

use crate::error::Failure;

/// Where statistics go: nowhere, to a file or standard output, to whoever scrapes metrics, or to both.
#[derive(Debug, Default)]
pub struct Statistics {
    sink: Option<StatsSink>,
    metrics: Option<Metrics>,
}

impl Statistics {
    /// Opens what the flags `--stats` and `--metrics` name.
    ///
    /// # Errors
    /// [`Failure::Input`] when the file cannot be written or the address cannot be bound.
    pub async fn open(stats: Option<&StatsTarget>, metrics: Option<SocketAddr>) -> Result<Self, Failure> {
        Ok(Statistics {
            sink: stats.map(StatsSink::open).transpose()?,
            metrics: match metrics {
                Some(addr) => Some(Metrics::bind(addr).await?),
                None => None,
            },
        })
    }

    /// Passes a line on; returns at once.
    pub fn publish(&self, line: &Line) {
        if let Some(sink) = &self.sink {
            sink.send(line);
        }
        if let Some(metrics) = &self.metrics {
            metrics.update(line);
        }
    }

    /// Returns when nobody reads standard output any more, which ends a command cleanly; never, if statistics do not
    /// go there.
    pub async fn reader_gone(&self) {
        match &self.sink {
            Some(sink) => sink.reader_gone().await,
            None => std::future::pending().await,
        }
    }

    /// Writes what is still waiting, within a bounded time, and stops serving metrics.
    ///
    /// # Errors
    /// [`Failure::Running`] when lines could not be written (a full disk).
    pub async fn finish(self) -> Result<(), Failure> {
        match self.sink {
            Some(sink) => sink.finish().await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
