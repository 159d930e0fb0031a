//! Result files.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use headwater_sim::{Outcome, report};
use serde::de::DeserializeOwned;

use super::{Failure, OutputArgs};

/// Longest result file: ours have under 10 KiB.
const MAX_FILE: u64 = 16 << 20;

pub(super) fn write(outcome: &Outcome, output: &OutputArgs) -> Result<(), Failure> {
    if !output.quiet {
        let table = report::table(outcome);
        if output.json.as_deref() == Some("-") {
            eprint!("{table}");
        } else {
            write!(std::io::stdout().lock(), "{table}").map_err(Failure::run)?;
        }
    }
    if let Some(file) = &output.json {
        let cannot = |error: &dyn std::fmt::Display| Failure::Run(format!("cannot write {file}: {error}"));
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
    if let Some(directory) = &output.svg {
        report::write_figures(outcome, directory).map_err(Failure::run)?;
    }
    if let Some(directory) = &output.csv {
        report::write_csv(outcome, directory)
            .map_err(|error| Failure::Run(format!("cannot write into {}: {error}", directory.display())))?;
    }
    Ok(())
}

/// A result file; whatever is no result is bad input.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let bad = |why: String| Failure::Input(format!("{} is not a result file: {why}", path.display()));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
        .map_err(|e| Failure::Input(format!("cannot read {}: {e}", path.display())))?;
    serde_json::from_str(&text).map_err(|e| bad(e.to_string()))
}
