//! `headwater trust`: what a peer gave and took, and what it can do with that.

mod shift;
mod show;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use wire::PeerId;

use super::Context;
use crate::error::{Failure, plain_io};
use crate::identity;
use crate::ledger::{self, LedgerFile, OpenError};
use crate::tui::format::bytes as amount;

use shift::ShiftArgs;
use show::{PathArgs, ShowArgs};

/// Flags of `trust`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  headwater trust show\n  headwater trust path PEER --json")]
pub struct TrustArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: TrustCommand,
}

/// The subcommands of `trust`.
#[derive(Clone, Debug, Subcommand)]
pub enum TrustCommand {
    /// List the accounts of this peer: who owes it, and whom it owes
    Show(ShowArgs),
    /// Say how much of what is owed to this peer reaches another one
    Path(PathArgs),
    /// Make what others owe this peer into something that another peer owes it
    Shift(Box<ShiftArgs>),
}

/// Whose ledger it is about.
#[derive(Clone, Debug, Args)]
pub struct LedgerArgs {
    /// This peer's secret key, as for the node [default: identity.key in the state folder]
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,

    /// Folder with the ledger [default: the platform's data folder]
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,

    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Runs it.
pub(super) async fn run(args: TrustArgs, context: &Context) -> Result<(), Failure> {
    match args.what {
        TrustCommand::Show(args) => show::run(&args),
        TrustCommand::Path(args) => show::path(&args),
        TrustCommand::Shift(args) => shift::run(*args, context).await,
    }
}

impl TrustArgs {
    pub(super) fn log_filter(&self) -> Option<&str> {
        match &self.what {
            TrustCommand::Shift(args) => args.node.log.as_deref(),
            TrustCommand::Show(_) | TrustCommand::Path(_) => None,
        }
    }
}

impl LedgerArgs {
    /// The ledger's owner and records; `None` if it never kept one. A node may be running with it.
    fn read(&self) -> Result<(PeerId, Option<Vec<incentives::store::Record>>), Failure> {
        let state = identity::state_dir(self.state.as_deref())?
            .ok_or_else(|| Failure::input("there is no state folder; name one with --state"))?;
        let key = self
            .identity
            .clone()
            .unwrap_or_else(|| identity::usual_path(&state));
        let peer = identity::whose(&key)?;
        let path = ledger::path_in(&state, peer);
        if !path.exists() {
            return Ok((peer, None));
        }
        let (owner, records) = LedgerFile::read(&path).map_err(|error| {
            let advice = match &error {
                OpenError::InUse => "wait until that has ended",
                _ => "start a node: it keeps a damaged file aside and gets back what others have signed",
            };
            Failure::running(format!(
                "the ledger {} cannot be read ({error}); {advice}",
                path.display()
            ))
        })?;
        if owner != peer {
            return Err(Failure::running(format!(
                "the ledger {} is another peer's; move it away",
                path.display()
            )));
        }
        Ok((peer, Some(records)))
    }
}

fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that has gone has seen what it wanted.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::running(format!(
            "the result could not be written ({}); check standard output",
            plain_io(&error)
        ))),
        _ => Ok(()),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::running(error.to_string()))?;
    print(&(text + "\n"))
}
