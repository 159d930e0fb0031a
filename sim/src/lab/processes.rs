//! The programs of a lab: started at their nodes, fed, read, ended.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use netlab::Lab;

use super::clock::Clock;
use super::content::{Content, PACKET};
use super::probe::{Probe, SOURCE_STEP_NS, Seen};
use super::statistics::{Line, Statistics};
use super::{LabError, wait};
use crate::scenario::Stream;
use crate::words::plain;

/// Where the peercaster listens, so that its link names it.
pub(crate) const PORT: u16 = 4000;

/// A program that prints no link by then has not understood its input.
const LINK_WITHIN: Duration = Duration::from_secs(15);

/// A program that was told to end has so long for it: playing out takes some seconds.
const END_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(20);

/// Read at a time: all that a pipe holds.
const READ: usize = 1 << 16;

/// Starts the programs.
pub(crate) struct Launcher<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) clock: Clock,
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    /// How a peercaster cuts its stream.
    pub(crate) stream: &'a Stream,
    /// What a tracker's area may hold.
    pub(crate) area: usize,
}

/// Where a program runs, and what its files are called.
#[derive(Clone, Copy)]
pub(crate) struct Seat<'a> {
    pub(crate) node: u32,
    /// Of its statistics and its log.
    pub(crate) name: &'a str,
    /// Of its state folder, which the same node has again when it is started again.
    pub(crate) owner: &'a str,
    pub(crate) upload_bps: u64,
}

/// A program at a node.
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    stats: PathBuf,
    errors: PathBuf,
    pub(crate) started_ns: u64,
    /// When it was told to go, or seen to have gone.
    pub(crate) left_ns: Option<u64>,
    reader: Option<JoinHandle<Seen>>,
    ended: Option<ExitStatus>,
    /// It was made to vanish.
    crashed: bool,
}

/// What a program left behind.
pub(crate) struct Remains {
    pub(crate) started_ns: u64,
    pub(crate) left_ns: Option<u64>,
    pub(crate) seen: Seen,
    pub(crate) statistics: Statistics,
}

/// The stream as it is fed to the peercaster.
pub(crate) struct Feed {
    /// When its encoder began.
    pub(crate) began_ns: u64,
    /// With which packet.
    pub(crate) first: u64,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u64>>,
}

impl Feed {
    /// Ends the encoder: when each of its packets was handed over.
    pub(crate) fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or_default()
    }
}

impl Launcher<'_> {
    /// A peercaster with its stream from packet `first` on, and its link; `more` are further flags.
    pub(crate) fn cast(
        &self,
        seat: Seat<'_>,
        content: &Content,
        first: u64,
        more: &[String],
    ) -> Result<(Process, Feed, String), LabError> {
        let mut args = vec![
            "cast".to_owned(),
            "-".to_owned(),
            "--listen".to_owned(),
            format!("0.0.0.0:{PORT}"),
            "--chunk-ms".to_owned(),
            format!("{:.0}", self.stream.chunk_ms),
            "--substreams".to_owned(),
            self.stream.substreams.to_string(),
        ];
        args.extend_from_slice(more);
        let mut process = self.start(seat, &args, [Stdio::piped(), Stdio::piped()])?;
        let input = process.child.stdin.take();
        let feed = input.map(|input| self.feed(input, content.clone(), first));
        let output = process.child.stdout.take();
        let (Some(feed), Some(output)) = (feed, output) else {
            return Err(LabError::Failed("the peercaster has no pipes".to_owned()));
        };
        match first_line(output) {
            Some(link) if link.starts_with("headwater:") => Ok((process, feed, link)),
            _ => Err(LabError::Failed(format!(
                "{} cast printed no link: {}",
                self.program.display(),
                process.last_words()
            ))),
        }
    }

    /// A donor.
    pub(crate) fn donate(&self, seat: Seat<'_>, link: &str, more: &[String]) -> Result<Process, LabError> {
        let args = [&["donate".to_owned(), link.to_owned()], more].concat();
        self.start(seat, &args, [Stdio::null(), Stdio::null()])
    }

    /// A viewer, whose output should be `content`.
    pub(crate) fn watch(
        &self,
        seat: Seat<'_>,
        content: &Content,
        link: &str,
        more: &[String],
    ) -> Result<Process, LabError> {
        let args = ["watch", link, "--out", "-"].map(ToOwned::to_owned);
        let args = [&args, more].concat();
        let mut process = self.start(seat, &args, [Stdio::null(), Stdio::piped()])?;
        let (probe, clock) = (Probe::new(content.clone()), self.clock);
        let output = process.child.stdout.take();
        process.reader = output.map(|output| std::thread::spawn(move || read(output, probe, clock)));
        Ok(process)
    }

    fn start(
        &self,
        seat: Seat<'_>,
        args: &[String],
        [input, output]: [Stdio; 2],
    ) -> Result<Process, LabError> {
        let at = |ending: &str| self.folder.join(format!("{}{ending}", seat.name));
        let state = self.folder.join(format!("{}.state", seat.owner));
        let (stats, errors) = (at(".jsonl"), at(".log"));
        let log = File::create(&errors).map_err(|error| {
            LabError::Failed(format!("cannot write {} ({})", errors.display(), plain(&error)))
        })?;
        let mut command = Command::new(self.program);
        command
            .args(args)
            .args(["--headless", "--upload", &format!("{}bit", seat.upload_bps)])
            .args(["--area", &self.area.to_string()])
            .arg("--state")
            .arg(state)
            .arg("--stats")
            .arg(&stats)
            .stdin(input)
            .stdout(output)
            .stderr(log);
        apart(&mut command);
        let started_ns = self.clock.now_ns();
        let child = self
            .lab
            .spawn(seat.node as usize, &mut command)
            .map_err(|error| LabError::Failed(format!("{error:#}")))?;
        Ok(Process {
            name: seat.name.to_owned(),
            child,
            stats,
            errors,
            started_ns,
            left_ns: None,
            reader: None,
            ended: None,
            crashed: false,
        })
    }

    /// Hands the peercaster what the encoder has, once a millisecond.
    fn feed(&self, mut input: ChildStdin, content: Content, first: u64) -> Feed {
        let stop = Arc::new(AtomicBool::new(false));
        let (clock, stopped) = (self.clock, Arc::clone(&stop));
        let began_ns = clock.now_ns();
        let thread = std::thread::spawn(move || {
            let (mut sent, mut bytes) = (Vec::new(), Vec::new());
            // The stream's time when this encoder began.
            let before_ns = content.due_ns(first);
            while !stopped.load(Ordering::SeqCst) {
                let now = clock.now_ns();
                bytes.clear();
                loop {
                    let number = first + sent.len() as u64;
                    if content.due_ns(number) - before_ns > now - began_ns {
                        break;
                    }
                    bytes.extend_from_slice(&content.packet(number));
                    sent.push(now);
                }
                if input.write_all(&bytes).is_err() {
                    // The peercaster has gone, which whoever watches it notices. These did not get through.
                    sent.truncate(sent.len() - bytes.len() / PACKET);
                    break;
                }
                wait(Duration::from_nanos(SOURCE_STEP_NS));
            }
            sent
        });
        Feed {
            began_ns,
            first,
            stop,
            thread,
        }
    }
}

/// Ctrl-C at a terminal is for the lab, which ends its programs in order.
#[cfg(unix)]
fn apart(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_: &mut Command) {}

/// The first line of an output, if it comes in time.
fn first_line(output: ChildStdout) -> Option<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = String::new();
        // Nobody may be waiting any more.
        let _ = output
            .read_line(&mut line)
            .and_then(|_| tell.send(line).map_err(std::io::Error::other));
        // What comes afterwards is nobody's; but the pipe must not close.
        let _ = std::io::copy(&mut output, &mut std::io::sink());
    });
    let line = told.recv_timeout(LINK_WITHIN).ok()?;
    Some(line.trim().to_owned())
}

/// Compares an output with what was sent, to its end.
fn read(mut output: ChildStdout, mut probe: Probe, clock: Clock) -> Seen {
    let mut buffer = vec![0; READ];
    while let Ok(n @ 1..) = output.read(&mut buffer) {
        probe.take(clock.now_ns(), &buffer[..n]);
    }
    probe.finish()
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended.is_none()
    }

    /// It goes, without a word or with a goodbye.
    pub(crate) fn leave(&mut self, crash: bool, now_ns: u64) {
        self.left_ns.get_or_insert(now_ns);
        if crash {
            self.crashed = true;
            // One that is gone already needs no killing.
            let _ = self.child.kill();
        } else {
            self.tell_to_end();
        }
    }

    pub(crate) fn tell_to_end(&mut self) {
        if self.is_running() {
            // It may end by itself at this moment.
            let _ = netlab::interrupt(&self.child);
        }
    }

    pub(crate) fn keeps_tracker(&self) -> bool {
        Line::latest(&self.stats).is_some_and(|line| line.is_tracker)
    }

    /// What was wrong with its end, if anything was. Killed if it did not end by itself.
    pub(crate) fn end(&mut self) -> Option<String> {
        if self.is_running() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
            return Some(format!("{} did not end when it was told to", self.name));
        }
        let code = self.ended.and_then(|status| status.code());
        // 130: interrupted, as it was told.
        let well = self.crashed || matches!(code, Some(0 | 130));
        (!well).then(|| format!("{} failed: {}", self.name, self.last_words()))
    }

    /// The last thing it said to its standard error.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let last = text.lines().rev().find(|line| !line.trim().is_empty());
        last.unwrap_or("it said nothing").trim().to_owned()
    }

    /// What it left, once it has ended.
    pub(crate) fn remains(mut self) -> Remains {
        let seen = self.reader.take().and_then(|reader| reader.join().ok());
        Remains {
            started_ns: self.started_ns,
            left_ns: self.left_ns,
            seen: seen.unwrap_or_default().of_ended(self.crashed),
            statistics: Statistics::read(&self.stats),
        }
    }
}

/// Tells programs to end and waits until they have, or the user has had enough; what was wrong with their ends.
pub(crate) fn end_all(ending: &mut [&mut Process], clock: Clock, interrupted: &AtomicBool) -> Vec<String> {
    for process in &mut *ending {
        process.tell_to_end();
    }
    let by_ns = clock.now_ns() + END_WITHIN.as_nanos() as u64;
    while ending.iter_mut().any(|process| process.is_running())
        && clock.now_ns() < by_ns
        && !interrupted.load(Ordering::SeqCst)
    {
        wait(LOOK);
    }
    ending.iter_mut().filter_map(|process| process.end()).collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
