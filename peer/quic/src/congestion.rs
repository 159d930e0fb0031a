//! A congestion controller for live streams.
//!
//! A live stream sends at the rate of the media, not as fast as it can, so the question is not how much the path takes
//! but whether it still takes *this*. Loss-based controllers (CUBIC, New Reno) halve the window at each lost packet and
//! starve a stream on a path with 1 % random loss; what it then queues is late. This one:
//! - grows while the window is what limits sending, and never falls below what the recent rate needs;
//! - backs off when the round trip shows a queue building up (delay beyond `QUEUE_MAX`), because that is what makes
//!   live data late, for us and for everyone behind the same bottleneck;
//! - takes delay for a fact of the path when it stays although the window was halved: then the queue is somebody else's,
//!   or the route or the machine has become slower, and sending less would only starve the stream;
//! - backs off on heavy loss (`LOSS_MAX`) and on persistent congestion, not on isolated losses.
//!
//! Compared with CUBIC and BBR in `docs/results/transport.md`.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::congestion::{Controller, ControllerFactory};

/// The queueing delay that makes it back off. A queue of 60 ms is the most that our own uplink pacing leaves; what is
/// longer is somebody's standing queue.
const QUEUE_MAX: Duration = Duration::from_millis(60);

/// The queueing delay up to which it grows: half of `QUEUE_MAX`, so that growth ends before backing off begins.
const QUEUE_GROW: Duration = Duration::from_millis(30);

/// When a queue is ours, half the window makes it at least a third shorter; when this share of it stays, it is not ours.
const QUEUE_STAYS: f64 = 0.85;

/// Share of bytes lost that counts as congestion. Radio links lose 1 to 3 % without any; beyond 10 % the
/// retransmissions alone fill the path.
const LOSS_MAX: f64 = 0.10;

/// Packets that must have been sent before their loss says something.
const LOSS_SAMPLE_PACKETS: u64 = 32;

/// How much of the loss count of one round is carried to the next: a memory of about four rounds.
const LOSS_MEMORY: f64 = 0.75;

/// Packets in the first window: 113 KiB, what a newcomer's supplier sends it of the past and the present in the first round trips. Nothing
/// is sent because there is a window: chunks leave at the pace of the uplink. With 32 live chunks waited behind those of the past
/// (docs/results/swarm.md, "The last chunks of the past").
const INITIAL_PACKETS: u64 = 96;

/// Packets that are always allowed in flight: a few chunks, and enough that losses are noticed by later packets.
const MIN_PACKETS: u64 = 16;

/// The largest window: 1 Gbit/s over 130 ms.
const MAX_WINDOW: u64 = 16 * 1024 * 1024;

/// How long the smallest round trip and the highest rate are remembered, at least; at most twice as long.
const RTT_MEMORY: Duration = Duration::from_secs(10);
const RATE_MEMORY: Duration = Duration::from_secs(2);

/// Rounds are not shorter than this: on a local network a round trip is some packets only.
const MIN_ROUND: Duration = Duration::from_millis(5);

/// Builds a [`Live`] for each connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct LiveConfig;

impl ControllerFactory for LiveConfig {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Live::new(now, current_mtu))
    }
}

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Live {
    window: u64,
    mtu: u64,
    /// Doubling each round, until the first sign of congestion.
    starting: bool,
    min_rtt: Extreme<Duration>,
    backing_off: Option<BackingOff>,
    /// Bytes a second that arrived in the best recent round.
    rate: Extreme<u64>,
    in_flight: u64,
    round: Round,
    lost: f64,
    acked: f64,
}

/// How things were when it began to back off from a queue.
#[derive(Clone, Copy, Debug)]
struct BackingOff {
    window: u64,
    /// The longest queueing delay before the halved window could show.
    queue: Duration,
    /// Rounds since the window was halved.
    halved_for: u32,
}

/// One round trip: it ends when a packet that was sent in it is acknowledged, so that the effect of what was decided at
/// its beginning is seen before the next decision.
#[derive(Clone, Copy, Debug)]
struct Round {
    began: Instant,
    acked: u64,
    lost: u64,
    /// The shortest round trip seen, free of most acknowledgement delay.
    rtt: Option<Duration>,
    peak_in_flight: u64,
    complete: bool,
}

impl Round {
    fn new(now: Instant) -> Self {
        Round {
            began: now,
            acked: 0,
            lost: 0,
            rtt: None,
            peak_in_flight: 0,
            complete: false,
        }
    }
}

impl Live {
    fn new(now: Instant, mtu: u16) -> Self {
        let mtu = u64::from(mtu);
        Live {
            window: INITIAL_PACKETS * mtu,
            mtu,
            starting: true,
            min_rtt: Extreme::new(now, RTT_MEMORY),
            backing_off: None,
            rate: Extreme::new(now, RATE_MEMORY),
            in_flight: 0,
            round: Round::new(now),
            lost: 0.0,
            acked: 0.0,
        }
    }

    fn acknowledged(&mut self, now: Instant, sent: Instant, bytes: u64) {
        let rtt = now.saturating_duration_since(sent);
        self.round.rtt = Some(self.round.rtt.map_or(rtt, |shortest| shortest.min(rtt)));
        self.round.acked += bytes;
        self.round.complete |= sent >= self.round.began;
    }

    fn end_round(&mut self, now: Instant) {
        let round = std::mem::replace(&mut self.round, Round::new(now));
        let took = now.saturating_duration_since(round.began);
        self.lost = self.lost * LOSS_MEMORY + round.lost as f64;
        self.acked = self.acked * LOSS_MEMORY + round.acked as f64;
        let Some(rtt) = round.rtt else {
            return;
        };
        let min_rtt = self.min_rtt.update(now, rtt, Duration::min);
        let rate_now = (round.acked as f64 / took.as_secs_f64().max(1e-6)) as u64;
        let rate = self.rate.update(now, rate_now, u64::max);
        let mut queue = rtt.saturating_sub(min_rtt);
        if self.stays(queue) {
            self.window = self.backing_off.map_or(self.window, |began| began.window);
            self.backing_off = None;
            self.min_rtt = Extreme::new(now, RTT_MEMORY);
            self.min_rtt.update(now, rtt, Duration::min);
            queue = Duration::ZERO;
        }

        if queue > QUEUE_MAX {
            self.starting = false;
            self.backing_off.get_or_insert(BackingOff {
                window: self.window,
                queue,
                halved_for: 0,
            });
            // Down to what the path carries with half the allowed queue, in steps that do not overshoot when a single
            // round was slow.
            let carried = bytes_in(rate_now, min_rtt + QUEUE_GROW);
            self.window = self.window.min(carried.max(self.window / 10 * 7));
        } else if self.heavy_loss() {
            self.starting = false;
            self.window = self.window / 10 * 8;
            // The next verdict needs new evidence.
            self.lost = 0.0;
            self.acked = 0.0;
        } else if queue < QUEUE_GROW && round.peak_in_flight >= self.window / 4 * 3 {
            self.window += if self.starting {
                self.window
            } else {
                (self.window / 8).max(4 * self.mtu)
            };
        }
        let needed = bytes_in(rate, min_rtt + QUEUE_GROW / 2);
        self.window = self.window.max(needed).clamp(MIN_PACKETS * self.mtu, MAX_WINDOW);
    }

    /// Whether the queue has stayed as it was although the window was halved.
    fn stays(&mut self, queue: Duration) -> bool {
        let Some(began) = &mut self.backing_off else {
            return false;
        };
        if queue <= QUEUE_GROW {
            self.backing_off = None;
            return false;
        }
        // Packets of the round before were still sent into the old queue.
        began.halved_for += u32::from(self.window <= began.window / 2);
        if began.halved_for <= 2 {
            began.queue = began.queue.max(queue);
            return false;
        }
        queue >= began.queue.mul_f64(QUEUE_STAYS)
    }

    fn heavy_loss(&self) -> bool {
        let sent = self.lost + self.acked;
        sent >= (LOSS_SAMPLE_PACKETS * self.mtu) as f64 && self.lost > LOSS_MAX * sent
    }
}

impl Controller for Live {
    fn on_sent(&mut self, _now: Instant, bytes: u64, _last_packet_number: u64) {
        self.in_flight += bytes;
        self.round.peak_in_flight = self.round.peak_in_flight.max(self.in_flight);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        _app_limited: bool,
        _rtt: &quinn_proto::RttEstimator,
    ) {
        self.acknowledged(now, sent, bytes);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        _app_limited: bool,
        _largest_packet_num_acked: Option<u64>,
    ) {
        self.in_flight = in_flight;
        let long_enough = now.saturating_duration_since(self.round.began) >= MIN_ROUND;
        if self.round.complete && long_enough {
            self.end_round(now);
        }
    }

    fn on_congestion_event(
        &mut self,
        _now: Instant,
        _sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.round.lost += lost_bytes;
        self.in_flight = self.in_flight.saturating_sub(lost_bytes);
        if is_persistent_congestion {
            // Nothing arrived for several time-outs: the path is not what it was. Begin again.
            self.window = MIN_PACKETS * self.mtu;
            self.starting = true;
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = u64::from(new_mtu);
        self.window = self.window.max(MIN_PACKETS * self.mtu);
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_PACKETS * self.mtu
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn bytes_in(rate: u64, time: Duration) -> u64 {
    (rate as f64 * time.as_secs_f64()) as u64
}

/// The smallest or largest value of the last one to two periods, in constant memory.
#[derive(Clone, Copy, Debug)]
struct Extreme<T> {
    period: Duration,
    began: Instant,
    current: Option<T>,
    before: Option<T>,
}

impl<T: Copy> Extreme<T> {
    fn new(now: Instant, period: Duration) -> Self {
        Extreme {
            period,
            began: now,
            current: None,
            before: None,
        }
    }

    fn update(&mut self, now: Instant, value: T, better: fn(T, T) -> T) -> T {
        let age = now.saturating_duration_since(self.began);
        if age >= self.period {
            // After a long silence neither period says anything any more.
            self.before = self.current.filter(|_| age < 2 * self.period);
            self.current = None;
            self.began = now;
        }
        let current = self.current.map_or(value, |held| better(held, value));
        self.current = Some(current);
        self.before.map_or(current, |before| better(before, current))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "some instant to count from")]
mod tests;
