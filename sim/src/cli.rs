//! Commands, flags, exit codes: 0 done, 1 failed while running, 2 bad usage or input, 130 interrupted (which the signal
//! itself brings about where nothing needs to be ended or saved).

mod bar;
mod files;
mod lab;
mod sweep;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use headwater_sim::overlay::{self, OverlayOutcome, OverlayScenario};
use headwater_sim::scenario::{Fidelity, NAMES, OVERLAY_NAMES, SPEND_NAMES, STREAMS_NAMES, Scenario};
use headwater_sim::{Outcome, Plan, RunError, ScenarioError, Simulation, report};

use bar::Bar;

/// Simulates the swarm in virtual time, with the protocol code of the program.
#[derive(Parser)]
#[command(name = "headwater-sim", version, max_term_width = 100, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "\
Example: a tenth of the paper's figure 5, with a result file and the lag distribution as a figure:
  headwater-sim run paper-fig5 --set peers.count=100 --set donors.count=10 --json fig5.json --svg figures";

#[derive(Subcommand)]
enum Command {
    /// Run a scenario
    #[command(after_help = "\
Example: the same swarm with twice the loss, seed 7, nothing but the result on standard output:
  headwater-sim run paper-fig5 --seed 7 --set network.loss=0.01 --json - --quiet")]
    Run {
        /// A TOML file, or the name of a scenario in the box
        scenario: String,
        /// Seed of every draw (default: the scenario's)
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Set any scenario key by its dotted path; repeatable
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
        /// Packet level: simulated QUIC connections instead of the flow model; slower, and no baselines
        #[arg(long, conflicts_with = "baselines")]
        packet: bool,
        /// Run these in the same scenario as well, to compare with: star, tree, mesh_pull
        #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
        baselines: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Run a scenario with real programs over an emulated network, in real time (Linux, root)
    #[command(after_help = "\
Example: twenty real viewers with measured delays, and the same simulated:
  headwater-sim lab planetlab --set peers.count=20 --set peers.ri=1.5 --json lab.json
  headwater-sim run planetlab --set peers.count=20 --set peers.ri=1.5 --json run.json
  headwater-sim compare run.json lab.json")]
    Lab(lab::LabArgs),
    /// Run a scenario with several seeds and settings, and say what the settings do
    #[command(after_help = "\
Examples: does a shorter chunk bring less lag, and what does the wish for less lag cost in continuity?
  headwater-sim sweep planetlab --set peers.count=40 --vary stream.chunk_ms=4,8,16 --svg figures
  headwater-sim sweep planetlab --vary peers.prefer=live,balanced,smooth --seeds 1-5 --keep runs --csv runs.csv")]
    Sweep(sweep::SweepArgs),
    /// List the scenarios in the box
    #[command(after_help = "Example: headwater-sim list")]
    List,
    /// Compare result files figure by figure
    #[command(after_help = "\
Examples: what a change did, and how the three models of one scenario agree:
  headwater-sim compare before.json after.json
  headwater-sim compare run.json packet.json lab.json")]
    Compare {
        /// Two results or more; differences are from the first
        #[arg(required = true, num_args = 2.., value_name = "RESULT")]
        results: Vec<PathBuf>,
        /// Draw lag against distance, all results over one another, as SVG into a directory
        #[arg(long, value_name = "DIR")]
        svg: Option<PathBuf>,
    },
    /// Run a result's scenario again with its seed, and say whether the same happened
    #[command(after_help = "Example: headwater-sim replay fig5.json")]
    Replay {
        /// A result file
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

#[derive(Args)]
struct OutputArgs {
    /// Write the result as JSON; `-` is standard output, and the table then goes to standard error
    #[arg(long, value_name = "FILE|-")]
    json: Option<String>,
    /// Write figures as SVG into a directory
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
    /// Write the per-peer table as CSV into a directory
    #[arg(long, value_name = "DIR")]
    csv: Option<PathBuf>,
    /// Print what this peer does and is told in its first seconds, after the table; repeatable. Numbers are those of the
    /// per-peer table
    #[arg(long, value_name = "PEER")]
    trace: Vec<u32>,
    /// How long after joining a traced peer is watched, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, requires = "trace")]
    trace_for: f64,
    /// No progress bar, no table
    #[arg(long)]
    quiet: bool,
}

/// Why a command did not succeed.
enum Failure {
    /// Bad usage or input: exit code 2.
    Input(String),
    /// Failed while running: exit code 1.
    Run(String),
    /// The user wanted no more: exit code 130.
    Interrupted,
}

impl Failure {
    fn input(error: impl std::fmt::Display) -> Self {
        Failure::Input(error.to_string())
    }

    fn run(error: impl std::fmt::Display) -> Self {
        Failure::Run(error.to_string())
    }
}

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run {
            scenario,
            seed,
            set,
            packet,
            baselines,
            output,
        } => {
            let mut of_swarms = Vec::new();
            if packet {
                of_swarms.push("fidelity=packet".to_owned());
            }
            if !baselines.is_empty() {
                of_swarms.push(format!("baselines={baselines:?}"));
            }
            run(&scenario, seed, set, of_swarms, &output)
        }
        Command::Lab(args) => lab::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::List => list(),
        Command::Compare { results, svg } => compare(&results, svg.as_deref()),
        Command::Replay { file, output } => replay(&file, &output),
    };
    let (code, message) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Run(message)) => (1, message),
        Err(Failure::Input(message)) => (2, message),
        Err(Failure::Interrupted) => (130, "interrupted".to_owned()),
    };
    eprintln!("headwater-sim: {message}");
    ExitCode::from(code)
}

/// Runs a scenario with `set` applied, and `of_swarms`, which rings and coordinates do not have.
fn run(
    name: &str,
    seed: Option<u64>,
    mut set: Vec<String>,
    of_swarms: Vec<String>,
    output: &OutputArgs,
) -> Result<(), Failure> {
    match Plan::load(name, &set).map_err(Failure::input)? {
        Plan::Overlay(_) if !of_swarms.is_empty() => {
            return Err(Failure::input(format!(
                "{name} is about rings or coordinates, which have neither a packet level nor baselines; leave --packet and --baselines out"
            )));
        }
        Plan::Streams(scenario) => return Err(for_the_lab(scenario.name)),
        Plan::Spend(scenario) => return Err(for_the_lab(scenario.name)),
        _ => {}
    }
    set.extend(of_swarms);
    if let Some(seed) = seed {
        set.push(format!("seed={seed}"));
    }
    let plan = Plan::load(name, &set).map_err(Failure::input)?;
    let again = set
        .iter()
        .map(|set| format!(" --set '{set}'"))
        .collect::<String>();
    match plan {
        Plan::Swarm(scenario) => {
            let outcome = simulate(&scenario, output, &format!("headwater-sim run {name}{again}"))?;
            files::write(&outcome, output)
        }
        Plan::Overlay(scenario) => files::write_overlay(&simulate_overlay(&scenario, output)?, output),
        Plan::Streams(scenario) => Err(for_the_lab(scenario.name)),
        Plan::Spend(scenario) => Err(for_the_lab(scenario.name)),
    }
}

/// Nothing simulates several streams of real programs.
fn for_the_lab(name: String) -> Failure {
    Failure::input(ScenarioError::ForTheLab(name))
}

fn replay(file: &std::path::Path, output: &OutputArgs) -> Result<(), Failure> {
    let value: serde_json::Value = files::read(file)?;
    let params = value.get("params");
    let overlay = params.is_some_and(|params| params.get("ring").is_some() || params.get("coords").is_some());
    let fidelity = params.and_then(|params| params.get("fidelity"));
    let streams =
        params.is_some_and(|params| params.get("streams").is_some() || params.get("spend").is_some());
    if streams || fidelity.is_some_and(|fidelity| fidelity == "lab") {
        return Err(Failure::Input(format!(
            "{} comes from the lab: no two runs of real programs are the same, so there is nothing to replay",
            file.display()
        )));
    }
    let cannot =
        |why: &dyn std::fmt::Display| Failure::Input(format!("{} cannot be replayed: {why}", file.display()));
    let (earlier, now) = if overlay {
        let earlier: OverlayOutcome = files::parse(file, value)?;
        earlier.params.check().map_err(|why| cannot(&why))?;
        let outcome = simulate_overlay(&earlier.params, output)?;
        files::write_overlay(&outcome, output)?;
        (earlier.audit, outcome.audit)
    } else {
        let earlier: Outcome = files::parse(file, value)?;
        earlier.params.check().map_err(|why| cannot(&why))?;
        let again = format!("headwater-sim replay {}", file.display());
        let outcome = simulate(&earlier.params, output, &again)?;
        files::write(&outcome, output)?;
        (earlier.audit, outcome.audit)
    };
    if now != earlier {
        return Err(Failure::Run(format!(
            "something else happened than in {}: audit {now} instead of {earlier}; the two were run by different versions",
            file.display(),
        )));
    }
    if !output.quiet {
        eprintln!("the same happened as in {}", file.display());
    }
    Ok(())
}

/// Runs a scenario of the overlay under the eyes of the user.
fn simulate_overlay(scenario: &OverlayScenario, output: &OutputArgs) -> Result<OverlayOutcome, Failure> {
    if output.svg.is_some() || output.csv.is_some() {
        return Err(Failure::Input(format!(
            "{} has no peers that play, so there is nothing for --svg and --csv; its figures are in --json",
            scenario.name
        )));
    }
    if !output.quiet {
        eprintln!("{}: seed {}", scenario.name, scenario.seed);
    }
    let bar = Bar::new(output.quiet);
    let outcome = overlay::run(scenario, &mut |progress| bar.show(progress));
    let wall_s = bar.finish();
    let mut outcome = outcome.map_err(Failure::input)?;
    outcome.wall_s = wall_s;
    Ok(outcome)
}

/// Runs a scenario under the eyes of the user; `again` is the command that repeats it.
fn simulate(scenario: &Scenario, output: &OutputArgs, again: &str) -> Result<Outcome, Failure> {
    let failed = |error: RunError| match error {
        RunError::Scenario(error) => Failure::input(error),
        RunError::Violation { .. } => Failure::Run(format!("{error}; to see it again: {again}")),
    };
    if scenario.fidelity == Fidelity::Lab {
        return Err(Failure::input(
            "the scenario's fidelity is lab: leave the key out, or use headwater-sim lab",
        ));
    }
    let simulation = Simulation::new(scenario)
        .map_err(failed)?
        .trace(&output.trace, output.trace_for);
    if !output.quiet {
        eprintln!("{}: {}", scenario.name, simulation.drawn());
    }
    let bar = Bar::new(output.quiet);
    let outcome = simulation.run(&mut |progress| bar.show(progress));
    let wall_s = bar.finish();
    let mut outcome = outcome.map_err(failed)?;
    outcome.wall_s = wall_s;
    Ok(outcome)
}

fn list() -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for name in NAMES {
        let scenario = Scenario::load(name, &[]).map_err(Failure::run)?;
        writeln!(out, "{name:<20}{}", scenario.about).map_err(Failure::run)?;
    }
    for name in OVERLAY_NAMES {
        if let Plan::Overlay(scenario) = Plan::load(name, &[]).map_err(Failure::run)? {
            writeln!(out, "{name:<20}{}", scenario.about).map_err(Failure::run)?;
        }
    }
    for name in STREAMS_NAMES {
        if let Plan::Streams(scenario) = Plan::load(name, &[]).map_err(Failure::run)? {
            writeln!(out, "{name:<20}{}", scenario.about).map_err(Failure::run)?;
        }
    }
    for name in SPEND_NAMES {
        if let Plan::Spend(scenario) = Plan::load(name, &[]).map_err(Failure::run)? {
            writeln!(out, "{name:<20}{}", scenario.about).map_err(Failure::run)?;
        }
    }
    Ok(())
}

fn compare(files: &[PathBuf], svg: Option<&std::path::Path>) -> Result<(), Failure> {
    let read = |file: &PathBuf| Ok((file.to_string_lossy().into_owned(), files::read_figures(file)?));
    let results = files.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    write!(std::io::stdout().lock(), "{}", report::compare(&results)).map_err(Failure::run)?;
    if let Some(directory) = svg {
        report::write_comparison(&results, directory).map_err(Failure::run)?;
    }
    Ok(())
}
