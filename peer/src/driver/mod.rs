//! The tokio driver of the sans-IO node: one task owns the [`swarm::Node`], feeds it what happened and does what it says.
//!
//! ```text
//!   NodeHandle --commands--> +---------------+ --outputs--> net::Transport --> one task for each connection
//!   encoder ----produce----> | the node task |
//!   connections ---inputs--> +---------------+ --items----> StreamEvents of each stream
//! ```
//!
//! What if a queue is full?
//! - commands (64): the caller waits;
//! - produce (512 chunks): the oldest is dropped, counted, and the hole is marked;
//! - inputs (512): the connection's task waits, so QUIC's flow control slows the sender, and no other connection;
//! - items of a stream (1024, 24 MiB): the oldest chunks are dropped and counted;
//! - what goes to a peer: see [`crate::net`].
//!
//! **Invariant:** the node's task waits for nothing but its own inputs and its deadline.

mod handle;
mod items;
mod lags;
mod produce;
mod run;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use quic::UplinkEstimate;
use swarm::{Node, NodeConfig, RING_AFTER, RING_CONNECTIONS};
use tokio::sync::{mpsc, watch};
use wire::{Bitrate, SecretKey};

pub use crate::clock::Clock;
pub use handle::{NodeEnded, NodeHandle};
pub use items::{StreamEvents, StreamItem};
pub use lags::{LagSummary, Lags};

use crate::ledger;
use crate::net::{NetConfig, NetStats, Streams, Transport, Tuning};
use produce::ProduceQueue;
use run::{Driver, Queues};

/// Most commands waiting. They are given by people and by start and end of streams.
const MAX_COMMANDS: usize = 64;

/// Most inputs waiting for the node: a tenth of a second of a node that is busy with 200 Mbit/s.
const MAX_INPUTS: usize = 512;

/// Connections that others may make beyond those the node keeps.
const ROOM_FOR_NEWCOMERS: usize = 16;

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct DriverConfig {
    /// Who it is.
    pub identity: SecretKey,
    /// Where it listens; port 0 lets the system choose. With none it only dials out.
    pub listen: Vec<SocketAddr>,
    /// What the uplink carries at most, counted in bytes of IP packets: less is sent if less gets through. `None`: found out while running.
    pub upload: Option<Bitrate>,
    /// Most connections that the node keeps, those of the overlay's ring not counted.
    pub max_neighbours: usize,
    /// See [`NodeConfig::ring_after`].
    pub ring_after: Option<Duration>,
    /// A local tracker that the node keeps is split when it has more members than this.
    pub split_above: usize,
    /// The file with this identity's ledger of trust; `None`: accounts are kept in memory and end with the node.
    pub ledger: Option<PathBuf>,
    /// Seeds the node's random choices; `None`: drawn from the operating system.
    pub seed: Option<u64>,
    /// Program and version as told to neighbours.
    pub agent: String,
    /// QUIC's settings.
    pub tuning: Tuning,
}

impl DriverConfig {
    /// The defaults for a node with this identity.
    pub fn new(identity: SecretKey) -> Self {
        DriverConfig {
            identity,
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 0))],
            upload: None,
            max_neighbours: DEFAULT_NEIGHBOURS,
            ring_after: Some(RING_AFTER),
            split_above: swarm::SPLIT_ABOVE,
            ledger: None,
            seed: None,
            agent: concat!("headwater/", env!("CARGO_PKG_VERSION")).to_owned(),
            tuning: Tuning::default(),
        }
    }
}

/// The neighbours that a node keeps unless told otherwise. Suppliers, children and those in reserve of a viewer are
/// 12 to 24.
pub const DEFAULT_NEIGHBOURS: usize = 64;

/// The neighbours that a donor keeps: its uplink is worth as many children as it can connect to, each of which takes the few
/// substreams that it carries.
pub const DONOR_NEIGHBOURS: usize = 256;

/// The neighbours that a peercaster keeps: it is the local tracker, too, and every viewer stays connected to that. Beyond them those
/// that it does not supply make room for newcomers and come back when they need something.
pub const TRACKER_NEIGHBOURS: usize = 1024;

/// What the driver counts, beside the node's own [`swarm::NodeStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DriverStats {
    /// Chunks of our own streams dropped because the node could not keep up.
    pub produce_dropped: u64,
    /// How late the node's deadlines were acted on.
    pub timer_late: LagSummary,
    /// The transport's counters.
    pub net: NetStats,
}

/// Starts a node.
///
/// # Errors
/// When an address to listen at is not free or not ours, or the operating system gives no randomness.
pub async fn start(config: DriverConfig) -> anyhow::Result<NodeHandle> {
    let clock = Clock::start();
    let seed = match config.seed {
        Some(seed) => seed,
        None => rand::TryRng::try_next_u64(&mut rand::rngs::SysRng)
            .context("the operating system gives no random numbers")?,
    };
    let (peer, key) = (config.identity.peer_id(), config.identity.clone());
    let (inputs, input_queue) = mpsc::channel(MAX_INPUTS);
    let streams = Arc::new(Streams::default());
    // It may become a tracker at any time, and then its members come.
    let members = swarm::members_expected(config.split_above);
    let net = NetConfig {
        identity: config.identity,
        listen: config.listen,
        agent: config.agent,
        // Some more than the node keeps, so that it can tell newcomers why they cannot stay.
        max_accepted: config
            .max_neighbours
            .saturating_add(members)
            .saturating_add(RING_CONNECTIONS + ROOM_FOR_NEWCOMERS),
        tuning: config.tuning,
    };
    let transport = Transport::bind(net, clock, Arc::clone(&streams), inputs)?;
    let local_addrs: Arc<[_]> = transport.local_addrs().into();
    let node = NodeConfig {
        peer,
        key,
        listen: crate::net::reachable::addresses(&local_addrs),
        upload: config.upload.unwrap_or(quic::ASSUMED),
        seed,
        max_neighbours: config.max_neighbours,
        ring_after: config.ring_after,
        split_above: config.split_above,
    };
    let (node, ledger) = match &config.ledger {
        Some(path) => ledger::node_with(path, node, clock.now()),
        None => (Node::with_accounts(node, clock.now()), None),
    };
    let (commands, command_queue) = mpsc::channel(MAX_COMMANDS);
    let produce = Arc::new(ProduceQueue::default());
    let driver = Driver::new(
        node,
        clock,
        transport,
        streams,
        UplinkEstimate::new(config.upload),
        Queues {
            commands: command_queue,
            inputs: input_queue,
            produce: Arc::clone(&produce),
        },
        ledger,
    );
    let (ended_sender, ended) = watch::channel(false);
    // Owned by the handles: it ends when the last one is dropped, and `ended` tells those who wait for it.
    tokio::spawn(async move {
        driver.run().await;
        ended_sender.send_replace(true);
    });
    Ok(NodeHandle {
        commands,
        produce,
        peer,
        clock,
        local_addrs,
        ended,
    })
}
