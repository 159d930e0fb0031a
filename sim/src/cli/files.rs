//! Result files.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use headwater_sim::lab::discovery::{self, StreamsOutcome};
use headwater_sim::lab::spend::{self, SpendOutcome};
use headwater_sim::overlay::{self, OverlayOutcome};
use headwater_sim::{Outcome, lab, plain, report};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Failure, OutputArgs};

/// Longest result file: ours have under 10 KiB.
const MAX_FILE: u64 = 16 << 20;

pub(super) fn write(outcome: &Outcome, output: &OutputArgs) -> Result<(), Failure> {
    write_texts(&report::table(outcome), outcome, output)?;
    for line in &outcome.trace {
        writeln!(std::io::stdout().lock(), "{line}").map_err(Failure::run)?;
    }
    if let Some(directory) = &output.svg {
        report::write_figures(outcome, directory)
            .map_err(|error| Failure::Run(format!("{error}; choose another folder with --svg")))?;
    }
    if let Some(directory) = &output.csv {
        report::write_csv(outcome, directory).map_err(|error| {
            let (directory, why) = (directory.display(), plain(&error));
            Failure::Run(format!(
                "cannot write into {directory} ({why}); choose another folder with --csv"
            ))
        })?;
    }
    Ok(())
}

/// The same for a scenario without peers that play.
pub(super) fn write_overlay(outcome: &OverlayOutcome, output: &OutputArgs) -> Result<(), Failure> {
    write_texts(&overlay::table(outcome), outcome, output)
}

/// And for real programs.
pub(super) fn write_lab(outcome: &Outcome, json: Option<&str>, quiet: bool) -> Result<(), Failure> {
    let result = serde_json::to_value(outcome).map_err(Failure::run)?;
    let result = lab::without_unseen(result);
    write_text_and_json(&report::table(outcome), &result, json, quiet)
}

/// And for several streams of them.
pub(super) fn write_streams(
    outcome: &StreamsOutcome,
    json: Option<&str>,
    quiet: bool,
) -> Result<(), Failure> {
    write_text_and_json(&discovery::table(outcome), outcome, json, quiet)
}

/// And for credit that goes from one to another.
pub(super) fn write_spend(outcome: &SpendOutcome, json: Option<&str>, quiet: bool) -> Result<(), Failure> {
    write_text_and_json(&spend::table(outcome), outcome, json, quiet)
}

/// The table for people and the result file for programs.
fn write_texts(table: &str, outcome: &impl Serialize, output: &OutputArgs) -> Result<(), Failure> {
    write_text_and_json(table, outcome, output.json.as_deref(), output.quiet)
}

/// A table for people and, if asked for, something as JSON for programs.
pub(super) fn write_text_and_json(
    table: &str,
    outcome: &impl Serialize,
    json: Option<&str>,
    quiet: bool,
) -> Result<(), Failure> {
    if !quiet {
        if json == Some("-") {
            eprint!("{table}");
        } else {
            write!(std::io::stdout().lock(), "{table}").map_err(Failure::run)?;
        }
    }
    if let Some(file) = json {
        let cannot = |error: &dyn std::fmt::Display| {
            let why = plain(error);
            Failure::Run(format!(
                "cannot write {file} ({why}); choose another place with --json"
            ))
        };
        let text = serde_json::to_string_pretty(outcome).map_err(|e| cannot(&e))?;
        let written = if file == "-" {
            writeln!(std::io::stdout().lock(), "{text}")
        } else {
            File::create(file).and_then(|file| {
                let mut file = BufWriter::new(file);
                writeln!(file, "{text}")?;
                file.flush()
            })
        };
        written.map_err(|e| cannot(&e))?;
    }
    Ok(())
}

/// What every result says of the run that it comes from, and one of its parts.
const OF_RUN: [&str; 4] = ["scenario", "seed", "params", "audit"];
const PARTS: [&str; 5] = ["results", "doat", "coords", "discovery", "spend"];

/// A result file's figures, whichever version wrote it.
pub(super) fn read_figures(path: &Path) -> Result<serde_json::Value, Failure> {
    let value: serde_json::Value = read(path)?;
    let has = |key: &&str| value.get(key).is_some();
    if OF_RUN.iter().all(&has) && PARTS.iter().any(has) {
        return Ok(value);
    }
    Err(Failure::Input(format!(
        "{} is not a result file of headwater-sim; headwater-sim run SCENARIO --json FILE writes one",
        path.display()
    )))
}

/// A result file; whatever is no result is bad input.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|error| {
            let (path, why) = (path.display(), plain(&error));
            Failure::Input(format!(
                "cannot read {path} ({why}); name a file that --json wrote"
            ))
        })?;
    serde_json::from_str(&text).map_err(|error| no_result(path, &error))
}

/// What a result file says.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, value: serde_json::Value) -> Result<T, Failure> {
    serde_json::from_value(value).map_err(|error| no_result(path, &error))
}

fn no_result(path: &Path, error: &serde_json::Error) -> Failure {
    Failure::Input(format!("{} is not a result file: {error}", path.display()))
}
