//! `headwater demo`: a whole swarm in this process, on loopback.

mod nodes;
mod plan;
mod swarm;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wire::Bitrate;

use super::{Context, Interrupt, session};
use crate::error::{Failure, plain_io};
use crate::ingest::InputSpec;
use crate::media::{Segmenter, SegmenterConfig, testcard::TestCard};
use crate::output::{OutputSpec, Outputs};
use crate::report::{Statistics, StatsTarget};
use crate::tui::{Interface, State};
use plan::Plan;
use swarm::{Over, Swarm};

/// The built-in stream's rate when none is asked for: standard definition as people cast it, and the rate at which
/// other systems were measured.
const CARD_RATE: Bitrate = Bitrate::from_kbps(3500);

/// Below this share of chunks in time a viewer of a swarm on one machine was not served well: something is wrong.
const CONTINUITY_MIN: f64 = 0.99;

/// From the end of the stream until every viewer has played it out.
const PLAY_OUT_MAX: Duration = Duration::from_secs(5);

/// Without a terminal for it, progress is told this seldom.
const PROGRESS_EVERY: u64 = 5;

/// Flags of `demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  \
    headwater demo\n  \
    headwater demo --headless --duration 20\n  \
    headwater demo --input film.ts --viewers 12 --donors 1\n\n\
    One peercaster with three times the stream's rate, viewers with uplinks as people have them, and donors; each is a \
    node of its own with its own connections. The picture of the first viewer is offered over HTTP.")]
pub struct DemoArgs {
    /// Viewers
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub viewers: u16,

    /// Peers that carry the stream without playing it
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=200))]
    pub donors: u16,

    /// Cast this file instead of the test card
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// Rate of the test card [default: 3.5mbit], or of a file [default: its own clock's, if it is MPEG-TS]
    #[arg(long, value_name = "RATE", value_parser = super::node_args::positive_rate)]
    pub rate: Option<Bitrate>,

    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = super::node_args::seconds)]
    pub duration: Option<Duration>,

    /// Where the first viewer's picture goes, as in headwater watch; repeatable
    #[arg(long = "out", value_name = "OUTPUT", default_value = "http://127.0.0.1:0")]
    pub outputs: Vec<OutputSpec>,

    /// Write every node's statistics as JSON lines; - is standard output
    #[arg(long, value_name = "FILE|-")]
    pub stats: Option<StatsTarget>,

    /// What to log to standard error: a level such as debug, or targets such as info,headwater::net=trace
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,

    /// No terminal interface; a line of progress instead
    #[arg(long)]
    pub headless: bool,
}

/// Runs until the time is up, the input ends, the user leaves or something fails.
pub(super) async fn run(args: DemoArgs, context: &Context) -> Result<(), Failure> {
    let stats_to_stdout = matches!(args.stats, Some(StatsTarget::Stdout));
    let pipe = args.outputs.contains(&OutputSpec::Pipe);
    if pipe && (stats_to_stdout || std::io::stdout().is_terminal()) {
        return Err(Failure::input(
            "--out - needs a standard output of its own that is no terminal; pipe it into a player",
        ));
    }
    let interactive = std::io::stdout().is_terminal() && !args.headless && !stats_to_stdout;
    let plan = plan(&args)?;
    let outputs = Outputs::open(&args.outputs)
        .await
        .map_err(|error| Failure::input(error.to_string()))?;
    let statistics = Statistics::open(args.stats.as_ref(), None).await?;
    let mut swarm = Swarm::start(&plan, statistics).await?;
    let screen = interactive.then(|| screen(&swarm, context)).flatten();
    let on_screen = screen.is_some();
    let result = async {
        let interrupt = if on_screen {
            context.interrupt.clone()
        } else {
            Interrupt::manual()
        };
        swarm.populate(&plan, vec![outputs], screen, &interrupt).await?;
        attend(&mut swarm, &args, context, !on_screen).await
    }
    .await;
    if let Err(failure @ (Failure::Input(_) | Failure::Running(_))) = result {
        swarm.abandon().await;
        return Err(failure);
    }
    let (report, closed) = swarm.close(PLAY_OUT_MAX).await;
    let words = table::table(&report);
    // Standard output may be taken; the figures are for people.
    let written = if pipe || stats_to_stdout {
        std::io::stderr().write_all(words.as_bytes())
    } else {
        std::io::stdout().write_all(words.as_bytes())
    };
    if let Err(error) = written {
        tracing::debug!("nobody reads the closing table: {error}");
    }
    closed?;
    match result? {
        // Who leaves after a second need not have seen a picture.
        Over::Left => Ok(()),
        Over::Done => report.verdict(CONTINUITY_MIN),
    }
}

/// Waits for the end, and tells how it goes.
async fn attend(
    swarm: &mut Swarm,
    args: &DemoArgs,
    context: &Context,
    progress: bool,
) -> Result<Over, Failure> {
    let mut seconds = session::seconds();
    let time_up = session::after(args.duration);
    tokio::pin!(time_up);
    let mut line = Progress::new(progress);
    loop {
        tokio::select! {
            () = context.interrupt.requested() => {
                line.end();
                return Err(Failure::Interrupted);
            }
            () = &mut time_up => {
                line.end();
                return Ok(Over::Done);
            }
            over = swarm.over() => {
                line.end();
                return Ok(over);
            }
            _ = seconds.tick() => {
                let state = swarm.sample().await?;
                line.show(&state, args.duration);
            }
        }
    }
}

/// A line that says how it goes: rewritten in a terminal, a line now and then elsewhere.
struct Progress {
    on: bool,
    terminal: bool,
    shown: bool,
    second: u64,
}

impl Progress {
    fn new(on: bool) -> Self {
        Progress {
            on,
            terminal: std::io::stderr().is_terminal(),
            shown: false,
            second: 0,
        }
    }

    fn show(&mut self, state: &swarm::Moment, duration: Option<Duration>) {
        self.second += 1;
        if !self.on {
            return;
        }
        let of = duration
            .map(|duration| format!("/{:.0}", duration.as_secs_f64()))
            .unwrap_or_default();
        let words = format!("{}{of} s  {state}", self.second);
        if self.terminal {
            // To the end of the line, in case the one before was longer.
            let _ = write!(std::io::stderr(), "\r{words}\x1b[K");
            self.shown = true;
        } else if self.second.is_multiple_of(PROGRESS_EVERY) {
            tracing::info!("{words}");
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = writeln!(std::io::stderr());
        }
    }
}

fn plan(args: &DemoArgs) -> Result<Plan, Failure> {
    let rate = match &args.input {
        None => {
            let rate = args.rate.unwrap_or(CARD_RATE);
            if !(TestCard::BITRATE_MIN..=TestCard::BITRATE_MAX).contains(&rate.as_bps()) {
                return Err(Failure::input(format!(
                    "the test card has 200 kbit/s to 100 Mbit/s, not {rate}; change --rate"
                )));
            }
            rate
        }
        Some(path) => match (args.rate, rate_of(path)?) {
            (Some(rate), _) | (None, Some(rate)) => rate,
            (None, None) => {
                return Err(Failure::input(format!(
                    "{} is no MPEG-TS, so nothing says how fast it plays; give --rate, such as --rate 4mbit",
                    path.display()
                )));
            }
        },
    };
    Ok(Plan {
        viewers: args.viewers.into(),
        donors: args.donors.into(),
        rate,
        // A file goes by its own clock unless a rate is given.
        paced_by: args.rate,
        input: args.input.clone().map(InputSpec::File),
    })
}

/// How much of a file is looked at to learn its rate: some seconds of it.
const LOOK_BYTES: u64 = 8 * 1024 * 1024;

/// The rate of a file with a clock, by its first seconds; `None` for one without.
fn rate_of(path: &std::path::Path) -> Result<Option<Bitrate>, Failure> {
    use std::io::Read as _;
    let refuse = |error: std::io::Error| {
        Failure::input(format!(
            "the input {} cannot be read ({}); check its path",
            path.display(),
            plain_io(&error)
        ))
    };
    let mut head = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(LOOK_BYTES).read_to_end(&mut head))
        .map_err(refuse)?;
    let mut probe = Segmenter::new(SegmenterConfig::default());
    let mut segments = Vec::new();
    probe.push(wire::Time::ZERO, &head, &mut segments);
    probe.finish(wire::Time::ZERO, &mut segments);
    let rate = probe
        .progress()
        .map(|progress| progress.offset as f64 * 8.0 / progress.elapsed.as_secs_f64());
    Ok(rate
        .filter(|bps| bps.is_finite() && *bps >= 1.0)
        .map(|bps| Bitrate::from_bps(bps as u64)))
}

fn screen(swarm: &Swarm, context: &Context) -> Option<Interface> {
    let mut state = State::new(
        swarm.stream(),
        swarm.first_viewer(),
        swarm.link().to_string(),
        context.log.clone(),
    );
    state.title = nodes::TITLE.to_owned();
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
mod tests;
