//! Pipes and files: read as they come, or at their own pace.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{PieceSender, READ_MAX, ReadOptions, Unwanted, spawn};
use crate::error::{Failure, plain_io};
use crate::media::pacer::Pacer;
use crate::media::testcard::TestCard;
use crate::media::{Container, Segmenter, SegmenterConfig};

/// A reader that fell behind by more (the machine slept) goes on from there instead of hurrying after.
const BEHIND_MAX: Duration = Duration::from_secs(2);

/// How long after the last piece of a file its repetition begins: what a piece covers.
const REPEAT_AFTER: Duration = Duration::from_millis(4);

/// Starts to read standard input; returns whether it is live.
pub(super) fn start_stdin(options: ReadOptions, out: PieceSender) -> Result<bool, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::input(
            "standard input is a terminal; pipe an encoder into headwater cast, or name a file",
        ));
    }
    let name = "standard input".to_owned();
    match redirected_file() {
        Some(file) => start_regular(file, name, options, out),
        None => start_pipe(stdin, name, options, out),
    }
}

/// Standard input as a file, if that is what was redirected to it.
#[cfg(unix)]
fn redirected_file() -> Option<File> {
    use std::os::fd::AsFd;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(not(unix))]
fn redirected_file() -> Option<File> {
    None
}

/// Starts to read a file or named pipe; returns whether it is live.
pub(super) fn start_file(path: &Path, options: ReadOptions, out: PieceSender) -> Result<bool, Failure> {
    let refuse = |reason: &str| {
        Failure::input(format!(
            "the input {} cannot be read ({reason}); check its path",
            path.display()
        ))
    };
    let kind = std::fs::metadata(path).map_err(|error| refuse(&plain_io(&error)))?;
    if kind.is_dir() {
        return Err(refuse("it is a folder"));
    }
    let name = path.display().to_string();
    if kind.is_file() {
        let file = File::open(path).map_err(|error| refuse(&plain_io(&error)))?;
        return start_regular(file, name, options, out);
    }
    // Opening a named pipe waits for its writer: in the thread.
    let path = path.to_owned();
    spawn(move || match File::open(&path) {
        Ok(pipe) => read_pipe(pipe, &name, options, &out),
        Err(error) => out.fail(&name, &error),
    })?;
    Ok(options.rate.is_none())
}

/// Starts to hand out the built-in test stream.
pub(super) fn start_test_card(card: TestCard, out: PieceSender) -> Result<(), Failure> {
    spawn(move || {
        let mut schedule = Schedule::start();
        for burst in card {
            schedule.wait_for(burst.at);
            if out.send_bytes(burst.bytes).is_err() {
                break;
            }
        }
    })
}

fn start_pipe(
    pipe: impl Read + Send + 'static,
    name: String,
    options: ReadOptions,
    out: PieceSender,
) -> Result<bool, Failure> {
    spawn(move || read_pipe(pipe, &name, options, &out))?;
    Ok(options.rate.is_none())
}

fn read_pipe(mut pipe: impl Read, name: &str, options: ReadOptions, out: &PieceSender) {
    let done = if options.rate.is_some() {
        let mut schedule = Schedule::start();
        play(&mut pipe, &[], options, &mut schedule, out)
    } else {
        copy(&mut pipe, out)
    };
    if let Err(Stop::Failed(error)) = done {
        out.fail(name, &error);
    }
}

/// A regular file has no pace but its own clock's or the one given.
fn start_regular(
    mut file: File,
    name: String,
    options: ReadOptions,
    out: PieceSender,
) -> Result<bool, Failure> {
    let mut head = vec![0; READ_MAX];
    let len = read_some(&mut file, &mut head).map_err(|error| {
        Failure::input(format!(
            "{name} cannot be read ({}); name another input",
            plain_io(&error)
        ))
    })?;
    head.truncate(len);
    if options.rate.is_none() && !head.is_empty() && !has_clock(&head) {
        return Err(Failure::input(format!(
            "{name} is no MPEG-TS, so nothing says how fast it plays; give --rate, such as --rate 4mbit"
        )));
    }
    spawn(move || {
        let mut schedule = Schedule::start();
        let mut done = play(&mut file, &head, options, &mut schedule, &out);
        while options.repeat && done.is_ok() && !head.is_empty() {
            schedule.repeat();
            done = match file.rewind() {
                Ok(()) => play(&mut file, &[], options, &mut schedule, &out),
                Err(error) => Err(Stop::Failed(error)),
            };
        }
        if let Err(Stop::Failed(error)) = done {
            out.fail(&name, &error);
        }
    })?;
    Ok(false)
}

/// Whether a file that begins like this is one that the pacer understands.
fn has_clock(head: &[u8]) -> bool {
    let mut probe = Segmenter::new(SegmenterConfig::default());
    let mut segments = Vec::new();
    probe.push(wire::Time::ZERO, head, &mut segments);
    probe.finish(wire::Time::ZERO, &mut segments);
    probe.container() == Container::MpegTs
}

/// Why reading stopped before the end.
enum Stop {
    Unwanted,
    Failed(io::Error),
}

impl From<Unwanted> for Stop {
    fn from(_: Unwanted) -> Self {
        Stop::Unwanted
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Failed(error)
    }
}

/// Sends what comes as it comes.
fn copy(from: &mut impl Read, out: &PieceSender) -> Result<(), Stop> {
    let mut buffer = vec![0; READ_MAX];
    loop {
        let len = read_some(from, &mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        out.send(&buffer[..len])?;
    }
}

/// Sends what comes when it is due.
fn play(
    from: &mut impl Read,
    head: &[u8],
    options: ReadOptions,
    schedule: &mut Schedule,
    out: &PieceSender,
) -> Result<(), Stop> {
    let mut pacer = Pacer::new(options.rate.map(wire::Bitrate::as_bps));
    pacer.push(head);
    let mut buffer = vec![0; READ_MAX];
    loop {
        while let Some(piece) = pacer.next_piece() {
            schedule.wait_for(piece.at);
            out.send_bytes(piece.bytes)?;
        }
        let len = read_some(from, &mut buffer)?;
        if len == 0 {
            break;
        }
        pacer.push(&buffer[..len]);
    }
    pacer.finish();
    while let Some(piece) = pacer.next_piece() {
        schedule.wait_for(piece.at);
        out.send_bytes(piece.bytes)?;
    }
    Ok(())
}

fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// When pieces are due by the monotonic clock.
struct Schedule {
    start: Instant,
    latest: Duration,
}

impl Schedule {
    fn start() -> Self {
        Schedule {
            start: Instant::now(),
            latest: Duration::ZERO,
        }
    }

    /// Waits until what is due `at` after the start is due.
    #[allow(clippy::disallowed_methods)] // A thread of its own: it has nothing else to do than wait.
    fn wait_for(&mut self, at: Duration) {
        self.latest = at;
        let now = Instant::now();
        let Some(due) = self.start.checked_add(at) else {
            return;
        };
        if let Some(early) = due.checked_duration_since(now) {
            std::thread::sleep(early);
        } else if now.duration_since(due) > BEHIND_MAX {
            self.start += now.duration_since(due);
        }
    }

    /// The next pieces count from the end of those before.
    fn repeat(&mut self) {
        self.start += self.latest + REPEAT_AFTER;
        self.latest = Duration::ZERO;
    }
}
