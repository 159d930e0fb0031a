//! The demo's swarm as a whole: who comes when, how it does, and its end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use wire::{Link, PeerId, StreamId};

use super::nodes::{Donor, Source, TITLE, Viewer, close_node, drain, no_outputs, own, start_node};
use super::plan::Plan;
use super::table::{Kind, Report, Row};
use crate::cli::session;
use crate::cli::watch::Screen;
use crate::cli::{Interrupt, Signal};
use crate::driver::NodeHandle;
use crate::error::Failure;
use crate::output::Outputs;
use crate::report::Statistics;
use crate::tui::Interface;

/// Viewers come one after the other, this far apart.
const ARRIVALS: Duration = Duration::from_millis(100);

/// After a failure, viewers have this long to leave.
const ABANDON_MAX: Duration = Duration::from_secs(2);

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
    /// Ends every viewer but the one on the screen.
    stop: Interrupt,
    /// Ends that one.
    on_screen: Option<Interrupt>,
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
        let first = start_node(plan.viewer_uplinks().first().copied().unwrap_or(plan.rate)).await?;
        Ok(Swarm {
            statistics: Arc::new(statistics),
            source,
            donors: Vec::new(),
            viewers: Vec::new(),
            first_peer: first.peer(),
            first: Some(first),
            link,
            stop: Interrupt::manual(),
            on_screen: None,
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
            self.donors
                .push(Donor::start(plan.donor_uplink(), self.stream(), via.clone()).await?);
        }
        let mut outputs = outputs.into_iter();
        for uplink in plan.viewer_uplinks() {
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
            let interrupt = match &screen {
                Some(_) => self.on_screen.insert(interrupt.clone()).clone(),
                None => self.stop.clone(),
            };
            let viewer = Viewer::start(
                self.viewers.len() + 1,
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
        // A stream that is over is played to its end; one that goes on is left, each recording with its frame complete,
        // before the source stops somewhere in a frame.
        if !self.source.stop.is_requested() {
            self.leave(patience).await;
        }
        self.source.stop.request(Signal::Interrupt);
        let cast = match timeout(patience, &mut self.source.task).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(Failure::running(format!("the source failed: {error}"))),
            Err(_) => Err(Failure::running("the source did not end")),
        };
        if timeout(patience, self.all_left()).await.is_err() {
            tracing::debug!("not every viewer has played to the end");
            self.leave(patience).await;
        }
        let mut rows = Vec::new();
        let mut failed = cast;
        for (number, viewer) in self.viewers.iter_mut().enumerate() {
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

    /// Every viewer leaves.
    async fn leave(&mut self, patience: Duration) {
        self.stop.request(Signal::Interrupt);
        if let Some(interrupt) = &self.on_screen {
            interrupt.request(Signal::Interrupt);
        }
        if timeout(patience, self.all_left()).await.is_err() {
            tracing::warn!("a viewer does not end; leaving it behind");
        }
    }

    async fn all_left(&mut self) {
        for viewer in &mut self.viewers {
            viewer.ended().await;
        }
    }

    /// Ends everything at once after a failure.
    pub(super) async fn abandon(mut self) {
        // The viewer on the screen gives the terminal back.
        self.leave(ABANDON_MAX).await;
        self.source.stop.request(Signal::Interrupt);
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
