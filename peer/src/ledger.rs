//! The ledger of trust on disk: who gave whom how much, as both have signed it.
//!
//! One file for each identity in the state folder, for its owner only. It is a redb database, so that a batch of changes is there
//! whole or not at all, whenever the power fails. Nothing that stands on a change leaves this peer before the disk has it, and
//! yet the node never waits for the disk: `writer` writes behind, and the `Gate` holds back what the node says.
//!
//! A damaged file is kept aside under another name, and an empty one begun: what others have signed comes back from them, and
//! nothing is guessed. A file that cannot be written or is in use ends the accounts of this run, because two states signed under
//! one number would be a proof of fraud against ourselves.

mod file;
mod gate;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use incentives::store::StoreError;
use swarm::{Node, NodeConfig};
use wire::{PeerId, Time};

pub use file::{LedgerFile, OpenError};
pub(crate) use gate::Gate;

/// How many letters of the id are in the file's name: enough to tell identities in one folder apart. The id itself is in the file.
const NAME_LETTERS: usize = 16;

/// The file for an identity.
pub fn path_in(state: &Path, peer: PeerId) -> PathBuf {
    let mut id = peer.to_string();
    id.truncate(NAME_LETTERS);
    state.join(format!("trust-{id}.redb"))
}

/// Makes a node that goes on with the ledger at `path`. What is wrong with that is in the log.
pub(crate) fn node_with(path: &Path, config: NodeConfig, now: Time) -> (Node, Option<Gate>) {
    match try_node(path, &config, now) {
        Ok((node, gate)) => (node, Some(gate)),
        Err(OpenError::Damaged(what)) => match set_aside(path, &what) {
            Ok(()) => match try_node(path, &config, now) {
                Ok((node, gate)) => (node, Some(gate)),
                Err(error) => without(path, config, now, &error),
            },
            Err(error) => without(path, config, now, &OpenError::Io(error)),
        },
        Err(error) => without(path, config, now, &error),
    }
}

fn try_node(path: &Path, config: &NodeConfig, now: Time) -> Result<(Node, Gate), OpenError> {
    let file = LedgerFile::open(path, config.peer)?;
    let (store, gate) = writer::start(file)?;
    let node = Node::with_ledger(config.clone(), Box::new(store), now);
    let node = node.map_err(|error| match error {
        StoreError::Corrupt(what) => OpenError::Damaged(what),
        StoreError::Read(what) | StoreError::Write(what) => OpenError::Other(what),
    })?;
    Ok((node, gate))
}

fn without(path: &Path, config: NodeConfig, now: Time, error: &OpenError) -> (Node, Option<Gate>) {
    tracing::warn!(
        "the ledger of trust {} cannot be used ({error}); this run keeps no accounts, and everything else works",
        path.display()
    );
    (Node::new(config, now), None)
}

/// Moves a damaged file out of the way, never over another one.
fn set_aside(path: &Path, what: &str) -> io::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".damaged-{}", now.as_millis()));
    std::fs::rename(path, &aside)?;
    tracing::error!(
        "the ledger of trust {} is damaged ({what}); it is kept as {}, and a new one is begun: other peers give back what \
         they have signed",
        path.display(),
        Path::new(&aside).display()
    );
    Ok(())
}

#[cfg(test)]
mod tests;
