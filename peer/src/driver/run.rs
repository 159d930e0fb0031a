//! The task that owns the node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swarm::{Event, Input, Node, Outbox, Output};
use tokio::sync::mpsc;
use wire::{StreamId, Time};

use super::handle::Command;
use super::items::ItemSender;
use super::produce::ProduceQueue;
use super::{Clock, DriverStats, Lags, StreamItem};

/// Most inputs acted on before the outputs are done: bounds how long the first of them waits for its effect.
const MAX_BATCH: usize = 128;

/// With no deadline of the node's own it is still asked this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// The node with everything it is connected to.
pub(super) struct Driver {
    node: Node,
    clock: Clock,
    commands: mpsc::Receiver<Command>,
    inputs: mpsc::Receiver<Input>,
    produce: Arc<ProduceQueue>,
    streams: BTreeMap<StreamId, ItemSender>,
    /// Inputs that the driver itself causes while doing outputs.
    own_inputs: Vec<Input>,
    timer_late: Lags,
}

impl Driver {
    pub(super) fn new(
        node: Node,
        clock: Clock,
        commands: mpsc::Receiver<Command>,
        inputs: mpsc::Receiver<Input>,
        produce: Arc<ProduceQueue>,
    ) -> Self {
        Driver {
            node,
            clock,
            commands,
            inputs,
            produce,
            streams: BTreeMap::new(),
            own_inputs: Vec::new(),
            timer_late: Lags::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut out = Outbox::new();
        loop {
            let now = self.clock.now();
            let deadline = self.node.next_deadline().unwrap_or(Time::NEVER);
            if deadline <= now {
                self.timer_late.record(now.signed_micros_since(deadline));
                self.node.handle_deadline(now, &mut out);
                self.act(&mut out);
            }
            let wake = self.clock.instant_of(self.wake_at(self.clock.now()));
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    None | Some(Command::Shutdown) => return,
                    Some(command) => self.command(command, &mut out),
                },
                _ = self.inputs.recv_many(&mut batch, MAX_BATCH) => {}
                () = self.produce.filled.notified() => {}
                () = sleep_until(wake) => {}
            }
            let now = self.clock.now();
            for (stream, chunk) in self.produce.take_all() {
                self.node.handle(now, Input::Produce { stream, chunk }, &mut out);
            }
            for input in batch.drain(..) {
                self.node.handle(now, input, &mut out);
            }
            self.act(&mut out);
        }
    }

    fn wake_at(&self, now: Time) -> Time {
        let latest = now + LONGEST_SLEEP;
        self.node.next_deadline().map_or(latest, |at| at.min(latest))
    }

    fn command(&mut self, command: Command, out: &mut Outbox) {
        let now = self.clock.now();
        match command {
            Command::Enter(stream, input, items) => {
                self.streams.insert(stream, items);
                self.node.handle(now, *input, out);
            }
            Command::Input(input) => self.node.handle(now, *input, out),
            Command::Leave(stream) => {
                self.node.handle(now, Input::LeaveStream { stream }, out);
                self.act(out);
                self.streams.remove(&stream);
            }
            Command::Stats(answer) => {
                let driver = DriverStats {
                    produce_dropped: self.produce.dropped(),
                    timer_late_p99_ms: self.timer_late.summary().p99,
                };
                // An error means that the asker has gone.
                let _ = answer.send((self.node.stats(now), driver));
            }
            Command::Shutdown => {}
        }
    }

    fn act(&mut self, out: &mut Outbox) {
        loop {
            for output in out.drain(..) {
                match output {
                    Output::Connect { peer, addrs } => self.own_inputs.push(Input::Disconnected {
                        peer,
                        addr: addrs.first().copied(),
                    }),
                    Output::Disconnect { .. } | Output::Send { .. } | Output::SendChunk { .. } => {}
                    Output::Arrived { stream, lag_us, .. } => {
                        if let Some(items) = self.streams.get(&stream) {
                            items.arrived(lag_us);
                        }
                    }
                    Output::Play {
                        stream,
                        chunk,
                        lag_us,
                        in_time,
                    } => self.item(
                        stream,
                        StreamItem::Chunk {
                            chunk,
                            lag_us,
                            in_time,
                        },
                    ),
                    Output::Gap { stream, from, to } => self.item(stream, StreamItem::Gap { from, to }),
                    Output::Event(event) => self.event(event),
                }
            }
            if self.own_inputs.is_empty() {
                return;
            }
            let now = self.clock.now();
            for input in std::mem::take(&mut self.own_inputs) {
                self.node.handle(now, input, out);
            }
        }
    }

    fn item(&self, stream: StreamId, item: StreamItem) {
        if let Some(items) = self.streams.get(&stream) {
            items.send(item);
        }
    }

    fn event(&self, event: Event) {
        let stream = match &event {
            Event::TrackerAnswered { stream, .. }
            | Event::Described { stream, .. }
            | Event::FirstChunk { stream }
            | Event::PlayoutStarted { stream, .. }
            | Event::Ended { stream }
            | Event::SessionChanged { stream, .. }
            | Event::NoTracker { stream, .. } => Some(*stream),
            Event::Banned { .. } => None,
        };
        match stream {
            Some(stream) => self.item(stream, StreamItem::Event(event)),
            // What concerns no stream in particular is told to all.
            None => {
                for items in self.streams.values() {
                    items.send(StreamItem::Event(event.clone()));
                }
            }
        }
    }
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
