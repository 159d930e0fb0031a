//! Commands that change a running network.

use anyhow::{Context, Result, bail};

use crate::engine::Engine;
use crate::units;

/// What there is, for whoever wrote something else.
const COMMANDS: &str = "set NODES KEY=VALUE.., pair NODES NODES KEY=VALUE.. [oneway], cut NODES, heal [NODES], \
                        partition NODES / NODES.., rebind NODES";

impl Engine {
    /// Does what one line says.
    pub(crate) fn command(&mut self, line: &str, now: u64) -> Result<()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["set", nodes, settings @ ..] if !settings.is_empty() => {
                let nodes = self.select(nodes)?;
                for setting in settings {
                    let (key, value) = pair(setting)?;
                    for &node in &nodes {
                        self.set(node, key, value, now)?;
                    }
                }
            }
            ["pair", from, to, settings @ ..] if !settings.is_empty() => {
                self.set_pairs(from, to, settings)?;
            }
            ["cut", nodes] => {
                for node in self.select(nodes)? {
                    self.nodes[node].cut = true;
                }
            }
            ["heal"] => self.heal(0..self.nodes.len()),
            ["heal", nodes] => {
                let nodes = self.select(nodes)?;
                self.heal(nodes);
            }
            ["partition", sets @ ..] if !sets.is_empty() => {
                // Nodes that are not named stay together as one more part.
                let parts: Vec<Vec<usize>> = sets
                    .join(" ")
                    .split('/')
                    .map(|part| self.select(&part.replace(' ', ",")))
                    .collect::<Result<_>>()?;
                self.nodes.iter_mut().for_each(|node| node.group = 0);
                for (part, nodes) in (1..).zip(parts) {
                    for node in nodes {
                        self.nodes[node].group = part;
                    }
                }
            }
            ["rebind", nodes] => {
                for node in self.select(nodes)? {
                    if let Some(gateway) = self.nodes[node].gateway {
                        self.gateways[gateway].flush();
                    }
                }
            }
            _ => bail!("{line:?} is no command; there are: {COMMANDS}"),
        }
        Ok(())
    }

    fn set_pairs(&mut self, from: &str, to: &str, settings: &[&str]) -> Result<()> {
        let (from, to) = (self.select(from)?, self.select(to)?);
        let one_way = settings.contains(&"oneway");
        let n = self.nodes.len();
        for (&a, &b) in from.iter().flat_map(|a| to.iter().map(move |b| (a, b))) {
            let ways = if one_way {
                vec![a * n + b]
            } else {
                vec![a * n + b, b * n + a]
            };
            for way in ways {
                for setting in settings.iter().filter(|setting| **setting != "oneway") {
                    match pair(setting)? {
                        ("delay_ms", value) => self.pairs[way].delay = units::ms(value)?,
                        ("loss", value) => self.pairs[way].loss = units::share(value)?,
                        (key, _) => bail!("a pair has no setting {key:?}: delay_ms or loss"),
                    }
                }
            }
        }
        Ok(())
    }

    fn heal(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            (self.nodes[node].cut, self.nodes[node].group) = (false, 0);
        }
    }
}

fn pair(setting: &str) -> Result<(&str, &str)> {
    setting
        .split_once('=')
        .with_context(|| format!("{setting:?} is not KEY=VALUE"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn commands_change_what_they_name() {
        let scenario = Scenario::parse("[[nodes]]\nname = 'n'\ncount = 4").unwrap();
        let mut engine = Engine::new(&scenario).unwrap();
        for line in [
            "set n0,n1 up=1mbit loss=5%",
            "pair n0 n1 delay_ms=30 oneway",
            "partition n0 n1 / n2",
            "cut n3",
        ] {
            engine.command(line, 0).unwrap();
        }
        assert_eq!(engine.nodes[1].up.rate, 1_000_000);
        assert_eq!(engine.nodes[2].up.rate, 0);
        assert_eq!(
            (engine.pairs[1].delay, engine.pairs[4].delay),
            (30_000_000, 10_000_000)
        );
        let groups: Vec<u16> = engine.nodes.iter().map(|node| node.group).collect();
        assert_eq!(
            (groups.as_slice(), engine.nodes[3].cut),
            (&[1, 1, 2, 0][..], true)
        );
        engine.command("heal", 0).unwrap();
        assert!(engine.nodes.iter().all(|node| node.group == 0 && !node.cut));
        for line in [
            "",
            "set n0",
            "set n9 up=1mbit",
            "set n0 colour=red",
            "pair n0 n1 rate=3",
            "fly",
        ] {
            assert!(engine.command(line, 0).is_err(), "{line}");
        }
    }
}
