//! `headwater watch`: a consumer.

mod viewing;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use swarm::{Participation, PlayoutWish, Preference};
use wire::Link;

use super::{Context, NodeArgs, session};
use crate::crypt::Opener;
use crate::driver;
use crate::error::{Failure, plain_io};
use crate::output::{OutputSpec, Outputs};
use crate::report::StatsTarget;
use crate::tui::{Interface, State};

pub(super) use viewing::{Screen, Viewing, play};

/// Flags of `watch`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    headwater watch LINK\n  \
    headwater watch LINK --out exec:'mpv -'\n  \
    headwater watch LINK --headless --out - | ffplay -\n\n\
    Without --out the picture is offered on a local HTTP address, which the screen shows.")]
pub struct WatchArgs {
    /// The stream, as headwater cast prints it
    #[arg(value_name = "LINK")]
    pub link: Link,

    /// Where the picture goes: - (a pipe), a file, http://ADDR:PORT, udp://GROUP-or-HOST:PORT or exec:COMMAND;
    /// repeatable [default: http on a free local port; with --headless, nowhere]
    #[arg(long = "out", value_name = "OUTPUT")]
    pub outputs: Vec<OutputSpec>,

    /// Playout lag to keep, in milliseconds, or auto
    #[arg(long, value_name = "MS|auto", default_value = "auto", value_parser = target_lag)]
    pub target_lag: TargetLag,

    /// Which way to lean between lag and gaps
    #[arg(long, value_name = "WAY", value_enum, default_value_t = Prefer::Balanced)]
    pub prefer: Prefer,

    /// End after so many seconds of playing
    #[arg(long, value_name = "SECONDS", value_parser = super::node_args::seconds)]
    pub duration: Option<Duration>,

    /// Whether to pass the stream on to others; passive viewers are served last when capacity is short
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Participate::Active)]
    pub participate: Participate,

    /// The flags of every node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// A playout lag to keep; `None` lets it adapt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetLag(pub Option<Duration>);

/// Which way to lean between lag and continuity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Prefer {
    /// As close to live as the network allows; a rare gap is accepted
    Live,
    /// Between the two
    Balanced,
    /// No gap, at the price of some lag
    Smooth,
}

impl From<Prefer> for Preference {
    fn from(prefer: Prefer) -> Self {
        match prefer {
            Prefer::Live => Preference::Live,
            Prefer::Balanced => Preference::Balanced,
            Prefer::Smooth => Preference::Smooth,
        }
    }
}

/// Whether a viewer passes the stream on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Participate {
    /// Take and give
    Active,
    /// Take only
    Passive,
}

/// A lag in milliseconds, up to ten minutes: more is no live stream, and nobody keeps it.
fn target_lag(text: &str) -> Result<TargetLag, String> {
    if text == "auto" {
        return Ok(TargetLag(None));
    }
    match text.parse::<u64>() {
        Ok(ms @ 1..=600_000) => Ok(TargetLag(Some(Duration::from_millis(ms)))),
        _ => Err("write milliseconds from 1 to 600000, or auto".to_owned()),
    }
}

impl WatchArgs {
    fn wish(&self) -> PlayoutWish {
        PlayoutWish {
            prefer: self.prefer.into(),
            target_lag: self.target_lag.0,
        }
    }

    fn participation(&self) -> Participation {
        match self.participate {
            Participate::Active => Participation::Consume(self.wish()),
            Participate::Passive => Participation::ConsumePassively(self.wish()),
        }
    }

    /// Whether the terminal interface is to be shown, after a look at who else wants standard output.
    fn interactive(&self) -> Result<bool, Failure> {
        let terminal = std::io::stdout().is_terminal();
        let pipe = self.outputs.contains(&OutputSpec::Pipe);
        let stats = matches!(self.node.stats, Some(StatsTarget::Stdout));
        if pipe && terminal {
            return Err(Failure::input(
                "--out - would write the picture to the terminal; pipe it into a player, or use --out http://127.0.0.1:0",
            ));
        }
        if pipe && stats {
            return Err(Failure::input(
                "--out - and --stats - both want standard output; write one of them to a file",
            ));
        }
        Ok(terminal && !stats && !self.node.headless)
    }
}

/// Watches until the stream ends, the time is up, every player has gone or the user leaves.
pub(super) async fn run(mut args: WatchArgs, context: &Context) -> Result<(), Failure> {
    let interactive = args.interactive()?;
    if interactive && args.outputs.is_empty() {
        args.outputs.push(OutputSpec::Http("127.0.0.1:0".to_owned()));
    }
    let outputs = Outputs::open(&args.outputs)
        .await
        .map_err(|error| Failure::input(error.to_string()))?;
    let statistics = args.node.open_statistics().await?;
    let known = args.node.open_known()?;
    let via = args.node.via(&args.link, &known).await?;
    let ways_in = known.addrs();
    let running = args.node.start_node(driver::DEFAULT_NEIGHBOURS, known).await?;
    let node = &running.node;
    node.enter(ways_in).await.map_err(session::node_ended)?;
    let stream = args.link.stream;
    let mut reporters = None;
    let result = match node.join(stream, via.clone(), args.participation()).await {
        Ok(events) => {
            let screen = interactive.then(|| screen(&args, node.peer(), context)).flatten();
            let opener = args.link.content_key.as_ref().map(|key| Opener::new(stream, key));
            let mut viewing = Viewing::new(stream, node, outputs, opener, events.arrivals(), context.started);
            viewing.looks_for(via, Some(args.node.clone()));
            viewing.announce();
            let mut screen = Screen::new(screen, context.started);
            let result = play(
                &mut viewing,
                node,
                events,
                &statistics,
                &context.interrupt,
                args.duration,
                &mut screen,
            )
            .await;
            let (reporter, ended) = viewing.finish(&result).await;
            screen.close().await;
            reporters = Some(reporter);
            result.and(ended)
        }
        Err(ended) => Err(session::node_ended(ended)),
    };
    let closed = session::close(running, statistics, &mut reporters).await;
    if let Some(reporter) = &reporters {
        viewing::say_goodbye(reporter);
    }
    result.and(closed)
}

/// Takes over the terminal; without it the command goes on headless.
fn screen(args: &WatchArgs, peer: wire::PeerId, context: &Context) -> Option<Interface> {
    let mut state = State::new(args.link.stream, peer, args.link.to_string(), context.log.clone());
    state.title = args.link.title.clone().unwrap_or_default();
    state.wish = args.wish();
    match Interface::start(state, &context.interrupt) {
        Ok(interface) => Some(interface),
        Err(error) => {
            tracing::warn!(
                "the terminal interface cannot be shown ({}); going on without",
                plain_io(&error)
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_are_milliseconds_or_auto() {
        assert_eq!(target_lag("auto"), Ok(TargetLag(None)));
        assert_eq!(target_lag("250"), Ok(TargetLag(Some(Duration::from_millis(250)))));
        for wrong in ["0", "-1", "600001", "fast", ""] {
            assert!(target_lag(wrong).is_err(), "{wrong}");
        }
    }
}
