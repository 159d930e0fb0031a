//! What is said along with the first packet of a connection, on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

mod common;
#[path = "common/stranger.rs"]
mod stranger;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Peer, key, nonce_of, ordered_keys, ping, settles};
use stranger::{closed, hello, opened_only, stranger_opening};
use swarm::{Input, Rejection};
use tokio::net::UdpSocket;
use wire::message::{Bye, ByeReason, ClockReading, Hello, Pong};
use wire::{Message, Opening, PeerId, SecretKey, VERSIONS, codec};

fn frame(message: &Message) -> Bytes {
    codec::encode(message).into()
}

fn sealed(by: &SecretKey, to: Option<PeerId>, messages: &[u8]) -> Vec<u8> {
    let hello = Hello {
        versions: VERSIONS,
        ..Hello::default()
    };
    Opening::seal(by, to, &hello, [messages]).unwrap()
}

fn dial(a: &Peer, b: &Peer, nonce: u32) {
    assert!(
        a.transport
            .connect(Some(b.id), vec![b.addr()], &[frame(&ping(nonce))])
    );
}

/// A connection that is ready before the handshake is over.
async fn expect_early(peer: &mut Peer, from: PeerId) {
    match peer.next().await {
        Input::Connected {
            peer,
            rtt: None,
            dialled: false,
            opened: false,
            ..
        } => assert_eq!(peer, from),
        other => panic!("{other:?}"),
    }
}

async fn expect_proven(peer: &mut Peer, who: PeerId) {
    match peer.next().await {
        Input::Proven { peer, .. } => assert_eq!(peer, who),
        other => panic!("{other:?}"),
    }
}

async fn expect_connected(peer: &mut Peer, who: PeerId, was_opened: bool) {
    match peer.next().await {
        Input::Connected {
            peer,
            rtt: Some(_),
            opened,
            ..
        } => assert_eq!((peer, opened), (who, was_opened)),
        other => panic!("{other:?}"),
    }
}

/// Lets through what comes from `to`, and of what goes there the first datagram, and the rest when told.
async fn relay(from: SocketAddr, to: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let relay = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = relay.local_addr().unwrap();
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        let mut first = true;
        while let Ok((len, source)) = relay.recv_from(&mut buffer).await {
            if source == to {
                let _ = relay.send_to(&buffer[..len], from).await;
            } else if std::mem::take(&mut first) || gate.load(Ordering::Relaxed) {
                let _ = relay.send_to(&buffer[..len], to).await;
            }
        }
    });
    (at, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_is_heard_and_answered_before_the_handshake_is_over() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let (at, open) = relay(a.addr(), b.addr()).await;
    let opening = [frame(&ping(1)), frame(&ping(2))];
    assert!(a.transport.connect(Some(b.id), vec![at], &opening));
    match b.next().await {
        Input::Connected {
            peer,
            addr,
            listen,
            dialled: false,
            rtt: None,
            opened: false,
        } => assert_eq!((peer, addr, listen), (a.id, at, vec![a.addr()])),
        other => panic!("{other:?}"),
    }
    match b.next().await {
        Input::Message { from, message, bytes } => {
            assert_eq!((from, message, bytes), (a.id, ping(1), opening[0].len()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(nonce_of(b.next().await), 2);
    for nonce in 3..6 {
        assert!(b.transport.send(&a.id, &ping(nonce)));
    }
    expect_connected(&mut a, b.id, true).await;
    for nonce in 3..6 {
        assert_eq!(nonce_of(a.next().await), nonce);
    }
    b.nothing_for(Duration::from_millis(50)).await;
    open.store(true, Ordering::Relaxed);
    expect_proven(&mut b, a.id).await;
    for nonce in 6..100 {
        assert!(b.transport.send(&a.id, &ping(nonce)));
        assert!(a.transport.send(&b.id, &ping(nonce)));
    }
    for nonce in 6..100 {
        assert_eq!(nonce_of(b.next().await), nonce);
    }
    let mut nonces = Vec::new();
    while nonces.len() < 94 {
        nonces.push(nonce_of(a.next().await));
    }
    // The last of the early ones may be overtaken.
    nonces.sort_unstable();
    assert_eq!(nonces, (6..100).collect::<Vec<_>>());
    b.transport.disconnect(&a.id);
    a.expect_goodbye(b.id).await;
    b.expect_disconnected(a.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_waits_for_the_proof() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let (at, open) = relay(a.addr(), b.addr()).await;
    assert!(a.transport.connect(None, vec![at], &[frame(&ping(1))]));
    expect_early(&mut b, a.id).await;
    assert_eq!(nonce_of(b.next().await), 1);
    b.transport.disconnect(&a.id);
    expect_connected(&mut a, b.id, true).await;
    a.nothing_for(Duration::from_millis(50)).await;
    open.store(true, Ordering::Relaxed);
    a.expect_goodbye(b.id).await;
    expect_proven(&mut b, a.id).await;
    b.expect_disconnected(a.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_of_two_packets_is_heard() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let clock = ClockReading {
        stream_tag: u32::MAX,
        offset_us: i64::MAX,
        error_us: u32::MAX,
    };
    let pong = Message::from(Pong {
        clocks: (0..16).map(|_| clock).collect(),
        ..Pong::default()
    });
    let opening = vec![frame(&pong); 3];
    let len: usize = opening.iter().map(Bytes::len).sum();
    assert!(len > 1200, "{len}");
    assert!(a.transport.connect(Some(b.id), vec![b.addr()], &opening));
    expect_connected(&mut a, b.id, true).await;
    expect_early(&mut b, a.id).await;
    let mut heard = 0;
    while heard < 3 {
        match b.next().await {
            Input::Message { message, .. } => {
                assert_eq!(message, pong);
                heard += 1;
            }
            Input::Proven { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_left_out() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    for opening in [vec![frame(&ping(1)); 5], vec![vec![0; 2000].into()]] {
        assert!(a.transport.connect(Some(b.id), vec![b.addr()], &opening));
        expect_connected(&mut a, b.id, false).await;
        expect_connected(&mut b, a.id, false).await;
        a.transport.disconnect(&b.id);
        b.expect_goodbye(a.id).await;
        a.expect_disconnected(b.id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opening_that_is_not_right_is_passed_over() {
    let mut b = Peer::new(key(2));
    let id = key(5).peer_id();
    let ping_1 = frame(&ping(1));
    let mut damaged = sealed(&key(5), None, &ping_1);
    *damaged.last_mut().unwrap() ^= 1;
    for opening in [
        damaged,
        sealed(&key(5), Some(key(3).peer_id()), &ping_1),
        // As if this peer dialled itself.
        sealed(&key(2), None, &ping_1),
        sealed(&key(5), None, &ping_1.repeat(5)),
        sealed(&key(5), None, &ping_1[..9]),
        vec![7; 300],
        vec![7; wire::MAX_OPENING + 500],
    ] {
        let (connection, mut send, _recv) =
            stranger_opening(&key(5), b.addr(), &hello(VERSIONS), Some(&opening)).await;
        expect_connected(&mut b, id, false).await;
        send.write_all(&frame(&ping(7))).await.unwrap();
        assert_eq!(nonce_of(b.next().await), 7);
        connection.close(0u32.into(), b"");
        b.expect_disconnected(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_in_an_opening_costs_standing() {
    let mut b = Peer::new(key(2));
    let id = key(5).peer_id();
    let bye = frame(&Message::from(Bye {
        reason: ByeReason::Leaving,
    }));
    let messages = [&bye[..], &hello(VERSIONS), &[0, 0, 0, 2, 13, 7], &frame(&ping(1))].concat();
    let opening = sealed(&key(5), Some(b.id), &messages);
    let _stranger = stranger_opening(&key(5), b.addr(), &hello(VERSIONS), Some(&opening)).await;
    expect_early(&mut b, id).await;
    for _ in 0..3 {
        match b.next().await {
            Input::Rejected {
                from,
                why: Rejection::Malformed,
                ..
            } => assert_eq!(from, id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(nonce_of(b.next().await), 1);
    expect_proven(&mut b, id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_prove_to_be_who_said_it_is_sent_away() {
    let mut b = Peer::new(key(2));
    let opening = sealed(&key(6), None, &frame(&ping(1)));
    let connection = opened_only(&key(5), b.addr(), Some(&opening)).await;
    // It may have been sent away by now.
    let mut stream = connection.open_bi().await;
    if let Ok((send, _)) = &mut stream {
        let _ = send.write_all(&hello(VERSIONS)).await;
    }
    expect_early(&mut b, key(6).peer_id()).await;
    assert_eq!(nonce_of(b.next().await), 1);
    b.expect_disconnected(key(6).peer_id()).await;
    assert!(closed(&connection).await.contains("somebody else"));
    settles(&b.transport, 1).await;
}

/// The first datagram of a dial of `b` by this identity.
async fn captured(identity: SecretKey, b: &Peer, nonce: u32) -> Vec<u8> {
    let dialler = Peer::new(identity);
    let catcher = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = catcher.local_addr().unwrap();
    assert!(
        dialler
            .transport
            .connect(Some(b.id), vec![at], &[frame(&ping(nonce))])
    );
    let mut buffer = vec![0; 65_536];
    let (len, _) = catcher.recv_from(&mut buffer).await.unwrap();
    buffer.truncate(len);
    buffer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_takes_no_connection_away_and_is_forgotten() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let replay = captured(key(1), &b, 9).await;
    let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // Nobody is there.
    elsewhere.send_to(&replay, b.addr()).await.unwrap();
    expect_early(&mut b, a.id).await;
    assert_eq!(nonce_of(b.next().await), 9);
    assert_eq!(b.transport.stats().connections, 1);
    b.expect_disconnected(a.id).await;
    settles(&b.transport, 1).await;
    assert_eq!(b.transport.stats().connections, 0);

    // The peer comes while a replay has its place, which is worth nothing then.
    let replay = captured(key(1), &b, 10).await;
    elsewhere.send_to(&replay, b.addr()).await.unwrap();
    expect_early(&mut b, a.id).await;
    assert_eq!(nonce_of(b.next().await), 10);
    dial(&a, &b, 1);
    expect_connected(&mut a, b.id, true).await;
    assert_eq!(nonce_of(b.next().await), 1);
    b.expect_disconnected(a.id).await;
    expect_connected(&mut b, a.id, false).await;
    // Whatever was said in answer to the replay is lost, so it is said again.
    assert_eq!(nonce_of(b.next().await), 1);

    // And it is connected: the replay says the same again, and that is all.
    let replay = captured(key(1), &b, 11).await;
    elsewhere.send_to(&replay, b.addr()).await.unwrap();
    assert_eq!(nonce_of(b.next().await), 11);
    assert!(b.transport.send(&a.id, &ping(12)));
    assert_eq!(nonce_of(a.next().await), 12);
    b.nothing_for(Duration::from_millis(3500)).await;
    a.nothing_for(Duration::from_millis(10)).await;
    settles(&b.transport, 2).await;
    assert!(a.transport.send(&b.id, &ping(13)));
    assert_eq!(nonce_of(b.next().await), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_again_is_heard_on_the_new_connection() {
    let mut b = Peer::new(key(2));
    let mut before = Peer::new(key(1));
    common::connect(&mut before, &mut b).await;
    let mut a = Peer::new(key(1));
    dial(&a, &b, 1);
    expect_connected(&mut a, b.id, true).await;
    assert_eq!(nonce_of(b.next().await), 1);
    b.expect_disconnected(a.id).await;
    expect_connected(&mut b, a.id, false).await;
    assert_eq!(nonce_of(b.next().await), 1);
    assert!(b.transport.send(&a.id, &ping(2)));
    assert_eq!(nonce_of(a.next().await), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_dials_with_openings_leave_one_connection_and_lose_no_message() {
    for round in 0..20 {
        let (small, large) = ordered_keys(1, 2);
        let (mut a, mut b) = (Peer::new(small), Peer::new(large));
        dial(&a, &b, 100);
        if round % 4 == 3 {
            tokio::time::sleep(Duration::from_micros(300 * round)).await;
        }
        dial(&b, &a, 100);
        let (a_id, b_id) = (a.id, b.id);
        for (peer, other) in [(&mut a, b_id), (&mut b, a_id)] {
            // One of them may have gone so far that it does not dial.
            peer.expect_connected(other).await;
        }
        for nonce in 0..20 {
            assert!(a.transport.send(&b.id, &ping(nonce)));
            assert!(b.transport.send(&a.id, &ping(nonce)));
            if nonce % 5 == 0 {
                tokio::time::sleep(Duration::from_micros(300 * round)).await;
            }
        }
        for peer in [&mut a, &mut b] {
            let mut nonces = Vec::new();
            while nonces.len() < 20 {
                match peer.next().await {
                    Input::Proven { .. } => {}
                    input => nonces.push(nonce_of(input)),
                }
                nonces.retain(|nonce| *nonce != 100);
            }
            nonces.sort_unstable();
            assert_eq!(nonces, (0..20).collect::<Vec<_>>());
        }
        for peer in [&mut a, &mut b] {
            let end = tokio::time::Instant::now() + Duration::from_millis(20);
            while let Ok(input) = tokio::time::timeout_at(end, peer.inputs.recv()).await {
                let expected = matches!(
                    input,
                    Some(Input::Backlog { .. } | Input::Proven { .. } | Input::Message { .. })
                );
                assert!(expected, "{input:?}");
            }
        }
        assert_eq!(a.transport.stats().connections, 1);
        settles(&a.transport, 2).await;
        settles(&b.transport, 2).await;
    }
}
