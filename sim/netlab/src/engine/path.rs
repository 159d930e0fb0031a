//! The way of a packet.

use std::cmp::Reverse;

use super::{Engine, Flight, NOBODY, Stage, Why};
use crate::gateway::be32;

/// Packets that leave within this time of one another are one burst, such as the packets of one chunk, and meet the
/// same queues on their way: they have the same jitter.
const BURST_NS: u64 = 1_000_000;

/// IGMP says which groups a host wants, to its own router: it goes nowhere else.
const IGMP: u8 = 2;

impl Engine {
    fn drop_packet(&mut self, slot: u32, node: usize, pair: Option<(usize, usize)>, why: Why) {
        self.nodes[node].traffic.drops[why as usize] += 1;
        if let Some((from, to)) = pair {
            let n = self.nodes.len();
            self.pairs[from * n + to].drops += 1;
        }
        self.pool.give_back(slot);
    }

    fn push(&mut self, due: u64, slot: u32, flight: Flight) {
        if self.flights.len() <= slot as usize {
            self.flights.resize(slot as usize + 1024, flight);
        }
        self.flights[slot as usize] = flight;
        self.sequence = self.sequence.wrapping_add(1) & 0xffff_ffff;
        self.due
            .push(Reverse((due, self.sequence << 32 | u64::from(slot))));
    }

    fn separated(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        a.cut || b.cut || a.group != b.group
    }

    /// A packet of `len` bytes in `slot` was read from the device of node `from`.
    pub(crate) fn ingress(&mut self, from: usize, slot: u32, len: usize, now: u64) {
        let traffic = &mut self.nodes[from].traffic;
        traffic.sent_packets += 1;
        traffic.sent_bytes += len as u64;
        let packet = &mut self.pool.buffer(slot)[..len];
        if len < 20 || packet[0] >> 4 != 4 {
            return self.drop_packet(slot, from, None, Why::NoRoute);
        }
        let (protocol, target) = (packet[9], be32(&packet[16..]));
        let lan = self.nodes[from].lan;
        if target >> 28 == 0xe || target == u32::MAX {
            return self.multicast(from, slot, len, protocol, now);
        }
        let mut flight = Flight {
            len: len as u16,
            from: from as u16,
            to: NOBODY,
            stage: Stage::Arrive,
        };
        if let Some(&to) = lan.and_then(|lan| self.lan_route.get(&(lan, target))) {
            if self.separated(from, usize::from(to)) {
                return self.drop_packet(slot, from, Some((from, usize::from(to))), Why::Cut);
            }
            (flight.to, flight.stage) = (to, Stage::Deliver);
            return self.push(now + self.lan_delay, slot, flight);
        }
        let mut hairpin = false;
        if let Some(at) = self.nodes[from].gateway {
            let gateway = &mut self.gateways[at];
            hairpin = gateway.kind.translates() && gateway.external == target;
            if (hairpin && !gateway.hairpin) || !gateway.outbound(packet, from, now) {
                return self.drop_packet(slot, from, None, Why::Nat);
            }
        }
        if target & 0xffff_0000 == self.base {
            flight.to = self.route[(target & 0xffff) as usize];
        }
        if flight.to == NOBODY {
            return self.drop_packet(slot, from, None, Why::NoRoute);
        }
        if hairpin {
            return self.push(now + self.lan_delay, slot, flight);
        }
        self.cross(slot, flight, now);
    }

    /// Through the uplink and over the wide network.
    fn cross(&mut self, slot: u32, flight: Flight, now: u64) {
        let (from, to) = (usize::from(flight.from), usize::from(flight.to));
        let (pair, len, n) = (Some((from, to)), usize::from(flight.len), self.nodes.len());
        if self.separated(from, to) {
            return self.drop_packet(slot, from, pair, Why::Cut);
        }
        if len > self.nodes[from].path_mtu.min(self.nodes[to].path_mtu) {
            return self.drop_packet(slot, from, pair, Why::Mtu);
        }
        let Some(sent) = self.nodes[from].up.admit(now, len) else {
            return self.drop_packet(slot, from, pair, Why::UpQueue);
        };
        let way = &mut self.pairs[from * n + to];
        let rng = &mut self.rng;
        // Each draws, whatever the others said, so that one loss does not move another's.
        let lost = self.nodes[from].loss_up.hit(rng)
            | self.nodes[to].loss_down.hit(rng)
            | (way.loss > 0.0 && rng.unit() < way.loss);
        if lost {
            return self.drop_packet(slot, from, pair, Why::Loss);
        }
        let means = (self.nodes[from].jitter_up, self.nodes[to].jitter_down);
        if means.0 + means.1 > 0.0 && (sent > way.last_sent + BURST_NS || way.last_sent == 0) {
            way.jitter = (rng.exponential() * means.0 + rng.exponential() * means.1) as u64;
        }
        way.last_sent = sent;
        let access = self.nodes[from].access_delay + self.nodes[to].access_delay;
        let mut due = sent + way.delay + access + way.jitter;
        if !self.reorder {
            due = due.max(way.last_due);
            way.last_due = due;
        }
        self.push(due, slot, flight);
    }

    /// A copy for every other member of the sender's LAN.
    fn multicast(&mut self, from: usize, slot: u32, len: usize, protocol: u8, now: u64) {
        let members = match self.nodes[from].lan {
            Some(lan) if protocol != IGMP => self.lans[usize::from(lan)].1.clone(),
            _ => Vec::new(),
        };
        for to in members {
            if usize::from(to) == from || self.separated(from, usize::from(to)) {
                continue;
            }
            if let Some(copy) = self.pool.take() {
                let bytes = self.pool.buffer(slot)[..len].to_vec();
                self.pool.buffer(copy)[..len].copy_from_slice(&bytes);
                let flight = Flight {
                    len: len as u16,
                    from: from as u16,
                    to,
                    stage: Stage::Deliver,
                };
                self.push(now + self.lan_delay, copy, flight);
            }
        }
        self.pool.give_back(slot);
    }

    /// Does all that is due up to `until`. `out` is given the node, the packet and when it was due, writes to the
    /// node's device and says whether that worked.
    pub(crate) fn run_due(&mut self, until: u64, mut out: impl FnMut(usize, &[u8], u64) -> bool) {
        while let Some(&Reverse((due, key))) = self.due.peek().filter(|first| first.0.0 <= until) {
            self.due.pop();
            let slot = key as u32;
            let mut flight = self.flights[slot as usize];
            // Counted for the public target, even where a gateway passes it on to another node.
            let (from, public) = (usize::from(flight.from), usize::from(flight.to));
            if flight.stage == Stage::Arrive {
                match self.arrive(slot, &mut flight, due) {
                    Err(why) => {
                        self.drop_packet(slot, usize::from(flight.to), Some((from, public)), why);
                        continue;
                    }
                    Ok(at) if at > until => {
                        flight.stage = Stage::Deliver;
                        self.push(at, slot, flight);
                        continue;
                    }
                    Ok(_) => {}
                }
            }
            let (to, len) = (usize::from(flight.to), usize::from(flight.len));
            let n = self.nodes.len();
            if self.nodes[to].cut {
                self.drop_packet(slot, to, Some((from, to)), Why::Cut);
            } else if out(to, &self.pool.buffer(slot)[..len], due) {
                let traffic = &mut self.nodes[to].traffic;
                traffic.received_packets += 1;
                traffic.received_bytes += len as u64;
                self.pairs[from * n + to].bytes += len as u64;
                self.pool.give_back(slot);
            } else {
                self.drop_packet(slot, to, Some((from, to)), Why::Write);
            }
        }
    }

    /// At the receiver's side: through its gateway, which may name another node, and its downlink. When it is there.
    fn arrive(&mut self, slot: u32, flight: &mut Flight, due: u64) -> Result<u64, Why> {
        let (to, len) = (usize::from(flight.to), usize::from(flight.len));
        if self.separated(usize::from(flight.from), to) {
            return Err(Why::Cut);
        }
        if let Some(at) = self.nodes[to].gateway {
            let inner = self.gateways[at].inbound(&mut self.pool.buffer(slot)[..len], due);
            flight.to = inner.ok_or(Why::Nat)? as u16;
        }
        let downlink = &mut self.nodes[usize::from(flight.to)].down;
        downlink.admit(due, len).ok_or(Why::DownQueue)
    }
}
