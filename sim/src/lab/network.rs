//! From the draws of a run to an emulated network.

use std::fmt::Write;

use crate::driver::Rehearsal;
use crate::net;
use crate::scenario::{Scenario, Stream};
use netlab::Scenario as Emulated;

/// Between two polls of the emulator while it is busy. With a hundred microseconds every packet is a poll of its own, and the
/// emulator takes a third of a core from twenty viewers of 3.5 Mbit/s; times are off by half of this, either way.
const COALESCE_US: u64 = 400;

/// The network that a rehearsed run has, with a node for each peer, those that come later included.
pub(crate) fn network(rehearsal: &Rehearsal) -> anyhow::Result<Emulated> {
    let scenario = &rehearsal.scenario;
    let network = &scenario.network;
    // TOML's whole numbers have a sign.
    let mut text = format!(
        "name = \"lab\"\nseed = {}\ncoalesce_us = {COALESCE_US}\n[default]\n",
        scenario.seed >> 1
    );
    // Writing into a string cannot fail.
    let _ = write!(
        text,
        "queue_ms = {}\nloss_up = {}\njitter_up_ms = {}\n",
        network.queue_ms,
        packet_loss(&scenario.stream, network.loss),
        network.jitter_ms,
    );
    if let Some(x) = network.download_x {
        let _ = writeln!(text, "down = {}", scenario.stream.rate.scaled(x).as_bps());
    }
    for (number, part) in rehearsal.peers.iter().enumerate() {
        let _ = writeln!(text, "[[nodes]]\nname = \"p{number}\"\nup = {}", part.upload_bps);
    }
    Ok(Emulated::parse(&text)?.with_delays_ns(rehearsal.one_way_ns.clone()))
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
