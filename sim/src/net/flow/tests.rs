//! Connections between two peers without anybody to act for them.

use super::*;
use crate::net::{Copy, repeats};
use crate::queue::Calendar;
use crate::time::{MS, SECOND};

const ONE_WAY: u64 = 40 * MS;
/// What the handshake's packets take on the uplinks.
const SLACK: u64 = 10 * MS;

/// A network, without loss and jitter unless it is said otherwise, and its events.
struct Two {
    flow: Flow,
    queue: Calendar<super::super::Event>,
    arrivals: Vec<Arrival>,
    /// Chunks that came to host 1, and when.
    came: Vec<(u64, SimTime)>,
    now: SimTime,
}

fn source() -> wire::SecretKey {
    wire::SecretKey::from_bytes(&[9; 32])
}

impl Two {
    fn new() -> Self {
        Two::in_weather(Weather::new(1, 0.0, 0.0))
    }

    fn in_weather(weather: Weather) -> Self {
        let mut flow = Flow::new(FlowConfig {
            weather,
            queue_ns: 100 * MS,
            idle_timeout_ns: 2 * SECOND,
            acks: false,
        });
        for n in 0..2 {
            let site = Site {
                key: wire::SecretKey::from_bytes(&[n + 1; 32]),
                upload_bps: 10_000_000,
                download_bps: None,
            };
            flow.add(SimTime::START, site);
            flow.start(SimTime::START, n.into());
        }
        Two {
            flow,
            queue: Calendar::new(),
            arrivals: Vec::new(),
            came: Vec::new(),
            now: SimTime::START,
        }
    }

    fn dial(&mut self, from: u32) -> bool {
        self.flow.connect(self.now, from, 1 - from, ONE_WAY, Vec::new())
    }

    /// Sends a chunk of 3500 bytes, three packets, from host 0 to host 1.
    fn send(&mut self, seq: u64, until: SimTime) {
        let header = wire::ChunkHeader {
            stream: source().stream_id(),
            session: wire::Seq(0),
            seq: wire::Seq(seq),
            generated_at: Time::from_micros(seq),
            duration: Duration::from_millis(8),
            flags: wire::ChunkFlags::default(),
        };
        let chunk = wire::Chunk::sign(header, Bytes::from(vec![seq as u8; 3500]), &source());
        let copy = Copy {
            chunk: std::sync::Arc::new(chunk),
            hops: 1,
            class: swarm::Class::Live,
            until,
        };
        self.flow.send_chunk(self.now, 0, 1, copy);
    }

    fn until(&mut self, ns: u64) {
        loop {
            for (at, event) in self.flow.out.later.drain(..) {
                self.queue.push(at, event);
            }
            for arrival in self.flow.out.arrivals.drain(..) {
                match arrival {
                    Arrival::Chunk { peer: 1, chunk, .. } => self.came.push((chunk.seq().0, self.now)),
                    arrival => self.arrivals.push(arrival),
                }
            }
            let Some((at, event)) = self.queue.pop_until(SimTime(ns)) else {
                break;
            };
            self.now = at;
            if let super::super::Event::Flow(event) = event {
                self.flow.handle(at, event);
            }
        }
        self.now = SimTime(ns);
    }

    fn phases(&self) -> [Option<Phase>; 2] {
        [(0, 1), (1, 0)].map(|(peer, other)| {
            let (conn, end) = self.flow.conns.between(peer, other)?;
            Some(self.flow.conns.get(conn).phase(end))
        })
    }
}

#[test]
fn set_up_takes_one_round_trip_and_half_of_another() {
    let mut two = Two::new();
    assert!(two.dial(0));
    assert!(!two.dial(0), "it is on its way");
    two.until(2 * ONE_WAY - 1);
    assert_eq!(two.phases(), [Some(Phase::Dialling), Some(Phase::Accepting)]);
    two.until(2 * ONE_WAY + SLACK);
    assert_eq!(two.phases(), [Some(Phase::Open), Some(Phase::Accepting)]);
    two.until(3 * ONE_WAY - 1);
    assert_eq!(two.phases(), [Some(Phase::Open), Some(Phase::Accepting)]);
    two.until(3 * ONE_WAY + SLACK);
    assert_eq!(two.phases(), [Some(Phase::Open); 2]);
}

#[test]
fn two_that_dial_each_other_have_one_connection() {
    let mut two = Two::new();
    two.dial(1);
    two.dial(0);
    two.until(SECOND);
    assert_eq!(two.phases(), [Some(Phase::Open); 2]);
    let (ours, theirs) = (two.flow.conns.between(0, 1), two.flow.conns.between(1, 0));
    assert_eq!(ours.map(|(id, _)| id), theirs.map(|(id, _)| id));
    assert_eq!(ours.map(|(_, end)| end), Some(End::Dialler));
    let of = |peer: u32| {
        let connected = |a: &&Arrival| matches!(a, Arrival::Connected { peer: p, .. } if *p == peer);
        two.arrivals.iter().filter(connected).count()
    };
    assert_eq!((of(0), of(1), two.arrivals.len()), (1, 1, 2));
}

#[test]
fn a_dial_to_nobody_is_given_up() {
    let mut two = Two::new();
    two.flow.leave(SimTime::START, 1, true);
    two.dial(0);
    two.until(1_900 * MS);
    assert_eq!(two.phases(), [Some(Phase::Dialling), None]);
    two.until(2_100 * MS);
    assert_eq!(two.phases(), [None, None]);
    assert!(matches!(
        two.arrivals[..],
        [Arrival::Disconnected { peer: 0, other: 1 }]
    ));
}

#[test]
fn who_is_turned_away_hears_it_after_a_round_trip_and_may_come_later() {
    let mut two = Two::new();
    let every = std::time::Duration::from_secs(2);
    let allowance = Allowance { every, at_once: 1 };
    two.flow.answer_only(1, Some(allowance));
    two.dial(0);
    two.until(SECOND);
    assert_eq!(two.phases(), [Some(Phase::Open); 2]);
    two.flow.hang_up(two.now, 0, 1);
    two.until(1_200 * MS);
    two.arrivals.clear();
    assert!(two.dial(0));
    two.until(1_200 * MS + 2 * ONE_WAY + SLACK);
    assert_eq!(two.phases(), [None, None]);
    assert!(matches!(
        two.arrivals[..],
        [Arrival::Disconnected { peer: 0, other: 1 }]
    ));
    two.until(3 * SECOND);
    assert!(two.dial(0));
    two.until(4 * SECOND);
    assert_eq!(two.phases(), [Some(Phase::Open); 2]);
}

#[test]
fn a_goodbye_travels_and_a_crash_is_noticed_late() {
    for (crash, noticed) in [(false, 40 * MS), (true, 2_000 * MS)] {
        let mut two = Two::new();
        two.dial(0);
        two.until(SECOND);
        two.flow.leave(two.now, 0, crash);
        assert_eq!(two.phases(), [None, Some(Phase::Open)]);
        two.until(SECOND + noticed - MS);
        assert_eq!(two.phases(), [None, Some(Phase::Open)], "crash {crash}");
        two.until(SECOND + noticed + MS);
        assert_eq!(two.phases(), [None, None]);
    }
}

#[test]
fn a_lost_packet_costs_what_quic_takes_to_repeat_it() {
    for (apart_ms, trips) in repeats::COST {
        let mut two = Two::in_weather(Weather::new(3, 0.0, 3.0 * MS as f64));
        two.dial(0);
        two.until(SECOND);
        two.flow.set_loss(0.01);
        let sent = |seq: u64| SECOND + seq * apart_ms * MS;
        for seq in 0..8_000 {
            two.send(seq, SimTime(u64::MAX));
            two.until(sent(seq + 1));
        }
        two.until(two.now.0 + 2 * SECOND);
        assert_eq!(two.came.len(), 8_000, "all of them come");
        assert!(two.flow.lost().on_the_way >= 40);
        let took = |&(seq, at): &(u64, SimTime)| (at.0 - sent(seq)) as f64 / MS as f64;
        let cost = repeats::cost_ms(two.came.iter().map(took).collect()) * MS as f64 / (2 * ONE_WAY) as f64;
        assert!(trips.contains(&cost), "{apart_ms} ms apart: {cost} round trips");
    }
}

#[test]
fn what_is_too_late_is_not_sent_again() {
    for (patience, expired) in [(50 * MS, 1), (250 * MS, 0)] {
        let mut two = Two::new();
        two.dial(0);
        two.until(SECOND);
        two.flow.set_loss(1.0);
        two.send(0, two.now.plus(patience));
        two.flow.set_loss(0.0);
        two.until(3 * SECOND);
        assert_eq!(two.flow.lost().expired, expired);
        assert_eq!(two.came.len() as u64, 1 - expired);
    }
}

#[test]
fn a_full_queue_costs_a_repetition_and_a_lost_connection_everything() {
    let mut two = Two::new();
    two.dial(0);
    two.until(SECOND);
    // The queue is full after 100 ms of 10 Mbit/s, some 35 chunks.
    for seq in 0..40 {
        two.send(seq, SimTime(u64::MAX));
    }
    let dropped = two.flow.uplink(0).dropped;
    assert!((1..10).contains(&dropped), "{dropped}");
    two.until(3 * SECOND);
    assert_eq!(two.came.len(), 40);
    two.flow.set_loss(1.0);
    two.send(40, SimTime(u64::MAX));
    two.flow.set_loss(0.0);
    two.flow.leave(two.now, 0, true);
    two.until(6 * SECOND);
    assert_eq!(two.came.len(), 40, "who is gone repeats nothing");
}
