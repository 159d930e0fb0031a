//! A lab while it runs: starts and ends programs as was drawn, and notes what there is to note.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use netlab::Counters;

use super::clock::Clock;
use super::content::Content;
use super::cores::{self, CoreWait, Waited};
use super::pace::Pace;
use super::probe::Sent;
use super::processes::{Feed, Launcher, Process, Remains, Seat, end_all};
use super::{LabError, LabProgress, network};
use crate::driver::{Rehearsal, Step};
use crate::measure::Role;
use crate::scenario::{Peers, Prefer};
use crate::time::SimTime;

/// All that was seen of a run.
pub(super) struct Record {
    pub(super) clock: Clock,
    /// When the run's own time began.
    pub(super) began_ns: u64,
    pub(super) sent: Sent,
    /// What the peercaster left each time that it was killed and started again.
    pub(super) earlier_sources: Vec<Remains>,
    /// By the number of the peer; the peercaster is 0.
    pub(super) remains: BTreeMap<u32, Remains>,
    pub(super) counters: Counters,
    pub(super) core_wait: CoreWait,
    pub(super) problems: Vec<String>,
}

/// Something at an instant.
enum Act {
    Step(Step),
    WindowBegins,
    WindowEnds,
}

pub(super) struct Session<'a> {
    rehearsal: &'a Rehearsal,
    launcher: Launcher<'a>,
    content: Content,
    pace: Pace<'a>,
    link: String,
    /// `None` while the peercaster is away.
    feed: Option<Feed>,
    sent: Sent,
    earlier_sources: Vec<Process>,
    processes: BTreeMap<u32, Process>,
    /// When the window began, and what programs had waited by then.
    waited: (u64, Waited),
    core_wait: CoreWait,
    counters: Option<Counters>,
}

impl<'a> Session<'a> {
    /// Starts the peercaster.
    pub(super) fn begin(
        rehearsal: &'a Rehearsal,
        launcher: Launcher<'a>,
        interrupted: &'a AtomicBool,
        progress: &'a mut dyn FnMut(LabProgress),
    ) -> Result<Self, LabError> {
        let content = Content::new(&rehearsal.scenario.stream);
        let (source, feed, link) = launcher.cast(source_seat(rehearsal, "source"), &content, 0, &[])?;
        let pace = Pace::begin(launcher.clock, rehearsal.end, interrupted, progress);
        Ok(Session {
            rehearsal,
            launcher,
            content,
            pace,
            link,
            feed: Some(feed),
            sent: Sent::default(),
            earlier_sources: Vec::new(),
            processes: BTreeMap::from([(0, source)]),
            waited: Default::default(),
            core_wait: CoreWait::default(),
            counters: None,
        })
    }

    /// To the end, and everything ended.
    pub(super) fn run(mut self) -> Result<Record, LabError> {
        let steps = self.rehearsal.steps.iter();
        let mut acts: Vec<(SimTime, Act)> = steps.map(|(at, step)| (*at, Act::Step(*step))).collect();
        acts.push((self.rehearsal.window.from, Act::WindowBegins));
        acts.push((self.rehearsal.window.to, Act::WindowEnds));
        acts.sort_by_key(|(at, _)| *at);
        for (at, act) in acts {
            self.wait_until(at)?;
            match act {
                Act::Step(step) => self.step(step)?,
                Act::WindowBegins => {
                    self.network_counters()?;
                    self.waited = (self.launcher.clock.now_ns(), self.core_waits());
                }
                Act::WindowEnds => {
                    let apart_ns = self.launcher.clock.now_ns() - self.waited.0;
                    self.core_wait = cores::share(&self.waited.1, &self.core_waits(), apart_ns);
                    self.counters = Some(self.network_counters()?);
                }
            }
        }
        self.wait_until(self.rehearsal.end)?;
        self.finish()
    }

    fn network_counters(&self) -> Result<Counters, LabError> {
        let counters = self.launcher.lab.counters(true);
        counters.map_err(|error| LabError::Failed(format!("{error:#}")))
    }

    fn core_waits(&self) -> Waited {
        cores::waited(self.processes.values().map(Process::id))
    }

    fn wait_until(&mut self, at: SimTime) -> Result<(), LabError> {
        self.pace.wait_until(at, |now_ns| {
            let mut running = 0;
            for (number, process) in &mut self.processes {
                if process.is_running() {
                    running += usize::from(*number > 0);
                } else if *number == 0 && self.feed.is_none() {
                    // It was killed, and is not back yet.
                } else if *number == 0 {
                    let why = process.last_words();
                    return Err(LabError::Failed(format!("the peercaster ended: {why}")));
                } else {
                    process.left_ns.get_or_insert(now_ns);
                }
            }
            Ok(running)
        })
    }

    fn step(&mut self, step: Step) -> Result<(), LabError> {
        match step {
            Step::Join(number) => self.join(number),
            Step::Leave {
                peer,
                crash,
                newcomer,
            } => {
                if self.leave(peer, crash)
                    && let Some(newcomer) = newcomer
                {
                    self.join(newcomer)?;
                }
                Ok(())
            }
            Step::Loss(loss) => {
                let command = network::set_loss(&self.rehearsal.scenario, loss);
                let done = self.launcher.lab.command(&command);
                done.map_err(|error| LabError::Failed(format!("{error:#}")))
            }
            Step::Trackers(share) => {
                let keepers = self.processes.iter().filter(|(number, process)| {
                    **number > 0 && process.left_ns.is_none() && process.keeps_tracker()
                });
                let keepers: Vec<u32> = keepers.map(|(number, _)| *number).collect();
                let vanish = (keepers.len() as f64 * share).ceil() as usize;
                for number in keepers.into_iter().take(vanish) {
                    self.leave(number, true);
                }
                Ok(())
            }
            Step::SourceDies => {
                self.leave(0, true);
                self.end_feed();
                Ok(())
            }
            Step::SourceReturns => self.return_source(),
        }
    }

    /// Takes down what the peercaster was handed.
    fn end_feed(&mut self) {
        if let Some(feed) = self.feed.take() {
            let (began_ns, first) = (feed.began_ns, feed.first);
            self.sent.go_on(began_ns, first, feed.finish());
        }
    }

    /// Starts the peercaster again, with its key; its encoder begins anew with the next key frame.
    fn return_source(&mut self) -> Result<(), LabError> {
        let first = self.content.begins_again(self.sent.at_ns.len() as u64);
        self.earlier_sources.extend(self.processes.remove(&0));
        let name = format!("source-{}", self.earlier_sources.len() + 1);
        let seat = source_seat(self.rehearsal, &name);
        let (source, feed, link) = self.launcher.cast(seat, &self.content, first, &[])?;
        self.processes.insert(0, source);
        self.feed = Some(feed);
        if link != self.link {
            return Err(LabError::Failed(format!(
                "the peercaster came back with another link: {link} instead of {}",
                self.link
            )));
        }
        Ok(())
    }

    fn join(&mut self, number: u32) -> Result<(), LabError> {
        let part = &self.rehearsal.peers[number as usize];
        let donor = part.role == Role::Donor;
        let name = format!("{}{number}", if donor { "donor" } else { "viewer" });
        let seat = Seat {
            node: number,
            name: &name,
            owner: &name,
            upload_bps: part.claims_bps,
        };
        let process = if donor {
            self.launcher.donate(seat, &self.link, &[])?
        } else {
            let flags = viewer_flags(&self.rehearsal.scenario.peers, part.passive);
            self.launcher.watch(seat, &self.content, &self.link, &flags)?
        };
        self.processes.insert(number, process);
        Ok(())
    }

    /// Whether it was there.
    fn leave(&mut self, number: u32, crash: bool) -> bool {
        let now_ns = self.launcher.clock.now_ns();
        let Some(process) = self.processes.get_mut(&number) else {
            return false;
        };
        let there = process.left_ns.is_none() && process.is_running();
        if there {
            process.leave(crash, now_ns);
        }
        there
    }

    fn finish(mut self) -> Result<Record, LabError> {
        let Some(counters) = self.counters.take() else {
            return Err(LabError::Failed("the window never ended".to_owned()));
        };
        let mut problems = Vec::new();
        // The viewers first, so that nobody sees the stream's end as a failure.
        for sources in [false, true] {
            let mut ending: Vec<&mut Process> = self
                .processes
                .iter_mut()
                .filter(|(number, _)| (**number == 0) == sources)
                .map(|(_, process)| process)
                .collect();
            problems.extend(end_all(&mut ending, self.launcher.clock, self.pace.interrupted));
        }
        self.end_feed();
        problems.extend(self.earlier_sources.iter_mut().filter_map(Process::end));
        let processes = std::mem::take(&mut self.processes);
        Ok(Record {
            clock: self.launcher.clock,
            began_ns: self.pace.began_ns,
            sent: self.sent,
            earlier_sources: self.earlier_sources.into_iter().map(Process::remains).collect(),
            remains: processes
                .into_iter()
                .map(|(number, process)| (number, process.remains()))
                .collect(),
            counters,
            core_wait: self.core_wait,
            problems,
        })
    }
}

/// The peercaster's place. It is the same one again after it was killed: only its statistics and log have names of their own.
fn source_seat<'a>(rehearsal: &Rehearsal, name: &'a str) -> Seat<'a> {
    Seat {
        node: 0,
        name,
        owner: "source",
        upload_bps: rehearsal.peers[0].upload_bps,
    }
}

/// What a viewer is told beside its link.
fn viewer_flags(peers: &Peers, passive: bool) -> Vec<String> {
    let prefer = match peers.prefer {
        Prefer::Live => "live",
        Prefer::Balanced => "balanced",
        Prefer::Smooth => "smooth",
    };
    let mut flags = vec!["--prefer".to_owned(), prefer.to_owned()];
    if passive {
        flags.extend(["--participate", "passive"].map(ToOwned::to_owned));
    }
    if let Some(lag) = peers.target_lag_ms {
        flags.extend(["--target-lag".to_owned(), format!("{lag:.0}")]);
    }
    flags
}
