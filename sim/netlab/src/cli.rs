//! Commands. Exit codes: 0 done, 1 failed, 2 bad usage.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use headwater_netlab::{Lab, Scenario, enter, serve};
use serde_json::Value;

/// Where running labs have their sockets.
const SOCKETS: &str = "/run/netlab";

/// Emulates a wide-area network for real programs on this machine. Needs root.
#[derive(Parser)]
#[command(name = "netlab", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Run a network until Ctrl-C or `netlab ctl stop`
    Run {
        /// A TOML file
        scenario: PathBuf,
        /// Name of the lab
        #[arg(long, value_name = "NAME", default_value = "lab")]
        lab: String,
    },
    /// Run a command at a node
    Exec {
        /// Name of the lab
        #[arg(long, value_name = "NAME", default_value = "lab")]
        lab: String,
        /// Where
        node: String,
        /// What, and its arguments
        #[arg(required = true, trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Change or look at a running network: prints one line of JSON
    Ctl {
        /// Name of the lab
        #[arg(long, value_name = "NAME", default_value = "lab")]
        lab: String,
        /// The command, such as: set n0 up=1mbit
        #[arg(required = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
}

pub(crate) fn main() -> ExitCode {
    let done = match Cli::parse().command {
        What::Run { scenario, lab } => run(&scenario, &lab),
        What::Exec { lab, node, command } => exec(&lab, &node, &command),
        What::Ctl { lab, words } => ctl(&lab, &words.join(" ")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("netlab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn socket(lab: &str) -> PathBuf {
    Path::new(SOCKETS).join(format!("{lab}.sock"))
}

/// Between two looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

#[allow(clippy::disallowed_methods)] // The network runs in its own thread; this one waits for the user.
fn run(scenario: &Path, name: &str) -> Result<()> {
    let scenario = Scenario::load(scenario)?;
    Lab::available()?;
    let path = socket(name);
    std::fs::create_dir_all(SOCKETS).with_context(|| format!("no folder {SOCKETS}"))?;
    ensure!(
        UnixStream::connect(&path).is_err(),
        "a lab {name:?} is running; choose another name with --lab"
    );
    // Of one that was killed.
    let _ = std::fs::remove_file(&path);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let lab = Arc::new(Lab::start(&scenario)?);
    serve(&lab, &path, &stop)?;
    writeln!(std::io::stdout(), "ready: {} nodes", lab.nodes().len())?;
    while !stop.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK);
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

fn exec(lab: &str, node: &str, command: &[String]) -> Result<()> {
    let answer = ask(lab, "nodes")?;
    let nodes = answer["nodes"].as_array().context("no list of nodes")?;
    let namespace = nodes
        .iter()
        .find(|each| each["name"] == node)
        .and_then(|each| each["namespace"].as_str())
        .with_context(|| format!("there is no node {node:?}"))?;
    enter(Path::new(namespace))?;
    let [program, args @ ..] = command else {
        bail!("no command to run");
    };
    let error = Command::new(program).args(args).exec();
    Err(error).with_context(|| format!("cannot run {program}"))
}

fn ctl(lab: &str, line: &str) -> Result<()> {
    let answer = ask(lab, line)?;
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(())
}

/// What the lab answers, unless it refuses.
fn ask(lab: &str, line: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket(lab))
        .with_context(|| format!("no lab {lab:?} is running; netlab run SCENARIO --lab {lab} starts one"))?;
    writeln!(stream, "{line}")?;
    let mut text = String::new();
    BufReader::new(stream).read_line(&mut text)?;
    let answer: Value = serde_json::from_str(&text).context("the lab ended without an answer")?;
    if answer["ok"] == true {
        return Ok(answer);
    }
    bail!("{}", answer["error"].as_str().unwrap_or("refused"))
}
