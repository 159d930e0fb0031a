//! One stream through real nodes on loopback: what comes out is what went in.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test, on real clocks"
)]

#[path = "common/cast.rs"]
mod cast;

use std::time::Duration;

use bytes::Bytes;
use cast::{feed, info, node, payload};
use headwater::driver::{StreamEvents, StreamItem};
use swarm::{Event, Participation, PlayoutWish};
use wire::{SecretKey, Seq};

/// Three seconds and a half.
const CHUNKS: u64 = 440;

const PATIENCE: Duration = Duration::from_secs(20);

/// Everything a viewer gets to play until the stream ends, and the number of its first chunk.
async fn watch(mut events: StreamEvents) -> (Seq, Vec<Bytes>) {
    let mut first = None;
    let mut played = Vec::new();
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match tokio::time::timeout_at(end, events.recv()).await {
            Ok(Some(StreamItem::Chunk { chunk, .. })) => {
                first.get_or_insert(chunk.seq());
                if !chunk.payload().is_empty() {
                    played.push(chunk.payload().clone());
                }
            }
            Ok(Some(StreamItem::Gap { from, to })) => panic!("a gap from {from} to {to}"),
            Ok(Some(StreamItem::Event(Event::Ended { .. }))) => break,
            Ok(Some(StreamItem::Event(_))) => {}
            Ok(None) => panic!("the node has ended"),
            Err(_) => panic!("{} chunks played, and no end", played.len()),
        }
    }
    assert_eq!(events.dropped(), 0);
    assert!(events.arrivals().summary().count > 0);
    (first.unwrap(), played)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_viewers_get_what_was_published_byte_for_byte() {
    let key = SecretKey::from_bytes(&[99; 32]);
    let stream = key.stream_id();
    let source = node(1).await;
    let info = info(&source);
    let session = info.session;
    let _own = source.publish(key, info).await.unwrap();
    let feeding = tokio::spawn(feed(source.clone(), stream, CHUNKS));
    let via = source.local_addrs().to_vec();

    let mut viewers = Vec::new();
    for n in 2..5 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let viewer = node(n).await;
        let wish = Participation::Consume(PlayoutWish::default());
        let events = viewer.join(stream, via.clone(), wish).await.unwrap();
        viewers.push((viewer, tokio::spawn(watch(events))));
    }
    feeding.await.unwrap();
    for (viewer, watching) in viewers {
        let (first, played) = watching.await.unwrap();
        let skipped = first.0 - session.0;
        assert!(skipped < CHUNKS / 2, "began with chunk {skipped}");
        let expected: Vec<Bytes> = (skipped..CHUNKS).map(payload).collect();
        assert_eq!(played.len(), expected.len());
        assert!(played == expected, "not what went in");
        let (stats, driver) = viewer.stats().await.unwrap();
        assert_eq!(stats.streams.len(), 1);
        assert!(driver.net.connections >= 1);
        viewer.shutdown().await;
    }
    source.shutdown().await;
    assert!(source.stats().await.is_err(), "it has ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_everything() {
    let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let a = node(1).await;
    let b = node(2).await;
    let key = SecretKey::from_bytes(&[98; 32]);
    let stream = key.stream_id();
    let info = info(&a);
    let _own = a.publish(key, info).await.unwrap();
    let wish = Participation::Consume(PlayoutWish::default());
    let mut events = b.join(stream, a.local_addrs().to_vec(), wish).await.unwrap();
    let answered = tokio::time::timeout(PATIENCE, async {
        loop {
            match events.recv().await {
                Some(StreamItem::Event(Event::TrackerAnswered { .. })) => return,
                Some(_) => {}
                None => panic!("the node has ended"),
            }
        }
    });
    answered.await.unwrap();
    drop((a, b));
    assert!(
        tokio::time::timeout(PATIENCE, async { while events.recv().await.is_some() {} })
            .await
            .is_ok()
    );
    let end = tokio::time::Instant::now() + PATIENCE;
    while alive() > before {
        assert!(tokio::time::Instant::now() < end, "{} tasks", alive());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
