//! One connection for each pair of peers, even when both dial at once.

use std::time::Duration;

use wire::PeerId;

/// Two dials at once overlap at most this long: what a dial may take, and some.
pub const SIMULTANEOUS: Duration = Duration::from_secs(5);

/// What a new connection to a peer means for the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both sides dialled at once, and the new one stays. The node notices nothing.
    Supersede,
    /// Both sides dialled at once, and the old one stays; the new one is read until its dialler stops using it.
    Yield,
    /// The other side has lost the old one, most likely because it was restarted. To the node the peer went and came.
    Replace,
}

/// Decides between two connections of `own` and `peer`. Both sides come to the same result, whichever of the two they
/// see first: of simultaneous dials the one by the smaller id stays.
///
/// A side that still has an old connection does not dial; so when one that is older than a dial can take meets a new
/// one, the other side has lost it.
pub fn decide(own: PeerId, peer: PeerId, old_dialled: bool, old_age: Duration, new_dialled: bool) -> Verdict {
    if old_dialled == new_dialled || old_age > SIMULTANEOUS {
        return Verdict::Replace;
    }
    if new_dialled == (own < peer) {
        Verdict::Supersede
    } else {
        Verdict::Yield
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_the_same_of_two_simultaneous_dials() {
        let small = PeerId::from_bytes([1; 32]);
        let large = PeerId::from_bytes([2; 32]);
        let young = Duration::from_millis(100);
        // The small one's dial comes second, at either side.
        assert_eq!(decide(small, large, false, young, true), Verdict::Supersede);
        assert_eq!(decide(large, small, true, young, false), Verdict::Supersede);
        // It comes first.
        assert_eq!(decide(small, large, true, young, false), Verdict::Yield);
        assert_eq!(decide(large, small, false, young, true), Verdict::Yield);
    }

    #[test]
    fn a_peer_that_comes_again_has_lost_the_old_connection() {
        let (a, b) = (PeerId::from_bytes([1; 32]), PeerId::from_bytes([2; 32]));
        let young = Duration::from_millis(100);
        assert_eq!(decide(a, b, false, young, false), Verdict::Replace);
        assert_eq!(decide(a, b, true, 2 * SIMULTANEOUS, false), Verdict::Replace);
    }
}
