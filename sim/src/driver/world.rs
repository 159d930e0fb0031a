//! The state of a run and its loop.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use swarm::{Input, NewChunk, Node, NodeConfig, Outbox, Participation, PlayoutWish, Preference};
use wire::message::RingNode;
use wire::{Media, PeerId, SecretKey, Seq, StreamId, StreamInfo};

use super::actor::{Actor, Crowd};
use super::alarm::Alarm;
use super::attack::Attack;
use super::draw::{self, Drawn, Purpose, Spec};
use super::earlier::Other;
use super::encoder::Encoder;
use super::giving::ShiftCount;
use super::ids::Ids;
use super::ledger::Kept;
use super::outcome::{MessageCount, TrackerCount};
use super::trace::Trace;
use super::{Progress, RunError};
use crate::audit::{Audit, What};
use crate::baseline::Baseline;
use crate::measure::{ChunkLog, Histogram, PeerLog, Role, Violation, Window};
use crate::net::{self, Flow, FlowConfig, Net, PacketConfig, Packets, Site, Weather, addr_of};
use crate::queue::Calendar;
use crate::scenario::{Fidelity, Prefer, Scenario};
use crate::space::DelaySpace;
use crate::time::{Clock, MS, SECOND, SimTime, ms, seconds};

/// Between two looks at the invariants that are not checked at each event, and two reports of progress.
const TICK_NS: u64 = SECOND / 4;

/// Something that will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A node's deadline, unless it has an earlier one by now.
    Timer(u32),
    /// The network does something.
    Net(net::Event),
    /// A dial to nobody is given up.
    Unreachable(u32, Box<(Option<PeerId>, Option<std::net::SocketAddr>)>),
    /// The encoder has a chunk.
    Produce,
    Join(u32),
    /// Something happens in the other stream.
    Earlier(super::earlier::Event),
    /// Attackers do something.
    Attack(super::attack::Move),
    /// A peer goes, with or without a word.
    Depart {
        peer: u32,
        crash: bool,
    },
    Fault(usize),
    Tick,
}

/// A peer, present or not.
pub(super) struct Peer {
    pub(super) spec: Spec,
    /// What is left of its uplink.
    pub(super) upload_x: f64,
    pub(super) clock: Clock,
    /// `None` before it joins and after it went.
    pub(super) node: Option<Actor>,
    /// What its nodes keep of what is owed, one after the other.
    pub(super) ledger: Kept,
    pub(super) log: PeerLog,
    /// What the node said when it went: slots, slots in use, neighbours, chunks asked for one by one.
    pub(super) last_words: (u16, u16, usize, u64),
}

pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) drawn: Drawn,
    pub(super) now: SimTime,
    pub(super) end: SimTime,
    pub(super) window: Window,
    /// Whether `now` is in the window: byte counters run.
    pub(super) counting: bool,
    pub(super) queue: Calendar<Event>,
    pub(super) audit: Audit,
    pub(super) net: Net,
    pub(super) space: DelaySpace,
    pub(super) peers: Vec<Peer>,
    /// The peers' alarms, by number.
    pub(super) alarms: Vec<Alarm>,
    pub(super) ids: Ids,
    pub(super) chunks: ChunkLog,
    pub(super) lags: Histogram,
    /// Chunks that consumers played in time, by when they were made: see [`super::picture`].
    pub(super) played_in_time: Vec<u64>,
    /// Arrivals at consumers, by substream and hops.
    pub(super) depths: Vec<Vec<u64>>,
    pub(super) churn_rng: ChaCha8Rng,
    pub(super) idle_timeout_ns: u64,
    /// Whom the peercaster supplied when it vanished, to be called when it comes back.
    pub(super) audience: Vec<RingNode>,
    encoder: Encoder,
    /// The other stream, if there is one.
    pub(super) other: Option<Other>,
    /// Those who cheat, if there are any.
    pub(super) attack: Option<Box<Attack>>,
    pub(super) stream_key: SecretKey,
    pub(super) stream: StreamId,
    pub(super) outbox: Outbox,
    pub(super) events: u64,
    pub(super) deliveries: u64,
    pub(super) bans: u64,
    pub(super) trackers: TrackerCount,
    pub(super) shifts: ShiftCount,
    /// Messages sent during the window, by their number on the wire.
    pub(super) kinds: BTreeMap<u8, MessageCount>,
    pub(super) violation: Option<(u32, Violation)>,
    pub(super) trace: Trace,
    /// What the peers of a baseline share; `None`: the peers are the swarm's nodes.
    pub(super) crowd: Option<Crowd>,
}

impl World {
    /// The scenario with the swarm's nodes, or with the peers of a baseline.
    pub(super) fn new(scenario: &Scenario, baseline: Option<Baseline>) -> Result<Self, RunError> {
        let seed = scenario.seed;
        let mut space = DelaySpace::new(&scenario.space, draw::rng(seed, Purpose::Space))?;
        let specs = draw::population(scenario);
        // The peercaster has its place already.
        specs.iter().skip(1).for_each(|_| space.add());
        let measure = &scenario.measure;
        let from = SimTime(seconds(measure.start_s));
        let to = from.plus(seconds(measure.length_s));
        let mut world = World {
            drawn: summary(scenario, &specs, &space),
            now: SimTime::START,
            end: to.plus(seconds(measure.drain_s)),
            window: Window { from, to },
            counting: false,
            queue: Calendar::new(),
            audit: Audit::new(),
            net: network(scenario, SecretKey::from_bytes(&specs[0].secret).stream_id()),
            space,
            peers: Vec::with_capacity(specs.len()),
            alarms: Vec::with_capacity(specs.len()),
            ids: Ids::default(),
            chunks: ChunkLog::default(),
            lags: Histogram::new(),
            played_in_time: Vec::new(),
            depths: vec![Vec::new(); usize::from(scenario.stream.substreams)],
            churn_rng: draw::rng(seed, Purpose::Churn),
            idle_timeout_ns: ms(scenario.network.idle_timeout_ms),
            audience: Vec::new(),
            encoder: Encoder::new(&scenario.stream),
            other: None,
            attack: None,
            stream_key: SecretKey::from_bytes(&specs[0].secret),
            stream: SecretKey::from_bytes(&specs[0].secret).stream_id(),
            outbox: Outbox::new(),
            events: 0,
            deliveries: 0,
            bans: 0,
            trackers: TrackerCount::default(),
            shifts: ShiftCount::default(),
            kinds: BTreeMap::new(),
            violation: None,
            trace: Trace::default(),
            crowd: baseline.map(|baseline| Crowd::new(baseline, draw::rng(seed, Purpose::Baseline))),
            scenario: scenario.clone(),
        };
        for spec in specs {
            world.add_peer(spec);
        }
        for at in 0..world.scenario.faults.len() {
            let when = SimTime(seconds(world.scenario.faults[at].at_s()));
            world.queue.push(when, Event::Fault(at));
        }
        world.queue.push(world.encoder.next_at(), Event::Produce);
        world.open_other();
        world.open_attack();
        world.queue.push(SimTime::START, Event::Tick);
        Ok(world)
    }

    /// Adds a peer that joins at its time.
    pub(super) fn add_peer(&mut self, spec: Spec) -> u32 {
        let number = self.ids.add(node_key(&spec.secret).peer_id());
        let rate = self.scenario.stream.rate;
        let site = Site {
            key: node_key(&spec.secret),
            upload_bps: spec.upload_bps,
            download_bps: self.scenario.network.download_x.map(|x| rate.scaled(x).as_bps()),
        };
        let comes = self.plan_stays(number, &spec);
        self.net.add(comes, site);
        self.peers.push(Peer {
            clock: Clock {
                offset_us: spec.clock_offset_us,
            },
            node: None,
            ledger: Kept::default(),
            log: PeerLog::new(spec.role, spec.joins),
            last_words: Default::default(),
            upload_x: 1.0,
            spec,
        });
        self.alarms.push(Alarm::default());
        number
    }

    pub(super) fn run(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), RunError> {
        self.run_until(self.end, progress)?;
        self.now = self.end;
        self.close_books();
        Ok(())
    }

    /// Handles all events up to and including `until`.
    fn run_until(&mut self, until: SimTime, progress: &mut dyn FnMut(Progress)) -> Result<(), RunError> {
        while let Some((at, event)) = self.queue.pop_until(until) {
            debug_assert!(at >= self.now, "time runs forward");
            self.now = at;
            self.events += 1;
            if matches!(event, Event::Tick) {
                self.tick();
                progress(Progress {
                    done_s: self.now.as_seconds(),
                    of_s: self.end.as_seconds(),
                    events: self.events,
                    deliveries: self.deliveries,
                });
            } else {
                self.handle(event);
            }
            if let Some((peer, what)) = self.violation.take() {
                return Err(RunError::Violation {
                    at_s: self.now.as_seconds(),
                    event: self.events,
                    seed: self.scenario.seed,
                    peer,
                    what,
                });
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Timer(peer) => self.timer(peer),
            Event::Net(event) => self.net.handle(self.now, event),
            Event::Unreachable(peer, whom) => {
                self.fold(What::Disconnected, peer, u64::MAX);
                let (id, addr) = *whom;
                self.input(peer, Input::Disconnected { peer: id, addr });
            }
            Event::Produce => self.produce(),
            Event::Join(peer) => self.join(peer),
            Event::Earlier(event) => self.earlier(event),
            Event::Attack(what) => self.attack(what),
            Event::Depart { peer, crash } => self.depart(peer, crash),
            Event::Fault(at) => self.fault(at),
            Event::Tick => {}
        }
        self.pump();
    }

    fn tick(&mut self) {
        if self.now.0.is_multiple_of(SECOND) {
            let trackers = self.trackers_there().len();
            self.trackers.each_second.push(trackers as u32);
            self.look_at_uplinks();
        }
        self.counting = self.window.contains(self.now);
        self.net.count(self.counting);
        let fast = (0..self.peers.len() as u32).find(|peer| !self.net.uplink(*peer).within_rate());
        if let Some(peer) = fast {
            self.violate(peer, "its uplink carried more than its rate".to_owned());
        }
        self.queue.push(self.now.plus(TICK_NS), Event::Tick);
    }

    /// Once a second each node looks whether its uplink carries what it is said to carry.
    fn look_at_uplinks(&mut self) {
        for number in 0..self.peers.len() as u32 {
            if let Some(rate) = self.net.found_upload(self.now, number) {
                self.note(number, |_| format!("finds that its uplink carries {rate}"));
                self.input(number, Input::Upload { rate });
                self.pump();
            }
        }
    }

    pub(super) fn fold(&mut self, what: What, peer: u32, detail: u64) {
        self.audit.fold(self.now, what, peer, detail);
    }

    /// Writes down what a traced peer did.
    pub(super) fn note(&mut self, peer: u32, what: impl FnOnce(&Self) -> String) {
        let joined = self.peers[peer as usize].log.joined;
        if self.trace.watches(peer, joined, self.now) {
            let what = what(self);
            self.trace.line(peer, joined, self.now, &what);
        }
    }

    pub(super) fn violate(&mut self, peer: u32, what: Violation) {
        self.violation.get_or_insert((peer, what));
    }

    /// Tells a node, if it is there, and does what it wants done.
    pub(super) fn input(&mut self, number: u32, input: Input) {
        self.tell(number, input);
        self.settle(number);
    }

    /// Tells a node, if it is there; what it wants done stays in the outbox.
    pub(super) fn tell(&mut self, number: u32, input: Input) {
        // Whose connection is over, to them nothing may be sent before the node knows that.
        if !matches!(input, Input::Disconnected { .. }) {
            self.tell_sent(number);
        }
        let peer = &mut self.peers[number as usize];
        match &mut peer.node {
            Some(Actor::Node(node)) => node.handle(peer.clock.read(self.now), input, &mut self.outbox),
            Some(Actor::Baseline(_)) => self.tell_baseline(number, &input),
            None => {}
        }
    }

    /// Tells a node what has left it since it was last told, if the network can say.
    pub(super) fn tell_sent(&mut self, number: u32) {
        let bytes = self.net.take_departed(number);
        let peer = &mut self.peers[number as usize];
        if let Some(Actor::Node(node)) = &mut peer.node
            && bytes > 0
        {
            node.handle(peer.clock.read(self.now), Input::Sent { bytes }, &mut self.outbox);
        }
    }

    fn produce(&mut self) {
        if self.peers[0].node.is_none() {
            self.encoder.skip();
            self.queue.push(self.encoder.next_at(), Event::Produce);
            return;
        }
        let made = self.encoder.make();
        self.chunks.push(made.generated);
        self.fold(What::Produced, 0, made.payload.len() as u64);
        self.queue.push(self.encoder.next_at(), Event::Produce);
        if self.crowd.is_some() {
            self.produce_baseline(made);
            return;
        }
        let chunk = NewChunk {
            payload: made.payload,
            generated_at: self.peers[0].clock.read(made.generated),
            duration: Duration::from_nanos(ms(self.scenario.stream.chunk_ms)),
            random_access: made.random_access,
            discontinuity: false,
        };
        let (stream, chunks) = (self.stream, vec![chunk]);
        self.input(0, Input::Produce { stream, chunks });
    }

    fn join(&mut self, number: u32) {
        self.net.start(self.now, number);
        if self.crowd.is_some() {
            self.join_baseline(number);
            self.draw_departure(number);
            return;
        }
        let local = self.begin(number);
        let spec = &self.peers[number as usize].spec;
        let (role, passive) = (spec.role, spec.passive);
        self.fold(What::Joined, number, 0);
        let input = match role {
            Role::Source => self.publish(Seq(local.as_micros())),
            Role::Consumer | Role::Elsewhere | Role::Attacker => self.entry(if passive {
                Participation::ConsumePassively(self.wish())
            } else {
                Participation::Consume(self.wish())
            }),
            Role::Donor => self.entry(Participation::Donate),
        };
        if role == Role::Source && !self.audience.is_empty() {
            let audience = std::mem::take(&mut self.audience);
            self.input(number, Input::Recall { audience });
        }
        self.input(number, input);
        self.draw_departure(number);
    }

    /// Begins a node for the peer, which may have had one before; its clock.
    pub(super) fn begin(&mut self, number: u32) -> wire::Time {
        let peer = &mut self.peers[number as usize];
        let source =
            self.other.as_ref().is_some_and(|other| other.source == number) || peer.spec.role == Role::Source;
        // It comes back.
        peer.log.left = None;
        let local = peer.clock.read(self.now);
        // The flow model has no transport that could show what is not true.
        let said = match self.scenario.fidelity {
            Fidelity::Flow => peer.upload(),
            Fidelity::Packet | Fidelity::Lab => peer.spec.claims(peer.upload()),
        };
        self.net.claim(number, said);
        let config = NodeConfig {
            peer: self.ids.of(number),
            key: node_key(&peer.spec.secret),
            listen: vec![addr_of(number)],
            upload: said,
            seed: peer.spec.node_seed,
            // Attackers know no limit of their own.
            max_neighbours: if source || peer.spec.role == Role::Attacker {
                self.scenario.source.max_neighbours
            } else {
                self.scenario.network.max_neighbours
            },
            ring_after: self
                .scenario
                .network
                .ring_after_s
                .map(|s| Duration::from_nanos(seconds(s))),
            split_above: self.scenario.tracker.split_above,
        };
        let node = if self.scenario.network.accounts {
            let ledger = Box::new(peer.ledger.clone());
            Node::with_ledger(config, ledger, local)
                .expect("memory takes everything, and gives back what it took")
        } else {
            Node::new(config, local)
        };
        peer.node = Some(Actor::Node(Box::new(node)));
        local
    }

    fn publish(&mut self, session: Seq) -> Input {
        self.chunks.begin(session);
        self.publication(self.stream_key.clone(), session)
    }

    /// A stream as the scenario has it, from its peercaster.
    pub(super) fn publication(&self, key: SecretKey, session: Seq) -> Input {
        let stream = &self.scenario.stream;
        Input::Publish {
            key,
            info: StreamInfo {
                session,
                revision: 0,
                started_at: wire::Time::from_micros(session.0),
                substreams: stream.substreams,
                chunk_duration_us: (ms(stream.chunk_ms) / 1000) as u32,
                rate: stream.rate,
                media: Media::MpegTs,
                title: self.scenario.name.chars().take(60).collect(),
                private: false,
            },
        }
    }

    fn entry(&self, participation: Participation) -> Input {
        Input::Join {
            stream: self.stream,
            via: vec![addr_of(0)],
            participation,
        }
    }

    pub(super) fn wish(&self) -> PlayoutWish {
        let peers = &self.scenario.peers;
        PlayoutWish {
            prefer: match peers.prefer {
                Prefer::Live => Preference::Live,
                Prefer::Balanced => Preference::Balanced,
                Prefer::Smooth => Preference::Smooth,
            },
            target_lag: peers.target_lag_ms.map(|lag| Duration::from_nanos(ms(lag))),
        }
    }
}

/// The network model that the scenario asks for.
fn network(scenario: &Scenario, stream: StreamId) -> Net {
    let network = &scenario.network;
    let seed = draw::sub_seed(scenario.seed, Purpose::Weather);
    let weather = Weather::new(seed, network.loss, network.jitter_ms * MS as f64);
    if scenario.fidelity == Fidelity::Packet {
        return Net::Packets(Box::new(Packets::new(PacketConfig {
            weather,
            loss: network.loss,
            packets: scenario.stream.packets_per_chunk(),
            queue_ns: ms(network.queue_ms),
            idle_timeout: Duration::from_nanos(ms(network.idle_timeout_ms)),
            stream,
        })));
    }
    Net::Flow(Box::new(Flow::new(FlowConfig {
        weather,
        queue_ns: ms(network.queue_ms),
        idle_timeout_ns: ms(network.idle_timeout_ms),
        acks: network.acks,
    })))
}

/// A peer's own key. The stream's and the peercaster's own must not be the same.
pub(super) fn node_key(secret: &[u8; 32]) -> SecretKey {
    let mut secret = *secret;
    secret[0] ^= 1;
    SecretKey::from_bytes(&secret)
}

fn summary(scenario: &Scenario, specs: &[Spec], space: &DelaySpace) -> Drawn {
    let uplinks = |role: Role| specs.iter().filter(move |s| s.role == role).map(|s| s.upload_bps);
    let mut consumers: Vec<u64> = uplinks(Role::Consumer).collect();
    consumers.sort_unstable();
    let at = |n: usize| consumers.get(n).copied().unwrap_or(0);
    let distances = (1..specs.len() as u32).map(|peer| space.one_way_ns(0, peer) as f64 / MS as f64);
    let others = (specs.len() - 1).max(1) as f64;
    Drawn {
        seed: scenario.seed,
        consumers: consumers.len(),
        donors: uplinks(Role::Donor).count(),
        rate_bps: scenario.stream.rate.as_bps(),
        source_bps: specs[0].upload_bps,
        consumers_bps: consumers.iter().sum(),
        donors_bps: uplinks(Role::Donor).sum(),
        uplinks_bps: (
            at(0),
            at(consumers.len() / 2),
            at(consumers.len().saturating_sub(1)),
        ),
        distance_ms: (
            distances.clone().sum::<f64>() / others,
            distances.fold(0.0, f64::max),
        ),
    }
}
