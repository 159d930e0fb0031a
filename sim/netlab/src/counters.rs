//! What was counted.

use serde_json::{Map, Value, json};

use crate::{NodeInfo, Traffic};

/// Upper edges of the histogram of lateness, in microseconds.
pub(crate) const LATE_US: [u64; 9] = [50, 100, 200, 300, 500, 1000, 2000, 5000, 10_000];

/// Beyond this lateness a packet tells of a machine that is too busy, in microseconds.
const TOO_LATE_US: u64 = 1000;

/// How late packets were handed to the receivers' devices: what the emulator itself adds to the delays it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    pub(crate) late: [u64; LATE_US.len() + 1],
    pub(crate) late_max_ns: u64,
}

impl Delivery {
    pub(crate) fn count(&mut self, late_ns: u64) {
        let bin = LATE_US.iter().position(|edge| late_ns < edge * 1000);
        self.late[bin.unwrap_or(LATE_US.len())] += 1;
        self.late_max_ns = self.late_max_ns.max(late_ns);
    }

    /// Share of the packets that were more than a millisecond late.
    pub fn late_share(&self) -> f64 {
        let all: u64 = self.late.iter().sum();
        let beyond = LATE_US.iter().position(|edge| *edge == TOO_LATE_US).unwrap_or(0) + 1;
        let late: u64 = self.late[beyond..].iter().sum();
        late as f64 / all.max(1) as f64
    }

    /// The greatest lateness in milliseconds.
    pub fn late_max_ms(&self) -> f64 {
        self.late_max_ns as f64 / 1e6
    }
}

/// What one node's side of the network counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCounters {
    /// Who.
    pub info: NodeInfo,
    /// Packets and bytes.
    pub traffic: Traffic,
    /// Packets that the kernel dropped before the emulator read them, since the start: the node sent faster than the
    /// emulator runs. `None` when that is not known.
    pub device_drops: Option<u64>,
}

/// Bytes that went from one node to another.
#[derive(Clone, Debug, PartialEq)]
pub struct PairCounters {
    /// Sender.
    pub from: String,
    /// Receiver.
    pub to: String,
    /// Delay without jitter and queues.
    pub delay_ms: f64,
    /// Bytes delivered.
    pub bytes: u64,
    /// Packets dropped.
    pub drops: u64,
}

/// Everything counted since the start or the last reset.
#[derive(Clone, Debug)]
pub struct Counters {
    /// By node.
    pub nodes: Vec<NodeCounters>,
    /// Pairs that had traffic.
    pub pairs: Vec<PairCounters>,
    /// How late packets were.
    pub delivery: Delivery,
    /// CPU time of the thread that moves packets, in seconds, since the start.
    pub cpu_s: f64,
    /// Packets in flight.
    pub in_flight: usize,
}

impl Counters {
    /// As one JSON object.
    pub fn to_json(&self) -> Value {
        let nodes: Map<String, Value> = self.nodes.iter().map(node).collect();
        let pairs: Vec<Value> = self.pairs.iter().map(pair).collect();
        let edges = LATE_US.iter().map(|edge| json!(edge)).chain([Value::Null]);
        let late: Vec<Value> = edges
            .zip(self.delivery.late)
            .map(|(edge, n)| json!([edge, n]))
            .collect();
        json!({
            "nodes": nodes,
            "pairs": pairs,
            "late_below_us": late,
            "late_max_us": self.delivery.late_max_ns / 1000,
            "cpu_s": self.cpu_s,
            "in_flight": self.in_flight,
        })
    }
}

fn node(node: &NodeCounters) -> (String, Value) {
    let traffic = &node.traffic;
    let mut drops: Map<String, Value> = traffic
        .drops()
        .map(|(why, n)| (why.to_owned(), json!(n)))
        .collect();
    drops.insert("device".to_owned(), json!(node.device_drops));
    let value = json!({
        "address": node.info.address.to_string(),
        "public": node.info.public.to_string(),
        "sent_packets": traffic.sent_packets,
        "sent_bytes": traffic.sent_bytes,
        "received_packets": traffic.received_packets,
        "received_bytes": traffic.received_bytes,
        "drops": drops,
    });
    (node.info.name.clone(), value)
}

fn pair(pair: &PairCounters) -> Value {
    json!({
        "from": pair.from,
        "to": pair.to,
        "delay_ms": pair.delay_ms,
        "bytes": pair.bytes,
        "drops": pair.drops,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_counted_by_size() {
        let mut delivery = Delivery::default();
        assert_eq!(delivery.late_share(), 0.0);
        for late_us in [10, 20, 999, 1000, 50_000] {
            delivery.count(late_us * 1000);
        }
        assert_eq!(delivery.late_share(), 0.4);
        assert_eq!(delivery.late_max_ms(), 50.0);
    }
}
