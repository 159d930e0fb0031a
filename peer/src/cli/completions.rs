//! `headwater completions`.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::error::{Failure, plain_io};

/// Flags of `completions`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Example:\n  headwater completions bash > ~/.local/share/bash-completion/completions/headwater"
)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Prints the script on standard output.
pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "headwater", &mut script);
    match std::io::stdout().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::running(format!(
            "the script could not be written ({}); check standard output",
            plain_io(&error)
        ))),
        _ => Ok(()),
    }
}
