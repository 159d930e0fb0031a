//! The demo's nodes: each with its own identity, endpoint and capped uplink.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use swarm::{NodeStats, Participation, PlayoutWish, StreamStats};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::{Bitrate, StreamId};

use super::plan::Plan;
use crate::cli::session;
use crate::cli::watch::{Screen, Viewing, play};
use crate::cli::{Interrupt, Signal};
use crate::driver::{self, DriverConfig, NodeHandle, StreamEvents, StreamItem};
use crate::error::Failure;
use crate::identity::HeldKey;
use crate::ingest::{CastOptions, Caster, Ingest, ReadOptions};
use crate::media::testcard::{TestCard, TestCardConfig};
use crate::output::Outputs;
use crate::report::{self, Reporter, Statistics};

/// The stream's title.
pub(super) const TITLE: &str = "Headwater demo";

/// The peercaster.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) node: NodeHandle,
    pub(super) uplink: Bitrate,
    pub(super) reporter: Reporter,
    pub(super) events: StreamEvents,
    /// Feeds the stream; ends it when told to, or when the input ends.
    pub(super) task: JoinHandle<Result<(), Failure>>,
    pub(super) stop: Interrupt,
}

/// A non-consuming peer.
#[derive(Debug)]
pub(super) struct Donor {
    pub(super) node: NodeHandle,
    pub(super) uplink: Bitrate,
    pub(super) reporter: Reporter,
    pub(super) events: StreamEvents,
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) node: NodeHandle,
    pub(super) uplink: Bitrate,
    pub(super) task: Option<JoinHandle<(Reporter, Result<(), Failure>)>>,
    pub(super) done: Option<(Reporter, Result<(), Failure>)>,
}

impl Source {
    pub(super) async fn start(plan: &Plan) -> Result<Source, Failure> {
        let uplink = plan.source_uplink();
        let node = start_node(uplink).await?;
        let started = Instant::now();
        let read = ReadOptions {
            rate: plan.paced_by,
            ..ReadOptions::default()
        };
        let mut input = match &plan.input {
            Some(spec) => Ingest::open(spec, read, node.clock()).await?,
            None => {
                let config = TestCardConfig {
                    bitrate: plan.rate.as_bps(),
                    ..TestCardConfig::default()
                };
                let card = TestCard::new(config).map_err(|error| Failure::input(error.to_string()))?;
                Ingest::test_card(card, node.clock())?
            }
        };
        let options = CastOptions {
            title: TITLE.to_owned(),
            rate: Some(plan.rate),
            ..CastOptions::default()
        };
        let key = HeldKey::ephemeral();
        let (mut caster, events) = Caster::publish(node.clone(), key.key(), &options)
            .await
            .map_err(session::node_ended)?;
        let stream = caster.stream();
        let reporter = Reporter::new(
            report::Command::Cast,
            node.peer(),
            stream,
            events.arrivals(),
            started,
        );
        let stop = Interrupt::manual();
        let (stopped, of_task) = (stop.clone(), node.clone());
        let task = tokio::spawn(async move {
            let fed = tokio::select! {
                end = caster.feed(&mut input) => end.map(drop),
                () = stopped.requested() => caster.finish().await.map(drop),
            };
            of_task.end_of_stream(stream).await.map_err(session::node_ended)?;
            // Whoever waits for the input's end sees it.
            stopped.request(Signal::Interrupt);
            fed
        });
        Ok(Source {
            node,
            uplink,
            reporter,
            events,
            task,
            stop,
        })
    }
}

impl Donor {
    pub(super) async fn start(
        uplink: Bitrate,
        stream: StreamId,
        via: Vec<SocketAddr>,
    ) -> Result<Donor, Failure> {
        let node = start_node(uplink).await?;
        let started = Instant::now();
        let events = node
            .join(stream, via, Participation::Donate)
            .await
            .map_err(session::node_ended)?;
        let reporter = Reporter::new(
            report::Command::Donate,
            node.peer(),
            stream,
            events.arrivals(),
            started,
        );
        Ok(Donor {
            node,
            uplink,
            reporter,
            events,
        })
    }
}

impl Viewer {
    #[allow(
        clippy::too_many_arguments,
        reason = "one caller, each argument another thing of its own"
    )]
    pub(super) async fn start(
        number: usize,
        node: NodeHandle,
        uplink: Bitrate,
        stream: StreamId,
        via: Vec<SocketAddr>,
        outputs: Outputs,
        mut screen: Screen,
        statistics: Arc<Statistics>,
        interrupt: Interrupt,
        started: Instant,
    ) -> Result<Viewer, Failure> {
        let wish = Participation::Consume(PlayoutWish::default());
        let events = node
            .join(stream, via.clone(), wish)
            .await
            .map_err(session::node_ended)?;
        let mut viewing = Viewing::new(stream, &node, outputs, None, events.arrivals(), started);
        viewing.is_called(format!("viewer {number}: "));
        viewing.looks_for(via, None);
        viewing.announce();
        let of_task = node.clone();
        let task = tokio::spawn(async move {
            let result = play(
                &mut viewing,
                &of_task,
                events,
                &statistics,
                &interrupt,
                None,
                &mut screen,
            )
            .await;
            let (reporter, closed) = viewing.finish(&result).await;
            screen.close().await;
            (reporter, result.and(closed))
        });
        Ok(Viewer {
            node,
            uplink,
            task: Some(task),
            done: None,
        })
    }

    /// Returns when it has stopped playing. Safe to drop and call again.
    pub(super) async fn ended(&mut self) {
        if let Some(task) = &mut self.task {
            let done = task.await;
            self.task = None;
            self.done = done
                .inspect_err(|error| tracing::error!("a viewer failed: {error}"))
                .ok();
        }
    }
}

/// The last figures of a node.
pub(super) async fn close_node(
    node: &NodeHandle,
    reporter: &mut Reporter,
    statistics: &Statistics,
    stream: StreamId,
) -> Option<StreamStats> {
    let (stats, _) = node.stats().await.ok()?;
    statistics.publish(&reporter.summary(&stats));
    Some(own(&stats, stream))
}

pub(super) fn own(stats: &NodeStats, stream: StreamId) -> StreamStats {
    stats
        .streams
        .iter()
        .find(|own| own.stream == Some(stream))
        .cloned()
        .unwrap_or_default()
}

pub(super) fn drain(events: &mut StreamEvents, reporter: &mut Reporter) {
    while let Some(item) = events.try_recv() {
        if let StreamItem::Event(event) = item {
            reporter.event(&event);
        }
    }
}

pub(super) async fn no_outputs() -> Result<Outputs, Failure> {
    Outputs::open(&[])
        .await
        .map_err(|error| Failure::running(error.to_string()))
}

pub(super) async fn start_node(uplink: Bitrate) -> Result<NodeHandle, Failure> {
    let config = DriverConfig {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        upload: Some(uplink),
        ..DriverConfig::new(HeldKey::ephemeral().key().clone())
    };
    driver::start(config)
        .await
        .map_err(|error| Failure::running(format!("a node of the demo could not start ({error:#})")))
}
