//! Playing one stream: from the node's items to the outputs, the statistics and the screen.

use std::net::SocketAddr;
use std::time::Duration;

use swarm::{Event, PlayoutWish, Preference};
use tokio::time::{Instant, MissedTickBehavior};
use wire::{Chunk, StreamId, StreamInfo};

use crate::cli::session;
use crate::cli::{Interrupt, NodeArgs, Signal};
use crate::crypt::Opener;
use crate::driver::{Lags, NodeHandle, StreamEvents, StreamItem};
use crate::error::Failure;
use crate::output::Outputs;
use crate::report::{self, Reporter, ShortageNews, Statistics};
use crate::tui::{Action, Interface, Phase, State};

/// Nobody who knows the stream has answered for so long: the link leads nowhere. A dial takes three seconds at most, so
/// the node has tried all addresses more than once by then.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Nothing to play for so long is told to the user: more than any playout buffer bridges.
const QUIET: Duration = Duration::from_secs(2);

/// A peercaster that is away for longer is not waited for. A restart takes seconds, a reboot less than this.
const RETURN_MAX: Duration = Duration::from_secs(60);

/// When playing is to end, a recording gets this long to complete its frame: ten frames.
const FRAME_MAX: Duration = Duration::from_millis(400);

/// At its end, what players still hold may take this long to be taken; after an interrupt the user wants the prompt.
const PLAY_OUT_MAX: Duration = Duration::from_secs(6);
const PLAY_OUT_INTERRUPTED: Duration = Duration::from_secs(1);

/// The screen follows the node this often; statistics take every second of these.
const LOOK: Duration = Duration::from_millis(500);

/// A stream being played.
#[derive(Debug)]
pub(in crate::cli) struct Viewing {
    stream: StreamId,
    /// What its lines in the log begin with, where there are several.
    who: String,
    outputs: Outputs,
    opener: Option<Opener>,
    reporter: Reporter,
    info: Option<StreamInfo>,
    via: Vec<SocketAddr>,
    limits: Option<NodeArgs>,
    /// When it joined, or was last told that it has to wait for its turn.
    waits_since: Instant,
    turned_away: bool,
    answered: bool,
    /// When the first and the last chunk were handed over.
    playing_since: Option<Instant>,
    last_chunk: Option<Instant>,
    /// The user was told that nothing comes.
    quiet: bool,
}

/// Why an item ends the playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    Ended,
}

impl Viewing {
    /// `started` is when the command started; `opener` opens a private stream's chunks.
    pub(in crate::cli) fn new(
        stream: StreamId,
        node: &NodeHandle,
        outputs: Outputs,
        opener: Option<Opener>,
        arrivals: Lags,
        started: Instant,
    ) -> Self {
        Viewing {
            stream,
            who: String::new(),
            outputs,
            opener,
            reporter: Reporter::new(report::Command::Watch, node.peer(), stream, arrivals, started),
            info: None,
            via: Vec::new(),
            limits: None,
            waits_since: Instant::now(),
            turned_away: false,
            answered: false,
            playing_since: None,
            last_chunk: None,
            quiet: false,
        }
    }

    /// Where it looks for the stream, for the words when nobody is there; and the limits that the user has set.
    pub(in crate::cli) fn looks_for(&mut self, via: Vec<SocketAddr>, limits: Option<NodeArgs>) {
        self.via = via;
        self.limits = limits;
    }

    /// Its lines in the log begin with this: there are several.
    pub(in crate::cli) fn is_called(&mut self, who: String) {
        self.who = who;
    }

    /// Says where players find the picture.
    pub(in crate::cli) fn announce(&self) {
        for url in self.outputs.status().into_iter().filter_map(|output| output.url) {
            tracing::info!("the picture is at {url}: open it in mpv, VLC or ffplay");
        }
    }

    /// Lets the outputs write what they have, within a bounded time, as the end of playing asks for; a player that
    /// failed is a failure if nothing else was.
    pub(in crate::cli) async fn finish(
        self,
        result: &Result<(), Failure>,
    ) -> (Reporter, Result<(), Failure>) {
        let grace = if result.is_ok() {
            PLAY_OUT_MAX
        } else {
            PLAY_OUT_INTERRUPTED
        };
        let status = self.outputs.finish(grace).await;
        for output in &status {
            if output.skipped > 0 {
                tracing::warn!(
                    "{} did not follow: {} chunks were left out",
                    output.name,
                    output.skipped
                );
            }
        }
        let failed = status.into_iter().find_map(|output| output.failure);
        (
            self.reporter,
            failed.map_or(Ok(()), |why| Err(Failure::running(why))),
        )
    }

    fn item(&mut self, item: StreamItem, screen: &Screen) -> Result<Next, Failure> {
        match item {
            StreamItem::Chunk { chunk, lag_us, .. } => self.chunk(&chunk, lag_us, screen)?,
            StreamItem::Gap { from, to } => {
                tracing::debug!("{} chunks are missing", from.behind(to));
                self.outputs.gap();
            }
            StreamItem::Event(event) => {
                self.reporter.event(&event);
                return self.event(event, screen);
            }
        }
        Ok(Next::GoOn)
    }

    fn chunk(&mut self, chunk: &Chunk, lag_us: i64, screen: &Screen) -> Result<(), Failure> {
        // The chunk that ends a stream is empty.
        if chunk.payload().is_empty() {
            return Ok(());
        }
        let private = self.info.as_ref().is_none_or(|info| info.private);
        let media = match &self.opener {
            Some(opener) if private => opener.open(chunk.payload()).map_err(|wrong| {
                Failure::input(format!(
                    "{wrong}; copy the whole link again, with all that follows its #"
                ))
            })?,
            _ => chunk.payload().clone(),
        };
        self.outputs.push(media, chunk.header().flags.random_access);
        self.reporter.handed_over(lag_us);
        let now = Instant::now();
        self.playing_since.get_or_insert(now);
        let first = self.last_chunk.replace(now).is_none();
        let was_quiet = std::mem::take(&mut self.quiet);
        if first {
            let after = self.reporter.startup().unwrap_or_default();
            tracing::info!("{}playing after {:.2} s", self.who, after.as_secs_f64());
        } else if was_quiet {
            tracing::info!("{}the stream is back", self.who);
        }
        if first || was_quiet {
            screen.update(|state, elapsed| {
                state.step_done("playing", elapsed);
                state.phase = Phase::Playing;
            });
        }
        Ok(())
    }

    fn event(&mut self, event: Event, screen: &Screen) -> Result<Next, Failure> {
        match event {
            Event::TrackerAnswered { info, .. } => {
                self.answered = true;
                screen.step_done("tracker");
                self.described(*info)?;
            }
            Event::Described { info, .. } => self.described(*info)?,
            Event::FirstChunk { .. } => screen.step_done("first chunk"),
            Event::Located => screen.step_done("coordinate"),
            Event::LookedUp { hops, .. } => {
                tracing::debug!("the overlay named a tracker ({hops} hops)");
                screen.step_done("ring");
            }
            Event::Entered => tracing::debug!("this node is a member of the overlay's ring"),
            Event::Ended { .. } => return Ok(Next::Ended),
            Event::SessionChanged { .. } => tracing::info!("{}the peercaster has started anew", self.who),
            Event::NoTracker { attempts, .. } => {
                tracing::debug!("nobody who knows the stream answers (attempt {attempts})");
            }
            Event::TurnedAway { .. } => {
                self.waits_since = Instant::now();
                if !std::mem::replace(&mut self.turned_away, true) {
                    tracing::info!(
                        "{}more viewers come at once than are let in; waiting for a turn",
                        self.who
                    );
                }
            }
            Event::Tracking { change, .. } => tracing::debug!("a local tracker here: {change:?}"),
            Event::Banned { peer, offence } => {
                tracing::info!("shut out the peer {}: {offence}", peer.short());
            }
            // The driver says what is wrong with the ledger; the others are for those who asked.
            Event::Ledger { .. } | Event::Shifted { .. } | Event::ShiftFailed => {}
            Event::PlayoutStarted { .. } | Event::NoWayIn | Event::Surveyed { .. } => {}
        }
        Ok(Next::GoOn)
    }

    fn described(&mut self, info: StreamInfo) -> Result<(), Failure> {
        if info.private && self.opener.is_none() {
            return Err(Failure::input(
                "the stream is private and the link has no key; copy the whole link, with all that follows its #",
            ));
        }
        if let Some(limits) = &self.limits {
            limits.check_download(&info)?;
        }
        self.outputs.describe(&info);
        self.info = Some(info);
        Ok(())
    }

    /// Tells the user, once, that there is too little upload for all, and when there is enough again.
    fn tell_shortage(&mut self, screen: &Screen) {
        let Some(news) = self.reporter.shortage_news() else {
            return;
        };
        let begins = news == ShortageNews::Begins;
        if begins {
            tracing::warn!(
                "{}the swarm has too little upload for all viewers: parts of the stream are missing; who gives more is served \
                 first, and headwater donate with this link on another machine, or a lower bitrate at the peercaster, helps",
                self.who
            );
        } else {
            tracing::info!("{}the swarm has enough upload again", self.who);
        }
        screen.update(|state, _| state.shortage = begins);
    }

    /// Looks whether something that should have happened has not.
    fn check(&mut self, screen: &Screen) -> Result<(), Failure> {
        if !self.answered && self.last_chunk.is_none() {
            // Whoever turns newcomers away is there, and lets them in one after the other.
            if self.waits_since.elapsed() < ANSWER_MAX {
                return Ok(());
            }
            let via: Vec<String> = self.via.iter().map(ToString::to_string).collect();
            return Err(Failure::running(format!(
                "nobody who knows the stream {} answered at {} within {} s; check that it is being cast and that the \
                 address can be reached",
                self.stream.short(),
                via.join(", "),
                ANSWER_MAX.as_secs()
            )));
        }
        let silent = self.last_chunk.unwrap_or(self.waits_since).elapsed();
        if silent >= RETURN_MAX {
            let what = if self.last_chunk.is_some() {
                "the stream stopped and did not come back"
            } else {
                "nothing came"
            };
            return Err(Failure::running(format!(
                "{what} within {} s; check the peercaster, and watch again when it casts",
                RETURN_MAX.as_secs()
            )));
        }
        if silent < QUIET {
            return Ok(());
        }
        let what = if self.last_chunk.is_some() {
            "the stream has stopped; waiting for the peercaster's return"
        } else {
            "connected; waiting for the stream's first picture"
        };
        if !std::mem::replace(&mut self.quiet, true) {
            tracing::warn!("{}{what}", self.who);
        }
        let left = (RETURN_MAX - silent).as_secs();
        screen.update(|state, _| state.phase = Phase::Waiting(format!("{what} ({left} s left)")));
        Ok(())
    }
}

/// The terminal interface, or none.
#[derive(Debug)]
pub(in crate::cli) struct Screen {
    interface: Option<Interface>,
    started: Instant,
}

impl Screen {
    /// Times are shown since `started`, the command's start.
    pub(in crate::cli) fn new(interface: Option<Interface>, started: Instant) -> Self {
        Screen { interface, started }
    }

    /// Gives the terminal back.
    pub(in crate::cli) async fn close(self) {
        if let Some(interface) = self.interface {
            interface.close().await;
        }
    }

    fn update(&self, change: impl FnOnce(&mut State, Duration)) {
        if let Some(interface) = &self.interface {
            interface.update(|state| change(state, self.started.elapsed()));
        }
    }

    fn step_done(&self, step: &str) {
        self.update(|state, elapsed| state.step_done(step, elapsed));
    }

    async fn action(&mut self) -> Action {
        match &mut self.interface {
            Some(interface) => interface.action().await,
            None => std::future::pending().await,
        }
    }

    async fn follow(&self, node: &NodeHandle, outputs: &Outputs) -> Result<(), Failure> {
        if self.interface.is_some() {
            let (stats, _) = node.stats().await.map_err(session::node_ended)?;
            let outputs = outputs.status();
            self.update(|state, elapsed| {
                state.update(elapsed, &stats);
                state.outputs = outputs;
            });
        }
        Ok(())
    }

    /// Does what a key asks for; false when the user leaves.
    async fn act(&self, action: Action, stream: StreamId, node: &NodeHandle) -> Result<bool, Failure> {
        match action {
            Action::Quit => Ok(false),
            // The caller's wait for the interrupt sees this one.
            Action::Interrupt => Ok(true),
            Action::Wish(wish) => {
                node.wish(stream, wish).await.map_err(session::node_ended)?;
                self.update(|state, elapsed| {
                    state.wish = wish;
                    state.notify(elapsed, describe(wish));
                });
                Ok(true)
            }
        }
    }
}

fn describe(wish: PlayoutWish) -> String {
    let prefer = match wish.prefer {
        Preference::Live => "live",
        Preference::Balanced => "balanced",
        Preference::Smooth => "smooth",
    };
    match wish.target_lag {
        Some(lag) => format!("target {} ms", lag.as_millis()),
        None => format!("target auto, {prefer}"),
    }
}

/// Plays until the stream ends, `duration` of playing is over, every output has closed or somebody wants to leave.
pub(in crate::cli) async fn play(
    viewing: &mut Viewing,
    node: &NodeHandle,
    mut events: StreamEvents,
    statistics: &Statistics,
    interrupt: &Interrupt,
    duration: Option<Duration>,
    screen: &mut Screen,
) -> Result<(), Failure> {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut count = 0u64;
    // Set once playing is to end with the frame that is being written.
    let mut ending: Option<(Instant, Result<(), Failure>)> = None;
    loop {
        let time_up = duration
            .zip(viewing.playing_since)
            .map(|(duration, since)| since + duration);
        let end = |result| Some((Instant::now() + FRAME_MAX, result));
        tokio::select! {
            item = events.recv() => {
                let Some(item) = item else { return Err(session::node_ended(crate::driver::NodeEnded)) };
                if viewing.item(item, screen)? == Next::Ended {
                    screen.update(|state, _| state.phase = Phase::Ended);
                    return Ok(());
                }
            }
            () = until(ending.as_ref().map(|(at, _)| *at)) => {
                return ending.map_or(Ok(()), |(_, result)| result);
            }
            () = interrupt.requested(), if ending.is_none() => ending = end(Err(Failure::Interrupted)),
            () = until(time_up), if ending.is_none() => ending = end(Ok(())),
            () = viewing.outputs.all_closed() => return Ok(()),
            () = statistics.reader_gone() => return Ok(()),
            action = screen.action() => {
                if action == Action::Interrupt {
                    interrupt.request(Signal::Interrupt);
                } else if !screen.act(action, viewing.stream, node).await? && ending.is_none() {
                    ending = end(Ok(()));
                }
            }
            _ = looks.tick() => {
                screen.follow(node, &viewing.outputs).await?;
                if count > 0 && count.is_multiple_of(2) {
                    session::sample(node, statistics, [&mut viewing.reporter]).await?;
                    viewing.tell_shortage(screen);
                }
                count += 1;
                viewing.check(screen)?;
            }
        }
        if ending.is_some() {
            viewing.outputs.end_recordings();
            if viewing.outputs.recordings_ended()
                && let Some((_, result)) = ending.take()
            {
                return result;
            }
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The figures of a run that is over, for people.
pub(in crate::cli) fn say_goodbye(reporter: &Reporter) {
    let Some(startup) = reporter.startup() else { return };
    let lag = reporter.lag_quantiles().map_or_else(String::new, |lag| {
        format!(", lag {:.0} ms (99 % below {:.0} ms)", lag.p50, lag.p99)
    });
    tracing::info!("started after {:.2} s{lag}", startup.as_secs_f64());
}
