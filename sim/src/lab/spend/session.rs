//! The three streams while they run: starts and ends programs, and asks them for their accounts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use netlab::Counters;

use super::accounts::Accounts;
use super::draw::{DONOR, KILLED, Kind, LOST, Part, SpendDraw};
use super::plan::SpendScenario;
use crate::lab::clock::Clock;
use crate::lab::content::Content;
use crate::lab::cores::{self, Waited};
use crate::lab::pace::Pace;
use crate::lab::probe::Sent;
use crate::lab::processes::{Feed, Launcher, PORT, Process, Remains, Seat, end_all};
use crate::lab::{LabError, LabProgress};
use crate::time::{SECOND, SimTime, seconds};

/// Who gives comes so long before who takes, so that there is something to take.
const GIVERS_FIRST_S: f64 = 2.0;

/// The donor's accounts are looked at this often while it spends.
const LOOK_NS: u64 = SECOND / 2;

/// And how long programs waited for a core, once in so many of these looks.
const LOOKS_AT_CORES: u64 = 10;

/// From the start of a node's program to its end.
pub(super) struct Life {
    pub(super) node: u32,
    /// In which stream.
    pub(super) stream: usize,
    pub(super) remains: Remains,
}

/// All that was seen of a run.
pub(super) struct Record {
    pub(super) clock: Clock,
    /// By stream.
    pub(super) sent: Vec<Sent>,
    pub(super) lives: Vec<Life>,
    /// By stream: the accounts of those who took part in it, when all had ended.
    pub(super) accounts: Vec<BTreeMap<u32, Accounts>>,
    /// What the donor's accounts were while it spent, and when.
    pub(super) looks: Vec<(u64, Accounts)>,
    /// When the donor's program was started in the third stream, and when it was told to end.
    pub(super) came_ns: u64,
    pub(super) ended_ns: u64,
    /// Of the time between.
    pub(super) counters: Counters,
    /// What programs had waited for a core at these instants.
    pub(super) waited: Vec<(u64, Waited)>,
    pub(super) problems: Vec<String>,
}

pub(super) struct Session<'a> {
    draw: &'a SpendDraw,
    scenario: &'a SpendScenario,
    launcher: Launcher<'a>,
    pace: Pace<'a>,
    /// Those of the stream that runs.
    running: BTreeMap<u32, Process>,
    sent: Vec<Sent>,
    lives: Vec<Life>,
    accounts: Vec<BTreeMap<u32, Accounts>>,
    looks: Vec<(u64, Accounts)>,
    waited: Vec<(u64, Waited)>,
    problems: Vec<String>,
}

impl<'a> Session<'a> {
    pub(super) fn begin(
        draw: &'a SpendDraw,
        scenario: &'a SpendScenario,
        launcher: Launcher<'a>,
        interrupted: &'a AtomicBool,
        progress: &'a mut dyn FnMut(LabProgress),
    ) -> Self {
        let end = SimTime(seconds(draw.length_s));
        Session {
            draw,
            scenario,
            pace: Pace::begin(launcher.clock, end, interrupted, progress),
            launcher,
            running: BTreeMap::new(),
            sent: Vec::new(),
            lives: Vec::new(),
            accounts: Vec::new(),
            looks: Vec::new(),
            waited: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// To the end, and everything ended.
    pub(super) fn run(mut self) -> Result<Record, LabError> {
        let [earn_s, between_s, spend_s] = self.scenario.spend.lengths_s();

        let feed = self.start(0)?;
        self.wait_s(earn_s)?;
        if let Some(killed) = self.running.get_mut(&KILLED) {
            killed.leave(true, self.launcher.clock.now_ns());
        }
        self.end(0, feed)?;
        self.lose(LOST)?;

        let feed = self.start(1)?;
        self.wait_s(between_s)?;
        self.end(1, feed)?;

        let feed = self.start(2)?;
        let came_ns = self.running.get(&DONOR).map_or(0, |donor| donor.started_ns);
        self.counters()?;
        let until_ns = self.launcher.clock.now_ns() + seconds(spend_s);
        for nth in 0.. {
            let now_ns = self.launcher.clock.now_ns();
            if nth % LOOKS_AT_CORES == 0 || now_ns >= until_ns {
                let waited = cores::waited(self.running.values().map(Process::id));
                self.waited.push((now_ns, waited));
            }
            if now_ns >= until_ns {
                break;
            }
            let donor = self.show(DONOR)?;
            self.looks.push((self.launcher.clock.now_ns(), donor));
            self.wait_until_ns(until_ns.min(now_ns + LOOK_NS))?;
        }
        let ended_ns = self.launcher.clock.now_ns();
        let counters = self.counters()?;
        self.end(2, feed)?;
        Ok(Record {
            clock: self.launcher.clock,
            sent: self.sent,
            lives: self.lives,
            accounts: self.accounts,
            looks: self.looks,
            came_ns,
            ended_ns,
            counters,
            waited: self.waited,
            problems: self.problems,
        })
    }

    fn counters(&self) -> Result<Counters, LabError> {
        let counters = self.launcher.lab.counters(true);
        counters.map_err(|error| LabError::Failed(format!("{error:#}")))
    }

    fn wait_s(&mut self, s: f64) -> Result<(), LabError> {
        self.wait_until_ns(self.launcher.clock.now_ns() + seconds(s))
    }

    fn wait_until_ns(&mut self, at_ns: u64) -> Result<(), LabError> {
        let at = SimTime(at_ns.saturating_sub(self.pace.began_ns));
        self.pace.wait_until(at, |_| {
            for process in self.running.values_mut() {
                if !process.is_running() {
                    let (name, why) = (&process.name, process.last_words());
                    return Err(LabError::Failed(format!("{name} ended by itself: {why}")));
                }
            }
            Ok(self.running.len())
        })
    }

    /// Starts all who take part in a stream: the peercaster, a moment later who gives, another one later who takes.
    fn start(&mut self, stream: usize) -> Result<Feed, LabError> {
        let content = Content::of_stream(&self.scenario.stream, stream as u64);
        let parts: Vec<(u32, Part)> = self.draw.parts(stream).collect();
        let all = |wanted: fn(Part) -> bool| parts.iter().filter(move |(_, part)| wanted(*part));
        let mut cast = None;
        for (node, _) in all(|part| part == Part::Casts) {
            let name = self.name(*node, stream);
            let (process, feed, link) =
                self.launcher
                    .cast(self.seat(*node, &name), &content, 0, &self.flags(*node, &[]))?;
            self.running.insert(*node, process);
            cast = Some((feed, link));
        }
        let Some((feed, link)) = cast else {
            return Err(LabError::Failed(format!("stream {stream} has no peercaster")));
        };
        for takes in [false, true] {
            for (node, part) in all(|part| part != Part::Casts) {
                if (*part == Part::Takes) != takes {
                    continue;
                }
                let name = self.name(*node, stream);
                let seat = self.seat(*node, &name);
                let listen = format!("0.0.0.0:{PORT}");
                let mut flags = self.flags(*node, &["--listen", &listen]);
                let process = match part {
                    Part::Donates => self.launcher.donate(seat, &link, &flags)?,
                    Part::Casts | Part::Gives | Part::Takes => {
                        if takes {
                            flags.extend(["--participate", "passive"].map(str::to_owned));
                        }
                        self.launcher.watch(seat, &content, &link, &flags)?
                    }
                };
                self.running.insert(*node, process);
            }
            if !takes {
                self.wait_s(GIVERS_FIRST_S)?;
            }
        }
        Ok(feed)
    }

    /// What a node's program and its files are called in a stream.
    fn name(&self, node: u32, stream: usize) -> String {
        format!("{}-{}", self.draw.members[node as usize].name, stream + 1)
    }

    fn seat<'s>(&'s self, node: u32, name: &'s str) -> Seat<'s> {
        let member = &self.draw.members[node as usize];
        Seat {
            node,
            name,
            owner: &member.name,
            upload_bps: member.upload_bps,
        }
    }

    /// The key is beside the state folder, so that one can be lost without the other.
    fn flags(&self, node: u32, more: &[&str]) -> Vec<String> {
        let key = self.file(node, ".key").to_string_lossy().into_owned();
        let flags = ["--identity", &key];
        flags.iter().chain(more).map(|flag| (*flag).to_owned()).collect()
    }

    fn file(&self, node: u32, ending: &str) -> PathBuf {
        let member = &self.draw.members[node as usize];
        self.launcher.folder.join(format!("{}{ending}", member.name))
    }

    fn show(&self, node: u32) -> Result<Accounts, LabError> {
        let (key, state) = (self.file(node, ".key"), self.file(node, ".state"));
        Accounts::read(self.launcher.program, &key, &state)
    }

    /// Everybody of a stream ends at once, the peercaster last; then they are asked for their accounts.
    fn end(&mut self, stream: usize, feed: Feed) -> Result<(), LabError> {
        for source in [false, true] {
            let is_source = |node: u32| self.draw.members[node as usize].kind == Kind::Source(stream);
            let of_kind = self
                .running
                .iter_mut()
                .filter(|(node, _)| is_source(**node) == source);
            let mut ending: Vec<&mut Process> = of_kind.map(|(_, process)| process).collect();
            let problems = end_all(&mut ending, self.launcher.clock, self.pace.interrupted);
            self.problems.extend(problems);
        }
        let mut sent = Sent::default();
        let (began_ns, first) = (feed.began_ns, feed.first);
        sent.go_on(began_ns, first, feed.finish());
        self.sent.push(sent);
        let ended = std::mem::take(&mut self.running);
        let shown = ended.keys().map(|node| Ok((*node, self.show(*node)?)));
        let shown: Result<BTreeMap<u32, Accounts>, LabError> = shown.collect();
        self.accounts.push(shown?);
        self.lives.extend(ended.into_iter().map(|(node, process)| Life {
            node,
            stream,
            remains: process.remains(),
        }));
        Ok(())
    }

    /// A node's state folder is no more.
    fn lose(&self, node: u32) -> Result<(), LabError> {
        let state = self.file(node, ".state");
        std::fs::remove_dir_all(&state)
            .map_err(|error| LabError::Failed(format!("{} cannot be removed ({error})", state.display())))
    }
}
