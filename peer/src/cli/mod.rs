//! The command line: one module for each subcommand, with its flags and what it does.
//!
//! A subcommand is an `Args` structure and `run(args, &Context) -> Result<(), Failure>`. It returns `Ok` when done,
//! [`Failure::Interrupted`] after it has put everything away on an interrupt, and any other [`Failure`] with one sentence
//! for the user; [`main`] prints that and turns it into the exit code.

mod cast;
mod completions;
mod demo;
mod donate;
pub mod interrupt;
pub mod log;
mod node_args;
mod session;
mod trust;
mod usage;
mod watch;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::time::Instant;

pub use cast::CastArgs;
pub use completions::CompletionsArgs;
pub use demo::DemoArgs;
pub use donate::DonateArgs;
pub use interrupt::{Interrupt, Signal};
pub use log::LogPane;
pub use node_args::NodeArgs;
pub use trust::TrustArgs;
pub use watch::WatchArgs;

use crate::error::Failure;
use usage::Request;

/// Live streaming from anyone to everyone with no server
#[derive(Debug, Parser)]
#[command(
    name = "headwater",
    version,
    after_help = "Example, in two terminals:\n  \
        ffmpeg -re -i film.mkv -c copy -f mpegts - | headwater cast\n  \
        headwater watch LINK --out http://127.0.0.1:8080"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the source of a stream: cut the input into signed chunks and serve the swarm
    Cast(CastArgs),
    /// Play a stream: find its swarm, pull, and hand the picture to a player
    Watch(WatchArgs),
    /// Carry streams for others without playing them
    Donate(DonateArgs),
    /// See what this peer gave and took, and move what others owe it
    Trust(TrustArgs),
    /// Run a whole swarm on this machine with a built-in test stream
    Demo(DemoArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// What every subcommand gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// When the command started: start-up counts from here.
    pub started: Instant,
    /// Ends the command cleanly.
    pub interrupt: Interrupt,
    /// The log's newest lines.
    pub log: LogPane,
}

/// The program: reads the command line, runs the command, prints its error, returns its exit code.
pub fn main() -> ExitCode {
    let started = Instant::now();
    match run(std::env::args_os(), started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure != Failure::Interrupted {
                // Nothing is left to tell it to if this fails.
                let _ = writeln!(std::io::stderr(), "headwater: {failure}");
            }
            ExitCode::from(&failure)
        }
    }
}

fn run(words: impl IntoIterator<Item = OsString>, started: Instant) -> Result<(), Failure> {
    let command = match usage::parse(words)? {
        Request::Run(command) => *command,
        Request::Print(text) => {
            // A reader that has gone (`--help | head -1`) has seen what it wanted.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return Ok(());
        }
    };
    if let Command::Completions(args) = &command {
        return completions::run(args);
    }
    let filter = command.log_filter();
    // The guard outlives the runtime, so the last lines are written.
    let (log, _guard) = log::start(filter)?;
    let runtime = runtime_for(&command).enable_all().build().map_err(|error| {
        Failure::running(format!(
            "the threads could not be started ({}); stop other programs and try again",
            crate::error::plain_io(&error)
        ))
    })?;
    let result = runtime.block_on(async {
        let interrupt = Interrupt::install().map_err(|error| {
            Failure::running(format!(
                "signals cannot be handled ({})",
                crate::error::plain_io(&error)
            ))
        })?;
        let context = Context {
            started,
            interrupt,
            log,
        };
        match command {
            Command::Cast(args) => cast::run(args, &context).await,
            Command::Watch(args) => watch::run(args, &context).await,
            Command::Donate(args) => donate::run(args, &context).await,
            Command::Trust(args) => trust::run(args, &context).await,
            Command::Demo(args) => demo::run(args, &context).await,
            Command::Completions(args) => completions::run(&args),
        }
    });
    // Blocking reads of standard input cannot be cancelled: the process does not wait for them.
    runtime.shutdown_background();
    result
}

/// A node's own task, its connections and its outputs: more threads only add wake-ups. One is enough for a viewer (it takes
/// in and passes on a Gbit/s), without a scheduler that looks for others' work; who sends many copies may need more, and a
/// whole swarm does.
fn runtime_for(command: &Command) -> tokio::runtime::Builder {
    if let Command::Watch(_) | Command::Trust(_) = command {
        return tokio::runtime::Builder::new_current_thread();
    }
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(cores.clamp(2, 4));
    builder
}

impl Command {
    fn log_filter(&self) -> Option<&str> {
        match self {
            Command::Cast(args) => args.node.log.as_deref(),
            Command::Watch(args) => args.node.log.as_deref(),
            Command::Donate(args) => args.node.log.as_deref(),
            Command::Trust(args) => args.log_filter(),
            Command::Demo(args) => args.log.as_deref(),
            Command::Completions(_) => None,
        }
    }
}
