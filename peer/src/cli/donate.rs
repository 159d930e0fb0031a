//! `headwater donate`: a non-consuming peer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use swarm::{Event, Participation, Wanting};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::{Link, StreamId};

use super::{Context, NodeArgs, session};
use crate::driver::{self, NodeEnded, NodeHandle, StreamEvents, StreamItem};
use crate::error::Failure;
use crate::report::{self, Reporter, Statistics};

/// How long nobody may answer before a link counts as a dead end. A node that was answered once keeps trying.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Milestones waiting for the command: a handful per stream and minute. When full, the stream's task waits; the node does
/// not.
const EVENTS_MAX: usize = 64;

/// A donor that was given no stream looks for one this often: leases say what their trackers lacked some seconds ago.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// A stream that did not answer, or has ended, is left alone for so long: its lease may outlive it by half a minute.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Flags of `donate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    headwater donate LINK --upload 50mbit --stats donor.jsonl\n  \
    headwater donate --join 192.0.2.2:4000 --max-streams 2\n\n\
    Without a link it asks the overlay which streams need capacity, and carries those. The field \"multiplication\" of the\n\
    statistics says how often each byte received was sent on.")]
pub struct DonateArgs {
    /// The streams to carry; without one, those that lack capacity
    #[arg(value_name = "LINK")]
    pub links: Vec<Link>,

    /// Most streams to carry at a time when no link is given
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub max_streams: u16,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = super::node_args::seconds)]
    pub duration: Option<Duration>,

    /// The flags of every node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Donates until the streams end, the time is up or the user interrupts.
pub(super) async fn run(args: DonateArgs, context: &Context) -> Result<(), Failure> {
    let known = args.node.open_known()?;
    let mut joins = Vec::new();
    for link in &args.links {
        joins.push((link.stream, args.node.via(link, &known).await?));
    }
    let mut ways_in = args.node.join_addrs().await?;
    ways_in.extend(known.addrs());
    if joins.is_empty() && ways_in.is_empty() {
        return Err(Failure::input(
            "no stream was named and no node of an overlay is known; give a link as headwater cast prints it, or the address \
             of any node with --join HOST:PORT",
        ));
    }
    let statistics = args.node.open_statistics().await?;
    let running = args.node.start_node(driver::DONOR_NEIGHBOURS, known).await?;
    let looks_for = joins.is_empty().then_some(usize::from(args.max_streams));
    let mut donation = Donation::new(args.duration, looks_for, &running.node, context);
    let mut result = donation.enter(ways_in).await.map_err(session::node_ended);
    for (stream, via) in joins {
        if result.is_ok() {
            result = donation.join(stream, via).await.map_err(session::node_ended);
        }
    }
    if result.is_ok() {
        result = donation.run(&statistics).await;
    }
    let mut reporters = donation.into_reporters();
    let closed = session::close(running, statistics, &mut reporters).await;
    result.and(closed)
}

struct Donation {
    node: NodeHandle,
    context: Context,
    duration: Option<Duration>,
    /// For how many streams it looks by itself; `None` if it was told which to carry.
    looks_for: Option<usize>,
    /// Where it enters the overlay, in words.
    ways_in: Vec<String>,
    /// When the node first knew where it is.
    located: Option<Instant>,
    reporters: Vec<Reporter>,
    /// Streams whose trackers have not answered, since when.
    unanswered: BTreeMap<StreamId, Instant>,
    running: BTreeSet<StreamId>,
    /// Streams that are left alone, until when.
    alone: BTreeMap<StreamId, Instant>,
    /// One task for each stream's items; ended when this is dropped.
    tasks: JoinSet<()>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
}

impl Donation {
    fn new(
        duration: Option<Duration>,
        looks_for: Option<usize>,
        node: &NodeHandle,
        context: &Context,
    ) -> Self {
        Donation {
            node: node.clone(),
            context: context.clone(),
            duration,
            looks_for,
            ways_in: Vec::new(),
            located: None,
            reporters: Vec::new(),
            unanswered: BTreeMap::new(),
            running: BTreeSet::new(),
            alone: BTreeMap::new(),
            tasks: JoinSet::new(),
            events: mpsc::channel(EVENTS_MAX),
        }
    }

    fn into_reporters(self) -> Vec<Reporter> {
        self.reporters
    }

    /// Enters the overlay, and hears from now on what happens at the node, whether it has a stream or not.
    async fn enter(&mut self, ways_in: Vec<SocketAddr>) -> Result<(), NodeEnded> {
        self.ways_in = ways_in.iter().map(SocketAddr::to_string).collect();
        let items = self.node.listen().await?;
        self.tasks.spawn(pass_on(items, self.events.0.clone(), |event| {
            event.stream().is_none()
        }));
        self.node.enter(ways_in).await
    }

    async fn join(&mut self, stream: StreamId, via: Vec<SocketAddr>) -> Result<(), NodeEnded> {
        let items = self.node.join(stream, via, Participation::Donate).await?;
        // The same stream twice: the later receiver has replaced the earlier.
        self.running.insert(stream);
        self.reporters.retain(|reporter| reporter.stream() != stream);
        self.unanswered.insert(stream, Instant::now());
        let mut reporter = Reporter::new(
            report::Command::Donate,
            self.node.peer(),
            stream,
            items.arrivals(),
            self.context.started,
        );
        if let Some(at) = self.located {
            reporter.located(at);
        }
        self.reporters.push(reporter);
        self.tasks.spawn(pass_on(items, self.events.0.clone(), |event| {
            event.stream().is_some()
        }));
        Ok(())
    }

    async fn run(&mut self, statistics: &Statistics) -> Result<(), Failure> {
        let mut seconds = session::seconds();
        let time_up = session::after(self.duration);
        tokio::pin!(time_up);
        let (sender, mut found) = mpsc::channel(1);
        if self.looks_for.is_some() {
            self.tasks.spawn(look(self.node.clone(), sender));
        }
        loop {
            tokio::select! {
                () = self.context.interrupt.requested() => return Err(Failure::Interrupted),
                () = statistics.reader_gone() => return Ok(()),
                () = &mut time_up => return Ok(()),
                Some(event) = self.events.1.recv() => {
                    self.act(&event).await.map_err(session::node_ended)?;
                    if self.running.is_empty() && self.looks_for.is_none() {
                        return Ok(());
                    }
                }
                Some(streams) = found.recv() => self.choose(streams).await.map_err(session::node_ended)?,
                _ = seconds.tick() => {
                    session::sample(&self.node, statistics, &mut self.reporters).await?;
                    self.check_answers().await?;
                }
            }
        }
    }

    /// Joins those that lack most, as many as it may carry.
    async fn choose(&mut self, streams: Vec<Wanting>) -> Result<(), NodeEnded> {
        let most = self.looks_for.unwrap_or_default();
        let now = Instant::now();
        self.alone.retain(|_, until| *until > now);
        for wanting in streams {
            let stream = wanting.stream;
            if self.running.len() >= most {
                break;
            }
            if self.running.contains(&stream) || self.alone.contains_key(&stream) || wanting.via.is_empty() {
                continue;
            }
            tracing::info!(
                "offering to carry {} ({} peers, {} % of its capacity lacking)",
                stream.short(),
                wanting.members,
                wanting.short / 10
            );
            self.join(stream, wanting.via).await?;
        }
        if self.running.is_empty() {
            tracing::debug!("no stream was found that needs capacity; looking on");
        }
        Ok(())
    }

    /// Looks whether somebody should have answered and has not.
    async fn check_answers(&mut self) -> Result<(), Failure> {
        let late = |since: &Instant| since.elapsed() >= ANSWER_MAX;
        let late = self.unanswered.iter().filter(|(_, since)| late(since));
        let late: Vec<StreamId> = late.map(|(stream, _)| *stream).collect();
        if late.is_empty() {
            return Ok(());
        }
        if self.looks_for.is_none() {
            let names: Vec<String> = late.iter().map(StreamId::short).collect();
            return Err(Failure::running(format!(
                "nobody who knows the stream {} answered within {} s; check that it is being cast and that the address in \
                 the link is reachable",
                names.join(", "),
                ANSWER_MAX.as_secs()
            )));
        }
        for stream in late {
            tracing::debug!("nobody answers for {}", stream.short());
            self.drop_stream(stream).await.map_err(session::node_ended)?;
        }
        Ok(())
    }

    /// Carries a stream no more.
    async fn drop_stream(&mut self, stream: StreamId) -> Result<(), NodeEnded> {
        self.unanswered.remove(&stream);
        self.running.remove(&stream);
        if self.looks_for.is_some() {
            self.alone.insert(stream, Instant::now() + LEFT_ALONE);
            self.node.leave(stream).await?;
        }
        Ok(())
    }

    async fn act(&mut self, event: &Event) -> Result<(), NodeEnded> {
        for reporter in &mut self.reporters {
            reporter.event(event);
        }
        match event {
            Event::TurnedAway { stream } => {
                // Somebody is there, who lets newcomers in one after the other.
                if let Some(since) = self.unanswered.get_mut(stream) {
                    *since = Instant::now();
                }
            }
            Event::TrackerAnswered { stream, info, .. } if self.unanswered.remove(stream).is_some() => {
                tracing::info!("carrying {} ({}, {})", stream.short(), info.title, info.rate);
            }
            Event::Ended { stream } => {
                tracing::info!("{} has ended", stream.short());
                self.drop_stream(*stream).await?;
            }
            Event::Located => self.located = self.located.or(Some(Instant::now())),
            Event::NoWayIn => tracing::warn!(
                "no node of an overlay answers at {}; going on to look for one there",
                self.ways_in.join(", ")
            ),
            Event::Banned { peer, offence } => {
                tracing::warn!("peer {} was shut out: {offence}", peer.short());
            }
            _ => {}
        }
        Ok(())
    }
}

/// Passes those milestones on that are wanted from here: what concerns no stream would come from each of them.
async fn pass_on(mut items: StreamEvents, events: mpsc::Sender<Event>, wanted: fn(&Event) -> bool) {
    while let Some(item) = items.recv().await {
        if let StreamItem::Event(event) = item
            && wanted(&event)
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

/// Looks for streams that lack capacity, again and again.
async fn look(node: NodeHandle, found: mpsc::Sender<Vec<Wanting>>) {
    loop {
        let Ok(streams) = node.survey().await else { return };
        if found.send(streams).await.is_err() {
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
