//! `headwater cast`: the peercaster.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use swarm::Event;
use wire::message::Role;
use wire::{Bitrate, Link, MAX_SUBSTREAMS, MAX_TITLE};

use super::{Context, NodeArgs, Signal, session};
use crate::driver::{self, NodeHandle, StreamEvents, StreamItem};
use crate::error::{Failure, plain_io};
use crate::identity::{self, HeldKey, Purpose};
use crate::ingest::{CastEnd, CastOptions, Caster, Ingest, InputSpec, ReadOptions};
use crate::known::Keeper;
use crate::net::reachable;
use crate::report::{self, Reporter, ShortageNews, Statistics};

/// How long the stream is served after its end. Viewers are at most some seconds behind.
const PLAY_OUT_MAX: Duration = Duration::from_secs(5);

/// The same after an interrupt: the user wants the prompt back.
const PLAY_OUT_INTERRUPTED: Duration = Duration::from_secs(1);

/// How long the link waits for a first look at the input: a shell that found no encoder closes the pipe at once, and a
/// link to nothing helps nobody.
const FIRST_LOOK: Duration = Duration::from_millis(250);

/// How often it looks whether viewers are still there.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// Flags of `cast`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  \
    ffmpeg -re -i film.mkv -c copy -f mpegts - | headwater cast --title 'My film' --upload 20mbit\n\n\
    The link on standard output is what viewers need: headwater watch LINK.\n\
    Ctrl-C ends the stream for everybody; after SIGTERM the same command continues it.")]
pub struct CastArgs {
    /// What to cast: - (standard input), a file, udp://GROUP-or-HOST:PORT or rtp://GROUP-or-HOST:PORT
    #[arg(value_name = "INPUT", default_value = "-", value_parser = clap::value_parser!(InputSpec))]
    pub input: InputSpec,

    /// Title of the stream
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = title)]
    pub title: String,

    /// Pace of a file or pipe, such as 4mbit [default: its own clock's, if it is MPEG-TS]
    #[arg(long, value_name = "RATE", value_parser = super::node_args::positive_rate)]
    pub rate: Option<Bitrate>,

    /// Start a file again at its end
    #[arg(long = "loop")]
    pub repeat: bool,

    /// Encrypt the stream; only who has the link can play it
    #[arg(long)]
    pub private: bool,

    /// The stream's secret key; made with mode 0600 when absent [default: stream.key in the state folder]
    #[arg(long, value_name = "FILE")]
    pub stream_key: Option<PathBuf>,

    /// Length of a chunk in milliseconds: shorter is less lag and more overhead
    #[arg(long, value_name = "MS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub chunk_ms: u32,

    /// Number of substreams, each of which may come from another peer
    #[arg(
        long,
        value_name = "K",
        default_value_t = 16,
        value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_SUBSTREAMS))
    )]
    pub substreams: u8,

    /// Do not print the link
    #[arg(long)]
    pub quiet: bool,

    /// The flags of every node.
    #[command(flatten)]
    pub node: NodeArgs,
}

fn title(text: &str) -> Result<String, String> {
    if text.len() > MAX_TITLE || text.chars().any(char::is_control) {
        return Err(format!(
            "a title has at most {MAX_TITLE} bytes and no control characters"
        ));
    }
    Ok(text.to_owned())
}

impl CastArgs {
    fn open_stream_key(&self) -> Result<HeldKey, Failure> {
        match &self.stream_key {
            Some(path) => identity::open(path, Purpose::Stream),
            None => identity::open_or_ephemeral(self.node.open_state()?.as_deref(), Purpose::Stream),
        }
    }

    fn options(&self) -> CastOptions {
        CastOptions {
            title: self.title.clone(),
            chunk: Duration::from_millis(self.chunk_ms.into()),
            substreams: self.substreams,
            rate: self.rate,
            private: self.private,
        }
    }
}

/// Why feeding stopped.
enum Stop {
    /// The input ended.
    End(CastEnd),
    /// The user interrupted.
    Interrupted,
    /// Nobody reads standard output any more.
    ReaderGone,
}

/// Casts until the input ends or the user interrupts.
pub(super) async fn run(args: CastArgs, context: &Context) -> Result<(), Failure> {
    let key = args.open_stream_key()?;
    let known = args.node.open_known()?;
    let join = args.node.join_addrs().await?;
    let statistics = args.node.open_statistics().await?;
    let running = args.node.start_node(driver::TRACKER_NEIGHBOURS, known).await?;
    let node = &running.node;
    if !join.is_empty() {
        node.enter(join).await.map_err(session::node_ended)?;
    }
    let read = ReadOptions {
        rate: args.rate,
        repeat: args.repeat,
    };
    let mut reporter = None;
    let result = match Ingest::open(&args.input, read, node.clock()).await {
        Ok(input) => cast(&args, context, node, key.key(), input, &statistics, &mut reporter).await,
        Err(failure) => Err(failure),
    };
    let closed = session::close(running, statistics, &mut reporter).await;
    result.and(closed)
}

async fn cast(
    args: &CastArgs,
    context: &Context,
    node: &NodeHandle,
    key: &wire::SecretKey,
    mut input: Ingest,
    statistics: &Statistics,
    reporter: &mut Option<Reporter>,
) -> Result<(), Failure> {
    let empty = || {
        Failure::input(format!(
            "{} is empty; check that the encoder runs and writes there",
            args.input
        ))
    };
    if input.is_empty(FIRST_LOOK).await {
        return Err(empty());
    }
    let audience = args.node.open_audience(key.stream_id())?;
    let waiting = audience.waiting();
    if !waiting.is_empty() {
        node.recall(waiting).await.map_err(session::node_ended)?;
    }
    let (caster, events) = Caster::publish(node.clone(), key, &args.options())
        .await
        .map_err(session::node_ended)?;
    let _audience = Keeper::start_audience(audience, node);
    let reporter = reporter.insert(Reporter::new(
        report::Command::Cast,
        node.peer(),
        caster.stream(),
        events.arrivals(),
        context.started,
    ));
    if !args.quiet && !print_link(&link(args, node, &caster))? {
        return Ok(());
    }
    let mut cast = Cast {
        context,
        node,
        caster,
        told_of_overlay: !args.node.join.is_empty(),
    };
    match cast.feed(input, events, statistics, reporter).await {
        Ok(Stop::End(CastEnd::Finished { .. })) => cast.end(PLAY_OUT_MAX).await,
        Ok(Stop::End(CastEnd::Empty)) => Err(empty()),
        Ok(Stop::ReaderGone) => cast.end(PLAY_OUT_INTERRUPTED).await,
        Ok(Stop::Interrupted) => {
            // After SIGTERM the stream stays open: whoever supervises this process may start it again.
            if context.interrupt.signal() == Some(Signal::Interrupt) {
                cast.end(PLAY_OUT_INTERRUPTED).await?;
            }
            Err(Failure::Interrupted)
        }
        Err(failure) => {
            // The stream is over for the viewers, too; the first failure is the one to tell.
            let _ = cast.end(PLAY_OUT_MAX).await;
            Err(failure)
        }
    }
}

/// A stream being cast.
struct Cast<'a> {
    context: &'a Context,
    node: &'a NodeHandle,
    caster: Caster,
    /// Whether there is a `--join`.
    told_of_overlay: bool,
}

impl Cast<'_> {
    async fn feed(
        &mut self,
        mut input: Ingest,
        mut events: StreamEvents,
        statistics: &Statistics,
        reporter: &mut Reporter,
    ) -> Result<Stop, Failure> {
        let mut seconds = session::seconds();
        let mut told_slow = false;
        let feed = self.caster.feed(&mut input);
        tokio::pin!(feed);
        let mut events_open = true;
        loop {
            tokio::select! {
                end = &mut feed => return Ok(Stop::End(end?)),
                () = self.context.interrupt.requested() => return Ok(Stop::Interrupted),
                () = statistics.reader_gone() => return Ok(Stop::ReaderGone),
                item = events.recv(), if events_open => match item {
                    Some(StreamItem::Event(event)) => {
                        reporter.event(&event);
                        say(&event, self.told_of_overlay);
                    }
                    Some(_) => {}
                    None => events_open = false,
                },
                _ = seconds.tick() => {
                    let driver = session::sample(self.node, statistics, [&mut *reporter]).await?;
                    match reporter.shortage_news() {
                        Some(ShortageNews::Begins) => tracing::warn!(
                            "the swarm has too little upload: viewers miss parts of the stream; a lower bitrate, or headwater \
                             donate with this link on a machine with upload to spare, helps"
                        ),
                        Some(ShortageNews::Over) => tracing::info!("the swarm has enough upload again"),
                        None => {}
                    }
                    if driver.produce_dropped > 0 && !std::mem::replace(&mut told_slow, true) {
                        tracing::warn!(
                            "the input is faster than this machine can sign and send: chunks are dropped; give \
                             --rate or a slower input"
                        );
                    }
                }
            }
        }
    }

    /// Ends the stream and serves it until the viewers have played it out, for at most `patience`.
    async fn end(&mut self, patience: Duration) -> Result<(), Failure> {
        self.caster.finish().await?;
        self.node
            .end_of_stream(self.caster.stream())
            .await
            .map_err(session::node_ended)?;
        let was_interrupted = self.context.interrupt.is_requested();
        let played_out = async {
            loop {
                tokio::time::sleep(LOOK_AFTER).await;
                let (stats, _) = self.node.stats().await.map_err(session::node_ended)?;
                // Who has played out leaves.
                if !stats.neighbours.iter().any(|link| plays(link.role)) {
                    return Ok(());
                }
            }
        };
        tokio::select! {
            result = tokio::time::timeout(patience, played_out) => result.unwrap_or(Ok(())),
            () = self.context.interrupt.requested(), if !was_interrupted => Err(Failure::Interrupted),
        }
    }
}

/// Tells the user what happened in the overlay.
fn say(event: &Event, told_of_overlay: bool) {
    match event {
        Event::Entered => tracing::debug!("this node is a member of the overlay's ring"),
        Event::NoWayIn if told_of_overlay => tracing::warn!(
            "no node of an overlay answers at the addresses of --join: this stream has an overlay of its own until one does"
        ),
        _ => {}
    }
}

fn plays(role: Role) -> bool {
    matches!(role, Role::Consumer | Role::Passive)
}

fn link(args: &CastArgs, node: &NodeHandle, caster: &Caster) -> Link {
    Link {
        via: reachable::addresses(node.local_addrs())
            .into_iter()
            .map(Into::into)
            .collect(),
        title: (!args.title.is_empty()).then(|| args.title.clone()),
        content_key: caster.content_key(),
        ..Link::new(caster.stream())
    }
}

/// Prints the link as the only line on standard output; false if nobody reads that.
fn print_link(link: &Link) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{link}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::running(format!(
            "the link could not be written to standard output ({}); redirect it elsewhere or use --quiet",
            plain_io(&error)
        ))),
    }
}
