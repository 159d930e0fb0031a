//! Writes lines of statistics without ever making anybody wait.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::line::Line;
use crate::error::{Failure, plain_io};

/// Lines that may wait for a slow reader: minutes of samples. When full, new lines are dropped and counted.
const WAITING_MAX: usize = 256;

/// How long the end waits for a reader that does not read.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// Where `--stats` goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatsTarget {
    /// Standard output (`-`).
    Stdout,
    /// A file; an existing one is replaced.
    File(PathBuf),
}

impl FromStr for StatsTarget {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "-" => StatsTarget::Stdout,
            path => StatsTarget::File(path.into()),
        })
    }
}

/// A thread that writes lines.
#[derive(Debug)]
pub struct StatsSink {
    lines: SyncSender<String>,
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    failure: Mutex<Option<Failure>>,
    reader_gone: CancellationToken,
    done: CancellationToken,
}

impl StatsSink {
    /// Opens the target and starts the thread.
    ///
    /// # Errors
    /// [`Failure::Input`] when the file cannot be written.
    pub fn open(target: &StatsTarget) -> Result<Self, Failure> {
        let (writer, name): (Box<dyn Write + Send>, String) = match target {
            StatsTarget::Stdout => (Box::new(std::io::stdout()), "standard output".into()),
            StatsTarget::File(path) => {
                let file = File::create(path).map_err(|error| {
                    Failure::input(format!(
                        "the statistics file {} cannot be written ({}); choose another with --stats",
                        path.display(),
                        plain_io(&error)
                    ))
                })?;
                (Box::new(BufWriter::new(file)), path.display().to_string())
            }
        };
        Self::start(writer, name)
    }

    fn start(writer: Box<dyn Write + Send>, name: String) -> Result<Self, Failure> {
        let (lines, waiting) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("statistics".into())
            .spawn(move || write_all(writer, &name, &waiting, &theirs))
            .map_err(|error| {
                Failure::running(format!("no thread for the statistics ({})", plain_io(&error)))
            })?;
        Ok(StatsSink {
            lines,
            thread,
            shared,
        })
    }

    /// Queues a line; drops and counts it when the reader is too slow.
    pub fn send(&self, line: &Line) {
        let mut line = line.clone();
        line.lines_dropped = self.shared.dropped.load(Ordering::Relaxed);
        let Ok(mut text) = serde_json::to_string(&line) else {
            debug_assert!(false, "a line has only types that JSON has");
            return;
        };
        text.push('\n');
        if let Err(TrySendError::Full(_)) = self.lines.try_send(text) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns when whoever read the statistics has closed the pipe.
    pub async fn reader_gone(&self) {
        self.shared.reader_gone.cancelled().await;
    }

    /// Writes what waits, for at most two seconds.
    ///
    /// # Errors
    /// [`Failure::Running`] when lines could not be written.
    pub async fn finish(self) -> Result<(), Failure> {
        let StatsSink {
            lines,
            thread,
            shared,
        } = self;
        drop(lines);
        if tokio::time::timeout(FINISH_MAX, shared.done.cancelled())
            .await
            .is_ok()
        {
            // It has nothing left to do but return.
            let _ = thread.join();
        }
        let failure = shared
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        failure.map_or(Ok(()), Err)
    }
}

fn write_all(mut writer: Box<dyn Write + Send>, name: &str, waiting: &Receiver<String>, shared: &Shared) {
    let _done = shared.done.clone().drop_guard();
    for line in waiting {
        // Each line is complete for whoever follows the file.
        match writer.write_all(line.as_bytes()).and_then(|()| writer.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                shared.reader_gone.cancel();
                return;
            }
            Err(error) => {
                let failure = Failure::running(format!(
                    "statistics could not be written to {name} ({}); make room or choose another place with --stats",
                    plain_io(&error)
                ));
                tracing::warn!("{failure}");
                *shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                return;
            }
        }
    }
}
