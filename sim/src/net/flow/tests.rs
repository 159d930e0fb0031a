//! Connections between two peers without anybody to act for them.

use super::*;
use crate::queue::Calendar;
use crate::time::{MS, SECOND};

const ONE_WAY: u64 = 40 * MS;
/// What the handshake's packets take on the uplinks.
const SLACK: u64 = 10 * MS;

/// A network without loss and jitter, and its events.
struct Two {
    flow: Flow,
    queue: Calendar<super::super::Event>,
    arrivals: Vec<Arrival>,
    now: SimTime,
}

impl Two {
    fn new() -> Self {
        let mut flow = Flow::new(FlowConfig {
            weather: Weather::new(1, 0.0, 0.0),
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
            now: SimTime::START,
        }
    }

    fn dial(&mut self, from: u32) -> bool {
        self.flow.connect(self.now, from, 1 - from, ONE_WAY, Vec::new())
    }

    fn until(&mut self, ns: u64) {
        loop {
            for (at, event) in self.flow.out.later.drain(..) {
                self.queue.push(at, event);
            }
            self.arrivals.extend(self.flow.out.arrivals.drain(..));
            let Some((at, event)) = self.queue.pop_until(SimTime(ns)) else {
                break;
            };
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
