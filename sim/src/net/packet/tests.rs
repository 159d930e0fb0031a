//! Hosts that talk to each other over real QUIC connections, without anybody to act for them.

use std::sync::Arc;
use std::time::Duration;

use swarm::Class;
use wire::message::{Bye, Ping};
use wire::{Chunk, ChunkFlags, ChunkHeader, SecretKey, Seq, Time, codec};

use super::*;
use crate::net::{Letter, repeats};
use crate::queue::Calendar;
use crate::time::{MS, SECOND};

const ONE_WAY: u64 = 40 * MS;
const UPLINK: u64 = 10_000_000;

fn ping(nonce: u32) -> Message {
    Ping {
        nonce,
        ..Ping::default()
    }
    .into()
}

fn frame(nonce: u32) -> Bytes {
    codec::encode(&ping(nonce)).into()
}

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
        self.dial_saying(from, &[]);
    }

    fn dial_saying(&mut self, from: u32, nonces: &[u32]) {
        let opening = nonces.iter().map(|nonce| (Box::new(ping(*nonce)), frame(*nonce)));
        let opening = opening.collect();
        assert!(self.net.connect(self.now, from, 1 - from, ONE_WAY, opening));
        self.pump(self.now);
    }

    fn say(&mut self, from: u32, nonce: u32) {
        let mail = Mail {
            bytes: 0,
            frame: frame(nonce),
            letter: Letter::Message(Box::new(ping(nonce))),
        };
        self.net.send(self.now, from, 1 - from, mail);
        self.pump(self.now);
    }

    /// When `of` heard which pings.
    fn heard(&self, of: u32) -> Vec<(u64, u32)> {
        let heard = |(at, arrival): &(SimTime, Arrival)| match arrival {
            Arrival::Letter {
                peer,
                letter: Letter::Message(message),
                ..
            } if *peer == of => match **message {
                Message::Ping(ping) => Some((at.0 / MS, ping.nonce)),
                _ => None,
            },
            _ => None,
        };
        self.arrivals.iter().filter_map(heard).collect()
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

/// Whether the connection was told of before the handshake was over, whether its opening was taken, and when it was proved.
fn told(two: &Two, of: u32) -> (Vec<(bool, bool)>, Vec<u64>) {
    let mut connected = Vec::new();
    let mut proven = Vec::new();
    for (at, arrival) in &two.arrivals {
        match arrival {
            Arrival::Connected {
                peer, rtt, opened, ..
            } if *peer == of => connected.push((rtt.is_none(), *opened)),
            Arrival::Proven { peer, .. } if *peer == of => proven.push(at.0 / MS),
            _ => {}
        }
    }
    (connected, proven)
}

#[test]
fn an_opening_is_answered_after_one_round_trip() {
    let mut two = Two::new(0.0, 0);
    two.dial_saying(0, &[1, 2]);
    while two.heard(1).len() < 2 {
        two.until(two.now.0 + MS / 10);
    }
    // Each packet takes a millisecond of the uplink.
    assert!(
        matches!(two.heard(1)[..], [(40 | 41, 1), (40 | 41, 2)]),
        "{:?}",
        two.heard(1)
    );
    for nonce in 10..14 {
        two.say(1, nonce);
    }
    two.until(SECOND);
    let heard = two.heard(0);
    assert_eq!(
        heard.iter().map(|(_, nonce)| *nonce).collect::<Vec<_>>(),
        [10, 11, 12, 13]
    );
    assert!(heard.iter().all(|(at, _)| (80..=85).contains(at)), "{heard:?}");
    assert_eq!(told(&two, 0), (vec![(false, true)], vec![]));
    let (connected, proven) = told(&two, 1);
    assert_eq!(connected, [(true, false)]);
    assert!(matches!(proven[..], [120..=128]), "{proven:?}");
    // And the control stream takes over.
    two.say(0, 20);
    two.say(1, 21);
    two.until(2 * SECOND);
    assert_eq!(two.heard(1).last().map(|(_, nonce)| *nonce), Some(20));
    assert_eq!(two.heard(0).last().map(|(_, nonce)| *nonce), Some(21));
    assert_eq!((two.ends(0).len(), two.ends(1).len()), (0, 0));
}

#[test]
fn more_than_goes_to_an_unproved_address_follows_the_proof() {
    let mut two = Two::new(0.0, 0);
    two.dial_saying(0, &[1]);
    while two.heard(1).is_empty() {
        two.until(two.now.0 + MS / 10);
    }
    // Some 40 KB in chunks, and more messages than may go before the control stream is there.
    for nonce in 0..200 {
        two.say(1, nonce);
    }
    two.until(SECOND);
    let mut heard: Vec<_> = two.heard(0).iter().map(|(_, nonce)| *nonce).collect();
    heard.sort_unstable();
    assert_eq!(heard, (0..200).collect::<Vec<_>>());
    assert!(two.heard(0).iter().all(|(at, _)| *at < 200), "{:?}", two.heard(0));
}

#[test]
fn two_that_dial_each_other_with_openings_hear_all_and_keep_one_connection() {
    for skew in [0, 5, 39, 41, 60, 79] {
        let mut two = Two::new(0.0, 0);
        two.dial_saying(0, &[1]);
        two.until(skew * MS);
        if two
            .net
            .connect(two.now, 1, 0, ONE_WAY, vec![(Box::new(ping(2)), frame(2))])
        {
            assert!(skew < 41, "it knows of the other's dial");
        }
        for nonce in 10..40 {
            two.until(two.now.0 + 5 * MS);
            for host in [0, 1] {
                if two.net.is_open(host, 1 - host) {
                    two.say(host, nonce);
                }
            }
        }
        two.until(6 * SECOND);
        for host in [0, 1] {
            assert_eq!(two.connections(host).len(), 1, "{skew}: {:?}", two.arrivals);
            assert_eq!(two.ends(host).len(), 0, "{skew}");
            let mut heard: Vec<_> = two.heard(host).iter().map(|(_, nonce)| *nonce).collect();
            heard.sort_unstable();
            assert!(
                heard.ends_with(&(28..40).collect::<Vec<_>>()),
                "{skew}: {heard:?}"
            );
        }
        two.arrivals.clear();
        two.say(0, 50);
        two.say(1, 51);
        two.until(7 * SECOND);
        assert_eq!((two.heard(1)[0].1, two.heard(0)[0].1), (50, 51));
    }
}

#[test]
fn an_opening_that_does_not_fit_stays_at_home() {
    let mut two = Two::new(0.0, 0);
    two.dial_saying(0, &[1, 2, 3, 4, 5]);
    two.until(SECOND);
    assert_eq!(two.heard(1), []);
    assert_eq!(told(&two, 0), (vec![(false, false)], vec![]));
    assert_eq!(told(&two, 1), (vec![(false, false)], vec![]));
}

#[test]
fn a_lost_packet_costs_what_the_flow_model_says() {
    for (apart_ms, trips) in repeats::COST {
        let mut two = Two::connected(0.01, 3 * MS);
        let sent = |seq: u64| SECOND + seq * apart_ms * MS;
        for seq in 0..8_000 {
            two.send(seq);
            two.until(sent(seq + 1));
        }
        two.until(two.now.0 + 2 * SECOND);
        let times = two.chunk_times(sent).into_iter().map(|(_, ms)| ms).collect();
        let cost = repeats::cost_ms(times) * MS as f64 / (2 * ONE_WAY) as f64;
        assert!(trips.contains(&cost), "{apart_ms} ms apart: {cost} round trips");
    }
}
