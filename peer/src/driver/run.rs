//! The task that owns the node.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quic::UplinkEstimate;
use swarm::{Event, Input, NewChunk, Node, Outbox, Output, Wanting};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use wire::{StreamId, Time, codec};

use super::handle::Command;
use super::items::ItemSender;
use super::produce::ProduceQueue;
use super::{Clock, DriverStats, Lags, StreamItem};
use crate::ledger::Gate;
use crate::net::{Streams, Transport};

/// Most inputs acted on before the outputs are done: bounds how long the first of them waits for its effect.
const MAX_BATCH: usize = 128;

/// With no deadline of the node's own it is still asked this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Within this of its time a deadline counts as come. Tokio's timers are whole milliseconds and a little late: half of the
/// deadlines are met early by so much less, half late, and nobody's time is worth a finer clock (see
/// `docs/results/transport.md`).
const NEAR: Duration = Duration::from_millis(1);

/// What comes to the node.
pub(super) struct Queues {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) produce: Arc<ProduceQueue>,
}

/// The node with everything it is connected to.
pub(super) struct Driver {
    node: Node,
    clock: Clock,
    transport: Transport,
    checked: Arc<Streams>,
    uplink: UplinkEstimate,
    queues: Queues,
    streams: BTreeMap<StreamId, ItemSender>,
    /// Who hears what concerns no stream in particular.
    listeners: Vec<ItemSender>,
    /// Who waits for the survey under way.
    surveys: Vec<oneshot::Sender<Vec<Wanting>>>,
    /// Inputs that the driver itself causes while doing outputs.
    own_inputs: Vec<Input>,
    timer_late: Lags,
    /// `None` when there is no ledger on disk.
    ledger: Option<Gate>,
}

impl Driver {
    pub(super) fn new(
        node: Node,
        clock: Clock,
        transport: Transport,
        checked: Arc<Streams>,
        uplink: UplinkEstimate,
        queues: Queues,
        ledger: Option<Gate>,
    ) -> Self {
        Driver {
            node,
            clock,
            transport,
            checked,
            uplink,
            queues,
            streams: BTreeMap::new(),
            listeners: Vec::new(),
            surveys: Vec::new(),
            own_inputs: Vec::new(),
            timer_late: Lags::new(),
            ledger,
        }
    }

    /// Runs until the last handle is dropped or the node is told to shut down; then says goodbye.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut out = Outbox::new();
        let mut alarm = pin!(tokio::time::sleep(LONGEST_SLEEP));
        loop {
            let now = self.clock.now();
            let deadline = self.node.next_deadline().unwrap_or(Time::NEVER);
            if deadline <= now + NEAR {
                self.timer_late.record(now.signed_micros_since(deadline));
                self.node.handle_deadline(now.max(deadline), &mut out);
                self.act(&mut out);
            }
            // Failures are told before anything is waited for, but not in the same breath: the node may try again.
            let failed = std::mem::take(&mut self.own_inputs);
            if !failed.is_empty() {
                for input in failed {
                    self.node.handle(self.clock.now(), input, &mut out);
                }
                self.act(&mut out);
                tokio::task::yield_now().await;
            }
            let wake = if self.own_inputs.is_empty() {
                self.wake_at()
            } else {
                Instant::now()
            };
            // Setting it takes a lock and may wake the runtime up.
            if wake != alarm.deadline() {
                alarm.as_mut().reset(wake);
            }
            tokio::select! {
                biased;
                command = self.queues.commands.recv() => match command {
                    None | Some(Command::Shutdown) => break,
                    Some(command) => {
                        // The end of a stream comes after what was produced before it.
                        let produced = self.queues.produce.take_all();
                        self.publish(produced, &mut out);
                        self.command(command, &mut out);
                    }
                },
                _ = self.queues.inputs.recv_many(&mut batch, MAX_BATCH) => {}
                () = self.queues.produce.filled.notified() => {}
                () = moved(self.ledger.as_ref()) => {}
                () = &mut alarm => {}
            }
            let produced = self.queues.produce.take_due(Instant::now());
            self.publish(produced, &mut out);
            self.measure_uplink(&mut out);
            self.ledger_moved(&mut out);
            let now = self.clock.now();
            let bytes = self.transport.take_departed();
            if bytes > 0 {
                self.node.handle(now, Input::Sent { bytes }, &mut out);
            }
            for input in batch.drain(..) {
                self.node.handle(now, input, &mut out);
            }
            self.act(&mut out);
        }
        self.shut_down(out).await;
    }

    fn measure_uplink(&mut self, out: &mut Outbox) {
        let now = self.clock.now();
        if self.uplink.is_due(now)
            && let Some(rate) = self.uplink.update(now, &self.transport.paths())
        {
            tracing::debug!(%rate, "upload");
            self.node.handle(now, Input::Upload { rate }, out);
        }
    }

    /// Sends what waited for the disk, or tells the node that this failed.
    fn ledger_moved(&mut self, out: &mut Outbox) {
        let Some(ledger) = &mut self.ledger else { return };
        while let Some((to, frame)) = ledger.ready() {
            self.transport.send_frame(&to, frame);
        }
        if let Some(error) = ledger.failure() {
            self.node
                .handle(self.clock.now(), Input::LedgerFailed { error }, out);
        }
    }

    fn publish(&mut self, produced: VecDeque<(StreamId, NewChunk)>, out: &mut Outbox) {
        let now = self.clock.now();
        let mut waiting = produced.into_iter().peekable();
        while let Some((stream, chunk)) = waiting.next() {
            let mut chunks = vec![chunk];
            while let Some((_, chunk)) = waiting.next_if(|(of, _)| *of == stream) {
                chunks.push(chunk);
            }
            self.node.handle(now, Input::Produce { stream, chunks }, out);
        }
    }

    fn wake_at(&self) -> Instant {
        let latest = Instant::now() + LONGEST_SLEEP;
        let latest = self.queues.produce.due().map_or(latest, |due| due.min(latest));
        self.node
            .next_deadline()
            .and_then(|at| self.clock.instant_of(at - NEAR))
            .map_or(latest, |at| at.min(latest))
    }

    /// Leaves every stream, says goodbye to every neighbour and ends the transport.
    async fn shut_down(mut self, mut out: Outbox) {
        self.node.handle(self.clock.now(), Input::Shutdown, &mut out);
        self.streams.clear();
        self.listeners.clear();
        self.act(&mut out);
        self.queues.commands.close();
        if let Some(ledger) = &self.ledger {
            ledger.settle().await;
            self.ledger_moved(&mut out);
        }
        let Driver {
            node,
            transport,
            mut queues,
            ledger,
            ..
        } = self;
        drop(node);
        // What still comes in is taken, so that no connection waits for us while it says goodbye.
        let discard = async {
            while queues.inputs.recv().await.is_some() {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = transport.shutdown() => {}
            () = discard => {}
        }
        if let Some(ledger) = ledger {
            ledger.end().await;
        }
    }

    fn command(&mut self, command: Command, out: &mut Outbox) {
        let now = self.clock.now();
        match command {
            Command::Enter(stream, input, items) => {
                self.checked.add(stream);
                self.streams.insert(stream, items);
                self.node.handle(now, *input, out);
            }
            Command::Input(input) => {
                if let Input::Upload { rate } = *input {
                    // What was found out so far was about another word, or none.
                    self.uplink = UplinkEstimate::new(Some(rate));
                }
                self.node.handle(now, *input, out);
            }
            Command::Leave(stream) => {
                self.node.handle(now, Input::LeaveStream { stream }, out);
                self.act(out);
                self.checked.remove(stream);
                self.streams.remove(&stream);
            }
            Command::Stats(answer) => {
                let driver = DriverStats {
                    produce_dropped: self.queues.produce.dropped(),
                    timer_late: self.timer_late.summary(),
                    net: self.transport.stats(),
                };
                // An error means that the asker has gone.
                let _ = answer.send((self.node.stats(now), driver));
            }
            Command::Listen(items) => self.listeners.push(items),
            Command::Survey(answer) => {
                self.surveys.push(answer);
                self.node.handle(now, Input::Survey, out);
            }
            Command::Shutdown => {}
        }
    }

    /// Does what the node wants.
    fn act(&mut self, out: &mut Outbox) {
        for output in out.drain(..) {
            match output {
                Output::SendChunk {
                    to,
                    chunk,
                    hops,
                    class,
                    expires,
                } => {
                    self.transport.send_chunk(&to, chunk, hops, class, expires);
                }
                Output::Send { to, message, frame } => match &mut self.ledger {
                    Some(ledger) if message.is_trust() => ledger.hold(to, frame),
                    _ => {
                        self.transport.send_frame(&to, frame);
                    }
                },
                Output::Connect { peer, addrs, opening } => {
                    let addr = addrs.first().copied();
                    let opening: Vec<Bytes> = opening
                        .iter()
                        .map(|message| codec::encode(message).into())
                        .collect();
                    if !self.transport.connect(peer, addrs, &opening) {
                        self.own_inputs.push(Input::Disconnected { peer, addr });
                    }
                }
                Output::Disconnect { peer } => self.transport.disconnect(&peer),
                Output::Greeting { stream, greeting } => {
                    self.transport
                        .set_greeting(stream, greeting.map(|(_, frame)| frame));
                }
                Output::Strangers(allowance) => self.transport.limit_strangers(allowance),
                Output::Arrived {
                    stream, lag_us, live, ..
                } => {
                    if let Some(items) = self.streams.get(&stream).filter(|_| live) {
                        items.arrived(lag_us);
                    }
                }
                Output::Play {
                    stream,
                    chunk,
                    lag_us,
                    in_time,
                } => {
                    let item = StreamItem::Chunk {
                        chunk,
                        lag_us,
                        in_time,
                    };
                    item_of(&self.streams, stream, item);
                }
                Output::Gap { stream, from, to } => {
                    item_of(&self.streams, stream, StreamItem::Gap { from, to });
                }
                Output::Event(event) => self.event(event),
            }
        }
        // Most of what is said about trust stands on nothing new.
        if let Some(ledger) = &mut self.ledger {
            while let Some((to, frame)) = ledger.ready() {
                self.transport.send_frame(&to, frame);
            }
        }
    }

    fn event(&mut self, event: Event) {
        if let Event::Ledger { error } = &event {
            tracing::warn!("{error}; nothing is signed until it can be, and playing goes on");
        }
        if let Event::Surveyed { streams } = event {
            for answer in self.surveys.drain(..) {
                // An error means that the asker has gone.
                let _ = answer.send(streams.clone());
            }
            return;
        }
        match event.stream() {
            Some(stream) => item_of(&self.streams, stream, StreamItem::Event(event)),
            // What concerns no stream in particular is told to all.
            None => {
                for items in self.streams.values().chain(&self.listeners) {
                    items.send(StreamItem::Event(event.clone()));
                }
            }
        }
    }
}

/// Returns when the ledger on disk is further; never, if there is none.
async fn moved(ledger: Option<&Gate>) {
    match ledger {
        Some(ledger) => ledger.moved().await,
        None => std::future::pending().await,
    }
}

fn item_of(streams: &BTreeMap<StreamId, ItemSender>, stream: StreamId, item: StreamItem) {
    if let Some(items) = streams.get(&stream) {
        items.send(item);
    }
}
