//! What the interface knows, put together from what the node says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use swarm::{NodeStats, PlayoutWish, RingStats, StreamStats, SubstreamStats, TrustStats};
use wire::message::Role;
use wire::{PeerId, StreamId, SubstreamSet};

use super::history::{History, Point};
use crate::cli::LogPane;
use crate::output::OutputStatus;

/// Where the stream stands, from the viewer's side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// On the way to the first picture.
    #[default]
    Joining,
    /// The picture runs.
    Playing,
    /// The picture has stopped, for the reason given; it may come back.
    Waiting(String),
    /// The stream is over.
    Ended,
}

/// A step of the start-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done in it.
    pub name: &'static str,
    /// When it was done, since the command's start.
    pub done: Option<Duration>,
    /// Not every way leads over it: it is shown when it was done.
    pub optional: bool,
}

/// A neighbour, as the table shows it.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub(super) peer: PeerId,
    pub(super) addr: SocketAddr,
    pub(super) rtt_ms: f64,
    pub(super) in_bps: f64,
    pub(super) out_bps: f64,
    pub(super) role: Role,
    pub(super) supplies: SubstreamSet,
    pub(super) supplied: SubstreamSet,
}

/// Everything the interface shows.
#[derive(Clone, Debug)]
pub struct State {
    /// The stream's title, as its peercaster writes it.
    pub title: String,
    /// The link, for passing it on.
    pub link: String,
    /// Since the command's start.
    pub elapsed: Duration,
    /// Where the stream stands.
    pub phase: Phase,
    /// Whether the swarm has too little upload for all.
    pub shortage: bool,
    /// What the user asks of playout.
    pub wish: PlayoutWish,
    /// The outputs.
    pub outputs: Vec<OutputStatus>,
    /// The newest lines of the log.
    pub log: LogPane,
    /// What a key did, and when; shown for some seconds.
    pub(super) notice: Option<(Duration, String)>,
    pub(super) steps: [Step; 6],
    pub(super) stream: StreamId,
    pub(super) peer: PeerId,
    pub(super) stats: StreamStats,
    pub(super) control: (u64, u64),
    /// The node's accounts.
    pub(super) trust: Option<TrustStats>,
    pub(super) ring: RingStats,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) in_bps: f64,
    pub(super) out_bps: f64,
    pub(super) history: History,
    traffic: Traffic,
    /// Counters at the last point of the history, and when that was.
    last_point: Option<(Duration, StreamStats)>,
}

/// Byte counters at the last update, for the rates.
#[derive(Clone, Debug, Default)]
struct Traffic {
    at: Duration,
    total: (u64, u64),
    peers: BTreeMap<PeerId, (u64, u64)>,
}

/// Long enough to be read.
const NOTICE_FOR: Duration = Duration::from_secs(4);

/// One point in the graphs.
const POINT_EVERY: Duration = Duration::from_secs(1);

impl State {
    /// Nothing known yet but where to go.
    pub fn new(stream: StreamId, peer: PeerId, link: String, log: LogPane) -> State {
        let step = |name| Step {
            name,
            done: None,
            optional: matches!(name, "coordinate" | "ring"),
        };
        State {
            title: String::new(),
            link,
            elapsed: Duration::ZERO,
            phase: Phase::Joining,
            shortage: false,
            wish: PlayoutWish::default(),
            outputs: Vec::new(),
            log,
            notice: None,
            steps: [
                "connect",
                "coordinate",
                "ring",
                "tracker",
                "first chunk",
                "playing",
            ]
            .map(step),
            stream,
            peer,
            stats: StreamStats::default(),
            control: (0, 0),
            trust: None,
            ring: RingStats::default(),
            neighbours: Vec::new(),
            in_bps: 0.0,
            out_bps: 0.0,
            history: History::default(),
            traffic: Traffic::default(),
            last_point: None,
        }
    }

    /// A step of the start-up was done at `at` since the command's start; only the first time counts. Steps before it
    /// that were never reported are done, too.
    pub fn step_done(&mut self, name: &str, at: Duration) {
        if let Some(index) = self.steps.iter().position(|step| step.name == name) {
            self.steps[index].done.get_or_insert(at);
            for step in self.steps[..index].iter_mut().filter(|step| !step.optional) {
                step.done.get_or_insert(at);
            }
        }
    }

    /// Tells the user what a key did, `at` after the command's start.
    pub fn notify(&mut self, at: Duration, words: String) {
        self.notice = Some((at, words));
    }

    /// What is to be told at the moment.
    pub(super) fn current_notice(&self) -> Option<&str> {
        let (at, words) = self.notice.as_ref()?;
        (self.elapsed.saturating_sub(*at) < NOTICE_FOR).then_some(words)
    }

    /// The node's state `elapsed` after the command's start.
    pub fn update(&mut self, elapsed: Duration, stats: &NodeStats) {
        self.elapsed = elapsed;
        if !stats.neighbours.is_empty() {
            self.step_done("connect", elapsed);
        }
        if let Some(own) = stats.streams.iter().find(|own| own.stream == Some(self.stream)) {
            self.stats = own.clone();
        }
        if let Some(info) = &self.stats.info {
            self.title.clone_from(&info.title);
        }
        self.control = (stats.bytes_control, stats.bytes_rejected);
        self.trust = stats.trust;
        self.ring.clone_from(&stats.ring);
        self.update_rates(elapsed, stats);
        self.update_history(elapsed);
    }

    fn update_rates(&mut self, elapsed: Duration, stats: &NodeStats) {
        let seconds = elapsed.saturating_sub(self.traffic.at).as_secs_f64();
        // Two updates in quick succession have no rate between them worth showing.
        let fresh = seconds >= 0.2;
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 * 8.0 / seconds;
        let shown: BTreeMap<PeerId, (f64, f64)> = self
            .neighbours
            .iter()
            .map(|n| (n.peer, (n.in_bps, n.out_bps)))
            .collect();
        let total = (
            self.stats.bytes_in + self.stats.bytes_duplicate,
            self.stats.bytes_out,
        );
        self.neighbours = stats
            .neighbours
            .iter()
            .map(|link| {
                let (in_bps, out_bps) = if fresh {
                    let before = self.traffic.peers.get(&link.peer).copied().unwrap_or_default();
                    (rate(link.bytes_in, before.0), rate(link.bytes_out, before.1))
                } else {
                    shown.get(&link.peer).copied().unwrap_or_default()
                };
                Neighbour {
                    peer: link.peer,
                    addr: link.addr,
                    rtt_ms: link.rtt_ms,
                    in_bps,
                    out_bps,
                    role: link.role,
                    supplies: link.supplies,
                    supplied: link.supplied,
                }
            })
            .collect();
        // Suppliers first, then those supplied, each in an order that does not change from one second to the next.
        self.neighbours
            .sort_by_key(|n| (n.supplies.is_empty(), n.supplied.is_empty(), n.peer));
        if fresh {
            self.in_bps = rate(total.0, self.traffic.total.0);
            self.out_bps = rate(total.1, self.traffic.total.1);
            self.traffic = Traffic {
                at: elapsed,
                total,
                peers: stats
                    .neighbours
                    .iter()
                    .map(|l| (l.peer, (l.bytes_in, l.bytes_out)))
                    .collect(),
            };
        }
    }

    fn update_history(&mut self, elapsed: Duration) {
        let Some((at, before)) = &self.last_point else {
            self.last_point = Some((elapsed, self.stats.clone()));
            return;
        };
        // A tenth less than a second, so that an update that is a little early still makes its point.
        if elapsed.saturating_sub(*at) + POINT_EVERY / 10 < POINT_EVERY {
            return;
        }
        let now = &self.stats;
        let played = now.chunks_played.saturating_sub(before.chunks_played);
        let late = now.chunks_late.saturating_sub(before.chunks_late);
        let due = played + now.chunks_missed.saturating_sub(before.chunks_missed);
        self.history.push(Point {
            lag_ms: now.lag_ms.filter(|_| played > 0),
            arrival_ms: now.arrival_ms.filter(|_| now.bytes_in > before.bytes_in),
            continuity: (due > 0).then(|| played.saturating_sub(late) as f64 / due as f64),
        });
        self.last_point = Some((elapsed, now.clone()));
    }

    /// Substreams, at least one as soon as the stream is known.
    pub(super) fn substreams(&self) -> &[SubstreamStats] {
        &self.stats.substreams
    }

    /// What is shown of a peer: eight characters, or that it is the source.
    pub(super) fn name_of(&self, peer: PeerId) -> String {
        let source = self
            .neighbours
            .iter()
            .any(|n| n.peer == peer && n.role == Role::Peercaster);
        if source { "source".into() } else { peer.short() }
    }
}
