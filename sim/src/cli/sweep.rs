//! `headwater-sim sweep`.

mod folder;
mod work;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use headwater_sim::sweep::{Axis, Job, Seeds, Sweep, summarise};
use headwater_sim::{RunError, plain, report};
use serde_json::Value;

use super::{Failure, files};
use folder::Folder;

#[derive(Args)]
pub(super) struct SweepArgs {
    /// A TOML file, or the name of a scenario in the box
    scenario: String,
    /// Vary a scenario key by its dotted path; repeatable, and then all combinations are run
    #[arg(long, value_name = "KEY=VALUE,…")]
    vary: Vec<Axis>,
    /// Seeds: numbers and ranges
    #[arg(long, value_name = "1-5,…", default_value = "1-5")]
    seeds: Seeds,
    /// Set any scenario key by its dotted path, the same for all runs; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Run these in the same scenario as well, to compare with: star, tree, mesh_pull
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    baselines: Vec<String>,
    /// Runs at a time (default: as many as there are cores)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    jobs: Option<u16>,
    /// Keep every run's result file in this folder, and make no run again whose result is there already
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Figures that the table shows, by their path in a result file below the protocol
    #[arg(long, value_name = "PATH,…", value_delimiter = ',')]
    show: Vec<String>,
    /// Write the medians as JSON; `-` is standard output, and the table then goes to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<String>,
    /// Write every figure of every run as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write figures as SVG into a directory
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// No progress bar, no table
    #[arg(long)]
    quiet: bool,
}

pub(super) fn run(args: &SweepArgs) -> Result<(), Failure> {
    let mut set = args.set.clone();
    if !args.baselines.is_empty() {
        set.push(format!("baselines={:?}", args.baselines));
    }
    let sweep = Sweep::new(&args.scenario, &set, &args.vary, &args.seeds).map_err(Failure::input)?;
    if args.svg.is_some() && !sweep.plays() {
        return Err(Failure::Input(format!(
            "{} has no peers that play, so there is nothing for --svg; its figures are in --json and --csv",
            sweep.scenario
        )));
    }
    let folder = args.keep.as_deref().map(Folder::open).transpose()?;
    let jobs = args.jobs.map_or_else(cores, usize::from);
    if !args.quiet {
        let (runs, points) = (sweep.jobs.len(), sweep.points.len());
        eprintln!(
            "{}: {runs} runs at {points} points, {jobs} at a time",
            sweep.scenario
        );
    }
    let failed = |job: &Job, error: &RunError| match error {
        RunError::Scenario(error) => Failure::input(error),
        RunError::Violation { .. } => {
            let settings = sweep.points[job.point].settings.iter();
            let varied = settings.map(|(key, value)| format!("{key}={value}"));
            let set = set.iter().cloned().chain(varied);
            let set: String = set.map(|set| format!(" --set '{set}'")).collect();
            let (name, seed) = (&args.scenario, job.seed);
            Failure::Run(format!(
                "{error}; to see it again: headwater-sim run {name} --seed {seed}{set}"
            ))
        }
    };
    let runs = work::all(&sweep, folder.as_ref(), jobs, args.quiet, failed)?;
    write(args, &sweep, &runs)
}

/// As many runs at a time as the machine can make.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Table, JSON, CSV and figures.
fn write(args: &SweepArgs, sweep: &Sweep, runs: &[(usize, u64, Value)]) -> Result<(), Failure> {
    let summary = summarise(&sweep.scenario, &sweep.points, runs);
    let table = report::sweep_table(&summary, &args.show);
    files::write_text_and_json(&table, &summary, args.json.as_deref(), args.quiet)?;
    if let Some(path) = &args.csv {
        let cannot = |why: &dyn std::fmt::Display| {
            let (path, why) = (path.display(), plain(why));
            Failure::Run(format!(
                "cannot write {path} ({why}); choose another place with --csv"
            ))
        };
        let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(|e| cannot(&e))?);
        report::write_sweep_csv(&mut file, &sweep.points, runs).map_err(|e| cannot(&e))?;
        file.flush().map_err(|e| cannot(&e))?;
    }
    if let Some(directory) = &args.svg {
        report::write_sweep_figures(&summary, directory)
            .map_err(|error| Failure::Run(format!("{error}; choose another folder with --svg")))?;
    }
    Ok(())
}
