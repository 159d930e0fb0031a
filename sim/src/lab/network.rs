//! From the draws of a run to an emulated network.

use std::fmt::Write;

use crate::driver::Rehearsal;
use crate::net;
use crate::scenario::{Scenario, Stream};
use netlab::Scenario as Emulated;

/// Between two polls of the emulator while it is busy. With a hundred microseconds every packet is a poll of its own, and the
/// emulator takes a third of a core from twenty viewers of 3.5 Mbit/s; times are off by half of this, either way.
const COALESCE_US: u64 = 400;

/// How it treats every node's packets.
#[derive(Clone, Copy)]
pub(crate) struct Treatment {
    /// Longest queue before an uplink, and before a downlink if there is one.
    pub(crate) queue_ms: f64,
    /// Probability that a packet is lost.
    pub(crate) loss: f64,
    pub(crate) jitter_ms: f64,
    pub(crate) down_bps: Option<u64>,
}

/// The network that a rehearsed run has, with a node for each peer, those that come later included.
pub(crate) fn network(rehearsal: &Rehearsal) -> anyhow::Result<Emulated> {
    let Scenario { network, stream, .. } = &rehearsal.scenario;
    let treatment = Treatment {
        queue_ms: network.queue_ms,
        loss: packet_loss(stream, network.loss),
        jitter_ms: network.jitter_ms,
        down_bps: network.download_x.map(|x| stream.rate.scaled(x).as_bps()),
    };
    let uplinks = rehearsal.peers.iter().map(|part| part.upload_bps);
    let seed = rehearsal.scenario.seed;
    emulated(seed, treatment, uplinks, rehearsal.one_way_ns.clone())
}

/// A network with a node for each uplink, and the one-way delays between them, row by row.
pub(crate) fn emulated(
    seed: u64,
    treatment: Treatment,
    uplinks_bps: impl Iterator<Item = u64>,
    one_way_ns: Vec<u64>,
) -> anyhow::Result<Emulated> {
    // TOML's whole numbers have a sign.
    let mut text = format!(
        "name = \"lab\"\nseed = {}\ncoalesce_us = {COALESCE_US}\n[default]\n",
        seed >> 1
    );
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "queue_ms = {}\nloss_up = {}\njitter_up_ms = {}\n",
        treatment.queue_ms, treatment.loss, treatment.jitter_ms,
    );
    if let Some(down_bps) = treatment.down_bps {
        let _ = writeln!(text, "down = {down_bps}");
    }
    for (number, up) in uplinks_bps.enumerate() {
        let _ = writeln!(text, "[[nodes]]\nname = \"p{number}\"\nup = {up}");
    }
    Ok(Emulated::parse(&text)?.with_delays_ns(one_way_ns))
}

/// The loss of packets with which a copy of a chunk is damaged with this probability.
pub(crate) fn packet_loss(stream: &Stream, copy_loss: f64) -> f64 {
    net::packet_loss(stream.packets_per_chunk(), copy_loss)
}

/// The command that changes the loss of the whole network.
pub(crate) fn set_loss(scenario: &Scenario, copy_loss: f64) -> String {
    format!("set all loss_up={}", packet_loss(&scenario.stream, copy_loss))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_packets_make_the_loss_of_copies() {
        let stream = Stream::default();
        let p = packet_loss(&stream, 0.02);
        assert!(
            (1.0 - (1.0 - p).powi(3) - 0.02).abs() < 1e-12,
            "three packets a chunk: {p}"
        );
        assert_eq!((packet_loss(&stream, 0.0), packet_loss(&stream, 1.0)), (0.0, 1.0));
    }

    #[test]
    fn the_network_is_that_of_the_draws() {
        let set = ["peers.count=5", "donors.count=1", "peers.ri=2"].map(str::to_owned);
        let scenario = Scenario::load("planetlab", &set).unwrap();
        let rehearsal = crate::Simulation::new(&scenario).unwrap().rehearse();
        assert_eq!((rehearsal.peers.len(), rehearsal.one_way_ns.len()), (7, 49));
        network(&rehearsal).unwrap();
    }
}
