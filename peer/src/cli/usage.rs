//! From the words on the command line to a command, with the configuration file in between.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches};

use super::{Cli, Command, NodeArgs};
use crate::config::Config;
use crate::error::Failure;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Request {
    /// To run a command.
    Run(Box<Command>),
    /// To print a text (help, version) on standard output.
    Print(String),
}

/// Reads the command line and the configuration file that it names.
pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Request, Failure> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let matches = match Cli::command().try_get_matches_from(&words) {
        Ok(matches) => matches,
        Err(error) => return refuse(&error, None),
    };
    let program = Cli::command();
    let chosen = matches
        .subcommand()
        .and_then(|(name, given)| Some((program.find_subcommand(name)?, given)));
    let Some((subcommand, given)) = chosen else {
        return Err(Failure::input("no command was given; see headwater --help"));
    };
    let path = given.try_get_one::<std::path::PathBuf>("config").ok().flatten();
    let Some(path) = path else {
        return command(&matches).map(|command| Request::Run(Box::new(command)));
    };
    let shared = NodeArgs::augment_args(clap::Command::new("shared"));
    let config = Config::load(path, &program, &shared)?;
    let extra = config.arguments(subcommand, given)?;
    // Right after the subcommand's name, which is always the first word: before any `--`.
    words.splice(2..2, extra);
    match Cli::command().try_get_matches_from(&words) {
        Ok(matches) => command(&matches).map(|command| Request::Run(Box::new(command))),
        // The words alone were right, so the file is not.
        Err(error) => refuse(&error, Some(&path.display().to_string())),
    }
}

fn command(matches: &clap::ArgMatches) -> Result<Command, Failure> {
    Cli::from_arg_matches(matches)
        .map(|cli| cli.command)
        .map_err(|error| Failure::input(sentence(&error, None)))
}

fn refuse(error: &clap::Error, file: Option<&str>) -> Result<Request, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Request::Print(error.render().to_string())),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Err(Failure::input(format!(
            "no command was given\n\n{}",
            error.render().to_string().trim_end()
        ))),
        _ => Err(Failure::input(sentence(error, file))),
    }
}

/// Clap's error as one sentence: its first line, its tips, and where to read more. Its usage lines are left out.
fn sentence(error: &clap::Error, file: Option<&str>) -> String {
    let text = error.render().to_string();
    let mut parts = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with("Usage:") || line.starts_with("For more information") {
            break;
        }
        let line = line.strip_prefix("error: ").unwrap_or(line);
        parts.push(line.strip_prefix("tip: ").unwrap_or(line).to_owned());
    }
    // What follows a colon at the line's end is a list: missing arguments.
    let mut sentence = String::new();
    for part in parts {
        if !sentence.is_empty() {
            sentence.push_str(if sentence.ends_with(':') { " " } else { "; " });
        }
        sentence.push_str(&part);
    }
    match file {
        Some(file) => format!("{sentence}; correct it in {file}"),
        None => format!("{sentence}; see --help"),
    }
}
