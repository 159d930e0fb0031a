//! The thread that moves packets between the devices.

use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{ClockId, Timespec, clock_gettime};

use super::namespace::Device;
use super::sys;
use crate::NodeInfo;
use crate::counters::{Counters, Delivery, NodeCounters, PairCounters};
use crate::engine::{Engine, Why};
use crate::scenario::{Event, Scenario};

/// What other threads ask of it.
pub(super) enum Request {
    Command(String, Sender<Result<()>>),
    /// With a reset or without.
    Counters(bool, Sender<Counters>),
    Stop,
}

/// Tells the thread that there is a request.
pub(super) struct Waker(UnixStream);

impl Waker {
    /// The waker and what becomes readable.
    pub(super) fn new() -> io::Result<(Waker, UnixStream)> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok((Waker(waker), woken))
    }

    pub(super) fn wake(&self) {
        // Full: it has been woken and has not looked yet.
        let _ = (&self.0).write(&[1]);
    }
}

/// A blocked thread takes about so long to wake up; both what it waits for and what it finds are corrected by it.
const WAKING_NS: u64 = 20_000;
/// A wait that ends within this time found packets that were there before.
const AT_ONCE_NS: u64 = 5_000;
/// Packets read from a device before the next one gets its turn.
const READS: usize = 64;
/// Events taken at a time.
const EVENTS: usize = 256;
/// What the event of the waker carries; devices carry their number.
const WAKE: u64 = u64::MAX;
/// Waits for an hour when there is nothing to do.
const IDLE_NS: u64 = 3_600_000_000_000;

fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub(super) struct Emulator {
    engine: Engine,
    devices: Vec<Device>,
    nodes: Vec<NodeInfo>,
    /// Soonest last.
    events: Vec<Event>,
    inbox: Receiver<Request>,
    woken: UnixStream,
    poll: OwnedFd,
    delivery: Delivery,
    started: u64,
    tick: u64,
    real_time: bool,
    stop: bool,
}

impl Emulator {
    pub(super) fn new(
        engine: Engine,
        devices: Vec<Device>,
        nodes: Vec<NodeInfo>,
        scenario: &Scenario,
        inbox: Receiver<Request>,
        woken: UnixStream,
    ) -> Result<Emulator> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, device) in devices.iter().enumerate() {
            epoll::add(
                &poll,
                device.as_fd(),
                EventData::new_u64(number as u64),
                EventFlags::IN,
            )?;
        }
        epoll::add(&poll, &woken, EventData::new_u64(WAKE), EventFlags::IN)?;
        let mut events = scenario.events.clone();
        events.sort_by(|a, b| b.at.total_cmp(&a.at));
        Ok(Emulator {
            engine,
            devices,
            nodes,
            events,
            inbox,
            woken,
            poll,
            delivery: Delivery::default(),
            started: now(),
            tick: scenario.coalesce_us * 1000,
            real_time: scenario.real_time,
            stop: false,
        })
    }

    fn event_at(&self) -> Option<u64> {
        let next = self.events.last()?;
        Some(self.started + (next.at.max(0.0) * 1e9) as u64)
    }

    /// Moves packets until it is told to stop.
    ///
    /// While busy it polls at most once a tick. Packets due within half a tick count as due, and those found after a
    /// pause are stamped with its middle, so that the mean error is zero.
    pub(super) fn run(mut self) {
        if let Some(exact) = NonZeroU64::new(1) {
            // Without it sleeps last 50 us longer; nothing else depends on it.
            let _ = rustix::thread::set_current_timer_slack(Some(exact));
        }
        if self.real_time
            && let Err(error) = sys::real_time()
        {
            eprintln!("netlab: no real-time priority, so delays are less exact ({error})");
        }
        let (tick, slack) = (self.tick, self.tick / 2);
        let waking = WAKING_NS.min(slack);
        let mut ready = Vec::with_capacity(EVENTS);
        let (mut polled, mut busy) = (now(), false);
        while !self.stop {
            self.deliver(slack);
            self.do_events();
            let next_tick = polled + tick;
            if busy && let Some(early) = next_tick.checked_sub(now()) {
                pause(early);
                self.deliver(slack);
            }
            let due = self.engine.next_due().map(|due| due.saturating_sub(waking));
            let due = due.into_iter().chain(self.event_at()).min();
            let before = now();
            let wait = due.map_or(IDLE_NS, |due| due.saturating_sub(before));
            ready.clear();
            // An interrupted wait found nothing, as one that timed out.
            let _ = epoll::wait(&self.poll, spare_capacity(&mut ready), Some(&timespec(wait)));
            let woke = now();
            let at = if woke - before < AT_ONCE_NS && woke - polled < 4 * tick {
                polled + (woke - polled) / 2
            } else {
                woke - waking
            };
            busy = woke - polled < 2 * tick;
            polled = woke;
            for event in &ready {
                match { event.data }.u64() {
                    WAKE => self.answer(),
                    number => self.take_in(number as usize, at),
                }
            }
        }
    }

    fn do_events(&mut self) {
        while self.event_at().is_some_and(|at| at <= now()) {
            let Some(event) = self.events.pop() else { return };
            if let Err(error) = self.engine.command(&event.cmd, now()) {
                eprintln!("netlab: the event {:?} failed: {error:#}", event.cmd);
            }
        }
    }

    /// Reads what a node has sent.
    fn take_in(&mut self, number: usize, at: u64) {
        let device = &self.devices[number];
        for _ in 0..READS {
            let Some(slot) = self.engine.pool.take() else {
                // Read away and counted: nothing may wait in the kernel for longer than it would on a wire.
                if device.read(&mut [0; 64]).is_err() {
                    return;
                }
                self.engine.nodes[number].traffic.drops[Why::Overload as usize] += 1;
                continue;
            };
            match device.read(self.engine.pool.buffer(slot)) {
                Ok(len) if len > 0 => self.engine.ingress(number, slot, len, at),
                _ => return self.engine.pool.give_back(slot),
            }
        }
    }

    fn deliver(&mut self, slack: u64) {
        let Emulator {
            engine,
            devices,
            delivery,
            ..
        } = self;
        engine.run_due(now() + slack, |node, packet, due| {
            delivery.count(now().saturating_sub(due));
            devices[node].write(packet)
        });
    }

    fn answer(&mut self) {
        let mut bytes = [0; 64];
        while self.woken.read(&mut bytes).is_ok_and(|n| n == bytes.len()) {}
        while let Ok(request) = self.inbox.try_recv() {
            // Who asked may be gone: then nobody misses the answer.
            match request {
                Request::Command(line, answer) => {
                    let _ = answer.send(self.engine.command(&line, now()));
                }
                Request::Counters(reset, answer) => {
                    let _ = answer.send(self.counters());
                    if reset {
                        self.engine.reset_counters();
                        self.delivery = Delivery::default();
                    }
                }
                Request::Stop => self.stop = true,
            }
        }
    }

    fn counters(&self) -> Counters {
        let engine = &self.engine;
        let n = engine.nodes.len();
        let nodes = engine.nodes.iter().zip(&self.nodes).zip(&self.devices);
        let used = |(_, pair): &(usize, &crate::engine::Pair)| pair.bytes + pair.drops > 0;
        let name = |node: usize| engine.nodes[node].name.clone();
        Counters {
            nodes: nodes
                .map(|((node, info), device)| NodeCounters {
                    info: info.clone(),
                    traffic: node.traffic.clone(),
                    device_drops: device.drops(),
                })
                .collect(),
            pairs: engine
                .pairs
                .iter()
                .enumerate()
                .filter(used)
                .map(|(way, pair)| PairCounters {
                    from: name(way / n),
                    to: name(way % n),
                    delay_ms: pair.delay as f64 / 1e6,
                    bytes: pair.bytes,
                    drops: pair.drops,
                })
                .collect(),
            delivery: self.delivery.clone(),
            cpu_s: nanoseconds(clock_gettime(ClockId::ThreadCPUTime)) as f64 / 1e9,
            in_flight: engine.pool.in_use(),
        }
    }
}

#[allow(clippy::disallowed_methods)] // This thread is the network: it waits for the next packet.
fn pause(ns: u64) {
    std::thread::sleep(Duration::from_nanos(ns));
}

fn timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as i64,
    }
}
