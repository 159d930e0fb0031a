//! Hosts that talk to each other over real QUIC connections, without anybody to act for them.

use std::sync::Arc;
use std::time::Duration;

use swarm::Class;
use wire::message::Bye;
use wire::{Chunk, ChunkFlags, ChunkHeader, SecretKey, Seq, Time, codec};

use super::*;
use crate::net::Letter;
use crate::queue::Calendar;
use crate::time::{MS, SECOND};

const ONE_WAY: u64 = 40 * MS;
const UPLINK: u64 = 10_000_000;

/// Two hosts, and what happened to them.
struct Two {
    net: Packets,
    queue: Calendar<crate::net::Event>,
    arrivals: Vec<(SimTime, Arrival)>,
    now: SimTime,
}

fn source() -> SecretKey {
    SecretKey::from_bytes(&[9; 32])
}

impl Two {
    fn new(loss: f64, jitter_ns: u64) -> Self {
        let mut net = Packets::new(PacketConfig {
            weather: Weather::new(3, 0.0, jitter_ns as f64),
            loss,
            packets: 3,
            queue_ns: 100 * MS,
            idle_timeout: Duration::from_secs(2),
            stream: source().stream_id(),
        });
        for n in 0..2 {
            let site = Site {
                key: SecretKey::from_bytes(&[n + 1; 32]),
                upload_bps: UPLINK,
                download_bps: None,
            };
            net.add(SimTime::START, site);
            net.start(SimTime::START, n.into());
        }
        Two {
            net,
            queue: Calendar::new(),
            arrivals: Vec::new(),
            now: SimTime::START,
        }
    }

    fn connected(loss: f64, jitter_ns: u64) -> Self {
        let mut two = Two::new(loss, jitter_ns);
        two.dial(0);
        two.until(SECOND);
        assert!(two.net.is_open(0, 1) && two.net.is_open(1, 0));
        two.arrivals.clear();
        two
    }

    fn dial(&mut self, from: u32) {
        assert!(self.net.connect(self.now, from, 1 - from, ONE_WAY));
        self.pump(self.now);
    }

    fn pump(&mut self, now: SimTime) {
        self.net.flush(now);
        for (at, event) in self.net.out().later.drain(..) {
            self.queue.push(at, event);
        }
        self.arrivals
            .extend(self.net.out().arrivals.drain(..).map(|a| (now, a)));
    }

    fn until(&mut self, ns: u64) {
        self.pump(self.now);
        while let Some((at, event)) = self.queue.pop_until(SimTime(ns)) {
            if let crate::net::Event::Packet(event) = event {
                self.net.handle(at, event);
            }
            self.pump(at);
        }
        self.now = SimTime(ns);
    }

    /// Sends a chunk of 3500 bytes from host 0 to host 1.
    fn send(&mut self, seq: u64) {
        let header = ChunkHeader {
            stream: source().stream_id(),
            session: Seq(0),
            seq: Seq(seq),
            generated_at: Time::from_micros(seq),
            duration: Duration::from_millis(8),
            flags: ChunkFlags::default(),
        };
        let chunk = Chunk::sign(header, Bytes::from(vec![seq as u8; 3500]), &source());
        let copy = Copy {
            chunk: Arc::new(chunk),
            hops: 1,
            class: Class::Live,
            until: self.now.plus(5 * SECOND),
        };
        self.net.send_chunk(self.now, 0, 1, copy);
    }

    /// Milliseconds after which each chunk came, if sent in the order of their numbers every 8 ms.
    fn chunk_times(&self, sent: impl Fn(u64) -> u64) -> Vec<(u64, f64)> {
        let chunk = |(at, arrival): &(SimTime, Arrival)| match arrival {
            Arrival::Chunk { peer: 1, chunk, .. } => {
                let seq = chunk.seq().0;
                Some((seq, (at.0 - sent(seq)) as f64 / MS as f64))
            }
            _ => None,
        };
        self.arrivals.iter().filter_map(chunk).collect()
    }

    fn connections(&self, of: u32) -> Vec<(u64, bool)> {
        let connected = |(at, arrival): &(SimTime, Arrival)| match arrival {
            Arrival::Connected { peer, dialled, .. } if *peer == of => Some((at.0 / MS, *dialled)),
            _ => None,
        };
        self.arrivals.iter().filter_map(connected).collect()
    }

    fn ends(&self, of: u32) -> Vec<u64> {
        let over = |(at, arrival): &(SimTime, Arrival)| match arrival {
            Arrival::Disconnected { peer, .. } if *peer == of => Some(at.0 / MS),
            _ => None,
        };
        self.arrivals.iter().filter_map(over).collect()
    }
}

#[test]
fn a_real_handshake_takes_one_round_trip_and_half_of_another() {
    let mut two = Two::new(0.0, 0);
    two.dial(0);
    two.until(SECOND);
    let (dialler, acceptor) = (two.connections(0), two.connections(1));
    // Each packet takes a millisecond of the uplink.
    assert!(matches!(dialler[..], [(80..=84, true)]), "{dialler:?}");
    assert!(matches!(acceptor[..], [(120..=128, false)]), "{acceptor:?}");
}

#[test]
fn chunks_and_messages_arrive_as_they_were_sent() {
    let mut two = Two::connected(0.0, 0);
    let said = Message::from(Bye {
        reason: ByeReason::Unneeded,
    });
    let mail = Mail {
        bytes: 0,
        frame: codec::encode(&said).into(),
        letter: Letter::Message(Box::new(said.clone())),
    };
    two.net.send(two.now, 1, 0, mail);
    for seq in 0..100 {
        two.send(seq);
        two.until(SECOND + (seq + 1) * 8 * MS);
    }
    two.until(3 * SECOND);
    let times = two.chunk_times(|seq| SECOND + seq * 8 * MS);
    assert_eq!(times.len(), 100);
    // Three packets at 10 Mbit/s, then the delay. The first window is used up before it has grown, once.
    assert!(times.iter().all(|(_, ms)| (42.5..80.0).contains(ms)), "{times:?}");
    assert!(
        times[20..].iter().all(|(_, ms)| (42.5..44.5).contains(ms)),
        "{times:?}"
    );
    let got = |(_, a): &(SimTime, Arrival)| matches!(a, Arrival::Letter { peer: 0, letter: Letter::Message(m), .. } if **m == said);
    assert_eq!(two.arrivals.iter().filter(|a| got(a)).count(), 1);
}

#[test]
fn what_is_lost_is_repeated_a_round_trip_later() {
    let mut two = Two::connected(0.1, 0);
    for seq in 0..500 {
        two.send(seq);
        two.until(SECOND + (seq + 1) * 8 * MS);
    }
    two.until(8 * SECOND);
    let times = two.chunk_times(|seq| SECOND + seq * 8 * MS);
    assert_eq!(times.len(), 500, "all of them");
    let late = times.iter().filter(|(_, ms)| *ms > 100.0).count();
    // A tenth of the copies loses one of its packets.
    assert!((30..90).contains(&late), "{late}");
    assert!(two.net.lost().on_the_way >= late as u64);
}

#[test]
fn nobody_sends_more_than_the_uplink_carries() {
    let mut two = Two::connected(0.0, 0);
    let before = two.net.uplink(0).bytes;
    // Twice the uplink, for two seconds.
    for n in 0..1400 {
        two.send(n);
        two.until(SECOND + n * 1_430_000);
    }
    let carried = (two.net.uplink(0).bytes - before) as f64 * 8.0;
    assert!(carried <= UPLINK as f64 * (2.0 + 0.12), "{carried}");
    assert!(carried > UPLINK as f64 * 1.8, "{carried}: and the uplink is used");
    assert!(two.net.uplink(0).within_rate());
}

#[test]
fn two_that_dial_each_other_keep_the_same_connection() {
    let mut two = Two::new(0.0, 0);
    two.dial(0);
    two.dial(1);
    two.until(4 * SECOND);
    assert_eq!((two.connections(0).len(), two.connections(1).len()), (1, 1));
    assert_eq!((two.ends(0).len(), two.ends(1).len()), (0, 0));
    two.send(0);
    two.until(5 * SECOND);
    assert_eq!(two.chunk_times(|_| 4 * SECOND).len(), 1);
}

#[test]
fn a_goodbye_travels_and_a_crash_is_noticed_late() {
    let mut two = Two::connected(0.0, 0);
    two.net.leave(two.now, 0, false);
    two.until(4 * SECOND);
    assert!(matches!(two.ends(1)[..], [1040..=1045]), "{:?}", two.ends(1));
    assert!(!two.net.is_open(1, 0));

    let mut two = Two::connected(0.0, 0);
    two.net.leave(two.now, 0, true);
    two.until(5 * SECOND);
    // Two seconds after the first keep-alive that was not answered.
    assert!(matches!(two.ends(1)[..], [3000..=3700]), "{:?}", two.ends(1));
}

#[test]
fn who_was_killed_and_comes_again_says_that_it_has_lost_its_connections() {
    let mut two = Two::connected(0.0, 0);
    two.net.leave(two.now, 1, true);
    two.net.start(two.now, 1);
    two.send(0);
    two.until(4 * SECOND);
    // A round trip after what was sent, or was on its way.
    assert!(matches!(two.ends(0)[..], [1040..=1090]), "{:?}", two.ends(0));
}

#[test]
fn a_dial_to_nobody_is_given_up() {
    let mut two = Two::new(0.0, 0);
    two.net.leave(two.now, 1, true);
    two.dial(0);
    two.until(5 * SECOND);
    assert!(matches!(two.ends(0)[..], [1900..=3000]), "{:?}", two.ends(0));
}

#[test]
fn the_same_happens_again_though_keys_of_handshakes_differ() {
    let run = || {
        let mut two = Two::connected(0.05, 3 * MS);
        for seq in 0..200 {
            two.send(seq);
            two.until(SECOND + (seq + 1) * 8 * MS);
        }
        two.until(4 * SECOND);
        (
            two.chunk_times(|_| 0),
            two.net.uplink(0).bytes,
            two.net.uplink(1).bytes,
        )
    };
    assert_eq!(run(), run());
}
