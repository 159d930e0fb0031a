use wire::SecretKey;

use super::*;

fn peer(n: u16) -> PeerId {
    let mut bytes = [1; 32];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    PeerId::from_bytes(bytes)
}

fn at(seconds: u64) -> Time {
    Time::from_millis(1_700_000_000_000 + seconds * 1000)
}

fn edge(debtor: u16, creditor: u16, bucket: u8, seq: u64) -> TrustEdge {
    TrustEdge {
        debtor: peer(debtor),
        creditor: peer(creditor),
        bucket,
        seq,
        expires: at(600),
    }
}

#[test]
fn the_weakest_go_when_there_are_too_many_and_own_ones_never() {
    let mut view = View::new(peer(0));
    view.set_own(peer(1), 5);
    view.set_own(peer(2), -7);
    for n in 0..3000u16 {
        let bucket = 20 + (n % 30) as u8;
        view.insert(at(0), &edge(n + 10, n + 11, bucket, 1), [0; 32])
            .unwrap();
    }
    assert_eq!(view.len(), MAX_EDGES);
    let kept: Vec<_> = view.edges(at(1)).collect();
    assert!(kept.contains(&(peer(1), peer(0), 5)) && kept.contains(&(peer(0), peer(2), 7)));
    let strongest = kept.iter().filter(|(_, _, bytes)| *bytes == 1 << 49).count();
    assert_eq!(strongest, 100);
    assert!(
        kept.iter()
            .filter(|edge| edge.2 > 7)
            .all(|edge| edge.2 >= 1 << 29),
        "the weakest third is gone"
    );
}

#[test]
fn an_advert_ends_and_saying_it_again_does_not_prolong_it() {
    let mut view = View::new(peer(0));
    view.insert(at(0), &edge(1, 2, 30, 4), [1; 32]).unwrap();
    assert!(view.knows(&edge(1, 2, 30, 4), &[1; 32]) && !view.knows(&edge(1, 2, 30, 4), &[2; 32]));
    view.insert(at(500), &edge(1, 2, 30, 4), [1; 32]).unwrap();
    assert_eq!(view.edges(at(599)).count(), 1);
    assert_eq!(view.edges(at(600)).count(), 0);
    view.expire(at(600));
    assert!(view.is_empty());
}

#[test]
fn a_later_advert_replaces_and_an_earlier_one_does_not() {
    let mut view = View::new(peer(0));
    view.insert(at(0), &edge(1, 2, 30, 4), [1; 32]).unwrap();
    assert_eq!(
        view.insert(at(0), &edge(1, 2, 40, 3), [2; 32]),
        Err(EdgeError::Stale)
    );
    assert_eq!(
        view.insert(at(0), &edge(2, 1, 40, 3), [2; 32]),
        Err(EdgeError::Stale)
    );
    view.insert(at(0), &edge(2, 1, 22, 5), [3; 32]).unwrap();
    let edges: Vec<_> = view.edges(at(0)).collect();
    assert_eq!(
        edges,
        [(peer(2), peer(1), 1 << 22)],
        "two peers owe in one direction"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let mut view = View::new(peer(0));
    let mut refused = |now, edge: TrustEdge| view.insert(now, &edge, [0; 32]).unwrap_err();
    assert_eq!(refused(at(1200), edge(1, 2, 30, 1)), EdgeError::Expired);
    let future = TrustEdge {
        expires: at(1201),
        ..edge(1, 2, 30, 1)
    };
    assert_eq!(refused(at(0), future), EdgeError::Expired);
    assert_eq!(refused(at(0), edge(1, 1, 30, 1)), EdgeError::Nonsense);
    assert_eq!(refused(at(0), edge(1, 2, 64, 1)), EdgeError::Nonsense);
    // Nobody tells a peer what its own accounts say.
    view.insert(at(0), &edge(0, 1, 40, 9), [0; 32]).unwrap();
    view.insert(at(0), &edge(1, 0, 40, 9), [0; 32]).unwrap();
    assert_eq!(view.edges(at(0)).count(), 0);
}

#[test]
fn who_is_removed_is_gone_from_every_edge() {
    let me = SecretKey::from_bytes(&[3; 32]).peer_id();
    let mut view = View::new(me);
    view.set_own(peer(1), 9);
    view.insert(at(0), &edge(1, 2, 30, 1), [0; 32]).unwrap();
    view.insert(at(0), &edge(3, 1, 30, 1), [0; 32]).unwrap();
    view.insert(at(0), &edge(3, 2, 30, 1), [0; 32]).unwrap();
    view.remove_peer(peer(1));
    assert_eq!(
        view.edges(at(0)).collect::<Vec<_>>(),
        [(peer(3), peer(2), 1 << 30)]
    );
}

#[test]
fn what_was_taken_of_an_edge_is_gone_until_it_is_told_anew() {
    let mut view = View::new(peer(0));
    let known = edge(1, 2, 20, 4);
    view.insert(at(0), &known, [1; 32]).unwrap();
    let bytes = |view: &View| view.edges(at(1)).next().map(|(_, _, bytes)| bytes);
    view.take(peer(1), peer(2), 1 << 19);
    assert_eq!(bytes(&view), Some(1 << 19));
    // A walk brings the same advert again, which says nothing new.
    view.insert(at(1), &known, [1; 32]).unwrap();
    assert_eq!(bytes(&view), Some(1 << 19));
    view.take(peer(1), peer(2), u64::MAX);
    assert_eq!(bytes(&view), Some(0));
    view.tell(at(1), &known);
    assert_eq!(bytes(&view), Some(1 << 20));
    view.take(peer(1), peer(2), 1 << 19);
    view.insert(at(2), &edge(1, 2, 21, 5), [2; 32]).unwrap();
    assert_eq!(bytes(&view), Some(1 << 21));
}

#[test]
fn what_was_told_serves_one_shift_and_is_soon_old() {
    let mut view = View::new(peer(0));
    let known = edge(1, 2, 20, 4);
    view.insert(at(0), &known, [1; 32]).unwrap();
    let told = |view: &View, s: u64| view.told(at(s)).count();
    assert_eq!(told(&view, 0), 0, "a walk brought it, nobody knows how old");
    view.tell(at(5), &known);
    assert_eq!((told(&view, 8), told(&view, 9)), (1, 0));
    view.tell(at(10), &known);
    view.take(peer(1), peer(2), 1 << 10);
    assert_eq!(told(&view, 10), 0);
    // Own accounts are exact at any time.
    view.set_own(peer(3), 9);
    assert_eq!(told(&view, 11), 1);
}
