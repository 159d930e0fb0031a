//! `headwater donate`: a non-consuming peer.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use swarm::{Event, Participation};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::{Link, StreamId};

use super::{Context, NodeArgs, session};
use crate::driver::{self, NodeHandle, StreamEvents, StreamItem};
use crate::error::Failure;
use crate::report::{self, Reporter, Statistics};

/// How long nobody may answer before the link counts as a dead end. A node that was answered once keeps trying.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Milestones waiting for the command: a handful per stream and minute. When full, the stream's task waits; the node does
/// not.
const EVENTS_MAX: usize = 64;

/// Flags of `donate`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  \
    headwater donate LINK --upload 50mbit --stats donor.jsonl\n\n\
    The field \"multiplication\" of the statistics says how often each byte received was sent on.")]
pub struct DonateArgs {
    /// The streams to carry
    #[arg(value_name = "LINK")]
    pub links: Vec<Link>,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = super::node_args::seconds)]
    pub duration: Option<Duration>,

    /// The flags of every node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// Donates until the streams end, the time is up or the user interrupts.
pub(super) async fn run(args: DonateArgs, context: &Context) -> Result<(), Failure> {
    if args.links.is_empty() {
        return Err(Failure::input(
            "no stream was named, and searching for streams that need capacity is not supported yet; give a link as \
             headwater cast prints it",
        ));
    }
    let mut joins = Vec::new();
    for link in &args.links {
        joins.push((link.stream, args.node.via(link).await?));
    }
    let statistics = args.node.open_statistics().await?;
    let (node, _identity) = args.node.start_node(driver::DONOR_NEIGHBOURS).await?;
    let mut donation = Donation::new(args.duration, &node, context);
    let mut result = Ok(());
    for (stream, via) in joins {
        match node.join(stream, via, Participation::Donate).await {
            Ok(events) => donation.add(stream, events),
            Err(ended) => result = Err(session::node_ended(ended)),
        }
    }
    if result.is_ok() {
        result = donation.run(&statistics).await;
    }
    let closed = session::close(&node, statistics, &mut donation.reporters).await;
    result.and(closed)
}

struct Donation<'a> {
    node: &'a NodeHandle,
    context: &'a Context,
    duration: Option<Duration>,
    reporters: Vec<Reporter>,
    unanswered: BTreeSet<StreamId>,
    running: BTreeSet<StreamId>,
    /// One task for each stream's items; ended when this is dropped.
    tasks: JoinSet<()>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
}

impl<'a> Donation<'a> {
    fn new(duration: Option<Duration>, node: &'a NodeHandle, context: &'a Context) -> Self {
        Donation {
            node,
            context,
            duration,
            reporters: Vec::new(),
            unanswered: BTreeSet::new(),
            running: BTreeSet::new(),
            tasks: JoinSet::new(),
            events: mpsc::channel(EVENTS_MAX),
        }
    }

    fn add(&mut self, stream: StreamId, mut items: StreamEvents) {
        if !self.running.insert(stream) {
            // The same link twice: the later receiver has replaced the earlier.
            self.reporters.retain(|reporter| reporter.stream() != stream);
        }
        self.unanswered.insert(stream);
        self.reporters.push(Reporter::new(
            report::Command::Donate,
            self.node.peer(),
            stream,
            items.arrivals(),
            self.context.started,
        ));
        let events = self.events.0.clone();
        self.tasks.spawn(async move {
            while let Some(item) = items.recv().await {
                if let StreamItem::Event(event) = item
                    && events.send(event).await.is_err()
                {
                    break;
                }
            }
        });
    }

    async fn run(&mut self, statistics: &Statistics) -> Result<(), Failure> {
        let mut seconds = session::seconds();
        let time_up = session::after(self.duration);
        let no_answer = tokio::time::sleep(ANSWER_MAX);
        tokio::pin!(time_up, no_answer);
        loop {
            tokio::select! {
                () = self.context.interrupt.requested() => return Err(Failure::Interrupted),
                () = statistics.reader_gone() => return Ok(()),
                () = &mut time_up => return Ok(()),
                () = &mut no_answer, if !self.unanswered.is_empty() => {
                    let names: Vec<String> = self.unanswered.iter().map(StreamId::short).collect();
                    return Err(Failure::running(format!(
                        "nobody who knows the stream {} answered within {} s; check that it is being cast and that \
                         the address in the link is reachable",
                        names.join(", "),
                        ANSWER_MAX.as_secs()
                    )));
                }
                Some(event) = self.events.1.recv() => {
                    self.act(&event);
                    if self.running.is_empty() {
                        return Ok(());
                    }
                }
                _ = seconds.tick() => {
                    session::sample(self.node, statistics, &mut self.reporters).await?;
                }
            }
        }
    }

    fn act(&mut self, event: &Event) {
        for reporter in &mut self.reporters {
            reporter.event(event);
        }
        match event {
            Event::TrackerAnswered { stream, info, .. } if self.unanswered.remove(stream) => {
                tracing::info!("carrying {} ({}, {})", stream.short(), info.title, info.rate);
            }
            Event::Ended { stream } => {
                tracing::info!("{} has ended", stream.short());
                self.unanswered.remove(stream);
                self.running.remove(stream);
            }
            Event::Banned { peer } => tracing::warn!("peer {} was shut out for what it sent", peer.short()),
            _ => {}
        }
    }
}
