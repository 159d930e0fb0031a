use coords::Coord;
use wire::SecretKey;

use super::*;

fn node(n: u8) -> RingNode {
    let addr = SocketAddr::from(([192, 0, 2, n], 4000));
    let peer = SecretKey::from_bytes(&[n; 32]).peer_id();
    RingNode::new(peer, &Coord::ORIGIN, std::iter::once(addr).collect())
}

#[test]
fn who_was_seen_is_known_the_next_time_and_nobody_else_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut known = KnownNodes::open(Some(dir.path()));
    assert!(known.addrs().is_empty());
    known.saw(&[node(1), node(2)]);
    known.save().unwrap();
    // Another process, which knew nobody at its start.
    let mut other = KnownNodes::open(None);
    other.path = known.path.clone();
    other.saw(&[node(3)]);
    other.save().unwrap();
    let again = KnownNodes::open(Some(dir.path()));
    let mut addrs: Vec<String> = again.addrs().iter().map(ToString::to_string).collect();
    addrs.sort();
    assert_eq!(addrs, ["192.0.2.1:4000", "192.0.2.2:4000", "192.0.2.3:4000"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(dir.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // Nothing but the file itself is left behind.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_oldest_are_forgotten() {
    let mut known = KnownNodes::open(None);
    known.saw(&(0..40).map(node).collect::<Vec<_>>());
    assert_eq!(known.nodes.len(), MOST);
    for node in &mut known.nodes {
        node.seen = 1;
    }
    known.saw(&[node(100)]);
    assert_eq!(known.nodes.len(), MOST);
    assert_eq!(known.addrs()[0], node(100).addrs[0]);
    assert_eq!(known.addrs().len(), MOST_TRIED);
}

#[test]
fn a_broken_file_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    let huge = vec![b'#'; FILE_MAX as usize + 1];
    for broken in [&b"[[node]]\npeer = 1"[..], b"\xff\xfe", &huge, b"node = \"?\""] {
        std::fs::write(&path, broken).unwrap();
        assert!(read(&path).is_err(), "{:?}", &broken[..broken.len().min(20)]);
        let mut known = KnownNodes::open(Some(dir.path()));
        assert!(known.addrs().is_empty());
        known.saw(&[node(1)]);
        known.save().unwrap();
        assert_eq!(KnownNodes::open(Some(dir.path())).addrs(), [node(1).addrs[0]]);
    }
}

#[test]
fn without_a_folder_nothing_is_written() {
    let mut known = KnownNodes::open(None);
    known.saw(&[node(1)]);
    known.save().unwrap();
    assert_eq!(known.addrs().len(), 1);
}

#[test]
fn an_audience_is_called_that_was_there_at_the_last_look_and_may_wait_still() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, other) = ([1; 32], [2; 32]);
    let [stream, other] = [stream, other].map(|key| SecretKey::from_bytes(&key).stream_id());
    let open = |stream| KnownNodes::open_audience(Some(dir.path()), stream);
    let mut audience = open(stream);
    assert!(audience.waiting().is_empty());
    audience.saw(&[node(1), node(2), node(3)]);
    for gone in audience
        .nodes
        .iter_mut()
        .filter(|known| known.peer == node(3).peer)
    {
        gone.seen -= 3;
    }
    audience.save().unwrap();
    assert_eq!(open(stream).waiting(), [node(1), node(2)]);
    // Each stream has its own, and neither are ways into the overlay.
    assert!(open(other).waiting().is_empty());
    assert!(KnownNodes::open(Some(dir.path())).addrs().is_empty());
    // They have given up by now.
    for known in &mut audience.nodes {
        known.seen -= AUDIENCE_STAYS.as_secs() + 1;
    }
    assert!(audience.waiting().is_empty());
}
