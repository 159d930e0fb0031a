//! Which other trackers of its stream a tracker names.

use coords::coord::distance_ms;
use wire::message::{MAX_RING_LIST, RingNode};

/// The siblings that the tracker `me` names to newcomers and in its lease, the nearest first, of all that it knows.
///
/// Not just the nearest eight: where trackers crowd they would all be in one crowd, and a newcomer that was led to the wrong one would
/// never hear of the right one. First come those that nobody chosen before leads to: from `a` the sibling `b` is left out if a chosen one is
/// nearer to `b` than `a` is. So whichever of them is a newcomer's nearest, a tracker that is not it names one that is nearer to it, and going
/// from sibling to sibling ends there. In the plane there are six such at most. The room that is left is for the nearest of the others.
///
/// Source: the relative neighbourhood graph with its edges directed, "MRNG" in Fu, Xiang, Wang, Cai, "Fast approximate nearest neighbor
/// search with the navigating spreading-out graph", PVLDB 12 (2019).
pub fn siblings<'a>(me: &RingNode, known: impl IntoIterator<Item = &'a RingNode>) -> Vec<&'a RingNode> {
    let mut others: Vec<(f64, &RingNode)> = known
        .into_iter()
        .filter(|other| other.peer != me.peer)
        .map(|other| (distance_ms(&me.coord, &other.coord), other))
        .collect();
    others.sort_by(|(a_ms, a), (b_ms, b)| a_ms.total_cmp(b_ms).then(a.peer.cmp(&b.peer)));
    let (mut chosen, mut led_to) = (Vec::new(), Vec::new());
    for (away_ms, other) in others {
        let leads = |near: &(f64, &RingNode)| distance_ms(&near.1.coord, &other.coord) < away_ms;
        if chosen.len() < MAX_RING_LIST && !chosen.iter().any(leads) {
            chosen.push((away_ms, other));
        } else {
            led_to.push((away_ms, other));
        }
    }
    led_to.truncate(MAX_RING_LIST.saturating_sub(chosen.len()));
    chosen.extend(led_to);
    chosen.sort_by(|(a_ms, a), (b_ms, b)| a_ms.total_cmp(b_ms).then(a.peer.cmp(&b.peer)));
    chosen.into_iter().map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests;
