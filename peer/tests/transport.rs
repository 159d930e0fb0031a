//! The transport between real sockets on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

mod common;

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{PATIENCE, Peer, chunk, connect, key, nonce_of, ordered_keys, ping, settles};
use headwater::net::{BindError, Tuning};
use swarm::{Allowance, Class, Input};
use wire::message::Greeting;
use wire::{List, Message, Seq, Time, codec};

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_chunks_arrive_in_both_directions() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let stream = key(9);
    a.streams.add(stream.stream_id());
    b.streams.add(stream.stream_id());
    connect(&mut a, &mut b).await;
    for nonce in 0..50 {
        assert!(a.transport.send(&b.id, &ping(nonce)));
        assert!(b.transport.send(&a.id, &ping(nonce)));
    }
    for nonce in 0..50 {
        assert_eq!(nonce_of(a.next().await), nonce);
        assert_eq!(nonce_of(b.next().await), nonce);
    }
    for (seq, len) in [(1, 0), (2, 3500), (3, wire::MAX_PAYLOAD)] {
        let sent = chunk(&stream, seq, len);
        a.transport
            .send_chunk(&b.id, Arc::clone(&sent), 3, Class::Live, Time::NEVER);
        match b.next().await {
            Input::Chunk {
                from,
                chunk,
                hops: 3,
                repair: false,
            } => {
                assert_eq!(from, a.id);
                assert_eq!(chunk, sent);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dials_is_greeted_and_who_is_dialled_is_not() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let stream = key(9).stream_id();
    let greeting = Message::from(Greeting {
        stream,
        peers: List::default(),
    });
    let frame = Bytes::from(codec::encode(&greeting));
    for peer in [&a, &b] {
        peer.transport.set_greeting(stream, Some(frame.clone()));
    }
    connect(&mut a, &mut b).await;
    match a.next().await {
        Input::Message { from, message, bytes } => {
            assert_eq!((from, message, bytes), (b.id, greeting, frame.len()));
        }
        other => panic!("{other:?}"),
    }
    b.nothing_for(Duration::from_millis(100)).await;
    // What is taken back nobody hears.
    b.transport.set_greeting(stream, None);
    let mut c = Peer::new(key(3));
    connect(&mut c, &mut b).await;
    c.nothing_for(Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connected_says_where_the_peer_listens() {
    let mut a = Peer::listening(key(1), "0.0.0.0:0");
    let mut b = Peer::new(key(2));
    let port = a.addr().port();
    assert!(a.transport.connect(Some(b.id), vec![b.addr()], &[]));
    match b.next().await {
        Input::Connected {
            peer,
            listen,
            dialled: false,
            addr,
            ..
        } => {
            assert_eq!(peer, a.id);
            assert_eq!(listen, [format!("127.0.0.1:{port}").parse().unwrap()]);
            // One socket for both: it is seen where it listens.
            assert_eq!(addr, listen[0]);
        }
        other => panic!("{other:?}"),
    }
    match a.next().await {
        Input::Connected {
            listen,
            dialled: true,
            ..
        } => assert_eq!(listen, [b.addr()]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ipv6_and_a_dual_stack_socket() {
    if UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("no IPv6 on this machine");
        return;
    }
    let (mut a, mut b) = (
        Peer::listening(key(1), "[::]:0"),
        Peer::listening(key(2), "[::1]:0"),
    );
    let mut c = Peer::new(key(3));
    connect(&mut a, &mut b).await;
    // From the IPv6 socket to an IPv4 one, and the other way round.
    connect(&mut a, &mut c).await;
    let mut d = Peer::new(key(4));
    let addr = format!("127.0.0.1:{}", a.addr().port()).parse().unwrap();
    assert!(d.transport.connect(Some(a.id), vec![addr], &[]));
    d.expect_connected(a.id).await;
    match a.next().await {
        Input::Connected { addr, .. } => assert_eq!(addr, d.addr(), "an IPv4 address in its plain form"),
        other => panic!("{other:?}"),
    }
    // A socket for IPv4 only still reaches IPv6.
    assert!(c.transport.connect(Some(b.id), vec![b.addr()], &[]));
    c.expect_connected(b.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_at_the_address_is_refused() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let expected = key(3).peer_id();
    assert!(a.transport.connect(Some(expected), vec![b.addr()], &[]));
    a.expect_disconnected(expected).await;
    b.nothing_for(Duration::from_millis(200)).await;
    // Without an expectation the same address is fine, and so is the second of two addresses.
    assert!(a.transport.connect(None, vec![b.addr()], &[]));
    a.expect_connected(b.id).await;
    b.expect_connected(a.id).await;
    let mut c = Peer::new(key(3));
    assert!(a.transport.connect(Some(c.id), vec![b.addr(), c.addr()], &[]));
    a.expect_connected(c.id).await;
    c.expect_connected(a.id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_a_crowd_is_turned_away_and_told_so() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    b.transport.limit_strangers(Some(Allowance {
        every: Duration::from_secs(3_600),
        at_once: 1,
    }));
    connect(&mut a, &mut b).await;
    let mut c = Peer::new(key(3));
    let begun = Instant::now();
    assert!(c.transport.connect(Some(b.id), vec![b.addr()], &[]));
    match c.next().await {
        Input::TurnedAway { peer, addr } => assert_eq!((peer, addr), (Some(b.id), Some(b.addr()))),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(b.transport.stats().refused, 1);
    b.transport.limit_strangers(None);
    connect(&mut c, &mut b).await;
}

/// A peer that was started again calls those who are still dialling where nobody was.
#[tokio::test(flavor = "multi_thread")]
async fn who_could_not_be_reached_and_has_dialled_meanwhile_is_connected() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nowhere = closed.local_addr().unwrap();
    assert!(a.transport.connect(Some(b.id), vec![nowhere], &[]));
    connect(&mut b, &mut a).await;
    // What is left is to listen, and the connection.
    settles(&a.transport, 2).await;
    a.nothing_for(Duration::from_millis(100)).await;
    assert!(a.transport.send(&b.id, &ping(7)));
    assert_eq!(nonce_of(b.next().await), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_oneself_are_not_reached() {
    let mut a = Peer::new(key(1));
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = closed.local_addr().unwrap();
    let begun = Instant::now();
    assert!(a.transport.connect(None, vec![addr], &[]));
    match a.next().await {
        Input::Disconnected { peer: None, addr: at } => assert_eq!(at, Some(addr)),
        other => panic!("{other:?}"),
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(a.transport.connect(None, vec![a.addr()], &[]));
    match a.next().await {
        Input::Disconnected { peer: None, .. } => {}
        other => panic!("{other:?}"),
    }
    assert!(!a.transport.connect(Some(a.id), vec![a.addr()], &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_address_is_an_error_that_names_it() {
    let a = Peer::new(key(1));
    let config = headwater::net::NetConfig {
        identity: key(2),
        listen: vec![a.addr()],
        agent: String::new(),
        max_accepted: 1,
        tuning: Tuning::default(),
    };
    let (sender, _inputs) = tokio::sync::mpsc::channel(1);
    let error = headwater::net::Transport::bind(config, a.clock, Arc::clone(&a.streams), sender).unwrap_err();
    assert!(
        matches!(error, BindError::Socket { addr, .. } if addr == a.addr()),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_dials_leave_one_connection_and_lose_no_message() {
    for round in 0..20 {
        let (small, large) = ordered_keys(1, 2);
        let (mut a, mut b) = (Peer::new(small), Peer::new(large));
        assert!(a.transport.connect(Some(b.id), vec![b.addr()], &[]));
        assert!(b.transport.connect(Some(a.id), vec![a.addr()], &[]));
        a.expect_connected(b.id).await;
        b.expect_connected(a.id).await;
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
                nonces.push(nonce_of(peer.next().await));
            }
            nonces.sort_unstable();
            assert_eq!(nonces, (0..20).collect::<Vec<_>>());
        }
        a.nothing_for(Duration::from_millis(20)).await;
        b.nothing_for(Duration::from_millis(20)).await;
        assert_eq!(a.transport.stats().connections, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_losing_connection_of_two_is_closed() {
    let (small, large) = ordered_keys(1, 2);
    let (mut a, mut b) = (Peer::new(small), Peer::new(large));
    assert!(a.transport.connect(Some(b.id), vec![b.addr()], &[]));
    assert!(b.transport.connect(Some(a.id), vec![a.addr()], &[]));
    a.expect_connected(b.id).await;
    b.expect_connected(a.id).await;
    let ends = Instant::now() + PATIENCE;
    // One task accepts, one runs the connection.
    while a.transport.stats().tasks > 2 || b.transport.stats().tasks > 2 {
        assert!(
            Instant::now() < ends,
            "{:?} {:?}",
            a.transport.stats(),
            b.transport.stats()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    a.nothing_for(Duration::from_millis(100)).await;
    b.nothing_for(Duration::from_millis(100)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialling_somebody_connected_changes_nothing_but_answers_for_an_address() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    connect(&mut a, &mut b).await;
    assert!(a.transport.connect(Some(b.id), vec![b.addr()], &[]));
    a.nothing_for(Duration::from_millis(100)).await;
    // The node wants to know who is there.
    assert!(a.transport.connect(None, vec![b.addr()], &[]));
    a.expect_connected(b.id).await;
    b.nothing_for(Duration::from_millis(200)).await;
    assert_eq!(b.transport.stats().connections, 1);
    assert!(a.transport.send(&b.id, &ping(7)));
    assert_eq!(nonce_of(b.next().await), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnect_comes_after_what_was_sent() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    connect(&mut a, &mut b).await;
    for nonce in 0..100 {
        assert!(a.transport.send(&b.id, &ping(nonce)));
    }
    a.transport.disconnect(&b.id);
    for nonce in 0..100 {
        assert_eq!(nonce_of(b.next().await), nonce);
    }
    b.expect_goodbye(a.id).await;
    a.expect_disconnected(b.id).await;
    assert!(!a.transport.send(&b.id, &ping(0)));
    // And again.
    connect(&mut b, &mut a).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_killed_and_restarted_says_so_at_once() {
    let mut a = Peer::new(key(1));
    // A runtime of its own, so that nothing of it is left when it is dropped.
    let (addr, id) = {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let guard = runtime.enter();
        let mut b = Peer::new(key(2));
        drop(guard);
        let (addr, id) = (b.addr(), b.id);
        assert!(a.transport.connect(Some(b.id), vec![b.addr()], &[]));
        a.expect_connected(b.id).await;
        b.expect_connected(a.id).await;
        // Dropping it in the background leaves no time for goodbyes.
        runtime.shutdown_background();
        (addr, id)
    };
    let mut b = loop {
        match std::net::UdpSocket::bind(addr) {
            Ok(free) => {
                drop(free);
                break Peer::listening(key(2), &addr.to_string());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let begun = Instant::now();
    a.transport.send(&id, &ping(1));
    a.expect_disconnected(id).await;
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "{:?}",
        begun.elapsed()
    );
    connect(&mut a, &mut b).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_does_not_read_delays_nobody_else_and_what_waits_for_it_expires() {
    let stream = key(9);
    // Its inputs have room for two, and nobody takes them.
    let mut stuck = Peer::with(key(2), &["127.0.0.1:0"], Tuning::default(), 4);
    let (mut a, mut c) = (Peer::new(key(1)), Peer::new(key(3)));
    stuck.streams.add(stream.stream_id());
    c.streams.add(stream.stream_id());
    connect(&mut a, &mut stuck).await;
    connect(&mut a, &mut c).await;
    // 1.6 MB at once to each would be 12 MB in all: more than the stuck one's window, and each has a deadline.
    let mut slowest = Duration::ZERO;
    for seq in 0..200 {
        let next = chunk(&stream, seq, 60_000);
        let expires = a.clock.now() + Duration::from_millis(100);
        a.transport
            .send_chunk(&stuck.id, Arc::clone(&next), 1, Class::Live, expires);
        a.transport.send_chunk(&c.id, next, 1, Class::Live, expires);
        let begun = Instant::now();
        match c.next().await {
            Input::Chunk { chunk, .. } => assert_eq!(chunk.seq(), Seq(seq)),
            other => panic!("{other:?}"),
        }
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    a.transport
        .send_chunk(&stuck.id, chunk(&stream, 999, 10), 1, Class::Live, Time::NEVER);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let dropped = a.transport.stats().dropped;
    assert!(dropped.expired + dropped.overflowed > 100, "{dropped:?}");
    // It is alive, and when it reads again it gets what is not expired.
    let mut last = Seq(0);
    while last != Seq(999) {
        if let Input::Chunk { chunk, .. } = stuck.next().await {
            last = chunk.seq();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn live_chunks_pass_bulk_ones() {
    let stream = key(9);
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    b.streams.add(stream.stream_id());
    connect(&mut a, &mut b).await;
    // More than goes out at once, and less than the queue's bound.
    for seq in 0..4 {
        a.transport
            .send_chunk(&b.id, chunk(&stream, seq, 60_000), 1, Class::Bulk, Time::NEVER);
    }
    a.transport
        .send_chunk(&b.id, chunk(&stream, 100, 1000), 1, Class::Live, Time::NEVER);
    let mut order = Vec::new();
    while order.len() < 5 {
        if let Input::Chunk { chunk, .. } = b.next().await {
            order.push(chunk.seq().0);
        }
    }
    let live = order.iter().position(|seq| *seq == 100).unwrap();
    assert!(live < 4, "{order:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_is_too_late_is_not_sent() {
    let stream = key(9);
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    b.streams.add(stream.stream_id());
    connect(&mut a, &mut b).await;
    let past = a.clock.now();
    tokio::time::sleep(Duration::from_millis(2)).await;
    a.transport
        .send_chunk(&b.id, chunk(&stream, 1, 100), 1, Class::Live, past);
    a.transport
        .send_chunk(&b.id, chunk(&stream, 2, 100), 1, Class::Live, Time::NEVER);
    match b.next().await {
        Input::Chunk { chunk, .. } => assert_eq!(chunk.seq(), Seq(2)),
        other => panic!("{other:?}"),
    }
    assert_eq!(a.transport.stats().dropped.expired, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_given_up_in_two_seconds() {
    // A path that can be cut: datagrams go through a relay, which stops.
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let relay = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = relay.local_addr().unwrap();
    let (from, to) = (a.addr(), b.addr());
    let relaying = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, source)) = relay.recv_from(&mut buffer).await {
            let target = if source == to { from } else { to };
            let _ = relay.send_to(&buffer[..len], target).await;
        }
    });
    assert!(a.transport.connect(Some(b.id), vec![at], &[]));
    a.expect_connected(b.id).await;
    b.expect_connected(a.id).await;
    // Keep-alives hold it up.
    a.nothing_for(Duration::from_secs(3)).await;
    relaying.abort();
    let begun = Instant::now();
    a.expect_disconnected(b.id).await;
    b.expect_disconnected(a.id).await;
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_says_goodbye_and_ends_every_task() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    connect(&mut a, &mut b).await;
    let begun = Instant::now();
    let Peer {
        transport,
        mut inputs,
        ..
    } = a;
    let taking = tokio::spawn(async move { while inputs.recv().await.is_some() {} });
    transport.shutdown().await;
    assert!(
        begun.elapsed() < Duration::from_millis(800),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(transport.stats().tasks, 0);
    b.expect_goodbye(key(1).peer_id()).await;
    drop(transport);
    taking.abort();
}
