//! Playout: from the chunks that the node hands over to whatever the user watches with.
//!
//! [`Outputs`] is fed chunk by chunk and never waits. Behind it, each output has its own bounded queue and its own
//! task or thread, so a slow or dead player disturbs neither the swarm nor the other outputs.
//!
//! | output | first bytes | when it cannot follow |
//! | --- | --- | --- |
//! | pipe, file | the first random-access chunk, as it went in | a hole in the recording, counted |
//! | `exec:`, HTTP, UDP | tables (or the container's header), then a random-access chunk | a jump to a later random-access chunk |

mod exec;
mod fanout;
mod http;
mod queue;
mod spec;
mod udp;
mod writer;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use wire::StreamInfo;
use wire::link::HostPort;

use crate::error::plain_io;
use fanout::Fanout;
use queue::{Limits, Shared, queue};

pub use spec::{Interface, OutputSpec, ParseOutputError, UdpSpec};

#[cfg(test)]
mod tests;

/// A piece of media on its way to the outputs.
#[derive(Clone, Debug)]
pub(crate) struct MediaItem {
    /// The bytes as they went in at the peercaster.
    pub(crate) bytes: Bytes,
    /// A player can start with them, given the tables.
    pub(crate) random_access: bool,
    /// What a player that starts here needs first. Empty when nothing is known or needed.
    pub(crate) tables: Bytes,
}

/// An output that cannot be opened: found before the stream is joined.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be created or written.
    #[error(
        "cannot write to {path} ({}); choose another place with --out",
        plain_io(source)
    )]
    File {
        /// As the user wrote it.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot offer the stream at http://{at} ({}); choose another port, or port 0 for any free one",
        plain_io(source)
    )]
    Listen {
        /// As the user wrote it.
        at: String,
        /// Why.
        source: std::io::Error,
    },
    /// The host has no address, or the socket cannot be made.
    #[error(
        "cannot send to udp://{to} ({}); check host, group and interface",
        plain_io(source)
    )]
    Udp {
        /// As the user wrote it.
        to: HostPort,
        /// Why.
        source: std::io::Error,
    },
    /// The player does not start.
    #[error(
        "cannot start the player {program} ({}); check that it is installed",
        plain_io(source)
    )]
    Exec {
        /// The command's first word.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// Standard output named twice.
    #[error("--out - is given twice; there is only one standard output")]
    PipeTwice,
}

/// How an output is doing, for the interface and the closing words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputStatus {
    /// The output as the user named it, or with the address it got.
    pub name: String,
    /// Where players find it, for HTTP.
    pub url: Option<String>,
    /// Players connected at the moment; 1 for an output that is one.
    pub players: usize,
    /// Bytes written so far.
    pub bytes: u64,
    /// Chunks left out because it did not follow.
    pub skipped: u64,
    /// Whether it has ended.
    pub closed: bool,
    /// Why it ended before its time, if it did not just close.
    pub failure: Option<String>,
}

/// All outputs of one stream.
#[derive(Debug)]
pub struct Outputs {
    fanout: Arc<Fanout>,
    entries: Vec<Entry>,
    /// Ends when every output has: each holds a sender and never sends.
    ended: mpsc::Receiver<Infallible>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    One { shared: Arc<Shared> },
    Http { server: http::Server },
}

/// Held by an output's task or thread as long as it lives.
type Alive = mpsc::Sender<Infallible>;

impl Outputs {
    /// Opens all of them.
    ///
    /// # Errors
    /// An [`OpenError`] for the first that cannot be opened; the others are closed again.
    pub async fn open(specs: &[OutputSpec]) -> Result<Outputs, OpenError> {
        let (alive, ended) = mpsc::channel(1);
        let fanout = Arc::new(Fanout::default());
        let mut outputs = Outputs {
            fanout,
            entries: Vec::new(),
            ended,
        };
        if specs
            .iter()
            .filter(|spec| matches!(spec, OutputSpec::Pipe))
            .count()
            > 1
        {
            return Err(OpenError::PipeTwice);
        }
        for spec in specs {
            outputs.open_one(spec, alive.clone()).await?;
        }
        Ok(outputs)
    }

    async fn open_one(&mut self, spec: &OutputSpec, alive: Alive) -> Result<(), OpenError> {
        let mut name = spec.to_string();
        let recording = matches!(spec, OutputSpec::Pipe | OutputSpec::File(_));
        let (feed, queue) = queue(if recording {
            Limits::RECORDING
        } else {
            Limits::PLAYER
        });
        let shared = feed.shared().clone();
        match spec {
            OutputSpec::Pipe => writer::start_pipe(queue, alive),
            OutputSpec::File(path) => {
                let started = writer::start_file(path, queue, alive);
                started.map_err(|source| OpenError::File {
                    path: name.clone(),
                    source,
                })?;
            }
            OutputSpec::Udp(spec) => {
                let started = udp::start(spec, queue, alive).await;
                started.map_err(|source| OpenError::Udp {
                    to: spec.to.clone(),
                    source,
                })?;
            }
            OutputSpec::Exec(words) => {
                let started = exec::start(words, queue, alive);
                started.map_err(|source| OpenError::Exec {
                    program: name.clone(),
                    source,
                })?;
            }
            OutputSpec::Http(at) => {
                let server = http::Server::start(at, self.fanout.clone(), alive)
                    .await
                    .map_err(|source| OpenError::Listen {
                        at: at.clone(),
                        source,
                    })?;
                name = format!("http://{}", server.addr());
                self.entries.push(Entry {
                    name,
                    kind: Kind::Http { server },
                });
                return Ok(());
            }
        }
        self.fanout.add(name.clone(), feed, recording);
        self.entries.push(Entry {
            name,
            kind: Kind::One { shared },
        });
        Ok(())
    }

    /// What the stream is; again whenever that changes.
    pub fn describe(&self, info: &StreamInfo) {
        self.fanout.describe(info);
    }

    /// The next chunk's media, decrypted, in order. Never waits.
    pub fn push(&self, bytes: Bytes, random_access: bool) {
        self.fanout.push(bytes, random_access);
    }

    /// Chunks before the next one are missing.
    pub fn gap(&self) {
        self.fanout.gap();
    }

    /// From now on, a recording (pipe or file) ends where its last frame is complete; go on pushing until
    /// [`recordings_ended`](Outputs::recordings_ended), for a frame or so.
    pub fn end_recordings(&self) {
        self.fanout.end_recordings();
    }

    /// Whether no recording waits for the end of a frame any more.
    pub fn recordings_ended(&self) -> bool {
        self.fanout.recordings_ended()
    }

    /// Waits until every output has ended on its own: the reader of the pipe has gone, the player was closed. Never
    /// returns when there is no output, or an HTTP one.
    pub async fn all_closed(&mut self) {
        if self.entries.is_empty() {
            return std::future::pending().await;
        }
        // `None` once the last sender is gone; the channel carries nothing else.
        let _none = self.ended.recv().await;
    }

    /// No more will come: every output writes what it has and ends. Waits for that up to `grace`; what hangs longer is
    /// left behind.
    pub async fn finish(mut self, grace: Duration) -> Vec<OutputStatus> {
        self.fanout.end();
        for entry in &self.entries {
            if let Kind::Http { server } = &entry.kind {
                server.stop();
            }
        }
        if !self.entries.is_empty() && tokio::time::timeout(grace, self.all_closed()).await.is_err() {
            tracing::debug!("an output still had something to write after {grace:?}");
        }
        self.status()
    }

    /// How each of them is doing, in the order they were given.
    pub fn status(&self) -> Vec<OutputStatus> {
        self.entries.iter().map(Entry::status).collect()
    }

    /// Where the HTTP outputs listen.
    pub fn http_addrs(&self) -> impl Iterator<Item = SocketAddr> {
        self.entries.iter().filter_map(|entry| match &entry.kind {
            Kind::Http { server } => Some(server.addr()),
            Kind::One { .. } => None,
        })
    }
}

impl Entry {
    fn status(&self) -> OutputStatus {
        match &self.kind {
            Kind::One { shared } => OutputStatus {
                name: self.name.clone(),
                url: None,
                players: usize::from(!shared.is_closed()),
                bytes: shared.written(),
                skipped: shared.skipped(),
                closed: shared.is_closed(),
                failure: shared.failure(),
            },
            Kind::Http { server } => OutputStatus {
                name: self.name.clone(),
                url: Some(server.url()),
                players: server.players(),
                bytes: server.written(),
                skipped: server.skipped(),
                closed: false,
                failure: None,
            },
        }
    }
}
