//! The flags that every node has.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wire::link::HostPort;
use wire::{Bitrate, Link, StreamId, StreamInfo};

use crate::driver::{self, DriverConfig, NodeHandle};
use crate::error::{Failure, plain_io};
use crate::identity::{self, HeldKey, Purpose};
use crate::known::{Keeper, KnownNodes};
use crate::ledger;
use crate::report::{Statistics, StatsTarget};

/// Flags shared by every node. The help texts are the documentation.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Node")]
pub struct NodeArgs {
    /// Accept connections here, IPv4 or IPv6; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:0")]
    pub listen: SocketAddr,

    /// Any known overlay node, as HOST:PORT; repeatable. A link's via= does the same
    #[arg(long, value_name = "ADDR")]
    pub join: Vec<HostPort>,

    /// This peer's secret key; made with mode 0600 when absent [default: identity.key in the state folder]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,

    /// Folder for what outlives a run [default: the platform's data folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Upload limit in IP bytes, such as 20mbit or 500kbit; less is used if less gets through [default: measured]
    #[arg(long, value_name = "RATE", value_parser = positive_rate)]
    pub upload: Option<Bitrate>,

    /// Download limit, such as 50mbit: a stream that needs more is not played [default: none]
    #[arg(long, value_name = "RATE", value_parser = positive_rate)]
    pub download: Option<Bitrate>,

    /// Write statistics as JSON lines, one a second and a summary at the end; - is standard output
    #[arg(long, value_name = "FILE|-")]
    pub stats: Option<StatsTarget>,

    /// Serve Prometheus metrics on http://ADDR/metrics
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,

    /// Read flags from a TOML file; flags given here win
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to log to standard error: a level such as debug, or targets such as info,headwater::net=trace
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,

    /// Split a stream's local tracker here when more viewers than this are registered with it
    #[arg(long, value_name = "N", default_value_t = swarm::SPLIT_ABOVE, value_parser = area, hide = true)]
    pub area: usize,

    /// No terminal interface; also when standard output is no terminal
    #[arg(long)]
    pub headless: bool,
}

impl NodeArgs {
    /// Starts the node that these flags describe, which keeps up to `max_neighbours` connections, and notes whom it gets to know.
    ///
    /// # Errors
    /// [`Failure::Input`] when the identity or the address to listen at cannot be used.
    pub async fn start_node(&self, max_neighbours: usize, known: KnownNodes) -> Result<RunningNode, Failure> {
        let identity = self.open_identity()?;
        let config = DriverConfig {
            ledger: self.ledger_of(&identity)?,
            listen: vec![self.listen],
            upload: self.upload,
            max_neighbours,
            split_above: self.area,
            ..DriverConfig::new(identity.key().clone())
        };
        let node = driver::start(config).await.map_err(|error| {
            // The operating system's own words, if it was the one that refused.
            let reason = match error.root_cause().downcast_ref::<std::io::Error>() {
                Some(error) => plain_io(error),
                None => format!("{error:#}"),
            };
            Failure::input(format!(
                "the node cannot listen at {} ({reason}); choose another address with --listen",
                self.listen
            ))
        })?;
        tracing::debug!("this peer is {}", node.peer());
        let keeper = Keeper::start(known, &node);
        Ok(RunningNode {
            node,
            keeper,
            identity,
        })
    }

    /// The file with the accounts of an identity; `None` if it is for this run only, or there is no state folder.
    fn ledger_of(&self, identity: &HeldKey) -> Result<Option<PathBuf>, Failure> {
        let lasting = identity.path().is_some();
        let state = self.open_state()?.filter(|_| lasting);
        Ok(state.map(|state| ledger::path_in(&state, identity.key().peer_id())))
    }

    /// The nodes of the overlay that earlier runs got to know.
    ///
    /// # Errors
    /// As for [`NodeArgs::open_state`].
    pub fn open_known(&self) -> Result<KnownNodes, Failure> {
        Ok(KnownNodes::open(self.open_state()?.as_deref()))
    }

    /// Whom this peercaster supplied when it cast the stream before.
    ///
    /// # Errors
    /// As for [`NodeArgs::open_state`].
    pub fn open_audience(&self, stream: StreamId) -> Result<KnownNodes, Failure> {
        Ok(KnownNodes::open_audience(self.open_state()?.as_deref(), stream))
    }

    /// Whether the download limit has room for a stream.
    ///
    /// # Errors
    /// [`Failure::Running`] when it has not: playing it would only mean gaps.
    pub fn check_download(&self, info: &StreamInfo) -> Result<(), Failure> {
        match self.download {
            Some(limit) if limit < info.rate => Err(Failure::running(format!(
                "the stream needs {}, more than --download {limit} allows; raise the limit",
                info.rate
            ))),
            _ => Ok(()),
        }
    }

    /// Opens this peer's identity.
    ///
    /// # Errors
    /// [`Failure::Input`] when the key file or the state folder cannot be used.
    pub fn open_identity(&self) -> Result<HeldKey, Failure> {
        match &self.identity {
            Some(path) => identity::open(path, Purpose::Identity),
            None => identity::open_or_ephemeral(self.open_state()?.as_deref(), Purpose::Identity),
        }
    }

    /// The state folder, made when absent; `None` where the platform has none.
    ///
    /// # Errors
    /// [`Failure::Input`] when the folder given cannot be made.
    pub fn open_state(&self) -> Result<Option<PathBuf>, Failure> {
        identity::state_dir(self.state.as_deref())
    }

    /// Opens the statistics file and the metrics address.
    ///
    /// # Errors
    /// [`Failure::Input`] when one of them cannot be opened.
    pub async fn open_statistics(&self) -> Result<Statistics, Failure> {
        Statistics::open(self.stats.as_ref(), self.metrics).await
    }

    /// Addresses that lead to a stream: those of `--join`, then those of its link; if neither names any, known nodes.
    ///
    /// # Errors
    /// [`Failure::Input`] when there is not one.
    pub async fn via(&self, link: &Link, known: &KnownNodes) -> Result<Vec<SocketAddr>, Failure> {
        let nodes: Vec<&HostPort> = self.join.iter().chain(&link.via).collect();
        if !nodes.is_empty() {
            return resolve(&nodes, "on the way to the stream").await;
        }
        let known = known.addrs();
        if known.is_empty() {
            return Err(Failure::input(format!(
                "the link to {} names no node and none is known from earlier runs; add ?via=HOST:PORT to it or give \
                 --join HOST:PORT",
                link.stream.short()
            )));
        }
        tracing::info!(
            "the link names no node; trying {} known from earlier runs",
            known.len()
        );
        Ok(known)
    }

    /// Addresses of nodes of the overlay: those of `--join`; empty without that flag.
    ///
    /// # Errors
    /// [`Failure::Input`] when none of them has an address.
    pub async fn join_addrs(&self) -> Result<Vec<SocketAddr>, Failure> {
        let nodes: Vec<&HostPort> = self.join.iter().collect();
        if nodes.is_empty() {
            return Ok(Vec::new());
        }
        resolve(&nodes, "that --join names").await
    }
}

/// A node with what it needs as long as it runs.
#[derive(Debug)]
pub struct RunningNode {
    /// The node.
    pub node: NodeHandle,
    keeper: Keeper,
    identity: HeldKey,
}

impl RunningNode {
    /// Whether its identity outlives the run.
    pub fn is_lasting(&self) -> bool {
        self.identity.path().is_some()
    }

    /// Notes whom the node knows, and ends it.
    pub async fn shutdown(self) {
        self.keeper.finish(&self.node).await;
        self.node.shutdown().await;
    }
}

/// The addresses of nodes given by name; `which` says which nodes, for the words when there is no address.
async fn resolve(nodes: &[&HostPort], which: &str) -> Result<Vec<SocketAddr>, Failure> {
    let mut addrs = Vec::new();
    for node in nodes {
        match tokio::net::lookup_host((node.host(), node.port())).await {
            Ok(found) => addrs.extend(found),
            Err(error) => tracing::warn!("{node} has no address ({})", plain_io(&error)),
        }
    }
    if addrs.is_empty() {
        let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        return Err(Failure::input(format!(
            "no node {which} has an address ({}); check the names or give --join HOST:PORT",
            names.join(", ")
        )));
    }
    Ok(addrs)
}

/// The least area is one that can be split.
fn area(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(members @ 16..=100_000) => Ok(members),
        _ => Err("from 16 to 100000".to_owned()),
    }
}

/// A rate above zero: a peer that may send nothing is `--participate passive`.
pub(super) fn positive_rate(text: &str) -> Result<Bitrate, String> {
    match text.parse::<Bitrate>() {
        Ok(rate) if rate.as_bps() > 0 => Ok(rate),
        Ok(_) => Err("the rate must be above zero".to_owned()),
        Err(_) => Err("write a number and a unit, such as 20mbit, 500kbit or 1gbit".to_owned()),
    }
}

/// A number of seconds above zero, such as 20 or 0.5.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let parsed = text
        .parse::<f64>()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match parsed {
        Some(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("write a number of seconds above zero, such as 20".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_above_zero() {
        assert_eq!(positive_rate("20mbit"), Ok(Bitrate::from_bps(20_000_000)));
        assert!(positive_rate("0").is_err());
        assert!(positive_rate("fast").is_err());
    }
}
