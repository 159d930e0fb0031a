//! Several streams while they run: starts, kills and ends programs as was drawn, and notes what there is to note.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use netlab::Counters;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use wire::Link;

use super::draw::Draw;
use super::plan::StreamsScenario;
use crate::driver::{Purpose, rng};
use crate::lab::clock::Clock;
use crate::lab::content::Content;
use crate::lab::cores::{self, Waited};
use crate::lab::pace::Pace;
use crate::lab::probe::Sent;
use crate::lab::processes::{Feed, Launcher, PORT, Process, Remains, Seat, end_all};
use crate::lab::{LabError, LabProgress};
use crate::measure::Role;
use crate::queue::Calendar;
use crate::time::{SECOND, SimTime, seconds};

/// Between two looks at how long programs waited for a core.
const LOOK_NS: u64 = 5 * SECOND;

/// Who has run for less may not hear yet, and is not named to others while there is anybody else.
const HEARS_AFTER_NS: u64 = SECOND;

/// From the start of a node's program to its end; a node that is started again has another one.
pub(super) struct Life {
    pub(super) node: u32,
    /// 1 for the first.
    pub(super) nth: usize,
    pub(super) remains: Remains,
}

/// All that was seen of a run.
pub(super) struct Record {
    pub(super) clock: Clock,
    /// When the run's own time began.
    pub(super) began_ns: u64,
    /// When all that still ran was told to end.
    pub(super) ended_ns: u64,
    /// By stream.
    pub(super) sent: Vec<Sent>,
    /// In the order of their starts.
    pub(super) lives: Vec<Life>,
    /// Since the overlay had settled.
    pub(super) counters: Counters,
    /// What programs had waited for a core at these instants, from when the overlay had settled.
    pub(super) waited: Vec<(u64, Waited)>,
    pub(super) problems: Vec<String>,
}

/// Something at an instant.
enum Act {
    Start(u32),
    Settled,
    Look,
    Kill,
    Return(u32),
    End(f64),
}

struct Running {
    node: u32,
    nth: usize,
    process: Process,
    /// It was killed, was told to end, or has ended by itself.
    over: bool,
    /// It has ended by itself.
    fell: bool,
}

/// A stream as its peercaster has it.
struct Broadcast {
    content: Content,
    /// Without `via=`; there is none until the peercaster has run.
    link: Option<Link>,
    /// Where the peercaster enters the overlay, each time that it starts.
    join: Vec<String>,
    /// `None` while the peercaster is away.
    feed: Option<Feed>,
    /// By encoders that have ended.
    sent: Sent,
}

impl Broadcast {
    fn new(content: Content) -> Self {
        Broadcast {
            content,
            link: None,
            join: Vec::new(),
            feed: None,
            sent: Sent::default(),
        }
    }

    /// Takes down what the peercaster was handed.
    fn end_feed(&mut self) {
        if let Some(feed) = self.feed.take() {
            let (began_ns, first) = (feed.began_ns, feed.first);
            self.sent.go_on(began_ns, first, feed.finish());
        }
    }
}

pub(super) struct Session<'a> {
    draw: &'a Draw,
    scenario: &'a StreamsScenario,
    launcher: Launcher<'a>,
    pace: Pace<'a>,
    /// By stream.
    broadcasts: Vec<Broadcast>,
    /// Which node a newcomer is told of.
    rng: ChaCha8Rng,
    programs: Vec<Running>,
    killed: BTreeSet<u32>,
    waited: Vec<(u64, Waited)>,
    problems: Vec<String>,
}

impl<'a> Session<'a> {
    pub(super) fn begin(
        draw: &'a Draw,
        scenario: &'a StreamsScenario,
        launcher: Launcher<'a>,
        interrupted: &'a AtomicBool,
        progress: &'a mut dyn FnMut(LabProgress),
    ) -> Self {
        let streams = 0..scenario.streams.count as u64;
        Session {
            draw,
            scenario,
            pace: Pace::begin(launcher.clock, draw.phases.end, interrupted, progress),
            launcher,
            broadcasts: streams
                .map(|n| Broadcast::new(Content::of_stream(&scenario.stream, n)))
                .collect(),
            rng: rng(scenario.seed, Purpose::Meeting),
            programs: Vec::new(),
            killed: BTreeSet::new(),
            waited: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// To the end, and everything ended.
    pub(super) fn run(mut self) -> Result<Record, LabError> {
        let (draw, kill) = (self.draw, &self.scenario.kill);
        let mut acts = Calendar::new();
        for (number, member) in (0..).zip(&draw.members) {
            acts.push(member.joins, Act::Start(number));
        }
        acts.push(draw.phases.settled, Act::Settled);
        for nth in 0..draw.kills {
            let at = draw.phases.kills.plus(seconds(kill.every_s * nth as f64));
            acts.push(at, Act::Kill);
        }
        if let Some(end) = self.scenario.end {
            acts.push(SimTime(seconds(end.at_s)), Act::End(end.share));
        }
        while let Some((at, act)) = acts.pop_until(draw.phases.end) {
            self.wait_until(at)?;
            match act {
                Act::Start(number) => self.start(number, 1)?,
                Act::Settled => {
                    self.counters()?;
                    acts.push(at, Act::Look);
                }
                Act::Look => {
                    self.look();
                    acts.push(at.plus(LOOK_NS), Act::Look);
                }
                Act::Kill => {
                    if let Some(number) = self.kill() {
                        acts.push(at.plus(seconds(kill.away_s)), Act::Return(number));
                    }
                }
                Act::Return(number) => self.start(number, 2)?,
                Act::End(share) => self.end_viewers(share),
            }
        }
        self.wait_until(draw.phases.end)?;
        self.look();
        self.finish()
    }

    fn counters(&self) -> Result<Counters, LabError> {
        let counters = self.launcher.lab.counters(true);
        counters.map_err(|error| LabError::Failed(format!("{error:#}")))
    }

    fn look(&mut self) {
        let there = self.programs.iter().filter(|program| !program.over);
        let waited = cores::waited(there.map(|program| program.process.id()));
        self.waited.push((self.launcher.clock.now_ns(), waited));
    }

    fn wait_until(&mut self, at: SimTime) -> Result<(), LabError> {
        self.pace.wait_until(at, |now_ns| {
            let mut running = 0;
            for program in self.programs.iter_mut().filter(|program| !program.over) {
                let source = self.draw.members[program.node as usize].role == Role::Source;
                if program.process.is_running() {
                    running += usize::from(!source);
                    continue;
                }
                let (name, why) = (&program.process.name, program.process.last_words());
                if source {
                    return Err(LabError::Failed(format!("the peercaster {name} ended: {why}")));
                }
                self.problems.push(format!("{name} ended by itself: {why}"));
                program.process.left_ns = Some(now_ns);
                (program.over, program.fell) = (true, true);
            }
            Ok(running)
        })
    }

    /// Starts a node's program: the first time it is told of a random node that runs, the second time it has its state.
    fn start(&mut self, number: u32, nth: usize) -> Result<(), LabError> {
        let member = self.draw.members[number as usize];
        let owner = self.draw.name(number);
        let name = match nth {
            1 => owner.clone(),
            _ => format!("{owner}-{nth}"),
        };
        let seat = Seat {
            node: number,
            name: &name,
            owner: &owner,
            upload_bps: self.scenario.streams.upload.as_bps(),
        };
        let way = if nth == 1 { self.someone() } else { None };
        let broadcast = &mut self.broadcasts[member.stream];
        if member.role == Role::Source {
            if let Some(way) = way {
                broadcast.join = vec!["--join".to_owned(), way];
            }
            let process = Self::cast(&self.launcher, broadcast, seat)?;
            self.add(number, nth, process);
            return Ok(());
        }
        let Some(mut link) = broadcast.link.clone() else {
            return Err(LabError::Failed(format!("{name} comes before its stream")));
        };
        if let Some(way) = way {
            let way = way.parse();
            link.via
                .push(way.map_err(|error| LabError::Failed(format!("{error}")))?);
        }
        let listen = ["--listen".to_owned(), format!("0.0.0.0:{PORT}")];
        let link = link.to_string();
        let process = match member.role {
            Role::Donor => self.launcher.donate(seat, &link, &listen)?,
            _ => self.launcher.watch(seat, &broadcast.content, &link, &listen)?,
        };
        self.add(number, nth, process);
        Ok(())
    }

    /// Starts a peercaster. When it was killed, its encoder begins anew with the next key frame, and its key makes the link the same.
    fn cast(launcher: &Launcher<'_>, broadcast: &mut Broadcast, seat: Seat<'_>) -> Result<Process, LabError> {
        let first = broadcast.content.begins_again(broadcast.sent.at_ns.len() as u64);
        let (process, feed, link) = launcher.cast(seat, &broadcast.content, first, &broadcast.join)?;
        let name = seat.name;
        let mut link: Link = link
            .parse()
            .map_err(|error| LabError::Failed(format!("{name} printed no link: {error}")))?;
        link.via.clear();
        if let Some(had) = broadcast.link.replace(link.clone())
            && had != link
        {
            return Err(LabError::Failed(format!(
                "{name} came back with another link: {link} instead of {had}"
            )));
        }
        broadcast.feed = Some(feed);
        Ok(process)
    }

    fn add(&mut self, node: u32, nth: usize, process: Process) {
        self.programs.push(Running {
            node,
            nth,
            process,
            over: false,
            fell: false,
        });
    }

    /// Where a random node of all the streams listens.
    fn someone(&mut self) -> Option<String> {
        let now_ns = self.launcher.clock.now_ns();
        let there = || self.programs.iter().filter(|program| !program.over);
        let hears = |program: &&Running| program.process.started_ns + HEARS_AFTER_NS <= now_ns;
        let mut nodes: Vec<u32> = there().filter(hears).map(|program| program.node).collect();
        if nodes.is_empty() {
            nodes.extend(there().map(|program| program.node));
        }
        if nodes.is_empty() {
            return None;
        }
        let node = nodes[self.rng.random_range(0..nodes.len())] as usize;
        Some(format!("{}:{PORT}", self.launcher.lab.nodes()[node].address))
    }

    /// Kills the next node that has not been killed: one that keeps a tracker, or else the next in the order drawn.
    fn kill(&mut self) -> Option<u32> {
        let killed = &self.killed;
        let there: BTreeMap<u32, &mut Running> = self
            .programs
            .iter_mut()
            .filter(|program| !program.over && !killed.contains(&program.node))
            .map(|program| (program.node, program))
            .collect();
        let order = || {
            self.draw
                .kill_order
                .iter()
                .filter(|number| there.contains_key(number))
        };
        let number = *order()
            .find(|number| there[number].process.keeps_tracker())
            .or_else(|| order().next())?;
        for (node, program) in there {
            if node == number {
                program.process.leave(true, self.launcher.clock.now_ns());
                program.over = true;
            }
        }
        let member = &self.draw.members[number as usize];
        if member.role == Role::Source {
            self.broadcasts[member.stream].end_feed();
        }
        self.killed.insert(number);
        Some(number)
    }

    /// A share of each stream's viewers says goodbye.
    fn end_viewers(&mut self, share: f64) {
        let now_ns = self.launcher.clock.now_ns();
        for stream in self.draw.sources() {
            let of_stream = |number: &&u32| self.draw.members[**number as usize].stream == stream as usize;
            let order: Vec<u32> = self.draw.end_order.iter().filter(of_stream).copied().collect();
            let place = |program: &Running| order.iter().position(|number| *number == program.node);
            let mut there: Vec<&mut Running> = self
                .programs
                .iter_mut()
                .filter(|program| !program.over && place(program).is_some())
                .collect();
            there.sort_by_key(|program| place(program));
            let ending = (there.len() as f64 * share).round() as usize;
            for program in there.into_iter().take(ending) {
                program.process.leave(false, now_ns);
                program.over = true;
            }
        }
    }

    fn finish(mut self) -> Result<Record, LabError> {
        let counters = self.counters()?;
        let ended_ns = self.launcher.clock.now_ns();
        let mut problems = std::mem::take(&mut self.problems);
        // The viewers first, so that nobody sees the stream's end as a failure.
        for sources in [false, true] {
            let is_source = |node: u32| self.draw.members[node as usize].role == Role::Source;
            let programs = self.programs.iter_mut();
            let of_kind = programs.filter(|program| !program.fell && is_source(program.node) == sources);
            let mut ending: Vec<&mut Process> = of_kind.map(|program| &mut program.process).collect();
            problems.extend(end_all(&mut ending, self.launcher.clock, self.pace.interrupted));
        }
        self.broadcasts.iter_mut().for_each(Broadcast::end_feed);
        let sent = self.broadcasts.into_iter().map(|broadcast| broadcast.sent);
        let lives = self.programs.into_iter().map(|program| Life {
            node: program.node,
            nth: program.nth,
            remains: program.process.remains(),
        });
        Ok(Record {
            clock: self.launcher.clock,
            began_ns: self.pace.began_ns,
            ended_ns,
            sent: sent.collect(),
            lives: lives.collect(),
            counters,
            waited: self.waited,
            problems,
        })
    }
}
