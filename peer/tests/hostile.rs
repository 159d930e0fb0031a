//! Strangers and peers that do not keep to the protocol, on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

mod common;
#[path = "common/stranger.rs"]
mod stranger;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Peer, chunk, connect, key, nonce_of, ping};
use stranger::{closed, hello, stranger};
use swarm::{Class, Input, Rejection};
use wire::message::{Greeting, Leave};
use wire::{List, Message, Time, VERSIONS, codec};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_hello_is_no_connection() {
    let mut b = Peer::new(key(2));
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 64],
        &[0, 0, 0, 3, 1, 0xc1, 0xff],
        &codec::encode(&ping(1)),
        &hello((7, 9)),
    ] {
        let (connection, _send, _recv) = stranger(&key(5), b.addr(), garbage).await;
        closed(&connection).await;
    }
    b.nothing_for(Duration::from_millis(100)).await;
    assert_eq!(b.transport.stats().connections, 0);
    // And a stranger that says nothing is sent away.
    let (connection, _send, _recv) = stranger(&key(5), b.addr(), &[]).await;
    assert!(closed(&connection).await.contains("no first message"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_frames_cost_standing_and_too_long_ones_the_connection() {
    let mut b = Peer::new(key(2));
    let id = key(5).peer_id();
    let (connection, mut send, _recv) = stranger(&key(5), b.addr(), &hello(VERSIONS)).await;
    b.expect_connected(id).await;
    // A Leave whose body is a number; an unknown kind; then a good one.
    send.write_all(&[0, 0, 0, 2, 13, 7]).await.unwrap();
    send.write_all(&[0, 0, 0, 2, 250, 7]).await.unwrap();
    send.write_all(&codec::encode(&ping(1))).await.unwrap();
    let malformed = |input: &Input| matches!(input, Input::Rejected { from, why: Rejection::Malformed, .. } if *from == id);
    let input = b.next().await;
    assert!(malformed(&input), "{input:?}");
    assert_eq!(nonce_of(b.next().await), 1);
    // Not a chunk.
    let mut uni = connection.open_uni().await.unwrap();
    uni.write_all(&[1; 20]).await.unwrap();
    uni.finish().unwrap();
    let input = b.next().await;
    assert!(malformed(&input), "{input:?}");
    // A greeting from one who was not asked.
    let greeting = codec::encode(&Message::from(Greeting {
        stream: key(9).stream_id(),
        peers: List::default(),
    }));
    let mut uni = connection.open_uni().await.unwrap();
    uni.write_all(&greeting).await.unwrap();
    uni.finish().unwrap();
    let input = b.next().await;
    assert!(malformed(&input), "{input:?}");
    // Larger than any chunk.
    let mut uni = connection.open_uni().await.unwrap();
    let _ = uni.write_all(&vec![1; wire::MAX_CHUNK_FRAME + 1]).await;
    let _ = uni.finish();
    let input = b.next().await;
    assert!(malformed(&input), "{input:?}");
    // A length that nobody may send.
    send.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    let input = b.next().await;
    assert!(malformed(&input), "{input:?}");
    b.expect_disconnected(id).await;
    closed(&connection).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_messages_does_not_reach_the_node() {
    let mut b = Peer::new(key(2));
    let (_connection, mut send, _recv) = stranger(&key(5), b.addr(), &hello(VERSIONS)).await;
    b.expect_connected(key(5).peer_id()).await;
    let frame = codec::encode(&Message::from(Leave {
        stream: key(9).stream_id(),
    }));
    let flood = frame.repeat(20_000);
    let begun = Instant::now();
    let writer = tokio::spawn(async move {
        let _ = send.write_all(&flood).await;
        send
    });
    let (mut passed, mut reports) = (0u64, 0u64);
    let mut quiet = Duration::from_secs(2);
    while let Ok(Some(input)) = tokio::time::timeout(quiet, b.inputs.recv()).await {
        match input {
            Input::Message { .. } => passed += 1,
            Input::Rejected {
                why: Rejection::Flood,
                ..
            } => {
                reports += 1;
                quiet = Duration::from_millis(500);
            }
            Input::Backlog { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    writer.await.unwrap();
    let allowed = 800 + (begun.elapsed().as_secs_f64() * 400.0) as u64 + 1;
    assert!(
        passed >= 800 && passed <= allowed,
        "{passed}, allowed are {allowed}"
    );
    assert!(
        reports >= 1 && reports <= 1 + begun.elapsed().as_millis() as u64 / 100,
        "{reports}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_chunk_is_reported_and_a_foreign_one_counted() {
    let (mut a, mut b) = (Peer::new(key(1)), Peer::new(key(2)));
    let (stream, foreign) = (key(9), key(10));
    b.streams.add(stream.stream_id());
    connect(&mut a, &mut b).await;
    // A frame of one stream that claims to be of another: what a polluter can make.
    let forged = chunk(&foreign, 1, 1000);
    a.transport
        .send_chunk(&b.id, Arc::clone(&forged), 1, Class::Live, Time::NEVER);
    b.nothing_for(Duration::from_millis(200)).await;
    assert_eq!(b.transport.stats().foreign_bytes, forged.frame_len() as u64);

    let (connection, mut send, _recv) = stranger(&key(5), b.addr(), &hello(VERSIONS)).await;
    b.expect_connected(key(5).peer_id()).await;
    let good = chunk(&stream, 7, 1000);
    let mut frame = [&good.encode_header(1, false)[..], &good.payload()[..]].concat();
    frame[500] ^= 1;
    let mut uni = connection.open_uni().await.unwrap();
    uni.write_all(&frame).await.unwrap();
    uni.finish().unwrap();
    match b.next().await {
        Input::Rejected {
            from,
            bytes,
            why: Rejection::Signature(_),
        } => assert_eq!((from, bytes), (key(5).peer_id(), frame.len())),
        other => panic!("{other:?}"),
    }
    // The connection is as good as before: what to make of it is the node's affair.
    send.write_all(&codec::encode(&ping(3))).await.unwrap();
    assert_eq!(nonce_of(b.next().await), 3);
}
