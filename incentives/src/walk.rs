//! Walks: how adverts travel (the paper, §6). A walk goes from debtor to creditor, along edges that are chosen in proportion to
//! what is owed, and comes to nobody twice. Whoever it comes to so learns a path along which it has a claim, and the claims of
//! those on it.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng, RngExt as _};
use wire::PeerId;
use wire::trust::TrustEdge;

use crate::allowance::Rate;

/// Walks that a neighbour may pass on: at once four of each of its own neighbours, if they all come together. A peer starts four in
/// half a minute, and each comes to five others, so twenty in half a minute come to each on average; a popular one gets many times
/// that.
pub(crate) const WALKS: Rate = Rate {
    burst: 48,
    every: Duration::from_millis(250),
};

/// Whether these edges are a walk from somewhere to `me` that `from` passed on: each begins where the one before ended, and
/// nobody is on it twice.
pub(crate) fn is_walk(edges: &[TrustEdge], from: PeerId, me: PeerId) -> bool {
    let Some(last) = edges.last() else { return false };
    let follows = edges.windows(2).all(|pair| pair[0].creditor == pair[1].debtor);
    let mut peers: BTreeSet<_> = edges.iter().map(|edge| edge.debtor).collect();
    peers.insert(last.creditor);
    follows && peers.len() == edges.len() + 1 && last.debtor == from && last.creditor == me
}

/// One of these, with a probability in proportion to its weight.
pub(crate) fn choose(rng: &mut impl Rng, weights: &[(PeerId, u64)]) -> Option<PeerId> {
    let total: u128 = weights.iter().map(|(_, weight)| u128::from(*weight)).sum();
    if total == 0 {
        return None;
    }
    let mut at = rng.random_range(0..total);
    for (peer, weight) in weights {
        match at.checked_sub(u128::from(*weight)) {
            Some(rest) => at = rest,
            None => return Some(*peer),
        }
    }
    None
}

#[cfg(test)]
mod tests;
