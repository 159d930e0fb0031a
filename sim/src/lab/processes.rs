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
use super::statistics::Statistics;
use super::{LabError, wait};
use crate::driver::Part;
use crate::measure::Role;
use crate::scenario::{Prefer, Scenario};
use crate::words::plain;

/// Where the peercaster listens, so that its link names it.
const SOURCE_PORT: u16 = 4000;

/// A program that prints no link by then has not understood its input.
const LINK_WITHIN: Duration = Duration::from_secs(15);

/// Read at a time: all that a pipe holds.
const READ: usize = 1 << 16;

/// Starts the programs.
pub(crate) struct Launcher<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) clock: Clock,
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) scenario: &'a Scenario,
    pub(crate) content: Content,
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
    /// The peercaster with its stream from packet `first` on, and its link. It is the same one again if it was killed `earlier`
    /// times; only its statistics and log have names of their own.
    pub(crate) fn cast(
        &self,
        part: &Part,
        earlier: usize,
        first: u64,
    ) -> Result<(Process, Feed, String), LabError> {
        let stream = &self.scenario.stream;
        let args = [
            "cast".to_owned(),
            "-".to_owned(),
            "--listen".to_owned(),
            format!("0.0.0.0:{SOURCE_PORT}"),
            "--chunk-ms".to_owned(),
            format!("{:.0}", stream.chunk_ms),
            "--substreams".to_owned(),
            stream.substreams.to_string(),
        ];
        let name = match earlier {
            0 => "source".to_owned(),
            n => format!("source-{}", n + 1),
        };
        let pipes = [Stdio::piped(), Stdio::piped()];
        let mut process = self.start(0, [&name, "source"], part, &args, pipes)?;
        let feed = process.child.stdin.take().map(|input| self.feed(input, first));
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

    /// A viewer or a donor.
    pub(crate) fn join(&self, number: u32, part: &Part, link: &str) -> Result<Process, LabError> {
        if part.role == Role::Donor {
            let args = ["donate".to_owned(), link.to_owned()];
            let name = format!("donor{number}");
            return self.start(
                number,
                [&name, &name],
                part,
                &args,
                [Stdio::null(), Stdio::null()],
            );
        }
        let peers = &self.scenario.peers;
        let prefer = match peers.prefer {
            Prefer::Live => "live",
            Prefer::Balanced => "balanced",
            Prefer::Smooth => "smooth",
        };
        let mut args: Vec<String> = ["watch", link, "--out", "-", "--prefer", prefer]
            .map(ToOwned::to_owned)
            .to_vec();
        if part.passive {
            args.extend(["--participate", "passive"].map(ToOwned::to_owned));
        }
        if let Some(lag) = peers.target_lag_ms {
            args.extend(["--target-lag".to_owned(), format!("{lag:.0}")]);
        }
        let name = format!("viewer{number}");
        let mut process = self.start(
            number,
            [&name, &name],
            part,
            &args,
            [Stdio::null(), Stdio::piped()],
        )?;
        let (probe, clock) = (Probe::new(self.content.clone()), self.clock);
        let output = process.child.stdout.take();
        process.reader = output.map(|output| std::thread::spawn(move || read(output, probe, clock)));
        Ok(process)
    }

    /// Starts a program that is called `name` and has the state folder of `owner`.
    fn start(
        &self,
        node: u32,
        [name, owner]: [&str; 2],
        part: &Part,
        args: &[String],
        [input, output]: [Stdio; 2],
    ) -> Result<Process, LabError> {
        let at = |ending: &str| self.folder.join(format!("{name}{ending}"));
        let state = self.folder.join(format!("{owner}.state"));
        let (stats, errors) = (at(".jsonl"), at(".log"));
        let log = File::create(&errors).map_err(|error| {
            LabError::Failed(format!("cannot write {} ({})", errors.display(), plain(&error)))
        })?;
        let mut command = Command::new(self.program);
        command
            .args(args)
            .args(["--headless", "--upload", &format!("{}bit", part.upload_bps)])
            .args(["--area", &self.scenario.tracker.split_above.to_string()])
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
            .spawn(node as usize, &mut command)
            .map_err(|error| LabError::Failed(format!("{error:#}")))?;
        Ok(Process {
            name: name.to_owned(),
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
    fn feed(&self, mut input: ChildStdin, first: u64) -> Feed {
        let stop = Arc::new(AtomicBool::new(false));
        let (content, clock, stopped) = (self.content.clone(), self.clock, Arc::clone(&stop));
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
        Statistics::read(&self.stats)
            .last()
            .is_some_and(|line| line.is_tracker)
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
            seen: seen.unwrap_or_default(),
            statistics: Statistics::read(&self.stats),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
