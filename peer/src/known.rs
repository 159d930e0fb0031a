//! Known nodes, kept in the state folder: members of the overlay that answered lately, so that the next run finds its way in without
//! being told one; and whom a peercaster supplies, so that it calls them when it was killed and is started again.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use coords::Coord;
use serde::{Deserialize, Serialize};
use swarm::NodeStats;
use tokio_util::task::AbortOnDropHandle;
use wire::message::{MAX_ADDRS, RingNode};
use wire::{PeerId, StreamId};

use crate::driver::NodeHandle;
use crate::error::plain_io;

/// The file in the state folder.
const FILE: &str = "nodes.toml";

/// Of a stream's id in its file's name: enough to tell the streams of one user apart.
const NAME_LETTERS: usize = 16;

/// Most nodes kept. Half of them may be gone by the next time, and ten to try are still plenty.
const MOST: usize = 32;

/// Most addresses tried in one run, those that answered last first: they are dialled a little apart.
const MOST_TRIED: usize = 8;

/// The largest file that is read: the most nodes with the most addresses are 10 KB.
const FILE_MAX: u64 = 64 << 10;

/// A running node is asked this often which members of the overlay it knows: a crash loses no more than that.
const KEEP_EVERY: Duration = Duration::from_secs(20);

/// And a peercaster this often whom it supplies: a viewer needs as long to be settled.
const KEEP_AUDIENCE_EVERY: Duration = Duration::from_secs(3);

/// Viewers who were left alone wait no longer than this for the peercaster: their player or their user has given up.
const AUDIENCE_STAYS: Duration = Duration::from_secs(300);

/// It is asked first after this time: in a short run, too.
const KEEP_FIRST: Duration = Duration::from_secs(3);

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    peer: PeerId,
    addrs: Vec<SocketAddr>,
    /// When it was known to be there, in seconds of Unix time.
    seen: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    node: Vec<Known>,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Io(String),
    #[error("it is not a list of nodes")]
    Format,
    #[error("it is larger than 64 KiB")]
    Size,
}

/// The known nodes, with the file they are kept in; none where there is no state folder.
#[derive(Clone, Debug)]
pub struct KnownNodes {
    path: Option<PathBuf>,
    nodes: Vec<Known>,
}

impl KnownNodes {
    /// Reads the file in the state folder. A broken one is reported in the log, and written anew as soon as nodes are known.
    pub fn open(state: Option<&Path>) -> Self {
        Self::open_file(state.map(|state| state.join(FILE)))
    }

    /// Reads whom this peercaster supplied when it cast the stream before.
    pub fn open_audience(state: Option<&Path>, stream: StreamId) -> Self {
        let mut id = stream.to_string();
        id.truncate(NAME_LETTERS);
        Self::open_file(state.map(|state| state.join(format!("audience-{id}.toml"))))
    }

    fn open_file(path: Option<PathBuf>) -> Self {
        let nodes = path.as_deref().map_or_else(Vec::new, |path| {
            read(path).unwrap_or_else(|broken| {
                tracing::warn!(
                    "the known nodes in {} cannot be read ({broken}); the file will be written anew",
                    path.display()
                );
                Vec::new()
            })
        });
        KnownNodes { path, nodes }
    }

    /// Addresses to try, those of nodes that answered last first.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes
            .iter()
            .flat_map(|node| node.addrs.first())
            .take(MOST_TRIED)
            .copied()
            .collect()
    }

    /// Those who were there at the last look, if that is so short a time ago that they may wait for the peercaster.
    pub fn waiting(&self) -> Vec<RingNode> {
        let last = self.nodes.iter().map(|node| node.seen).max().unwrap_or(0);
        if unix_seconds().saturating_sub(last) > AUDIENCE_STAYS.as_secs() {
            return Vec::new();
        }
        let there = self.nodes.iter().filter(|node| node.seen == last);
        there
            .map(|node| RingNode::new(node.peer, &Coord::ORIGIN, node.addrs.iter().copied().collect()))
            .collect()
    }

    /// Takes in nodes that are there now.
    pub fn saw(&mut self, nodes: &[RingNode]) {
        let seen = unix_seconds();
        for node in nodes.iter().filter(|node| !node.addrs.is_empty()) {
            self.nodes.retain(|known| known.peer != node.peer);
            self.nodes.push(Known {
                peer: node.peer,
                addrs: node.addrs.to_vec(),
                seen,
            });
        }
        self.settle();
    }

    fn settle(&mut self) {
        // Stable: the order of one look stays.
        self.nodes.sort_by_key(|node| std::cmp::Reverse(node.seen));
        self.nodes.truncate(MOST);
    }

    /// Writes the file: whole or not at all, readable for its owner only, together with what another process has put there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        // A file that cannot be read is replaced.
        for other in read(path).unwrap_or_default() {
            match self.nodes.iter_mut().find(|known| known.peer == other.peer) {
                Some(known) if known.seen < other.seen => *known = other,
                Some(_) => {}
                None => self.nodes.push(other),
            }
        }
        self.settle();
        let Some(path) = &self.path else { return Ok(()) };
        let file = File {
            node: self.nodes.clone(),
        };
        let text = toml::to_string(&file).map_err(io::Error::other)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        // Made with mode 0600 by the crate.
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(
            temporary,
            "# Nodes that answered lately. headwater finds its way in through them, or its viewers again; it is safe to delete this.\n"
        )?;
        temporary.write_all(text.as_bytes())?;
        temporary.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

fn unix_seconds() -> u64 {
    let passed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    passed.unwrap_or_default().as_secs()
}

fn read(path: &Path) -> Result<Vec<Known>, Broken> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Broken::Io(plain_io(&error))),
    };
    let mut text = String::new();
    match file.take(FILE_MAX + 1).read_to_string(&mut text) {
        Ok(_) if text.len() as u64 > FILE_MAX => return Err(Broken::Size),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(Broken::Format),
        Err(error) => return Err(Broken::Io(plain_io(&error))),
    }
    let file: File = toml::from_str(&text).map_err(|_| Broken::Format)?;
    let mut nodes = file.node;
    for node in &mut nodes {
        node.addrs.truncate(MAX_ADDRS);
    }
    nodes.retain(|node| !node.addrs.is_empty());
    nodes.truncate(MOST);
    Ok(nodes)
}

/// Keeps the file while a node runs.
#[derive(Debug)]
pub struct Keeper {
    known: KnownNodes,
    whom: Whom,
    _task: AbortOnDropHandle<()>,
}

/// Which of the peers of a node are noted.
type Whom = fn(&NodeStats) -> Vec<RingNode>;

impl Keeper {
    /// Begins to note which members of the overlay `node` knows.
    pub fn start(known: KnownNodes, node: &NodeHandle) -> Self {
        Self::note_every(KEEP_EVERY, known, node, |stats| stats.ring.known.clone())
    }

    /// Begins to note whom `node` supplies.
    pub fn start_audience(known: KnownNodes, node: &NodeHandle) -> Self {
        Self::note_every(KEEP_AUDIENCE_EVERY, known, node, NodeStats::audience)
    }

    fn note_every(every: Duration, known: KnownNodes, node: &NodeHandle, whom: Whom) -> Self {
        let (mut of_task, node) = (known.clone(), node.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + KEEP_FIRST, every);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                if !note(&mut of_task, &node, whom).await {
                    return;
                }
            }
        });
        Keeper {
            known,
            whom,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Notes whom the node knows for the last time.
    pub async fn finish(mut self, node: &NodeHandle) {
        note(&mut self.known, node, self.whom).await;
    }
}

/// False when the node has ended.
async fn note(known: &mut KnownNodes, node: &NodeHandle, whom: Whom) -> bool {
    let Ok((stats, _)) = node.stats().await else {
        return false;
    };
    let nodes = whom(&stats);
    if nodes.is_empty() {
        return true;
    }
    known.saw(&nodes);
    if let Err(error) = known.save() {
        tracing::debug!("known nodes were not saved ({})", plain_io(&error));
    }
    true
}

#[cfg(test)]
mod tests;
