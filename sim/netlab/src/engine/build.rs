//! From a scenario to nodes with addresses, gateways and links.

use std::collections::{BTreeMap, BinaryHeap};

use anyhow::{Context, Result, ensure};

use super::{Engine, NOBODY, Node, Pair, Traffic};
use crate::gateway::{Gateway, Kind};
use crate::scenario::{Nat, NodeSpec, Scenario};
use crate::shape::{Link, Loss, Pool, Rng};

/// Public addresses in the third octet's block; .0 and .251 to .255 stay free.
const PER_BLOCK: usize = 250;
/// Hosts of a /24 behind a NAT, without its router and the two that are reserved.
const BEHIND_NAT: u32 = 253;

/// Addresses as they are handed out.
#[derive(Default)]
struct Plan {
    gateway_of_lan: BTreeMap<u16, usize>,
    /// Hosts numbered so far behind each gateway.
    hosts: Vec<u32>,
}

impl Engine {
    pub(crate) fn new(scenario: &Scenario) -> Result<Engine> {
        let specs = scenario.expand()?;
        let delays = scenario.delays(&specs)?;
        let mut engine = Engine {
            nodes: Vec::new(),
            pairs: delays
                .into_iter()
                .map(|delay| Pair {
                    delay,
                    ..Pair::default()
                })
                .collect(),
            pool: Pool::new(scenario.mtu.next_multiple_of(64) + 64, scenario.max_packets),
            gateways: Vec::new(),
            flights: Vec::new(),
            due: BinaryHeap::new(),
            sequence: 0,
            rng: Rng::new(scenario.seed.wrapping_add(1)),
            base: subnet(&scenario.subnet)?,
            route: vec![NOBODY; 1 << 16],
            lan_route: BTreeMap::new(),
            lans: Vec::new(),
            lan_delay: (scenario.lan_delay_ms * 1e6) as u64,
            reorder: scenario.reorder,
        };
        let mut plan = Plan::default();
        for (number, spec) in specs.into_iter().enumerate() {
            engine.add(number, &spec, &scenario.nat, scenario.seed, &mut plan)?;
        }
        Ok(engine)
    }

    fn add(&mut self, number: usize, spec: &NodeSpec, nat: &Nat, seed: u64, plan: &mut Plan) -> Result<()> {
        let own = self.base | ((number / PER_BLOCK) << 8 | (number % PER_BLOCK + 1)) as u32;
        let lan = spec.lan.as_ref().map(|name| self.lan(name));
        let mut node = Node {
            name: spec.name.clone(),
            address: own,
            external: own,
            prefix: 16,
            lan,
            gateway: None,
            up: Link::default(),
            down: Link::default(),
            loss_up: Loss::default(),
            loss_down: Loss::default(),
            jitter_up: 0.0,
            jitter_down: 0.0,
            access_delay: 0,
            path_mtu: usize::MAX,
            cut: false,
            group: 0,
            traffic: Traffic::default(),
        };
        if let Some(kind) = spec.nat {
            self.put_behind(kind, &mut node, nat, seed.wrapping_add(number as u64), plan)?;
        }
        let route = &mut self.route[(node.external & 0xffff) as usize];
        if *route == NOBODY {
            *route = number as u16;
        }
        if let Some(lan) = lan {
            self.lan_route.insert((lan, node.address), number as u16);
            self.lans[usize::from(lan)].1.push(number as u16);
        }
        self.nodes.push(node);
        for (key, value) in &spec.settings {
            self.set(number, key, value, 0)?;
        }
        Ok(())
    }

    fn lan(&mut self, name: &str) -> u16 {
        let known = self.lans.iter().position(|lan| lan.0 == name);
        known.unwrap_or_else(|| {
            self.lans.push((name.to_owned(), Vec::new()));
            self.lans.len() - 1
        }) as u16
    }

    /// Nodes of one LAN share a NAT; a firewall is each node's own.
    fn put_behind(
        &mut self,
        kind: Kind,
        node: &mut Node,
        nat: &Nat,
        seed: u64,
        plan: &mut Plan,
    ) -> Result<()> {
        let lan = node.lan.filter(|_| kind.translates());
        let shared = lan.and_then(|lan| plan.gateway_of_lan.get(&lan).copied());
        let at = shared.unwrap_or_else(|| {
            let timeout = (nat.udp_timeout_s * 1e9) as u64;
            self.gateways
                .push(Gateway::new(kind, node.external, timeout, nat.hairpin, seed));
            plan.hosts.push(1);
            self.gateways.len() - 1
        });
        ensure!(
            self.gateways[at].kind == kind,
            "{}: the kinds of nat differ within one LAN",
            node.name
        );
        node.gateway = Some(at);
        if kind.translates() {
            if let Some(lan) = lan {
                plan.gateway_of_lan.insert(lan, at);
            }
            node.external = self.gateways[at].external;
            plan.hosts[at] += 1;
            ensure!(
                plan.hosts[at] <= BEHIND_NAT + 1,
                "more than {BEHIND_NAT} nodes behind one NAT"
            );
            let net = if nat.same_subnet { 1 } else { at as u32 % 256 };
            (node.address, node.prefix) = (0xc0a8_0000 | net << 8 | plan.hosts[at], 24);
        }
        Ok(())
    }
}

/// The /16 that two octets name.
fn subnet(text: &str) -> Result<u32> {
    let octets: Vec<u8> = text
        .split('.')
        .map(|octet| octet.parse().with_context(|| format!("subnet {text:?}")))
        .collect::<Result<_>>()?;
    ensure!(
        octets.len() == 2,
        "subnet is {text:?}, but must be two octets such as 10.77"
    );
    Ok(u32::from_be_bytes([octets[0], octets[1], 0, 0]))
}
