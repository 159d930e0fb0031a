//! The demo's nodes: each with its own identity, endpoint and capped uplink.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use swarm::{NodeStats, Participation, PlayoutWish, StreamStats};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use wire::{Bitrate, Link, PeerId, StreamId};

use super::table::{Kind, Report, Row};
use crate::cli::session;
use crate::cli::watch::{Screen, Viewing, play};
use crate::cli::{Interrupt, Signal};
use crate::driver::{self, DriverConfig, NodeHandle, StreamEvents, StreamItem};
use crate::error::Failure;
use crate::identity::HeldKey;
use crate::ingest::{CastOptions, Caster, Ingest, InputSpec, ReadOptions};
use crate::media::testcard::{TestCard, TestCardConfig};
use crate::output::Outputs;
use crate::report::{self, Reporter, Statistics};
use crate::tui::Interface;

/// The stream's title.
pub(super) const TITLE: &str = "Headwater demo";

/// The source's uplink in stream rates: what an encoder at home has.
const SOURCE_UPLINK: f64 = 3.0;
/// A donor's.
const DONOR_UPLINK: f64 = 2.0;

/// Uplinks of viewers in stream rates, each with the share of viewers up to it: the access classes of the simulator's
/// scenarios.
const CLASSES: [(f64, f64); 4] = [(0.2, 0.3), (0.6, 0.8), (0.85, 1.5), (1.0, 3.0)];

/// Resource index of source and viewers together, without the donors: (upload) / (viewers x rate).
const RESOURCE_INDEX: f64 = 1.5;

/// The smallest uplink of a viewer, in stream rates: few viewers with a strong source need nothing of each other, but a
/// swarm in which nobody gives is no demo.
const VIEWER_UPLINK_MIN: f64 = 0.2;

/// Viewers come one after the other, this far apart.
const ARRIVALS: Duration = Duration::from_millis(100);

/// What swarm to make.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) viewers: usize,
    pub(super) donors: usize,
    /// The stream's rate.
    pub(super) rate: Bitrate,
    /// The pace of an input without a clock.
    pub(super) paced_by: Option<Bitrate>,
    /// `None` for the test card.
    pub(super) input: Option<InputSpec>,
}

impl Plan {
    /// Each viewer's uplink.
    pub(super) fn uplinks(&self) -> Vec<Bitrate> {
        let class = |viewer: usize| {
            let at = (viewer as f64 + 0.5) / self.viewers as f64;
            CLASSES
                .iter()
                .find(|(up_to, _)| at <= *up_to)
                .map_or(1.0, |(_, uplink)| *uplink)
        };
        let drawn: Vec<f64> = (0..self.viewers).map(class).collect();
        let wanted = RESOURCE_INDEX * self.viewers as f64 - SOURCE_UPLINK;
        let scale = wanted / drawn.iter().sum::<f64>();
        let uplink = |drawn: &f64| self.rate.scaled((drawn * scale).max(VIEWER_UPLINK_MIN));
        drawn.iter().map(uplink).collect()
    }
}

/// A whole swarm.
#[derive(Debug)]
pub(super) struct Swarm {
    statistics: Arc<Statistics>,
    source: Source,
    donors: Vec<Donor>,
    viewers: Vec<Viewer>,
    /// The first viewer's node, started early so that its screen can name it.
    first: Option<NodeHandle>,
    first_peer: PeerId,
    link: Link,
    /// Ends every viewer.
    stop: Interrupt,
}

#[derive(Debug)]
struct Source {
    node: NodeHandle,
    uplink: Bitrate,
    reporter: Reporter,
    events: StreamEvents,
    /// Feeds the stream; ends it when told to, or when the input ends.
    task: JoinHandle<Result<(), Failure>>,
    stop: Interrupt,
}

#[derive(Debug)]
struct Donor {
    node: NodeHandle,
    uplink: Bitrate,
    reporter: Reporter,
    events: StreamEvents,
}

#[derive(Debug)]
struct Viewer {
    node: NodeHandle,
    uplink: Bitrate,
    task: Option<JoinHandle<(Reporter, Result<(), Failure>)>>,
    done: Option<(Reporter, Result<(), Failure>)>,
}

/// Why a demo is over that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The time is up, or the input has ended.
    Done,
    /// The user has left.
    Left,
}

/// How the swarm does at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    viewers: usize,
    playing: usize,
    lag_ms: Option<f64>,
    continuity: f64,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} playing", self.playing, self.viewers)?;
        if let Some(lag) = self.lag_ms {
            write!(f, "  lag {lag:.0} ms")?;
        }
        write!(
            f,
            "  worst continuity {:.2} %",
            (self.continuity * 1e4).floor() / 1e2
        )
    }
}

impl Swarm {
    /// Starts the source, and the first viewer's node.
    pub(super) async fn start(plan: &Plan, statistics: Statistics) -> Result<Swarm, Failure> {
        let source = Source::start(plan).await?;
        let stream = source.reporter.stream();
        let via = source
            .node
            .local_addrs()
            .iter()
            .map(|addr| (*addr).into())
            .collect();
        let link = Link {
            via,
            title: Some(TITLE.to_owned()),
            ..Link::new(stream)
        };
        let first = start_node(plan.uplinks().first().copied().unwrap_or(plan.rate)).await?;
        Ok(Swarm {
            statistics: Arc::new(statistics),
            source,
            donors: Vec::new(),
            viewers: Vec::new(),
            first_peer: first.peer(),
            first: Some(first),
            link,
            stop: Interrupt::manual(),
        })
    }

    pub(super) fn stream(&self) -> StreamId {
        self.link.stream
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn first_viewer(&self) -> PeerId {
        self.first_peer
    }

    /// Donors and viewers join. The first viewers have the outputs; the very first has the screen, and leaves with
    /// `interrupt` if there is one.
    pub(super) async fn populate(
        &mut self,
        plan: &Plan,
        outputs: Vec<Outputs>,
        mut screen: Option<Interface>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let via = self.source.node.local_addrs().to_vec();
        for _ in 0..plan.donors {
            let uplink = plan.rate.scaled(DONOR_UPLINK);
            let node = start_node(uplink).await?;
            let started = Instant::now();
            let events = node
                .join(self.stream(), via.clone(), Participation::Donate)
                .await
                .map_err(session::node_ended)?;
            let reporter = Reporter::new(
                report::Command::Donate,
                node.peer(),
                self.stream(),
                events.arrivals(),
                started,
            );
            self.donors.push(Donor {
                node,
                uplink,
                reporter,
                events,
            });
        }
        let mut outputs = outputs.into_iter();
        for uplink in plan.uplinks() {
            let started = Instant::now();
            let node = match self.first.take() {
                Some(node) => node,
                None => start_node(uplink).await?,
            };
            let outputs = match outputs.next() {
                Some(outputs) => outputs,
                None => no_outputs().await?,
            };
            let screen = screen.take();
            let interrupt = if screen.is_some() {
                interrupt.clone()
            } else {
                self.stop.clone()
            };
            let viewer = Viewer::start(
                node,
                uplink,
                self.stream(),
                via.clone(),
                outputs,
                Screen::new(screen, started),
                Arc::clone(&self.statistics),
                interrupt,
                started,
            )
            .await?;
            self.viewers.push(viewer);
            tokio::time::sleep(ARRIVALS).await;
        }
        Ok(())
    }

    /// Returns when the demo is over by itself. Safe to drop and call again.
    pub(super) async fn over(&mut self) -> Over {
        tokio::select! {
            () = self.source.stop.requested() => Over::Done,
            // The user has left, or all the players have.
            () = left(self.viewers.first_mut()) => Over::Left,
            () = self.statistics.reader_gone() => Over::Left,
        }
    }

    /// Takes a second's statistics of source and donors (viewers take their own), and tells how it goes.
    pub(super) async fn sample(&mut self) -> Result<Moment, Failure> {
        let source = &mut self.source;
        drain(&mut source.events, &mut source.reporter);
        session::sample(&source.node, &self.statistics, [&mut source.reporter]).await?;
        for donor in &mut self.donors {
            drain(&mut donor.events, &mut donor.reporter);
            session::sample(&donor.node, &self.statistics, [&mut donor.reporter]).await?;
        }
        let mut moment = Moment {
            viewers: self.viewers.len(),
            playing: 0,
            lag_ms: None,
            continuity: 1.0,
        };
        let mut lags = Vec::new();
        for viewer in &self.viewers {
            // A viewer that has left has nothing to tell.
            let Ok((stats, _)) = viewer.node.stats().await else {
                continue;
            };
            let own = own(&stats, self.link.stream);
            moment.playing += usize::from(own.chunks_played > 0);
            moment.continuity = moment.continuity.min(own.continuity());
            lags.extend(own.lag_ms);
        }
        lags.sort_by(f64::total_cmp);
        moment.lag_ms = lags.get(lags.len() / 2).copied();
        Ok(moment)
    }

    /// Ends the stream, lets everybody play it out for at most `patience`, and collects the figures.
    pub(super) async fn close(mut self, patience: Duration) -> (Report, Result<(), Failure>) {
        self.source.stop.request(Signal::Interrupt);
        let cast = match timeout(patience, &mut self.source.task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(Failure::running(format!("the source failed: {error}"))),
            Err(_) => Err(Failure::running("the source did not end")),
        };
        let played_out = async {
            for viewer in &mut self.viewers {
                viewer.ended().await;
            }
        };
        if timeout(patience, played_out).await.is_err() {
            tracing::debug!("not every viewer has played to the end");
            self.stop.request(Signal::Interrupt);
        }
        let mut rows = Vec::new();
        let mut failed = cast;
        for (number, viewer) in self.viewers.iter_mut().enumerate() {
            viewer.ended().await;
            let Some((mut reporter, result)) = viewer.done.take() else {
                continue;
            };
            let row = close_node(&viewer.node, &mut reporter, &self.statistics, self.link.stream).await;
            rows.extend(
                row.map(|stats| Row::new(Kind::Viewer, number + 1, viewer.uplink, &stats, &reporter)),
            );
            if let Err(failure @ (Failure::Running(_) | Failure::Input(_))) = result
                && failed.is_ok()
            {
                failed = Err(Failure::running(format!("viewer {}: {failure}", number + 1)));
            }
        }
        for (number, donor) in self.donors.iter_mut().enumerate() {
            let stats = close_node(
                &donor.node,
                &mut donor.reporter,
                &self.statistics,
                self.link.stream,
            )
            .await;
            rows.extend(
                stats.map(|stats| Row::new(Kind::Donor, number + 1, donor.uplink, &stats, &donor.reporter)),
            );
        }
        let source = &mut self.source;
        let stats = close_node(
            &source.node,
            &mut source.reporter,
            &self.statistics,
            self.link.stream,
        )
        .await;
        rows.extend(stats.map(|stats| Row::new(Kind::Source, 0, source.uplink, &stats, &source.reporter)));
        for node in self.nodes() {
            node.shutdown().await;
        }
        let written = match Arc::try_unwrap(self.statistics) {
            Ok(statistics) => statistics.finish().await,
            // A viewer's task that hangs holds the other end; what it has not written is not much.
            Err(_) => Ok(()),
        };
        (Report { rows }, failed.and(written))
    }

    /// Ends everything at once after a failure.
    pub(super) async fn abandon(self) {
        self.source.stop.request(Signal::Interrupt);
        self.stop.request(Signal::Interrupt);
        for node in self.nodes() {
            node.shutdown().await;
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &NodeHandle> {
        let viewers = self.viewers.iter().map(|viewer| &viewer.node);
        let donors = self.donors.iter().map(|donor| &donor.node);
        viewers.chain(donors).chain([&self.source.node])
    }
}

/// Returns when the viewer has stopped playing.
async fn left(viewer: Option<&mut Viewer>) {
    match viewer {
        Some(viewer) => viewer.ended().await,
        None => std::future::pending().await,
    }
}

/// The last figures of a node.
async fn close_node(
    node: &NodeHandle,
    reporter: &mut Reporter,
    statistics: &Statistics,
    stream: StreamId,
) -> Option<StreamStats> {
    let (stats, _) = node.stats().await.ok()?;
    statistics.publish(&reporter.summary(&stats));
    Some(own(&stats, stream))
}

fn own(stats: &NodeStats, stream: StreamId) -> StreamStats {
    stats
        .streams
        .iter()
        .find(|own| own.stream == Some(stream))
        .cloned()
        .unwrap_or_default()
}

fn drain(events: &mut StreamEvents, reporter: &mut Reporter) {
    while let Some(item) = events.try_recv() {
        if let StreamItem::Event(event) = item {
            reporter.event(&event);
        }
    }
}

async fn no_outputs() -> Result<Outputs, Failure> {
    Outputs::open(&[])
        .await
        .map_err(|error| Failure::running(error.to_string()))
}

async fn start_node(uplink: Bitrate) -> Result<NodeHandle, Failure> {
    let config = DriverConfig {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
        upload: Some(uplink),
        ..DriverConfig::new(HeldKey::ephemeral().key().clone())
    };
    driver::start(config)
        .await
        .map_err(|error| Failure::running(format!("a node of the demo could not start ({error:#})")))
}

impl Source {
    async fn start(plan: &Plan) -> Result<Source, Failure> {
        let uplink = plan.rate.scaled(SOURCE_UPLINK);
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

impl Viewer {
    #[allow(
        clippy::too_many_arguments,
        reason = "one caller, each argument another thing of its own"
    )]
    async fn start(
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
    async fn ended(&mut self) {
        if let Some(task) = &mut self.task {
            let done = task.await;
            self.task = None;
            self.done = done
                .inspect_err(|error| tracing::error!("a viewer failed: {error}"))
                .ok();
        }
    }
}
