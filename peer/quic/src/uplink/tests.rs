use super::*;

/// An uplink with a queue, and a node that sends what it is allowed to four neighbours.
struct Line {
    carries: f64,
    queue_s: f64,
    sent: [u64; 4],
    lost: [u64; 4],
    waiting: [u64; 4],
    now: Time,
    estimate: UplinkEstimate,
}

/// What the line's own queue holds, and what waits for QUIC at the most.
const LONGEST: f64 = 0.1;
const MOST_WAITING: u64 = 256 * 1024;

fn mbit(n: u64) -> Bitrate {
    Bitrate::from_kbps(1000 * n)
}

impl Line {
    fn new(carries: Bitrate, said: Option<Bitrate>) -> Self {
        Line {
            carries: carries.as_bps() as f64 / 8.0,
            queue_s: 0.0,
            sent: [0; 4],
            lost: [0; 4],
            waiting: [0; 4],
            now: Time::from_millis(1_000_000),
            estimate: UplinkEstimate::new(said),
        }
    }

    /// A second in which the node would send `demand`. `loss` of everything is lost on the way; to one neighbour everything takes longer and
    /// much waits, whatever the uplink does.
    fn second(&mut self, demand: Bitrate, loss: f64, elsewhere: Option<usize>) -> Option<Bitrate> {
        let offered = self.estimate.rate.min(demand).as_bps() as f64 / 8.0;
        self.queue_s = (self.queue_s + offered / self.carries - 1.0).clamp(0.0, LONGEST);
        let carried = offered.min(self.carries);
        let mut paths = Vec::new();
        for n in 0..4 {
            self.sent[n] += (carried / 4.0) as u64;
            self.lost[n] += (carried * loss / 4.0) as u64;
            let behind = (offered - self.carries) / 4.0;
            self.waiting[n] = (self.waiting[n] as f64 + behind).clamp(0.0, MOST_WAITING as f64) as u64;
            let slow = elsewhere == Some(n);
            let min_rtt = Duration::from_millis(30);
            let queue = if slow { 0.4 } else { self.queue_s };
            paths.push(PathSample {
                peer: PeerId::from_bytes([n as u8; 32]),
                connection: n,
                sent: self.sent[n],
                lost: self.lost[n],
                waiting: if slow { MOST_WAITING } else { self.waiting[n] },
                rtt: min_rtt + Duration::from_secs_f64(queue),
                min_rtt,
            });
        }
        self.now += INTERVAL;
        self.estimate.update(self.now, &paths)
    }

    fn rate(&self) -> f64 {
        self.estimate.rate.as_bps() as f64 / 1e6
    }
}

#[test]
fn it_finds_a_slow_and_a_fast_line() {
    for carries in [2, 8, 40, 300] {
        let mut line = Line::new(mbit(carries), None);
        for _ in 0..40 {
            line.second(MOST, 0.0, None);
        }
        let mut mean = 0.0;
        for _ in 0..40 {
            line.second(MOST, 0.0, None);
            mean += line.rate() / 40.0;
        }
        let carries = carries as f64;
        assert!(
            mean > 0.7 * carries && mean < 1.15 * carries,
            "{mean} of {carries}"
        );
    }
}

#[test]
fn it_does_not_grow_while_it_is_not_used() {
    let mut line = Line::new(mbit(100), None);
    for _ in 0..60 {
        line.second(mbit(3), 0.0, None);
    }
    assert_eq!(line.estimate.rate(), ASSUMED);
}

#[test]
fn one_congested_neighbour_is_not_the_uplink() {
    let mut line = Line::new(mbit(100), None);
    for _ in 0..20 {
        line.second(mbit(9), 0.0, Some(2));
    }
    assert!(line.estimate.rate() >= ASSUMED);
    let mut line = Line::new(mbit(100), Some(mbit(10)));
    for _ in 0..20 {
        assert_eq!(line.second(mbit(6), 0.0, Some(2)), None);
    }
}

#[test]
fn what_was_said_falls_to_what_the_line_carries() {
    let mut line = Line::new(mbit(4), Some(mbit(10)));
    let mut changes = Vec::new();
    for second in 0..30 {
        if let Some(rate) = line.second(mbit(10), 0.0, None) {
            changes.push((second, rate));
        }
    }
    let [(second, rate)] = changes[..] else {
        panic!("one step down: {changes:?}");
    };
    assert!((3..=5).contains(&second), "{second}");
    assert_eq!(rate, mbit(4).scaled(DOWN_TO));
}

#[test]
fn a_line_that_holds_what_was_said_keeps_it() {
    // The first carries a hair less than was said: its queue is full all the time.
    for (carries, demand, loss) in [
        (9_700, 10, 0.0),
        (10_000, 10, 0.1),
        (10_000, 4, 0.0),
        (10_000, 3, 0.3),
    ] {
        let mut line = Line::new(Bitrate::from_kbps(carries), Some(mbit(10)));
        for _ in 0..120 {
            assert_eq!(
                line.second(mbit(demand), loss, None),
                None,
                "{carries} kbit/s, demand {demand}, loss {loss}"
            );
        }
    }
}

#[test]
fn it_comes_back_when_the_line_does_and_no_further_than_was_said() {
    let mut line = Line::new(mbit(4), Some(mbit(10)));
    for _ in 0..20 {
        line.second(mbit(40), 0.0, None);
    }
    assert!(line.rate() < 4.0);
    line.carries = 40e6 / 8.0;
    for _ in 0..100 {
        line.second(mbit(40), 0.0, None);
        assert!(line.estimate.rate() <= mbit(10));
    }
    assert_eq!(line.estimate.rate(), mbit(10));
}

#[test]
fn a_line_that_stays_slow_is_tried_ever_more_seldom() {
    let mut line = Line::new(mbit(4), Some(mbit(10)));
    let mut falls = Vec::new();
    let mut over = 0;
    for second in 0..1_000 {
        let before = line.estimate.rate();
        line.second(mbit(10), 0.0, None);
        over += u32::from(line.rate() > 4.1);
        if line.estimate.rate() < before {
            falls.push(second);
        }
    }
    assert!((3..=7).contains(&falls.len()), "{falls:?}");
    let apart: Vec<i32> = falls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.windows(2).all(|pair| pair[1] > pair[0]), "{apart:?}");
    assert!(over < 100, "too much for {over} of 1000 seconds");
}

#[test]
fn a_short_hold_up_says_nothing() {
    let mut line = Line::new(mbit(40), Some(mbit(10)));
    for second in 0..60 {
        // The machine, or the line, is elsewhere for two seconds of ten.
        line.carries = if second % 10 < 2 { 2e6 / 8.0 } else { 40e6 / 8.0 };
        assert_eq!(line.second(mbit(8), 0.0, None), None);
    }
}
