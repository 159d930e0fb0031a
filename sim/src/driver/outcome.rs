//! From the world at its end to a result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::giving::Giving;
use super::picture::{Moment, Spot};
use super::world::{Peer, World};
use crate::bound::{Joiner, lower_bound, soonest_starts};
use crate::lab::LabFacts;
use crate::measure::{
    Band, Distribution, Facts, Group, Groups, Histogram, PeerLog, PeerRow, Results, Role, bands, summarise,
};
use crate::net::wire_bytes;
use crate::scenario::Scenario;
use crate::time::MS;

/// The physical lower bound of the lag, from the chunk's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundMs {
    /// Of the mean over all consumers.
    pub mean: f64,
    /// Of the greatest.
    pub max: f64,
}

/// How soon the viewers could start if somebody knew everything: see [`crate::bound::soonest_starts`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoonestMs {
    /// Until chunks of all substreams flow.
    pub flowing: Distribution,
    /// Until playout begins.
    pub started: Distribution,
}

/// How often a kind of control message was sent, and how many bytes of packets it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageCount {
    /// Messages.
    pub messages: u64,
    /// Bytes of whole packets.
    pub bytes: u64,
    /// Those of them that the peercaster sent, whose uplink is the scarcest.
    pub source_bytes: u64,
}

/// What the stream's local trackers did during the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackerCount {
    /// How many there were, once a second.
    pub each_second: Vec<u32>,
    /// How often a new one was made out of a part of another's members.
    pub splits: u64,
    /// How often one gave all its members to another.
    pub merges: u64,
    /// How often a deputy went on in the place of one that was gone.
    pub take_overs: u64,
}

impl TrackerCount {
    pub(super) fn note(&mut self, change: swarm::TrackingChange) {
        match change {
            swarm::TrackingChange::Split => self.splits += 1,
            swarm::TrackingChange::Merged => self.merges += 1,
            swarm::TrackingChange::TookOver => self.take_overs += 1,
        }
    }
}

/// What a run at packet level sent during the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PacketFacts {
    /// Packets of all peers.
    pub packets: u64,
    /// Their bytes, with all headers.
    pub network_bytes: u64,
    /// The same for each byte of media that was new to a consumer.
    pub network_bytes_per_delivered_byte: f64,
}

/// A result file, and what tables and figures need beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The whole scenario after overrides: with the seed, all that a replay needs.
    pub params: Scenario,
    /// Wall-clock time of the run in seconds; whoever ran it fills it in.
    pub wall_s: f64,
    /// Events handled.
    pub events: u64,
    /// Copies of chunks that reached a peer.
    pub deliveries: u64,
    /// Copies lost on the way or dropped by a queue.
    pub lost: u64,
    /// Those of them for which the sender's uplink had no room.
    pub uplink_drops: u64,
    /// Share of the whole run that the peercaster's uplink was busy.
    pub source_busy: f64,
    /// Copies dropped before they were sent because they were of no use any more.
    pub expired: u64,
    /// Honest peers that were shut out by others. Should be none.
    pub bans: u64,
    /// The local trackers.
    #[serde(default)]
    pub trackers: TrackerCount,
    /// What giving was worth; absent where all give.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<Giving>,
    /// Control messages sent during the window, by kind.
    #[serde(default)]
    pub control: BTreeMap<String, MessageCount>,
    /// Peers in all, the peercaster and those that left included.
    pub peers: usize,
    /// Hash over all events: same scenario, same seed, same hash.
    pub audit: String,
    /// The lower bound; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_ms: Option<BoundMs>,
    /// How soon the viewers could start with perfect knowledge; infinite figures mean that some never could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soonest_ms: Option<SoonestMs>,
    /// Results by protocol: `headwater`, and baselines that ran.
    pub results: BTreeMap<String, Results>,
    /// The consumers' lags against their distance from the peercaster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_distance: Vec<Band>,
    /// What is known of a run at packet level only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packet: Option<PacketFacts>,
    /// What is known of a run of real programs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lab: Option<LabFacts>,
    /// The per-peer table.
    #[serde(skip)]
    pub rows: Vec<PeerRow>,
    /// What the traced peers did: number, milliseconds since joining, what.
    #[serde(skip)]
    pub trace: Vec<String>,
    /// Cumulative distributions of the consumers' arrival and playout lag: milliseconds and share.
    #[serde(skip)]
    pub curves: [Vec<(f64, f64)>; 2],
    /// The same of the baselines' playout lag.
    #[serde(skip)]
    pub others: Vec<(String, Vec<(f64, f64)>)>,
    /// How well it went, moment by moment.
    #[serde(skip)]
    pub timeline: Vec<Moment>,
    /// How many chunks of each substream came to a consumer over how many hops.
    #[serde(skip)]
    pub depths: Vec<Vec<u64>>,
    /// Where the peers were at the end, if they had places in a plane.
    #[serde(skip)]
    pub map: Vec<Spot>,
}

/// What nodes and the peercaster promise of their uplinks, and how many children they aim at for each substream that they
/// pass on: as in the swarm.
const PROMISED: f64 = 0.94;
const PROMISED_BY_SOURCE: f64 = 0.85;
const CHILDREN_PER_PRIMARY: u32 = 8;

/// Points of a cumulative distribution: smooth at any size of figure.
pub(crate) const CURVE_POINTS: usize = 500;

pub(super) fn conclude(
    mut world: World,
    bound_ms: Option<BoundMs>,
    soonest_ms: Option<SoonestMs>,
) -> Outcome {
    for number in 0..world.peers.len() as u32 {
        world.take_last_words(number);
    }
    let (timeline, map) = (world.timeline(), world.map());
    let mut arrival = Histogram::new();
    let results = results(&world, &mut arrival);
    let facts = facts(&world);
    let rows: Vec<PeerRow> = world
        .peers
        .iter()
        .enumerate()
        .map(|(number, peer)| row(&world, &facts, number, peer))
        .collect();
    Outcome {
        scenario: world.scenario.name.clone(),
        seed: world.scenario.seed,
        wall_s: 0.0,
        events: world.events,
        deliveries: world.deliveries,
        lost: world.net.lost().on_the_way,
        uplink_drops: (0..world.peers.len() as u32)
            .map(|peer| world.net.uplink(peer).dropped)
            .sum(),
        source_busy: world.net.uplink(0).busy_share(world.end),
        expired: world.net.lost().expired,
        bans: world.bans,
        trackers: world.trackers.clone(),
        trust: results.groups.as_ref().map(|groups| world.giving(groups)),
        control: world
            .kinds
            .iter()
            .map(|(code, count)| (kind_name(*code), *count))
            .collect(),
        peers: world.peers.len(),
        bound_ms,
        soonest_ms,
        results: BTreeMap::from([("headwater".to_owned(), results)]),
        by_distance: bands(&rows),
        packet: packet_facts(&world),
        lab: None,
        rows,
        curves: [arrival.curve(CURVE_POINTS), world.lags.curve(CURVE_POINTS)],
        others: Vec::new(),
        timeline,
        depths: world.depths,
        map,
        audit: world.audit.finish(),
        trace: world.trace.into_lines(),
        params: world.scenario,
    }
}

/// From what the network counted in the window.
fn packet_facts(world: &World) -> Option<PacketFacts> {
    let counted = world.net.counted()?;
    let delivered: u64 = logs(&world.peers, Role::Consumer)
        .map(|log| log.media_in - log.media_duplicate)
        .sum();
    Some(PacketFacts {
        packets: counted.packets,
        network_bytes: counted.bytes,
        network_bytes_per_delivered_byte: counted.bytes as f64 / delivered.max(1) as f64,
    })
}

fn facts(world: &World) -> Facts<'_> {
    Facts {
        chunks: &world.chunks,
        window: world.window,
        end: world.end,
        source_copies: world.peers[0].log.copies_out,
    }
}

/// What the peers of a run came to; `arrival` is filled with the consumers' arrival lags.
pub(super) fn results(world: &World, arrival: &mut Histogram) -> Results {
    let facts = facts(world);
    let of = |role: Role| logs(&world.peers, role);
    let consumers = summarise(&facts, of(Role::Consumer), &world.lags, arrival);
    let nothing = Histogram::new();
    let donors = (of(Role::Donor).count() > 0)
        .then(|| summarise(&facts, of(Role::Donor), &nothing, &mut Histogram::new()));
    Results {
        headline: consumers.clone(),
        consumers,
        donors,
        groups: groups(world, &facts),
    }
}

/// The consumers parted by what they give, here or before elsewhere, unless all give.
fn groups(world: &World, facts: &Facts<'_>) -> Option<Groups> {
    let of = |passive: bool, came: bool| {
        let consumers = world.peers.iter().filter(|peer| peer.spec.role == Role::Consumer);
        let donated = |peer: &Peer| passive && peer.spec.earlier.is_some();
        let of_it = consumers.filter(move |peer| peer.spec.passive == passive && donated(peer) == came);
        Group::of(facts, of_it.map(|peer| &peer.log))
    };
    let (free_riders, earners) = (of(true, false), of(true, true));
    (free_riders.peers + earners.peers > 0).then(|| Groups {
        contributors: of(false, false),
        free_riders,
        earners: (earners.peers > 0).then_some(earners),
    })
}

fn kind_name(code: u8) -> String {
    wire::Message::CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map_or_else(|| code.to_string(), |(_, name)| (*name).to_owned())
}

fn logs(peers: &[Peer], role: Role) -> impl Iterator<Item = &PeerLog> {
    peers
        .iter()
        .map(|peer| &peer.log)
        .filter(move |log| log.role == role)
}

/// For the peers as they were drawn, to be asked before the run; those who come later by churn come instead of them.
pub(super) fn bound(world: &World) -> Option<BoundMs> {
    let stream = &world.scenario.stream;
    let first = 1 + world.scenario.peers.count + world.scenario.donors.count;
    let peers = || (1..first as u32).zip(&world.peers[1..first]);
    let consumers = peers().filter(|(_, peer)| peer.spec.role == Role::Consumer);
    let distance_ms = world
        .space
        .shortest_from_source_ms(consumers.map(|(number, _)| number));
    let per_ms = |bps: u64| bps as f64 / 1000.0;
    let uplinks: Vec<f64> = peers()
        .filter(|(_, peer)| !peer.spec.passive)
        .map(|(_, peer)| per_ms(peer.spec.upload_bps))
        .collect();
    let payload = stream.rate.as_bps() as f64 / 8000.0 * stream.chunk_ms;
    let bits = 8 * wire_bytes(wire::CHUNK_HEADER_LEN as u64 + payload as u64);
    let source = per_ms(world.peers[0].spec.upload_bps);
    lower_bound(&distance_ms, bits as f64, source, &uplinks).map(|bound| BoundMs {
        mean: bound.mean_ms + stream.chunk_ms,
        max: bound.max_ms + stream.chunk_ms,
    })
}

/// Of the promised part of an uplink the copies of a substream that fit, and the share of it that the node promises.
fn slots(world: &World, upload_bps: u64, promised: f64) -> u32 {
    let stream = &world.scenario.stream;
    let frame = wire::CHUNK_HEADER_LEN as f64 + stream.rate.as_bps() as f64 / 8000.0 * stream.chunk_ms;
    let copy_bps = wire_bytes(frame as u64) as f64 * 8000.0 / stream.chunk_ms;
    (promised * upload_bps as f64 * f64::from(stream.substreams) / copy_bps) as u32
}

/// For the peers as they were drawn; `None` where one of them could never start.
pub(super) fn soonest(world: &World) -> Option<SoonestMs> {
    let scenario = &world.scenario;
    let first = 1 + scenario.peers.count + scenario.donors.count;
    let joiners: Vec<Joiner> = (1..first)
        .map(|number| {
            let spec = &world.peers[number].spec;
            let slots = if spec.passive {
                0
            } else {
                slots(world, spec.upload_bps, PROMISED)
            };
            Joiner {
                joins_ms: spec.joins.0 as f64 / MS as f64,
                to_source_ms: world.space.one_way_ns(0, number as u32) as f64 / MS as f64,
                slots,
                passes_on: slots
                    .div_ceil(CHILDREN_PER_PRIMARY)
                    .min(u32::from(scenario.stream.substreams)),
                plays: spec.role == Role::Consumer,
            }
        })
        .collect();
    let soonest = soonest_starts(
        &joiners,
        scenario.stream.substreams,
        slots(world, world.peers[0].spec.upload_bps, PROMISED_BY_SOURCE),
        scenario.stream.gop_ms,
        |a, b| world.space.one_way_ns(a as u32 + 1, b as u32 + 1) as f64 / MS as f64,
    );
    let possible = soonest.started_ms.iter().all(|ms| ms.is_finite()) && !soonest.started_ms.is_empty();
    possible.then(|| SoonestMs {
        flowing: Distribution::of(soonest.flowing_ms),
        started: Distribution::of(soonest.started_ms),
    })
}

fn row(world: &World, facts: &Facts<'_>, number: usize, peer: &Peer) -> PeerRow {
    let (log, uplink) = (&peer.log, world.net.uplink(number as u32));
    let in_ms = |ns: u64| ns as f64 / MS as f64;
    let arrivals: Vec<f64> = facts
        .expected(log)
        .filter_map(|index| log.arrival_ms(index))
        .collect();
    let mean = |sum: f64, n: u64| (n > 0).then(|| sum / n as f64);
    let continuity = facts.continuity(log);
    PeerRow {
        number,
        role: log.role.name(),
        upload_bps: peer.spec.upload_bps,
        distance_ms: if number == 0 {
            0.0
        } else {
            in_ms(world.space.one_way_ns(0, number as u32))
        },
        joined_s: log.joined.as_seconds(),
        left_s: log.left.map(|at| at.as_seconds()),
        startup_ms: Facts::startup_ms(log),
        start: facts.start(log),
        continuity: continuity.map(|(value, _)| value),
        arrival_ms: mean(arrivals.iter().sum(), arrivals.len() as u64),
        lag_ms: mean(in_ms(log.lag_ns), log.played).map(|mean| (mean, in_ms(log.lag_ns_max))),
        hops: mean(log.hops as f64, log.hops_of),
        chunks: (
            continuity.map_or(0, |(_, due)| due),
            log.played,
            log.played - log.in_time,
        ),
        media: (log.media_in, log.media_duplicate, log.media_out),
        control: (log.control_in, log.control_out),
        uplink_drops: uplink.dropped,
        uplink_busy: uplink.busy_share(log.left.unwrap_or(world.end)),
        node: peer.last_words,
    }
}
