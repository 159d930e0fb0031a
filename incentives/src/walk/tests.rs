use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use wire::Time;

use super::*;

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 32])
}

fn edge(debtor: u8, creditor: u8) -> TrustEdge {
    TrustEdge {
        debtor: peer(debtor),
        creditor: peer(creditor),
        bucket: 20,
        seq: 1,
        expires: Time::NEVER,
    }
}

#[test]
fn a_walk_is_continuous_and_comes_to_nobody_twice() {
    let is = |edges: &[TrustEdge]| is_walk(edges, peer(3), peer(4));
    assert!(is(&[edge(1, 2), edge(2, 3), edge(3, 4)]));
    assert!(is(&[edge(3, 4)]));
    assert!(!is(&[]));
    assert!(!is(&[edge(1, 2), edge(3, 4)]), "a gap");
    assert!(!is(&[edge(1, 2), edge(2, 3)]), "it does not end here");
    assert!(!is(&[edge(1, 2), edge(2, 4)]), "it does not come from there");
    assert!(!is(&[edge(4, 3), edge(3, 4)]), "it was here before");
    assert!(!is(&[edge(3, 2), edge(2, 3), edge(3, 4)]), "a circle");
}

#[test]
fn the_next_one_is_chosen_in_proportion_to_what_is_owed() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let weights = [(peer(1), 100), (peer(2), 0), (peer(3), 300)];
    let mut counts = [0u32; 4];
    for _ in 0..4000 {
        counts[usize::from(choose(&mut rng, &weights).unwrap().as_bytes()[0])] += 1;
    }
    assert_eq!(counts[2], 0);
    // Five standard deviations of a thousand in four.
    assert!(counts[1].abs_diff(1000) < 140, "{counts:?}");
    assert_eq!(choose(&mut rng, &[]), None);
    assert_eq!(choose(&mut rng, &[(peer(1), 0)]), None);
    assert!(choose(&mut rng, &[(peer(1), u64::MAX), (peer(2), u64::MAX)]).is_some());
}
