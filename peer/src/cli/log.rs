//! The log: to standard error, and into a bounded list that the terminal interface shows.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt as subscriber_fmt};

use crate::error::Failure;

/// What is logged without `--log`.
const DEFAULT_FILTER: &str = "warn,headwater=info";

/// Lines kept for the interface: more than the tallest terminal shows, with some to scroll back.
const PANE_LINES: usize = 500;

/// One line of the log.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// When.
    pub at: SystemTime,
    /// How grave.
    pub level: Level,
    /// The module it came from.
    pub target: String,
    /// The message with its fields.
    pub text: String,
}

/// The newest lines of the log, for an interface to show. When full, the oldest line goes.
#[derive(Clone, Debug, Default)]
pub struct LogPane {
    lines: Arc<Mutex<VecDeque<LogLine>>>,
    muted: Arc<AtomicBool>,
}

impl LogPane {
    /// The newest `count` lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<LogLine> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    /// Whether lines also go to standard error: not while a terminal interface owns the screen.
    pub fn to_stderr(&self, on: bool) {
        self.muted.store(!on, Ordering::Relaxed);
    }

    fn push(&self, line: LogLine) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == PANE_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Keeps the log's writer alive; dropping it writes what is still waiting.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts logging, once per process.
///
/// Standard error is written by a thread of its own with a bounded queue that drops lines when full, so that a stuck
/// reader of standard error never stalls the swarm.
///
/// # Errors
/// [`Failure::Input`] when `filter` is no filter.
pub fn start(filter: Option<&str>) -> Result<(LogPane, LogGuard), Failure> {
    let parsed = EnvFilter::try_new(filter.unwrap_or(DEFAULT_FILTER)).map_err(|error| {
        Failure::input(format!(
            "--log {:?} is not a log filter ({error}); write a level such as debug, or targets such as info,headwater::net=trace",
            filter.unwrap_or_default()
        ))
    })?;
    let pane = LogPane::default();
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .finish(std::io::stderr());
    let switch = Switch {
        writer,
        muted: Arc::clone(&pane.muted),
    };
    let stderr = subscriber_fmt::layer()
        .with_writer(move || switch.clone())
        .with_ansi(false);
    // People who ask for more than the default want to know when and where.
    let stderr = if filter.is_some() {
        stderr.boxed()
    } else {
        stderr.without_time().with_target(false).boxed()
    };
    let result = tracing_subscriber::registry()
        .with(parsed)
        .with(stderr)
        .with(PaneLayer(pane.clone()))
        .try_init();
    if let Err(error) = result {
        return Err(Failure::running(format!("the log could not be started: {error}")));
    }
    Ok((pane, LogGuard { _worker: worker }))
}

/// Standard error, unless an interface owns the screen.
#[derive(Clone)]
struct Switch {
    writer: NonBlocking,
    muted: Arc<AtomicBool>,
}

impl Write for Switch {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.muted.load(Ordering::Relaxed) {
            return Ok(bytes.len());
        }
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

struct PaneLayer(LogPane);

impl<S: Subscriber> Layer<S> for PaneLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0.push(LogLine {
            at: wall_clock(),
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            text: text.0,
        });
    }
}

#[allow(clippy::disallowed_methods)] // The log is for people: the driver's side of the clock ban.
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// A message and its fields as one text.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = if field.name() == "message" {
            // The message comes first whatever the order of the fields.
            let fields = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{fields}")
        } else {
            write!(self.0, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pane_keeps_the_newest_lines() {
        let pane = LogPane::default();
        let subscriber = tracing_subscriber::registry().with(PaneLayer(pane.clone()));
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..PANE_LINES + 3 {
                tracing::info!(n, "line");
            }
        });
        let all = pane.last(usize::MAX);
        assert_eq!(all.len(), PANE_LINES);
        assert_eq!(all[0].text, "line n=3");
        let last = pane.last(1);
        assert_eq!(last[0].text, format!("line n={}", PANE_LINES + 2));
        assert_eq!(last[0].level, Level::INFO);
    }
}
