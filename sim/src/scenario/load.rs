//! From a file, a name or a result to a checked scenario, with overrides by dotted path.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::{Plan, Scenario, builtin};
use crate::lab::discovery::StreamsScenario;
use crate::lab::spend::SpendScenario;
use crate::overlay::OverlayScenario;
use crate::words::plain;

/// Longest scenario file: ours have under 2 KiB.
const MAX_FILE: u64 = 1 << 20;

/// A scenario that cannot be run, in one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// No scenario in the box and no file.
    #[error(
        "{name:?} is neither a scenario in the box (see `headwater-sim list`) nor a file that can be read ({why})",
        name = .0,
        why = plain(.1)
    )]
    Missing(String, std::io::Error),
    /// The text does not parse.
    #[error("the scenario {0} is not valid: {1}")]
    Invalid(String, String),
    /// An override does not fit.
    #[error("--set {0:?} cannot be applied: {1}")]
    Override(String, String),
    /// Several streams of real programs, which nothing simulates.
    #[error("{0} has several streams of real programs, which only headwater-sim lab runs")]
    ForTheLab(String),
}

impl Scenario {
    /// The scenario in the box or in the file of that name, with `overrides` (`key.path=value`) applied.
    ///
    /// # Errors
    /// [`ScenarioError`] when there is none, it has unknown keys or impossible values, or an override does not fit.
    pub fn load(name: &str, overrides: &[String]) -> Result<Self, ScenarioError> {
        Self::parse(name, &text_of(name)?, overrides)
    }

    /// A scenario from its text; `name` is used in errors, and in results if the text has no name of its own.
    ///
    /// # Errors
    /// As for [`Scenario::load`].
    pub fn parse(name: &str, text: &str, overrides: &[String]) -> Result<Self, ScenarioError> {
        let scenario: Scenario = read_value(name, table_of(name, text)?, overrides)?;
        scenario
            .check()
            .map_err(|why| ScenarioError::Invalid(name.to_owned(), why))?;
        Ok(scenario)
    }
}

impl Plan {
    /// What is to be run: the scenario in the box or in the file of that name, with `overrides` (`key.path=value`)
    /// applied. A file with a `[ring]` or with `[coords]` is one of the overlay, one with `[streams]` has several of them, and in one with
    /// `[spend]` credit goes from stream to stream.
    ///
    /// # Errors
    /// As for [`Scenario::load`].
    pub fn load(name: &str, overrides: &[String]) -> Result<Self, ScenarioError> {
        let table = table_of(name, &text_of(name)?)?;
        if table.contains_key("ring") || table.contains_key("coords") {
            let scenario: OverlayScenario = read_value(name, table, overrides)?;
            scenario.check()?;
            return Ok(Plan::Overlay(Box::new(scenario)));
        }
        if table.contains_key("streams") {
            let scenario: StreamsScenario = read_value(name, table, overrides)?;
            scenario
                .check()
                .map_err(|why| ScenarioError::Invalid(name.to_owned(), why))?;
            return Ok(Plan::Streams(Box::new(scenario)));
        }
        if table.contains_key("spend") {
            let scenario: SpendScenario = read_value(name, table, overrides)?;
            scenario
                .check()
                .map_err(|why| ScenarioError::Invalid(name.to_owned(), why))?;
            return Ok(Plan::Spend(Box::new(scenario)));
        }
        Scenario::load(name, overrides).map(|scenario| Plan::Swarm(Box::new(scenario)))
    }
}

fn text_of(name: &str) -> Result<String, ScenarioError> {
    match builtin(name) {
        Some(text) => Ok(text.to_owned()),
        None => read(Path::new(name)).map_err(|error| ScenarioError::Missing(name.to_owned(), error)),
    }
}

/// The keys of a scenario's text, with a name.
fn table_of(name: &str, text: &str) -> Result<Table, ScenarioError> {
    let mut table: Table = text
        .parse()
        .map_err(|e| ScenarioError::Invalid(name.to_owned(), sentence(&e)))?;
    if !table.contains_key("name") {
        let stem = Path::new(name).file_stem().unwrap_or_default();
        table.insert(
            "name".to_owned(),
            Value::String(stem.to_string_lossy().into_owned()),
        );
    }
    Ok(table)
}

/// Applies the overrides and reads the whole.
fn read_value<T: DeserializeOwned>(
    name: &str,
    table: Table,
    overrides: &[String],
) -> Result<T, ScenarioError> {
    let mut value = Value::Table(table);
    for text in overrides {
        set(&mut value, text).map_err(|why| ScenarioError::Override(text.clone(), why))?;
    }
    value
        .try_into()
        .map_err(|e| ScenarioError::Invalid(name.to_owned(), sentence(&e)))
}

fn read(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > MAX_FILE {
        return Err(std::io::Error::other("longer than a mebibyte"));
    }
    std::fs::read_to_string(path)
}

/// The parser's message on one line, with the place.
fn sentence(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text
        .lines()
        // The excerpt of the file that the parser draws is of no use in a sentence.
        .filter(|line| !line.contains('|'))
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join(" ")
}

/// Sets one key given as `a.b.c=value`; numbers in the path index lists. Whether the key exists is checked when the
/// whole is read.
fn set(root: &mut Value, text: &str) -> Result<(), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or("write it as key.path=value, such as peers.count=4000")?;
    let mut at = root;
    let mut keys = path.split('.').map(str::trim).peekable();
    while let Some(key) = keys.next() {
        let next = match at {
            Value::Table(table) => table.entry(key).or_insert_with(|| Value::Table(Table::new())),
            Value::Array(items) => {
                let have = items.len();
                key.parse::<usize>()
                    .ok()
                    .and_then(|index| items.get_mut(index))
                    .ok_or_else(|| format!("{key:?} is no index into a list of {have}"))?
            }
            _ => return Err(format!("there is nothing below a plain value ({key:?})")),
        };
        if keys.peek().is_none() {
            *next = parse_value(value.trim());
            return Ok(());
        }
        at = next;
    }
    Ok(())
}

/// A TOML value, or else a bare string.
fn parse_value(text: &str) -> Value {
    let document: Result<Table, _> = format!("value = {text}").parse();
    document
        .ok()
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests;
