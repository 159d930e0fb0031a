//! The gateway before a node or a LAN: address translation, or a firewall.
//!
//! Behaviours have the names of RFC 4787: mapping is independent of the endpoint for the cone types and depends on
//! address and port for `symmetric`; filtering is as the name says.

mod packet;

use std::collections::BTreeMap;

#[cfg(test)]
pub(crate) use packet::be16;
pub(crate) use packet::be32;
use packet::{Flow, Side, TCP, flow, rewrite};

use crate::shape::Rng;

/// What kind of gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    FullCone,
    AddressRestricted,
    PortRestricted,
    Symmetric,
    /// No translation; inbound only as an answer.
    Firewall,
}

impl Kind {
    /// `None` = an open host.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Option<Kind>> {
        Ok(Some(match text {
            "none" => return Ok(None),
            "full-cone" => Kind::FullCone,
            "address-restricted" => Kind::AddressRestricted,
            "port-restricted" => Kind::PortRestricted,
            "symmetric" => Kind::Symmetric,
            "firewall" => Kind::Firewall,
            _ => anyhow::bail!(
                "{text:?} is no kind of nat: none, full-cone, address-restricted, port-restricted, symmetric or \
                 firewall"
            ),
        }))
    }

    pub(crate) fn translates(self) -> bool {
        self != Kind::Firewall
    }
}

/// Protocol, inner address and port, remote address and port (0 where the mapping does not depend on it).
type Key = (u8, u32, u16, u32, u16);

struct Mapping {
    key: Key,
    node: usize,
    last: u64,
    /// Remote endpoints that were sent to (port 0 if only the address counts), and when last used.
    remotes: BTreeMap<(u32, u16), u64>,
}

pub(crate) struct Gateway {
    pub(crate) kind: Kind,
    pub(crate) external: u32,
    pub(crate) hairpin: bool,
    udp_timeout: u64,
    out: BTreeMap<Key, u16>,
    back: BTreeMap<(u8, u16), Mapping>,
    rng: Rng,
    sweep_at: u64,
}

/// What RFC 5382 asks of a TCP mapping at least, and a little: no state of connections is kept.
const TCP_TIMEOUT: u64 = 7200 * 1_000_000_000;
/// Between two looks for what has expired; expiry itself is exact.
const SWEEP: u64 = 10_000_000_000;
/// Ports are drawn so often before they count as exhausted.
const TRIES: u32 = 200_000;

fn lifetime(protocol: u8, udp_timeout: u64) -> u64 {
    if protocol == TCP { TCP_TIMEOUT } else { udp_timeout }
}

impl Gateway {
    pub(crate) fn new(kind: Kind, external: u32, udp_timeout: u64, hairpin: bool, seed: u64) -> Self {
        Gateway {
            kind,
            external,
            hairpin,
            udp_timeout,
            out: BTreeMap::new(),
            back: BTreeMap::new(),
            rng: Rng::new(seed),
            sweep_at: 0,
        }
    }

    /// Forgets every mapping, as a router that starts again.
    pub(crate) fn flush(&mut self) {
        self.out.clear();
        self.back.clear();
    }

    fn sweep(&mut self, now: u64) {
        self.sweep_at = now + SWEEP;
        let udp = self.udp_timeout;
        self.back.retain(|&(protocol, _), mapping| {
            let lives = lifetime(protocol, udp);
            mapping.remotes.retain(|_, last| *last + lives > now);
            mapping.last + lives > now
        });
        let back = &self.back;
        self.out
            .retain(|key, port| back.get(&(key.0, *port)).is_some_and(|m| m.key == *key));
    }

    /// A packet leaves through the gateway; its source is rewritten. False = it cannot be translated.
    pub(crate) fn outbound(&mut self, packet: &mut [u8], node: usize, now: u64) -> bool {
        let Some(flow) = flow(packet) else { return false };
        if now >= self.sweep_at {
            self.sweep(now);
        }
        let Some(port) = self.port_for(&flow, node, now) else {
            return false;
        };
        let remote_port = if self.kind == Kind::AddressRestricted {
            0
        } else {
            flow.target_port
        };
        if let Some(mapping) = self.back.get_mut(&(flow.protocol, port)) {
            mapping.last = now;
            mapping.remotes.insert((flow.target, remote_port), now);
        }
        if self.kind.translates() {
            rewrite(packet, &flow, Side::Source, self.external, port);
        }
        true
    }

    /// The outer port of a flow, mapped anew if it is not.
    fn port_for(&mut self, flow: &Flow, node: usize, now: u64) -> Option<u16> {
        let lives = lifetime(flow.protocol, self.udp_timeout);
        let symmetric = self.kind == Kind::Symmetric;
        let remote = if symmetric {
            (flow.target, flow.target_port)
        } else {
            (0, 0)
        };
        let key = (flow.protocol, flow.source, flow.source_port, remote.0, remote.1);
        if let Some(port) = self.out.get(&key) {
            let mapping = self.back.get(&(flow.protocol, *port));
            if mapping.is_some_and(|m| m.key == key && m.last + lives > now) {
                return Some(*port);
            }
        }
        // Cones and firewalls keep the port if it is free; symmetric ones draw another.
        let mut port = if symmetric { 0 } else { flow.source_port };
        let mut tries = 0;
        let taken = |port: u16| {
            let mapping = self.back.get(&(flow.protocol, port));
            mapping.is_some_and(|m| m.key != key && m.last + lives > now)
        };
        while self.kind.translates() && (port == 0 || taken(port)) {
            port = 1024 + (self.rng.draw() % 64_512) as u16;
            tries += 1;
            if tries > TRIES {
                return None;
            }
        }
        self.out.insert(key, port);
        let mapping = Mapping {
            key,
            node,
            last: now,
            remotes: BTreeMap::new(),
        };
        self.back.insert((flow.protocol, port), mapping);
        Some(port)
    }

    /// A packet reaches the gateway from outside: its target is rewritten and the inner node named, or `None` if the
    /// filter rejects it.
    pub(crate) fn inbound(&mut self, packet: &mut [u8], now: u64) -> Option<usize> {
        let flow = flow(packet)?;
        let lives = lifetime(flow.protocol, self.udp_timeout);
        let mapping = self.back.get_mut(&(flow.protocol, flow.target_port))?;
        if mapping.last + lives <= now {
            return None;
        }
        if self.kind != Kind::FullCone {
            let port = if self.kind == Kind::AddressRestricted {
                0
            } else {
                flow.source_port
            };
            let last = mapping.remotes.get_mut(&(flow.source, port))?;
            if *last + lives <= now {
                return None;
            }
            *last = now;
        }
        mapping.last = now;
        let (node, address, port) = (mapping.node, mapping.key.1, mapping.key.2);
        if self.kind.translates() {
            rewrite(packet, &flow, Side::Target, address, port);
        }
        Some(node)
    }
}

#[cfg(test)]
pub(crate) mod tests;
