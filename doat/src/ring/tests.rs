use super::*;

#[test]
fn the_first_member_has_itself_on_both_sides() {
    let peer = PeerId::from_bytes([3; 32]);
    let coord = Coord {
        x_ms: 20.0,
        y_ms: -30.0,
        height_ms: 2.0,
    };
    let ring = Ring::of_one(peer, &coord);
    assert_eq!(ring.me(), Place::new(peer, &coord));
    assert_eq!(ring.successors(), [ring.me()]);
    assert_eq!(ring.predecessors(), [ring.me()]);
    // Whoever comes next lies between it and itself, wherever that is.
    for position in [0, ring.me().position, u64::MAX] {
        let newcomer = Place {
            position,
            peer: PeerId::from_bytes([4; 32]),
        };
        assert!(newcomer.is_between(&ring.me(), &ring.successors()[0]));
    }
}
