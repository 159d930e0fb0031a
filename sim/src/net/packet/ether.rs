//! What happens to a datagram between two hosts: the sender's uplink, loss, delay, the receiver's downlink.

use std::collections::BTreeMap;

use bytes::BytesMut;
use quic::IP_UDP_HEADERS;

use super::Event;
use crate::net::{self, Arrival, Line, Out, Weather};
use crate::time::{MS, SimTime};

/// Packets that leave within this time of one another are one burst, such as the packets of one chunk, and meet the
/// same queues on their way: they have the same jitter, as in the emulator.
const BURST_NS: u64 = MS;

/// A datagram on its way.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(super) from: u32,
    pub(super) to: u32,
    /// It is through the downlink already.
    landed: bool,
    pub(super) data: BytesMut,
}

/// What was sent while it was counted, by everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Datagrams.
    pub(crate) packets: u64,
    /// Their bytes as IP packets.
    pub(crate) bytes: u64,
}

/// One direction between two hosts.
#[derive(Debug)]
struct Path {
    one_way_ns: u64,
    /// When the latest datagram left, and is due.
    left: Option<SimTime>,
    due: SimTime,
    jitter_ns: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Ether {
    lines: Vec<(Line, Option<Line>)>,
    paths: BTreeMap<(u32, u32), Path>,
    weather: Weather,
    queue_ns: u64,
    pub(super) counting: bool,
    pub(super) counted: Counted,
    /// Datagrams that did not arrive.
    pub(super) lost: u64,
    pub(super) out: Out,
}

impl Ether {
    pub(super) fn new(weather: Weather, queue_ns: u64) -> Self {
        Ether {
            lines: Vec::new(),
            paths: BTreeMap::new(),
            weather,
            queue_ns,
            counting: false,
            counted: Counted::default(),
            lost: 0,
            out: Out::default(),
        }
    }

    pub(super) fn add(&mut self, uplink: Line, downlink: Option<Line>) {
        self.lines.push((uplink, downlink));
    }

    pub(super) fn uplink(&self, host: u32) -> &Line {
        &self.lines[host as usize].0
    }

    pub(super) fn set_upload(&mut self, host: u32, bps: u64) {
        self.lines[host as usize].0.set_rate(bps);
    }

    pub(super) fn set_loss(&mut self, loss: f64) {
        self.weather.set_loss(loss);
    }

    /// How far two hosts are from each other, which must be known before anything is sent.
    pub(super) fn know(&mut self, a: u32, b: u32, one_way_ns: u64) {
        for pair in [(a, b), (b, a)] {
            self.paths.entry(pair).or_insert(Path {
                one_way_ns,
                left: None,
                due: SimTime::START,
                jitter_ns: 0,
            });
        }
    }

    /// Sends a datagram. Returns its bytes as an IP packet.
    pub(super) fn send(&mut self, now: SimTime, from: u32, to: u32, data: &[u8]) -> u64 {
        let bytes = data.len() as u64 + IP_UDP_HEADERS;
        let Some(path) = self.paths.get_mut(&(from, to)) else {
            return 0;
        };
        if self.counting {
            self.counted.packets += 1;
            self.counted.bytes += bytes;
        }
        let Some(left) = self.lines[from as usize].0.offer(now, bytes, self.queue_ns) else {
            self.lost += 1;
            return bytes;
        };
        let fate = self.weather.draw();
        if fate.lost {
            self.lost += 1;
            return bytes;
        }
        if path.left.is_none_or(|before| left > before.plus(BURST_NS)) {
            path.jitter_ns = fate.jitter_ns;
        }
        path.left = Some(left);
        path.due = left.plus(path.one_way_ns + path.jitter_ns).max(path.due);
        let datagram = Box::new(Datagram {
            from,
            to,
            landed: false,
            data: BytesMut::from(data),
        });
        let due = path.due;
        self.later(due, Event::Datagram(datagram));
        bytes
    }

    /// A datagram is at its receiver's downlink. Gives it back if it is through.
    pub(super) fn land(&mut self, now: SimTime, mut datagram: Box<Datagram>) -> Option<Box<Datagram>> {
        let downlink = self.lines[datagram.to as usize].1.as_mut();
        let Some(downlink) = downlink.filter(|_| !datagram.landed) else {
            return Some(datagram);
        };
        let bytes = datagram.data.len() as u64 + IP_UDP_HEADERS;
        match downlink.offer(now, bytes, self.queue_ns) {
            Some(at) => {
                datagram.landed = true;
                self.later(at, Event::Datagram(datagram));
            }
            None => self.lost += 1,
        }
        None
    }

    pub(super) fn later(&mut self, at: SimTime, event: Event) {
        self.out.later.push((at, net::Event::Packet(event)));
    }

    pub(super) fn arrive(&mut self, arrival: Arrival) {
        self.out.arrivals.push_back(arrival);
    }
}
