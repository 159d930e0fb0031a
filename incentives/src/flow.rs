//! How much can be shifted to a peer, and along which paths.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use petgraph::algo::maximum_flow::dinics;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef as _;
use wire::PeerId;
use wire::trust::MAX_SHIFT_PEERS;

/// The most edges on a path (docs/INCENTIVES.md).
const MAX_LENGTH: usize = MAX_SHIFT_PEERS - 1;

/// What can be shifted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Bytes in all.
    pub total: u64,
    /// The ways, the shortest first: each begins with the one who has the claims and ends with the target. They can all be used
    /// at once.
    pub paths: Vec<(Vec<PeerId>, u64)>,
}

impl Plan {
    fn add(&mut self, graph: &Claims, nodes: &[NodeIndex], bytes: u64) {
        self.total = self.total.saturating_add(bytes);
        let path: Vec<_> = nodes.iter().map(|node| graph[*node]).collect();
        match self.paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, more)) => *more = more.saturating_add(bytes),
            None => self.paths.push((path, bytes)),
        }
    }
}

/// From creditor to debtor, with the bytes that are owed.
type Claims = DiGraph<PeerId, u64>;

/// The most that `from` can shift to `target` over `edges` of debtor, creditor and bytes, along paths of at most five of them.
///
/// That is Dinic's maximum flow over the edges that lie on such a path, taken apart into paths, the shortest first. What of it runs
/// over longer ones is left, and what room that makes is filled with short ones. Which flow is the greatest under a
/// limit of length is a hard problem in general; where the limit does not bind the result is the maximum flow, and it never
/// exceeds that.
pub fn plan(edges: &[(PeerId, PeerId, u64)], from: PeerId, target: PeerId) -> Plan {
    let Some((graph, source, sink)) = relevant(edges, from, target) else {
        return Plan::default();
    };
    // Along shortest paths alone: the better one where a longer way was cut.
    let capacity: Vec<u64> = graph.edge_weights().copied().collect();
    let mut greedy = Plan::default();
    take(&graph, source, sink, &mut capacity.clone(), &mut greedy);

    let (_, mut flow) = dinics(&graph, source, sink);
    let mut plan = Plan::default();
    let mut left = capacity;
    for (left, flow) in left.iter_mut().zip(&flow) {
        *left -= flow;
    }
    take(&graph, source, sink, &mut flow, &mut plan);
    for (left, unused) in left.iter_mut().zip(&flow) {
        *left += unused;
    }
    take(&graph, source, sink, &mut left, &mut plan);
    if greedy.total > plan.total { greedy } else { plan }
}

/// The most that `from` can shift to several together, in bytes: with which of them it ends is all the same. What they owe `from`
/// already is there.
pub fn reach(edges: &[(PeerId, PeerId, u64)], from: PeerId, targets: &BTreeSet<PeerId>) -> u64 {
    let Some(&any) = targets.first() else { return 0 };
    // All of them are one.
    let into = |peer| if targets.contains(&peer) { any } else { peer };
    let onward = edges
        .iter()
        .filter(|(_, creditor, _)| !targets.contains(creditor));
    let merged: Vec<_> = onward
        .map(|&(debtor, creditor, bytes)| (into(debtor), creditor, bytes))
        .collect();
    plan(&merged, from, any).total
}

/// The edges that lie on a path of at most five, and its two ends. `None` if there is none.
fn relevant(
    edges: &[(PeerId, PeerId, u64)],
    from: PeerId,
    target: PeerId,
) -> Option<(Claims, NodeIndex, NodeIndex)> {
    if from == target {
        return None;
    }
    let mut graph = Claims::new();
    let mut nodes = BTreeMap::new();
    for &(debtor, creditor, bytes) in edges {
        if bytes == 0 || debtor == creditor {
            continue;
        }
        let mut node = |peer| *nodes.entry(peer).or_insert_with(|| graph.add_node(peer));
        let (a, b) = (node(creditor), node(debtor));
        graph.add_edge(a, b, bytes);
    }
    let (source, sink) = (*nodes.get(&from)?, *nodes.get(&target)?);
    let ahead = distances(&graph, source, petgraph::Direction::Outgoing);
    let behind = distances(&graph, sink, petgraph::Direction::Incoming);
    let lies_on = |a: NodeIndex, b: NodeIndex| {
        let around = ahead[a.index()].checked_add(behind[b.index()]);
        around.is_some_and(|around| around < MAX_LENGTH)
    };
    graph.retain_edges(|graph, edge| {
        let ends = graph.edge_endpoints(edge);
        // Nothing is gained on a way back to where it began, or on from where it ends.
        ends.is_some_and(|(a, b)| lies_on(a, b) && b != source && a != sink)
    });
    (graph.edge_count() > 0).then_some((graph, source, sink))
}

/// How many edges it takes from a node to each, or `usize::MAX`.
fn distances(graph: &Claims, start: NodeIndex, way: petgraph::Direction) -> Vec<usize> {
    let mut distance = vec![usize::MAX; graph.node_count()];
    distance[start.index()] = 0;
    let mut next = VecDeque::from([start]);
    while let Some(node) = next.pop_front() {
        let here = distance[node.index()];
        if here == MAX_LENGTH {
            break;
        }
        for neighbour in graph.neighbors_directed(node, way) {
            if distance[neighbour.index()] == usize::MAX {
                distance[neighbour.index()] = here + 1;
                next.push_back(neighbour);
            }
        }
    }
    distance
}

/// Takes shortest paths of at most five edges out of what each edge has left, as long as there are any.
fn take(graph: &Claims, source: NodeIndex, sink: NodeIndex, left: &mut [u64], plan: &mut Plan) {
    let mut came_by = vec![None; graph.node_count()];
    loop {
        came_by.fill(None);
        let mut next = VecDeque::from([(source, 0)]);
        'search: while let Some((node, length)) = next.pop_front() {
            if length == MAX_LENGTH {
                break;
            }
            for edge in graph.edges(node) {
                let to = edge.target();
                if left[edge.id().index()] == 0 || to == source || came_by[to.index()].is_some() {
                    continue;
                }
                came_by[to.index()] = Some((node, edge.id()));
                if to == sink {
                    break 'search;
                }
                next.push_back((to, length + 1));
            }
        }
        let mut nodes = vec![sink];
        let mut edges = Vec::new();
        let mut at = sink;
        while let Some((before, edge)) = came_by[at.index()] {
            edges.push(edge.index());
            nodes.push(before);
            at = before;
        }
        nodes.reverse();
        let Some(bytes) = edges.iter().map(|&edge| left[edge]).min() else {
            return;
        };
        for edge in edges {
            left[edge] -= bytes;
        }
        plan.add(graph, &nodes, bytes);
    }
}

#[cfg(test)]
mod tests;
