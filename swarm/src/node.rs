//! The node: connections, pings, coordinate, and the streams it is in.

mod standing;
mod streams;

use std::time::Duration;

use coords::Vivaldi;
use incentives::{Accounts, Offence, Standings};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use wire::message::{ClockReading, Leave, Ping, Pong};
use wire::{List, Message, PeerId, StreamId, Time};

use crate::Allowance;
use crate::clock::ClockEstimate;
use crate::config::NodeConfig;
use crate::io::{Event, Input, Outbox, Output};
use crate::neighbour::Neighbours;
use crate::stream::{Ctx, Stream};
use crate::uplink::Uplink;
use streams::Streams;

/// How often neighbours are looked at for a due ping.
const PING_TICK: Duration = Duration::from_millis(100);

/// Most streams one node takes part in.
const MAX_STREAMS: usize = 256;

/// A peer of the overlay: owns every core and translates between them.
///
/// - [`Node::handle`] takes an [`Input`] and appends [`Output`](crate::Output)s.
/// - [`Node::handle_deadline`] does what time brings; [`Node::next_deadline`] says when.
/// - [`Node::stats`] looks inside.
///
/// Nothing else changes it, and it never waits.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    rng: ChaCha8Rng,
    vivaldi: Vivaldi,
    neighbours: Neighbours,
    uplink: Uplink,
    streams: Streams,
    standings: Standings,
    accounts: Accounts,
    /// Peers to be shut out as soon as the input in hand has been acted on.
    banned: Vec<(PeerId, Offence)>,
    overlay: Overlay,
    trust: Bookkeeping,
    /// How many of those who dial are answered, as the driver was told.
    strangers: Option<Allowance>,
    /// It has a coordinate: somebody has answered a ping.
    located: bool,
    next_ping_tick: Time,
    bytes_control: u64,
    bytes_rejected: u64,
}

/// What a stream may use, while the stream itself is borrowed.
macro_rules! ctx {
    ($node:expr, $now:expr, $out:expr) => {
        Ctx {
            now: $now,
            config: &$node.config,
            neighbours: &mut $node.neighbours,
            uplink: &mut $node.uplink,
            rng: &mut $node.rng,
            coord: $node.vivaldi.coord(),
            vivaldi: &$node.vivaldi,
            ways_in: $node.overlay.via(),
            standings: &mut $node.standings,
            accounts: &mut $node.accounts,
            signed: &$node.trust,
            banned: &mut $node.banned,
            out: $out,
        }
    };
}

macro_rules! with_stream {
    ($node:expr, $now:expr, $out:expr, $id:expr, |$stream:ident, $ctx:ident| $body:expr) => {{
        let node = &mut *$node;
        if let Some($stream) = node.streams.get_mut($id) {
            let $ctx = &mut ctx!(node, $now, $out);
            $body;
        }
    }};
}

// After the macros, which they use.
mod connections;
mod guests;
mod inspect;
mod overlay;
mod strangers;
mod trust;

use overlay::Overlay;
pub use overlay::RING_CONNECTIONS;
pub(crate) use trust::Bookkeeping;
pub use trust::Ledger;

impl Node {
    /// A node that knows nobody yet and keeps no signed accounts. `now` is its clock at this moment.
    pub fn new(config: NodeConfig, now: Time) -> Self {
        Node {
            rng: ChaCha8Rng::seed_from_u64(config.seed),
            vivaldi: Vivaldi::new(coords::vivaldi::Config::default(), config.seed),
            neighbours: Neighbours::default(),
            uplink: Uplink::new(config.upload),
            streams: Streams::default(),
            standings: Standings::new(standing::MAX_STANDINGS),
            accounts: Accounts::new(standing::MAX_ACCOUNTS),
            banned: Vec::new(),
            overlay: Overlay::new(&config, now),
            trust: Bookkeeping::none(),
            strangers: None,
            located: false,
            next_ping_tick: now,
            bytes_control: 0,
            bytes_rejected: 0,
            config,
        }
    }

    /// Acts on something that happened.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Outbox) {
        match input {
            Input::Chunk {
                from,
                chunk,
                hops,
                repair,
            } => {
                let id = chunk.header().stream;
                if self.neighbours.hear(now, &from) {
                    with_stream!(self, now, out, &id, |stream, ctx| stream
                        .on_chunk(ctx, from, &chunk, hops, repair));
                }
            }
            Input::Message { from, message, bytes } => {
                self.bytes_control += bytes as u64;
                self.trust.heard(&message, bytes);
                self.on_message(now, from, message, out);
            }
            Input::Produce { stream: id, chunks } => {
                with_stream!(self, now, out, &id, |stream, ctx| stream.produce(ctx, chunks));
            }
            Input::Connected {
                peer,
                addr,
                listen,
                dialled,
                rtt,
                opened,
            } => {
                self.on_connected(now, peer, addr, listen, dialled, rtt, opened, out);
            }
            Input::Proven { peer, rtt } => self.on_proven(now, peer, rtt, out),
            Input::Disconnected { peer, addr } => self.on_disconnected(now, peer, addr, out),
            Input::TurnedAway { peer, addr } => {
                let ids: Vec<StreamId> = self.streams.ids().collect();
                for id in ids {
                    with_stream!(self, now, out, &id, |stream, ctx| stream
                        .on_turned_away(ctx, peer, addr));
                }
                self.on_disconnected(now, peer, addr, out);
            }
            Input::Backlog { peer, queued, rtt } => {
                if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                    neighbour.queued = queued;
                }
                self.neighbours.observe_rtt(&peer, rtt);
            }
            Input::Rejected { from, bytes, why } => {
                self.bytes_rejected += bytes as u64;
                self.penalise(now, from, why.into());
            }
            Input::Upload { rate } => {
                self.uplink.set_rate(now, rate);
                self.limit_strangers(out);
            }
            Input::Sent { bytes } => self.uplink.reconcile(now, bytes),
            Input::Wish { stream: id, wish } => {
                if let Some(playout) = self.streams.get_mut(&id).and_then(|s| s.playout.as_mut()) {
                    playout.set_wish(wish);
                }
            }
            Input::Publish { key, info } => {
                let id = key.stream_id();
                self.add_stream(now, id, out, |ctx| Stream::publish(ctx, key, info));
                self.limit_strangers(out);
            }
            Input::Describe { stream: id, info } => {
                with_stream!(self, now, out, &id, |stream, ctx| stream.describe(ctx, info));
            }
            Input::EndOfStream { stream: id } => {
                with_stream!(self, now, out, &id, |stream, ctx| stream.end(ctx));
            }
            Input::Join {
                stream: id,
                via,
                participation,
            } => {
                self.add_stream(now, id, out, |ctx| Stream::join(ctx, id, via, &participation));
            }
            Input::LeaveStream { stream: id } => self.leave(now, id, out),
            Input::Recall { audience } => self.recall(now, &audience, out),
            Input::Enter { via } => self.enter_overlay(now, via),
            Input::Survey => self.start_survey(now, out),
            Input::Shift { to, amount, via } => self.shift_trust(now, to, amount, &via, out),
            Input::LedgerFailed { error } => self.on_ledger_failed(now, error, out),
            Input::Shutdown => {
                self.close_trust(now, out);
                let ids: Vec<StreamId> = self.streams.ids().collect();
                for id in ids {
                    self.leave(now, id, out);
                }
                self.leave_overlay(now, out);
            }
        }
        self.do_duties(now, out);
        self.shut_out(now, out);
    }

    fn add_stream(
        &mut self,
        now: Time,
        id: StreamId,
        out: &mut Outbox,
        make: impl FnOnce(&mut Ctx<'_>) -> Option<Stream>,
    ) {
        let same_tag = self.streams.ids().any(|held| held.tag() == id.tag());
        if same_tag || self.streams.len() >= MAX_STREAMS {
            return;
        }
        let mut ctx = ctx!(self, now, out);
        if let Some(stream) = make(&mut ctx) {
            self.streams.insert(stream);
        }
    }

    fn leave(&mut self, now: Time, id: StreamId, out: &mut Outbox) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        let heir = stream.heirs_of_members();
        for (peer, message) in heir {
            self.neighbours.send(now, &mut self.uplink, out, peer, message);
        }
        let others = stream.peers.keys().copied().chain(stream.membership.tracker);
        for peer in others.collect::<std::collections::BTreeSet<_>>() {
            self.neighbours
                .send(now, &mut self.uplink, out, peer, Leave { stream: id });
        }
        self.uplink.forget(|copy| copy.stream() == id);
        self.end_lease(now, id, out);
        self.limit_strangers(out);
    }

    fn on_message(&mut self, now: Time, from: PeerId, message: Message, out: &mut Outbox) {
        if !self.neighbours.hear(now, &from) {
            return;
        }
        match message {
            Message::Ping(ping) => self.on_ping(now, from, ping, out),
            Message::Pong(pong) => self.on_pong(now, from, &pong, out),
            Message::Hello(_) | Message::Bye(_) => {}
            Message::Join(m) => self.on_join(now, from, m, out),
            Message::Guest(m) => self.on_guest(now, from, m, out),
            Message::JoinAnswer(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_join_answer(ctx, from, m));
            }
            Message::JoinRefused(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_join_refused(ctx, from, m));
            }
            Message::Leave(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| {
                    if let Some(tracking) = &mut stream.tracking {
                        tracking.tracker.leave(now, from);
                    }
                    stream.forget_peer(ctx, from);
                });
            }
            Message::Info(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream.on_info(ctx, from, m));
            }
            Message::Greeting(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_greeting(ctx, from, m));
            }
            Message::Hold(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_hold(ctx, from, m));
            }
            Message::TrackerIs(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_tracker_is(ctx, from, m));
            }
            Message::Moved(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_moved(ctx.now, from));
            }
            Message::Appoint(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream.on_appoint(ctx, from, m));
            }
            Message::Appointed(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_appointed(ctx, from, m));
            }
            Message::HandOver(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_hand_over(ctx, from, m));
            }
            Message::HandedOver(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_handed_over(ctx, from, m));
            }
            Message::SiblingNews(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_sibling_news(ctx, from, m));
            }
            Message::ReplicaNews(m) => {
                let id = m.stream;
                with_stream!(self, now, out, &id, |stream, ctx| stream
                    .on_replica_news(ctx, from, m));
            }
            Message::HoldFor(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_hold_for(ctx, from, m));
            }
            message @ (Message::RingSeek(_)
            | Message::RingSeen(_)
            | Message::RingNews(_)
            | Message::RingLeave(_)
            | Message::Watch(_)
            | Message::Watched(_)
            | Message::Find(_)
            | Message::Found(_)
            | Message::Lease(_)
            | Message::RingPulse(_)
            | Message::Unchanged(_)) => self.on_ring_message(now, from, message, out),
            message @ (Message::ReceiptSigned(_)
            | Message::AccountProposal(_)
            | Message::AccountDecline(_)
            | Message::AccountAgreed(_)
            | Message::ShiftPrepare(_)
            | Message::ShiftAbort(_)
            | Message::ShiftRelease(_)
            | Message::ShiftNote(_)
            | Message::EdgeOffer(_)
            | Message::EdgeAgreed(_)
            | Message::TrustWalk(_)
            | Message::EdgesAsked(_)
            | Message::EdgesTold(_)
            | Message::Fraud(_)) => self.on_trust_message(now, from, message, out),
            Message::Survey(m) => self.on_survey(now, from, m, out),
            Message::Surveyed(m) => self.on_surveyed(now, from, m, out),
            Message::Subscribe(m) => {
                if !self.admits_subscribe(now, from) {
                    return;
                }
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_subscribe(ctx, from, &m));
            }
            Message::Subscribed(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_subscribed(ctx, from, &m));
            }
            Message::Refused(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_refused(ctx, from, &m));
            }
            Message::Unsubscribe(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_unsubscribe(ctx, from, &m));
            }
            Message::Displaced(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_displaced(ctx, from, &m));
            }
            Message::Path(m) => {
                with_stream!(self, now, out, &m.stream, |stream, ctx| stream
                    .on_path(ctx, from, &m));
            }
            Message::Advert(m) => {
                if let Some(id) = self.by_tag(m.stream_tag) {
                    with_stream!(self, now, out, &id, |stream, ctx| stream.on_advert(ctx, from, m));
                }
            }
            Message::Request(m) => {
                if let Some(id) = self.by_tag(m.stream_tag) {
                    with_stream!(self, now, out, &id, |stream, ctx| stream
                        .on_request(ctx, from, &m));
                }
            }
            Message::DontHave(m) => {
                if let Some(id) = self.by_tag(m.stream_tag) {
                    with_stream!(self, now, out, &id, |stream, ctx| stream
                        .on_dont_have(ctx, from, &m));
                }
            }
        }
    }

    fn by_tag(&self, tag: u32) -> Option<StreamId> {
        self.streams.ids().find(|id| id.tag() == tag)
    }

    fn on_ping(&mut self, now: Time, from: PeerId, ping: Ping, out: &mut Outbox) {
        if let Some(neighbour) = self.neighbours.get_mut(&from) {
            neighbour.coord = ping.coord;
            neighbour.coord_error = f64::from(ping.coord_error);
        }
        let clocks: List<ClockReading, { wire::message::MAX_CLOCKS }> = self
            .streams
            .iter()
            .filter_map(|stream| {
                let ClockEstimate { offset_us, error_us } = stream.clock.estimate(now)?;
                Some(ClockReading {
                    stream_tag: stream.id.tag(),
                    offset_us,
                    error_us,
                })
            })
            .collect();
        let pong = Pong {
            nonce: ping.nonce,
            sent_at: ping.sent_at,
            received_at: now,
            coord: self.vivaldi.coord(),
            coord_error: self.vivaldi.error() as f32,
            clocks,
        };
        self.neighbours.send(now, &mut self.uplink, out, from, pong);
    }

    fn on_pong(&mut self, now: Time, from: PeerId, pong: &Pong, out: &mut Outbox) {
        let first = self.neighbours.take_first_ping(pong.nonce, pong.sent_at);
        let Some(neighbour) = self.neighbours.get_mut(&from) else {
            return;
        };
        if !first && !neighbour.take_nonce(pong.nonce, pong.sent_at) {
            return;
        }
        let rtt = now.since(pong.sent_at);
        neighbour.coord = pong.coord;
        neighbour.coord_error = f64::from(pong.coord_error);
        self.neighbours.observe_rtt(&from, rtt);
        let rtt_ms = rtt.as_secs_f64() * 1000.0;
        self.vivaldi
            .observe(key(from), pong.coord, f64::from(pong.coord_error), rtt_ms);
        if !std::mem::replace(&mut self.located, true) {
            out.push(Output::Event(Event::Located));
        }
        for reading in &pong.clocks {
            let Some(stream) = self.streams.iter_mut().find(|s| s.id.tag() == reading.stream_tag) else {
                continue;
            };
            if stream.source.is_none() {
                let theirs = ClockEstimate {
                    offset_us: reading.offset_us,
                    error_us: reading.error_us,
                };
                stream.clock.observe(now, pong.sent_at, pong.received_at, theirs);
            }
        }
    }

    fn ping_due(&mut self, now: Time, out: &mut Outbox) {
        for (peer, nonce) in self.neighbours.due_pings(now) {
            let ping = Ping {
                nonce,
                sent_at: now,
                coord: self.vivaldi.coord(),
                coord_error: self.vivaldi.error() as f32,
            };
            self.neighbours.send(now, &mut self.uplink, out, peer, ping);
        }
    }

    /// Acts on time having passed. Call when [`Node::next_deadline`] has come; calling it early does no harm.
    pub fn handle_deadline(&mut self, now: Time, out: &mut Outbox) {
        self.uplink.release(now, out);
        for stream in self
            .streams
            .iter_mut()
            .filter(|stream| stream.next_deadline() <= now)
        {
            stream.handle_deadline(&mut ctx!(self, now, out));
        }
        self.do_duties(now, out);
        self.shut_out(now, out);
    }

    /// Does what is to be done every so often, if its time has come.
    fn do_duties(&mut self, now: Time, out: &mut Outbox) {
        if self.next_ping_tick <= now {
            self.next_ping_tick = now + PING_TICK;
            self.neighbours.enter_passed(&mut self.accounts);
            self.enter_in_ledger(now, out);
            self.shift_ahead(now, out);
            self.ping_due(now, out);
        }
        for stream in self.streams.iter_mut().filter(|stream| stream.has_duty(now)) {
            stream.do_duties(&mut ctx!(self, now, out));
        }
        if self.neighbours.is_calling(now) {
            self.ping_due(now, out);
        }
        self.do_ring_duties(now, out);
        self.do_trust_duties(now, out);
    }

    /// When [`Node::handle_deadline`] wants to be called next.
    pub fn next_deadline(&self) -> Option<Time> {
        let streams = self
            .streams
            .iter()
            .map(Stream::next_deadline)
            .min()
            .unwrap_or(Time::NEVER);
        let uplink = self.uplink.next_deadline().unwrap_or(Time::NEVER);
        let pings = if self.neighbours.len() == 0 {
            Time::NEVER
        } else {
            self.next_ping_tick
        };
        let own = self.overlay.next_deadline().min(self.trust.next_deadline());
        let next = streams.min(uplink).min(pings).min(own);
        (next < Time::NEVER).then_some(next)
    }
}

/// A neighbour's key for the coordinate's filters.
fn key(peer: PeerId) -> u64 {
    let bytes = peer.as_bytes();
    u64::from_be_bytes([
        bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
    ])
}
