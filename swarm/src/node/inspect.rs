//! A look inside, for people.

use std::collections::BTreeSet;

use wire::{PeerId, StreamId, Substream, SubstreamSet, Time};

use super::{Ctx, Node};
use crate::io::Outbox;
use crate::stats::{LinkStats, NodeStats, StreamStats, SubstreamStats};
use crate::stream::Stream;

impl Node {
    /// Counters and state for people. Not for the hot path.
    pub fn stats(&self, now: Time) -> NodeStats {
        let neighbours = self
            .neighbours
            .iter()
            .map(|(peer, neighbour)| {
                let mut supplies = SubstreamSet::EMPTY;
                let mut supplied = SubstreamSet::EMPTY;
                for state in self.streams.iter().filter_map(|stream| stream.peers.get(peer)) {
                    supplies = supplies.or(state.supplies);
                    supplied = supplied.or(state.supplied);
                }
                LinkStats {
                    peer: *peer,
                    addr: neighbour.addr,
                    rtt_ms: neighbour.rtt().as_secs_f64() * 1000.0,
                    bytes_in: neighbour.bytes_in,
                    bytes_out: neighbour.bytes_out,
                    role: neighbour.role,
                    trust: self.trust.claim(now, *peer),
                    standing: 1.0 - self.standings.of(*peer).misbehaviour(now),
                    supplies,
                    supplied,
                }
            })
            .collect();
        NodeStats {
            coord: self.vivaldi.coord(),
            coord_error: self.vivaldi.error(),
            upload: self.uplink.rate(),
            backlog_ms: self.uplink.backlog(now).as_millis().min(u128::from(u32::MAX)) as u32,
            neighbours,
            ring: self
                .overlay
                .stats(coords::hcurve::position_of(&self.vivaldi.published())),
            streams: self
                .streams
                .iter()
                .map(|stream| stream.stats(self, now))
                .collect(),
            trust: self.trust.stats(now, &self.creditable()),
            bytes_control: self.bytes_control,
            bytes_rejected: self.bytes_rejected,
        }
    }
}

impl Node {
    /// Those with whom credit is of use now: who supplies this node, or, if nobody does, its neighbours.
    fn creditable(&self) -> BTreeSet<PeerId> {
        let peers = self.streams.iter().flat_map(|stream| stream.peers.iter());
        let suppliers: BTreeSet<_> = peers
            .filter(|(_, state)| !state.supplies.is_empty())
            .map(|(peer, _)| *peer)
            .collect();
        if suppliers.is_empty() {
            self.neighbours.iter().map(|(peer, _)| *peer).collect()
        } else {
            suppliers
        }
    }

    /// Whether a peer comes last here, where there is not enough for all: it only takes, as far as this node knows.
    pub fn comes_last(&mut self, now: Time, stream: &StreamId, peer: PeerId) -> bool {
        let mut last = false;
        let out = &mut Outbox::new();
        with_stream!(self, now, out, stream, |stream, ctx| last =
            stream.only_takes(ctx, peer));
        last
    }

    /// Bytes that this node owes a peer by what both signed, and has not given it since.
    pub fn owed(&self, now: Time, peer: PeerId) -> u64 {
        let owed = self.trust.owed(now, peer).unwrap_or(0);
        u64::try_from(owed).unwrap_or(0)
    }

    /// Whether this node keeps a local tracker of any stream.
    pub fn keeps_tracker(&self) -> bool {
        self.streams.iter().any(|stream| stream.tracking.is_some())
    }
}

impl Stream {
    fn stats(&self, node: &Node, now: Time) -> StreamStats {
        let clock = self.clock.estimate(now);
        let playout = self.playout.as_ref();
        let point = playout.and_then(|p| p.point());
        let chunk_ms = self.chunk_duration().as_secs_f64() * 1000.0;
        let buffered = point.map_or(0, |point| point.behind(self.window.first_hole(point)));
        let ms = |us: i64| us as f64 / 1000.0;
        StreamStats {
            stream: Some(self.id),
            role: self.role,
            info: self.info.as_ref().map(|(info, _)| info.clone()),
            tracker: self.tracker(node),
            is_tracker: self.tracking.is_some(),
            head: self.head(),
            playout_point: point,
            buffer_ms: (buffered as f64 * chunk_ms) as u32,
            target_lag_ms: clock.and_then(|c| playout?.target_lag_us(c.offset_us)).map(ms),
            lag_ms: playout.and_then(|p| p.lag_us).map(ms),
            arrival_ms: self.counters.arrival_us.map(ms),
            clock_error_ms: clock.map(|c| f64::from(c.error_us) / 1000.0),
            chunks_played: playout.map_or(0, |p| p.played),
            chunks_missed: playout.map_or(0, |p| p.missed),
            chunks_late: playout.map_or(0, |p| p.late),
            bytes_in: self.counters.bytes_in,
            bytes_out: self.counters.bytes_out,
            bytes_duplicate: self.counters.bytes_duplicate,
            repairs_requested: self.counters.repairs_requested,
            no_room: self.without_room().len() as u16,
            short: self.short(),
            slots: self.slots,
            slots_used: self.slots_used(),
            substreams: (0..self.k())
                .map(|s| self.substream_stats(Substream(s), now))
                .collect(),
        }
    }

    fn tracker(&self, node: &Node) -> Option<(wire::PeerId, std::net::SocketAddr, u32)> {
        if let Some(tracking) = &self.tracking {
            let addr = node.config.listen.first().copied()?;
            return Some((node.config.peer, addr, tracking.tracker.members() as u32));
        }
        // Whoever has not answered yet may be none.
        let trusted = |peer: &wire::PeerId| self.membership.trusted.last() == Some(*peer);
        let peer = self.membership.tracker.filter(trusted)?;
        Some((peer, self.membership.tracker_addr?, self.membership.members))
    }

    fn substream_stats(&self, substream: Substream, now: Time) -> SubstreamStats {
        let Some(sub) = self.sub(substream) else {
            return SubstreamStats::default();
        };
        SubstreamStats {
            parent: sub.parent,
            children: sub.children.len() as u16,
            lag_ms: self.lag_us(substream, now).map(|us| us / 1000.0),
            hops: sub.hops,
        }
    }
}
