//! `headwater-sim lab`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use headwater_sim::lab::discovery::StreamsRun;
use headwater_sim::lab::spend::SpendRun;
use headwater_sim::lab::{LabError, LabOptions, LabProgress, LabRun, program_beside};
use headwater_sim::{Plan, plain};

use super::bar::Bar;
use super::{Failure, files};

#[derive(Args)]
pub(super) struct LabArgs {
    /// A TOML file, or the name of a scenario in the box
    scenario: String,
    /// Seed of every draw (default: the scenario's)
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Set any scenario key by its dotted path; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Write the result as JSON; `-` is standard output, and the table then goes to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<String>,
    /// The program headwater (default: the one beside this program)
    #[arg(long, value_name = "PATH")]
    headwater: Option<PathBuf>,
    /// Keep every program's statistics and log in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// No progress bar, no table
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &LabArgs) -> Result<(), Failure> {
    let mut set = args.set.clone();
    set.extend(args.seed.map(|seed| format!("seed={seed}")));
    match Plan::load(&args.scenario, &set).map_err(Failure::input)? {
        Plan::Swarm(scenario) => {
            let run = LabRun::new(&scenario).map_err(failure)?;
            let about = format!("{}: {}", scenario.name, run.drawn());
            let (mut outcome, wall_s) = in_real_time(args, &about, |options, interrupted, progress| {
                run.run(options, interrupted, progress)
            })?;
            outcome.wall_s = wall_s;
            files::write_lab(&outcome, args.json.as_deref(), args.quiet)?;
            sound(outcome.lab.map_or_else(Vec::new, |lab| lab.problems))
        }
        Plan::Streams(scenario) => {
            let run = StreamsRun::new(&scenario).map_err(failure)?;
            let about = format!("{}: {}", scenario.name, run.drawn());
            let (mut outcome, wall_s) = in_real_time(args, &about, |options, interrupted, progress| {
                run.run(options, interrupted, progress)
            })?;
            outcome.wall_s = wall_s;
            files::write_streams(&outcome, args.json.as_deref(), args.quiet)?;
            sound(outcome.lab.problems)
        }
        Plan::Spend(scenario) => {
            let run = SpendRun::new(&scenario).map_err(failure)?;
            let about = format!("{}: {}", scenario.name, run.drawn());
            let (mut outcome, wall_s) = in_real_time(args, &about, |options, interrupted, progress| {
                run.run(options, interrupted, progress)
            })?;
            outcome.wall_s = wall_s;
            files::write_spend(&outcome, args.json.as_deref(), args.quiet)?;
            sound(outcome.lab.problems)
        }
        Plan::Overlay(scenario) => Err(Failure::Input(format!(
            "{} has no stream; the lab runs scenarios with viewers",
            scenario.name
        ))),
    }
}

/// A run with a folder for its programs and an ear for the user; what came of it, and the seconds that it took. `about` is said
/// before it begins.
fn in_real_time<T>(
    args: &LabArgs,
    about: &str,
    run: impl FnOnce(&LabOptions, &AtomicBool, &mut dyn FnMut(LabProgress)) -> Result<T, LabError>,
) -> Result<(T, f64), Failure> {
    // Removed when it goes out of scope, whatever happens.
    let temporary = tempfile::tempdir().map_err(|error| {
        Failure::Run(format!(
            "there is no place for temporary files ({})",
            plain(&error)
        ))
    })?;
    let folder = args.keep.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder).map_err(|error| {
        let (folder, why) = (folder.display(), plain(&error));
        Failure::Input(format!(
            "cannot make {folder} ({why}); choose another folder with --keep"
        ))
    })?;
    let options = LabOptions {
        headwater: program(args.headwater.as_deref())?,
        folder: folder.canonicalize().map_err(Failure::run)?,
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(Failure::run)?;
    }
    if !args.quiet {
        eprintln!("{about}");
    }
    let bar = Bar::new(args.quiet);
    let outcome = run(&options, &interrupted, &mut |progress| bar.show_lab(progress));
    let wall_s = bar.finish();
    Ok((outcome.map_err(failure)?, wall_s))
}

/// A result with problems is shown, and is a failure.
fn sound(problems: Vec<String>) -> Result<(), Failure> {
    match problems.into_iter().next() {
        Some(problem) => Err(Failure::Run(problem)),
        None => Ok(()),
    }
}

/// The program to run, which must be there.
fn program(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(named) = named else {
        let own = std::env::current_exe().map_err(Failure::run)?;
        return program_beside(&own).map_err(Failure::Input);
    };
    named.canonicalize().map_err(|error| {
        let (named, why) = (named.display(), plain(&error));
        Failure::Input(format!(
            "there is no program {named} ({why}); name headwater with --headwater"
        ))
    })
}

fn failure(error: LabError) -> Failure {
    match error {
        LabError::Scenario(_) | LabError::Impossible(_) => Failure::input(error),
        LabError::Failed(message) => Failure::Run(message),
        LabError::Interrupted => Failure::Interrupted,
    }
}
