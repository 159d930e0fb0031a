//! Settings of nodes by name, for scenarios and commands.

use anyhow::{Result, bail, ensure};

use super::{Engine, Node};
use crate::gateway::Kind;
use crate::shape::Queue;
use crate::units;

impl Engine {
    /// Changes one setting of a node.
    pub(crate) fn set(&mut self, number: usize, key: &str, value: &str, now: u64) -> Result<()> {
        let node = &mut self.nodes[number];
        match key {
            "up" => node.up.set_rate(units::rate(value)?, now),
            "down" => node.down.set_rate(units::rate(value)?, now),
            "queue_ms" => node.set_queues(Queue::Ns(units::ms(value)?)),
            "queue_bytes" => node.set_queues(Queue::Bytes(value.parse()?)),
            "burst" => {
                let bytes = value.parse()?;
                (node.up.burst, node.down.burst) = (bytes, bytes);
            }
            "loss" => {
                let p = units::share(value)?;
                (node.loss_up.p, node.loss_down.p) = (p, p);
            }
            "loss_up" => node.loss_up.p = units::share(value)?,
            "loss_down" => node.loss_down.p = units::share(value)?,
            "loss_burst" => {
                let mean = value.parse()?;
                (node.loss_up.burst, node.loss_down.burst) = (mean, mean);
            }
            "jitter_ms" => {
                let mean = units::ms(value)? as f64;
                (node.jitter_up, node.jitter_down) = (mean, mean);
            }
            "jitter_up_ms" => node.jitter_up = units::ms(value)? as f64,
            "jitter_down_ms" => node.jitter_down = units::ms(value)? as f64,
            "delay_ms" => node.access_delay = units::ms(value)?,
            "path_mtu" => node.path_mtu = value.parse()?,
            "nat" => self.change_nat(number, value)?,
            _ => bail!("there is no setting {key:?}"),
        }
        Ok(())
    }

    fn change_nat(&mut self, number: usize, value: &str) -> Result<()> {
        let node = &self.nodes[number];
        match (Kind::parse(value)?, node.gateway) {
            (Some(kind), Some(at)) if kind.translates() == self.gateways[at].kind.translates() => {
                self.gateways[at].kind = kind;
                self.gateways[at].flush();
                Ok(())
            }
            _ => bail!(
                "{}: nat can only change from one translating kind to another",
                node.name
            ),
        }
    }

    /// The nodes meant: names, ranges `n0..n9`, prefixes `n*`, `lan:NAME`, `all`, with commas between.
    pub(crate) fn select(&self, text: &str) -> Result<Vec<usize>> {
        let mut selected = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let before = selected.len();
            let range = part
                .split_once("..")
                .and_then(|(from, to)| Some((numbered(from)?, numbered(to)?)));
            for (number, node) in self.nodes.iter().enumerate() {
                let name = node.name.as_str();
                let meant = if let Some(((stem, from), (_, to))) = range {
                    numbered(name).is_some_and(|(own, n)| own == stem && (from..=to).contains(&n))
                } else if let Some(prefix) = part.strip_suffix('*') {
                    name.starts_with(prefix)
                } else if let Some(lan) = part.strip_prefix("lan:") {
                    node.lan.is_some_and(|own| self.lans[usize::from(own)].0 == lan)
                } else {
                    part == "all" || name == part
                };
                if meant {
                    selected.push(number);
                }
            }
            ensure!(selected.len() > before, "no node is called {part:?}");
        }
        Ok(selected)
    }
}

impl Node {
    fn set_queues(&mut self, queue: Queue) {
        (self.up.queue, self.down.queue) = (queue, queue);
    }
}

/// A name that ends in a number, in two parts.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    Some((stem, name[stem.len()..].parse().ok()?))
}
