use super::*;

const MTU: u16 = 1200;

/// A path that carries `rate` bytes a second with a fixed delay and a queue, and loses every `lose_every`-th packet.
struct Path {
    live: Live,
    now: Instant,
    rate: f64,
    delay: Duration,
    lose_every: u64,
    /// When the bottleneck has sent everything it was given.
    free_at: Instant,
    sent: u64,
    in_flight: Vec<(Instant, Instant, bool)>,
}

impl Path {
    fn new(rate: f64, delay: Duration, lose_every: u64) -> Self {
        let now = Instant::now();
        Path {
            live: Live::new(now, MTU),
            now,
            rate,
            delay,
            lose_every,
            free_at: now,
            sent: 0,
            in_flight: Vec::new(),
        }
    }

    /// Runs for `time` with an application that offers `offered` bytes a second. Returns bytes delivered a second.
    fn run(&mut self, time: Duration, offered: f64) -> f64 {
        let end = self.now + time;
        let mut credit = 0.0;
        let mut delivered = 0.0;
        let tick = Duration::from_millis(1);
        while self.now < end {
            self.now += tick;
            self.acknowledge(&mut delivered);
            credit = (credit + offered * tick.as_secs_f64()).min(offered * 0.05 + f64::from(MTU));
            let mut flight = self.in_flight.len() as u64 * u64::from(MTU);
            while credit >= f64::from(MTU) && flight + u64::from(MTU) <= self.live.window() {
                credit -= f64::from(MTU);
                flight += u64::from(MTU);
                self.send();
            }
        }
        delivered / time.as_secs_f64()
    }

    fn send(&mut self) {
        self.sent += 1;
        self.live.on_sent(self.now, u64::from(MTU), self.sent);
        let transmission = Duration::from_secs_f64(f64::from(MTU) / self.rate);
        self.free_at = self.free_at.max(self.now) + transmission;
        let lost = self.lose_every != 0 && self.sent.is_multiple_of(self.lose_every);
        self.in_flight.push((self.now, self.free_at + self.delay, lost));
    }

    fn acknowledge(&mut self, delivered: &mut f64) {
        let now = self.now;
        let (due, rest): (Vec<_>, Vec<_>) = self.in_flight.iter().partition(|(_, at, _)| *at <= now);
        self.in_flight = rest;
        if due.is_empty() {
            return;
        }
        for (sent, _, lost) in due {
            if lost {
                self.live.on_congestion_event(now, sent, false, u64::from(MTU));
            } else {
                *delivered += f64::from(MTU);
                self.live.acknowledged(now, sent, u64::from(MTU));
            }
        }
        let flight = self.in_flight.len() as u64 * u64::from(MTU);
        self.live.on_end_acks(now, flight, false, None);
    }

    fn queue(&self) -> Duration {
        self.free_at.saturating_duration_since(self.now)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_live_stream_gets_through_random_loss() {
    let stream = 3.5e6 / 8.0;
    let mut path = Path::new(20e6 / 8.0, Duration::from_millis(70), 50);
    let delivered = path.run(20 * SECOND, stream);
    assert!(delivered > 0.96 * stream, "{delivered} of {stream}");
    assert!(path.live.window() as f64 > stream * 0.07);
}

#[test]
fn it_fills_a_path_without_a_standing_queue() {
    let rate = 50e6 / 8.0;
    let mut path = Path::new(rate, Duration::from_millis(40), 0);
    let delivered = path.run(10 * SECOND, 10.0 * rate);
    assert!(delivered > 0.85 * rate, "{delivered} of {rate}");
    let queue = path.queue();
    assert!(queue < 2 * QUEUE_MAX, "{queue:?}");
}

#[test]
fn it_follows_a_path_that_becomes_narrow_and_wide_again() {
    let stream = 8e6 / 8.0;
    let mut path = Path::new(4.0 * stream, Duration::from_millis(40), 0);
    assert!(path.run(5 * SECOND, stream) > 0.97 * stream);
    path.rate = stream / 4.0;
    path.run(4 * SECOND, stream);
    assert!(path.queue() < 3 * QUEUE_MAX, "{:?}", path.queue());
    path.rate = 4.0 * stream;
    path.run(2 * SECOND, stream);
    assert!(path.run(2 * SECOND, stream) > 0.97 * stream);
}

#[test]
fn delay_that_is_not_its_own_does_not_starve_it() {
    let stream = 8e6 / 8.0;
    let mut path = Path::new(50e6 / 8.0, Duration::from_millis(40), 0);
    assert!(path.run(5 * SECOND, stream) > 0.97 * stream);
    // Another route, or somebody else's queue.
    path.delay = Duration::from_millis(240);
    path.run(3 * SECOND, stream);
    let delivered = path.run(3 * SECOND, stream);
    assert!(delivered > 0.97 * stream, "{delivered} of {stream}");
}

#[test]
fn it_backs_off_when_a_path_loses_a_third() {
    let rate = 100e6 / 8.0;
    let mut path = Path::new(rate, Duration::from_millis(40), 0);
    path.run(3 * SECOND, rate);
    let before = path.live.window();
    path.lose_every = 3;
    path.run(3 * SECOND, rate);
    assert!(
        path.live.window() < before / 2,
        "{} of {before}",
        path.live.window()
    );
}

#[test]
fn an_idle_application_does_not_grow_the_window() {
    let mut path = Path::new(100e6 / 8.0, Duration::from_millis(40), 0);
    path.run(20 * SECOND, 20_000.0);
    assert_eq!(path.live.window(), path.live.initial_window());
}

#[test]
fn persistent_congestion_starts_again_from_the_least() {
    let mut path = Path::new(100e6 / 8.0, Duration::from_millis(40), 0);
    path.run(3 * SECOND, 50e6 / 8.0);
    let now = path.now;
    path.live.on_congestion_event(now, now, true, 1200);
    assert_eq!(path.live.window(), MIN_PACKETS * u64::from(MTU));
}
