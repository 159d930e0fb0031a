//! Configuration files: the same keys as the flags.
//!
//! Keys at the top are flags that every node has; a table named like a subcommand holds flags of that subcommand and wins
//! over the top. Flags on the command line win over both. The flags' own definitions say which keys exist and which values
//! they take, so a new flag is a new key without a word here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};
use toml::{Table, Value};

use crate::error::{Failure, plain_io};

#[cfg(test)]
mod tests;

/// The largest file that is read: a configuration is a screenful.
const FILE_MAX: u64 = 1 << 20;

/// Flags that make no sense in a file.
const NOT_KEYS: [&str; 3] = ["config", "help", "version"];

/// A configuration file, read and checked for unknown keys.
#[derive(Debug)]
pub struct Config {
    path: PathBuf,
    table: Table,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Failure::Input`] when it cannot be read, is no TOML or has a key that is no flag. `program` is the whole
    /// command line's definition, `shared` the flags that every node has.
    pub fn load(path: &Path, program: &clap::Command, shared: &clap::Command) -> Result<Self, Failure> {
        let config = Config {
            path: path.to_owned(),
            table: parse(path, &read(path)?)?,
        };
        config.check(program, shared)?;
        Ok(config)
    }

    fn check(&self, program: &clap::Command, shared: &clap::Command) -> Result<(), Failure> {
        for (key, value) in &self.table {
            match (program.find_subcommand(key), value) {
                (Some(subcommand), Value::Table(section)) => {
                    for key in section.keys() {
                        self.check_key(key, &format!("[{}] ", subcommand.get_name()), &keys(subcommand))?;
                    }
                }
                _ => {
                    let mut known = keys(shared);
                    // A table's name may be misspelt, too.
                    known.extend(program.get_subcommands().map(clap::Command::get_name));
                    self.check_key(key, "", &known)?;
                }
            }
        }
        Ok(())
    }

    fn check_key(&self, key: &str, section: &str, known: &[&str]) -> Result<(), Failure> {
        if known.contains(&key) {
            return Ok(());
        }
        let near = known
            .iter()
            .map(|known| (strsim::jaro(key, known), *known))
            // The measure and the threshold with which clap suggests flags.
            .filter(|(likeness, _)| *likeness > 0.7)
            .max_by(|a, b| a.0.total_cmp(&b.0));
        let advice = match near {
            Some((_, near)) => format!("did you mean {near:?}"),
            None => "its keys are the names of the flags".to_owned(),
        };
        Err(Failure::input(format!(
            "unknown key {section}{key:?} in {}; {advice}",
            self.path.display()
        )))
    }

    /// The file's values for `subcommand` as arguments, without those that the command line gave already.
    ///
    /// # Errors
    /// [`Failure::Input`] when a value is of a kind that no flag takes.
    pub fn arguments(
        &self,
        subcommand: &clap::Command,
        given: &ArgMatches,
    ) -> Result<Vec<OsString>, Failure> {
        let section = self.table.get(subcommand.get_name()).and_then(Value::as_table);
        let mut arguments = Vec::new();
        for arg in subcommand.get_arguments() {
            let Some(key) = key_of(arg) else { continue };
            let value = section
                .and_then(|section| section.get(key))
                .or_else(|| self.table.get(key));
            let on_command_line = given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
            if let Some(value) = value
                && !on_command_line
            {
                self.push(arg, key, value, &mut arguments)?;
            }
        }
        Ok(arguments)
    }

    fn push(
        &self,
        arg: &Arg,
        key: &str,
        value: &Value,
        arguments: &mut Vec<OsString>,
    ) -> Result<(), Failure> {
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        match value {
            Value::Boolean(on) if is_switch => {
                if *on {
                    arguments.push(format!("--{key}").into());
                }
                return Ok(());
            }
            Value::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
                for value in values {
                    arguments.push(format!("--{key}={}", self.scalar(key, value)?).into());
                }
                return Ok(());
            }
            _ if is_switch => {}
            value => {
                arguments.push(format!("--{key}={}", self.scalar(key, value)?).into());
                return Ok(());
            }
        }
        Err(self.wrong(key, "write true or false"))
    }

    fn scalar(&self, key: &str, value: &Value) -> Result<String, Failure> {
        match value {
            Value::String(text) => Ok(text.clone()),
            Value::Integer(number) => Ok(number.to_string()),
            Value::Float(number) => Ok(number.to_string()),
            Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => {
                Err(self.wrong(key, "write one text or number"))
            }
        }
    }

    fn wrong(&self, key: &str, advice: &str) -> Failure {
        Failure::input(format!(
            "the value of {key:?} in {} is of the wrong kind; {advice}",
            self.path.display()
        ))
    }
}

/// The key for a flag; positional arguments have none.
fn key_of(arg: &Arg) -> Option<&str> {
    arg.get_long().filter(|long| !NOT_KEYS.contains(long))
}

fn keys(command: &clap::Command) -> Vec<&str> {
    command.get_arguments().filter_map(key_of).collect()
}

fn read(path: &Path) -> Result<String, Failure> {
    let refuse = |reason: String| {
        Failure::input(format!(
            "the configuration {} cannot be read ({reason}); check the path after --config",
            path.display()
        ))
    };
    let file = std::fs::File::open(path).map_err(|error| refuse(plain_io(&error)))?;
    let mut text = String::new();
    let read = std::io::Read::read_to_string(&mut std::io::Read::take(file, FILE_MAX + 1), &mut text)
        .map_err(|error| refuse(plain_io(&error)))?;
    if read as u64 > FILE_MAX {
        return Err(refuse("it is larger than 1 MiB".to_owned()));
    }
    Ok(text)
}

fn parse(path: &Path, text: &str) -> Result<Table, Failure> {
    text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.get(..at).unwrap_or(text).matches('\n').count();
        let reason = error.message().replace('\n', " ");
        Failure::input(format!(
            "{}, line {line}, is not TOML: {reason}; correct that line",
            path.display()
        ))
    })
}
