use std::time::Duration;

use bytes::Bytes;
use wire::{ChunkFlags, ChunkHeader, SecretKey, StreamId, Time};

use super::*;

fn chunk(seq: u64, len: usize) -> StreamItem {
    let key = SecretKey::from_bytes(&[7; 32]);
    let header = ChunkHeader {
        stream: key.stream_id(),
        session: Seq(0),
        seq: Seq(seq),
        generated_at: Time::from_micros(seq),
        duration: Duration::from_millis(8),
        flags: ChunkFlags::default(),
    };
    StreamItem::Chunk {
        chunk: Arc::new(Chunk::sign(header, Bytes::from(vec![0; len]), &key)),
        lag_us: 0,
        in_time: true,
    }
}

fn event() -> StreamItem {
    StreamItem::Event(Event::FirstChunk {
        stream: StreamId::from_bytes([1; 32]),
    })
}

#[tokio::test]
async fn a_slow_consumer_loses_the_oldest_chunks_and_no_milestone() {
    let (sender, mut events) = channel();
    sender.send(event());
    for seq in 0..MAX_ITEMS as u64 + 10 {
        sender.send(chunk(seq, 10));
    }
    assert_eq!(events.dropped(), 11);
    assert!(matches!(events.recv().await, Some(StreamItem::Event(_))));
    match events.recv().await {
        Some(StreamItem::Chunk { chunk, .. }) => assert_eq!(chunk.seq(), Seq(11)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let (sender, events) = channel();
    let len = wire::MAX_PAYLOAD;
    let sent = MAX_BYTES / len + 20;
    let item = chunk(1, len);
    for _ in 0..sent {
        sender.send(item.clone());
    }
    let state = events.queue.lock();
    assert!(state.bytes <= MAX_BYTES);
    assert_eq!(state.dropped as usize + state.items.len(), sent);
}

#[tokio::test]
async fn the_end_comes_after_everything_before_it() {
    let (sender, mut events) = channel();
    sender.send(chunk(1, 10));
    drop(sender);
    assert!(matches!(events.recv().await, Some(StreamItem::Chunk { .. })));
    assert!(events.recv().await.is_none());
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn nothing_is_kept_for_a_receiver_that_is_gone() {
    let (sender, events) = channel();
    drop(events);
    sender.send(chunk(1, 10));
    assert!(sender.queue.upgrade().is_none());
}
