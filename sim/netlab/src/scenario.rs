//! Scenarios: the nodes, how far apart they are, and what is done to them when. The keys are described in the README.

mod delays;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::gateway::Kind;

/// Most nodes: state for each pair takes 56 bytes.
const MAX_NODES: usize = 2000;

/// An emulated network, as data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// First two octets of the /16 that holds the public addresses.
    pub(crate) subnet: String,
    pub(crate) mtu: usize,
    pub(crate) lan_delay_ms: f64,
    /// Whether jitter may change the order of a pair's packets.
    pub(crate) reorder: bool,
    /// Between two polls while busy: longer is fewer wake-ups and coarser times.
    pub(crate) coalesce_us: u64,
    /// Real-time priority for the loop that moves packets.
    pub(crate) real_time: bool,
    /// Most packets in flight in the emulator.
    pub(crate) max_packets: usize,
    pub(crate) nat: Nat,
    pub(crate) delay: Delay,
    /// Settings of every node.
    pub(crate) default: toml::Table,
    pub(crate) nodes: Vec<Nodes>,
    pub(crate) events: Vec<Event>,
    /// One-way delays between all nodes in nanoseconds, row by row, instead of what `delay` says.
    #[serde(skip)]
    given_delays: Option<Vec<u64>>,
}

impl Default for Scenario {
    fn default() -> Self {
        Scenario {
            name: "lab".into(),
            seed: 1,
            subnet: "10.77".into(),
            mtu: 1500,
            lan_delay_ms: 0.2,
            reorder: false,
            coalesce_us: 100,
            real_time: true,
            max_packets: 262_144,
            nat: Nat::default(),
            delay: Delay::default(),
            default: toml::Table::new(),
            nodes: Vec::new(),
            events: Vec::new(),
            given_delays: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Nat {
    pub(crate) udp_timeout_s: f64,
    pub(crate) hairpin: bool,
    /// Every NAT uses 192.168.1.0/24 inside, as in real homes.
    pub(crate) same_subnet: bool,
}

impl Default for Nat {
    fn default() -> Self {
        Nat {
            udp_timeout_s: 60.0,
            hairpin: false,
            same_subnet: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delay {
    /// A square matrix.
    file: Option<PathBuf>,
    kind: MatrixKind,
    /// Milliseconds in a unit of the file.
    unit_ms: f64,
    pick: Pick,
    /// Without a file: points in a square whose diagonal is so long, one way.
    plane_ms: Option<f64>,
    /// Without either: the same everywhere, one way.
    const_ms: f64,
    min_ms: f64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MatrixKind {
    Rtt,
    OneWay,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pick {
    First,
    Random,
}

impl Default for Delay {
    fn default() -> Self {
        Delay {
            file: None,
            kind: MatrixKind::Rtt,
            unit_ms: 1.0,
            pick: Pick::First,
            plane_ms: None,
            const_ms: 10.0,
            min_ms: 0.05,
        }
    }
}

/// Nodes that are alike.
#[derive(Deserialize)]
pub(crate) struct Nodes {
    name: String,
    /// With a count they are called NAME0, NAME1, …
    count: Option<usize>,
    /// Row of the matrix of the first.
    site: Option<usize>,
    nat: Option<String>,
    lan: Option<String>,
    /// Splits them into LANs of so many, called LAN0, LAN1, …
    lan_size: Option<usize>,
    /// Everything else: what `set` takes.
    #[serde(flatten)]
    settings: toml::Table,
}

/// A command at an instant.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    /// Seconds after the start.
    pub(crate) at: f64,
    pub(crate) cmd: String,
}

/// One node, counts and defaults resolved.
#[derive(Clone)]
pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) site: usize,
    pub(crate) nat: Option<Kind>,
    pub(crate) lan: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
}

/// A value as the text that `set` would take.
fn text(value: &toml::Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// Names become parts of paths.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

impl Scenario {
    /// Reads a scenario; a matrix file is looked for beside it.
    ///
    /// # Errors
    /// When the file cannot be read or does not say what it must.
    pub fn load(path: &Path) -> Result<Scenario> {
        let named = || path.display().to_string();
        let text = std::fs::read_to_string(path).with_context(named)?;
        let mut scenario = Self::parse(&text).with_context(named)?;
        if let (Some(file), Some(folder)) = (&scenario.delay.file, path.parent()) {
            scenario.delay.file = Some(folder.join(file));
        }
        Ok(scenario)
    }

    /// A scenario from its text.
    ///
    /// # Errors
    /// When it does not say what it must.
    pub fn parse(text: &str) -> Result<Scenario> {
        let scenario: Scenario = toml::from_str(text)?;
        let names = scenario.nodes.iter().map(|nodes| &nodes.name);
        for name in names.chain([&scenario.name]) {
            ensure!(
                is_name(name),
                "{name:?} is no name: letters, digits and - _ . only"
            );
        }
        ensure!(
            (576..=9000).contains(&scenario.mtu),
            "mtu is {}, but must be from 576 to 9000",
            scenario.mtu
        );
        ensure!(
            (1..=10_000).contains(&scenario.coalesce_us),
            "coalesce_us is {}, but must be from 1 to 10000",
            scenario.coalesce_us
        );
        Ok(scenario)
    }

    /// One-way delays between all nodes in nanoseconds, row by row, instead of what the scenario's `delay` says.
    #[must_use]
    pub fn with_delays_ns(mut self, delays: Vec<u64>) -> Self {
        self.given_delays = Some(delays);
        self
    }

    /// The nodes one by one.
    pub(crate) fn expand(&self) -> Result<Vec<NodeSpec>> {
        let mut specs: Vec<NodeSpec> = Vec::new();
        let default_nat = self.default.get("nat").and_then(toml::Value::as_str);
        for nodes in &self.nodes {
            for k in 0..nodes.count.unwrap_or(1) {
                let lan = nodes.lan.as_ref().map(|lan| match nodes.lan_size {
                    Some(size) => format!("{lan}{}", k / size.max(1)),
                    None => lan.clone(),
                });
                let settings = self
                    .default
                    .iter()
                    .filter(|(key, _)| *key != "nat")
                    .chain(&nodes.settings)
                    .map(|(key, value)| (key.clone(), text(value)))
                    .collect();
                specs.push(NodeSpec {
                    name: match nodes.count {
                        Some(_) => format!("{}{k}", nodes.name),
                        None => nodes.name.clone(),
                    },
                    site: nodes.site.map_or(specs.len(), |site| site + k),
                    nat: Kind::parse(nodes.nat.as_deref().or(default_nat).unwrap_or("none"))?,
                    lan,
                    settings,
                });
            }
        }
        let mut names: Vec<&String> = specs.iter().map(|spec| &spec.name).collect();
        names.sort();
        names.dedup();
        ensure!(names.len() == specs.len(), "two nodes have the same name");
        ensure!(
            (1..=MAX_NODES).contains(&specs.len()),
            "{} nodes, but there must be 1 to {MAX_NODES}",
            specs.len()
        );
        Ok(specs)
    }
}

#[cfg(test)]
mod tests;
